/* capnp/ptr.h — pointer words and bounds, shared by reader and builder.
 *
 * A pointer is resolved to an object (segment, word index, tag) with integer arithmetic; an address is only
 * formed after the index was found inside the segment.
 */
#ifndef WW_CAPNP_PTR_H
#define WW_CAPNP_PTR_H

#include "base/base.h"
#include "ww/capnp.h"

#define WW_CAPNP_DEPTH_MAX 64 /* explicit stacks have this many frames */
#define WW_CAPNP_COUNT_MAX ((UINT32_C(1) << 29) - 1)
#define WW_CAPNP_EMPTY_STRUCT UINT64_C(0x00000000fffffffc)

enum ww_ptr_tag { WW_TAG_STRUCT, WW_TAG_LIST, WW_TAG_FAR, WW_TAG_OTHER };

static inline unsigned ww_word_tag(uint64_t w)
{
    return (unsigned)(w & 3);
}

/* Signed words from the end of the pointer. */
static inline int64_t ww_word_offset(uint64_t w)
{
    return (int32_t)(uint32_t)w >> 2;
}

static inline uint16_t ww_word_data_words(uint64_t w)
{
    return (uint16_t)(w >> 32);
}

static inline uint16_t ww_word_ptrs(uint64_t w)
{
    return (uint16_t)(w >> 48);
}

static inline unsigned ww_word_elem(uint64_t w)
{
    return (unsigned)(w >> 32) & 7;
}

static inline uint32_t ww_word_count(uint64_t w)
{
    return (uint32_t)(w >> 35);
}

static inline uint64_t ww_word_struct(int64_t offset, uint32_t data_words, uint32_t ptrs)
{
    return (uint64_t)((uint32_t)offset << 2) | (uint64_t)data_words << 32 | (uint64_t)ptrs << 48;
}

static inline uint64_t ww_word_list(int64_t offset, unsigned elem, uint32_t count)
{
    return (uint64_t)((uint32_t)offset << 2) | WW_TAG_LIST | (uint64_t)elem << 32 | (uint64_t)count << 35;
}

static inline uint64_t ww_word_far(bool wide, uint32_t offset, uint32_t seg_id)
{
    return WW_TAG_FAR | (uint64_t)wide << 2 | (uint64_t)offset << 3 | (uint64_t)seg_id << 32;
}

static inline uint64_t ww_word_cap(uint32_t index)
{
    return WW_TAG_OTHER | (uint64_t)index << 32;
}

/* The word without its offset. */
static inline uint64_t ww_word_shape(uint64_t w)
{
    return w & ~UINT64_C(0xfffffffc);
}

/* Bits of one element of a list that is not of structs. */
static inline uint32_t ww_elem_bits(unsigned elem)
{
    static const uint8_t bits[8] = {0, 1, 8, 16, 32, 64, 64, 0};
    return bits[elem & 7];
}

static inline uint64_t ww_list_words(unsigned elem, uint64_t count)
{
    return (count * ww_elem_bits(elem) + 63) / 64;
}

/* Where a pointer leads after its landing pads. `pos` is not checked against the segment. A pad that is zero
 * is an empty struct, not null: so the reference reads it. */
struct ww_target {
    const struct ww_seg *seg;
    int64_t pos;
    uint64_t word;
};

/* False with a latched error when a landing pad is no such. `w` is the non-null word at `at`. */
bool ww_ptr_follow(const struct ww_seg *seg, const uint8_t *at, uint64_t w, struct ww_target *ret);

static inline bool ww_target_resolve(
    const struct ww_seg *seg, const uint8_t *at, uint64_t w, struct ww_target *ret)
{
    if (WW_UNLIKELY(ww_word_tag(w) == WW_TAG_FAR))
        return ww_ptr_follow(seg, at, w, ret);
    ret->seg = seg;
    ret->pos = (at - seg->data) / 8 + 1 + ww_word_offset(w);
    ret->word = w;
    return true;
}

/* What a resolved pointer leads to, checked and charged; `seg` is where the pointer is. False with a latched
 * error. The list is as it is on the wire. */
bool ww_target_struct(const struct ww_seg *seg, const struct ww_target *t, uint8_t depth, struct ww_sr *ret);
bool ww_target_list(const struct ww_seg *seg, const struct ww_target *t, uint8_t depth, struct ww_lr *ret);

/* The reader's accessors for a word `w` that is, or was, at `at`. */
struct ww_sr ww_word_read_struct(const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth);
bool ww_word_read_list(
    const struct ww_seg *seg, const uint8_t *at, uint64_t w, uint8_t depth, struct ww_lr *ret);

/* The upgrade rules: whether what is on the wire may be read as such elements. */
bool ww_list_fits(const struct ww_lr *l, enum ww_elem want);

static inline struct ww_lb ww_lr_as_builder(struct ww_lr l)
{
    struct ww_lb b = {
        (struct ww_seg *)l.seg, (uint8_t *)l.data, l.count, l.step, l.data_bytes, l.ptrs, l.elem};
    return b;
}

/* A struct as a list of one, for walks over trees. */
static inline struct ww_lr ww_sr_as_list(struct ww_sr s)
{
    struct ww_lr l = {s.seg, s.data, 1, 0, s.data_bytes, s.ptrs, WW_ELEM_STRUCT, s.depth};
    return l;
}

static inline bool ww_seg_holds(const struct ww_seg *seg, int64_t pos, uint64_t words)
{
    return pos >= 0 && pos <= (int64_t)seg->used && words <= (uint64_t)((int64_t)seg->used - pos);
}

static inline struct ww_seg *ww_msg_seg_at(struct ww_msg *m, uint32_t id)
{
    if (id >= m->seg_count)
        return NULL;
    return id == 0 ? &m->seg0 : m->more[id - 1];
}

/* msg.c: memory of the message's own, at least so large; and opening a frame in place, of an empty message.
 */
ww_err ww_msg_mem_reserve(struct ww_msg *m, size_t bytes);
ww_err ww_msg_open_frame(struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim);

/* Takes the words of an object from the traversal budget. */
static inline bool ww_seg_charge(const struct ww_seg *seg, uint64_t words)
{
    struct ww_msg *m = seg->msg;
    if (!m)
        return true;
    if (WW_UNLIKELY(words > m->budget)) {
        m->budget = 0;
        ww_msg_fail(m, WW_ETRAVERSAL);
        return false;
    }
    m->budget -= words;
    return true;
}

/* ---- parts of the builder (build.c, copy.c, wipe.c) */

/* Makes the null pointer at `p` lead to what the word `w`, taken from `from`, led to, in the same message.
 * False with a latched error when there is no room for a landing pad. */
bool ww_pb_transfer(struct ww_pb p, struct ww_seg *from_seg, const uint8_t *from, uint64_t w);
/* The same as a deep copy, also from another message. False with a latched error. */
bool ww_pb_copy_word(struct ww_pb p, const struct ww_seg *from_seg, const uint8_t *from, uint64_t w);
/* Zeroes what the word `w`, taken from `at`, leads to and drops the capabilities in there. */
void ww_ptr_wipe(struct ww_seg *seg, const uint8_t *at, uint64_t w);
/* Zeroes the landing pads behind a far pointer. */
void ww_pads_clear(struct ww_seg *seg, uint64_t w);
/* Moves the content of a struct into one at least as large, and leaves zeroes behind. */
void ww_struct_move(struct ww_sb to, struct ww_sb from);
/* Copies all elements of `from` to `to`, from element `at` on. */
void ww_lb_copy(struct ww_lb to, uint32_t at, struct ww_lr from);
/* As ww_seg_alloc, which has the common case inline. */
uint8_t *ww_seg_alloc_slow(struct ww_seg **io_seg, uint64_t words, uint64_t clear);

/* Structs are small: a call of memset would cost more than the stores. */
static inline void ww_words_clear(uint8_t *at, uint64_t words)
{
#if defined(__OPTIMIZE_SIZE__)
    memset(at, 0, (size_t)words * 8);
#else
    switch (words) {
    case 8:
        ww_store64_(at + 56, 0);
        __attribute__((fallthrough));
    case 7:
        ww_store64_(at + 48, 0);
        __attribute__((fallthrough));
    case 6:
        ww_store64_(at + 40, 0);
        __attribute__((fallthrough));
    case 5:
        ww_store64_(at + 32, 0);
        __attribute__((fallthrough));
    case 4:
        ww_store64_(at + 24, 0);
        __attribute__((fallthrough));
    case 3:
        ww_store64_(at + 16, 0);
        __attribute__((fallthrough));
    case 2:
        ww_store64_(at + 8, 0);
        __attribute__((fallthrough));
    case 1:
        ww_store64_(at, 0);
        __attribute__((fallthrough));
    case 0:
        break;
    default:
        memset(at, 0, (size_t)words * 8);
    }
#endif
}

/* The next words of a segment that has room; the last `clear` of them are zeroed. */
static inline uint8_t *ww_seg_take(struct ww_seg *seg, uint64_t words, uint64_t clear)
{
    uint8_t *at = seg->data + (size_t)seg->used * 8;
    seg->used += (uint32_t)words;
    ww_words_clear(at + (words - clear) * 8, clear);
    return at;
}

/* `words` words in *io_seg or, when that is full, in another segment, stored there. NULL with a latched
 * error. */
static inline uint8_t *ww_seg_alloc(struct ww_seg **io_seg, uint64_t words, uint64_t clear)
{
    if (!WW_CAPNP_SMALL && WW_LIKELY(words <= (*io_seg)->capacity - (*io_seg)->used))
        return ww_seg_take(*io_seg, words, clear);
    return ww_seg_alloc_slow(io_seg, words, clear);
}

/* Makes the null pointer at `p` lead to `words` new words, of which the last `clear` are zeroed, through a
 * landing pad where needed. Returns the words; in *ret_tag the place where the caller writes the tag, whose
 * offset is (object - *ret_tag) / 8 - 1; in *ret_seg their segment. NULL with a latched error. */
static inline uint8_t *ww_pb_place(
    struct ww_pb p, uint64_t words, uint64_t clear, struct ww_seg **ret_seg, uint8_t **ret_tag)
{
    struct ww_seg *seg = p.seg;
    bool fits = words <= seg->capacity - seg->used;
    *ret_tag = p.at;
    uint8_t *at = ww_seg_alloc(&seg, fits ? words : words + 1, clear);
    *ret_seg = seg;
    if (WW_LIKELY(fits) || !at)
        return at;
    ww_store64_(p.at, ww_word_far(false, (uint32_t)((at - seg->data) / 8), seg->id));
    *ret_tag = at;
    return at + 8;
}

#endif
