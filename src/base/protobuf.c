#include "base/protobuf.h"

static ww_err take_varint(struct ww_bytes *in, uint64_t *ret)
{
    ww_err n = ww_protobuf_varint_decode(*in, ret);
    if (n < 0)
        return n;
    *in = ww_bytes_skip(*in, (size_t)n);
    return 0;
}

ww_err ww_protobuf_next(struct ww_bytes *in, struct ww_protobuf_field *ret_field)
{
    struct ww_protobuf_field f = {0};
    uint64_t tag, len;
    if (in->len == 0)
        return 0;
    WW_TRY(take_varint(in, &tag));
    if (tag >> 3 == 0 || tag >> 3 >= UINT32_C(1) << 29)
        return WW_EPROTO;
    f.number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case WW_PROTOBUF_VARINT:
        f.wire = WW_PROTOBUF_VARINT;
        WW_TRY(take_varint(in, &f.value));
        break;
    case WW_PROTOBUF_FIXED64:
        f.wire = WW_PROTOBUF_FIXED64;
        if (in->len < 8)
            return WW_ETRUNC;
        f.value = ww_le64_load(in->ptr);
        *in = ww_bytes_skip(*in, 8);
        break;
    case WW_PROTOBUF_BYTES:
        f.wire = WW_PROTOBUF_BYTES;
        WW_TRY(take_varint(in, &len));
        if (len > in->len)
            return WW_ETRUNC;
        f.bytes = ww_bytes(in->ptr, (size_t)len);
        *in = ww_bytes_skip(*in, (size_t)len);
        break;
    case WW_PROTOBUF_FIXED32:
        f.wire = WW_PROTOBUF_FIXED32;
        if (in->len < 4)
            return WW_ETRUNC;
        f.value = ww_le32_load(in->ptr);
        *in = ww_bytes_skip(*in, 4);
        break;
    default:
        return WW_EPROTO;
    }
    *ret_field = f;
    return 1;
}

static ww_err put_tag_and(struct ww_buf *out, uint32_t number, enum ww_protobuf_wire wire, uint64_t value)
{
    uint8_t tmp[2 * WW_PROTOBUF_VARINT_MAX_BYTES];
    size_t n = ww_varint_encode((uint64_t)number << 3 | (uint64_t)wire, tmp);
    n += ww_varint_encode(value, tmp + n);
    return ww_buf_append(out, ww_bytes(tmp, n));
}

ww_err ww_protobuf_put_varint(struct ww_buf *out, uint32_t number, uint64_t value)
{
    return put_tag_and(out, number, WW_PROTOBUF_VARINT, value);
}

ww_err ww_protobuf_put_header(struct ww_buf *out, uint32_t number, size_t len)
{
    return put_tag_and(out, number, WW_PROTOBUF_BYTES, len);
}

ww_err ww_protobuf_put_bytes(struct ww_buf *out, uint32_t number, struct ww_bytes value)
{
    WW_TRY(ww_protobuf_put_header(out, number, value.len));
    return ww_buf_append(out, value);
}
