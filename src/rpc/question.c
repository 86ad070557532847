/* Calls that leave: Call, and when its Finish goes. */
#include "rpc/internal.h"

static void fail(struct ww_rpc_call *call, ww_err err, const char *text)
{
    ww_rpc_call_fail_later(call, ww_rpc_exc_new(call->vat, err, ww_bytes_str(text)));
}

/* Parameters that came from elsewhere are copied into a message of ours. */
static ww_err foreign_params(struct ww_rpc_call *call, struct ww_msg *m, struct ww_sb *ret_header)
{
    ww_msg_reset(m);
    struct ww_pb params;
    *ret_header = ww_rpc_call_header(m, call->iface, call->method, &params);
    ww_pb_set(params, ww_rpc_params_reader(call));
    WW_TRY(ww_msg_err(&call->params));
    return ww_msg_err(m);
}

static ww_err transmit_msg(
    struct ww_rpc_call *call, struct ww_rpc_conn *conn, struct ww_cap *raw, struct ww_msg *m)
{
    struct ww_sb header = call->call_b;
    if (!call->params_built)
        WW_TRY(foreign_params(call, m, &header));
    ww_sb_set_u32(header, 0, call->q.id);
    if (call->tail)
        ww_sb_set_u16(header, 3, WW_RPC_RESULTS_YOURSELF);
    ww_sb_set_bool(header, 129, call->no_pipe);
    ww_sb_set_bool(header, 130, call->q.high);
    ww_rpc_target_write(ww_pb_init_struct(ww_sb_ptr(header, 0), 1, 1), raw);
    struct ww_rpc_ids *ids = &call->q.exports;
    if (m->cap_count)
        WW_TRY(ww_rpc_caps_write(conn, ww_pb_struct(ww_sb_ptr(header, 1), 0, 2), m, ids, false));
    ww_err err = ww_msg_err(m);
    uint64_t bytes = err == 0 ? ww_msg_frame_bytes(m) : 0;
    if (bytes > conn->vat->limits.message_bytes || ww_msg_seg_count(m) >= conn->vat->limits.segments)
        err = WW_ELIMIT; /* C++ peers take one segment less than they say */
    if (err == 0)
        err = ww_rpc_out_msg(conn, m, NULL);
    if (err < 0) {
        conn->broken_exports.count = 0;
        ww_rpc_exports_release(conn, ids);
    }
    return err;
}

static ww_err transmit(struct ww_rpc_call *call, struct ww_rpc_conn *conn, struct ww_cap *raw)
{
    struct ww_msg *m = call->params_built ? &call->params : &conn->scratch_out;
    ww_err err = transmit_msg(call, conn, raw, m);
    if (m == &conn->scratch_out)
        ww_msg_reset(m); /* also when it failed half way: it has references */
    return err;
}

/* A slot, or for a call without a Return a high id: the peer may have more than one use for those in a row.
 */
static ww_err question_new(struct ww_rpc_call *call, struct ww_rpc_conn *conn)
{
    call->q.high = call->only_pipe && !call->tail && !conn->high_unknown;
    if (!call->q.high) {
        WW_TRY(ww_rpc_slots_add(&conn->questions, call, &call->q.id));
    } else {
        do
            call->q.id = WW_RPC_HIGH_ID | (conn->high_next++ & (WW_RPC_HIGH_ID - 1));
        while (ww_rpc_idmap_get(&conn->high, call->q.id));
        WW_TRY(ww_rpc_idmap_put(&conn->high, call->q.id, call));
    }
    call->q.conn = conn;
    (void)ww_rpc_call_ref(call);
    return 0;
}

void ww_rpc_question_over(struct ww_rpc_call *call)
{
    struct ww_list *node;
    while ((node = ww_list_pop_front(&call->q.dependents)))
        WW_LIST_ENTRY(node, struct ww_rpc_call, q.dependent)->q.on = NULL;
    call->q.conn = NULL;
}

static void question_free(struct ww_rpc_call *call)
{
    if (call->q.high)
        ww_rpc_idmap_remove(&call->q.conn->high, call->q.id);
    else
        ww_rpc_slots_remove(&call->q.conn->questions, call->q.id);
    ww_rpc_question_over(call);
    ww_rpc_ids_free(&call->q.exports);
    if (call->tail && !call->exc && call->state == CALL_DONE) { /* its promises, that nobody has */
        call->exc = ww_rpc_exc_ref(call->vat->exc_dropped);
        ww_rpc_pipes_done(call);
    }
    ww_rpc_call_unref(call);
}

void ww_rpc_question_send(struct ww_rpc_call *call, struct ww_cap *raw)
{
    struct ww_rpc_conn *conn = ww_rpc_cap_conn(raw);
    if (!conn || !conn->open) {
        const struct ww_rpc_call *on = raw->kind == CAP_PIPE ? raw->pipe.call : NULL;
        struct ww_rpc_exc *exc = on ? on->exc : NULL;
        if (on && !exc && on->q.returned && on->q.finished)
            exc = call->vat->exc_null; /* it needed no Finish, because there was no capability in it */
        if (exc)
            ww_rpc_call_fail_later(call, ww_rpc_exc_ref(exc));
        else
            fail(call, WW_EDISCONNECTED, "connection closed");
        return;
    }
    const struct ww_rpc_limits *limits = &conn->vat->limits;
    if (conn->out_bytes > limits->outbound_bytes ||
        conn->questions.live + conn->high.live >= limits->questions) {
        fail(call, WW_EOVERLOADED, "too many calls in progress on this connection");
        return;
    }
    struct ww_rpc_call *answer = call;
    bool crossed = call->crossing != NULL;
    while (answer->parent) {
        answer = answer->parent;
        crossed |= answer->crossing != NULL;
    }
    call->tail = !crossed && ww_rpc_tail_possible(answer, conn);
    ww_err err = question_new(call, conn);
    if (err < 0) {
        fail(call, err, "out of memory");
        return;
    }
    err = transmit(call, conn, raw);
    if (err < 0) {
        call->tail = false;
        question_free(call);
        ww_rpc_call_fail_later(call, ww_rpc_exc_because(call->vat, err, "the call could not be sent"));
        return;
    }
    call->state = CALL_SENT;
    conn->calls_out++;
    if (raw->kind == CAP_PIPE) {
        call->q.on = raw->pipe.call;
        ww_list_push_back(&call->q.on->q.dependents, &call->q.dependent);
    }
    ww_cap_unref(call->target);
    call->target = NULL;
    ww_rpc_call_drop_params(call);
    ww_rpc_caps_written(conn);
    ww_rpc_pipes_sent(call);
    if (call->tail && conn->open)
        ww_rpc_tail_sent(answer, call);
    if (call->q.high && call->canceled) { /* on its way here, and there is no Return to wait for */
        call->interest = false;
        ww_rpc_question_check(call);
    }
}

void ww_rpc_question_settled(struct ww_rpc_call *call)
{
    struct ww_rpc_call *on = call->q.on;
    if (!on)
        return;
    call->q.on = NULL;
    ww_list_remove(&call->q.dependent);
    ww_rpc_call_abandoned(on);
}

/* A call that others were sent on must not be cancelled under them, even when nobody waits for it by name:
 * whoever writes a chain of calls drops the links in between. */
static bool finish_due(struct ww_rpc_call *call)
{
    if (call->q.returned)
        return call->tail ? !call->q.held && !ww_rpc_pipes_live(call) : call->q.wires == 0;
    if (call->abandoned)
        return true;
    return !call->interest && ww_list_empty(&call->q.dependents) && !ww_rpc_pipes_live(call);
}

/* Before the Return we cannot know what capabilities it carries: the callee releases them
 * (releaseResultCaps). */
void ww_rpc_question_check(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->q.conn;
    if (!conn || !conn->open || (call->q.returned && call->state == CALL_SENT)) /* the Return is being read */
        return;
    if (!call->q.finished) {
        if (!finish_due(call))
            return;
        call->q.finished = true;
        call->q.returned |= call->q.high; /* nothing more will come */
        uint64_t keep_caps = call->q.returned && !call->q.high ? UINT64_C(1) << 32 : 0;
        /* We send it only when no other call needs this one; but who cancelled this one may have meant it. */
        uint64_t cancel_early = call->stays ? 0 : UINT64_C(1) << 33;
        ww_err err = 0;
        if (!call->q.unfinishable)
            err = ww_rpc_out_small(conn, WW_RPC_FINISH, call->q.id | keep_caps | cancel_early);
        if (err < 0) {
            ww_rpc_conn_fail(conn, err, "no room for outgoing messages", true);
            return;
        }
        if ((!call->q.returned || call->q.high) && call->state == CALL_SENT) {
            if (call->q.high)
                question_free(call);
            ww_rpc_call_fail_now(
                call, ww_rpc_exc_new(call->vat, WW_ECANCELED, WW_BYTES_LIT("call was canceled")));
            return;
        }
    }
    if (call->q.returned)
        question_free(call);
}

/* Nobody said that the results of these matter: a Return means only that the peer does not know the hint. */
static ww_err high_returned(struct ww_rpc_conn *conn, uint32_t id, struct ww_sr ret)
{
    struct ww_rpc_call *call = ww_rpc_idmap_get(&conn->high, id);
    conn->high_unknown = true;
    if (!call)
        return 0;
    if (ww_sr_bool(ret, 33))
        call->q.unfinishable = true;
    if (!ww_sr_bool(ret, 32))
        ww_rpc_exports_release(conn, &call->q.exports);
    return 0;
}

/* What is only looked at while the outcome is passed on is read where it is; what somebody may keep is
 * copied: so are results of an answer that stay here, for another call of ours to take. */
static ww_err results_read(
    struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_sr ret, struct ww_bytes frame)
{
    struct ww_msg *m = &conn->scratch_in;
    if (call->sink != SINK_ANSWER || call->yourself || call->only_pipe) {
        m = &call->results;
        WW_TRY(ww_rpc_msg_keep(conn, m, frame));
        ret = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_msg_root(m)), 0));
    }
    struct ww_sr payload = ww_pr_struct(ww_sr_ptr(ret, 0));
    WW_TRY(ww_rpc_caps_read(conn, payload, m));
    call->results_r = ww_sr_ptr(payload, 0);
    call->has_results = true;
    return ww_msg_err(m);
}

/* A call that is to have the results of the other has to be there first, so no peer that keeps to the rules
 * makes a ring of them, nor has us look far. */
static bool waits_for(const struct ww_rpc_call *call, const struct ww_rpc_call *other)
{
    unsigned hops = WW_RPC_ROOT_HOPS;
    while (call != other && call->state == CALL_FORWARDED && call->child && hops > 0) {
        hops--;
        call = call->child;
    }
    return call == other || hops == 0;
}

/* The peer answers our call with the results of its own call to us, which it asked us to keep. */
static ww_err take_from(struct ww_rpc_conn *conn, struct ww_rpc_call *call, uint32_t id)
{
    struct ww_rpc_call *source = ww_rpc_idmap_get(&conn->answers, id);
    if (!source || !source->yourself || source->taken || waits_for(source, call))
        return WW_EPROTO;
    source->taken = true;
    if (source->state == CALL_DONE) {
        call->outcome = ww_rpc_call_ref(source);
        if (source->exc)
            call->exc = ww_rpc_exc_ref(source->exc);
        ww_rpc_call_complete(call);
        return 0;
    }
    source->parent = ww_rpc_call_ref(call);
    call->child = source;
    call->state = CALL_FORWARDED;
    return 0;
}

static ww_err return_read(
    struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_sr ret, struct ww_bytes frame)
{
    switch (ww_sr_u16(ret, 3)) {
    case WW_RPC_RETURN_RESULTS:
        WW_TRY(results_read(conn, call, ret, frame));
        break;
    case WW_RPC_RETURN_EXCEPTION:
        call->exc = ww_rpc_exc_read(conn->vat, ww_pr_struct(ww_sr_ptr(ret, 0)));
        break;
    case WW_RPC_RETURN_CANCELED:
        call->exc = ww_rpc_exc_new(conn->vat, WW_ECANCELED, WW_BYTES_LIT("the callee canceled the call"));
        break;
    case WW_RPC_RETURN_ELSEWHERE:
        if (call->tail)
            break;
        call->exc = ww_rpc_exc_new(conn->vat, WW_EUNIMPLEMENTED, WW_BYTES_LIT("the results went elsewhere"));
        break;
    case WW_RPC_RETURN_TAKE:
        return take_from(conn, call, ww_sr_u32(ret, 2));
    default:
        call->exc = ww_rpc_exc_new(conn->vat, WW_EUNIMPLEMENTED, WW_BYTES_LIT("an unknown kind of Return"));
        break;
    }
    ww_rpc_call_complete(call);
    return 0;
}

ww_err ww_rpc_recv_return(struct ww_rpc_conn *conn, struct ww_sr ret, struct ww_bytes frame)
{
    uint32_t id = ww_sr_u32(ret, 0);
    if (id >= WW_RPC_HIGH_ID)
        return high_returned(conn, id, ret);
    struct ww_rpc_call *call = ww_rpc_slots_get(&conn->questions, id);
    if (!call || call->q.returned)
        return WW_EPROTO;
    call->q.returned = true;
    struct ww_rpc_ids released = {0}; /* last: results may name parameters that go with the Return */
    if (!ww_sr_bool(ret, 32)) {
        released = call->q.exports;
        call->q.exports = (struct ww_rpc_ids){0};
    }
    ww_err err = 0;
    (void)ww_rpc_call_ref(call);
    /* Our Finish asked the peer to take the results' capabilities back, or to cancel the call of ours whose
     * results it would have us take: only the peer knows whether others of its own wait for them. */
    if (!call->q.finished) {
        call->q.finished = ww_sr_bool(ret, 33);
        err = return_read(conn, call, ret, frame);
    }
    if (err == 0)
        ww_rpc_question_check(call);
    else if (call->state == CALL_SENT)
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(conn->vat, WW_EDISCONNECTED, WW_BYTES_LIT("malformed Return")));
    ww_rpc_exports_release(conn, &released);
    ww_rpc_call_unref(call);
    return err;
}

/* The peer does not know a message that we sent: our call failed, without an answer to finish. */
static ww_err question_refused(struct ww_rpc_conn *conn, uint32_t id)
{
    bool high = id >= WW_RPC_HIGH_ID;
    struct ww_rpc_call *call =
        high ? ww_rpc_idmap_get(&conn->high, id) : ww_rpc_slots_get(&conn->questions, id);
    if (!call && high)
        return 0; /* finished meanwhile */
    if (!call || call->q.returned)
        return WW_EPROTO;
    (void)ww_rpc_call_ref(call);
    call->q.returned = call->q.finished = true;
    ww_rpc_exports_release(conn, &call->q.exports);
    if (call->state == CALL_SENT)
        ww_rpc_call_fail_now(call,
            ww_rpc_exc_new(conn->vat, WW_EUNIMPLEMENTED, WW_BYTES_LIT("the peer does not implement this")));
    ww_rpc_question_check(call);
    ww_rpc_call_unref(call);
    return 0;
}

/* A Resolve that the peer did not understand gave it a reference that it does not have. */
static ww_err resolve_refused(struct ww_rpc_conn *conn, struct ww_sr resolve)
{
    if (ww_sr_u16(resolve, 2) != 0)
        return 0;
    struct ww_sr desc = ww_pr_struct(ww_sr_ptr(resolve, 0));
    uint16_t tag = ww_sr_u16(desc, 0);
    if (tag != WW_RPC_DESC_SENDER_HOSTED && tag != WW_RPC_DESC_SENDER_PROMISE)
        return 0;
    return ww_rpc_export_release(conn, ww_sr_u32(desc, 1), 1);
}

ww_err ww_rpc_recv_unimplemented(struct ww_rpc_conn *conn, struct ww_sr echo)
{
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(echo, 0));
    switch (ww_sr_u16(echo, 0)) {
    case WW_RPC_CALL:
    case WW_RPC_BOOTSTRAP:
        return question_refused(conn, ww_sr_u32(body, 0));
    case WW_RPC_RESOLVE:
        return resolve_refused(conn, body);
    case WW_RPC_DISEMBARGO:
        return WW_EPROTO; /* we would wait for ever */
    default:
        return 0;
    }
}
