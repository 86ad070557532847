/* Embargoes: when a promise turns out to lead back here, calls on the short way wait for those still on the
 * long one. */
#include "rpc/internal.h"

static void disembargo_send(struct ww_rpc_conn *conn, struct ww_cap *raw, uint16_t context, uint32_t id)
{
    struct ww_sb sb = ww_pb_init_struct(ww_sb_ptr(ww_rpc_out_begin(conn, WW_RPC_DISEMBARGO), 0), 1, 2);
    ww_sb_set_u32(sb, 0, id);
    ww_sb_set_u16(sb, 2, context);
    ww_rpc_target_write(ww_pb_init_struct(ww_sb_ptr(sb, 0), 1, 1), raw);
    ww_rpc_out_end(conn);
}

struct ww_cap *ww_rpc_embargo_begin(struct ww_rpc_conn *conn, struct ww_cap *p, struct ww_cap *to)
{
    uint32_t id;
    struct ww_cap *embargo = ww_rpc_promise_new(conn->vat, NULL);
    ww_err err = embargo ? ww_rpc_embargo_add(conn, embargo, to, &id) : WW_ENOMEM;
    if (err < 0) {
        ww_cap_unref(embargo);
        ww_rpc_conn_fail(conn, err, "too many embargoes", true);
        return NULL;
    }
    disembargo_send(conn, p->promise.via, 0, id);
    return embargo;
}

static ww_err embargo_lift(struct ww_rpc_conn *conn, uint32_t id)
{
    struct ww_rpc_embargo *embargo = ww_rpc_slots_get(&conn->embargoes, id);
    if (!embargo)
        return WW_EPROTO;
    ww_rpc_slots_remove(&conn->embargoes, id);
    ww_rpc_promise_resolve(embargo->promise, embargo->target);
    ww_cap_unref(embargo->promise);
    ww_cap_unref(embargo->target);
    ww_free(embargo);
    return 0;
}

static ww_err echo_new(struct ww_rpc_conn *conn, uint32_t id, struct ww_rpc_call **ret_echo)
{
    if (conn->echo_count >= conn->vat->limits.embargoes)
        return WW_ELIMIT;
    WW_TRY(ww_budget_charge(conn->budget, WW_RES_BYTES, sizeof(struct ww_rpc_request)));
    struct ww_rpc_call *echo = ww_rpc_call_alloc(conn->vat);
    if (!echo) {
        ww_budget_release(conn->budget, WW_RES_BYTES, sizeof(struct ww_rpc_request));
        return WW_ENOMEM;
    }
    echo->sink = SINK_DISEMBARGO;
    echo->disembargo = id;
    echo->a.conn = conn;
    conn->echo_count++;
    ww_list_push_back(&conn->echoes, &echo->cancel_task.node);
    *ret_echo = echo;
    return 0;
}

/* The answer takes its turn behind the calls that wait in `p`. */
static ww_err echo_enqueue(struct ww_rpc_conn *conn, uint32_t id, struct ww_cap *p)
{
    struct ww_rpc_call *echo;
    WW_TRY(echo_new(conn, id, &echo));
    echo->state = CALL_QUEUED;
    echo->queued_in = p;
    ww_list_push_back(&p->promise.queue, &echo->task.node);
    p->promise.queued++;
    return 0;
}

ww_err ww_rpc_disembargo_target(struct ww_rpc_conn *conn, uint32_t embargo_id, struct ww_cap *target)
{
    while (target->kind == CAP_PROMISE) {
        struct ww_cap *next = target->promise.to ? target->promise.to : target->promise.via;
        if (!next || (target->flags & CAP_KICKED))
            return echo_enqueue(conn, embargo_id, target);
        target = next;
    }
    if (ww_rpc_cap_conn(target) != conn)
        return WW_EPROTO;
    disembargo_send(conn, target, 1, embargo_id);
    return 0;
}

void ww_rpc_disembargo_free(struct ww_rpc_call *echo)
{
    if (echo->a.conn) {
        echo->a.conn->echo_count--;
        ww_budget_release(echo->a.conn->budget, WW_RES_BYTES, sizeof(struct ww_rpc_request));
    }
    echo->a.conn = NULL;
    ww_list_remove(&echo->cancel_task.node);
    ww_rpc_call_unref(echo);
}

void ww_rpc_disembargo_arrived(struct ww_rpc_call *echo, struct ww_cap *cap)
{
    struct ww_rpc_conn *conn = echo->a.conn;
    uint32_t id = echo->disembargo;
    ww_rpc_disembargo_free(echo);
    if (!conn)
        return;
    ww_err err = ww_rpc_disembargo_target(conn, id, cap);
    if (err < 0)
        ww_rpc_conn_fail(conn, err, "Disembargo of a capability that does not lead back to its sender", true);
}

static ww_err target_read(struct ww_rpc_conn *conn, struct ww_sr target, struct ww_cap **ret_cap)
{
    if (ww_sr_u16(target, 2) == 0) {
        struct ww_rpc_export *e = ww_rpc_slots_get(&conn->exports, ww_sr_u32(target, 0));
        if (!e)
            return WW_EPROTO;
        *ret_cap = ww_cap_ref(e->cap);
        return 0;
    }
    if (ww_sr_u16(target, 2) != 1)
        return WW_EPROTO;
    uint16_t path[256];
    size_t len;
    struct ww_sr promised = ww_pr_struct(ww_sr_ptr(target, 0));
    WW_TRY(ww_rpc_transform_read(conn, promised, path, &len));
    struct ww_rpc_call *answer = ww_rpc_idmap_get(&conn->answers, ww_sr_u32(promised, 0));
    return answer ? ww_rpc_call_pipe(answer, path, len, ret_cap) : WW_EPROTO;
}

/* Behind calls that are held back: they came first. */
static ww_err disembargo_hold(struct ww_rpc_conn *conn, uint32_t id, bool lift, struct ww_cap *target)
{
    struct ww_rpc_call *held;
    WW_TRY(echo_new(conn, id, &held));
    held->lift = lift;
    ww_rpc_held_add(conn, held, target);
    return 0;
}

void ww_rpc_disembargo_go(struct ww_rpc_call *call)
{
    struct ww_rpc_conn *conn = call->a.conn;
    struct ww_cap *target = ww_cap_ref(call->target);
    uint32_t id = call->disembargo;
    bool lift = call->lift;
    ww_rpc_disembargo_free(call);
    ww_err err = lift ? embargo_lift(conn, id) : ww_rpc_disembargo_target(conn, id, target);
    if (err < 0)
        ww_rpc_conn_fail(conn, err, "protocol violation", true);
    ww_cap_unref(target);
}

ww_err ww_rpc_recv_disembargo(struct ww_rpc_conn *conn, struct ww_sr msg)
{
    uint32_t id = ww_sr_u32(msg, 0);
    uint16_t context = ww_sr_u16(msg, 2);
    if (context == 1 && !ww_list_empty(&conn->held))
        return disembargo_hold(conn, id, true, NULL);
    if (context == 1)
        return embargo_lift(conn, id);
    if (context != 0)
        return WW_EUNSUPPORTED;
    struct ww_cap *target;
    WW_TRY(target_read(conn, ww_pr_struct(ww_sr_ptr(msg, 0)), &target));
    ww_err err = ww_list_empty(&conn->held) ? ww_rpc_disembargo_target(conn, id, target)
                                            : disembargo_hold(conn, id, false, target);
    ww_cap_unref(target);
    return err;
}

/* Who has the import itself, because it was described to the peer, must learn of an error all the same. */
static void import_settled(struct ww_cap *raw, struct ww_cap *to)
{
    struct ww_cap *inner = ww_rpc_cap_inner(to);
    if (inner && (inner->kind == CAP_BROKEN || inner->kind == CAP_PROMISE))
        raw->import.to = ww_cap_ref(to);
}

ww_err ww_rpc_recv_resolve(struct ww_rpc_conn *conn, struct ww_sr msg)
{
    struct ww_cap *to;
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(msg, 0));
    switch (ww_sr_u16(msg, 2)) {
    case 0:
        if (ww_sr_u16(body, 0) == WW_RPC_DESC_NONE)
            return WW_EPROTO;
        WW_TRY(ww_rpc_desc_read(conn, body, &to));
        break;
    case 1: {
        struct ww_rpc_exc *exc = ww_rpc_exc_read(conn->vat, body);
        to = ww_rpc_broken_new(conn->vat, exc);
        if (!to)
            return WW_ENOMEM;
        break;
    }
    default:
        return WW_EUNSUPPORTED;
    }
    struct ww_cap *raw = ww_rpc_idmap_get(&conn->imports, ww_sr_u32(msg, 0));
    ww_err err = 0;
    if (raw && !raw->import.promise) {
        err = WW_EPROTO;
    } else if (raw && !(raw->flags & CAP_SETTLED_)) {
        raw->flags |= CAP_SETTLED_;
        import_settled(raw, to);
        if (raw->import.wrapper)
            ww_rpc_promise_resolve(raw->import.wrapper, to);
    }
    ww_cap_unref(to);
    return err;
}
