/* service/terminal.h — the door: `Terminal.login(account)` proves who the caller is and hands out a Session.
 *
 * One terminal a connection, so that a login can be bound to the peer at the other end (service/auth.h). A
 * terminal asks the account to sign a fresh challenge and waits half a second; then the policy decides. What
 * a session holds is all that its holder can reach.
 */
#ifndef WW_SERVICE_TERMINAL_H
#define WW_SERVICE_TERMINAL_H

#include "env/env.h"
#include "service/auth.h"
#include "ww/rpc.h"

#define WW_TERMINAL_TIMEOUT_NS (500 * WW_NS_PER_MS)
#define WW_TERMINAL_LOGINS_MAX 8 /* in progress, on one connection */

/* What all terminals of a node share. Outlives them. */
struct ww_terminal_conf {
    struct ww_env *env;
    struct ww_rpc_vat *vat;
    const struct ww_auth_policy *policy;
    struct ww_peer_id self;
    uint64_t server;
    const char *host;
    struct ww_cap *view; /* borrowed; each session gets a reference */
    uint64_t timeout_ns; /* 0: WW_TERMINAL_TIMEOUT_NS */
};

/* A terminal for the connection to `peer`. WW_ENOMEM. */
WW_MUST_USE ww_err ww_terminal_new(
    const struct ww_terminal_conf *conf, const struct ww_peer_id *peer, struct ww_cap **ret_cap);

/* The other side: an account that signs with `key`, for a server that was reached as `server`. It signs once,
 * and only a challenge of the right form; a bound one must be bound to this very connection. `key` outlives
 * the capability. */
WW_MUST_USE ww_err ww_signer_new(struct ww_rpc_vat *vat, const struct ww_keypair *key,
    const struct ww_peer_id *server, struct ww_cap **ret_cap);

#endif
