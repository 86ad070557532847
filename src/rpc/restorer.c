/* References over connections: Persistent.save and Restorer, answered out of a table, and `save` asked of
 * others. By hand, on pointers: the generated code of ww/persist.capnp stands above this library's folder. */
#include "rpc/persist_int.h"

#define RESTORER_ID UINT64_C(0xf82065c5f4d8685f)

enum { RESTORE = 0, REVOKE = 1 };

struct restorer {
    struct ww_rpc_server server;
    struct ww_list node;
    struct ww_persist *table; /* NULL: gone */
    size_t owner_len;
    uint8_t owner[];
};

/* The one pointer that parameters and results of all these methods consist of. */
static struct ww_pr only(struct ww_pr params)
{
    return ww_sr_ptr(ww_pr_struct(params), 0);
}

static struct ww_pb only_result(struct ww_rpc_call *call, uint32_t words)
{
    return ww_sb_ptr(ww_pb_init_struct(ww_rpc_call_results(call, words), 0, 1), 0);
}

/* ---- save */

static void save_failed(struct ww_rpc_call *call, ww_err err)
{
    const char *remedy = "";
    if (err == WW_ELIMIT)
        remedy = ": there are as many as their host keeps; revoke some that are needed no longer";
    else if (err == WW_EINVAL)
        remedy = ": the host's name for the object is too long";
    ww_rpc_call_fail(call, err, "the reference could not be made: %s%s", ww_err_text(err), remedy);
}

bool ww_persist_serve(
    struct ww_persist *table, struct ww_rpc_call *call, struct ww_bytes object, uint64_t expires_s)
{
    if (ww_rpc_call_interface(call) != WW_PERSISTENT_ID)
        return false;
    if (ww_rpc_call_method(call) != 0) {
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "Persistent has no such method");
        return true;
    }
    struct ww_pr seal_for = only(ww_rpc_call_params(call));
    enum ww_ptr_kind kind = ww_pr_kind(seal_for);
    struct ww_bytes owner = ww_pr_data(seal_for);
    uint8_t ref[WW_PERSIST_REF_BYTES];
    /* An owner that we do not understand must not become nobody. */
    if (kind != WW_PTR_NULL && (kind != WW_PTR_LIST || !owner.len || owner.len > WW_PERSIST_OWNER_MAX)) {
        ww_rpc_call_fail(call, WW_EINVAL,
            "sealFor is Data of 1 to %d bytes here, or null for whoever holds the reference",
            WW_PERSIST_OWNER_MAX);
        return true;
    }
    ww_err err = ww_persist_save(table, object, owner, expires_s, ref);
    if (err < 0) {
        save_failed(call, err);
        return true;
    }
    ww_pb_set_data(only_result(call, 10), ww_bytes(ref, sizeof ref));
    ww_rpc_call_return(call);
    return true;
}

ww_err ww_persist_save_request(
    struct ww_cap *object, struct ww_bytes owner, struct ww_rpc_request **ret_request)
{
    WW_TRY(ww_rpc_request_new(object, WW_PERSISTENT_ID, 0, (uint32_t)(owner.len / 8 + 4), ret_request));
    ww_rpc_request_no_pipeline(*ret_request);
    struct ww_pb seal_for = ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(*ret_request), 0, 1), 0);
    if (owner.len)
        ww_pb_set_data(seal_for, owner);
    return 0;
}

struct ww_bytes ww_persist_save_ref(struct ww_rpc_request *request)
{
    return ww_pr_data(only(ww_rpc_request_results(request)));
}

/* ---- Restorer */

static void refuse(struct ww_rpc_call *call, ww_err err)
{
    if (err == WW_ENOTFOUND) /* one text for all, see ww/persist.capnp */
        ww_rpc_call_fail(call, err,
            "the reference leads to nothing for this owner (changed, expired, revoked, sealed for another, "
            "or "
            "its object is no more): get the object anew and save it");
    else
        ww_rpc_call_fail(call, err, "the object cannot be had now: %s", ww_err_text(err));
}

static void restore(struct restorer *r, struct ww_rpc_call *call, struct ww_bytes ref)
{
    struct ww_persist_host *host = r->table->host;
    /* Without a clock everything that ever ends has ended. */
    uint64_t now_s = host->ops->now_s ? host->ops->now_s(host) : UINT64_MAX;
    struct ww_cap *cap = NULL;
    ww_err err = ww_persist_restore(r->table, ref, ww_bytes(r->owner, r->owner_len), now_s, &cap);
    if (err == 0 && !cap)
        err = WW_ENOTFOUND;
    if (err < 0) {
        refuse(call, err);
        return;
    }
    ww_pb_set_cap(only_result(call, 4), cap);
    ww_cap_unref(cap);
    ww_rpc_call_return(call);
}

static void revoke(struct restorer *r, struct ww_rpc_call *call, struct ww_bytes ref)
{
    ww_err err = ww_persist_revoke_by(r->table, ref, ww_bytes(r->owner, r->owner_len));
    if (err < 0) {
        refuse(call, err);
        return;
    }
    (void)ww_pb_init_struct(ww_rpc_call_results(call, 1), 0, 0);
    ww_rpc_call_return(call);
}

static void restorer_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct restorer *r = WW_CONTAINER_OF(self, struct restorer, server);
    uint16_t method = ww_rpc_call_method(call);
    if (ww_rpc_call_interface(call) != RESTORER_ID || (method != RESTORE && method != REVOKE)) {
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "Restorer has no method %u of interface 0x%llx",
            (unsigned)method, (unsigned long long)ww_rpc_call_interface(call));
        return;
    }
    if (!r->table) {
        ww_rpc_call_fail(call, WW_EDISCONNECTED, "this Restorer's host has ended: connect anew");
        return;
    }
    struct ww_bytes ref = ww_pr_data(only(ww_rpc_call_params(call)));
    if (ref.len != WW_PERSIST_REF_BYTES) {
        ww_rpc_call_fail(call, WW_EINVAL,
            "this is no reference of this realm: pass on what save() gave, Data of %d bytes, unchanged",
            WW_PERSIST_REF_BYTES);
        return;
    }
    if (method == RESTORE)
        restore(r, call, ref);
    else
        revoke(r, call, ref);
}

static void restorer_drop(struct ww_rpc_server *self)
{
    struct restorer *r = WW_CONTAINER_OF(self, struct restorer, server);
    ww_list_remove(&r->node);
    ww_free(r);
}

ww_err ww_persist_restorer(
    struct ww_persist *table, struct ww_rpc_vat *vat, struct ww_bytes owner, struct ww_cap **ret_cap)
{
    static const struct ww_rpc_server_ops ops = {.dispatch = restorer_dispatch, .drop = restorer_drop};
    if (owner.len > WW_PERSIST_OWNER_MAX)
        return WW_EINVAL;
    struct restorer *r = ww_alloc(sizeof *r + owner.len);
    if (!r)
        return WW_ENOMEM;
    *r = (struct restorer){.server.ops = &ops, .table = table, .owner_len = owner.len};
    if (owner.len)
        memcpy(r->owner, owner.ptr, owner.len);
    ww_list_push_back(&table->restorers, &r->node);
    ww_err err = ww_cap_new_server(vat, &r->server, ret_cap);
    if (err < 0)
        restorer_drop(&r->server);
    return err;
}

void ww_persist_restorers_cut(struct ww_persist *table)
{
    WW_LIST_FOR_SAFE(it, &table->restorers)
    {
        WW_LIST_ENTRY(it, struct restorer, node)->table = NULL;
        ww_list_remove(it);
    }
}
