/* ww/persist.h — level 2 of Cap'n Proto RPC: references to objects that outlive connections and restarts.
 * Peers get them by Persistent.save (capnp/persistent.capnp) and bring them back by Restorer.restore
 * (ww/persist.capnp; the standard leaves that half to applications). A realm of its own: a sturdy reference
 * is Data of WW_PERSIST_REF_BYTES, an owner is Data that the host has authenticated.
 *
 * A reference names an entry of a table by a random id and proves itself by a keyed MAC over id and owner. It
 * says nothing about the object, cannot be made without the key, and is worth nothing to anybody but the
 * owner it was sealed for. No cryptography in here: the application brings randomness and the MAC. */
#ifndef WW_PERSIST_PUBLIC_H
#define WW_PERSIST_PUBLIC_H

#include "ww/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WW_PERSISTENT_ID UINT64_C(0xc8cb212fcd9f5691) /* interface Persistent, method 0: save */
#define WW_PERSIST_REF_BYTES 49
#define WW_PERSIST_MAC_BYTES 32
#define WW_PERSIST_OBJECT_MAX 4096
#define WW_PERSIST_OWNER_MAX 1024

struct ww_persist;
struct ww_persist_host;
struct ww_persist_ops {
    /* From a cryptographic source. */
    void (*random)(struct ww_persist_host *host, uint8_t *out, size_t len);
    /* Under a secret key that survives restarts: HMAC-SHA256, keyed BLAKE2b. */
    void (*mac)(struct ww_persist_host *host, struct ww_bytes data, uint8_t ret_mac[WW_PERSIST_MAC_BYTES]);
    /* The object of that name, alive again: a new reference. It may be a promise (ww_cap_new_promise) where
     * that takes time. WW_ENOTFOUND where there is no such object any more. */
    ww_err (*restore)(struct ww_persist_host *host, struct ww_bytes object, struct ww_cap **ret_cap);
    /* The table differs from what was stored last. NULL allowed. */
    void (*changed)(struct ww_persist_host *host);
    /* Seconds since 1970, for Restorers. NULL: no clock, and they take no reference that ever expires. */
    uint64_t (*now_s)(struct ww_persist_host *host);
};

/* The table's user embeds this; it outlives the table. */
struct ww_persist_host {
    const struct ww_persist_ops *ops;
};

/* `entries_max` 0: 65536. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_persist_new(
    struct ww_persist_host *host, uint32_t entries_max, struct ww_persist **ret_table);
WW_API void ww_persist_free(struct ww_persist *table);

/* A new reference to `object`, a name that `restore` understands. `owner` empty: for whoever holds it.
 * `expires_s`: seconds since 1970, 0 for never. WW_EINVAL: a name or an owner that is too long; WW_ELIMIT:
 * the table is full; WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_persist_save(struct ww_persist *table, struct ww_bytes object,
    struct ww_bytes owner, uint64_t expires_s, uint8_t ret_ref[WW_PERSIST_REF_BYTES]);
/* The object of a reference that `owner` presents. WW_ENOTFOUND for anything that is wrong with it (forged,
 * cut off, expired, revoked, sealed for somebody else): which of these it is, is nobody's business. Or what
 * the host's `restore` says. */
WW_API WW_MUST_USE ww_err ww_persist_restore(struct ww_persist *table, struct ww_bytes ref,
    struct ww_bytes owner, uint64_t now_s, struct ww_cap **ret_cap);
/* That reference is worth nothing any more; others to its object are. WW_ENOTFOUND. Who may do so is the
 * caller's affair. Capabilities that were restored from it live on: a membrane ends those. */
WW_API WW_MUST_USE ww_err ww_persist_revoke(struct ww_persist *table, struct ww_bytes ref);
/* All references to `object`; returns how many there were. */
WW_API uint32_t ww_persist_forget(struct ww_persist *table, struct ww_bytes object);
/* Drops what has expired; returns how many. */
WW_API uint32_t ww_persist_expire(struct ww_persist *table, uint64_t now_s);
WW_API uint32_t ww_persist_count(const struct ww_persist *table);

/* ---- for peers */

/* At the head of an object's handler: true when `call` was one of Persistent, which is answered then (`save`
 * with the owner that it names in sealFor). In front of a server that capnpc-ww made:
 *
 *     static void dispatch(struct ww_rpc_server *rpc, struct ww_rpc_call *call) // of ops given to `rpc`
 *     {
 *         if (!ww_persist_serve(table, call, name, 0))
 *             greeter_Counter_server_ops.dispatch(rpc, call);
 *     }
 */
WW_API bool ww_persist_serve(
    struct ww_persist *table, struct ww_rpc_call *call, struct ww_bytes object, uint64_t expires_s);
/* A new Restorer(Data) (ww/persist.capnp) over the table, for the peer that proved to be `owner`; `owner`
 * empty: for references that were sealed for nobody, so anybody may have it. Give it away like any other
 * capability: as bootstrap, as the result of a login. It may outlive the table, and fails then. WW_EINVAL: an
 * owner that is too long; WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_persist_restorer(
    struct ww_persist *table, struct ww_rpc_vat *vat, struct ww_bytes owner, struct ww_cap **ret_cap);

/* The other side of `save`: a request to any implementation's object, whatever its type, for a reference
 * sealed for `owner` (empty: for whoever holds it). To be sent and freed by the caller. An object that is not
 * persistent answers WW_EUNIMPLEMENTED. WW_EINVAL: null capability; WW_ENOMEM. Restorers are called by
 * ww/persist.capnp.rpc.h. */
WW_API WW_MUST_USE ww_err ww_persist_save_request(
    struct ww_cap *object, struct ww_bytes owner, struct ww_rpc_request **ret_request);
/* The reference in its results; valid as long as the request. Empty while the status of the request is not 0,
 * and for references of realms where they are no Data: read those from ww_rpc_request_results. */
WW_API struct ww_bytes ww_persist_save_ref(struct ww_rpc_request *request);

/* ---- stored */

/* The table as bytes, under the MAC, for the host to store in one piece (write aside, then rename). */
WW_API size_t ww_persist_bytes(const struct ww_persist *table);
WW_API void ww_persist_write(const struct ww_persist *table, uint8_t *out);
/* Into an empty table. WW_ECRYPTO: stored under another key, so the one that sealed these references is gone;
 * WW_EPROTO: damaged, or not what ww_persist_write wrote; WW_ELIMIT, WW_ENOMEM, WW_ESTATE: not empty. On an
 * error the table stays empty. `reterr_diag` (NULL allowed) says what to do. */
WW_API WW_MUST_USE ww_err ww_persist_load(
    struct ww_persist *table, struct ww_bytes data, struct ww_diag *reterr_diag);

#ifdef __cplusplus
}
#endif
#endif
