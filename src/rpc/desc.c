/* Capability descriptors, both ways, and the two ways to name a target. */
#include "rpc/internal.h"

static void transform_write(struct ww_sb promised, const struct ww_rpc_pipe *pipe)
{
    if (pipe->len == 0)
        return;
    struct ww_lb ops = ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, pipe->len);
    for (uint32_t i = 0; i < pipe->len; i++) {
        struct ww_sb op = ww_lb_struct(ops, i);
        ww_sb_set_u16(op, 0, 1);
        ww_sb_set_u16(op, 1, pipe->path[i]);
    }
}

static void promised_write(struct ww_pb at, const struct ww_cap *raw)
{
    struct ww_sb promised = ww_pb_init_struct(at, 1, 1);
    ww_sb_set_u32(promised, 0, raw->pipe.call->q.id);
    transform_write(promised, raw->pipe.pipe);
}

void ww_rpc_target_write(struct ww_sb target, struct ww_cap *raw)
{
    if (raw->kind == CAP_IMPORT) {
        ww_sb_set_u32(target, 0, raw->import.id);
        return;
    }
    ww_sb_set_u16(target, 2, 1);
    promised_write(ww_sb_ptr(target, 0), raw);
}

static ww_err sender_write(
    struct ww_rpc_conn *conn, struct ww_sb desc, struct ww_cap *cap, bool promise, struct ww_rpc_ids *ids)
{
    bool broken = cap->kind == CAP_BROKEN;
    uint32_t id;
    WW_TRY(ww_rpc_export_add(conn, cap, promise, !broken, &id));
    ww_err err = ids ? ww_rpc_ids_add(ids, id) : 0;
    if (err == 0 && broken)
        err = ww_rpc_ids_add(&conn->broken_exports, id);
    if (err < 0) {
        if (ids && ids->count && ids->at[ids->count - 1] == id)
            ids->count--;
        WW_TRY(ww_rpc_export_release(conn, id, 1));
        return err;
    }
    ww_sb_set_u16(desc, 0, promise ? WW_RPC_DESC_SENDER_PROMISE : WW_RPC_DESC_SENDER_HOSTED);
    ww_sb_set_u32(desc, 1, id);
    return 0;
}

/* Names the capability by the shortest way, and says which node that was (a new reference): whoever relies on
 * the description must be served by that very node from then on. */
ww_err ww_rpc_desc_write(struct ww_rpc_conn *conn, struct ww_sb desc, struct ww_cap *cap,
    struct ww_rpc_ids *ids, struct ww_cap **ret_described)
{
    struct ww_cap *inner = ww_rpc_cap_inner(cap);
    if (!inner || (inner->kind == CAP_BROKEN && (inner->flags & CAP_NULL_))) {
        *ret_described = ww_cap_ref(inner);
        return 0;
    }
    struct ww_cap *described = inner;
    ww_err err = 0;
    if (ww_rpc_cap_conn(inner) == conn) {
        if (inner->kind == CAP_PROMISE) {
            described = inner->promise.via;
            inner->flags |= CAP_CALLS_SENT;
        }
        if (described->kind == CAP_IMPORT) {
            ww_sb_set_u16(desc, 0, WW_RPC_DESC_RECEIVER_HOSTED);
            ww_sb_set_u32(desc, 1, described->import.id);
        } else {
            ww_sb_set_u16(desc, 0, WW_RPC_DESC_RECEIVER_ANSWER);
            promised_write(ww_sb_ptr(desc, 0), described);
        }
    } else {
        bool promise = inner->kind == CAP_PROMISE || inner->kind == CAP_BROKEN;
        err = sender_write(conn, desc, inner, promise, ids);
    }
    if (err == 0)
        *ret_described = ww_cap_ref(described);
    return err;
}

/* Keeps the mark of a capability that came back to us through the peer. */
static struct ww_cap *pinned(struct ww_cap *cap, struct ww_cap *described)
{
    if (cap->kind != CAP_PROMISE || !(cap->flags & CAP_LOOPED) || !described)
        return described;
    struct ww_cap *mark = ww_rpc_promise_new(cap->vat, NULL);
    if (!mark)
        return described;
    mark->flags |= CAP_LOOPED;
    mark->promise.to = described;
    return mark;
}

static ww_err caps_write(
    struct ww_rpc_conn *conn, struct ww_lb list, struct ww_msg *msg, struct ww_rpc_ids *ids, bool pin)
{
    for (uint32_t i = 0; i < msg->cap_count; i++) {
        struct ww_cap *cap = msg->caps[i], *described = NULL;
        if (!cap)
            continue;
        WW_TRY(ww_rpc_desc_write(conn, ww_lb_struct(list, i), cap, ids, &described));
        if (pin) {
            msg->caps[i] = pinned(cap, described);
            ww_cap_unref(cap);
        } else {
            ww_cap_unref(described);
        }
    }
    return 0;
}

ww_err ww_rpc_caps_write(
    struct ww_rpc_conn *conn, struct ww_sb payload, struct ww_msg *msg, struct ww_rpc_ids *ids, bool pin)
{
    if (msg->cap_count == 0)
        return 0;
    if (msg->cap_count > conn->vat->limits.cap_table)
        return WW_ELIMIT;
    struct ww_lb list = ww_pb_init_structs(ww_sb_ptr(payload, 1), 1, 1, msg->cap_count);
    ww_err err = ww_msg_err(msg);
    if (err == 0)
        err = caps_write(conn, list, msg, ids, pin);
    if (err == 0)
        err = ww_msg_err(msg);
    if (err < 0) {
        conn->broken_exports.count = 0;
        ww_rpc_exports_release(conn, ids);
    }
    return err;
}

static void broken_resolve(struct ww_rpc_conn *conn, uint32_t id)
{
    struct ww_rpc_export *e = ww_rpc_slots_get(&conn->exports, id);
    if (!e || e->cap->kind != CAP_BROKEN)
        return;
    struct ww_sb resolve = ww_pb_init_struct(ww_sb_ptr(ww_rpc_out_begin(conn, WW_RPC_RESOLVE), 0), 1, 1);
    ww_sb_set_u32(resolve, 0, id);
    ww_sb_set_u16(resolve, 2, 1);
    ww_rpc_out_exception(ww_sb_ptr(resolve, 0), e->cap->exc);
    e->promise = false;
    ww_rpc_out_end(conn);
}

void ww_rpc_caps_written(struct ww_rpc_conn *conn)
{
    for (uint32_t i = 0; i < conn->broken_exports.count && conn->open; i++)
        broken_resolve(conn, conn->broken_exports.at[i]);
    conn->broken_exports.count = 0;
}

ww_err ww_rpc_transform_read(
    struct ww_rpc_conn *conn, struct ww_sr promised, uint16_t *ret_path, size_t *ret_len)
{
    struct ww_lr ops = ww_pr_list(ww_sr_ptr(promised, 0), WW_ELEM_STRUCT);
    if (ops.count > conn->vat->limits.transform_ops)
        return WW_ELIMIT;
    size_t n = 0;
    for (uint32_t i = 0; i < ops.count; i++) {
        struct ww_sr op = ww_lr_struct(ops, i);
        uint16_t tag = ww_sr_u16(op, 0);
        if (tag == 1)
            ret_path[n++] = ww_sr_u16(op, 1);
        else if (tag != 0)
            return WW_EPROTO;
    }
    *ret_len = n;
    return 0;
}

static ww_err broken_read(struct ww_rpc_conn *conn, const char *text, struct ww_cap **ret_cap)
{
    struct ww_rpc_exc *exc = ww_rpc_exc_new(conn->vat, WW_EFAILED, ww_bytes_str(text));
    *ret_cap = ww_rpc_broken_new(conn->vat, exc);
    return *ret_cap ? 0 : WW_ENOMEM;
}

/* The promise that knows what becomes of a node which messages name. */
static struct ww_cap *known_as(struct ww_cap *raw)
{
    if (raw->kind == CAP_PIPE)
        return raw->pipe.pipe->promise;
    if (raw->kind == CAP_IMPORT && raw->import.wrapper)
        return raw->import.wrapper;
    return raw;
}

/* A capability of ours that comes back, or one of the peer's own by way of us: in the second case calls on
 * the direct way can overtake calls on the way that goes through here, which its user has to know. Takes the
 * reference. */
static ww_err looped(struct ww_rpc_conn *conn, struct ww_cap *cap, struct ww_cap **ret_cap)
{
    struct ww_cap *inner = ww_rpc_cap_inner(cap);
    if (!inner || ww_rpc_cap_conn(inner) != conn) {
        *ret_cap = cap;
        return 0;
    }
    struct ww_cap *mark = ww_rpc_promise_new(conn->vat, NULL);
    if (!mark) {
        ww_cap_unref(cap);
        return WW_ENOMEM;
    }
    mark->flags |= CAP_LOOPED;
    mark->promise.to = ww_cap_ref(inner->kind == CAP_PROMISE ? cap : known_as(inner));
    ww_cap_unref(cap);
    *ret_cap = mark;
    return 0;
}

static ww_err answer_read(struct ww_rpc_conn *conn, struct ww_sr promised, struct ww_cap **ret_cap)
{
    uint16_t path[256];
    size_t len;
    WW_TRY(ww_rpc_transform_read(conn, promised, path, &len));
    struct ww_rpc_call *answer = ww_rpc_idmap_get(&conn->answers, ww_sr_u32(promised, 0));
    if (!answer)
        return broken_read(conn, "capability of an unknown answer", ret_cap);
    struct ww_cap *cap;
    WW_TRY(ww_rpc_call_pipe(answer, path, len, &cap));
    return looped(conn, cap, ret_cap);
}

ww_err ww_rpc_desc_read(struct ww_rpc_conn *conn, struct ww_sr desc, struct ww_cap **ret_cap)
{
    uint32_t id = ww_sr_u32(desc, 1);
    switch (ww_sr_u16(desc, 0)) {
    case WW_RPC_DESC_NONE:
        *ret_cap = NULL;
        return 0;
    case WW_RPC_DESC_SENDER_HOSTED:
        return ww_rpc_import(conn, id, false, ret_cap);
    case WW_RPC_DESC_SENDER_PROMISE:
        return ww_rpc_import(conn, id, true, ret_cap);
    case WW_RPC_DESC_RECEIVER_HOSTED: {
        struct ww_rpc_export *e = ww_rpc_slots_get(&conn->exports, id);
        return e ? looped(conn, ww_cap_ref(e->cap), ret_cap)
                 : broken_read(conn, "capability of an unknown export", ret_cap);
    }
    case WW_RPC_DESC_RECEIVER_ANSWER:
        return answer_read(conn, ww_pr_struct(ww_sr_ptr(desc, 0)), ret_cap);
    case WW_RPC_DESC_THIRD_PARTY: /* we introduce nobody: its vine serves */
        return ww_rpc_import(conn, ww_sr_u32(ww_pr_struct(ww_sr_ptr(desc, 0)), 0), false, ret_cap);
    default:
        return broken_read(conn, "capability of an unknown kind", ret_cap);
    }
}

ww_err ww_rpc_caps_read(struct ww_rpc_conn *conn, struct ww_sr payload, struct ww_msg *msg)
{
    struct ww_lr list = ww_pr_list(ww_sr_ptr(payload, 1), WW_ELEM_STRUCT);
    if (list.count > conn->vat->limits.cap_table)
        return WW_ELIMIT;
    if (list.count == 0)
        return 0;
    struct ww_cap **slots = ww_msg_cap_slots(msg, list.count);
    if (!slots)
        return WW_ENOMEM;
    for (uint32_t i = 0; i < list.count; i++)
        WW_TRY(ww_rpc_desc_read(conn, ww_lr_struct(list, i), &slots[i]));
    return 0;
}
