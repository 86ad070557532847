/* base/map.h — intrusive hash map keyed by bytes. Chained, power-of-two buckets, SipHash-1-3 with a secret
 * seed, so that a peer who chooses keys cannot choose collisions. The map owns only its bucket array. */
#ifndef WW_BASE_MAP_H
#define WW_BASE_MAP_H

#include "base/base.h"

struct ww_map_node {
    struct ww_map_node *next;
    uint64_t hash;
};

/* Returns the key of the element that holds `node`. */
typedef struct ww_bytes (*ww_map_key_fn)(const struct ww_map_node *node);

struct ww_map {
    struct ww_map_node **buckets; /* NULL until the first insert */
    size_t bucket_count, count;
    uint64_t seed[2];
    ww_map_key_fn key;
};

/* `seed` from the environment's randomness (NULL: all zero, for trusted keys). Allocates nothing. */
void ww_map_init(struct ww_map *m, ww_map_key_fn key, const uint64_t seed[2]);
/* Frees the buckets; elements stay the caller's. */
void ww_map_fini(struct ww_map *m);
/* NULL when absent. */
struct ww_map_node *ww_map_get(const struct ww_map *m, struct ww_bytes key);
/* The node's key must not be present. WW_ENOMEM leaves the map as it was. */
WW_MUST_USE ww_err ww_map_insert(struct ww_map *m, struct ww_map_node *node);
/* The node must be present. */
void ww_map_remove(struct ww_map *m, struct ww_map_node *node);
/* Iteration: pass NULL to begin; NULL at the end. Order is fixed by seed and history. Removing the node last
 * returned is allowed only after the next one was fetched. */
struct ww_map_node *ww_map_next(const struct ww_map *m, const struct ww_map_node *node);

uint64_t ww_siphash13(const uint64_t seed[2], struct ww_bytes data);

#endif
