/* base/varint.h — unsigned LEB128. Two dialects that must not be mixed up:
 * multiformats (minimal encoding demanded, at most 9 bytes, 63 bits) and protobuf (10 bytes, 64 bits, padding
 * allowed). */
#ifndef WW_BASE_VARINT_H
#define WW_BASE_VARINT_H

#include "base/base.h"

#define WW_UVARINT_MAX_BYTES 9
#define WW_PROTOBUF_VARINT_MAX_BYTES 10

/* Number of bytes written to `out`, which must have room for WW_PROTOBUF_VARINT_MAX_BYTES. Minimal, so valid
 * in both. */
static inline size_t ww_varint_encode(uint64_t v, uint8_t *out)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static inline size_t ww_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

/* Both: bytes used (> 0), WW_ETRUNC when `in` ends inside the number, WW_EPROTO when it is not well formed.
 */
WW_MUST_USE static inline ww_err ww_uvarint_decode(struct ww_bytes in, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < WW_UVARINT_MAX_BYTES; i++) {
        if (i == in.len)
            return WW_ETRUNC;
        v |= (uint64_t)(in.ptr[i] & 0x7f) << (7 * i);
        if (!(in.ptr[i] & 0x80)) {
            if (i > 0 && in.ptr[i] == 0)
                return WW_EPROTO;
            *ret_value = v;
            return (ww_err)(i + 1);
        }
    }
    return WW_EPROTO;
}

WW_MUST_USE static inline ww_err ww_protobuf_varint_decode(struct ww_bytes in, uint64_t *ret_value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < WW_PROTOBUF_VARINT_MAX_BYTES; i++) {
        if (i == in.len)
            return WW_ETRUNC;
        if (i == 9 && in.ptr[i] > 1)
            return WW_EPROTO;
        v |= (uint64_t)(in.ptr[i] & 0x7f) << (7 * i);
        if (!(in.ptr[i] & 0x80)) {
            *ret_value = v;
            return (ww_err)(i + 1);
        }
    }
    return WW_EPROTO;
}

#endif
