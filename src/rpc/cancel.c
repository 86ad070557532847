/* Calls that nobody waits for any more. */
#include "rpc/internal.h"

static void cancel_told(struct ww_rpc_task *task)
{
    struct ww_rpc_call *call = WW_CONTAINER_OF(task, struct ww_rpc_call, cancel_task);
    struct ww_rpc_cancel *cancel = call->on_cancel;
    call->on_cancel = NULL;
    if (cancel && !call->vat->freed)
        cancel->canceled(cancel, call);
}

static void cancel_tell(struct ww_rpc_call *call)
{
    if (!call->on_cancel || call->cancel_told)
        return;
    call->cancel_told = true;
    call->cancel_task.run = cancel_told;
    ww_rpc_task_push(call->vat, &call->cancel_task);
}

/* Looked at when the outermost public function leaves, not here: the end of one call can be the end of what
 * it waited for, or had among its parameters, and so on as far as a peer likes. */
void ww_rpc_call_abandoned(struct ww_rpc_call *call)
{
    if (call->refs == 0 || (call->state == CALL_DONE && !call->q.conn) || !ww_list_empty(&call->idle_node))
        return;
    ww_list_push_back(&call->vat->idle, &ww_rpc_call_ref(call)->idle_node);
}

void ww_rpc_call_idle(struct ww_rpc_call *call)
{
    if (call->q.conn)
        ww_rpc_question_check(call);
    else if (!call->interest && !ww_rpc_pipes_live(call))
        ww_rpc_call_cancel(call);
    ww_rpc_call_unref(call);
}

void ww_rpc_call_on_cancel(struct ww_rpc_call *call, struct ww_rpc_cancel *cancel)
{
    call->on_cancel = cancel;
    if (call->canceled)
        cancel_tell(call);
}

static struct ww_rpc_exc *canceled_exc(struct ww_rpc_vat *vat)
{
    return ww_rpc_exc_new(vat, WW_ECANCELED, WW_BYTES_LIT("call was canceled"));
}

/* A call goes on while its results are in use, be it in the parameters of another. What no handler has seen
 * need not be seen any more, unless the peer counts on it (rpc.capnp,
 * Finish.requireEarlyCancellationWorkaround). Returns whose turn it is then. */
static struct ww_rpc_call *cancel_one(struct ww_rpc_call *call)
{
    if (call->state == CALL_DONE || call->state == CALL_NEW)
        return NULL;
    call->interest = false;
    if (call->state != CALL_SENT && !call->abandoned && ww_rpc_pipes_live(call))
        return NULL;
    call->canceled = true;
    switch ((enum ww_rpc_call_state)call->state) {
    case CALL_QUEUED:
        ww_list_remove(&call->task.node);
        ww_rpc_call_unqueue(call);
        if (call->queued_in->flags & CAP_MEMO && call->queued_in->refs == 1)
            ww_rpc_call_abandoned(call->queued_in->promise.owner); /* it may have been the last that waited */
        ww_rpc_call_fail_now(call, canceled_exc(call->vat));
        break;
    case CALL_HELD:
        ww_rpc_held_remove(call);
        ww_rpc_call_fail_now(call, canceled_exc(call->vat));
        break;
    case CALL_READY:
        if (call->stays || call->task.run != ww_rpc_local_deliver)
            break;
        ww_list_remove(&call->task.node);
        ww_rpc_call_fail_now(call, canceled_exc(call->vat));
        break;
    case CALL_RUNNING:
        cancel_tell(call);
        break;
    case CALL_SENT:
        ww_rpc_question_check(call);
        break;
    case CALL_FORWARDED:
        return call->child;
    default:
        break;
    }
    return NULL;
}

void ww_rpc_call_cancel(struct ww_rpc_call *call)
{
    while (call)
        call = cancel_one(call);
}
