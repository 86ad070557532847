#include "hostile.h"

uint32_t hostile_id(struct hostile *h)
{
    uint8_t b = h->take(h);
    return b < 250 ? b % h->ids : (uint32_t)b << 24 | b;
}

void hostile_promised(struct hostile *h, struct ww_pb at)
{
    struct ww_sb promised = ww_pb_init_struct(at, 1, 1);
    ww_sb_set_u32(promised, 0, hostile_id(h));
    uint32_t n = h->take(h) % 3;
    struct ww_lb ops = ww_pb_init_structs(ww_sb_ptr(promised, 0), 1, 0, n);
    for (uint32_t i = 0; i < n; i++) {
        ww_sb_set_u16(ww_lb_struct(ops, i), 0, h->take(h) % h->odd != h->odd - 1);
        ww_sb_set_u16(ww_lb_struct(ops, i), 1, h->take(h) % h->paths);
    }
}

void hostile_desc(struct hostile *h, struct ww_sb desc)
{
    uint16_t kind = h->take(h) % 7;
    ww_sb_set_u16(desc, 0, kind);
    if (kind == WW_RPC_DESC_RECEIVER_ANSWER)
        hostile_promised(h, ww_sb_ptr(desc, 0));
    else if (kind == WW_RPC_DESC_THIRD_PARTY)
        ww_sb_set_u32(ww_pb_init_struct(ww_sb_ptr(desc, 0), 1, 1), 0, hostile_id(h));
    else
        ww_sb_set_u32(desc, 1, hostile_id(h));
}

void hostile_target(struct hostile *h, struct ww_pb at)
{
    struct ww_sb target = ww_pb_init_struct(at, 1, 1);
    if (h->take(h) & 1) {
        bool odd = h->odd_targets && h->take(h) % h->odd == h->odd - 1;
        ww_sb_set_u16(target, 2, odd ? 2 : 1);
        hostile_promised(h, ww_sb_ptr(target, 0));
    } else {
        ww_sb_set_u32(target, 0, hostile_id(h));
    }
}

void hostile_caps(struct hostile *h, struct ww_sb payload, struct ww_sb content, uint32_t n)
{
    struct ww_lb table = ww_pb_init_structs(ww_sb_ptr(payload, 1), 1, 1, n);
    for (uint32_t i = 0; i < n; i++) {
        hostile_desc(h, ww_lb_struct(table, i));
        /* The table is filled by hand, so the pointers to it are, too. */
        ww_le64_store(ww_sb_ptr(content, i).at, (uint64_t)i << 32 | 3);
    }
}
