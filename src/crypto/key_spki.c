/* RSA and ECDSA keys, which libp2p carries as DER. Nobody's fast path: keys are parsed for each operation. */
#include "crypto/key_impl.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/hash.h"

/* Larger keys only serve to keep us busy (CVE-2023-39533). */
#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192

/* What stands before the point in the SubjectPublicKeyInfo of each curve, with the 04 of the uncompressed
 * form. */
static const struct {
    uint8_t prefix_len, len;
    uint8_t prefix[27];
} curves[] = {
    {27, 91, /* P-256 */
        {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
            0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
    {24, 120, /* P-384 */
        {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
            0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04}},
    {26, 158, /* P-521 */
        {0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
            0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00, 0x04}},
};

static bool is_curve_spki(struct ww_bytes data)
{
    for (size_t i = 0; i < WW_COUNT_OF(curves); i++) {
        if (data.len == curves[i].len && memcmp(data.ptr, curves[i].prefix, curves[i].prefix_len) == 0)
            return true;
    }
    return false;
}

static EVP_PKEY *parse_spki(struct ww_bytes data)
{
    const uint8_t *at = data.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)data.len);
    if (key && at != data.ptr + data.len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

/* Whether the key, encoded again, is `data`: then nobody can present it under a second peer id. */
static bool encodes_to(EVP_PKEY *key, struct ww_bytes data)
{
    uint8_t again[WW_PUBKEY_DATA_MAX], *end = again;
    int len = i2d_PUBKEY(key, NULL);
    return len > 0 && (size_t)len == data.len && i2d_PUBKEY(key, &end) == len &&
        memcmp(again, data.ptr, data.len) == 0;
}

static bool is_fit_rsa(EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    int bits = EVP_PKEY_get_bits(key);
    bool fit = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS &&
        EVP_PKEY_get_bn_param(key, "e", &e) == 1 && BN_is_odd(e) && BN_num_bits(e) >= 2 &&
        BN_num_bits(e) <= 31;
    BN_free(e);
    return fit;
}

ww_err ww_key_spki_check(enum ww_key_type type, struct ww_bytes data)
{
    if (data.len > WW_PUBKEY_DATA_MAX)
        return WW_ELIMIT;
    if (type == WW_KEY_ECDSA && !is_curve_spki(data))
        return WW_EPROTO;
    EVP_PKEY *key = parse_spki(data);
    bool fit = key && encodes_to(key, data) && (type == WW_KEY_ECDSA || is_fit_rsa(key));
    EVP_PKEY_free(key);
    ERR_clear_error();
    return fit ? 0 : WW_EPROTO;
}

static bool set_up(EVP_PKEY_CTX *ctx, enum ww_key_type type)
{
    return EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
        (type != WW_KEY_RSA || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
}

ww_err ww_key_spki_verify(
    enum ww_key_type type, struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig)
{
    uint8_t digest[WW_SHA256_BYTES];
    ww_sha256(message, digest);
    EVP_PKEY *key = parse_spki(data);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 && set_up(ctx, type) &&
        EVP_PKEY_verify(ctx, sig.ptr, sig.len, digest, sizeof digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? 0 : WW_ECRYPTO;
}

static EVP_PKEY *parse_private(enum ww_key_type type, struct ww_bytes der)
{
    const uint8_t *at = der.ptr;
    int id = type == WW_KEY_RSA ? EVP_PKEY_RSA : EVP_PKEY_EC;
    EVP_PKEY *key = d2i_PrivateKey(id, NULL, &at, (long)der.len);
    if (key && at != der.ptr + der.len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

ww_err ww_key_der_sign(
    enum ww_key_type type, struct ww_bytes der, struct ww_bytes message, struct ww_signature *ret_sig)
{
    uint8_t digest[WW_SHA256_BYTES];
    size_t len = sizeof ret_sig->bytes;
    ww_sha256(message, digest);
    EVP_PKEY *key = parse_private(type, der);
    EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 && set_up(ctx, type) &&
        EVP_PKEY_sign(ctx, ret_sig->bytes, &len, digest, sizeof digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok)
        return WW_ECRYPTO;
    ret_sig->len = (uint16_t)len;
    return 0;
}

ww_err ww_key_der_public(enum ww_key_type type, struct ww_bytes der, struct ww_pubkey *ret_key)
{
    struct ww_pubkey pub = {.type = type};
    uint8_t *end = pub.data;
    EVP_PKEY *key = parse_private(type, der);
    int len = key ? i2d_PUBKEY(key, NULL) : -1;
    bool ok = len > 0 && (size_t)len <= sizeof pub.data && i2d_PUBKEY(key, &end) == len;
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok)
        return WW_EPROTO;
    pub.len = (uint16_t)len;
    WW_TRY(ww_key_spki_check(type, ww_pubkey_view(&pub)));
    *ret_key = pub;
    return 0;
}
