/* Objects of this vat: delivery in order, and the rule of streaming calls. */
#include "rpc/internal.h"

static void dispatch(struct ww_cap *cap, struct ww_rpc_call *call)
{
    call->state = CALL_RUNNING;
    cap->local.server->ops->dispatch(cap->local.server, call);
}

/* One call from the run queue or the object's own. */
static void deliver(struct ww_cap *cap, struct ww_rpc_call *call)
{
    if (cap->vat->freed)
        ww_rpc_call_fail_now(call, ww_rpc_exc_ref(cap->vat->exc_dropped));
    else if (cap->local.broken)
        ww_rpc_call_fail_now(call, ww_rpc_exc_ref(cap->local.broken));
    else
        dispatch(cap, call);
}

void ww_rpc_local_arrived(struct ww_cap *cap, struct ww_rpc_call *call)
{
    if (cap->local.busy || !ww_list_empty(&cap->local.queue))
        ww_list_push_back(&cap->local.queue, &call->task.node);
    else
        deliver(cap, call);
}

void ww_rpc_local_deliver(struct ww_rpc_task *task)
{
    struct ww_rpc_call *call = WW_CONTAINER_OF(task, struct ww_rpc_call, task);
    if (!ww_rpc_held_late(call))
        ww_rpc_local_arrived(call->target, call);
}

static void queue_drain(struct ww_rpc_task *task)
{
    struct ww_cap *cap = WW_CONTAINER_OF(task, struct ww_cap, local.task);
    struct ww_list *node;
    while (!cap->local.busy && (node = ww_list_pop_front(&cap->local.queue)))
        deliver(cap, WW_LIST_ENTRY(node, struct ww_rpc_call, task.node));
    ww_cap_unref(cap);
}

void ww_rpc_local_completed(struct ww_cap *cap, struct ww_rpc_call *call, struct ww_rpc_exc *exc)
{
    if (cap->local.busy != call)
        return;
    cap->local.busy = NULL;
    if (exc && !cap->local.broken)
        cap->local.broken = ww_rpc_exc_ref(exc);
    if (ww_list_empty(&cap->local.queue) || !ww_list_empty(&cap->local.task.node))
        return;
    (void)ww_cap_ref(cap);
    cap->local.task.run = queue_drain;
    ww_rpc_task_push(cap->vat, &cap->local.task);
}

static void server_drop(struct ww_rpc_task *task)
{
    struct ww_cap *cap = WW_CONTAINER_OF(task, struct ww_cap, local.task);
    struct ww_rpc_server *server = cap->local.server;
    struct ww_rpc_vat *vat = ww_rpc_vat_ref(cap->vat);
    ww_rpc_enter(vat);
    ww_rpc_cap_destroy(cap);
    ww_rpc_leave(vat);
    if (server->ops->drop)
        server->ops->drop(server);
    ww_rpc_vat_unref(vat);
}

/* A freed vat has no queue any more: the object is told at once. */
void ww_rpc_local_drop(struct ww_cap *cap)
{
    cap->flags |= CAP_DROPPING;
    cap->local.task.run = server_drop;
    if (cap->vat->freed)
        server_drop(&cap->local.task);
    else
        ww_rpc_task_push(cap->vat, &cap->local.task);
}
