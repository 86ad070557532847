/* Samples of delivery rate, and the window that is said rather than measured. */
#include "rpc/flow.h"

void ww_rpc_flow_meter_init(struct ww_rpc_flow_meter *m, uint64_t now_ns)
{
    *m = (struct ww_rpc_flow_meter){.rtt_min_ns = UINT64_MAX, .room_ns = now_ns};
}

void ww_rpc_flow_meter_move(struct ww_rpc_flow_meter *m, uint64_t now_ns)
{
    uint64_t message_max = m->message_max;
    uint32_t way = m->way;
    ww_rpc_flow_meter_init(m, now_ns);
    m->message_max = message_max;
    m->way = way + 1;
}

/* Did the sender let time go by with a good part of the window empty? */
static bool left_a_bubble(const struct ww_rpc_flow_meter *m, uint64_t window, uint64_t now_ns)
{
    return now_ns > m->room_ns && m->in_flight < window - window / 8;
}

void ww_rpc_flow_sent(struct ww_rpc_flow_meter *m, struct ww_rpc_flow_mark *mark, uint64_t bytes,
    uint64_t window, uint64_t now_ns)
{
    if (left_a_bubble(m, window, now_ns))
        m->limited_until = m->delivered + m->in_flight ? m->delivered + m->in_flight : 1;
    m->room_ns = now_ns;
    if (m->in_flight == 0)
        m->first_sent_ns = m->delivered_ns = now_ns;
    if (bytes > m->message_max)
        m->message_max = bytes;
    *mark = (struct ww_rpc_flow_mark){
        .bytes = bytes,
        .sent_ns = now_ns,
        .first_sent_ns = m->first_sent_ns,
        .delivered = m->delivered,
        .delivered_ns = m->delivered_ns,
        .way = m->way,
        .app_limited = m->limited_until != 0,
    };
    m->in_flight += bytes;
}

void ww_rpc_flow_acked(struct ww_rpc_flow_meter *m, const struct ww_rpc_flow_mark *mark)
{
    if (mark->way != m->way)
        return;
    m->in_flight -= mark->bytes;
    m->delivered += mark->bytes;
    if (m->acked == 0 || mark->sent_ns > m->newest.sent_ns ||
        (mark->sent_ns == m->newest.sent_ns && mark->delivered > m->newest.delivered))
        m->newest = *mark;
    m->acked += mark->bytes;
}

bool ww_rpc_flow_sample(struct ww_rpc_flow_meter *m, uint64_t now_ns, struct ww_rpc_flow_sample *ret_sample)
{
    const struct ww_rpc_flow_mark *mark = &m->newest;
    if (m->acked == 0)
        return false;
    struct ww_rpc_flow_sample s = {
        .now_ns = now_ns,
        .acked_bytes = m->acked,
        .in_flight_bytes = m->in_flight,
        .delivered_bytes = m->delivered,
        .round_bytes = mark->delivered,
        .message_bytes = m->message_max,
        .app_limited = mark->app_limited,
    };
    m->acked = 0;
    if (m->limited_until && m->delivered > m->limited_until)
        m->limited_until = 0;
    if (now_ns > mark->sent_ns) { /* a clock that stands still, or goes back, measures nothing */
        s.rtt_ns = now_ns - mark->sent_ns;
        s.rtt_bytes = mark->bytes;
        if (s.rtt_ns < m->rtt_min_ns)
            m->rtt_min_ns = s.rtt_ns;
        uint64_t sending = mark->sent_ns > mark->first_sent_ns ? mark->sent_ns - mark->first_sent_ns : 0;
        uint64_t acking = now_ns > mark->delivered_ns ? now_ns - mark->delivered_ns : 0;
        uint64_t interval = sending > acking ? sending : acking;
        if (interval >= m->rtt_min_ns) { /* less is acknowledgements that were held back and came at once */
            s.rate_bytes = m->delivered - mark->delivered;
            s.rate_ns = interval;
        }
    }
    m->first_sent_ns = mark->sent_ns;
    m->delivered_ns = now_ns;
    *ret_sample = s;
    return true;
}
