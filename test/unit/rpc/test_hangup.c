/* Who waits goes away: a Finish or the end of the connection, while results are on their way. */
#include "raw.h"

static struct raw r;

static int up(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

/* ---- results that are written from where they lie */

enum { LARGE = 20000 };

/* An object whose results are itself and LARGE bytes. */
struct large {
    struct ww_rpc_server server;
    struct ww_cap *self;
};

static void large_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct large *l = WW_CONTAINER_OF(server, struct large, server);
    static uint8_t data[LARGE];
    memset(data, 0x5a, sizeof data);
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 0), 1, 2);
    ww_pb_set_cap(ww_sb_ptr(results, 0), l->self);
    ww_pb_set_data(ww_sb_ptr(results, 1), ww_bytes(data, sizeof data));
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops large_ops = {.dispatch = large_dispatch};

/* Answer 3 waits to be written. */
static void large_asked(struct large *l)
{
    *l = (struct large){.server.ops = &large_ops};
    assert_ok(ww_cap_new_server(r.s.vat, &l->server, &l->self));
    r.object->kept = ww_cap_ref(l->self);
    raw_call(&r, 2, IMPORTED(0), M_GIVE, 0, NO_DESC);
    struct desc d = expect_results(&r, 2, 0);
    raw_call(&r, 3, IMPORTED(d.id), M_ECHO, 0, NO_DESC);
    assert_true(ww_rpc_conn_pending(r.s.conn) > LARGE);
}

/* Other messages of that size take what memory they can get; the Return is whole all the same. */
static void large_arrives(struct large *l)
{
    static uint8_t other[LARGE];
    for (int i = 0; i < 4; i++) {
        struct ww_rpc_request *q;
        assert_ok(ww_rpc_request_new(l->self, TEST_IFACE, M_ECHO, LARGE / 8, &q));
        ww_pb_set_data(ww_rpc_request_params(q), ww_bytes(other, sizeof other));
        ww_rpc_request_free(q);
    }
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    struct ww_sr results = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(ret, 0)), 0));
    struct ww_bytes data = ww_pr_data(ww_sr_ptr(results, 1));
    assert_int_equal(data.len, LARGE);
    for (size_t i = 0; i < data.len; i++)
        assert_int_equal(data.ptr[i], 0x5a);
    ww_cap_unref(l->self);
}

static void finish_crosses_large_return(void **state)
{
    WW_UNUSED(state);
    static struct large l; /* until it is dropped */
    large_asked(&l);
    raw_finish(&r, 3, true);
    large_arrives(&l);
    raw_silent(&r);
}

static void close_behind_large_return(void **state)
{
    WW_UNUSED(state);
    static struct large l; /* until it is dropped */
    large_asked(&l);
    ww_rpc_conn_close(r.s.conn, NULL);
    large_arrives(&l);
    raw_aborted(&r, WW_ECLOSED);
}

/* ---- calls on the results of others, and the end of the connection */

static void turn(void)
{
    while (ww_rpc_vat_run(r.s.vat, 1, 0)) {
    }
    side_check(&r.s);
}

static void pipelined_by_the_peer(void **state)
{
    WW_UNUSED(state);
    struct object *other;
    struct ww_cap *other_cap = object_new(r.s.vat, &r.live, &other);
    r.object->kept = ww_cap_ref(other_cap);
    raw_call(&r, 2, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 3, PROMISED(2, 0), M_NEW, 0, NO_DESC);
    raw_call(&r, 4, PROMISED(3, 0), M_ECHO, 1, NO_DESC);
    raw_call(&r, 5, PROMISED(2, 0), M_KEEP, 1, YOUR_ANSWER(3));
    ww_rpc_conn_lost(r.s.conn, WW_ERESET);
    turn();
    assert_int_equal(r.object->canceled, 1);
    object_go(r.object); /* the handler completes its call as if nothing had been */
    turn();
    assert_int_equal(other->seen_count, 0); /* nobody delivers what waited for it */
    assert_null(other->kept);
    ww_cap_unref(other_cap);
}

static void pipelined_by_us(void **state)
{
    WW_UNUSED(state);
    enum { CALLS = 4 };
    struct ww_rpc_request *q[CALLS];
    struct ww_cap *cap[CALLS + 1];
    struct outcome o[CALLS], late;
    cap[0] = raw_give(&r, HOSTED(4));
    for (int i = 0; i < CALLS; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(cap[i], M_ECHO_CAP, 0, cap[i], &o[i]);
        cap[i + 1] = pipeline(q[i], 0);
    }
    ww_rpc_conn_lost(r.s.conn, WW_ERESET);
    turn();
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(o[i].count, 1);
        assert_int_equal(o[i].status, WW_EDISCONNECTED);
        assert_int_equal(ww_cap_state(cap[i + 1]), WW_CAP_BROKEN);
        struct ww_cap *again = pipeline(q[i], 1);
        assert_int_equal(ww_cap_state(again), WW_CAP_BROKEN);
        ww_cap_unref(again);
        ww_rpc_request_free(q[i]);
    }
    for (int i = 0; i <= CALLS; i++) {
        outcome_init(&late, NULL);
        struct ww_rpc_request *after = call_send(cap[i], M_ECHO, 0, cap[CALLS - i], &late);
        turn();
        assert_int_equal(late.count, 1);
        assert_int_equal(late.status, WW_EDISCONNECTED);
        ww_rpc_request_free(after);
    }
    for (int i = 0; i <= CALLS; i++)
        ww_cap_unref(cap[i]);
}

/* ---- everything is used once more when the connection has ended, and says so */

static unsigned settled;

static void on_settled(struct ww_cap_watch *watch)
{
    WW_UNUSED(watch);
    settled++;
}

static const struct ww_rpc_stream_ops stream_ops = {0};
static const struct ww_membrane_policy_ops policy_ops = {0};

static struct ww_rpc_request *request(struct ww_cap *to)
{
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, M_ECHO, 0, &q));
    return q;
}

static void fails(struct ww_cap *cap)
{
    struct outcome o;
    outcome_init(&o, NULL);
    assert_int_equal(ww_cap_state(cap), WW_CAP_BROKEN);
    assert_null(ww_cap_server(cap, &object_ops));
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 0, NULL, &o);
    turn();
    assert_int_equal(o.status, WW_EDISCONNECTED);
    ww_rpc_request_free(q);
}

static void connection_after_its_end(void)
{
    struct ww_cap *cap;
    struct ww_rpc_conn_stats stats;
    uint8_t *at, byte = 0;
    size_t len;
    assert_int_equal(ww_rpc_conn_bootstrap(r.s.conn, &cap), WW_ECLOSED);
    assert_int_equal(ww_rpc_conn_feed(r.s.conn, ww_bytes(&byte, 1)), WW_ERESET);
    assert_int_equal(ww_rpc_conn_rbuf(r.s.conn, &at, &len), WW_ERESET);
    assert_int_equal(ww_rpc_conn_fed(r.s.conn, 1), WW_ERESET);
    ww_rpc_conn_close(r.s.conn, "again");
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    assert_false(ww_rpc_conn_is_open(r.s.conn));
    assert_false(ww_rpc_conn_want_read(r.s.conn));
    ww_rpc_conn_stats(r.s.conn, &stats);
    assert_int_equal(stats.questions + stats.answers + stats.exports + stats.imports + stats.embargoes, 0);
    ww_rpc_conn_set_stream_window(r.s.conn, 1);
}

static void all_used_after_the_end(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *object = raw_give(&r, HOSTED(4)), *promise = raw_give(&r, PROMISE(5)), *local, *face;
    struct ww_cap *given;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &local, &resolver));
    r.object->kept = ww_cap_ref(local);
    raw_call(&r, 2, IMPORTED(0), M_GIVE, 0, NO_DESC); /* the peer has the promise, too */
    assert_int_equal(expect_results(&r, 2, 0).kind, WW_RPC_DESC_SENDER_PROMISE);
    raw_call(&r, 3, IMPORTED(0), M_LATER, 0, NO_DESC);
    struct ww_membrane_policy policy = {&policy_ops};
    struct ww_membrane *membrane;
    assert_ok(ww_membrane_new(r.s.vat, &policy, &membrane));
    assert_ok(ww_membrane_pass(membrane, WW_MEMBRANE_OUT, promise, &face));
    struct ww_rpc_stream stream;
    assert_ok(ww_rpc_stream_init(&stream, r.s.vat, &stream_ops, 0));
    assert_int_equal(ww_rpc_stream_send_take(&stream, request(object)), WW_RPC_STREAM_OK);
    struct ww_cap_watch watch = {.settled = on_settled};
    settled = 0;
    assert_ok(ww_cap_watch_start(&watch, promise));
    struct ww_rpc_request *built = request(promise), *waits = request(local);
    ww_rpc_request_send(waits, NULL);

    ww_rpc_conn_lost(r.s.conn, WW_ERESET);
    turn();
    connection_after_its_end();
    assert_int_equal(settled, 1);
    fails(object);
    fails(promise);
    fails(face);
    assert_ok(ww_membrane_pass(membrane, WW_MEMBRANE_OUT, object, &given));
    fails(given);
    ww_cap_unref(given);
    assert_int_equal(stream.err, WW_EDISCONNECTED);
    assert_int_equal(ww_rpc_stream_send_take(&stream, request(object)), WW_EDISCONNECTED);
    ww_rpc_stream_finish(&stream);
    ww_rpc_request_send(built, NULL); /* built before, sent after */
    turn();
    assert_int_equal(ww_rpc_request_status(built), WW_EDISCONNECTED);
    struct ww_rpc_call *call = r.object->later;
    uint16_t path = 0;
    r.object->later = NULL; /* it goes with the call */
    assert_true(ww_rpc_call_is_canceled(call));
    assert_null(ww_rpc_call_conn(call));
    assert_ok(ww_rpc_call_set_pipeline(call, &path, 1, object));
    ww_rpc_call_forward_take(call, request(object));
    ww_cap_resolver_resolve(resolver, promise); /* what waited for it learns where it led */
    turn();
    assert_int_equal(ww_rpc_request_status(waits), WW_EDISCONNECTED);
    fails(local);
    ww_membrane_revoke(membrane, WW_EFAILED, "too late");
    ww_rpc_stream_fini(&stream);
    ww_rpc_request_free(built);
    ww_rpc_request_free(waits);
    struct ww_cap *caps[] = {object, promise, local, face};
    for (size_t i = 0; i < WW_COUNT_OF(caps); i++)
        ww_cap_unref(caps[i]);
    ww_membrane_unref(membrane);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(finish_crosses_large_return), T(close_behind_large_return),
        T(pipelined_by_the_peer), T(pipelined_by_us), T(all_used_after_the_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
