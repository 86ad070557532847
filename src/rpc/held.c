/* Calls that came while we hold too much for their peer: they wait, in order, and so does everything whose
 * place in the order of calls matters. */
#include "rpc/internal.h"

/* Is there more on our hands than a peer may put there? What is held back does not count: it is what waits
 * for this to end. */
static bool congested(const struct ww_rpc_conn *conn)
{
    const struct ww_rpc_limits *limits = &conn->vat->limits;
    return conn->inbound_bytes - conn->calls_held_bytes > limits->inbound_bytes ||
        conn->out_bytes > limits->outbound_bytes;
}

bool ww_rpc_held_wanted(const struct ww_rpc_conn *conn)
{
    return !ww_list_empty(&conn->held) || congested(conn);
}

void ww_rpc_held_add(struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_cap *target)
{
    call->state = CALL_HELD;
    call->target = ww_cap_ref(target);
    conn->calls_held_bytes += call->a.bytes;
    ww_list_push_back(&conn->held, &call->task.node);
    ww_rpc_held_check(conn);
}

void ww_rpc_held_remove(struct ww_rpc_call *call)
{
    ww_list_remove(&call->task.node);
    if (call->a.conn)
        call->a.conn->calls_held_bytes -= call->a.bytes;
    call->state = CALL_RUNNING;
}

static void held_go(struct ww_rpc_call *call)
{
    ww_rpc_held_remove(call);
    if (call->sink == SINK_DISEMBARGO) {
        ww_rpc_disembargo_go(call);
        return;
    }
    struct ww_cap *target = call->target;
    call->target = NULL;
    ww_rpc_route(call, target);
    ww_cap_unref(target);
}

static void held_run(struct ww_rpc_task *task)
{
    struct ww_rpc_conn *conn = WW_CONTAINER_OF(task, struct ww_rpc_conn, held_task);
    struct ww_rpc_vat *vat = conn->vat;
    ww_rpc_enter(vat);
    while (conn->open && !ww_list_empty(&conn->held) && !congested(conn))
        held_go(WW_LIST_ENTRY(conn->held.next, struct ww_rpc_call, task.node));
    ww_rpc_leave(vat);
}

void ww_rpc_held_check(struct ww_rpc_conn *conn)
{
    if (ww_list_empty(&conn->held) || !conn->open || congested(conn) || !ww_list_empty(&conn->held_task.node))
        return;
    conn->held_task.run = held_run;
    ww_rpc_task_push(conn->vat, &conn->held_task);
}

/* The connection is gone; its answers are taken down elsewhere. */
void ww_rpc_held_drop(struct ww_rpc_conn *conn)
{
    ww_list_remove(&conn->held_task.node);
    while (!ww_list_empty(&conn->held)) {
        struct ww_rpc_call *call = WW_LIST_ENTRY(conn->held.next, struct ww_rpc_call, task.node);
        ww_rpc_held_remove(call);
        if (call->sink == SINK_DISEMBARGO)
            ww_rpc_disembargo_free(call);
        else
            ww_rpc_call_fail_later(call, ww_rpc_exc_ref(conn->close_exc));
    }
}
