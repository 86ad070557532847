/* What a peer may make us hold, what we may pile up ourselves, and streams. */
#include "raw.h"

static struct raw r;
static struct pair p;
static int live;

static int raw_up(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    return 0;
}

static int raw_down(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

static struct object *far;

static struct ww_cap *make_object(struct ww_rpc_vat *vat)
{
    return object_new(vat, &live, &far);
}

static int pair_up(void **state)
{
    WW_UNUSED(state);
    pair_init(&p, make_object, false);
    return 0;
}

static int pair_down(void **state)
{
    WW_UNUSED(state);
    pair_fini(&p);
    assert_int_equal(live, 0);
    return 0;
}

/* ---- against a peer */

static void have_object(void)
{
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    raw_finish(&r, 0, false);
}

static void too_many_answers(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.answers = 10;
    for (uint32_t i = 1; i <= 10; i++) {
        r.object->later = NULL;
        raw_call(&r, i, PROMISED(1, 0), M_ECHO, 0, NO_DESC); /* each fails, and none is finished */
    }
    assert_true(ww_rpc_conn_is_open(r.s.conn));
    assert_int_equal(r.s.conn->answers.live, 10);
    raw_call(&r, 11, IMPORTED(0), M_ECHO, 0, NO_DESC);
    for (uint32_t i = 1; i <= 10; i++)
        expect_exception(&r, i, WW_KIND_FAILED);
    raw_aborted(&r, WW_ELIMIT);
}

static void too_many_imports(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.imports = 1;
    raw_call(&r, 1, IMPORTED(0), M_KEEP, 0, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 70000});
    expect_results(&r, 1, 0);
    raw_call(&r, 2, IMPORTED(0), M_KEEP, 0, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 2});
    raw_aborted(&r, WW_ELIMIT);
}

static void budget_of_questions(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.budget.max[WW_RES_QUESTIONS] = 1;
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_silent(&r);
    raw_call(&r, 2, IMPORTED(0), M_ECHO, 0, NO_DESC);
    expect_exception(&r, 2, WW_KIND_OVERLOADED); /* an answer, not the end */
    raw_finish(&r, 2, true);
    object_go(r.object);
    expect_results(&r, 1, 1);
    raw_call(&r, 3, IMPORTED(0), M_ECHO, 4, NO_DESC);
    expect_results(&r, 3, 4);
}

static void budget_of_exports(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.budget.max[WW_RES_EXPORTS] = 1;
    raw_call(&r, 1, IMPORTED(0), M_NEW, 0, NO_DESC);
    expect_exception(&r, 1, WW_KIND_OVERLOADED);
    assert_int_equal(r.live, 1);
    assert_int_equal(r.s.conn->exports.live, 1);
    raw_finish(&r, 1, true);
}

/* A peer that never says Finish: results with capabilities are kept for it, others are not. */
static void kept_results(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_NEW, 0, NO_DESC);
    expect_results(&r, 1, 0);
    uint64_t each = r.s.conn->held_bytes;
    assert_true(each > 0);
    r.s.vat->limits.kept_bytes = 2 * each;
    raw_call(&r, 2, IMPORTED(0), M_NEW, 0, NO_DESC);
    expect_results(&r, 2, 0);
    raw_call(&r, 3, IMPORTED(0), M_NEW, 0, NO_DESC);
    expect_exception(&r, 3, WW_KIND_OVERLOADED);
    raw_call(&r, 4, IMPORTED(0), M_ECHO, 5, NO_DESC);
    expect_results(&r, 4, 5);
    raw_finish(&r, 1, true);
    raw_call(&r, 5, IMPORTED(0), M_NEW, 0, NO_DESC);
    expect_results(&r, 5, 0);
    assert_int_equal(r.s.conn->held_bytes, 2 * each);
}

/* Nor may it make us remember any number of results that are not there yet. */
static void kept_promises(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 2, PROMISED(1, 0), M_ECHO, 0, NO_DESC);
    r.s.vat->limits.kept_bytes = 2 * r.s.conn->held_bytes;
    raw_call(&r, 3, PROMISED(1, 1), M_ECHO, 0, NO_DESC);
    raw_call(&r, 4, PROMISED(1, 0), M_ECHO, 0, NO_DESC); /* known already */
    raw_silent(&r);
    raw_call(&r, 5, PROMISED(1, 2), M_ECHO, 0, NO_DESC);
    expect_exception(&r, 5, WW_KIND_OVERLOADED);
    object_go(r.object);
    expect_results(&r, 1, 1);
    expect_exception(&r, 3, WW_KIND_FAILED); /* there is no capability */
    expect_exception(&r, 2, WW_KIND_FAILED);
    expect_exception(&r, 4, WW_KIND_FAILED);
}

/* Over the soft limit calls wait, in order, while everything else goes on. */
static void inbound_soft(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.inbound_bytes = 200;
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 2, PROMISED(1, 0), M_ECHO, 0, NO_DESC); /* waits for the first, and is too much with it */
    assert_true(ww_rpc_conn_want_read(r.s.conn));
    raw_call(&r, 3, IMPORTED(0), M_ECHO, 3, NO_DESC);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0);
    raw_call(&r, 4, IMPORTED(0), M_ECHO, 4, NO_DESC);
    raw_finish(&r, 3, true); /* leaves the queue */
    assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_RETURN), 3), WW_RPC_RETURN_CANCELED);
    raw_bootstrap(&r, 5); /* is no call: answered */
    expect_results(&r, 5, 0);
    raw_finish(&r, 5, true);
    raw_call(&r, 6, IMPORTED(0), M_ECHO, 6, NO_DESC);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0);
    object_go(r.object);
    expect_results(&r, 1, 1);
    expect_exception(&r, 2, WW_KIND_FAILED);
    expect_results(&r, 4, 4);
    expect_results(&r, 6, 6);
    assert_int_equal(r.object->seen[0], 4);
    raw_finish(&r, 2, true);
    raw_call(&r, 7, IMPORTED(0), M_ECHO, 7, NO_DESC);
    expect_results(&r, 7, 7);
    assert_int_equal(r.s.conn->calls_held_bytes, 0);
}

static void inbound_hard(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.inbound_bytes = 200;
    uint32_t id = 1;
    raw_call(&r, id++, IMPORTED(0), M_LATER, 0, NO_DESC);
    objects_obey_cancel = true;
    while (r.s.conn->inbound_bytes <= 400) {
        assert_true(ww_rpc_conn_want_read(r.s.conn));
        raw_call(&r, id++, PROMISED(1, 0), M_ECHO, 0, NO_DESC);
    }
    assert_false(ww_rpc_conn_want_read(r.s.conn)); /* nothing of ours is under way: it is safe to wait */
    raw_call(&r, id++, IMPORTED(0), M_ECHO, 0, NO_DESC); /* had been read already */
    assert_true(ww_rpc_conn_is_open(r.s.conn));
    assert_int_equal(r.object->seen_count, 0);
    while (ww_rpc_conn_is_open(r.s.conn) && id < 20)
        raw_call(&r, id++, IMPORTED(0), M_ECHO, 0, NO_DESC); /* reads on and on */
    raw_aborted(&r, WW_ELIMIT);
}

/* With a question of ours out, nobody can stop reading: its Return would not come either. */
static void inbound_hard_with_question(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.inbound_bytes = 200;
    objects_obey_cancel = true;
    raw_call(&r, 1, IMPORTED(0), M_KEEP, 0, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 4});
    expect_results(&r, 1, 0);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(r.object->kept, M_ECHO, 1, NULL, &o);
    uint32_t qid, id = 2;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_call(&r, id++, IMPORTED(0), M_LATER, 0, NO_DESC);
    while (r.s.conn->inbound_bytes <= 400)
        raw_call(&r, id++, PROMISED(2, 0), M_ECHO, 0, NO_DESC);
    assert_true(ww_rpc_conn_want_read(r.s.conn));
    raw_return(&r, qid, 1, NO_DESC);
    assert_int_equal(o.status, 0); /* Returns pass the calls that wait */
    expect_finish(&r, qid, false);
    assert_false(ww_rpc_conn_want_read(r.s.conn));
    ww_rpc_request_free(q);
    outcome_init(&o, NULL);
    q = call_send(r.object->kept, M_ECHO, 1, NULL, &o);
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_call(&r, id++, IMPORTED(0), M_ECHO, 0, NO_DESC);
    raw_aborted(&r, WW_ELIMIT);
    assert_int_equal(o.status, WW_EDISCONNECTED);
    ww_rpc_request_free(q);
}

/* A peer that does not read its Returns gets no more of them. */
static void outbound_holds_calls(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.outbound_bytes = 300;
    for (uint32_t i = 1; i <= 8; i++)
        raw_call(&r, i, IMPORTED(0), M_ECHO, i, NO_DESC);
    size_t before = r.object->seen_count;
    assert_true(before > 2 && before < 8);
    for (uint32_t i = 1; i <= 8; i++)
        expect_results(&r, i, i); /* it reads */
    assert_int_equal(r.object->seen_count, 8);
}

/* Whatever the order of calls depends on waits with them. */
static void held_disembargo(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_KEEP, 0, (struct desc){WW_RPC_DESC_SENDER_PROMISE, 4});
    expect_results(&r, 1, 0);
    struct ww_cap *promise = r.object->kept;
    r.object->kept = NULL;
    struct ww_rpc_request *q = call_send(promise, M_ECHO, 1, NULL, NULL), *q2;
    uint32_t qid, embargo;
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &qid);
    raw_resolve(&r, 4, (struct desc){WW_RPC_DESC_RECEIVER_HOSTED, 0});
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    q2 = call_send(promise, M_ECHO, 2, NULL, NULL);
    r.s.vat->limits.inbound_bytes = 200;
    raw_call(&r, 2, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_call(&r, 3, PROMISED(2, 0), M_ECHO, 0, NO_DESC);
    raw_call(&r, 4, IMPORTED(0), M_ECHO, 1, NO_DESC); /* the first call, reflected: held */
    raw_disembargo(&r, IMPORTED(0), 1, embargo);
    raw_silent(&r);
    assert_int_equal(r.object->seen_count, 0); /* so the second may not go either */
    object_go(r.object);
    while (ww_rpc_vat_run(r.s.vat, 1, 0))
        ;
    assert_int_equal(r.object->seen_count, 2);
    assert_int_equal(r.object->seen[0], 1);
    assert_int_equal(r.object->seen[1], 2);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_rpc_request_free(q);
    ww_rpc_request_free(q2);
    ww_cap_unref(promise);
}

static void message_size(void **state)
{
    WW_UNUSED(state);
    static const uint8_t huge[8] = {0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f}; /* 2 GiB announced, in 8 bytes */
    ww_err err = ww_rpc_conn_feed(r.s.conn, ww_bytes(huge, sizeof huge));
    assert_true(err < 0);
    assert_int_equal(err, r.s.conn->close_err);
    assert_false(ww_rpc_conn_is_open(r.s.conn));
    raw_next(&r, WW_RPC_ABORT);
}

static void deep_transform(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, 1);
    struct ww_sb target = ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    ww_sb_set_u16(target, 2, 1);
    struct ww_sb promised = ww_pb_init_struct(ww_sb_ptr(target, 0), 1, 1);
    ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, 65);
    raw_send(&r);
    raw_aborted(&r, WW_ELIMIT);
}

static void wide_cap_table(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, 1);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    r.s.vat->limits.cap_table = 100;
    ww_pb_init_structs(ww_sb_ptr(ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2), 1), 1, 1, 101);
    raw_send(&r);
    raw_aborted(&r, WW_ELIMIT);
}

static void too_many_segments(void **state)
{
    WW_UNUSED(state);
    uint8_t frame[1024] = {0};
    ww_le32_store(frame, 511); /* 512 of them, most of them empty, are allowed */
    ww_le32_store(frame + 4, 1);
    size_t table = (512 / 2 + 1) * 8;
    for (int over = 0; over < 2; over++) {
        uint8_t bytes[2064 + 8] = {0};
        memcpy(bytes, frame, 8);
        ww_le32_store(bytes, 511u + (uint32_t)over);
        ww_err err = ww_rpc_conn_feed(r.s.conn, ww_bytes(bytes, table + 8));
        WW_UNUSED(err);
        if (over == 0) {
            raw_silent(&r); /* an empty message, read as an echo of nothing */
            assert_true(ww_rpc_conn_is_open(r.s.conn));
        }
    }
    raw_aborted(&r, WW_ELIMIT);
}

/* Parameters may not nest too deeply, nor be read for ever: the call's fault, not the connection's. */
static void deep_and_wide_parameters(void **state)
{
    WW_UNUSED(state);
    have_object();
    for (int wide = 0; wide < 2; wide++) {
        struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
        ww_sb_set_u32(call, 0, 1);
        ww_sb_set_u64(call, 1, TEST_IFACE);
        ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
        struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
        struct ww_sb at = ww_pb_init_struct(ww_sb_ptr(payload, 0), 1, 1);
        ww_sb_set_u64(at, 0, 9);
        struct ww_msg_limits was = r.s.conn->msg_limits;
        if (wide)
            r.s.conn->msg_limits.traversal = 12; /* enough for the Call itself */
        else
            r.s.conn->msg_limits.depth = 3;
        raw_send(&r);
        r.s.conn->msg_limits = was;
        expect_exception(&r, 1, WW_KIND_FAILED);
        raw_finish(&r, 1, true);
        raw_call(&r, 2, IMPORTED(0), M_ECHO, 6, NO_DESC);
        expect_results(&r, 2, 6);
    }
}

static void too_many_questions(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 4});
    r.s.vat->limits.questions = 2;
    struct ww_rpc_request *q[3];
    struct outcome o[3];
    uint32_t qid[2];
    for (int i = 0; i < 3; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(cap, M_ECHO, (uint64_t)i, NULL, &o[i]);
    }
    for (int i = 0; i < 2; i++)
        expect_call(&r, IMPORTED(4), M_ECHO, (uint64_t)i, &qid[i]);
    raw_silent(&r);
    assert_int_equal(o[2].status, WW_EOVERLOADED);
    for (int i = 0; i < 2; i++) {
        raw_return(&r, qid[i], 1, NO_DESC);
        expect_finish(&r, qid[i], false);
        assert_int_equal(o[i].status, 0);
    }
    for (int i = 0; i < 3; i++)
        ww_rpc_request_free(q[i]);
    q[0] = call_send(cap, M_ECHO, 7, NULL, &o[0]); /* there is room again */
    expect_call(&r, IMPORTED(4), M_ECHO, 7, &qid[0]);
    raw_return(&r, qid[0], 1, NO_DESC);
    expect_finish(&r, qid[0], false);
    ww_rpc_request_free(q[0]);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void too_many_exports(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 4});
    struct ww_cap *mine = object_new(r.s.vat, &r.live, NULL);
    r.s.vat->limits.exports = 1;
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_KEEP, 0, mine, &o);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EOVERLOADED);
    ww_rpc_request_free(q);
    raw_call(&r, 1, IMPORTED(0), M_NEW, 0, NO_DESC); /* a result that cannot be described */
    expect_exception(&r, 1, WW_KIND_OVERLOADED);
    raw_finish(&r, 1, true);
    assert_int_equal(r.s.conn->exports.live, 1);
    ww_cap_unref(mine);
    ww_cap_unref(cap);
    expect_release(&r, 4, 1);
}

static void too_many_of_our_capabilities(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 4});
    r.s.vat->limits.cap_table = 3;
    struct ww_rpc_request *q;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_KEEP, 0, &q));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 4);
    for (uint16_t i = 0; i < 4; i++)
        ww_pb_set_cap(ww_sb_ptr(params, i), cap);
    ww_rpc_request_send(q, &o.wait);
    raw_silent(&r);
    assert_int_equal(o.status, WW_EOVERLOADED);
    ww_cap_unref(cap);
    uint16_t path[300] = {0};
    struct ww_cap *none;
    assert_int_equal(ww_rpc_request_pipeline(q, path, 65, &none), WW_ELIMIT);
    ww_rpc_request_free(q);
    expect_release(&r, 4, 1);
}

/* Ours that are outstanding, and the peer's that wait here. */
static void too_many_embargoes(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.embargoes = 1;
    struct ww_cap *ends[2];
    struct ww_rpc_request *q[2];
    uint32_t qid, embargo;
    for (uint32_t i = 0; i < 2; i++) {
        ends[i] = raw_give(&r, (struct desc){WW_RPC_DESC_SENDER_PROMISE, 4 + i});
        q[i] = call_send(ends[i], M_ECHO, 1, NULL, NULL);
        expect_call(&r, IMPORTED(4 + i), M_ECHO, 1, &qid);
    }
    raw_resolve(&r, 4, (struct desc){WW_RPC_DESC_RECEIVER_HOSTED, 0});
    expect_disembargo(&r, IMPORTED(4), 0, &embargo);
    expect_release(&r, 4, 1);
    raw_resolve(&r, 5, (struct desc){WW_RPC_DESC_RECEIVER_HOSTED, 0});
    raw_aborted(&r, WW_ELIMIT);
    for (int i = 0; i < 2; i++) {
        ww_rpc_request_free(q[i]);
        ww_cap_unref(ends[i]);
    }
}

static void too_many_echoes(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_cap *cap = raw_give(&r, (struct desc){WW_RPC_DESC_SENDER_HOSTED, 4}), *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &promise, &resolver));
    struct ww_rpc_request *q = call_send(cap, M_KEEP, 0, promise, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(4), M_KEEP, 0, &qid);
    r.s.vat->limits.embargoes = 3;
    for (uint32_t i = 0; i < 3; i++)
        raw_disembargo(&r, IMPORTED(1), 0, i);
    raw_silent(&r);
    raw_disembargo(&r, IMPORTED(1), 0, 3);
    raw_aborted(&r, WW_ELIMIT);
    ww_rpc_request_free(q);
    ww_cap_unref(promise);
    ww_cap_resolver_free(resolver);
    ww_cap_unref(cap);
}

/* A peer that asks and does not read: twice the limit is the end. */
static void replies_unread(void **state)
{
    WW_UNUSED(state);
    have_object();
    r.s.vat->limits.outbound_bytes = 1000;
    for (uint32_t i = 0; i < 200 && ww_rpc_conn_is_open(r.s.conn); i++)
        raw_bootstrap(&r, 100 + i); /* not calls: those would be held back */
    assert_false(ww_rpc_conn_is_open(r.s.conn));
    assert_int_equal(r.s.conn->close_err, WW_ELIMIT);
    assert_true(ww_rpc_conn_pending(r.s.conn) < 3000);
}

/* Hints, ids of any size and long chains cost a peer what they cost us. */
static void chain_of_answers(void **state)
{
    WW_UNUSED(state);
    have_object();
    raw_call(&r, 1, IMPORTED(0), M_LATER, 0, NO_DESC);
    for (uint32_t i = 2; i <= 512; i++)
        raw_call(&r, i, PROMISED(i - 1, 0), M_NEW, 0, NO_DESC);
    raw_silent(&r);
    r.object->kept = object_new(r.s.vat, &r.live, NULL);
    object_go(r.object);
    for (uint32_t i = 1; i <= 512; i++)
        expect_results(&r, i, 0);
    assert_int_equal(r.live, 513);
    for (uint32_t i = 1; i <= 512; i++)
        raw_finish(&r, i, true);
    assert_int_equal(r.live, 2);
}

static void malformed_parameters(void **state)
{
    WW_UNUSED(state);
    have_object();
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, 1);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    ww_pb_init_struct(ww_sb_ptr(call, 0), 1, 1);
    struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
    ww_le64_store(ww_sb_ptr(payload, 0).at, UINT64_C(0x0001000100ffff00)); /* far outside the segment */
    raw_send(&r);
    expect_exception(&r, 1, WW_KIND_FAILED); /* the call's fault, not the connection's */
    raw_finish(&r, 1, true);
    raw_call(&r, 2, IMPORTED(0), M_ECHO, 6, NO_DESC);
    expect_results(&r, 2, 6);
}

/* ---- against ourselves */

static void queued_calls(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise;
    p.a.vat->limits.queued_calls = 3;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    struct ww_rpc_request *q[5];
    struct outcome o[5];
    for (int i = 0; i < 5; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(promise, M_ECHO, 0, NULL, &o[i]);
    }
    pair_settle(&p);
    assert_int_equal(o[2].count, 0);
    assert_int_equal(o[3].status, WW_EOVERLOADED);
    assert_int_equal(o[4].status, WW_EOVERLOADED);
    ww_rpc_request_free(q[0]); /* leaves the queue */
    q[0] = call_send(promise, M_ECHO, 0, NULL, &o[0]);
    pair_settle(&p);
    assert_int_equal(o[0].count, 0);
    ww_cap_unref(promise);
    ww_cap_resolver_free(resolver);
    pair_settle(&p);
    for (int i = 0; i < 5; i++)
        ww_rpc_request_free(q[i]);
}

static void outbound_and_questions(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    p.a.vat->limits.outbound_bytes = 500;
    struct ww_rpc_request *q[10];
    struct outcome o[10];
    unsigned refused = 0;
    for (int i = 0; i < 10; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(cap, M_ECHO, 0, NULL, &o[i]);
    }
    pair_settle(&p);
    for (int i = 0; i < 10; i++) {
        refused += o[i].status == WW_EOVERLOADED;
        assert_true(o[i].status == 0 || o[i].status == WW_EOVERLOADED);
        ww_rpc_request_free(q[i]);
    }
    assert_true(refused > 3 && refused < 10);
    assert_true(ww_rpc_conn_is_open(p.a.conn));
    ww_cap_unref(cap);
    pair_settle(&p);
    side_idle(&p.a);
}

static void large_messages(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    p.a.vat->limits.message_bytes = 300000;
    for (int large = 0; large < 2; large++) {
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *q;
        assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 0, &q));
        struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 2);
        size_t size = large ? 400000 : 200000;
        memset(ww_pb_init_data(ww_sb_ptr(params, 1), size), 7, size);
        ww_rpc_request_send(q, &o.wait);
        pair_settle(&p);
        assert_int_equal(o.status, large ? WW_EOVERLOADED : 0); /* that call alone */
        assert_string_equal(o.reason, large ? "the call could not be sent: over a limit" : "");
        ww_rpc_request_free(q);
    }
    ww_cap_unref(cap);
    pair_settle(&p);
    side_idle(&p.a);
}

/* Many calls of a peer that reads arrive together and have much to return: they wait for one another, in
 * order. */
static void many_results(void **state)
{
    WW_UNUSED(state);
    enum { CALLS = 40 };
    struct ww_cap *cap;
    struct ww_rpc_request *q[CALLS];
    struct outcome o[CALLS];
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    p.b.vat->limits.outbound_bytes = 200;
    for (int i = 0; i < CALLS; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(cap, M_ECHO, (uint64_t)i, NULL, &o[i]);
    }
    ww_rpc_request_free(q[CALLS - 2]); /* one changes its mind */
    pair_settle(&p);
    for (int i = 0; i < CALLS; i++) {
        if (i == CALLS - 2)
            continue;
        assert_int_equal(o[i].status, 0);
        ww_rpc_request_free(q[i]);
    }
    ww_cap_unref(cap);
    pair_settle(&p);
    side_idle(&p.a);
}

/* ---- streams */

struct streaming {
    struct ww_rpc_stream stream;
    unsigned ready, drained;
    ww_err err;
};

static void stream_ready(struct ww_rpc_stream *stream)
{
    WW_CONTAINER_OF(stream, struct streaming, stream)->ready++;
}

static void stream_drained(struct ww_rpc_stream *stream, ww_err err)
{
    struct streaming *s = WW_CONTAINER_OF(stream, struct streaming, stream);
    s->drained++;
    s->err = err;
}

static const struct ww_rpc_stream_ops stream_ops = {.ready = stream_ready, .drained = stream_drained};

static ww_err push(struct streaming *s, struct ww_cap *to, uint64_t value, size_t bytes)
{
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, M_STREAM, 3, &q));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 2);
    ww_sb_set_u64(params, 0, value);
    memset(ww_pb_init_data(ww_sb_ptr(params, 1), bytes), 1, bytes);
    return ww_rpc_stream_send_take(&s->stream, q);
}

static void stream_order(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    far->hold = true;
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, p.a.vat, &stream_ops, 1000));
    unsigned sent = 0;
    while (push(&s, cap, sent + 1, 64) == WW_RPC_STREAM_OK)
        sent++;
    sent++;
    assert_true(sent > 3 && sent < 10);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_COUNT, 0, NULL, &o); /* behind all of them */
    pair_settle(&p);
    assert_int_equal(far->seen_count, 1); /* one at a time */
    assert_int_equal(o.count, 0);
    for (unsigned i = 0; i < sent; i++) {
        object_go(far);
        pair_settle(&p);
    }
    assert_int_equal(far->seen_count, sent);
    assert_int_equal(o.value, sent);
    assert_int_equal(s.ready, 1);
    ww_rpc_stream_finish(&s.stream);
    pair_settle(&p);
    assert_int_equal(s.drained, 1);
    assert_int_equal(s.err, 0);
    ww_rpc_stream_fini(&s.stream);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

static void stream_error(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    far->fail_at = 3;
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, p.a.vat, &stream_ops, 100000));
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(push(&s, cap, i, 0), WW_RPC_STREAM_OK);
    ww_rpc_stream_finish(&s.stream);
    pair_settle(&p);
    assert_int_equal(s.err, WW_EFAILED);
    assert_string_equal(s.stream.reason, "stream failed at 3");
    assert_int_equal(far->seen_count, 3); /* those behind it were never delivered */
    assert_int_equal(push(&s, cap, 6, 0), WW_EFAILED);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_COUNT, 0, NULL, &o);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "stream failed at 3");
    ww_rpc_stream_fini(&s.stream);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
}

static void stream_window_ignored(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, p.a.vat, &stream_ops, 1000));
    ww_err err = 0;
    unsigned n = 0;
    for (; err >= 0 && n < 1000; n++)
        err = push(&s, cap, n, 64);
    assert_int_equal(err, WW_EOVERLOADED);
    assert_true(n < 100);
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
    pair_settle(&p); /* what was sent goes on without its sender */
    assert_int_equal(far->seen_count, n - 1);
}

/* A link of 10 ms and as much bandwidth as the window allows: the window grows; then 1 message a millisecond:
 * it falls. */
static void stream_adapts(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    pair_settle(&p);
    struct streaming s = {0};
    assert_ok(ww_rpc_stream_init(&s.stream, p.a.vat, &stream_ops, 0));
    uint64_t first = s.stream.window_bytes;
    uint64_t value = 0;
    for (int round = 0; round < 3; round++) {
        while (push(&s, cap, ++value, 16 * 1024) == WW_RPC_STREAM_OK)
            ;
        p.now_ns += 10 * WW_NS_PER_MS;
        pair_settle(&p);
        assert_int_equal(s.stream.in_flight, 0);
        assert_true(s.stream.window_bytes <= 4 << 20);
    }
    assert_true(s.stream.window_bytes >= 4 * first);
    uint64_t high = s.stream.window_bytes;
    far->hold = true; /* now each takes a millisecond, and the sender keeps the window full */
    for (int i = 0; i < 4000 && s.stream.window_bytes >= high / 2; i++) {
        while (s.stream.in_flight_bytes < s.stream.window_bytes)
            assert_true(push(&s, cap, ++value, 16 * 1024) >= 0);
        p.now_ns += WW_NS_PER_MS;
        pair_settle(&p);
        if (far->later)
            object_go(far);
        pair_settle(&p);
    }
    assert_true(s.stream.window_bytes < high);
    assert_true(s.stream.window_bytes > 16 * 1024); /* a message and a bit, at least */
    while (far->later) {
        object_go(far);
        pair_settle(&p);
    }
    ww_rpc_stream_fini(&s.stream);
    ww_cap_unref(cap);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, raw_up, raw_down)
#define P(name) cmocka_unit_test_setup_teardown(name, pair_up, pair_down)
    const struct CMUnitTest tests[] = {R(too_many_answers), R(too_many_imports), R(budget_of_questions),
        R(budget_of_exports), R(kept_results), R(kept_promises), R(inbound_soft), R(inbound_hard),
        R(inbound_hard_with_question), R(outbound_holds_calls), R(held_disembargo), R(message_size),
        R(deep_transform), R(wide_cap_table), R(malformed_parameters), R(too_many_segments),
        R(deep_and_wide_parameters), R(too_many_questions), R(too_many_exports),
        R(too_many_of_our_capabilities), R(too_many_embargoes), R(too_many_echoes), R(replies_unread),
        R(chain_of_answers), P(queued_calls), P(outbound_and_questions), P(large_messages), P(many_results),
        P(stream_order), P(stream_error), P(stream_window_ignored), P(stream_adapts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
