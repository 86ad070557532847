/* p2p/gossipsub_cache.h — which message ids were seen: a bounded set with expiry in order of arrival.
 *
 * A ring of keyed 64-bit hashes, oldest first, with a chained index over it. Insert, lookup and expiry are
 * O(1); an id costs 24 bytes whatever its length. The hash is SipHash with a secret seed: two ids collide
 * with probability 2^-64, and nobody outside can make them. When the set is full the oldest id is forgotten
 * early (`evicted` counts).
 */
#ifndef WW_P2P_GOSSIPSUB_CACHE_H
#define WW_P2P_GOSSIPSUB_CACHE_H

#include "base/base.h"

struct ww_seen_entry {
    uint64_t hash, expires_ns;
    uint32_t next; /* in its chain: ring index + 1 */
};

struct ww_seen {
    struct ww_seen_entry *ring;
    uint32_t *heads;                   /* ring index + 1 of the newest entry of a chain */
    size_t capacity, head, count, max; /* capacity: a power of two, also the number of chains */
    uint64_t ttl_ns, evicted;
};

/* `max` is rounded up to a power of two. Allocates nothing. */
void ww_seen_init(struct ww_seen *s, size_t max, uint64_t ttl_ns);
void ww_seen_fini(struct ww_seen *s);
bool ww_seen_has(const struct ww_seen *s, uint64_t hash);
/* The hash must be absent. Time must not run backwards. WW_ENOMEM only while the set is still empty: later
 * the oldest entry makes room. */
WW_MUST_USE ww_err ww_seen_add(struct ww_seen *s, uint64_t hash, uint64_t now_ns);
void ww_seen_expire(struct ww_seen *s, uint64_t now_ns);

#endif
