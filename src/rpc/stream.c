/* Streams: how much may be under way at once. The window follows the bandwidth-delay product, measured from
 * when calls were sent and acknowledged: what was delivered meanwhile, times the shortest round trip ever
 * seen. */
#include "rpc/internal.h"

enum {
    WINDOW_MIN = 64 * 1024,
    WINDOW_MAX =
        16 << 20, /* a callee that holds so much for a slow object must not reach its own limit of 64 MiB */
    BREAK_WINDOWS = 8,  /* a sender that ignores WAIT this long is broken off */
    PLATEAU_ROUNDS = 3, /* without growth: the start is over */
};

struct ww_rpc_stream_impl {
    uint32_t refs;                /* one of the stream, one a call under way, one while the task is queued */
    struct ww_rpc_stream *stream; /* NULL: its user is gone */
    struct ww_rpc_vat *vat;
    struct ww_rpc_task task;
    bool waiting, finishing, adaptive, startup, measured, queued;
    uint32_t plateau;
    uint64_t message_max;
    uint64_t unheeded; /* sent while it should have waited; not counted from what is under way, for windows
                          shrink */
    uint64_t delivered, rtt_min_ns;
    uint64_t round_at;     /* the round ends with the first call sent after so much was delivered */
    uint64_t round_window; /* at its beginning */
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
    /* One message more than the window: a large one must not cost a round trip. */
    return s->err < 0 || s->in_flight_bytes < s->window_bytes + impl->message_max;
}

static void stream_event(struct ww_rpc_task *task)
{
    struct ww_rpc_stream_impl *impl = WW_CONTAINER_OF(task, struct ww_rpc_stream_impl, task);
    impl->queued = false;
    struct ww_rpc_stream *s = impl->stream;
    if (s && !impl->vat->freed) {
        if (impl->waiting && is_ready(impl)) {
            impl->waiting = false;
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
    *stream = (struct ww_rpc_stream){
        .ops = ops, .window_bytes = window_bytes ? window_bytes : WW_RPC_WINDOW_DEFAULT, .impl = impl};
    impl->refs = 1;
    impl->stream = stream;
    impl->vat = ww_rpc_vat_ref(vat);
    impl->adaptive = window_bytes == 0;
    impl->startup = true;
    impl->rtt_min_ns = UINT64_MAX;
    ww_list_init(&impl->task.node);
    impl->task.run = stream_event;
    return 0;
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

ww_err ww_rpc_stream_send_take(struct ww_rpc_stream *stream, struct ww_rpc_request *request)
{
    struct ww_rpc_stream_impl *impl = stream->impl;
    struct ww_rpc_call *call = &request->call;
    uint64_t bytes = ww_msg_frame_bytes(&call->params);
    if (bytes > impl->message_max)
        impl->message_max = bytes;
    impl->unheeded = is_ready(impl) ? 0 : impl->unheeded + bytes;
    if (impl->unheeded > BREAK_WINDOWS * stream->window_bytes)
        stream_break(stream, WW_EOVERLOADED, "the stream's window was ignored");
    if (stream->err < 0) {
        ww_rpc_request_free(request);
        return stream->err;
    }
    stream->in_flight_bytes += bytes;
    stream->in_flight++;
    call->stream = impl;
    call->stream_bytes = bytes;
    call->stream_sent_ns = impl->vat->now_ns;
    call->stream_delivered = impl->delivered;
    call->stream_window = stream->window_bytes;
    call->stream_full = stream->in_flight_bytes >= stream->window_bytes;
    impl->refs++;
    ww_rpc_enter(impl->vat);
    call->sink = SINK_STREAM;
    call->handle = false;
    (void)ww_rpc_call_ref(call);
    ww_rpc_route(call, call->target);
    ww_rpc_call_unref(call);
    ww_rpc_leave(impl->vat);
    impl->waiting = !is_ready(impl);
    return impl->waiting ? WW_RPC_STREAM_WAIT : WW_RPC_STREAM_OK;
}

static void round_end(struct ww_rpc_stream_impl *impl, const struct ww_rpc_call *call)
{
    if (call->stream_delivered < impl->round_at)
        return;
    uint64_t window = impl->stream->window_bytes;
    impl->plateau = window > impl->round_window + impl->round_window / 4 ? 0 : impl->plateau + 1;
    if (impl->plateau >= PLATEAU_ROUNDS)
        impl->startup = false;
    impl->round_window = window;
    impl->round_at = impl->delivered;
}

static uint64_t grown(const struct ww_rpc_stream_impl *impl, uint64_t n)
{
    return impl->startup ? n * 2 : n + n / 4;
}

static void window_adapt(struct ww_rpc_stream_impl *impl, const struct ww_rpc_call *call)
{
    uint64_t interval = impl->vat->now_ns - call->stream_sent_ns;
    impl->delivered += call->stream_bytes;
    if (!impl->adaptive || interval == 0 || impl->vat->now_ns < call->stream_sent_ns)
        return;
    if (interval < impl->rtt_min_ns)
        impl->rtt_min_ns = interval;
    if (!impl->measured) { /* the first round trip only says how long one is */
        impl->measured = true;
        impl->round_at = impl->delivered;
        impl->round_window = impl->stream->window_bytes;
        return;
    }
    uint64_t delivered = impl->delivered - call->stream_delivered;
    double product = (double)delivered * (double)impl->rtt_min_ns / (double)interval;
    uint64_t window = grown(impl, (uint64_t)product);
    uint64_t high = grown(impl, call->stream_window), low = call->stream_window - call->stream_window / 8;
    if (window > high)
        window = high;
    if (window < low && call->stream_full)
        window = low;
    if (!call->stream_full && window < impl->stream->window_bytes)
        window = impl->stream->window_bytes; /* the sender was the slow one: nothing learned */
    if (window < WINDOW_MIN)
        window = WINDOW_MIN;
    impl->stream->window_bytes = window < WINDOW_MAX ? window : WINDOW_MAX;
    round_end(impl, call);
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
            window_adapt(impl, call);
        if ((impl->waiting && is_ready(impl)) || (impl->finishing && s->in_flight == 0))
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
