/* What no well-meant peer sends, one message at a time and exhaustively: wrong ids in every field of every
 * message, ids used twice, unknown members of every union, level 3. Each is met in one of five ways, which
 * rpc.capnp leaves no choice about: Abort, an exception for the one call, Unimplemented, a Release, silence.
 */
#include "raw.h"

enum met {
    ABORTED,
    EXCEPTION,     /* for answer 5 */
    UNIMPLEMENTED, /* the message comes back */
    RELEASED,      /* import 9 */
    IGNORED,
};

static struct raw r;
static struct ww_cap *held;          /* import 4, a promise of the peer's */
static struct ww_rpc_request *asked; /* a call of ours on it that has no answer yet */
static uint32_t asked_id;

/* Export 0 is the vat's object; the vat holds import 4 and has called it; answer 1 has a capability and is
 * not finished; answer 2 is still open. */
static void up(void)
{
    raw_init(&r);
    raw_bootstrap(&r, 1);
    expect_results(&r, 1, 0);
    raw_call(&r, 7, IMPORTED(0), M_KEEP, 1, PROMISE(4));
    expect_results(&r, 7, 1);
    held = r.object->kept;
    r.object->kept = NULL;
    asked = call_send(held, M_ECHO, 1, NULL, NULL);
    expect_call(&r, IMPORTED(4), M_ECHO, 1, &asked_id);
    raw_call(&r, 2, IMPORTED(0), M_LATER, 0, NO_DESC);
    raw_silent(&r);
}

static void down(void)
{
    ww_rpc_request_free(asked);
    ww_cap_unref(held);
    if (r.object->later)
        object_go(r.object);
    raw_fini(&r);
}

/* The message that was built is sent, and met like that; a connection that lives must still serve. */
static void meets(enum met met, uint16_t tag)
{
    raw_send(&r);
    switch (met) {
    case ABORTED:
        raw_aborted(&r, WW_EPROTO);
        down();
        return;
    case EXCEPTION: {
        struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
        assert_int_equal(ww_sr_u32(ret, 0), 5);
        assert_int_equal(ww_sr_u16(ret, 3), WW_RPC_RETURN_EXCEPTION);
        break;
    }
    case UNIMPLEMENTED:
        assert_int_equal(ww_sr_u16(raw_next(&r, WW_RPC_UNIMPLEMENTED), 0), tag);
        break;
    case RELEASED:
        expect_release(&r, 9, 1);
        break;
    case IGNORED:
        break;
    }
    raw_silent(&r);
    assert_true(ww_rpc_conn_is_open(r.s.conn));
    raw_call(&r, 60, IMPORTED(0), M_ECHO, 8, NO_DESC);
    expect_results(&r, 60, 8);
    down();
}

static void put_target(struct ww_pb at, uint16_t tag, uint32_t id)
{
    struct ww_sb target = ww_pb_init_struct(at, 1, 1);
    ww_sb_set_u16(target, 2, tag);
    if (tag == 1)
        ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(target, 0), 1, 1), 0, id);
    else
        ww_sb_set_u32(target, 0, id);
}

static struct ww_sb begin_call(uint32_t qid, uint16_t target, uint32_t id)
{
    struct ww_sb call = raw_begin(&r, WW_RPC_CALL, 3, 3);
    ww_sb_set_u32(call, 0, qid);
    ww_sb_set_u16(call, 2, M_ECHO);
    ww_sb_set_u64(call, 1, TEST_IFACE);
    put_target(ww_sb_ptr(call, 0), target, id);
    return call;
}

/* A parameter: import 9. */
static void with_capability(struct ww_sb call)
{
    struct ww_sb payload = ww_pb_init_struct(ww_sb_ptr(call, 1), 0, 2);
    struct ww_sb desc = ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(payload, 1), 1, 1, 1), 0);
    ww_sb_set_u16(desc, 0, WW_RPC_DESC_SENDER_HOSTED);
    ww_sb_set_u32(desc, 1, 9);
}

static struct ww_sb begin_id(uint16_t tag, uint16_t words, uint32_t id)
{
    struct ww_sb sb = raw_begin(&r, tag, words, 2);
    ww_sb_set_u32(sb, 0, id);
    return sb;
}

static const uint32_t wrong_ids[] = {3, 40, 1u << 10, (1u << 30) - 1, 1u << 30, (1u << 31) - 1, UINT32_MAX};

static void ids_in_every_field(void **state)
{
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(wrong_ids); i++) {
        uint32_t id = wrong_ids[i];
        up();
        begin_call(5, 0, id);
        meets(ABORTED, 0);
        up();
        begin_call(5, 1, id);
        meets(EXCEPTION, 0);
        up();
        begin_id(WW_RPC_RETURN, 2, id); /* answerId: high ones need no answer, and may get one all the same */
        meets(id >= WW_RPC_HIGH_ID ? IGNORED : ABORTED, 0);
        up();
        struct ww_sb take = begin_id(WW_RPC_RETURN, 2, asked_id);
        ww_sb_set_u16(take, 3, WW_RPC_RETURN_TAKE);
        ww_sb_set_u32(take, 2, id);
        meets(ABORTED, 0);
        up();
        begin_id(WW_RPC_FINISH, 1, id);
        meets(IGNORED, 0);
        up();
        ww_sb_set_u32(begin_id(WW_RPC_RELEASE, 1, id), 1, 1);
        meets(ABORTED, 0);
        up();
        struct ww_sb resolve = begin_id(WW_RPC_RESOLVE, 1, id); /* to import 9 */
        struct ww_sb desc = ww_pb_init_struct(ww_sb_ptr(resolve, 0), 1, 1);
        ww_sb_set_u16(desc, 0, WW_RPC_DESC_SENDER_HOSTED);
        ww_sb_set_u32(desc, 1, 9);
        meets(RELEASED, 0);
        for (uint16_t target = 0; target < 2; target++) {
            up();
            put_target(ww_sb_ptr(begin_id(WW_RPC_DISEMBARGO, 1, 1), 0), target, id);
            meets(ABORTED, 0);
        }
        up();
        struct ww_sb lift = begin_id(WW_RPC_DISEMBARGO, 1, id);
        ww_sb_set_u16(lift, 2, 1); /* receiverLoopback */
        put_target(ww_sb_ptr(lift, 0), 0, 0);
        meets(ABORTED, 0);
        static const uint16_t refused[] = {WW_RPC_CALL, WW_RPC_BOOTSTRAP};
        for (size_t k = 0; k < WW_COUNT_OF(refused); k++) {
            up();
            struct ww_sb echo = raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1);
            ww_sb_set_u16(echo, 0, refused[k]);
            ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(echo, 0), 3, 3), 0, id);
            meets(id >= WW_RPC_HIGH_ID ? IGNORED : ABORTED, 0);
        }
    }
}

static void release_counts(void **state)
{
    WW_UNUSED(state);
    static const uint32_t counts[] = {2, 3, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < WW_COUNT_OF(counts); i++) {
        up();
        ww_sb_set_u32(begin_id(WW_RPC_RELEASE, 1, 0), 1, counts[i]);
        meets(ABORTED, 0);
    }
}

/* An id is in use until Return and Finish: returned with a capability (1), open (2). */
static void ids_twice(void **state)
{
    WW_UNUSED(state);
    for (uint32_t qid = 1; qid <= 2; qid++) {
        up();
        begin_id(WW_RPC_BOOTSTRAP, 1, qid);
        meets(ABORTED, 0);
        up();
        begin_call(qid, 0, 0);
        meets(ABORTED, 0);
    }
    up();
    raw_finish(&r, 2, true); /* not yet returned */
    begin_call(2, 0, 0);
    meets(ABORTED, 0);
    up();
    raw_finish(&r, 1, false);
    raw_bootstrap(&r, 1); /* free again */
    expect_results(&r, 1, 0);
    down();
    up();
    raw_return(&r, asked_id, 1, NO_DESC);
    expect_finish(&r, asked_id, false);
    begin_id(WW_RPC_RETURN, 2, asked_id);
    meets(ABORTED, 0);
}

/* Every one of a peer's messages with a member that our rpc.capnp does not have. */
static void unknown_members(void **state)
{
    WW_UNUSED(state);
    static const uint16_t unknown[] = {9, 77, UINT16_MAX};
    for (size_t i = 0; i < WW_COUNT_OF(unknown); i++) {
        uint16_t tag = unknown[i];
        up();
        begin_id((uint16_t)(tag | 16), 1, 1); /* Message */
        meets(UNIMPLEMENTED, (uint16_t)(tag | 16));
        up();
        begin_call(5, tag, 0); /* MessageTarget of a call */
        meets(UNIMPLEMENTED, WW_RPC_CALL);
        up();
        ww_sb_set_u16(begin_call(5, 0, 0), 3, tag); /* sendResultsTo */
        meets(EXCEPTION, 0);
        up();
        put_target(ww_sb_ptr(begin_id(WW_RPC_DISEMBARGO, 1, 1), 0), tag, 0);
        meets(ABORTED, 0);
        up();
        ww_sb_set_u16(begin_id(WW_RPC_DISEMBARGO, 1, 1), 2, tag); /* context */
        meets(UNIMPLEMENTED, WW_RPC_DISEMBARGO);
        up();
        ww_sb_set_u16(begin_id(WW_RPC_RESOLVE, 1, 4), 2, tag);
        meets(UNIMPLEMENTED, WW_RPC_RESOLVE);
        up();
        struct ww_sb call = begin_call(5, 1, 1); /* PromisedAnswer.Op */
        struct ww_sb target = ww_pb_struct(ww_sb_ptr(call, 0), 1, 1);
        struct ww_sb promised = ww_pb_struct(ww_sb_ptr(target, 0), 1, 1);
        ww_sb_set_u16(ww_lb_struct(ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, 1), 0), 0, tag);
        meets(ABORTED, 0);
        up();
        struct ww_sb echo = raw_begin(&r, WW_RPC_UNIMPLEMENTED, 1, 1);
        ww_sb_set_u16(echo, 0, tag);
        meets(IGNORED, 0);
    }
}

/* A call that comes back as unimplemented is over for the peer, its question id and its parameters'
 * capabilities too: there is neither Return nor Finish. */
static void unimplemented_call_leaves_nothing(void **state)
{
    WW_UNUSED(state);
    up();
    uint32_t answers = r.s.conn->answers.live, imports = r.s.conn->imports.live;
    for (int i = 0; i < 3; i++) {
        with_capability(begin_call(5, 77, 0));
        raw_send(&r);
        raw_next(&r, WW_RPC_UNIMPLEMENTED);
        raw_silent(&r);
        assert_int_equal(r.s.conn->answers.live, answers);
        assert_int_equal(r.s.conn->imports.live, imports);
    }
    begin_call(5, 0, 0);
    raw_send(&r);
    expect_results(&r, 5, 0);
    down();
}

/* Results for somebody else: the call fails, and gives its parameters back. */
static void results_elsewhere_release_parameters(void **state)
{
    WW_UNUSED(state);
    up();
    struct ww_sb call = begin_call(5, 0, 0);
    ww_sb_set_u16(call, 3, 2); /* thirdParty */
    with_capability(call);
    raw_send(&r);
    expect_exception(&r, 5, WW_KIND_UNIMPLEMENTED);
    expect_release(&r, 9, 1);
    raw_silent(&r);
    down();
}

/* No direct connections between three parties: what belongs to them is refused one by one, and the way
 * through the introducer serves. */
static void level_three(void **state)
{
    WW_UNUSED(state);
    enum { PROVIDE = 10, ACCEPT, JOIN, THIRD_PARTY_ANSWER = 14 };
    static const uint16_t messages[] = {PROVIDE, ACCEPT, JOIN, THIRD_PARTY_ANSWER};
    for (size_t i = 0; i < WW_COUNT_OF(messages); i++) {
        up();
        struct ww_sb sb = begin_id(messages[i], 1, 5);
        put_target(ww_sb_ptr(sb, 0), 0, 0);
        meets(UNIMPLEMENTED, messages[i]);
    }
    for (uint16_t context = 2; context < 4; context++) { /* accept, and provide as it once was */
        up();
        struct ww_sb sb = begin_id(WW_RPC_DISEMBARGO, 1, 5);
        ww_sb_set_u16(sb, 2, context);
        put_target(ww_sb_ptr(sb, 0), 0, 0);
        meets(UNIMPLEMENTED, WW_RPC_DISEMBARGO);
    }
    up(); /* Return.awaitFromThirdParty, or acceptFromThirdParty: our call fails, and is finished */
    raw_return_tag(&r, asked_id, 5, 0);
    expect_finish(&r, asked_id, false);
    assert_int_equal(ww_rpc_request_status(asked), WW_EUNIMPLEMENTED);
    raw_silent(&r);
    down();
    up(); /* a promise becomes something of a third party: its vine serves */
    raw_resolve(&r, 4, (struct desc){WW_RPC_DESC_THIRD_PARTY, 9});
    expect_release(&r, 4, 1);
    struct ww_rpc_request *q = call_send(held, M_ECHO, 3, NULL, NULL);
    uint32_t qid;
    expect_call(&r, IMPORTED(9), M_ECHO, 3, &qid);
    raw_return(&r, qid, 3, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    raw_silent(&r);
    down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_in_every_field), cmocka_unit_test(release_counts),
        cmocka_unit_test(ids_twice), cmocka_unit_test(unknown_members),
        cmocka_unit_test(unimplemented_call_leaves_nothing),
        cmocka_unit_test(results_elsewhere_release_parameters), cmocka_unit_test(level_three)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
