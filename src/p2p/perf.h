/* p2p/perf.h — /perf/1.0.0: how fast bytes go to a peer and back. The client sends the number of bytes it
 * wants (u64, big-endian), uploads, ends its side; the server drains the upload to its end and then sends as
 * many bytes. Serving it lets any peer make us send: ww_swarm_conf.serve_perf. Source: libp2p perf
 * specification. */
#ifndef WW_P2P_PERF_H
#define WW_P2P_PERF_H

#include "p2p/swarm.h"

#define WW_PERF_PROTOCOL "/perf/1.0.0"

struct ww_perf {
    void (*done)(struct ww_perf *perf, ww_err err);
    uint64_t bytes_up, bytes_down; /* transferred */
    uint64_t up_ns,
        down_ns; /* first byte sent to peer's first answer (or end); that to the end of the download */
    /* the module's */
    struct ww_stream_user user;
    struct ww_swarm_open open;
    struct ww_swarm *swarm;
    uint64_t want_up, want_down, start_ns, turn_ns;
    bool opening, up_done;
};

/* One run; dials if needed. `done` comes once, from the loop. WW_EPROTO when the peer sent another number of
 * bytes. */
WW_MUST_USE ww_err ww_perf_run(struct ww_perf *perf, struct ww_swarm *sw, const struct ww_peer_id *peer,
    uint64_t bytes_up, uint64_t bytes_down);
/* `done` does not come. Harmless when idle. */
void ww_perf_cancel(struct ww_perf *perf);

#endif
