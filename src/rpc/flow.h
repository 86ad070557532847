/* rpc/flow.h — measuring what a stream delivers, and the controller that estimates bandwidth and round-trip
 * time from it.
 *
 * The meter makes samples of delivery rate (after draft-cheng-iccrg-delivery-rate-estimation): each message
 * remembers how much had been delivered when it was sent; its acknowledgement says what was delivered in
 * between. Acknowledgements gather until the vat runs, which is when the time is known. */
#ifndef WW_RPC_FLOW_H
#define WW_RPC_FLOW_H

#include "base/base.h"
#include "ww/rpc.h"

/* A message's own part, kept while it is under way. */
struct ww_rpc_flow_mark {
    uint64_t bytes, sent_ns;
    uint64_t first_sent_ns; /* the beginning of the flight that was sent during its interval */
    uint64_t delivered, delivered_ns;
    uint32_t way; /* acknowledgements from another way count for nothing */
    bool app_limited;
};

struct ww_rpc_flow_meter {
    uint64_t in_flight, delivered, delivered_ns, first_sent_ns;
    uint64_t message_max;
    uint64_t rtt_min_ns;    /* UINT64_MAX: unknown */
    uint64_t limited_until; /* deliveries up to here are of a flight with a bubble in it; 0: none */
    uint64_t room_ns;       /* since when the sender could send */
    uint64_t acked;         /* not yet in a sample */
    struct ww_rpc_flow_mark newest;
    uint32_t way;
};

void ww_rpc_flow_meter_init(struct ww_rpc_flow_meter *m, uint64_t now_ns);
/* Another way: what is under way does not count. */
void ww_rpc_flow_meter_move(struct ww_rpc_flow_meter *m, uint64_t now_ns);
void ww_rpc_flow_sent(struct ww_rpc_flow_meter *m, struct ww_rpc_flow_mark *mark, uint64_t bytes,
    uint64_t window, uint64_t now_ns);
/* The sender had no room until now. */
static inline void ww_rpc_flow_opened(struct ww_rpc_flow_meter *m, uint64_t now_ns)
{
    m->room_ns = now_ns;
}
void ww_rpc_flow_acked(struct ww_rpc_flow_meter *m, const struct ww_rpc_flow_mark *mark);
/* False: nothing new. */
bool ww_rpc_flow_sample(struct ww_rpc_flow_meter *m, uint64_t now_ns, struct ww_rpc_flow_sample *ret_sample);

enum ww_rpc_bbr_state { BBR_STARTUP, BBR_DRAIN, BBR_UP, BBR_DOWN, BBR_CRUISE, BBR_PROBE_RTT };

/* See flow_bbr.c. */
struct ww_rpc_bbr {
    struct ww_rpc_flow flow;
    uint8_t state, rounds; /* in the state */
    uint8_t plateau, cruise, crowded;
    bool round_limited; /* a sample of this round was app-limited */
    bool cycle_sampled;
    uint32_t dice;
    double rate_peak; /* ever, on this way */
    double rate[2];   /* bytes a nanosecond: the largest of this cycle and of the one before */
    double round_rate,
        round_rate_max; /* the estimate when the round began; the largest sample of the round */
    uint64_t extra[2];  /* acknowledged in one burst beyond the rate, likewise */
    uint64_t burst_bytes, burst_ns;
    uint64_t rtt_min_ns, rtt_min_at_ns, round_rtt_ns;
    uint64_t rtt_bytes; /* of the message with the shortest round trip */
    uint64_t message_bytes, round_rtt_bytes;
    uint64_t probe_end_ns, probed_at_ns, probe_hold_ns, probed_rtt_ns;
    uint64_t round_end, now_ns;
};

/* `seed` spreads the probing of flows that start together. */
void ww_rpc_bbr_init(struct ww_rpc_bbr *bbr, uint32_t seed);

#endif
