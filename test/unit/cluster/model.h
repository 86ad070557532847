/* A routing table written the obvious way, to compare the real one with. */
#ifndef WW_TEST_CLUSTER_MODEL_H
#define WW_TEST_CLUSTER_MODEL_H

#include "test/lib/test.h"

#include "base/prng.h"
#include "cluster/routing.h"
#include "p2p/multibase.h"

#define MODEL_MAX 512
#define MODEL_META 4

struct model_record {
    uint8_t peer[38];
    size_t peer_len;
    char id[64]; /* base58 */
    char server_hex[17];
    uint64_t server, seq, deadline_ns;
    uint32_t ttl_ms;
    char host[32];
    char meta[MODEL_META][32];
    size_t meta_count;
};

struct model {
    struct model_record records[MODEL_MAX]; /* sorted by id */
    size_t count;
};

static inline struct ww_record_in model_in(const struct model_record *r, struct ww_bytes meta[MODEL_META])
{
    for (size_t i = 0; i < r->meta_count; i++)
        meta[i] = ww_bytes_str(r->meta[i]);
    return (struct ww_record_in){.peer = ww_bytes(r->peer, r->peer_len),
        .server = r->server,
        .seq = r->seq,
        .ttl_ms = r->ttl_ms,
        .host = ww_bytes_str(r->host),
        .meta = meta,
        .meta_count = r->meta_count};
}

/* Fills the texts that follow from peer and server. */
static inline void model_record_texts(struct model_record *r)
{
    uint8_t be[8];
    ww_err len = ww_base58_encode(ww_bytes(r->peer, r->peer_len), r->id, sizeof r->id - 1);
    assert_true(len > 0);
    r->id[len] = 0;
    ww_be64_store(be, r->server);
    ww_hex_encode(ww_bytes(be, 8), r->server_hex);
}

static inline size_t model_find(const struct model *m, const struct model_record *r)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->records[i].id, r->id) == 0)
            return i;
    }
    return SIZE_MAX;
}

static inline void model_remove(struct model *m, size_t at)
{
    memmove(&m->records[at], &m->records[at + 1], (m->count - at - 1) * sizeof m->records[0]);
    m->count--;
}

static inline void model_put(struct model *m, const struct model_record *r)
{
    size_t at = model_find(m, r);
    if (at != SIZE_MAX) {
        m->records[at] = *r;
        return;
    }
    assert_true(m->count < MODEL_MAX);
    for (at = m->count; at > 0 && strcmp(m->records[at - 1].id, r->id) > 0; at--)
        m->records[at] = m->records[at - 1];
    m->records[at] = *r;
    m->count++;
}

static inline size_t model_advance(struct model *m, uint64_t now_ns)
{
    size_t gone = 0;
    for (size_t i = 0; i < m->count;) {
        if (m->records[i].deadline_ns <= now_ns) {
            model_remove(m, i);
            gone++;
        } else {
            i++;
        }
    }
    return gone;
}

static inline bool model_bounds(const struct ww_scan *scan, const char *key)
{
    struct ww_bytes k = ww_bytes_str(key);
    int lo = scan->lo.kind == WW_BOUND_NONE ? 1 : ww_bytes_cmp(k, scan->lo.text);
    if (lo < 0 || (lo == 0 && scan->lo.kind == WW_BOUND_EXCL))
        return false;
    if (scan->hi.kind == WW_BOUND_NONE)
        return true;
    int hi = ww_bytes_cmp(k, scan->hi.text);
    if (scan->hi.kind == WW_BOUND_PREFIX)
        return hi < 0 || ww_bytes_has_prefix(k, scan->hi.text);
    return hi < 0 || (hi == 0 && scan->hi.kind == WW_BOUND_INCL);
}

struct model_hit {
    char key[64];
    const struct model_record *record;
};

static inline int model_hit_cmp(const void *a, const void *b)
{
    const struct model_hit *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    return c ? c : strcmp(x->record->id, y->record->id);
}

/* The records of a scan in order; returns how many. */
static inline size_t model_scan(
    const struct model *m, const struct ww_scan *scan, const struct model_record *ret[MODEL_MAX])
{
    static struct model_hit hits[MODEL_MAX * MODEL_META];
    size_t count = 0, out = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct model_record *r = &m->records[i];
        const char *keys[MODEL_META] = {r->id};
        size_t key_count = 1;
        if (scan->index == WW_INDEX_SERVER)
            keys[0] = r->server_hex;
        if (scan->index == WW_INDEX_HOST) {
            keys[0] = r->host;
            key_count = r->host[0] != 0;
        }
        if (scan->index == WW_INDEX_META) {
            key_count = r->meta_count;
            for (size_t k = 0; k < key_count; k++)
                keys[k] = r->meta[k];
        }
        for (size_t k = 0; k < key_count; k++) {
            if (!model_bounds(scan, keys[k]))
                continue;
            strcpy(hits[count].key, keys[k]);
            hits[count++].record = r;
        }
    }
    qsort(hits, count, sizeof hits[0], model_hit_cmp);
    for (size_t i = 0; i < count; i++) {
        const struct model_record *r = hits[scan->reverse ? count - 1 - i : i].record;
        bool met = false;
        for (size_t j = 0; j < out; j++)
            met = met || ret[j] == r;
        if (!met)
            ret[out++] = r;
    }
    return out;
}

static inline void model_expect(const struct model_record *want, const struct ww_record *got)
{
    assert_bytes(got->peer, want->peer, want->peer_len);
    assert_int_equal(got->server, want->server);
    assert_int_equal(got->seq, want->seq);
    assert_int_equal(got->ttl_ms, want->ttl_ms);
    assert_int_equal(got->deadline_ns, want->deadline_ns);
    assert_bytes(got->host, want->host, strlen(want->host));
    assert_int_equal(got->meta_count, want->meta_count);
    for (size_t i = 0; i < want->meta_count; i++)
        assert_bytes(ww_record_meta(got, i), want->meta[i], strlen(want->meta[i]));
}

static inline void model_expect_scan(
    const struct model *m, struct ww_snapshot *snap, const struct ww_scan *scan)
{
    const struct model_record *want[MODEL_MAX];
    size_t count = model_scan(m, scan, want);
    struct ww_scan_iter it;
    struct ww_record got;
    ww_scan_init(&it, snap, scan);
    for (size_t i = 0; i < count; i++) {
        assert_true(ww_scan_next(&it, &got));
        model_expect(want[i], &got);
    }
    assert_false(ww_scan_next(&it, &got));
    assert_false(ww_scan_next(&it, &got));
    ww_scan_fini(&it);
}

/* Every index in both directions, and each key on its own. */
static inline void model_expect_all(const struct model *m, struct ww_snapshot *snap)
{
    assert_int_equal(ww_snapshot_count(snap), m->count);
    for (unsigned i = 0; i < 8; i++) {
        struct ww_scan scan = ww_scan_all((enum ww_index)(i / 2));
        scan.reverse = i % 2;
        model_expect_scan(m, snap, &scan);
    }
    for (size_t i = 0; i < m->count; i += 7) {
        const struct model_record *r = &m->records[i];
        const char *keys[] = {r->id, r->server_hex, r->host, r->meta[0]};
        for (unsigned k = 0; k < 8; k++) {
            struct ww_scan scan = ww_scan_exact((enum ww_index)(k / 2), ww_bytes_str(keys[k / 2]));
            scan.reverse = k % 2;
            model_expect_scan(m, snap, &scan);
        }
    }
}

/* A record out of a small world, so that strings and servers collide. Lengths and prefixes of peer ids vary.
 */
static inline void model_random(struct ww_prng *p, struct model_record *r)
{
    static const uint8_t ed25519[6] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};
    static const char *const hosts[] = {"", "a", "foo", "foobar", "foobarbaz", "foobarbazqux",
        "host-1.example.net", "host-2.example.net", "host-20.example.net", "zz"};
    static const char *const metas[] = {"zone=eu-1", "zone=eu-2", "zone=eu", "zone=us", "role=a", "role=b",
        "x", "=v", "zone=", "zonex=eu-1", "long-key-common-prefix=1", "long-key-common-prefix=2"};
    memset(r, 0, sizeof *r);
    uint64_t who = ww_prng_below(p, 160);
    struct ww_prng id;
    ww_prng_init(&id, who);
    r->peer_len = who % 5 == 0 ? 34 : 38;
    ww_prng_fill(&id, r->peer, r->peer_len);
    if (who % 5 == 0) {
        r->peer[0] = 0x12;
        r->peer[1] = 0x20;
    } else {
        memcpy(r->peer, ed25519, sizeof ed25519);
        if (who % 7 == 0)
            memset(r->peer + 6, 0x55, 20); /* equal words, so that comparisons go to the end */
        if (who % 11 == 0)
            memset(r->peer, 0, 3);
    }
    r->server = ww_prng_below(p, 4) ? who : ww_prng_below(p, 3);
    r->ttl_ms = 1 + (uint32_t)ww_prng_below(p, 3000);
    strcpy(r->host, hosts[ww_prng_below(p, WW_COUNT_OF(hosts))]);
    r->meta_count = ww_prng_below(p, MODEL_META + 1);
    for (size_t i = 0; i < r->meta_count; i++)
        strcpy(r->meta[i], metas[ww_prng_below(p, WW_COUNT_OF(metas))]);
    model_record_texts(r);
}

#endif
