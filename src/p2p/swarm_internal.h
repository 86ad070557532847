/* p2p/swarm_internal.h — what the files of the swarm share. Nobody else includes it.
 *
 * Who frees what: a connection is freed only by its own task (or ww_swarm_free), a stream only by its
 * connection's sweep, so both stay valid through every callback; `state` tells that they are over. Counters
 * (conns, handshakes, streams) are changed only in conn.c and stream.c, by the flags that say what was
 * counted.
 */
#ifndef WW_P2P_SWARM_INTERNAL_H
#define WW_P2P_SWARM_INTERNAL_H

#include "p2p/multiaddr.h"
#include "p2p/multistream.h"
#include "p2p/noise.h"
#include "p2p/swarm.h"
#include "p2p/yamux.h"

enum {
    SWARM_RX_BYTES = 256 << 10, /* one read; the buffer is the swarm's, so that idle connections hold none */
    SWARM_TX_BYTES = 256 << 10, /* sealed frames waiting for the socket */
    SWARM_TX_SPARE = 4,         /* send buffers kept for the next connection that has something to say */
    SWARM_STREAM_SEND_BYTES = 1 << 20, /* queued on one stream */
    SWARM_CONN_SEND_BYTES = 8 << 20,   /* on all streams of a connection */
    SWARM_MARK_BYTES = 256 << 10,      /* above which a stream refuses writes, unless set */
    SWARM_PRE_BYTES = 32 << 10,        /* output of a handshake */
};

/* What one source address has: counted so that no single host fills the tables. */
struct swarm_ip {
    struct ww_map_node node;
    uint8_t key[8]; /* family, then IPv4 address or IPv6 /56 */
    uint32_t refs;  /* connections that point here, in any state */
    uint32_t conns, handshakes;
    bool loopback;
};

struct swarm_peer {
    struct ww_map_node node;
    struct ww_list link; /* in sw->connected while it has a connection */
    struct ww_peer_id id;
    struct ww_list conns; /* newest first */
    uint32_t refs;        /* connections that point here, in any state */
    uint32_t conn_count;  /* those that are open or just closing */
    struct ww_budget budget;
    struct ww_dial *dial;
};

enum conn_state {
    CONN_CONNECTING,
    CONN_SECURITY, /* multistream for the security protocol */
    CONN_NOISE,
    CONN_MUXER, /* multistream for the muxer, when Noise did not settle it */
    CONN_OPEN,
    CONN_CLOSING, /* its task will free it */
};

struct conn_upgrade {
    struct ww_mss mss;
    struct ww_mss_matcher matcher;
    struct ww_noise noise;
    bool mss_live, noise_live;
    struct ww_peer_id expected; /* len 0: anybody */
};

struct ww_conn {
    struct ww_tcp_user tcp;
    struct ww_swarm *sw;
    struct ww_conn_info info;
    enum conn_state state;
    ww_err err;                /* why it closes */
    struct ww_list link;       /* in sw->conns */
    struct ww_list shake_link; /* in sw->handshakes: inbound and not open yet, oldest first */
    struct ww_list peer_link;
    struct swarm_peer *peer; /* once open */
    struct swarm_ip *ip;     /* inbound */
    bool counted_shake, counted_conn;
    struct ww_dial *dial; /* whose attempt this is, until open */
    struct ww_list dial_link;
    uint8_t *dialed; /* its multiaddr without /p2p */
    size_t dialed_len;

    struct conn_upgrade *up; /* NULL once open */
    struct ww_buf pre;       /* handshake output, goes before all else */
    struct ww_noise_session session;
    struct ww_noise_reader reader;
    bool session_live, mux_live, feeding;
    struct ww_yamux mux;
    uint8_t *tx; /* NULL or SWARM_TX_BYTES */
    size_t tx_head, tx_tail;
    bool tx_blocked; /* the socket took less than all; `writable` follows */
    bool tx_more;    /* had its share of this turn, goes on in the next */
    bool tcp_dead;   /* nothing can be written any more */

    struct ww_list streams;  /* all that are not dead */
    struct ww_list resumed;  /* have something to offer to their user */
    struct ww_list writers;  /* were refused a write by our own mark */
    struct ww_list ending;   /* our side ends once the queue is empty */
    struct ww_list dead;     /* to be freed by the sweep */
    uint32_t negotiating_in; /* inbound streams without a protocol */
    struct ww_budget budget;
    struct ww_task task;
    struct ww_timer timer;
    uint64_t timer_at_ns;
};

enum stream_state {
    STREAM_NEGOTIATING, /* no user yet */
    STREAM_LAZY,        /* the user writes already, the peer's consent is still to be read */
    STREAM_OPEN,
    STREAM_DRAINING, /* released: no user, waits for the end */
    STREAM_DEAD,
};

struct ww_stream {
    struct ww_yamux_stream mux;
    struct ww_conn *conn;
    struct ww_list link;    /* in conn->streams or conn->dead */
    struct ww_list resumed; /* in conn->resumed */
    struct ww_list writers; /* in conn->writers */
    struct ww_list ending;  /* in conn->ending */
    struct ww_stream_user *user;
    struct ww_swarm_open *op; /* waits for this stream's protocol */
    struct ww_mss *mss;       /* while the protocol is being agreed on */
    struct ww_bytes *wanted;  /* behind an initiator's mss: views, then names */
    struct ww_bytes protocol; /* its own copy */
    struct ww_buf recv;       /* what the user did not take yet */
    size_t mark;
    enum stream_state state;
    bool outbound, paused, held; /* held: until the open operation's `done` was called */
    bool write_ended, fin_received, eof_told, closed;
    struct ww_timer timer; /* negotiation, draining */
};

struct swarm_listener {
    struct ww_listener_user user;
    struct ww_swarm *sw;
    struct ww_list link;
    struct ww_netaddr bound;
};

struct swarm_addr {
    size_t len;
    uint8_t bytes[WW_PEERSTORE_ADDR_BYTES_MAX];
};

struct swarm_identify; /* identify_service.c */
struct swarm_backoff;  /* dial_backoff.c */

struct ww_swarm {
    struct ww_env *env;
    const struct ww_keypair *key;
    struct ww_peer_id id;
    char *agent, *protocol_version;
    struct ww_swarm_limits limits;
    struct ww_swarm_gater *gater;
    struct ww_noise_identity noise;
    struct ww_bytes muxers[1];
    size_t muxer_count; /* told inside Noise: 1, or 0 with no_early_muxer */
    struct ww_budget budget;
    struct ww_peerstore *peerstore;
    uint64_t seed[2];

    struct ww_map ips, peers;
    struct ww_list connected;  /* peers */
    struct ww_list conns;      /* all connections in any state */
    struct ww_list handshakes; /* inbound, oldest first */
    uint32_t handshake_count, conns_in, conns_out, connecting;
    uint64_t streams_in, streams;
    uint64_t next_conn_id;

    struct ww_mss_matcher matcher; /* for inbound streams */
    struct ww_list listeners, handlers, subs;
    struct ww_list *sub_cursor; /* next subscriber of the event that is being told */
    struct swarm_addr *announced;
    size_t announced_count;
    struct swarm_addr *addrs; /* what we tell */
    size_t addr_count;
    struct ww_buf record;
    uint64_t record_seq;
    struct ww_task addrs_task;

    struct ww_list dials;         /* all */
    struct ww_list dials_waiting; /* for a free connect */
    struct ww_list ops;           /* dial operations, for ww_swarm_free */
    struct ww_list opens;         /* open operations, for ww_swarm_free */
    struct swarm_backoff *backoff;

    struct swarm_identify *identify;
    struct ww_stream_handler ping_handler, perf_handler;
    bool serves_ping, serves_perf;

    struct ww_timer housekeeping;
    struct ww_swarm_stats stats;
    uint8_t *rx; /* SWARM_RX_BYTES */
    uint8_t *tx_spare[SWARM_TX_SPARE];
    size_t tx_spare_count;
    bool freeing;
};

static inline uint64_t swarm_now(const struct ww_swarm *sw)
{
    return ww_env_now(sw->env);
}

/* swarm.c */
struct swarm_peer *swarm_peer_find(const struct ww_swarm *sw, const struct ww_peer_id *id);
/* NULL when memory is out. */
struct swarm_peer *swarm_peer_get(struct ww_swarm *sw, const struct ww_peer_id *id);
/* Frees the entry when nothing refers to it any more. */
void swarm_peer_put(struct ww_swarm *sw, struct swarm_peer *peer);
void swarm_tell_up(struct ww_swarm *sw, const struct ww_peer_id *id);
void swarm_tell_down(struct ww_swarm *sw, const struct ww_peer_id *id);
void swarm_tell_identified(struct ww_swarm *sw, const struct ww_swarm_identity *identity);
void swarm_tell_addrs(struct ww_swarm *sw);
/* Who takes a stream for `protocol`; NULL: nobody. */
struct ww_stream_handler *swarm_handler_for(const struct ww_swarm *sw, struct ww_bytes protocol);

/* swarm_limits.c */
void swarm_limits_fill(struct ww_swarm_limits *limits);
/* Whether a socket from `remote` may go on to a handshake; makes room by evicting. Counts one reference.
 * NULL: refused. */
struct swarm_ip *swarm_admit(struct ww_swarm *sw, const struct ww_netaddr *remote);
void swarm_ip_put(struct ww_swarm *sw, struct swarm_ip *ip);
bool swarm_netaddr_is_loopback(const struct ww_netaddr *a);
bool swarm_netaddr_is_private(const struct ww_netaddr *a);
/* "/ip4/…/tcp/N" for traces and diagnostics. Returns `out`. */
char *swarm_netaddr_text(const struct ww_netaddr *a, char *out, size_t out_size);

/* swarm_addrs.c */
void swarm_addrs_fini(struct ww_swarm *sw);
bool swarm_addr_is_own(const struct ww_swarm *sw, const struct ww_netaddr *a);

/* conn.c */
struct ww_conn *conn_new(struct ww_swarm *sw, bool outbound);
/* Over: the socket is closed now, users hear of it from the connection's task. Only the first error counts.
 */
void conn_close(struct ww_conn *c, ww_err err);
/* Frees it now, telling its users. Only from its task or ww_swarm_free. */
void conn_finish(struct ww_conn *c);
/* The task runs later in this turn: offers, sends, sweeps. */
void conn_kick(struct ww_conn *c);
void conn_arm(struct ww_conn *c);
/* Known, secure and multiplexed: into the books, or an error when limits refuse. */
WW_MUST_USE ww_err conn_opened(struct ww_conn *c);
const char *conn_addr_text(const struct ww_conn *c, char *out, size_t out_size);
struct ww_conn *conn_of_peer(const struct ww_swarm *sw, const struct ww_peer_id *id);
struct ww_tcp_user *conn_accepted(struct ww_listener_user *user, const struct ww_netaddr *remote);
extern const struct ww_tcp_events conn_tcp_events;

/* conn_upgrade.c */
/* The socket is connected. A dialer has put what it expects into `up` before. */
WW_MUST_USE ww_err conn_upgrade_start(struct ww_conn *c);
void conn_upgrade_fini(struct ww_conn *c);
/* Bytes from the socket before Noise is done; those that belong to the session are left (`*ret_used`). */
WW_MUST_USE ww_err conn_upgrade_raw(struct ww_conn *c, struct ww_bytes in, size_t *ret_used);
/* Decrypted bytes before the muxer is settled. */
WW_MUST_USE ww_err conn_upgrade_plain(struct ww_conn *c, struct ww_bytes in, size_t *ret_used);
const char *conn_state_name(enum conn_state state);

/* conn_io.c */
void conn_receive(struct ww_conn *c, uint8_t *ptr, size_t len);
void conn_flush(struct ww_conn *c);
void conn_tx_release(struct ww_conn *c);
/* Hands on what the muxer has to tell. */
void conn_mux_events(struct ww_conn *c);
/* Appends to the handshake output, sealed when the session is there. */
WW_MUST_USE ww_err conn_pre_put(struct ww_conn *c, struct ww_bytes data);

/* stream.c */
struct ww_stream *stream_new(struct ww_conn *c, bool outbound);
/* Out of the books; freed by the sweep. Tells nobody. */
void stream_kill(struct ww_stream *s);
/* Tells the user or the waiting operation, and kills. */
void stream_end(struct ww_stream *s, ww_err err);
void stream_sweep(struct ww_conn *c);
void stream_on_data(struct ww_stream *s, struct ww_bytes data);
void stream_on_fin(struct ww_stream *s);
void stream_on_closed(struct ww_stream *s);
void stream_on_writable(struct ww_stream *s);
void stream_offer(struct ww_stream *s);
/* Users that our own mark held back and that may go on. */
void stream_wake_writers(struct ww_conn *c);
/* Ends the sides whose last bytes were sealed. */
void stream_send_ends(struct ww_conn *c);

/* stream_negotiate.c */
void stream_accept(struct ww_conn *c);
/* A new outbound stream proposing `names`. Lazy: exactly one, usable at once. */
WW_MUST_USE ww_err stream_propose(
    struct ww_conn *c, const struct ww_bytes *names, size_t count, bool lazy, struct ww_stream **ret_stream);
/* Bytes while negotiating. True: the rest of `*data` belongs to the protocol. False: all used, or the stream
 * ended. */
bool stream_negotiate(struct ww_stream *s, struct ww_bytes *data);
void stream_mss_free(struct ww_stream *s);

/* stream_open.c */
void open_stream_agreed(struct ww_swarm_open *op);
void open_stream_failed(struct ww_swarm_open *op, ww_err err);
void open_free_all(struct ww_swarm *sw);

/* dial.c */
/* An attempt ended: with WW_OK the connection is open and in the books. */
void dial_attempt_done(struct ww_conn *c, ww_err err);
/* A connection to `peer` is open: whoever waits for one has it. */
void dial_satisfied(struct ww_dial *d, struct ww_conn *c);
void dial_wake_waiting(struct ww_swarm *sw);
void dial_free_all(struct ww_swarm *sw);

/* dial_backoff.c */
struct swarm_backoff *backoff_new(const uint64_t seed[2]);
void backoff_free(struct swarm_backoff *b);
/* Until when `addr` should not be tried; 0: now is fine. */
uint64_t backoff_until(const struct swarm_backoff *b, struct ww_bytes addr, uint64_t now_ns);
void backoff_failed(struct swarm_backoff *b, struct ww_bytes addr, uint64_t now_ns);
void backoff_succeeded(struct swarm_backoff *b, struct ww_bytes addr);
void backoff_expire(struct swarm_backoff *b, uint64_t now_ns);

/* identify_service.c */
WW_MUST_USE ww_err identify_start(struct ww_swarm *sw);
void identify_stop(struct ww_swarm *sw);
void identify_conn_opened(struct ww_conn *c);
/* Our protocols or addresses changed: tell the others, soon and once. */
void identify_changed(struct ww_swarm *sw);

/* ping.c, perf.c */
WW_MUST_USE ww_err ping_serve(struct ww_swarm *sw);
WW_MUST_USE ww_err perf_serve(struct ww_swarm *sw);

#endif
