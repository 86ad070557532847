/* capnp/build.c — building in place. Objects never move: one that does not fit beside its pointer goes to
 * another segment with a landing pad in front of it. */
#include "capnp/ptr.h"

static const struct ww_sb no_struct;
static const struct ww_lb no_list;

static int64_t offset_of(const uint8_t *object, const uint8_t *tag)
{
    return (object - tag) / 8 - 1;
}

/* Makes the pointer null before it is set anew. */
static bool vacate(struct ww_pb p)
{
    if (WW_UNLIKELY(!p.at))
        return false;
    ww_pb_clear(p);
    return true;
}

struct ww_sb ww_pb_init_struct_(struct ww_pb p, uint16_t data_words, uint16_t ptrs)
{
    struct ww_seg *seg;
    uint8_t *tag;
    if (!vacate(p))
        return no_struct;
    uint32_t words = (uint32_t)data_words + ptrs;
    if (words == 0) {
        ww_store64_(p.at, WW_CAPNP_EMPTY_STRUCT);
        struct ww_sb empty = {p.seg, p.at, 0, 0};
        return empty;
    }
    uint8_t *at = ww_pb_place(p, words, words, &seg, &tag);
    if (!at)
        return no_struct;
    ww_store64_(tag, ww_word_struct(offset_of(at, tag), data_words, ptrs));
    struct ww_sb s = {seg, at, (uint32_t)data_words * 8, ptrs};
    return s;
}

/* Reads what a pointer of this builder leads to; builders are not charged. */
static struct ww_sr built_struct(struct ww_pb p)
{
    return ww_read_struct_(p.seg, p.at, 1);
}

static struct ww_sb as_builder(struct ww_sr s)
{
    struct ww_sb b = {(struct ww_seg *)s.seg, (uint8_t *)s.data, s.data_bytes, s.ptrs};
    return b;
}

void ww_struct_move(struct ww_sb to, struct ww_sb from)
{
    memcpy(to.data, from.data, from.data_bytes);
    for (uint32_t i = 0; i < from.ptrs; i++)
        ww_pb_move(ww_sb_ptr(to, i), ww_sb_ptr(from, i));
    memset(from.data, 0, from.data_bytes + (size_t)from.ptrs * 8);
}

struct ww_sb ww_pb_struct(struct ww_pb p, uint16_t data_words, uint16_t ptrs)
{
    if (ww_pb_is_null(p))
        return ww_pb_init_struct(p, data_words, ptrs);
    struct ww_sb old = as_builder(built_struct(p));
    if (ww_pr_kind(ww_pb_reader(p)) != WW_PTR_STRUCT)
        return no_struct;
    uint16_t old_words = (uint16_t)(old.data_bytes / 8);
    if (old_words >= data_words && old.ptrs >= ptrs)
        return old;
    uint64_t w = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    struct ww_sb s = ww_pb_init_struct(
        p, old_words > data_words ? old_words : data_words, old.ptrs > ptrs ? old.ptrs : ptrs);
    if (!s.data)
        return ww_store64_(p.at, w), no_struct;
    ww_struct_move(s, old);
    ww_pads_clear(p.seg, w);
    return s;
}

struct ww_lb ww_pb_init_list(struct ww_pb p, enum ww_elem elem, uint32_t count)
{
    struct ww_seg *seg;
    uint8_t *tag;
    WW_ASSERT(elem != WW_ELEM_STRUCT);
    if (!vacate(p))
        return no_list;
    if (count > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(p.seg->msg, WW_ELIMIT), no_list;
    uint64_t words = ww_list_words(elem, count);
    uint8_t *at = ww_pb_place(p, words, words, &seg, &tag);
    if (!at)
        return no_list;
    if (words == 0)
        seg->floor = seg->used;
    ww_store64_(tag, ww_word_list(offset_of(at, tag), elem, count));
    uint32_t step = ww_elem_bits(elem) / 8;
    bool is_ptr = elem == WW_ELEM_PTR;
    struct ww_lb l = {seg, at, count, step, is_ptr ? 0 : step, is_ptr, (uint8_t)elem};
    return l;
}

struct ww_lb ww_pb_init_structs_(struct ww_pb p, uint16_t data_words, uint16_t ptrs, uint32_t count)
{
    struct ww_seg *seg;
    uint8_t *tag;
    if (!vacate(p))
        return no_list;
    uint32_t each = (uint32_t)data_words + ptrs;
    uint64_t words = (uint64_t)count * each;
    if (count > WW_CAPNP_COUNT_MAX || words > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(p.seg->msg, WW_ELIMIT), no_list;
    uint8_t *at = ww_pb_place(p, words + 1, words, &seg, &tag);
    if (!at)
        return no_list;
    ww_store64_(tag, ww_word_list(offset_of(at, tag), WW_ELEM_STRUCT, (uint32_t)words));
    ww_store64_(at, ww_word_struct((int64_t)count, data_words, ptrs));
    struct ww_lb l = {seg, at + 8, count, each * 8, (uint32_t)data_words * 8, ptrs, WW_ELEM_STRUCT};
    return l;
}

struct ww_lb ww_pb_list(struct ww_pb p, enum ww_elem elem)
{
    if (ww_pb_is_null(p))
        return no_list;
    return ww_lr_as_builder(ww_read_list_(p.seg, p.at, 1, elem));
}

struct ww_lb ww_pb_structs(struct ww_pb p, uint16_t data_words, uint16_t ptrs)
{
    if (ww_pb_is_null(p))
        return no_list;
    struct ww_lb old = ww_lr_as_builder(ww_read_list_(p.seg, p.at, 1, WW_ELEM_STRUCT));
    uint32_t old_words = (old.data_bytes + 7) / 8;
    if (old.count == 0 ||
        (old.elem == WW_ELEM_STRUCT && old.data_bytes >= data_words * 8u && old.ptrs >= ptrs))
        return old;
    uint64_t w = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    struct ww_lb l = ww_pb_init_structs(p, (uint16_t)(old_words > data_words ? old_words : data_words),
        old.ptrs > ptrs ? old.ptrs : ptrs, old.count);
    if (!l.data)
        return ww_store64_(p.at, w), no_list;
    for (uint32_t i = 0; i < l.count; i++)
        ww_struct_move(ww_lb_struct(l, i), ww_lb_struct(old, i));
    if (old.elem == WW_ELEM_STRUCT)
        ww_store64_(old.data - 8, 0);
    ww_pads_clear(p.seg, w);
    return l;
}

/* Bytes that the caller is about to write: only the last word is cleared, for the padding. */
static uint8_t *init_bytes(struct ww_pb p, size_t count)
{
    struct ww_seg *seg;
    uint8_t *tag;
    if (count > WW_CAPNP_COUNT_MAX)
        return ww_msg_fail(p.seg->msg, WW_ELIMIT), NULL;
    uint64_t words = ww_list_words(WW_ELEM_BYTE, count);
    uint8_t *at = ww_pb_place(p, words, words ? 1 : 0, &seg, &tag);
    if (!at)
        return NULL;
    if (words == 0)
        seg->floor = seg->used;
    ww_store64_(tag, ww_word_list(offset_of(at, tag), WW_ELEM_BYTE, (uint32_t)count));
    return at;
}

uint8_t *ww_pb_init_text(struct ww_pb p, size_t len)
{
    uint8_t *at = vacate(p) && len < WW_CAPNP_COUNT_MAX ? init_bytes(p, len + 1) : NULL;
    if (at)
        at[len] = 0;
    else if (p.at)
        ww_msg_fail(p.seg->msg, WW_ELIMIT);
    return at;
}

uint8_t *ww_pb_init_data(struct ww_pb p, size_t len)
{
    return vacate(p) ? init_bytes(p, len) : NULL;
}

/* The bytes may lie in the very object that is replaced, so that goes last. */
void ww_pb_set_bytes_(struct ww_pb p, struct ww_bytes from, uint32_t terminator)
{
    if (!p.at)
        return;
    uint64_t old = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    if (from.ptr) {
        uint8_t *at = from.len < WW_CAPNP_COUNT_MAX ? init_bytes(p, from.len + terminator) : NULL;
        if (!at)
            ww_msg_fail(p.seg->msg, WW_ELIMIT);
        else if (from.len)
            memcpy(at, from.ptr, from.len);
        if (at && terminator)
            at[from.len] = 0;
    }
    if (WW_UNLIKELY(old != 0))
        ww_ptr_wipe(p.seg, p.at, old);
}

void ww_pb_set_cap(struct ww_pb p, struct ww_cap *cap)
{
    if (!p.at)
        return;
    uint64_t old = ww_load64_(p.at);
    ww_store64_(p.at, 0);
    if (cap) {
        uint32_t index = ww_msg_cap_add(p.seg->msg, cap);
        if (index != UINT32_MAX)
            ww_store64_(p.at, ww_word_cap(index));
    }
    if (old != 0)
        ww_ptr_wipe(p.seg, p.at, old);
}

bool ww_pb_transfer(struct ww_pb p, struct ww_seg *from_seg, const uint8_t *from, uint64_t w)
{
    /* Far pointers, capabilities and the empty struct read the same from anywhere. */
    if (ww_word_tag(w) >= WW_TAG_FAR || w == WW_CAPNP_EMPTY_STRUCT) {
        ww_store64_(p.at, w);
        return true;
    }
    int64_t pos = (from - from_seg->data) / 8 + 1 + ww_word_offset(w);
    const uint8_t *object = from_seg->data + pos * 8;
    uint64_t shape = ww_word_shape(w);
    if (p.seg == from_seg) {
        ww_store64_(p.at, shape | ww_word_struct(offset_of(object, p.at), 0, 0));
        return true;
    }
    struct ww_seg *pad_seg = from_seg;
    if (from_seg->used < from_seg->capacity) {
        uint8_t *pad = ww_seg_alloc(&pad_seg, 1, 0);
        if (!pad)
            return false;
        ww_store64_(pad, shape | ww_word_struct(offset_of(object, pad), 0, 0));
        ww_store64_(p.at, ww_word_far(false, (uint32_t)((pad - pad_seg->data) / 8), pad_seg->id));
        return true;
    }
    uint8_t *pad = ww_seg_alloc(&pad_seg, 2, 0);
    if (!pad)
        return false;
    ww_store64_(pad, ww_word_far(false, (uint32_t)pos, from_seg->id));
    ww_store64_(pad + 8, shape);
    ww_store64_(p.at, ww_word_far(true, (uint32_t)((pad - pad_seg->data) / 8), pad_seg->id));
    return true;
}

void ww_pb_move(struct ww_pb p, struct ww_pb from)
{
    if (!p.at || p.at == from.at)
        return;
    uint64_t old = ww_load64_(p.at), w = from.at ? ww_load64_(from.at) : 0;
    if (from.at && p.seg->msg != from.seg->msg) {
        ww_msg_fail(p.seg->msg, WW_EINVAL);
        return;
    }
    ww_store64_(p.at, 0);
    if (w != 0 && !ww_pb_transfer(p, from.seg, from.at, w)) {
        ww_store64_(p.at, old);
        return;
    }
    if (w != 0)
        ww_store64_(from.at, 0);
    /* What `p` led to goes last: `from` may lie in there. */
    if (old != 0)
        ww_ptr_wipe(p.seg, p.at, old);
}
