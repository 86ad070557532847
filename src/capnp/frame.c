/* capnp/frame.c — segment tables: checking, writing, and cutting a stream into frames. */
#include "capnp/pack.h"
#include "capnp/ptr.h"

#define GROW_MIN 1024
#define KEEP_MAX (256 << 10)  /* bytes kept from one frame to the next */
#define DIRECT_MIN (64 << 10) /* a frame whose rest may be read to its place */

static uint64_t table_bytes(uint64_t seg_count)
{
    return (seg_count / 2 + 1) * 8;
}

ww_err ww_frame_check(struct ww_bytes in, const struct ww_msg_limits *lim, uint64_t *ret_bytes)
{
    lim = lim ? lim : &ww_msg_limits_default;
    if (in.len < 8) {
        *ret_bytes = 8;
        return WW_EAGAIN;
    }
    uint64_t count = (uint64_t)ww_load32_(in.ptr) + 1, words = ww_load32_(in.ptr + 4);
    if (count > lim->segments)
        return WW_ELIMIT;
    if (words == 0)
        return WW_EMALFORMED; /* no room for a root pointer: no implementation takes such a message */
    uint64_t table = table_bytes(count);
    if (in.len < table) {
        *ret_bytes = table;
        return WW_EAGAIN;
    }
    for (uint64_t i = 1; i < count; i++)
        words += ww_load32_(in.ptr + 4 + (size_t)i * 4);
    if (words > lim->words || words > SIZE_MAX / 16)
        return WW_ELIMIT;
    *ret_bytes = table + words * 8;
    return in.len < *ret_bytes ? WW_EAGAIN : 0;
}

/* ---- writing */

size_t ww_frame_table_bytes(const struct ww_msg *m)
{
    return (size_t)table_bytes(m->seg_count);
}

void ww_frame_table_write(const struct ww_msg *m, uint8_t *out)
{
    memset(out + ww_frame_table_bytes(m) - 4, 0, 4);
    ww_store32_(out, m->seg_count - 1);
    for (uint32_t i = 0; i < m->seg_count; i++)
        ww_store32_(out + 4 + (size_t)i * 4, (uint32_t)(ww_msg_seg(m, i).len / 8));
}

/* A message has at least a null root. False when there is no memory for that. */
static bool rooted(struct ww_msg *m)
{
    return m->seg_count > 0 || ww_msg_root_builder(m).at;
}

size_t ww_msg_frame_bytes(struct ww_msg *m)
{
    if (!rooted(m))
        return 0;
    size_t bytes = ww_frame_table_bytes(m);
    for (uint32_t i = 0; i < m->seg_count; i++)
        bytes += ww_msg_seg(m, i).len;
    return bytes;
}

struct ww_bytes ww_msg_frame(struct ww_msg *m)
{
    struct ww_bytes none = {NULL, 0};
    if (!rooted(m) || m->reading || m->seg_count != 1)
        return none;
    uint8_t *table = m->seg0.data - 8; /* the headroom of a first segment */
    ww_frame_table_write(m, table);
    return (struct ww_bytes){table, 8 + (size_t)m->seg0.used * 8};
}

void ww_msg_frame_write(struct ww_msg *m, uint8_t *out)
{
    if (!rooted(m))
        return;
    ww_frame_table_write(m, out);
    out += ww_frame_table_bytes(m);
    for (uint32_t i = 0; i < m->seg_count; i++) {
        struct ww_bytes seg = ww_msg_seg(m, i);
        if (seg.len)
            memcpy(out, seg.ptr, seg.len);
        out += seg.len;
    }
}

/* ---- cutting a stream */

void ww_frame_in_init(struct ww_frame_in *in, bool packed, const struct ww_msg_limits *lim)
{
    memset(in, 0, sizeof *in);
    in->lim = lim ? *lim : ww_msg_limits_default;
    in->packed = packed;
}

void ww_frame_in_fini(struct ww_frame_in *in)
{
    ww_free(in->mem);
    memset(in, 0, sizeof *in);
    in->err = WW_ESTATE;
}

bool ww_frame_in_idle(const struct ww_frame_in *in)
{
    return in->err == 0 && (in->need == 0 || (in->len == 0 && in->unpack_state == WW_UNPACK_TAG));
}

/* Room for at least one more word; grows with what has come, up to what the frame needs. */
static ww_err grow(struct ww_frame_in *in)
{
    if (in->capacity - in->len >= 8 || in->capacity >= in->need)
        return 0;
    size_t capacity = in->capacity < GROW_MIN / 2 ? GROW_MIN : in->capacity * 2;
    if (capacity > in->need && in->need > GROW_MIN)
        capacity = (size_t)in->need;
    uint8_t *mem = ww_realloc(in->mem, capacity);
    if (!mem)
        return WW_ENOMEM;
    in->mem = mem;
    in->capacity = capacity;
    return 0;
}

static void take_plain(struct ww_frame_in *in, struct ww_bytes *chunk, size_t room)
{
    size_t n = room < chunk->len ? room : chunk->len;
    memcpy(in->mem + in->len, chunk->ptr, n);
    in->len += n;
    *chunk = ww_bytes_skip(*chunk, n);
}

static void take_packed(struct ww_frame_in *in, struct ww_bytes *chunk, size_t room)
{
    struct ww_unpacker u = {.state = (enum ww_unpack_state)in->unpack_state,
        .tag = in->unpack_tag,
        .bit = in->unpack_bit,
        .run = in->unpack_run};
    in->len += ww_unpack_some(&u, chunk, in->mem + in->len, room);
    in->unpack_state = (uint8_t)u.state;
    in->unpack_tag = u.tag;
    in->unpack_bit = u.bit;
    in->unpack_run = u.run;
}

/* The count byte of the last packed word has not come yet. */
static bool count_pending(const struct ww_frame_in *in)
{
    return in->unpack_state == WW_UNPACK_ZERO_COUNT || in->unpack_state == WW_UNPACK_RAW_COUNT;
}

static ww_err finish(struct ww_frame_in *in, struct ww_bytes *ret_frame)
{
    if (in->unpack_state != WW_UNPACK_TAG)
        return WW_EMALFORMED; /* a run goes past the end of the message */
    *ret_frame = ww_bytes(in->mem, in->len);
    in->need = 0;
    return 0;
}

static ww_err feed(struct ww_frame_in *in, struct ww_bytes *chunk, struct ww_bytes *ret_frame)
{
    for (;;) {
        bool whole = false;
        if (in->len == in->need) {
            uint64_t need;
            ww_err err = ww_frame_check(ww_bytes(in->mem, in->len), &in->lim, &need);
            if (err < 0 && err != WW_EAGAIN)
                return err;
            whole = err == 0;
            in->need = need;
        }
        if (whole && !count_pending(in))
            return finish(in, ret_frame);
        if (chunk->len == 0 && in->unpack_state != WW_UNPACK_ZEROES)
            return WW_EAGAIN;
        WW_TRY(grow(in));
        size_t room = (size_t)in->need - in->len;
        if (room > in->capacity - in->len)
            room = in->capacity - in->len;
        if (in->packed)
            take_packed(in, chunk, room);
        else
            take_plain(in, chunk, room);
        if (whole)
            return finish(in, ret_frame);
    }
}

ww_err ww_frame_in_feed(struct ww_frame_in *in, struct ww_bytes *chunk, struct ww_bytes *ret_frame)
{
    if (in->err < 0)
        return in->err;
    if (in->need == 0) {
        uint64_t bytes;
        if (chunk->len == 0)
            return WW_EAGAIN;
        in->len = 0;
        in->need = 8;
        if (in->capacity > KEEP_MAX) {
            ww_free(in->mem);
            in->mem = NULL;
            in->capacity = 0;
        }
        if (!in->packed && ww_frame_check(*chunk, &in->lim, &bytes) == 0) {
            *ret_frame = ww_bytes(chunk->ptr, (size_t)bytes);
            *chunk = ww_bytes_skip(*chunk, (size_t)bytes);
            in->need = 0;
            return 0;
        }
    }
    ww_err err = feed(in, chunk, ret_frame);
    if (err < 0 && err != WW_EAGAIN)
        in->err = err;
    return err;
}

uint8_t *ww_frame_in_take(struct ww_frame_in *in, size_t *ret_bytes)
{
    if (in->need != 0 || in->len == 0)
        return NULL;
    uint8_t *mem = in->mem;
    *ret_bytes = in->capacity;
    in->mem = NULL;
    in->capacity = in->len = 0;
    return mem;
}

void ww_frame_in_mem_take(struct ww_frame_in *in, uint8_t *mem, size_t bytes)
{
    WW_ASSERT(in->need == 0);
    ww_free(in->mem);
    in->mem = mem;
    in->capacity = bytes & ~(size_t)7; /* unpacking writes whole words */
    in->len = 0;
}

bool ww_frame_in_room(struct ww_frame_in *in, uint8_t **ret_at, size_t *ret_len)
{
    if (in->err < 0 || in->packed || in->need < DIRECT_MIN || in->len >= in->need || grow(in) < 0)
        return false;
    size_t room = in->capacity - in->len, rest = (size_t)in->need - in->len;
    *ret_at = in->mem + in->len;
    *ret_len = room < rest ? room : rest;
    return true;
}

void ww_frame_in_fill(struct ww_frame_in *in, size_t n)
{
    WW_ASSERT(n <= in->capacity - in->len && n <= in->need - in->len);
    in->len += n;
}

void ww_frame_in_trim(struct ww_frame_in *in)
{
    if (in->need != 0 || !in->mem)
        return;
    ww_free(in->mem);
    in->mem = NULL;
    in->capacity = in->len = 0;
}
