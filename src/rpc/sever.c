/* Calls that end before those who work on them do: a membrane was revoked. What the caller sees and what the
 * handler holds is one record, so it lives on, done and with an exception, until the handler completes it. */
#include "rpc/internal.h"

/* The handler reads the parameters and may have begun the results: both stay for it. */
static void sever_running(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    ww_rpc_call_cancel(call); /* the handler is told */
    call->canceled = true;
    ww_rpc_crossings_drop(call);
    ww_rpc_exc_unref(call->exc);
    call->exc = ww_rpc_exc_ref(exc);
    call->state = CALL_DONE;
    call->severed = true;
    (void)ww_rpc_call_ref(call);
    ww_rpc_call_tell(call);
}

static void sever_forwarded(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    struct ww_rpc_call *child = call->child;
    call->child = NULL;
    ww_rpc_call_fail_now(call, ww_rpc_exc_ref(exc));
    if (child) {
        child->parent = NULL;
        ww_rpc_call_cancel(child);
        ww_rpc_call_unref(call);
    }
}

void ww_rpc_call_sever(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    (void)ww_rpc_call_ref(call);
    call->abandoned = true;
    if (call->state == CALL_RUNNING)
        sever_running(call, exc);
    else if (call->state == CALL_FORWARDED)
        sever_forwarded(call, exc);
    else
        ww_rpc_call_cancel(call);
    ww_rpc_call_unref(call);
    ww_rpc_leave(vat);
}

void ww_rpc_call_let_go(struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    struct ww_rpc_vat *vat = call->vat;
    ww_rpc_enter(vat);
    call->severed = false;
    call->on_cancel = NULL;
    ww_list_remove(&call->cancel_task.node);
    ww_rpc_call_drop_params(call);
    if (call->target && call->target->kind == CAP_SERVER)
        ww_rpc_local_completed(call->target, call, exc);
    ww_cap_unref(call->target);
    call->target = NULL;
    if (exc)
        ww_rpc_exc_unref(exc);
    ww_rpc_call_unref(call);
    ww_rpc_leave(vat);
}
