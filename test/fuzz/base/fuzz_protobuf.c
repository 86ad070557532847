/* Protocol Buffers fields: any bytes are walked safely; the fields that came out, written again, read the
 * same. */
#include "base/protobuf.h"

static ww_err put(struct ww_buf *out, const struct ww_protobuf_field *f)
{
    if (f->wire == WW_PROTOBUF_BYTES)
        return ww_protobuf_put_bytes(out, f->number, f->bytes);
    return ww_protobuf_put_varint(out, f->number, f->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes rest = ww_bytes(data, size);
    struct ww_protobuf_field f, again;
    ww_err got;
    while ((got = ww_protobuf_next(&rest, &f)) > 0) {
        WW_ASSERT(f.number > 0);
        if (f.wire == WW_PROTOBUF_BYTES)
            WW_ASSERT(f.bytes.ptr >= data && f.bytes.ptr + f.bytes.len <= data + size);
        struct ww_buf out;
        ww_buf_init(&out, size + 32);
        WW_ASSERT(put(&out, &f) == 0);
        struct ww_bytes view = ww_buf_view(&out);
        WW_ASSERT(ww_protobuf_next(&view, &again) == 1 && view.len == 0);
        WW_ASSERT(again.number == f.number);
        WW_ASSERT(f.wire == WW_PROTOBUF_BYTES ? ww_bytes_eq(again.bytes, f.bytes) : again.value == f.value);
        ww_buf_fini(&out);
    }
    WW_ASSERT(got == 0 ? rest.len == 0 : got == WW_EPROTO || got == WW_ETRUNC);
    return 0;
}
