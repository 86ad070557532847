/* Calls that came while we hold too much for their peer: they wait, in order, and so does everything whose
 * place in the order of calls matters. */
#include "rpc/internal.h"

/* Has the peer more results to read than it may leave lying? */
static bool out_full(const struct ww_rpc_conn *conn)
{
    return conn->out_bytes > conn->vat->limits.outbound_bytes;
}

/* Is there more on our hands than a peer may put there? What is held back does not count: it is what waits
 * for this to end. */
static bool congested(const struct ww_rpc_conn *conn)
{
    const struct ww_rpc_limits *limits = &conn->vat->limits;
    return conn->inbound_bytes - conn->calls_held_bytes > limits->inbound_bytes || out_full(conn);
}

bool ww_rpc_held_wanted(const struct ww_rpc_conn *conn)
{
    return !ww_list_empty(&conn->held) || !ww_list_empty(&conn->late) || congested(conn);
}

void ww_rpc_held_add(struct ww_rpc_conn *conn, struct ww_rpc_call *call, struct ww_cap *target)
{
    call->state = CALL_HELD;
    call->target = ww_cap_ref(target);
    conn->calls_held_bytes += call->a.bytes;
    ww_list_push_back(&conn->held, &call->task.node);
    ww_rpc_held_check(conn);
}

bool ww_rpc_held_late(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    if (!conn || !conn->open || (ww_list_empty(&conn->late) && !out_full(conn)))
        return false;
    call->state = CALL_HELD;
    conn->calls_held_bytes += call->a.bytes;
    ww_list_push_back(&conn->late, &call->task.node);
    ww_rpc_held_check(conn);
    return true;
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
    struct ww_rpc_call *late = NULL;
    if (conn->open && !ww_list_empty(&conn->late) && !out_full(conn)) {
        late = WW_LIST_ENTRY(conn->late.next, struct ww_rpc_call, task.node);
        ww_rpc_held_remove(late);
        late->state = CALL_READY;
    }
    while (conn->open && ww_list_empty(&conn->late) && !ww_list_empty(&conn->held) && !congested(conn))
        held_go(WW_LIST_ENTRY(conn->held.next, struct ww_rpc_call, task.node));
    ww_rpc_held_check(conn);
    ww_rpc_leave(vat);
    if (late) /* one at a time: its results may fill the queue again */
        ww_rpc_local_arrived(late->target, late);
}

void ww_rpc_held_check(struct ww_rpc_conn *conn)
{
    if (!conn->open || !ww_list_empty(&conn->held_task.node))
        return;
    if (ww_list_empty(&conn->late) ? ww_list_empty(&conn->held) || congested(conn) : out_full(conn))
        return;
    conn->held_task.run = held_run;
    ww_rpc_task_push(conn->vat, &conn->held_task);
}

/* The connection is gone; its answers are taken down elsewhere. */
void ww_rpc_held_drop(struct ww_rpc_conn *conn)
{
    ww_list_remove(&conn->held_task.node);
    while (!ww_list_empty(&conn->late) || !ww_list_empty(&conn->held)) {
        struct ww_list *first = ww_list_empty(&conn->late) ? conn->held.next : conn->late.next;
        struct ww_rpc_call *call = WW_LIST_ENTRY(first, struct ww_rpc_call, task.node);
        ww_rpc_held_remove(call);
        if (call->sink == SINK_DISEMBARGO)
            ww_rpc_disembargo_free(call);
        else
            ww_rpc_call_fail_later(call, ww_rpc_exc_ref(conn->close_exc));
    }
}
