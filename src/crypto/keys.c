#include "crypto/keys.h"

#include "base/varint.h"
#include "crypto/key_impl.h"

#define TAG_TYPE 0x08
#define TAG_DATA 0x12

/* A private key of 8192 bits has 4.7 KB. */
#define PRIVATE_DATA_MAX 8192

/* The one way to write a key message: `08 type 12 length data`, and no byte more. */
static ww_err split_message(struct ww_bytes in, enum ww_key_type *ret_type, struct ww_bytes *ret_data)
{
    uint64_t len;
    if (in.len < 4)
        return WW_ETRUNC;
    if (in.ptr[0] != TAG_TYPE || in.ptr[2] != TAG_DATA)
        return WW_EPROTO;
    if (in.ptr[1] > WW_KEY_ECDSA)
        return WW_EUNSUPPORTED;
    enum ww_key_type type = (enum ww_key_type)in.ptr[1];
    in = ww_bytes_skip(in, 3);
    ww_err n = ww_uvarint_decode(in, &len);
    if (n < 0)
        return n;
    in = ww_bytes_skip(in, (size_t)n);
    if (len != in.len)
        return len > in.len ? WW_ETRUNC : WW_EPROTO;
    *ret_type = type;
    *ret_data = in;
    return 0;
}

static ww_err check(enum ww_key_type type, struct ww_bytes data)
{
    switch (type) {
    case WW_KEY_ED25519:
        return ww_key_ed25519_check(data);
    case WW_KEY_SECP256K1:
        return ww_key_secp256k1_check(data);
    case WW_KEY_RSA:
    case WW_KEY_ECDSA:
        return ww_key_spki_check(type, data);
    }
    return WW_EUNSUPPORTED;
}

/* Leaves the unused part of the array alone: clearing a kilobyte for a 32-byte key would show in gossip. */
static void set_public(struct ww_pubkey *key, enum ww_key_type type, struct ww_bytes data)
{
    key->type = type;
    key->len = (uint16_t)data.len;
    memcpy(key->data, data.ptr, data.len);
}

ww_err ww_pubkey_from_data(enum ww_key_type type, struct ww_bytes data, struct ww_pubkey *ret_key)
{
    WW_TRY(check(type, data));
    set_public(ret_key, type, data);
    return 0;
}

ww_err ww_pubkey_decode(struct ww_bytes encoded, struct ww_pubkey *ret_key)
{
    enum ww_key_type type;
    struct ww_bytes data;
    WW_TRY(split_message(encoded, &type, &data));
    return ww_pubkey_from_data(type, data, ret_key);
}

size_t ww_pubkey_encoded_size(const struct ww_pubkey *key)
{
    return 3 + ww_varint_size(key->len) + key->len;
}

static size_t put_header(enum ww_key_type type, size_t data_len, uint8_t *out)
{
    out[0] = TAG_TYPE;
    out[1] = (uint8_t)type;
    out[2] = TAG_DATA;
    return 3 + ww_varint_encode(data_len, out + 3);
}

size_t ww_pubkey_encode(const struct ww_pubkey *key, uint8_t *out)
{
    size_t at = put_header(key->type, key->len, out);
    memcpy(out + at, key->data, key->len);
    return at + key->len;
}

bool ww_pubkey_eq(const struct ww_pubkey *a, const struct ww_pubkey *b)
{
    return a->type == b->type && ww_bytes_eq(ww_pubkey_view(a), ww_pubkey_view(b));
}

ww_err ww_pubkey_verify(const struct ww_pubkey *key, struct ww_bytes message, struct ww_bytes signature)
{
    struct ww_bytes data = ww_pubkey_view(key);
    if (signature.len == 0) /* libsecp256k1 aborts on a NULL */
        return WW_ECRYPTO;
    switch (key->type) {
    case WW_KEY_ED25519:
        return ww_key_ed25519_verify(data, message, signature);
    case WW_KEY_SECP256K1:
        return ww_key_secp256k1_verify(data, message, signature);
    case WW_KEY_RSA:
    case WW_KEY_ECDSA:
        return ww_key_spki_verify(key->type, data, message, signature);
    }
    return WW_EUNSUPPORTED;
}

void ww_keypair_from_seed(struct ww_keypair *ret_pair, const uint8_t seed[WW_ED25519_SEED_BYTES])
{
    ww_key_ed25519_expand(seed, ret_pair->raw);
    ww_buf_init(&ret_pair->der, PRIVATE_DATA_MAX);
    set_public(&ret_pair->pub, WW_KEY_ED25519, ww_bytes(ret_pair->raw + 32, 32));
}

static ww_err load_ed25519(struct ww_bytes data, struct ww_keypair *pair)
{
    if (data.len != 64 && data.len != 96)
        return WW_EPROTO;
    ww_keypair_from_seed(pair, data.ptr);
    for (size_t at = 32; at < data.len; at += 32) {
        if (memcmp(data.ptr + at, pair->pub.data, 32) != 0)
            return WW_ECRYPTO;
    }
    return 0;
}

static ww_err load_secp256k1(struct ww_bytes data, struct ww_keypair *pair)
{
    uint8_t public_key[33];
    if (data.len != 32)
        return WW_EPROTO;
    WW_TRY(ww_key_secp256k1_public(data.ptr, public_key));
    memcpy(pair->raw, data.ptr, 32);
    set_public(&pair->pub, WW_KEY_SECP256K1, ww_bytes(public_key, sizeof public_key));
    return 0;
}

static ww_err load_der(enum ww_key_type type, struct ww_bytes data, struct ww_keypair *pair)
{
    WW_TRY(ww_key_der_public(type, data, &pair->pub));
    return ww_buf_append(&pair->der, data);
}

static ww_err load(enum ww_key_type type, struct ww_bytes data, struct ww_keypair *pair)
{
    switch (type) {
    case WW_KEY_ED25519:
        return load_ed25519(data, pair);
    case WW_KEY_SECP256K1:
        return load_secp256k1(data, pair);
    case WW_KEY_RSA:
    case WW_KEY_ECDSA:
        return load_der(type, data, pair);
    }
    return WW_EUNSUPPORTED;
}

/* A damaged file may hold halves that do not belong together: found here, not at the first handshake. */
static ww_err prove(const struct ww_keypair *pair)
{
    struct ww_signature sig;
    struct ww_bytes message = WW_BYTES_LIT("key pair check");
    WW_TRY(ww_keypair_sign(pair, message, &sig));
    return ww_pubkey_verify(&pair->pub, message, ww_signature_view(&sig));
}

ww_err ww_keypair_decode(struct ww_bytes encoded, struct ww_keypair *ret_pair)
{
    enum ww_key_type type;
    struct ww_bytes data;
    struct ww_keypair pair;
    WW_TRY(split_message(encoded, &type, &data));
    if (data.len > PRIVATE_DATA_MAX)
        return WW_ELIMIT;
    memset(&pair, 0, sizeof pair);
    ww_buf_init(&pair.der, PRIVATE_DATA_MAX);
    ww_err err = load(type, data, &pair);
    if (err == 0)
        err = prove(&pair);
    if (err < 0) {
        ww_keypair_fini(&pair);
        return err;
    }
    *ret_pair = pair;
    ww_wipe(pair.raw, sizeof pair.raw);
    return 0;
}

static struct ww_bytes secret_view(const struct ww_keypair *pair)
{
    switch (pair->pub.type) {
    case WW_KEY_ED25519:
        return ww_bytes(pair->raw, 64);
    case WW_KEY_SECP256K1:
        return ww_bytes(pair->raw, 32);
    case WW_KEY_RSA:
    case WW_KEY_ECDSA:
        break;
    }
    return ww_buf_view(&pair->der);
}

ww_err ww_keypair_encode(const struct ww_keypair *pair, struct ww_buf *out)
{
    uint8_t header[3 + WW_PROTOBUF_VARINT_MAX_BYTES], *room;
    struct ww_bytes secret = secret_view(pair);
    size_t header_len = put_header(pair->pub.type, secret.len, header);
    WW_TRY(ww_buf_reserve(out, header_len + secret.len, &room));
    memcpy(room, header, header_len);
    memcpy(room + header_len, secret.ptr, secret.len);
    ww_buf_commit(out, header_len + secret.len);
    return 0;
}

ww_err ww_keypair_sign(const struct ww_keypair *pair, struct ww_bytes message, struct ww_signature *ret_sig)
{
    switch (pair->pub.type) {
    case WW_KEY_ED25519:
        ww_key_ed25519_sign(pair->raw, message, ret_sig);
        return 0;
    case WW_KEY_SECP256K1:
        return ww_key_secp256k1_sign(pair->raw, message, ret_sig);
    case WW_KEY_RSA:
    case WW_KEY_ECDSA:
        return ww_key_der_sign(pair->pub.type, ww_buf_view(&pair->der), message, ret_sig);
    }
    return WW_EUNSUPPORTED;
}

void ww_keypair_fini(struct ww_keypair *pair)
{
    ww_wipe(pair->raw, sizeof pair->raw);
    if (pair->der.mem)
        ww_wipe(pair->der.mem, pair->der.capacity);
    ww_buf_fini(&pair->der);
}
