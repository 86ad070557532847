#include "test/unit/cluster/model.h"

#include "cluster/query.h"

/* ---- language ---- */

static void print(const struct ww_query *q, char out[16384])
{
    struct ww_buf buf;
    ww_buf_init(&buf, 16383);
    assert_ok(ww_query_print(q, &buf));
    memcpy(out, ww_buf_data(&buf) ? ww_buf_data(&buf) : (const uint8_t *)"", ww_buf_len(&buf));
    out[ww_buf_len(&buf)] = 0;
    ww_buf_fini(&buf);
}

static void expect_print(const char *text, const char *want)
{
    char got[16384], again[16384];
    struct ww_query *q = ww_query_new();
    struct ww_diag diag = {0};
    ww_err err = ww_query_parse(q, ww_bytes_str(text), NULL, &diag);
    if (err < 0)
        fail_msg("%s: %s", text, diag.text);
    print(q, got);
    assert_string_equal(got, want);
    ww_query_free(q);
    q = ww_query_new();
    assert_ok(ww_query_parse(q, ww_bytes_str(got), NULL, NULL));
    print(q, again);
    assert_string_equal(again, want);
    ww_query_free(q);
}

static void test_language(void **state)
{
    expect_print("", "");
    expect_print("  WHERE ", "");
    expect_print("host=web", "host=web");
    expect_print("where host==web1", "host==web1");
    expect_print("peer=12D3", "id=12D3");
    expect_print("host = web", "host=web");
    expect_print("server=/0AFEC6", "server=0afec6");
    expect_print("a=1 and b=2 AND c=3", "a=1 AND b=2 AND c=3");
    expect_print("a=1 OR b=2 AND c=3", "a=1 OR (b=2 AND c=3)");
    expect_print("(a=1 OR b=2) AND c=3", "(a=1 OR b=2) AND c=3");
    expect_print("((a=1))", "a=1");
    expect_print("not a=1", "a!=1");
    expect_print("NOT NOT a=1", "a=1");
    expect_print("NOT(a=1 AND b<2)", "NOT (a=1 AND b<2)");
    expect_print("NOT a<5", "NOT a<5");
    expect_print("a!=x AND b!==y", "a!=x AND b!==y");
    expect_print("a<1 AND b<=2 AND c>3 AND d>=4", "a<1 AND b<=2 AND c>3 AND d>=4");
    expect_print("zone=", "zone=\"\"");
    expect_print("zone= AND a=1", "zone=\"\" AND a=1");
    expect_print("zone==''", "zone==\"\"");
    expect_print("label=a=b", "label=\"a=b\"");
    expect_print("\"host\"=x", "\"host\"=x");
    expect_print("'my key'='it is'", "\"my key\"=\"it is\"");
    expect_print("a=\"q\\\"\\\\\"", "a=\"q\\\"\\\\\"");
    expect_print("and=1 AND not=2 OR or=3", "(\"and\"=1 AND \"not\"=2) OR \"or\"=3");
    expect_print("a=AND", "a=AND");
}

static void expect_error(const char *text, size_t at, ww_err err)
{
    struct ww_query *q = ww_query_new();
    struct ww_diag diag = {0};
    size_t offset = 999;
    char got[16384];
    assert_ok(ww_query_parse(q, ww_bytes_str("x=1"), NULL, NULL));
    assert_int_equal(ww_query_parse(q, ww_bytes_str(text), &offset, &diag), err);
    assert_int_equal(offset, at);
    assert_int_equal(strtoul(diag.text, NULL, 10), at);
    print(q, got);
    assert_string_equal(got, "x=1"); /* as it was */
    ww_query_free(q);
}

static void test_errors_point(void **state)
{
    expect_error("host", 4, WW_EINVAL);
    expect_error("host=a host=b", 7, WW_EINVAL);
    expect_error("host=a AND", 10, WW_EINVAL);
    expect_error("(host=a", 0, WW_EINVAL);
    expect_error("(host=a b", 8, WW_EINVAL);
    expect_error("host=a)", 6, WW_EINVAL);
    expect_error("=a", 0, WW_EINVAL);
    expect_error("a='x", 2, WW_EINVAL);
    expect_error("a=\"\\n\"", 3, WW_EINVAL);
    expect_error("a='x'y", 5, WW_EINVAL);
    expect_error("server=xyz", 7, WW_EINVAL);
    expect_error("server=00112233445566778", 7, WW_EINVAL);
    expect_error("'a=b'=c", 0, WW_EINVAL);
    expect_error("a= b", 3, WW_EINVAL);
    expect_error("a=1 AND OR b=2", 11, WW_EINVAL);
    expect_error("((((((((((((((((((a=1))))))))))))))))))", 16, WW_EDEPTH);
}

static void test_too_large(void **state)
{
    struct ww_query *q = ww_query_new();
    struct ww_buf text;
    ww_buf_init(&text, 100000);
    for (int i = 0; i < WW_QUERY_NODES_MAX; i++)
        assert_ok(ww_buf_append(&text, ww_bytes_str(i ? " AND a=1" : "a=1")));
    assert_int_equal(ww_query_parse(q, ww_buf_view(&text), NULL, NULL), WW_ELIMIT);
    ww_buf_clear(&text);
    assert_ok(ww_buf_append(&text, ww_bytes_str("a=")));
    for (int i = 0; i < WW_QUERY_TEXT_MAX; i++)
        assert_ok(ww_buf_append_byte(&text, 'x'));
    assert_int_equal(ww_query_parse(q, ww_buf_view(&text), NULL, NULL), WW_ELIMIT);
    assert_int_equal(q->node_count, 1);
    /* Conditions pile up on one query until it is full, and a failure leaves it as it was. */
    while (ww_query_parse(q, ww_bytes_str("a=1 OR b=2"), NULL, NULL) == 0) {
    }
    uint16_t nodes = q->node_count;
    assert_int_equal(ww_query_parse(q, ww_bytes_str("a=1 OR b=2"), NULL, NULL), WW_ELIMIT);
    assert_int_equal(q->node_count, nodes);
    ww_buf_fini(&text);
    ww_query_free(q);
}

/* ---- execution, against the model ---- */

static bool naive_cmp(struct ww_bytes key, enum ww_cmp cmp, struct ww_bytes value)
{
    int c = ww_bytes_cmp(key, value);
    switch (cmp) {
    case WW_CMP_PREFIX:
        return ww_bytes_has_prefix(key, value);
    case WW_CMP_EQ:
        return c == 0;
    case WW_CMP_LT:
        return c < 0;
    case WW_CMP_LE:
        return c <= 0;
    case WW_CMP_GT:
        return c > 0;
    case WW_CMP_GE:
        return c >= 0;
    }
    return false;
}

static bool naive_match(const struct ww_query *q, uint16_t node, const struct model_record *r)
{
    const struct ww_filter *f = &q->nodes[node];
    bool any = false, all = true;
    if (f->op == WW_FILTER_ALL)
        return true;
    if (f->op != WW_FILTER_CMP) {
        for (uint16_t at = f->child; at; at = q->nodes[at].next) {
            bool hit = naive_match(q, at, r);
            any = any || hit;
            all = all && hit;
        }
        return f->op == WW_FILTER_NOT ? !any : (f->op == WW_FILTER_AND ? all : any);
    }
    if (f->field == WW_INDEX_ID)
        return naive_cmp(ww_bytes_str(r->id), f->cmp, f->value);
    if (f->field == WW_INDEX_SERVER)
        return naive_cmp(ww_bytes_str(r->server_hex), f->cmp, f->value);
    if (f->field == WW_INDEX_HOST)
        return r->host[0] && naive_cmp(ww_bytes_str(r->host), f->cmp, f->value);
    for (size_t i = 0; i < r->meta_count; i++) {
        struct ww_bytes text = ww_bytes_str(r->meta[i]);
        if (text.len <= f->key.len || text.ptr[f->key.len] != '=' || !ww_bytes_has_prefix(text, f->key))
            continue;
        if (naive_cmp(ww_bytes_skip(text, f->key.len + 1), f->cmp, ww_bytes_skip(f->value, f->key.len + 1)))
            return true;
    }
    return false;
}

/* A random condition; its texts come from the model's world. */
static ww_err random_node(
    struct ww_prng *p, struct ww_query *q, const struct model *m, unsigned depth, uint16_t *ret)
{
    static const char *const keys[] = {"zone", "role", "x", "", "zonex", "long-key-common-prefix", "none"};
    static const char *const values[] = {"", "e", "eu-1", "eu-2", "us", "a", "v", "1", "zz"};
    const struct model_record *r = &m->records[ww_prng_below(p, m->count)];
    uint64_t what = ww_prng_below(p, depth == 0 ? 1 : 4);
    uint16_t a, b;
    if (what == 1) {
        WW_TRY(random_node(p, q, m, depth - 1, &a));
        return ww_query_not(q, a, ret);
    }
    if (what >= 2) {
        WW_TRY(random_node(p, q, m, depth - 1, &a));
        WW_TRY(random_node(p, q, m, depth - 1, &b));
        return ww_query_join(q, what == 2 ? WW_FILTER_AND : WW_FILTER_OR, a, b, ret);
    }
    enum ww_index field = (enum ww_index)ww_prng_below(p, 4);
    const char *texts[] = {r->id, r->server_hex, r->host, values[ww_prng_below(p, WW_COUNT_OF(values))]};
    size_t len = ww_prng_below(p, 3) ? strlen(texts[field]) : ww_prng_below(p, strlen(texts[field]) + 1);
    return ww_query_cmp(q, field, (enum ww_cmp)ww_prng_below(p, 6),
        ww_bytes_str(keys[ww_prng_below(p, WW_COUNT_OF(keys))]), ww_bytes(texts[field], len), ret);
}

static const char *order_key(const struct ww_query *q, const struct model_record *r)
{
    return q->order == WW_INDEX_SERVER ? r->server_hex : (q->order == WW_INDEX_HOST ? r->host : r->id);
}

static bool naive_bounds(const struct ww_query *q, const struct model_record *r)
{
    struct ww_bytes key = ww_bytes_str(q->ordered ? order_key(q, r) : r->id);
    return (q->from.kind == WW_BOUND_NONE || ww_bytes_cmp(key, q->from.text) >= 0) &&
        (q->to.kind == WW_BOUND_NONE || ww_bytes_cmp(key, q->to.text) <= 0);
}

static int naive_order(const struct ww_query *q, const struct model_record *a, const struct model_record *b)
{
    int c = strcmp(order_key(q, a), order_key(q, b));
    c = c ? c : strcmp(a->id, b->id);
    return q->descending ? -c : c;
}

static void expect_results(
    const struct model *m, struct ww_snapshot *s, const struct ww_query *q, size_t step)
{
    const struct model_record *want[MODEL_MAX];
    bool seen[MODEL_MAX] = {false};
    size_t count = 0, got_count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (naive_bounds(q, &m->records[i]) && (q->root == 0 || naive_match(q, q->root, &m->records[i])))
            want[count++] = &m->records[i];
    }
    for (size_t i = 1; q->ordered && i < count; i++) {
        for (size_t j = i; j > 0 && naive_order(q, want[j - 1], want[j]) > 0; j--) {
            const struct model_record *swap = want[j];
            want[j] = want[j - 1];
            want[j - 1] = swap;
        }
    }
    struct ww_query_run run;
    struct ww_record got;
    assert_ok(ww_query_run_init(&run, q, s));
    for (;;) {
        ww_err err = ww_query_run_next(&run, step, &got);
        if (err == WW_EAGAIN)
            continue;
        if (err == 0)
            break;
        assert_int_equal(err, 1);
        size_t at = 0;
        if (q->ordered) {
            at = got_count;
        } else {
            while (at < count &&
                (seen[at] || !ww_bytes_eq(got.peer, ww_bytes(want[at]->peer, want[at]->peer_len))))
                at++;
        }
        assert_true(at < count);
        seen[at] = true;
        model_expect(want[at], &got);
        got_count++;
    }
    assert_int_equal(got_count, q->limit && q->limit < count ? q->limit : count);
    assert_int_equal(ww_query_run_next(&run, step, &got), 0);
    ww_query_run_fini(&run);
}

static void fill(struct ww_prng *p, struct ww_routing *t, struct model *m)
{
    struct ww_bytes meta[MODEL_META];
    for (int i = 0; i < 130; i++) {
        struct model_record r;
        model_random(p, &r);
        r.seq = 1;
        r.deadline_ns = r.ttl_ms * WW_NS_PER_MS;
        struct ww_record_in in = model_in(&r, meta);
        if (ww_routing_upsert(t, 0, &in) == WW_UPSERT_JOINED)
            model_put(m, &r);
    }
}

static void test_random_queries(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct ww_routing_conf conf = {.seed = {seed, 2}};
        struct ww_routing *t;
        struct ww_prng p;
        struct model *m = test_calloc(1, sizeof *m);
        ww_prng_init(&p, seed);
        assert_ok(ww_routing_new(&conf, &t));
        fill(&p, t, m);
        struct ww_snapshot *s = ww_routing_snapshot(t);
        for (int round = 0; round < 400; round++) {
            struct ww_query *q = ww_query_new();
            if (ww_prng_below(&p, 10) && random_node(&p, q, m, (unsigned)ww_prng_below(&p, 4), &q->root) < 0)
                q->root = 0;
            q->ordered = ww_prng_below(&p, 3) > 0;
            q->order = (enum ww_index)ww_prng_below(&p, 3);
            q->descending = ww_prng_below(&p, 2);
            q->limit = ww_prng_below(&p, 3) ? 0 : 1 + ww_prng_below(&p, 20);
            const struct model_record *bounds[2] = {
                &m->records[ww_prng_below(&p, m->count)], &m->records[ww_prng_below(&p, m->count)]};
            if (ww_prng_below(&p, 3) == 0)
                q->from = (struct ww_bound){
                    WW_BOUND_INCL, ww_bytes_str(q->ordered ? order_key(q, bounds[0]) : bounds[0]->id)};
            if (ww_prng_below(&p, 3) == 0)
                q->to = (struct ww_bound){
                    WW_BOUND_INCL, ww_bytes_str(q->ordered ? order_key(q, bounds[1]) : bounds[1]->id)};
            expect_results(m, s, q, 1 + ww_prng_below(&p, 50));
            /* Its text says the same. */
            char text[16384], again[16384];
            struct ww_query *copy = ww_query_new();
            print(q, text);
            assert_ok(ww_query_parse(copy, ww_bytes_str(text), NULL, NULL));
            print(copy, again);
            assert_string_equal(text, again);
            for (size_t i = 0; i < m->count; i++) {
                bool same = (q->root == 0 || naive_match(q, q->root, &m->records[i])) ==
                    (copy->root == 0 || naive_match(copy, copy->root, &m->records[i]));
                assert_true(same);
            }
            ww_query_free(copy);
            ww_query_free(q);
        }
        ww_snapshot_unref(s);
        ww_routing_free(t);
        test_free(m);
    }
}

static void test_planner_uses_indexes(void **state)
{
    enum { N = 5000 };
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t;
    assert_ok(ww_routing_new(&conf, &t));
    for (uint32_t i = 0; i < N; i++) {
        uint8_t id[38] = {0, 0x24, 8, 1, 0x12, 0x20};
        char host[32], shard[32];
        ww_be32_store(id + 6, i * 2654435761u);
        snprintf(host, sizeof host, "host-%04u", i);
        snprintf(shard, sizeof shard, "shard=%02u", i % 100);
        struct ww_bytes meta = ww_bytes_str(shard);
        struct ww_record_in in = {ww_bytes(id, 38), i, 1, 1000, ww_bytes_str(host), &meta, 1};
        assert_int_equal(ww_routing_upsert(t, 0, &in), WW_UPSERT_JOINED);
    }
    static const struct {
        const char *text;
        size_t matches, examined_max;
    } cases[] = {
        {"shard==07", 50, 50},
        {"host=host-12", 100, 100},
        {"host=host-1 AND shard==07", 10, 50},
        {"host=host-12 AND shard>=90", 10, 100},
        {"shard==07 OR shard==08", 100, 100},
        {"NOT shard==07", 4950, 5000},
        {"nothing=here", 0, 0},
        {"host==host-0001 OR nothing=here", 1, 1},
    };
    struct ww_snapshot *s = ww_routing_snapshot(t);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        for (int ordered = 0; ordered < 2; ordered++) {
            struct ww_query *q = ww_query_new();
            struct ww_query_run run;
            struct ww_record r;
            size_t matches = 0;
            assert_ok(ww_query_parse(q, ww_bytes_str(cases[i].text), NULL, NULL));
            q->ordered = ordered;
            q->order = WW_INDEX_SERVER;
            assert_ok(ww_query_run_init(&run, q, s));
            while (ww_query_run_next(&run, SIZE_MAX, &r) == 1)
                matches++;
            assert_int_equal(matches, cases[i].matches);
            assert_true(run.examined <= cases[i].examined_max);
            ww_query_run_fini(&run);
            ww_query_free(q);
        }
    }
    /* More matches than were estimated: the sort gives way, the answer stays. */
    struct ww_query *q = ww_query_new();
    struct ww_query_run run;
    struct ww_record r;
    q->ordered = true;
    q->order = WW_INDEX_META;
    assert_int_equal(ww_query_run_init(&run, q, s), WW_EINVAL);
    q->order = WW_INDEX_HOST;
    q->limit = 3;
    q->descending = true;
    assert_ok(ww_query_run_init(&run, q, s));
    for (unsigned i = 0; i < 3; i++) {
        char host[32];
        snprintf(host, sizeof host, "host-%04u", N - 1 - i);
        assert_int_equal(ww_query_run_next(&run, SIZE_MAX, &r), 1);
        assert_bytes(r.host, host, strlen(host));
    }
    assert_int_equal(ww_query_run_next(&run, SIZE_MAX, &r), 0);
    assert_true(run.examined <= 3);
    ww_query_run_fini(&run);
    ww_query_free(q);
    ww_snapshot_unref(s);
    ww_routing_free(t);
}

/* ---- standing queries ---- */

struct standing {
    struct ww_routing_observer obs;
    struct ww_query *query;
    enum ww_watch_event last;
};

static void standing_changed(struct ww_routing_observer *obs, const struct ww_record *before,
    const struct ww_record *after, bool renewed)
{
    struct standing *st = WW_CONTAINER_OF(obs, struct standing, obs);
    st->last = ww_query_classify(st->query, before, after, renewed);
}

static void test_classify(void **state)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    struct ww_routing *t;
    struct standing st = {.obs.changed = standing_changed, .query = ww_query_new()};
    assert_ok(ww_routing_new(&conf, &t));
    assert_ok(ww_query_parse(st.query, ww_bytes_str("host=web AND NOT zone==us"), NULL, NULL));
    ww_routing_observe(t, &st.obs);
    static const struct {
        const char *host, *meta;
        enum ww_watch_event event;
    } steps[] = {{"db", "zone=eu", WW_WATCH_NONE}, {"web", "zone=us", WW_WATCH_NONE},
        {"web", "zone=eu", WW_WATCH_JOINED}, {"web", "zone=eu", WW_WATCH_NONE},
        {"web2", "zone=eu", WW_WATCH_CHANGED}, {"web2", "zone=us", WW_WATCH_LEFT},
        {"web2", "x=y", WW_WATCH_JOINED}};
    for (size_t i = 0; i < WW_COUNT_OF(steps); i++) {
        struct ww_bytes meta = ww_bytes_str(steps[i].meta);
        struct ww_record_in in = {
            WW_BYTES_LIT("peer"), 1, i + 1, 1000, ww_bytes_str(steps[i].host), &meta, 1};
        assert_true(ww_routing_upsert(t, 0, &in) > 0);
        assert_int_equal(st.last, steps[i].event);
    }
    ww_routing_advance(t, WW_NS_PER_S, 0);
    assert_int_equal(st.last, WW_WATCH_LEFT);
    ww_routing_unobserve(&st.obs);
    ww_query_free(st.query);
    ww_routing_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_errors_point),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_random_queries),
        cmocka_unit_test(test_planner_uses_indexes),
        cmocka_unit_test(test_classify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
