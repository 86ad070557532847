/* OpenSSL's direct SHA calls: marked deprecated in 3.0 in favour of EVP, which looks the algorithm up and
 * allocates on each use. They are the same code underneath, and cost a third on short inputs. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sodium.h>

_Static_assert(sizeof(struct ww_sha256) >= sizeof(SHA256_CTX), "struct ww_sha256 is too small");
_Static_assert(_Alignof(struct ww_sha256) >= _Alignof(SHA256_CTX), "struct ww_sha256 is not aligned");

static SHA256_CTX *ctx(struct ww_sha256 *h)
{
    return (SHA256_CTX *)(void *)h->opaque;
}

void ww_sha256_init(struct ww_sha256 *h)
{
    SHA256_Init(ctx(h));
}

void ww_sha256_update(struct ww_sha256 *h, struct ww_bytes data)
{
    SHA256_Update(ctx(h), data.ptr, data.len);
}

void ww_sha256_final(struct ww_sha256 *h, uint8_t ret_digest[WW_SHA256_BYTES])
{
    SHA256_Final(ret_digest, ctx(h));
}

void ww_sha256(struct ww_bytes data, uint8_t ret_digest[WW_SHA256_BYTES])
{
    SHA256(data.ptr, data.len, ret_digest);
}

void ww_sha512(struct ww_bytes data, uint8_t ret_digest[WW_SHA512_BYTES])
{
    SHA512(data.ptr, data.len, ret_digest);
}

void ww_blake2b256(struct ww_bytes data, uint8_t ret_digest[WW_BLAKE2B256_BYTES])
{
    int rc = sodium_init(); /* chooses the fast code for this processor; does nothing the second time */
    WW_ASSERT(rc >= 0);
    crypto_generichash_blake2b(ret_digest, WW_BLAKE2B256_BYTES, data.ptr, data.len, NULL, 0);
}

/* The inner and outer hash states of one key, so that several macs under it cost two blocks less each. */
struct hmac_key {
    struct ww_sha256 inner, outer;
};

static void hmac_key_init(struct hmac_key *k, struct ww_bytes key)
{
    uint8_t block[64] = {0};
    if (key.len > sizeof block)
        ww_sha256(key, block);
    else if (key.len)
        memcpy(block, key.ptr, key.len);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    ww_sha256_init(&k->inner);
    ww_sha256_update(&k->inner, ww_bytes(block, sizeof block));
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    ww_sha256_init(&k->outer);
    ww_sha256_update(&k->outer, ww_bytes(block, sizeof block));
    ww_wipe(block, sizeof block);
}

static void hmac_finish(const struct hmac_key *k, struct ww_sha256 *inner, uint8_t ret_mac[32])
{
    struct ww_sha256 outer = k->outer;
    uint8_t digest[32];
    ww_sha256_final(inner, digest);
    ww_sha256_update(&outer, ww_bytes(digest, sizeof digest));
    ww_sha256_final(&outer, ret_mac);
    ww_wipe(&outer, sizeof outer);
    ww_wipe(digest, sizeof digest);
}

static void hmac(const struct hmac_key *k, struct ww_bytes data, uint8_t ret_mac[32])
{
    struct ww_sha256 inner = k->inner;
    ww_sha256_update(&inner, data);
    hmac_finish(k, &inner, ret_mac);
    ww_wipe(&inner, sizeof inner);
}

void ww_hmac_sha256(struct ww_bytes key, struct ww_bytes data, uint8_t ret_mac[WW_SHA256_BYTES])
{
    struct hmac_key k;
    hmac_key_init(&k, key);
    hmac(&k, data, ret_mac);
    ww_wipe(&k, sizeof k);
}

void ww_hkdf_sha256(
    struct ww_bytes salt, struct ww_bytes input, struct ww_bytes info, uint8_t *out, size_t out_len)
{
    struct hmac_key k;
    uint8_t prk[32], block[32];
    WW_ASSERT(out_len <= 255 * sizeof block);
    ww_hmac_sha256(salt, input, prk);
    hmac_key_init(&k, ww_bytes(prk, sizeof prk));
    for (uint8_t count = 1; out_len > 0; count++) {
        struct ww_sha256 inner = k.inner;
        if (count > 1)
            ww_sha256_update(&inner, ww_bytes(block, sizeof block));
        ww_sha256_update(&inner, info);
        ww_sha256_update(&inner, ww_bytes(&count, 1));
        hmac_finish(&k, &inner, block);
        size_t n = out_len < sizeof block ? out_len : sizeof block;
        memcpy(out, block, n);
        out += n;
        out_len -= n;
    }
    ww_wipe(&k, sizeof k);
    ww_wipe(prk, sizeof prk);
    ww_wipe(block, sizeof block);
}

void ww_hkdf2_sha256(
    const uint8_t chaining_key[32], struct ww_bytes input, uint8_t ret_first[32], uint8_t ret_second[32])
{
    uint8_t out[64];
    ww_hkdf_sha256(ww_bytes(chaining_key, 32), input, ww_bytes(NULL, 0), out, sizeof out);
    memcpy(ret_first, out, 32);
    memcpy(ret_second, out + 32, 32);
    ww_wipe(out, sizeof out);
}

bool ww_crypto_eq(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
