/* p2p/identify.h — the messages of /ipfs/id/1.0.0 and /ipfs/id/push/1.0.0: who a peer is, where it listens,
 * what it speaks.
 *
 * Source: libp2p specs, identify/README.md. A responder (or pusher) writes one or more length-prefixed
 * messages and ends its side; the reader merges them: a single field is the last one that was sent, lists are
 * appended.
 *
 * What is here is the codec. That `public_key` fits the connection's peer, that the signed record verifies,
 * and that addresses are well formed, the caller checks; everything in a message is otherwise the peer's
 * claim. A message that tells a list (identify or push) tells all of it: it replaces what was known.
 *
 * Ownership: a decoded struct holds views into what was decoded (for a reader: valid until its next feed or
 * fini).
 */
#ifndef WW_P2P_IDENTIFY_H
#define WW_P2P_IDENTIFY_H

#include "base/buf.h"

#define WW_IDENTIFY_PROTOCOL "/ipfs/id/1.0.0"
#define WW_IDENTIFY_PUSH_PROTOCOL "/ipfs/id/push/1.0.0"

#define WW_IDENTIFY_MESSAGE_MAX 8192u /* accepted; what all stacks accept at least of Go's messages */
#define WW_IDENTIFY_TOTAL_MAX 16384u  /* of all messages of one stream, prefixes included */
#define WW_IDENTIFY_MESSAGES_MAX 10u
#define WW_IDENTIFY_SENT_MAX 4096u /* of our messages: rust reads one, and no longer one than this */

#define WW_IDENTIFY_ADDRS_MAX 64u
#define WW_IDENTIFY_ADDR_BYTES_MAX 1024u
#define WW_IDENTIFY_PROTOCOLS_MAX 128u
#define WW_IDENTIFY_PROTOCOL_BYTES_MAX 1024u
#define WW_IDENTIFY_TEXT_MAX 256u /* agent and protocol version; longer ones are cut */

/* An absent field has a NULL pointer; an empty one has not. */
struct ww_identify {
    struct ww_bytes public_key;    /* protobuf PublicKey */
    struct ww_bytes observed_addr; /* the reader's address as the writer sees it: binary multiaddr */
    struct ww_bytes protocol_version, agent_version;
    struct ww_bytes signed_record; /* envelope, see p2p/peer_record.h */
    size_t addr_count, protocol_count;
    struct ww_bytes addrs[WW_IDENTIFY_ADDRS_MAX]; /* binary multiaddrs */
    struct ww_bytes protocols[WW_IDENTIFY_PROTOCOLS_MAX];
    bool cut; /* something was left out for its size or number */
};

/* Appends the messages with their length prefixes: one where it fits into WW_IDENTIFY_SENT_MAX, else fields
 * move on to further messages (a field of its own may be as long as WW_IDENTIFY_MESSAGE_MAX). WW_ELIMIT over
 * the limits above, WW_ENOMEM; then `out` is as before. */
WW_MUST_USE ww_err ww_identify_encode(const struct ww_identify *id, struct ww_buf *out);

/* Merges one message (without prefix) into `id`, which is zeroed at first. WW_EPROTO, WW_ETRUNC. */
WW_MUST_USE ww_err ww_identify_merge(struct ww_identify *id, struct ww_bytes message);

/* Collects what arrives on a stream. */
struct ww_identify_reader {
    struct ww_buf in;
};

void ww_identify_reader_init(struct ww_identify_reader *r);
void ww_identify_reader_fini(struct ww_identify_reader *r);
/* WW_ELIMIT over WW_IDENTIFY_TOTAL_MAX, WW_ENOMEM. */
WW_MUST_USE ww_err ww_identify_reader_feed(struct ww_identify_reader *r, struct ww_bytes in);
/* To be called when the peer has ended its side: decodes and merges all. `ret_id` is large (3 KiB) and
 * untouched on failure: WW_ETRUNC (nothing, or an incomplete message), WW_ELIMIT (a message or their number),
 * WW_EPROTO. */
WW_MUST_USE ww_err ww_identify_reader_finish(const struct ww_identify_reader *r, struct ww_identify *ret_id);

#endif
