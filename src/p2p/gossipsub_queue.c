#include "p2p/gossipsub_int.h"

#define CONTROL 0
#define MESSAGES 1
#define RING_START 8u

static void ring_clear(struct ww_gossip_peer *p, unsigned r)
{
    while (p->ring_len[r] > 0) {
        ww_slab_unref(p->ring[r][p->ring_head[r]]);
        p->ring_head[r] = (p->ring_head[r] + 1) & (p->ring_cap[r] - 1);
        p->ring_len[r]--;
    }
    p->ring_bytes[r] = 0;
}

void ww_gossip_queue_fini(struct ww_gossip_peer *p)
{
    for (unsigned r = CONTROL; r <= MESSAGES; r++) {
        ring_clear(p, r);
        ww_free(p->ring[r]);
        p->ring[r] = NULL;
        p->ring_cap[r] = p->ring_head[r] = 0;
    }
    ww_buf_fini(&p->subs);
    ww_buf_fini(&p->control);
}

static void ready_post(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    if (p->ready_posted)
        return;
    p->ready_posted = true;
    ww_list_push_back(&g->ready, &p->ready_link);
}

void ww_gossip_queue_init(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    /* One entry may lie above the mark that seals a frame. */
    ww_buf_init(&p->subs, g->conf.rpc_bytes_max / 2);
    ww_buf_init(&p->control, g->conf.rpc_bytes_max / 2);
    p->hello_due = true;
    ready_post(g, p);
}

void ww_gossip_close_post(struct ww_gossip *g, struct ww_gossip_peer *p, ww_err reason)
{
    if (p->close_posted)
        return;
    p->close_posted = true;
    p->close_reason = reason;
    ww_list_push_back(&g->closing, &p->close_link);
}

static ww_err ring_grow(struct ww_gossip_peer *p, unsigned r)
{
    size_t cap = p->ring_cap[r] ? p->ring_cap[r] * 2 : RING_START;
    struct ww_slab **ring = ww_calloc(cap, sizeof(struct ww_slab *));
    if (!ring)
        return WW_ENOMEM;
    for (size_t i = 0; i < p->ring_len[r]; i++)
        ring[i] = p->ring[r][(p->ring_head[r] + i) & (p->ring_cap[r] - 1)];
    ww_free(p->ring[r]);
    p->ring[r] = ring;
    p->ring_cap[r] = cap;
    p->ring_head[r] = 0;
    return 0;
}

/* Takes the caller's reference, also on failure. */
static ww_err ring_push_take(struct ww_gossip *g, struct ww_gossip_peer *p, unsigned r, struct ww_slab *frame)
{
    if (p->ring_len[r] == p->ring_cap[r] && ring_grow(p, r) < 0) {
        ww_slab_unref(frame);
        return WW_ENOMEM;
    }
    p->ring[r][(p->ring_head[r] + p->ring_len[r]) & (p->ring_cap[r] - 1)] = frame;
    p->ring_len[r]++;
    p->ring_bytes[r] += frame->len;
    ready_post(g, p);
    return 0;
}

static struct ww_slab *ring_pop(struct ww_gossip_peer *p, unsigned r)
{
    if (p->ring_len[r] == 0)
        return NULL;
    struct ww_slab *frame = p->ring[r][p->ring_head[r]];
    p->ring_head[r] = (p->ring_head[r] + 1) & (p->ring_cap[r] - 1);
    p->ring_len[r]--;
    p->ring_bytes[r] -= frame->len;
    return frame;
}

static void count_drop(struct ww_gossip *g, struct ww_gossip_peer *p, size_t bytes)
{
    p->dropped_frames++;
    p->dropped_bytes += bytes;
    g->stats.dropped_frames++;
    g->stats.dropped_bytes += bytes;
}

/* A reader that is too slow loses the oldest messages: the newest are worth most, and gossip repairs the
 * rest. */
void ww_gossip_queue_msg(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_slab *frame)
{
    if (frame->len > g->conf.queue_bytes_max) {
        count_drop(g, p, frame->len);
        return;
    }
    while (p->ring_len[MESSAGES] >= g->conf.queue_max ||
        p->ring_bytes[MESSAGES] + frame->len > g->conf.queue_bytes_max) {
        struct ww_slab *oldest = ring_pop(p, MESSAGES);
        count_drop(g, p, oldest->len);
        ww_slab_unref(oldest);
    }
    if (ring_push_take(g, p, MESSAGES, ww_slab_ref(frame)) < 0)
        count_drop(g, p, frame->len);
}

/* Makes a frame of what has been collected. */
static ww_err seal(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    if (ww_buf_len(&p->subs) + ww_buf_len(&p->control) == 0)
        return 0;
    struct ww_slab *frame = ww_gossip_frame_control(ww_buf_view(&p->subs), ww_buf_view(&p->control));
    if (!frame)
        return WW_ENOMEM;
    if (p->ring_bytes[CONTROL] + frame->len > g->conf.control_queue_bytes_max) {
        ww_slab_unref(frame);
        return WW_ELIMIT;
    }
    WW_TRY(ring_push_take(g, p, CONTROL, frame));
    ww_buf_clear(&p->subs);
    ww_buf_clear(&p->control);
    return 0;
}

static ww_err make_room(struct ww_gossip *g, struct ww_gossip_peer *p, size_t more)
{
    size_t have = ww_buf_len(&p->subs) + ww_buf_len(&p->control);
    if (have > 0 && have + more > g->conf.control_bytes_max)
        return seal(g, p);
    return 0;
}

ww_err ww_gossip_queue_control(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes entries)
{
    ww_err err = make_room(g, p, entries.len);
    if (err == 0)
        err = ww_buf_append(&p->control, entries);
    if (err < 0)
        g->stats.dropped_control++;
    else
        ready_post(g, p);
    return err;
}

void ww_gossip_queue_subscription(
    struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic, bool on)
{
    if (p->hello_due) /* it will tell */
        return;
    ww_err err = make_room(g, p, topic.len + 16);
    if (err == 0)
        err = ww_gossip_put_subscription(&p->subs, topic, on);
    if (err < 0)
        ww_gossip_close_post(g, p, err);
    else
        ready_post(g, p);
}

void ww_gossip_queue_graft(struct ww_gossip *g, struct ww_gossip_peer *p, struct ww_bytes topic)
{
    ww_err err = make_room(g, p, topic.len + 16);
    if (err == 0)
        err = ww_gossip_put_graft(&p->control, topic);
    if (err < 0)
        ww_gossip_close_post(g, p, err);
    else
        ready_post(g, p);
    g->stats.grafts_out++;
}

/* Also when there is nothing to tell: the peer learns from it that we are there. */
static struct ww_slab *hello(struct ww_gossip *g)
{
    ww_buf_clear(&g->scratch);
    WW_LIST_FOR(it, &g->active)
    {
        struct ww_gossip_topic *t = WW_LIST_ENTRY(it, struct ww_gossip_topic, active_link);
        if (t->joined && ww_gossip_put_subscription(&g->scratch, ww_gossip_topic_name(t), true) < 0)
            return NULL;
    }
    return ww_gossip_frame_control(ww_buf_view(&g->scratch), (struct ww_bytes){0});
}

struct ww_slab *ww_gossip_peer_pull(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    struct ww_slab *frame;
    if (p->hello_due) {
        frame = hello(g);
        p->hello_due = frame == NULL;
    } else if ((frame = ring_pop(p, CONTROL)) == NULL) {
        if (ww_buf_len(&p->subs) + ww_buf_len(&p->control) > 0) {
            frame = ww_gossip_frame_control(ww_buf_view(&p->subs), ww_buf_view(&p->control));
            if (frame) {
                ww_buf_clear(&p->subs);
                ww_buf_clear(&p->control);
            }
        } else {
            frame = ring_pop(p, MESSAGES);
        }
    }
    if (frame) {
        g->stats.frames_out++;
        g->stats.bytes_out += frame->len;
    }
    return frame;
}

void ww_gossip_peer_restart(struct ww_gossip *g, struct ww_gossip_peer *p)
{
    ring_clear(p, CONTROL);
    ww_buf_clear(&p->subs);
    ww_buf_clear(&p->control);
    p->hello_due = true;
    ready_post(g, p);
    /* What was on the way is lost, so it is said again where we stand. */
    WW_LIST_FOR(it, &p->members)
    {
        struct ww_gossip_member *m = WW_LIST_ENTRY(it, struct ww_gossip_member, peer_link);
        if (m->in_mesh)
            ww_gossip_queue_graft(g, p, ww_gossip_topic_name(m->topic));
    }
}
