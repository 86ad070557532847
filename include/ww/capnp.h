/* ww/capnp.h — Cap'n Proto messages: read in place, build in place, frame, pack.
 *
 * The model. A `struct ww_msg` is a message: segments of words, and a table of capabilities beside them. It
 * is either built here (ww_msg_root_builder) or opened over received bytes (ww_msg_open), and both kinds are
 * read the same way. Everything inside a message is a view, passed by value and never freed, one to read and
 * one to build:
 *
 * - ww_pr, ww_pb: a pointer (the root, an AnyPointer field, a list element);
 * - ww_sr, ww_sb: a struct;
 * - ww_lr, ww_lb: a list.
 *
 * A view is valid until its message is reset, reopened or finished; a reader's bytes are the received bytes,
 * so these must live as long. The code generator wraps these in one type per schema struct, with named
 * accessors.
 *
 * Errors are sticky. Accessors are total: whatever the bytes are, they return a usable value, and malformed
 * input reads as the default while the message latches the first error. Builders never return NULL: when
 * memory or a limit is out, writes go nowhere and the message latches the error. Do the work, then check
 * ww_msg_err() once.
 *
 * Ownership. A message owns the memory that it allocates and one reference for each entry of its capability
 * table; capabilities handed out by getters are borrowed. A `struct ww_msg` must not be moved or copied:
 * views point into it.
 *
 * Text is a `struct ww_bytes` whose ptr[len] is 0. Text and Data of a null pointer are the empty view;
 * ww_pr_is_null tells null from empty. Offsets of scalars are in units of their own size, booleans in bits,
 * as in schema.capnp.
 *
 * Source: capnproto.org/encoding.html.
 */
#ifndef WW_CAPNP_H
#define WW_CAPNP_H

#include <string.h>

#include "ww/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Accessors that return views: a view that goes through memory costs more than the accessor. Code that is to
 * be small calls the functions behind them instead. */
#if defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define WW_CAPNP_INLINE static inline __attribute__((always_inline))
#define WW_CAPNP_SMALL 0
#else
#define WW_CAPNP_INLINE static inline
#define WW_CAPNP_SMALL 1
#endif

struct ww_cap; /* defined by ww/rpc.h; opaque here */
struct ww_msg;

/* How a message counts references to the capabilities in its table. */
struct ww_cap_ops {
    void (*ref)(struct ww_cap *cap);
    void (*unref)(struct ww_cap *cap);
};

/* What opening a message allows. NULL in calls means ww_msg_limits_default. */
struct ww_msg_limits {
    uint64_t words;     /* of the whole message, checked before anything is allocated */
    uint64_t traversal; /* words that readers may visit; 0: max(8 * size, 64 Ki), at most `words` */
    uint32_t segments;
    uint8_t depth; /* pointers from the root to the innermost object */
};
WW_API extern const struct ww_msg_limits ww_msg_limits_default; /* 8 Mi words, derived, 512, 64 */

/* A segment. `msg` NULL: a constant of generated code, trusted and never charged. */
struct ww_seg {
    struct ww_msg *msg;
    uint8_t *data;
    uint32_t used;     /* words that exist */
    uint32_t capacity; /* words that fit */
    uint32_t id;
    uint32_t floor; /* words that cutting the last object may not give back: empty objects point there */
};

struct ww_msg {
    struct ww_seg seg0;
    struct ww_seg **more; /* segments 1 and up */
    uint32_t seg_count;   /* 0: nothing built or opened yet */
    uint32_t more_capacity;
    ww_err err;
    bool reading;
    bool more_owned; /* the segments in `more` were allocated one by one, by the builder */
    uint8_t depth;
    uint64_t budget;    /* words that readers may still visit */
    uint64_t max_words; /* a builder's limit */
    uint32_t hint;      /* words of the first segment */
    uint32_t cap_count;
    uint32_t cap_capacity;
    struct ww_cap **caps;
    const struct ww_cap_ops *cap_ops;
    uint8_t *mem; /* of the first segment, or of an opened copy; kept over resets */
    size_t mem_bytes;
    bool mem_given;
    struct ww_seg *read_segs; /* segments 1 and up of an opened message */
};

struct ww_pr {
    const struct ww_seg *seg;
    const uint8_t *at; /* the pointer word, never NULL in a view made by this library */
    uint8_t depth;     /* pointers that may still be followed */
};

struct ww_sr {
    const struct ww_seg *seg;
    const uint8_t *data; /* data section; the pointer section follows it */
    uint32_t data_bytes;
    uint16_t ptrs;
    uint8_t depth;
};

struct ww_lr {
    const struct ww_seg *seg;
    const uint8_t *data; /* of element 0 */
    uint32_t count;
    uint32_t step;       /* bytes from element to element; 0 for void and bits */
    uint32_t data_bytes; /* of an element's data section */
    uint16_t ptrs;       /* of an element */
    uint8_t elem;        /* enum ww_elem, as on the wire */
    uint8_t depth;
};

struct ww_pb {
    struct ww_seg *seg;
    uint8_t *at; /* NULL: writes go nowhere */
};

struct ww_sb {
    struct ww_seg *seg;
    uint8_t *data;
    uint32_t data_bytes;
    uint16_t ptrs;
};

struct ww_lb {
    struct ww_seg *seg;
    uint8_t *data;
    uint32_t count;
    uint32_t step;
    uint32_t data_bytes;
    uint16_t ptrs;
    uint8_t elem;
};

/* Element sizes, numbered as on the wire. */
enum ww_elem {
    WW_ELEM_VOID = 0,
    WW_ELEM_BIT = 1,
    WW_ELEM_BYTE = 2,
    WW_ELEM_TWO = 3,
    WW_ELEM_FOUR = 4,
    WW_ELEM_EIGHT = 5,
    WW_ELEM_PTR = 6,
    WW_ELEM_STRUCT = 7,
};

enum ww_ptr_kind { WW_PTR_NULL, WW_PTR_STRUCT, WW_PTR_LIST, WW_PTR_CAP, WW_PTR_BAD };

/* ---- messages */

/* Ready to build or to open; allocates nothing. `cap_ops` may be NULL for messages that carry no
 * capabilities. */
WW_API void ww_msg_init(struct ww_msg *m, const struct ww_cap_ops *cap_ops);
/* The first segment is built in the caller's memory (any alignment, 8 bytes of it for the frame header; at
 * least 24 bytes); more segments come from the heap. */
WW_API void ww_msg_init_mem(struct ww_msg *m, const struct ww_cap_ops *cap_ops, void *mem, size_t bytes);
/* Drops content and capabilities, keeps the memory of the first segment: the steady state allocates nothing.
 * A message that needed more segments gets one larger first segment the next time. */
WW_API void ww_msg_reset(struct ww_msg *m);
WW_API void ww_msg_fini(struct ww_msg *m);
/* Size of the first segment in words, including the root pointer; before the first use after init or reset.
 */
WW_API void ww_msg_hint(struct ww_msg *m, uint32_t words);
/* The most words that may be built; 8 Mi without this call, 2^28 at most, and at least one, for the root
 * pointer. Stays over resets. */
WW_API void ww_msg_build_limit(struct ww_msg *m, uint64_t words);

static inline ww_err ww_msg_err(const struct ww_msg *m)
{
    return m->err;
}

/* Latches the first error. */
static inline void ww_msg_fail(struct ww_msg *m, ww_err err)
{
    if (m && m->err == 0)
        m->err = err;
}

/* Opens received bytes for reading, in place: `frame` is a whole message with its segment table
 * (ww_frame_check); trailing bytes are ignored. Drops what `m` held. On failure `m` is empty. */
WW_API WW_MUST_USE ww_err ww_msg_open(
    struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim);
/* The same over a copy that the message owns. */
WW_API WW_MUST_USE ww_err ww_msg_open_copy(
    struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim);
/* The same over segments without a table; each a multiple of 8 bytes. */
WW_API WW_MUST_USE ww_err ww_msg_open_segs(
    struct ww_msg *m, const struct ww_bytes *segs, size_t seg_count, const struct ww_msg_limits *lim);

/* As ww_msg_open for the first of several messages in one buffer; *io_frames then begins behind it. */
WW_API WW_MUST_USE ww_err ww_msg_open_next(
    struct ww_msg *m, struct ww_bytes *io_frames, const struct ww_msg_limits *lim);

/* A file mapped for reading. Open it as a message in place: only the pages that are read are loaded. Nobody
 * may write or cut the file meanwhile: use it for files that are replaced by renaming. */
struct ww_file_map {
    struct ww_bytes bytes;
};
/* WW_ENOTFOUND, WW_EDENIED, WW_ENOMEM, WW_EIO. Not in guests without mmap. */
WW_API WW_MUST_USE ww_err ww_file_map(struct ww_file_map *ret, const char *path);
WW_API void ww_file_unmap(struct ww_file_map *f);
/* The same over memory from ww_frame_in_take, in which the frame lies from the start: owned from now on, also
 * on failure. */
WW_API WW_MUST_USE ww_err ww_msg_open_take(
    struct ww_msg *m, uint8_t *mem, size_t mem_bytes, const struct ww_msg_limits *lim);
/* Moves what `from` holds to `to`, which must be fresh; `from` is fresh then. Views into `from` are dead.
 * Not for a message in the caller's memory. */
WW_API void ww_msg_move(struct ww_msg *to, struct ww_msg *from);

/* The root pointer. The builder's makes the first segment on first use. */
WW_API struct ww_pr ww_msg_root(struct ww_msg *m);
WW_API struct ww_pb ww_msg_root_builder(struct ww_msg *m);

static inline uint32_t ww_msg_seg_count(const struct ww_msg *m)
{
    return m->seg_count;
}

/* The used words of segment `id`; empty when there is none. */
WW_API struct ww_bytes ww_msg_seg(const struct ww_msg *m, uint32_t id);

/* ---- capability table: what capability pointers index */

static inline uint32_t ww_msg_cap_count(const struct ww_msg *m)
{
    return m->cap_count;
}

/* Borrowed; NULL out of range and for slots that were cleared. */
static inline struct ww_cap *ww_msg_cap(const struct ww_msg *m, uint32_t index)
{
    return index < m->cap_count ? m->caps[index] : NULL;
}

/* Appends one reference (NULL allowed) and returns its index; UINT32_MAX and a latched error when it cannot.
 */
WW_API uint32_t ww_msg_cap_add(struct ww_msg *m, struct ww_cap *cap);
/* Drops the table and makes `count` empty slots, for the caller to fill with references that the message then
 * owns. NULL with a latched error when memory is out; a valid pointer for 0. The slots stay put until the
 * next change. */
WW_API struct ww_cap **ww_msg_cap_slots(struct ww_msg *m, uint32_t count);

/* ---- frames: segment table and segments, as on a stream */

/* 0: `in` begins with a whole frame, of *ret_bytes bytes. WW_EAGAIN: at least *ret_bytes bytes are needed to
 * know more (exact once the table is there). Else the frame is refused; nothing depends on memory here. */
WW_API WW_MUST_USE ww_err ww_frame_check(
    struct ww_bytes in, const struct ww_msg_limits *lim, uint64_t *ret_bytes);

/* Bytes of the framed message; a message without a root is framed with a null one. */
WW_API size_t ww_msg_frame_bytes(struct ww_msg *m);
/* The frame as one view when the message was built here in one segment: no copy. Otherwise ptr is NULL. Valid
 * until the message changes. */
WW_API struct ww_bytes ww_msg_frame(struct ww_msg *m);
/* Writes exactly ww_msg_frame_bytes(m) bytes. */
WW_API void ww_msg_frame_write(struct ww_msg *m, uint8_t *out);
/* Segment table only; `out` holds ww_frame_table_bytes(m) bytes: followed by the segments it is a frame, for
 * writev. Of a message that has a root: ww_msg_seg_count is not 0. */
WW_API size_t ww_frame_table_bytes(const struct ww_msg *m);
WW_API void ww_frame_table_write(const struct ww_msg *m, uint8_t *out);

/* Cuts a stream into frames, whatever the pieces it arrives in. Memory grows with the bytes that came, never
 * with what a header claims. */
struct ww_frame_in {
    struct ww_msg_limits lim;
    bool packed;
    uint8_t unpack_state; /* between bytes of the packed stream */
    uint8_t unpack_tag;
    uint8_t unpack_bit;
    uint32_t unpack_run; /* words of the current run still to come */
    ww_err err;          /* a broken stream stays broken */
    uint8_t *mem;
    size_t len, capacity;
    uint64_t need; /* bytes of the frame as far as known */
};
WW_API void ww_frame_in_init(struct ww_frame_in *in, bool packed, const struct ww_msg_limits *lim);
WW_API void ww_frame_in_fini(struct ww_frame_in *in);
/* Consumes from the front of *chunk. 0: a whole frame, unpacked, is in *ret_frame, valid until the next call
 * and as long as the chunk's memory; call again with what is left of the chunk. WW_EAGAIN: the chunk is used
 * up. Else: the stream is broken for good. */
WW_API WW_MUST_USE ww_err ww_frame_in_feed(
    struct ww_frame_in *in, struct ww_bytes *chunk, struct ww_bytes *ret_frame);
/* The memory of the frame that was just returned, when it was put together here and not in the chunk: the
 * frame is then the caller's, who gives it to ww_msg_open_take. NULL otherwise. */
WW_API uint8_t *ww_frame_in_take(struct ww_frame_in *in, size_t *ret_bytes);
/* Memory to put the next frame together in, where that is needed. At a frame boundary; it is kept no longer
 * than for that frame. */
WW_API void ww_frame_in_mem_take(struct ww_frame_in *in, uint8_t *mem, size_t bytes);
/* Where to read the rest of a large frame to, directly: at most *ret_len bytes, which ww_frame_in_fill then
 * counts; the next ww_frame_in_feed goes on from there. False: feed chunks. */
WW_API bool ww_frame_in_room(struct ww_frame_in *in, uint8_t **ret_at, size_t *ret_len);
WW_API void ww_frame_in_fill(struct ww_frame_in *in, size_t n);
/* Gives memory back that is kept for the next frame. */
WW_API void ww_frame_in_trim(struct ww_frame_in *in);
/* True at a frame boundary, where an end of the stream is clean. */
WW_API bool ww_frame_in_idle(const struct ww_frame_in *in);

/* ---- packing */

/* The most bytes that `len` bytes can pack to. */
WW_API size_t ww_pack_bound(size_t len);
/* Packs whole words (len a multiple of 8); `out` holds ww_pack_bound(len) bytes. Returns the bytes written.
 * The result is byte for byte that of the reference implementation. */
WW_API size_t ww_pack(struct ww_bytes words, uint8_t *out);
/* Unpacks into exactly `out_len` bytes or fails. */
WW_API WW_MUST_USE ww_err ww_unpack(struct ww_bytes packed, uint8_t *out, size_t out_len);
/* The size that `packed` unpacks to; refuses more than `max_bytes`. */
WW_API WW_MUST_USE ww_err ww_unpacked_bytes(struct ww_bytes packed, uint64_t max_bytes, uint64_t *ret_bytes);
/* The framed message packed: table and segments are packed one by one, as peers expect. `out` holds
 * ww_msg_pack_bound(m) bytes. Returns the bytes written. */
WW_API size_t ww_msg_pack_bound(struct ww_msg *m);
WW_API size_t ww_msg_pack(struct ww_msg *m, uint8_t *out);
/* Opens one packed frame as a message that owns its unpacked bytes; no bytes may follow. */
WW_API WW_MUST_USE ww_err ww_msg_open_packed(
    struct ww_msg *m, struct ww_bytes packed, const struct ww_msg_limits *lim);

/* ---- whole trees */

/* What a copy of the object would take: its words, without a root pointer, and its capability pointers. */
struct ww_size {
    uint64_t words;
    uint32_t caps;
};
/* Walks the tree; charged to the budget as reading is, elements without a size too. Zeroes and a latched
 * error for what cannot be read. */
WW_API struct ww_size ww_pr_size(struct ww_pr p);
/* Value equality without a schema: missing and zero trailing fields are equal, capabilities compare by
 * identity. Latches an error on malformed input and then returns false. */
WW_API bool ww_pr_equal(struct ww_pr a, struct ww_pr b);
/* Canonical form of a struct or list (capnproto.org/encoding.html#canonicalization): one segment without a
 * table, to be hashed or signed. Replaces what `to` held; ww_msg_seg(to, 0) are the bytes. WW_EINVAL when
 * there are capabilities. */
WW_API WW_MUST_USE ww_err ww_msg_canonicalize(struct ww_msg *to, struct ww_pr from);
/* Also false when memory is out. */
WW_API bool ww_msg_is_canonical(struct ww_msg *m);

/* ---- loads and stores, little-endian at any alignment */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "ww/capnp.h: loads and stores assume a little-endian machine"
#endif

#define WW_CAPNP_SCALAR_(bits)                                                                               \
    static inline uint##bits##_t ww_load##bits##_(const uint8_t *p)                                          \
    {                                                                                                        \
        uint##bits##_t v;                                                                                    \
        memcpy(&v, p, sizeof v);                                                                             \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void ww_store##bits##_(uint8_t *p, uint##bits##_t v)                                       \
    {                                                                                                        \
        memcpy(p, &v, sizeof v);                                                                             \
    }
WW_CAPNP_SCALAR_(8)
WW_CAPNP_SCALAR_(16)
WW_CAPNP_SCALAR_(32)
WW_CAPNP_SCALAR_(64)
#undef WW_CAPNP_SCALAR_

static inline float ww_f32_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline double ww_f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t ww_f32_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline uint64_t ww_f64_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* A C string as Text or Data; NULL gives the null view. */
static inline struct ww_bytes ww_text(const char *str)
{
    struct ww_bytes b = {(const uint8_t *)str, str ? strlen(str) : 0};
    return b;
}

/* Text of this library as a C string. Never NULL. */
static inline const char *ww_cstr(struct ww_bytes text)
{
    return text.ptr ? (const char *)text.ptr : "";
}

/* ---- out-of-line parts of the accessors below */

WW_API extern const uint8_t ww_capnp_null_[8];
WW_API struct ww_sr ww_read_struct_(const struct ww_seg *seg, const uint8_t *at, uint8_t depth);
WW_API struct ww_lr ww_read_list_(
    const struct ww_seg *seg, const uint8_t *at, uint8_t depth, enum ww_elem want);
WW_API struct ww_bytes ww_read_blob_(const struct ww_seg *seg, const uint8_t *at, bool text);
WW_API struct ww_cap *ww_read_cap_(const struct ww_seg *seg, const uint8_t *at);

/* ---- pointer readers */

static inline bool ww_pr_is_null(struct ww_pr p)
{
    return ww_load64_(p.at) == 0;
}

/* What the pointer leads to; WW_PTR_BAD latches. Costs nothing of the budget. */
WW_API enum ww_ptr_kind ww_pr_kind(struct ww_pr p);

/* The object of `words` words behind the near pointer `w` at p.at, charged; NULL when that needs a closer
 * look: the common case, inline. */
WW_CAPNP_INLINE const uint8_t *ww_near_(struct ww_pr p, uint64_t w, uint32_t words)
{
    /* A negative position becomes a large one. */
    uint64_t pos = (uint64_t)(p.at - p.seg->data) / 8 + 1 + (uint64_t)(int64_t)((int32_t)(uint32_t)w >> 2);
    struct ww_msg *m = p.seg->msg;
    if (p.depth == 0 || !m || m->budget < words || pos > p.seg->used || words > p.seg->used - pos)
        return NULL;
    m->budget -= words;
    return p.seg->data + (size_t)pos * 8;
}

/* Null reads as the empty struct. */
WW_CAPNP_INLINE struct ww_sr ww_pr_struct(struct ww_pr p)
{
    if (WW_CAPNP_SMALL)
        return ww_read_struct_(p.seg, p.at, p.depth);
    struct ww_sr s = {p.seg, ww_capnp_null_, 0, 0, 0};
    uint64_t w = ww_load64_(p.at);
    if (w == 0)
        return s;
    uint32_t data_words = (uint16_t)(w >> 32), ptrs = (uint16_t)(w >> 48);
    const uint8_t *at = (w & 3) == 0 ? ww_near_(p, w, data_words + ptrs) : NULL;
    if (!at)
        return ww_read_struct_(p.seg, p.at, p.depth);
    s.data = at;
    s.data_bytes = data_words * 8;
    s.ptrs = (uint16_t)ptrs;
    s.depth = (uint8_t)(p.depth - 1);
    return s;
}

/* A list read as elements of kind `want`, under the upgrade rules; null reads as the empty list. */
WW_CAPNP_INLINE struct ww_lr ww_pr_list(struct ww_pr p, enum ww_elem want)
{
    if (WW_CAPNP_SMALL)
        return ww_read_list_(p.seg, p.at, p.depth, want);
    struct ww_lr l = {p.seg, ww_capnp_null_, 0, 0, 0, 0, (uint8_t)want, 0};
    uint64_t w = ww_load64_(p.at);
    uint32_t count = (uint32_t)(w >> 35);
    if (w == 0)
        return l;
    if ((w & 3) != 1 || (w >> 32 & 7) != (unsigned)want || want == WW_ELEM_VOID)
        return ww_read_list_(p.seg, p.at, p.depth, want);
    if (want == WW_ELEM_STRUCT) {
        const uint8_t *at = ww_near_(p, w, count + 1);
        if (!at)
            return ww_read_list_(p.seg, p.at, p.depth, want);
        uint64_t tag = ww_load64_(at);
        uint32_t each = (uint32_t)(uint16_t)(tag >> 32) + (uint16_t)(tag >> 48);
        uint32_t elems = (uint32_t)tag >> 2 & 0x1fffffff;
        if ((tag & 3) != 0 || each == 0 || (uint64_t)elems * each > count)
            return ww_read_list_(p.seg, p.at, p.depth, want);
        l.data = at + 8;
        l.count = elems;
        l.step = each * 8;
        l.data_bytes = (uint32_t)(uint16_t)(tag >> 32) * 8;
        l.ptrs = (uint16_t)(tag >> 48);
    } else {
        uint32_t bits = want == WW_ELEM_BIT ? 1 : want == WW_ELEM_PTR ? 64 : 2u << (unsigned)want;
        const uint8_t *at = ww_near_(p, w, (uint32_t)(((uint64_t)count * bits + 63) / 64));
        if (!at)
            return ww_read_list_(p.seg, p.at, p.depth, want);
        l.data = at;
        l.count = count;
        l.step = bits / 8;
        l.data_bytes = want == WW_ELEM_PTR ? 0 : bits / 8;
        l.ptrs = want == WW_ELEM_PTR;
    }
    l.depth = (uint8_t)(p.depth - 1);
    return l;
}

/* A list as it is, for tools that have no schema. */
WW_API struct ww_lr ww_pr_list_any(struct ww_pr p);

/* A list of bytes behind a near pointer, with at least `least` of them; ptr NULL otherwise. */
WW_CAPNP_INLINE struct ww_bytes ww_near_bytes_(struct ww_pr p, uint64_t w, uint32_t least)
{
    struct ww_bytes b = {NULL, (size_t)(w >> 35)};
    if ((w & 0x700000003) == 0x200000001 && b.len >= least)
        b.ptr = ww_near_(p, w, (uint32_t)(b.len + 7) / 8);
    return b;
}

WW_CAPNP_INLINE struct ww_bytes ww_pr_text(struct ww_pr p)
{
    if (WW_CAPNP_SMALL)
        return ww_read_blob_(p.seg, p.at, true);
    struct ww_bytes none = {ww_capnp_null_, 0};
    uint64_t w = ww_load64_(p.at);
    if (w == 0)
        return none;
    struct ww_bytes b = ww_near_bytes_(p, w, 1);
    if (!b.ptr || b.ptr[b.len - 1] != 0)
        return ww_read_blob_(p.seg, p.at, true);
    b.len--;
    return b;
}

WW_CAPNP_INLINE struct ww_bytes ww_pr_data(struct ww_pr p)
{
    if (WW_CAPNP_SMALL)
        return ww_read_blob_(p.seg, p.at, false);
    struct ww_bytes none = {ww_capnp_null_, 0};
    uint64_t w = ww_load64_(p.at);
    if (w == 0)
        return none;
    struct ww_bytes b = ww_near_bytes_(p, w, 0);
    return b.ptr ? b : ww_read_blob_(p.seg, p.at, false);
}

/* Borrowed from the message's table; NULL for null. */
static inline struct ww_cap *ww_pr_cap(struct ww_pr p)
{
    return ww_load64_(p.at) == 0 ? NULL : ww_read_cap_(p.seg, p.at);
}

/* The root of a constant word image (generated code). */
static inline struct ww_pr ww_pr_const(const struct ww_seg *seg)
{
    struct ww_pr p = {seg, seg->data, 64};
    return p;
}

/* `p`, or the root of the constant when `p` is null: defaults of pointer fields. */
static inline struct ww_pr ww_pr_or(struct ww_pr p, const struct ww_seg *deflt)
{
    return ww_load64_(p.at) == 0 ? ww_pr_const(deflt) : p;
}

/* ---- struct readers: a field that the sender did not have reads as zero bits */

#define WW_CAPNP_SR_(bits)                                                                                   \
    static inline uint##bits##_t ww_sr_u##bits(struct ww_sr s, uint32_t offset)                              \
    {                                                                                                        \
        return ((uint64_t)offset + 1) * (bits / 8) <= s.data_bytes                                           \
            ? ww_load##bits##_(s.data + (size_t)offset * (bits / 8))                                         \
            : 0;                                                                                             \
    }
WW_CAPNP_SR_(8)
WW_CAPNP_SR_(16)
WW_CAPNP_SR_(32)
WW_CAPNP_SR_(64)
#undef WW_CAPNP_SR_

static inline bool ww_sr_bool(struct ww_sr s, uint32_t offset)
{
    return offset / 8 < s.data_bytes && (s.data[offset / 8] >> (offset % 8) & 1);
}

static inline struct ww_pr ww_sr_ptr(struct ww_sr s, uint32_t index)
{
    struct ww_pr p = {s.seg, ww_capnp_null_, s.depth};
    if (index < s.ptrs)
        p.at = s.data + s.data_bytes + (size_t)index * 8;
    return p;
}

static inline bool ww_sr_has(struct ww_sr s, uint32_t index)
{
    return !ww_pr_is_null(ww_sr_ptr(s, index));
}

/* For a union's member: the pointer when the discriminant at `tag_offset` (16-bit units) is `tag`, else null.
 */
static inline struct ww_pr ww_sr_ptr_if(struct ww_sr s, uint32_t tag_offset, uint16_t tag, uint32_t index)
{
    return ww_sr_ptr(s, ww_sr_u16(s, tag_offset) == tag ? index : UINT32_MAX);
}

/* ---- list readers: out of range reads as zero bits */

#define WW_CAPNP_LR_(bits)                                                                                   \
    static inline uint##bits##_t ww_lr_u##bits(struct ww_lr l, uint32_t i)                                   \
    {                                                                                                        \
        return i < l.count && l.data_bytes >= bits / 8 ? ww_load##bits##_(l.data + (size_t)i * l.step) : 0;  \
    }
WW_CAPNP_LR_(8)
WW_CAPNP_LR_(16)
WW_CAPNP_LR_(32)
WW_CAPNP_LR_(64)
#undef WW_CAPNP_LR_

static inline bool ww_lr_bool(struct ww_lr l, uint32_t i)
{
    return i < l.count && l.elem == WW_ELEM_BIT && (l.data[i / 8] >> (i % 8) & 1);
}

static inline struct ww_sr ww_lr_struct(struct ww_lr l, uint32_t i)
{
    struct ww_sr s = {l.seg, ww_capnp_null_, 0, 0, 0};
    if (i < l.count) {
        s.data = l.data + (size_t)i * l.step;
        s.data_bytes = l.data_bytes;
        s.ptrs = l.ptrs;
        s.depth = l.depth;
    }
    return s;
}

static inline struct ww_pr ww_lr_ptr(struct ww_lr l, uint32_t i)
{
    struct ww_pr p = {l.seg, ww_capnp_null_, l.depth};
    if (i < l.count && l.ptrs > 0)
        p.at = l.data + (size_t)i * l.step + l.data_bytes;
    return p;
}

/* ---- pointer builders. Setting or initializing drops what the pointer led to. */

static inline struct ww_pr ww_pb_reader(struct ww_pb p)
{
    struct ww_pr r = {p.seg, p.at ? p.at : ww_capnp_null_, 64};
    return r;
}

static inline bool ww_pb_is_null(struct ww_pb p)
{
    return !p.at || ww_load64_(p.at) == 0;
}

WW_API struct ww_sb ww_pb_init_struct_(struct ww_pb p, uint16_t data_words, uint16_t ptrs);
WW_API struct ww_lb ww_pb_init_structs_(struct ww_pb p, uint16_t data_words, uint16_t ptrs, uint32_t count);
WW_API void ww_pb_set_bytes_(struct ww_pb p, struct ww_bytes from, uint32_t terminator);

/* The next `words` words of the segment when the pointer is null and they fit, with *ret_offset for it; else
 * NULL: the common case, inline. */
static inline uint8_t *ww_take_(struct ww_pb p, uint64_t words, uint64_t *ret_offset)
{
    if (!p.at || ww_load64_(p.at) != 0 || words > p.seg->capacity - p.seg->used)
        return NULL;
    uint8_t *at = p.seg->data + (size_t)p.seg->used * 8;
    *ret_offset = ((uint64_t)(at - p.at) / 8 - 1) << 2;
    p.seg->used += (uint32_t)words;
    return at;
}

/* A new struct of zero bits. */
WW_CAPNP_INLINE struct ww_sb ww_pb_init_struct(struct ww_pb p, uint16_t data_words, uint16_t ptrs)
{
    if (WW_CAPNP_SMALL)
        return ww_pb_init_struct_(p, data_words, ptrs);
    uint32_t words = (uint32_t)data_words + ptrs;
    uint64_t offset = 0;
    uint8_t *at = words == 0 || words > 32 ? NULL : ww_take_(p, words, &offset);
    if (!at)
        return ww_pb_init_struct_(p, data_words, ptrs);
    struct ww_sb s = {p.seg, at, (uint32_t)data_words * 8, ptrs};
    memset(at, 0, (size_t)words * 8);
    ww_store64_(p.at, offset | (uint64_t)data_words << 32 | (uint64_t)ptrs << 48);
    return s;
}

/* The struct that is there, enlarged when it is smaller than asked for; a new one when there is none. */
WW_API struct ww_sb ww_pb_struct(struct ww_pb p, uint16_t data_words, uint16_t ptrs);
/* A new list of zero elements; not for structs. */
WW_API struct ww_lb ww_pb_init_list(struct ww_pb p, enum ww_elem elem, uint32_t count);
WW_CAPNP_INLINE struct ww_lb ww_pb_init_structs(
    struct ww_pb p, uint16_t data_words, uint16_t ptrs, uint32_t count)
{
    if (WW_CAPNP_SMALL)
        return ww_pb_init_structs_(p, data_words, ptrs, count);
    uint32_t each = (uint32_t)data_words + ptrs;
    uint64_t words = (uint64_t)count * each, offset = 0;
    uint8_t *at =
        words >= (UINT32_C(1) << 29) || count >= (UINT32_C(1) << 29) ? NULL : ww_take_(p, words + 1, &offset);
    if (!at)
        return ww_pb_init_structs_(p, data_words, ptrs, count);
    struct ww_lb l = {p.seg, at + 8, count, each * 8, (uint32_t)data_words * 8, ptrs, WW_ELEM_STRUCT};
    ww_store64_(p.at, offset | 1 | (uint64_t)WW_ELEM_STRUCT << 32 | words << 35);
    ww_store64_(at, (uint64_t)count << 2 | (uint64_t)data_words << 32 | (uint64_t)ptrs << 48);
    memset(at + 8, 0, (size_t)words * 8);
    return l;
}
/* The list that is there, empty when there is none or its elements are no such. Struct lists are enlarged on
 * need. */
WW_API struct ww_lb ww_pb_list(struct ww_pb p, enum ww_elem elem);
WW_API struct ww_lb ww_pb_structs(struct ww_pb p, uint16_t data_words, uint16_t ptrs);
/* A NULL view sets a null pointer. Text is written with its terminator. */
static inline void ww_pb_set_text(struct ww_pb p, struct ww_bytes text)
{
    uint64_t offset = 0;
    uint8_t *at =
        WW_CAPNP_SMALL || !text.ptr || text.len > 256 ? NULL : ww_take_(p, text.len / 8 + 1, &offset);
    if (!at) {
        ww_pb_set_bytes_(p, text, 1);
        return;
    }
    ww_store64_(at + text.len / 8 * 8, 0);
    memcpy(at, text.ptr, text.len);
    ww_store64_(p.at, offset | 0x200000001 | (uint64_t)(text.len + 1) << 35);
}
static inline void ww_pb_set_data(struct ww_pb p, struct ww_bytes data)
{
    ww_pb_set_bytes_(p, data, 0);
}
/* Room for `len` bytes that the caller writes, all of them: they are not cleared (text: its terminator is).
 * NULL with a latched error when there is no room; `len` 0 gives a valid pointer. */
WW_API uint8_t *ww_pb_init_text(struct ww_pb p, size_t len);
WW_API uint8_t *ww_pb_init_data(struct ww_pb p, size_t len);
/* Takes its own reference; NULL sets a null pointer. */
WW_API void ww_pb_set_cap(struct ww_pb p, struct ww_cap *cap);
/* Deep copy, also between messages, also from this very message; capabilities get their own references. What
 * `p` lies in cannot be copied to `p`: that latches WW_EDEPTH (copy it to an orphan, then adopt that). */
WW_API void ww_pb_set(struct ww_pb p, struct ww_pr from);
WW_API void ww_pb_set_struct(struct ww_pb p, struct ww_sr from);
WW_API void ww_pb_set_list(struct ww_pb p, struct ww_lr from);
WW_API void ww_pb_wipe_(struct ww_pb p);

/* Makes the pointer null, zeroes what it led to and drops its capabilities. */
static inline void ww_pb_clear(struct ww_pb p)
{
    if (!ww_pb_is_null(p))
        ww_pb_wipe_(p);
}

/* Moves the object of `from` here without copying, leaving `from` null; both in one message. */
WW_API void ww_pb_move(struct ww_pb p, struct ww_pb from);
/* As ww_pb_set_list, for a list whose elements are known to be structs: always written as one of structs,
 * even when a very old sender wrote bare scalars or pointers. */
WW_API void ww_pb_set_structs(struct ww_pb p, struct ww_lr from);

/* ---- orphans: objects of a message that no pointer leads to yet, or any more
 *
 * An orphan belongs to its message and ends with it at the latest. It is one reference: adopt it, or drop it,
 * once; a struct that is all zeroes is an orphan of nothing. An orphan that is never adopted still takes its
 * words in the message, zeroed when it was dropped. */
struct ww_orphan {
    struct ww_seg *seg;
    uint8_t *at;   /* the word before the object */
    uint64_t word; /* what a pointer at `at` would hold; 0: nothing */
};

static inline bool ww_orphan_is_null(const struct ww_orphan *o)
{
    return o->word == 0;
}

/* New objects, of zero elements and bits; an orphan of nothing and a latched error when they cannot be made.
 * Text, data and copies of a null view or pointer are orphans of nothing. */
WW_API struct ww_orphan ww_orphan_struct(struct ww_msg *m, uint16_t data_words, uint16_t ptrs);
WW_API struct ww_orphan ww_orphan_list(struct ww_msg *m, enum ww_elem elem, uint32_t count);
WW_API struct ww_orphan ww_orphan_structs(
    struct ww_msg *m, uint16_t data_words, uint16_t ptrs, uint32_t count);
WW_API struct ww_orphan ww_orphan_text(struct ww_msg *m, struct ww_bytes text);
WW_API struct ww_orphan ww_orphan_data(struct ww_msg *m, struct ww_bytes data);
WW_API struct ww_orphan ww_orphan_cap(struct ww_msg *m, struct ww_cap *cap);
WW_API struct ww_orphan ww_orphan_copy(struct ww_msg *m, struct ww_pr from);
/* The elements of all lists, one after the other, copied. `elem` is what they are read as; structs get the
 * size of the largest. WW_EMALFORMED when a list has no such elements. */
WW_API struct ww_orphan ww_orphan_concat(
    struct ww_msg *m, enum ww_elem elem, const struct ww_lr *lists, size_t list_count);

/* Takes the object from the pointer, which becomes null; nothing is copied or lost. */
WW_API struct ww_orphan ww_pb_disown(struct ww_pb p);
/* Makes the pointer lead to the orphan, which becomes one of nothing; what the pointer led to is dropped.
 * From another message it is copied. When memory is out the orphan stays what it was. */
WW_API void ww_pb_adopt(struct ww_pb p, struct ww_orphan *o);
/* Zeroes the object and drops its capabilities. */
WW_API void ww_orphan_drop(struct ww_orphan *o);

/* The object as a builder; as ww_pb_struct, ww_pb_list and ww_pb_structs, enlarging may move it. */
WW_API struct ww_sb ww_orphan_as_struct(struct ww_orphan *o, uint16_t data_words, uint16_t ptrs);
WW_API struct ww_lb ww_orphan_as_list(struct ww_orphan *o, enum ww_elem elem);
WW_API struct ww_lb ww_orphan_as_structs(struct ww_orphan *o, uint16_t data_words, uint16_t ptrs);
/* The bytes of a Text or Data, to be written in place; NULL when it is none. */
WW_API uint8_t *ww_orphan_as_text(struct ww_orphan *o, size_t *ret_len);
WW_API uint8_t *ww_orphan_as_data(struct ww_orphan *o, size_t *ret_len);
/* Cuts or extends a list, text or data to `count` elements (for text: without its terminator). What is cut
 * off is dropped; what is new is zero. The last object of its segment gives back or takes room in place,
 * another one is moved when it grows. WW_EINVAL latched for other objects. */
WW_API void ww_orphan_resize(struct ww_orphan *o, uint32_t count);
WW_API void ww_orphan_resize_text(struct ww_orphan *o, uint32_t len);

/* ---- struct builders: a store outside the struct goes nowhere */

static inline struct ww_sr ww_sb_reader(struct ww_sb s)
{
    struct ww_sr r = {s.seg, s.data ? s.data : ww_capnp_null_, s.data_bytes, s.ptrs, 64};
    return r;
}

#define WW_CAPNP_SB_(bits)                                                                                   \
    static inline void ww_sb_set_u##bits(struct ww_sb s, uint32_t offset, uint##bits##_t v)                  \
    {                                                                                                        \
        if (((uint64_t)offset + 1) * (bits / 8) <= s.data_bytes)                                             \
            ww_store##bits##_(s.data + (size_t)offset * (bits / 8), v);                                      \
    }                                                                                                        \
    static inline uint##bits##_t ww_sb_u##bits(struct ww_sb s, uint32_t offset)                              \
    {                                                                                                        \
        return ((uint64_t)offset + 1) * (bits / 8) <= s.data_bytes                                           \
            ? ww_load##bits##_(s.data + (size_t)offset * (bits / 8))                                         \
            : 0;                                                                                             \
    }
WW_CAPNP_SB_(8)
WW_CAPNP_SB_(16)
WW_CAPNP_SB_(32)
WW_CAPNP_SB_(64)
#undef WW_CAPNP_SB_

static inline void ww_sb_set_bool(struct ww_sb s, uint32_t offset, bool v)
{
    if (offset / 8 < s.data_bytes) {
        uint8_t *byte = s.data + offset / 8;
        *byte = (uint8_t)((*byte & ~(1u << (offset % 8))) | ((unsigned)v << (offset % 8)));
    }
}

static inline bool ww_sb_bool(struct ww_sb s, uint32_t offset)
{
    return offset / 8 < s.data_bytes && (s.data[offset / 8] >> (offset % 8) & 1);
}

static inline struct ww_pb ww_sb_ptr(struct ww_sb s, uint32_t index)
{
    struct ww_pb p = {s.seg, NULL};
    if (index < s.ptrs)
        p.at = s.data + s.data_bytes + (size_t)index * 8;
    return p;
}

/* ---- list builders */

static inline struct ww_lr ww_lb_reader(struct ww_lb l)
{
    struct ww_lr r = {
        l.seg, l.data ? l.data : ww_capnp_null_, l.count, l.step, l.data_bytes, l.ptrs, l.elem, 64};
    return r;
}

#define WW_CAPNP_LB_(bits)                                                                                   \
    static inline void ww_lb_set_u##bits(struct ww_lb l, uint32_t i, uint##bits##_t v)                       \
    {                                                                                                        \
        if (i < l.count && l.data_bytes >= bits / 8)                                                         \
            ww_store##bits##_(l.data + (size_t)i * l.step, v);                                               \
    }
WW_CAPNP_LB_(8)
WW_CAPNP_LB_(16)
WW_CAPNP_LB_(32)
WW_CAPNP_LB_(64)
#undef WW_CAPNP_LB_

static inline void ww_lb_set_bool(struct ww_lb l, uint32_t i, bool v)
{
    if (i < l.count && l.elem == WW_ELEM_BIT) {
        uint8_t *byte = l.data + i / 8;
        *byte = (uint8_t)((*byte & ~(1u << (i % 8))) | ((unsigned)v << (i % 8)));
    }
}

static inline struct ww_sb ww_lb_struct(struct ww_lb l, uint32_t i)
{
    struct ww_sb s = {l.seg, NULL, 0, 0};
    if (i < l.count) {
        s.data = l.data + (size_t)i * l.step;
        s.data_bytes = l.data_bytes;
        s.ptrs = l.ptrs;
    }
    return s;
}

static inline struct ww_pb ww_lb_ptr(struct ww_lb l, uint32_t i)
{
    struct ww_pb p = {l.seg, NULL};
    if (i < l.count && l.ptrs > 0)
        p.at = l.data + (size_t)i * l.step + l.data_bytes;
    return p;
}

/* ---- shorthands for lists of blobs and floats */

static inline struct ww_bytes ww_lr_text(struct ww_lr l, uint32_t i)
{
    return ww_pr_text(ww_lr_ptr(l, i));
}

static inline struct ww_bytes ww_lr_data(struct ww_lr l, uint32_t i)
{
    return ww_pr_data(ww_lr_ptr(l, i));
}

static inline float ww_lr_f32(struct ww_lr l, uint32_t i)
{
    return ww_f32_of(ww_lr_u32(l, i));
}

static inline double ww_lr_f64(struct ww_lr l, uint32_t i)
{
    return ww_f64_of(ww_lr_u64(l, i));
}

static inline void ww_lb_set_text(struct ww_lb l, uint32_t i, struct ww_bytes text)
{
    ww_pb_set_text(ww_lb_ptr(l, i), text);
}

static inline void ww_lb_set_data(struct ww_lb l, uint32_t i, struct ww_bytes data)
{
    ww_pb_set_data(ww_lb_ptr(l, i), data);
}

static inline void ww_lb_set_f32(struct ww_lb l, uint32_t i, float v)
{
    ww_lb_set_u32(l, i, ww_f32_bits(v));
}

static inline void ww_lb_set_f64(struct ww_lb l, uint32_t i, double v)
{
    ww_lb_set_u64(l, i, ww_f64_bits(v));
}

/* ---- descriptions in generated code: of every node, for reflection, text and JSON (ww/schema.h) */

/* A node of a schema. `words` is its Node struct of schema.capnp as one segment without a table, root pointer
 * first, canonical and trusted; the display name in it has no directories. `deps` are the nodes that its
 * types, brands, superclasses and annotations name, without itself; those of a file's node are also all nodes
 * of the file. A node may appear in several objects of the program: each generated file brings copies of what
 * it imports. */
struct ww_capnp_node {
    uint64_t id;
    const char *name; /* as displayed: "file.capnp:Outer.Inner" */
    const uint64_t *words;
    uint32_t word_count;
    uint32_t dep_count;
    const struct ww_capnp_node *const *deps;
};

/* ---- descriptions of interfaces, in generated code: for tracing, policies and generic dispatch */

struct ww_capnp_method {
    const char *name;
    uint16_t params_data_words, params_ptrs;
    uint16_t results_data_words, results_ptrs;
    bool streaming;          /* declared `-> stream` */
    bool results_have_caps;  /* the results can hold capabilities, so pipelining on them makes sense */
    bool allow_cancellation; /* by annotation: a caller may cancel while the handler runs */
};

struct ww_capnp_interface {
    uint64_t id;
    const char *name;                                /* as in the schema */
    const struct ww_capnp_method *methods;           /* by ordinal */
    const struct ww_capnp_interface *const *extends; /* direct superclasses */
    uint16_t method_count, extends_count;
};

#ifdef __cplusplus
}
#endif
#endif
