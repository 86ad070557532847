/* Bytes that come: cut into messages, each given to its function. */
#include "rpc/internal.h"

static void unimplemented_send(struct ww_rpc_conn *conn, struct ww_sr root)
{
    struct ww_sb msg = ww_rpc_out_begin(conn, WW_RPC_UNIMPLEMENTED);
    ww_pb_set_struct(ww_sb_ptr(msg, 0), root);
    ww_rpc_out_end(conn);
}

static ww_err recv_message(struct ww_rpc_conn *conn, struct ww_sr root, struct ww_bytes frame)
{
    struct ww_sr body = ww_pr_struct(ww_sr_ptr(root, 0));
    switch (ww_sr_u16(root, 0)) {
    case WW_RPC_UNIMPLEMENTED:
        return ww_rpc_recv_unimplemented(conn, body);
    case WW_RPC_ABORT:
        return ww_rpc_recv_abort(conn, body);
    case WW_RPC_CALL:
        return ww_rpc_recv_call(conn, body, frame);
    case WW_RPC_RETURN:
        return ww_rpc_recv_return(conn, body, frame);
    case WW_RPC_FINISH:
        return ww_rpc_recv_finish(conn, body);
    case WW_RPC_RESOLVE:
        return ww_rpc_recv_resolve(conn, body);
    case WW_RPC_RELEASE:
        return ww_rpc_export_release(conn, ww_sr_u32(body, 0), ww_sr_u32(body, 1));
    case WW_RPC_BOOTSTRAP:
        return ww_rpc_recv_bootstrap(conn, body);
    case WW_RPC_DISEMBARGO:
        return ww_rpc_recv_disembargo(conn, body);
    default:
        return WW_EUNSUPPORTED;
    }
}

static ww_err recv_frame(struct ww_rpc_conn *conn, struct ww_bytes frame)
{
    struct ww_msg *m = &conn->scratch_in;
    WW_TRY(ww_msg_open(m, frame, &conn->msg_limits));
    struct ww_sr root = ww_pr_struct(ww_msg_root(m));
    WW_TRY(ww_msg_err(m));
    ww_err err = recv_message(conn, root, frame);
    if (err == WW_EUNSUPPORTED) {
        unimplemented_send(conn, root);
        err = 0;
    }
    return err < 0 ? err : ww_msg_err(m);
}

static const char *fault_text(ww_err err)
{
    switch (err) {
    case WW_EPROTO:
        return "protocol violation";
    case WW_ELIMIT:
        return "over a limit of this connection";
    default:
        return ww_err_text(err);
    }
}

/* What is held of a message that has not come whole. */
static ww_err in_charge(struct ww_rpc_conn *conn)
{
    uint64_t now = conn->in.capacity;
    if (now > conn->in_charged)
        WW_TRY(ww_budget_charge(conn->budget, WW_RES_BYTES, now - conn->in_charged));
    else
        ww_budget_release(conn->budget, WW_RES_BYTES, conn->in_charged - now);
    conn->in_charged = now;
    return 0;
}

static void scratch_drop(struct ww_rpc_conn *conn)
{
    if (conn->scratch_in.cap_count)
        ww_msg_reset(&conn->scratch_in);
}

/* The memory of a large message that was put together here goes with it; others are copied out of the chunk
 * that they came in. */
ww_err ww_rpc_msg_keep(struct ww_rpc_conn *conn, struct ww_msg *m, struct ww_bytes frame)
{
    if (frame.ptr != conn->in.mem || frame.len < WW_RPC_BIG_BYTES) {
        ww_rpc_msg_reserve(conn->vat, m, frame.len);
        return ww_msg_open_copy(m, frame, &conn->msg_limits);
    }
    size_t bytes;
    uint8_t *mem = ww_frame_in_take(&conn->in, &bytes);
    ww_budget_release(conn->budget, WW_RES_BYTES, conn->in_charged);
    conn->in_charged = 0;
    return ww_msg_open_take(m, mem, bytes, &conn->msg_limits);
}

ww_err ww_rpc_conn_feed(struct ww_rpc_conn *conn, struct ww_bytes data)
{
    struct ww_rpc_vat *vat = conn->vat;
    ww_err err = 0;
    while (conn->open) {
        struct ww_bytes frame;
        ww_rpc_in_reserve(conn, data);
        err = ww_frame_in_feed(&conn->in, &data, &frame);
        if (err == WW_EAGAIN) {
            if (ww_frame_in_idle(&conn->in))
                ww_rpc_in_trim(conn); /* the next chunk may be long in coming */
            err = in_charge(conn);
            if (err == 0)
                break;
        }
        ww_rpc_enter(vat);
        if (err == 0)
            err = recv_frame(conn, frame);
        scratch_drop(conn);
        if (err < 0)
            ww_rpc_conn_fail(conn, err, fault_text(err), true);
        ww_rpc_leave(vat);
    }
    return conn->open ? err : conn->close_err;
}

/* One buffer for all connections of the vat: an idle one costs none. */
static ww_err shared_buffer(struct ww_rpc_vat *vat)
{
    if (!vat->read_buffer)
        vat->read_buffer = ww_alloc(WW_RPC_READ_BYTES);
    return vat->read_buffer ? 0 : WW_ENOMEM;
}

ww_err ww_rpc_conn_rbuf(struct ww_rpc_conn *conn, uint8_t **ret_at, size_t *ret_len)
{
    if (!conn->open)
        return conn->close_err;
    conn->in_direct = ww_frame_in_room(&conn->in, ret_at, ret_len);
    if (conn->in_direct) {
        ww_err err = in_charge(conn);
        if (err < 0)
            ww_rpc_conn_fail(conn, err, fault_text(err), true);
        return err;
    }
    WW_TRY(shared_buffer(conn->vat));
    *ret_at = conn->vat->read_buffer;
    *ret_len = WW_RPC_READ_BYTES;
    return 0;
}

ww_err ww_rpc_conn_fed(struct ww_rpc_conn *conn, size_t n)
{
    if (!conn->open)
        return conn->close_err;
    if (!conn->in_direct)
        return ww_rpc_conn_feed(conn, ww_bytes(conn->vat->read_buffer, n));
    conn->in_direct = false;
    ww_frame_in_fill(&conn->in, n);
    return ww_rpc_conn_feed(conn, (struct ww_bytes){0});
}
