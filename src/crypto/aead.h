/* crypto/aead.h — ChaCha20-Poly1305 (RFC 8439) under one key, as Noise uses it: the nonce is four zero bytes
 * and a 64-bit little-endian number. Bulk goes through a libcrypto context made once a key, small records
 * through libsodium, whichever is faster for the size; the bytes are the same.
 *
 * Ownership: _new/_free. No state is shared between objects. The caller counts nonces and must never use one
 * twice for sealing. One object serves one direction: sealing and opening with the same object works, but
 * makes the context switch over each time.
 */
#ifndef WW_CRYPTO_AEAD_H
#define WW_CRYPTO_AEAD_H

#include "base/base.h"

#define WW_AEAD_KEY_BYTES 32
#define WW_AEAD_TAG_BYTES 16

struct ww_aead;

/* WW_ENOMEM. The key is copied; the caller wipes its own. */
WW_MUST_USE ww_err ww_aead_new(const uint8_t key[WW_AEAD_KEY_BYTES], struct ww_aead **ret_aead);
/* Wipes the key. Takes NULL. */
void ww_aead_free(struct ww_aead *a);

/* Encrypts the pieces, in order, as one record: writes their total length + WW_AEAD_TAG_BYTES to `out`. A
 * piece may lie in `out` exactly where its ciphertext goes; otherwise no overlap. `ad` is authenticated only.
 * WW_ECRYPTO if libcrypto fails (in practice: out of memory), after which `out` is undefined. */
WW_MUST_USE ww_err ww_aead_seal(struct ww_aead *a, uint64_t nonce, struct ww_bytes ad,
    const struct ww_bytes *pieces, size_t count, uint8_t *out);

/* Decrypts `sealed` (ciphertext and tag) to `out`, which gets sealed.len - WW_AEAD_TAG_BYTES bytes and may be
 * sealed.ptr. WW_ECRYPTO when the tag is wrong or missing: then `out` holds nothing that may be used. */
WW_MUST_USE ww_err ww_aead_open(
    struct ww_aead *a, uint64_t nonce, struct ww_bytes ad, struct ww_bytes sealed, uint8_t *out);

/* One record under a key that is not kept, as in handshakes. Same bytes, no allocation. `out` of seal gets
 * plain.len + WW_AEAD_TAG_BYTES bytes and may be plain.ptr; `out` of open gets sealed.len - WW_AEAD_TAG_BYTES
 * and may be sealed.ptr. */
void ww_aead_seal_once(const uint8_t key[WW_AEAD_KEY_BYTES], uint64_t nonce, struct ww_bytes ad,
    struct ww_bytes plain, uint8_t *out);
WW_MUST_USE ww_err ww_aead_open_once(const uint8_t key[WW_AEAD_KEY_BYTES], uint64_t nonce, struct ww_bytes ad,
    struct ww_bytes sealed, uint8_t *out);

#endif
