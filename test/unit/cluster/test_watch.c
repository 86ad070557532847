#include "test/unit/cluster/model.h"

#include "cluster/query_wire.h"
#include "cluster/watch.h"

/* ---- a reader that follows a watch always ends up with what a query says ---- */

struct reader {
    struct ww_watch watch;
    unsigned wakes, resets, readies;
    struct {
        uint8_t peer[64];
        size_t len;
        uint64_t server;
    } known[MODEL_MAX];
    size_t count;
};

static void reader_wake(struct ww_watch *w)
{
    WW_CONTAINER_OF(w, struct reader, watch)->wakes++;
}

static size_t reader_find(const struct reader *r, struct ww_bytes peer)
{
    size_t at = 0;
    while (at < r->count && !ww_bytes_eq(ww_bytes(r->known[at].peer, r->known[at].len), peer))
        at++;
    return at;
}

/* Pulls up to `max` items; true when there is nothing left. */
static bool reader_pull(struct reader *r, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        struct ww_watch_item item;
        ww_err err = ww_watch_next(&r->watch, 7, &item);
        if (err == 0)
            return true;
        if (err == WW_EAGAIN)
            continue;
        assert_int_equal(err, 1);
        size_t at;
        switch (item.kind) {
        case WW_WATCH_ITEM_RESET:
            r->count = 0;
            r->resets++;
            break;
        case WW_WATCH_ITEM_READY:
            r->readies++;
            break;
        case WW_WATCH_ITEM_RECORD:
            at = reader_find(r, item.peer);
            r->count += at == r->count;
            memcpy(r->known[at].peer, item.peer.ptr, item.peer.len);
            r->known[at].len = item.peer.len;
            r->known[at].server = item.record.server;
            break;
        case WW_WATCH_ITEM_LEFT:
            at = reader_find(r, item.peer);
            assert_true(at < r->count);
            r->known[at] = r->known[--r->count];
            break;
        }
    }
    return false;
}

static void reader_expect(const struct reader *r, struct ww_routing *t, const struct ww_query *q)
{
    struct ww_snapshot *s = ww_routing_snapshot(t);
    struct ww_query_run run;
    struct ww_record record;
    size_t count = 0;
    assert_ok(ww_query_run_init(&run, q, s));
    while (ww_query_run_next(&run, SIZE_MAX, &record) == 1) {
        size_t at = reader_find(r, record.peer);
        assert_true(at < r->count);
        assert_int_equal(r->known[at].server, record.server);
        count++;
    }
    assert_int_equal(count, r->count);
    ww_query_run_fini(&run);
    ww_snapshot_unref(s);
}

static void churn(struct ww_prng *p, struct ww_routing *t, uint64_t now_ns)
{
    struct model_record r;
    struct ww_bytes meta[MODEL_META];
    model_random(p, &r);
    r.seq = now_ns;
    struct ww_record_in in = model_in(&r, meta);
    if (ww_prng_below(p, 5) == 0)
        WW_UNUSED(ww_routing_leave(t, now_ns, in.peer, in.server, in.seq) == 0);
    else
        WW_UNUSED(ww_routing_upsert(t, now_ns, &in) > 0);
    ww_routing_advance(t, now_ns, 0);
}

static void test_reader_follows(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        size_t max_pending = seed == 1 ? 3 : 1000;
        struct ww_routing_conf conf = {.seed = {seed, 2}};
        struct ww_routing *t;
        struct ww_prng p;
        struct reader *r = test_calloc(1, sizeof *r);
        struct ww_query *q = ww_query_new();
        uint64_t now_ns = WW_NS_PER_S;
        ww_prng_init(&p, seed);
        assert_ok(ww_routing_new(&conf, &t));
        assert_ok(ww_query_parse(q, ww_bytes_str("zone=eu OR host=foo"), NULL, NULL));
        q->limit = 3;
        for (int i = 0; i < 100; i++)
            churn(&p, t, ++now_ns);
        ww_watch_init(&r->watch, t, q, conf.seed, max_pending, reader_wake);
        for (int i = 0; i < 4000; i++) {
            now_ns += ww_prng_below(&p, 20) * WW_NS_PER_MS + 1;
            churn(&p, t, now_ns);
            if (ww_prng_below(&p, 4) == 0 && reader_pull(r, ww_prng_below(&p, 10)))
                reader_expect(r, t, q);
        }
        while (!reader_pull(r, 100)) {
        }
        reader_expect(r, t, q);
        assert_true(r->readies > 0 && (seed == 1 || r->wakes > 0));
        assert_int_equal(r->resets > 1, seed == 1); /* only the short queue overflows */
        churn(&p, t, ++now_ns);
        ww_watch_fini(&r->watch);
        ww_query_free(q);
        ww_routing_free(t);
        test_free(r);
    }
}

static void test_coalescing(void **state)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t;
    struct reader r = {0};
    struct ww_query *q = ww_query_new();
    struct ww_watch_item item;
    assert_ok(ww_routing_new(&conf, &t));
    ww_watch_init(&r.watch, t, q, conf.seed, 100, reader_wake);
    assert_true(reader_pull(&r, 10));
    assert_int_equal(r.resets, 1);
    assert_int_equal(r.readies, 1);
    struct ww_record_in in = {.peer = WW_BYTES_LIT("peer"), .seq = 1, .host = WW_BYTES_LIT("a")};
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    assert_int_equal(r.wakes, 1);
    in.seq = 2;
    in.host = WW_BYTES_LIT("b");
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_CHANGED);
    assert_int_equal(r.wakes, 1);
    assert_int_equal(ww_watch_next(&r.watch, 10, &item), 1); /* join and change are one */
    assert_int_equal(item.kind, WW_WATCH_ITEM_RECORD);
    assert_bytes(item.record.host, "b", 1);
    assert_int_equal(ww_watch_next(&r.watch, 10, &item), 0);
    in.seq = 3;
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_RENEWED); /* no news */
    assert_int_equal(ww_watch_next(&r.watch, 10, &item), 0);
    assert_ok(ww_routing_leave(t, 0, in.peer, 0, 4));
    assert_int_equal(ww_watch_next(&r.watch, 10, &item), 1);
    assert_int_equal(item.kind, WW_WATCH_ITEM_LEFT);
    assert_bytes(item.peer, "peer", 4);
    in.seq = 5; /* came and went unseen */
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    assert_ok(ww_routing_leave(t, 0, in.peer, 0, 6));
    assert_int_equal(ww_watch_next(&r.watch, 10, &item), 0);
    ww_watch_fini(&r.watch);
    ww_query_free(q);
    ww_routing_free(t);
}

/* ---- wire form ---- */

static void test_query_wire(void **state)
{
    static const char *const texts[] = {"", "host=web",
        "NOT (a=1 AND (b!=2 OR c!==3)) AND id=12D3 AND server>=00ab",
        "a<1 OR b<=\"\" OR \"\">x OR zone=", "NOT a<5"};
    for (size_t i = 0; i < WW_COUNT_OF(texts); i++) {
        struct ww_query *q = ww_query_new(), *copy = ww_query_new();
        struct ww_msg msg;
        struct ww_buf a, b;
        assert_ok(ww_query_parse(q, ww_bytes_str(texts[i]), NULL, NULL));
        q->ordered = i % 2;
        q->order = WW_INDEX_HOST;
        q->descending = i == 1;
        q->limit = i * 10;
        q->projection = WW_PROJECT_PEER | WW_PROJECT_HOST;
        if (i == 2)
            q->from = (struct ww_bound){WW_BOUND_INCL, WW_BYTES_LIT("")};
        if (i == 3)
            q->to = (struct ww_bound){WW_BOUND_INCL, WW_BYTES_LIT("zz")};
        ww_msg_init(&msg, NULL);
        ww_query_encode(q, ww_View_Query_b_root(&msg));
        assert_ok(ww_msg_err(&msg));
        assert_ok(ww_query_decode(ww_View_Query_r_root(&msg), copy, NULL));
        ww_buf_init(&a, 10000);
        ww_buf_init(&b, 10000);
        assert_ok(ww_query_print(q, &a));
        assert_ok(ww_query_print(copy, &b));
        assert_true(ww_bytes_eq(ww_buf_view(&a), ww_buf_view(&b)));
        assert_int_equal(copy->ordered, q->ordered);
        assert_int_equal(copy->order, q->ordered ? WW_INDEX_HOST : WW_INDEX_ID);
        assert_int_equal(copy->descending, q->descending);
        assert_int_equal(copy->limit, q->limit);
        assert_int_equal(copy->projection, q->projection);
        assert_int_equal(copy->from.kind, q->from.kind);
        assert_int_equal(copy->to.kind, q->to.kind);
        assert_true(ww_bytes_eq(copy->to.text, q->to.text));
        ww_buf_fini(&a);
        ww_buf_fini(&b);
        ww_msg_fini(&msg);
        ww_query_free(q);
        ww_query_free(copy);
    }
}

static void test_query_wire_refusals(void **state)
{
    struct ww_msg msg;
    struct ww_diag diag;
    struct ww_query *q = ww_query_new();
    ww_msg_init(&msg, NULL);
    struct ww_View_Query_b b = ww_View_Query_b_root(&msg);
    struct ww_View_Filter_b f = ww_View_Query_init_filter(b);
    for (int i = 0; i < 40; i++)
        f = ww_View_Filter_init_not(f);
    assert_int_equal(ww_query_decode(ww_View_Query_r_root(&msg), q, &diag), WW_EDEPTH);
    ww_View_Filter_init_or(ww_View_Query_init_filter(b), 5000);
    assert_int_equal(ww_query_decode(ww_View_Query_r_root(&msg), q, &diag), WW_ELIMIT);
    struct ww_View_Filter_compare_b cmp = ww_View_Filter_get_compare(ww_View_Query_init_filter(b));
    ww_View_Filter_compare_set_field(cmp, (enum ww_View_Field)9);
    assert_int_equal(ww_query_decode(ww_View_Query_r_root(&msg), q, &diag), WW_EINVAL);
    ww_View_Filter_compare_set_field(cmp, ww_View_Field_meta);
    ww_View_Filter_compare_set_key(cmp, WW_BYTES_LIT("a=b"));
    assert_int_equal(ww_query_decode(ww_View_Query_r_root(&msg), q, &diag), WW_EINVAL);
    ww_View_Query_set_ordered(b, true);
    ww_View_Query_set_order(b, ww_View_Field_meta);
    assert_int_equal(ww_query_decode(ww_View_Query_r_root(&msg), q, &diag), WW_EINVAL);
    /* Empty lists: AND of nothing is true, OR of nothing false. */
    struct ww_record r = {0};
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t;
    assert_ok(ww_routing_new(&conf, &t));
    struct ww_record_in in = {.peer = WW_BYTES_LIT("peer"), .seq = 1};
    assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    assert_ok(ww_routing_get(t, in.peer, &r));
    ww_View_Query_set_ordered(b, false);
    for (int any = 0; any < 2; any++) {
        struct ww_query *fresh = ww_query_new();
        f = ww_View_Query_init_filter(b);
        if (any)
            ww_View_Filter_init_or(f, 0);
        else
            ww_View_Filter_init_and(f, 0);
        assert_ok(ww_query_decode(ww_View_Query_r_root(&msg), fresh, &diag));
        assert_int_equal(ww_query_matches(fresh, &r), !any);
        ww_query_free(fresh);
    }
    ww_routing_free(t);
    ww_query_free(q);
    ww_msg_fini(&msg);
}

static void test_scan_wire(void **state)
{
    struct ww_msg msg;
    struct ww_scan scan;
    uint64_t limit;
    struct ww_diag diag;
    ww_msg_init(&msg, NULL);
    struct ww_View_iter_params_b b = ww_View_iter_params_b_root(&msg);
    struct ww_View_iter_params_r r = ww_View_iter_params_b_reader(b);
#define SCAN()                                                                                               \
    (r = ww_View_iter_params_b_reader(b),                                                                    \
        ww_scan_decode(                                                                                      \
            ww_View_iter_params_selector(r), ww_View_iter_params_constraints(r), &scan, &limit, &diag))
    assert_ok(SCAN()); /* null selector: everything */
    assert_int_equal(scan.index, WW_INDEX_ID);
    assert_int_equal(scan.lo.kind, WW_BOUND_NONE);
    assert_int_equal(limit, 0);
    struct ww_View_Index_b ix = ww_View_Selector_init_match(ww_View_iter_params_init_selector(b));
    assert_ok(SCAN()); /* null key: everything as well */
    assert_int_equal(scan.hi.kind, WW_BOUND_PREFIX);
    ww_View_Index_set_host(ix, WW_BYTES_LIT("foo"));
    assert_ok(SCAN());
    assert_int_equal(scan.index, WW_INDEX_HOST);
    assert_int_equal(scan.hi.kind, WW_BOUND_INCL);
    ww_View_Index_set_prefix(ix, true);
    assert_ok(SCAN());
    assert_int_equal(scan.hi.kind, WW_BOUND_PREFIX);
    struct ww_View_Constraint_lb cs = ww_View_iter_params_init_constraints(b, 2);
    ww_View_Constraint_set_limit(ww_View_Constraint_lb_at(cs, 0), 5);
    ww_View_Index_set_host(
        ww_View_Constraint_init_to(ww_View_Constraint_lb_at(cs, 1)), WW_BYTES_LIT("foobar"));
    assert_ok(SCAN());
    assert_int_equal(limit, 5);
    assert_int_equal(scan.hi.kind, WW_BOUND_INCL);
    assert_bytes(scan.hi.text, "foobar", 6);
    ww_View_Index_set_host(ww_View_Constraint_init_to(ww_View_Constraint_lb_at(cs, 1)), WW_BYTES_LIT("zzz"));
    assert_ok(SCAN()); /* behind the prefix: no change */
    assert_bytes(scan.hi.text, "foo", 3);
    ww_View_Index_set_meta(ww_View_Constraint_init_to(ww_View_Constraint_lb_at(cs, 1)), WW_BYTES_LIT("zzz"));
    assert_int_equal(SCAN(), WW_EINVAL);
    ww_View_Constraint_set_limit(ww_View_Constraint_lb_at(cs, 1), 0);
    assert_int_equal(SCAN(), WW_EINVAL);
    ww_View_iter_params_init_constraints(b, 0);
    ww_View_Index_set_server(
        ww_View_Selector_init_from(ww_View_iter_params_get_selector(b)), WW_BYTES_LIT("ab"));
    assert_ok(SCAN());
    assert_int_equal(scan.index, WW_INDEX_SERVER);
    assert_int_equal(scan.lo.kind, WW_BOUND_INCL);
    assert_int_equal(scan.hi.kind, WW_BOUND_NONE);
#undef SCAN
    ww_msg_fini(&msg);
}

static void test_batches(void **state)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t;
    struct ww_prng p;
    struct model *m = test_calloc(1, sizeof *m);
    struct ww_batch_writer w;
    struct ww_msg msg;
    struct ww_record *records = test_calloc(MODEL_MAX, sizeof *records);
    struct ww_bytes meta[MODEL_META];
    ww_prng_init(&p, 4);
    assert_ok(ww_routing_new(&conf, &t));
    for (int i = 0; i < 130; i++) {
        struct model_record r;
        model_random(&p, &r);
        r.seq = 77 + (uint64_t)i;
        struct ww_record_in in = model_in(&r, meta);
        if (ww_routing_upsert(t, 0, &in) > 0)
            model_put(m, &r);
    }
    for (size_t i = 0; i < m->count; i++)
        assert_ok(ww_routing_get(t, ww_bytes(m->records[i].peer, m->records[i].peer_len), &records[i]));
    ww_batch_writer_init(&w);
    ww_msg_init(&msg, NULL);
    for (int round = 0; round < 3; round++) {
        struct ww_View_Batch_b b = ww_View_Batch_b_root(&msg);
        assert_ok(ww_batch_write(&w, records, m->count, round ? WW_PROJECT_ALL : WW_PROJECT_SERVER, b));
        assert_ok(ww_msg_err(&msg));
        struct ww_View_Batch_r r = ww_View_Batch_r_root(&msg);
        assert_int_equal(ww_View_Batch_rows(r).l.count, m->count);
        for (size_t i = 0; i < m->count; i++) {
            const struct model_record *want = &m->records[i];
            struct ww_View_Row_r row = ww_View_Row_l_at(ww_View_Batch_rows(r), (uint32_t)i);
            assert_int_equal(ww_View_Row_server(row), want->server);
            if (round == 0) {
                assert_int_equal(ww_View_Row_peer(row).len, 0);
                assert_int_equal(ww_View_Row_meta(row).count, 0);
                continue;
            }
            assert_bytes(ww_View_Row_peer(row), want->peer, want->peer_len);
            assert_int_equal(ww_View_Row_seq(row), want->seq);
            assert_int_equal(ww_View_Row_ttl(row), want->ttl_ms);
            assert_bytes(ww_View_Row_host(row), want->host, strlen(want->host));
            assert_int_equal(ww_View_Row_meta(row).count, want->meta_count);
            for (uint32_t k = 0; k < want->meta_count; k++)
                assert_bytes(ww_batch_string(r, row, k), want->meta[k], strlen(want->meta[k]));
        }
        assert_true(ww_View_Batch_strings(r).count <= 12);
        ww_msg_reset(&msg);
    }
    struct ww_View_Record_b rec = ww_View_Record_b_root(&msg);
    ww_record_encode(&records[0], rec);
    struct ww_View_Record_r got = ww_View_Record_b_reader(rec);
    assert_bytes(ww_View_Record_peer(got), m->records[0].peer, m->records[0].peer_len);
    assert_int_equal(ww_View_Record_server(got), m->records[0].server);
    assert_int_equal(ww_Heartbeat_server(ww_View_Record_heartbeat(got)), m->records[0].server);
    assert_int_equal(ww_Heartbeat_meta(ww_View_Record_heartbeat(got)).count, m->records[0].meta_count);
    ww_msg_fini(&msg);
    ww_batch_writer_fini(&w);
    ww_routing_free(t);
    test_free(records);
    test_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_follows),
        cmocka_unit_test(test_coalescing),
        cmocka_unit_test(test_query_wire),
        cmocka_unit_test(test_query_wire_refusals),
        cmocka_unit_test(test_scan_wire),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
