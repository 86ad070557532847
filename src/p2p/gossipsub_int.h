/* p2p/gossipsub_int.h — what the parts of the router share. Not for use outside gossipsub*.c. */
#ifndef WW_P2P_GOSSIPSUB_INT_H
#define WW_P2P_GOSSIPSUB_INT_H

#include "p2p/gossipsub_cache.h"
#include "p2p/gossipsub_codec.h"

#define WW_GOSSIP_BLAMED 128 /* peers whose faults outlive their connection */

/* A topic exists while somebody refers to it: a subscriber, a join, a fanout, a back-off, a message. */
struct ww_gossip_topic {
    struct ww_map_node node;
    uint32_t serial, refs;
    bool joined, deliver;
    struct ww_list active_link; /* g->active while joined or with a fanout */
    struct ww_list members, mesh, fanout;
    size_t member_count, mesh_count, fanout_count;
    uint64_t fanout_until_ns; /* 0: none */
    struct ww_list window;    /* its cached messages, oldest first */
    uint16_t name_len;
    uint8_t name[];
};

/* One subscription of one peer. */
struct ww_gossip_member {
    struct ww_map_node node;
    uint32_t key[2]; /* serials of peer and topic */
    struct ww_gossip_peer *peer;
    struct ww_gossip_topic *topic;
    struct ww_list peer_link, topic_link, mesh_link, fanout_link;
    bool in_mesh, in_fanout;
};

struct ww_gossip_backoff {
    struct ww_map_node node;
    struct ww_heap_node heap; /* by expiry */
    struct ww_gossip_topic *topic;
    uint64_t expires_ns, length_ns;
    uint8_t key_len;
    uint8_t key[4 + WW_GOSSIP_PEER_ID_MAX]; /* serial of the topic, id of the peer */
};

struct ww_gossip_served {
    uint32_t peer_serial, count;
};

struct ww_gossip_connect {
    struct ww_list link;
    uint8_t id_len;
    uint8_t id[WW_GOSSIP_PEER_ID_MAX];
    size_t record_len;
    uint8_t record[];
};

struct ww_gossip_blame {
    uint8_t id[WW_GOSSIP_PEER_ID_MAX];
    uint8_t id_len;
    uint32_t penalty_milli, invalid_milli;
    uint64_t beat;
};

enum ww_gossip_msg_state { WW_GOSSIP_MSG_PENDING, WW_GOSSIP_MSG_CACHED, WW_GOSSIP_MSG_LOOSE };

struct ww_gossip {
    struct ww_gossip_conf conf;
    uint8_t self[WW_GOSSIP_PEER_ID_MAX];
    struct ww_prng prng;
    struct ww_gossip_stats stats;
    uint64_t seqno, beat, next_beat_ns;
    uint32_t next_peer_serial, next_topic_serial;
    bool scored; /* somebody set a score from outside */

    struct ww_map peers, topics, members, backoffs, cache;
    struct ww_list all_peers, active; /* active: topics joined or with a fanout */
    struct ww_heap backoff_heap;
    size_t joined_count, floodsub_peers;

    struct ww_seen seen;
    struct ww_list cached; /* all cached messages, oldest first */
    size_t cached_bytes;

    struct ww_list pending, validate, deliver, ready, closing, connects;
    size_t pending_count, pending_bytes;
    unsigned connects_left; /* in this heartbeat */
    struct ww_gossip_connect *connect_out;

    struct ww_gossip_blame blamed[WW_GOSSIP_BLAMED];
    size_t blamed_next;

    struct ww_buf scratch, signed_bytes;
    struct ww_gossip_member **pick; /* scratch for sampling */
    size_t pick_cap;
    struct ww_bytes *ids; /* scratch: conf.ihave_ids_max */
};

static inline struct ww_bytes ww_gossip_peer_id(const struct ww_gossip_peer *p)
{
    return ww_bytes(p->id_mem, p->id_len);
}

static inline struct ww_bytes ww_gossip_topic_name(const struct ww_gossip_topic *t)
{
    return ww_bytes(t->name, t->name_len);
}

static inline uint64_t ww_gossip_id_hash(const struct ww_gossip *g, struct ww_bytes id)
{
    return ww_siphash13(g->conf.hash_seed, id);
}

static inline uint64_t ww_gossip_later(uint64_t now_ns, uint64_t by_ns)
{
    return by_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + by_ns;
}

/* ---- gossipsub_topic.c: topics, members, back-offs ---- */

struct ww_gossip_topic *ww_gossip_topic_find(const struct ww_gossip *g, struct ww_bytes name);
/* Finds or makes; with one more reference. NULL: no memory, or too many known topics. */
struct ww_gossip_topic *ww_gossip_topic_get(struct ww_gossip *g, struct ww_bytes name, bool ours);
void ww_gossip_topic_unref(struct ww_gossip *g, struct ww_gossip_topic *t);

struct ww_gossip_member *ww_gossip_member_find(
    const struct ww_gossip *g, const struct ww_gossip_peer *p, const struct ww_gossip_topic *t);
/* NULL: over a limit, or no memory. */
struct ww_gossip_member *ww_gossip_member_add(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic);
void ww_gossip_member_drop(struct ww_gossip *g, struct ww_gossip_member *m);
void ww_gossip_mesh_add(struct ww_gossip *g, struct ww_gossip_member *m);
void ww_gossip_mesh_remove(struct ww_gossip *g, struct ww_gossip_member *m);
void ww_gossip_fanout_add(struct ww_gossip *g, struct ww_gossip_member *m);
void ww_gossip_fanout_remove(struct ww_gossip *g, struct ww_gossip_member *m);

struct ww_gossip_backoff *ww_gossip_backoff_find(
    const struct ww_gossip *g, const struct ww_gossip_topic *t, struct ww_bytes peer);
/* Never shortens one. Without memory there is none: the peer's own back-off then answers. */
void ww_gossip_backoff_add(struct ww_gossip *g, struct ww_gossip_topic *t, struct ww_bytes peer,
    uint64_t length_ns, uint64_t now_ns);
void ww_gossip_backoff_expire(struct ww_gossip *g, uint64_t before_ns);

/* ---- gossipsub_queue.c: output of one peer ---- */

void ww_gossip_queue_init(struct ww_gossip *g, struct ww_gossip_peer *p);
void ww_gossip_queue_fini(struct ww_gossip_peer *p);
/* Takes a reference of its own. */
void ww_gossip_queue_msg(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_slab *frame);
/* Subscription changes, GRAFT and PRUNE must not be lost: when they do not fit, the peer is to be closed. */
void ww_gossip_queue_subscription(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic, bool on);
void ww_gossip_queue_graft(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic);
/* Appends entries that were encoded already; WW_ELIMIT, WW_ENOMEM. */
WW_MUST_USE ww_err ww_gossip_queue_control(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes entries);
void ww_gossip_close_post(struct ww_gossip *g, struct ww_gossip_peer *p, ww_err reason);

/* ---- gossipsub_msg.c: cache, IHAVE and IWANT, forwarding ---- */

void ww_gossip_in_message(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes body, uint64_t now_ns);
void ww_gossip_in_ihave(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns);
void ww_gossip_in_iwant(struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item);
void ww_gossip_emit(struct ww_gossip *g, struct ww_gossip_topic *t);
void ww_gossip_cache_shift(struct ww_gossip *g);
void ww_gossip_cache_clear(struct ww_gossip *g);
void ww_gossip_promises_check(struct ww_gossip *g, struct ww_gossip_peer *p, uint64_t now_ns);

/* ---- gossipsub_mesh.c ---- */

enum {
    WW_GOSSIP_PICK_MESH = 1,
    WW_GOSSIP_PICK_FANOUT = 2,
    WW_GOSSIP_PICK_BACKOFF = 4,
    WW_GOSSIP_PICK_INBOUND = 8
};
/* Random members of a topic into g->pick, at most `want` in front of all that fit: those that speak
 * gossipsub, have at least `score`, and are none of what `skip` says. Returns how many. */
size_t ww_gossip_pick(
    struct ww_gossip *g, struct ww_gossip_topic *t, unsigned skip, int32_t score, size_t want);
void ww_gossip_graft(struct ww_gossip *g, struct ww_gossip_member *m);
void ww_gossip_in_subscription(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns);
void ww_gossip_in_graft(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic, uint64_t now_ns);
void ww_gossip_in_prune(
    struct ww_gossip *g, struct ww_gossip_peer *p, const struct ww_gossip_item *item, uint64_t now_ns);

/* Faults in thousandths, so that they can fade smoothly. */
void ww_gossip_blame_penalty(struct ww_gossip *g, struct ww_gossip_peer *p, uint32_t milli);
void ww_gossip_blame_invalid(struct ww_gossip *g, struct ww_gossip_peer *p, uint32_t milli);
/* A tenth is forgiven each heartbeat. */
void ww_gossip_blame_fade(const struct ww_gossip *g, struct ww_gossip_peer *p);
void ww_gossip_blame_update(const struct ww_gossip *g, struct ww_gossip_peer *p);

#endif
