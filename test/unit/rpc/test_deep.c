/* Chains of calls as long as a peer may make them, and rings: none may take a stack frame for each link, or
 * go round for ever. */
#include "raw.h"

enum { DEPTH = 50000, FIRST = 1000 };

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

/* Without looking at the invariants, which takes as long as there are calls. */
static ww_err feed(void)
{
    static uint8_t frame[1 << 12];
    size_t n = ww_msg_frame_bytes(&r.out);
    assert_true(n <= sizeof frame);
    ww_msg_frame_write(&r.out, frame);
    return ww_rpc_conn_feed(r.s.conn, ww_bytes(frame, n));
}

static void written(void)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(r.s.conn, &view, 1))
        ww_rpc_conn_pulled(r.s.conn, view.len);
}

/* The first capability of the results of answer `id`. */
static void put_promised(struct ww_pb at, uint32_t id)
{
    struct ww_sb promised = ww_pb_init_struct(at, 1, 1);
    ww_sb_set_u32(promised, 0, id);
    ww_sb_set_u16(ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, 1), 0), 0, 1);
}

/* Begins a call on a result of answer `on`. */
static struct ww_sb call_begin(uint32_t qid, uint32_t on)
{
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, M_ECHO_CAP);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    struct ww_sb target = ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    ww_sb_set_u16(target, 2, 1);
    put_promised(ww_sb_ptr(target, 0), on);
    return call;
}

/* A parameter: a result of answer `of`. */
static void call_with(struct ww_sb call, uint32_t of)
{
    struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
    ww_le64_store(ww_sb_ptr(ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 1), 0).at, 3);
    struct ww_sb desc = ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(payload, 1), 1, 1, 1), 0);
    ww_sb_set_u16(desc, 0, WW_RPC_DESC_RECEIVER_ANSWER);
    put_promised(ww_sb_ptr(desc, 0), of);
}

/* Nobody waits for any of them, the last included. */
static void finish_all(void)
{
    for (uint32_t i = 0; i < DEPTH; i++) {
        struct ww_sb finish = raw_begin(&r, WW_RPC_FINISH, 1, 0);
        ww_sb_set_u32(finish, 0, FIRST + i);
        ww_sb_set_bool(finish, 33, true);
        assert_ok(feed());
    }
}

static void later(void)
{
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_silent(&r);
}

/* Each waits for the result of the one before. */
static void calls_on_results(void **state)
{
    WW_UNUSED(state);
    later();
    for (uint32_t i = 0; i < DEPTH; i++) {
        call_begin(FIRST + i, i ? FIRST + i - 1 : 1);
        assert_ok(feed());
    }
    finish_all();
    assert_int_equal(r.s.conn->answers.live, 2);
    written();
    object_go(r.object);
}

/* Each has the result of the one before among its parameters. */
static void chain_of_parameters(void)
{
    later();
    for (uint32_t i = 0; i < DEPTH; i++) {
        struct ww_sb call = call_begin(FIRST + i, 1);
        if (i)
            call_with(call, FIRST + i - 1);
        assert_ok(feed());
    }
}

static void results_as_parameters(void **state)
{
    WW_UNUSED(state);
    chain_of_parameters();
    finish_all();
    assert_int_equal(r.s.conn->answers.live, 2);
    written();
    object_go(r.object);
}

static void results_as_parameters_lost(void **state)
{
    WW_UNUSED(state);
    chain_of_parameters();
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    object_go(r.object);
}

/* Our own, let go at its end. */
static void of_ours(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *at = raw_give(&r, HOSTED(4));
    for (uint32_t i = 0; i < DEPTH; i++) {
        struct ww_rpc_request *q = call_send(at, M_ECHO_CAP, 0, NULL, NULL);
        struct ww_cap *next = pipeline(q, 0);
        ww_rpc_request_free(q);
        ww_cap_unref(at);
        at = next;
    }
    assert_int_equal(r.s.conn->questions.live, DEPTH);
    ww_cap_unref(at);
    for (uint32_t i = 0; i < DEPTH; i++)
        assert_true(((struct ww_rpc_call *)r.s.conn->questions.at[i])->q.finished);
    written();
}

/* ---- results that the peer has us keep, and takes for the answers to our own calls */

static uint32_t qids[DEPTH];

/* Calls of the peer on its own import 4, by way of us: a question to it for each. */
static void kept_calls(uint32_t count)
{
    r.object->kept = raw_give(&r, HOSTED(4));
    raw_call(&r, 2, IMPORTED(0), M_GIVE, 0, NO_DESC);
    expect_results(&r, 2, 0);
    for (uint32_t i = 0; i < count; i++) {
        ww_sb_set_u16(call_begin(FIRST + i, 2), 3, WW_RPC_RESULTS_YOURSELF);
        assert_ok(feed());
        expect_call(&r, IMPORTED(4), M_ECHO_CAP, 0, &qids[i]);
    }
}

static ww_err take(uint32_t i, uint32_t other)
{
    struct ww_sb ret = raw_begin(&r, WW_RPC_RETURN, 2, 1);
    ww_sb_set_u32(ret, 0, qids[i]);
    ww_sb_set_bool(ret, 32, true);
    ww_sb_set_u16(ret, 3, WW_RPC_RETURN_TAKE);
    ww_sb_set_u32(ret, 2, FIRST + other);
    return feed();
}

static void takes_itself(void **state)
{
    WW_UNUSED(state);
    kept_calls(1);
    assert_int_equal(take(0, 0), WW_EPROTO);
}

static void take_one_another(void **state)
{
    WW_UNUSED(state);
    kept_calls(3);
    assert_ok(take(0, 1));
    assert_ok(take(1, 2));
    assert_int_equal(take(2, 0), WW_EPROTO);
}

/* Each is the outcome of the one before. Calls on the result of the first are too far from the last. */
static void long_take(void **state)
{
    WW_UNUSED(state);
    kept_calls(DEPTH);
    for (uint32_t i = 0; i + 1 < DEPTH; i++)
        assert_ok(take(i, i + 1));
    written();
    raw_call(&r, 3, PROMISED(FIRST, 0), M_ECHO, 0, NO_DESC);
    expect_exception(&r, 3, WW_KIND_OVERLOADED);
    raw_return(&r, qids[DEPTH - 1], 1, NO_DESC);
    for (uint32_t i = 0; i < DEPTH; i++)
        assert_int_equal(
            ((struct ww_rpc_call *)ww_rpc_idmap_get(&r.s.conn->answers, FIRST + i))->state, CALL_DONE);
    written();
}

static void long_take_lost(void **state)
{
    WW_UNUSED(state);
    kept_calls(DEPTH);
    for (uint32_t i = 0; i + 1 < DEPTH; i++)
        assert_ok(take(i, i + 1));
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

/* From its other end no peer that keeps to the rules can make it. */
static void take_backwards(void **state)
{
    WW_UNUSED(state);
    kept_calls(WW_RPC_ROOT_HOPS + 3);
    ww_err err = 0;
    uint32_t i = 1;
    for (; err == 0 && i < WW_RPC_ROOT_HOPS + 3; i++)
        err = take(i, i - 1);
    assert_int_equal(err, WW_EPROTO);
    assert_int_equal(i, WW_RPC_ROOT_HOPS + 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(calls_on_results), T(results_as_parameters),
        T(results_as_parameters_lost), T(of_ours), T(takes_itself), T(take_one_another), T(long_take),
        T(long_take_lost), T(take_backwards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
