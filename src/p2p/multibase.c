#include "p2p/multibase.h"

/* One of the bases: its alphabet, and bits a character (0: a base that is no power of two). */
struct base {
    char prefix;
    uint8_t bits, radix;
    const char *alphabet;
};

static const struct base bases[] = {
    {'f', 4, 16, "0123456789abcdef"},
    {'F', 4, 16, "0123456789ABCDEF"},
    {'b', 5, 32, "abcdefghijklmnopqrstuvwxyz234567"},
    {'B', 5, 32, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"},
    {'k', 0, 36, "0123456789abcdefghijklmnopqrstuvwxyz"},
    {'K', 0, 36, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    {'z', 0, 58, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"},
    {'m', 6, 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"},
    {'u', 6, 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"},
};

static const struct base *base_find(char prefix)
{
    for (size_t i = 0; i < WW_COUNT_OF(bases); i++) {
        if (bases[i].prefix == prefix)
            return &bases[i];
    }
    return NULL;
}

static int digit(const struct base *b, uint8_t c)
{
    const char *at = memchr(b->alphabet, c, b->radix);
    return at ? (int)(at - b->alphabet) : -1;
}

static size_t bits_encode(const struct base *b, struct ww_bytes data, char *out)
{
    uint32_t acc = 0, have = 0;
    size_t n = 0;
    for (size_t i = 0; i < data.len; i++) {
        acc = acc << 8 | data.ptr[i];
        for (have += 8; have >= b->bits; have -= b->bits)
            out[n++] = b->alphabet[acc >> (have - b->bits) & (b->radix - 1u)];
    }
    if (have > 0)
        out[n++] = b->alphabet[acc << (b->bits - have) & (b->radix - 1u)];
    return n;
}

static ww_err bits_decode(const struct base *b, struct ww_bytes text, uint8_t *out)
{
    uint32_t acc = 0, have = 0;
    for (size_t i = 0; i < text.len; i++) {
        int v = digit(b, text.ptr[i]);
        if (v < 0)
            return WW_EINVAL;
        acc = acc << b->bits | (uint32_t)v;
        have += b->bits;
        if (have >= 8) {
            have -= 8;
            *out++ = (uint8_t)(acc >> have);
        }
    }
    /* A whole unused character, or unused bits that are set, would be a second text for the same bytes. */
    if (have >= b->bits || (acc & ((1u << have) - 1)) != 0)
        return WW_EINVAL;
    return 0;
}

/* Positional conversion by schoolbook arithmetic, five digits or four bytes at a time; leading zero bytes are
 * leading zero digits. */
#define GROUP 5 /* 58^5 < 2^30, so that products and carries fit into 64 bits */
#define LIMBS_MAX (WW_BASE58_TEXT_MAX / GROUP + 1)

static uint32_t group_size(const struct base *b)
{
    uint32_t size = b->radix;
    for (int i = 1; i < GROUP; i++)
        size *= b->radix;
    return size;
}

static ww_err radix_encode(const struct base *b, struct ww_bytes data, char *out, size_t out_size)
{
    uint32_t limbs[LIMBS_MAX], size = group_size(b); /* least significant first */
    size_t zeros = 0, count = 0;
    if (data.len > WW_BASE58_BYTES_MAX)
        return WW_ELIMIT;
    while (zeros < data.len && data.ptr[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < data.len;) {
        /* The first group of bytes may be short: nothing is there yet to be shifted. */
        size_t take = (data.len - i) % 4 ? (data.len - i) % 4 : 4;
        uint64_t carry = 0;
        for (size_t k = 0; k < take; k++)
            carry = carry << 8 | data.ptr[i++];
        for (size_t j = 0; j < count; j++) {
            carry += (uint64_t)limbs[j] << 32;
            limbs[j] = (uint32_t)(carry % size);
            carry /= size;
        }
        for (; carry > 0; carry /= size)
            limbs[count++] = (uint32_t)(carry % size);
    }
    char text[LIMBS_MAX * GROUP];
    size_t at = sizeof text;
    for (size_t j = 0; j < count; j++) {
        uint32_t limb = limbs[j];
        for (int k = 0; k < GROUP && (limb > 0 || j + 1 < count); k++, limb /= b->radix)
            text[--at] = b->alphabet[limb % b->radix];
    }
    size_t len = sizeof text - at;
    if (zeros + len > out_size)
        return WW_ELIMIT;
    memset(out, b->alphabet[0], zeros);
    memcpy(out + zeros, text + at, len);
    return (ww_err)(zeros + len);
}

static ww_err radix_decode(const struct base *b, struct ww_bytes text, uint8_t *out, size_t out_size)
{
    uint32_t limbs[WW_BASE58_TEXT_MAX / 4 + 1], size = group_size(b); /* least significant first */
    size_t zeros = 0, count = 0;
    if (text.len > WW_BASE58_TEXT_MAX)
        return WW_ELIMIT;
    while (zeros < text.len && text.ptr[zeros] == (uint8_t)b->alphabet[0])
        zeros++;
    for (size_t i = zeros; i < text.len;) {
        size_t take = (text.len - i) % GROUP ? (text.len - i) % GROUP : GROUP;
        uint64_t carry = 0;
        for (size_t k = 0; k < take; k++) {
            int v = digit(b, text.ptr[i++]);
            if (v < 0)
                return WW_EINVAL;
            carry = carry * b->radix + (uint32_t)v;
        }
        for (size_t j = 0; j < count; j++) {
            carry += (uint64_t)limbs[j] * size;
            limbs[j] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry > 0)
            limbs[count++] = (uint32_t)carry;
    }
    size_t len = count * 4;
    while (len > 0 && (limbs[(len - 1) / 4] >> (len - 1) % 4 * 8 & 0xff) == 0)
        len--;
    if (zeros + len > out_size || zeros + len > WW_BASE58_BYTES_MAX)
        return WW_ELIMIT;
    memset(out, 0, zeros);
    for (size_t i = 0; i < len; i++)
        out[zeros + i] = (uint8_t)(limbs[(len - 1 - i) / 4] >> (len - 1 - i) % 4 * 8);
    return (ww_err)(zeros + len);
}

static ww_err encode(const struct base *b, struct ww_bytes data, struct ww_buf *out)
{
    uint8_t *room;
    if (data.len == 0)
        return 0;
    if (b->bits == 0) {
        char text[WW_BASE58_TEXT_MAX];
        ww_err n = radix_encode(b, data, text, sizeof text);
        return n < 0 ? n : ww_buf_append(out, ww_bytes(text, (size_t)n));
    }
    if (data.len > SIZE_MAX / 8)
        return WW_ELIMIT;
    size_t len = (data.len * 8 + b->bits - 1) / b->bits;
    WW_TRY(ww_buf_reserve(out, len, &room));
    ww_buf_commit(out, bits_encode(b, data, (char *)room));
    return 0;
}

static ww_err decode(const struct base *b, struct ww_bytes text, struct ww_buf *out)
{
    uint8_t *room;
    if (text.len == 0)
        return 0;
    if (b->bits == 0) {
        uint8_t bytes[WW_BASE58_TEXT_MAX];
        ww_err n = radix_decode(b, text, bytes, sizeof bytes);
        return n < 0 ? n : ww_buf_append(out, ww_bytes(bytes, (size_t)n));
    }
    if (text.len > SIZE_MAX / 8)
        return WW_ELIMIT;
    size_t len = text.len * b->bits / 8;
    WW_TRY(ww_buf_reserve(out, len > 0 ? len : 1, &room));
    WW_TRY(bits_decode(b, text, room));
    ww_buf_commit(out, len);
    return 0;
}

ww_err ww_base_encode(enum ww_multibase base, struct ww_bytes data, struct ww_buf *out)
{
    const struct base *b = base_find((char)base);
    return b ? encode(b, data, out) : WW_EUNSUPPORTED;
}

ww_err ww_base_decode(enum ww_multibase base, struct ww_bytes text, struct ww_buf *out)
{
    const struct base *b = base_find((char)base);
    return b ? decode(b, text, out) : WW_EUNSUPPORTED;
}

ww_err ww_multibase_encode(enum ww_multibase base, struct ww_bytes data, struct ww_buf *out)
{
    const struct base *b = base_find((char)base);
    if (!b)
        return WW_EUNSUPPORTED;
    WW_TRY(ww_buf_append_byte(out, (uint8_t)b->prefix));
    ww_err err = encode(b, data, out);
    if (err < 0)
        out->tail--;
    return err;
}

ww_err ww_multibase_decode(struct ww_bytes text, struct ww_buf *out)
{
    if (text.len == 0)
        return WW_EINVAL;
    const struct base *b = base_find((char)text.ptr[0]);
    return b ? decode(b, ww_bytes_skip(text, 1), out) : WW_EUNSUPPORTED;
}

ww_err ww_base58_encode(struct ww_bytes data, char *out, size_t out_size)
{
    return radix_encode(base_find('z'), data, out, out_size);
}

ww_err ww_base58_decode(struct ww_bytes text, uint8_t *out, size_t out_size)
{
    return radix_decode(base_find('z'), text, out, out_size);
}
