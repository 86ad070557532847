/* p2p/gossipsub_auth.h — the real signer and checker of messages: libp2p identity keys.
 *
 * The author's key comes from its peer id or, when that is only a hash, from the message's key field, which
 * must then fit the id. Checked keys of recent authors are kept, because checking a point costs as much as a
 * signature. Ownership: the caller's storage, zeroed or initialized; the key pair is borrowed. Source: libp2p
 * specs, pubsub/README.md, "Message Signing".
 */
#ifndef WW_P2P_GOSSIPSUB_AUTH_H
#define WW_P2P_GOSSIPSUB_AUTH_H

#include "p2p/gossipsub.h"
#include "p2p/peer_id.h"

#define WW_GOSSIP_AUTH_KEYS 256 /* a power of two */

struct ww_gossip_auth_entry {
    struct ww_peer_id id;
    struct ww_pubkey key;
};

struct ww_gossip_auth_key {
    struct ww_gossip_auth auth;
    const struct ww_keypair *pair;
    uint64_t seed[2];
    struct ww_gossip_auth_entry *recent[WW_GOSSIP_AUTH_KEYS]; /* by hash of the id; made on demand */
    uint8_t encoded[WW_PUBKEY_ENCODED_MAX];
};

/* `seed`: two random words, so that nobody can choose which authors share a place. */
void ww_gossip_auth_key_init(
    struct ww_gossip_auth_key *a, const struct ww_keypair *pair, const uint64_t seed[2]);
void ww_gossip_auth_key_fini(struct ww_gossip_auth_key *a);

#endif
