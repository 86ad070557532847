#include "p2p/noise_xx.h"

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"

#define DH_BYTES WW_X25519_BYTES
#define SEALED_S_BYTES (DH_BYTES + WW_AEAD_TAG_BYTES)

/* Exactly 32 bytes, so it is the first hash as it stands. */
static const char protocol[] = "Noise_XX_25519_ChaChaPoly_SHA256";
_Static_assert(sizeof protocol - 1 == 32, "a longer name would have to be hashed");

static void mix_hash(struct ww_noise_xx *xx, struct ww_bytes data)
{
    struct ww_sha256 h;
    ww_sha256_init(&h);
    ww_sha256_update(&h, ww_bytes(xx->hash, sizeof xx->hash));
    ww_sha256_update(&h, data);
    ww_sha256_final(&h, xx->hash);
}

static ww_err mix_dh(struct ww_noise_xx *xx, const uint8_t secret[32], const uint8_t remote[32])
{
    uint8_t shared[DH_BYTES];
    WW_TRY(ww_x25519(secret, remote, shared));
    ww_hkdf2_sha256(xx->chaining_key, ww_bytes(shared, sizeof shared), xx->chaining_key, xx->key);
    ww_wipe(shared, sizeof shared);
    xx->keyed = true;
    xx->nonce = 0;
    return 0;
}

static struct ww_bytes hash_view(const struct ww_noise_xx *xx)
{
    return ww_bytes(xx->hash, sizeof xx->hash);
}

/* Appends plain, encrypted once there is a key, and mixes in what is sent. */
static ww_err seal(struct ww_noise_xx *xx, struct ww_bytes plain, struct ww_buf *out)
{
    size_t len = plain.len + (xx->keyed ? WW_AEAD_TAG_BYTES : 0);
    uint8_t *room;
    if (len > 0)
        WW_TRY(ww_buf_reserve(out, len, &room));
    if (xx->keyed) {
        ww_aead_seal_once(xx->key, xx->nonce++, hash_view(xx), plain, room);
        mix_hash(xx, ww_bytes(room, len));
    } else {
        if (len > 0)
            memcpy(room, plain.ptr, len);
        mix_hash(xx, plain);
    }
    ww_buf_commit(out, len);
    return 0;
}

/* The reverse, in place. */
static ww_err open(struct ww_noise_xx *xx, uint8_t *sealed, size_t len, struct ww_bytes *ret_plain)
{
    struct ww_bytes in = ww_bytes(sealed, len);
    struct ww_bytes ad = hash_view(xx);
    uint8_t before[32];
    if (!xx->keyed) {
        mix_hash(xx, in);
        *ret_plain = in;
        return 0;
    }
    memcpy(before, ad.ptr, sizeof before);
    mix_hash(xx, in); /* of the ciphertext, so before it is overwritten */
    WW_TRY(ww_aead_open_once(xx->key, xx->nonce++, ww_bytes(before, sizeof before), in, sealed));
    *ret_plain = ww_bytes(sealed, len - WW_AEAD_TAG_BYTES);
    return 0;
}

void ww_noise_xx_init(struct ww_noise_xx *xx, bool initiator, struct ww_bytes prologue,
    const uint8_t s_secret[32], const uint8_t s_public[32], const uint8_t e_secret[32])
{
    *xx = (struct ww_noise_xx){.initiator = initiator};
    memcpy(xx->hash, protocol, sizeof xx->hash);
    memcpy(xx->chaining_key, protocol, sizeof xx->chaining_key);
    memcpy(xx->s_secret, s_secret, sizeof xx->s_secret);
    memcpy(xx->s_public, s_public, sizeof xx->s_public);
    memcpy(xx->e_secret, e_secret, sizeof xx->e_secret);
    ww_x25519_public(e_secret, xx->e_public);
    mix_hash(xx, prologue);
}

static ww_err write_e(struct ww_noise_xx *xx, struct ww_buf *out)
{
    struct ww_bytes e = ww_bytes(xx->e_public, DH_BYTES);
    mix_hash(xx, e);
    return ww_buf_append(out, e);
}

static ww_err write_s(struct ww_noise_xx *xx, struct ww_buf *out)
{
    return seal(xx, ww_bytes(xx->s_public, DH_BYTES), out);
}

ww_err ww_noise_xx_write(struct ww_noise_xx *xx, struct ww_bytes payload, struct ww_buf *out)
{
    WW_ASSERT(xx->step < 3 && (xx->step % 2 == 0) == xx->initiator);
    switch (xx->step++) {
    case 0:
        WW_TRY(write_e(xx, out));
        break;
    case 1:
        WW_TRY(write_e(xx, out));
        WW_TRY(mix_dh(xx, xx->e_secret, xx->remote_e));
        WW_TRY(write_s(xx, out));
        WW_TRY(mix_dh(xx, xx->s_secret, xx->remote_e));
        break;
    default:
        WW_TRY(write_s(xx, out));
        WW_TRY(mix_dh(xx, xx->s_secret, xx->remote_e));
        break;
    }
    return seal(xx, payload, out);
}

struct cursor {
    uint8_t *at;
    size_t left;
};

static ww_err take(struct cursor *in, size_t len, uint8_t **ret_part)
{
    if (in->left < len)
        return WW_ETRUNC;
    *ret_part = in->at;
    in->at += len;
    in->left -= len;
    return 0;
}

static ww_err read_e(struct ww_noise_xx *xx, struct cursor *in)
{
    uint8_t *e;
    WW_TRY(take(in, DH_BYTES, &e));
    memcpy(xx->remote_e, e, DH_BYTES);
    mix_hash(xx, ww_bytes(e, DH_BYTES));
    return 0;
}

static ww_err read_s(struct ww_noise_xx *xx, struct cursor *in)
{
    uint8_t *sealed;
    struct ww_bytes s;
    WW_TRY(take(in, SEALED_S_BYTES, &sealed));
    WW_TRY(open(xx, sealed, SEALED_S_BYTES, &s));
    memcpy(xx->remote_s, s.ptr, DH_BYTES);
    return 0;
}

ww_err ww_noise_xx_read(struct ww_noise_xx *xx, uint8_t *message, size_t len, struct ww_bytes *ret_payload)
{
    struct cursor in = {message, len};
    WW_ASSERT(xx->step < 3 && (xx->step % 2 == 1) == xx->initiator);
    switch (xx->step++) {
    case 0:
        WW_TRY(read_e(xx, &in));
        break;
    case 1:
        WW_TRY(read_e(xx, &in));
        WW_TRY(mix_dh(xx, xx->e_secret, xx->remote_e));
        WW_TRY(read_s(xx, &in));
        WW_TRY(mix_dh(xx, xx->e_secret, xx->remote_s));
        break;
    default:
        WW_TRY(read_s(xx, &in));
        WW_TRY(mix_dh(xx, xx->e_secret, xx->remote_s));
        break;
    }
    return open(xx, in.at, in.left, ret_payload);
}

void ww_noise_xx_split(const struct ww_noise_xx *xx, uint8_t ret_seal[32], uint8_t ret_open[32])
{
    WW_ASSERT(xx->step == 3);
    uint8_t *first = xx->initiator ? ret_seal : ret_open, *second = xx->initiator ? ret_open : ret_seal;
    ww_hkdf2_sha256(xx->chaining_key, ww_bytes(NULL, 0), first, second);
}
