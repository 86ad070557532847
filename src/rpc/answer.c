/* Calls that come in: Bootstrap, Call, Finish, and the Return that we owe for each. */
#include "rpc/internal.h"

void ww_rpc_answer_uncharge(struct ww_rpc_call *call)
{
    if (!call->a.bytes)
        return;
    if (call->a.conn) {
        call->a.conn->inbound_bytes -= call->a.bytes;
        ww_budget_release(call->a.conn->budget, WW_RES_BYTES, call->a.bytes);
        ww_rpc_held_check(call->a.conn);
    }
    call->a.bytes = 0;
}

ww_err ww_rpc_answer_keep(struct ww_rpc_call *call, uint64_t bytes)
{
    struct ww_rpc_conn *conn = call->a.conn;
    uint64_t max = conn->vat->limits.kept_bytes;
    if (bytes > max || conn->held_bytes > max - bytes)
        return WW_EOVERLOADED;
    WW_TRY(ww_budget_charge(conn->budget, WW_RES_BYTES, bytes));
    call->a.held += bytes;
    conn->held_bytes += bytes;
    return 0;
}

void ww_rpc_answer_settle(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    ww_rpc_answer_uncharge(call);
    if (call->a.charged)
        ww_budget_release(conn->budget, WW_RES_QUESTIONS, 1);
    ww_budget_release(conn->budget, WW_RES_BYTES, call->a.held);
    conn->held_bytes -= call->a.held;
    call->a.held = 0;
    call->a.charged = false;
}

void ww_rpc_answer_remove(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    ww_rpc_tail_release(call, false);
    ww_rpc_answer_settle(call);
    ww_rpc_idmap_remove(&conn->answers, call->a.id);
    call->a.conn = NULL;
    ww_rpc_ids_free(&call->a.exports);
    ww_rpc_call_unref(call);
}

struct ww_sb ww_rpc_return_begin(struct ww_rpc_call *call, struct ww_rpc_conn *conn, uint16_t tag)
{
    struct ww_sb ret = ww_pb_init_struct(ww_sb_ptr(ww_rpc_out_begin(conn, WW_RPC_RETURN), 0), 2, 1);
    ww_sb_set_u32(ret, 0, call->a.id);
    ww_sb_set_bool(ret, 32, true); /* releaseParamCaps: no, each is released when it is dropped */
    ww_sb_set_u16(ret, 3, tag);
    return ret;
}

/* Results that were made elsewhere become a message of ours. */
static ww_err foreign_results(struct ww_rpc_call *call)
{
    struct ww_pr from = ww_rpc_results_reader(call);
    struct ww_rpc_call *source = ww_rpc_call_outcome(call);
    ww_rpc_results_begin(call, 0);
    ww_pb_set(call->results_b, from);
    ww_err err = from.seg && from.seg->msg ? ww_msg_err(from.seg->msg) : 0;
    call->has_results = true;
    call->results_r = (struct ww_pr){0};
    if (source != call) {
        ww_rpc_call_unref(call->outcome);
        call->outcome = NULL;
    }
    return err < 0 ? err : ww_msg_err(&call->results);
}

static ww_err results_send(struct ww_rpc_call *call, struct ww_rpc_conn *conn)
{
    struct ww_msg *m = &call->results;
    if (!call->results_built || call->outcome)
        WW_TRY(foreign_results(call));
    ww_sb_set_u32(call->return_b, 0, call->a.id);
    ww_sb_set_bool(call->return_b, 32, true);
    struct ww_rpc_ids *ids = &call->a.exports;
    ww_rpc_pipes_substitute(call);
    if (m->cap_count)
        WW_TRY(ww_rpc_caps_write(conn, ww_pb_struct(ww_sb_ptr(call->return_b, 0), 0, 2), m, ids, true));
    else
        ww_sb_set_bool(call->return_b, 33, true); /* noFinishNeeded: nothing in here can be pipelined on */
    ww_err err = ww_msg_err(m);
    const struct ww_rpc_limits *limits = &conn->vat->limits;
    if (err == 0 &&
        (ww_msg_frame_bytes(m) > limits->message_bytes || ww_msg_seg_count(m) >= limits->segments))
        err = WW_ELIMIT;
    uint64_t held = m->cap_count ? ww_msg_frame_bytes(m) : 0; /* until the peer says Finish */
    if (err == 0)
        err = ww_rpc_answer_keep(call, held);
    if (err == 0)
        err = ww_rpc_out_msg(conn, m, call);
    if (err < 0) {
        conn->broken_exports.count = 0;
        ww_rpc_exports_release(conn, ids);
    }
    return err;
}

static void exception_send(struct ww_rpc_call *call, struct ww_rpc_conn *conn)
{
    struct ww_sb ret = ww_rpc_return_begin(call, conn, WW_RPC_RETURN_EXCEPTION);
    ww_sb_set_bool(ret, 33, call->no_pipe); /* noFinishNeeded: the exception has nobody else to be told to */
    ww_rpc_out_exception(ww_sb_ptr(ret, 0), call->exc);
    ww_rpc_out_end(conn);
}

void ww_rpc_answer_return(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    if (!conn || !conn->open || call->a.returned)
        return;
    call->a.returned = true;
    if (call->only_pipe) { /* the caller does not want to hear of it */
        if (call->a.finished)
            ww_rpc_answer_remove(call);
        return;
    }
    if (call->a.finished || call->yourself) {
        bool elsewhere = call->yourself && (call->taken || !call->a.finished);
        (void)ww_rpc_return_begin(call, conn, elsewhere ? WW_RPC_RETURN_ELSEWHERE : WW_RPC_RETURN_CANCELED);
        ww_rpc_out_end(conn);
        if (call->a.finished && call->a.conn)
            ww_rpc_answer_remove(call);
        return;
    }
    if (!call->exc) {
        ww_rpc_pipes_embargo(call);
        ww_err err = results_send(call, conn);
        if (err == 0) {
            bool finish_needed = call->results.cap_count > 0;
            ww_rpc_caps_written(conn);
            if (!finish_needed && call->a.conn)
                ww_rpc_answer_remove(call);
            return;
        }
        call->exc = ww_rpc_exc_because(call->vat, err, "the results could not be sent");
        ww_rpc_results_drop(call);
    }
    exception_send(call, conn);
    if (call->no_pipe && call->a.conn)
        ww_rpc_answer_remove(call);
}

void ww_rpc_answer_forget(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    if (!conn || call->yourself || call->only_pipe || call->tail_of)
        return;
    ww_budget_release(conn->budget, WW_RES_BYTES, call->a.held);
    conn->held_bytes -= call->a.held;
    call->a.held = 0;
    ww_rpc_results_drop(call);
}

static ww_err answer_new(struct ww_rpc_conn *conn, uint32_t id, struct ww_rpc_call **ret_call)
{
    if (ww_rpc_idmap_get(&conn->answers, id))
        return WW_EPROTO;
    if (conn->answers.live >= conn->vat->limits.answers)
        return WW_ELIMIT;
    struct ww_rpc_call *call = ww_rpc_call_alloc(conn->vat);
    if (!call)
        return WW_ENOMEM;
    ww_err err = ww_rpc_idmap_put(&conn->answers, id, call);
    if (err < 0) {
        ww_rpc_call_unref(call);
        return err;
    }
    call->sink = SINK_ANSWER;
    call->a.conn = conn;
    call->a.id = id;
    conn->calls_in++;
    *ret_call = ww_rpc_call_ref(call); /* one for the table, one until its outcome */
    return 0;
}

static bool answer_charge(struct ww_rpc_call *call, uint64_t bytes)
{
    struct ww_rpc_conn *conn = call->a.conn;
    if (ww_budget_charge(conn->budget, WW_RES_QUESTIONS, 1) < 0)
        return false;
    call->a.charged = true;
    if (ww_budget_charge(conn->budget, WW_RES_BYTES, bytes) < 0)
        return false;
    call->a.bytes = bytes;
    conn->inbound_bytes += bytes;
    return true;
}

ww_err ww_rpc_recv_bootstrap(struct ww_rpc_conn *conn, struct ww_sr msg)
{
    struct ww_rpc_call *call;
    WW_TRY(answer_new(conn, ww_sr_u32(msg, 0), &call));
    call->state = CALL_RUNNING;
    if (!answer_charge(call, 0)) {
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(conn->vat, WW_EBUDGET, WW_BYTES_LIT("too much in progress")));
    } else if (!conn->bootstrap) {
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(conn->vat, WW_EFAILED, WW_BYTES_LIT("no bootstrap capability")));
    } else {
        ww_rpc_results_begin(call, 1);
        ww_pb_set_cap(call->results_b, conn->bootstrap);
        call->has_results = true;
        ww_rpc_call_complete(call);
    }
    return 0;
}

static ww_err call_read(
    struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_bytes frame, struct ww_sr *ret_target)
{
    struct ww_msg *m = &call->params;
    WW_TRY(ww_rpc_msg_keep(conn, m, frame));
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_msg_root(m)), 0));
    call->method = ww_sr_u16(body, 2);
    call->iface = ww_sr_u64(body, 1);
    uint16_t to = ww_sr_u16(body, 3);
    call->yourself = to == WW_RPC_RESULTS_YOURSELF;
    call->no_pipe = ww_sr_bool(body, 129);
    call->only_pipe = ww_sr_bool(body, 130) && !call->yourself;
    *ret_target = ww_pr_struct(ww_sr_ptr(body, 0));
    struct ww_sr payload = ww_pr_struct(ww_sr_ptr(body, 1));
    WW_TRY(ww_rpc_caps_read(conn, payload, m));
    call->params_r = ww_sr_ptr(payload, 0);
    WW_TRY(ww_msg_err(m));
    return to > WW_RPC_RESULTS_YOURSELF ? WW_EUNSUPPORTED : 0; /* the parameters are ours to release */
}

static void call_begin(struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_cap *target, bool hold)
{
    if (hold)
        ww_rpc_held_add(conn, call, target);
    else
        ww_rpc_route(call, target);
}

static ww_err call_deliver(struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_sr target, bool hold)
{
    if (ww_sr_u16(target, 2) == 0) {
        struct ww_rpc_export *e = ww_rpc_slots_get(&conn->exports, ww_sr_u32(target, 0));
        if (!e)
            return WW_EPROTO;
        call_begin(conn, call, e->cap, hold);
        return 0;
    }
    uint16_t path[256];
    size_t len;
    struct ww_sr promised = ww_pr_struct(ww_sr_ptr(target, 0));
    WW_TRY(ww_rpc_transform_read(conn, promised, path, &len));
    WW_TRY(ww_msg_err(&call->params));
    struct ww_rpc_call *answer = ww_rpc_idmap_get(&conn->answers, ww_sr_u32(promised, 0));
    struct ww_cap *cap = NULL;
    ww_err err = answer && answer != call ? ww_rpc_call_pipe(answer, path, len, &cap) : WW_ENOTFOUND;
    if (err < 0) {
        ww_rpc_call_fail_later(
            call, ww_rpc_exc_new(conn->vat, err, WW_BYTES_LIT("call on the result of an unknown answer")));
        return 0;
    }
    call_begin(conn, call, cap, hold);
    ww_cap_unref(cap);
    return 0;
}

/* Twice the limit. When nobody can stop reading, because Returns that we wait for come the same way, that is
 * the end; otherwise what was read already may still come in. */
static bool too_much(const struct ww_rpc_conn *conn)
{
    uint64_t limit = conn->vat->limits.inbound_bytes, excess = conn->inbound_bytes - limit;
    if (conn->inbound_bytes <= limit || excess <= limit)
        return false;
    return conn->questions.live > 0 || excess - limit > limit;
}

/* After an error the connection ends, and takes the answer out of the table. */
ww_err ww_rpc_recv_call(struct ww_rpc_conn *conn, struct ww_sr msg, struct ww_bytes frame)
{
    struct ww_rpc_call *call;
    if (too_much(conn))
        return WW_ELIMIT;
    if (ww_sr_u16(ww_pr_struct(ww_sr_ptr(msg, 0)), 2) > 1)
        return WW_EUNSUPPORTED; /* an unknown kind of target: as if the call had never come */
    bool hold = ww_rpc_held_wanted(conn);
    WW_TRY(answer_new(conn, ww_sr_u32(msg, 0), &call));
    call->state = CALL_RUNNING;
    struct ww_sr target;
    ww_err err = call_read(conn, call, frame, &target);
    if (err == WW_EUNSUPPORTED) {
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(conn->vat, err, WW_BYTES_LIT("results can go to the caller only")));
        return 0;
    }
    if (err == 0 && !answer_charge(call, frame.len)) {
        ww_rpc_call_fail_now(
            call, ww_rpc_exc_new(conn->vat, WW_EBUDGET, WW_BYTES_LIT("too much in progress")));
        return 0;
    }
    if (err == 0)
        err = call_deliver(conn, call, target, hold);
    if (err < 0 && call->state == CALL_RUNNING)
        ww_rpc_call_unref(call); /* never began */
    return err;
}

/* The peer names nothing of the results any more. As they were described to it, they may lead back to this
 * very call, when it is a question too: that would keep itself alive. */
void ww_rpc_answer_unpin(struct ww_rpc_call *call)
{
    if (call->state == CALL_DONE && !call->taken && !call->handle)
        ww_rpc_results_drop(call);
}

ww_err ww_rpc_recv_finish(struct ww_rpc_conn *conn, struct ww_sr msg)
{
    struct ww_rpc_call *call = ww_rpc_idmap_get(&conn->answers, ww_sr_u32(msg, 0));
    if (!call || call->a.finished)
        return 0; /* peers that do not know noFinishNeeded send it all the same */
    call->a.finished = true;
    if (call->taken && !call->a.returned)
        return 0; /* another call of ours is what the results are for */
    if (!call->a.returned) {
        /* requireEarlyCancellationWorkaround: peers of old send a chain of calls and forget all but the last
         * at once; what waits in a promise has to arrive all the same. */
        bool waits = call->state == CALL_QUEUED || call->state == CALL_READY || call->state == CALL_HELD;
        if (waits && !ww_sr_bool(msg, 33))
            call->canceled = call->stays = true;
        else
            ww_rpc_call_cancel(call);
        return 0;
    }
    bool release_caps = !ww_sr_bool(msg, 32); /* the Return was not seen: to a tail call that is a cancel */
    if (release_caps)
        ww_rpc_exports_release(conn, &call->a.exports);
    ww_rpc_tail_release(call, release_caps);
    ww_rpc_answer_unpin(call);
    ww_rpc_answer_remove(call);
    return 0;
}
