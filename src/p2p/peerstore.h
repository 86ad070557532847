/* p2p/peerstore.h — what we know of peers: addresses with an expiry, protocols, agent, signed record, public
 * key.
 *
 * Everything in here came from others: addresses are hints, only the peer id of a finished handshake is
 * proof. All of it is capped (peers, addresses a peer, bytes an address); over the cap the entry that expires
 * first goes. Memory only. Views stay valid until the next call that changes the store. Caps and lifetimes:
 * libp2p's customary ones (connected: until disconnect, then 15 min; found by others: 2 min to 1 h).
 */
#ifndef WW_P2P_PEERSTORE_H
#define WW_P2P_PEERSTORE_H

#include "base/base.h"
#include "base/list.h"
#include "base/map.h"
#include "p2p/peer_id.h"

#define WW_PEERSTORE_PEERS_MAX 4096
#define WW_PEERSTORE_ADDRS_MAX 32       /* a peer */
#define WW_PEERSTORE_ADDR_BYTES_MAX 256 /* binary multiaddr */
#define WW_PEERSTORE_PROTOCOLS_MAX 128  /* a peer */
#define WW_PEERSTORE_RECORD_BYTES_MAX 8192

#define WW_PEERSTORE_TTL_TEMP_NS (120 * WW_NS_PER_S)
#define WW_PEERSTORE_TTL_RECENT_NS (900 * WW_NS_PER_S)
#define WW_PEERSTORE_TTL_ADDR_NS (3600 * WW_NS_PER_S)
#define WW_PEERSTORE_TTL_FOREVER WW_NEVER

struct ww_peerstore;

/* `seed`: two random words for the hash map. NULL when memory is out. */
struct ww_peerstore *ww_peerstore_new(const uint64_t seed[2]);
void ww_peerstore_free(struct ww_peerstore *ps);

/* Adds or extends (never shortens) the life of an address. `addr` is a binary multiaddr without its /p2p
 * part. WW_EINVAL (too long or empty), WW_ENOMEM. Over a cap something older is dropped silently. */
WW_MUST_USE ww_err ww_peerstore_add_addr(struct ww_peerstore *ps, const struct ww_peer_id *peer,
    struct ww_bytes addr, uint64_t now_ns, uint64_t ttl_ns);
/* The i-th live address; an empty view past the end. */
struct ww_bytes ww_peerstore_addr(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, uint64_t now_ns, size_t index);
void ww_peerstore_clear_addrs(struct ww_peerstore *ps, const struct ww_peer_id *peer);

/* Replaces the list. Names are copied; more than the cap are dropped. */
WW_MUST_USE ww_err ww_peerstore_set_protocols(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, const struct ww_bytes *names, size_t count);
/* The i-th protocol; an empty view past the end. */
struct ww_bytes ww_peerstore_protocol(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, size_t index);
bool ww_peerstore_speaks(
    const struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes protocol);
/* True once an identify of this peer was stored since it connected. */
bool ww_peerstore_identified(const struct ww_peerstore *ps, const struct ww_peer_id *peer);

/* Text that the peer claims; at most 256 bytes are kept. Empty when unknown. */
WW_MUST_USE ww_err ww_peerstore_set_agent(struct ww_peerstore *ps, const struct ww_peer_id *peer,
    struct ww_bytes agent, struct ww_bytes protocol_version);
struct ww_bytes ww_peerstore_agent(const struct ww_peerstore *ps, const struct ww_peer_id *peer);
struct ww_bytes ww_peerstore_protocol_version(const struct ww_peerstore *ps, const struct ww_peer_id *peer);

/* The signed peer record (envelope bytes) as the peer gave it over its own connection; the newest one counts.
 * It is verified when it is asked for first, because most are never passed on: what ww_peerstore_record gives
 * is genuine, or empty. WW_ELIMIT over WW_PEERSTORE_RECORD_BYTES_MAX. */
WW_MUST_USE ww_err ww_peerstore_set_record(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes envelope);
struct ww_bytes ww_peerstore_record(const struct ww_peerstore *ps, const struct ww_peer_id *peer);

/* The public key in protobuf form, for ids that do not contain it. Empty when unknown. */
WW_MUST_USE ww_err ww_peerstore_set_key(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, struct ww_bytes key_pb);
struct ww_bytes ww_peerstore_key(const struct ww_peerstore *ps, const struct ww_peer_id *peer);

/* A connected peer is never evicted; on disconnect its addresses live for WW_PEERSTORE_TTL_RECENT_NS more,
 * its record and protocols go. */
void ww_peerstore_set_connected(
    struct ww_peerstore *ps, const struct ww_peer_id *peer, bool connected, uint64_t now_ns);
/* Drops what has expired. Call it now and then; lookups ignore the expired anyway. */
void ww_peerstore_expire(struct ww_peerstore *ps, uint64_t now_ns);
void ww_peerstore_forget(struct ww_peerstore *ps, const struct ww_peer_id *peer);
size_t ww_peerstore_count(const struct ww_peerstore *ps);
/* Iteration in a fixed order; `prev` NULL begins, NULL ends. */
const struct ww_peer_id *ww_peerstore_next(const struct ww_peerstore *ps, const struct ww_peer_id *prev);

#endif
