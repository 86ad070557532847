/* Unsigned varints, both dialects: decoding any bytes is safe; what decodes encodes to the same value, and a
 * multiformats varint (always minimal) to the same bytes. */
#include "base/varint.h"

static void check_uvarint(struct ww_bytes in)
{
    uint64_t value;
    ww_err used = ww_uvarint_decode(in, &value);
    if (used < 0)
        return;
    uint8_t out[WW_PROTOBUF_VARINT_MAX_BYTES];
    WW_ASSERT(ww_varint_encode(value, out) == (size_t)used);
    WW_ASSERT(memcmp(out, in.ptr, (size_t)used) == 0);
    WW_ASSERT(ww_varint_size(value) == (size_t)used);
}

static void check_pb_varint(struct ww_bytes in)
{
    uint64_t value, again;
    ww_err used = ww_protobuf_varint_decode(in, &value);
    if (used < 0)
        return;
    uint8_t out[WW_PROTOBUF_VARINT_MAX_BYTES];
    size_t len = ww_varint_encode(value, out);
    WW_ASSERT(len <= (size_t)used);
    WW_ASSERT(ww_protobuf_varint_decode(ww_bytes(out, len), &again) == (ww_err)len && again == value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes in = ww_bytes(data, size);
    check_uvarint(in);
    check_pb_varint(in);
    return 0;
}
