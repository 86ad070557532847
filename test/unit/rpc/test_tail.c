/* Tail calls and hints, as messages: what is said, what is not, and what happens when both sides change their
 * minds at once. */
#include "raw.h"

static struct raw r;

static int setup(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    r.s.conn->tail_calls = true;
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

/* The vat's object is export 0, and keeps the script's capability 4. */
static void have_objects(void)
{
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    raw_finish(&r, 0, false);
    raw_call(&r, 1, IMPORTED(0), M_KEEP, 1, HOSTED(4));
    expect_results(&r, 1, 1);
}

static struct ww_sr next_call(struct target to, uint64_t value, uint16_t results_to)
{
    struct ww_sr call = raw_next(&r, WW_RPC_CALL), target = ww_pr_struct(ww_sr_ptr(call, 0));
    struct ww_sr content = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(call, 1)), 0));
    assert_int_equal(ww_sr_u64(content, 0), value);
    assert_int_equal(ww_sr_u16(call, 3), results_to);
    if (to.path == -1) {
        assert_int_equal(ww_sr_u32(target, 0), to.id);
    } else {
        assert_int_equal(ww_sr_u16(target, 2), 1);
        assert_int_equal(ww_sr_u32(ww_pr_struct(ww_sr_ptr(target, 0)), 0), to.id);
    }
    return call;
}

static uint32_t expect_tail(struct target to, uint32_t aid, uint64_t value)
{
    uint32_t qid = ww_sr_u32(next_call(to, value, WW_RPC_RESULTS_YOURSELF), 0);
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(ww_sr_u32(ret, 0), aid);
    assert_int_equal(ww_sr_u16(ret, 3), WW_RPC_RETURN_TAKE);
    assert_int_equal(ww_sr_u32(ret, 2), qid);
    return qid;
}

static void expect_return(uint32_t aid, uint16_t tag)
{
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(ww_sr_u32(ret, 0), aid);
    assert_int_equal(ww_sr_u16(ret, 3), tag);
}

static void back_to_the_caller(void **state)
{
    WW_UNUSED(state);
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_CALL, 77, NO_DESC);
    uint32_t q = expect_tail(IMPORTED(4), 10, 77), early, late;
    raw_call(&r, 11, PROMISED(10, 0), M_ECHO, 5, NO_DESC); /* on results that we shall never see */
    early = expect_tail(PROMISED(q, 0), 11, 5);            /* and that is itself one to pass back */
    raw_return_tag(&r, q, WW_RPC_RETURN_ELSEWHERE, 0);
    raw_silent(&r); /* the answer that names it is still in use: no Finish */
    raw_call(&r, 12, PROMISED(10, 0), M_ECHO, 6, NO_DESC);
    late = expect_tail(PROMISED(q, 0), 12, 6);
    uint32_t echo;
    raw_disembargo(&r, PROMISED(10, 0), 0, 33);
    expect_disembargo(&r, PROMISED(q, 0), 1, &echo);
    assert_int_equal(echo, 33);
    raw_return_tag(&r, early, WW_RPC_RETURN_ELSEWHERE, 0);
    raw_return_tag(&r, late, WW_RPC_RETURN_ELSEWHERE, 0);
    raw_silent(&r);
    raw_finish(&r, 11, false);
    expect_finish(&r, early, false);
    raw_finish(&r, 12, false);
    expect_finish(&r, late, false);
    raw_finish(&r, 10, false);
    expect_finish(&r, q, false);
    assert_int_equal(r.s.conn->questions.live, 0);
    assert_int_equal(r.s.conn->answers.live, 0);
}

/* What waits for the forwarded call's result follows it at once. */
static void pipelined_before(void **state)
{
    WW_UNUSED(state);
    have_objects();
    uint8_t frames[2048];
    size_t n = 0;
    for (uint32_t i = 0; i < 2; i++) { /* both before the vat runs */
        struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
        ww_sb_set_u32(call, 0, 10 + i);
        ww_sb_set_u16(call, 2, i == 0 ? M_CALL : M_ECHO);
        ww_sb_set_u64(call, 1, TEST_IFACE);
        struct ww_sb target = ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
        if (i == 1) {
            ww_sb_set_u16(target, 2, 1);
            ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(target, 0), 1, 1), 0, 10);
        }
        struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
        ww_sb_set_u64(ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 1), 0, 40 + i);
        ww_msg_frame_write(&r.out, frames + n);
        n += ww_msg_frame_bytes(&r.out);
    }
    assert_ok(ww_rpc_conn_feed(r.s.conn, ww_bytes(frames, n)));
    uint32_t q = expect_tail(IMPORTED(4), 10, 40);
    expect_tail(PROMISED(q, -2), 11, 41);
    ww_rpc_conn_lost(r.s.conn, WW_ERESET);
}

/* Without the peer's word that it can, everything goes through us, and the results are passed on. */
static void not_without_leave(void **state)
{
    WW_UNUSED(state);
    r.s.conn->tail_calls = false;
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_CALL, 77, NO_DESC);
    uint32_t q = ww_sr_u32(next_call(IMPORTED(4), 77, 0), 0);
    raw_call(&r, 11, PROMISED(10, 0), M_ECHO, 5, NO_DESC); /* pipelined all the same */
    uint32_t c = ww_sr_u32(next_call(PROMISED(q, 0), 5, 0), 0);
    raw_return(&r, q, 8, HOSTED(9));
    struct desc d = expect_results(&r, 10, 8);
    assert_int_equal(d.kind, WW_RPC_DESC_RECEIVER_HOSTED);
    assert_int_equal(d.id, 9);
    expect_finish(&r, q, false);
    raw_call(&r, 12, PROMISED(10, 0), M_ECHO, 6, NO_DESC); /* as described in the Return */
    uint32_t c2 = ww_sr_u32(next_call(IMPORTED(9), 6, 0), 0);
    raw_return(&r, c, 1, NO_DESC);
    expect_results(&r, 11, 1);
    expect_finish(&r, c, false);
    raw_return(&r, c2, 2, NO_DESC);
    expect_results(&r, 12, 2);
    expect_finish(&r, c2, false);
    raw_finish(&r, 10, false);
    expect_release(&r, 9, 1);
}

static void other_results_are_not_passed_back(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3); /* results to be kept here: they must come here */
    ww_sb_set_u32(call, 0, 10);
    ww_sb_set_u16(call, 2, M_CALL);
    ww_sb_set_u16(call, 3, WW_RPC_RESULTS_YOURSELF);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    raw_send(&r);
    uint32_t q = ww_sr_u32(next_call(IMPORTED(4), 0, 0), 0);
    raw_return(&r, q, 3, NO_DESC);
    expect_return(10, WW_RPC_RETURN_ELSEWHERE);
    expect_finish(&r, q, false);
    raw_finish(&r, 10, true);
}

/* ---- cancellation */

static void canceled_before_forwarding(void **state)
{
    WW_UNUSED(state);
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_finish(&r, 10, true);
    struct ww_rpc_request *next;
    assert_ok(ww_rpc_request_new(r.object->kept, TEST_IFACE, M_ECHO, 0, &next));
    struct ww_rpc_call *call = r.object->later;
    r.object->later = NULL;
    ww_rpc_call_forward_take(call, next);
    struct ww_sr sent = raw_next(&r, WW_RPC_CALL);
    assert_int_equal(ww_sr_u16(sent, 3), 0); /* nobody to take them */
    expect_finish(&r, ww_sr_u32(sent, 0), true);
    expect_return(10, WW_RPC_RETURN_CANCELED);
    raw_return_tag(&r, ww_sr_u32(sent, 0), WW_RPC_RETURN_CANCELED, 0);
}

/* The caller's Finish crosses the Return that says where the results are: it never saw it. */
static void cancel_crosses_the_return(void **state)
{
    WW_UNUSED(state);
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_CALL, 77, NO_DESC);
    uint32_t q = expect_tail(IMPORTED(4), 10, 77);
    raw_finish(&r, 10, true);
    expect_finish(&r, q, true);
    assert_int_equal(r.s.conn->answers.live, 0);
    raw_return_tag(&r, q, WW_RPC_RETURN_CANCELED, 0);
    assert_int_equal(r.s.conn->questions.live, 0);
    raw_silent(&r);
}

/* The same, and the forwarded call was just done. */
static void cancel_crosses_both_returns(void **state)
{
    WW_UNUSED(state);
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_CALL, 77, NO_DESC);
    uint32_t q = expect_tail(IMPORTED(4), 10, 77);
    raw_return_tag(&r, q, WW_RPC_RETURN_ELSEWHERE, 0);
    raw_silent(&r);
    raw_finish(&r, 10, true);
    expect_finish(&r, q, false);
    raw_silent(&r);
}

/* The caller saw the Return, took the results over, and is done with the first question: the second goes on.
 */
static void finish_is_not_cancel(void **state)
{
    WW_UNUSED(state);
    have_objects();
    raw_call(&r, 10, IMPORTED(0), M_CALL, 77, NO_DESC);
    uint32_t q = expect_tail(IMPORTED(4), 10, 77);
    raw_finish(&r, 10, false);
    raw_silent(&r);
    raw_return_tag(&r, q, WW_RPC_RETURN_ELSEWHERE, 0);
    expect_finish(&r, q, false);
}

/* ---- the other side: the peer passes our call back to us */

static uint32_t pass_back(struct ww_rpc_request **ret_q, struct outcome *o, uint16_t method)
{
    uint32_t qid;
    outcome_init(o, NULL);
    *ret_q = call_send(r.object->kept, M_CALL, 1, NULL, o);
    expect_call(&r, IMPORTED(4), M_CALL, 1, &qid);
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, 20);
    ww_sb_set_u16(call, 2, method);
    ww_sb_set_u16(call, 3, WW_RPC_RESULTS_YOURSELF);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    raw_send(&r);
    return qid;
}

static void taken_and_finished_early(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *q;
    struct outcome o;
    uint32_t qid = pass_back(&q, &o, M_LATER);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20);
    expect_finish(&r, qid, false);
    raw_finish(&r, 20, true); /* as C++ does: it has no more use for the question, but our call has */
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 0);
    ww_cap_unref(r.object->kept);
    r.object->kept = NULL;
    object_go(r.object);
    expect_release(&r, 4, 1);
    expect_return(20, WW_RPC_RETURN_ELSEWHERE);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.value, 1);
    assert_int_equal(r.s.conn->answers.live, 0);
    ww_rpc_request_free(q);
}

/* Exports a promise and lets it lead to the peer's capability 4; its id. */
static uint32_t export_leading_back(struct ww_rpc_request **ret_q)
{
    struct ww_cap *p;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    *ret_q = call_send(r.object->kept, M_KEEP, 0, p, NULL);
    struct desc d = desc_at(ww_pr_struct(ww_sr_ptr(raw_next(&r, WW_RPC_CALL), 1)), 0);
    ww_cap_resolver_resolve(resolver, r.object->kept);
    assert_int_equal(expect_resolve(&r, d.id).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    ww_cap_unref(p);
    return d.id;
}

static void call_on(uint32_t qid, uint32_t export, uint16_t results_to, bool only_pipe)
{
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, M_ECHO);
    ww_sb_set_u16(call, 3, results_to);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_sb_set_bool(call, 130, only_pipe);
    ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1), 0, export);
    raw_send(&r);
}

/* The call that the peer passed back goes on to the peer once more: the results that come are for our first
 * one, and stay for as long as that has them. */
static void taken_from_what_went_on(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *k, *q;
    struct outcome o;
    outcome_init(&o, NULL);
    uint32_t export = export_leading_back(&k), qid, cid;
    q = call_send(r.object->kept, M_CALL, 1, NULL, &o);
    expect_call(&r, IMPORTED(4), M_CALL, 1, &qid);
    call_on(20, export, WW_RPC_RESULTS_YOURSELF, false);
    expect_call(&r, IMPORTED(4), M_ECHO, 0, &cid);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20);
    expect_finish(&r, qid, false);
    raw_return(&r, cid, 55, NO_DESC);
    expect_return(20, WW_RPC_RETURN_ELSEWHERE);
    expect_finish(&r, cid, false);
    raw_finish(&r, 20, false);
    raw_call(&r, 21, IMPORTED(0), M_ECHO, 9, NO_DESC); /* comes where those results were read */
    expect_results(&r, 21, 9);
    assert_int_equal(o.value, 55);
    assert_int_equal(ww_sr_u64(ww_pr_struct(ww_rpc_request_results(q)), 0), 55);
    ww_rpc_request_free(q);
    ww_rpc_request_free(k);
    raw_next(&r, WW_RPC_FINISH);
}

/* The results of a call made for its pipeline alone are named by calls long after they came. */
static void only_pipelined_on_what_went_on(void **state)
{
    WW_UNUSED(state);
    have_objects();
    r.s.conn->high_unknown = true; /* so it goes on as any call, with a Return */
    r.s.conn->tail_calls = false;
    struct ww_rpc_request *k;
    uint32_t export = export_leading_back(&k), cid;
    call_on(WW_RPC_HIGH_ID + 3, export, 0, true);
    expect_call(&r, IMPORTED(4), M_ECHO, 0, &cid);
    raw_return(&r, cid, 55, HOSTED(9));
    expect_finish(&r, cid, false);
    raw_call(&r, 21, IMPORTED(0), M_ECHO, 9, NO_DESC);
    expect_results(&r, 21, 9);
    raw_call(&r, 22, PROMISED(WW_RPC_HIGH_ID + 3, 0), M_ECHO, 8, NO_DESC);
    expect_call(&r, IMPORTED(9), M_ECHO, 8, &cid);
    raw_return(&r, cid, 8, NO_DESC);
    expect_results(&r, 22, 8);
    expect_finish(&r, cid, false);
    raw_finish(&r, WW_RPC_HIGH_ID + 3, true);
    expect_release(&r, 9, 1);
    ww_rpc_request_free(k);
    raw_next(&r, WW_RPC_FINISH);
}

static void taken_then_canceled_here(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *q;
    struct outcome o;
    uint32_t qid = pass_back(&q, &o, M_LATER);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 1); /* it runs here: told here */
    object_go(r.object);
    expect_return(20, WW_RPC_RETURN_ELSEWHERE);
    raw_finish(&r, 20, true);
}

static void canceled_here_before_taken(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *q;
    struct outcome o;
    uint32_t qid = pass_back(&q, &o, M_LATER);
    ww_rpc_request_free(q);
    expect_finish(&r, qid, true);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20); /* on its way */
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 0); /* the peer may have other uses for the results */
    raw_finish(&r, 20, true);                /* it has none */
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 1);
    object_go(r.object);
    expect_return(20, WW_RPC_RETURN_CANCELED);
}

/* The peer names a result in a call of its own, after our Finish crossed its Return. */
static void canceled_here_but_used_there(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *q;
    struct outcome o;
    uint32_t qid = pass_back(&q, &o, M_LATER);
    ww_rpc_request_free(q);
    expect_finish(&r, qid, true);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20);
    raw_call(&r, 21, PROMISED(20, 0), M_ECHO, 5, NO_DESC);
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 0);
    object_go(r.object);
    expect_return(20, WW_RPC_RETURN_ELSEWHERE);
    uint32_t q21 = expect_tail(IMPORTED(4), 21, 5); /* so the result is where it has to be */
    raw_return_tag(&r, q21, WW_RPC_RETURN_ELSEWHERE, 0);
    raw_finish(&r, 21, false);
    expect_finish(&r, q21, false);
    raw_finish(&r, 20, true);
}

/* ---- hints */

static struct ww_rpc_request *hinted(bool no_pipeline)
{
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(r.object->kept, TEST_IFACE, M_NEW, 0, &q));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(q), 1, 1), 0, 7);
    if (no_pipeline) {
        ww_rpc_request_no_pipeline(q);
        ww_rpc_request_send(q, NULL);
    } else {
        ww_rpc_request_send_for_pipeline(q);
    }
    return q;
}

/* A call for its pipeline alone: no Return comes, one Finish ends it. */
static void for_pipeline(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_rpc_request *q = hinted(false), *c;
    struct ww_cap *made = pipeline(q, 0);
    struct ww_sr call = next_call(IMPORTED(4), 7, 0);
    uint32_t qid = ww_sr_u32(call, 0), cid;
    assert_true(qid >= WW_RPC_HIGH_ID);
    assert_true(ww_sr_bool(call, 130));
    struct outcome o;
    outcome_init(&o, NULL);
    c = call_send(made, M_ECHO, 3, NULL, &o);
    expect_call(&r, PROMISED(qid, 0), M_ECHO, 3, &cid);
    ww_rpc_request_free(q);
    raw_silent(&r);
    raw_return(&r, cid, 3, NO_DESC);
    expect_finish(&r, cid, false);
    assert_int_equal(o.value, 3);
    ww_cap_unref(made);
    expect_finish(&r, qid, true);
    assert_int_equal(r.s.conn->high.live, 0);
    ww_rpc_request_free(c);
    q = hinted(false);
    assert_int_not_equal(ww_sr_u32(next_call(IMPORTED(4), 7, 0), 0), qid); /* not used again at once */
    assert_int_equal(ww_rpc_request_status(q), WW_EAGAIN);
    ww_rpc_request_free(q);
    raw_next(&r, WW_RPC_FINISH);
}

/* A peer that does not know the hint says so by answering; it is not asked that way again. */
static void for_pipeline_of_an_old_peer(void **state)
{
    WW_UNUSED(state);
    have_objects();
    for (int forgets = 0; forgets < 2; forgets++) {
        r.s.conn->high_unknown = false;
        struct ww_rpc_request *q = hinted(false);
        uint32_t qid = ww_sr_u32(next_call(IMPORTED(4), 7, 0), 0);
        struct ww_sb ret = raw_begin(&r, WW_RPC_RETURN, 2, 1);
        ww_sb_set_u32(ret, 0, qid);
        ww_sb_set_bool(ret, 32, true);
        ww_sb_set_bool(ret, 33, forgets);
        raw_send(&r);
        raw_silent(&r);
        ww_rpc_request_free(q);
        if (!forgets)
            expect_finish(&r, qid, true);
        raw_silent(&r); /* with noFinishNeeded: no Finish for what the peer forgot */
        raw_send(&r);   /* that Return again, now unknown: nothing to quarrel about */
        assert_int_equal(r.s.conn->high.live, 0);
    }
    struct ww_rpc_request *q = hinted(false);
    struct ww_sr call = next_call(IMPORTED(4), 7, 0);
    assert_true(ww_sr_u32(call, 0) < WW_RPC_HIGH_ID);
    assert_false(ww_sr_bool(call, 130));
    raw_return(&r, ww_sr_u32(call, 0), 7, NO_DESC);
    expect_finish(&r, ww_sr_u32(call, 0), false);
    assert_int_equal(ww_rpc_request_status(q), WW_EAGAIN);
    ww_rpc_request_free(q);
}

static void call_with_bit(uint32_t qid, uint32_t bit, uint16_t method)
{
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, method);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_sb_set_bool(call, bit, true);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    raw_send(&r);
}

/* The peer does not want to hear of the outcome. */
static void only_pipelined(void **state)
{
    WW_UNUSED(state);
    have_objects();
    call_with_bit(WW_RPC_HIGH_ID + 3, 130, M_NEW);
    raw_silent(&r);
    raw_call(&r, 11, PROMISED(WW_RPC_HIGH_ID + 3, 0), M_ECHO, 9, NO_DESC);
    expect_results(&r, 11, 9);
    assert_int_equal(r.live, 2);
    raw_finish(&r, WW_RPC_HIGH_ID + 3, true);
    raw_silent(&r);
    assert_int_equal(r.live, 1);
    call_with_bit(WW_RPC_HIGH_ID + 4, 130, M_LATER); /* finished before it is done: no Return either */
    raw_finish(&r, WW_RPC_HIGH_ID + 4, true);
    object_go(r.object);
    raw_silent(&r);
    assert_int_equal(r.s.conn->answers.live, 0);
}

/* Its caller goes while it waits here, and counts on its being delivered: it is sent on, and finished, as
 * there is no Return that could end it. */
static void only_pipelined_and_left(void **state)
{
    WW_UNUSED(state);
    have_objects();
    struct ww_cap *p;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct ww_rpc_request *q = call_send(r.object->kept, M_KEEP, 0, p, NULL);
    struct desc d = desc_at(ww_pr_struct(ww_sr_ptr(raw_next(&r, WW_RPC_CALL), 1)), 0);
    call_on(WW_RPC_HIGH_ID + 3, d.id, WW_RPC_RESULTS_CALLER, true);
    ww_sb_set_u32(raw_begin(&r, WW_RPC_FINISH, 1, 0), 0, WW_RPC_HIGH_ID + 3);
    raw_send(&r);
    raw_silent(&r);
    r.s.conn->tail_calls = false;
    ww_cap_resolver_resolve(resolver, r.object->kept);
    expect_resolve(&r, d.id);
    struct ww_sr call = raw_next(&r, WW_RPC_CALL);
    uint32_t qid = ww_sr_u32(call, 0);
    assert_true(qid >= WW_RPC_HIGH_ID);
    struct ww_sr finish = raw_next(&r, WW_RPC_FINISH);
    assert_int_equal(ww_sr_u32(finish, 0), qid);
    assert_false(ww_sr_bool(finish, 33)); /* it may not have been delivered, and shall be */
    assert_int_equal(r.s.conn->high.live, 0);
    ww_cap_unref(p);
    ww_rpc_request_free(q);
    raw_next(&r, WW_RPC_FINISH);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
}

static void never_pipelined(void **state)
{
    WW_UNUSED(state);
    have_objects();
    call_with_bit(11, 129, M_NEW);
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(desc_at(ww_pr_struct(ww_sr_ptr(ret, 0)), 0).kind, WW_RPC_DESC_SENDER_HOSTED);
    assert_int_equal(
        r.s.conn->held_bytes, 0); /* the results are not kept, but the answer is: for its Finish */
    assert_int_equal(r.s.conn->answers.live, 1);
    raw_finish(&r, 11, true);
    assert_int_equal(r.live, 1);
    call_with_bit(12, 129, M_COUNT + 90);
    ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(ww_sr_u16(ret, 3), WW_RPC_RETURN_EXCEPTION);
    assert_true(ww_sr_bool(ret, 33)); /* nobody is left to be told the exception */
    assert_int_equal(r.s.conn->answers.live, 0);
    struct ww_rpc_request *q = hinted(true), *c;
    struct ww_cap *made = pipeline(q, 0); /* may be, and waits here */
    c = call_send(made, M_ECHO, 3, NULL, NULL);
    struct ww_sr call = next_call(IMPORTED(4), 7, 0);
    uint32_t qid = ww_sr_u32(call, 0), cid;
    assert_true(ww_sr_bool(call, 129));
    raw_silent(&r);
    raw_return(&r, qid, 0, HOSTED(9));
    expect_finish(&r, qid, false);
    expect_call(&r, IMPORTED(9), M_ECHO, 3, &cid);
    raw_return(&r, cid, 0, NO_DESC);
    expect_finish(&r, cid, false);
    ww_rpc_request_free(q);
    ww_rpc_request_free(c);
    ww_cap_unref(made);
    expect_release(&r, 9, 1);
}

/* The peer passes the result of its own call as a parameter, and forgets the call: the Return of ours, which
 * gives that parameter back, is the end of both. */
static void result_as_own_parameter(void **state)
{
    WW_UNUSED(state);
    have_objects();
    for (int tail = 0; tail < 2; tail++) {
        r.s.conn->tail_calls = tail;
        raw_call(&r, 10, IMPORTED(0), M_CALL, 77, YOUR_ANSWER(10));
        uint32_t q = tail ? expect_tail(IMPORTED(4), 10, 77) : ww_sr_u32(next_call(IMPORTED(4), 77, 0), 0);
        raw_next(&r, WW_RPC_RESOLVE);
        raw_finish(&r, 10, true);
        raw_silent(&r);
        raw_return_releasing(&r, q, 1, NO_DESC);
        if (!tail)
            expect_return(10, WW_RPC_RETURN_CANCELED);
        expect_finish(&r, q, false);
        raw_silent(&r);
        assert_int_equal(r.s.conn->questions.live, 0);
        assert_int_equal(r.s.conn->answers.live, 0);
        assert_int_equal(r.s.conn->exports.live, 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(back_to_the_caller), T(pipelined_before), T(not_without_leave),
        T(other_results_are_not_passed_back), T(canceled_before_forwarding), T(cancel_crosses_the_return),
        T(cancel_crosses_both_returns), T(finish_is_not_cancel), T(taken_and_finished_early),
        T(taken_from_what_went_on), T(only_pipelined_on_what_went_on), T(taken_then_canceled_here),
        T(canceled_here_before_taken), T(canceled_here_but_used_there), T(for_pipeline),
        T(for_pipeline_of_an_old_peer), T(only_pipelined), T(only_pipelined_and_left), T(never_pipelined),
        T(result_as_own_parameter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
