/* p2p/yamux.h — the Yamux multiplexer as a sans-I/O core: one connection, both roles.
 *
 * Source: libp2p specs, yamux/README.md (and its error-code extension), https://github.com/libp2p/specs.
 *
 * Bytes in: feed() lends a piece of decrypted input; next() then parses it lazily and returns one event a
 * call. DATA events are views into the lent piece: nothing is copied, and a body is handed on as it comes,
 * whatever the frame's length, as long as the granted window covers it.
 *
 * Bytes out: gather() yields at most `max` bytes as a list of views (frame headers and the queued bytes
 * themselves), so that the layer below encrypts straight from them; pull() is the same copied into one
 * buffer.
 *
 * Time: comes in as `now_ns` (monotonic); deadline() says when tick() wants to be called.
 *
 * Ownership: streams live in the caller's storage (embed struct ww_yamux_stream, come back by
 * WW_CONTAINER_OF). The core owns only queued output and its id table. fini() of the connection detaches the
 * streams that are left: they answer WW_ECLOSED from then on.
 *
 * Errors: a negative return of next(), tick() or feed() ends the connection: send what gather() still gives
 * (one GoAway frame), then close. Stream errors stay with their stream.
 *
 * Limits: every queue is bounded; receive windows are charged to the budget as WW_RES_BYTES, streams as
 * WW_RES_STREAMS.
 */
#ifndef WW_P2P_YAMUX_H
#define WW_P2P_YAMUX_H

#include "base/budget.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slab.h"

#define WW_YAMUX_HEADER_BYTES 12u
#define WW_YAMUX_WINDOW_INITIAL (256u << 10) /* fixed by the protocol */
#define WW_YAMUX_GATHER_FRAMES 64u           /* frames in one gather() */

enum ww_yamux_goaway {
    WW_YAMUX_GOAWAY_NORMAL = 0,
    WW_YAMUX_GOAWAY_PROTOCOL = 1,
    WW_YAMUX_GOAWAY_INTERNAL = 2,
};

struct ww_yamux_conf {
    bool client;              /* dialer: opens odd ids */
    uint64_t seed[2];         /* for the id table; from the environment's randomness */
    uint32_t window_max;      /* a receive window grows up to this; at least WW_YAMUX_WINDOW_INITIAL */
    uint32_t streams_in_max;  /* more are reset */
    uint32_t streams_out_max; /* rust kills the connection at 512 */
    uint32_t unacked_max;     /* opened but not yet acknowledged: further SYNs wait */
    uint32_t frame_body_max;  /* of frames that we send */
    size_t stream_send_max;   /* bytes queued on one stream */
    size_t conn_send_max;     /* bytes queued on all streams together */
    size_t stream_reserve;    /* of which a stream may queue this much even when the connection is full */
    uint64_t keepalive_ns;    /* between pings, which also measure the round trip; 0: never ping */
    uint64_t timeout_ns;      /* a ping waits for an answer, and nothing else arrives either */
    struct ww_budget *budget; /* NULL: none */
};

/* The defaults: 16 MiB window, 256 in, 500 out, 256 unacked, 65507 B bodies (one full Noise frame), 256 KiB a
 * stream, 4 MiB a connection and 4 KiB of reserve a stream, ping every 30 s, 20 s to answer, no budget. */
void ww_yamux_conf_init(struct ww_yamux_conf *conf, bool client, const uint64_t seed[2]);

enum ww_yamux_event_type {
    WW_YAMUX_OPENED, /* the peer opens a stream: ww_yamux_accept or ww_yamux_refuse before the next next() */
    WW_YAMUX_DATA,   /* `data`; account for it with ww_yamux_stream_consumed when it is used up */
    WW_YAMUX_FIN,    /* the peer writes no more on `stream` */
    WW_YAMUX_RESET,  /* the peer aborted `stream` with `code`; terminal */
    WW_YAMUX_CLOSED, /* both sides ended and everything was gathered; terminal */
    WW_YAMUX_WRITABLE, /* a write on `stream` took less than everything, and now there is room */
    WW_YAMUX_GOAWAY,   /* the peer accepts no new streams; `code` */
};

struct ww_yamux_event {
    enum ww_yamux_event_type type;
    struct ww_yamux_stream *stream; /* NULL for OPENED and GOAWAY */
    uint32_t id;                    /* of the stream */
    uint32_t code;
    struct ww_bytes data; /* DATA: a view into what was fed, at least 1 byte */
};

struct ww_yamux_chunk;

/* All fields are the core's. */
struct ww_yamux_stream {
    struct ww_yamux *conn; /* NULL: detached */
    struct ww_map_node node;
    struct ww_list all, control, sending, event, writer; /* membership in the connection's lists */
    uint32_t id;                                         /* 0 until the SYN is gathered */
    bool inbound;
    bool live;                /* neither reset nor closed */
    bool announced;           /* the SYN does not wait for data */
    bool ack_due, update_due; /* to be sent */
    bool syn_sent, acked;     /* outbound only */
    bool fin_due, fin_sent, fin_received;
    uint8_t owed;  /* events: bits 1 << enum ww_yamux_event_type */
    uint32_t code; /* of an owed RESET */
    uint32_t send_window;
    struct ww_yamux_chunk *send_head, *send_tail;
    size_t send_bytes;
    uint32_t recv_window;   /* what the peer may still send */
    uint32_t recv_held;     /* announced by headers and not yet consumed */
    uint32_t recv_size;     /* the window we aim at; charged to the budget */
    uint64_t updated_at_ns; /* last window update */
};

/* All fields are the core's. */
struct ww_yamux {
    struct ww_yamux_conf conf;
    ww_err err; /* not 0: the connection is over */
    uint64_t now_ns;

    struct ww_bytes in; /* lent by feed() */
    uint8_t head[WW_YAMUX_HEADER_BYTES];
    uint8_t head_len;
    uint8_t stage, type;
    uint16_t flags;
    uint32_t id, length;             /* length: of a body, what is left of it */
    struct ww_yamux_stream *current; /* whose frame it is; NULL: drained */
    struct ww_yamux_stream *last;    /* found last; NULL: none */

    struct ww_map by_id;
    struct ww_list streams;  /* all */
    struct ww_list control;  /* with an ACK or window update to send */
    struct ww_list ready;    /* with data or a FIN to send, in round-robin order */
    struct ww_list syn_wait; /* the same, but held back by unacked_max */
    struct ww_list events;   /* with events owed */
    struct ww_list writers;  /* WRITABLE is owed when there is room */
    uint32_t streams_in, streams_out, unacked, next_id;

    struct ww_buf oob; /* whole control frames without a stream: RST, pong, GoAway */
    uint32_t pongs;    /* of these */
    size_t send_bytes;
    bool goaway_sent, goaway_received;

    bool ping_due, ping_out; /* to be sent; to be sent or unanswered */
    uint32_t ping_value;
    uint64_t ping_due_ns, ping_sent_ns, received_ns, next_ping_ns, rtt_ns;

    uint8_t heads[WW_YAMUX_GATHER_FRAMES * WW_YAMUX_HEADER_BYTES]; /* behind the views of the last gather() */
    struct ww_yamux_chunk *retired;                                /* the same */
};

/* Allocates nothing. The first ping is due at once (unless keepalive_ns is 0). */
void ww_yamux_init(struct ww_yamux *y, const struct ww_yamux_conf *conf, uint64_t now_ns);
void ww_yamux_fini(struct ww_yamux *y);

/* Lends `in` until next() has returned 0 or an error. Not before the last piece was finished (WW_ESTATE). */
WW_MUST_USE ww_err ww_yamux_feed(struct ww_yamux *y, uint64_t now_ns, struct ww_bytes in);
/* 1: an event; 0: none for now; negative: the connection is over (again at each call). Stream calls, fini
 * included, are allowed between two next()s. Events also arise from gather() and tick(): call until 0 after
 * each of the three. */
WW_MUST_USE ww_err ww_yamux_next(struct ww_yamux *y, struct ww_yamux_event *ret_event);

/* At most `max` bytes (at least 1 KiB) in at most `iov_max` views (at least 4); returns the bytes, 0 when
 * there is nothing to send. The views hold until the next gather(), pull() or fini(); what they show counts
 * as sent. */
size_t ww_yamux_gather(
    struct ww_yamux *y, uint64_t now_ns, size_t max, struct ww_bytes *iov, size_t iov_max, size_t *ret_count);
/* Optional: releases what the views show now rather than at the next gather(). */
void ww_yamux_gather_done(struct ww_yamux *y);
size_t ww_yamux_pull(struct ww_yamux *y, uint64_t now_ns, uint8_t *out, size_t max);
/* Would gather() yield something? */
bool ww_yamux_wants_send(const struct ww_yamux *y);

/* WW_NEVER when there is none. */
uint64_t ww_yamux_deadline(const struct ww_yamux *y);
/* WW_ETIMEOUT: the peer is gone. */
WW_MUST_USE ww_err ww_yamux_tick(struct ww_yamux *y, uint64_t now_ns);

/* Opens a stream in the caller's `s`. Its SYN travels with the first data (or FIN). WW_ELIMIT over
 * streams_out_max, WW_EBUDGET, WW_ECLOSED after a GoAway of either side or an error. */
WW_MUST_USE ww_err ww_yamux_open(struct ww_yamux *y, struct ww_yamux_stream *s);
/* Binds the stream of the OPENED event just returned to `s`, and acknowledges it. WW_ENOMEM, WW_EBUDGET: it
 * was reset; WW_ESTATE: there is none. */
WW_MUST_USE ww_err ww_yamux_accept(struct ww_yamux *y, struct ww_yamux_stream *s);
/* Resets it. The same happens when neither was called by the next next(). */
void ww_yamux_refuse(struct ww_yamux *y, uint32_t code);
/* No new streams from now on, in either direction; those that are open go on. */
void ww_yamux_goaway(struct ww_yamux *y, enum ww_yamux_goaway code);

/* Ends the use of `s`: resets it unless it is closed, drops queued bytes, returns charges. No event follows.
 * Safe on a detached stream and on zeroed storage. */
void ww_yamux_stream_fini(struct ww_yamux_stream *s);
/* Sends the SYN even without data. */
void ww_yamux_stream_announce(struct ww_yamux_stream *s);
/* Copies as much of `data` as there is room for; when that is less than everything, WRITABLE follows.
 * WW_ESTATE after shutdown, WW_ERESET, WW_ECLOSED, WW_ENOMEM (nothing taken). */
WW_MUST_USE ww_err ww_yamux_stream_write(struct ww_yamux_stream *s, struct ww_bytes data, size_t *ret_taken);
/* The same without a copy: queues a reference to slab bytes [offset, offset + len), whole or, with WW_EAGAIN,
 * not at all (WRITABLE follows). One slab may exceed the bounds. The bytes must not change until it is
 * released. */
WW_MUST_USE ww_err ww_yamux_stream_write_slab(
    struct ww_yamux_stream *s, struct ww_slab *slab, size_t offset, size_t len);
/* Bytes that a write would take now. */
size_t ww_yamux_stream_room(const struct ww_yamux_stream *s);
/* Ends our side after what is queued. May be called again. */
WW_MUST_USE ww_err ww_yamux_stream_shutdown(struct ww_yamux_stream *s);
/* Aborts both directions and drops what is queued. No event follows. */
void ww_yamux_stream_reset(struct ww_yamux_stream *s, uint32_t code);
/* `n` bytes of DATA were used up; gives the peer new window when half of it is free. n is at most what was
 * delivered. */
void ww_yamux_stream_consumed(struct ww_yamux_stream *s, size_t n);

static inline bool ww_yamux_stream_closed(const struct ww_yamux_stream *s)
{
    return !s->conn || !s->live;
}

/* 0 until the first pong. */
static inline uint64_t ww_yamux_rtt_ns(const struct ww_yamux *y)
{
    return y->rtt_ns;
}

/* Checks the numbered invariants of yamux.c; returns the first one that is broken, or 0. For tests. */
int ww_yamux_check(const struct ww_yamux *y);

#endif
