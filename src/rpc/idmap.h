/* rpc/idmap.h — two tables of pointers. Slots: we choose the ids, lowest first. Idmap: the peer, or an
 * address, chooses them. */
#ifndef WW_RPC_IDMAP_H
#define WW_RPC_IDMAP_H

#include "base/base.h"

struct ww_rpc_slots {
    void **at;           /* NULL: free */
    uint32_t *next_free; /* index + 1 of the next free slot, in a free slot */
    uint32_t size, capacity, live, free_head;
};

void ww_rpc_slots_fini(struct ww_rpc_slots *s);
/* WW_ENOMEM. */
WW_MUST_USE ww_err ww_rpc_slots_add(struct ww_rpc_slots *s, void *object, uint32_t *ret_id);
static inline void *ww_rpc_slots_get(const struct ww_rpc_slots *s, uint32_t id)
{
    return id < s->size ? s->at[id] : NULL;
}
/* The id must be live. */
void ww_rpc_slots_remove(struct ww_rpc_slots *s, uint32_t id);

/* Small keys are array indexes; the others hash with a secret, so that a peer cannot choose collisions. */
struct ww_rpc_idmap {
    void **dense;
    uint32_t dense_size;
    uint32_t live; /* in both parts */
    struct ww_rpc_idmap_entry *hash;
    uint32_t hash_size, hash_live;
    uint64_t seed[2];
};

struct ww_rpc_idmap_entry {
    uint64_t key;
    void *value; /* NULL: empty */
};

static inline void ww_rpc_idmap_init(struct ww_rpc_idmap *m, const uint64_t seed[2])
{
    *m = (struct ww_rpc_idmap){.seed = {seed[0], seed[1]}};
}

void ww_rpc_idmap_fini(struct ww_rpc_idmap *m);
void *ww_rpc_idmap_get_hashed(const struct ww_rpc_idmap *m, uint64_t key);
static inline void *ww_rpc_idmap_get(const struct ww_rpc_idmap *m, uint64_t key)
{
    return key < m->dense_size ? m->dense[key] : ww_rpc_idmap_get_hashed(m, key);
}
/* The key must be absent, value not NULL. WW_ENOMEM. */
WW_MUST_USE ww_err ww_rpc_idmap_put(struct ww_rpc_idmap *m, uint64_t key, void *value);
/* The key must be present. */
void ww_rpc_idmap_remove(struct ww_rpc_idmap *m, uint64_t key);
/* Calls `visit` for each entry; it must not change the map. */
void ww_rpc_idmap_each(
    const struct ww_rpc_idmap *m, void (*visit)(void *ctx, uint64_t key, void *value), void *ctx);

#endif
