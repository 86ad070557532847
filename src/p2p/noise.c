/* The libp2p handshake on top of XX: who signs what, which muxer, frames. The cryptography is in noise_xx.c.
 */
#include "p2p/noise.h"

#include "base/protobuf.h"
#include "crypto/x25519.h"

enum {
    FIELD_IDENTITY_KEY = 1,
    FIELD_IDENTITY_SIG = 2,
    FIELD_EXTENSIONS = 4,
    FIELD_STREAM_MUXERS = 2, /* inside the extensions */
};

#define E_BYTES WW_X25519_BYTES
#define SEALED_S_BYTES (WW_X25519_BYTES + WW_AEAD_TAG_BYTES)
#define HANDSHAKE_MESSAGE_MAX (E_BYTES + SEALED_S_BYTES + WW_NOISE_PAYLOAD_MAX + WW_AEAD_TAG_BYTES)

static const char sig_prefix[] = "noise-libp2p-static-key:";
#define SIG_PREFIX_BYTES (sizeof sig_prefix - 1)

static void signed_bytes(const uint8_t static_public[32], uint8_t ret[SIG_PREFIX_BYTES + 32])
{
    memcpy(ret, sig_prefix, SIG_PREFIX_BYTES);
    memcpy(ret + SIG_PREFIX_BYTES, static_public, 32);
}

static ww_err put_identity(struct ww_buf *out, const struct ww_pubkey *key, const struct ww_signature *sig)
{
    uint8_t encoded[WW_PUBKEY_ENCODED_MAX];
    size_t len = ww_pubkey_encode(key, encoded);
    WW_TRY(ww_protobuf_put_bytes(out, FIELD_IDENTITY_KEY, ww_bytes(encoded, len)));
    return ww_protobuf_put_bytes(out, FIELD_IDENTITY_SIG, ww_signature_view(sig));
}

ww_err ww_noise_identity_init(
    struct ww_noise_identity *id, const struct ww_keypair *pair, const uint8_t static_secret[32])
{
    uint8_t covered[SIG_PREFIX_BYTES + 32];
    struct ww_signature sig;
    memcpy(id->static_secret, static_secret, sizeof id->static_secret);
    ww_x25519_public(static_secret, id->static_public);
    ww_buf_init(&id->payload, WW_NOISE_PAYLOAD_MAX);
    signed_bytes(id->static_public, covered);
    ww_err err = ww_keypair_sign(pair, ww_bytes(covered, sizeof covered), &sig);
    if (err == 0)
        err = put_identity(&id->payload, &pair->pub, &sig);
    if (err < 0)
        ww_noise_identity_fini(id);
    return err;
}

void ww_noise_identity_fini(struct ww_noise_identity *id)
{
    ww_wipe(id->static_secret, sizeof id->static_secret);
    ww_buf_fini(&id->payload);
}

/* ---- sending ---- */

static ww_err put_payload(const struct ww_noise *n, struct ww_buf *out)
{
    size_t size = 0;
    WW_TRY(ww_buf_append(out, ww_buf_view(&n->identity->payload)));
    if (n->muxer_count == 0)
        return 0;
    for (size_t i = 0; i < n->muxer_count; i++)
        size += ww_protobuf_bytes_size(FIELD_STREAM_MUXERS, n->muxers[i].len);
    WW_TRY(ww_protobuf_put_header(out, FIELD_EXTENSIONS, size));
    for (size_t i = 0; i < n->muxer_count; i++)
        WW_TRY(ww_protobuf_put_bytes(out, FIELD_STREAM_MUXERS, n->muxers[i]));
    return 0;
}

/* Appends a frame whose length is filled in when it is known. */
static ww_err send_message(struct ww_noise *n, struct ww_bytes payload)
{
    static const uint8_t no_length[WW_NOISE_PREFIX_BYTES] = {0};
    size_t at = ww_buf_len(&n->out);
    WW_TRY(ww_buf_append(&n->out, ww_bytes(no_length, sizeof no_length)));
    WW_TRY(ww_noise_xx_write(&n->xx, payload, &n->out));
    size_t len = ww_buf_len(&n->out) - at - WW_NOISE_PREFIX_BYTES;
    ww_be16_store(ww_buf_data(&n->out) + at, (uint16_t)len);
    return 0;
}

static ww_err send_identity(struct ww_noise *n)
{
    struct ww_buf payload;
    ww_buf_init(&payload, WW_NOISE_PAYLOAD_MAX);
    ww_err err = put_payload(n, &payload);
    if (err == 0)
        err = send_message(n, ww_buf_view(&payload));
    ww_buf_fini(&payload);
    return err;
}

ww_err ww_noise_init(struct ww_noise *n, const struct ww_noise_conf *conf)
{
    bool initiator = conf->role == WW_NOISE_INITIATOR;
    if (conf->muxer_count > WW_NOISE_MUXERS_MAX)
        return WW_EINVAL;
    n->state = initiator ? WW_NOISE_WANT_EES : WW_NOISE_WANT_E;
    n->identity = conf->identity;
    n->expected = conf->expected ? *conf->expected : (struct ww_peer_id){0};
    n->muxers = conf->muxers;
    n->muxer_count = conf->muxer_count;
    n->remote_key.len = 0;
    n->remote = (struct ww_peer_id){0};
    n->muxer = -1;
    ww_buf_init(&n->in, WW_NOISE_PREFIX_BYTES + HANDSHAKE_MESSAGE_MAX);
    ww_buf_init(&n->out, 2 * (WW_NOISE_PREFIX_BYTES + HANDSHAKE_MESSAGE_MAX));
    ww_noise_xx_init(&n->xx, initiator, conf->prologue, conf->identity->static_secret,
        conf->identity->static_public, conf->ephemeral_secret);
    ww_err err = initiator ? send_message(n, ww_bytes(NULL, 0)) : WW_OK;
    if (err < 0)
        ww_noise_fini(n);
    return err;
}

void ww_noise_fini(struct ww_noise *n)
{
    ww_noise_xx_fini(&n->xx);
    ww_buf_fini(&n->in);
    ww_buf_fini(&n->out);
    n->state = WW_NOISE_FAILED;
}

/* ---- receiving ---- */

struct payload {
    struct ww_bytes key, sig, extensions;
};

/* Unknown fields are skipped: later extensions and the legacy field 3. */
static ww_err parse_payload(struct ww_bytes in, struct payload *ret)
{
    struct ww_protobuf_field f;
    ww_err got;
    *ret = (struct payload){0};
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        struct ww_bytes *to = f.number == FIELD_IDENTITY_KEY ? &ret->key
            : f.number == FIELD_IDENTITY_SIG                 ? &ret->sig
            : f.number == FIELD_EXTENSIONS                   ? &ret->extensions
                                                             : NULL;
        if (!to)
            continue;
        if (f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        *to = f.bytes;
    }
    return got;
}

/* 1 and the next muxer of the peer, 0 at the end. */
static ww_err next_muxer(struct ww_bytes *extensions, struct ww_bytes *ret_muxer)
{
    struct ww_protobuf_field f;
    ww_err got;
    while ((got = ww_protobuf_next(extensions, &f)) > 0) {
        if (f.number != FIELD_STREAM_MUXERS)
            continue;
        if (f.wire != WW_PROTOBUF_BYTES)
            return WW_EPROTO;
        *ret_muxer = f.bytes;
        return 1;
    }
    return got;
}

static int own_muxer(const struct ww_noise *n, struct ww_bytes muxer)
{
    for (size_t i = 0; i < n->muxer_count; i++) {
        if (ww_bytes_eq(n->muxers[i], muxer))
            return (int)i;
    }
    return -1;
}

/* The initiator's first that the responder has too. A side without a list leaves it to later negotiation; two
 * lists without a common entry end the connection. */
static ww_err choose_muxer(struct ww_noise *n, struct ww_bytes extensions)
{
    struct ww_bytes muxer;
    int best = -1;
    bool named = false;
    ww_err got;
    while ((got = next_muxer(&extensions, &muxer)) > 0) {
        int own = own_muxer(n, muxer);
        named = true;
        if (own < 0)
            continue;
        if (best < 0 || (n->xx.initiator && own < best))
            best = own;
    }
    if (got < 0)
        return got;
    if (named && n->muxer_count > 0 && best < 0)
        return WW_ENOPROTO;
    n->muxer = best;
    return 0;
}

/* Nothing of the payload is believed before its signature has bound the identity to this channel's static
 * key. */
static ww_err meet(struct ww_noise *n, struct ww_bytes in)
{
    struct payload p;
    uint8_t covered[SIG_PREFIX_BYTES + 32];
    WW_TRY(parse_payload(in, &p));
    WW_TRY(ww_pubkey_decode(p.key, &n->remote_key));
    signed_bytes(n->xx.remote_s, covered);
    WW_TRY(ww_pubkey_verify(&n->remote_key, ww_bytes(covered, sizeof covered), p.sig));
    ww_peer_id_from_key(&n->remote_key, &n->remote);
    if (n->expected.len != 0 && !ww_peer_id_eq(&n->expected, &n->remote))
        return WW_EPEERID;
    return choose_muxer(n, p.extensions);
}

static ww_err receive_message(struct ww_noise *n, uint8_t *message, size_t len)
{
    struct ww_bytes payload;
    WW_TRY(ww_noise_xx_read(&n->xx, message, len, &payload));
    switch (n->state) {
    case WW_NOISE_WANT_E:
        WW_ASSERT(payload.len == 0); /* frame_bounds let exactly 32 bytes in */
        WW_TRY(send_identity(n));
        n->state = WW_NOISE_WANT_S;
        return 0;
    case WW_NOISE_WANT_EES:
        WW_TRY(meet(n, payload));
        WW_TRY(send_identity(n));
        n->state = WW_NOISE_DONE;
        return 0;
    case WW_NOISE_WANT_S:
        WW_TRY(meet(n, payload));
        n->state = WW_NOISE_DONE;
        return 0;
    case WW_NOISE_DONE:
    case WW_NOISE_FAILED:
        break;
    }
    return WW_ESTATE;
}

/* Known from the prefix alone: does this length fit the message that comes next? */
static ww_err check_length(const struct ww_noise *n, size_t len)
{
    size_t min = E_BYTES, max = E_BYTES;
    if (n->state == WW_NOISE_WANT_EES) {
        min = E_BYTES + SEALED_S_BYTES + WW_AEAD_TAG_BYTES;
        max = HANDSHAKE_MESSAGE_MAX;
    } else if (n->state == WW_NOISE_WANT_S) {
        min = SEALED_S_BYTES + WW_AEAD_TAG_BYTES;
        max = HANDSHAKE_MESSAGE_MAX - E_BYTES;
    }
    return len < min ? WW_EPROTO : len > max ? WW_ELIMIT : WW_OK;
}

/* Moves up to `want` bytes in all into the frame buffer. */
static ww_err collect(struct ww_noise *n, struct ww_bytes *data, size_t want)
{
    size_t have = ww_buf_len(&n->in);
    size_t count = want - have < data->len ? want - have : data->len;
    WW_TRY(ww_buf_append(&n->in, ww_bytes(data->ptr, count)));
    *data = ww_bytes_skip(*data, count);
    return 0;
}

static ww_err feed(struct ww_noise *n, struct ww_bytes *data)
{
    while (data->len > 0 && n->state < WW_NOISE_DONE) {
        if (ww_buf_len(&n->in) < WW_NOISE_PREFIX_BYTES)
            WW_TRY(collect(n, data, WW_NOISE_PREFIX_BYTES));
        size_t size = ww_noise_frame_size(ww_buf_view(&n->in));
        if (size == 0)
            return 0;
        WW_TRY(check_length(n, size - WW_NOISE_PREFIX_BYTES));
        WW_TRY(collect(n, data, size));
        if (ww_buf_len(&n->in) < size)
            return 0;
        WW_TRY(receive_message(n, ww_buf_data(&n->in) + WW_NOISE_PREFIX_BYTES, size - WW_NOISE_PREFIX_BYTES));
        ww_buf_consume(&n->in, size);
    }
    return 0;
}

ww_err ww_noise_feed(struct ww_noise *n, struct ww_bytes data, size_t *ret_used)
{
    struct ww_bytes rest = data;
    if (n->state == WW_NOISE_FAILED)
        return WW_ESTATE;
    ww_err err = feed(n, &rest);
    if (err < 0) {
        n->state = WW_NOISE_FAILED;
        return err;
    }
    *ret_used = data.len - rest.len;
    return 0;
}

struct ww_bytes ww_noise_output(const struct ww_noise *n)
{
    return n->state == WW_NOISE_FAILED ? ww_bytes(NULL, 0) : ww_buf_view(&n->out);
}

void ww_noise_sent(struct ww_noise *n, size_t count)
{
    ww_buf_consume(&n->out, count);
}
