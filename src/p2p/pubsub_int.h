/* p2p/pubsub_int.h — what pubsub.c (topics, events) and pubsub_peer.c (streams) share. Not for use elsewhere.
 */
#ifndef WW_P2P_PUBSUB_INT_H
#define WW_P2P_PUBSUB_INT_H

#include "base/varint.h"
#include "p2p/gossipsub_auth.h"
#include "p2p/pubsub.h"
#include "p2p/swarm.h"

#define PUBSUB_CONNECTS_MAX 128   /* dials for peer exchange under way */
#define PUBSUB_FRAME_HEADER_MAX 9 /* bytes of a length prefix */
#define PUBSUB_OPEN_TRIES                                                                                    \
    5 /* without success in between; then the peer is given up until it is identified anew */
#define PUBSUB_RETRY_NS WW_NS_PER_S         /* before another try; doubled each time */
#define PUBSUB_STABLE_NS (30 * WW_NS_PER_S) /* a stream that lived this long was a success */

struct ww_pubsub_topic {
    struct ww_map_node node;
    struct ww_list sinks;
    unsigned relays;
    bool joined, deliver;
    struct ww_pubsub_validator *validator;
    uint16_t name_len;
    uint8_t name[];
};

/* A stream that the peer opened; we only read. */
struct pubsub_inbound {
    struct ww_stream_user user;
    struct pubsub_peer *peer;
    struct ww_buf partial;    /* a frame that has not arrived whole */
    struct ww_budget *budget; /* the connection's; outlives the stream's `closed` */
    uint64_t charged;         /* to it, for `partial` */
};

/* A peer that speaks the protocol: lives from then until it disconnects, or cannot be talked to. */
struct pubsub_peer {
    struct ww_gossip_peer g;
    struct ww_pubsub *ps;
    struct ww_peer_id id;
    struct ww_list link;
    struct pubsub_inbound *in;

    /* The stream that we opened; we only write. */
    struct ww_stream_user out;
    struct ww_swarm_open open;
    bool opening;
    unsigned tries;
    uint64_t opened_ns;
    struct ww_slab *held;  /* a frame that the stream did not take */
    struct ww_timer timer; /* while held: the write deadline; while there is no stream: the next try */
};

struct pubsub_handler {
    struct ww_stream_handler h;
    struct ww_pubsub *ps;
};

struct pubsub_connect {
    struct ww_swarm_dial op;
    struct ww_pubsub *ps;
    struct ww_list link;
};

struct ww_pubsub {
    struct ww_swarm *swarm;
    struct ww_env *env;
    struct ww_gossip *g;
    struct ww_gossip_auth_key auth;
    size_t rpc_bytes_max;
    uint64_t write_timeout_ns;

    char *ids[WW_PUBSUB_IDS_MAX]; /* NUL-terminated */
    size_t id_count;
    struct ww_proto_rule rules[WW_PUBSUB_RULES_MAX];
    size_t rule_count;
    struct pubsub_handler handlers[WW_PUBSUB_IDS_MAX];
    struct ww_swarm_sub sub;

    struct ww_map topics;
    struct ww_list peers, connects;
    size_t connect_count;
    struct ww_timer beat;
    struct ww_task drain_task;
    bool draining, closing;
};

/* ---- pubsub.c ---- */

/* Handles all events of the router. */
void pubsub_drain(struct ww_pubsub *ps);
/* The same, later in this loop turn. */
void pubsub_drain_later(struct ww_pubsub *ps);
bool pubsub_accepts(const struct ww_pubsub *ps, struct ww_bytes protocol);

/* ---- pubsub_peer.c ---- */

/* Finds or makes the peer; a new one is told to the router, and its stream is being opened. NULL: no memory.
 */
struct pubsub_peer *pubsub_peer_get(struct ww_pubsub *ps, const struct ww_peer_id *id, unsigned features);
struct pubsub_peer *pubsub_peer_find(const struct ww_pubsub *ps, const struct ww_peer_id *id);
/* Closes its streams; the peer is gone. */
void pubsub_peer_drop(struct pubsub_peer *p);
/* Writes what waits, as far as the stream takes it. */
void pubsub_peer_pump(struct pubsub_peer *p);
unsigned pubsub_features(struct ww_bytes protocol);
struct ww_stream_user *pubsub_peer_accept(
    struct ww_pubsub *ps, struct ww_stream *stream, struct ww_bytes protocol);

#endif
