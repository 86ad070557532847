/* Unpacking: what is accepted packs again to something that unpacks the same; the announced size is the real
 * one. And packing of arbitrary words is undone by unpacking. */
#include "base/base.h"
#include "capnp/pack.h"
#include "ww/capnp.h"

/* In pieces, without this machine's instructions: the same bytes. */
static void unpack_in_pieces(struct ww_bytes in, const uint8_t *want, size_t bytes, size_t piece)
{
    struct ww_unpacker u = {.portable = true};
    uint8_t *out = ww_alloc(bytes);
    size_t n = 0;
    for (size_t at = 0; at < in.len || u.state == WW_UNPACK_ZEROES;) {
        size_t len = piece < in.len - at ? piece : in.len - at;
        struct ww_bytes chunk = ww_bytes(in.ptr + at, len);
        n += ww_unpack_some(&u, &chunk, out + n, bytes - n);
        at += len - chunk.len;
        WW_ASSERT(chunk.len == 0 || n == bytes);
    }
    WW_ASSERT(n == bytes && u.state == WW_UNPACK_TAG && memcmp(out, want, bytes) == 0);
    ww_free(out);
}

static void unpack_any(struct ww_bytes in)
{
    uint64_t bytes;
    if (ww_unpacked_bytes(in, 1 << 18, &bytes) < 0 || bytes == 0)
        return;
    uint8_t *out = ww_alloc(bytes), *again = ww_alloc(ww_pack_bound(bytes)), *back = ww_alloc(bytes);
    ww_err err = ww_unpack(in, out, bytes);
    WW_ASSERT(err == 0);
    unpack_in_pieces(in, out, bytes, 1 + in.ptr[0] % 13);
    size_t n = ww_pack(ww_bytes(out, bytes), again);
    WW_ASSERT(n <= ww_pack_bound(bytes));
    WW_ASSERT(ww_unpack(ww_bytes(again, n), back, bytes) == 0);
    WW_ASSERT(memcmp(out, back, bytes) == 0);
    WW_ASSERT(bytes < 8 || ww_unpack(in, out, bytes - 8) < 0);
    ww_free(out);
    ww_free(again);
    ww_free(back);
}

static void pack_any(struct ww_bytes in)
{
    size_t len = in.len / 8 * 8;
    if (len == 0)
        return;
    uint8_t *packed = ww_alloc(ww_pack_bound(len)), *back = ww_alloc(len);
    uint64_t bytes;
    size_t n = ww_pack(ww_bytes(in.ptr, len), packed);
    WW_ASSERT(ww_unpacked_bytes(ww_bytes(packed, n), len, &bytes) == 0 && bytes == len);
    WW_ASSERT(ww_unpack(ww_bytes(packed, n), back, len) == 0);
    WW_ASSERT(memcmp(in.ptr, back, len) == 0);
    ww_free(packed);
    ww_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ww_msg m;
    unpack_any(ww_bytes(data, len));
    pack_any(ww_bytes(data, len));
    ww_msg_init(&m, NULL);
    const struct ww_msg_limits lim = {.words = 1 << 15, .traversal = 0, .segments = 16, .depth = 64};
    if (ww_msg_open_packed(&m, ww_bytes(data, len), &lim) == 0)
        WW_ASSERT(ww_msg_seg_count(&m) <= 16);
    ww_msg_fini(&m);
    return 0;
}
