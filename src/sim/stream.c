#include "sim/stream.h"

#define RTO_NS (200 * WW_NS_PER_MS)
#define RTO_MAX_NS (10 * WW_NS_PER_S)
#define SYN_RTO_NS WW_NS_PER_S
#define NO_ROUTE_NS (3 * WW_NS_PER_S) /* address resolution gives up */

static uint64_t backoff(uint64_t base, unsigned retries)
{
    uint64_t wait = base << (retries < 8 ? retries : 8);
    return wait < RTO_MAX_NS ? wait : RTO_MAX_NS;
}

void ww_sim_flow_stop(struct ww_sim_flow *flow)
{
    struct ww_sim *sim = flow->conn->sim;
    flow->broken = true;
    flow->segment_count = 0;
    ww_sim_call_cancel(sim, &flow->arrive);
    ww_sim_call_cancel(sim, &flow->ack);
}

static void conn_free(struct ww_sim_conn *conn)
{
    struct ww_sim *sim = conn->sim;
    for (unsigned i = 0; i < 2; i++) {
        ww_sim_flow_stop(&conn->flow[i]);
        ww_buf_fini(&conn->flow[i].bytes);
        ww_sim_call_cancel(sim, &conn->reset[i]);
    }
    ww_sim_call_cancel(sim, &conn->handshake);
    ww_list_remove(&conn->link);
    ww_free(conn);
}

static void side_gone(struct ww_sim_conn *conn, unsigned side)
{
    conn->gone[side] = true;
    conn->end[side] = NULL;
    /* A request that nobody has seen yet leaves nothing behind. */
    if (conn->gone[1 - side] || !conn->host[1])
        conn_free(conn);
}

static void send_reset(struct ww_sim_conn *conn, unsigned to)
{
    if (!conn->reset[to].armed && !conn->gone[to])
        ww_sim_at(conn->sim, &conn->reset[to], ww_sim_transit(conn->node[1 - to], conn->node[to], 40));
}

static void reset_arrives(struct ww_sim_conn *conn, unsigned side)
{
    if (!ww_sim_reachable(conn->node[1 - side], conn->node[side]) || conn->gone[side])
        return;
    conn->sim->stats.resets++;
    ww_sim_flow_stop(&conn->flow[0]);
    ww_sim_flow_stop(&conn->flow[1]);
    ww_sim_tcp_failed(conn->end[side], WW_ERESET);
}

static void reset_0(struct ww_sim_call *call)
{
    reset_arrives(WW_CONTAINER_OF(call, struct ww_sim_conn, reset[0]), 0);
}

static void reset_1(struct ww_sim_call *call)
{
    reset_arrives(WW_CONTAINER_OF(call, struct ww_sim_conn, reset[1]), 1);
}

/* The sender has tried for too long. Only it learns of it. */
static void flow_times_out(struct ww_sim_flow *flow)
{
    struct ww_tcp *end = flow->conn->end[flow->from];
    ww_sim_flow_stop(flow);
    if (end)
        ww_sim_tcp_failed(end, WW_ETIMEOUT);
}

/* Waits before another try; false when there is none. */
static bool retry(struct ww_sim_flow *flow, struct ww_sim_call *call, unsigned *retries, uint64_t *since_ns)
{
    struct ww_sim *sim = flow->conn->sim;
    if (*retries == 0)
        *since_ns = sim->now_ns;
    if (sim->now_ns - *since_ns >= sim->conf.dead_timeout_ns) {
        flow_times_out(flow);
        return false;
    }
    sim->stats.segments_delayed++;
    ww_sim_at(sim, call, sim->now_ns + backoff(RTO_NS, (*retries)++));
    return true;
}

static void ack_later(struct ww_sim_flow *flow)
{
    struct ww_sim_conn *conn = flow->conn;
    if (!flow->ack.armed && !flow->broken)
        ww_sim_at(
            conn->sim, &flow->ack, ww_sim_transit(conn->node[1 - flow->from], conn->node[flow->from], 40));
}

static void ack_arrives(struct ww_sim_call *call)
{
    struct ww_sim_flow *flow = WW_CONTAINER_OF(call, struct ww_sim_flow, ack);
    struct ww_sim_conn *conn = flow->conn;
    if (!ww_sim_reachable(conn->node[1 - flow->from], conn->node[flow->from])) {
        (void)retry(flow, &flow->ack, &flow->ack_retries, &flow->ack_stuck_ns);
        return;
    }
    flow->ack_retries = 0;
    flow->acked = flow->arrived;
    flow->read_known = flow->read;
    ww_sim_flow_pump(flow);
    struct ww_tcp *end = conn->end[flow->from];
    if (end && ww_sim_flow_room(flow) > 0)
        ww_sim_tcp_room(end);
}

static void segment_arrives(struct ww_sim_call *call)
{
    struct ww_sim_flow *flow = WW_CONTAINER_OF(call, struct ww_sim_flow, arrive);
    struct ww_sim_conn *conn = flow->conn;
    unsigned to = 1 - flow->from;
    struct ww_sim_segment segment = flow->segments[flow->segment_head];
    if (!ww_sim_reachable(conn->node[flow->from], conn->node[to])) {
        (void)retry(flow, call, &flow->retries, &flow->stuck_ns);
        return;
    }
    if (conn->gone[to]) {
        ww_sim_flow_stop(flow);
        if (segment.end > flow->arrived)
            send_reset(conn, flow->from);
        return;
    }
    flow->retries = 0;
    flow->arrived = segment.end;
    flow->fin_arrived |= segment.fin;
    flow->segment_head = (flow->segment_head + 1) % SEGMENTS_MAX;
    flow->segment_count--;
    if (flow->segment_count > 0)
        ww_sim_at(conn->sim, call, flow->segments[flow->segment_head].at_ns);
    ack_later(flow);
    ww_sim_flow_pump(flow);
    ww_sim_tcp_poke(conn->end[to]);
}

static void segment_push(struct ww_sim_flow *flow, size_t len, bool fin)
{
    struct ww_sim_conn *conn = flow->conn;
    struct ww_sim *sim = conn->sim;
    struct ww_sim_node *from = conn->node[flow->from], *to = conn->node[1 - flow->from];
    uint64_t at = ww_sim_transit(from, to, len + 40);
    if (from != to && ww_sim_chance(&sim->losses, sim->conf.link.loss_ppm)) {
        at += RTO_NS + ww_prng_below(&sim->losses, RTO_NS);
        sim->stats.segments_delayed++;
    }
    size_t last = (flow->segment_head + flow->segment_count - 1) % SEGMENTS_MAX;
    if (flow->segment_count > 0 && flow->segments[last].at_ns > at)
        at = flow->segments[last].at_ns;
    flow->sent += len;
    flow->segments[(flow->segment_head + flow->segment_count) % SEGMENTS_MAX] =
        (struct ww_sim_segment){flow->sent, at, fin};
    sim->stats.segments_sent++;
    if (flow->segment_count++ == 0)
        ww_sim_at(sim, &flow->arrive, at);
}

void ww_sim_flow_pump(struct ww_sim_flow *flow)
{
    struct ww_sim *sim = flow->conn->sim;
    while (!flow->broken && flow->segment_count < SEGMENTS_MAX) {
        size_t len = (size_t)(flow->written - flow->sent);
        size_t window = sim->conf.receive_buffer_bytes - (size_t)(flow->sent - flow->read_known);
        len = len < window ? len : window;
        len = len < sim->conf.segment_max_bytes ? len : sim->conf.segment_max_bytes;
        if (len > 1 && ww_prng_below(&sim->cuts, 4) == 0)
            len = 1 + (size_t)ww_prng_below(&sim->cuts, len);
        if (len == 0)
            break;
        segment_push(flow, len, false);
    }
    if (!flow->broken && flow->segment_count < SEGMENTS_MAX && flow->fin_queued && !flow->fin_sent &&
        flow->sent == flow->written) {
        flow->fin_sent = true;
        segment_push(flow, 0, true);
    }
}

void ww_sim_flow_read(struct ww_sim_flow *flow, size_t len)
{
    ww_buf_consume(&flow->bytes, len);
    flow->read += len;
    ack_later(flow);
}

/* ---- connecting ---- */

static void handshake_ends(struct ww_sim_conn *conn, ww_err err)
{
    if (!err)
        conn->state = WW_SIM_CONN_OPEN;
    ww_sim_tcp_connected(conn->end[0], err);
}

static void handshake_retry(struct ww_sim_conn *conn)
{
    struct ww_sim *sim = conn->sim;
    if (sim->now_ns - conn->started_ns >= sim->conf.connect_timeout_ns)
        handshake_ends(conn, WW_ETIMEOUT);
    else
        ww_sim_at(sim, &conn->handshake, sim->now_ns + backoff(SYN_RTO_NS, conn->retries++));
}

static void request_arrives(struct ww_sim_conn *conn)
{
    ww_err err = conn->node[1]->running ? ww_sim_tcp_incoming(conn) : WW_EREFUSED;
    if (err == WW_EAGAIN) {
        handshake_retry(conn);
        return;
    }
    conn->state = err ? WW_SIM_CONN_REFUSED : WW_SIM_CONN_SYN_ACK;
    ww_sim_at(conn->sim, &conn->handshake, ww_sim_transit(conn->node[1], conn->node[0], 40));
}

static void handshake(struct ww_sim_call *call)
{
    struct ww_sim_conn *conn = WW_CONTAINER_OF(call, struct ww_sim_conn, handshake);
    struct ww_sim *sim = conn->sim;
    if (conn->state == WW_SIM_CONN_NO_ROUTE) {
        handshake_ends(conn, WW_EUNREACH);
        return;
    }
    unsigned from = conn->state == WW_SIM_CONN_SYN ? 0 : 1;
    bool remote = conn->node[0] != conn->node[1];
    if (!ww_sim_reachable(conn->node[from], conn->node[1 - from]) ||
        (remote && ww_sim_chance(&sim->losses, sim->conf.link.loss_ppm)))
        handshake_retry(conn);
    else if (conn->state == WW_SIM_CONN_SYN)
        request_arrives(conn);
    else
        handshake_ends(conn, conn->state == WW_SIM_CONN_REFUSED ? WW_EREFUSED : WW_OK);
}

ww_err ww_sim_conn_new(struct ww_sim_host *from, const struct ww_netaddr addr[2], struct ww_sim_node *to,
    struct ww_tcp *end, struct ww_sim_conn **ret_conn)
{
    struct ww_sim *sim = ww_sim_of(from);
    struct ww_sim_conn *conn = WW_NEW(struct ww_sim_conn);
    if (!conn)
        return WW_ENOMEM;
    conn->sim = sim;
    conn->state = to ? WW_SIM_CONN_SYN : WW_SIM_CONN_NO_ROUTE;
    conn->node[0] = from->node;
    conn->node[1] = to;
    conn->host[0] = from;
    conn->end[0] = end;
    conn->started_ns = sim->now_ns;
    conn->handshake.fire = handshake;
    conn->reset[0].fire = reset_0;
    conn->reset[1].fire = reset_1;
    for (unsigned i = 0; i < 2; i++) {
        conn->addr[i] = addr[i];
        conn->flow[i].conn = conn;
        conn->flow[i].from = i;
        conn->flow[i].arrive.fire = segment_arrives;
        conn->flow[i].ack.fire = ack_arrives;
        ww_buf_init(&conn->flow[i].bytes, sim->conf.send_buffer_bytes + sim->conf.receive_buffer_bytes);
    }
    ww_list_push_back(&sim->conns, &conn->link);
    sim->stats.connects++;
    ww_sim_at(sim, &conn->handshake, to ? ww_sim_transit(from->node, to, 40) : sim->now_ns + NO_ROUTE_NS);
    *ret_conn = conn;
    return WW_OK;
}

void ww_sim_conn_abort(struct ww_sim_conn *conn, unsigned side, bool reset)
{
    ww_sim_flow_stop(&conn->flow[side]);
    if (side == 0)
        ww_sim_call_cancel(conn->sim, &conn->handshake);
    if (reset && conn->host[1])
        send_reset(conn, 1 - side);
    side_gone(conn, side);
}

void ww_sim_conn_close(struct ww_sim_conn *conn, unsigned side)
{
    struct ww_sim_flow *out = &conn->flow[side], *in = &conn->flow[1 - side];
    bool connecting = side == 0 && conn->state != WW_SIM_CONN_OPEN;
    if (connecting || ww_sim_flow_readable(in) > 0) {
        ww_sim_conn_abort(conn, side, true);
        return;
    }
    out->fin_queued = true;
    ww_sim_flow_pump(out);
    side_gone(conn, side);
}

void ww_sim_tcp_reset(struct ww_sim_node *a, struct ww_sim_node *b)
{
    struct ww_sim *sim = a->sim;
    ww_sim_note(sim, a, "reset to=%s", b->name);
    WW_LIST_FOR(it, &sim->conns)
    {
        struct ww_sim_conn *conn = WW_LIST_ENTRY(it, struct ww_sim_conn, link);
        bool between =
            (conn->node[0] == a && conn->node[1] == b) || (conn->node[0] == b && conn->node[1] == a);
        if (!between || conn->state != WW_SIM_CONN_OPEN)
            continue;
        send_reset(conn, 0);
        send_reset(conn, 1);
    }
}

void ww_sim_tcp_free_world(struct ww_sim *sim)
{
    WW_LIST_FOR_SAFE(it, &sim->conns)
    conn_free(WW_LIST_ENTRY(it, struct ww_sim_conn, link));
}
