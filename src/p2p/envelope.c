#include "p2p/envelope.h"

#include "base/protobuf.h"

enum {
    FIELD_KEY = 1,
    FIELD_TYPE = 2,
    FIELD_PAYLOAD = 3,
    FIELD_SIGNATURE = 5,
};

#define SIGNED_MAX (WW_ENVELOPE_MAX_BYTES + WW_ENVELOPE_DOMAIN_MAX + 3 * WW_PROTOBUF_VARINT_MAX_BYTES)

static ww_err put_sized(struct ww_buf *out, struct ww_bytes data)
{
    uint8_t size[WW_PROTOBUF_VARINT_MAX_BYTES];
    WW_TRY(ww_buf_append(out, ww_bytes(size, ww_varint_encode(data.len, size))));
    return ww_buf_append(out, data);
}

/* What the signature covers: each part with its length before it. */
static ww_err put_signed(
    struct ww_buf *out, struct ww_bytes domain, struct ww_bytes type, struct ww_bytes payload)
{
    uint8_t *room;
    if (domain.len > WW_ENVELOPE_DOMAIN_MAX || type.len > WW_ENVELOPE_MAX_BYTES ||
        payload.len > WW_ENVELOPE_MAX_BYTES)
        return WW_ELIMIT;
    WW_TRY(
        ww_buf_reserve(out, domain.len + type.len + payload.len + 3 * WW_PROTOBUF_VARINT_MAX_BYTES, &room));
    WW_TRY(put_sized(out, domain));
    WW_TRY(put_sized(out, type));
    return put_sized(out, payload);
}

static ww_err put_envelope(struct ww_buf *out, const struct ww_pubkey *key, struct ww_bytes type,
    struct ww_bytes payload, const struct ww_signature *sig)
{
    uint8_t encoded[WW_PUBKEY_ENCODED_MAX], *room;
    struct ww_bytes key_bytes = ww_bytes(encoded, ww_pubkey_encode(key, encoded));
    size_t size = ww_protobuf_bytes_size(FIELD_KEY, key_bytes.len) +
        ww_protobuf_bytes_size(FIELD_TYPE, type.len) + ww_protobuf_bytes_size(FIELD_PAYLOAD, payload.len) +
        ww_protobuf_bytes_size(FIELD_SIGNATURE, sig->len);
    if (size > WW_ENVELOPE_MAX_BYTES)
        return WW_ELIMIT;
    WW_TRY(ww_buf_reserve(out, size, &room)); /* with room for all of it, nothing below can fail */
    WW_TRY(ww_protobuf_put_bytes(out, FIELD_KEY, key_bytes));
    WW_TRY(ww_protobuf_put_bytes(out, FIELD_TYPE, type));
    WW_TRY(ww_protobuf_put_bytes(out, FIELD_PAYLOAD, payload));
    return ww_protobuf_put_bytes(out, FIELD_SIGNATURE, ww_signature_view(sig));
}

ww_err ww_envelope_seal(const struct ww_keypair *signer, struct ww_bytes domain, struct ww_bytes payload_type,
    struct ww_bytes payload, struct ww_buf *out)
{
    struct ww_signature sig;
    struct ww_buf covered;
    ww_buf_init(&covered, SIGNED_MAX);
    ww_err err = put_signed(&covered, domain, payload_type, payload);
    if (err == 0)
        err = ww_keypair_sign(signer, ww_buf_view(&covered), &sig);
    ww_buf_fini(&covered);
    return err < 0 ? err : put_envelope(out, &signer->pub, payload_type, payload, &sig);
}

static ww_err parse(struct ww_bytes in, struct ww_envelope *ret)
{
    struct ww_protobuf_field f;
    struct ww_bytes key = {0};
    ww_err got;
    ret->payload_type = ret->payload = ret->signature = ww_bytes(NULL, 0);
    while ((got = ww_protobuf_next(&in, &f)) > 0) {
        if (f.wire != WW_PROTOBUF_BYTES) {
            if (f.number <= FIELD_SIGNATURE)
                return WW_EPROTO;
            continue;
        }
        if (f.number == FIELD_KEY)
            key = f.bytes;
        else if (f.number == FIELD_TYPE)
            ret->payload_type = f.bytes;
        else if (f.number == FIELD_PAYLOAD)
            ret->payload = f.bytes;
        else if (f.number == FIELD_SIGNATURE)
            ret->signature = f.bytes;
    }
    if (got < 0)
        return got;
    return ww_pubkey_decode(key, &ret->key);
}

ww_err ww_envelope_open(struct ww_bytes in, struct ww_bytes domain, struct ww_envelope *ret_envelope)
{
    struct ww_envelope env;
    struct ww_buf covered;
    if (in.len > WW_ENVELOPE_MAX_BYTES)
        return WW_ELIMIT;
    WW_TRY(parse(in, &env));
    ww_buf_init(&covered, SIGNED_MAX);
    ww_err err = put_signed(&covered, domain, env.payload_type, env.payload);
    if (err == 0)
        err = ww_pubkey_verify(&env.key, ww_buf_view(&covered), env.signature);
    ww_buf_fini(&covered);
    if (err == 0)
        *ret_envelope = env;
    return err;
}
