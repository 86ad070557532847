#include "p2p/perf.h"

#include "p2p/swarm_internal.h"

static const uint8_t zeros[64 << 10];

/* Writes zeros while the stream takes them and `*left` is not 0. */
static ww_err pump(struct ww_stream *s, uint64_t *left)
{
    while (*left) {
        size_t want = *left < sizeof zeros ? (size_t)*left : sizeof zeros, taken = 0;
        WW_TRY(ww_stream_write_some(s, ww_bytes(zeros, want), &taken));
        *left -= taken;
        if (taken < want)
            return WW_OK; /* `writable` follows */
    }
    return WW_OK;
}

/* ---- serving ---- */

struct perf_served {
    struct ww_stream_user user;
    uint8_t head[8];
    size_t head_len;
    uint64_t left;
    bool sending, ended;
};

static size_t served_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct perf_served *p = WW_CONTAINER_OF(user, struct perf_served, user);
    size_t n = sizeof p->head - p->head_len;
    n = n < data.len ? n : data.len;
    memcpy(p->head + p->head_len, data.ptr, n);
    p->head_len += n;
    return data.len; /* the upload itself is thrown away */
}

static void served_pump(struct perf_served *p)
{
    if (!p->sending || p->ended || pump(p->user.stream, &p->left) < 0 || p->left)
        return;
    p->ended = true;
    ww_stream_close_write(p->user.stream);
}

static void served_writable(struct ww_stream_user *user)
{
    served_pump(WW_CONTAINER_OF(user, struct perf_served, user));
}

static void served_eof(struct ww_stream_user *user)
{
    struct perf_served *p = WW_CONTAINER_OF(user, struct perf_served, user);
    if (p->head_len < sizeof p->head) {
        ww_stream_reset(user->stream);
        ww_free(p);
        return;
    }
    p->left = ww_be64_load(p->head);
    p->sending = true;
    served_pump(p);
}

static void served_closed(struct ww_stream_user *user, ww_err err)
{
    ww_free(WW_CONTAINER_OF(user, struct perf_served, user));
}

static const struct ww_stream_events served_events = {
    .data = served_data,
    .writable = served_writable,
    .eof = served_eof,
    .closed = served_closed,
};

static struct ww_stream_user *served_opened(
    struct ww_stream_handler *h, struct ww_stream *stream, struct ww_bytes protocol)
{
    struct perf_served *p = WW_NEW(struct perf_served);
    if (!p)
        return NULL;
    p->user.events = &served_events;
    return &p->user;
}

ww_err perf_serve(struct ww_swarm *sw)
{
    sw->perf_handler = (struct ww_stream_handler){.protocol = WW_PERF_PROTOCOL, .opened = served_opened};
    return ww_swarm_handle(sw, &sw->perf_handler);
}

/* ---- measuring ---- */

static uint64_t perf_now(const struct ww_perf *p)
{
    return ww_env_now(ww_swarm_env(p->swarm));
}

static void perf_finish(struct ww_perf *p, ww_err err)
{
    if (p->user.stream)
        ww_stream_reset(p->user.stream);
    if (err == WW_OK && p->bytes_down != p->want_down)
        err = WW_EPROTO;
    p->done(p, err);
}

static void perf_turn(struct ww_perf *p)
{
    if (p->turn_ns)
        return;
    p->turn_ns = perf_now(p);
    p->up_ns = p->turn_ns - p->start_ns;
}

static size_t perf_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct ww_perf *p = WW_CONTAINER_OF(user, struct ww_perf, user);
    perf_turn(p);
    if (data.len > p->want_down - p->bytes_down) {
        perf_finish(p, WW_EPROTO);
        return data.len;
    }
    p->bytes_down += data.len;
    return data.len;
}

static void perf_pump(struct ww_perf *p)
{
    uint64_t left = p->want_up - p->bytes_up;
    if (p->up_done || pump(p->user.stream, &left) < 0)
        return;
    p->bytes_up = p->want_up - left;
    if (left)
        return;
    p->up_done = true;
    ww_stream_close_write(p->user.stream);
}

static void perf_writable(struct ww_stream_user *user)
{
    perf_pump(WW_CONTAINER_OF(user, struct ww_perf, user));
}

static void perf_eof(struct ww_stream_user *user)
{
    struct ww_perf *p = WW_CONTAINER_OF(user, struct ww_perf, user);
    perf_turn(p);
    p->down_ns = perf_now(p) - p->turn_ns;
    perf_finish(p, p->up_done ? WW_OK : WW_EPROTO);
}

static void perf_closed(struct ww_stream_user *user, ww_err err)
{
    perf_finish(WW_CONTAINER_OF(user, struct ww_perf, user), err < 0 ? err : WW_ECLOSED);
}

static const struct ww_stream_events perf_events = {
    .data = perf_data,
    .writable = perf_writable,
    .eof = perf_eof,
    .closed = perf_closed,
};

static void perf_opened(struct ww_swarm_open *open, ww_err err)
{
    struct ww_perf *p = WW_CONTAINER_OF(open, struct ww_perf, open);
    uint8_t head[8];
    p->opening = false;
    p->start_ns = perf_now(p);
    ww_be64_store(head, p->want_down);
    if (err == WW_OK)
        err = ww_stream_write(p->user.stream, ww_bytes(head, sizeof head));
    if (err < 0)
        perf_finish(p, err);
    else
        perf_pump(p);
}

ww_err ww_perf_run(struct ww_perf *p, struct ww_swarm *sw, const struct ww_peer_id *peer, uint64_t bytes_up,
    uint64_t bytes_down)
{
    static const char *const protocols[] = {WW_PERF_PROTOCOL};
    void (*done)(struct ww_perf *, ww_err) = p->done;
    *p = (struct ww_perf){.done = done, .swarm = sw, .want_up = bytes_up, .want_down = bytes_down};
    p->user.events = &perf_events;
    p->open.done = perf_opened;
    WW_TRY(ww_swarm_open(sw, &p->open, peer, protocols, 1, &p->user, 0));
    p->opening = true;
    return WW_OK;
}

void ww_perf_cancel(struct ww_perf *p)
{
    if (p->opening)
        ww_swarm_open_cancel(&p->open);
    if (p->user.stream)
        ww_stream_reset(p->user.stream);
    p->opening = false;
}
