/* p2p/multistream.h — multistream-select 1.0 as a sans-I/O core: agrees on one protocol for a fresh stream.
 *
 * Source: https://github.com/multiformats/multistream-select and libp2p specs, connections/README.md.
 *
 * Feed what arrives, send what output() shows, until feed() returns 1 or an error. Input after the agreement
 * is not touched: it belongs to the protocol. Tokens are arbitrary bytes without newline, with or without a
 * leading slash.
 *
 * Ownership: the caller's storage; the initiator's protocol list and the responder's matcher are borrowed
 * until fini.
 *
 * Limits: token 1024 B, 32 proposals; memory at most a few KiB (16 KiB for a listing).
 *
 * Errors: WW_ENOPROTO (all proposals refused), WW_EPROTO, WW_ELIMIT, WW_ENOMEM. They are final. Timeouts are
 * the caller's.
 */
#ifndef WW_P2P_MULTISTREAM_H
#define WW_P2P_MULTISTREAM_H

#include "base/buf.h"

#define WW_MSS_TOKEN_MAX 1024u
#define WW_MSS_PROPOSALS_MAX 32u

/* Decides for the responder. Embed it. */
struct ww_mss_matcher {
    /* Do we speak `token`? Must not be affected by how often it is asked. */
    bool (*match)(struct ww_mss_matcher *matcher, struct ww_bytes token);
    /* Answer to `ls`. None: `na`. */
    const struct ww_bytes *listed;
    size_t listed_count;
};

struct ww_mss {
    enum { WW_MSS_HEADER, WW_MSS_TOKENS, WW_MSS_DONE, WW_MSS_FAILED } state;
    bool initiator;
    ww_err err;
    const struct ww_bytes *protocols; /* initiator */
    size_t protocol_count;
    size_t index;                   /* initiator: of the current proposal; responder: proposals so far */
    struct ww_mss_matcher *matcher; /* responder */
    struct ww_buf partial;          /* a frame that has not arrived whole */
    struct ww_buf out;
    struct ww_buf token; /* responder: what was accepted */
};

/* Proposes `protocols` in order (1 to 32 tokens of 1 to 1024 bytes without newline, else WW_EINVAL).
 * Header and first proposal are ready to be sent.
 * Lazy use: with exactly one protocol, application bytes may be sent right behind them, before any reply;
 * feed() what arrives until it returns 1, then the rest is application data; an error means that the peer
 * refused. */
WW_MUST_USE ww_err ww_mss_init_initiator(struct ww_mss *m, const struct ww_bytes *protocols, size_t count);
/* The header is ready to be sent at once; every proposal gets its answer, the first match ends it. */
WW_MUST_USE ww_err ww_mss_init_responder(struct ww_mss *m, struct ww_mss_matcher *matcher);
void ww_mss_fini(struct ww_mss *m);

/* 1: agreed; `*ret_used` bytes of `in` were ours, the rest is the protocol's. 0: all used, more is needed.
 * Negative: failed. What output() shows still wants to be sent in all three cases. */
WW_MUST_USE ww_err ww_mss_feed(struct ww_mss *m, struct ww_bytes in, size_t *ret_used);

/* Valid until the next feed() or sent(). */
static inline struct ww_bytes ww_mss_output(const struct ww_mss *m)
{
    return ww_buf_view(&m->out);
}

/* The first `n` bytes of output were taken. */
static inline void ww_mss_sent(struct ww_mss *m, size_t n)
{
    ww_buf_consume(&m->out, n);
}

static inline bool ww_mss_done(const struct ww_mss *m)
{
    return m->state == WW_MSS_DONE;
}

/* What was agreed on, after feed() returned 1; valid until fini. For the initiator one of its list. */
struct ww_bytes ww_mss_protocol(const struct ww_mss *m);

/* Appends one frame (length, token, newline): for those who write a known opening themselves. */
WW_MUST_USE ww_err ww_mss_put_token(struct ww_buf *out, struct ww_bytes token);

#endif
