/* ww/rpc_wasi.h — Cap'n Proto RPC inside a WebAssembly guest (WASI preview 1, wasm32): one connection, to
 * whoever runs the guest. Over standard input and output, where the guest has the loop:
 *
 *     err = ww_rpc_wasi_new(NULL, &guest);                 // make objects in ww_rpc_wasi_vat(guest)
 *     err = ww_rpc_wasi_open(guest, &config);              // config.bootstrap: what the host gets
 *     err = ww_rpc_wasi_run(guest);                        // until the host closes
 *
 * or through functions that the host calls, where the host has it (ww_rpc_wasi_export). In that case the
 * guest is a reactor: it sets things up in its initializer or in a function of its own, and never waits.
 *
 * Exists on wasm32 only; src/glue/wasi.c is compiled into the guest with src/base, src/capnp and src/rpc.
 * Nothing here needs threads, signals, sockets or stdio. */
#ifndef WW_RPC_WASI_PUBLIC_H
#define WW_RPC_WASI_PUBLIC_H

#include "ww/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_rpc_wasi;

/* A vat; `limits` NULL: defaults. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_rpc_wasi_new(const struct ww_rpc_limits *limits, struct ww_rpc_wasi **ret_guest);
/* Its one connection, once. `config` NULL: nothing to offer, not packed; it is copied, its host gets `closed`
 * only. WW_ESTATE: there is one. WW_ENOMEM. Everything below needs the connection. */
WW_API WW_MUST_USE ww_err ww_rpc_wasi_open(
    struct ww_rpc_wasi *guest, const struct ww_rpc_conn_config *config);
/* Writes what is pending, if the guest has the loop. NULL is harmless. */
WW_API void ww_rpc_wasi_free(struct ww_rpc_wasi *guest);
WW_API struct ww_rpc_vat *ww_rpc_wasi_vat(const struct ww_rpc_wasi *guest);
/* For ww_rpc_conn_bootstrap: what the host offers. */
WW_API struct ww_rpc_conn *ww_rpc_wasi_conn(const struct ww_rpc_wasi *guest);

/* ---- the guest has the loop: descriptors 0 and 1 */

/* Delivers what is there; if that is nothing, waits for at most `timeout_ms` (negative: for ever) and
 * delivers. WW_ETIMEOUT, or WW_ECLOSED once the connection is over and all is written. Not from within a
 * callback. */
WW_API WW_MUST_USE ww_err ww_rpc_wasi_turn(struct ww_rpc_wasi *guest, int timeout_ms);
/* Until the connection is over: 0, or how it broke. */
WW_API WW_MUST_USE ww_err ww_rpc_wasi_run(struct ww_rpc_wasi *guest);
/* Sends, and runs until the outcome is there; the request's status, or WW_ETIMEOUT. `request` NULL:
 * WW_EINVAL. */
WW_API WW_MUST_USE ww_err ww_rpc_wasi_call(
    struct ww_rpc_wasi *guest, struct ww_rpc_request *request, int timeout_ms);

/* ---- the host has the loop: it calls these exports
 *
 *     ww_rpc_wasi_room(n)      where to put up to n bytes for the guest; 0: no memory
 *     ww_rpc_wasi_push(n)      takes n bytes from there (0 is allowed: only runs); bytes to pull, or a
 * negative ww_err ww_rpc_wasi_pull()       where bytes of the guest lie ww_rpc_wasi_pull_size()  how many,
 * without a gap; 0: none ww_rpc_wasi_pulled(n)    the host has copied the first n of them ww_rpc_wasi_end()
 * the host closes
 */

/* The guest that the exports mean, one a program; NULL: none. Linking this links the exports. */
WW_API void ww_rpc_wasi_export(struct ww_rpc_wasi *guest);

#ifdef __cplusplus
}
#endif
#endif
