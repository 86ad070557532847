/* Key messages: what decodes encodes back to the same bytes; the rest of the input is tried as a signature.
 */
#include "crypto/keys.h"

static void try_public(struct ww_bytes in, struct ww_bytes sig)
{
    uint8_t again[WW_PUBKEY_ENCODED_MAX];
    struct ww_pubkey key;
    if (ww_pubkey_decode(in, &key) < 0)
        return;
    WW_ASSERT(ww_pubkey_encoded_size(&key) == in.len);
    WW_ASSERT(ww_pubkey_encode(&key, again) == in.len && memcmp(again, in.ptr, in.len) == 0);
    WW_ASSERT(ww_pubkey_verify(&key, WW_BYTES_LIT("m"), sig) <= 0);
}

static void try_private(struct ww_bytes in)
{
    struct ww_keypair pair;
    struct ww_buf again;
    if (ww_keypair_decode(in, &pair) < 0)
        return;
    ww_buf_init(&again, 1 << 16);
    WW_ASSERT(ww_keypair_encode(&pair, &again) == 0);
    ww_buf_fini(&again);
    ww_keypair_fini(&pair);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ww_bytes in = ww_bytes(data, size);
    /* The message ends where its own length says; what follows is the signature. */
    size_t cut = size > 3 ? 4u + data[3] : size;
    try_public(in, WW_BYTES_LIT("s"));
    if (cut < size)
        try_public(ww_bytes(data, cut), ww_bytes_skip(in, cut));
    try_private(in);
    return 0;
}
