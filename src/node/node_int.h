/* node/node_int.h — inside a node. */
#ifndef WW_NODE_NODE_INT_H
#define WW_NODE_NODE_INT_H

#include "cluster/boot_driver.h"
#include "cluster/pulse.h"
#include "node/node.h"
#include "node/texts.h"
#include "service/terminal.h"

/* Fewer mesh peers than this (gossipsub's Dlo) and the node looks for more. */
#define WW_NODE_MESH_MIN 5
/* Go nodes beat on a tick of one second, and one beat in five comes as late as its TTL allows, to the
 * millisecond: without grace such a peer would leave and join again. Less than a second, so that a dead peer
 * is gone a second after its TTL. */
#define WW_NODE_GRACE_MS 800
/* Lost members that are dialed again, and for how long: what heals a partition. */
#define WW_NODE_LOST_MAX 256

/* One dial in progress to a peer that discovery found. */
struct ww_node_dial {
    struct ww_list link;
    struct ww_node *node;
    struct ww_swarm_dial op;
};

/* A member that vanished without a farewell. */
struct ww_node_lost {
    struct ww_list link;
    struct ww_peer_id peer;
    uint64_t next_ns, until_ns;
    uint32_t tries;
};

struct ww_node {
    struct ww_env *env;
    const struct ww_keypair *key;
    const struct ww_auth_policy *policy;
    char *ns;
    struct ww_prng prng;
    uint64_t server;
    uint32_t ttl_ms;
    bool leaving;

    struct ww_swarm *swarm;
    struct ww_swarm_sub swarm_sub;
    struct ww_pubsub *pubsub;
    struct ww_routing *routing;
    struct ww_budget table_budget;
    struct ww_routing_observer observer;

    /* heartbeats */
    char host[256];
    struct ww_buf meta_mem;
    struct ww_bytes meta[WW_ROUTING_META_MAX];
    size_t meta_count;
    struct ww_pulse_clock clock;
    struct ww_msg scratch; /* of the validator */
    struct ww_pubsub_validator validator;
    bool relaying;
    size_t topic_peers;    /* at the last look */
    uint64_t last_beat_ns; /* that went to somebody; 0: none */
    struct ww_timer beat_timer, expiry_timer, look_timer;

    /* meeting others */
    struct ww_boot *boot;
    struct ww_boot_user boot_user;
    struct ww_node_texts discover, peers;
    struct ww_list dials; /* struct ww_node_dial */
    size_t dial_count;
    struct ww_list lost; /* struct ww_node_lost, oldest first */
    size_t lost_count;
    bool searching;

    /* RPC */
    struct ww_vat vat;
    struct ww_stream_handler packed_handler, plain_handler;
    char protocols[2][WW_NODE_PROTOCOL_MAX];
    unsigned handling; /* how many of the two are registered */
    struct ww_terminal_conf terminal;
    struct ww_list sessions; /* struct ww_node_session */
    size_t session_count;
    struct ww_cap *view;

    struct ww_node_leave *leave;
    struct ww_timer leave_timer;
};

/* node_pulse.c: heartbeats in and out, expiry. */
WW_MUST_USE ww_err ww_node_pulse_start(struct ww_node *node);
void ww_node_pulse_stop(struct ww_node *node);
/* Beats now instead of later, though not more often than a few times a TTL. */
void ww_node_pulse_hurry(struct ww_node *node);
void ww_node_pulse_farewell(struct ww_node *node);

/* node_meet.c: discovery, dialing, members that got lost. */
WW_MUST_USE ww_err ww_node_meet_start(struct ww_node *node, struct ww_diag *diag);
void ww_node_meet_stop(struct ww_node *node);
/* A few times a second: searches while the mesh is thin, dials the lost. */
void ww_node_meet_tick(struct ww_node *node);

/* node_serve.c: RPC streams and the capabilities behind them. */
WW_MUST_USE ww_err ww_node_serve_start(struct ww_node *node);
void ww_node_serve_stop(struct ww_node *node);

#endif
