/* base/heap.h — intrusive pairing heap: the earliest element first, ties by insertion order, no allocation.
 * (Fredman, Sedgewick, Sleator, Tarjan: "The pairing heap", 1986.) Used for timers and expiry. */
#ifndef WW_BASE_HEAP_H
#define WW_BASE_HEAP_H

#include "base/base.h"

struct ww_heap_node {
    struct ww_heap_node *child, *next, *prev; /* prev: left sibling, or the parent of a first child */
    uint64_t key, order; /* order breaks ties, so that equal keys come out first in, first out */
};

struct ww_heap {
    struct ww_heap_node *root;
    uint64_t next_order;
    size_t count;
};

void ww_heap_insert(struct ww_heap *h, struct ww_heap_node *node, uint64_t key);
/* The node must be in this heap. */
void ww_heap_remove(struct ww_heap *h, struct ww_heap_node *node);

static inline struct ww_heap_node *ww_heap_min(const struct ww_heap *h)
{
    return h->root;
}

#endif
