/* A window from measured bandwidth and round-trip time, after BBR (Cardwell et al., "BBR: Congestion-Based
 * Congestion Control", ACM Queue 14(5), 2016; draft-cardwell-iccrg-bbr-congestion-control).
 *
 * What differs, because messages are not packets and there is no timer here:
 * - There is no pacing. BBR's pacing gain works on the window instead: a quarter more than the product of
 *   bandwidth and round trip, half as much more to ask for bandwidth, a quarter less to see what is behind
 * the queue.
 * - So there is no standing gain of 2 on the window. What it is for, acknowledgements that come in bursts, is
 *   measured and added.
 * - A probe that found bandwidth goes on at once, so that a faster path is filled in rounds, not cycles.
 * - When round trips stay far above the shortest one, the path became slower or longer, or another flow came:
 *   older bandwidth is forgotten, and if that is no help the round trip is probed before its time.
 * - While it probes the round trip, a quarter of the product stays under way; only two probes together can
 *   make the estimate longer. */
#include "rpc/flow.h"

enum {
    WINDOW_MIN = 4096,
    WINDOW_START = 64 * 1024,
    PLATEAU_ROUNDS = 3,
    CRUISE_ROUNDS = 3, /* and up to so many more */
    CROWDED_ROUNDS = 2,
    LONGER_ROUNDS = 16,
};
static const double startup_gain = 2.885; /* 2 / ln 2 */

/* When the round trip is probed, how long, and how soon again at the earliest: in time or in round trips,
 * whichever is less. */
static const uint64_t rtt_age_ns = 10 * WW_NS_PER_S;
static const uint64_t probe_hold_ns = 200 * WW_NS_PER_MS;
static const uint64_t probe_age_ns = WW_NS_PER_S;
enum { AGE_ROUNDS = 500, HOLD_ROUNDS = 10, PROBE_ROUNDS = 50 };

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static double rate_of(const struct ww_rpc_bbr *b)
{
    return b->rate[0] > b->rate[1] ? b->rate[0] : b->rate[1];
}

static double product(const struct ww_rpc_bbr *b)
{
    if (b->rtt_min_ns == UINT64_MAX)
        return 0;
    /* Every message is as long on the way as it is large: that part of a small one's time says nothing about
     * a large one's. */
    double larger = b->message_bytes > b->rtt_bytes ? (double)(b->message_bytes - b->rtt_bytes) : 0;
    return rate_of(b) * (double)b->rtt_min_ns + larger;
}

static void state_enter(struct ww_rpc_bbr *b, enum ww_rpc_bbr_state state)
{
    b->state = (uint8_t)state;
    b->rounds = 0;
}

static void cycle_advance(struct ww_rpc_bbr *b)
{
    if (!b->cycle_sampled)
        return; /* nothing but lower bounds: no reason to forget */
    b->rate[1] = b->rate[0];
    b->rate[0] = 0;
    b->extra[1] = b->extra[0];
    b->extra[0] = 0;
    b->cycle_sampled = false;
}

static void cruise_enter(struct ww_rpc_bbr *b)
{
    b->dice = b->dice * 1664525u + 1013904223u;
    b->cruise = (uint8_t)(CRUISE_ROUNDS + (b->dice >> 24) % (CRUISE_ROUNDS + 1));
    state_enter(b, BBR_CRUISE);
}

static void probe_rtt_enter(struct ww_rpc_bbr *b, uint64_t hold_ns)
{
    b->rtt_min_ns = b->rtt_min_ns == UINT64_MAX ? b->round_rtt_ns : b->rtt_min_ns;
    b->probe_end_ns = 0;
    b->probe_hold_ns = hold_ns;
    b->crowded = 0;
    state_enter(b, BBR_PROBE_RTT);
}

/* How far acknowledgements run ahead of the rate, since they last did not. */
static void burst_note(struct ww_rpc_bbr *b, const struct ww_rpc_flow_sample *s)
{
    double expected = rate_of(b) * (double)(s->now_ns - b->burst_ns);
    if ((double)b->burst_bytes <= expected || s->now_ns - b->burst_ns > b->rtt_min_ns / 4) {
        b->burst_bytes = 0;
        b->burst_ns = s->now_ns;
        expected = 0;
    }
    b->burst_bytes += s->acked_bytes;
    double extra = (double)b->burst_bytes - expected - (double)s->message_bytes;
    if (extra > (double)b->extra[0])
        b->extra[0] = (uint64_t)extra;
}

static void rate_note(struct ww_rpc_bbr *b, const struct ww_rpc_flow_sample *s)
{
    if (s->rate_ns == 0)
        return;
    double rate = (double)s->rate_bytes / (double)s->rate_ns;
    if (s->app_limited) {
        b->round_limited = true;
        if (rate < rate_of(b))
            return;
    }
    b->cycle_sampled = true;
    if (rate > b->rate_peak)
        b->rate_peak = rate;
    if (rate > b->round_rate_max)
        b->round_rate_max = rate;
    if (rate > b->rate[0])
        b->rate[0] = rate;
}

/* A round trip close to the shortest one says that it still holds. */
static void rtt_note(struct ww_rpc_bbr *b, const struct ww_rpc_flow_sample *s)
{
    if (s->rtt_ns == 0)
        return;
    if (s->rtt_ns < b->round_rtt_ns) {
        b->round_rtt_ns = s->rtt_ns;
        b->round_rtt_bytes = s->rtt_bytes;
    }
    if (b->rtt_min_ns == UINT64_MAX || s->rtt_ns < b->rtt_min_ns)
        b->rtt_min_at_ns = s->now_ns;
    if (s->rtt_ns < b->rtt_min_ns) {
        b->rtt_min_ns = s->rtt_ns;
        b->rtt_bytes = s->rtt_bytes;
    }
}

static bool has_grown(const struct ww_rpc_bbr *b, double by)
{
    return rate_of(b) > b->round_rate * by;
}

/* Is the quickest way through, now, so many times as long as it could be? One message in service and one that
 * waits are no crowd. */
static bool is_crowded(const struct ww_rpc_bbr *b, double times, double rate)
{
    double messages = 2 * (double)b->message_bytes;
    return !b->round_limited && b->round_rtt_ns != UINT64_MAX &&
        rate * ((double)b->round_rtt_ns - times * (double)b->rtt_min_ns) > messages;
}

/* Too much is under way. Mostly the rate is overestimated, because the path became slower or another flow
 * came: what this round delivered is the truth. If that is no help, the path became longer. */
static void crowd_check(struct ww_rpc_bbr *b)
{
    if (!is_crowded(b, 2, b->rate_peak)) {
        b->crowded = 0;
        return;
    }
    if (++b->crowded >= LONGER_ROUNDS &&
        b->now_ns - b->probed_at_ns > min_u64(probe_age_ns, PROBE_ROUNDS * b->rtt_min_ns)) {
        probe_rtt_enter(b, 0);
    } else if (b->crowded >= CROWDED_ROUNDS && b->round_rate_max > 0 && is_crowded(b, 2, rate_of(b))) {
        b->rate[0] = b->rate[1] = b->round_rate_max;
        b->extra[0] = b->extra[1] = 0;
    }
}

static void round_ended(struct ww_rpc_bbr *b)
{
    if (b->rounds < UINT8_MAX)
        b->rounds++;
    switch ((enum ww_rpc_bbr_state)b->state) {
    case BBR_STARTUP:
        if (!b->round_limited)
            b->plateau = has_grown(b, 1.25) ? 0 : (uint8_t)(b->plateau + 1);
        if (is_crowded(b, startup_gain + 1, rate_of(b)))
            b->plateau = PLATEAU_ROUNDS; /* there are several windows in the path's queues already */
        if (b->plateau >= PLATEAU_ROUNDS)
            state_enter(b, BBR_DRAIN);
        break;
    case BBR_UP:
        if (b->rounds >= 2 && !has_grown(b, 1.1))
            state_enter(b, BBR_DOWN);
        break;
    case BBR_DOWN:
        if (b->rounds >= 2)
            cruise_enter(b);
        break;
    case BBR_CRUISE:
        crowd_check(b);
        if (b->state == BBR_CRUISE && b->rounds >= b->cruise) {
            cycle_advance(b);
            state_enter(b, BBR_UP);
        }
        break;
    default:
        break;
    }
    b->round_rate = rate_of(b);
    b->round_rate_max = 0;
    b->round_limited = false;
    b->round_rtt_ns = UINT64_MAX;
}

static uint64_t floor_of(const struct ww_rpc_bbr *b)
{
    double quarter = product(b) / 4;
    return quarter > WINDOW_MIN ? (uint64_t)quarter : WINDOW_MIN;
}

static void probe_rtt_step(struct ww_rpc_bbr *b, const struct ww_rpc_flow_sample *s, bool round)
{
    if (b->probe_end_ns == 0) {
        if (s->in_flight_bytes <= floor_of(b)) {
            b->probe_end_ns = s->now_ns + b->probe_hold_ns;
            b->round_end = s->delivered_bytes;
            b->round_rtt_ns = UINT64_MAX;
            b->rounds = 0;
        }
        return;
    }
    if (!round || s->now_ns < b->probe_end_ns)
        return;
    if (b->round_rtt_ns !=
        UINT64_MAX) { /* it may have been the queue of others: believe it the second time, in part */
        uint64_t both = min_u64(b->round_rtt_ns, b->probed_rtt_ns);
        b->probed_rtt_ns = b->round_rtt_ns;
        if (both > b->rtt_min_ns) {
            b->rtt_min_ns = min_u64(both, 2 * b->rtt_min_ns);
            b->rtt_bytes = b->round_rtt_bytes;
        }
    }
    b->rtt_min_at_ns = b->probed_at_ns = s->now_ns;
    b->round_rtt_ns = UINT64_MAX;
    if (b->plateau >= PLATEAU_ROUNDS)
        cruise_enter(b);
    else
        state_enter(b, BBR_STARTUP);
}

static void step(struct ww_rpc_bbr *b, const struct ww_rpc_flow_sample *s)
{
    bool round = s->round_bytes >= b->round_end;
    if (round)
        b->round_end = s->delivered_bytes;
    if (b->state == BBR_PROBE_RTT) {
        probe_rtt_step(b, s, round);
        return;
    }
    if (round)
        round_ended(b);
    if ((b->state == BBR_DRAIN && (double)s->in_flight_bytes <= product(b)) ||
        (b->state == BBR_DOWN && (double)s->in_flight_bytes <= 0.75 * product(b)))
        cruise_enter(b);
    if (s->now_ns - b->rtt_min_at_ns > min_u64(rtt_age_ns, AGE_ROUNDS * b->rtt_min_ns) && !s->app_limited)
        probe_rtt_enter(b, min_u64(probe_hold_ns, HOLD_ROUNDS * b->rtt_min_ns));
}

static void window_set(struct ww_rpc_bbr *b)
{
    static const double gains[] = {
        [BBR_DRAIN] = 1, [BBR_UP] = 1.5, [BBR_DOWN] = 0.75, [BBR_CRUISE] = 1.25, [BBR_PROBE_RTT] = 0.25};
    double bdp = product(b), gain = b->state == BBR_STARTUP ? startup_gain : gains[b->state];
    if (b->state == BBR_UP && b->rounds > 2)
        gain = 2; /* there is more, and more */
    if (bdp <= 0)
        return; /* nothing known yet */
    double extra = (double)(b->extra[0] > b->extra[1] ? b->extra[0] : b->extra[1]);
    double window = gain * bdp;
    if (b->state == BBR_UP || b->state == BBR_CRUISE)
        window += extra < bdp ? extra : bdp;
    if (window < WINDOW_MIN)
        window = WINDOW_MIN;
    if (window <= (double)b->message_bytes && b->state != BBR_PROBE_RTT)
        window = (double)b->message_bytes + 1; /* a large message must not cost a round trip */
    if (window > (double)WW_RPC_WINDOW_MAX)
        window = (double)WW_RPC_WINDOW_MAX;
    /* The start does not take back what it began with before it knows better. */
    if (b->state != BBR_STARTUP || window > (double)b->flow.window_bytes)
        b->flow.window_bytes = (uint64_t)window;
}

static void bbr_acked(struct ww_rpc_flow *flow, const struct ww_rpc_flow_sample *s)
{
    struct ww_rpc_bbr *b = WW_CONTAINER_OF(flow, struct ww_rpc_bbr, flow);
    if (b->now_ns == 0)
        b->rtt_min_at_ns = b->burst_ns = b->probed_at_ns = s->now_ns;
    if (s->now_ns < b->now_ns)
        return; /* the clock went back */
    b->now_ns = s->now_ns;
    b->message_bytes = s->message_bytes;
    rtt_note(b, s);
    rate_note(b, s);
    burst_note(b, s);
    step(b, s);
    window_set(b);
}

static void bbr_moved(struct ww_rpc_flow *flow)
{
    struct ww_rpc_bbr *b = WW_CONTAINER_OF(flow, struct ww_rpc_bbr, flow);
    ww_rpc_bbr_init(b, b->dice);
}

void ww_rpc_bbr_init(struct ww_rpc_bbr *bbr, uint32_t seed)
{
    static const struct ww_rpc_flow_ops ops = {.acked = bbr_acked, .moved = bbr_moved};
    *bbr = (struct ww_rpc_bbr){
        .flow = {.ops = &ops, .window_bytes = WINDOW_START},
        .dice = seed,
        .rtt_min_ns = UINT64_MAX,
        .round_rtt_ns = UINT64_MAX,
    };
}
