#include "test/unit/cluster/model.h"

#include "base/budget.h"

static const uint8_t id_prefix[6] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20};

static struct ww_routing *table_new(void)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t = NULL;
    assert_ok(ww_routing_new(&conf, &t));
    return t;
}

static struct model_record record_of(
    uint8_t who, uint64_t server, uint64_t seq, uint32_t ttl_ms, const char *host)
{
    struct model_record r = {.server = server, .seq = seq, .ttl_ms = ttl_ms, .peer_len = 38};
    memcpy(r.peer, id_prefix, sizeof id_prefix);
    memset(r.peer + 6, who, 32);
    strcpy(r.host, host);
    model_record_texts(&r);
    return r;
}

static ww_err upsert(struct ww_routing *t, uint64_t now_ns, const struct model_record *r)
{
    struct ww_bytes meta[MODEL_META];
    struct ww_record_in in = model_in(r, meta);
    return ww_routing_upsert(t, now_ns, &in);
}

static void test_freshness_while_alive(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 7, 100, 1000, "a");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    r.seq = 101;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_RENEWED);
    r.seq = 99;
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    /* A restart: another server id. Higher is taken at once, lower is no news (it may be a recording). */
    r.server = 8;
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    r.seq = 101;
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    r.seq = 500;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_CHANGED);
    struct ww_record got;
    assert_ok(ww_routing_get(t, ww_bytes(r.peer, 38), &got));
    assert_int_equal(got.server, 8);
    assert_int_equal(ww_routing_count(t), 1);
    assert_true(ww_routing_check(t));
    ww_routing_free(t);
}

static void test_freshness_after_departure(void **state)
{
    struct ww_routing *t = table_new();
    uint64_t ms = WW_NS_PER_MS;
    struct model_record a = record_of(1, 7, 100, 10, "a"), b = record_of(1, 8, 50, 10, "a"),
                        c = record_of(1, 9, 40, 10, "a");
    assert_int_equal(upsert(t, 0, &a), WW_UPSERT_JOINED);
    assert_int_equal(ww_routing_advance(t, 10 * ms, 0), 1);
    /* The same instance cannot be replayed ... */
    assert_int_equal(upsert(t, 11 * ms, &a), WW_ESTALE);
    /* ... another one with a lower number comes in once ... */
    assert_int_equal(upsert(t, 11 * ms, &b), WW_UPSERT_JOINED);
    assert_int_equal(ww_routing_advance(t, 30 * ms, 0), 1);
    assert_int_equal(upsert(t, 31 * ms, &a), WW_ESTALE);
    assert_int_equal(upsert(t, 31 * ms, &b), WW_ESTALE);
    assert_int_equal(upsert(t, 31 * ms, &c), WW_ESTALE);
    /* ... a higher one always, and forgetting ends it. */
    a.seq = 101;
    assert_int_equal(upsert(t, 31 * ms, &a), WW_UPSERT_JOINED);
    assert_int_equal(ww_routing_advance(t, 100 * ms, 0), 1);
    assert_int_equal(upsert(t, 700 * WW_NS_PER_S, &c), WW_UPSERT_JOINED);
    ww_routing_free(t);
}

static void test_farewell(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 7, 100, 1000, "a");
    struct ww_bytes peer = ww_bytes(r.peer, 38);
    assert_int_equal(ww_routing_leave(t, 0, peer, 7, 90), WW_ENOTFOUND);
    r.seq = 90;
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE); /* overtaken by its own farewell */
    r.seq = 100;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    assert_int_equal(ww_routing_leave(t, 0, peer, 7, 100), WW_ESTALE);
    assert_ok(ww_routing_leave(t, 0, peer, 7, 101));
    assert_int_equal(ww_routing_count(t), 0);
    r.seq = 101;
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    r.seq = 102;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    ww_routing_free(t);
}

static void test_expiry(void **state)
{
    struct ww_routing *t = table_new();
    static const uint32_t ttls[] = {1, 10, 10, 10, 100, 100};
    static const struct {
        uint64_t at_ms;
        size_t left;
    } steps[] = {{0, 6}, {1, 5}, {5, 5}, {10, 2}, {50, 2}, {100, 0}};
    uint64_t base = 12345678901;
    assert_int_equal(ww_routing_deadline(t), WW_NEVER);
    for (uint8_t i = 0; i < WW_COUNT_OF(ttls); i++) {
        struct model_record r = record_of(i, i, 1, ttls[i], "h");
        assert_int_equal(upsert(t, base, &r), WW_UPSERT_JOINED);
    }
    for (size_t i = 0; i < WW_COUNT_OF(steps); i++) {
        ww_routing_advance(t, base + steps[i].at_ms * WW_NS_PER_MS, 0);
        assert_int_equal(ww_routing_count(t), steps[i].left);
    }
    assert_int_equal(ww_routing_deadline(t), WW_NEVER);
    ww_routing_free(t);
}

static void test_renewed_record_stays(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 1, 1, 100, "h");
    for (uint64_t at_ms = 0; at_ms < 100000; at_ms += 50) {
        assert_true(upsert(t, at_ms * WW_NS_PER_MS, &r) > 0);
        assert_int_equal(ww_routing_advance(t, at_ms * WW_NS_PER_MS, 0), 0);
        r.seq++;
    }
    assert_int_equal(ww_routing_advance(t, (99950 + 99) * WW_NS_PER_MS, 0), 0);
    assert_int_equal(ww_routing_advance(t, (99950 + 100) * WW_NS_PER_MS, 0), 1);
    ww_routing_free(t);
}

static void test_advance_in_portions(void **state)
{
    struct ww_routing *t = table_new();
    for (uint8_t i = 0; i < 10; i++) {
        struct model_record r = record_of(i, i, 1, 5, "h");
        assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    }
    assert_int_equal(ww_routing_advance(t, 5 * WW_NS_PER_MS, 4), 4);
    assert_true(ww_routing_deadline(t) <= 5 * WW_NS_PER_MS);
    /* A heartbeat that comes between two portions still saves its sender. */
    uint8_t saved = 0;
    for (uint8_t i = 0; i < 10; i++) {
        struct model_record r = record_of(i, i, 2, 50, "h");
        struct ww_record got;
        if (ww_routing_get(t, ww_bytes(r.peer, 38), &got) == 0 && saved == 0) {
            assert_int_equal(upsert(t, 5 * WW_NS_PER_MS, &r), WW_UPSERT_RENEWED);
            saved = 1;
        }
    }
    assert_int_equal(ww_routing_advance(t, 5 * WW_NS_PER_MS, 0), 5);
    assert_int_equal(ww_routing_count(t), 1);
    ww_routing_free(t);
}

static void test_default_and_longest_ttl(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 1, 1, 0, "h");
    struct ww_record got;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    assert_ok(ww_routing_get(t, ww_bytes(r.peer, 38), &got));
    assert_int_equal(got.ttl_ms, 10000);
    r.seq = 2;
    r.ttl_ms = UINT32_MAX;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_RENEWED);
    assert_ok(ww_routing_get(t, ww_bytes(r.peer, 38), &got));
    assert_int_equal(got.ttl_ms, 3600 * 1000);
    ww_routing_free(t);
}

/* The grace is a tenth of the TTL at most, moves with each renewal, and does not delay a farewell. */
static void test_grace(void **state)
{
    struct ww_routing_conf conf = {.seed = {1, 2}, .grace_ms = 800};
    struct ww_routing *t = NULL;
    uint64_t ms = WW_NS_PER_MS;
    struct model_record r = record_of(1, 1, 1, 1000, "a"), s = record_of(2, 2, 1, 10000, "b");
    struct ww_record got;
    assert_ok(ww_routing_new(&conf, &t));
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    assert_int_equal(upsert(t, 0, &s), WW_UPSERT_JOINED);
    assert_ok(ww_routing_get(t, ww_bytes(s.peer, 38), &got));
    assert_int_equal(got.ttl_ms, 10000);
    assert_int_equal(ww_routing_advance(t, 1099 * ms, 0), 0);
    assert_int_equal(ww_routing_advance(t, 1100 * ms, 0), 1);
    /* A heartbeat at the last moment of its TTL, and one just after it: nobody left in between. */
    for (uint64_t at_ms = 10000; at_ms <= 1000000; at_ms += at_ms % 20000 ? 10000 : 10200) {
        assert_int_equal(ww_routing_advance(t, at_ms * ms, 0), 0);
        s.seq++;
        assert_int_equal(upsert(t, at_ms * ms, &s), WW_UPSERT_RENEWED);
    }
    assert_ok(ww_routing_get(t, ww_bytes(s.peer, 38), &got));
    uint64_t deadline = got.deadline_ns;
    assert_int_equal(ww_routing_advance(t, deadline - 1, 0), 0);
    assert_ok(ww_routing_leave(t, deadline - 1, ww_bytes(s.peer, 38), 2, s.seq + 1));
    assert_int_equal(ww_routing_count(t), 0);
    ww_routing_free(t);
}

static void test_limits(void **state)
{
    struct ww_budget budget;
    ww_budget_init(&budget, NULL);
    struct ww_routing_conf conf = {.max_records = 2, .budget = &budget};
    struct ww_routing *t = NULL;
    assert_ok(ww_routing_new(&conf, &t));
    uint8_t big[WW_ROUTING_META_BYTES_MAX + 1];
    memset(big, 'x', sizeof big);
    struct ww_bytes meta[WW_ROUTING_META_MAX + 1] = {ww_bytes(big, sizeof big)};
    struct ww_record_in in = {.peer = ww_bytes(big, 38), .seq = 1, .meta = meta};
    in.meta_count = 1;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EINVAL);
    meta[0].len = WW_ROUTING_META_BYTES_MAX;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    in.seq++;
    meta[0].len = 0;
    in.meta_count = WW_ROUTING_META_MAX + 1;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EINVAL);
    in.meta_count = WW_ROUTING_META_MAX; /* 64 empty strings: legal, indexed once */
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_CHANGED);
    in.seq++;
    in.host = ww_bytes(big, WW_ROUTING_HOST_MAX + 1);
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EINVAL);
    in.host.len--;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_CHANGED);
    in.peer.len = 0;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EINVAL);
    in.peer.len = WW_ROUTING_PEER_MAX + 1;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EINVAL);
    in.peer.len = WW_ROUTING_PEER_MAX;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    in.peer.len = 37; /* full: newcomers are refused, members are not */
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_ELIMIT);
    in.peer.len = 38;
    in.seq++;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_RENEWED);
    assert_int_equal(budget.used[WW_RES_ITEMS], 2);
    budget.max[WW_RES_BYTES] = budget.used[WW_RES_BYTES];
    ww_routing_advance(t, 10 * WW_NS_PER_S, 1);
    assert_int_equal(budget.used[WW_RES_ITEMS], 1);
    ww_routing_advance(t, 10 * WW_NS_PER_S, 0);
    assert_int_equal(budget.used[WW_RES_ITEMS], 0);
    assert_int_equal(budget.used[WW_RES_BYTES], 0);
    budget.max[WW_RES_BYTES] = 10;
    in.seq++;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_EBUDGET);
    budget.max[WW_RES_BYTES] = UINT64_MAX;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    ww_routing_free(t);
    assert_int_equal(budget.used[WW_RES_ITEMS], 0);
    assert_int_equal(budget.used[WW_RES_BYTES], 0);
}

static size_t scan_count(struct ww_routing *t, struct ww_scan scan)
{
    struct ww_snapshot *s = ww_routing_snapshot(t);
    struct ww_scan_iter it;
    struct ww_record r;
    size_t n = 0;
    ww_scan_init(&it, s, &scan);
    while (ww_scan_next(&it, &r))
        n++;
    ww_scan_fini(&it);
    ww_snapshot_unref(s);
    return n;
}

static void test_exact_prefix_range(void **state)
{
    struct ww_routing *t = table_new();
    static const char *const hosts[] = {"foo", "foobar", "foobarbaz", "foobarbaz", "foobarbazqux"};
    struct model_record r;
    for (uint8_t i = 0; i < WW_COUNT_OF(hosts); i++) {
        r = record_of(i, 0xab00 + i, 1, 1000, hosts[i]);
        r.meta_count = 2;
        strcpy(r.meta[0], "zone=eu-1");
        strcpy(r.meta[1], i % 2 ? "zone=eu-2" : "role=x");
        assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    }
    struct ww_scan range = {.index = WW_INDEX_HOST,
        .lo = {WW_BOUND_INCL, WW_BYTES_LIT("foo")},
        .hi = {WW_BOUND_INCL, WW_BYTES_LIT("foobarbaz")}};
    assert_int_equal(scan_count(t, range), 4);
    range.reverse = true;
    assert_int_equal(scan_count(t, range), 4);
    range.hi.kind = WW_BOUND_EXCL;
    assert_int_equal(scan_count(t, range), 2);
    range.lo.kind = WW_BOUND_EXCL;
    assert_int_equal(scan_count(t, range), 1);
    range.hi = (struct ww_bound){WW_BOUND_INCL, WW_BYTES_LIT("foo")};
    assert_int_equal(scan_count(t, range), 0);
    range.hi.text = WW_BYTES_LIT("aaa");
    assert_int_equal(scan_count(t, range), 0);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_HOST, WW_BYTES_LIT("foo"))), 1);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_HOST, WW_BYTES_LIT("foo"))), 5);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_HOST, WW_BYTES_LIT("fo"))), 0);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_META, WW_BYTES_LIT("zone=eu-1"))), 5);
    /* Two matching strings, one result. */
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_META, WW_BYTES_LIT("zone="))), 5);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_META, WW_BYTES_LIT("zone="))), 0);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_SERVER, WW_BYTES_LIT("000000000000ab02"))), 1);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_SERVER, WW_BYTES_LIT("000000000000ab"))), 5);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_SERVER, WW_BYTES_LIT("AB"))), 0);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_ID, ww_bytes_str(r.id))), 1);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_ID, ww_bytes(r.id, 12))), 1);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_ID, WW_BYTES_LIT("12D3"))), 5);
    assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_ID, WW_BYTES_LIT(""))), 5);
    assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_ID, WW_BYTES_LIT("12D3"))), 0);
    ww_routing_free(t);
}

/* Texts at which the ordering words are easy to get wrong. */
static void test_bounds_of_any_text(void **state)
{
    struct ww_routing *t = table_new();
    struct model m = {0};
    struct ww_prng p;
    ww_prng_init(&p, 3);
    for (int i = 0; i < 120; i++) {
        struct model_record r;
        model_random(&p, &r);
        r.seq = 1;
        r.deadline_ns = r.ttl_ms * WW_NS_PER_MS;
        if (upsert(t, 0, &r) == WW_UPSERT_JOINED)
            model_put(&m, &r);
    }
    struct ww_snapshot *s = ww_routing_snapshot(t);
    static const char *const extra[] = {"", "1", "12D", "12D3KooW", "12D3KooX", "12D3KooV", "z", "0", "~",
        "12D3KooWI", "Qm", "12D3KooW0", "00000000000000", "000000000000000g", "00000000000000000",
        "ffffffffffffffff", "g", ":", "zone=eu-"};
    for (int round = 0; round < 3000; round++) {
        char texts[2][80];
        for (int side = 0; side < 2; side++) {
            const struct model_record *r = &m.records[ww_prng_below(&p, m.count)];
            const char *from = extra[ww_prng_below(&p, WW_COUNT_OF(extra))];
            switch (ww_prng_below(&p, 5)) {
            case 0:
                from = r->id;
                break;
            case 1:
                from = r->server_hex;
                break;
            case 2:
                from = r->host;
                break;
            case 3:
                from = r->meta_count ? r->meta[0] : "";
                break;
            }
            size_t len = ww_prng_below(&p, strlen(from) + 1);
            memcpy(texts[side], from, len);
            if (ww_prng_below(&p, 3) == 0)
                texts[side][len++] = (char)ww_prng_below(&p, 256);
            if (ww_prng_below(&p, 3) == 0)
                len = strlen(strcpy(texts[side], from));
            texts[side][len] = 0;
        }
        struct ww_scan scan = {.index = (enum ww_index)ww_prng_below(&p, 4), .reverse = ww_prng_below(&p, 2)};
        scan.lo = (struct ww_bound){(enum ww_bound_kind)ww_prng_below(&p, 3), ww_bytes_str(texts[0])};
        scan.hi = (struct ww_bound){(enum ww_bound_kind)ww_prng_below(&p, 4), ww_bytes_str(texts[1])};
        if (round % 3 == 0)
            scan = ww_scan_prefix(scan.index, scan.lo.text);
        model_expect_scan(&m, s, &scan);
        /* An estimate of zero must be true. */
        struct ww_record got;
        struct ww_scan_iter it;
        ww_scan_init(&it, s, &scan);
        bool any = ww_scan_next(&it, &got);
        ww_scan_fini(&it);
        if (any)
            assert_true(ww_scan_estimate(s, &scan) > 0);
    }
    ww_snapshot_unref(s);
    ww_routing_free(t);
}

/* ---- the real table against the model, with snapshots that must not move ---- */

#define SNAPS 4

struct held {
    struct ww_snapshot *snap;
    struct model *model;
};

static void hold(struct held *h, struct ww_routing *t, const struct model *m)
{
    ww_snapshot_unref(h->snap);
    h->snap = ww_routing_snapshot(t);
    assert_non_null(h->snap);
    *h->model = *m;
}

static void step(struct ww_prng *p, struct ww_routing *t, struct model *m, uint64_t now_ns)
{
    struct model_record r;
    model_random(p, &r);
    size_t at = model_find(m, &r);
    if (at != SIZE_MAX && ww_prng_below(p, 2)) { /* a plain renewal */
        r = m->records[at];
        r.ttl_ms = 1 + (uint32_t)ww_prng_below(p, 3000);
    }
    r.seq = now_ns + ww_prng_below(p, 2);
    r.deadline_ns = now_ns + r.ttl_ms * WW_NS_PER_MS;
    if (ww_prng_below(p, 12) == 0) {
        ww_err err = ww_routing_leave(t, now_ns, ww_bytes(r.peer, r.peer_len), r.server, r.seq);
        if (at == SIZE_MAX) {
            assert_true(err == WW_ENOTFOUND || err == WW_ESTALE);
        } else if (r.seq > m->records[at].seq) {
            assert_ok(err);
            model_remove(m, at);
        } else {
            assert_int_equal(err, WW_ESTALE);
        }
        return;
    }
    ww_err err = upsert(t, now_ns, &r);
    if (at != SIZE_MAX && r.seq <= m->records[at].seq) {
        assert_int_equal(err, WW_ESTALE);
        return;
    }
    if (err == WW_ESTALE && at == SIZE_MAX)
        return; /* remembered: tested on its own */
    assert_true(err > 0);
    assert_int_equal(err == WW_UPSERT_JOINED, at == SIZE_MAX);
    model_put(m, &r);
}

static void test_against_model(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct ww_prng p;
        ww_prng_init(&p, seed);
        struct ww_routing *t = table_new();
        struct model *m = test_calloc(1, sizeof *m);
        struct held held[SNAPS] = {0};
        for (size_t i = 0; i < SNAPS; i++)
            held[i].model = test_calloc(1, sizeof *m);
        uint64_t now_ns = 1000 * WW_NS_PER_S;
        for (int i = 0; i < 3000; i++) {
            now_ns += ww_prng_below(&p, 30) * WW_NS_PER_MS;
            step(&p, t, m, now_ns);
            if (ww_prng_below(&p, 20) == 0)
                assert_int_equal(ww_routing_advance(t, now_ns, 0), model_advance(m, now_ns));
            if (ww_prng_below(&p, 25) == 0)
                hold(&held[ww_prng_below(&p, SNAPS)], t, m);
            if (ww_prng_below(&p, 40) == 0) {
                struct held *h = &held[ww_prng_below(&p, SNAPS)];
                ww_snapshot_unref(h->snap);
                h->snap = NULL;
            }
            if (ww_prng_below(&p, 50) == 0) {
                struct ww_snapshot *s = ww_routing_snapshot(t);
                model_expect_all(m, s);
                ww_snapshot_unref(s);
                assert_true(ww_routing_check(t));
                const struct held *h = &held[ww_prng_below(&p, SNAPS)];
                if (h->snap)
                    model_expect_all(h->model, h->snap);
            }
        }
        for (size_t i = 0; i < SNAPS; i++) {
            if (held[i].snap)
                model_expect_all(held[i].model, held[i].snap);
        }
        ww_routing_free(t); /* snapshots outlive it */
        for (size_t i = 0; i < SNAPS; i++) {
            if (held[i].snap)
                model_expect_all(held[i].model, held[i].snap);
            ww_snapshot_unref(held[i].snap);
            test_free(held[i].model);
        }
        test_free(m);
    }
}

/* Large trees: many levels, ascending and random, and back to nothing. */
static void test_many(void **state)
{
    enum { N = 20000 };
    struct ww_routing *t = table_new();
    size_t empty_bytes = 0;
    for (int order = 0; order < 2; order++) {
        for (uint32_t i = 0; i < N; i++) {
            uint8_t id[38];
            char host[32], shard[32];
            struct ww_prng p;
            uint32_t n = order ? i : i * 7919 % N;
            ww_prng_init(&p, n);
            ww_prng_fill(&p, id, sizeof id);
            snprintf(host, sizeof host, "host-%06u.example.net", n);
            snprintf(shard, sizeof shard, "shard=%u", n % 3);
            struct ww_bytes meta = ww_bytes_str(shard);
            struct ww_record_in in = {
                ww_bytes(id, 38), n, (uint64_t)order + 1, 1000 + n % 50, ww_bytes_str(host), &meta, 1};
            assert_int_equal(
                ww_routing_upsert(t, (uint64_t)order * 10000 * WW_NS_PER_S, &in), WW_UPSERT_JOINED);
        }
        assert_true(ww_routing_check(t));
        assert_int_equal(scan_count(t, ww_scan_exact(WW_INDEX_META, WW_BYTES_LIT("shard=1"))), N / 3 + 1);
        assert_int_equal(scan_count(t, ww_scan_prefix(WW_INDEX_HOST, WW_BYTES_LIT("host-0001"))), 100);
        struct ww_snapshot *s = ww_routing_snapshot(t);
        struct ww_scan scan = ww_scan_prefix(WW_INDEX_HOST, WW_BYTES_LIT("host-00"));
        size_t estimate = ww_scan_estimate(s, &scan);
        assert_in_range(estimate, 5000, 20000); /* 10000 */
        ww_snapshot_unref(s);
        size_t gone = 0;
        for (uint64_t ms = 1000; ms < 1050; ms++) {
            gone += ww_routing_advance(t, (uint64_t)order * 10000 * WW_NS_PER_S + ms * WW_NS_PER_MS, 0);
            assert_int_equal(gone, N / 50 * (ms - 999));
        }
        assert_true(ww_routing_check(t));
        assert_int_equal(ww_routing_count(t), 0);
        if (order == 0)
            empty_bytes = ww_routing_bytes(t);
    }
    assert_true(ww_routing_bytes(t) <= empty_bytes + 100000); /* nothing is lost on the way */
    ww_routing_free(t);
}

static void test_snapshots_are_shared(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 1, 1, 1000, "h");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    struct ww_snapshot *a = ww_routing_snapshot(t), *b = ww_routing_snapshot(t);
    assert_ptr_equal(a, b);
    r.seq = 2;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_RENEWED);
    struct ww_snapshot *c = ww_routing_snapshot(t);
    assert_ptr_not_equal(a, c);
    ww_snapshot_unref(a);
    ww_snapshot_unref(b);
    ww_snapshot_unref(c);
    ww_routing_free(t);
}

/* The newest snapshot may be given back while an older one is still read. */
static void test_a_snapshot_is_of_now(void **state)
{
    struct ww_routing *t = table_new();
    struct model_record r = record_of(1, 1, 1, 1000, "h");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    struct ww_snapshot *old = ww_routing_snapshot(t);
    r = record_of(2, 2, 1, 1000, "h");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    ww_snapshot_unref(ww_routing_snapshot(t));
    struct ww_snapshot *again = ww_routing_snapshot(t);
    assert_int_equal(ww_snapshot_count(old), 1);
    assert_int_equal(ww_snapshot_count(again), 2);
    ww_snapshot_unref(old);
    ww_snapshot_unref(again);
    ww_routing_free(t);
}

struct witness {
    struct ww_routing_observer obs;
    unsigned joined, changed, renewed, left;
};

static void witness_changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    struct witness *w = WW_CONTAINER_OF(obs, struct witness, obs);
    w->joined += !before;
    w->left += !after;
    w->changed += before && after && !renewed;
    w->renewed += renewed;
    if (before && after) {
        assert_true(before->seq < after->seq);
        assert_true(ww_bytes_eq(before->peer, after->peer));
        assert_int_equal(ww_bytes_eq(before->host, after->host), renewed);
    }
}

static void test_observers(void **state)
{
    struct ww_routing *t = table_new();
    struct witness w = {.obs.changed = witness_changed};
    ww_routing_observe(t, &w.obs);
    struct model_record r = record_of(1, 1, 1, 1000, "h");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_JOINED);
    r.seq++;
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_RENEWED);
    r.seq++;
    strcpy(r.host, "elsewhere");
    assert_int_equal(upsert(t, 0, &r), WW_UPSERT_CHANGED);
    assert_int_equal(upsert(t, 0, &r), WW_ESTALE);
    ww_routing_advance(t, WW_NS_PER_S, 0);
    assert_int_equal(w.joined, 1);
    assert_int_equal(w.renewed, 1);
    assert_int_equal(w.changed, 1);
    assert_int_equal(w.left, 1);
    ww_routing_unobserve(&w.obs);
    r.seq++;
    assert_int_equal(upsert(t, WW_NS_PER_S, &r), WW_UPSERT_JOINED);
    assert_int_equal(w.joined, 1);
    ww_routing_free(t);
}

/* ---- memory running out ---- */

struct failing {
    struct ww_allocator allocator;
    size_t left;
};

static void *failing_resize(void *ctx, void *old, size_t size)
{
    struct failing *f = ctx;
    if (size == 0) {
        free(old);
        return NULL;
    }
    if (f->left == 0)
        return NULL;
    f->left--;
    return realloc(old, size);
}

static void test_no_memory(void **state)
{
    for (size_t allowed = 0; allowed < 400; allowed++) {
        struct failing f = {.allocator = {failing_resize, &f}, .left = SIZE_MAX};
        struct ww_prng p;
        ww_prng_init(&p, 9);
        ww_allocator_set(&f.allocator);
        struct ww_routing *t = table_new();
        struct model *m = calloc(1, sizeof *m);
        uint64_t now_ns = 5;
        for (int i = 0; i < 60; i++)
            step(&p, t, m, now_ns++);
        struct ww_snapshot *s = ww_routing_snapshot(t);
        struct model *then = malloc(sizeof *then);
        *then = *m;
        f.left = allowed;
        for (int i = 0; i < 60; i++, now_ns++) {
            struct model_record r;
            model_random(&p, &r);
            r.seq = now_ns;
            r.deadline_ns = now_ns + r.ttl_ms * WW_NS_PER_MS;
            ww_err err = upsert(t, now_ns, &r);
            if (err > 0)
                model_put(m, &r);
            else
                assert_true(err == WW_ENOMEM || err == WW_ESTALE);
        }
        f.left = SIZE_MAX;
        assert_true(ww_routing_check(t));
        model_expect_all(then, s);
        ww_snapshot_unref(s);
        s = ww_routing_snapshot(t);
        model_expect_all(m, s);
        f.left = allowed;
        ww_routing_advance(t, now_ns + 3000 * WW_NS_PER_MS, 0); /* what cannot go now goes later */
        f.left = SIZE_MAX;
        ww_routing_advance(t, now_ns + 3000 * WW_NS_PER_MS, 0);
        assert_int_equal(ww_routing_count(t), 0);
        model_expect_all(m, s);
        ww_snapshot_unref(s);
        ww_routing_free(t);
        ww_allocator_set(NULL);
        free(then);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freshness_while_alive),
        cmocka_unit_test(test_freshness_after_departure),
        cmocka_unit_test(test_farewell),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_renewed_record_stays),
        cmocka_unit_test(test_advance_in_portions),
        cmocka_unit_test(test_default_and_longest_ttl),
        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_exact_prefix_range),
        cmocka_unit_test(test_bounds_of_any_text),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_snapshots_are_shared),
        cmocka_unit_test(test_a_snapshot_is_of_now),
        cmocka_unit_test(test_observers),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
