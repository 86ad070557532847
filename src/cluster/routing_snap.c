/* Snapshots and scans. */
#include "cluster/routing_int.h"
#include "p2p/multibase.h"

/* ---- what a snapshot keeps alive ---- */

static void snaps_changed(struct ww_routing *t)
{
    t->pool.shared =
        ww_list_empty(&t->snaps) ? 0 : WW_LIST_ENTRY(t->snaps.next, struct ww_snapshot, link)->epoch;
}

static struct ww_snapshot *newest(const struct ww_routing *t)
{
    return ww_list_empty(&t->snaps) ? NULL : WW_LIST_ENTRY(t->snaps.next, struct ww_snapshot, link);
}

void retired_collect(struct ww_routing *t)
{
    while (t->pool.retired) {
        struct ww_onode *n = t->pool.retired;
        t->pool.retired = ww_onode_next_retired(n);
        struct ww_snapshot *s = newest(t);
        ww_onode_set_next_retired(n, s->dead_nodes);
        s->dead_nodes = n;
    }
}

static void cell_destroy(struct ww_routing *t, uint32_t slot)
{
    struct body *b = cell_at(t, slot)->body;
    cell_free(t, slot);
    body_free(t, b);
}

static void cell_retire_to(struct ww_routing *t, struct ww_snapshot *s, uint32_t slot)
{
    struct cell *c = cell_at(t, slot);
    if (!s || c->body->born > s->epoch) {
        cell_destroy(t, slot);
        return;
    }
    c->next = s->dead_cells;
    s->dead_cells = slot;
}

static void atom_retire_to(struct ww_routing *t, struct ww_snapshot *s, uint32_t atom)
{
    struct atom *a = atom_at(t, atom);
    if (!s || a->born > s->epoch) {
        atom_free(t, atom);
        return;
    }
    a->number = s->dead_atoms;
    s->dead_atoms = atom;
}

void cell_retire(struct ww_routing *t, uint32_t slot)
{
    cell_retire_to(t, newest(t), slot);
}

void atom_retire(struct ww_routing *t, uint32_t atom)
{
    atom_retire_to(t, newest(t), atom);
}

struct ww_snapshot *ww_routing_snapshot(struct ww_routing *t)
{
    struct ww_snapshot *last = newest(t);
    /* The last one taken may be gone, and the newest that is left be older than the last change. */
    if (last && !t->dirty && last->epoch + 1 == t->epoch)
        return ww_snapshot_ref(last);
    struct ww_snapshot *s = WW_NEW(struct ww_snapshot);
    if (!s)
        return NULL;
    s->table = t;
    s->refs = 1;
    s->count = t->trees[TREE_ID].count;
    s->epoch = t->epoch++;
    memcpy(s->trees, t->trees, sizeof s->trees);
    ww_list_init(&s->link);
    ww_list_push_front(&t->snaps, &s->link);
    t->pool.epoch = t->epoch;
    t->dirty = false;
    snaps_changed(t);
    return s;
}

struct ww_snapshot *ww_snapshot_ref(struct ww_snapshot *s)
{
    s->refs++;
    return s;
}

/* Everything on its lists goes to the next older snapshot that sees it, or is freed. Cells before atoms: a
 * cell that goes drops its references, which may retire atoms. */
static void snapshot_release(struct ww_snapshot *s)
{
    struct ww_routing *t = s->table;
    struct ww_snapshot *older =
        s->link.next == &t->snaps ? NULL : WW_LIST_ENTRY(s->link.next, struct ww_snapshot, link);
    ww_list_remove(&s->link);
    snaps_changed(t);
    while (s->dead_nodes) {
        struct ww_onode *n = s->dead_nodes;
        s->dead_nodes = ww_onode_next_retired(n);
        if (older && ww_onode_epoch(n) <= older->epoch) {
            ww_onode_set_next_retired(n, older->dead_nodes);
            older->dead_nodes = n;
        } else {
            ww_onode_free(&t->pool, n);
        }
    }
    while (s->dead_cells) {
        uint32_t slot = s->dead_cells;
        s->dead_cells = cell_at(t, slot)->next;
        cell_retire_to(t, older, slot);
    }
    while (s->dead_atoms) {
        uint32_t atom = s->dead_atoms;
        s->dead_atoms = atom_at(t, atom)->number;
        atom_retire_to(t, older, atom);
    }
    ww_opool_trim(&t->pool);
    ww_free(s);
    if (t->orphan && ww_list_empty(&t->snaps))
        routing_destroy(t);
}

void ww_snapshot_unref(struct ww_snapshot *s)
{
    if (s && --s->refs == 0)
        snapshot_release(s);
}

size_t ww_snapshot_count(const struct ww_snapshot *s)
{
    return s->count;
}

/* ---- reading ---- */

void record_fill(const struct ww_routing *t, uint32_t slot, struct ww_record *r)
{
    const struct cell *c = cell_at(t, slot);
    const struct body *b = c->body;
    r->peer = body_peer(b);
    r->host = b->host ? atom_text(b->host) : (struct ww_bytes){NULL, 0};
    r->server = b->server;
    r->seq = c->seq;
    r->deadline_ns = c->deadline_ns;
    r->ttl_ms = c->ttl_ms;
    r->slot = slot;
    r->meta_count = b->meta_count;
    r->meta_atoms = b->meta;
    r->table = t;
}

void ww_snapshot_record(const struct ww_snapshot *s, uint32_t slot, struct ww_record *r)
{
    record_fill(s->table, slot, r);
    const struct cell *c = cell_at(s->table, slot);
    if (WW_LIKELY(c->epoch <= s->epoch))
        return;
    const struct version *v = c->older;
    while (v->epoch > s->epoch)
        v = v->older;
    r->seq = v->seq;
    r->deadline_ns = v->deadline_ns;
    r->ttl_ms = v->ttl_ms;
}

struct ww_bytes ww_record_meta(const struct ww_record *r, size_t index)
{
    WW_ASSERT(index < r->meta_count);
    if (!r->table)
        return r->meta[index];
    return atom_text(atom_at(r->table, r->meta_atoms[index]));
}

struct ww_bytes ww_atom_text(const struct ww_routing *t, uint32_t atom)
{
    return atom_text(atom_at(t, atom));
}

struct ww_bytes ww_record_meta_get(const struct ww_record *r, struct ww_bytes key)
{
    for (size_t i = 0; i < r->meta_count; i++) {
        struct ww_bytes text = ww_record_meta(r, i);
        if (text.len > key.len && text.ptr[key.len] == '=' && ww_bytes_has_prefix(text, key))
            return ww_bytes_skip(text, key.len + 1);
    }
    return (struct ww_bytes){NULL, 0};
}

struct ww_otree posting_at(const struct ww_routing *t, uint32_t atom, uint64_t epoch)
{
    const struct atom *a = atom_at(t, atom);
    if (a->epoch <= epoch)
        return a->posting;
    const struct version *v = a->older;
    while (v->epoch > epoch)
        v = v->older;
    return v->posting;
}

/* ---- scans ---- */

#define PREFETCH_FROM 30000 /* records; smaller tables fit into the caches */

struct ww_scan ww_scan_exact(enum ww_index index, struct ww_bytes text)
{
    return (struct ww_scan){.index = index, .lo = {WW_BOUND_INCL, text}, .hi = {WW_BOUND_INCL, text}};
}

struct ww_scan ww_scan_prefix(enum ww_index index, struct ww_bytes text)
{
    return (struct ww_scan){.index = index, .lo = {WW_BOUND_INCL, text}, .hi = {WW_BOUND_PREFIX, text}};
}

struct ww_scan ww_scan_all(enum ww_index index)
{
    return (struct ww_scan){.index = index};
}

static bool over_atoms(const struct ww_scan *scan)
{
    return scan->index >= WW_INDEX_HOST;
}

static bool scan_exact(const struct ww_scan *scan)
{
    return scan->lo.kind == WW_BOUND_INCL && scan->hi.kind == WW_BOUND_INCL &&
        ww_bytes_eq(scan->lo.text, scan->hi.text);
}

/* The one entry of an exact scan by way of the hashes, which describe the present: 0 when they cannot tell,
 * because the entry is gone or younger than the snapshot, or because the key is not unique. */
static uint32_t scan_hashed(const struct ww_snapshot *snap, const struct ww_scan *scan)
{
    const struct ww_routing *t = snap->table;
    if (!scan_exact(scan) || scan->index == WW_INDEX_SERVER)
        return 0;
    if (over_atoms(scan)) {
        uint32_t atom = atom_find(t, scan->index == WW_INDEX_HOST ? ATOM_HOST : ATOM_META, scan->lo.text);
        return atom && atom_at(t, atom)->born <= snap->epoch ? atom : 0;
    }
    uint8_t peer[WW_ROUTING_PEER_MAX];
    ww_err len = ww_base58_decode(scan->lo.text, peer, sizeof peer);
    if (len <= 0)
        return 0;
    uint32_t slot = peers_find(t, ww_bytes(peer, (size_t)len), peer_hash(t, ww_bytes(peer, (size_t)len)));
    return slot && cell_at(t, slot)->body->born <= snap->epoch ? slot : 0;
}

/* Sets `at` before the first entry within the lower bound, or (`upper`) behind the last one within the upper.
 */
static void scan_seek(
    struct ww_otree_iter *at, struct ww_snapshot *snap, const struct ww_scan *scan, bool upper)
{
    const struct ww_bound *bound = upper ? &scan->hi : &scan->lo;
    const struct ww_otree *tree = &snap->trees[scan->index];
    struct probe p;
    if (bound->kind == WW_BOUND_NONE) {
        (upper ? ww_otree_last : ww_otree_first)(at, tree);
        return;
    }
    probe_bound(&p, snap->table, scan->index, bound, upper);
    ww_otree_seek(at, tree, &p.base);
}

void ww_scan_init(struct ww_scan_iter *it, struct ww_snapshot *snap, const struct ww_scan *scan)
{
    it->snap = ww_snapshot_ref(snap);
    it->scan = *scan;
    it->single_key = scan->index != WW_INDEX_META || scan_exact(scan);
    it->prefetch = snap->count >= PREFETCH_FROM;
    it->atom = 0;
    it->done = false;
    it->stop = 0;
    uint32_t only = scan_hashed(snap, scan);
    if (only) {
        struct ww_otree one = {.count = 1, .single = only};
        (scan->reverse ? ww_otree_last : ww_otree_first)(&it->outer, &one);
        return;
    }
    struct ww_otree_iter end;
    scan_seek(&it->outer, snap, scan, scan->reverse);
    scan_seek(&end, snap, scan, !scan->reverse);
    if (!(scan->reverse ? ww_otree_prev(&end, &it->stop) : ww_otree_next(&end, &it->stop)))
        it->stop = 0;
    /* Bounds that cross: the stop lies before the start. */
    if (scan->lo.kind != WW_BOUND_NONE && scan->hi.kind != WW_BOUND_NONE && scan->hi.kind != WW_BOUND_PREFIX)
        it->done = ww_bytes_cmp(scan->lo.text, scan->hi.text) > 0 ||
            (ww_bytes_eq(scan->lo.text, scan->hi.text) &&
                (scan->lo.kind == WW_BOUND_EXCL || scan->hi.kind == WW_BOUND_EXCL));
    else if (scan->lo.kind != WW_BOUND_NONE && scan->hi.kind == WW_BOUND_PREFIX)
        it->done = ww_bytes_cmp(scan->lo.text, scan->hi.text) > 0 &&
            !ww_bytes_has_prefix(scan->lo.text, scan->hi.text);
}

void ww_scan_fini(struct ww_scan_iter *it)
{
    ww_snapshot_unref(it->snap);
    it->snap = NULL;
}

static bool scan_outer(struct ww_scan_iter *it, uint32_t *ret_ref)
{
    if (it->done)
        return false;
    bool any = it->scan.reverse ? ww_otree_prev(&it->outer, ret_ref) : ww_otree_next(&it->outer, ret_ref);
    if (any && *ret_ref != it->stop)
        return true;
    it->done = true;
    return false;
}

/* Records lie scattered: a scan asks for those that come next while it looks at this one, in the order in
 * which one leads to the other. */
static void scan_prefetch(const struct ww_routing *t, const struct ww_otree_iter *at, bool back)
{
    uint32_t slot = ww_otree_peek(at, 12, back);
    if (slot)
        __builtin_prefetch(cell_at(t, slot));
    slot = ww_otree_peek(at, 8, back);
    if (slot) {
        const struct body *b = cell_at(t, slot)->body;
        __builtin_prefetch(b);
        __builtin_prefetch((const char *)b + 64);
    }
    slot = ww_otree_peek(at, 4, back);
    if (slot) {
        const struct atom *host = cell_at(t, slot)->body->host;
        __builtin_prefetch(host);
        __builtin_prefetch((const char *)host + 64);
    }
}

/* Whether the scan met the record before, under another of its strings. */
static bool met_before(const struct ww_scan_iter *it, uint32_t slot)
{
    const struct ww_routing *t = it->snap->table;
    const struct body *b = cell_at(t, slot)->body;
    if (b->meta_count < 2)
        return false;
    struct ww_bytes here = atom_text(atom_at(t, it->atom));
    for (size_t i = 0; i < b->meta_count; i++) {
        if (b->meta[i] == it->atom)
            continue;
        struct ww_bytes other = atom_text(atom_at(t, b->meta[i]));
        int c = ww_bytes_cmp(other, here);
        if ((it->scan.reverse ? c > 0 : c < 0) && bounds_hold(&it->scan.lo, &it->scan.hi, other))
            return true;
    }
    return false;
}

/* The next slot of an index over strings. */
static bool scan_atoms(struct ww_scan_iter *it, uint32_t *ret_slot)
{
    for (;;) {
        while (it->atom &&
            (it->scan.reverse ? ww_otree_prev(&it->inner, ret_slot) : ww_otree_next(&it->inner, ret_slot))) {
            if (it->single_key || !met_before(it, *ret_slot))
                return true;
        }
        if (!scan_outer(it, &it->atom)) {
            it->atom = 0;
            return false;
        }
        struct ww_otree posting = posting_at(it->snap->table, it->atom, it->snap->epoch);
        (it->scan.reverse ? ww_otree_last : ww_otree_first)(&it->inner, &posting);
    }
}

bool ww_scan_next(struct ww_scan_iter *it, struct ww_record *ret_record)
{
    uint32_t slot;
    if (!(over_atoms(&it->scan) ? scan_atoms(it, &slot) : scan_outer(it, &slot)))
        return false;
    if (it->prefetch)
        scan_prefetch(it->snap->table, over_atoms(&it->scan) ? &it->inner : &it->outer, it->scan.reverse);
    ww_snapshot_record(it->snap, slot, ret_record);
    return true;
}

/* Strings whose postings are counted one by one. */
#define ESTIMATE_ATOMS 32

size_t ww_scan_estimate(struct ww_snapshot *snap, const struct ww_scan *scan)
{
    const struct ww_otree *tree = &snap->trees[scan->index];
    if (scan->lo.kind == WW_BOUND_NONE && scan->hi.kind == WW_BOUND_NONE)
        return snap->count;
    if (!over_atoms(scan)) {
        struct probe lo, hi;
        probe_bound(&lo, snap->table, scan->index, &scan->lo, false);
        probe_bound(&hi, snap->table, scan->index, &scan->hi, true);
        return ww_otree_estimate(tree, scan->lo.kind == WW_BOUND_NONE ? NULL : &lo.base,
            scan->hi.kind == WW_BOUND_NONE ? NULL : &hi.base);
    }
    struct ww_scan_iter it;
    struct ww_scan forward = *scan;
    forward.reverse = false;
    ww_scan_init(&it, snap, &forward);
    size_t total = 0, seen = 0;
    uint32_t atom;
    while (seen < ESTIMATE_ATOMS && scan_outer(&it, &atom)) {
        total += posting_at(snap->table, atom, snap->epoch).count;
        seen++;
    }
    if (seen == ESTIMATE_ATOMS) { /* assume that the other strings are like these */
        struct probe lo, hi;
        probe_bound(&lo, snap->table, scan->index, &scan->lo, false);
        probe_bound(&hi, snap->table, scan->index, &scan->hi, true);
        size_t strings = ww_otree_estimate(tree, scan->lo.kind == WW_BOUND_NONE ? NULL : &lo.base,
            scan->hi.kind == WW_BOUND_NONE ? NULL : &hi.base);
        if (strings > seen)
            total = (size_t)((double)total / (double)seen * (double)strings);
    }
    ww_scan_fini(&it);
    return total < snap->count ? total : snap->count;
}
