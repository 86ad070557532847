/* p2p/stream.h — one bidirectional byte stream to a peer, after its protocol has been agreed on.
 *
 * Ownership: the swarm owns the stream; the user embeds a `struct ww_stream_user` and is bound to the stream
 * until `closed` has been called or the user has called ww_stream_reset or ww_stream_release itself. After
 * that the stream pointer is dead (`user->stream` reads NULL) and no event follows, so the user may be freed,
 * also from inside a callback.
 *
 * Events never run inside a call of this interface; they come from the loop. Views live only as long as the
 * callback.
 *
 * Writing: bytes are copied into the stream's send buffer and leave together once per loop turn. A message is
 * taken whole or not at all, so framed protocols never see half a message; bulk senders use
 * ww_stream_write_some. Reading: `data` says how much it took. What it did not take stays in the stream,
 * shuts the peer's window once that is full, and is offered again after ww_stream_resume.
 *
 * Sources: libp2p multistream-select 1.0; yamux specification (half-close, reset, windows).
 */
#ifndef WW_P2P_STREAM_H
#define WW_P2P_STREAM_H

#include "base/budget.h"
#include "base/slab.h"
#include "env/env.h"
#include "p2p/peer_id.h"

struct ww_stream;
struct ww_conn;
struct ww_stream_user;

struct ww_stream_events {
    /* Returns how many bytes it took, at most data.len. Fewer than all pauses reading until ww_stream_resume.
     */
    size_t (*data)(struct ww_stream_user *user, struct ww_bytes data);
    /* Optional. A write was refused with WW_EAGAIN (or taken in part), and now the send buffer has drained.
     */
    void (*writable)(struct ww_stream_user *user);
    /* Optional. The peer ended its side, and all its bytes were taken. Our side stays open until
     * ww_stream_close_write. */
    void (*eof)(struct ww_stream_user *user);
    /* Last event, exactly once. WW_OK: both sides ended in order. WW_ERESET: the peer reset it. WW_ENOPROTO:
     * a protocol proposed optimistically is not spoken there. WW_ECLOSED: the connection is gone. */
    void (*closed)(struct ww_stream_user *user, ww_err err);
};

struct ww_stream_user {
    const struct ww_stream_events *events;
    struct ww_stream *stream; /* set by the swarm; NULL when there is none (any more) */
};

struct ww_conn_info {
    struct ww_peer_id peer;
    uint64_t id;              /* unique within the swarm, never reused */
    struct ww_netaddr remote; /* of the socket */
    struct ww_netaddr local;
    bool outbound;            /* we dialed */
    uint64_t opened_ns;       /* env time at which the upgrade was complete */
    struct ww_budget *budget; /* the connection's: what its peer makes us hold is charged here */
};

/* All or nothing. WW_EAGAIN: the send buffer is over its mark; `writable` follows. A message is taken whole,
 * whatever its size, while less than the mark is waiting. WW_ESTATE after ww_stream_close_write, WW_EBUDGET,
 * WW_ENOMEM. */
WW_MUST_USE ww_err ww_stream_write(struct ww_stream *s, struct ww_bytes data);
WW_MUST_USE ww_err ww_stream_writev(struct ww_stream *s, const struct ww_iovec *iov, size_t count);
/* Takes what fits under the mark (maybe 0 bytes, WW_OK); when less than all, `writable` follows. */
WW_MUST_USE ww_err ww_stream_write_some(struct ww_stream *s, struct ww_bytes data, size_t *ret_taken);
/* How many bytes wait to be sent. */
size_t ww_stream_pending(const struct ww_stream *s);
/* The mark above which writes are refused (default 256 KiB). */
void ww_stream_set_mark(struct ww_stream *s, size_t bytes);

/* Ends our side after what was written. Idempotent. */
void ww_stream_close_write(struct ww_stream *s);
/* Aborts both directions at once and unbinds the user: no event follows. The stream is gone. */
void ww_stream_reset(struct ww_stream *s);
/* Unbinds the user in order: what was written is still sent, then our side ends; what the peer still sends is
 * thrown away, and after a while the stream is reset. No event follows. The stream is gone. */
void ww_stream_release(struct ww_stream *s);
/* Binds another user; events from now on go to it. The old user's `stream` becomes NULL. */
void ww_stream_bind(struct ww_stream *s, struct ww_stream_user *user);

/* Stops `data` (and thereby the peer, when its window is used up). `eof` waits as well. */
void ww_stream_pause(struct ww_stream *s);
/* Offers what is waiting, from the loop. */
void ww_stream_resume(struct ww_stream *s);

/* All of these stay valid until the user is unbound. */
const struct ww_peer_id *ww_stream_peer(const struct ww_stream *s);
struct ww_bytes ww_stream_protocol(const struct ww_stream *s);
const struct ww_conn_info *ww_stream_conn(const struct ww_stream *s);
bool ww_stream_outbound(const struct ww_stream *s);
/* The connection's budget: charge here what the peer makes you hold. */
struct ww_budget *ww_stream_budget(const struct ww_stream *s);

#endif
