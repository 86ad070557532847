#include "p2p/cid.h"

#include "base/varint.h"
#include "p2p/multibase.h"

#define V0_BYTES 34
#define V0_TEXT 46

static bool is_v0(struct ww_bytes in)
{
    return in.len == V0_BYTES && in.ptr[0] == WW_MULTIHASH_SHA2_256 && in.ptr[1] == 32;
}

static ww_err take_uvarint(struct ww_bytes *in, uint64_t *ret_value)
{
    ww_err n = ww_uvarint_decode(*in, ret_value);
    if (n < 0)
        return n;
    *in = ww_bytes_skip(*in, (size_t)n);
    return 0;
}

static void fill(struct ww_cid *cid, uint8_t version, uint64_t codec, struct ww_bytes whole, size_t hash_at)
{
    cid->version = version;
    cid->codec = codec;
    cid->len = (uint8_t)whole.len;
    cid->hash_at = (uint8_t)hash_at;
    memcpy(cid->bytes, whole.ptr, whole.len);
}

static ww_err decode_v1(struct ww_bytes in, struct ww_cid *ret_cid)
{
    struct ww_bytes rest = in;
    struct ww_multihash hash;
    uint64_t version, codec;
    if (in.len > WW_CID_BYTES_MAX)
        return WW_ELIMIT;
    WW_TRY(take_uvarint(&rest, &version));
    if (version != 1)
        return WW_EPROTO;
    WW_TRY(take_uvarint(&rest, &codec));
    WW_TRY(ww_multihash_decode(rest, &hash));
    fill(ret_cid, 1, codec, in, in.len - rest.len);
    return 0;
}

ww_err ww_cid_decode(struct ww_bytes in, struct ww_cid *ret_cid)
{
    if (!is_v0(in))
        return decode_v1(in, ret_cid);
    fill(ret_cid, 0, WW_CODEC_DAG_PB, in, 0);
    return 0;
}

ww_err ww_cid_parse(struct ww_bytes text, struct ww_cid *ret_cid)
{
    uint8_t v0[V0_BYTES];
    struct ww_buf bytes;
    if (text.len > WW_CID_TEXT_MAX)
        return WW_ELIMIT;
    if (text.len == V0_TEXT && ww_bytes_has_prefix(text, WW_BYTES_LIT("Qm"))) {
        ww_err n = ww_base58_decode(text, v0, sizeof v0);
        if (n < 0)
            return WW_EINVAL;
        return is_v0(ww_bytes(v0, (size_t)n)) ? ww_cid_decode(ww_bytes(v0, sizeof v0), ret_cid) : WW_EPROTO;
    }
    ww_buf_init(&bytes, WW_CID_TEXT_MAX);
    ww_err err = ww_multibase_decode(text, &bytes);
    if (err == 0)
        err = decode_v1(ww_buf_view(&bytes), ret_cid);
    ww_buf_fini(&bytes);
    return err;
}

ww_err ww_cid_format(const struct ww_cid *cid, char *out, size_t out_size)
{
    struct ww_buf text;
    ww_buf_init(&text, WW_CID_TEXT_MAX);
    ww_err err = cid->version == 0 ? ww_base_encode(WW_BASE58BTC, ww_cid_view(cid), &text)
                                   : ww_multibase_encode(WW_BASE32, ww_cid_view(cid), &text);
    size_t len = ww_buf_len(&text);
    if (err == 0 && len >= out_size)
        err = WW_ELIMIT;
    if (err == 0) {
        memcpy(out, ww_buf_data(&text), len);
        out[len] = '\0';
    }
    ww_buf_fini(&text);
    return err;
}

ww_err ww_cid_make(uint64_t codec, struct ww_bytes multihash, struct ww_cid *ret_cid)
{
    uint8_t bytes[1 + WW_PROTOBUF_VARINT_MAX_BYTES + WW_CID_BYTES_MAX] = {1};
    if (multihash.len > WW_CID_BYTES_MAX)
        return WW_ELIMIT;
    size_t at = 1 + ww_varint_encode(codec, bytes + 1);
    memcpy(bytes + at, multihash.ptr, multihash.len);
    return decode_v1(ww_bytes(bytes, at + multihash.len), ret_cid);
}
