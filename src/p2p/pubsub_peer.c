/* Streams: one out and one in for each peer. */
#include "p2p/pubsub_int.h"

static struct pubsub_peer *of_out(struct ww_stream_user *user)
{
    return WW_CONTAINER_OF(user, struct pubsub_peer, out);
}

static struct pubsub_inbound *of_in(struct ww_stream_user *user)
{
    return WW_CONTAINER_OF(user, struct pubsub_inbound, user);
}

static void timer_set(struct pubsub_peer *p, uint64_t after_ns)
{
    p->ps->env->ops->timer_set(p->ps->env, &p->timer, ww_env_now(p->ps->env) + after_ns);
}

static void timer_cancel(struct pubsub_peer *p)
{
    p->ps->env->ops->timer_cancel(p->ps->env, &p->timer);
}

static bool ends_with(struct ww_bytes text, struct ww_bytes end)
{
    return text.len >= end.len && ww_bytes_eq(ww_bytes_skip(text, text.len - end.len), end);
}

/* Floodsub has no mesh. Peer exchange came with v1.1 of gossipsub, and is in all that followed. */
unsigned pubsub_features(struct ww_bytes protocol)
{
    if (ends_with(protocol, WW_BYTES_LIT("/floodsub/1.0.0")))
        return 0;
    return ends_with(protocol, WW_BYTES_LIT("/1.0.0")) ? WW_GOSSIP_MESH : WW_GOSSIP_MESH | WW_GOSSIP_PX;
}

/* ---- writing ---- */

static void held_drop(struct pubsub_peer *p)
{
    ww_slab_unref(p->held);
    p->held = NULL;
}

static void open_start(struct pubsub_peer *p);

/* There is no stream (any more). Tries again after a while, and in the end no more. */
static void out_failed(struct pubsub_peer *p, ww_err err)
{
    uint64_t now = ww_env_now(p->ps->env);
    held_drop(p);
    timer_cancel(p);
    if (p->opened_ns && now - p->opened_ns >= PUBSUB_STABLE_NS)
        p->tries = 0;
    p->opened_ns = 0;
    if (err == WW_ENOPROTO || p->tries >= PUBSUB_OPEN_TRIES) {
        pubsub_peer_drop(p);
        return;
    }
    ww_gossip_peer_restart(p->ps->g, &p->g);
    /* The first time at once: of two connections made at the same time, one has just been closed. */
    timer_set(p, p->tries ? PUBSUB_RETRY_NS << (p->tries - 1) : 0);
    p->tries++;
}

void pubsub_peer_pump(struct pubsub_peer *p)
{
    if (!p->out.stream)
        return;
    for (;;) {
        struct ww_slab *frame = p->held ? p->held : ww_gossip_peer_pull(p->ps->g, &p->g);
        if (!frame)
            break;
        bool was_held = p->held != NULL;
        p->held = frame;
        ww_err err = ww_stream_write(p->out.stream, ww_slab_view(frame));
        if (err == WW_EAGAIN) {
            if (!was_held)
                timer_set(p, p->ps->write_timeout_ns);
            return;
        }
        if (err < 0) {
            ww_stream_reset(p->out.stream);
            out_failed(p, err);
            return;
        }
        if (was_held)
            timer_cancel(p);
        held_drop(p);
    }
}

/* Nothing is expected on our own stream; a peer may waste its breath. */
static size_t out_data(struct ww_stream_user *user, struct ww_bytes data)
{
    WW_UNUSED(user);
    return data.len;
}

static void out_writable(struct ww_stream_user *user)
{
    pubsub_peer_pump(of_out(user));
}

static void out_closed(struct ww_stream_user *user, ww_err err)
{
    out_failed(of_out(user), err);
}

static const struct ww_stream_events out_events = {
    .data = out_data,
    .writable = out_writable,
    .closed = out_closed,
};

static void open_done(struct ww_swarm_open *op, ww_err err)
{
    struct pubsub_peer *p = WW_CONTAINER_OF(op, struct pubsub_peer, open);
    p->opening = false;
    if (err < 0) {
        out_failed(p, err);
        return;
    }
    p->opened_ns = ww_env_now(p->ps->env);
    ww_gossip_peer_features_set(p->ps->g, &p->g, pubsub_features(op->protocol));
    pubsub_peer_pump(p);
}

static void open_start(struct pubsub_peer *p)
{
    struct ww_pubsub *ps = p->ps;
    if (!ww_swarm_connected(ps->swarm, &p->id))
        return; /* its end is near: peer_down follows */
    p->open.done = open_done;
    p->out.events = &out_events;
    ww_err err = ww_swarm_open(ps->swarm, &p->open, &p->id, (const char *const *)ps->ids, ps->id_count,
        &p->out, ps->write_timeout_ns);
    p->opening = err == 0;
    if (err < 0)
        out_failed(p, err);
}

/* Either a writer that got nowhere, or the time for another try. */
static void timer_fired(struct ww_timer *timer)
{
    struct pubsub_peer *p = WW_CONTAINER_OF(timer, struct pubsub_peer, timer);
    if (p->out.stream) {
        ww_stream_reset(p->out.stream);
        out_failed(p, WW_ETIMEOUT);
    } else if (!p->opening) {
        open_start(p);
    }
}

/* ---- reading ---- */

static void charge_release(struct pubsub_inbound *in)
{
    ww_budget_release(in->budget, WW_RES_BYTES, in->charged);
    in->charged = 0;
}

static void in_free(struct pubsub_inbound *in)
{
    in->peer->in = NULL;
    charge_release(in);
    ww_buf_fini(&in->partial);
    ww_free(in);
}

static void in_reset(struct pubsub_inbound *in)
{
    ww_stream_reset(in->user.stream);
    in_free(in);
}

/* One whole frame without its length. */
static ww_err in_frame(struct pubsub_inbound *in, struct ww_bytes rpc)
{
    struct pubsub_peer *p = in->peer;
    if (rpc.len == 0) /* a bare hello */
        return 0;
    return ww_gossip_rpc_in(p->ps->g, &p->g, rpc, ww_env_now(p->ps->env));
}

/* The size of the frame at the front with its prefix: > 0, WW_ETRUNC while the prefix is not whole. */
static ww_err frame_size(
    const struct pubsub_inbound *in, struct ww_bytes data, size_t *ret_header, size_t *ret_total)
{
    uint64_t len;
    ww_err n = ww_uvarint_decode(data, &len);
    if (n < 0)
        return n;
    if (len > in->peer->ps->rpc_bytes_max)
        return WW_ELIMIT;
    *ret_header = (size_t)n;
    *ret_total = (size_t)n + (size_t)len;
    return 0;
}

/* Frames that lie whole in what arrived are not copied. `*data` is left with the beginning of one. */
static ww_err in_whole(struct pubsub_inbound *in, struct ww_bytes *data)
{
    size_t header, total;
    while (data->len > 0) {
        ww_err err = frame_size(in, *data, &header, &total);
        if (err == WW_ETRUNC || (err == 0 && total > data->len))
            return 0;
        WW_TRY(err);
        WW_TRY(in_frame(in, ww_bytes(data->ptr + header, total - header)));
        *data = ww_bytes_skip(*data, total);
    }
    return 0;
}

/* Takes from `*data` what the frame begun in `partial` still needs. */
static ww_err in_partial(struct pubsub_inbound *in, struct ww_bytes *data)
{
    size_t header, total, have = ww_buf_len(&in->partial), want;
    ww_err err = frame_size(in, ww_buf_view(&in->partial), &header, &total);
    if (err < 0 && err != WW_ETRUNC)
        return err;
    want = err == WW_ETRUNC ? 1 : total - have;
    if (err == 0 && in->charged == 0) {
        WW_TRY(ww_budget_charge(in->budget, WW_RES_BYTES, total));
        in->charged = total;
    }
    size_t n = want < data->len ? want : data->len;
    WW_TRY(ww_buf_append(&in->partial, ww_bytes(data->ptr, n)));
    *data = ww_bytes_skip(*data, n);
    if (err == WW_ETRUNC)
        err = frame_size(in, ww_buf_view(&in->partial), &header, &total);
    if (err < 0)
        return err == WW_ETRUNC ? 0 : err;
    if (ww_buf_len(&in->partial) < total)
        return 0;
    err = in_frame(in, ww_bytes_skip(ww_buf_view(&in->partial), header));
    ww_buf_clear(&in->partial);
    charge_release(in);
    return err;
}

static ww_err in_take(struct pubsub_inbound *in, struct ww_bytes data)
{
    while (data.len > 0) {
        if (ww_buf_len(&in->partial) == 0) {
            WW_TRY(in_whole(in, &data));
            if (data.len == 0)
                return 0;
        }
        WW_TRY(in_partial(in, &data));
    }
    return 0;
}

static size_t in_data(struct ww_stream_user *user, struct ww_bytes data)
{
    struct pubsub_inbound *in = of_in(user);
    struct ww_pubsub *ps = in->peer->ps;
    if (in_take(in, data) < 0)
        in_reset(in);
    pubsub_drain(ps);
    return data.len;
}

static void in_eof(struct ww_stream_user *user)
{
    in_reset(of_in(user));
}

static void in_closed(struct ww_stream_user *user, ww_err err)
{
    WW_UNUSED(err);
    in_free(of_in(user));
}

static const struct ww_stream_events in_events = {
    .data = in_data,
    .eof = in_eof,
    .closed = in_closed,
};

struct ww_stream_user *pubsub_peer_accept(
    struct ww_pubsub *ps, struct ww_stream *stream, struct ww_bytes protocol)
{
    struct pubsub_peer *p = pubsub_peer_get(ps, ww_stream_peer(stream), pubsub_features(protocol));
    struct pubsub_inbound *in = p ? WW_NEW(struct pubsub_inbound) : NULL;
    if (!in)
        return NULL;
    if (p->in) /* the newer one counts */
        in_reset(p->in);
    in->user.events = &in_events;
    in->peer = p;
    in->budget = ww_stream_budget(stream);
    ww_buf_init(&in->partial, ps->rpc_bytes_max + PUBSUB_FRAME_HEADER_MAX);
    p->in = in;
    return &in->user;
}

/* ---- life ---- */

struct pubsub_peer *pubsub_peer_find(const struct ww_pubsub *ps, const struct ww_peer_id *id)
{
    struct ww_gossip_peer *g = ww_gossip_peer_find(ps->g, ww_peer_id_view(id));
    return g ? WW_CONTAINER_OF(g, struct pubsub_peer, g) : NULL;
}

struct pubsub_peer *pubsub_peer_get(struct ww_pubsub *ps, const struct ww_peer_id *id, unsigned features)
{
    struct pubsub_peer *p = pubsub_peer_find(ps, id);
    if (p)
        return p;
    const struct ww_conn_info *conn = ww_swarm_peer_conn(ps->swarm, id);
    p = WW_NEW(struct pubsub_peer);
    if (!p)
        return NULL;
    p->ps = ps;
    p->id = *id;
    p->timer.fired = timer_fired;
    if (ww_gossip_peer_up(ps->g, &p->g, ww_peer_id_view(&p->id), features, conn && conn->outbound) < 0) {
        ww_free(p);
        return NULL;
    }
    ww_list_push_back(&ps->peers, &p->link);
    timer_set(
        p, 0); /* the stream is opened from the loop, so that failing is never inside of something else */
    return p;
}

void pubsub_peer_drop(struct pubsub_peer *p)
{
    timer_cancel(p);
    if (p->opening)
        ww_swarm_open_cancel(&p->open);
    if (p->out.stream)
        ww_stream_reset(p->out.stream);
    if (p->in)
        in_reset(p->in);
    held_drop(p);
    ww_gossip_peer_down(p->ps->g, &p->g);
    ww_list_remove(&p->link);
    ww_free(p);
}
