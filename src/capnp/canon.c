/* capnp/canon.c — canonical form, and equality of values. */
#include "capnp/copy.h"

/* ---- canonical form: preorder, one segment, nothing superfluous */

static uint64_t source_words(struct ww_pr from)
{
    uint64_t words = from.seg->used;
    for (uint32_t i = 0; from.seg->msg && i < from.seg->msg->seg_count; i++)
        words += ww_msg_seg(from.seg->msg, i).len / 8;
    return words;
}

ww_err ww_msg_canonicalize(struct ww_msg *to, struct ww_pr from)
{
    /* Objects that several pointers share are written out for each: then the first guess is too small. */
    uint64_t words = (ww_pr_is_null(from) ? 0 : source_words(from)) + 1;
    do {
        ww_msg_reset(to);
        ww_msg_hint(to, (uint32_t)(words < to->max_words ? words : to->max_words));
        struct ww_pb root = ww_msg_root_builder(to);
        if (root.at)
            ww_copy_tree(root, from.seg, from.at, ww_load64_(from.at), from.depth, WW_COPY_CANONICAL);
        words *= 2;
    } while (to->err == 0 && to->seg_count > 1);
    return to->err;
}

bool ww_msg_is_canonical(struct ww_msg *m)
{
    struct ww_msg canonical;
    ww_msg_init(&canonical, m->cap_ops);
    ww_err err = ww_msg_canonicalize(&canonical, ww_msg_root(m));
    struct ww_bytes a = ww_msg_seg(m, 0), b = ww_msg_seg(&canonical, 0);
    bool same = err == 0 && m->seg_count == 1 && ww_bytes_eq(a, b);
    ww_msg_fini(&canonical);
    return same;
}

/* ---- equality */

/* Two structs or lists whose data is equal; their pointers are compared element by element. */
struct frame {
    struct ww_lr a, b;
    uint32_t elem;
    uint16_t ptr, ptrs;
};

/* What one has and the other has not must be zero. */
static bool equal_data(struct ww_sr a, struct ww_sr b)
{
    uint32_t both = a.data_bytes < b.data_bytes ? a.data_bytes : b.data_bytes;
    struct ww_sr longer = a.data_bytes > b.data_bytes ? a : b;
    if (memcmp(a.data, b.data, both) != 0)
        return false;
    for (uint32_t i = both; i < longer.data_bytes; i++) {
        if (longer.data[i] != 0)
            return false;
    }
    return true;
}

static bool equal_bits(struct ww_lr a, struct ww_lr b)
{
    for (uint32_t i = 0; i < a.count; i++) {
        if (ww_lr_bool(a, i) != ww_lr_bool(b, i))
            return false;
    }
    return true;
}

/* Everything but what the pointers lead to. */
static bool equal_elements(struct ww_lr a, struct ww_lr b)
{
    if (a.count != b.count || a.elem != b.elem)
        return false;
    if (a.elem == WW_ELEM_BIT)
        return equal_bits(a, b);
    if (a.ptrs == 0 && a.step == a.data_bytes && b.step == a.step)
        return memcmp(a.data, b.data, (size_t)a.count * a.step) == 0;
    for (uint32_t i = 0; i < a.count; i++) {
        if (!equal_data(ww_lr_struct(a, i), ww_lr_struct(b, i)))
            return false;
    }
    return true;
}

/* True when equal as far as seen; *ret_more says that there are pointers to compare. */
static bool equal_ptr(struct ww_pr a, struct ww_pr b, struct frame *ret, bool *ret_more)
{
    enum ww_ptr_kind kind = ww_pr_kind(a);
    *ret_more = false;
    if (kind != ww_pr_kind(b) || kind == WW_PTR_BAD)
        return false;
    if (kind == WW_PTR_NULL)
        return true;
    if (kind == WW_PTR_CAP)
        return ww_pr_cap(a) == ww_pr_cap(b);
    ret->a = kind == WW_PTR_STRUCT ? ww_sr_as_list(ww_pr_struct(a)) : ww_pr_list_any(a);
    ret->b = kind == WW_PTR_STRUCT ? ww_sr_as_list(ww_pr_struct(b)) : ww_pr_list_any(b);
    if (!equal_elements(ret->a, ret->b))
        return false;
    ret->elem = 0;
    ret->ptr = 0;
    ret->ptrs = ret->a.ptrs > ret->b.ptrs ? ret->a.ptrs : ret->b.ptrs;
    *ret_more = ret->ptrs > 0 && ret->a.count > 0;
    return true;
}

static bool failed(struct ww_pr p)
{
    return p.seg->msg && p.seg->msg->err < 0;
}

bool ww_pr_equal(struct ww_pr a, struct ww_pr b)
{
    struct frame stack[WW_CAPNP_DEPTH_MAX];
    bool more;
    if (!equal_ptr(a, b, &stack[0], &more))
        return false;
    unsigned depth = more;
    while (depth > 0) {
        struct frame *f = &stack[depth - 1];
        if (f->ptr == f->ptrs) {
            f->ptr = 0;
            if (++f->elem == f->a.count) {
                depth--;
                continue;
            }
        }
        struct ww_pr pa = ww_sr_ptr(ww_lr_struct(f->a, f->elem), f->ptr);
        struct ww_pr pb = ww_sr_ptr(ww_lr_struct(f->b, f->elem), f->ptr);
        f->ptr++;
        /* The readers' own limit keeps the stack from running over. */
        if (depth == WW_CAPNP_DEPTH_MAX ? !ww_pr_is_null(pa) || !ww_pr_is_null(pb)
                                        : !equal_ptr(pa, pb, &stack[depth], &more))
            return false;
        depth += depth < WW_CAPNP_DEPTH_MAX && more;
    }
    return !failed(a) && !failed(b);
}
