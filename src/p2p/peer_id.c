#include "p2p/peer_id.h"

#include "p2p/cid.h"
#include "p2p/multibase.h"
#include "p2p/multihash.h"

/* Encodings up to this long are carried whole. */
#define INLINE_KEY_MAX 42

/* Two bytes of multihash header and an inlined secp256k1 key, the longer of the two that fit. The limit of 42
 * bytes holds for the encoding; no key type has one between 38 and 42 bytes. */
_Static_assert(WW_PEER_ID_MAX >= 2 + 37, "secp256k1 ids have 39 bytes");

void ww_peer_id_from_key(const struct ww_pubkey *key, struct ww_peer_id *ret_id)
{
    uint8_t encoded[WW_PUBKEY_ENCODED_MAX];
    size_t len = ww_pubkey_encode(key, encoded);
    memset(ret_id, 0, sizeof *ret_id);
    if (len > INLINE_KEY_MAX) {
        ww_multihash_sha256(ww_bytes(encoded, len), ret_id->bytes);
        ret_id->len = 34;
        return;
    }
    /* Only the two kinds of short keys get here. */
    WW_ASSERT(2 + len <= WW_PEER_ID_MAX);
    ret_id->bytes[0] = WW_MULTIHASH_IDENTITY;
    ret_id->bytes[1] = (uint8_t)len;
    memcpy(ret_id->bytes + 2, encoded, len);
    ret_id->len = (uint8_t)(2 + len);
}

ww_err ww_peer_id_decode(struct ww_bytes multihash, struct ww_peer_id *ret_id)
{
    struct ww_multihash hash;
    struct ww_pubkey key;
    if (multihash.len > WW_PEER_ID_MAX)
        return WW_ELIMIT;
    WW_TRY(ww_multihash_decode(multihash, &hash));
    if (hash.code == WW_MULTIHASH_IDENTITY)
        WW_TRY(ww_pubkey_decode(hash.digest, &key));
    else if (hash.code != WW_MULTIHASH_SHA2_256)
        return WW_EUNSUPPORTED;
    memset(ret_id, 0, sizeof *ret_id);
    ret_id->len = (uint8_t)multihash.len;
    memcpy(ret_id->bytes, multihash.ptr, multihash.len);
    return 0;
}

ww_err ww_peer_id_parse(struct ww_bytes text, struct ww_peer_id *ret_id)
{
    struct ww_cid cid;
    if (text.len > 0 && (text.ptr[0] == '1' || ww_bytes_has_prefix(text, WW_BYTES_LIT("Qm")))) {
        uint8_t bytes[WW_PEER_ID_MAX];
        if (text.len >= WW_PEER_ID_TEXT_MAX)
            return WW_ELIMIT;
        ww_err n = ww_base58_decode(text, bytes, sizeof bytes);
        return n < 0 ? n : ww_peer_id_decode(ww_bytes(bytes, (size_t)n), ret_id);
    }
    ww_err err = ww_cid_parse(text, &cid);
    if (err < 0)
        return err == WW_EUNSUPPORTED ? WW_EINVAL : err;
    return cid.version == 1 && cid.codec == WW_CODEC_LIBP2P_KEY ? ww_peer_id_decode(ww_cid_hash(&cid), ret_id)
                                                                : WW_EINVAL;
}

char *ww_peer_id_format(const struct ww_peer_id *id, char out[WW_PEER_ID_TEXT_MAX])
{
    ww_err n = ww_base58_encode(ww_peer_id_view(id), out, WW_PEER_ID_TEXT_MAX - 1);
    out[n < 0 ? 0 : n] = '\0';
    return out;
}

ww_err ww_peer_id_key(const struct ww_peer_id *id, struct ww_pubkey *ret_key)
{
    if (id->len < 2 || id->bytes[0] != WW_MULTIHASH_IDENTITY)
        return WW_ENOTFOUND;
    return ww_pubkey_decode(ww_bytes_skip(ww_peer_id_view(id), 2), ret_key);
}

bool ww_peer_id_matches(const struct ww_peer_id *id, const struct ww_pubkey *key)
{
    struct ww_peer_id of_key;
    ww_peer_id_from_key(key, &of_key);
    return ww_peer_id_eq(id, &of_key);
}
