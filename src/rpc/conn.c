/* A connection: from bytes to messages, and its end. */
#include "rpc/internal.h"

static void closed_told(struct ww_rpc_task *task)
{
    struct ww_rpc_conn *conn = WW_CONTAINER_OF(task, struct ww_rpc_conn, closed_task);
    if (conn->host && conn->host->ops->closed && !conn->vat->freed)
        conn->host->ops->closed(conn->host, conn->close_err, conn->close_exc->text);
}

ww_err ww_rpc_conn_new(
    struct ww_rpc_vat *vat, const struct ww_rpc_conn_config *config, struct ww_rpc_conn **ret_conn)
{
    WW_TRY(ww_budget_charge(config->budget, WW_RES_BYTES, sizeof(struct ww_rpc_conn)));
    struct ww_rpc_conn *conn = WW_NEW(struct ww_rpc_conn);
    if (!conn) {
        ww_budget_release(config->budget, WW_RES_BYTES, sizeof(struct ww_rpc_conn));
        return WW_ENOMEM;
    }
    conn->vat = ww_rpc_vat_ref(vat);
    conn->host = config->host;
    conn->bootstrap = ww_cap_ref(config->bootstrap);
    conn->budget = config->budget;
    conn->packed = config->packed;
    conn->tail_calls = config->tail_calls;
    conn->open = true;
    conn->serial = ++vat->conn_count;
    conn->stream_window = config->stream_window_bytes;
    conn->msg_limits = (struct ww_msg_limits){
        .words = vat->limits.message_bytes / 8,
        .traversal = vat->limits.traversal_words,
        .segments = vat->limits.segments,
        .depth = (uint8_t)vat->limits.depth,
    };
    conn->closed_task.run = closed_told;
    ww_list_init(&conn->dirty_node);
    ww_list_init(&conn->closed_task.node);
    ww_list_init(&conn->free_exports);
    ww_list_init(&conn->echoes);
    ww_list_init(&conn->held);
    ww_list_init(&conn->late);
    ww_list_init(&conn->held_task.node);
    ww_frame_in_init(&conn->in, config->packed, &conn->msg_limits);
    ww_msg_init(&conn->scratch_in, &ww_rpc_cap_ops);
    ww_msg_init(&conn->scratch_out, &ww_rpc_cap_ops);
    ww_rpc_idmap_init(&conn->answers, vat->hash_seed);
    ww_rpc_idmap_init(&conn->imports, vat->hash_seed);
    ww_rpc_idmap_init(&conn->high, vat->hash_seed);
    ww_rpc_idmap_init(&conn->by_cap, vat->hash_seed);
    *ret_conn = conn;
    return 0;
}

/* ---- the end. The tables are walked while nothing can change them: references that drop are only noted. */

static void import_break(void *ctx, uint64_t key, void *value)
{
    struct ww_rpc_conn *conn = ctx;
    struct ww_cap *raw = value, *wrapper = raw->import.wrapper;
    WW_UNUSED(key);
    ww_cap_unref(raw->import.to);
    raw->kind = CAP_BROKEN;
    raw->exc = ww_rpc_exc_ref(conn->close_exc);
    if (wrapper && !wrapper->promise.to)
        ww_rpc_promise_settle(wrapper, raw);
}

static void question_fail(void *ctx, uint64_t id, void *value)
{
    struct ww_rpc_conn *conn = ctx;
    struct ww_rpc_call *call = value;
    WW_UNUSED(id);
    ww_rpc_question_over(call);
    if (call->state == CALL_SENT) {
        ww_rpc_call_fail_now(call, ww_rpc_exc_ref(conn->close_exc));
    } else if (call->tail && !call->exc) { /* the results went with the peer */
        call->exc = ww_rpc_exc_ref(conn->close_exc);
        ww_rpc_pipes_done(call);
    }
    ww_rpc_wires_break(call, conn->close_exc);
    ww_rpc_call_unref(call);
}

static void questions_fail(struct ww_rpc_conn *conn)
{
    for (uint32_t i = 0; i < conn->questions.size; i++) {
        if (conn->questions.at[i])
            question_fail(conn, i, conn->questions.at[i]);
    }
    ww_rpc_slots_fini(&conn->questions);
    ww_rpc_idmap_each(&conn->high, question_fail, conn);
    ww_rpc_idmap_fini(&conn->high);
}

static void embargoes_fail(struct ww_rpc_conn *conn)
{
    for (uint32_t i = 0; i < conn->embargoes.size; i++) {
        struct ww_rpc_embargo *embargo = conn->embargoes.at[i];
        if (!embargo)
            continue;
        ww_rpc_promise_reject(embargo->promise, conn->close_exc);
        ww_cap_unref(embargo->promise);
        ww_cap_unref(embargo->target);
        ww_free(embargo);
    }
    ww_rpc_slots_fini(&conn->embargoes);
    while (!ww_list_empty(&conn->echoes)) {
        struct ww_rpc_call *echo = WW_LIST_ENTRY(conn->echoes.next, struct ww_rpc_call, cancel_task.node);
        ww_list_remove(&echo->cancel_task.node);
        echo->a.conn = NULL;
    }
    ww_budget_release(conn->budget, WW_RES_BYTES, conn->echo_count * sizeof(struct ww_rpc_request));
    conn->echo_count = 0;
}

static void exports_drop(struct ww_rpc_conn *conn)
{
    ww_budget_release(conn->budget, WW_RES_EXPORTS, conn->exports.live);
    for (uint32_t i = 0; i < conn->exports.size; i++) {
        struct ww_rpc_export *e = conn->exports.at[i];
        if (!e)
            continue;
        if (e->key) {
            e->key->exported--;
            ww_cap_unref(e->key);
        }
        ww_list_remove(&e->waiter.node);
        ww_cap_unref(e->cap);
        ww_free(e);
    }
    ww_rpc_slots_fini(&conn->exports);
    ww_rpc_idmap_fini(&conn->by_cap);
    struct ww_list *node;
    while ((node = ww_list_pop_front(&conn->free_exports)))
        ww_free(WW_LIST_ENTRY(node, struct ww_rpc_export, waiter.node));
}

/* What was handed to an object already is delivered all the same: who sends and goes away may have meant it.
 */
static void answer_drop(void *ctx, uint64_t key, void *value)
{
    struct ww_rpc_call *call = value;
    WW_UNUSED(ctx);
    WW_UNUSED(key);
    ww_rpc_tail_release(call, false);
    ww_rpc_answer_settle(call);
    ww_rpc_answer_unpin(call);
    call->a.conn = NULL;
    if (call->sink == SINK_ANSWER)
        call->sink = SINK_NONE;
    call->stays |= call->state == CALL_READY;
    ww_rpc_call_cancel(call);
    ww_rpc_call_unref(call);
}

static void teardown(struct ww_rpc_conn *conn)
{
    ww_rpc_idmap_each(&conn->imports, import_break, conn);
    ww_budget_release(conn->budget, WW_RES_BYTES, conn->imports.live * sizeof(struct ww_cap));
    ww_rpc_idmap_fini(&conn->imports);
    questions_fail(conn);
    ww_rpc_held_drop(conn);
    embargoes_fail(conn);
    exports_drop(conn);
    ww_rpc_idmap_each(&conn->answers, answer_drop, conn);
    ww_rpc_idmap_fini(&conn->answers);
    ww_cap_unref(conn->bootstrap);
    conn->bootstrap = NULL;
    conn->broken_exports.count = 0;
}

static void abort_send(struct ww_rpc_conn *conn, const struct ww_rpc_exc *why)
{
    conn->aborting = true;
    struct ww_sb msg = ww_rpc_out_begin(conn, WW_RPC_ABORT);
    ww_rpc_out_exception(ww_sb_ptr(msg, 0), why);
    ww_err err = ww_rpc_out_msg(conn, &conn->scratch_out, NULL);
    WW_UNUSED(err); /* without room for it the peer sees the end of the stream, which says the same */
    ww_msg_reset(&conn->scratch_out);
}

/* What the callers get to see keeps the text of the reason, but is of the kind that tells them to try again
 * with a new connection. Takes the reference to `why`. */
static void conn_end(struct ww_rpc_conn *conn, ww_err err, struct ww_rpc_exc *why)
{
    struct ww_rpc_vat *vat = conn->vat;
    ww_rpc_enter(vat);
    conn->open = false;
    conn->close_err = err;
    conn->close_exc = why;
    teardown(conn);
    ww_rpc_task_push(vat, &conn->closed_task);
    ww_rpc_leave(vat);
}

void ww_rpc_conn_fail(struct ww_rpc_conn *conn, ww_err err, const char *reason, bool tell_peer)
{
    if (!conn->open)
        return;
    conn->open = false;
    if (tell_peer) {
        struct ww_rpc_exc *why = ww_rpc_exc_new(conn->vat, err, ww_bytes_str(reason));
        abort_send(conn, why);
        ww_rpc_exc_unref(why);
    }
    conn_end(conn, err, ww_rpc_exc_new(conn->vat, WW_EDISCONNECTED, ww_bytes_str(reason)));
}

void ww_rpc_conn_close(struct ww_rpc_conn *conn, const char *reason)
{
    ww_rpc_conn_fail(conn, WW_ECLOSED, reason ? reason : "connection closed", true);
}

void ww_rpc_conn_lost(struct ww_rpc_conn *conn, ww_err why)
{
    ww_rpc_conn_fail(conn, why, ww_err_text(why), false);
}

void ww_rpc_conn_free(struct ww_rpc_conn *conn)
{
    if (!conn)
        return;
    struct ww_rpc_vat *vat = conn->vat;
    ww_rpc_conn_fail(conn, WW_ECLOSED, "connection closed", false);
    ww_list_remove(&conn->closed_task.node);
    ww_list_remove(&conn->dirty_node);
    ww_frame_in_fini(&conn->in);
    ww_msg_fini(&conn->scratch_in);
    ww_msg_fini(&conn->scratch_out);
    ww_rpc_out_free(conn);
    ww_rpc_ids_free(&conn->broken_exports);
    ww_rpc_exc_unref(conn->close_exc);
    ww_budget_release(conn->budget, WW_RES_BYTES, sizeof *conn + conn->in_charged);
    ww_free(conn);
    ww_rpc_vat_unref(vat);
}

void ww_rpc_conn_output(struct ww_rpc_conn *conn)
{
    if (conn->announced || !ww_list_empty(&conn->dirty_node))
        return;
    ww_list_push_back(&conn->vat->dirty, &conn->dirty_node);
    ww_rpc_wake(conn->vat);
}

/* While the peer owes us Returns we must go on reading: they may be what frees memory. */
bool ww_rpc_conn_want_read(const struct ww_rpc_conn *conn)
{
    uint64_t limit = conn->vat->limits.inbound_bytes;
    bool full = conn->inbound_bytes > limit && conn->inbound_bytes - limit > limit;
    return conn->open && (!full || conn->questions.live > 0);
}

void ww_rpc_conn_set_stream_window(struct ww_rpc_conn *conn, uint64_t bytes)
{
    conn->stream_window = bytes;
}

bool ww_rpc_conn_is_open(const struct ww_rpc_conn *conn)
{
    return conn->open;
}

struct ww_rpc_conn_host *ww_rpc_conn_host(const struct ww_rpc_conn *conn)
{
    return conn->host;
}

void ww_rpc_conn_stats(const struct ww_rpc_conn *conn, struct ww_rpc_conn_stats *ret_stats)
{
    *ret_stats = (struct ww_rpc_conn_stats){
        .questions = conn->questions.live + conn->high.live,
        .answers = conn->answers.live,
        .exports = conn->exports.live,
        .imports = conn->imports.live,
        .embargoes = conn->embargoes.live,
        .outbound_bytes = conn->out_bytes,
        .inbound_bytes = conn->inbound_bytes,
        .calls_out = conn->calls_out,
        .calls_in = conn->calls_in,
    };
}

ww_err ww_rpc_conn_bootstrap(struct ww_rpc_conn *conn, struct ww_cap **ret_cap)
{
    if (!conn->open)
        return WW_ECLOSED;
    struct ww_rpc_vat *vat = conn->vat;
    struct ww_rpc_call *call = ww_rpc_call_alloc(vat);
    if (!call)
        return WW_ENOMEM;
    ww_rpc_enter(vat);
    call->state = CALL_SENT;
    call->interest = false; /* it lives by the promise alone */
    ww_err err = ww_rpc_slots_add(&conn->questions, call, &call->q.id);
    if (err == 0) {
        call->q.conn = conn;
        (void)ww_rpc_call_ref(call);
        err = ww_rpc_call_pipe(call, NULL, 0, ret_cap);
        struct ww_sb msg = ww_rpc_out_begin(conn, WW_RPC_BOOTSTRAP);
        ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(msg, 0), 1, 1), 0, call->q.id);
        ww_rpc_out_end(conn);
    } else {
        ww_rpc_call_unref(call);
    }
    ww_rpc_leave(vat);
    return err;
}

ww_err ww_rpc_recv_abort(struct ww_rpc_conn *conn, struct ww_sr body)
{
    if (!ww_sr_has(body, 0))
        ww_rpc_conn_fail(conn, WW_ECLOSED, "connection closed by the peer", false);
    else
        conn_end(conn, WW_ECLOSED, ww_rpc_exc_read_as(conn->vat, body, WW_EDISCONNECTED));
    return 0;
}
