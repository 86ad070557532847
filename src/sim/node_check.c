#include "sim/node_check.h"

#include <stdlib.h>

#include "base/map.h"
#include "p2p/multibase.h"

#define ID_TEXT_MAX 96

/* One line of an index: a record without a host has none in the host index, one with three strings of
 * metadata three in `meta`. */
struct entry {
    struct ww_bytes key;
    const struct row *row;
};

struct row {
    struct ww_record record;
    struct ww_bytes id;
    char id_text[ID_TEXT_MAX], server_text[16];
    bool seen;
};

struct oracle {
    struct ww_snapshot *snap;
    struct row *rows;
    size_t row_count;
    struct entry *entries; /* of one index at a time, sorted */
    size_t entry_count, entry_max;
};

static const char *const index_names[] = {"id", "server", "host", "meta"};

/* ---- the oracle ---- */

static void row_fill(struct row *row, const struct ww_record *record)
{
    row->record = *record;
    ww_err len = ww_base58_encode(record->peer, row->id_text, sizeof row->id_text);
    row->id = ww_bytes(row->id_text, len > 0 ? (size_t)len : 0);
    for (unsigned i = 0; i < 16; i++)
        row->server_text[i] = "0123456789abcdef"[record->server >> (60 - 4 * i) & 15];
}

static void oracle_fini(struct oracle *o)
{
    ww_snapshot_unref(o->snap);
    ww_free(o->rows);
    ww_free(o->entries);
}

/* Collects by the id index; that it has all and nothing else is checked by the writer's own hash. */
static ww_err oracle_init(struct oracle *o, struct ww_routing *table, struct ww_diag *diag)
{
    size_t count = ww_routing_count(table);
    struct ww_scan all = ww_scan_all(WW_INDEX_ID);
    struct ww_scan_iter it;
    struct ww_record record, by_hash;
    ww_err err = WW_OK;
    *o = (struct oracle){.snap = ww_routing_snapshot(table), .rows = ww_calloc(count + 1, sizeof *o->rows)};
    if (!o->snap || !o->rows)
        return WW_ENOMEM;
    ww_scan_init(&it, o->snap, &all);
    while (!err && ww_scan_next(&it, &record)) {
        if (o->row_count == count || ww_routing_get(table, record.peer, &by_hash) < 0 ||
            by_hash.seq != record.seq)
            err = ww_diag_set(diag, WW_EFAILED, "the id index has a record that the table does not have");
        else
            row_fill(&o->rows[o->row_count++], &record);
    }
    ww_scan_fini(&it);
    if (!err && o->row_count != count)
        err = ww_diag_set(diag, WW_EFAILED, "the id index has %zu records of %zu", o->row_count, count);
    for (size_t i = 0; i < o->row_count; i++)
        o->entry_max += 1 + o->rows[i].record.meta_count;
    o->entries = ww_calloc(o->entry_max + 1, sizeof *o->entries);
    return err ? err : o->entries ? WW_OK : WW_ENOMEM;
}

static int entry_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = ww_bytes_cmp(x->key, y->key);
    return order ? order : ww_bytes_cmp(x->row->id, y->row->id);
}

static void oracle_sort(struct oracle *o, enum ww_index index)
{
    o->entry_count = 0;
    for (size_t i = 0; i < o->row_count; i++) {
        const struct row *row = &o->rows[i];
        if (index == WW_INDEX_ID)
            o->entries[o->entry_count++] = (struct entry){row->id, row};
        else if (index == WW_INDEX_SERVER)
            o->entries[o->entry_count++] = (struct entry){ww_bytes(row->server_text, 16), row};
        else if (index == WW_INDEX_HOST && row->record.host.len > 0)
            o->entries[o->entry_count++] = (struct entry){row->record.host, row};
        for (size_t k = 0; index == WW_INDEX_META && k < row->record.meta_count; k++)
            o->entries[o->entry_count++] = (struct entry){ww_record_meta(&row->record, k), row};
    }
    qsort(o->entries, o->entry_count, sizeof *o->entries, entry_cmp);
}

/* ---- comparing ---- */

static bool within(const struct ww_scan *scan, struct ww_bytes key)
{
    return scan->lo.kind == WW_BOUND_NONE ||
        (scan->hi.kind == WW_BOUND_PREFIX && ww_bytes_has_prefix(key, scan->lo.text)) ||
        (scan->hi.kind == WW_BOUND_INCL && ww_bytes_eq(key, scan->lo.text));
}

static const struct row *expected_next(struct oracle *o, const struct ww_scan *scan, size_t *at)
{
    while (*at < o->entry_count) {
        const struct entry *e = &o->entries[scan->reverse ? o->entry_count - 1 - *at : *at];
        struct row *row = &o->rows[e->row - o->rows];
        ++*at;
        if (!row->seen && within(scan, e->key)) {
            row->seen = true;
            return row;
        }
    }
    return NULL;
}

static ww_err compare(struct oracle *o, const struct ww_scan *scan, struct ww_diag *diag)
{
    struct ww_scan_iter it;
    struct ww_record record;
    size_t at = 0, place = 0;
    ww_err err = WW_OK;
    for (size_t i = 0; i < o->row_count; i++)
        o->rows[i].seen = false;
    ww_scan_init(&it, o->snap, scan);
    for (bool more = true; !err && more; place++) {
        const struct row *row = expected_next(o, scan, &at);
        more = ww_scan_next(&it, &record);
        if (more != (row != NULL) || (more && !ww_bytes_eq(record.peer, row->record.peer)))
            err =
                ww_diag_set(diag, WW_EFAILED, "index %s, %s, '%.*s': place %zu is not what a sort gives (%s)",
                    index_names[scan->index], scan->reverse ? "backward" : "forward", (int)scan->lo.text.len,
                    (const char *)scan->lo.text.ptr, place,
                    !row       ? "too many"
                        : more ? "another"
                               : "missing");
    }
    ww_scan_fini(&it);
    return err;
}

static ww_err check_index(struct oracle *o, enum ww_index index, struct ww_diag *diag)
{
    oracle_sort(o, index);
    struct ww_scan scan = ww_scan_all(index);
    WW_TRY(compare(o, &scan, diag));
    scan.reverse = true;
    WW_TRY(compare(o, &scan, diag));
    for (size_t i = 0; i < o->entry_count; i++) {
        struct ww_bytes key = o->entries[i].key;
        if (i > 0 && ww_bytes_eq(key, o->entries[i - 1].key))
            continue;
        scan = ww_scan_exact(index, key);
        WW_TRY(compare(o, &scan, diag));
        scan = ww_scan_prefix(index, ww_bytes(key.ptr, key.len / 2));
        scan.reverse = i % 2;
        WW_TRY(compare(o, &scan, diag));
    }
    return WW_OK;
}

ww_err ww_node_check_indexes(struct ww_routing *table, struct ww_diag *diag)
{
    struct oracle o;
    ww_err err = oracle_init(&o, table, diag);
    for (enum ww_index index = WW_INDEX_ID; !err && index <= WW_INDEX_META; index++)
        err = check_index(&o, index, diag);
    oracle_fini(&o);
    if (!err && !ww_routing_check(table))
        err = ww_diag_set(diag, WW_EFAILED, "the trees do not hold together");
    return err;
}

ww_err ww_node_check_deadlines(
    struct ww_routing *table, uint64_t now_ns, uint64_t late_ns, struct ww_diag *diag)
{
    struct ww_snapshot *snap = ww_routing_snapshot(table);
    struct ww_scan all = ww_scan_all(WW_INDEX_ID);
    struct ww_scan_iter it;
    struct ww_record r;
    ww_err err = WW_OK;
    if (!snap)
        return WW_ENOMEM;
    ww_scan_init(&it, snap, &all);
    while (!err && ww_scan_next(&it, &r)) {
        if (now_ns > r.deadline_ns && now_ns - r.deadline_ns > late_ns)
            err = ww_diag_set(diag, WW_ESTALE, "%.*s is listed %llu us past its time", (int)r.host.len,
                (const char *)r.host.ptr, (unsigned long long)((now_ns - r.deadline_ns) / 1000));
        else if (r.deadline_ns > now_ns + (r.ttl_ms + r.ttl_ms / WW_ROUTING_GRACE_PART) * WW_NS_PER_MS)
            err = ww_diag_set(diag, WW_EFAILED, "%.*s is listed for longer than its time to live",
                (int)r.host.len, (const char *)r.host.ptr);
    }
    ww_scan_fini(&it);
    ww_snapshot_unref(snap);
    return err;
}

uint64_t ww_node_snapshot_digest(struct ww_snapshot *snap)
{
    struct ww_scan all = ww_scan_all(WW_INDEX_ID);
    struct ww_scan_iter it;
    struct ww_record r;
    uint64_t sum[2] = {ww_snapshot_count(snap), 0};
    ww_scan_init(&it, snap, &all);
    while (ww_scan_next(&it, &r)) {
        const uint64_t numbers[] = {r.server, r.seq, r.deadline_ns, r.ttl_ms};
        sum[0] = ww_siphash13(sum, r.peer);
        sum[0] = ww_siphash13(sum, r.host);
        sum[0] = ww_siphash13(sum, ww_bytes(numbers, sizeof numbers));
        for (uint32_t i = 0; i < r.meta_count; i++)
            sum[0] = ww_siphash13(sum, ww_record_meta(&r, i));
    }
    ww_scan_fini(&it);
    return sum[0];
}
