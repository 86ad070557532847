#include "crypto/key_impl.h"

#include <sodium.h>

/* The y coordinates of the eight points of small order: 0 (order 4), 1 (order 1), -1 (order 2) and those of
 * order 8. */
static const uint8_t small_order[][32] = {
    {0},
    {1},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
};

/* y < 2^255 - 19, without the sign bit. */
static bool is_canonical(const uint8_t y[32])
{
    if (y[31] != 0x7f || y[0] < 0xed)
        return true;
    for (size_t i = 1; i < 31; i++) {
        if (y[i] != 0xff)
            return true;
    }
    return false;
}

ww_err ww_key_ed25519_check(struct ww_bytes data)
{
    uint8_t y[32];
    if (data.len != sizeof y)
        return WW_EPROTO;
    memcpy(y, data.ptr, sizeof y);
    y[31] &= 0x7f;
    if (!is_canonical(y))
        return WW_EPROTO;
    for (size_t i = 0; i < WW_COUNT_OF(small_order); i++) {
        if (memcmp(y, small_order[i], sizeof y) == 0)
            return WW_ECRYPTO;
    }
    return 0;
}

ww_err ww_key_ed25519_verify(struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig)
{
    /* libsodium refuses a non-canonical S, and small-order R and keys. */
    if (sig.len != crypto_sign_BYTES ||
        crypto_sign_verify_detached(sig.ptr, message.ptr, message.len, data.ptr) != 0)
        return WW_ECRYPTO;
    return 0;
}

void ww_key_ed25519_sign(const uint8_t raw[64], struct ww_bytes message, struct ww_signature *ret_sig)
{
    crypto_sign_detached(ret_sig->bytes, NULL, message.ptr, message.len, raw);
    ret_sig->len = crypto_sign_BYTES;
}

void ww_key_ed25519_expand(const uint8_t seed[32], uint8_t ret_raw[64])
{
    uint8_t public_key[32];
    crypto_sign_seed_keypair(public_key, ret_raw, seed);
}
