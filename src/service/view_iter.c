/* View.iter: a stretch of an index, one streaming call a record. */
#include "service/view_int.h"

/* Records sent in one loop turn before others get theirs. */
#define RECORDS_PER_TURN 256

struct run {
    struct ww_view_slot slot;
    struct ww_view_core *core;
    struct ww_rpc_call *call;
    struct ww_rpc_cancel cancel;
    struct ww_cap *handler;
    struct ww_rpc_stream stream;
    struct ww_scan_iter it;
    struct ww_task task;
    uint64_t left; /* of the limit */
    bool exhausted;
};

/* The handler goes first: its release is what tells a Go client that this was all. */
static void finish(struct run *run, ww_err err)
{
    struct ww_rpc_call *call = run->call;
    char reason[sizeof run->stream.reason];
    memcpy(reason, run->stream.reason, sizeof reason);
    ww_list_remove(&run->task.link);
    ww_rpc_stream_fini(&run->stream);
    ww_scan_fini(&run->it);
    ww_cap_unref(run->handler);
    ww_view_slot_give(run->core, &run->slot);
    ww_free(run);
    ww_rpc_call_release_params(call);
    if (err < 0)
        ww_view_fail(call, err, reason);
    else
        ww_rpc_call_return(call);
}

/* < 0: the stream is broken; WW_RPC_STREAM_WAIT or _OK. */
static ww_err send_record(struct run *run, const struct ww_record *record)
{
    struct ww_rpc_request *request;
    struct ww_View_Handler_recv_params_b params;
    WW_TRY(ww_View_Handler_recv_request(run->handler, &request, &params));
    ww_record_encode(record, ww_View_Handler_recv_params_init_record(params));
    return ww_rpc_stream_send_take(&run->stream, request);
}

static void step(struct ww_task *task)
{
    struct run *run = WW_CONTAINER_OF(task, struct run, task);
    struct ww_record record;
    size_t share = ww_view_share(run->core, NULL);
    for (size_t i = 0; i < RECORDS_PER_TURN && i < share; i++) {
        if (run->left == 0 || !ww_scan_next(&run->it, &record)) {
            run->exhausted = true;
            ww_rpc_stream_finish(&run->stream);
            return;
        }
        run->left--;
        ww_err state = send_record(run, &record);
        if (state < 0) {
            finish(run, state);
            return;
        }
        if (state == WW_RPC_STREAM_WAIT)
            return; /* `ready` goes on */
    }
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
    struct run *run = WW_CONTAINER_OF(timer, struct run, slot.timer);
    finish(run, WW_ETIMEOUT);
}

void ww_view_iter(struct ww_View_server *self, struct ww_rpc_call *call)
{
    const struct ww_view *view = WW_CONTAINER_OF(self, struct ww_view, server);
    struct ww_view_core *core = view->core;
    struct ww_View_iter_params_r params = ww_View_iter_params(call);
    struct ww_cap *handler = ww_View_iter_params_handler(params);
    struct ww_scan scan;
    struct ww_diag diag;
    uint64_t limit;
    ww_err err = ww_view_scan_parse(view, ww_View_iter_params_selector(params),
        ww_View_iter_params_constraints(params), &scan, &limit, &diag);
    if (err == 0 && !handler)
        err = ww_diag_set(&diag, WW_EFAILED, "iter: there is no handler");
    if (err < 0) {
        ww_rpc_call_fail(call, err, "%s", diag.text);
        return;
    }
    struct run *run = WW_NEW(struct run);
    struct ww_snapshot *snap = run ? ww_routing_snapshot(core->table) : NULL;
    if (!snap || ww_rpc_stream_init(&run->stream, core->vat, &stream_ops, 0) < 0) {
        ww_snapshot_unref(snap);
        ww_free(run);
        ww_rpc_call_fail(call, WW_EOVERLOADED, "iter: out of memory");
        return;
    }
    if (ww_view_slot_take(core, &run->slot, ww_rpc_call_conn(call)) < 0) {
        ww_rpc_stream_fini(&run->stream);
        ww_snapshot_unref(snap);
        ww_free(run);
        ww_rpc_call_fail(call, WW_EOVERLOADED, "iter: too many queries at a time on this connection");
        return;
    }
    run->core = core;
    run->call = call;
    run->handler = ww_cap_ref(handler);
    run->left = limit ? limit : UINT64_MAX;
    ww_scan_init(&run->it, snap, &scan);
    run->slot.timer.fired = stalled;
    ww_view_slot_holds(core, &run->slot, true);
    ww_snapshot_unref(snap);
    ww_task_init(&run->task, step);
    run->cancel.canceled = canceled;
    ww_rpc_call_on_cancel(call, &run->cancel);
    core->env->ops->post(core->env, &run->task);
}
