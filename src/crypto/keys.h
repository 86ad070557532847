/* crypto/keys.h — identity keys of libp2p: Ed25519, secp256k1, ECDSA, RSA.
 *
 * Public keys are plain values. Decoding accepts one encoding a key and no other (fields in order, minimal
 * numbers, DER that encodes back to itself), because the peer id is the hash of the encoding. Refused as
 * well: small-order and non-canonical Ed25519 points (anyone can sign for them), RSA outside 2048..8192 bits,
 * curves other than P-256, P-384, P-521.
 *
 * Key pairs hold secrets: `_fini` wipes and frees. Randomness comes from the caller.
 * Errors: WW_EPROTO, WW_ETRUNC, WW_ELIMIT malformed or refused encodings, WW_EUNSUPPORTED unknown key type,
 * WW_ECRYPTO failed check. Source: libp2p specs, peer-ids/peer-ids.md.
 */
#ifndef WW_CRYPTO_KEYS_H
#define WW_CRYPTO_KEYS_H

#include "base/buf.h"

/* Numbers on the wire. */
enum ww_key_type {
    WW_KEY_RSA = 0,
    WW_KEY_ED25519 = 1,
    WW_KEY_SECP256K1 = 2,
    WW_KEY_ECDSA = 3,
};

#define WW_ED25519_PUBLIC_BYTES 32
#define WW_ED25519_SEED_BYTES 32
#define WW_PUBKEY_DATA_MAX 1088 /* SPKI of an 8192-bit RSA key: 1062 bytes with the usual exponent */
#define WW_PUBKEY_ENCODED_MAX (WW_PUBKEY_DATA_MAX + 8)
#define WW_SIGNATURE_MAX 1024 /* RSA 8192 */

/* A checked public key. Only the first `len` bytes of `data` mean anything. */
struct ww_pubkey {
    enum ww_key_type type;
    uint16_t len;
    uint8_t data[WW_PUBKEY_DATA_MAX]; /* as in the protobuf: raw point, or PKIX SubjectPublicKeyInfo */
};

struct ww_signature {
    uint16_t len;
    uint8_t bytes[WW_SIGNATURE_MAX];
};

struct ww_keypair {
    struct ww_pubkey pub;
    uint8_t raw[64];   /* Ed25519: seed and public key; secp256k1: 32 bytes */
    struct ww_buf der; /* RSA, ECDSA: the private key as it was loaded */
};

/* Protobuf `PublicKey{Type=1, Data=2}`. */
WW_MUST_USE ww_err ww_pubkey_decode(struct ww_bytes encoded, struct ww_pubkey *ret_key);
/* Writes to `out`, which has room for WW_PUBKEY_ENCODED_MAX, and returns the length. */
size_t ww_pubkey_encode(const struct ww_pubkey *key, uint8_t *out);
size_t ww_pubkey_encoded_size(const struct ww_pubkey *key);
/* Checks raw data as the protobuf's Data field. */
WW_MUST_USE ww_err ww_pubkey_from_data(
    enum ww_key_type type, struct ww_bytes data, struct ww_pubkey *ret_key);
bool ww_pubkey_eq(const struct ww_pubkey *a, const struct ww_pubkey *b);
/* WW_OK, or WW_ECRYPTO: the signature does not fit. */
WW_MUST_USE ww_err ww_pubkey_verify(
    const struct ww_pubkey *key, struct ww_bytes message, struct ww_bytes signature);

/* The Ed25519 pair of a seed; 32 random bytes make a new identity. Never fails; _fini wipes. */
void ww_keypair_from_seed(struct ww_keypair *ret_pair, const uint8_t seed[WW_ED25519_SEED_BYTES]);
/* Protobuf `PrivateKey{Type=1, Data=2}`: Ed25519 (64 bytes, or the old form of 96), secp256k1 (32 bytes), RSA
 * (PKCS#1 DER), ECDSA (SEC 1 DER). Initializes `ret_pair` on success only. */
WW_MUST_USE ww_err ww_keypair_decode(struct ww_bytes encoded, struct ww_keypair *ret_pair);
/* Appends the protobuf form. It is the secret: wipe the buffer. */
WW_MUST_USE ww_err ww_keypair_encode(const struct ww_keypair *pair, struct ww_buf *out);
/* WW_ECRYPTO, WW_ENOMEM: cannot happen for Ed25519. */
WW_MUST_USE ww_err ww_keypair_sign(
    const struct ww_keypair *pair, struct ww_bytes message, struct ww_signature *ret_sig);
void ww_keypair_fini(struct ww_keypair *pair);

static inline struct ww_bytes ww_pubkey_view(const struct ww_pubkey *key)
{
    return ww_bytes(key->data, key->len);
}

static inline struct ww_bytes ww_signature_view(const struct ww_signature *sig)
{
    return ww_bytes(sig->bytes, sig->len);
}

#endif
