/* p2p/cid.h — content identifiers, versions 0 and 1, as plain values. Source: multiformats/cid. */
#ifndef WW_P2P_CID_H
#define WW_P2P_CID_H

#include "base/buf.h"
#include "p2p/multihash.h"

#define WW_CODEC_RAW 0x55
#define WW_CODEC_DAG_PB 0x70
#define WW_CODEC_DAG_CBOR 0x71
#define WW_CODEC_LIBP2P_KEY 0x72

#define WW_CID_BYTES_MAX 152 /* version, codec, and the longest multihash we take */
#define WW_CID_TEXT_MAX 256

struct ww_cid {
    uint8_t version; /* 0 or 1 */
    uint8_t len;     /* of the whole binary form */
    uint8_t hash_at; /* where the multihash begins */
    uint64_t codec;  /* version 0: dag-pb */
    uint8_t bytes[WW_CID_BYTES_MAX];
};

/* Exactly one CID, nothing after it. */
WW_MUST_USE ww_err ww_cid_decode(struct ww_bytes in, struct ww_cid *ret_cid);
/* `Qm…`, or multibase in front of version 1. WW_EINVAL, WW_EPROTO, WW_ELIMIT, WW_EUNSUPPORTED. */
WW_MUST_USE ww_err ww_cid_parse(struct ww_bytes text, struct ww_cid *ret_cid);
/* Version 0 as base58btc, version 1 as base32; NUL-terminated; WW_ELIMIT when `out` is too small. */
WW_MUST_USE ww_err ww_cid_format(const struct ww_cid *cid, char *out, size_t out_size);
/* Version 1 over a multihash. WW_ELIMIT, WW_EPROTO. */
WW_MUST_USE ww_err ww_cid_make(uint64_t codec, struct ww_bytes multihash, struct ww_cid *ret_cid);

static inline struct ww_bytes ww_cid_view(const struct ww_cid *cid)
{
    return ww_bytes(cid->bytes, cid->len);
}

static inline struct ww_bytes ww_cid_hash(const struct ww_cid *cid)
{
    return ww_bytes(cid->bytes + cid->hash_at, (size_t)(cid->len - cid->hash_at));
}

#endif
