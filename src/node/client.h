/* node/client.h — a peer that does not listen: finds a node of a namespace, logs in, and holds its session.
 *
 * Candidates are tried side by side as they are found (at most four at a time); the first that lets us in
 * wins, so that a dead one costs nothing. Ownership: the configuration's texts are parsed in ww_client_new;
 * env and key outlive the client. Callbacks come from the loop; the client may be freed inside them.
 */
#ifndef WW_NODE_CLIENT_H
#define WW_NODE_CLIENT_H

#include "p2p/swarm.h"
#include "ww/rpc.h"

struct ww_client;

struct ww_client_session {
    struct ww_peer_id peer; /* the node */
    uint64_t server;        /* its instance, as it says */
    struct ww_cap *view;    /* borrowed; NULL when the node gave none */
};

struct ww_client_user {
    /* Logged in. At most once. */
    void (*ready)(struct ww_client_user *user, const struct ww_client_session *session);
    /* The end, at most once: nobody let us in within the time, or the session's connection was lost (after
     * ready). `text` says what was tried. */
    void (*failed)(struct ww_client_user *user, ww_err err, const char *text);
};

struct ww_client_conf {
    struct ww_env *env;
    const struct ww_keypair *key;
    const char *ns;
    const char *const *peers, *const *discover; /* as for a node */
    size_t peer_count, discover_count;
    uint64_t timeout_ns; /* until ready */
    struct ww_client_user *user;
};

WW_MUST_USE ww_err ww_client_new(
    const struct ww_client_conf *conf, struct ww_client **ret_client, struct ww_diag *diag);
/* NULL is allowed. */
void ww_client_free(struct ww_client *client);
struct ww_rpc_vat *ww_client_vat(struct ww_client *client);

#endif
