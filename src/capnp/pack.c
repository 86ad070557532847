/* capnp/pack.c — packing: a tag byte a word says which of its bytes are not zero; runs of zero words and of
 * words that do not compress are counted. Source: capnproto.org/encoding.html#packing; the choice of runs is
 * the reference's, so that packed bytes compare equal. */
#include "capnp/pack.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define RUN_MAX 255

/* Bit i is set when byte i of the word is not zero. */
static inline unsigned word_tag(uint64_t w)
{
#if defined(__x86_64__)
    __m128i zeroes = _mm_cmpeq_epi8(_mm_cvtsi64_si128((long long)w), _mm_setzero_si128());
    return ((unsigned)_mm_movemask_epi8(zeroes) & 0xff) ^ 0xff;
#else
    const uint64_t low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t high = (((w & low7) + low7) | w) & ~low7;
    return (unsigned)(((high >> 7) * UINT64_C(0x0102040810204080)) >> 56);
#endif
}

size_t ww_pack_bound(size_t len)
{
    return len / 8 * 10 + 16; /* tag and count for each word at worst; the writer may touch 8 bytes more */
}

/* Writes the bytes of `w` that are not zero, and up to 8 bytes of rubbish behind them. */
static uint8_t *pack_bytes(uint64_t w, unsigned tag, uint8_t *out)
{
    for (int i = 0; i < 8; i++) {
        *out = (uint8_t)(w >> (8 * i));
        out += tag >> i & 1;
    }
    return out;
}

/* Words from `at` that are all zero, at most RUN_MAX. */
static size_t zero_run(const uint8_t *at, size_t words)
{
    size_t n = 0;
    while (n < words && n < RUN_MAX && ww_load64_(at + n * 8) == 0)
        n++;
    return n;
}

/* Words from `at` with fewer than two zero bytes, at most RUN_MAX. */
static size_t raw_run(const uint8_t *at, size_t words)
{
    size_t n = 0;
    while (n < words && n < RUN_MAX) {
        unsigned zeroes = word_tag(ww_load64_(at + n * 8)) ^ 0xff;
        if (zeroes & (zeroes - 1))
            break;
        n++;
    }
    return n;
}

/* `squeeze` writes one word. Inlined once for each way to do that. */
static inline __attribute__((always_inline)) size_t pack_with(
    struct ww_bytes words, uint8_t *out, uint8_t *(*squeeze)(uint64_t w, unsigned tag, uint8_t *out))
{
    const uint8_t *in = words.ptr;
    const uint8_t *start = out;
    size_t left = words.len / 8;
    while (left > 0) {
        uint64_t w = ww_load64_(in);
        unsigned tag = word_tag(w);
        in += 8;
        left--;
        *out++ = (uint8_t)tag;
        if (tag == 0) {
            size_t run = zero_run(in, left);
            *out++ = (uint8_t)run;
            in += run * 8;
            left -= run;
        } else if (tag == 0xff) {
            size_t run = raw_run(in, left);
            ww_store64_(out, w);
            out[8] = (uint8_t)run;
            memcpy(out + 9, in, run * 8);
            out += 9 + run * 8;
            in += run * 8;
            left -= run;
        } else {
            out = squeeze(w, tag, out);
        }
    }
    return (size_t)(out - start);
}

#if defined(__x86_64__)
/* Byte i is 0xff when bit i is set. */
static inline uint64_t tag_mask(unsigned tag)
{
    uint64_t bits = ((uint64_t)tag * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
    return (((bits + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7) & UINT64_C(0x0101010101010101)) * 255;
}

__attribute__((target("bmi2,popcnt"))) static inline uint8_t *squeeze_bmi2(
    uint64_t w, unsigned tag, uint8_t *out)
{
    ww_store64_(out, _pext_u64(w, tag_mask(tag)));
    return out + __builtin_popcount(tag);
}

__attribute__((target("bmi2,popcnt"))) static size_t pack_bmi2(struct ww_bytes words, uint8_t *out)
{
    return pack_with(words, out, squeeze_bmi2);
}

/* The bytes of one word behind their tag; 8 bytes of input are there. */
__attribute__((target("bmi2,popcnt"))) static inline unsigned spread_bmi2(
    const uint8_t *in, unsigned tag, uint8_t *out)
{
    ww_store64_(out, _pdep_u64(ww_load64_(in), tag_mask(tag)));
    return (unsigned)__builtin_popcount(tag);
}

static bool has_bmi2(void)
{
    return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}
#endif

static inline unsigned spread_bytes(const uint8_t *in, unsigned tag, uint8_t *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 8; i++) {
        unsigned bit = tag >> i & 1;
        out[i] = (uint8_t)(in[n] & (0u - bit));
        n += bit;
    }
    return n;
}

size_t ww_pack_portable(struct ww_bytes words, uint8_t *out)
{
    return pack_with(words, out, pack_bytes);
}

size_t ww_pack(struct ww_bytes words, uint8_t *out)
{
#if defined(__x86_64__)
    if (has_bmi2())
        return pack_bmi2(words, out);
#endif
    return ww_pack_portable(words, out);
}

/* ---- unpacking, one state between any two bytes */

static bool unpack_count(struct ww_unpacker *u, struct ww_bytes *in)
{
    if (in->len == 0)
        return false;
    u->run = (size_t)*in->ptr * 8;
    u->state = u->run == 0                 ? WW_UNPACK_TAG
        : u->state == WW_UNPACK_ZERO_COUNT ? WW_UNPACK_ZEROES
                                           : WW_UNPACK_RAW;
    *in = ww_bytes_skip(*in, 1);
    return true;
}

static size_t unpack_run(struct ww_unpacker *u, struct ww_bytes *in, uint8_t *out, size_t room)
{
    size_t n = u->run < room ? u->run : room;
    if (u->state == WW_UNPACK_ZEROES) {
        memset(out, 0, n);
    } else {
        n = n < in->len ? n : in->len;
        if (n)
            memcpy(out, in->ptr, n);
        *in = ww_bytes_skip(*in, n);
    }
    u->run -= (uint32_t)n;
    if (u->run == 0)
        u->state = WW_UNPACK_TAG;
    return n;
}

/* The bytes of one word, as far as they have come. */
static size_t unpack_word(struct ww_unpacker *u, struct ww_bytes *in, uint8_t *out)
{
    size_t n = 0;
    while (u->bit < 8) {
        if (u->tag >> u->bit & 1) {
            if (in->len == 0)
                return n;
            out[n++] = *in->ptr;
            *in = ww_bytes_skip(*in, 1);
        } else {
            out[n++] = 0;
        }
        u->bit++;
    }
    u->state = u->tag == 0xff ? WW_UNPACK_RAW_COUNT : WW_UNPACK_TAG;
    return n;
}

/* Whole words and runs while both sides have plenty; what is left is for the states. */
static inline __attribute__((always_inline)) size_t unpack_with(struct ww_bytes *in, uint8_t *out,
    size_t room, unsigned (*spread)(const uint8_t *in, unsigned tag, uint8_t *out))
{
    const uint8_t *at = in->ptr, *end = in->ptr + in->len;
    size_t n = 0;
    while (end - at >= 10 && room - n >= 8) {
        unsigned tag = *at;
        if (tag == 0) {
            size_t bytes = 8 + (size_t)at[1] * 8;
            if (bytes > room - n)
                break;
            memset(out + n, 0, bytes);
            at += 2;
            n += bytes;
        } else if (tag == 0xff) {
            size_t run = (size_t)at[9] * 8;
            if (run > room - n - 8 || run > (size_t)(end - at) - 10)
                break;
            memcpy(out + n, at + 1, 8);
            memcpy(out + n + 8, at + 10, run);
            at += 10 + run;
            n += 8 + run;
        } else {
            at += 1 + spread(at + 1, tag, out + n);
            n += 8;
        }
    }
    *in = ww_bytes(at, (size_t)(end - at));
    return n;
}

#if defined(__x86_64__)
__attribute__((target("bmi2,popcnt"))) static size_t unpack_bmi2(
    struct ww_bytes *in, uint8_t *out, size_t room)
{
    return unpack_with(in, out, room, spread_bmi2);
}
#endif

static size_t unpack_fast(const struct ww_unpacker *u, struct ww_bytes *in, uint8_t *out, size_t room)
{
    WW_UNUSED(u);
#if defined(__x86_64__)
    if (!u->portable && has_bmi2())
        return unpack_bmi2(in, out, room);
#endif
    return unpack_with(in, out, room, spread_bytes);
}

size_t ww_unpack_some(struct ww_unpacker *u, struct ww_bytes *in, uint8_t *out, size_t room)
{
    size_t n = 0;
    for (;;) {
        switch (u->state) {
        case WW_UNPACK_TAG:
            n += unpack_fast(u, in, out + n, room - n);
            if (in->len == 0 || n == room)
                return n;
            u->tag = *in->ptr;
            u->bit = 0;
            *in = ww_bytes_skip(*in, 1);
            u->state = WW_UNPACK_BYTES;
            break;
        case WW_UNPACK_BYTES:
            if (n == room)
                return n;
            if (u->tag == 0) {
                memset(out + n, 0, 8);
                n += 8;
                u->state = WW_UNPACK_ZERO_COUNT;
                break;
            }
            n += unpack_word(u, in, out + n);
            if (u->state == WW_UNPACK_BYTES)
                return n;
            break;
        case WW_UNPACK_ZERO_COUNT:
        case WW_UNPACK_RAW_COUNT:
            if (!unpack_count(u, in))
                return n;
            break;
        case WW_UNPACK_ZEROES:
        case WW_UNPACK_RAW:
            if (n == room)
                return n;
            n += unpack_run(u, in, out + n, room - n);
            if (u->state == WW_UNPACK_RAW && in->len == 0)
                return n;
            break;
        }
    }
}

ww_err ww_unpack(struct ww_bytes packed, uint8_t *out, size_t out_len)
{
    struct ww_unpacker u = {0};
    if (out_len % 8 != 0)
        return WW_EINVAL;
    size_t n = ww_unpack_some(&u, &packed, out, out_len);
    if (n < out_len || u.state == WW_UNPACK_ZERO_COUNT || u.state == WW_UNPACK_RAW_COUNT)
        return WW_ETRUNC;
    return u.state == WW_UNPACK_TAG && packed.len == 0 ? 0 : WW_EMALFORMED;
}

ww_err ww_unpacked_bytes(struct ww_bytes packed, uint64_t max_bytes, uint64_t *ret_bytes)
{
    uint64_t total = 0;
    size_t at = 0;
    while (at < packed.len) {
        unsigned tag = packed.ptr[at];
        size_t skip = 1 + (size_t)__builtin_popcount(tag), run = 0;
        if (tag == 0 || tag == 0xff) {
            if (packed.len - at <= skip)
                return WW_ETRUNC;
            run = packed.ptr[at + skip];
            skip += tag == 0xff ? 1 + run * 8 : 1;
        }
        if (packed.len - at < skip)
            return WW_ETRUNC;
        at += skip;
        total += 8 + (uint64_t)run * 8;
        if (total > max_bytes)
            return WW_ELIMIT;
    }
    *ret_bytes = total;
    return 0;
}
