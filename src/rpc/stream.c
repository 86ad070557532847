/* Streams: calls of which only so much may be under way at once. How much is a controller's business
 * (flow.h); here is who asks it, and when. */
#include "rpc/internal.h"

enum {
    BREAK_WINDOWS = 8, /* a sender that ignores WAIT this long is broken off */
    BREAK_BYTES = 16 << 20,
};

struct ww_rpc_stream_impl {
    uint32_t refs;                /* one of the stream, one a call under way, one while the task is queued */
    struct ww_rpc_stream *stream; /* NULL: its user is gone */
    struct ww_rpc_vat *vat;
    struct ww_rpc_task task;
    bool waiting, finishing, queued;
    bool choked;           /* the connection's outgoing bytes pile up: wait for the next acknowledgement */
    uint64_t window_asked; /* of ww_rpc_stream_init */
    uint64_t conn_serial;  /* the way of the last call; 0: none, or not known yet */
    uint64_t unheeded;     /* sent while it should have waited; not counted from what is under way, for
                              windows shrink */
    struct ww_rpc_flow *flow, *own; /* in use; the application's */
    struct ww_rpc_flow fixed;
    struct ww_rpc_bbr bbr;
    struct ww_rpc_flow_meter meter;
};

static void impl_unref(struct ww_rpc_stream_impl *impl)
{
    if (--impl->refs > 0)
        return;
    struct ww_rpc_vat *vat = impl->vat;
    ww_free(impl);
    ww_rpc_vat_unref(vat);
}

static bool is_ready(const struct ww_rpc_stream_impl *impl)
{
    const struct ww_rpc_stream *s = impl->stream;
    if (s->err < 0)
        return true;
    return s->in_flight_bytes < impl->flow->window_bytes && (!impl->choked || s->in_flight == 0);
}

static void flow_use(struct ww_rpc_stream_impl *impl, struct ww_rpc_flow *flow)
{
    impl->flow = flow;
    impl->stream->window_bytes = flow->window_bytes;
}

/* The window that the last call's way asks for. */
static void flow_choose(struct ww_rpc_stream_impl *impl, const struct ww_rpc_conn *conn)
{
    if (impl->own) {
        flow_use(impl, impl->own);
        return;
    }
    uint64_t window = impl->window_asked;
    if (window == 0)
        window = !conn            ? WW_RPC_WINDOW_DEFAULT
            : conn->stream_window ? conn->stream_window
                                  : WW_RPC_WINDOW_ADAPTIVE;
    if (window == WW_RPC_WINDOW_ADAPTIVE) {
        flow_use(impl, &impl->bbr.flow);
        return;
    }
    uint64_t most = impl->meter.message_max;
    impl->fixed.window_bytes =
        window > most ? window : most + 1; /* a large message must not cost a round trip */
    flow_use(impl, &impl->fixed);
}

static void flow_step(struct ww_rpc_stream_impl *impl)
{
    struct ww_rpc_flow_sample sample;
    if (!ww_rpc_flow_sample(&impl->meter, impl->vat->now_ns, &sample) || !impl->flow->ops)
        return;
    impl->flow->ops->acked(impl->flow, &sample);
    WW_ASSERT(impl->flow->window_bytes > 0);
    impl->stream->window_bytes = impl->flow->window_bytes;
}

static void stream_event(struct ww_rpc_task *task)
{
    struct ww_rpc_stream_impl *impl = WW_CONTAINER_OF(task, struct ww_rpc_stream_impl, task);
    impl->queued = false;
    struct ww_rpc_stream *s = impl->stream;
    if (s && !impl->vat->freed) {
        flow_step(impl);
        if (impl->waiting && is_ready(impl)) {
            impl->waiting = false;
            ww_rpc_flow_opened(&impl->meter, impl->vat->now_ns);
            if (s->ops->ready)
                s->ops->ready(s);
        }
        s = impl->stream; /* the callback may have been the end of it */
        if (s && impl->finishing && s->in_flight == 0) {
            impl->finishing = false;
            if (s->ops->drained)
                s->ops->drained(s, s->err);
        }
    }
    impl_unref(impl);
}

static void event_push(struct ww_rpc_stream_impl *impl)
{
    if (impl->queued)
        return;
    impl->queued = true;
    impl->refs++;
    ww_rpc_task_push(impl->vat, &impl->task);
}

ww_err ww_rpc_stream_init(struct ww_rpc_stream *stream, struct ww_rpc_vat *vat,
    const struct ww_rpc_stream_ops *ops, uint64_t window_bytes)
{
    struct ww_rpc_stream_impl *impl = WW_NEW(struct ww_rpc_stream_impl);
    if (!impl)
        return WW_ENOMEM;
    *stream = (struct ww_rpc_stream){.ops = ops, .impl = impl};
    impl->refs = 1;
    impl->stream = stream;
    impl->vat = ww_rpc_vat_ref(vat);
    impl->window_asked = window_bytes;
    ww_rpc_bbr_init(&impl->bbr, ++vat->stream_count);
    ww_rpc_flow_meter_init(&impl->meter, vat->now_ns);
    flow_choose(impl, NULL);
    ww_list_init(&impl->task.node);
    impl->task.run = stream_event;
    return 0;
}

void ww_rpc_stream_set_flow(struct ww_rpc_stream *stream, struct ww_rpc_flow *flow)
{
    struct ww_rpc_stream_impl *impl = stream->impl;
    impl->own = flow;
    flow_choose(impl, NULL); /* the next call's way has the last word */
    if (impl->waiting && is_ready(impl))
        event_push(impl);
}

void ww_rpc_stream_fini(struct ww_rpc_stream *stream)
{
    struct ww_rpc_stream_impl *impl = stream->impl;
    if (!impl)
        return;
    stream->impl = NULL;
    impl->stream = NULL;
    impl_unref(impl);
}

static void stream_break(struct ww_rpc_stream *s, ww_err err, const char *text)
{
    if (s->err < 0)
        return;
    s->err = err;
    size_t n = strlen(text) < sizeof s->reason ? strlen(text) : sizeof s->reason - 1;
    memcpy(s->reason, text, n);
    s->reason[n] = 0;
}

/* A call that left over another connection than the last: what was learned is of the old way. */
static void way_note(struct ww_rpc_stream_impl *impl, const struct ww_rpc_conn *conn)
{
    uint64_t serial = conn ? conn->serial : 0;
    if (serial != impl->conn_serial) {
        impl->conn_serial = serial;
        ww_rpc_flow_meter_move(&impl->meter, impl->vat->now_ns);
        struct ww_rpc_flow *used[] = {&impl->bbr.flow, impl->own};
        for (size_t i = 0; i < WW_COUNT_OF(used); i++) {
            if (used[i] && used[i]->ops && used[i]->ops->moved)
                used[i]->ops->moved(used[i]);
        }
    }
    flow_choose(impl, conn);
    impl->choked = conn && conn->out_bytes > conn->vat->limits.outbound_bytes / 2;
}

static bool is_ignored(struct ww_rpc_stream_impl *impl, uint64_t bytes)
{
    uint64_t window = impl->flow->window_bytes;
    uint64_t max = window < BREAK_BYTES / BREAK_WINDOWS ? BREAK_WINDOWS * window : BREAK_BYTES;
    impl->unheeded = is_ready(impl) ? 0 : impl->unheeded + bytes;
    return impl->unheeded > max;
}

ww_err ww_rpc_stream_send_take(struct ww_rpc_stream *stream, struct ww_rpc_request *request)
{
    struct ww_rpc_stream_impl *impl = stream->impl;
    struct ww_rpc_call *call = &request->call;
    uint64_t bytes = ww_msg_frame_bytes(&call->params);
    if (is_ignored(impl, bytes))
        stream_break(stream, WW_EOVERLOADED, "the stream's window was ignored");
    if (stream->err < 0) {
        ww_rpc_request_free(request);
        return stream->err;
    }
    stream->in_flight_bytes += bytes;
    stream->in_flight++;
    call->stream = impl;
    call->stream_bytes = bytes;
    impl->refs++;
    ww_rpc_enter(impl->vat);
    call->sink = SINK_STREAM;
    call->handle = false;
    (void)ww_rpc_call_ref(call);
    ww_rpc_route(call, call->target);
    if (bytes > impl->meter.message_max)
        impl->meter.message_max = bytes;
    way_note(impl, call->q.conn);
    ww_rpc_flow_sent(&impl->meter, &call->stream_mark, bytes, impl->flow->window_bytes, impl->vat->now_ns);
    ww_rpc_call_unref(call);
    ww_rpc_leave(impl->vat);
    impl->waiting = !is_ready(impl);
    return impl->waiting ? WW_RPC_STREAM_WAIT : WW_RPC_STREAM_OK;
}

void ww_rpc_stream_acked(struct ww_rpc_call *call)
{
    struct ww_rpc_stream_impl *impl = call->stream;
    struct ww_rpc_stream *s = impl->stream;
    call->stream = NULL;
    if (s) {
        s->in_flight_bytes -= call->stream_bytes;
        s->in_flight--;
        if (call->exc)
            stream_break(s, call->exc->err, call->exc->text);
        else
            ww_rpc_flow_acked(&impl->meter, &call->stream_mark);
        impl->choked = false;
        if (impl->flow->ops || (impl->waiting && is_ready(impl)) || (impl->finishing && s->in_flight == 0))
            event_push(impl);
    }
    impl_unref(impl);
}

void ww_rpc_stream_finish(struct ww_rpc_stream *stream)
{
    struct ww_rpc_stream_impl *impl = stream->impl;
    impl->finishing = true;
    if (stream->in_flight == 0)
        event_push(impl);
}
