/* Frames and calls of the application, interleaved: each input byte below 0x80 announces so many bytes from
 * the peer, any other is a call. Invariants are checked after each. */
#include "p2p/yamux.h"

#define SLOTS 16u

struct run {
    struct ww_yamux y;
    struct ww_yamux_stream s[SLOTS];
    size_t delivered[SLOTS];
    uint64_t now;
    unsigned next;
};

static size_t slot_of(struct run *t, struct ww_yamux_stream *s)
{
    return (size_t)(s - t->s);
}

static ww_err events(struct run *t)
{
    struct ww_yamux_event ev;
    ww_err r;
    while ((r = ww_yamux_next(&t->y, &ev)) > 0) {
        if (ev.type == WW_YAMUX_OPENED) {
            size_t k = t->next++ % SLOTS;
            if (k % 5 == 4)
                continue; /* neither accepted nor refused */
            ww_yamux_stream_fini(&t->s[k]);
            t->delivered[k] = 0;
            if (ww_yamux_accept(&t->y, &t->s[k]) < 0)
                ww_yamux_refuse(&t->y, 1);
        } else if (ev.type == WW_YAMUX_DATA) {
            WW_ASSERT(ev.data.len > 0);
            t->delivered[slot_of(t, ev.stream)] += ev.data.len;
        }
        WW_ASSERT(ww_yamux_check(&t->y) == 0);
    }
    return r;
}

static void call(struct run *t, uint8_t op)
{
    static uint8_t zeros[70000], out[65519];
    size_t k = op & 7, taken;
    struct ww_yamux_stream *s = &t->s[k];
    ww_err ignored = 0;
    switch ((op >> 3) & 15) {
    case 0:
        ww_yamux_stream_fini(s);
        t->delivered[k] = 0;
        ignored = ww_yamux_open(&t->y, s);
        break;
    case 1:
        ignored = ww_yamux_stream_write(s, ww_bytes(zeros, 100), &taken);
        break;
    case 2:
        ignored = ww_yamux_stream_write(s, ww_bytes(zeros, sizeof zeros), &taken);
        break;
    case 3:
        ignored = ww_yamux_stream_shutdown(s);
        break;
    case 4:
        ww_yamux_stream_reset(s, 9);
        break;
    case 5:
        ww_yamux_stream_consumed(s, t->delivered[k]);
        t->delivered[k] = 0;
        break;
    case 6:
        t->now += (uint64_t)op << 28;
        ignored = ww_yamux_tick(&t->y, t->now);
        break;
    case 7:
        ww_yamux_goaway(&t->y, WW_YAMUX_GOAWAY_NORMAL);
        break;
    case 8:
        ww_yamux_stream_announce(s);
        break;
    case 9:
        ww_yamux_stream_fini(s);
        t->delivered[k] = 0;
        break;
    default:
        (void)ww_yamux_pull(&t->y, t->now, out, k ? sizeof out : 1024);
        break;
    }
    WW_UNUSED(ignored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run t;
    static const uint64_t seed[2] = {1, 2};
    struct ww_budget budget;
    struct ww_yamux_conf conf;
    if (size == 0)
        return 0;
    ww_yamux_conf_init(&conf, data[0] & 1, seed);
    ww_budget_init(&budget, NULL);
    budget.max[WW_RES_BYTES] = 3u << 20;
    conf.budget = &budget;
    conf.unacked_max = 1 + (data[0] >> 1) % 4;
    conf.frame_body_max = data[0] & 0x40 ? 1000 : 65507;
    memset(&t, 0, sizeof t);
    ww_yamux_init(&t.y, &conf, 0);
    struct ww_bytes in = ww_bytes(data + 1, size - 1);
    while (in.len) {
        uint8_t op = in.ptr[0];
        in = ww_bytes_skip(in, 1);
        if (op < 0x80) {
            size_t n = op < in.len ? op : in.len;
            if (ww_yamux_feed(&t.y, t.now, ww_bytes(in.ptr, n)) == 0)
                WW_ASSERT(events(&t) == t.y.err);
            in = ww_bytes_skip(in, n);
        } else {
            call(&t, op);
            WW_ASSERT(events(&t) == t.y.err);
        }
        WW_ASSERT(ww_yamux_check(&t.y) == 0);
    }
    for (size_t i = 0; i < SLOTS; i++)
        ww_yamux_stream_fini(&t.s[i]);
    ww_yamux_fini(&t.y);
    WW_ASSERT(budget.used[WW_RES_BYTES] == 0 && budget.used[WW_RES_STREAMS] == 0);
    return 0;
}
