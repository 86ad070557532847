/* The routing table under any sequence of operations: its trees stay in order, and snapshots do not move. */
#include "cluster/routing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HELD 3

struct held {
    struct ww_snapshot *snap;
    uint64_t sum; /* over everything in it */
};

static uint64_t sum_of(struct ww_snapshot *snap)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        struct ww_scan scan = ww_scan_all((enum ww_index)(i / 2));
        struct ww_scan_iter it;
        struct ww_record r;
        size_t count = 0;
        scan.reverse = i % 2;
        ww_scan_init(&it, snap, &scan);
        while (ww_scan_next(&it, &r)) {
            sum = sum * 31 + r.seq * 7 + r.server + r.deadline_ns + r.peer.ptr[0] + r.host.len + r.meta_count;
            count++;
        }
        ww_scan_fini(&it);
        if (scan.index <= WW_INDEX_SERVER)
            WW_ASSERT(count == ww_snapshot_count(snap));
    }
    return sum;
}

static void upsert(struct ww_routing *t, uint64_t now_ns, const uint8_t op[4])
{
    uint8_t peer[38] = {0, 0x24, 8, 1, 0x12, 0x20};
    struct ww_bytes meta[3] = {ww_bytes("zone=eu-1", 4 + op[2] % 6), ww_bytes("role=abc", 4 + op[3] % 5),
        ww_bytes("zone=eu-2", op[3] % 10)};
    memset(peer + 6, op[1] % 32, (size_t)(op[1] / 8));
    struct ww_record_in in = {.peer = ww_bytes(peer, 34 + op[1] % 5),
        .server = op[2] % 3,
        .seq = now_ns + op[3] % 4,
        .ttl_ms = op[3],
        .host = ww_bytes("host-with-a-name", op[2] % 17),
        .meta = meta,
        .meta_count = op[2] % 4};
    if (op[0] % 8 == 1)
        (void)!ww_routing_leave(t, now_ns, in.peer, in.server, in.seq);
    else
        (void)!ww_routing_upsert(t, now_ns, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_routing_conf conf = {.seed = {1, 2}, .max_records = 100, .remember_max = 16};
    struct ww_routing *t;
    struct held held[HELD] = {{0}};
    uint64_t now_ns = WW_NS_PER_S;
    WW_ASSERT(ww_routing_new(&conf, &t) == 0);
    for (size_t at = 0; at + 4 <= size && at < 4000; at += 4) {
        const uint8_t *op = data + at;
        struct held *h = &held[op[1] % HELD];
        now_ns += op[0] / 16 * WW_NS_PER_MS;
        switch (op[0] % 16) {
        case 2:
            ww_routing_advance(t, now_ns, op[1] % 4);
            break;
        case 3:
            ww_snapshot_unref(h->snap);
            h->snap = ww_routing_snapshot(t);
            h->sum = sum_of(h->snap);
            break;
        case 4:
            ww_snapshot_unref(h->snap);
            h->snap = NULL;
            break;
        default:
            upsert(t, now_ns, op);
        }
    }
    WW_ASSERT(ww_routing_check(t));
    ww_routing_free(t);
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].snap)
            WW_ASSERT(sum_of(held[i].snap) == held[i].sum);
        ww_snapshot_unref(held[i].snap);
    }
    return 0;
}
