#include "p2p/multihash.h"

#include "base/varint.h"
#include "crypto/hash.h"

/* Digests of the common functions have one length; a shorter one would be a truncated hash, which nothing
 * here may trust. */
static const struct {
    uint64_t code;
    size_t len;
} fixed_sizes[] = {
    {0x11, 20}, /* sha1 */
    {WW_MULTIHASH_SHA2_256, 32},
    {WW_MULTIHASH_SHA2_512, 64},
    {0x1b, 32}, /* keccak-256 */
    {WW_MULTIHASH_BLAKE2B_256, 32},
};

static bool size_fits(uint64_t code, size_t len)
{
    for (size_t i = 0; i < WW_COUNT_OF(fixed_sizes); i++) {
        if (fixed_sizes[i].code == code)
            return fixed_sizes[i].len == len;
    }
    return true;
}

static ww_err take_uvarint(struct ww_bytes *in, uint64_t *ret_value)
{
    ww_err n = ww_uvarint_decode(*in, ret_value);
    if (n < 0)
        return n;
    *in = ww_bytes_skip(*in, (size_t)n);
    return 0;
}

ww_err ww_multihash_take(struct ww_bytes *in, struct ww_multihash *ret_hash)
{
    struct ww_bytes rest = *in;
    uint64_t code, len;
    WW_TRY(take_uvarint(&rest, &code));
    WW_TRY(take_uvarint(&rest, &len));
    if (len > WW_MULTIHASH_DIGEST_MAX)
        return WW_ELIMIT;
    if (len > rest.len)
        return WW_ETRUNC;
    if (!size_fits(code, (size_t)len))
        return WW_EPROTO;
    *ret_hash = (struct ww_multihash){code, ww_bytes(rest.ptr, (size_t)len)};
    *in = ww_bytes_skip(rest, (size_t)len);
    return 0;
}

ww_err ww_multihash_decode(struct ww_bytes in, struct ww_multihash *ret_hash)
{
    struct ww_multihash hash;
    WW_TRY(ww_multihash_take(&in, &hash));
    if (in.len != 0)
        return WW_EPROTO;
    *ret_hash = hash;
    return 0;
}

void ww_multihash_sha256(struct ww_bytes data, uint8_t ret_hash[34])
{
    ret_hash[0] = WW_MULTIHASH_SHA2_256;
    ret_hash[1] = WW_SHA256_BYTES;
    ww_sha256(data, ret_hash + 2);
}
