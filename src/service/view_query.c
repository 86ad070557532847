/* View.query: a filter tree over the best index, in batches. */
#include "service/view_int.h"

struct run {
    struct ww_view_slot slot;
    struct ww_view_core *core;
    struct ww_rpc_call *call;
    struct ww_rpc_cancel cancel;
    struct ww_cap *sink;
    struct ww_rpc_stream stream;
    struct ww_query *query;
    struct ww_query_run run;
    struct ww_batch_writer writer;
    struct ww_task task;
    struct ww_record rows[WW_BATCH_ROWS_MAX];
    size_t row_count;
    uint64_t count;
    bool streaming, running, exhausted;
};

static void run_free(struct run *run)
{
    ww_list_remove(&run->task.link);
    if (run->streaming)
        ww_rpc_stream_fini(&run->stream);
    if (run->running)
        ww_query_run_fini(&run->run);
    ww_batch_writer_fini(&run->writer);
    ww_query_free(run->query);
    ww_cap_unref(run->sink);
    if (run->slot.link.next)
        ww_view_slot_give(run->core, &run->slot);
    ww_free(run);
}

static void finish(struct run *run, ww_err err)
{
    struct ww_rpc_call *call = run->call;
    uint64_t count = run->count, examined = run->run.examined;
    char reason[sizeof run->stream.reason];
    memcpy(reason, run->stream.reason, sizeof reason);
    run_free(run);
    if (err < 0) {
        ww_view_fail(call, err, reason);
        return;
    }
    struct ww_View_query_results_b results = ww_View_query_answer(call);
    ww_View_query_results_set_count(results, count);
    ww_View_query_results_set_examined(results, examined);
    ww_rpc_call_return(call);
}

/* Sends what has been gathered. < 0: the end; WW_RPC_STREAM_WAIT or _OK. */
static ww_err flush(struct run *run)
{
    struct ww_rpc_request *request;
    struct ww_View_Sink_batch_params_b params;
    if (run->row_count == 0)
        return WW_RPC_STREAM_OK;
    WW_TRY(ww_View_Sink_batch_request(run->sink, &request, &params));
    ww_err err = ww_batch_write(&run->writer, run->rows, run->row_count, run->query->projection,
        ww_View_Sink_batch_params_init_batch(params));
    if (err < 0) {
        ww_rpc_request_free(request);
        return err;
    }
    run->row_count = 0;
    return ww_rpc_stream_send_take(&run->stream, request);
}

/* One turn's worth. 1: there is more to do now; WW_RPC_STREAM_WAIT is told by `*ret_wait`. */
static ww_err turn(struct run *run, bool *ret_wait)
{
    uint64_t begin = run->run.examined;
    size_t share = ww_view_share(run->core, run->query);
    while (run->run.examined - begin < share) {
        ww_err got = ww_query_run_next(&run->run, share, &run->rows[run->row_count]);
        if (got == WW_EAGAIN)
            return 1;
        if (got < 0)
            return got;
        if (got == 0) {
            run->exhausted = true;
            return 0;
        }
        run->count++;
        if (run->query->count_only || ++run->row_count < WW_BATCH_ROWS_MAX)
            continue;
        ww_err state = flush(run);
        if (state < 0)
            return state;
        if (state == WW_RPC_STREAM_WAIT) {
            *ret_wait = true;
            return 1;
        }
    }
    return 1;
}

static void step(struct ww_task *task)
{
    struct run *run = WW_CONTAINER_OF(task, struct run, task);
    bool wait = false;
    ww_err more = turn(run, &wait);
    if (more == 0)
        more = flush(run); /* what is left goes, whatever the window says */
    if (more < 0)
        finish(run, more);
    else if (run->exhausted)
        ww_rpc_stream_finish(&run->stream);
    else if (!wait)
        run->core->env->ops->post(run->core->env, task);
}

static void ready(struct ww_rpc_stream *stream)
{
    struct run *run = WW_CONTAINER_OF(stream, struct run, stream);
    if (!run->exhausted)
        run->core->env->ops->post(run->core->env, &run->task);
}

static void drained(struct ww_rpc_stream *stream, ww_err err)
{
    finish(WW_CONTAINER_OF(stream, struct run, stream), err);
}

static const struct ww_rpc_stream_ops stream_ops = {ready, drained};

static void canceled(struct ww_rpc_cancel *cancel, struct ww_rpc_call *call)
{
    WW_UNUSED(call);
    finish(WW_CONTAINER_OF(cancel, struct run, cancel), WW_ECANCELED);
}

static void stalled(struct ww_timer *timer)
{
    finish(WW_CONTAINER_OF(timer, struct run, slot.timer), WW_ETIMEOUT);
}

static ww_err run_start(struct run *run, const struct ww_view *view, struct ww_diag *diag)
{
    struct ww_View_query_params_r params = ww_View_query_params(run->call);
    struct ww_view_core *core = view->core;
    run->sink = ww_cap_ref(ww_View_query_params_sink(params));
    run->query = ww_query_new();
    if (!run->query)
        return ww_diag_set(diag, WW_EOVERLOADED, "query: out of memory");
    WW_TRY(ww_query_decode(ww_View_query_params_query(params), run->query, diag));
    if (!run->sink && !run->query->count_only)
        return ww_diag_set(diag, WW_EINVAL, "query: there is no sink");
    run->query->descending ^= view->reversed;
    if (ww_view_slot_take(core, &run->slot, ww_rpc_call_conn(run->call)) < 0)
        return ww_diag_set(diag, WW_EOVERLOADED, "query: too many queries at a time on this connection");
    struct ww_snapshot *snap = ww_routing_snapshot(core->table);
    ww_err err = snap ? ww_query_run_init(&run->run, run->query, snap) : WW_ENOMEM;
    ww_snapshot_unref(snap);
    run->running = err == 0;
    run->slot.timer.fired = stalled;
    ww_view_slot_holds(core, &run->slot, true);
    if (err == 0)
        err = ww_rpc_stream_init(&run->stream, core->vat, &stream_ops, 0);
    run->streaming = run->running && err == 0;
    return err < 0 ? ww_diag_set(diag, err, "query: %s", ww_err_text(err)) : 0;
}

void ww_view_query(struct ww_View_server *self, struct ww_rpc_call *call)
{
    const struct ww_view *view = WW_CONTAINER_OF(self, struct ww_view, server);
    struct ww_diag diag = {0};
    struct run *run = WW_NEW(struct run);
    if (!run) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "query: out of memory");
        return;
    }
    run->core = view->core;
    run->call = call;
    ww_task_init(&run->task, step);
    ww_batch_writer_init(&run->writer);
    ww_err err = run_start(run, view, &diag);
    if (err < 0) {
        run_free(run);
        ww_rpc_call_fail(call, err, "%s", diag.text[0] ? diag.text : ww_err_text(err));
        return;
    }
    ww_rpc_call_release_params(call); /* all is copied, and this may take a while */
    run->cancel.canceled = canceled;
    ww_rpc_call_on_cancel(call, &run->cancel);
    run->core->env->ops->post(run->core->env, &run->task);
}
