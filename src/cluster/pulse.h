/* cluster/pulse.h — heartbeats: codec, validation against the routing table, and when to send the next one.
 *
 * A heartbeat is the payload of a signed pub-sub message on the topic named like the cluster: a packed Cap'n
 * Proto `Heartbeat` (schema/cluster.capnp). Peer id and sequence number are the message's `from` and `seqno`.
 *
 * What we do differently from the Go implementation, and why it stays understandable to it:
 *   - every heartbeat is built anew, so that it does not grow; received ones may be large and full of
 * garbage;
 *   - the gap between two beats is below the TTL, so that a healthy peer never drops out of anybody's view;
 *   - a node that stops says so: a last beat with a TTL of 1 ms (WW_PULSE_FAREWELL_MS), which Go peers drop
 * at their next tick and ours at once.
 *
 * Sans-I/O: time and randomness come in. Views in a decoded pulse point into the message that the caller
 * provides.
 */
#ifndef WW_CLUSTER_PULSE_H
#define WW_CLUSTER_PULSE_H

#include "base/buf.h"
#include "cluster/routing.h"
#include "ww/capnp.h"

#define WW_PULSE_BYTES_MAX (1u << 20) /* unpacked, and packed: what pub-sub carries at most */
#define WW_PULSE_FAREWELL_MS 1
#define WW_PULSE_SEQNO_LEN 8

struct ww_pulse {
    uint32_t ttl_ms;
    uint64_t server;
    struct ww_bytes host;
    size_t meta_count;
    struct ww_bytes meta[WW_ROUTING_META_MAX];
};

/* Appends the packed message. WW_EINVAL over the routing table's limits, WW_ENOMEM, WW_ELIMIT. */
WW_MUST_USE ww_err ww_pulse_encode(const struct ww_pulse *pulse, struct ww_buf *out);
/* Opens `payload` in `msg` (initialized by the caller, who finishes it) and checks it: a TTL of 0 reads as
 * the default. WW_EMALFORMED and the other errors of messages; WW_ELIMIT: host or metadata too long. */
WW_MUST_USE ww_err ww_pulse_decode(struct ww_msg *msg, struct ww_bytes payload, struct ww_pulse *ret_pulse);

enum ww_pulse_verdict {
    WW_PULSE_ACCEPT, /* taken over, forward it */
    WW_PULSE_IGNORE, /* stale, or no room: not forwarded, nobody's fault */
    WW_PULSE_REJECT, /* malformed: counts against who sent it */
};

/* Validates a pub-sub message of the cluster topic and applies it to the table. `msg` is scratch space that
 * may be used again and again. `ret_err` (may be NULL) says why. */
enum ww_pulse_verdict ww_pulse_apply(struct ww_routing *table, uint64_t now_ns, struct ww_msg *msg,
    struct ww_bytes from, struct ww_bytes seqno, struct ww_bytes payload, ww_err *ret_err);

/* ---- when to beat ---- */

struct ww_pulse_clock {
    uint64_t ttl_ns, margin_ns;
    uint64_t next_ns;  /* beat at this time */
    uint32_t failures; /* in a row */
};

/* The first beat is due at once. `margin_ms` is left between the latest beat and the TTL for delivery; it is
 * cut to a quarter of the TTL. */
void ww_pulse_clock_init(struct ww_pulse_clock *clock, uint64_t now_ns, uint32_t ttl_ms, uint32_t margin_ms);
/* The beat went out: the next is uniform in [TTL/2, TTL - margin). `random` is any 64 random bits. */
void ww_pulse_clock_sent(struct ww_pulse_clock *clock, uint64_t now_ns, uint64_t random);
/* It did not: again after TTL/2, doubled with each failure up to 15 minutes, with jitter. */
void ww_pulse_clock_failed(struct ww_pulse_clock *clock, uint64_t now_ns, uint64_t random);

#endif
