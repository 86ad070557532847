/* A connection's life: made by accept or dial, upgraded (conn_upgrade.c), driven (conn_io.c), freed by its
 * task. */
#include "p2p/swarm_internal.h"

static void conn_work(struct ww_task *task);
static void conn_timer(struct ww_timer *timer);

struct ww_conn *conn_new(struct ww_swarm *sw, bool outbound)
{
    struct ww_conn *c = WW_NEW(struct ww_conn);
    if (!c)
        return NULL;
    c->sw = sw;
    c->tcp.events = &conn_tcp_events;
    c->info.outbound = outbound;
    c->info.budget = &c->budget;
    c->info.id = ++sw->next_conn_id;
    ww_list_init(&c->shake_link);
    ww_list_init(&c->peer_link);
    ww_list_init(&c->dial_link);
    ww_list_init(&c->streams);
    ww_list_init(&c->resumed);
    ww_list_init(&c->writers);
    ww_list_init(&c->ending);
    ww_list_init(&c->dead);
    ww_buf_init(&c->pre, SWARM_PRE_BYTES);
    ww_noise_reader_init(&c->reader);
    ww_budget_init(&c->budget, NULL);
    ww_task_init(&c->task, conn_work);
    c->timer.fired = conn_timer;
    c->timer_at_ns = WW_NEVER;
    ww_list_push_back(&sw->conns, &c->link);
    return c;
}

void conn_kick(struct ww_conn *c)
{
    if (c->state != CONN_CLOSING)
        c->sw->env->ops->post(c->sw->env, &c->task);
}

const char *conn_addr_text(const struct ww_conn *c, char *out, size_t out_size)
{
    if (c->dialed_len)
        return ww_multiaddr_text(ww_bytes(c->dialed, c->dialed_len), out, out_size);
    return swarm_netaddr_text(&c->info.remote, out, out_size);
}

/* ---- timer ---- */

/* While upgrading the timer is the handshake's deadline and set by who changes the state; after that it is
 * the muxer's. */
void conn_arm(struct ww_conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    uint64_t at_ns = c->tx_more ? 0 : ww_yamux_deadline(&c->mux);
    if (at_ns >= c->timer_at_ns && c->timer.armed)
        return; /* fires early and looks again: cheaper than to move it with every frame */
    c->timer_at_ns = at_ns;
    if (at_ns == WW_NEVER)
        c->sw->env->ops->timer_cancel(c->sw->env, &c->timer);
    else
        c->sw->env->ops->timer_set(c->sw->env, &c->timer, at_ns);
}

static void conn_timer(struct ww_timer *timer)
{
    struct ww_conn *c = WW_CONTAINER_OF(timer, struct ww_conn, timer);
    c->timer_at_ns = WW_NEVER;
    if (c->state == CONN_CLOSING)
        return;
    if (c->state != CONN_OPEN) {
        conn_close(c, WW_ETIMEOUT);
        return;
    }
    uint64_t now_ns = swarm_now(c->sw);
    if (ww_yamux_deadline(&c->mux) <= now_ns) {
        ww_err err = ww_yamux_tick(&c->mux, now_ns);
        if (err < 0) {
            conn_close(c, err);
            return;
        }
        conn_mux_events(c);
    }
    conn_kick(c);
}

static void conn_work(struct ww_task *task)
{
    struct ww_conn *c = WW_CONTAINER_OF(task, struct ww_conn, task);
    if (c->state == CONN_CLOSING) {
        conn_finish(c);
        return;
    }
    while (c->state == CONN_OPEN && !ww_list_empty(&c->resumed)) {
        struct ww_stream *s = WW_LIST_ENTRY(ww_list_pop_front(&c->resumed), struct ww_stream, resumed);
        stream_offer(s);
    }
    conn_flush(c);
    stream_sweep(c);
    conn_arm(c);
}

/* ---- socket events ---- */

struct ww_tcp_user *conn_accepted(struct ww_listener_user *user, const struct ww_netaddr *remote)
{
    struct swarm_listener *l = WW_CONTAINER_OF(user, struct swarm_listener, user);
    struct ww_swarm *sw = l->sw;
    struct swarm_ip *ip = swarm_admit(sw, remote);
    if (!ip)
        return NULL;
    struct ww_conn *c = conn_new(sw, false);
    if (!c) {
        swarm_ip_put(sw, ip);
        return NULL;
    }
    sw->stats.accepted++;
    c->ip = ip;
    c->info.remote = *remote;
    c->counted_shake = true;
    ip->handshakes++;
    sw->handshake_count++;
    ww_list_push_back(&sw->handshakes, &c->shake_link);
    ww_err err = conn_upgrade_start(c);
    if (err < 0) {
        conn_close(c, err);
        return NULL;
    }
    sw->env->ops->timer_set(sw->env, &c->timer, swarm_now(sw) + sw->limits.handshake_timeout_ns);
    conn_kick(c);
    return &c->tcp;
}

static void on_connected(struct ww_tcp_user *user, ww_err err)
{
    struct ww_conn *c = WW_CONTAINER_OF(user, struct ww_conn, tcp);
    struct ww_swarm *sw = c->sw;
    if (err < 0) {
        c->tcp.tcp = NULL;
        conn_close(c, err);
        return;
    }
    err = conn_upgrade_start(c);
    if (err < 0) {
        conn_close(c, err);
        return;
    }
    sw->env->ops->timer_set(sw->env, &c->timer, swarm_now(sw) + sw->limits.handshake_timeout_ns);
    conn_kick(c);
}

/* The buffer is shared by all connections: it is filled and emptied within one event. */
static void on_buffer(struct ww_tcp_user *user, uint8_t **ret_ptr, size_t *ret_len)
{
    struct ww_conn *c = WW_CONTAINER_OF(user, struct ww_conn, tcp);
    *ret_ptr = c->sw->rx;
    *ret_len = SWARM_RX_BYTES;
}

static void on_data(struct ww_tcp_user *user, uint8_t *ptr, size_t len)
{
    conn_receive(WW_CONTAINER_OF(user, struct ww_conn, tcp), ptr, len);
}

static void on_writable(struct ww_tcp_user *user)
{
    struct ww_conn *c = WW_CONTAINER_OF(user, struct ww_conn, tcp);
    c->tx_blocked = false;
    conn_kick(c);
}

static void on_closed(struct ww_tcp_user *user, ww_err err)
{
    struct ww_conn *c = WW_CONTAINER_OF(user, struct ww_conn, tcp);
    if (err != WW_ECLOSED)
        c->tcp_dead = true;
    conn_close(c, err);
}

const struct ww_tcp_events conn_tcp_events = {
    .connected = on_connected,
    .buffer = on_buffer,
    .data = on_data,
    .writable = on_writable,
    .closed = on_closed,
};

/* ---- into the books and out of them ---- */

static ww_err conn_may_open(struct ww_conn *c, const struct ww_peer_id *id)
{
    struct ww_swarm *sw = c->sw;
    if (ww_peer_id_eq(id, &sw->id))
        return WW_EPEERID;
    if (sw->gater && sw->gater->secured && !sw->gater->secured(sw->gater, id, c->info.outbound))
        return WW_EDENIED;
    if (c->info.outbound)
        return sw->conns_out >= sw->limits.conns_out ? WW_ELIMIT : WW_OK;
    if (sw->conns_in >= sw->limits.conns_in)
        return WW_ELIMIT;
    return !c->ip->loopback && c->ip->conns >= sw->limits.conns_per_ip ? WW_ELIMIT : WW_OK;
}

static void conn_uncount_shake(struct ww_conn *c)
{
    if (!c->counted_shake)
        return;
    c->counted_shake = false;
    c->ip->handshakes--;
    c->sw->handshake_count--;
    ww_list_remove(&c->shake_link);
}

static void conn_count(struct ww_conn *c, struct swarm_peer *peer)
{
    struct ww_swarm *sw = c->sw;
    conn_uncount_shake(c);
    c->counted_conn = true;
    c->peer = peer;
    peer->refs++;
    if (peer->conn_count++ == 0)
        ww_list_push_back(&sw->connected, &peer->link);
    ww_list_push_front(&peer->conns, &c->peer_link);
    if (c->info.outbound) {
        sw->conns_out++;
    } else {
        sw->conns_in++;
        c->ip->conns++;
    }
}

static void conn_uncount(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    c->counted_conn = false;
    ww_list_remove(&c->peer_link);
    if (--c->peer->conn_count == 0)
        ww_list_remove(&c->peer->link);
    if (c->info.outbound) {
        sw->conns_out--;
    } else {
        sw->conns_in--;
        c->ip->conns--;
    }
}

static void conn_mux_start(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    struct ww_yamux_conf conf;
    uint64_t seed[2];
    sw->env->ops->random(sw->env, seed, sizeof seed);
    ww_yamux_conf_init(&conf, c->info.outbound, seed);
    conf.window_max = (uint32_t)sw->limits.window_bytes_max;
    conf.streams_in_max = sw->limits.streams_in_per_conn;
    conf.streams_out_max = sw->limits.streams_out_per_conn;
    conf.stream_send_max = SWARM_STREAM_SEND_BYTES;
    conf.conn_send_max = SWARM_CONN_SEND_BYTES;
    conf.keepalive_ns = sw->limits.keepalive_ns;
    conf.budget = &c->budget;
    ww_yamux_init(&c->mux, &conf, swarm_now(sw));
    c->mux_live = true;
}

static void conn_trace_up(struct ww_conn *c)
{
    char id[WW_PEER_ID_TEXT_MAX], addr[128];
    WW_TRACE(c->sw->env->trace, SWARM_CONN_UP, ww_tv_str(ww_peer_id_format(&c->info.peer, id)),
        ww_tv_str(conn_addr_text(c, addr, sizeof addr)), ww_tv_str(c->info.outbound ? "out" : "in"));
}

/* An address that we reached somebody at is worth keeping; one that somebody came from is not. */
static void conn_remember(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    uint64_t now_ns = swarm_now(sw);
    ww_peerstore_set_connected(sw->peerstore, &c->info.peer, true, now_ns);
    ww_err err = WW_OK;
    if (c->dialed_len)
        err = ww_peerstore_add_addr(sw->peerstore, &c->info.peer, ww_bytes(c->dialed, c->dialed_len), now_ns,
            WW_PEERSTORE_TTL_FOREVER);
    if (err == WW_OK && c->up->noise.remote_key.len > WW_ED25519_PUBLIC_BYTES + 8) {
        uint8_t key[WW_PUBKEY_ENCODED_MAX];
        size_t len = ww_pubkey_encode(&c->up->noise.remote_key, key);
        err = ww_peerstore_set_key(sw->peerstore, &c->info.peer, ww_bytes(key, len));
    }
    WW_UNUSED(err); /* only hints are lost when memory is out */
}

ww_err conn_opened(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    const struct ww_peer_id *id = &c->up->noise.remote;
    WW_TRY(conn_may_open(c, id));
    struct swarm_peer *peer = swarm_peer_get(sw, id);
    if (!peer)
        return WW_ENOMEM;
    ww_budget_init(&c->budget, &peer->budget);
    c->budget.max[WW_RES_BYTES] = sw->limits.conn_bytes;
    ww_err err = peer->conn_count >= sw->limits.conns_per_peer
        ? WW_ELIMIT
        : ww_budget_charge(&c->budget, WW_RES_CONNS, 1);
    if (err < 0) {
        swarm_peer_put(sw, peer);
        return err;
    }
    c->info.peer = *id;
    c->info.opened_ns = swarm_now(sw);
    struct ww_netaddr remote;
    sw->env->ops->tcp_addrs(sw->env, c->tcp.tcp, &c->info.local, &remote);
    conn_mux_start(c);
    conn_count(c, peer);
    conn_remember(c);
    conn_upgrade_fini(c);
    c->state = CONN_OPEN;
    sw->env->ops->timer_cancel(sw->env, &c->timer);
    c->timer_at_ns = WW_NEVER;
    sw->stats.upgraded++;
    conn_trace_up(c);
    if (c->dial)
        dial_attempt_done(c, WW_OK);
    if (peer->dial)
        dial_satisfied(peer->dial, c);
    if (peer->conn_count == 1)
        swarm_tell_up(sw, &c->info.peer);
    if (c->state == CONN_OPEN)
        identify_conn_opened(c);
    return WW_OK;
}

struct ww_conn *conn_of_peer(const struct ww_swarm *sw, const struct ww_peer_id *id)
{
    struct swarm_peer *peer = swarm_peer_find(sw, id);
    if (!peer)
        return NULL;
    WW_LIST_FOR(it, &peer->conns)
    {
        struct ww_conn *c = WW_LIST_ENTRY(it, struct ww_conn, peer_link);
        if (c->state == CONN_OPEN && !c->mux.goaway_received)
            return c;
    }
    return NULL;
}

/* ---- the end ---- */

void conn_close(struct ww_conn *c, ww_err err)
{
    struct ww_swarm *sw = c->sw;
    if (c->state == CONN_CLOSING)
        return;
    char addr[128];
    if (c->state != CONN_OPEN) {
        sw->stats.upgrade_failed++;
        if (c->state != CONN_CONNECTING)
            WW_TRACE(sw->env->trace, SWARM_UPGRADE_FAIL, ww_tv_str(conn_addr_text(c, addr, sizeof addr)),
                ww_tv_str(c->info.outbound ? "out" : "in"), ww_tv_str(conn_state_name(c->state)),
                ww_tv_err(err));
    }
    c->state = CONN_CLOSING;
    c->err = err;
    conn_uncount_shake(c);
    if (c->tcp.tcp)
        sw->env->ops->tcp_read(sw->env, c->tcp.tcp, false);
    sw->env->ops->timer_cancel(sw->env, &c->timer);
    sw->env->ops->post(sw->env, &c->task);
}

static void conn_trace_down(struct ww_conn *c)
{
    char id[WW_PEER_ID_TEXT_MAX], addr[128];
    WW_TRACE(c->sw->env->trace, SWARM_CONN_DOWN, ww_tv_str(ww_peer_id_format(&c->info.peer, id)),
        ww_tv_str(conn_addr_text(c, addr, sizeof addr)), ww_tv_err(c->err));
}

/* Off the wire: what is queued gets one chance, then the socket closes. */
static void conn_hang_up(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    if (!c->tcp.tcp)
        return;
    if (c->mux_live) {
        ww_yamux_goaway(&c->mux, c->err == WW_EPROTO ? WW_YAMUX_GOAWAY_PROTOCOL : WW_YAMUX_GOAWAY_NORMAL);
    }
    conn_flush(c);
    sw->env->ops->tcp_close(sw->env, c->tcp.tcp);
    c->tcp.tcp = NULL;
}

static void conn_end_streams(struct ww_conn *c)
{
    while (!ww_list_empty(&c->streams)) {
        struct ww_stream *s = WW_LIST_ENTRY(c->streams.next, struct ww_stream, link);
        stream_end(s, WW_ECLOSED);
    }
    stream_sweep(c);
}

void conn_finish(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    conn_close(c, WW_ECLOSED);
    conn_hang_up(c);
    ww_list_remove(&c->task.link);
    ww_list_remove(&c->link);
    struct swarm_peer *peer = c->peer;
    if (c->counted_conn)
        conn_uncount(c);
    conn_end_streams(c);
    if (c->mux_live)
        ww_yamux_fini(&c->mux);
    if (c->dial)
        dial_attempt_done(c, c->err);
    conn_upgrade_fini(c);
    if (peer) {
        ww_budget_release(&c->budget, WW_RES_CONNS, 1);
        conn_trace_down(c);
        if (peer->conn_count == 0) {
            ww_peerstore_set_connected(sw->peerstore, &peer->id, false, swarm_now(sw));
            swarm_tell_down(sw, &peer->id);
        }
        peer->refs--;
        swarm_peer_put(sw, peer);
    }
    if (c->ip)
        swarm_ip_put(sw, c->ip);
    if (c->session_live)
        ww_noise_session_fini(&c->session);
    ww_noise_reader_fini(&c->reader);
    ww_buf_fini(&c->pre);
    conn_tx_release(c);
    ww_free(c->dialed);
    ww_free(c);
}
