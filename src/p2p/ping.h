/* p2p/ping.h — /ipfs/ping/1.0.0: 32 random bytes there and back. The serving side is part of every swarm.
 * A pinger keeps one stream open and measures as often as it is asked to. Source: libp2p ping specification.
 */
#ifndef WW_P2P_PING_H
#define WW_P2P_PING_H

#include "p2p/swarm.h"

#define WW_PING_PROTOCOL "/ipfs/ping/1.0.0"
#define WW_PING_BYTES 32

struct ww_ping {
    /* WW_OK: `rtt_ns` holds the round trip. Any error ends the pinger; it is idle then. */
    void (*done)(struct ww_ping *ping, ww_err err);
    uint64_t rtt_ns;
    /* the module's */
    struct ww_stream_user user;
    struct ww_swarm_open open;
    struct ww_swarm *swarm;
    struct ww_timer timer;
    uint64_t sent_ns, timeout_ns;
    uint8_t expect[WW_PING_BYTES];
    size_t got;
    bool opening, waiting;
};

/* Opens the stream (dialing if needed) and sends the first ping, or sends another one on the open stream. One
 * at a time: WW_ESTATE while one is under way. `done` comes once a call that returned WW_OK, from the loop;
 * WW_ETIMEOUT after timeout_ns. A zeroed struct with `done` set is ready for its first call. */
WW_MUST_USE ww_err ww_ping_send(
    struct ww_ping *ping, struct ww_swarm *sw, const struct ww_peer_id *peer, uint64_t timeout_ns);
/* Ends the stream in order. `done` does not come. Harmless when idle. */
void ww_ping_close(struct ww_ping *ping);

#endif
