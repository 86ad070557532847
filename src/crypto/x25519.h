/* crypto/x25519.h — Diffie-Hellman on Curve25519 (RFC 7748), by libsodium. Secrets are 32 random bytes from
 * the environment; clamping happens inside. */
#ifndef WW_CRYPTO_X25519_H
#define WW_CRYPTO_X25519_H

#include "base/base.h"

#define WW_X25519_BYTES 32

void ww_x25519_public(const uint8_t secret[WW_X25519_BYTES], uint8_t ret_public[WW_X25519_BYTES]);
/* WW_ECRYPTO when the result is all zero, which only a small-order public value gives. */
WW_MUST_USE ww_err ww_x25519(const uint8_t secret[WW_X25519_BYTES], const uint8_t remote[WW_X25519_BYTES],
    uint8_t ret_shared[WW_X25519_BYTES]);

#endif
