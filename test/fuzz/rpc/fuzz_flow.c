/* The measuring window against any path: times, sizes, jumps of the clock and a sender of any zeal come from
 * the input. What is under way stays below the window and one message, the window within its bounds, and an
 * empty pipe always lets the sender on. */
#include <stdlib.h>

#include "base/base.h"
#include "rpc/flow.h"

enum { MESSAGES = 256 };

struct world {
    struct ww_rpc_bbr bbr;
    struct ww_rpc_flow_meter meter;
    struct ww_rpc_flow_mark under_way[MESSAGES];
    size_t count;
    uint64_t now_ns, bytes;
    bool waiting;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool has_room(const struct world *w)
{
    return w->meter.in_flight < w->bbr.flow.window_bytes;
}

static void send_one(struct world *w, uint64_t bytes)
{
    if (w->count == MESSAGES || !has_room(w))
        return;
    ww_rpc_flow_sent(&w->meter, &w->under_way[w->count++], bytes, w->bbr.flow.window_bytes, w->now_ns);
    w->bytes += bytes;
    check(w->meter.in_flight < w->bbr.flow.window_bytes + w->meter.message_max);
}

static void ack_one(struct world *w, size_t which)
{
    if (w->count == 0)
        return;
    which %= w->count;
    if (w->under_way[which].way == w->meter.way)
        w->bytes -= w->under_way[which].bytes;
    ww_rpc_flow_acked(&w->meter, &w->under_way[which]);
    w->under_way[which] = w->under_way[--w->count];
}

static void step(struct world *w)
{
    bool had = has_room(w);
    struct ww_rpc_flow_sample s;
    if (ww_rpc_flow_sample(&w->meter, w->now_ns, &s))
        w->bbr.flow.ops->acked(&w->bbr.flow, &s);
    uint64_t window = w->bbr.flow.window_bytes;
    check(window >= 4096 && window <= WW_RPC_WINDOW_MAX);
    if (!had && has_room(w))
        ww_rpc_flow_opened(&w->meter, w->now_ns);
    check(w->meter.in_flight == w->bytes);
    check(w->meter.in_flight > 0 || has_room(w));
}

static uint64_t magnitude(uint8_t b)
{
    return UINT64_C(1) << (b % 36);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    w = (struct world){.now_ns = WW_NS_PER_S};
    ww_rpc_bbr_init(&w.bbr, (uint32_t)size);
    ww_rpc_flow_meter_init(&w.meter, w.now_ns);
    for (size_t i = 0; i + 1 < size; i += 2) {
        uint8_t arg = data[i + 1];
        switch (data[i] % 8) {
        case 0:
        case 1:
            send_one(&w, 1 + magnitude(arg % 24) + arg);
            break;
        case 2:
            while (w.count < MESSAGES && has_room(&w))
                send_one(&w, 1 + magnitude(arg % 21));
            break;
        case 3:
            ack_one(&w, arg);
            break;
        case 4:
            for (unsigned n = arg; n > 0 && w.count; n--)
                ack_one(&w, 0);
            break;
        case 5:
            w.now_ns += magnitude(arg);
            break;
        case 6:
            w.now_ns -= arg == 255 && w.now_ns > WW_NS_PER_S ? WW_NS_PER_MS : 0;
            step(&w);
            break;
        default:
            if (arg == 255) {
                ww_rpc_flow_meter_move(&w.meter, w.now_ns);
                w.bbr.flow.ops->moved(&w.bbr.flow);
                w.bytes = 0;
            }
            step(&w);
        }
    }
    return 0;
}
