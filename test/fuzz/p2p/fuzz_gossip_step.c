/* A router driven by any sequence of inputs: no call may break an invariant, leak, or write past a bound. */
#include "p2p/gossipsub_codec.h"

#define PEERS 6

struct run {
    struct ww_gossip *g;
    struct ww_gossip_peer peers[PEERS];
    struct ww_gossip_msg *held;
    uint64_t now;
    struct ww_bytes in;
};

static uint8_t take(struct run *r)
{
    if (r->in.len == 0)
        return 0;
    uint8_t b = r->in.ptr[0];
    r->in = ww_bytes_skip(r->in, 1);
    return b;
}

static struct ww_bytes take_bytes(struct run *r, size_t max)
{
    size_t n = max < r->in.len ? max : r->in.len;
    struct ww_bytes out = ww_bytes(r->in.ptr, n);
    r->in = ww_bytes_skip(r->in, n);
    return out;
}

static ww_err sign(struct ww_gossip_auth *a, struct ww_bytes data, uint8_t *out, size_t *ret_len)
{
    WW_UNUSED(a);
    out[0] = (uint8_t)data.len;
    *ret_len = 1;
    return 0;
}

/* One in four signatures is bad, so that both ways are taken. */
static ww_err verify(struct ww_gossip_auth *a, struct ww_bytes from, struct ww_bytes key,
    struct ww_bytes data, struct ww_bytes sig)
{
    WW_UNUSED(a);
    WW_UNUSED(from);
    WW_UNUSED(key);
    WW_UNUSED(data);
    return (sig.ptr[0] & 3) == 3 ? WW_ECRYPTO : 0;
}

static struct ww_gossip_auth auth = {.sign = sign, .verify = verify};

static struct ww_bytes topic_of(uint8_t b)
{
    static const char *const names[] = {"ww", "a", "b", "other"};
    return ww_bytes_str(names[b & 3]);
}

static struct ww_gossip *router(void)
{
    struct ww_gossip_conf conf;
    struct ww_gossip *g;
    ww_gossip_conf_default(&conf);
    conf.self = WW_BYTES_LIT("self");
    conf.auth = &auth;
    /* Small bounds are reached. */
    conf.queue_max = 4;
    conf.queue_bytes_max = 600;
    conf.control_queue_bytes_max = 2048;
    conf.control_bytes_max = 1024;
    conf.rpc_bytes_max = 1 << 14;
    conf.mcache_bytes_max = 500;
    conf.pending_max = 3;
    conf.backoffs_max = 3;
    conf.peer_topics_max = 3;
    conf.known_topics_max = 5;
    conf.topics_max = 3;
    conf.d_hi = 4;
    conf.d = 3;
    conf.d_lo = 2;
    conf.d_score = 1;
    conf.d_out = 1;
    conf.ihave_ids_max = 8;
    ww_err err = ww_gossip_new(&conf, 0, &g);
    WW_ASSERT(err == 0);
    return g;
}

static void drain(struct run *r, uint8_t mode)
{
    struct ww_gossip_event ev;
    while (ww_gossip_next_event(r->g, &ev)) {
        if (ev.kind == WW_GOSSIP_EV_VALIDATE) {
            if (mode == 3 && !r->held)
                r->held = ev.msg;
            else
                ww_gossip_validated(r->g, ev.msg, mode % 3, r->now);
        } else if (ev.kind == WW_GOSSIP_EV_DELIVER) {
            ww_gossip_msg_unref(ev.msg);
        }
    }
}

static void pull(struct run *r, struct ww_gossip_peer *p)
{
    struct ww_slab *frame;
    while (p->up && (frame = ww_gossip_peer_pull(r->g, p))) {
        uint64_t len;
        ww_err n = ww_protobuf_varint_decode(ww_slab_view(frame), &len);
        WW_ASSERT(n > 0 && len == frame->len - (size_t)n);
        struct ww_gossip_cursor c = {.rpc = ww_bytes_skip(ww_slab_view(frame), (size_t)n)};
        struct ww_gossip_item item;
        ww_err got;
        while ((got = ww_gossip_rpc_next(&c, &item)) > 0)
            continue;
        WW_ASSERT(got == 0); /* what we send is well formed */
        ww_slab_unref(frame);
    }
}

static void peer_toggle(struct run *r, struct ww_gossip_peer *p, uint8_t index, uint8_t flags)
{
    if (p->up) {
        ww_gossip_peer_down(r->g, p);
        return;
    }
    uint8_t id[2] = {'p', index};
    ww_err err = ww_gossip_peer_up(r->g, p, ww_bytes(id, 2), flags & 3, flags & 4);
    WW_ASSERT(err == 0);
}

static void op(struct run *r)
{
    uint8_t code = take(r), index = take(r) % PEERS;
    struct ww_gossip_peer *p = &r->peers[index];
    struct ww_gossip_msg *m;
    ww_err err = 0;
    switch (code % 10) {
    case 0:
        peer_toggle(r, p, index, take(r));
        break;
    case 1:
    case 2:
    case 3: {
        struct ww_bytes rpc = take_bytes(r, (size_t)take(r) + 1);
        if (p->up)
            err = ww_gossip_rpc_in(r->g, p, rpc, r->now);
        break;
    }
    case 4:
        err = ww_gossip_join(r->g, topic_of(index), code & 16, r->now);
        break;
    case 5:
        ww_gossip_leave(r->g, topic_of(index), r->now);
        break;
    case 6:
        if (ww_gossip_publish(r->g, topic_of(index), take_bytes(r, take(r)), r->now, &m) == 0)
            ww_gossip_validated(r->g, m, code & 16 ? WW_GOSSIP_ACCEPT : WW_GOSSIP_REJECT, r->now);
        break;
    case 7:
        r->now += (uint64_t)take(r) * 100 * WW_NS_PER_MS;
        ww_gossip_tick(r->g, r->now);
        break;
    case 8:
        if (p->up && code & 16)
            ww_gossip_peer_restart(r->g, p);
        pull(r, p);
        break;
    default:
        if (r->held)
            ww_gossip_validated(r->g, r->held, index % 3, r->now);
        r->held = NULL;
        if (p->up)
            ww_gossip_peer_score_set(r->g, p, (int8_t)take(r));
    }
    WW_UNUSED(err);
    drain(r, (code >> 5) & 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.g = router(), .in = ww_bytes(data, size)};
    while (r.in.len > 0) {
        op(&r);
        WW_ASSERT(ww_gossip_check(r.g, r.now) == 0);
    }
    for (size_t i = 0; i < PEERS; i++) {
        pull(&r, &r.peers[i]);
        if (r.peers[i].up)
            ww_gossip_peer_down(r.g, &r.peers[i]);
    }
    ww_gossip_free(r.g);
    return 0;
}
