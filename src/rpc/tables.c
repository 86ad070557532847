/* Exports, imports and embargoes: what crosses the connection under an id. */
#include "rpc/internal.h"

void ww_rpc_ids_free(struct ww_rpc_ids *ids)
{
    ww_free(ids->at);
    *ids = (struct ww_rpc_ids){0};
}

ww_err ww_rpc_ids_add(struct ww_rpc_ids *ids, uint32_t id)
{
    if (ids->count == ids->capacity) {
        uint32_t capacity = ids->capacity ? ids->capacity * 2 : 4;
        uint32_t *at = ww_realloc(ids->at, capacity * sizeof *at);
        if (!at)
            return WW_ENOMEM;
        ids->at = at;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
    return 0;
}

static uint64_t key_of(const struct ww_cap *cap)
{
    return (uint64_t)(uintptr_t)cap;
}

static void key_forget(struct ww_rpc_export *e)
{
    if (!e->key)
        return;
    ww_rpc_idmap_remove(&e->conn->by_cap, key_of(e->key));
    e->key->exported--;
    ww_cap_unref(e->key);
    e->key = NULL;
}

/* Under level 1 rules a promise that leads on to another local promise may keep its id and stay a promise. */
static bool stays_promise(struct ww_rpc_conn *conn, const struct ww_cap *inner)
{
    return inner->kind == CAP_PROMISE && ww_rpc_cap_conn(inner) != conn;
}

static void export_resolve(struct ww_rpc_export *e, struct ww_cap *inner)
{
    struct ww_rpc_conn *conn = e->conn;
    struct ww_sb resolve = ww_pb_init_struct(ww_sb_ptr(ww_rpc_out_begin(conn, WW_RPC_RESOLVE), 0), 1, 1);
    ww_sb_set_u32(resolve, 0, e->id);
    struct ww_cap *described = NULL;
    ww_err err = 0;
    e->promise = false;
    if (inner->kind == CAP_BROKEN) {
        ww_sb_set_u16(resolve, 2, 1);
        ww_rpc_out_exception(ww_sb_ptr(resolve, 0), inner->exc);
        described = ww_cap_ref(inner);
    } else {
        struct ww_sb desc = ww_pb_init_struct(ww_sb_ptr(resolve, 0), 1, 1);
        err = ww_rpc_desc_write(conn, desc, inner, NULL, &described);
    }
    if (err < 0) {
        ww_rpc_conn_fail(conn, err, "a promise could not be resolved", true);
        return;
    }
    /* From now on the peer may rely on the shorter way having this end, whatever it resolves to later. */
    key_forget(e);
    ww_cap_unref(e->cap);
    e->cap = described;
    ww_rpc_out_end(conn);
}

static void export_resolved(struct ww_rpc_waiter *waiter, struct ww_cap *promise)
{
    struct ww_rpc_export *e = WW_CONTAINER_OF(waiter, struct ww_rpc_export, waiter);
    if (!e->conn->open)
        return;
    struct ww_cap *inner = ww_rpc_cap_inner(promise);
    if (stays_promise(e->conn, inner))
        ww_rpc_promise_watch(inner, waiter);
    else
        export_resolve(e, inner);
}

static struct ww_rpc_export *export_alloc(struct ww_rpc_conn *conn)
{
    struct ww_list *node = ww_list_pop_front(&conn->free_exports);
    struct ww_rpc_export *e =
        node ? WW_LIST_ENTRY(node, struct ww_rpc_export, waiter.node) : ww_alloc(sizeof *e);
    if (e)
        *e = (struct ww_rpc_export){.conn = conn, .refs = 1, .waiter.resolved = export_resolved};
    return e;
}

static ww_err export_insert(struct ww_rpc_conn *conn, struct ww_rpc_export *e, struct ww_cap *key)
{
    WW_TRY(ww_rpc_slots_add(&conn->exports, e, &e->id));
    if (!key)
        return 0;
    ww_err err = ww_rpc_idmap_put(&conn->by_cap, key_of(key), e);
    if (err < 0) {
        ww_rpc_slots_remove(&conn->exports, e->id);
        return err;
    }
    e->key = ww_cap_ref(key);
    key->exported++;
    return 0;
}

/* `shared`: the same capability has one id for as long as it lives. */
ww_err ww_rpc_export_add(
    struct ww_rpc_conn *conn, struct ww_cap *cap, bool promise, bool shared, uint32_t *ret_id)
{
    struct ww_rpc_export *e = shared && cap->exported ? ww_rpc_idmap_get(&conn->by_cap, key_of(cap)) : NULL;
    if (e) {
        if (e->refs == UINT32_MAX)
            return WW_ELIMIT;
        e->refs++;
        *ret_id = e->id;
        return 0;
    }
    if (conn->exports.live >= conn->vat->limits.exports)
        return WW_ELIMIT;
    WW_TRY(ww_budget_charge(conn->budget, WW_RES_EXPORTS, 1));
    e = export_alloc(conn);
    ww_err err = e ? export_insert(conn, e, shared ? cap : NULL) : WW_ENOMEM;
    if (err < 0) {
        ww_budget_release(conn->budget, WW_RES_EXPORTS, 1);
        ww_free(e);
        return err;
    }
    e->cap = ww_cap_ref(cap);
    e->promise = promise;
    ww_list_init(&e->waiter.node);
    if (promise && cap->kind == CAP_PROMISE)
        ww_rpc_promise_watch(cap, &e->waiter);
    *ret_id = e->id;
    return 0;
}

ww_err ww_rpc_export_release(struct ww_rpc_conn *conn, uint32_t id, uint32_t count)
{
    struct ww_rpc_export *e = ww_rpc_slots_get(&conn->exports, id);
    if (!e || count > e->refs)
        return WW_EPROTO;
    e->refs -= count;
    if (e->refs > 0)
        return 0;
    ww_rpc_slots_remove(&conn->exports, id);
    ww_budget_release(conn->budget, WW_RES_EXPORTS, 1);
    key_forget(e);
    ww_list_remove(&e->waiter.node);
    ww_cap_unref(e->cap);
    ww_list_push_front(&conn->free_exports, &e->waiter.node);
    return 0;
}

void ww_rpc_exports_release(struct ww_rpc_conn *conn, struct ww_rpc_ids *ids)
{
    struct ww_rpc_ids own = *ids; /* the last user of a capability may have been what keeps `ids` */
    *ids = (struct ww_rpc_ids){0};
    for (uint32_t i = own.count; conn->open && i-- > 0;) { /* the lowest id is the next to be used again */
        /* The peer may have released it by itself in the meantime, against the rules: not our count to
         * defend. */
        ww_err gone = ww_rpc_export_release(conn, own.at[i], 1);
        WW_UNUSED(gone);
    }
    ww_rpc_ids_free(&own);
}

static ww_err import_new(struct ww_rpc_conn *conn, uint32_t id, bool promise, struct ww_cap **ret_raw)
{
    if (conn->imports.live >= conn->vat->limits.imports)
        return WW_ELIMIT;
    WW_TRY(ww_budget_charge(conn->budget, WW_RES_BYTES, sizeof(struct ww_cap)));
    struct ww_cap *raw = ww_rpc_cap_alloc(conn->vat, CAP_IMPORT);
    ww_err err = raw ? ww_rpc_idmap_put(&conn->imports, id, raw) : WW_ENOMEM;
    if (err < 0) {
        ww_budget_release(conn->budget, WW_RES_BYTES, sizeof(struct ww_cap));
        ww_cap_unref(raw); /* without a connection: nothing will be released */
        return err;
    }
    raw->import.conn = conn;
    raw->import.id = id;
    raw->import.promise = promise;
    *ret_raw = raw;
    return 0;
}

/* A new reference, perhaps to a node that is doomed but not yet gone. */
static void cap_revive(struct ww_cap *cap)
{
    if (cap->refs == 0)
        ww_list_remove(&cap->node);
    cap->refs++;
}

struct ww_cap *ww_rpc_import_promise(struct ww_cap *raw)
{
    if (raw->import.wrapper)
        cap_revive(raw->import.wrapper);
    else
        raw->import.wrapper = ww_rpc_promise_new(raw->vat, raw);
    return raw->import.wrapper;
}

/* One more descriptor named `id`. The new reference is to the promise around the import, if it is an open
 * one. */
ww_err ww_rpc_import(struct ww_rpc_conn *conn, uint32_t id, bool promise, struct ww_cap **ret_cap)
{
    struct ww_cap *raw = ww_rpc_idmap_get(&conn->imports, id);
    if (!raw) {
        WW_TRY(import_new(conn, id, promise, &raw));
    } else {
        if (raw->import.count == UINT32_MAX)
            return WW_ELIMIT;
        cap_revive(raw);
    }
    raw->import.count++;
    if (!ww_rpc_cap_is_open(raw)) {
        *ret_cap = raw;
        return 0;
    }
    *ret_cap = ww_rpc_import_promise(raw);
    ww_cap_unref(raw); /* the promise holds it; without one it is released again */
    return *ret_cap ? 0 : WW_ENOMEM;
}

void ww_rpc_import_destroy(struct ww_cap *cap)
{
    struct ww_rpc_conn *conn = cap->import.conn;
    if (!conn)
        return;
    ww_rpc_idmap_remove(&conn->imports, cap->import.id);
    ww_cap_unref(cap->import.to);
    ww_budget_release(conn->budget, WW_RES_BYTES, sizeof(struct ww_cap));
    cap->import.conn = NULL;
    if (!conn->open)
        return;
    ww_err err = ww_rpc_out_small(conn, WW_RPC_RELEASE, cap->import.id | (uint64_t)cap->import.count << 32);
    if (err < 0)
        ww_rpc_conn_fail(conn, err, "no room for outgoing messages", true);
}

ww_err ww_rpc_embargo_add(
    struct ww_rpc_conn *conn, struct ww_cap *promise, struct ww_cap *target, uint32_t *ret_id)
{
    if (conn->embargoes.live >= conn->vat->limits.embargoes)
        return WW_ELIMIT;
    struct ww_rpc_embargo *embargo = WW_NEW(struct ww_rpc_embargo);
    if (!embargo)
        return WW_ENOMEM;
    ww_err err = ww_rpc_slots_add(&conn->embargoes, embargo, ret_id);
    if (err < 0) {
        ww_free(embargo);
        return err;
    }
    embargo->promise = ww_cap_ref(promise);
    embargo->target = ww_cap_ref(target);
    return 0;
}
