/* Streams: the user's side. What the muxer tells comes in through stream_on_*, from the loop; the calls of
 * stream.h only queue. A dead stream stays in memory until its connection's sweep, so callers further up may
 * still look at `state`. */
#include "p2p/swarm_internal.h"

#define DRAIN_NS (30 * WW_NS_PER_S) /* how long a released stream may wait for the peer's end */

static void stream_timer(struct ww_timer *timer);

struct ww_stream *stream_new(struct ww_conn *c, bool outbound)
{
    struct ww_stream *s = WW_NEW(struct ww_stream);
    if (!s)
        return NULL;
    s->conn = c;
    s->outbound = outbound;
    s->mark = SWARM_MARK_BYTES;
    s->timer.fired = stream_timer;
    ww_list_init(&s->resumed);
    ww_list_init(&s->writers);
    ww_list_init(&s->ending);
    ww_buf_init(&s->recv, (size_t)c->sw->limits.window_bytes_max);
    ww_list_push_back(&c->streams, &s->link);
    c->sw->streams++;
    if (!outbound) {
        c->sw->streams_in++;
        c->negotiating_in++;
    }
    return s;
}

void stream_kill(struct ww_stream *s)
{
    struct ww_conn *c = s->conn;
    struct ww_swarm *sw = c->sw;
    if (s->state == STREAM_DEAD)
        return;
    sw->streams--;
    if (!s->outbound) {
        sw->streams_in--;
        if (s->state == STREAM_NEGOTIATING)
            c->negotiating_in--;
    }
    s->state = STREAM_DEAD;
    if (s->user)
        s->user->stream = NULL;
    s->user = NULL;
    s->op = NULL;
    sw->env->ops->timer_cancel(sw->env, &s->timer);
    ww_yamux_stream_fini(&s->mux);
    stream_mss_free(s);
    ww_list_remove(&s->resumed);
    ww_list_remove(&s->writers);
    ww_list_remove(&s->ending);
    ww_list_remove(&s->link);
    ww_list_push_back(&c->dead, &s->link);
    conn_kick(c);
}

void stream_sweep(struct ww_conn *c)
{
    struct ww_list *link;
    while ((link = ww_list_pop_front(&c->dead))) {
        struct ww_stream *s = WW_LIST_ENTRY(link, struct ww_stream, link);
        ww_buf_fini(&s->recv);
        ww_free((void *)s->protocol.ptr);
        ww_free(s);
    }
}

void stream_end(struct ww_stream *s, ww_err err)
{
    if (s->state == STREAM_DEAD)
        return;
    struct ww_stream_user *user = s->user;
    struct ww_swarm_open *op = s->op;
    stream_kill(s);
    if (op)
        open_stream_failed(op, err); /* the user has not been told of the stream yet */
    else if (user)
        user->events->closed(user, err);
}

static void stream_timer(struct ww_timer *timer)
{
    struct ww_stream *s = WW_CONTAINER_OF(timer, struct ww_stream, timer);
    stream_end(s, WW_ETIMEOUT);
}

/* ---- from the muxer ---- */

static bool stream_may_offer(const struct ww_stream *s)
{
    return s->state == STREAM_OPEN && s->user && !s->paused && !s->held;
}

/* Tells the end of the peer's side once everything before it was taken, and then the end of all. */
static void stream_tell_end(struct ww_stream *s)
{
    if (!s->fin_received || !stream_may_offer(s) || ww_buf_len(&s->recv) > 0)
        return;
    if (!s->eof_told) {
        s->eof_told = true;
        if (s->user->events->eof)
            s->user->events->eof(s->user);
    }
    if (s->closed && s->state == STREAM_OPEN)
        stream_end(s, WW_OK);
}

static void stream_keep(struct ww_stream *s, struct ww_bytes data)
{
    if (data.len && ww_buf_append(&s->recv, data) < 0)
        stream_end(s, WW_ENOMEM);
}

void stream_on_data(struct ww_stream *s, struct ww_bytes data)
{
    if ((s->state == STREAM_NEGOTIATING || s->state == STREAM_LAZY) && !stream_negotiate(s, &data))
        return;
    if (s->state == STREAM_DRAINING)
        ww_yamux_stream_consumed(&s->mux, data.len);
    if (s->state != STREAM_OPEN || data.len == 0)
        return;
    if (!stream_may_offer(s) || ww_buf_len(&s->recv) > 0) {
        stream_keep(s, data);
        return;
    }
    size_t taken = s->user->events->data(s->user, data);
    WW_ASSERT(taken <= data.len);
    if (s->state == STREAM_DEAD)
        return;
    if (s->state == STREAM_DRAINING)
        taken = data.len;
    ww_yamux_stream_consumed(&s->mux, taken);
    if (taken < data.len) {
        s->paused = true;
        stream_keep(s, ww_bytes_skip(data, taken));
    }
}

void stream_offer(struct ww_stream *s)
{
    while (stream_may_offer(s) && ww_buf_len(&s->recv) > 0) {
        struct ww_bytes view = ww_buf_view(&s->recv);
        size_t taken = s->user->events->data(s->user, view);
        WW_ASSERT(taken <= view.len);
        if (s->state != STREAM_OPEN)
            return;
        if (taken < view.len)
            s->paused = true;
        ww_yamux_stream_consumed(&s->mux, taken);
        ww_buf_consume(&s->recv, taken);
    }
    if (s->state == STREAM_DEAD)
        return;
    if (ww_buf_len(&s->recv) == 0) {
        size_t max = s->recv.max;
        ww_buf_fini(&s->recv);
        ww_buf_init(&s->recv, max);
    }
    stream_tell_end(s);
}

void stream_on_fin(struct ww_stream *s)
{
    s->fin_received = true;
    if (s->state == STREAM_NEGOTIATING || s->state == STREAM_LAZY)
        stream_end(s, WW_ECLOSED);
    else if (s->state == STREAM_OPEN)
        stream_tell_end(s);
}

void stream_on_closed(struct ww_stream *s)
{
    s->closed = true;
    if (s->state == STREAM_OPEN)
        stream_tell_end(s);
    else
        stream_end(s, WW_OK);
}

void stream_on_writable(struct ww_stream *s)
{
    if (s->user && !s->op && s->user->events->writable)
        s->user->events->writable(s->user);
}

void stream_wake_writers(struct ww_conn *c)
{
    struct ww_list waiting, *link;
    ww_list_init(&waiting);
    ww_list_splice_back(&waiting, &c->writers);
    while ((link = ww_list_pop_front(&waiting))) {
        struct ww_stream *s = WW_LIST_ENTRY(link, struct ww_stream, writers);
        if (s->mux.send_bytes > s->mark / 2)
            ww_list_push_back(&c->writers, &s->writers);
        else
            stream_on_writable(s);
    }
}

/* ---- calls of the user ---- */

static ww_err stream_wait(struct ww_stream *s)
{
    ww_list_remove(&s->writers);
    ww_list_push_back(&s->conn->writers, &s->writers);
    conn_kick(s->conn);
    return WW_EAGAIN;
}

/* One reference-counted copy: the only form in which the muxer takes more than it has room for. */
static ww_err write_large(struct ww_stream *s, const struct ww_iovec *iov, size_t count, size_t total)
{
    struct ww_slab *slab = ww_slab_new(total);
    if (!slab)
        return WW_ENOMEM;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (iov[i].len)
            memcpy(slab->data + at, iov[i].ptr, iov[i].len);
        at += iov[i].len;
    }
    ww_err err = ww_yamux_stream_write_slab(&s->mux, slab, 0, total);
    ww_slab_unref(slab);
    if (err == WW_OK)
        conn_kick(s->conn);
    return err;
}

ww_err ww_stream_writev(struct ww_stream *s, const struct ww_iovec *iov, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (iov[i].len > SIZE_MAX / 2 - total)
            return WW_ELIMIT;
        total += iov[i].len;
    }
    if (s->state == STREAM_DEAD || s->conn->state != CONN_OPEN)
        return WW_ECLOSED;
    if (s->write_ended)
        return WW_ESTATE;
    if (total == 0)
        return WW_OK;
    if (s->mux.send_bytes >= s->mark)
        return stream_wait(s);
    if (total > ww_yamux_stream_room(&s->mux))
        return write_large(s, iov, count, total);
    for (size_t i = 0; i < count; i++) {
        size_t taken = 0;
        if (iov[i].len)
            WW_TRY(ww_yamux_stream_write(&s->mux, ww_bytes(iov[i].ptr, iov[i].len), &taken));
    }
    conn_kick(s->conn);
    return WW_OK;
}

ww_err ww_stream_write(struct ww_stream *s, struct ww_bytes data)
{
    struct ww_iovec iov = {data.ptr, data.len};
    return ww_stream_writev(s, &iov, 1);
}

ww_err ww_stream_write_some(struct ww_stream *s, struct ww_bytes data, size_t *ret_taken)
{
    if (s->state == STREAM_DEAD || s->conn->state != CONN_OPEN)
        return WW_ECLOSED;
    if (s->write_ended)
        return WW_ESTATE;
    size_t taken = 0, under_mark = s->mux.send_bytes < s->mark ? s->mark - s->mux.send_bytes : 0;
    struct ww_bytes part = ww_bytes(data.ptr, data.len < under_mark ? data.len : under_mark);
    if (part.len)
        WW_TRY(ww_yamux_stream_write(&s->mux, part, &taken));
    if (taken < data.len && taken == part.len)
        stream_wait(s); /* our mark was the limit: we owe the event, not the muxer */
    if (taken)
        conn_kick(s->conn);
    *ret_taken = taken;
    return WW_OK;
}

size_t ww_stream_pending(const struct ww_stream *s)
{
    return s->mux.send_bytes;
}

void ww_stream_set_mark(struct ww_stream *s, size_t bytes)
{
    s->mark = bytes < 1 ? 1 : bytes > SWARM_STREAM_SEND_BYTES ? SWARM_STREAM_SEND_BYTES : bytes;
}

/* The end travels in a frame of its own, after the last bytes: js-libp2p 3 loses what it has not handed on
 * yet when both come in one, and no reader waits longer for it. */
static ww_err end_write(struct ww_stream *s)
{
    if (s->write_ended)
        return WW_OK;
    s->write_ended = true;
    conn_kick(s->conn);
    if (s->mux.send_bytes == 0)
        return ww_yamux_stream_shutdown(&s->mux);
    ww_list_push_back(&s->conn->ending, &s->ending);
    return WW_OK;
}

void stream_send_ends(struct ww_conn *c)
{
    WW_LIST_FOR_SAFE(it, &c->ending)
    {
        struct ww_stream *s = WW_LIST_ENTRY(it, struct ww_stream, ending);
        if (s->mux.send_bytes > 0)
            continue;
        ww_list_remove(&s->ending);
        ww_err err = ww_yamux_stream_shutdown(&s->mux);
        WW_UNUSED(err); /* already over: the event is on its way */
    }
}

void ww_stream_close_write(struct ww_stream *s)
{
    if (s->state == STREAM_DEAD)
        return;
    ww_err err = end_write(s);
    WW_UNUSED(err); /* already over: the event is on its way */
}

void ww_stream_reset(struct ww_stream *s)
{
    stream_kill(s);
}

void ww_stream_release(struct ww_stream *s)
{
    struct ww_swarm *sw = s->conn->sw;
    if (s->state == STREAM_DEAD)
        return;
    if (s->user)
        s->user->stream = NULL;
    s->user = NULL;
    if (s->closed || end_write(s) < 0) {
        stream_kill(s);
        return;
    }
    s->state = STREAM_DRAINING;
    stream_mss_free(s);
    ww_yamux_stream_consumed(&s->mux, ww_buf_len(&s->recv));
    ww_buf_clear(&s->recv);
    ww_list_remove(&s->resumed);
    ww_list_remove(&s->writers);
    sw->env->ops->timer_set(sw->env, &s->timer, swarm_now(sw) + DRAIN_NS);
    conn_kick(s->conn);
}

void ww_stream_bind(struct ww_stream *s, struct ww_stream_user *user)
{
    if (s->user)
        s->user->stream = NULL;
    s->user = user;
    user->stream = s;
    ww_stream_resume(s);
}

void ww_stream_pause(struct ww_stream *s)
{
    s->paused = true;
}

void ww_stream_resume(struct ww_stream *s)
{
    s->paused = false;
    if (s->state != STREAM_OPEN || (ww_buf_len(&s->recv) == 0 && !s->fin_received))
        return;
    ww_list_remove(&s->resumed);
    ww_list_push_back(&s->conn->resumed, &s->resumed);
    conn_kick(s->conn);
}

const struct ww_peer_id *ww_stream_peer(const struct ww_stream *s)
{
    return &s->conn->info.peer;
}

struct ww_bytes ww_stream_protocol(const struct ww_stream *s)
{
    return s->protocol;
}

const struct ww_conn_info *ww_stream_conn(const struct ww_stream *s)
{
    return &s->conn->info;
}

bool ww_stream_outbound(const struct ww_stream *s)
{
    return s->outbound;
}

struct ww_budget *ww_stream_budget(const struct ww_stream *s)
{
    return &s->conn->budget;
}
