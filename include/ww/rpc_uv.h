/* ww/rpc_uv.h — Cap'n Proto RPC on a libuv loop: a vat, and its connections over TCP, unix sockets, pipes or
 * any other uv_stream_t. A library of its own (libww-capnp-uv, ww-capnp-uv.pc), so that libww-capnp needs no
 * libuv.
 *
 *     err = ww_rpc_uv_new(loop, NULL, &uv);
 *     err = ww_rpc_uv_listen(uv, "*:4000", &config, NULL, &listener, &diag);          // a server
 *     err = ww_rpc_uv_connect(uv, "example.org:4000", NULL, &conn, &diag);            // a client
 *     err = ww_rpc_conn_bootstrap(conn, &cap);                                        // usable at once
 *     uv_run(loop, UV_RUN_DEFAULT);
 *
 * Addresses are those of ww/rpc_fd.h. What arrives in a turn of the loop is delivered together, and what that
 * caused to be sent leaves in as few writes as the kernel takes. A turn delivers at most about a thousand
 * events, then the loop's other handles have theirs. A connection whose peer made us hold too much is not
 * read from until that has gone down. A failed write ends the connection as a failed read does.
 *
 * Connections belong to this, which frees each after its `closed` event; after it the pointer is dead. The
 * user's host gets `closed` only. All functions belong to the loop's thread; none may be called after
 * ww_rpc_uv_close.
 *
 * libuv writes without MSG_NOSIGNAL: if SIGPIPE has its default action, ww_rpc_uv_new makes the process
 * ignore it. Out of descriptors, libuv itself accepts and closes waiting peers. */
#ifndef WW_RPC_UV_PUBLIC_H
#define WW_RPC_UV_PUBLIC_H

#include <uv.h>

#include "ww/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_rpc_uv;
struct ww_rpc_uv_listener;

/* `limits` NULL: defaults. The loop outlives it. WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_rpc_uv_new(
    uv_loop_t *loop, const struct ww_rpc_limits *limits, struct ww_rpc_uv **ret_uv);
/* Closes all listeners and connections, without further events to their users; when the last handle is gone,
 * `closed` (NULL: nobody) is called from the loop, and `uv` and its vat are no more. Not from within a
 * callback of the vat. */
WW_API void ww_rpc_uv_close(struct ww_rpc_uv *uv, void (*closed)(void *ctx), void *ctx);
WW_API struct ww_rpc_vat *ww_rpc_uv_vat(const struct ww_rpc_uv *uv);
/* Connections that are open, connecting or not yet written out. */
WW_API size_t ww_rpc_uv_count(const struct ww_rpc_uv *uv);

/* A connection over a stream that is open, initialized on this loop and not read from. Takes over its `data`;
 * when the connection is over, closes it and calls `released` (NULL: nobody), which may free it. On failure
 * the stream stays the caller's. `config` NULL: nothing to offer, not packed; it is copied. */
WW_API WW_MUST_USE ww_err ww_rpc_uv_attach(struct ww_rpc_uv *uv, uv_stream_t *stream,
    void (*released)(uv_stream_t *stream), const struct ww_rpc_conn_config *config,
    struct ww_rpc_conn **ret_conn);

/* Returns at once: calls may be made, and leave when the connection stands. If it never does, it is closed
 * with WW_EREFUSED, WW_ENOTFOUND, WW_EUNREACH, WW_ETIMEOUT, ..., and the calls fail. Here: WW_EINVAL
 * (address), WW_ENOMEM. */
WW_API WW_MUST_USE ww_err ww_rpc_uv_connect(struct ww_rpc_uv *uv, const char *address,
    const struct ww_rpc_conn_config *config, struct ww_rpc_conn **ret_conn, struct ww_diag *reterr_diag);

/* The user of a listener embeds this. */
struct ww_rpc_uv_accept {
    /* Somebody connected: may change `io_config`, a copy of the listener's, for this peer, or turn it away
     * with an error. `peer` serves questions such as uv_tcp_getpeername. */
    ww_err (*accepted)(
        struct ww_rpc_uv_accept *accept, uv_stream_t *peer, struct ww_rpc_conn_config *io_config);
};
/* As ww_rpc_fd_listen. */
WW_API WW_MUST_USE ww_err ww_rpc_uv_listen(struct ww_rpc_uv *uv, const char *address,
    const struct ww_rpc_conn_config *config, struct ww_rpc_uv_accept *accept,
    struct ww_rpc_uv_listener **ret_listener, struct ww_diag *reterr_diag);
/* Where it listens, with the port that the system chose for ":0". Valid as long as the listener. */
WW_API const char *ww_rpc_uv_listener_address(const struct ww_rpc_uv_listener *listener);
WW_API void ww_rpc_uv_listener_close(struct ww_rpc_uv_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
