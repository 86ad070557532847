#include "crypto/aead.h"

#include <openssl/err.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>

#define NONCE_BYTES 12

/* Up to here libsodium's call is faster than the fixed cost of an EVP operation (measured: 300 against 400
 * ns). */
#define SMALL_BYTES 96

/* Cipher and authenticator pass over the data one after the other: pieces of this size are still in the
 * first-level cache at the second pass. Also keeps lengths far inside the `int` of EVP. */
#define CHUNK_BYTES (16u << 10)

#define BLOCK_BYTES 64 /* of the key stream */
#define STAGE_BYTES (4u << 10)

struct ww_aead {
    EVP_CIPHER_CTX *evp;
    uint8_t key[WW_AEAD_KEY_BYTES];
};

static void nonce_bytes(uint64_t nonce, uint8_t ret_bytes[NONCE_BYTES])
{
    memset(ret_bytes, 0, 4);
    ww_le64_store(ret_bytes + 4, nonce);
}

ww_err ww_aead_new(const uint8_t key[WW_AEAD_KEY_BYTES], struct ww_aead **ret_aead)
{
    if (sodium_init() < 0)
        return WW_ECRYPTO;
    struct ww_aead *a = WW_NEW(struct ww_aead);
    if (!a)
        return WW_ENOMEM;
    memcpy(a->key, key, sizeof a->key);
    /* Without reading openssl.cnf: nothing in it concerns one cipher by name, and a short command feels the time. */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    a->evp = EVP_CIPHER_CTX_new();
    if (!a->evp || EVP_CipherInit_ex2(a->evp, EVP_chacha20_poly1305(), key, NULL, 1, NULL) != 1) {
        ERR_clear_error();
        ww_aead_free(a);
        return WW_ENOMEM;
    }
    *ret_aead = a;
    return 0;
}

void ww_aead_free(struct ww_aead *a)
{
    if (!a)
        return;
    EVP_CIPHER_CTX_free(a->evp);
    ww_wipe(a->key, sizeof a->key);
    ww_free(a);
}

/* Runs one piece through the context. Output is as long as the input: this is a stream cipher. */
static bool update(EVP_CIPHER_CTX *evp, struct ww_bytes in, uint8_t *out)
{
    while (in.len > 0) {
        size_t n = in.len < CHUNK_BYTES ? in.len : CHUNK_BYTES;
        int written;
        if (EVP_CipherUpdate(evp, out, &written, in.ptr, (int)n) != 1)
            return false;
        in = ww_bytes_skip(in, n);
        out = out ? out + n : NULL;
    }
    return true;
}

/* Encrypts the pieces to `out`. Each call of the cipher costs a tenth of a microsecond, and a piece that ends
 * inside a block of the key stream as much again, so short pieces (headers) are first copied together with
 * what follows them. */
static bool seal_pieces(EVP_CIPHER_CTX *evp, const struct ww_bytes *pieces, size_t count, uint8_t *out)
{
    size_t staged = 0; /* bytes at `out` that are still in the clear */
    for (size_t i = 0; i < count; i++) {
        struct ww_bytes rest = pieces[i];
        while (rest.len > 0) {
            bool direct = staged == 0 && rest.len >= STAGE_BYTES;
            size_t n = direct ? rest.len - rest.len % BLOCK_BYTES : STAGE_BYTES - staged;
            n = n < rest.len ? n : rest.len;
            if (direct) {
                if (!update(evp, ww_bytes(rest.ptr, n), out))
                    return false;
                out += n;
            } else {
                memmove(out + staged, rest.ptr, n);
                staged += n;
            }
            if (staged == STAGE_BYTES) {
                if (!update(evp, ww_bytes(out, staged), out))
                    return false;
                out += staged;
                staged = 0;
            }
            rest = ww_bytes_skip(rest, n);
        }
    }
    return update(evp, ww_bytes(out, staged), out);
}

static bool seal_evp(EVP_CIPHER_CTX *evp, const uint8_t nonce[NONCE_BYTES], struct ww_bytes ad,
    const struct ww_bytes *pieces, size_t count, uint8_t *out, size_t total)
{
    int written;
    return EVP_CipherInit_ex2(evp, NULL, NULL, nonce, 1, NULL) == 1 && update(evp, ad, NULL) &&
        seal_pieces(evp, pieces, count, out) && EVP_CipherFinal_ex(evp, out + total, &written) == 1 &&
        EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, WW_AEAD_TAG_BYTES, out + total) == 1;
}

ww_err ww_aead_seal(struct ww_aead *a, uint64_t nonce, struct ww_bytes ad, const struct ww_bytes *pieces,
    size_t count, uint8_t *out)
{
    uint8_t iv[NONCE_BYTES];
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].len;
    if (total <= SMALL_BYTES) {
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            if (pieces[i].len)
                memmove(out + at, pieces[i].ptr, pieces[i].len);
            at += pieces[i].len;
        }
        ww_aead_seal_once(a->key, nonce, ad, ww_bytes(out, total), out);
        return 0;
    }
    nonce_bytes(nonce, iv);
    if (!seal_evp(a->evp, iv, ad, pieces, count, out, total)) {
        ERR_clear_error();
        return WW_ECRYPTO;
    }
    return 0;
}

static bool open_evp(EVP_CIPHER_CTX *evp, const uint8_t nonce[NONCE_BYTES], struct ww_bytes ad,
    struct ww_bytes sealed, uint8_t *out)
{
    uint8_t tag[WW_AEAD_TAG_BYTES], none[1];
    size_t len = sealed.len - WW_AEAD_TAG_BYTES;
    int written;
    memcpy(tag, sealed.ptr + len, sizeof tag);
    return EVP_CipherInit_ex2(evp, NULL, NULL, nonce, 0, NULL) == 1 && update(evp, ad, NULL) &&
        update(evp, ww_bytes(sealed.ptr, len), out) &&
        EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, WW_AEAD_TAG_BYTES, tag) == 1 &&
        EVP_CipherFinal_ex(evp, none, &written) == 1;
}

ww_err ww_aead_open(
    struct ww_aead *a, uint64_t nonce, struct ww_bytes ad, struct ww_bytes sealed, uint8_t *out)
{
    uint8_t iv[NONCE_BYTES];
    if (sealed.len <= SMALL_BYTES + WW_AEAD_TAG_BYTES)
        return ww_aead_open_once(a->key, nonce, ad, sealed, out);
    nonce_bytes(nonce, iv);
    if (!open_evp(a->evp, iv, ad, sealed, out)) {
        ERR_clear_error();
        return WW_ECRYPTO;
    }
    return 0;
}

void ww_aead_seal_once(const uint8_t key[WW_AEAD_KEY_BYTES], uint64_t nonce, struct ww_bytes ad,
    struct ww_bytes plain, uint8_t *out)
{
    uint8_t iv[NONCE_BYTES];
    nonce_bytes(nonce, iv);
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        out, out + plain.len, NULL, plain.ptr, plain.len, ad.ptr, ad.len, NULL, iv, key);
}

ww_err ww_aead_open_once(const uint8_t key[WW_AEAD_KEY_BYTES], uint64_t nonce, struct ww_bytes ad,
    struct ww_bytes sealed, uint8_t *out)
{
    uint8_t iv[NONCE_BYTES];
    if (sealed.len < WW_AEAD_TAG_BYTES)
        return WW_ECRYPTO;
    size_t len = sealed.len - WW_AEAD_TAG_BYTES;
    nonce_bytes(nonce, iv);
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               out, NULL, sealed.ptr, len, sealed.ptr + len, ad.ptr, ad.len, iv, key) == 0
        ? 0
        : WW_ECRYPTO;
}
