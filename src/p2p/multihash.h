/* p2p/multihash.h — self-describing digests: varint(code) varint(length) digest. Views into the input; no
 * allocation. Source: multiformats/multihash. */
#ifndef WW_P2P_MULTIHASH_H
#define WW_P2P_MULTIHASH_H

#include "base/base.h"

#define WW_MULTIHASH_IDENTITY 0x00
#define WW_MULTIHASH_SHA2_256 0x12
#define WW_MULTIHASH_SHA2_512 0x13
#define WW_MULTIHASH_BLAKE2B_256 0xb220
#define WW_MULTIHASH_DIGEST_MAX 128 /* longer ones are refused; no registered digest is longer */

struct ww_multihash {
    uint64_t code;
    struct ww_bytes digest;
};

/* Takes a multihash off the front of `in`. WW_ETRUNC, WW_EPROTO (length that the code cannot have),
 * WW_ELIMIT. Unknown codes pass. */
WW_MUST_USE ww_err ww_multihash_take(struct ww_bytes *in, struct ww_multihash *ret_hash);
/* The same where nothing may follow. */
WW_MUST_USE ww_err ww_multihash_decode(struct ww_bytes in, struct ww_multihash *ret_hash);
/* Writes `12 20` and the SHA-256 of `data`. */
void ww_multihash_sha256(struct ww_bytes data, uint8_t ret_hash[34]);

#endif
