/* How promises resolve: every kind of end, ends that lead back, rings, and what is released on the way. */
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

static void have_object(void)
{
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    raw_finish(&r, 0, false);
}

/* Gives `cap` of ours to the peer as a parameter of a call to its capability; how it was described. */
static struct desc show(struct ww_cap *target, struct ww_cap *cap)
{
    struct ww_rpc_request *q = call_send(target, M_KEEP, 0, cap, NULL);
    struct ww_sr call = raw_next(&r, WW_RPC_CALL);
    struct desc d = desc_at(ww_pr_struct(ww_sr_ptr(call, 1)), 0);
    uint32_t qid = ww_sr_u32(call, 0);
    raw_return(&r, qid, 0, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    return d;
}

static void drop_all(struct ww_cap **caps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ww_cap_unref(caps[i]);
}

/* ---- identity */

static void one_export_each(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *one, *other,
                  *object = object_new(r.s.vat, &r.live, NULL);
    struct ww_cap_resolver *one_resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &one, &one_resolver));
    struct ww_cap_resolver *other_resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &other, &other_resolver));
    struct desc first = show(target, one), again = show(target, one), second = show(target, other);
    assert_int_equal(first.kind, WW_RPC_DESC_SENDER_PROMISE);
    assert_int_equal(again.id, first.id);
    assert_int_equal(second.kind, WW_RPC_DESC_SENDER_PROMISE);
    assert_int_not_equal(second.id, first.id);
    struct desc settled = show(target, object);
    assert_int_equal(settled.kind, WW_RPC_DESC_SENDER_HOSTED);
    ww_cap_resolver_resolve(other_resolver, object);
    assert_int_equal(expect_resolve(&r, second.id).id, settled.id); /* the same object: the same export */
    assert_int_equal(
        show(target, other).kind, WW_RPC_DESC_SENDER_HOSTED); /* a resolved promise is no promise */
    assert_int_equal(show(target, other).id, settled.id);
    struct desc theirs = show(target, target);
    assert_int_equal(theirs.kind, WW_RPC_DESC_RECEIVER_HOSTED); /* the peer's own goes home as such */
    assert_int_equal(theirs.id, 7);
    assert_int_equal(show(target, NULL).kind, NO_DESC.kind); /* a null pointer, and no descriptor at all */
    raw_release(&r, first.id, 2);
    raw_release(&r, second.id, 1);
    raw_release(&r, settled.id, 4); /* itself, in the Resolve, and twice by way of the promise */
    ww_cap_resolver_free(one_resolver);
    drop_all((struct ww_cap *[]){one, other, object, target}, 4);
    expect_release(&r, 7, 1);
}

static void home_is_home(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *hosted = raw_give(&r, YOURS(0));
    assert_ptr_equal(ww_cap_server(hosted, &object_ops), &r.object->server);
    raw_call(&r, 1, IMPORTED(0), M_ECHO_CAP, 0, YOURS(0));
    expect_results(&r, 1, 0);
    struct ww_cap *answer = raw_give(&r, YOUR_ANSWER(1));
    assert_ptr_equal(ww_cap_server(answer, &object_ops), &r.object->server);
    assert_true(ww_cap_same(hosted, answer));
    ww_cap_unref(hosted);
    ww_cap_unref(answer);
    raw_finish(&r, 1, true);
    raw_silent(&r);
}

static void failed_send_leaks_nothing(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = object_new(r.s.vat, &r.live, NULL), *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &promise, &resolver));
    r.s.vat->limits.message_bytes = 4096;
    uint32_t exports = r.s.conn->exports.live;
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(target, TEST_IFACE, M_KEEP, 0, &q));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 3);
    ww_pb_set_cap(ww_sb_ptr(params, 0), mine);
    ww_pb_set_cap(ww_sb_ptr(params, 1), promise);
    memset(ww_pb_init_data(ww_sb_ptr(params, 2), 5000), 1, 5000);
    struct outcome o;
    outcome_init(&o, NULL);
    ww_rpc_request_send(q, &o.wait);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EOVERLOADED);
    assert_int_equal(r.s.conn->exports.live, exports);
    assert_int_equal(r.s.conn->questions.live, 0);
    ww_rpc_request_free(q);
    ww_cap_resolver_free(resolver);
    assert_int_equal(show(target, mine).id, exports); /* the first that is free */
    raw_release(&r, exports, 1);
    drop_all((struct ww_cap *[]){mine, promise, target}, 3);
    expect_release(&r, 7, 1);
}

/* ---- release */

static void cancel_releases_parameters(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine = object_new(r.s.vat, &r.live, NULL);
    struct ww_rpc_request *q = call_send(target, M_LATER, 0, mine, NULL);
    ww_cap_unref(mine);
    uint32_t qid;
    expect_call(&r, IMPORTED(7), M_LATER, 0, &qid);
    ww_rpc_request_free(q);
    expect_finish(&r, qid, true);
    assert_int_equal(r.live, 2); /* the peer may be using it still */
    struct ww_sb ret = raw_begin(&r, WW_RPC_RETURN, 2, 1);
    ww_sb_set_u32(ret, 0, qid);
    ww_sb_set_u16(ret, 3, WW_RPC_RETURN_CANCELED); /* and releaseParamCaps, by default */
    raw_send(&r);
    assert_int_equal(r.live, 1);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

/* What a handler got is released when the call that it was told is cancelled is completed. */
static void canceled_call_lets_go(void **state)
{
    WW_UNUSED(state);
    have_object();
    objects_obey_cancel = true;
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, HOSTED(4));
    raw_silent(&r);
    raw_finish(&r, 1, true);
    expect_release(&r, 4, 1);
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
    objects_obey_cancel = false;
}

/* The answer is finished when both the results and the last promise of them are gone. */
static void both_hold_the_answer(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7));
    for (int first = 0; first < 2; first++) {
        struct ww_rpc_request *q = call_send(target, M_NEW, 0, NULL, NULL);
        struct ww_cap *made = pipeline(q, 0);
        uint32_t qid;
        expect_call(&r, IMPORTED(7), M_NEW, 0, &qid);
        raw_return(&r, qid, 0, HOSTED(9));
        expect_finish(&r, qid, false);
        if (first == 0)
            ww_rpc_request_free(q);
        else
            ww_cap_unref(made);
        raw_silent(&r);
        if (first == 0)
            ww_cap_unref(made);
        else
            ww_rpc_request_free(q);
        expect_release(&r, 9, 1);
    }
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

static void unimplemented_echoes(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *promise, *object = object_new(r.s.vat, &r.live, NULL);
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &promise, &resolver));
    struct desc d = show(target, promise);
    ww_cap_resolver_resolve(resolver, object);
    struct desc to = expect_resolve(&r, d.id);
    ww_cap_unref(promise);
    ww_cap_unref(object);
    struct ww_sb echo = raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1); /* it did not take the capability over */
    ww_sb_set_u16(echo, 0, WW_RPC_RESOLVE);
    struct ww_sb resolve = ww_pb_init_struct(ww_sb_ptr(echo, 0), 1, 1);
    ww_sb_set_u32(resolve, 0, d.id);
    struct ww_sb desc = ww_pb_init_struct(ww_sb_ptr(resolve, 0), 1, 1);
    ww_sb_set_u16(desc, 0, (uint16_t)to.kind);
    ww_sb_set_u32(desc, 1, to.id);
    raw_send(&r);
    assert_int_equal(r.live, 2); /* the old id serves on */
    raw_call(&r, 2, IMPORTED(d.id), M_ECHO, 3, NO_DESC);
    expect_results(&r, 2, 3);
    raw_release(&r, d.id, 1);
    assert_int_equal(r.live, 1);
    static const uint16_t others[] = {WW_RPC_RETURN, WW_RPC_FINISH, WW_RPC_RELEASE, 10, 999};
    for (size_t i = 0; i < WW_COUNT_OF(others); i++) {
        ww_sb_set_u16(raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1), 0, others[i]);
        raw_send(&r);
        raw_silent(&r);
    }
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
    ww_sb_set_u16(raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1), 0, WW_RPC_DISEMBARGO);
    raw_send(&r);
    raw_aborted(&r, WW_EPROTO); /* calls behind it could never go */
}

/* ---- embargoes */

static void embargo_then_rejected(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *p;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    p = raw_give(&r, PROMISE(4));
    struct ww_rpc_request *q[6];
    struct outcome o[6];
    uint32_t qid, embargo;
    for (int i = 0; i < 6; i++)
        outcome_init(&o[i], NULL);
    q[0] = call_send(p, M_ECHO, 0, NULL, &o[0]);
    expect_call(&r, IMPORTED(4), M_ECHO, 0, &qid);
    raw_resolve(&r, 4, YOURS(d.id));
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    for (uint64_t i = 1; i < 6; i++)
        q[i] = call_send(p, M_ECHO, i, NULL, &o[i]);
    assert_null(ww_cap_server(p, &object_ops));
    ww_cap_resolver_reject(resolver, WW_EOVERLOADED, "no such luck");
    assert_int_equal(expect_resolve(&r, d.id).kind, NO_DESC.kind);
    raw_silent(&r);
    assert_int_equal(o[5].count, 0); /* still behind the embargo */
    raw_disembargo(&r, IMPORTED(d.id), 1, embargo);
    raw_return_tag(&r, qid, WW_RPC_RETURN_EXCEPTION, 1);
    expect_finish(&r, qid, false);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(o[i].count, 1);
        assert_int_equal(o[i].status, WW_EOVERLOADED);
        ww_rpc_request_free(q[i]);
    }
    assert_int_equal(ww_cap_state(p), WW_CAP_BROKEN);
    raw_release(&r, d.id, 1);
    drop_all((struct ww_cap *[]){mine, p, target}, 3);
    expect_release(&r, 7, 1);
}

/* The way that was flushed has itself become another one, which then comes home as well. */
static void second_disembargo(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *p, *other;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    p = raw_give(&r, PROMISE(4));
    other = raw_give(&r, PROMISE(8));
    uint32_t qid[3], embargo, second;
    struct ww_rpc_request *q[3];
    q[0] = call_send(p, M_ECHO, 1, NULL, NULL);
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid[0]);
    raw_resolve(&r, 4, YOURS(d.id));
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    q[1] = call_send(p, M_ECHO, 2, NULL, NULL);
    ww_cap_resolver_resolve(resolver, other); /* while the echo is on its way */
    assert_int_equal(expect_resolve(&r, d.id).id, 8);
    raw_call(&r, 50, IMPORTED(d.id), M_ECHO, 1, NO_DESC); /* the first call comes around, and goes on */
    uint32_t around;
    expect_call(&r, IMPORTED(8), M_ECHO, 1, &around);
    raw_disembargo(&r, IMPORTED(d.id), 1, embargo);
    expect_call(&r, IMPORTED(8), M_ECHO, 2, &qid[1]); /* the second behind it */
    raw_resolve(&r, 8, YOURS(0));
    expect_disembargo(&r, IMPORTED(8), 0, &second);
    q[2] = call_send(p, M_ECHO, 3, NULL, NULL);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0);
    raw_call(&r, 51, IMPORTED(0), M_ECHO, 1, NO_DESC);
    expect_results(&r, 51, 1);
    raw_call(&r, 52, IMPORTED(0), M_ECHO, 2, NO_DESC);
    expect_results(&r, 52, 2);
    raw_disembargo(&r, IMPORTED(0), 1, second);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(r.object->seen[i], i + 1);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    for (int i = 0; i < 3; i++)
        ww_rpc_request_free(q[i]);
    drop_all((struct ww_cap *[]){mine, p, other, target}, 4);
}

/* The echo waits until the promise leads back to the peer, not until everything is settled. */
static void echo_from_a_promise_that_stays_one(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *theirs = raw_give(&r, PROMISE(8));
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    raw_disembargo(&r, IMPORTED(d.id), 0, 5);
    raw_silent(&r);
    ww_cap_resolver_resolve(resolver, theirs);
    uint32_t echo;
    assert_int_equal(expect_resolve(&r, d.id).id, 8);
    expect_disembargo(&r, IMPORTED(8), 1, &echo);
    assert_int_equal(echo, 5);
    raw_release(&r, d.id, 1);
    drop_all((struct ww_cap *[]){mine, theirs, target}, 3);
    for (int i = 0; i < 2; i++)
        raw_next(&r, WW_RPC_RELEASE);
}

/* In two hops: the target waits behind an embargo of our own. */
static void echo_behind_an_embargo(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *p;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    p = raw_give(&r, PROMISE(4));
    struct ww_rpc_request *q = call_send(p, M_ECHO, 1, NULL, NULL);
    uint32_t qid, embargo, echo;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_resolve(&r, 4, YOURS(d.id)); /* home, to a promise of ours */
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    struct desc shown = show(target, p); /* which the peer gets to see while it is embargoed */
    assert_int_equal(shown.kind, WW_RPC_DESC_SENDER_PROMISE);
    ww_cap_resolver_resolve(resolver, target);
    assert_int_equal(expect_resolve(&r, d.id).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    raw_disembargo(&r, IMPORTED(shown.id), 0, 77);
    raw_silent(&r); /* calls on the first way are still out */
    raw_disembargo(&r, IMPORTED(7), 1, embargo);
    assert_int_equal(expect_resolve(&r, shown.id).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    expect_disembargo(&r, IMPORTED(7), 1, &echo);
    assert_int_equal(echo, 77);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_rpc_request_free(q);
    drop_all((struct ww_cap *[]){mine, p, target}, 3);
}

/* Naming a promise to the peer counts as using it: its embargo comes all the same. */
static void described_promise_comes_home(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *p = raw_give(&r, PROMISE(4));
    assert_int_equal(show(target, p).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    raw_resolve(&r, 4, YOURS(0));
    uint32_t embargo;
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    assert_int_equal(ww_cap_state(p), WW_CAP_SETTLED);
    ww_cap_unref(p);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

/* ---- the node that was described */

static void bootstrap_answer_is_pinned(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *boot, *theirs;
    have_object();
    theirs = raw_give(&r, PROMISE(8));
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &boot, &resolver));
    ww_cap_unref(r.s.conn->bootstrap);
    r.s.conn->bootstrap = ww_cap_ref(boot);
    raw_bootstrap(&r, 1);
    struct desc d = expect_results(&r, 1, 0);
    assert_int_equal(d.kind, WW_RPC_DESC_SENDER_PROMISE);
    raw_call(&r, 2, PROMISED(1, -2), M_ECHO, 1, NO_DESC);
    raw_silent(&r); /* waits in the promise */
    ww_cap_resolver_resolve(resolver, theirs);
    uint32_t cid, echo;
    assert_int_equal(expect_resolve(&r, d.id).id, 8);
    expect_call(&r, IMPORTED(8), M_ECHO, 1, &cid);
    raw_bootstrap(&r, 3); /* now described as 8 itself */
    assert_int_equal(expect_results(&r, 3, 0).kind, WW_RPC_DESC_RECEIVER_HOSTED);
    raw_resolve(&r, 8, HOSTED(9));
    raw_silent(&r);
    raw_call(&r, 4, PROMISED(3, -2), M_ECHO, 2, NO_DESC); /* so it stays 8 for calls on this answer */
    expect_call(&r, IMPORTED(8), M_ECHO, 2, &cid);
    raw_disembargo(&r, PROMISED(3, -2), 0, 6);
    expect_disembargo(&r, IMPORTED(8), 1, &echo);
    raw_call(&r, 5, IMPORTED(d.id), M_ECHO, 3, NO_DESC); /* and on the promise */
    expect_call(&r, IMPORTED(8), M_ECHO, 3, &cid);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_cap_unref(boot);
    ww_cap_unref(theirs);
}

/* ---- rings and chains */

static void ring_with_the_peer(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine, *p = raw_give(&r, PROMISE(4));
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    ww_cap_resolver_resolve(resolver, p); /* ours is the peer's 4 */
    assert_int_equal(expect_resolve(&r, d.id).id, 4);
    raw_resolve(&r, 4, YOURS(d.id)); /* which is ours */
    while (r.s.conn->open && (r.have || ww_rpc_conn_pending(r.s.conn)))
        raw_next(&r, WW_RPC_RELEASE);
    assert_int_equal(ww_cap_state(p), WW_CAP_BROKEN);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(p, M_ECHO, 1, NULL, &o);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "promise resolved to itself");
    ww_rpc_request_free(q);
    raw_release(&r, d.id, 1);
    drop_all((struct ww_cap *[]){mine, p, target}, 3);
    while (ww_rpc_conn_pending(r.s.conn))
        raw_next(&r, WW_RPC_RELEASE);
}

/* A result that is said to be itself. */
static void ring_of_an_answer(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *target = raw_give(&r, HOSTED(7)), *mine;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &mine, &resolver));
    struct desc d = show(target, mine);
    struct ww_rpc_request *q = call_send(target, M_GIVE, 0, NULL, NULL);
    struct ww_cap *made = pipeline(q, 0);
    uint32_t qid;
    expect_call(&r, IMPORTED(7), M_GIVE, 0, &qid);
    ww_cap_resolver_resolve(resolver, made);
    assert_int_equal(expect_resolve(&r, d.id).kind, WW_RPC_DESC_RECEIVER_ANSWER);
    raw_return(&r, qid, 0, YOURS(d.id));
    assert_int_equal(ww_cap_state(made), WW_CAP_BROKEN);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_rpc_request_free(q);
    drop_all((struct ww_cap *[]){mine, made, target}, 3);
}

/* A call on a promise that then leads to the call's own result, directly or by way of another such call. */
static void call_on_its_own_result(void **state)
{
    WW_UNUSED(state);
    for (int calls = 1; calls <= 2; calls++) {
        struct ww_cap *p, *made[2];
        struct ww_rpc_request *q[2];
        struct outcome o[2];
        struct ww_cap_resolver *resolver;
        assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
        for (int i = 0; i < calls; i++) {
            outcome_init(&o[i], NULL);
            q[i] = call_send(i ? made[i - 1] : p, M_GIVE, 0, NULL, &o[i]);
            made[i] = pipeline(q[i], 0);
        }
        ww_cap_resolver_resolve(resolver, made[calls - 1]);
        raw_silent(&r);
        for (int i = 0; i < calls; i++) {
            assert_int_equal(o[i].status, WW_EFAILED);
            assert_string_equal(o[i].reason, "the call waits for its own result");
            ww_rpc_request_free(q[i]);
            ww_cap_unref(made[i]);
        }
        ww_cap_unref(p);
    }
}

/* Each promise leads to another one, on and on. */
static void endless_chain(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *p = raw_give(&r, PROMISE(100));
    uint32_t hops = 0;
    while (ww_cap_state(p) == WW_CAP_PROMISE && hops < 1000) {
        raw_resolve(&r, 100 + hops, PROMISE(101 + hops));
        expect_release(&r, 100 + hops, 1);
        hops++;
    }
    assert_int_equal(ww_cap_state(p), WW_CAP_BROKEN);
    assert_true(hops >= 64 && hops <= 66);
    expect_release(&r, 100 + hops, 1);
    ww_cap_unref(p);
    raw_silent(&r);
    assert_int_equal(r.s.conn->imports.live, 0);
}

/* ---- answers before their time */

/* The handler says early where a result will be: calls on it go there, though the call itself never returns.
 */
static void pipeline_set_early(void **state)
{
    WW_UNUSED(state);
    static const uint16_t path[1] = {0};
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 2, PROMISED(1, 0), M_ECHO, 2, NO_DESC);
    raw_silent(&r);
    struct ww_cap *made = object_new(r.s.vat, &r.live, NULL);
    assert_ok(ww_rpc_call_set_pipeline(r.object->later, path, 1, made));
    assert_int_equal(ww_rpc_call_set_pipeline(r.object->later, path, 1, made), WW_ESTATE);
    raw_call(&r, 3, PROMISED(1, 0), M_ECHO, 3, NO_DESC);
    expect_results(&r, 2, 2);
    expect_results(&r, 3, 3);
    r.object->kept = made; /* and then it does return, with the same */
    object_go(r.object);
    struct desc d = expect_results(&r, 1, 0);
    raw_call(&r, 4, PROMISED(1, 0), M_ECHO, 4, NO_DESC);
    expect_results(&r, 4, 4);
    raw_finish(&r, 1, false);
    raw_release(&r, d.id, 1);
    raw_call(&r, 5, IMPORTED(0), M_KEEP, 0, NO_DESC);
    expect_results(&r, 5, 0);
    assert_int_equal(r.live, 1);
}

/* A vat that talks to itself. */
static void connected_to_itself(void **state)
{
    WW_UNUSED(state);
    static const struct ww_rpc_conn_ops none = {0};
    static struct ww_rpc_conn_host host = {.ops = &none};
    struct ww_rpc_conn *conn[2];
    struct object *object;
    struct ww_cap *self = object_new(r.s.vat, &r.live, &object), *cap, *back;
    for (int i = 0; i < 2; i++)
        assert_ok(ww_rpc_conn_new(
            r.s.vat, &(struct ww_rpc_conn_config){.host = &host, .bootstrap = i ? self : NULL}, &conn[i]));
    assert_ok(ww_rpc_conn_bootstrap(conn[0], &cap));
    struct ww_rpc_request *q = call_send(cap, M_ECHO_CAP, 0, self, NULL), *c[8];
    back = pipeline(q, 0); /* out over one connection, in over the other, and the same way back */
    for (unsigned i = 0; i < WW_COUNT_OF(c); i++) {
        c[i] = call_send(back, M_ECHO, i, NULL, NULL);
        struct ww_bytes view;
        for (int way = 0; way < 2; way++) {
            if (!ww_rpc_conn_pull(conn[way], &view, 1))
                continue;
            assert_ok(ww_rpc_conn_feed(conn[1 - way], view));
            ww_rpc_conn_pulled(conn[way], view.len);
        }
        ww_rpc_vat_run(r.s.vat, 1, 0);
    }
    for (int turn = 0; turn < 10; turn++) {
        struct ww_bytes view;
        for (int way = 0; way < 2; way++) {
            if (!ww_rpc_conn_pull(conn[way], &view, 1))
                continue;
            assert_ok(ww_rpc_conn_feed(conn[1 - way], view));
            ww_rpc_conn_pulled(conn[way], view.len);
        }
        ww_rpc_vat_run(r.s.vat, 1, 0);
    }
    assert_int_equal(object->seen_count, WW_COUNT_OF(c));
    for (unsigned i = 0; i < WW_COUNT_OF(c); i++) {
        assert_int_equal(object->seen[i], i);
        ww_rpc_request_free(c[i]);
    }
    assert_ptr_equal(ww_cap_server(back, &object_ops), &object->server);
    ww_rpc_request_free(q);
    drop_all((struct ww_cap *[]){self, cap, back}, 3);
    for (int i = 0; i < 2; i++)
        ww_rpc_conn_free(conn[i]);
}

/* What an Abort says is what calls in progress say, but for its kind: to try again elsewhere. */
static void abort_says_why(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, HOSTED(4));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_ECHO, 1, NULL, &o);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    struct ww_sb abort = raw_begin(&r, WW_RPC_ABORT, 1, 3);
    ww_sb_set_u16(abort, 2, WW_KIND_OVERLOADED);
    ww_pb_set_text(ww_sb_ptr(abort, 0), ww_text("remote exception: remote exception: full"));
    ww_pb_set_text(ww_sb_ptr(abort, 1), ww_text("there"));
    struct ww_sb d = ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(abort, 2), 1, 1, 1), 0);
    ww_sb_set_u64(d, 0, 5);
    ww_pb_set_data(ww_sb_ptr(d, 0), WW_BYTES_LIT("x"));
    raw_send(&r);
    raw_silent(&r);
    struct ww_rpc_exception e;
    assert_int_equal(o.status, WW_EDISCONNECTED);
    assert_true(ww_rpc_request_exception(q, &e));
    assert_string_equal(e.reason, "remote exception: full");
    assert_string_equal(e.trace, "there");
    assert_int_equal(e.detail_count, 1);
    assert_int_equal(e.details[0].id, 5);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(one_export_each), T(home_is_home), T(failed_send_leaks_nothing),
        T(cancel_releases_parameters), T(canceled_call_lets_go), T(both_hold_the_answer),
        T(unimplemented_echoes), T(embargo_then_rejected), T(second_disembargo),
        T(echo_from_a_promise_that_stays_one), T(echo_behind_an_embargo), T(described_promise_comes_home),
        T(bootstrap_answer_is_pinned), T(ring_with_the_peer), T(ring_of_an_answer), T(call_on_its_own_result),
        T(endless_chain), T(pipeline_set_early), T(connected_to_itself), T(abort_says_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
