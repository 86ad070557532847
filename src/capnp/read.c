/* capnp/read.c — following pointers of a message whose bytes nobody has vouched for. */
#include "capnp/ptr.h"

const uint8_t ww_capnp_null_[8] = {0};

static bool fail(const struct ww_seg *seg, ww_err err)
{
    ww_msg_fail(seg->msg, err);
    return false;
}

/* The words of a landing pad, or NULL. */
static const uint8_t *landing_pad(const struct ww_seg *seg, uint64_t w, const struct ww_seg **ret_seg)
{
    const struct ww_seg *pad_seg = seg->msg ? ww_msg_seg_at(seg->msg, (uint32_t)(w >> 32)) : NULL;
    uint32_t pos = (uint32_t)w >> 3;
    uint32_t words = w & 4 ? 2 : 1;
    if (!pad_seg || !ww_seg_holds(pad_seg, pos, words)) {
        fail(seg, WW_EBOUNDS);
        return NULL;
    }
    *ret_seg = pad_seg;
    return pad_seg->data + (size_t)pos * 8;
}

bool ww_ptr_follow(const struct ww_seg *seg, const uint8_t *at, uint64_t w, struct ww_target *ret)
{
    const struct ww_seg *pad_seg;
    const uint8_t *pad = landing_pad(seg, w, &pad_seg);
    if (!pad)
        return false;
    uint64_t first = ww_load64_(pad);
    if (!(w & 4)) {
        if (ww_word_tag(first) == WW_TAG_FAR)
            return fail(seg, WW_EMALFORMED);
        ret->seg = pad_seg;
        ret->pos = (pad - pad_seg->data) / 8 + 1 + ww_word_offset(first);
        ret->word = first;
        return true;
    }
    uint64_t tag = ww_load64_(pad + 8);
    if (ww_word_tag(first) != WW_TAG_FAR || ww_word_tag(tag) == WW_TAG_FAR)
        return fail(seg, WW_EMALFORMED);
    ret->seg = ww_msg_seg_at(seg->msg, (uint32_t)(first >> 32));
    if (!ret->seg)
        return fail(seg, WW_EBOUNDS);
    ret->pos = (uint32_t)first >> 3;
    ret->word = tag;
    return true;
}

struct ww_sr ww_read_struct_(const struct ww_seg *seg, const uint8_t *at, uint8_t depth)
{
    return ww_word_read_struct(seg, at, ww_load64_(at), depth);
}

/* The words of the object; NULL with a latched error. What has no words may be anywhere, as for the
 * reference. */
static const uint8_t *object_at(const struct ww_seg *seg, const struct ww_target *t, uint64_t words)
{
    if (words == 0)
        return ww_capnp_null_;
    if (WW_UNLIKELY(!ww_seg_holds(t->seg, t->pos, words)))
        return fail(seg, WW_EBOUNDS), NULL;
    return t->seg->data + t->pos * 8;
}

bool ww_target_struct(const struct ww_seg *seg, const struct ww_target *t, uint8_t depth, struct ww_sr *ret)
{
    if (WW_UNLIKELY(ww_word_tag(t->word) != WW_TAG_STRUCT))
        return fail(seg, WW_EMALFORMED);
    if (WW_UNLIKELY(depth == 0))
        return fail(seg, WW_EDEPTH);
    uint32_t data_words = ww_word_data_words(t->word);
    uint16_t ptrs = ww_word_ptrs(t->word);
    const uint8_t *data = object_at(seg, t, data_words + ptrs);
    if (!data || !ww_seg_charge(seg, data_words + ptrs))
        return false;
    *ret = (struct ww_sr){t->seg, data, data_words * 8, ptrs, (uint8_t)(depth - 1)};
    return true;
}

struct ww_sr ww_word_read_struct(const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth)
{
    struct ww_sr none = {seg, ww_capnp_null_, 0, 0, 0}, s;
    struct ww_target t;
    if (w == 0 || !ww_target_resolve(seg, at, w, &t))
        return none;
    return ww_target_struct(seg, &t, depth, &s) ? s : none;
}

/* A list of structs: its first word is a struct pointer with the element count in place of the offset. */
static bool struct_list(const struct ww_seg *seg, const struct ww_target *t, struct ww_lr *l)
{
    uint64_t words = ww_word_count(t->word);
    if (!ww_seg_holds(t->seg, t->pos, words + 1))
        return fail(seg, WW_EBOUNDS);
    const uint8_t *at = t->seg->data + t->pos * 8;
    uint64_t tag = ww_load64_(at);
    if (ww_word_tag(tag) != WW_TAG_STRUCT)
        return fail(seg, WW_EMALFORMED);
    uint32_t data_words = ww_word_data_words(tag), ptrs = ww_word_ptrs(tag);
    uint32_t count = (uint32_t)tag >> 2 & WW_CAPNP_COUNT_MAX; /* as the reference, which has 29 bits for it */
    if ((uint64_t)count * (data_words + ptrs) > words)
        return fail(seg, WW_EBOUNDS);
    /* An element without a size still costs its reader a step. */
    if (!ww_seg_charge(seg, words + 1 + (data_words + ptrs == 0 ? count : 0)))
        return false;
    l->data = at + 8;
    l->count = count;
    l->step = (data_words + ptrs) * 8;
    l->data_bytes = data_words * 8;
    l->ptrs = (uint16_t)ptrs;
    return true;
}

static bool flat_list(const struct ww_seg *seg, const struct ww_target *t, unsigned elem, struct ww_lr *l)
{
    uint32_t count = ww_word_count(t->word);
    uint64_t words = ww_list_words(elem, count);
    l->data = object_at(seg, t, words);
    if (!l->data || !ww_seg_charge(seg, elem == WW_ELEM_VOID ? count : words))
        return false;
    l->count = count;
    l->step = ww_elem_bits(elem) / 8;
    l->data_bytes = elem == WW_ELEM_PTR ? 0 : l->step;
    l->ptrs = elem == WW_ELEM_PTR;
    return true;
}

bool ww_target_list(const struct ww_seg *seg, const struct ww_target *t, uint8_t depth, struct ww_lr *l)
{
    if (ww_word_tag(t->word) != WW_TAG_LIST)
        return fail(seg, WW_EMALFORMED);
    if (depth == 0)
        return fail(seg, WW_EDEPTH);
    unsigned elem = ww_word_elem(t->word);
    l->seg = t->seg;
    l->elem = (uint8_t)elem;
    l->depth = (uint8_t)(depth - 1);
    return elem == WW_ELEM_STRUCT ? struct_list(seg, t, l) : flat_list(seg, t, elem, l);
}

bool ww_word_read_list(
    const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth, struct ww_lr *l)
{
    struct ww_target t;
    if (w == 0 || !ww_target_resolve(seg, at, w, &t))
        return false;
    return ww_target_list(seg, &t, depth, l);
}

bool ww_list_fits(const struct ww_lr *l, enum ww_elem want)
{
    if (l->elem == WW_ELEM_BIT || want == WW_ELEM_BIT)
        return l->elem == (unsigned)want;
    switch (want) {
    case WW_ELEM_VOID:
    case WW_ELEM_STRUCT:
        return true;
    case WW_ELEM_PTR:
        return l->ptrs > 0;
    default:
        return l->data_bytes >= ww_elem_bits(want) / 8;
    }
}

struct ww_lr ww_read_list_(const struct ww_seg *seg, const uint8_t *at, uint8_t depth, enum ww_elem want)
{
    struct ww_lr none = {seg, ww_capnp_null_, 0, 0, 0, 0, (uint8_t)want, 0};
    struct ww_lr l;
    if (!ww_word_read_list(seg, at, ww_load64_(at), depth, &l))
        return none;
    if (WW_UNLIKELY(!ww_list_fits(&l, want)))
        return fail(seg, WW_EMALFORMED), none;
    return l;
}

struct ww_lr ww_pr_list_any(struct ww_pr p)
{
    struct ww_lr none = {p.seg, ww_capnp_null_, 0, 0, 0, 0, WW_ELEM_VOID, 0};
    struct ww_lr l;
    return ww_word_read_list(p.seg, p.at, ww_load64_(p.at), p.depth, &l) ? l : none;
}

struct ww_bytes ww_read_blob_(const struct ww_seg *seg, const uint8_t *at, bool text)
{
    struct ww_bytes none = {ww_capnp_null_, 0};
    struct ww_target t;
    uint64_t w = ww_load64_(at);
    if (w == 0 || !ww_target_resolve(seg, at, w, &t))
        return none;
    if (ww_word_tag(t.word) != WW_TAG_LIST || ww_word_elem(t.word) != WW_ELEM_BYTE)
        return fail(seg, WW_EMALFORMED), none;
    uint32_t count = ww_word_count(t.word);
    uint32_t words = (uint32_t)ww_list_words(WW_ELEM_BYTE, count);
    struct ww_bytes b = {object_at(seg, &t, words), count};
    if (!b.ptr || !ww_seg_charge(seg, words))
        return none;
    if (!text)
        return b;
    if (count == 0 || b.ptr[count - 1] != 0)
        return fail(seg, WW_EMALFORMED), none;
    b.len--;
    return b;
}

struct ww_cap *ww_read_cap_(const struct ww_seg *seg, const uint8_t *at)
{
    struct ww_target t;
    uint64_t w = ww_load64_(at);
    if (w == 0 || !seg->msg || !ww_target_resolve(seg, at, w, &t))
        return NULL;
    uint32_t index = (uint32_t)(t.word >> 32);
    if ((uint32_t)t.word != WW_TAG_OTHER || index >= seg->msg->cap_count)
        return fail(seg, WW_EMALFORMED), NULL;
    return seg->msg->caps[index];
}

enum ww_ptr_kind ww_pr_kind(struct ww_pr p)
{
    struct ww_target t;
    uint64_t w = ww_load64_(p.at);
    if (w == 0)
        return WW_PTR_NULL;
    if (!ww_target_resolve(p.seg, p.at, w, &t))
        return WW_PTR_BAD;
    switch (ww_word_tag(t.word)) {
    case WW_TAG_STRUCT:
        return WW_PTR_STRUCT;
    case WW_TAG_LIST:
        return WW_PTR_LIST;
    default:
        if ((uint32_t)t.word == WW_TAG_OTHER)
            return WW_PTR_CAP;
        fail(p.seg, WW_EMALFORMED);
        return WW_PTR_BAD;
    }
}
