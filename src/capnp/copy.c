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

static void copy_elements(struct ww_lb to, struct ww_lr from)
{
    if (from.elem == WW_ELEM_BIT) {
        memcpy(to.data, from.data, ((size_t)from.count + 7) / 8);
        return;
    }
    if (from.data_bytes == 0)
        return;
    if (from.step == from.data_bytes && to.step == from.step) {
        memcpy(to.data, from.data, (size_t)from.count * from.step);
        return;
    }
    for (uint32_t i = 0; i < from.count; i++)
        memcpy(to.data + (size_t)i * to.step, from.data + (size_t)i * from.step, from.data_bytes);
}

/* Copies an object without its pointers. False when there is nothing below it to visit. */
static bool copy_list(struct ww_pb to, struct ww_lr from, struct copy_frame *ret)
{
    struct ww_lb l = from.elem == WW_ELEM_STRUCT
        ? ww_pb_init_structs(to, (uint16_t)((from.data_bytes + 7) / 8), from.ptrs, from.count)
        : ww_pb_init_list(to, (enum ww_elem)from.elem, from.count);
    if (!l.data)
        return false;
    copy_elements(l, from);
    *ret = (struct copy_frame){.from = from, .to = l};
    return from.ptrs > 0 && from.count > 0;
}

static bool copy_struct(struct ww_pb to, struct ww_sr from, struct copy_frame *ret)
{
    struct ww_sb s = ww_pb_init_struct(to, (uint16_t)((from.data_bytes + 7) / 8), from.ptrs);
    if (!s.data)
        return false;
    memcpy(s.data, from.data, from.data_bytes);
    *ret = (struct copy_frame){
        .from = ww_sr_as_list(from), .to = {s.seg, s.data, 1, 0, s.data_bytes, s.ptrs, WW_ELEM_STRUCT}};
    return from.ptrs > 0;
}

/* An error in the source must not look like a good copy. */
static void copy_failure(struct ww_pb to, struct ww_pr from)
{
    if (from.seg->msg && from.seg->msg->err)
        ww_msg_fail(to.seg->msg, from.seg->msg->err);
}

static bool copy_ptr(struct ww_pb to, struct ww_pr from, struct copy_frame *ret)
{
    bool more = false;
    switch (ww_pr_kind(from)) {
    case WW_PTR_NULL:
        return false;
    case WW_PTR_STRUCT:
        more = copy_struct(to, ww_read_struct_(from.seg, from.at, from.depth), ret);
        break;
    case WW_PTR_LIST:
        more = copy_list(to, ww_pr_list_any(from), ret);
        break;
    case WW_PTR_CAP:
        ww_pb_set_cap(to, ww_pr_cap(from));
        break;
    case WW_PTR_BAD:
        break;
    }
    copy_failure(to, from);
    return more;
}

/* Runs a copy to its end, from the frame of its first object. */
static void copy_below(struct ww_msg *m, struct copy_frame first)
{
    struct copy_frame stack[WW_CAPNP_DEPTH_MAX];
    unsigned depth = 1;
    stack[0] = first;
    while (depth > 0 && m->err == 0) {
        struct copy_frame *f = &stack[depth - 1];
        if (f->ptr == f->from.ptrs) {
            f->ptr = 0;
            f->elem++;
        }
        if (f->elem == f->from.count) {
            depth--;
            continue;
        }
        struct ww_pr from = ww_sr_ptr(ww_lr_struct(f->from, f->elem), f->ptr);
        struct ww_pb to = ww_sb_ptr(ww_lb_struct(f->to, f->elem), f->ptr);
        f->ptr++;
        if (depth < WW_CAPNP_DEPTH_MAX)
            depth += copy_ptr(to, from, &stack[depth]);
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
    if (copy_ptr(p, from, &first))
        copy_below(p.seg->msg, first);
    drop_old(p, old);
}

void ww_pb_set_struct(struct ww_pb p, struct ww_sr from)
{
    struct copy_frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_struct(p, from, &first))
        copy_below(p.seg->msg, first);
    drop_old(p, old);
}

void ww_pb_set_list(struct ww_pb p, struct ww_lr from)
{
    struct copy_frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_list(p, from, &first))
        copy_below(p.seg->msg, first);
    drop_old(p, old);
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
