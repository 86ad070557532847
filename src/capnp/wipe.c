/* capnp/wipe.c — zeroing what a pointer led to, and measuring it: walks that need no second tree. */
#include "capnp/ptr.h"

struct frame {
    struct ww_lr list;
    uint32_t elem;
    uint32_t ptr;
};

/* The next pointer below the frame, or one whose `at` is NULL. */
static struct ww_pr next_ptr(struct frame *f)
{
    struct ww_pr none = {NULL, NULL, 0};
    if (f->ptr == f->list.ptrs) {
        f->ptr = 0;
        f->elem++;
    }
    if (f->elem == f->list.count)
        return none;
    struct ww_pr p = {
        f->list.seg, f->list.data + (size_t)f->elem * f->list.step + f->list.data_bytes, f->list.depth};
    p.at += (size_t)f->ptr * 8;
    f->ptr++;
    return p;
}

/* ---- wiping */

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

void ww_pads_clear(struct ww_seg *seg, uint64_t w)
{
    if (ww_word_tag(w) != WW_TAG_FAR)
        return;
    struct ww_seg *pad_seg = ww_msg_seg_at(seg->msg, (uint32_t)(w >> 32));
    uint32_t pos = (uint32_t)w >> 3, words = w & 4 ? 2 : 1;
    if (pad_seg && ww_seg_holds(pad_seg, pos, words))
        memset(pad_seg->data + (size_t)pos * 8, 0, (size_t)words * 8);
}

/* True with a frame when there are pointers to visit first; otherwise the object is wiped at once. */
static bool wipe_one(struct ww_seg *seg, const uint8_t *at, uint64_t w, struct frame *ret)
{
    struct ww_target t;
    struct ww_sr s;
    *ret = (struct frame){0};
    if (w == 0 || w == WW_CAPNP_EMPTY_STRUCT || !ww_target_resolve(seg, at, w, &t))
        return false;
    ww_pads_clear(seg, w);
    if (ww_word_tag(t.word) == WW_TAG_OTHER) {
        drop_cap(seg->msg, t.word);
        return false;
    }
    if (ww_word_tag(t.word) == WW_TAG_STRUCT) {
        if (!ww_target_struct(seg, &t, 1, &s))
            return false;
        ret->list = ww_sr_as_list(s);
    } else if (!ww_target_list(seg, &t, 1, &ret->list)) {
        return false;
    } else if (ret->list.elem == WW_ELEM_STRUCT) {
        ww_store64_((uint8_t *)ret->list.data - 8, 0); /* the tag */
    }
    if (ret->list.ptrs > 0 && ret->list.count > 0)
        return true;
    wipe_bytes(ret->list);
    return false;
}

void ww_ptr_wipe(struct ww_seg *seg, const uint8_t *at, uint64_t w)
{
    struct frame stack[WW_CAPNP_DEPTH_MAX];
    unsigned depth = wipe_one(seg, at, w, &stack[0]);
    while (depth > 0) {
        struct ww_pr p = next_ptr(&stack[depth - 1]);
        if (!p.at)
            wipe_bytes(stack[--depth].list);
        else if (depth < WW_CAPNP_DEPTH_MAX) /* what is built deeper than any reader goes stays as it is */
            depth += wipe_one((struct ww_seg *)p.seg, p.at, ww_load64_(p.at), &stack[depth]);
    }
}

void ww_pb_wipe_(struct ww_pb p)
{
    uint64_t old = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    ww_ptr_wipe(p.seg, p.at, old);
}

/* ---- measuring */

static bool measure_one(struct ww_pr p, struct ww_size *io, struct frame *ret)
{
    struct ww_target t;
    struct ww_sr s;
    uint64_t w = ww_load64_(p.at);
    *ret = (struct frame){0};
    if (w == 0 || !ww_target_resolve(p.seg, p.at, w, &t))
        return false;
    switch (ww_word_tag(t.word)) {
    case WW_TAG_STRUCT:
        if (!ww_target_struct(p.seg, &t, p.depth, &s))
            return false;
        ret->list = ww_sr_as_list(s);
        io->words += (s.data_bytes + 7) / 8 + s.ptrs;
        break;
    case WW_TAG_LIST:
        if (!ww_target_list(p.seg, &t, p.depth, &ret->list))
            return false;
        io->words += ret->list.elem == WW_ELEM_STRUCT ? (uint64_t)ret->list.count * (ret->list.step / 8) + 1
                                                      : ww_list_words(ret->list.elem, ret->list.count);
        break;
    default:
        io->caps += ww_pr_kind(p) == WW_PTR_CAP;
    }
    return ret->list.ptrs > 0 && ret->list.count > 0;
}

struct ww_size ww_pr_size(struct ww_pr p)
{
    struct frame stack[WW_CAPNP_DEPTH_MAX];
    struct ww_size size = {0, 0}, none = {0, 0};
    const struct ww_msg *m = p.seg->msg;
    unsigned depth = measure_one(p, &size, &stack[0]);
    while (depth > 0 && !(m && m->err < 0)) {
        struct ww_pr next = next_ptr(&stack[depth - 1]);
        if (!next.at)
            depth--;
        else if (depth < WW_CAPNP_DEPTH_MAX)
            depth += measure_one(next, &size, &stack[depth]);
        else if (!ww_pr_is_null(next))
            ww_msg_fail(p.seg->msg, WW_EDEPTH);
    }
    return m && m->err < 0 ? none : size;
}
