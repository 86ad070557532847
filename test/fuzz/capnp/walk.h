/* test/fuzz/capnp/walk.h — reads everything that a pointer leads to, in every way the wire kind allows. */
#ifndef WW_TEST_FUZZ_CAPNP_WALK_H
#define WW_TEST_FUZZ_CAPNP_WALK_H

#include "base/base.h"
#include "ww/capnp.h"

/* A value made of all that was read, so that no load is optimized away. */
static inline uint64_t walk_ptr(struct ww_pr p);

static inline uint64_t walk_bytes(struct ww_bytes b)
{
    uint64_t h = b.len;
    for (size_t i = 0; i < b.len; i += 7)
        h = h * 31 + b.ptr[i];
    return b.len ? h + b.ptr[b.len - 1] : h;
}

static inline uint64_t walk_struct(struct ww_sr s)
{
    uint64_t h = ww_sr_u64(s, 0) + ww_sr_u32(s, 3) + ww_sr_u16(s, 1) + ww_sr_u8(s, 9) + ww_sr_bool(s, 77);
    if (s.data_bytes)
        h += ww_sr_u8(s, s.data_bytes - 1) + ww_sr_u8(s, s.data_bytes);
    for (uint32_t i = 0; i <= s.ptrs; i++)
        h = h * 31 + walk_ptr(ww_sr_ptr(s, i));
    return h;
}

static inline uint64_t walk_list(struct ww_lr l)
{
    uint64_t h = l.count;
    uint32_t last = l.count ? l.count - 1 : 0;
    h += ww_lr_u8(l, last) + ww_lr_u16(l, last) + ww_lr_u32(l, last) + ww_lr_u64(l, last) +
        ww_lr_bool(l, last);
    h += ww_lr_u64(l, l.count) + ww_lr_bool(l, l.count);
    if (l.elem != WW_ELEM_STRUCT && l.elem != WW_ELEM_PTR)
        return h;
    for (uint32_t i = 0; i < l.count && (!l.seg->msg || l.seg->msg->err == 0); i++)
        h = h * 31 + walk_struct(ww_lr_struct(l, i));
    return h;
}

static inline uint64_t walk_ptr(struct ww_pr p)
{
    switch (ww_pr_kind(p)) {
    case WW_PTR_STRUCT:
        return walk_struct(ww_pr_struct(p));
    case WW_PTR_LIST:
        return walk_list(ww_pr_list_any(p));
    case WW_PTR_CAP:
        return ww_pr_cap(p) != NULL;
    default:
        return 0;
    }
}

/* Also with expectations that the bytes need not meet. */
static inline uint64_t walk_wrongly(struct ww_pr p)
{
    uint64_t h = walk_bytes(ww_pr_text(p)) + walk_bytes(ww_pr_data(p)) + (ww_pr_cap(p) != NULL);
    for (int want = 0; want < 8; want++)
        h += walk_list(ww_pr_list(p, (enum ww_elem)want));
    return h + walk_struct(ww_pr_struct(p));
}

#endif
