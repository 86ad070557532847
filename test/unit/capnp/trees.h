/* test/unit/capnp/trees.h — random values. */
#ifndef WW_TEST_CAPNP_TREES_H
#define WW_TEST_CAPNP_TREES_H

#include "test/lib/test.h"

#include "base/prng.h"
#include "ww/capnp.h"

/* A random tree: the same for the same seed, whatever the segments. */
static inline void grow_random(struct ww_prng *rng, struct ww_pb p, unsigned depth)
{
    uint32_t n = (uint32_t)ww_prng_below(rng, 6);
    uint64_t kind = depth == 0 ? ww_prng_below(rng, 4) : ww_prng_below(rng, 8);
    char text[8] = "abcdefg";
    if (kind == 0)
        return;
    if (kind == 1)
        ww_pb_set_text(p, ww_bytes(text, n));
    if (kind == 2) {
        struct ww_lb l = ww_pb_init_list(p, WW_ELEM_BIT, n * 5);
        for (uint32_t i = 0; i < l.count; i++)
            ww_lb_set_bool(l, i, ww_prng_below(rng, 2));
    }
    if (kind == 3) {
        struct ww_lb l = ww_pb_init_list(p, (enum ww_elem)(2 + ww_prng_below(rng, 4)), n);
        for (uint32_t i = 0; i < l.count; i++)
            ww_lb_set_u8(l, i, (uint8_t)ww_prng_u64(rng));
    }
    if (kind == 4) {
        struct ww_lb l = ww_pb_init_list(p, WW_ELEM_PTR, n);
        for (uint32_t i = 0; i < l.count; i++)
            grow_random(rng, ww_lb_ptr(l, i), depth - 1);
    }
    if (kind == 5) {
        struct ww_lb l =
            ww_pb_init_structs(p, (uint16_t)ww_prng_below(rng, 3), (uint16_t)ww_prng_below(rng, 3), n);
        for (uint32_t i = 0; i < l.count; i++) {
            ww_sb_set_u32(ww_lb_struct(l, i), 1, (uint32_t)ww_prng_below(rng, 3));
            grow_random(rng, ww_sb_ptr(ww_lb_struct(l, i), 1), depth - 1);
        }
    }
    if (kind > 5) {
        struct ww_sb s =
            ww_pb_init_struct(p, (uint16_t)ww_prng_below(rng, 4), (uint16_t)ww_prng_below(rng, 4));
        ww_sb_set_u16(s, 5, (uint16_t)ww_prng_u64(rng));
        for (uint32_t i = 0; i < s.ptrs; i++)
            grow_random(rng, ww_sb_ptr(s, i), depth - 1);
    }
}

static inline void random_tree(struct ww_msg *m, uint64_t seed, uint32_t hint)
{
    struct ww_prng rng;
    ww_prng_init(&rng, seed);
    ww_msg_fini(m); /* a reused message would keep its large first segment */
    ww_msg_hint(m, hint);
    struct ww_lb l = ww_pb_init_list(ww_msg_root_builder(m), WW_ELEM_PTR, 5);
    for (uint32_t i = 0; i < l.count; i++)
        grow_random(&rng, ww_lb_ptr(l, i), 5);
    assert_ok(ww_msg_err(m));
}

#endif
