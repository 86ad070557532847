/* What is known of capabilities whose calls keep to the way over the wire, because that way was described to
 * the peer as a result: promise, settled, null, broken, and when those who watch are told. */
#include "raw.h"

static struct raw r;
static struct ww_cap *cap; /* the result of answer 1, which the peer named before it was there */
static struct ww_cap_watch watch;
static unsigned fired;

static void settled(struct ww_cap_watch *w)
{
    WW_UNUSED(w);
    fired++;
    assert_int_not_equal(ww_cap_state(cap), WW_CAP_PROMISE);
}

static int setup(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    fired = 0;
    watch = (struct ww_cap_watch){.settled = settled};
    raw_bootstrap(&r, 0);
    assert_int_equal(expect_results(&r, 0, 0).id, 0);
    raw_finish(&r, 0, false);
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    ww_cap_watch_stop(&watch);
    ww_cap_unref(cap);
    cap = NULL;
    raw_fini(&r);
    return 0;
}

/* The peer asks for something, and hands us the result of that before it is there; then it is `result`, of
 * which the vat keeps nothing but what it described. Takes the reference. */
static struct desc come_back(struct ww_cap *result)
{
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    cap = raw_give(&r, YOUR_ANSWER(1));
    r.object->kept = result;
    object_go(r.object);
    struct desc d = expect_results(&r, 1, 0);
    r.object->kept = NULL;
    ww_cap_unref(result);
    return d;
}

static void watched(enum ww_cap_state now)
{
    assert_int_equal(ww_cap_state(cap), now);
    assert_ok(ww_cap_watch_start(&watch, cap));
    raw_silent(&r);
    assert_int_equal(fired, now != WW_CAP_PROMISE);
}

static void becomes(enum ww_cap_state state)
{
    while (ww_rpc_vat_run(r.s.vat, 1, 0))
        ;
    assert_int_equal(ww_cap_state(cap), state);
    assert_int_equal(fired, 1);
}

/* A call of ours on the peer, and the promise of its result. */
static struct ww_rpc_request *asked(bool for_pipeline, struct ww_cap **ret_result, uint32_t *ret_qid)
{
    struct ww_cap *theirs = raw_give(&r, HOSTED(9));
    struct ww_rpc_request *q;
    if (for_pipeline) {
        assert_ok(ww_rpc_request_new(theirs, TEST_IFACE, M_ECHO, 0, &q));
        ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(q), 1, 1), 0, 3);
        ww_rpc_request_send_for_pipeline(q);
    } else {
        q = call_send(theirs, M_ECHO, 3, NULL, NULL);
    }
    *ret_result = pipeline(q, 0);
    expect_call(&r, IMPORTED(9), M_ECHO, 3, ret_qid);
    ww_cap_unref(theirs);
    expect_release(&r, 9, 1);
    return q;
}

static void result_becomes_null(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *result;
    uint32_t qid;
    struct ww_rpc_request *q = asked(false, &result, &qid);
    assert_int_equal(come_back(result).kind, WW_RPC_DESC_RECEIVER_ANSWER);
    watched(WW_CAP_PROMISE);
    raw_return(&r, qid, 0, NO_DESC);
    becomes(WW_CAP_NULL);
    assert_true(ww_cap_same(cap, NULL));
    ww_rpc_request_free(q);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

static void result_becomes_ours(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *result;
    uint32_t qid;
    struct ww_rpc_request *q = asked(false, &result, &qid);
    come_back(result);
    watched(WW_CAP_PROMISE);
    raw_return(&r, qid, 0, YOURS(0));
    uint32_t embargo;
    expect_disembargo(&r, PROMISED(qid, 0), 0, &embargo); /* the peer may have sent calls that way */
    assert_int_equal(fired, 0);
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    becomes(WW_CAP_SETTLED);
    ww_rpc_request_free(q);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

/* Nobody is told what becomes of it: while the connection lasts it is a promise. */
static void result_of_a_call_for_its_pipeline(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *result;
    uint32_t qid;
    struct ww_rpc_request *q = asked(true, &result, &qid);
    assert_int_equal(come_back(result).id, qid);
    watched(WW_CAP_PROMISE);
    ww_rpc_request_free(q);
    assert_int_equal(ww_cap_state(cap), WW_CAP_PROMISE);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    becomes(WW_CAP_BROKEN);
}

static void import_becomes_an_object(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(come_back(raw_give(&r, PROMISE(8))).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    watched(WW_CAP_PROMISE);
    raw_resolve(&r, 8, HOSTED(9));
    becomes(WW_CAP_SETTLED);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

/* The Resolve leads on to another promise: the watch goes on, too. */
static void import_becomes_broken_in_two_steps(void **state)
{
    WW_UNUSED(state);
    come_back(raw_give(&r, PROMISE(8)));
    watched(WW_CAP_PROMISE);
    raw_resolve(&r, 8, PROMISE(9));
    assert_int_equal(ww_cap_state(cap), WW_CAP_PROMISE);
    assert_int_equal(fired, 0);
    raw_resolve(&r, 9, NO_DESC);
    becomes(WW_CAP_BROKEN);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

/* Nobody watches, so that the Resolve finds nothing but the node that was described. */
static void import_resolved_unseen(void **state)
{
    WW_UNUSED(state);
    come_back(raw_give(&r, PROMISE(8)));
    assert_int_equal(ww_cap_state(cap), WW_CAP_PROMISE);
    raw_resolve(&r, 8, HOSTED(9));
    expect_release(&r, 9, 1);
    watched(WW_CAP_SETTLED);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(result_becomes_null), T(result_becomes_ours),
        T(result_of_a_call_for_its_pipeline), T(import_becomes_an_object),
        T(import_becomes_broken_in_two_steps), T(import_resolved_unseen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
