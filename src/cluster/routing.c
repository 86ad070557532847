#include "cluster/routing_int.h"

/* ---- life ---- */

static uint32_t or_default(uint32_t value, uint32_t deflt)
{
    return value ? value : deflt;
}

static uint32_t power_of_two(uint32_t v)
{
    uint32_t p = 16;
    while (p < v && p < UINT32_C(1) << 24)
        p *= 2;
    return p;
}

ww_err ww_routing_new(const struct ww_routing_conf *conf, struct ww_routing **ret_table)
{
    struct ww_routing *t = WW_NEW(struct ww_routing);
    if (!t)
        return WW_ENOMEM;
    t->conf = *conf;
    t->conf.max_records = or_default(conf->max_records, 1u << 20);
    t->conf.ttl_max_ms = or_default(conf->ttl_max_ms, 3600 * 1000);
    t->conf.remember_ms = or_default(conf->remember_ms, 600 * 1000);
    t->conf.remember_max = power_of_two(or_default(conf->remember_max, 4096));
    t->bytes = sizeof *t;
    t->epoch = 1;
    ww_opool_init(&t->pool);
    ww_list_init(&t->snaps);
    ww_list_init(&t->observers);
    *ret_table = t;
    return 0;
}

static uint64_t record_charge(const struct body *b, const struct ww_routing *t)
{
    /* What a record takes: cell, body, about 32 bytes an index entry; and the strings, as if they were not
     * shared. */
    uint64_t bytes = sizeof(struct cell) + sizeof *b + b->peer_len + (3u + b->meta_count) * 32u;
    if (b->host)
        bytes += sizeof(struct atom) + b->host->len;
    for (size_t i = 0; i < b->meta_count; i++)
        bytes += sizeof(struct atom) + atom_at(t, b->meta[i])->len;
    return bytes;
}

static void uncharge(struct ww_routing *t, const struct body *b)
{
    if (!t->conf.budget)
        return;
    ww_budget_release(t->conf.budget, WW_RES_ITEMS, 1);
    ww_budget_release(t->conf.budget, WW_RES_BYTES, record_charge(b, t));
}

static ww_err charge(struct ww_routing *t, const struct body *b)
{
    if (!t->conf.budget)
        return 0;
    WW_TRY(ww_budget_charge(t->conf.budget, WW_RES_ITEMS, 1));
    ww_err err = ww_budget_charge(t->conf.budget, WW_RES_BYTES, record_charge(b, t));
    if (err < 0)
        ww_budget_release(t->conf.budget, WW_RES_ITEMS, 1);
    return err;
}

void routing_destroy(struct ww_routing *t)
{
    for (uint32_t i = 0; i < t->peers.capacity; i++) {
        uint32_t slot = (uint32_t)t->peers.slots[i];
        if (!slot)
            continue;
        struct body *b = cell_at(t, slot)->body;
        versions_free(t, &cell_at(t, slot)->older);
        for (size_t m = 0; m <= b->meta_count; m++) {
            struct atom *a = m < b->meta_count ? atom_at(t, b->meta[m]) : b->host;
            if (a)
                ww_otree_drop(&t->pool, &a->posting);
        }
        body_free(t, b);
    }
    for (size_t i = 0; i < TREE_COUNT; i++)
        ww_otree_drop(&t->pool, &t->trees[i]);
    ww_opool_fini(&t->pool);
    store_fini(t);
    ww_free(t);
}

void ww_routing_free(struct ww_routing *t)
{
    if (!t)
        return;
    WW_ASSERT(ww_list_empty(&t->observers));
    for (uint32_t i = 0; t->conf.budget && i < t->peers.capacity; i++) {
        if (t->peers.slots[i])
            uncharge(t, cell_at(t, (uint32_t)t->peers.slots[i])->body);
    }
    t->conf.budget = NULL; /* it may be gone before the last snapshot */
    if (ww_list_empty(&t->snaps))
        routing_destroy(t);
    else
        t->orphan = true;
}

size_t ww_routing_count(const struct ww_routing *t)
{
    return t->peers.count;
}

size_t ww_routing_bytes(const struct ww_routing *t)
{
    return t->bytes + t->pool.bytes;
}

uint64_t ww_routing_deadline(const struct ww_routing *t)
{
    return wheel_deadline(t);
}

ww_err ww_routing_get(const struct ww_routing *t, struct ww_bytes peer, struct ww_record *ret_record)
{
    uint32_t slot = peers_find(t, peer, peer_hash(t, peer));
    if (!slot)
        return WW_ENOTFOUND;
    record_fill(t, slot, ret_record);
    return 0;
}

/* ---- observers ---- */

void ww_routing_observe(struct ww_routing *t, struct ww_routing_observer *obs)
{
    ww_list_init(&obs->link);
    ww_list_push_back(&t->observers, &obs->link);
}

void ww_routing_unobserve(struct ww_routing_observer *obs)
{
    ww_list_remove(&obs->link);
}

static void notify(
    struct ww_routing *t, const struct ww_record *before, const struct ww_record *after, bool renewed)
{
    WW_LIST_FOR_SAFE(at, &t->observers)
    {
        struct ww_routing_observer *obs = WW_LIST_ENTRY(at, struct ww_routing_observer, link);
        obs->changed(obs, before, after, renewed);
    }
}

static void trace_joined(struct ww_routing *t, const struct ww_record *r)
{
    if (!t->conf.trace)
        return;
    char text[ID_TEXT_MAX];
    WW_TRACE(t->conf.trace, CLUSTER_JOIN, ww_tv_text(id_text(r->peer, text)), ww_tv_u64(r->server),
        ww_tv_text(r->host));
}

static void trace_left(struct ww_routing *t, const struct ww_record *r, const char *reason)
{
    if (!t->conf.trace)
        return;
    char text[ID_TEXT_MAX];
    WW_TRACE(t->conf.trace, CLUSTER_LEAVE, ww_tv_text(id_text(r->peer, text)), ww_tv_u64(r->server),
        ww_tv_str(reason));
}

/* ---- indexes ---- */

/* The same string twice in one record is indexed once. */
static bool first_of_its_kind(const struct body *b, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (b->meta[j] == b->meta[i])
            return false;
    }
    return true;
}

struct index_cost {
    size_t full, changes; /* nodes of full size; insertions and removals */
};

static void index_cost_add(const struct ww_routing *t, const struct body *b, struct index_cost *cost)
{
    cost->full += ww_otree_cost(&t->trees[TREE_ID]) + ww_otree_cost(&t->trees[TREE_SERVER]);
    cost->changes += 2;
    for (size_t m = 0; m <= b->meta_count; m++) {
        const struct atom *a = m < b->meta_count ? atom_at(t, b->meta[m]) : b->host;
        if (!a)
            continue;
        cost->full += ww_otree_cost(&t->trees[m < b->meta_count ? TREE_META : TREE_HOST]);
        cost->full += ww_otree_cost(&a->posting);
        cost->changes += 2;
    }
}

/* Afterwards the removal of `old` and the insertion of `new` cannot fail. Either may be NULL. */
static ww_err index_reserve(struct ww_routing *t, const struct body *old, const struct body *new)
{
    struct index_cost cost = {0, 0};
    if (old)
        index_cost_add(t, old, &cost);
    if (new)
        index_cost_add(t, new, &cost);
    if (shared_epoch(t))
        WW_TRY(versions_reserve(t, (uint32_t)cost.changes));
    return ww_opool_reserve(&t->pool, cost.full, cost.changes);
}

/* Before the posting changes: snapshots keep seeing it as it is. */
static void posting_own(struct ww_routing *t, struct atom *a)
{
    if (a->epoch > shared_epoch(t)) {
        a->epoch = t->epoch;
        return;
    }
    versions_prune(t, &a->older, a->epoch);
    struct version *v = version_take(t);
    *v = (struct version){.older = a->older, .epoch = a->epoch};
    v->posting = a->posting;
    a->older = v;
    a->epoch = t->epoch;
}

static void posting_insert(struct ww_routing *t, unsigned tree, uint32_t atom, uint32_t slot)
{
    struct atom *a = atom_at(t, atom);
    struct probe p;
    if (a->posting.count == 0) {
        probe_atom(&p, t, atom);
        ww_otree_insert(&t->pool, &t->trees[tree], &p.base, atom);
    }
    posting_own(t, a);
    probe_slot(&p, t, WW_INDEX_ID, slot);
    ww_otree_insert(&t->pool, &a->posting, &p.base, slot);
}

static void posting_remove(struct ww_routing *t, unsigned tree, uint32_t atom, uint32_t slot)
{
    struct atom *a = atom_at(t, atom);
    struct probe p;
    posting_own(t, a);
    probe_slot(&p, t, WW_INDEX_ID, slot);
    ww_otree_remove(&t->pool, &a->posting, &p.base);
    if (a->posting.count == 0) {
        probe_atom(&p, t, atom);
        ww_otree_remove(&t->pool, &t->trees[tree], &p.base);
    }
}

static void index_insert(struct ww_routing *t, uint32_t slot)
{
    const struct body *b = cell_at(t, slot)->body;
    struct probe p;
    probe_slot(&p, t, WW_INDEX_ID, slot);
    ww_otree_insert(&t->pool, &t->trees[TREE_ID], &p.base, slot);
    probe_slot(&p, t, WW_INDEX_SERVER, slot);
    ww_otree_insert(&t->pool, &t->trees[TREE_SERVER], &p.base, slot);
    if (b->host)
        posting_insert(t, TREE_HOST, b->host->number, slot);
    for (size_t i = 0; i < b->meta_count; i++) {
        if (first_of_its_kind(b, i))
            posting_insert(t, TREE_META, b->meta[i], slot);
    }
    t->dirty = true;
}

static void index_remove(struct ww_routing *t, uint32_t slot)
{
    const struct body *b = cell_at(t, slot)->body;
    struct probe p;
    probe_slot(&p, t, WW_INDEX_ID, slot);
    ww_otree_remove(&t->pool, &t->trees[TREE_ID], &p.base);
    probe_slot(&p, t, WW_INDEX_SERVER, slot);
    ww_otree_remove(&t->pool, &t->trees[TREE_SERVER], &p.base);
    if (b->host)
        posting_remove(t, TREE_HOST, b->host->number, slot);
    for (size_t i = 0; i < b->meta_count; i++) {
        if (first_of_its_kind(b, i))
            posting_remove(t, TREE_META, b->meta[i], slot);
    }
    peers_remove(t, slot);
    wheel_remove(t, slot);
    t->dirty = true;
}

/* ---- upsert ---- */

static ww_err input_check(const struct ww_record_in *in)
{
    if (in->peer.len == 0 || in->peer.len > WW_ROUTING_PEER_MAX || in->host.len > WW_ROUTING_HOST_MAX ||
        in->meta_count > WW_ROUTING_META_MAX)
        return WW_EINVAL;
    size_t total = 0;
    for (size_t i = 0; i < in->meta_count; i++) {
        if (in->meta[i].len > WW_ROUTING_META_BYTES_MAX - total)
            return WW_EINVAL;
        total += in->meta[i].len;
    }
    return 0;
}

static bool same_content(const struct ww_routing *t, const struct body *b, const struct ww_record_in *in)
{
    if (b->server != in->server || b->meta_count != in->meta_count ||
        (b->host == NULL) != (in->host.len == 0))
        return false;
    if (b->host && !ww_bytes_eq(atom_text(b->host), in->host))
        return false;
    for (size_t i = 0; i < in->meta_count; i++) {
        if (!ww_bytes_eq(atom_text(atom_at(t, b->meta[i])), in->meta[i]))
            return false;
    }
    return true;
}

static uint32_t ttl_clamp(const struct ww_routing *t, uint32_t ttl_ms)
{
    ttl_ms = or_default(ttl_ms, WW_ROUTING_TTL_DEFAULT_MS);
    return ttl_ms < t->conf.ttl_max_ms ? ttl_ms : t->conf.ttl_max_ms;
}

static void cell_set(struct ww_routing *t, struct cell *c, uint64_t now_ns, const struct ww_record_in *in)
{
    c->seq = in->seq;
    c->ttl_ms = ttl_clamp(t, in->ttl_ms);
    uint32_t grace_ms = c->ttl_ms / WW_ROUTING_GRACE_PART;
    grace_ms = grace_ms < t->conf.grace_ms ? grace_ms : t->conf.grace_ms;
    c->deadline_ns = now_ns + ((uint64_t)c->ttl_ms + grace_ms) * WW_NS_PER_MS;
    c->epoch = t->epoch;
}

static ww_err renew(struct ww_routing *t, uint64_t now_ns, uint32_t slot, const struct ww_record_in *in)
{
    struct cell *c = cell_at(t, slot);
    struct ww_record before, after;
    bool watched = !ww_list_empty(&t->observers);
    if (watched)
        record_fill(t, slot, &before);
    if (c->epoch <= shared_epoch(t)) {
        WW_TRY(versions_reserve(t, 1));
        versions_prune(t, &c->older, c->epoch);
        struct version *v = version_take(t);
        *v = (struct version){.older = c->older, .epoch = c->epoch};
        v->seq = c->seq;
        v->deadline_ns = c->deadline_ns;
        v->ttl_ms = c->ttl_ms;
        c->older = v;
    } else if (WW_UNLIKELY(c->older)) {
        versions_prune(t, &c->older, c->epoch);
    }
    uint64_t old_deadline_ns = c->deadline_ns;
    cell_set(t, c, now_ns, in);
    wheel_update(t, slot, old_deadline_ns);
    t->dirty = true;
    if (watched) {
        record_fill(t, slot, &after);
        notify(t, &before, &after, true);
    }
    return WW_UPSERT_RENEWED;
}

/* A cell with a body, in no index yet, with everything that may fail done. */
static ww_err prepare(struct ww_routing *t, uint64_t now_ns, const struct ww_record_in *in,
    const struct body *old, uint32_t *ret_slot)
{
    uint32_t slot = cell_new(t);
    if (!slot)
        return WW_ENOMEM;
    struct cell *c = cell_at(t, slot);
    c->body = body_new(t, in);
    if (!c->body) {
        cell_free(t, slot);
        return WW_ENOMEM;
    }
    ww_err err = peers_reserve(t);
    if (err == 0)
        err = index_reserve(t, old, c->body);
    if (err == 0)
        err = charge(t, c->body);
    if (err < 0) {
        body_free(t, c->body);
        cell_free(t, slot);
        return err;
    }
    cell_set(t, c, now_ns, in);
    *ret_slot = slot;
    return 0;
}

static void index_done(struct ww_routing *t)
{
    retired_collect(t);
    ww_opool_trim(&t->pool);
}

static void put(struct ww_routing *t, uint32_t slot, uint64_t hash)
{
    peers_insert(t, slot, hash);
    index_insert(t, slot);
    wheel_insert(t, slot);
}

static ww_err change(
    struct ww_routing *t, uint64_t now_ns, uint32_t old, uint64_t hash, const struct ww_record_in *in)
{
    uint32_t slot;
    struct ww_record before, after;
    WW_TRY(prepare(t, now_ns, in, cell_at(t, old)->body, &slot));
    record_fill(t, old, &before);
    index_remove(t, old);
    put(t, slot, hash);
    index_done(t);
    record_fill(t, slot, &after);
    notify(t, &before, &after, false);
    uncharge(t, cell_at(t, old)->body);
    cell_retire(t, old);
    return WW_UPSERT_CHANGED;
}

static ww_err join(struct ww_routing *t, uint64_t now_ns, uint64_t hash, const struct ww_record_in *in)
{
    uint32_t slot;
    bool back;
    WW_TRY(departed_admit(t, hash, now_ns, in->server, in->seq, &back));
    if (t->peers.count >= t->conf.max_records)
        return WW_ELIMIT;
    WW_TRY(prepare(t, now_ns, in, NULL, &slot));
    if (back)
        departed_mark_back(t, hash, now_ns);
    put(t, slot, hash);
    index_done(t);
    struct ww_record after;
    record_fill(t, slot, &after);
    trace_joined(t, &after);
    notify(t, NULL, &after, false);
    return WW_UPSERT_JOINED;
}

ww_err ww_routing_upsert(struct ww_routing *t, uint64_t now_ns, const struct ww_record_in *in)
{
    WW_TRY(input_check(in));
    uint64_t hash = peer_hash(t, in->peer);
    uint32_t slot = peers_find(t, in->peer, hash);
    if (!slot)
        return join(t, now_ns, hash, in);
    const struct cell *c = cell_at(t, slot);
    if (in->seq <= c->seq)
        return WW_ESTALE;
    return same_content(t, c->body, in) ? renew(t, now_ns, slot, in) : change(t, now_ns, slot, hash, in);
}

/* ---- departure ---- */

static ww_err drop(struct ww_routing *t, uint64_t now_ns, uint32_t slot, uint64_t hash, const char *reason)
{
    struct ww_record before;
    struct cell *c = cell_at(t, slot);
    WW_TRY(index_reserve(t, c->body, NULL));
    departed_remember(t, hash, now_ns, c->body->server, c->seq);
    record_fill(t, slot, &before);
    index_remove(t, slot);
    index_done(t);
    trace_left(t, &before, reason);
    notify(t, &before, NULL, false);
    uncharge(t, c->body);
    cell_retire(t, slot);
    return 0;
}

ww_err ww_routing_leave(
    struct ww_routing *t, uint64_t now_ns, struct ww_bytes peer, uint64_t server, uint64_t seq)
{
    if (peer.len == 0 || peer.len > WW_ROUTING_PEER_MAX)
        return WW_EINVAL;
    uint64_t hash = peer_hash(t, peer);
    uint32_t slot = peers_find(t, peer, hash);
    bool back;
    if (!slot) {
        WW_TRY(departed_admit(t, hash, now_ns, server, seq, &back));
        departed_remember(t, hash, now_ns, server, seq);
        return WW_ENOTFOUND;
    }
    if (seq <= cell_at(t, slot)->seq)
        return WW_ESTALE;
    WW_TRY(drop(t, now_ns, slot, hash, "farewell"));
    departed_remember(t, hash, now_ns, server, seq);
    return 0;
}

size_t ww_routing_advance(struct ww_routing *t, uint64_t now_ns, size_t max)
{
    size_t gone = 0;
    while (max == 0 || gone < max) {
        uint32_t slot = wheel_expired(t, now_ns);
        if (!slot)
            break;
        uint64_t hash = peer_hash(t, body_peer(cell_at(t, slot)->body));
        if (drop(t, now_ns, slot, hash, "expired") < 0) {
            wheel_insert(t, slot); /* a later call tries again */
            break;
        }
        gone++;
    }
    return gone;
}

/* ---- self-check, for tests ---- */

static bool before_by_slot(void *ctx, uint32_t a, uint32_t b)
{
    const struct ww_routing *t = ctx;
    return id_cmp(cell_at(t, a)->body, cell_at(t, b)->body) < 0;
}

static bool before_by_server(void *ctx, uint32_t a, uint32_t b)
{
    const struct ww_routing *t = ctx;
    const struct body *body_a = cell_at(t, a)->body, *body_b = cell_at(t, b)->body;
    return body_a->server < body_b->server ||
        (body_a->server == body_b->server && id_cmp(body_a, body_b) < 0);
}

static bool before_by_atom(void *ctx, uint32_t a, uint32_t b)
{
    const struct ww_routing *t = ctx;
    return ww_bytes_cmp(atom_text(atom_at(t, a)), atom_text(atom_at(t, b))) < 0;
}

bool ww_routing_check(struct ww_routing *t)
{
    bool ok = t->trees[TREE_ID].count == t->peers.count && t->trees[TREE_SERVER].count == t->peers.count &&
        ww_otree_check(&t->trees[TREE_ID], before_by_slot, t) &&
        ww_otree_check(&t->trees[TREE_SERVER], before_by_server, t) &&
        ww_otree_check(&t->trees[TREE_HOST], before_by_atom, t) &&
        ww_otree_check(&t->trees[TREE_META], before_by_atom, t);
    for (uint32_t i = 0; ok && i < t->interned.capacity; i++) {
        if (t->interned.slots[i])
            ok = ww_otree_check(&atom_at(t, t->interned.slots[i])->posting, before_by_slot, t);
    }
    return ok;
}
