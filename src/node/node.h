/* node/node.h — a whole node: swarm, cluster, and the capabilities that it serves.
 *
 * It finds the other nodes of its namespace, keeps the routing table of their heartbeats, sends its own, and
 * lets peers log in over RPC (protocols `ww/0.1.0/NS/packed` and `ww/0.1.0/NS`). Everything that happens is
 * told by trace events of the environment (cluster.join, swarm.conn_up, ...); the node itself prints nothing.
 * It runs on any environment: sockets or virtual time.
 *
 * Ownership: the configuration's texts are copied or parsed in ww_node_new; env, key and policy are borrowed
 * and outlive the node. One loop; callbacks come from it.
 */
#ifndef WW_NODE_NODE_H
#define WW_NODE_NODE_H

#include "cluster/routing.h"
#include "node/vat.h"
#include "p2p/pubsub.h"
#include "p2p/swarm.h"
#include "service/auth.h"

struct ww_node;

#define WW_NODE_NS_DEFAULT "ww"
#define WW_NODE_TTL_MIN_MS 100u
#define WW_NODE_TABLE_BYTES (256u << 20)

struct ww_node_conf {
    struct ww_env *env;
    const struct ww_keypair *key;
    const char *ns;            /* NULL: WW_NODE_NS_DEFAULT */
    const char *const *listen; /* multiaddr texts; none: a free TCP port on every interface */
    size_t listen_count;
    const char *const *peers; /* static: texts ending in /p2p/ID; when given, nothing else is searched */
    size_t peer_count;
    const char *const *discover; /* texts as in cluster/boot.h; none: multicast on every interface */
    size_t discover_count;
    const char *const *meta; /* key=value */
    size_t meta_count;
    const char *host;                    /* NULL: the environment's */
    uint32_t ttl_ms;                     /* 0: WW_ROUTING_TTL_DEFAULT_MS */
    const struct ww_auth_policy *policy; /* NULL: everybody may log in */
    struct ww_swarm_limits limits;       /* 0 fields: defaults */
    /* What all records of the routing table may take; peers beyond it are not listed. An identity costs
     * nothing, and a record 0.3 to 11 KiB. 0: WW_NODE_TABLE_BYTES. */
    uint64_t table_bytes;
};

/* Listens, begins to search and to beat. Errors name the option and the remedy in `diag`: WW_EINVAL
 * (namespace, address, metadata, TTL), WW_EADDRINUSE, WW_EADDRNOTAVAIL, WW_EDENIED, WW_ENOMEM. */
WW_MUST_USE ww_err ww_node_new(
    const struct ww_node_conf *conf, struct ww_node **ret_node, struct ww_diag *diag);
/* Closes everything at once, without a farewell. NULL is allowed. */
void ww_node_free(struct ww_node *node);

/* Says farewell to the cluster (a last heartbeat) and calls `done` when it is on its way, at most half a
 * second later. The node must then be freed. Calling again is harmless. */
struct ww_node_leave {
    void (*done)(struct ww_node_leave *leave);
};
void ww_node_leave(struct ww_node *node, struct ww_node_leave *leave);

const struct ww_peer_id *ww_node_id(const struct ww_node *node);
uint64_t ww_node_server(const struct ww_node *node); /* of this run; 16 hex digits in text */
struct ww_swarm *ww_node_swarm(struct ww_node *node);
struct ww_pubsub *ww_node_pubsub(struct ww_node *node);
struct ww_routing *ww_node_routing(struct ww_node *node);
/* Its own view, for calls on its own vat. Borrowed. */
struct ww_cap *ww_node_view(struct ww_node *node);
struct ww_rpc_vat *ww_node_vat(struct ww_node *node);

/* RPC protocol ids of a namespace. `out` has room for WW_NODE_PROTOCOL_MAX bytes; NUL-terminated. */
#define WW_NODE_PROTOCOL_MAX 320
void ww_node_protocol(const char *ns, bool packed, char *out);
/* Whether `ns` can name a cluster; the diag says what is wrong with it. */
WW_MUST_USE ww_err ww_node_check_ns(const char *ns, struct ww_diag *diag);

#endif
