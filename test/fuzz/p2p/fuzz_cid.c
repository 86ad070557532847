/* CIDs, multihashes and multibase, as bytes and as text. */
#include "p2p/cid.h"
#include "p2p/multibase.h"

static void stable(const struct ww_cid *cid)
{
    struct ww_cid again;
    char text[2 * WW_CID_TEXT_MAX];
    WW_ASSERT(ww_cid_decode(ww_cid_view(cid), &again) == 0);
    WW_ASSERT(again.codec == cid->codec && again.version == cid->version);
    if (ww_cid_format(cid, text, sizeof text) == 0) {
        WW_ASSERT(ww_cid_parse(ww_bytes_str(text), &again) == 0);
        WW_ASSERT(ww_bytes_eq(ww_cid_view(cid), ww_cid_view(&again)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes in = ww_bytes(data, size);
    struct ww_multihash hash;
    struct ww_cid cid;
    struct ww_buf bytes, text;
    if (ww_multihash_decode(in, &hash) == 0)
        WW_ASSERT(hash.digest.ptr + hash.digest.len == data + size);
    if (ww_cid_decode(in, &cid) == 0)
        stable(&cid);
    if (ww_cid_parse(in, &cid) == 0)
        stable(&cid);
    ww_buf_init(&bytes, 4096);
    ww_buf_init(&text, 4096);
    if (ww_multibase_decode(in, &bytes) == 0 && size < 200) {
        WW_ASSERT(data[0] < 'a' ||
            ww_multibase_encode((enum ww_multibase)data[0], ww_buf_view(&bytes), &text) == 0);
        WW_ASSERT(data[0] < 'a' || ww_bytes_eq(ww_buf_view(&text), in));
    }
    ww_buf_fini(&bytes);
    ww_buf_fini(&text);
    return 0;
}
