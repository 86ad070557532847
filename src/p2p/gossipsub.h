/* p2p/gossipsub.h — the gossipsub v1.1 router as a pure core: bytes and time in, frames and events out.
 *
 * Sources: libp2p specs pubsub/README.md, pubsub/gossipsub/gossipsub-v1.0.md and gossipsub-v1.1.md.
 * What we changed against the papers: there is no peer score function, only a penalty that grows with invalid
 * messages, ignored back-offs and broken promises, and fades with time (a score from outside can be added).
 * Own messages to a thin mesh are also sent to subscribed peers beyond it, so that the first message of a
 * young node is not lost.
 *
 * Use: one `struct ww_gossip` a node. A peer is a `struct ww_gossip_peer` embedded in the caller's object,
 * between ww_gossip_peer_up and ww_gossip_peer_down. After each call that takes the router, drain
 * ww_gossip_next_event, and arm a timer for ww_gossip_deadline. Frames wait in a bounded queue per peer until
 * ww_gossip_peer_pull takes them.
 *
 * Ownership: views and ids passed in are borrowed and copied where kept. Frames are shared slabs. Messages
 * are counted. Deterministic: the same conf and the same calls give the same events and the same bytes.
 * Errors: a bad RPC is WW_EPROTO / WW_ETRUNC / WW_ELIMIT from ww_gossip_rpc_in: reset the stream. Everything
 * else a peer can do wrong is counted, and in the end asked to be closed (WW_GOSSIP_EV_CLOSE).
 *
 * Invariants (checked by ww_gossip_check, cited by tests):
 *  G1 a mesh member is connected, and we have joined the topic;
 *  G2 a peer is in the mesh of a topic only while no back-off of it for that topic runs;
 *  G3 a peer's queue holds at most conf.queue_max frames and conf.queue_bytes_max bytes;
 *  G4 the message cache holds at most conf.mcache_bytes_max bytes, the seen cache at most conf.seen_max ids;
 *  G5 a message is delivered at most once while its id is in the seen cache.
 */
#ifndef WW_P2P_GOSSIPSUB_H
#define WW_P2P_GOSSIPSUB_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/slab.h"
#include "base/trace.h"

#define WW_GOSSIP_PEER_ID_MAX 64 /* bytes of a binary peer id */
#define WW_GOSSIP_TOPIC_MAX 256  /* bytes of a topic name */
#define WW_GOSSIP_MSG_ID_MAX 96
#define WW_GOSSIP_SIGNATURE_MAX 1024 /* RSA with 8192 bits */
#define WW_GOSSIP_PROMISES 8

struct ww_gossip;
struct ww_gossip_topic; /* the router's */

/* ---- messages ---- */

/* The fields of a message, as views into its frame. Absent bytes fields have ptr NULL. */
struct ww_gossip_fields {
    struct ww_bytes from; /* the author's binary peer id */
    struct ww_bytes data;
    struct ww_bytes seqno; /* 8 bytes, big-endian */
    struct ww_bytes topic;
    struct ww_bytes signature;
    struct ww_bytes key; /* PublicKey protobuf, only when `from` does not contain it */
};

enum ww_gossip_verdict {
    WW_GOSSIP_ACCEPT, /* deliver and forward */
    WW_GOSSIP_IGNORE, /* drop without blame */
    WW_GOSSIP_REJECT, /* drop and blame who sent it */
};

/* One message, counted. `frame` is the whole RPC with its length prefix, the message bytes in it unchanged.
 */
struct ww_gossip_msg {
    uint32_t refs;
    struct ww_gossip_fields f;
    struct ww_bytes id; /* in id_mem */
    struct ww_slab *frame;
    bool own; /* ww_gossip_publish made it */
    uint64_t received_ns;

    /* The router's. */
    struct ww_gossip_topic *topic;
    uint32_t source_serial; /* the peer that sent it; 0: own */
    uint64_t beat;          /* heartbeat in which it was cached */
    uint8_t state;
    struct ww_list event_link, window_link, age_link;
    struct ww_map_node id_node;
    struct ww_gossip_served *served; /* who asked for it by IWANT, and how often */
    uint32_t served_count, served_cap;
    uint8_t id_mem[WW_GOSSIP_MSG_ID_MAX];
};

static inline struct ww_gossip_msg *ww_gossip_msg_ref(struct ww_gossip_msg *m)
{
    m->refs++;
    return m;
}
void ww_gossip_msg_unref(struct ww_gossip_msg *m);

/* Writes a message's id into `out` (WW_GOSSIP_MSG_ID_MAX bytes) and returns its length; 0: the message has
 * none and is dropped. All nodes of a network must use the same function. */
typedef size_t ww_gossip_id_fn(const struct ww_gossip_fields *f, uint8_t *out);
ww_gossip_id_fn ww_gossip_id_author_seqno; /* from ‖ seqno: the default */
ww_gossip_id_fn ww_gossip_id_content;      /* SHA-256 of topic ‖ 0 ‖ data: for unsigned messages */

/* ---- signatures ---- */

enum ww_gossip_policy {
    WW_GOSSIP_STRICT_SIGN,    /* author, sequence number and a good signature are demanded */
    WW_GOSSIP_STRICT_NO_SIGN, /* all three must be absent; needs an id function over the content */
};

/* How messages are signed and checked. ww_gossip_auth_key (below) is the real one. */
struct ww_gossip_auth {
    struct ww_bytes key; /* PublicKey protobuf to attach; empty when the own peer id contains it */
    /* `out` has WW_GOSSIP_SIGNATURE_MAX bytes. */
    ww_err (*sign)(struct ww_gossip_auth *a, struct ww_bytes data, uint8_t *out, size_t *ret_len);
    ww_err (*verify)(struct ww_gossip_auth *a, struct ww_bytes from, struct ww_bytes key,
        struct ww_bytes data, struct ww_bytes sig);
};

/* ---- configuration ---- */

struct ww_gossip_conf {
    struct ww_bytes self;        /* own binary peer id; copied */
    struct ww_gossip_auth *auth; /* borrowed, outlives the router; NULL only with STRICT_NO_SIGN */
    enum ww_gossip_policy policy;
    ww_gossip_id_fn *msg_id;
    uint64_t prng_seed;
    uint64_t hash_seed[2];
    uint64_t seqno_start; /* wall clock in nanoseconds; the first message carries one more */
    struct ww_trace *trace;

    /* Mesh: wanted degree, its bounds, how many survive a cut by score, how many must be dialled by us. */
    unsigned d, d_lo, d_hi, d_score, d_out, d_lazy;
    unsigned gossip_percent; /* of the peers outside the mesh, that get IHAVE; at least d_lazy */
    unsigned history_windows, gossip_windows;
    uint64_t heartbeat_ns, heartbeat_first_ns, fanout_ttl_ns;
    uint64_t backoff_ns, unsubscribe_backoff_ns, backoff_max_ns, graft_flood_ns;
    unsigned backoff_slack_beats;
    bool px;                     /* send and follow peer exchange on PRUNE */
    unsigned px_peers;           /* in a PRUNE, both ways */
    unsigned px_beat;            /* connect events within one heartbeat */
    unsigned retransmit_max;     /* answers to IWANT for one message and peer */
    unsigned ihave_ids_max;      /* ids asked for, of one peer within one heartbeat; also ids sent */
    unsigned ihave_messages_max; /* RPCs with IHAVE that we look at, of one peer within one heartbeat */
    uint64_t promise_ns;
    uint64_t seen_ttl_ns;
    int32_t score_gossip, score_publish, score_graylist,
        score_px;                                      /* below: no gossip, no own messages, nothing, no PX */
    unsigned opportunistic_beats, opportunistic_peers; /* only when scores from outside are set */
    int32_t opportunistic_score;
    uint32_t penalty_free, invalid_free; /* faults that cost no score; each further one costs 1 */
    uint32_t invalid_close;              /* at so many invalid messages the peer is to be closed */

    /* Bounds. */
    size_t rpc_bytes_max;     /* of a whole RPC, both ways */
    size_t control_bytes_max; /* of one RPC of control that we send */
    size_t topics_max;        /* joined */
    size_t peer_topics_max, rpc_subscriptions_max;
    size_t known_topics_max; /* names that peers told us */
    size_t seen_max, mcache_bytes_max, backoffs_max;
    size_t queue_max, queue_bytes_max, control_queue_bytes_max; /* per peer */
    size_t pending_max, pending_bytes_max;                      /* waiting for a verdict */
};

/* The usual parameters; sets all but self, auth, seeds and seqno_start. */
void ww_gossip_conf_default(struct ww_gossip_conf *conf);

/* ---- the router ---- */

struct ww_gossip_stats {
    uint64_t rpcs_in, rpcs_bad;
    uint64_t messages_in, duplicates, invalid, ignored, rejected, not_joined, delivered, published;
    uint64_t frames_out, bytes_out, dropped_frames, dropped_bytes, dropped_control;
    uint64_t ihave_in, ihave_ignored, iwant_in, iwant_served, iwant_refused, iwant_out;
    uint64_t grafts_in, grafts_refused, prunes_in, grafts_out, prunes_out, backoff_violations,
        promises_broken;
    uint64_t seen_evicted, mcache_evicted, pending_dropped, px_connects;
};

/* WW_EINVAL for parameters that contradict each other, WW_ENOMEM. The first heartbeat is
 * conf.heartbeat_first_ns from `now_ns`. */
WW_MUST_USE ww_err ww_gossip_new(
    const struct ww_gossip_conf *conf, uint64_t now_ns, struct ww_gossip **ret_gossip);
/* No peer may be up. Messages that somebody holds stay valid. */
void ww_gossip_free(struct ww_gossip *g);
void ww_gossip_stats(const struct ww_gossip *g, struct ww_gossip_stats *ret_stats);

/* Heartbeat is due then. */
uint64_t ww_gossip_deadline(const struct ww_gossip *g);
void ww_gossip_tick(struct ww_gossip *g, uint64_t now_ns);

/* ---- peers ---- */

enum ww_gossip_feature {
    WW_GOSSIP_MESH = 1 << 0, /* speaks gossipsub; without it the peer gets every message (floodsub) */
    WW_GOSSIP_PX = 1 << 1,   /* understands peer exchange (v1.1) */
};

/* Everything in it is the router's. Zero it, then call peer_up. */
struct ww_gossip_peer {
    uint8_t id_mem[WW_GOSSIP_PEER_ID_MAX];
    uint8_t id_len;
    unsigned features;
    bool up, outbound, hello_due, ready_posted, close_posted;
    uint32_t serial; /* never reused */
    ww_err close_reason;
    struct ww_map_node id_node;
    struct ww_list link;    /* all peers, in the order they came */
    struct ww_list members; /* its topics */
    size_t member_count;
    struct ww_list ready_link, close_link;
    struct ww_slab *record; /* its signed peer record, for peer exchange */
    int32_t app_score;
    uint32_t penalty_milli;               /* broken rules of the mesh */
    uint32_t invalid_milli;               /* invalid messages */
    uint32_t cost_milli;                  /* what both cost in score */
    unsigned ihave_messages, ihave_asked; /* within this heartbeat */
    struct ww_gossip_promise {
        uint64_t id_hash, deadline_ns;
    } promises[WW_GOSSIP_PROMISES];
    /* Waiting output: subscription changes and control are encoded late, whole control frames are ready
     * before message frames. */
    struct ww_buf subs, control;
    struct ww_slab **ring[2]; /* 0: control, 1: messages */
    size_t ring_head[2], ring_len[2], ring_cap[2], ring_bytes[2];
    uint64_t dropped_frames, dropped_bytes;
};

/* `outbound`: we dialled the connection. The hello with all our subscriptions is queued (even when there are
 * none). WW_EEXIST when a peer with this id is up, WW_EINVAL for the own id or one that is too long. */
WW_MUST_USE ww_err ww_gossip_peer_up(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes id, unsigned features, bool outbound);
/* Frees what the peer holds; its back-offs stay. Nothing of the peer is touched afterwards. */
void ww_gossip_peer_down(struct ww_gossip *g, struct ww_gossip_peer *p);
/* What its protocol id tells of it; known for good only when its stream is open. */
void ww_gossip_peer_features_set(struct ww_gossip *g, struct ww_gossip_peer *p, unsigned features);
struct ww_gossip_peer *ww_gossip_peer_find(const struct ww_gossip *g, struct ww_bytes id);
/* Its outbound stream was replaced by a new one: the hello comes first again, then GRAFTs for where we stand,
 * then the messages that still wait. */
void ww_gossip_peer_restart(struct ww_gossip *g, struct ww_gossip_peer *p);
/* A signed envelope with the peer's record, to be handed on in peer exchange. A reference is taken; NULL
 * clears. */
void ww_gossip_peer_record_set(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_slab *envelope);
/* An opinion from outside, added to the peer's own standing. */
void ww_gossip_peer_score_set(struct ww_gossip *g, struct ww_gossip_peer *p, int32_t score);
int32_t ww_gossip_peer_score(const struct ww_gossip_peer *p);

/* One whole RPC without its length prefix. On an error the stream is to be reset; what came before it may
 * have had effect only if the whole RPC was well formed (it is checked first). */
WW_MUST_USE ww_err ww_gossip_rpc_in(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes rpc, uint64_t now_ns);

/* The next frame to write, with its length prefix; the caller owns the reference. NULL: nothing waits (or no
 * memory). */
struct ww_slab *ww_gossip_peer_pull(struct ww_gossip *g, struct ww_gossip_peer *p);

/* ---- topics and messages ---- */

/* Counted by the caller: join once, leave once. On the wire a relay is the same as a subscriber; `deliver`
 * only says whether accepted messages come out as events. Joining again changes `deliver`. WW_ELIMIT,
 * WW_EINVAL, WW_ENOMEM. */
WW_MUST_USE ww_err ww_gossip_join(struct ww_gossip *g, struct ww_bytes topic, bool deliver, uint64_t now_ns);
void ww_gossip_leave(struct ww_gossip *g, struct ww_bytes topic, uint64_t now_ns);

/* Builds and signs a message, which then waits for ww_gossip_validated like any other; the caller owns that
 * step. WW_EINVAL for a bad topic name, WW_ELIMIT over the RPC size, WW_ENOMEM, or the signer's error. */
WW_MUST_USE ww_err ww_gossip_publish(struct ww_gossip *g, struct ww_bytes topic, struct ww_bytes data,
    uint64_t now_ns, struct ww_gossip_msg **ret_msg);
/* Ends the wait of a message from WW_GOSSIP_EV_VALIDATE or ww_gossip_publish, exactly once, now or later. */
void ww_gossip_validated(
    struct ww_gossip *g, struct ww_gossip_msg *m, enum ww_gossip_verdict verdict, uint64_t now_ns);

size_t ww_gossip_topic_peers(const struct ww_gossip *g, struct ww_bytes topic);
size_t ww_gossip_mesh_peers(const struct ww_gossip *g, struct ww_bytes topic);
bool ww_gossip_in_mesh(const struct ww_gossip *g, struct ww_bytes topic, const struct ww_gossip_peer *p);
/* A topic that peers are in and we are not, for relays that follow their peers; the empty view when there is
 * none. Valid until something of the router changes. */
struct ww_bytes ww_gossip_foreign_topic(const struct ww_gossip *g);
/* Walks over subscribers of a topic: NULL begins, NULL ends. Nothing of the router may change meanwhile. */
struct ww_gossip_peer *ww_gossip_topic_peer_next(
    const struct ww_gossip *g, struct ww_bytes topic, const struct ww_gossip_peer *after);

/* ---- events ---- */

enum ww_gossip_event_kind {
    WW_GOSSIP_EV_SEND,     /* peer: frames wait; pull until NULL, at any time */
    WW_GOSSIP_EV_VALIDATE, /* msg: a new message with a good signature; answer with ww_gossip_validated */
    WW_GOSSIP_EV_DELIVER,  /* msg: accepted, in a topic joined with `deliver` */
    WW_GOSSIP_EV_CONNECT,  /* id, record: a peer proposed by peer exchange; the record is unchecked, maybe
                              empty */
    WW_GOSSIP_EV_CLOSE,    /* peer, err: broke the rules too often; close its connection */
};

struct ww_gossip_event {
    enum ww_gossip_event_kind kind;
    struct ww_gossip_peer *peer;
    struct ww_gossip_msg *msg; /* borrowed for VALIDATE (the wait holds it); DELIVER gives a reference */
    struct ww_bytes id;        /* CONNECT: valid until the next call of ww_gossip_next_event */
    struct ww_bytes record;
    ww_err err;
};

/* False when there is none. Order: sends and closes by peer, messages in order of arrival. */
bool ww_gossip_next_event(struct ww_gossip *g, struct ww_gossip_event *ret_event);

/* For tests: 0, or the number of the first invariant that does not hold. */
int ww_gossip_check(const struct ww_gossip *g, uint64_t now_ns);

#endif
