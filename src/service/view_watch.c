/* View.watch: a standing query. Differences are gathered for a moment, coalesced by peer, and sent while the
 * watcher keeps up; one that does not is told to begin anew. */
#include "service/view_int.h"

#include "cluster/watch.h"

/* Peers whose change waits for the watcher; more and it begins anew. */
#define PENDING_MAX 8192
#define ROWS_MAX WW_BATCH_ROWS_MAX
#define LEFT_MAX 256

struct run {
    struct ww_view_slot slot;
    struct ww_view_core *core;
    struct ww_rpc_call *call;
    struct ww_rpc_cancel cancel;
    struct ww_cap *watcher;
    struct ww_rpc_stream stream;
    struct ww_query *query;
    struct ww_watch watch;
    struct ww_batch_writer writer;
    struct ww_task task;
    bool streaming, watching, blocked;
    /* the update that is being gathered */
    bool reset, ready;
    struct ww_record rows[ROWS_MAX];
    size_t row_count;
    struct {
        uint8_t len, bytes[WW_ROUTING_PEER_MAX];
    } left[LEFT_MAX];
    size_t left_count;
};

static void run_free(struct run *run)
{
    ww_list_remove(&run->task.link);
    if (run->watching)
        ww_watch_fini(&run->watch);
    if (run->streaming)
        ww_rpc_stream_fini(&run->stream);
    ww_batch_writer_fini(&run->writer);
    ww_query_free(run->query);
    ww_cap_unref(run->watcher);
    if (run->slot.link.next)
        ww_view_slot_give(run->core, &run->slot);
    ww_free(run);
}

static void finish(struct run *run, ww_err err, const char *text)
{
    struct ww_rpc_call *call = run->call;
    char reason[sizeof run->stream.reason];
    size_t len = strnlen(text, sizeof reason - 1);
    memcpy(reason, text, len);
    reason[len] = '\0';
    run_free(run);
    ww_view_fail(call, err, reason);
}

/* < 0: the end; WW_RPC_STREAM_WAIT or _OK. Rows point into the table, which must not have changed since. */
static ww_err send_update(struct run *run)
{
    struct ww_rpc_request *request;
    struct ww_View_Watcher_update_params_b params;
    if (!run->reset && !run->ready && run->row_count == 0 && run->left_count == 0)
        return WW_RPC_STREAM_OK;
    WW_TRY(ww_View_Watcher_update_request(run->watcher, &request, &params));
    struct ww_View_Update_b update = ww_View_Watcher_update_params_init_update(params);
    ww_View_Update_set_reset(update, run->reset);
    ww_View_Update_set_ready(update, run->ready);
    ww_err err = 0;
    if (run->row_count > 0)
        err = ww_batch_write(&run->writer, run->rows, run->row_count, run->query->projection,
            ww_View_Update_init_batch(update));
    if (err < 0) {
        ww_rpc_request_free(request);
        return err;
    }
    if (run->left_count > 0) {
        struct ww_lb left = ww_View_Update_init_left(update, (uint32_t)run->left_count);
        for (uint32_t i = 0; i < run->left_count; i++)
            ww_pb_set_data(ww_lb_ptr(left, i), ww_bytes(run->left[i].bytes, run->left[i].len));
    }
    run->reset = run->ready = false;
    run->row_count = run->left_count = 0;
    return ww_rpc_stream_send_take(&run->stream, request);
}

/* A peer is in one update once: `reset` begins an update, and what follows `ready` may name peers again. */
static bool ends_update(const struct run *run, const struct ww_watch_item *item)
{
    if (item->kind == WW_WATCH_ITEM_RESET)
        return run->reset || run->ready || run->row_count > 0 || run->left_count > 0;
    return run->ready || run->row_count == ROWS_MAX || run->left_count == LEFT_MAX;
}

static void gather(struct run *run, const struct ww_watch_item *item)
{
    switch (item->kind) {
    case WW_WATCH_ITEM_RESET:
        run->reset = true;
        break;
    case WW_WATCH_ITEM_READY:
        run->ready = true;
        break;
    case WW_WATCH_ITEM_RECORD:
        run->rows[run->row_count++] = item->record;
        break;
    case WW_WATCH_ITEM_LEFT:
        run->left[run->left_count].len = (uint8_t)item->peer.len;
        memcpy(run->left[run->left_count++].bytes, item->peer.ptr, item->peer.len);
        break;
    }
}

static void step(struct ww_task *task)
{
    struct run *run = WW_CONTAINER_OF(task, struct run, task);
    struct ww_watch_item item;
    struct ww_snapshot *snap =
        NULL; /* what gathered rows may point into, also when the watch is through with it */
    ww_err got = 0, state = WW_RPC_STREAM_OK;
    bool more = true;
    size_t share = ww_view_share(run->core, run->query);
    for (size_t i = 0; more && state == WW_RPC_STREAM_OK && i < share; i++) {
        if (!snap && run->watch.state == WW_WATCH_FIRST)
            snap = ww_snapshot_ref(run->watch.run.snap);
        got = ww_watch_next(&run->watch, 1, &item);
        if (got == 1) {
            if (ends_update(run, &item))
                state = send_update(run);
            gather(run, &item);
        } else {
            more = got == WW_EAGAIN;
        }
    }
    /* Rows live only until the table changes, so nothing stays gathered over a turn. */
    if (state >= 0) {
        ww_err last = send_update(run);
        state = last != WW_RPC_STREAM_OK ? last : state;
    }
    ww_snapshot_unref(snap);
    if (state >= 0 && got < 0 && got != WW_EAGAIN)
        state = got;
    if (state < 0) {
        finish(run, state, run->stream.reason);
        return;
    }
    ww_view_slot_holds(run->core, &run->slot, run->watch.state == WW_WATCH_FIRST);
    run->blocked = state == WW_RPC_STREAM_WAIT;
    if (!run->blocked && more)
        run->core->env->ops->post(run->core->env, task);
}

static void wake(struct ww_watch *watch)
{
    struct run *run = WW_CONTAINER_OF(watch, struct run, watch);
    if (!run->blocked)
        run->core->env->ops->post(run->core->env, &run->task);
}

static void ready(struct ww_rpc_stream *stream)
{
    struct run *run = WW_CONTAINER_OF(stream, struct run, stream);
    run->blocked = false;
    if (stream->err < 0)
        finish(run, stream->err, stream->reason);
    else
        run->core->env->ops->post(run->core->env, &run->task);
}

static const struct ww_rpc_stream_ops stream_ops = {ready, NULL};

static void canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    WW_UNUSED(call);
    finish(WW_CONTAINER_OF(cancel, struct run, cancel), WW_ECANCELED, "");
}

/* A standing query whose reader does not even take the beginning. */
static void stalled(struct ww_timer *timer)
{
    finish(WW_CONTAINER_OF(timer, struct run, slot.timer), WW_ETIMEOUT, "");
}

static ww_err run_start(struct run *run, struct ww_diag *diag)
{
    struct ww_View_watch_params_r params = ww_View_watch_params(run->call);
    struct ww_view_core *core = run->core;
    uint64_t seed[2];
    run->watcher = ww_cap_ref(ww_View_watch_params_watcher(params));
    run->query = ww_query_new();
    if (!run->query)
        return ww_diag_set(diag, WW_EOVERLOADED, "watch: out of memory");
    WW_TRY(ww_query_decode(ww_View_watch_params_query(params), run->query, diag));
    if (!run->watcher)
        return ww_diag_set(diag, WW_EINVAL, "watch: there is no watcher");
    run->query->projection |= WW_PROJECT_PEER; /* what `left` refers to */
    run->slot.nodes = run->query->node_count;
    if (ww_view_slot_take(core, &run->slot, ww_rpc_call_conn(run->call)) < 0)
        return ww_diag_set(diag, WW_EOVERLOADED, "watch: too many queries at a time on this connection");
    run->slot.timer.fired = stalled;
    ww_err err = ww_rpc_stream_init(&run->stream, core->vat, &stream_ops, 0);
    if (err < 0)
        return ww_diag_set(diag, err, "watch: %s", ww_err_text(err));
    run->streaming = true;
    core->env->ops->random(core->env, seed, sizeof seed);
    ww_watch_init(&run->watch, core->table, run->query, seed, PENDING_MAX, wake);
    run->watching = true;
    return 0;
}

void ww_view_watch(struct ww_View_server *self, struct ww_rpc_call *call)
{
    struct ww_diag diag = {0};
    struct run *run = WW_NEW(struct run);
    if (!run) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "watch: out of memory");
        return;
    }
    run->core = WW_CONTAINER_OF(self, struct ww_view, server)->core;
    run->call = call;
    ww_task_init(&run->task, step);
    ww_batch_writer_init(&run->writer);
    ww_err err = run_start(run, &diag);
    if (err < 0) {
        run_free(run);
        ww_rpc_call_fail(call, err, "%s", diag.text[0] ? diag.text : ww_err_text(err));
        return;
    }
    ww_rpc_call_release_params(call); /* all is copied, and this may go on for ever */
    run->cancel.canceled = canceled;
    ww_rpc_call_on_cancel(call, &run->cancel);
    run->core->env->ops->post(run->core->env, &run->task);
}
