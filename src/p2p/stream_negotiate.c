/* A fresh stream agrees on its protocol with multistream-select. Outbound and lazy: the proposal leaves
 * together with the user's first bytes, and the answer is taken off the front of what comes back. */
#include "p2p/swarm_internal.h"

/* libp2p error codes specification: the opener learns why it was refused. */
#define CODE_RESOURCE_LIMIT 0x1001

void stream_mss_free(struct ww_stream *s)
{
    if (s->mss) {
        ww_mss_fini(s->mss);
        ww_free(s->mss);
        s->mss = NULL;
    }
    ww_free(s->wanted);
    s->wanted = NULL;
}

/* A few dozen bytes on an empty queue: the reserve of the stream has room for them, however full the
 * connection is. */
static ww_err mss_output(struct ww_stream *s)
{
    struct ww_bytes out = ww_mss_output(s->mss);
    size_t taken = 0;
    if (out.len == 0)
        return WW_OK;
    WW_TRY(ww_yamux_stream_write(&s->mux, out, &taken));
    ww_mss_sent(s->mss, taken);
    conn_kick(s->conn);
    return taken == out.len ? WW_OK : WW_EAGAIN;
}

static void set_timer(struct ww_stream *s)
{
    struct ww_swarm *sw = s->conn->sw;
    sw->env->ops->timer_set(sw->env, &s->timer, swarm_now(sw) + sw->limits.negotiate_timeout_ns);
}

static ww_err stream_set_protocol(struct ww_stream *s, struct ww_bytes name)
{
    uint8_t *copy = ww_alloc(name.len + 1);
    if (!copy)
        return WW_ENOMEM;
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = 0;
    ww_free((void *)s->protocol.ptr);
    s->protocol = ww_bytes(copy, name.len);
    return WW_OK;
}

/* ---- inbound ---- */

static ww_err responder_start(struct ww_stream *s)
{
    s->mss = WW_NEW(struct ww_mss);
    if (!s->mss)
        return WW_ENOMEM;
    ww_err err = ww_mss_init_responder(s->mss, &s->conn->sw->matcher);
    if (err < 0) {
        ww_free(s->mss);
        s->mss = NULL;
        return err;
    }
    return mss_output(s);
}

void stream_accept(struct ww_conn *c)
{
    struct ww_swarm *sw = c->sw;
    struct ww_stream *s = NULL;
    if (sw->streams_in < sw->limits.streams_in && c->negotiating_in < sw->limits.negotiations_per_conn)
        s = stream_new(c, false);
    if (!s) {
        ww_yamux_refuse(&c->mux, CODE_RESOURCE_LIMIT);
        return;
    }
    if (ww_yamux_accept(&c->mux, &s->mux) < 0 || responder_start(s) < 0) {
        stream_kill(s);
        return;
    }
    set_timer(s);
}

static void inbound_agreed(struct ww_stream *s)
{
    struct ww_conn *c = s->conn;
    struct ww_stream_handler *h = swarm_handler_for(c->sw, s->protocol);
    s->state = STREAM_OPEN;
    c->negotiating_in--;
    struct ww_stream_user *user = h ? h->opened(h, s, s->protocol) : NULL;
    if (s->state != STREAM_OPEN)
        return; /* the handler dealt with it and let it go */
    if (!user) {
        stream_kill(s);
        return;
    }
    s->user = user;
    user->stream = s;
}

/* ---- outbound ---- */

static ww_err initiator_start(struct ww_stream *s, const struct ww_bytes *names, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += names[i].len;
    s->wanted = ww_alloc(count * sizeof *s->wanted + bytes + 1);
    s->mss = WW_NEW(struct ww_mss);
    ww_err err = WW_ENOMEM;
    if (s->wanted && s->mss) {
        uint8_t *at = (uint8_t *)(s->wanted + count);
        for (size_t i = 0; i < count; i++) {
            memcpy(at, names[i].ptr, names[i].len);
            s->wanted[i] = ww_bytes(at, names[i].len);
            at += names[i].len;
        }
        err = ww_mss_init_initiator(s->mss, s->wanted, count);
    }
    if (err < 0) {
        ww_free(s->mss);
        s->mss = NULL;
        return err;
    }
    return mss_output(s);
}

ww_err stream_propose(
    struct ww_conn *c, const struct ww_bytes *names, size_t count, bool lazy, struct ww_stream **ret_stream)
{
    struct ww_stream *s = stream_new(c, true);
    if (!s)
        return WW_ENOMEM;
    ww_err err = ww_yamux_open(&c->mux, &s->mux);
    if (err == WW_OK)
        err = initiator_start(s, names, count);
    if (err == WW_OK && lazy)
        err = stream_set_protocol(s, names[0]);
    if (err < 0) {
        stream_kill(s);
        return err;
    }
    s->state = lazy ? STREAM_LAZY : STREAM_NEGOTIATING;
    set_timer(s);
    *ret_stream = s;
    return WW_OK;
}

/* ---- both ---- */

static ww_err agreed(struct ww_stream *s)
{
    struct ww_swarm *sw = s->conn->sw;
    bool lazy = s->state == STREAM_LAZY;
    if (!lazy)
        WW_TRY(stream_set_protocol(s, ww_mss_protocol(s->mss)));
    stream_mss_free(s);
    sw->env->ops->timer_cancel(sw->env, &s->timer);
    if (lazy)
        s->state = STREAM_OPEN;
    else if (!s->outbound)
        inbound_agreed(s);
    else {
        s->state = STREAM_OPEN;
        open_stream_agreed(s->op);
    }
    return WW_OK;
}

bool stream_negotiate(struct ww_stream *s, struct ww_bytes *data)
{
    size_t used = 0;
    ww_err got = ww_mss_feed(s->mss, *data, &used);
    ww_yamux_stream_consumed(&s->mux, used);
    ww_err err = mss_output(s);
    if (got == 1 && err == WW_OK)
        err = agreed(s);
    if (got < 0 || err < 0) {
        stream_end(s, got < 0 ? got : err);
        return false;
    }
    *data = ww_bytes_skip(*data, used);
    return got == 1 && s->state != STREAM_DEAD;
}
