/* crypto/hash.h — digests and the key derivation of Noise. SHA-2 by libcrypto (SHA extensions), BLAKE2b by
 * libsodium.
 *
 * Nothing here allocates or fails. Views are borrowed for the call. Outputs may overlap no input.
 * Sources: FIPS 180-4, RFC 7693, RFC 2104, RFC 5869 and the Noise specification, section 4.3.
 */
#ifndef WW_CRYPTO_HASH_H
#define WW_CRYPTO_HASH_H

#include "base/base.h"

#define WW_SHA256_BYTES 32
#define WW_SHA512_BYTES 64
#define WW_BLAKE2B256_BYTES 32

/* A SHA-256 in progress: no heap, may be copied to fork it. Wipe it if the input was secret. */
struct ww_sha256 {
    uint64_t opaque[14];
};

void ww_sha256_init(struct ww_sha256 *h);
void ww_sha256_update(struct ww_sha256 *h, struct ww_bytes data);
/* Ends it; init again before another use. */
void ww_sha256_final(struct ww_sha256 *h, uint8_t ret_digest[WW_SHA256_BYTES]);

void ww_sha256(struct ww_bytes data, uint8_t ret_digest[WW_SHA256_BYTES]);
void ww_sha512(struct ww_bytes data, uint8_t ret_digest[WW_SHA512_BYTES]);
void ww_blake2b256(struct ww_bytes data, uint8_t ret_digest[WW_BLAKE2B256_BYTES]);

void ww_hmac_sha256(struct ww_bytes key, struct ww_bytes data, uint8_t ret_mac[WW_SHA256_BYTES]);
/* RFC 5869 with the chaining key as salt and no info; two blocks of output, as Noise uses it. `ret_first` may
 * be the chaining key itself. */
void ww_hkdf2_sha256(
    const uint8_t chaining_key[32], struct ww_bytes input, uint8_t ret_first[32], uint8_t ret_second[32]);
/* RFC 5869 extract and expand. At most 255 * 32 bytes of output (ours to keep: asserted). */
void ww_hkdf_sha256(
    struct ww_bytes salt, struct ww_bytes input, struct ww_bytes info, uint8_t *out, size_t out_len);

/* Compares in a time that depends on `len` alone. For macs and tokens. */
bool ww_crypto_eq(const void *a, const void *b, size_t len);

#endif
