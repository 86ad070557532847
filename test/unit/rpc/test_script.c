/* Scripts against hand-built messages: what must be said, in which order, and what ends the connection. */
#include "raw.h"

static struct raw r;

static int setup(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

/* The vat's object, as export 0 with one reference that the script keeps. */
static void have_object(void)
{
    raw_bootstrap(&r, 0);
    struct desc d = expect_results(&r, 0, 0);
    assert_int_equal(d.kind, WW_RPC_DESC_SENDER_HOSTED);
    assert_int_equal(d.id, 0);
    raw_finish(&r, 0, false);
    raw_silent(&r);
}

static void bootstrap_and_finish(void **state)
{
    WW_UNUSED(state);
    raw_bootstrap(&r, 7);
    struct desc d = expect_results(&r, 7, 0);
    assert_int_equal(d.kind, WW_RPC_DESC_SENDER_HOSTED);
    raw_finish(&r, 7, true); /* with the capabilities of the results */
    side_idle(&r.s);
    raw_silent(&r);
}

static void release_exact(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_bootstrap(&r, 1);
    assert_int_equal(expect_results(&r, 1, 0).id, 0); /* the same object, the same id: two references */
    raw_finish(&r, 1, false);
    raw_release(&r, 0, 1);
    assert_int_equal(r.s.conn->exports.live, 1);
    raw_release(&r, 0, 1);
    assert_int_equal(r.s.conn->exports.live, 0);
    raw_release(&r, 0, 1);
    raw_aborted(&r, WW_EPROTO);
}

static void release_too_many(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_release(&r, 0, 2);
    raw_aborted(&r, WW_EPROTO);
}

static void finish_unknown_is_ignored(void **state)
{
    WW_UNUSED(state);
    raw_finish(&r, 5, true);
    have_object();
    raw_call(&r, 3, IMPORTED(0), M_ECHO, 8, NO_DESC);
    expect_results(&r, 3, 8); /* noFinishNeeded: gone */
    assert_int_equal(r.s.conn->answers.live, 0);
    raw_finish(&r, 3, false); /* from a peer that does not know that */
    raw_silent(&r);
    raw_call(&r, 3, IMPORTED(0), M_ECHO, 9, NO_DESC);
    expect_results(&r, 3, 9);
}

static void question_id_in_use(void **state)
{
    WW_UNUSED(state);
    raw_bootstrap(&r, 1);
    expect_results(&r, 1, 0);
    raw_bootstrap(&r, 1);
    raw_aborted(&r, WW_EPROTO);
}

static void return_unknown(void **state)
{
    WW_UNUSED(state);
    raw_return(&r, 0, 1, NO_DESC);
    raw_aborted(&r, WW_EPROTO);
}

static void call_unknown_export(void **state)
{
    WW_UNUSED(state);
    raw_call(&r, 0, IMPORTED(3), M_ECHO, 0, HOSTED(9));
    raw_aborted(&r, WW_EPROTO);
}

static void call_unknown_answer(void **state)
{
    WW_UNUSED(state);
    raw_call(&r, 0, PROMISED(3, 0), M_ECHO, 0, HOSTED(9));
    expect_exception(&r, 0, WW_KIND_FAILED);
    expect_release(&r, 9, 1); /* the parameters' capabilities are taken all the same, and given back */
    raw_call(&r, 1, PROMISED(1, 0), M_ECHO, 0, NO_DESC); /* on its own result */
    expect_exception(&r, 1, WW_KIND_FAILED);
    raw_finish(&r, 0, true);
    raw_finish(&r, 1, true);
    side_idle(&r.s);
}

static void unknown_messages_are_echoed(void **state)
{
    WW_UNUSED(state);
    static const uint16_t tags[] = {7, 9, 10, 11, 12, 14, 999};
    for (size_t i = 0; i < WW_COUNT_OF(tags); i++) {
        ww_sb_set_u32(raw_begin(&r, tags[i], 1, 2), 0, 77);
        raw_send(&r);
        struct ww_sr echo = raw_next(&r, WW_RPC_UNIMPLEMENTED);
        assert_int_equal(ww_sr_u16(echo, 0), tags[i]);
        assert_int_equal(ww_sr_u32(ww_pr_struct(ww_sr_ptr(echo, 0)), 0), 77);
    }
    raw_silent(&r);
}

static void abort_is_not_answered(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, &o);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    ww_pb_set_text(ww_sb_ptr(raw_begin(&r, WW_RPC_ABORT, 1, 2), 0), ww_text("enough"));
    raw_send(&r);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EDISCONNECTED);
    assert_string_equal(o.reason, "enough");
    assert_int_equal(ww_cap_state(cap), WW_CAP_BROKEN);
    ww_rpc_request_free(q);
    outcome_init(&o, NULL);
    q = call_send(cap, M_ECHO, 1, NULL, &o);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EDISCONNECTED);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

static void imports_count(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *one = raw_give(&r, HOSTED(4)), *two = raw_give(&r, HOSTED(4));
    assert_ptr_equal(one, two);
    ww_cap_unref(one);
    raw_silent(&r);
    ww_cap_unref(two);
    expect_release(&r, 4, 2);
    one = raw_give(&r, HOSTED(4)); /* a new life */
    ww_cap_unref(one);
    expect_release(&r, 4, 1);
}

static void params_released_before_return(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_KEEP, 1, HOSTED(4));
    expect_results(&r, 1, 1);
    raw_call(&r, 2, IMPORTED(0), M_KEEP, 2, NO_DESC);
    expect_release(&r, 4, 1); /* dropped by the handler: at once, and before the Return */
    expect_results(&r, 2, 2);
    raw_call(&r, 3, IMPORTED(0), M_ECHO, 3, HOSTED(5));
    expect_release(&r, 5, 1); /* never touched by the handler: the same */
    expect_results(&r, 3, 3);
}

static void vine_is_used(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, VINE(6));
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(6), M_ECHO, 1, &qid);
    raw_return(&r, qid, 1, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    expect_release(&r, 6, 1);
}

static void unknown_descriptors_break(void **state)
{
    WW_UNUSED(state);
    have_object();
    static const struct desc bad[] = {
        {9, 0}, {WW_RPC_DESC_RECEIVER_HOSTED, 55}, {WW_RPC_DESC_RECEIVER_ANSWER, 55}};
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        struct ww_cap *cap = raw_give(&r, bad[i]);
        assert_int_equal(ww_cap_state(cap), WW_CAP_BROKEN);
        ww_cap_unref(cap);
    }
    raw_silent(&r);
}

/* ---- questions */

static void cancel_crosses_return(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct ww_rpc_request *q = call_send(cap, M_NEW, 1, NULL, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_NEW, 1, &qid);
    ww_rpc_request_free(q);
    expect_finish(&r, qid, true);
    assert_int_equal(r.s.conn->questions.live, 1); /* the id is not free before the Return */
    raw_return(&r, qid, 1, HOSTED(11));
    raw_silent(&r); /* the peer takes capability 11 back by itself */
    assert_int_equal(r.s.conn->questions.live, 0);
    assert_int_equal(r.s.conn->imports.live, 1);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void return_releases_parameters(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4)), *mine = object_new(r.s.vat, &r.live, NULL);
    struct ww_rpc_request *q = call_send(cap, M_KEEP, 1, mine, NULL);
    ww_cap_unref(mine);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_KEEP, 1, &qid);
    assert_int_equal(r.s.conn->exports.live, 2);
    ww_sb_set_u32(raw_begin(&r, WW_RPC_RETURN, 2, 1), 0, qid); /* releaseParamCaps by default */
    raw_send(&r);
    expect_finish(&r, qid, false);
    assert_int_equal(r.s.conn->exports.live, 1);
    assert_int_equal(r.live, 1);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

/* The Return that gives a parameter back may name it. */
static void returned_as_it_is_released(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4)), *mine = object_new(r.s.vat, &r.live, NULL);
    struct ww_rpc_request *q = call_send(cap, M_ECHO_CAP, 1, mine, NULL);
    struct ww_sr call = raw_next(&r, WW_RPC_CALL);
    uint32_t qid = ww_sr_u32(call, 0);
    raw_return_releasing(&r, qid, 1, YOURS(desc_at(ww_pr_struct(ww_sr_ptr(call, 1)), 0).id));
    expect_finish(&r, qid, false);
    assert_int_equal(r.s.conn->exports.live, 1);
    assert_true(ww_cap_same(ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 0)), mine));
    ww_cap_unref(mine);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void no_finish_needed(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, &o);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    struct ww_sb ret = raw_begin(&r, WW_RPC_RETURN, 2, 1);
    ww_sb_set_u32(ret, 0, qid);
    ww_sb_set_bool(ret, 33, true);
    raw_send(&r);
    raw_silent(&r);
    assert_int_equal(o.status, 0);
    assert_int_equal(r.s.conn->questions.live, 0);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void second_return(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_return(&r, qid, 1, NO_DESC);
    expect_finish(&r, qid, false);
    raw_return(&r, qid, 1, NO_DESC);
    raw_aborted(&r, WW_EPROTO);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

static void odd_returns(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    static const struct {
        uint16_t tag;
        uint32_t value;
        ww_err seen;
    } odd[] = {{WW_RPC_RETURN_CANCELED, 0, WW_EFAILED}, {WW_RPC_RETURN_ELSEWHERE, 0, WW_EUNIMPLEMENTED},
        {77, 0, WW_EUNIMPLEMENTED}, {WW_RPC_RETURN_EXCEPTION, 1, WW_EOVERLOADED},
        {WW_RPC_RETURN_EXCEPTION, 99, WW_EFAILED}};
    for (size_t i = 0; i < WW_COUNT_OF(odd); i++) {
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, &o);
        uint32_t qid;
        expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
        raw_return_tag(&r, qid, odd[i].tag, odd[i].value);
        expect_finish(&r, qid, false);
        assert_int_equal(o.status, odd[i].seen);
        ww_rpc_request_free(q);
    }
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void call_unimplemented(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4)), *mine = object_new(r.s.vat, &r.live, NULL);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_KEEP, 1, mine, &o);
    ww_cap_unref(mine);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_KEEP, 1, &qid);
    struct ww_sb echo = raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1);
    ww_sb_set_u16(echo, 0, WW_RPC_CALL);
    ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(echo, 0), 3, 3), 0, qid);
    raw_send(&r);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EUNIMPLEMENTED);
    assert_int_equal(r.live, 1);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

/* ---- promises and embargoes */

static void resolve_to_the_peers_own(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(4));
    assert_int_equal(ww_cap_state(p), WW_CAP_PROMISE);
    struct ww_rpc_request *q[2];
    uint32_t qid[2];
    q[0] = call_send(p, M_ECHO, 1, NULL, NULL);
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid[0]);
    raw_resolve(&r, 4, HOSTED(5));
    expect_release(&r, 4, 1); /* no embargo: both ways end at the peer, in order */
    assert_int_equal(ww_cap_state(p), WW_CAP_SETTLED);
    q[1] = call_send(p, M_ECHO, 2, NULL, NULL);
    expect_call(&r, IMPORTED(5), M_ECHO, 2, &qid[1]);
    for (int i = 0; i < 2; i++) {
        raw_return(&r, qid[i], 1, NO_DESC);
        expect_finish(&r, qid[i], false);
        ww_rpc_request_free(q[i]);
    }
    ww_cap_unref(p);
    expect_release(&r, 5, 1);
}

static void resolve_home_with_calls_sent(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(4));
    struct ww_rpc_request *q1 = call_send(p, M_ECHO, 1, NULL, NULL), *q2, *q3;
    uint32_t qid, embargo;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_resolve(&r, 4, YOURS(0));
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    q2 = call_send(p, M_ECHO, 2, NULL, NULL);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0); /* embargoed: the first call is still on its way around */
    assert_int_equal(ww_cap_state(p), WW_CAP_PROMISE);
    raw_call(&r, 50, IMPORTED(0), M_ECHO, 1, NO_DESC); /* reflected by the peer */
    expect_results(&r, 50, 1);
    raw_return(&r, qid, 1, NO_DESC);
    expect_finish(&r, qid, false);
    assert_int_equal(r.object->seen_count, 1);
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    q3 = call_send(p, M_ECHO, 3, NULL, NULL);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(r.object->seen[i], i + 1);
    assert_int_equal(ww_cap_state(p), WW_CAP_SETTLED);
    raw_disembargo(&r, IMPORTED(0), 1, embargo); /* used up */
    raw_aborted(&r, WW_EPROTO);
    ww_rpc_request_free(q1);
    ww_rpc_request_free(q2);
    ww_rpc_request_free(q3);
    ww_cap_unref(p);
}

static void resolve_home_without_calls(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(4));
    raw_resolve(&r, 4, YOURS(0));
    expect_release(&r, 4, 1);
    raw_silent(&r);
    assert_ptr_equal(ww_cap_server(p, &object_ops), &r.object->server);
    ww_cap_unref(p);
}

static void resolve_to_error_without_embargo(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(4));
    struct outcome o, o2;
    outcome_init(&o, NULL);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *q = call_send(p, M_ECHO, 1, NULL, &o);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_resolve(&r, 4, NO_DESC);
    expect_release(&r, 4, 1);
    raw_silent(&r);
    assert_int_equal(o.count, 0); /* that call has its own Return to wait for */
    struct ww_rpc_request *q2 = call_send(p, M_ECHO, 2, NULL, &o2);
    raw_silent(&r);
    assert_int_equal(o2.status, WW_EFAILED);
    assert_string_equal(o2.reason, "rejected");
    raw_return_tag(&r, qid, WW_RPC_RETURN_EXCEPTION, 0);
    expect_finish(&r, qid, false);
    assert_int_equal(o.count, 1);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(p);
}

/* The embargo is over in two hops: the first promise leads to a second one of the peer, and that one home. */
static void resolve_twice_then_home(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(4));
    struct ww_rpc_request *q = call_send(p, M_ECHO, 1, NULL, NULL);
    uint32_t qid, embargo;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_resolve(&r, 4, PROMISE(5)); /* no call was ever sent to 5 itself */
    expect_release(&r, 4, 1);
    raw_resolve(&r, 5, YOURS(0));
    expect_disembargo(&r, IMPORTED(5), 0, &embargo);
    expect_release(&r, 5, 1);
    struct ww_rpc_request *q2 = call_send(p, M_ECHO, 2, NULL, NULL);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0);
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 1);
    raw_return(&r, qid, 1, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(p);
}

static void resolve_of_what_we_released(void **state)
{
    WW_UNUSED(state);
    have_object();
    ww_cap_unref(raw_give(&r, PROMISE(4)));
    expect_release(&r, 4, 1);
    raw_resolve(&r, 4, HOSTED(5)); /* was on its way */
    expect_release(&r, 5, 1);
    side_check(&r.s);
}

static void resolve_of_no_promise(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    raw_resolve(&r, 4, HOSTED(5));
    raw_aborted(&r, WW_EPROTO);
    ww_cap_unref(cap);
}

static void resolve_to_none(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, PROMISE(4));
    raw_resolve(&r, 4, (struct desc){WW_RPC_DESC_NONE, 0});
    raw_aborted(&r, WW_EPROTO);
    ww_cap_unref(cap);
}

/* A pipelined capability comes home in the Return. */
static void return_home_with_calls_sent(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct ww_rpc_request *q = call_send(cap, M_GIVE, 1, NULL, NULL), *c1, *c2;
    struct ww_cap *p = pipeline(q, 0);
    uint32_t qid, cid, embargo;
    expect_call(&r, IMPORTED(4), M_GIVE, 1, &qid);
    c1 = call_send(p, M_ECHO, 1, NULL, NULL);
    expect_call(&r, PROMISED(qid, 0), M_ECHO, 1, &cid);
    raw_return(&r, qid, 0, YOURS(0));
    expect_disembargo(&r, PROMISED(qid, 0), 0, &embargo);
    expect_finish(&r, qid, false); /* behind the Disembargo that needs the answer */
    c2 = call_send(p, M_ECHO, 2, NULL, NULL);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0);
    raw_call(&r, 50, IMPORTED(0), M_ECHO, 1, NO_DESC);
    expect_results(&r, 50, 1);
    raw_return(&r, cid, 1, NO_DESC);
    expect_finish(&r, cid, false);
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 2);
    assert_int_equal(r.object->seen[1], 2);
    ww_rpc_request_free(q);
    ww_rpc_request_free(c1);
    ww_rpc_request_free(c2);
    ww_cap_unref(p);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void return_null_with_calls_sent(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct ww_rpc_request *q = call_send(cap, M_GIVE, 1, NULL, NULL);
    struct ww_cap *p = pipeline(q, 0);
    uint32_t qid, cid;
    expect_call(&r, IMPORTED(4), M_GIVE, 1, &qid);
    struct ww_rpc_request *c = call_send(p, M_ECHO, 1, NULL, NULL);
    expect_call(&r, PROMISED(qid, 0), M_ECHO, 1, &cid);
    raw_return(&r, qid, 0, NO_DESC);
    expect_finish(&r, qid, false); /* and no Disembargo */
    raw_silent(&r);
    assert_int_equal(ww_cap_state(p), WW_CAP_NULL);
    raw_return_tag(&r, cid, WW_RPC_RETURN_EXCEPTION, 0);
    expect_finish(&r, cid, false);
    ww_rpc_request_free(q);
    ww_rpc_request_free(c);
    ww_cap_unref(p);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

/* The peer's promise turns out to be the peer's own capability, but named by way of an export of ours: calls
 * already sent through the promise go around through us, so the direct way has to wait. */
static void looped_through_us(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *p;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct ww_rpc_request *q = call_send(target, M_KEEP, 0, mine, NULL);
    uint32_t qid, embargo, cid;
    expect_call(&r, IMPORTED(7), M_KEEP, 0, &qid);
    p = raw_give(&r, PROMISE(4));
    struct ww_rpc_request *c1 = call_send(p, M_ECHO, 1, NULL, NULL), *c2;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &cid);
    ww_cap_resolver_resolve(resolver, target);
    struct desc d = expect_resolve(&r, 1);
    assert_int_equal(d.kind, WW_RPC_DESC_RECEIVER_HOSTED);
    assert_int_equal(d.id, 7);
    raw_resolve(&r, 4, YOURS(1)); /* export 1 leads to the peer's capability 7 */
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    c2 = call_send(p, M_ECHO, 2, NULL, NULL);
    raw_silent(&r);
    raw_call(&r, 60, IMPORTED(1), M_ECHO, 1, NO_DESC); /* the first call, going around */
    uint32_t fid;
    expect_call(&r, IMPORTED(7), M_ECHO, 1, &fid);
    raw_disembargo(&r, IMPORTED(1), 1, embargo);
    uint32_t c2id;
    expect_call(&r, IMPORTED(7), M_ECHO, 2, &c2id);
    raw_return(&r, fid, 1, NO_DESC);
    expect_results(&r, 60, 1);
    expect_finish(&r, fid, false);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_rpc_request_free(q);
    ww_rpc_request_free(c1);
    ww_rpc_request_free(c2);
    ww_cap_unref(mine);
    ww_cap_unref(target);
    ww_cap_unref(p);
}

/* ---- the other side of an embargo */

/* Gives the peer a promise of ours as export 1. */
static struct ww_cap *export_promise(struct ww_cap *target, struct ww_cap_resolver **ret_resolver)
{
    struct ww_cap *mine;
    uint32_t qid;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, ret_resolver));
    struct ww_rpc_request *q = call_send(target, M_KEEP, 0, mine, NULL);
    expect_call(&r, IMPORTED(7), M_KEEP, 0, &qid);
    raw_return(&r, qid, 0, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    return mine;
}

static void disembargo_echo_behind_calls(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap_resolver *resolver;
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = export_promise(target, &resolver);
    raw_call(&r, 60, IMPORTED(1), M_ECHO, 1, NO_DESC); /* waits in the promise */
    raw_silent(&r);
    ww_cap_resolver_resolve(resolver, target);
    uint32_t fid, echo;
    assert_int_equal(expect_resolve(&r, 1).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    expect_call(&r, IMPORTED(7), M_ECHO, 1, &fid);
    raw_disembargo(&r, IMPORTED(1), 0, 33);
    expect_disembargo(&r, IMPORTED(7), 1, &echo);
    assert_int_equal(echo, 33);
    raw_release(&r, 1, 1);
    raw_return(&r, fid, 1, NO_DESC);
    expect_results(&r, 60, 1);
    expect_finish(&r, fid, false);
    ww_cap_unref(mine);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

static void disembargo_of_what_is_ours(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_disembargo(&r, IMPORTED(0), 0, 1);
    raw_aborted(&r, WW_EPROTO);
}

static void disembargo_waits_for_promise(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap_resolver *resolver;
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = export_promise(target, &resolver);
    raw_call(&r, 60, IMPORTED(1), M_ECHO, 1, NO_DESC);
    raw_disembargo(&r, IMPORTED(1), 0, 5);
    raw_silent(&r);
    ww_cap_resolver_resolve(resolver, target);
    uint32_t fid, echo;
    expect_resolve(&r, 1);
    expect_call(&r, IMPORTED(7), M_ECHO, 1, &fid);
    expect_disembargo(&r, IMPORTED(7), 1, &echo);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_cap_unref(mine);
    ww_cap_unref(target);
}

static void disembargo_pending_at_the_end(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap_resolver *resolver;
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = export_promise(target, &resolver);
    raw_disembargo(&r, IMPORTED(1), 0, 5);
    ww_rpc_conn_lost(r.s.conn, WW_ERESET);
    ww_cap_unref(target);
    ww_cap_unref(mine);
    ww_cap_resolver_free(resolver);
    raw_silent(&r);
}

/* What a promise was said to be is what it stays for calls on the old id, even when that itself resolves
 * further. */
static void described_node_is_pinned(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap_resolver *resolver;
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = export_promise(target, &resolver);
    struct ww_cap *theirs = raw_give(&r, PROMISE(8));
    ww_cap_resolver_resolve(resolver, theirs);
    struct desc d = expect_resolve(&r, 1);
    assert_int_equal(d.kind, WW_RPC_DESC_RECEIVER_HOSTED);
    assert_int_equal(d.id, 8);
    raw_resolve(&r, 8, HOSTED(9));
    raw_silent(&r); /* 8 is still needed: nothing is released */
    raw_call(&r, 60, IMPORTED(1), M_ECHO, 4, NO_DESC);
    uint32_t fid;
    expect_call(&r, IMPORTED(8), M_ECHO, 4, &fid);
    raw_release(&r, 1, 1);
    expect_release(&r, 8, 1);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_cap_unref(mine);
    ww_cap_unref(theirs);
    ww_cap_unref(target);
}

static void answer_is_pinned_to_its_return(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_ECHO_CAP, 0, PROMISE(8));
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    struct desc d = desc_at(ww_pr_struct(ww_sr_ptr(ret, 0)), 0);
    assert_int_equal(d.kind, WW_RPC_DESC_RECEIVER_HOSTED);
    assert_int_equal(d.id, 8);
    raw_resolve(&r, 8, HOSTED(9));
    expect_release(&r, 9, 1); /* nobody here has the promise any more, but for the answer's pin on 8 */
    raw_call(&r, 2, PROMISED(1, 0), M_ECHO, 5, NO_DESC);
    uint32_t fid, echo;
    expect_call(&r, IMPORTED(8), M_ECHO, 5, &fid);
    raw_disembargo(&r, PROMISED(1, 0), 0, 3);
    expect_disembargo(&r, IMPORTED(8), 1, &echo);
    raw_finish(&r, 1, false);
    expect_release(&r, 8, 1);
}

/* A promise that we gave back comes home by the peer's name for it after it was rejected. */
static void rejected_promise_comes_home(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_ECHO_CAP, 0, PROMISE(8));
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(desc_at(ww_pr_struct(ww_sr_ptr(ret, 0)), 0).id, 8);
    raw_resolve(&r, 8, NO_DESC);
    struct ww_cap *cap = raw_give(&r, YOUR_ANSWER(1));
    assert_int_equal(ww_cap_state(cap), WW_CAP_BROKEN);
    ww_cap_unref(cap);
    raw_finish(&r, 1, false);
    expect_release(&r, 8, 1);
}

/* The same, when it is rejected by way of another promise, and only later. */
static void promise_rejected_in_two_hops_comes_home(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_ECHO_CAP, 0, PROMISE(8));
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    assert_int_equal(desc_at(ww_pr_struct(ww_sr_ptr(ret, 0)), 0).id, 8);
    raw_resolve(&r, 8, PROMISE(9));
    struct ww_cap *cap = raw_give(&r, YOUR_ANSWER(1));
    raw_finish(&r, 1, false);
    raw_resolve(&r, 9, NO_DESC);
    assert_int_equal(ww_cap_state(cap), WW_CAP_BROKEN);
    expect_release(&r, 9, 1);
    ww_cap_unref(cap);
    expect_release(&r, 8, 1);
}

/* ---- results elsewhere */

static void call_yourself(struct raw *raw, uint32_t qid, uint64_t value)
{
    struct ww_sb call = raw_begin(raw, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, M_ECHO);
    ww_sb_set_u16(call, 3, WW_RPC_RESULTS_YOURSELF);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
    ww_sb_set_u64(ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 1), 0, value);
    raw_send(raw);
}

static void take_from_other_question(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    for (int late = 0; late < 2; late++) {
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *q = call_send(cap, M_CALL, 1, NULL, &o);
        uint32_t qid;
        expect_call(&r, IMPORTED(4), M_CALL, 1, &qid);
        call_yourself(&r, 20, 99);
        if (late == 0)
            assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_ELSEWHERE);
        raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 20);
        if (late == 1)
            assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_ELSEWHERE);
        expect_finish(&r, qid, false);
        raw_finish(&r, 20, true);
        assert_int_equal(o.status, 0);
        assert_int_equal(o.value, 99);
        ww_rpc_request_free(q);
    }
    struct ww_rpc_request *q = call_send(cap, M_CALL, 1, NULL, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_CALL, 1, &qid);
    raw_return_tag(&r, qid, WW_RPC_RETURN_TAKE, 21);
    raw_aborted(&r, WW_EPROTO);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

/* ---- cancellation of what we answer */

static void finish_before_return(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 2, PROMISED(1, 0), M_ECHO, 6, NO_DESC); /* waits for the result of the first */
    raw_silent(&r);
    raw_finish(&r, 2, true); /* never delivered: can go at once */
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
    raw_finish(&r, 1, true);
    raw_silent(&r);
    assert_int_equal(r.object->canceled, 1);
    assert_int_equal(r.s.conn->answers.live, 1);
    object_go(r.object);
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
    raw_release(&r, 0, 1);
    side_idle(&r.s);
}

/* What no handler has seen is not delivered any more, unless the peer says that it counts on that. */
static void finish_at_once(bool workaround)
{
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, 1);
    ww_sb_set_u16(call, 2, M_ECHO);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    uint8_t frame[512];
    size_t n = ww_msg_frame_bytes(&r.out);
    ww_msg_frame_write(&r.out, frame);
    assert_ok(ww_rpc_conn_feed(r.s.conn, ww_bytes(frame, n))); /* the vat does not run in between */
    struct ww_sb finish = raw_begin(&r, WW_RPC_FINISH, 1, 0);
    ww_sb_set_u32(finish, 0, 1);
    ww_sb_set_bool(finish, 33, !workaround);
    raw_send(&r);
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
}

static void finish_before_delivery(void **state)
{
    WW_UNUSED(state);
    have_object();
    finish_at_once(false);
    assert_int_equal(r.object->seen_count, 0);
    finish_at_once(true);
    assert_int_equal(r.object->seen_count, 1);
}

/* Peers of old forget the links of a chain as soon as they sent them. */
static void finish_with_workaround(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 2, PROMISED(1, 0), M_NEW, 0, NO_DESC);
    raw_call(&r, 3, PROMISED(2, 0), M_ECHO, 5, NO_DESC);
    ww_sb_set_u32(raw_begin(&r, WW_RPC_FINISH, 1, 0), 0, 2);
    raw_send(&r);
    raw_silent(&r);
    r.object->kept = object_new(r.s.vat, &r.live, NULL);
    object_go(r.object); /* the first call returns an object; the second makes another; the third finds it */
    assert_int_equal(expect_results(&r, 1, 0).kind, WW_RPC_DESC_SENDER_HOSTED);
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
    expect_results(&r, 3, 5);
    raw_finish(&r, 1, true);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bootstrap_and_finish),
        T(release_exact),
        T(release_too_many),
        T(finish_unknown_is_ignored),
        T(question_id_in_use),
        T(return_unknown),
        T(call_unknown_export),
        T(call_unknown_answer),
        T(unknown_messages_are_echoed),
        T(abort_is_not_answered),
        T(imports_count),
        T(params_released_before_return),
        T(vine_is_used),
        T(unknown_descriptors_break),
        T(cancel_crosses_return),
        T(return_releases_parameters),
        T(returned_as_it_is_released),
        T(no_finish_needed),
        T(second_return),
        T(odd_returns),
        T(call_unimplemented),
        T(resolve_to_the_peers_own),
        T(resolve_home_with_calls_sent),
        T(resolve_home_without_calls),
        T(resolve_to_error_without_embargo),
        T(resolve_twice_then_home),
        T(resolve_of_what_we_released),
        T(resolve_of_no_promise),
        T(resolve_to_none),
        T(return_home_with_calls_sent),
        T(return_null_with_calls_sent),
        T(looped_through_us),
        T(disembargo_echo_behind_calls),
        T(disembargo_of_what_is_ours),
        T(disembargo_waits_for_promise),
        T(disembargo_pending_at_the_end),
        T(described_node_is_pinned),
        T(answer_is_pinned_to_its_return),
        T(rejected_promise_comes_home),
        T(promise_rejected_in_two_hops_comes_home),
        T(take_from_other_question),
        T(finish_before_return),
        T(finish_before_delivery),
        T(finish_with_workaround),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
