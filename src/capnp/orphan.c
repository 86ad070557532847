/* capnp/orphan.c — objects that no pointer leads to: made on their own, taken from a pointer, cut, joined.
 *
 * An orphan is the pointer word that would lead to its object from the word before it, so everything that can
 * follow a pointer can follow an orphan. Landing pads are resolved, and zeroed, when an object is taken. */
#include "capnp/ptr.h"

static const struct ww_orphan nothing;

static struct ww_orphan orphan_at(struct ww_seg *seg, uint8_t *object, uint64_t shape)
{
    struct ww_orphan o = {seg, object - 8, shape};
    return o;
}

/* The segment that a new object goes to first. */
static struct ww_seg *last_seg(struct ww_msg *m)
{
    if (!ww_msg_root_builder(m).at)
        return NULL;
    return ww_msg_seg_at(m, m->seg_count - 1);
}

/* ---- new objects */

struct ww_orphan ww_orphan_struct(struct ww_msg *m, uint16_t data_words, uint16_t ptrs)
{
    struct ww_seg *seg = last_seg(m);
    uint64_t words = (uint64_t)data_words + ptrs;
    if (!seg)
        return nothing;
    if (words == 0)
        return orphan_at(seg, seg->data + 8, WW_CAPNP_EMPTY_STRUCT);
    uint8_t *at = ww_seg_alloc(&seg, words, words);
    return at ? orphan_at(seg, at, ww_word_struct(0, data_words, ptrs)) : nothing;
}

/* `clear`: the words to zero, at the end. */
static struct ww_orphan new_list(struct ww_msg *m, enum ww_elem elem, uint64_t count, uint64_t clear)
{
    struct ww_seg *seg = last_seg(m);
    if (!seg)
        return nothing;
    if (count > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(m, WW_ELIMIT), nothing;
    uint64_t words = ww_list_words(elem, count);
    uint8_t *at = ww_seg_alloc(&seg, words, clear < words ? clear : words);
    if (at && words == 0)
        seg->floor = seg->used;
    return at ? orphan_at(seg, at, ww_word_list(0, elem, (uint32_t)count)) : nothing;
}

struct ww_orphan ww_orphan_list(struct ww_msg *m, enum ww_elem elem, uint32_t count)
{
    WW_ASSERT(elem != WW_ELEM_STRUCT);
    return new_list(m, elem, count, UINT64_MAX);
}

struct ww_orphan ww_orphan_structs(struct ww_msg *m, uint16_t data_words, uint16_t ptrs, uint32_t count)
{
    struct ww_seg *seg = last_seg(m);
    uint64_t words = (uint64_t)count * ((uint32_t)data_words + ptrs);
    if (!seg)
        return nothing;
    if (count > WW_CAPNP_COUNT_MAX || words > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(m, WW_ELIMIT), nothing;
    uint8_t *at = ww_seg_alloc(&seg, words + 1, words);
    if (!at)
        return nothing;
    ww_store64_(at, ww_word_struct((int64_t)count, data_words, ptrs));
    return orphan_at(seg, at, ww_word_list(0, WW_ELEM_STRUCT, (uint32_t)words));
}

static struct ww_orphan new_bytes(struct ww_msg *m, struct ww_bytes from, uint64_t terminator)
{
    if (!from.ptr)
        return nothing;
    struct ww_orphan o = new_list(m, WW_ELEM_BYTE, (uint64_t)from.len + terminator, 1);
    if (o.word != 0 && from.len)
        memcpy(o.at + 8, from.ptr, from.len);
    if (o.word != 0 && terminator)
        o.at[8 + from.len] = 0;
    return o;
}

struct ww_orphan ww_orphan_text(struct ww_msg *m, struct ww_bytes text)
{
    return new_bytes(m, text, 1);
}

struct ww_orphan ww_orphan_data(struct ww_msg *m, struct ww_bytes data)
{
    return new_bytes(m, data, 0);
}

struct ww_orphan ww_orphan_cap(struct ww_msg *m, struct ww_cap *cap)
{
    struct ww_seg *seg = cap ? last_seg(m) : NULL;
    uint32_t index = seg ? ww_msg_cap_add(m, cap) : UINT32_MAX;
    if (index == UINT32_MAX)
        return nothing;
    return orphan_at(seg, seg->data + 8, ww_word_cap(index));
}

/* ---- pointers */

struct ww_orphan ww_pb_disown(struct ww_pb p)
{
    struct ww_target t;
    uint64_t w = p.at ? ww_load64_(p.at) : 0;
    if (w == 0 || !ww_target_resolve(p.seg, p.at, w, &t))
        return nothing;
    ww_store64_(p.at, 0);
    ww_pads_clear(p.seg, w);
    struct ww_seg *seg = (struct ww_seg *)t.seg;
    if (ww_word_tag(t.word) == WW_TAG_OTHER || t.word == WW_CAPNP_EMPTY_STRUCT)
        return orphan_at(seg, seg->data + 8, t.word);
    return orphan_at(seg, seg->data + t.pos * 8, ww_word_shape(t.word));
}

void ww_orphan_drop(struct ww_orphan *o)
{
    if (o->word != 0)
        ww_ptr_wipe(o->seg, o->at, o->word);
    *o = nothing;
}

void ww_pb_adopt(struct ww_pb p, struct ww_orphan *o)
{
    if (!p.at)
        return;
    uint64_t old = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    bool same = o->word == 0 || p.seg->msg == o->seg->msg;
    bool good = o->word == 0 ||
        (same ? ww_pb_transfer(p, o->seg, o->at, o->word) : ww_pb_copy_word(p, o->seg, o->at, o->word));
    if (!good) {
        ww_pb_clear(p);
        ww_store64_(p.at, old);
        return;
    }
    if (!same)
        ww_orphan_drop(o);
    *o = nothing;
    if (old != 0)
        ww_ptr_wipe(p.seg, p.at, old);
}

struct ww_orphan ww_orphan_copy(struct ww_msg *m, struct ww_pr from)
{
    /* Built below a pointer of its own, since a copy is made top down. */
    struct ww_orphan box = ww_orphan_struct(m, 0, 1);
    if (box.word == 0)
        return nothing;
    struct ww_pb p = {box.seg, box.at + 8};
    ww_pb_set(p, from);
    return ww_pb_disown(p);
}

/* ---- the object as a builder */

/* Runs a builder function that wants a pointer; the orphan is whatever is there afterwards. */
static struct ww_pb lend(struct ww_orphan *o, struct ww_orphan *ret_box)
{
    struct ww_pb p = {o->seg, NULL};
    *ret_box = o->word ? ww_orphan_struct(o->seg->msg, 0, 1) : nothing;
    if (ret_box->word == 0)
        return p;
    p.seg = ret_box->seg;
    p.at = ret_box->at + 8;
    ww_pb_adopt(p, o);
    return p;
}

struct ww_sb ww_orphan_as_struct(struct ww_orphan *o, uint16_t data_words, uint16_t ptrs)
{
    struct ww_sb none = {o->seg, NULL, 0, 0};
    if (o->word == 0)
        return none;
    struct ww_sr s = ww_word_read_struct(o->seg, o->at, o->word, 1);
    bool is_struct = ww_word_tag(o->word) == WW_TAG_STRUCT;
    if (!is_struct || (s.data_bytes / 8 >= data_words && s.ptrs >= ptrs)) {
        struct ww_sb b = {o->seg, (uint8_t *)s.data, s.data_bytes, s.ptrs};
        return is_struct ? b : none;
    }
    struct ww_orphan box;
    struct ww_pb p = lend(o, &box);
    if (!p.at)
        return none;
    struct ww_sb b = ww_pb_struct(p, data_words, ptrs);
    *o = ww_pb_disown(p);
    return b;
}

struct ww_lb ww_orphan_as_list(struct ww_orphan *o, enum ww_elem elem)
{
    struct ww_lr l;
    struct ww_lb none = {o->seg, NULL, 0, 0, 0, 0, (uint8_t)elem};
    if (o->word == 0 || !ww_word_read_list(o->seg, o->at, o->word, 1, &l))
        return none;
    if (!ww_list_fits(&l, elem))
        return ww_msg_fail(o->seg->msg, WW_EMALFORMED), none;
    return ww_lr_as_builder(l);
}

struct ww_lb ww_orphan_as_structs(struct ww_orphan *o, uint16_t data_words, uint16_t ptrs)
{
    struct ww_orphan box;
    struct ww_lb l = ww_orphan_as_list(o, WW_ELEM_STRUCT);
    if (l.count == 0 || (l.elem == WW_ELEM_STRUCT && l.data_bytes / 8 >= data_words && l.ptrs >= ptrs))
        return l;
    struct ww_pb p = lend(o, &box);
    if (!p.at)
        return l;
    l = ww_pb_structs(p, data_words, ptrs);
    *o = ww_pb_disown(p);
    return l;
}

uint8_t *ww_orphan_as_data(struct ww_orphan *o, size_t *ret_len)
{
    struct ww_lb l = ww_orphan_as_list(o, WW_ELEM_BYTE);
    *ret_len = 0;
    if (!l.data || l.elem != WW_ELEM_BYTE)
        return NULL;
    *ret_len = l.count;
    return l.data;
}

uint8_t *ww_orphan_as_text(struct ww_orphan *o, size_t *ret_len)
{
    uint8_t *at = ww_orphan_as_data(o, ret_len);
    if (*ret_len == 0)
        return NULL;
    --*ret_len;
    return at;
}

/* ---- cutting and extending */

/* Zeroes the elements from `from` on and drops what their pointers led to. */
static void wipe_tail(struct ww_lb l, uint32_t from)
{
    for (uint32_t i = from; l.ptrs > 0 && i < l.count; i++) {
        for (uint32_t k = 0; k < l.ptrs; k++)
            ww_pb_clear(ww_sb_ptr(ww_lb_struct(l, i), k));
    }
    if (l.elem == WW_ELEM_BIT) {
        for (uint32_t i = from; i < l.count && i % 8 != 0; i++)
            ww_lb_set_bool(l, i, false);
        size_t first = ((size_t)from + 7) / 8, end = ((size_t)l.count + 7) / 8;
        if (first < end)
            memset(l.data + first, 0, end - first);
    } else if (l.count > from) {
        memset(l.data + (size_t)from * l.step, 0, (size_t)(l.count - from) * l.step);
    }
}

/* Words of the object with `count` elements, its tag included. */
static uint64_t words_of(const struct ww_lb *l, uint64_t count)
{
    return l->elem == WW_ELEM_STRUCT ? count * (l->step / 8) + 1 : ww_list_words(l->elem, count);
}

/* Changes the count of a list whose room fits. */
static void recount(struct ww_orphan *o, const struct ww_lb *l, uint32_t count)
{
    if (l->elem != WW_ELEM_STRUCT) {
        o->word = ww_word_list(0, l->elem, count);
        return;
    }
    ww_store64_(o->at + 8, ww_word_struct((int64_t)count, l->data_bytes / 8, l->ptrs));
    o->word = ww_word_list(0, WW_ELEM_STRUCT, (uint32_t)(count * (uint64_t)(l->step / 8)));
}

/* Moves the elements into a larger list of the same kind. */
static bool move_list(struct ww_orphan *o, const struct ww_lb *l, uint32_t count)
{
    struct ww_msg *m = o->seg->msg;
    struct ww_orphan bigger = l->elem == WW_ELEM_STRUCT
        ? ww_orphan_structs(m, (uint16_t)(l->data_bytes / 8), l->ptrs, count)
        : ww_orphan_list(m, (enum ww_elem)l->elem, count);
    if (bigger.word == 0)
        return false;
    struct ww_lb to = ww_orphan_as_list(&bigger, (enum ww_elem)l->elem);
    if (l->ptrs == 0)
        memcpy(to.data, l->data,
            l->elem == WW_ELEM_BIT ? ((size_t)l->count + 7) / 8 : (size_t)l->count * l->step);
    for (uint32_t i = 0; l->ptrs > 0 && i < l->count; i++)
        ww_struct_move(ww_lb_struct(to, i), ww_lb_struct(*l, i));
    ww_orphan_drop(o);
    *o = bigger;
    return true;
}

void ww_orphan_resize(struct ww_orphan *o, uint32_t count)
{
    struct ww_lr r;
    if (o->word == 0)
        return;
    struct ww_msg *m = o->seg->msg;
    if (ww_word_tag(o->word) != WW_TAG_LIST || !ww_word_read_list(o->seg, o->at, o->word, 1, &r)) {
        ww_msg_fail(m, WW_EINVAL);
        return;
    }
    struct ww_lb l = ww_lr_as_builder(r);
    uint64_t old_words = words_of(&l, l.count), words = words_of(&l, count);
    if (count > WW_CAPNP_COUNT_MAX || words > WW_CAPNP_COUNT_MAX) {
        ww_msg_fail(m, WW_ELIMIT);
        return;
    }
    if (count < l.count)
        wipe_tail(l, count);
    uint64_t pos = (uint64_t)(o->at + 8 - o->seg->data) / 8;
    bool is_last = pos + old_words == o->seg->used;
    if (is_last && words <= o->seg->capacity - pos) {
        if (words > old_words)
            memset(o->seg->data + (pos + old_words) * 8, 0, (size_t)(words - old_words) * 8);
        o->seg->used = pos + words > o->seg->floor ? (uint32_t)(pos + words) : o->seg->floor;
        recount(o, &l, count);
    } else if (words <= old_words) {
        recount(o, &l, count);
    } else {
        ww_ignore(move_list(o, &l, count) ? 0 : WW_ENOMEM); /* latched */
    }
}

void ww_orphan_resize_text(struct ww_orphan *o, uint32_t len)
{
    size_t old;
    uint8_t *at = ww_orphan_as_data(o, &old);
    if (!at || old == 0 || at[old - 1] != 0) {
        if (o->word != 0)
            ww_msg_fail(o->seg->msg, WW_EINVAL);
        return;
    }
    ww_orphan_resize(o, len == UINT32_MAX ? len : len + 1);
    at = ww_orphan_as_data(o, &old);
    if (at && old == (size_t)len + 1)
        at[len] = 0;
}

/* ---- joining */

struct ww_orphan ww_orphan_concat(
    struct ww_msg *m, enum ww_elem elem, const struct ww_lr *lists, size_t list_count)
{
    uint64_t count = 0;
    uint32_t data_words = 0;
    uint16_t ptrs = 0;
    for (size_t i = 0; i < list_count; i++) {
        const struct ww_lr *l = &lists[i];
        if (l->count > 0 && !ww_list_fits(l, elem))
            return ww_msg_fail(m, WW_EMALFORMED), nothing;
        count += l->count;
        data_words = data_words > (l->data_bytes + 7) / 8 ? data_words : (l->data_bytes + 7) / 8;
        ptrs = ptrs > l->ptrs ? ptrs : l->ptrs;
    }
    if (count > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(m, WW_ELIMIT), nothing;
    struct ww_orphan o = elem == WW_ELEM_STRUCT
        ? ww_orphan_structs(m, (uint16_t)data_words, ptrs, (uint32_t)count)
        : ww_orphan_list(m, elem, (uint32_t)count);
    struct ww_lb to = ww_orphan_as_list(&o, elem);
    uint32_t at = 0;
    for (size_t i = 0; to.data && i < list_count; i++) {
        ww_lb_copy(to, at, lists[i]);
        at += lists[i].count;
    }
    return o;
}
