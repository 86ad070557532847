#include "p2p/ping.h"

#include "p2p/swarm_internal.h"

enum { SERVED_PER_PEER = 4 };
#define SERVED_IDLE_NS (120 * WW_NS_PER_S) /* peers ping every 10 to 60 s, or open a stream a ping */

/* ---- serving: what comes goes back ---- */

struct ping_served {
    struct ww_stream_user user;
    struct ww_env *env;
    struct ww_timer idle;
};

static void served_free(struct ping_served *p)
{
    p->env->ops->timer_cancel(p->env, &p->idle);
    ww_free(p);
}

static size_t served_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct ping_served *p = WW_CONTAINER_OF(user, struct ping_served, user);
    size_t taken = 0;
    if (ww_stream_write_some(user->stream, data, &taken) < 0)
        return data.len; /* `closed` is on its way */
    p->env->ops->timer_set(p->env, &p->idle, ww_env_now(p->env) + SERVED_IDLE_NS);
    return taken;
}

static void served_writable(struct ww_stream_user *user)
{
    ww_stream_resume(user->stream);
}

static void served_eof(struct ww_stream_user *user)
{
    ww_stream_release(user->stream);
    served_free(WW_CONTAINER_OF(user, struct ping_served, user));
}

static void served_closed(struct ww_stream_user *user, ww_err err)
{
    served_free(WW_CONTAINER_OF(user, struct ping_served, user));
}

static void served_idle(struct ww_timer *timer)
{
    struct ping_served *p = WW_CONTAINER_OF(timer, struct ping_served, idle);
    ww_stream_release(p->user.stream);
    served_free(p);
}

static const struct ww_stream_events served_events = {
    .data = served_data,
    .writable = served_writable,
    .eof = served_eof,
    .closed = served_closed,
};

/* Streams of this kind that the connection already has. */
static unsigned served_count(const struct ww_conn *c)
{
    unsigned count = 0;
    WW_LIST_FOR(it, &c->streams)
    {
        const struct ww_stream *s = WW_LIST_ENTRY(it, struct ww_stream, link);
        count += s->user && s->user->events == &served_events;
    }
    return count;
}

static struct ww_stream_user *served_opened(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    struct ww_swarm *sw = WW_CONTAINER_OF(h, struct ww_swarm, ping_handler);
    if (served_count(stream->conn) >= SERVED_PER_PEER)
        return NULL;
    struct ping_served *p = WW_NEW(struct ping_served);
    if (!p)
        return NULL;
    p->user.events = &served_events;
    p->env = sw->env;
    p->idle.fired = served_idle;
    sw->env->ops->timer_set(sw->env, &p->idle, swarm_now(sw) + SERVED_IDLE_NS);
    return &p->user;
}

ww_err ping_serve(struct ww_swarm *sw)
{
    sw->ping_handler = (struct ww_stream_handler){.protocol = WW_PING_PROTOCOL, .opened = served_opened};
    return ww_swarm_handle(sw, &sw->ping_handler);
}

/* ---- pinging ---- */

static void ping_finish(struct ww_ping *p, ww_err err)
{
    struct ww_env *env = ww_swarm_env(p->swarm);
    env->ops->timer_cancel(env, &p->timer);
    p->waiting = false;
    if (err < 0) {
        if (p->opening)
            ww_swarm_open_cancel(&p->open);
        if (p->user.stream)
            ww_stream_reset(p->user.stream);
        p->opening = false;
    }
    p->done(p, err);
}

static size_t ping_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct ww_ping *p = WW_CONTAINER_OF(user, struct ww_ping, user);
    if (!p->waiting || data.len > WW_PING_BYTES - p->got ||
        memcmp(p->expect + p->got, data.ptr, data.len) != 0) {
        bool waiting = p->waiting;
        ww_stream_reset(user->stream);
        if (waiting)
            ping_finish(p, WW_EPROTO);
        return data.len;
    }
    p->got += data.len;
    if (p->got == WW_PING_BYTES) {
        p->rtt_ns = ww_env_now(ww_swarm_env(p->swarm)) - p->sent_ns;
        ping_finish(p, WW_OK);
    }
    return data.len;
}

static void ping_closed(struct ww_stream_user *user, ww_err err)
{
    struct ww_ping *p = WW_CONTAINER_OF(user, struct ww_ping, user);
    if (p->waiting)
        ping_finish(p, err == WW_OK ? WW_ECLOSED : err);
}

static const struct ww_stream_events ping_events = {.data = ping_data, .closed = ping_closed};

static ww_err ping_write(struct ww_ping *p)
{
    struct ww_env *env = ww_swarm_env(p->swarm);
    env->ops->random(env, p->expect, sizeof p->expect);
    p->got = 0;
    p->sent_ns = ww_env_now(env);
    return ww_stream_write(p->user.stream, ww_bytes(p->expect, sizeof p->expect));
}

static void ping_opened(struct ww_swarm_open *open, ww_err err)
{
    struct ww_ping *p = WW_CONTAINER_OF(open, struct ww_ping, open);
    p->opening = false;
    if (err == WW_OK)
        err = ping_write(p);
    if (err < 0)
        ping_finish(p, err);
}

static void ping_timed_out(struct ww_timer *timer)
{
    ping_finish(WW_CONTAINER_OF(timer, struct ww_ping, timer), WW_ETIMEOUT);
}

ww_err ww_ping_send(
    struct ww_ping *p, struct ww_swarm *sw, const struct ww_peer_id *peer, uint64_t timeout_ns)
{
    struct ww_env *env = ww_swarm_env(sw);
    static const char *const protocols[] = {WW_PING_PROTOCOL};
    if (p->waiting)
        return WW_ESTATE;
    if (p->user.stream) {
        WW_TRY(ping_write(p));
    } else {
        p->swarm = sw;
        p->user.events = &ping_events;
        p->timer = (struct ww_timer){.fired = ping_timed_out};
        p->open.done = ping_opened;
        WW_TRY(ww_swarm_open(sw, &p->open, peer, protocols, 1, &p->user, timeout_ns));
        p->opening = true;
    }
    p->waiting = true;
    p->timeout_ns = timeout_ns;
    env->ops->timer_set(env, &p->timer, ww_env_now(env) + timeout_ns);
    return WW_OK;
}

void ww_ping_close(struct ww_ping *p)
{
    if (p->waiting) {
        struct ww_env *env = ww_swarm_env(p->swarm);
        env->ops->timer_cancel(env, &p->timer);
    }
    if (p->opening)
        ww_swarm_open_cancel(&p->open);
    if (p->user.stream)
        ww_stream_release(p->user.stream);
    p->opening = p->waiting = false;
}
