/* capnp/copy.c — deep copies, plain and into canonical form. Trees come from peers and a guest has 64 KiB of
 * stack: an explicit stack instead of recursion. */
#include "capnp/copy.h"

/* An object under way: its pointers are visited element by element. */
struct frame {
    const struct ww_seg *from_seg;
    const uint8_t *from; /* pointer section of the current element */
    struct ww_seg *to_seg;
    uint8_t *to;
    uint32_t elems; /* still to do, with the current one */
    uint32_t from_step, to_step;
    uint16_t ptrs, next;
    uint8_t depth;
};

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

/* Bytes up to the last that is not zero, at least `floor`. */
static uint32_t used_bytes(const uint8_t *data, uint32_t bytes, uint32_t floor)
{
    while (bytes > floor && data[bytes - 1] == 0)
        bytes--;
    return bytes > floor ? bytes : floor;
}

/* Canonical structs end with their last word and their last pointer that are not zero; those of a list share
 * one size. */
static void trim(struct ww_lr l, uint32_t *ret_data_words, uint16_t *ret_ptrs)
{
    uint32_t bytes = 0;
    uint16_t ptrs = 0;
    for (uint32_t i = 0; i < l.count && (bytes < l.data_bytes || ptrs < l.ptrs); i++) {
        struct ww_sr s = ww_lr_struct(l, i);
        bytes = used_bytes(s.data, s.data_bytes, bytes);
        uint16_t p = s.ptrs;
        while (p > ptrs && ww_pr_kind(ww_sr_ptr(s, p - 1u)) == WW_PTR_NULL)
            p--;
        ptrs = p > ptrs ? p : ptrs;
    }
    *ret_data_words = (bytes + 7) / 8;
    *ret_ptrs = ptrs;
}

static bool visit(struct frame *ret, struct ww_lb to, struct ww_lr from)
{
    if (to.ptrs == 0 || from.count == 0)
        return false;
    *ret = (struct frame){from.seg, from.data + from.data_bytes, to.seg, to.data + to.data_bytes, from.count,
        from.step, to.step, to.ptrs, 0, from.depth};
    return true;
}

/* The word that leads from `tag` to the object. */
static uint64_t offset_bits(const uint8_t *object, const uint8_t *tag)
{
    return ww_word_struct((object - tag) / 8 - 1, 0, 0);
}

/* Bytes of a list without pointers, and its bits: nothing is below them. `words` are in bounds and charged.
 */
static void copy_flat(struct ww_pb to, const uint8_t *from, unsigned elem, uint32_t count)
{
    struct ww_seg *seg;
    uint8_t *tag;
    uint64_t bits = (uint64_t)count * ww_elem_bits(elem), words = (bits + 63) / 64;
    uint8_t *at = ww_pb_place(to, words, words ? 1 : 0, &seg, &tag);
    if (!at)
        return;
    if (words)
        memcpy(at, from, (size_t)((bits + 7) / 8));
    else
        seg->floor = seg->used;
    if (bits % 8)
        at[bits / 8] &= (uint8_t)((1u << bits % 8) - 1);
    ww_store64_(tag, offset_bits(at, tag) | ww_word_list(0, elem, count));
}

/* Copies a list without what its pointers lead to. False when there is nothing below it to visit. */
static bool copy_list(struct ww_pb to, const struct ww_lr *from, enum ww_copy_mode mode, struct frame *ret)
{
    struct ww_lb l;
    if (from->elem == WW_ELEM_STRUCT) {
        uint32_t data_words = (from->data_bytes + 7) / 8;
        uint16_t ptrs = from->ptrs;
        if (mode == WW_COPY_CANONICAL)
            trim(*from, &data_words, &ptrs);
        l = ww_pb_init_structs_(to, (uint16_t)data_words, ptrs, from->count);
    } else if (from->elem != WW_ELEM_PTR && from->step == ww_elem_bits(from->elem) / 8) {
        copy_flat(to, from->data, from->elem, from->count);
        return false;
    } else {
        l = ww_pb_init_list(to, (enum ww_elem)from->elem, from->count);
    }
    if (!l.data)
        return false;
    copy_elements(l, *from);
    return visit(ret, l, *from);
}

static bool copy_struct(struct ww_pb to, const struct ww_sr *from, enum ww_copy_mode mode, struct frame *ret)
{
    struct ww_seg *seg;
    uint8_t *tag;
    uint32_t data_words = (from->data_bytes + 7) / 8;
    uint16_t ptrs = from->ptrs;
    if (mode == WW_COPY_CANONICAL)
        trim(ww_sr_as_list(*from), &data_words, &ptrs);
    uint32_t words = data_words + ptrs, bytes = data_words * 8;
    if (words == 0) {
        ww_store64_(to.at, WW_CAPNP_EMPTY_STRUCT);
        return false;
    }
    uint8_t *at = ww_pb_place(to, words, from->data_bytes % 8 ? words : ptrs, &seg, &tag);
    if (!at)
        return false;
    ww_store64_(tag, offset_bits(at, tag) | ww_word_struct(0, data_words, ptrs));
    memcpy(at, from->data, bytes < from->data_bytes ? bytes : from->data_bytes);
    if (ptrs == 0)
        return false;
    *ret = (struct frame){
        from->seg, from->data + from->data_bytes, seg, at + bytes, 1, 0, 0, ptrs, 0, from->depth};
    return true;
}

/* An error in the source must not look like a good copy. */
static bool copy_failed(struct ww_msg *to, const struct ww_seg *from)
{
    ww_msg_fail(to, from->msg && from->msg->err < 0 ? from->msg->err : WW_EMALFORMED);
    return false;
}

static void copy_cap(
    struct ww_pb to, const struct ww_seg *seg, const struct ww_target *t, enum ww_copy_mode mode)
{
    struct ww_msg *m = seg->msg;
    uint32_t index = (uint32_t)(t->word >> 32);
    if (mode == WW_COPY_CANONICAL)
        ww_msg_fail(to.seg->msg, WW_EINVAL);
    else if ((uint32_t)t->word != WW_TAG_OTHER || !m || index >= m->cap_count)
        ww_msg_fail(to.seg->msg, WW_EMALFORMED);
    else
        ww_pb_set_cap(to, m->caps[index]);
}

/* What a pointer leads to, without what is below that. `to` is null. */
static bool copy_word(struct ww_pb to, const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth,
    enum ww_copy_mode mode, struct frame *ret)
{
    struct ww_target t;
    struct ww_sr s;
    struct ww_lr l;
    if (!ww_target_resolve(seg, at, w, &t))
        return copy_failed(to.seg->msg, seg);
    switch (ww_word_tag(t.word)) {
    case WW_TAG_STRUCT:
        if (!ww_target_struct(seg, &t, depth, &s))
            return copy_failed(to.seg->msg, seg);
        return copy_struct(to, &s, mode, ret);
    case WW_TAG_LIST:
        if (!ww_target_list(seg, &t, depth, &l))
            return copy_failed(to.seg->msg, seg);
        return copy_list(to, &l, mode, ret);
    default:
        copy_cap(to, seg, &t, mode);
        return false;
    }
}

/* Runs a copy to its end, from the frame of its first object. */
static void copy_below(struct ww_msg *m, const struct frame *first, enum ww_copy_mode mode)
{
    struct frame stack[WW_CAPNP_DEPTH_MAX];
    struct frame *f = stack;
    *f = *first;
    while (m->err == 0) {
        if (f->next == f->ptrs) {
            f->next = 0;
            f->from += f->from_step;
            f->to += f->to_step;
            if (--f->elems == 0) {
                if (f == stack)
                    return;
                f--;
            }
            continue;
        }
        const uint8_t *at = f->from + (size_t)f->next * 8;
        struct ww_pb to = {f->to_seg, f->to + (size_t)f->next * 8};
        f->next++;
        uint64_t w = ww_load64_(at);
        if (w == 0)
            continue;
        if (f == &stack[WW_CAPNP_DEPTH_MAX - 1])
            ww_msg_fail(m, WW_EDEPTH);
        else if (copy_word(to, f->from_seg, at, w, f->depth, mode, f + 1))
            f++;
    }
}

void ww_copy_tree(struct ww_pb to, const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth,
    enum ww_copy_mode mode)
{
    struct frame first;
    if (w != 0 && copy_word(to, seg, at, w, depth, mode, &first))
        copy_below(to.seg->msg, &first, mode);
}

/* ---- setters. What the pointer led to goes last: the source may lie in there. */

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

bool ww_pb_copy_word(struct ww_pb p, const struct ww_seg *from_seg, const uint8_t *from, uint64_t w)
{
    ww_copy_tree(p, from_seg, from, w, WW_CAPNP_DEPTH_MAX, WW_COPY_PLAIN);
    return p.seg->msg->err == 0;
}

void ww_pb_set(struct ww_pb p, struct ww_pr from)
{
    if (!p.at || p.at == from.at)
        return;
    uint64_t old = take_old(p);
    ww_copy_tree(p, from.seg, from.at, ww_load64_(from.at), from.depth, WW_COPY_PLAIN);
    drop_old(p, old);
}

void ww_pb_set_struct(struct ww_pb p, struct ww_sr from)
{
    struct frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_struct(p, &from, WW_COPY_PLAIN, &first))
        copy_below(p.seg->msg, &first, WW_COPY_PLAIN);
    drop_old(p, old);
}

void ww_pb_set_list(struct ww_pb p, struct ww_lr from)
{
    struct frame first;
    if (!p.at)
        return;
    uint64_t old = take_old(p);
    if (copy_list(p, &from, WW_COPY_PLAIN, &first))
        copy_below(p.seg->msg, &first, WW_COPY_PLAIN);
    drop_old(p, old);
}

void ww_pb_set_structs(struct ww_pb p, struct ww_lr from)
{
    if (from.elem == WW_ELEM_BIT && from.count > 0) {
        if (p.at)
            ww_msg_fail(p.seg->msg, WW_EMALFORMED);
        return;
    }
    from.elem = WW_ELEM_STRUCT;
    ww_pb_set_list(p, from);
}

void ww_lb_copy(struct ww_lb to, uint32_t at, struct ww_lr from)
{
    if (to.elem == WW_ELEM_BIT) {
        for (uint32_t i = 0; i < from.count; i++)
            ww_lb_set_bool(to, at + i, ww_lr_bool(from, i));
        return;
    }
    struct frame first;
    to.data += (size_t)at * to.step;
    copy_elements(to, from);
    to.ptrs = to.ptrs < from.ptrs ? to.ptrs : from.ptrs;
    if (visit(&first, to, from))
        copy_below(to.seg->msg, &first, WW_COPY_PLAIN);
}
