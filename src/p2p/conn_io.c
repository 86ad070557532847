/* The data path. In: socket → shared buffer → Noise opens in place → Yamux → views to the stream users. Out:
 * stream queues → Yamux gathers views → Noise seals them into the send buffer → one write a turn. Bytes are
 * copied once on each way. */
#include "p2p/swarm_internal.h"

enum {
    FLUSH_ROUNDS = 4, /* send buffers that one connection may fill in a turn */
    GATHER_VIEWS = 64,
};

/* ---- in ---- */

void conn_mux_events(struct ww_conn *c)
{
    while (c->state == CONN_OPEN) {
        struct ww_yamux_event ev;
        ww_err got = ww_yamux_next(&c->mux, &ev);
        if (got < 0)
            conn_close(c, got);
        if (got <= 0)
            return;
        struct ww_stream *s = ev.stream ? WW_CONTAINER_OF(ev.stream, struct ww_stream, mux) : NULL;
        switch (ev.type) {
        case WW_YAMUX_OPENED:
            stream_accept(c);
            break;
        case WW_YAMUX_DATA:
            stream_on_data(s, ev.data);
            break;
        case WW_YAMUX_FIN:
            stream_on_fin(s);
            break;
        case WW_YAMUX_RESET:
            stream_end(s, WW_ERESET);
            break;
        case WW_YAMUX_CLOSED:
            stream_on_closed(s);
            break;
        case WW_YAMUX_WRITABLE:
            stream_on_writable(s);
            break;
        case WW_YAMUX_GOAWAY:
            break; /* conn_of_peer looks at the flag */
        }
    }
}

static void receive_plain(struct ww_conn *c, struct ww_bytes plain)
{
    if (c->state == CONN_MUXER) {
        size_t used = 0;
        ww_err err = conn_upgrade_plain(c, plain, &used);
        if (err < 0) {
            conn_close(c, err);
            return;
        }
        plain = ww_bytes_skip(plain, used);
    }
    if (c->state != CONN_OPEN || plain.len == 0)
        return;
    ww_err err = ww_yamux_feed(&c->mux, swarm_now(c->sw), plain);
    if (err < 0)
        conn_close(c, err);
    conn_mux_events(c);
}

void conn_receive(struct ww_conn *c, uint8_t *ptr, size_t len)
{
    if (c->state == CONN_CLOSING)
        return;
    c->sw->stats.bytes_in += len;
    if (!c->session_live) {
        size_t used = 0;
        ww_err err = conn_upgrade_raw(c, ww_bytes(ptr, len), &used);
        if (err < 0) {
            conn_close(c, err);
            return;
        }
        ptr += used;
        len -= used;
    }
    if (c->session_live && len && c->state != CONN_CLOSING) {
        ww_noise_reader_feed(&c->reader, ptr, len);
        struct ww_bytes plain;
        ww_err got = 0;
        while (c->state != CONN_CLOSING && (got = ww_noise_reader_next(&c->reader, &c->session, &plain)) == 1)
            receive_plain(c, plain);
        if (got < 0)
            conn_close(c, got);
    }
    conn_kick(c);
}

/* ---- out ---- */

ww_err conn_pre_put(struct ww_conn *c, struct ww_bytes data)
{
    if (data.len == 0)
        return WW_OK;
    if (!c->session_live)
        return ww_buf_append(&c->pre, data);
    uint8_t *room;
    WW_TRY(ww_buf_reserve(&c->pre, data.len + WW_NOISE_OVERHEAD_BYTES, &room));
    WW_TRY(ww_noise_seal(&c->session, &data, 1, room));
    ww_buf_commit(&c->pre, data.len + WW_NOISE_OVERHEAD_BYTES);
    return WW_OK;
}

void conn_tx_release(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    if (!c->tx)
        return;
    if (sw->tx_spare_count < SWARM_TX_SPARE)
        sw->tx_spare[sw->tx_spare_count++] = c->tx;
    else
        ww_free(c->tx);
    c->tx = NULL;
    c->tx_head = c->tx_tail = 0;
}

static bool tx_acquire(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    if (!c->tx)
        c->tx = sw->tx_spare_count ? sw->tx_spare[--sw->tx_spare_count] : ww_alloc(SWARM_TX_BYTES);
    return c->tx != NULL;
}

/* Gives the socket what waits. False: it did not take all, or it is dead. */
static bool send_waiting(struct ww_conn *c)
{
    struct ww_iovec iov[2];
    size_t count = 0, pre = ww_buf_len(&c->pre), tx = c->tx_tail - c->tx_head, taken = 0;
    if (pre)
        iov[count++] = (struct ww_iovec){ww_buf_data(&c->pre), pre};
    if (tx)
        iov[count++] = (struct ww_iovec){c->tx + c->tx_head, tx};
    if (count == 0)
        return true;
    ww_err err = c->sw->env->ops->tcp_write(c->sw->env, c->tcp.tcp, iov, count, &taken);
    if (err < 0) {
        c->tcp_dead = true;
        conn_close(c, err);
        return false;
    }
    c->sw->stats.bytes_out += taken;
    c->tx_blocked = taken < pre + tx;
    size_t of_pre = taken < pre ? taken : pre;
    ww_buf_consume(&c->pre, of_pre);
    c->tx_head += taken - of_pre;
    if (ww_buf_len(&c->pre) == 0)
        ww_buf_fini(&c->pre), ww_buf_init(&c->pre, SWARM_PRE_BYTES);
    if (c->tx_head == c->tx_tail)
        conn_tx_release(c);
    return !c->tx_blocked;
}

/* Seals what the muxer has until the send buffer is full. False: there was nothing, or it failed. */
static bool seal_some(struct ww_conn *c)
{
    if (!c->mux_live || !ww_yamux_wants_send(&c->mux))
        return false;
    if (!tx_acquire(c)) {
        conn_close(c, WW_ENOMEM);
        return false;
    }
    size_t frame_max = WW_NOISE_PLAIN_MAX + WW_NOISE_OVERHEAD_BYTES;
    uint64_t now_ns = swarm_now(c->sw);
    while (c->tx_tail + frame_max <= SWARM_TX_BYTES) {
        struct ww_bytes iov[GATHER_VIEWS];
        size_t count = 0;
        size_t len = ww_yamux_gather(&c->mux, now_ns, WW_NOISE_PLAIN_MAX, iov, GATHER_VIEWS, &count);
        if (len == 0)
            break;
        ww_err err = ww_noise_seal(&c->session, iov, count, c->tx + c->tx_tail);
        if (err < 0) {
            conn_close(c, err);
            return false;
        }
        c->tx_tail += len + WW_NOISE_OVERHEAD_BYTES;
    }
    if (c->tx_tail == 0)
        conn_tx_release(c);
    return c->tx_tail > 0;
}

void conn_flush(struct ww_conn *c)
{
    c->tx_more = false;
    if (!c->tcp.tcp || c->tcp_dead || c->tx_blocked || c->state == CONN_CONNECTING)
        return;
    bool sealed = true;
    for (unsigned round = 0; sealed && round < FLUSH_ROUNDS && send_waiting(c); round++) {
        sealed = seal_some(c);
        stream_send_ends(c);
        /* A connection that hangs up tells its streams afterwards, all at once. */
        if (c->state == CONN_OPEN) {
            conn_mux_events(c);
            stream_wake_writers(c);
        }
    }
    if (sealed && !c->tcp_dead && !c->tx_blocked)
        send_waiting(c);
    c->tx_more = !c->tx_blocked && c->state == CONN_OPEN && ww_yamux_wants_send(&c->mux);
}
