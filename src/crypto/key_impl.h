/* crypto/key_impl.h — the key types behind crypto/keys.h, a file each. Inside src/crypto only. */
#ifndef WW_CRYPTO_KEY_IMPL_H
#define WW_CRYPTO_KEY_IMPL_H

#include "crypto/keys.h"

/* `check`: data is the one encoding of an acceptable key. `verify`: data was checked before. */
WW_MUST_USE ww_err ww_key_ed25519_check(struct ww_bytes data);
WW_MUST_USE ww_err ww_key_ed25519_verify(struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig);
void ww_key_ed25519_sign(const uint8_t raw[64], struct ww_bytes message, struct ww_signature *ret_sig);
/* Seed to seed and public key. */
void ww_key_ed25519_expand(const uint8_t seed[32], uint8_t ret_raw[64]);

WW_MUST_USE ww_err ww_key_secp256k1_check(struct ww_bytes data);
WW_MUST_USE ww_err ww_key_secp256k1_verify(
    struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig);
WW_MUST_USE ww_err ww_key_secp256k1_sign(
    const uint8_t secret[32], struct ww_bytes message, struct ww_signature *ret_sig);
WW_MUST_USE ww_err ww_key_secp256k1_public(const uint8_t secret[32], uint8_t ret_public[33]);

/* RSA and ECDSA. */
WW_MUST_USE ww_err ww_key_spki_check(enum ww_key_type type, struct ww_bytes data);
WW_MUST_USE ww_err ww_key_spki_verify(
    enum ww_key_type type, struct ww_bytes data, struct ww_bytes message, struct ww_bytes sig);
WW_MUST_USE ww_err ww_key_der_sign(
    enum ww_key_type type, struct ww_bytes der, struct ww_bytes message, struct ww_signature *ret_sig);
/* The SubjectPublicKeyInfo that belongs to a private key. */
WW_MUST_USE ww_err ww_key_der_public(enum ww_key_type type, struct ww_bytes der, struct ww_pubkey *ret_key);

#endif
