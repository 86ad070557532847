/* p2p/peer_id.h — who a peer is: the multihash of its public key's encoding, as a value of 43 bytes.
 *
 * Keys whose encoding has at most 42 bytes (Ed25519, secp256k1) are carried whole (identity hash) and can be
 * taken out again; others appear as their SHA-256. Only these two forms exist, and an inlined key is checked
 * like any other. A zeroed value (len 0) is "nobody". Source: libp2p specs, peer-ids/peer-ids.md.
 */
#ifndef WW_P2P_PEER_ID_H
#define WW_P2P_PEER_ID_H

#include "crypto/keys.h"

#define WW_PEER_ID_MAX 42
#define WW_PEER_ID_TEXT_MAX 64 /* with the NUL; base58btc of 42 bytes has at most 58 characters */

struct ww_peer_id {
    uint8_t len;
    uint8_t bytes[WW_PEER_ID_MAX];
};

void ww_peer_id_from_key(const struct ww_pubkey *key, struct ww_peer_id *ret_id);
/* Binary multihash. WW_EPROTO, WW_ETRUNC, WW_ELIMIT, WW_EUNSUPPORTED, WW_ECRYPTO. */
WW_MUST_USE ww_err ww_peer_id_decode(struct ww_bytes multihash, struct ww_peer_id *ret_id);
/* base58btc (`12D3KooW…`, `Qm…`) or a version 1 CID of codec libp2p-key in any multibase. Up to the errors of
 * decoding, WW_EINVAL for what is no such text. */
WW_MUST_USE ww_err ww_peer_id_parse(struct ww_bytes text, struct ww_peer_id *ret_id);
/* base58btc, NUL-terminated. Returns `out`, so that it fits into an argument list. */
char *ww_peer_id_format(const struct ww_peer_id *id, char out[WW_PEER_ID_TEXT_MAX]);
/* The key inside. WW_ENOTFOUND when the id is only a hash. */
WW_MUST_USE ww_err ww_peer_id_key(const struct ww_peer_id *id, struct ww_pubkey *ret_key);
/* Whether `id` is what ww_peer_id_from_key gives for `key`. */
bool ww_peer_id_matches(const struct ww_peer_id *id, const struct ww_pubkey *key);

static inline struct ww_bytes ww_peer_id_view(const struct ww_peer_id *id)
{
    return ww_bytes(id->bytes, id->len);
}

static inline bool ww_peer_id_eq(const struct ww_peer_id *a, const struct ww_peer_id *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Bytewise, as the Go implementation orders its ids. */
static inline int ww_peer_id_cmp(const struct ww_peer_id *a, const struct ww_peer_id *b)
{
    return ww_bytes_cmp(ww_peer_id_view(a), ww_peer_id_view(b));
}

#endif
