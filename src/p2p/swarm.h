/* p2p/swarm.h — a libp2p host: listens, dials, upgrades connections (multistream-select, Noise, Yamux), opens
 * and accepts streams, identifies peers, and keeps within limits.
 *
 * Ownership: the swarm borrows env, key pair and everything registered with it (handlers, subscribers,
 * operations), which must outlive their registration; it owns connections and streams. ww_swarm_free closes
 * all of them: bound stream users get `closed(WW_ECLOSED)` and running operations `done(WW_ECANCELED)`, both
 * from inside ww_swarm_free (the one exception to "callbacks come from the loop"); subscribers are not told.
 * Do not free a swarm from inside one of its own callbacks.
 *
 * Operations (dial, open, ping) are structs that the caller embeds. When the submitting call returns WW_OK,
 * `done` comes exactly once, later, from the loop, unless the operation is canceled first. When it returns an
 * error, `done` does not come. Inside `done` the operation is idle again and may be freed or submitted anew.
 *
 * Time and randomness come from env alone: the same code runs in real and in virtual time.
 * Addresses are binary multiaddrs (p2p/multiaddr.h) in byte views. Protocol names are any bytes but newline,
 * 1 to 1024.
 *
 * Sources: libp2p specs (connections, identify, ping, perf, multistream-select, noise, yamux).
 */
#ifndef WW_P2P_SWARM_H
#define WW_P2P_SWARM_H

#include "p2p/peerstore.h"
#include "p2p/stream.h"

struct ww_swarm;
struct ww_keypair;

/* ---- configuration ---- */

/* 0 in a field means its default, which is in parentheses. */
struct ww_swarm_limits {
    uint32_t conns_in, conns_out; /* established, whole node (1024 each) */
    uint32_t conns_per_peer;      /* (8) */
    uint32_t conns_per_ip;        /* an IPv4 address or IPv6 /56 (8); loopback is exempt */
    uint32_t handshakes; /* inbound ones in progress (128); over it the oldest of the busiest source goes */
    uint32_t handshakes_per_ip;     /* (8); loopback counts only against the total */
    uint32_t streams_in_per_conn;   /* open inbound streams (256) */
    uint32_t streams_out_per_conn;  /* open outbound streams (500: some stacks drop a connection at 512) */
    uint32_t streams_in;            /* inbound streams, whole node (8192) */
    uint32_t negotiations_per_conn; /* inbound streams without a protocol yet (128) */
    uint64_t conn_bytes; /* memory that one connection's peer can make us hold, promised windows included (128
                            MiB) */
    uint64_t peer_bytes; /* the same for all connections of a peer (256 MiB) */
    uint64_t total_bytes;          /* the same for the node (4 GiB) */
    uint64_t window_bytes_max;     /* receive window that a stream may grow to (16 MiB) */
    uint64_t handshake_timeout_ns; /* from accept or connect to usable (10 s) */
    uint64_t negotiate_timeout_ns; /* for a stream's protocol (10 s) */
    uint64_t dial_timeout_ns;      /* a dial that names none (15 s) */
    uint64_t connect_timeout_ns;   /* one address (5 s) */
    uint64_t keepalive_ns;         /* ping on a silent connection (15 s) */
    uint32_t dials_parallel;       /* addresses of one peer tried at once (4) */
    uint32_t dials_total;          /* socket connects in progress, whole node (160) */
};

/* Optional say in who may connect. Any function may be NULL: allowed. */
struct ww_swarm_gater {
    bool (*accept)(struct ww_swarm_gater *g, const struct ww_netaddr *remote);
    bool (*dial)(struct ww_swarm_gater *g, const struct ww_peer_id *peer, struct ww_bytes addr);
    bool (*secured)(struct ww_swarm_gater *g, const struct ww_peer_id *peer, bool outbound);
};

struct ww_swarm_conf {
    struct ww_env *env;
    const struct ww_keypair *key;
    const char *agent;            /* for identify; NULL: "wetware-c/" WW_VERSION */
    const char *protocol_version; /* for identify; NULL: "" */
    struct ww_swarm_limits limits;
    struct ww_swarm_gater *gater; /* NULL: everybody */
    struct ww_budget *budget;     /* parent of all the swarm's budgets; NULL: none */
    bool no_early_muxer;          /* negotiate the muxer after security, as older peers do (for tests) */
    bool no_ping, no_identify;    /* do not serve; identify then also does not query */
    bool serve_perf;              /* serve /perf/1.0.0: a peer may make us send as much as it asks for */
};

/* WW_EINVAL, WW_ENOMEM, WW_ECRYPTO. */
WW_MUST_USE ww_err ww_swarm_new(const struct ww_swarm_conf *conf, struct ww_swarm **ret_swarm);
/* Closes all, see above. NULL is allowed. */
void ww_swarm_free(struct ww_swarm *sw);

const struct ww_peer_id *ww_swarm_id(const struct ww_swarm *sw);
struct ww_env *ww_swarm_env(const struct ww_swarm *sw);
struct ww_peerstore *ww_swarm_peerstore(struct ww_swarm *sw);
const struct ww_keypair *ww_swarm_key(const struct ww_swarm *sw);

/* ---- listening ---- */

/* /ip4|ip6/A/tcp/N, port 0 for a free one. WW_EUNSUPPORTED for other transports, WW_EADDRINUSE,
 * WW_EADDRNOTAVAIL, WW_EDENIED; `diag` (optional) says which address and why. */
WW_MUST_USE ww_err ww_swarm_listen(struct ww_swarm *sw, struct ww_bytes addr, struct ww_diag *diag);
/* Addresses under which we may be reached besides the bound ones (static NAT, names). Copied. */
WW_MUST_USE ww_err ww_swarm_announce(struct ww_swarm *sw, struct ww_bytes addr);

/* Addresses to tell others: bound ones with wildcards expanded to the interfaces' (loopback last), then
 * announced ones. Without /p2p. Valid until the next event `addrs_changed`. */
size_t ww_swarm_addr_count(const struct ww_swarm *sw);
struct ww_bytes ww_swarm_addr(const struct ww_swarm *sw, size_t index);
/* Looks at the interfaces again; `addrs_changed` follows when something changed. */
void ww_swarm_refresh_addrs(struct ww_swarm *sw);
/* Our signed peer record (envelope bytes) over these addresses; made anew when they change. Empty when out of
 * memory. */
struct ww_bytes ww_swarm_peer_record(struct ww_swarm *sw);

/* ---- protocol handlers ---- */

struct ww_stream_handler {
    struct ww_list link; /* the swarm's, while registered */
    const char
        *protocol; /* this exact name is accepted, and told to others by identify (unless `unlisted`) */
    bool unlisted;
    /* Optional: accepts further names. Asked only when no handler has the exact name; first registered, first
     * asked. */
    bool (*match)(struct ww_stream_handler *h, struct ww_bytes protocol);
    /* A stream was opened by a peer for `protocol`. Return the user that takes it (with `events` set), or
     * NULL to reset it. Writing is possible inside; so is writing, releasing the stream and returning NULL.
     * Data may follow right after the callback. */
    struct ww_stream_user *(*opened)(
        struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol);
};

/* At any time; peers are told by identify push. WW_EEXIST when the exact name is taken. */
WW_MUST_USE ww_err ww_swarm_handle(struct ww_swarm *sw, struct ww_stream_handler *h);
/* Its open streams live on. */
void ww_swarm_unhandle(struct ww_swarm *sw, struct ww_stream_handler *h);

/* ---- dialing ---- */

struct ww_swarm_dial {
    void (*done)(struct ww_swarm_dial *op, ww_err err);
    struct ww_peer_id peer; /* after success: who it is */
    struct ww_diag diag;    /* after failure: what was tried, one clause an address */
    /* the swarm's */
    struct ww_list link;
    struct ww_dial *dial;
    ww_err result;
    struct ww_timer timer;
    struct ww_task task;
    struct ww_swarm *swarm;
};

/* Makes sure that there is a connection. `peer` NULL: whoever answers at `addrs`, or the peer that they name.
 * Addresses may end in /p2p/ID, which must then be `peer`. Those in the peerstore are tried as well when the
 * peer is known; of these the ones that failed lately wait out their back-off (5 s + n² s, at most 5 min),
 * while addresses given here are always tried. Wildcard, unsupported and own addresses are skipped.
 * Concurrent dials of one peer share their work. An existing connection completes it at once (from the loop).
 * timeout_ns 0: the default. Returns WW_EINVAL (self-dial, bad address), WW_EUNREACH (nothing left to try;
 * op->diag says why), WW_ENOMEM. Result: WW_OK, WW_ETIMEOUT, WW_EREFUSED, WW_EUNREACH, WW_EPEERID, ...
 * whichever is most telling. */
WW_MUST_USE ww_err ww_swarm_dial(struct ww_swarm *sw, struct ww_swarm_dial *op, const struct ww_peer_id *peer,
    const struct ww_bytes *addrs, size_t addr_count, uint64_t timeout_ns);
/* `done` does not come. Harmless on an idle operation that is zeroed or has been used. */
void ww_swarm_dial_cancel(struct ww_swarm_dial *op);

/* ---- streams ---- */

struct ww_swarm_open {
    void (*done)(struct ww_swarm_open *op, ww_err err);
    /* after success; `protocol` is one of those asked for and lives as long as the stream */
    struct ww_stream *stream;
    struct ww_bytes protocol;
    struct ww_diag diag; /* after failure */
    /* the swarm's */
    struct ww_stream_user *user;
    struct ww_stream *pending;
    struct ww_list link;
    struct ww_swarm_dial dial;
    struct ww_peer_id peer;
    char *protocols;
    size_t protocol_count, protocols_len;
    ww_err result;
    bool strict, dialing;
    struct ww_timer timer;
    struct ww_task task;
    struct ww_swarm *swarm;
};

/* Opens a stream for the first of `protocols` (NUL-terminated names, copied) that the peer speaks. Dials
 * first, with the peerstore's addresses, when not connected. On success `user` is bound to the stream before
 * `done`. A protocol that identify has listed, or a single one, is proposed optimistically: `done` comes
 * without a round trip, the first bytes written travel with the proposal, and a refusal shows as
 * closed(WW_ENOPROTO). Result: WW_ENOPROTO, WW_ETIMEOUT, WW_ECLOSED, WW_ELIMIT (streams), or what the dial
 * said. timeout_ns 0: the default. */
WW_MUST_USE ww_err ww_swarm_open(struct ww_swarm *sw, struct ww_swarm_open *op, const struct ww_peer_id *peer,
    const char *const *protocols, size_t protocol_count, struct ww_stream_user *user, uint64_t timeout_ns);
/* The same, but never optimistic: success means that the peer has agreed. */
WW_MUST_USE ww_err ww_swarm_open_strict(struct ww_swarm *sw, struct ww_swarm_open *op,
    const struct ww_peer_id *peer, const char *const *protocols, size_t protocol_count,
    struct ww_stream_user *user, uint64_t timeout_ns);
void ww_swarm_open_cancel(struct ww_swarm_open *op);

/* ---- connections ---- */

size_t ww_swarm_conn_count(const struct ww_swarm *sw);
bool ww_swarm_connected(const struct ww_swarm *sw, const struct ww_peer_id *peer);
/* The connection that a new stream would take; NULL when not connected. Valid until the loop turns. */
const struct ww_conn_info *ww_swarm_peer_conn(const struct ww_swarm *sw, const struct ww_peer_id *peer);
/* Connected peers, each once, in a fixed order: `prev` NULL begins, NULL ends. The set must not change in
 * between. */
const struct ww_peer_id *ww_swarm_next_peer(const struct ww_swarm *sw, const struct ww_peer_id *prev);
/* Closes all connections to a peer (its streams end with WW_ECLOSED, from the loop). */
void ww_swarm_disconnect(struct ww_swarm *sw, const struct ww_peer_id *peer);

/* ---- events ---- */

/* What identify told. Views into the peerstore: valid until the callback returns. */
struct ww_swarm_identity {
    const struct ww_peer_id *peer;
    struct ww_bytes agent, protocol_version;
    struct ww_bytes observed_addr; /* how that peer sees us: a hint; may be empty */
};

/* Any function may be NULL. Called from the loop; may do anything but free the swarm, also unsubscribe. */
struct ww_swarm_sub {
    struct ww_list link; /* the swarm's, while subscribed */
    void (*peer_up)(struct ww_swarm_sub *sub, const struct ww_peer_id *peer);   /* first connection */
    void (*peer_down)(struct ww_swarm_sub *sub, const struct ww_peer_id *peer); /* last connection */
    void (*identified)(
        struct ww_swarm_sub *sub, const struct ww_swarm_identity *identity); /* also after each push */
    void (*addrs_changed)(struct ww_swarm_sub *sub);                         /* ours */
};

void ww_swarm_subscribe(struct ww_swarm *sw, struct ww_swarm_sub *sub);
void ww_swarm_unsubscribe(struct ww_swarm *sw, struct ww_swarm_sub *sub);

/* Counters since birth, and gauges. */
struct ww_swarm_stats {
    uint64_t conns_in, conns_out; /* gauges: established now */
    uint64_t handshakes;          /* gauge: inbound in progress */
    uint64_t streams;             /* gauge: open now */
    uint64_t accepted, refused;   /* sockets accepted; refused by limit or gater */
    uint64_t upgraded, upgrade_failed;
    uint64_t dials, dial_failures;
    uint64_t bytes_in, bytes_out; /* on the sockets */
    uint64_t bytes_held;          /* gauge: charged to the swarm's budget */
};
void ww_swarm_stats(const struct ww_swarm *sw, struct ww_swarm_stats *ret);

#endif
