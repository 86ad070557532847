/* sim/node_life.h — what the scenario knows of every node that ever ran, to judge by it what others say. */
#ifndef WW_SIM_NODE_LIFE_H
#define WW_SIM_NODE_LIFE_H

#include "p2p/peer_id.h"

#define WW_NODE_LIFE_PORT 2020
#define WW_NODE_LIFE_NS "sim"
#define WW_NODE_LIFE_STATIC 3 /* hosts at most that the others are told of */

enum { WW_NODE_LIFE_META = 3, WW_NODE_LIFE_META_MAX = 32 };

/* One run of a node on a host. Times are the world's; 0: not yet. */
struct ww_node_life {
    struct ww_peer_id peer;
    uint64_t server;
    uint32_t index, number; /* of the host; of this run on it */
    uint64_t began_ns, leaving_ns, over_ns;
};

struct ww_node_lives {
    struct ww_node_life *all; /* in order of their beginning */
    size_t count;
    size_t nodes;      /* hosts with a node */
    bool static_peers; /* how they find each other */
};

/* Names the new run by its place. WW_ENOMEM. */
WW_MUST_USE ww_err ww_node_life_add(
    struct ww_node_lives *lives, uint32_t index, uint64_t now_ns, size_t *ret_place);
/* NULL: there never was one. */
struct ww_node_life *ww_node_life_of(const struct ww_node_lives *lives, uint64_t server);
/* A host keeps its key. */
void ww_node_life_key(size_t index, struct ww_keypair *ret_key);
/* Metadata of a run: a key of few values, one that changes with the run, one that all share. */
void ww_node_life_meta(const struct ww_node_life *life, char out[WW_NODE_LIFE_META][WW_NODE_LIFE_META_MAX]);
void ww_node_life_host(const struct ww_node_life *life, char out[32]);
/* Whether a record says what its run said. */
bool ww_node_life_is(const struct ww_node_life *life, struct ww_bytes peer, struct ww_bytes host,
    const struct ww_bytes *meta, size_t meta_count);

/* Static addresses for the host `index` to start from. */
struct ww_node_life_peers {
    char texts[WW_NODE_LIFE_STATIC][160];
    const char *views[WW_NODE_LIFE_STATIC];
    size_t count;
};
void ww_node_life_peers(
    const struct ww_node_lives *lives, size_t index, struct ww_node_life_peers *ret_peers);

#endif
