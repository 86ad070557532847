/* Deep copies, canonical form and enlarging of whatever can be read: copies are equal to their source,
 * canonical form is a fixed point, and builders stay sound on what they were given. */
#include "walk.h"

static volatile uint64_t sink;

static void rebuild(struct ww_msg *copy)
{
    struct ww_pb root = ww_msg_root_builder(copy);
    struct ww_sb s = ww_pb_struct(root, 3, 4);
    ww_sb_set_u64(s, 2, UINT64_MAX);
    struct ww_lb l = ww_pb_structs(ww_sb_ptr(s, 0), 2, 2);
    for (uint32_t i = 0; i < l.count && i < 100; i++)
        ww_pb_set_text(ww_sb_ptr(ww_lb_struct(l, i), 1), ww_text("enlarged"));
    ww_pb_move(ww_sb_ptr(s, 3), ww_sb_ptr(s, 1));
    ww_pb_set(ww_sb_ptr(s, 1), ww_pb_reader(ww_sb_ptr(s, 3)));
    ww_pb_clear(ww_sb_ptr(s, 0));
    sink += walk_ptr(ww_msg_root(copy));
}

/* The children of the root as orphans: resized, joined, handed around, also to another message. */
static void orphans(struct ww_msg *copy, uint32_t size)
{
    struct ww_msg other;
    ww_msg_init(&other, NULL);
    ww_msg_hint(&other, size % 64);
    struct ww_sb s = ww_pb_struct(ww_msg_root_builder(copy), 0, 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct ww_orphan o = ww_pb_disown(ww_sb_ptr(s, i));
        WW_ASSERT(ww_pb_is_null(ww_sb_ptr(s, i)));
        ww_orphan_resize(&o, size * i);
        ww_err err = ww_msg_err(copy);
        WW_ASSERT(err == 0 || err == WW_EINVAL || err == WW_ELIMIT); /* elements can be of half a MiB */
        copy->err = 0;
        struct ww_lr lists[2] = {ww_lb_reader(ww_orphan_as_list(&o, WW_ELEM_VOID)), {0}};
        lists[1] = lists[0];
        copy->err = 0;
        struct ww_orphan joined =
            ww_orphan_concat(copy, lists[0].elem == WW_ELEM_BIT ? WW_ELEM_BIT : WW_ELEM_STRUCT, lists, 2);
        if (ww_msg_err(copy) == 0 && lists[0].count < 1000)
            WW_ASSERT(ww_orphan_as_list(&joined, lists[0].elem == WW_ELEM_BIT ? WW_ELEM_BIT : WW_ELEM_STRUCT)
                          .count == lists[0].count * 2);
        ww_pb_adopt(ww_msg_root_builder(&other), &joined);
        ww_pb_adopt(ww_sb_ptr(s, (i + size) % 3), &o);
        WW_ASSERT(ww_orphan_is_null(&o) || ww_msg_err(copy) < 0);
        ww_orphan_drop(&o);
    }
    sink += walk_ptr(ww_msg_root(copy)) + walk_ptr(ww_msg_root(&other));
    ww_msg_fini(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ww_msg_limits lim = {.words = 1 << 14, .traversal = 1 << 14, .segments = 8, .depth = 64};
    struct ww_msg m, copy, canonical, again;
    ww_msg_init(&m, NULL);
    ww_msg_init(&copy, NULL);
    ww_msg_init(&canonical, NULL);
    ww_msg_init(&again, NULL);
    ww_msg_hint(&copy, len ? data[len - 1] : 0);
    if (ww_msg_open(&m, ww_bytes(data, len), &lim) == 0) {
        ww_pb_set(ww_msg_root_builder(&copy), ww_msg_root(&m));
        if (ww_msg_err(&copy) == 0) {
            WW_ASSERT(ww_msg_open(&m, ww_bytes(data, len), &lim) == 0);
            WW_ASSERT(ww_pr_equal(ww_msg_root(&m), ww_msg_root(&copy)) || ww_msg_err(&m) < 0);
            if (ww_msg_canonicalize(&canonical, ww_msg_root(&copy)) == 0) {
                WW_ASSERT(ww_msg_is_canonical(&canonical));
                WW_ASSERT(ww_pr_equal(ww_msg_root(&canonical), ww_msg_root(&copy)));
            }
            rebuild(&copy);
            if (ww_msg_err(&copy) == 0)
                orphans(&copy, data[len / 2]);
        }
    }
    ww_msg_fini(&again);
    ww_msg_fini(&canonical);
    ww_msg_fini(&copy);
    ww_msg_fini(&m);
    return 0;
}
