/* Unpacking: what is accepted packs again to something that unpacks the same; the announced size is the real
 * one. And packing of arbitrary words is undone by unpacking. */
#include "base/base.h"
#include "ww/capnp.h"

static void unpack_any(struct ww_bytes in)
{
    uint64_t bytes;
    if (ww_unpacked_bytes(in, 1 << 18, &bytes) < 0 || bytes == 0)
        return;
    uint8_t *out = ww_alloc(bytes), *again = ww_alloc(ww_pack_bound(bytes)), *back = ww_alloc(bytes);
    ww_err err = ww_unpack(in, out, bytes);
    WW_ASSERT(err == 0);
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
