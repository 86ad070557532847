/* The application's side of calls that it makes, and of calls that it answers. */
#include <stdarg.h>
#include <stdio.h>

#include "rpc/internal.h"

ww_err ww_rpc_request_new(struct ww_cap *target, uint64_t interface_id, uint16_t method_id, uint32_t words,
    struct ww_rpc_request **ret_request)
{
    if (!target)
        return WW_EINVAL;
    struct ww_rpc_call *call = ww_rpc_call_alloc(target->vat);
    if (!call)
        return WW_ENOMEM;
    call->target = ww_cap_ref(target);
    call->iface = interface_id;
    call->method = method_id;
    call->handle = true;
    ww_err err = ww_rpc_params_begin(call, words);
    if (err < 0) {
        ww_rpc_call_unref(call);
        return err;
    }
    *ret_request = (struct ww_rpc_request *)call;
    return 0;
}

struct ww_pb ww_rpc_request_params(struct ww_rpc_request *request)
{
    WW_ASSERT(request->call.state == CALL_NEW);
    return request->call.params_b;
}

static void send_new(struct ww_rpc_call *call)
{
    WW_ASSERT(call->state == CALL_NEW);
    (void)ww_rpc_call_ref(call); /* until its outcome was delivered */
    ww_rpc_route(call, call->target);
}

void ww_rpc_request_send(struct ww_rpc_request *request, struct ww_rpc_wait *wait)
{
    struct ww_rpc_call *call = &request->call;
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    call->sink = SINK_APP;
    call->wait = wait;
    send_new(call);
    ww_rpc_leave(vat);
}

void ww_rpc_request_no_pipeline(struct ww_rpc_request *request)
{
    WW_ASSERT(request->call.state == CALL_NEW);
    request->call.no_pipe = true;
}

bool ww_rpc_call_no_pipeline(const struct ww_rpc_call *call)
{
    return call->no_pipe;
}

void ww_rpc_request_send_for_pipeline(struct ww_rpc_request *request)
{
    struct ww_rpc_call *call = &request->call;
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    call->sink = SINK_NONE;
    call->only_pipe = true;
    call->no_pipe = false;
    send_new(call);
    ww_rpc_leave(vat);
}

void ww_rpc_request_send_take(struct ww_rpc_request *request)
{
    struct ww_rpc_call *call = &request->call;
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    call->sink = SINK_NONE;
    call->handle = false;
    send_new(call);
    ww_rpc_call_unref(call);
    ww_rpc_leave(vat);
}

void ww_rpc_request_free(struct ww_rpc_request *request)
{
    if (!request)
        return;
    struct ww_rpc_call *call = &request->call;
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    WW_ASSERT(call->handle);
    call->handle = false;
    call->wait = NULL;
    if (call->state != CALL_NEW && call->state != CALL_DONE) {
        call->sink = SINK_NONE;
        call->interest = false;
        if (!ww_rpc_pipes_live(call))
            ww_rpc_call_cancel(call);
    }
    ww_rpc_call_unref(call);
    ww_rpc_leave(vat);
}

ww_err ww_rpc_request_pipeline(
    struct ww_rpc_request *request, const uint16_t *path, size_t path_len, struct ww_cap **ret_cap)
{
    struct ww_rpc_call *call = &request->call;
    if (call->state == CALL_NEW)
        return WW_ESTATE;
    if (path_len > call->vat->limits.transform_ops)
        return WW_ELIMIT;
    ww_rpc_enter(call->vat);
    struct ww_rpc_vat *vat = call->vat;
    ww_err err = ww_rpc_call_pipe(call, path, path_len, ret_cap);
    ww_rpc_leave(vat);
    return err;
}

ww_err ww_rpc_request_status(const struct ww_rpc_request *request)
{
    const struct ww_rpc_call *call = &request->call;
    if (call->state != CALL_DONE || call->only_pipe)
        return WW_EAGAIN;
    if (call->exc)
        return call->exc->err;
    const struct ww_rpc_call *outcome = ww_rpc_call_outcome((struct ww_rpc_call *)call);
    return ww_msg_err(&outcome->results);
}

const char *ww_rpc_request_reason(const struct ww_rpc_request *request)
{
    if (request->call.exc)
        return request->call.exc->text;
    ww_err err = ww_rpc_request_status(request); /* results that were read, and are malformed */
    return err < 0 && err != WW_EAGAIN ? ww_err_text(err) : "";
}

struct ww_pr ww_rpc_request_results(struct ww_rpc_request *request)
{
    return ww_rpc_results_reader(&request->call);
}

/* ---- calls that we answer */

uint64_t ww_rpc_call_interface(const struct ww_rpc_call *call)
{
    return call->iface;
}

uint16_t ww_rpc_call_method(const struct ww_rpc_call *call)
{
    return call->method;
}

struct ww_rpc_conn *ww_rpc_call_conn(const struct ww_rpc_call *call)
{
    return call->a.conn;
}

struct ww_pr ww_rpc_call_params(struct ww_rpc_call *call)
{
    return ww_rpc_params_reader(call);
}

void ww_rpc_call_release_params(struct ww_rpc_call *call)
{
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    ww_rpc_call_drop_params(call);
    ww_rpc_leave(vat);
}

struct ww_pb ww_rpc_call_results(struct ww_rpc_call *call, uint32_t words)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    ww_rpc_results_begin(call, words);
    return call->results_b;
}

void ww_rpc_call_return(struct ww_rpc_call *call)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_call_release_params(
        call); /* on the wire the Release of its capabilities comes before the Return */
    ww_rpc_enter(vat);
    ww_rpc_results_begin(call, 1);
    ww_err err = call->params_err;
    const char *what = "malformed parameters";
    if (err == 0) {
        err = ww_msg_err(&call->results);
        what = "the results could not be built";
    }
    if (err < 0) {
        ww_rpc_call_fail_now(call, ww_rpc_exc_because(vat, err, what));
    } else {
        call->has_results = true;
        ww_rpc_call_complete(call);
    }
    ww_rpc_leave(vat);
}

void ww_rpc_call_fail(struct ww_rpc_call *call, ww_err err, const char *fmt, ...)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    char text[WW_RPC_REASON_MAX];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_call_release_params(call);
    ww_rpc_enter(vat);
    ww_rpc_call_fail_now(call, ww_rpc_exc_new(vat, err, len < 0 ? WW_BYTES_LIT("") : ww_bytes_str(text)));
    ww_rpc_leave(vat);
}

void ww_rpc_call_fail_unknown(struct ww_rpc_call *call, const char *name)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_call_release_params(call);
    ww_rpc_enter(vat);
    ww_rpc_call_fail_now(call, ww_rpc_exc_unknown(vat, name, call->iface, call->method));
    ww_rpc_leave(vat);
}

void ww_rpc_call_fail_with(struct ww_rpc_call *call, const struct ww_rpc_exception *exception)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    struct ww_rpc_exc *exc = ww_rpc_exc_copy(vat, exception); /* it may lie in the parameters */
    ww_rpc_call_release_params(call);
    ww_rpc_call_fail_now(call, exc);
    ww_rpc_leave(vat);
}

void ww_rpc_call_forward_take(struct ww_rpc_call *call, struct ww_rpc_request *request)
{
    WW_ASSERT(ww_rpc_call_in_hand(call) && request->call.state == CALL_NEW);
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    if (call->severed) {
        ww_rpc_request_free(request);
        ww_rpc_call_let_go(call, NULL);
        ww_rpc_leave(vat);
        return;
    }
    struct ww_rpc_call *child = &request->call;
    child->handle = false;
    child->sink = SINK_NONE;
    child->parent = ww_rpc_call_ref(call);
    child->no_pipe |= call->no_pipe;
    call->child = child;
    call->state = CALL_FORWARDED;
    call->on_cancel = NULL; /* the handler is done with it */
    ww_list_remove(&call->cancel_task.node);
    send_new(child);
    if (call->state == CALL_FORWARDED && call->child == child)
        ww_rpc_pipes_follow(call);
    ww_rpc_call_unref(child);
    if (call->state == CALL_FORWARDED) {
        ww_rpc_call_drop_params(call);
        if (call->canceled)
            ww_rpc_call_cancel(child);
    }
    ww_rpc_leave(vat);
}

ww_err ww_rpc_call_set_pipeline(
    struct ww_rpc_call *call, const uint16_t *path, size_t path_len, struct ww_cap *cap)
{
    WW_ASSERT(ww_rpc_call_in_hand(call));
    if (call->severed)
        return 0; /* nobody asks */
    struct ww_rpc_vat *vat = call->vat;
    struct ww_cap *promise;
    ww_rpc_enter(vat);
    ww_err err = ww_rpc_call_pipe(call, path, path_len, &promise);
    if (err == 0) {
        if (promise->promise.to)
            err = WW_ESTATE;
        else if (!call->crossing)
            ww_rpc_promise_resolve(promise, cap);
        else if ((err = ww_rpc_crossings_pass(call, cap, &cap)) == 0) {
            ww_rpc_promise_resolve(promise, cap);
            ww_cap_unref(cap);
        }
        ww_cap_unref(promise);
    }
    ww_rpc_leave(vat);
    return err;
}

void ww_rpc_call_set_streaming(struct ww_rpc_call *call)
{
    WW_ASSERT(ww_rpc_call_in_hand(call) && call->target->kind == CAP_SERVER);
    call->streaming = true;
    call->target->local.busy = call;
}

bool ww_rpc_call_is_canceled(const struct ww_rpc_call *call)
{
    return call->canceled;
}

/* ---- watching promises */

struct ww_cap_watch_impl {
    struct ww_rpc_waiter waiter;
    struct ww_rpc_task task;
    struct ww_cap_watch *watch;
    struct ww_cap *cap, *at; /* what is asked about, and the promise in it that is waited for */
};

static void watch_fire(struct ww_rpc_task *task)
{
    struct ww_cap_watch_impl *impl = WW_CONTAINER_OF(task, struct ww_cap_watch_impl, task);
    struct ww_cap_watch *watch = impl->watch;
    bool freed = impl->cap->vat->freed;
    ww_cap_watch_stop(watch);
    if (!freed)
        watch->settled(watch);
}

/* What the next event comes from is kept: it may be known here alone. */
static ww_err watch_next(struct ww_cap_watch_impl *impl, struct ww_cap *from)
{
    struct ww_cap *at = ww_rpc_cap_known(from), *was = impl->at;
    if (!at || !ww_rpc_cap_is_open(at)) {
        ww_rpc_task_push(impl->cap->vat, &impl->task);
        return 0;
    }
    at = at->kind == CAP_IMPORT ? ww_rpc_import_promise(at) : ww_cap_ref(at);
    if (!at)
        return WW_ENOMEM;
    ww_rpc_promise_watch(at, &impl->waiter);
    impl->at = at;
    ww_cap_unref(was);
    return 0;
}

static void watch_follow(struct ww_rpc_waiter *waiter, struct ww_cap *promise)
{
    struct ww_cap_watch_impl *impl = WW_CONTAINER_OF(waiter, struct ww_cap_watch_impl, waiter);
    if (watch_next(impl, promise) < 0) /* without memory somebody is told too early rather than never */
        ww_rpc_task_push(impl->cap->vat, &impl->task);
}

ww_err ww_cap_watch_start(struct ww_cap_watch *watch, struct ww_cap *cap)
{
    if (!cap)
        return WW_EINVAL;
    struct ww_cap_watch_impl *impl = WW_NEW(struct ww_cap_watch_impl);
    if (!impl)
        return WW_ENOMEM;
    ww_list_init(&impl->waiter.node);
    ww_list_init(&impl->task.node);
    impl->waiter.resolved = watch_follow;
    impl->task.run = watch_fire;
    impl->watch = watch;
    impl->cap = ww_cap_ref(cap);
    impl->at = NULL;
    watch->impl = impl;
    ww_err err = watch_next(impl, cap);
    if (err < 0)
        ww_cap_watch_stop(watch);
    return err;
}

void ww_cap_watch_stop(struct ww_cap_watch *watch)
{
    struct ww_cap_watch_impl *impl = watch->impl;
    if (!impl)
        return;
    watch->impl = NULL;
    ww_list_remove(&impl->waiter.node);
    ww_list_remove(&impl->task.node);
    struct ww_cap *cap = impl->cap, *at = impl->at;
    ww_free(impl);
    ww_cap_unref(at);
    ww_cap_unref(cap);
}
