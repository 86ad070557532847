/* base/protobuf.h — Protocol Buffers wire format (protobuf.dev/programming-guides/encoding): a cursor over
 * fields and an appender. The messages of libp2p are few and small; zero-copy views over them beat generated
 * structs with fixed arrays. */
#ifndef WW_BASE_PROTOBUF_H
#define WW_BASE_PROTOBUF_H

#include "base/buf.h"
#include "base/varint.h"

enum ww_protobuf_wire {
    WW_PROTOBUF_VARINT = 0,
    WW_PROTOBUF_FIXED64 = 1,
    WW_PROTOBUF_BYTES = 2,
    WW_PROTOBUF_FIXED32 = 5,
};

struct ww_protobuf_field {
    uint32_t number;
    enum ww_protobuf_wire wire;
    uint64_t value;        /* VARINT, FIXED64, FIXED32 */
    struct ww_bytes bytes; /* BYTES: a view into the input */
};

/* Takes the next field off the front of `in`. 1: got one, 0: end of message, WW_EPROTO / WW_ETRUNC:
 * malformed. Groups (wire types 3 and 4) are refused. */
WW_MUST_USE ww_err ww_protobuf_next(struct ww_bytes *in, struct ww_protobuf_field *ret_field);

WW_MUST_USE ww_err ww_protobuf_put_varint(struct ww_buf *out, uint32_t number, uint64_t value);
WW_MUST_USE ww_err ww_protobuf_put_bytes(struct ww_buf *out, uint32_t number, struct ww_bytes value);
/* Only tag and length, for a body of `len` bytes that the caller appends next. */
WW_MUST_USE ww_err ww_protobuf_put_header(struct ww_buf *out, uint32_t number, size_t len);

/* Size of the encoded field, to compute the length of an enclosing message first. */
static inline size_t ww_protobuf_bytes_size(uint32_t number, size_t len)
{
    return ww_varint_size((uint64_t)number << 3) + ww_varint_size(len) + len;
}

static inline size_t ww_protobuf_varint_size(uint32_t number, uint64_t value)
{
    return ww_varint_size((uint64_t)number << 3) + ww_varint_size(value);
}

#endif
