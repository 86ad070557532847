/* A whole node in a simulated world, and a stranger who reaches it over the network and keeps to no rules. */
#ifndef WW_TEST_NODE_RIG_H
#define WW_TEST_NODE_RIG_H

#include "node/node.h"
#include "p2p/multiaddr.h"
#include "schema/cluster.capnp.rpc.h"
#include "schema/core.capnp.rpc.h"
#include "sim/sim.h"
#include "test/lib/test.h"

#define RIG_NS "ww"

struct rig {
    struct ww_sim *sim;
    struct ww_env *node_env, *env; /* the node's, the stranger's */
    struct ww_keypair node_key, key;
    struct ww_node *node;
    struct ww_peer_id id; /* the node's */
    struct ww_swarm *swarm;
    struct ww_vat vat;
    struct ww_prng prng;
};

/* A stream of the stranger's to the node, with RPC on it. */
struct line {
    struct ww_link link;
    struct ww_swarm_open op;
    struct rig *rig;
    bool up, closed;
    char reason[160];
};

void rig_init(struct rig *r, uint64_t seed);
/* Frees what is left of it, the node first. */
void rig_fini(struct rig *r);
void rig_free_node(struct rig *r);
void rig_run(struct rig *r, uint64_t ns);
/* A record of a peer that does not exist, straight into the node's table. */
void rig_record(struct rig *r, uint32_t number, const char *host, const char *meta);

/* Opens in the background; line_wait demands success. Both must be closed with line_close. */
void line_start(struct rig *r, struct line *l, bool packed);
void line_open(struct rig *r, struct line *l, bool packed);
void line_close(struct line *l);
/* The terminal behind the line, logged into as the stranger: the session's view. */
struct ww_cap *line_view(struct line *l);

#endif
