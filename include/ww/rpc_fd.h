/* ww/rpc_fd.h — Cap'n Proto RPC on file descriptors: a vat, its connections, and one poll() that serves them.
 *
 * For clients and small servers that have no event loop. A client is
 *
 *     struct ww_rpc_fd *fd;
 *     err = ww_rpc_fd_new(NULL, &fd);
 *     err = ww_rpc_fd_dial(fd, "unix:/run/greeter", 1000, &greeter, &diag);
 *     greeter_Greeter_hello_request(greeter, &request, &params);           // fill params
 *     err = ww_rpc_fd_call(fd, request, 1000);                             // results are in the request
 *
 * and a server is ww_rpc_fd_listen and ww_rpc_fd_run. Nothing here starts a thread or installs a signal
 * handler; a peer that goes away never raises SIGPIPE. Interrupted system calls are taken up again.
 *
 * Addresses: "unix:PATH", "HOST:PORT", "[IPV6]:PORT", "*:PORT" (all interfaces). Names are looked up with the
 * system's resolver, which may block for as long as it likes.
 *
 * Times in milliseconds; a negative one waits for ever.
 *
 * Connections belong to the loop, which frees each after its `closed` event; those that are left, in
 * ww_rpc_fd_free. The `closed` event of the user's host (struct ww_rpc_conn_config) is passed on; `output`
 * is not, since the loop takes the bytes. Not from within a callback: _free, _turn, _run, _wait, _call,
 * _dial. */
#ifndef WW_RPC_FD_PUBLIC_H
#define WW_RPC_FD_PUBLIC_H

#include "ww/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ww_rpc_fd;
struct ww_rpc_fd_listener;

/* `limits` NULL: defaults. WW_ENOMEM, WW_ELIMIT (no descriptors left). */
WW_API WW_MUST_USE ww_err ww_rpc_fd_new(const struct ww_rpc_limits *limits, struct ww_rpc_fd **ret_fd);
/* Writes what the peers take at once, and closes everything. What that causes is delivered from within: calls
 * in progress fail disconnected, handlers learn that their calls were cancelled, objects that nobody holds
 * are dropped. Requests, capabilities and calls that are still held may be freed or completed before or
 * after. NULL is harmless. */
WW_API void ww_rpc_fd_free(struct ww_rpc_fd *fd);
WW_API struct ww_rpc_vat *ww_rpc_fd_vat(const struct ww_rpc_fd *fd);

/* ---- connections. `config` NULL: nothing to offer, not packed; it is copied. */

/* Waits until the connection stands. WW_EINVAL (address), WW_ENOTFOUND, WW_EREFUSED, WW_EUNREACH,
 * WW_ETIMEOUT,
 * ... `reterr_diag` may be NULL. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_connect(struct ww_rpc_fd *fd, const char *address,
    const struct ww_rpc_conn_config *config, int timeout_ms, struct ww_rpc_conn **ret_conn,
    struct ww_diag *reterr_diag);
/* The same with nothing to offer, for the peer's bootstrap capability alone. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_dial(struct ww_rpc_fd *fd, const char *address, int timeout_ms,
    struct ww_cap **ret_cap, struct ww_diag *reterr_diag);
/* A connection over descriptors that are open already: a socket (both the same), or two pipes. They are
 * closed with the connection, in any case; 0, 1 and 2 are left open. Blocking mode is as it was, and does not
 * matter: nothing here blocks but poll. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_attach_take(struct ww_rpc_fd *fd, int in, int out,
    const struct ww_rpc_conn_config *config, struct ww_rpc_conn **ret_conn);

/* The user of a listener embeds this. */
struct ww_rpc_fd_accept {
    /* Somebody connected: may change `io_config`, a copy of the listener's, for this peer (its budget, its
     * own bootstrap capability, which stays the caller's), or turn it away with an error. */
    ww_err (*accepted)(struct ww_rpc_fd_accept *accept, int socket, struct ww_rpc_conn_config *io_config);
};
/* Serves whoever connects with `config`. A socket file that nobody listens on is replaced. `accept` NULL:
 * everybody. `ret_listener` NULL: listens until ww_rpc_fd_free. Out of descriptors, it waits and tries again.
 */
WW_API WW_MUST_USE ww_err ww_rpc_fd_listen(struct ww_rpc_fd *fd, const char *address,
    const struct ww_rpc_conn_config *config, struct ww_rpc_fd_accept *accept,
    struct ww_rpc_fd_listener **ret_listener, struct ww_diag *reterr_diag);
/* Where it listens, with the port that the system chose for ":0". Valid as long as the listener. */
WW_API const char *ww_rpc_fd_listener_address(const struct ww_rpc_fd_listener *listener);
/* Stops listening and removes its socket file; connections stay. */
WW_API void ww_rpc_fd_listener_close(struct ww_rpc_fd_listener *listener);

/* ---- running */

/* Delivers what is there; if that is nothing, waits for at most `timeout_ms` and delivers. WW_ETIMEOUT:
 * nothing happened. WW_ECANCELED: ww_rpc_fd_stop, once. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_turn(struct ww_rpc_fd *fd, int timeout_ms);
/* Until ww_rpc_fd_stop (0), or a fault of the system. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_run(struct ww_rpc_fd *fd);
/* Also from a signal handler or another thread: the present or the next run, turn or wait returns. */
WW_API void ww_rpc_fd_stop(struct ww_rpc_fd *fd);
/* Connections that are open or not yet written out. */
WW_API size_t ww_rpc_fd_count(const struct ww_rpc_fd *fd);

/* Runs until the outcome of a sent request is there, and returns its status. WW_ETIMEOUT and WW_ECANCELED:
 * not there yet; free the request to cancel, or wait on. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_wait(
    struct ww_rpc_fd *fd, struct ww_rpc_request *request, int timeout_ms);
/* Sends and waits. `request` NULL: WW_EINVAL, so that one check after several steps is enough. */
WW_API WW_MUST_USE ww_err ww_rpc_fd_call(
    struct ww_rpc_fd *fd, struct ww_rpc_request *request, int timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
