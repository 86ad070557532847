/* p2p/pubsub.h — publish and subscribe on a swarm: the driver of the gossipsub router (p2p/gossipsub.h).
 *
 * It opens one stream to each peer that speaks an accepted protocol id and only writes on it; it reads from
 * the stream that the peer opens, and a newer one replaces an older one. A peer that does not take what we
 * write for conf.write_timeout_ns loses its stream.
 *
 * Ownership: sinks, relays and validators are embedded in the caller's objects and stay linked until they are
 * removed; all of them must be removed before ww_pubsub_free. Messages in callbacks are borrowed;
 * ww_gossip_msg_ref keeps one. Callbacks: `message` never runs inside ww_pubsub_publish; it may publish,
 * subscribe and unsubscribe anything, itself included. `validate` runs inside ww_pubsub_publish for own
 * messages, else when a message arrives; it must not call back into the pubsub. No callback may free the
 * pubsub. Thread: the swarm's loop.
 */
#ifndef WW_P2P_PUBSUB_H
#define WW_P2P_PUBSUB_H

#include "p2p/gossipsub.h"
#include "p2p/proto_match.h"

struct ww_swarm;
struct ww_pubsub;

#define WW_PUBSUB_RULES_MAX 8
#define WW_PUBSUB_IDS_MAX 4

struct ww_pubsub_conf {
    /* Parameters of the router. self, auth, seeds, seqno_start and trace are filled in by ww_pubsub_new from
     * the swarm. */
    struct ww_gossip_conf gossip;
    /* Protocol ids offered, best first; copied. */
    struct ww_bytes ids[WW_PUBSUB_IDS_MAX];
    size_t id_count;
    /* Which ids of a peer we accept; copied. No rule: exactly those of `ids`. */
    struct ww_proto_rule rules[WW_PUBSUB_RULES_MAX];
    size_t rule_count;
    uint64_t write_timeout_ns;
};

/* Standard libp2p: `/meshsub/1.1.0`, `/meshsub/1.0.0`, `/floodsub/1.0.0`, exact. */
void ww_pubsub_conf_standard(struct ww_pubsub_conf *conf);
/* A cluster of Wetware nodes: offers `ww/0.1.0/<ns>/meshsub/1.1.0`, accepts the same majors, peer exchange
 * on. `id_mem` holds the id (WW_PROTO_ID_MAX bytes) and outlives the call of ww_pubsub_new, as does `ns`.
 * WW_EINVAL when `ns` cannot be part of an id. */
WW_MUST_USE ww_err ww_pubsub_conf_cluster(struct ww_pubsub_conf *conf, struct ww_bytes ns, char *id_mem);

/* Registers its protocols with the swarm and takes up the peers that are already connected. The swarm
 * outlives it. */
WW_MUST_USE ww_err ww_pubsub_new(
    struct ww_swarm *swarm, const struct ww_pubsub_conf *conf, struct ww_pubsub **ret_pubsub);
/* Closes all its streams. */
void ww_pubsub_free(struct ww_pubsub *ps);

/* Embedded by whoever wants the messages of a topic. */
struct ww_pubsub_sink {
    void (*message)(struct ww_pubsub_sink *sink, struct ww_gossip_msg *msg);
    bool skip_own;                 /* not the messages that this node published */
    struct ww_list link;           /* the pubsub's */
    struct ww_pubsub_topic *topic; /* NULL while not subscribed */
};
/* WW_EINVAL, WW_ELIMIT, WW_ENOMEM; WW_EEXIST when the sink is in use. */
WW_MUST_USE ww_err ww_pubsub_subscribe(
    struct ww_pubsub *ps, struct ww_bytes topic, struct ww_pubsub_sink *sink);
void ww_pubsub_unsubscribe(
    struct ww_pubsub *ps, struct ww_pubsub_sink *sink); /* harmless when not subscribed */

/* Takes part in the topic's mesh without consuming. Counted: a relay for each call, ended by one unrelay. */
WW_MUST_USE ww_err ww_pubsub_relay(struct ww_pubsub *ps, struct ww_bytes topic);
void ww_pubsub_unrelay(struct ww_pubsub *ps, struct ww_bytes topic);

/* Judges each message of a topic once, before it is delivered or forwarded; own messages too. */
struct ww_pubsub_validator {
    enum ww_gossip_verdict (*validate)(struct ww_pubsub_validator *v, const struct ww_gossip_msg *msg);
};
/* One a topic, joined or not; NULL removes it. WW_EEXIST when there is another. */
WW_MUST_USE ww_err ww_pubsub_validator_set(
    struct ww_pubsub *ps, struct ww_bytes topic, struct ww_pubsub_validator *validator);

/* Signs and sends. WW_EDENIED when the topic's validator did not accept it; WW_EINVAL, WW_ELIMIT, WW_ENOMEM.
 */
WW_MUST_USE ww_err ww_pubsub_publish(struct ww_pubsub *ps, struct ww_bytes topic, struct ww_bytes data);

/* Peers that told us they are in the topic, and those of them in our mesh (few: time to look for more peers).
 */
size_t ww_pubsub_topic_peers(const struct ww_pubsub *ps, struct ww_bytes topic);
size_t ww_pubsub_mesh_peers(const struct ww_pubsub *ps, struct ww_bytes topic);
/* The router, for its statistics and for walking over peers. */
struct ww_gossip *ww_pubsub_router(struct ww_pubsub *ps);

#endif
