#include "crypto/key_impl.h"

#include <secp256k1.h>

#include "crypto/hash.h"

#define COMPRESSED_BYTES 33

static bool parse_public(struct ww_bytes data, secp256k1_pubkey *ret_key)
{
    return data.len == COMPRESSED_BYTES &&
        secp256k1_ec_pubkey_parse(secp256k1_context_static, ret_key, data.ptr, data.len) == 1;
}

ww_err ww_key_secp256k1_check(struct ww_bytes data)
{
    secp256k1_pubkey key;
    return parse_public(data, &key) ? 0 : WW_EPROTO;
}

ww_err ww_key_secp256k1_verify(struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig)
{
    const secp256k1_context *ctx = secp256k1_context_static;
    secp256k1_pubkey key;
    secp256k1_ecdsa_signature s;
    uint8_t digest[WW_SHA256_BYTES];
    if (!parse_public(data, &key) || secp256k1_ecdsa_signature_parse_der(ctx, &s, sig.ptr, sig.len) != 1)
        return WW_ECRYPTO;
    /* Other implementations send either S; the library accepts the low one alone. */
    secp256k1_ecdsa_signature_normalize(ctx, &s, &s);
    ww_sha256(message, digest);
    return secp256k1_ecdsa_verify(ctx, &s, digest, &key) == 1 ? 0 : WW_ECRYPTO;
}

ww_err ww_key_secp256k1_sign(const uint8_t secret[32], struct ww_bytes message, struct ww_signature *ret_sig)
{
    uint8_t digest[WW_SHA256_BYTES];
    secp256k1_ecdsa_signature s;
    size_t len = sizeof ret_sig->bytes;
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (!ctx)
        return WW_ENOMEM;
    ww_sha256(message, digest);
    /* RFC 6979 nonce; S comes out low. */
    bool ok = secp256k1_ecdsa_sign(ctx, &s, digest, secret, NULL, NULL) == 1 &&
        secp256k1_ecdsa_signature_serialize_der(ctx, ret_sig->bytes, &len, &s) == 1;
    secp256k1_context_destroy(ctx);
    if (!ok)
        return WW_ECRYPTO;
    ret_sig->len = (uint16_t)len;
    return 0;
}

ww_err ww_key_secp256k1_public(const uint8_t secret[32], uint8_t ret_public[COMPRESSED_BYTES])
{
    secp256k1_pubkey key;
    size_t len = COMPRESSED_BYTES;
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (!ctx)
        return WW_ENOMEM;
    bool ok = secp256k1_ec_pubkey_create(ctx, &key, secret) == 1 &&
        secp256k1_ec_pubkey_serialize(ctx, ret_public, &len, &key, SECP256K1_EC_COMPRESSED) == 1;
    secp256k1_context_destroy(ctx);
    return ok ? 0 : WW_ECRYPTO;
}
