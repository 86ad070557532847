/* capnp/copy.c — walks over whole trees: deep copy, and wiping what a pointer led to. Explicit stacks,
 * because a guest has 64 KiB of stack and trees come from peers. */
#include "capnp/ptr.h"

/* One object under way: its pointers are visited element by element. */
struct copy_frame {
    struct ww_lr from;
    struct ww_lb to;
    uint32_t elem;
    uint32_t ptr;
};

/* How to copy: as it is, or into canonical form. */
enum copy_mode { COPY_PLAIN, COPY_CANONICAL };

static void copy_elements(struct ww_lb to, struct ww_lr from)
{
    uint32_t bytes = to.data_bytes < from.data_bytes ? to.data_bytes : from.data_bytes;
    if (from.elem == WW_ELEM_BIT) {
        memcpy(to.data, from.data, ((size_t)from.count + 7) / 8);
        if (from.count % 8)
            to.data[from.count / 8] &= (uint8_t)((1u << from.count % 8) - 1);
        return;
    }
    if (bytes == 0)
        return;
    if (from.step == bytes && to.step == bytes) {
        memcpy(to.data, from.data, (size_t)from.count * bytes);
        return;
    }
    for (uint32_t i = 0; i < from.count; i++)
        memcpy(to.data + (size_t)i * to.step, from.data + (size_t)i * from.step, bytes);
}

/* Canonical structs end with their last word and their last pointer that are not zero; those of a list share
 * one size. */
static void trim(struct ww_lr l, uint32_t *ret_data_words, uint16_t *ret_ptrs)
{
    uint32_t bytes = 0;
    uint16_t ptrs = 0;
    for (uint32_t i = 0; i < l.count; i++) {
        struct ww_sr s = ww_lr_struct(l, i);
        uint32_t n = s.data_bytes;
        while (n > bytes && s.data[n - 1] == 0)
            n--;
        bytes = n > bytes ? n : bytes;
        uint16_t p = s.ptrs;
        while (p > ptrs && ww_pr_kind(ww_sr_ptr(s, p - 1u)) == WW_PTR_NULL)
            p--;
        ptrs = p > ptrs ? p : ptrs;
    }
    *ret_data_words = (bytes + 7) / 8;
    *ret_ptrs = ptrs;
}

/* Copies an object without its pointers. False when there is nothing below it to visit. */
static bool copy_list(struct ww_pb to, struct ww_lr from, enum copy_mode mode, struct copy_frame *ret)
{
    uint32_t data_words = (from.data_bytes + 7) / 8;
    uint16_t ptrs = from.ptrs;
    struct ww_lb l;
    if (mode == COPY_CANONICAL && from.elem == WW_ELEM_STRUCT)
        trim(from, &data_words, &ptrs);
    if (from.elem == WW_ELEM_STRUCT)
        l = ww_pb_init_structs(to, (uint16_t)data_words, ptrs, from.count);
    else
        l = ww_pb_init_list(to, (enum ww_elem)from.elem, from.count);
    if (!l.data)
        return false;
    copy_elements(l, from);
    *ret = (struct copy_frame){.from = from, .to = l};
    return ptrs > 0 && from.count > 0;
}

static bool copy_struct(struct ww_pb to, struct ww_sr from, enum copy_mode mode, struct copy_frame *ret)
{
    uint32_t data_words = (from.data_bytes + 7) / 8;
    uint16_t ptrs = from.ptrs;
    if (mode == COPY_CANONICAL)
        trim(ww_sr_as_list(from), &data_words, &ptrs);
    struct ww_sb s = ww_pb_init_struct(to, (uint16_t)data_words, ptrs);
    if (!s.data)
        return false;
    memcpy(s.data, from.data, s.data_bytes < from.data_bytes ? s.data_bytes : from.data_bytes);
    *ret = (struct copy_frame){
        .from = ww_sr_as_list(from), .to = {s.seg, s.data, 1, 0, s.data_bytes, s.ptrs, WW_ELEM_STRUCT}};
    return ptrs > 0;
}

/* An error in the source must not look like a good copy. */
static void copy_failure(struct ww_pb to, struct ww_pr from)
{
    if (from.seg->msg && from.seg->msg->err)
        ww_msg_fail(to.seg->msg, from.seg->msg->err);
}

static bool copy_ptr(struct ww_pb to, struct ww_pr from, enum copy_mode mode, struct copy_frame *ret)
{
    bool more = false;
    switch (ww_pr_kind(from)) {
    case WW_PTR_NULL:
        return false;
    case WW_PTR_STRUCT:
        more = copy_struct(to, ww_read_struct_(from.seg, from.at, from.depth), mode, ret);
        break;
    case WW_PTR_LIST:
        more = copy_list(to, ww_pr_list_any(from), mode, ret);
        break;
    case WW_PTR_CAP:
        if (mode == COPY_CANONICAL)
            ww_msg_fail(to.seg->msg, WW_EINVAL);
        else
            ww_pb_set_cap(to, ww_pr_cap(from));
        break;
    case WW_PTR_BAD:
        break;
    }
    copy_failure(to, from);
    return more;
}

/* Runs a copy to its end, from the frame of its first object. */
static void copy_below(struct ww_msg *m, struct copy_frame first, enum copy_mode mode)
{
    struct copy_frame stack[WW_CAPNP_DEPTH_MAX];
    unsigned depth = 1;
    stack[0] = first;
    while (depth > 0 && m->err == 0) {
        struct copy_frame *f = &stack[depth - 1];
        if (f->ptr == f->to.ptrs) {
            f->ptr = 0;
            f->elem++;
        }
        if (f->elem == f->to.count) {
            depth--;
            continue;
        }
        struct ww_pr from = ww_sr_ptr(ww_lr_struct(f->from, f->elem), f->ptr);
        struct ww_pb to = ww_sb_ptr(ww_lb_struct(f->to, f->elem), f->ptr);
        f->ptr++;
        if (depth < WW_CAPNP_DEPTH_MAX)
            depth += copy_ptr(to, from, mode, &stack[depth]);
        else if (!ww_pr_is_null(from))
            ww_msg_fail(m, WW_EDEPTH);
    }
}

/* What the pointer led to goes last: the source may lie in there. */
static uint64_t take_old(struct ww_pb p)
{
    uint64_t old = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    return old;
}

static void drop_old(struct ww_pb p, uint64_t old)
{
    if (old != 0)
        ww_ptr_wipe(p.seg, p.at, old);
}

void ww_pb_set(struct ww_pb p, struct ww_pr from)
{
    struct copy_frame first;
    if (!p.at || p.at == from.at)
        return;
    uint64_t old = take_old(p);
    if (copy_ptr(p, from, COPY_PLAIN, &first))
        copy_below(p.seg->msg, first, COPY_PLAIN);
    drop_old(p, old);
}

void ww_pb_set_struct(struct ww_pb p, struct ww_sr from)
{
    struct copy_frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_struct(p, from, COPY_PLAIN, &first))
        copy_below(p.seg->msg, first, COPY_PLAIN);
    drop_old(p, old);
}

void ww_pb_set_list(struct ww_pb p, struct ww_lr from)
{
    struct copy_frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_list(p, from, COPY_PLAIN, &first))
        copy_below(p.seg->msg, first, COPY_PLAIN);
    drop_old(p, old);
}

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
        struct copy_frame first;
        ww_msg_reset(to);
        ww_msg_hint(to, (uint32_t)(words < to->max_words ? words : to->max_words));
        struct ww_pb root = ww_msg_root_builder(to);
        if (root.at && copy_ptr(root, from, COPY_CANONICAL, &first))
            copy_below(to, first, COPY_CANONICAL);
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

static bool equal_ptrs(struct ww_pr a, struct ww_pr b);

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

static bool equal_structs(struct ww_sr a, struct ww_sr b)
{
    if (!equal_data(a, b))
        return false;
    uint16_t ptrs = a.ptrs > b.ptrs ? a.ptrs : b.ptrs;
    for (uint32_t i = 0; i < ptrs; i++) {
        if (!equal_ptrs(ww_sr_ptr(a, i), ww_sr_ptr(b, i)))
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

static bool equal_lists(struct ww_lr a, struct ww_lr b)
{
    if (a.count != b.count || a.elem != b.elem)
        return false;
    if (a.elem == WW_ELEM_BIT)
        return equal_bits(a, b);
    if (a.ptrs == 0 && a.step == a.data_bytes && b.step == a.step)
        return memcmp(a.data, b.data, (size_t)a.count * a.step) == 0;
    for (uint32_t i = 0; i < a.count; i++) {
        if (!equal_structs(ww_lr_struct(a, i), ww_lr_struct(b, i)))
            return false;
    }
    return true;
}

/* Recursion is as deep as a reader goes, at most 64. */
static bool equal_ptrs(struct ww_pr a, struct ww_pr b)
{
    enum ww_ptr_kind kind = ww_pr_kind(a);
    if (kind != ww_pr_kind(b))
        return false;
    switch (kind) {
    case WW_PTR_NULL:
        return true;
    case WW_PTR_STRUCT:
        return equal_structs(ww_pr_struct(a), ww_pr_struct(b));
    case WW_PTR_LIST:
        return equal_lists(ww_pr_list_any(a), ww_pr_list_any(b));
    case WW_PTR_CAP:
        return ww_pr_cap(a) == ww_pr_cap(b);
    default:
        return false;
    }
}

static bool failed(struct ww_pr p)
{
    return p.seg && p.seg->msg && p.seg->msg->err < 0;
}

bool ww_pr_equal(struct ww_pr a, struct ww_pr b)
{
    return equal_ptrs(a, b) && !failed(a) && !failed(b);
}

/* ---- wiping */

struct wipe_frame {
    struct ww_lr list;
    uint32_t elem;
    uint32_t ptr;
};

static void wipe_bytes(struct ww_lr l)
{
    uint8_t *data = (uint8_t *)l.data;
    size_t each = l.data_bytes + (size_t)l.ptrs * 8;
    memset(data, 0, l.elem == WW_ELEM_BIT ? ((size_t)l.count + 7) / 8 : l.count * each);
}

static void drop_cap(struct ww_msg *m, uint64_t w)
{
    uint32_t index = (uint32_t)(w >> 32);
    if (index >= m->cap_count || !m->caps[index])
        return;
    struct ww_cap *cap = m->caps[index];
    m->caps[index] = NULL;
    m->cap_ops->unref(cap);
}

/* True with a frame when there are pointers to visit first; otherwise the object is wiped at once. */
static bool wipe_one(struct ww_seg *seg, const uint8_t *at, uint64_t w, struct wipe_frame *ret)
{
    struct ww_target t;
    *ret = (struct wipe_frame){0};
    if (w == 0 || w == WW_CAPNP_EMPTY_STRUCT || !ww_target_resolve(seg, at, w, &t))
        return false;
    if (ww_word_tag(t.word) == WW_TAG_OTHER) {
        drop_cap(seg->msg, t.word);
        return false;
    }
    if (ww_word_tag(t.word) == WW_TAG_STRUCT)
        ret->list = ww_sr_as_list(ww_word_read_struct(seg, at, w, 1));
    else if (!ww_word_read_list(seg, at, w, 1, &ret->list))
        return false;
    if (ret->list.ptrs > 0 && ret->list.count > 0)
        return true;
    wipe_bytes(ret->list);
    return false;
}

void ww_ptr_wipe(struct ww_seg *seg, const uint8_t *at, uint64_t w)
{
    struct wipe_frame stack[WW_CAPNP_DEPTH_MAX];
    unsigned depth = wipe_one(seg, at, w, &stack[0]);
    while (depth > 0) {
        struct wipe_frame *f = &stack[depth - 1];
        if (f->ptr == f->list.ptrs) {
            f->ptr = 0;
            f->elem++;
        }
        if (f->elem == f->list.count) {
            wipe_bytes(f->list);
            depth--;
            continue;
        }
        struct ww_pr p = ww_sr_ptr(ww_lr_struct(f->list, f->elem), f->ptr);
        f->ptr++;
        if (depth < WW_CAPNP_DEPTH_MAX) /* what is built deeper than any reader goes stays as it is */
            depth += wipe_one((struct ww_seg *)p.seg, p.at, ww_load64_(p.at), &stack[depth]);
    }
}

void ww_pb_wipe_(struct ww_pb p)
{
    drop_old(p, take_old(p));
}
