/* p2p/peer_record.h — a peer's own, signed word about its addresses, inside an envelope of domain
 * `libp2p-peer-record` and type 03 01 (what all implementations send; the RFC's text has other values).
 * Source: libp2p RFC 0003 (routing records). */
#ifndef WW_P2P_PEER_RECORD_H
#define WW_P2P_PEER_RECORD_H

#include "p2p/envelope.h"
#include "p2p/peer_id.h"

#define WW_PEER_RECORD_ADDRS_MAX 100

struct ww_peer_record {
    struct ww_peer_id peer;
    uint64_t seq; /* newer is greater; not a time */
    size_t addr_count;
    struct ww_bytes payload; /* of the envelope: a view into the input; holds the addresses */
};

/* Appends a sealed record of the signer. Addresses are binary multiaddrs. WW_ELIMIT, WW_ENOMEM, WW_ECRYPTO.
 */
WW_MUST_USE ww_err ww_peer_record_seal(const struct ww_keypair *signer, uint64_t seq,
    const struct ww_bytes *addrs, size_t count, struct ww_buf *out);
/* Verifies the envelope, that its type fits, that the signer is the peer of the record, and each address.
 * WW_EPEERID, WW_ELIMIT, WW_EPROTO, and the errors of ww_envelope_open. */
WW_MUST_USE ww_err ww_peer_record_open(struct ww_bytes envelope, struct ww_peer_record *ret_record);
/* Walks the addresses: start with `rest = record.payload`. False at the end. */
bool ww_peer_record_next(struct ww_bytes *rest, struct ww_bytes *ret_addr);

#endif
