/* base/budget.h — what a peer may make us hold. Every reservation is charged to all ancestors (stream,
 * connection, peer, node) or to none. Exhaustion is an answer (overloaded, a closed window, a reset), never
 * growth. */
#ifndef WW_BASE_BUDGET_H
#define WW_BASE_BUDGET_H

#include "base/base.h"

enum ww_resource {
    WW_RES_BYTES,     /* memory held for the peer */
    WW_RES_CONNS,     /* transport connections */
    WW_RES_STREAMS,   /* multiplexed streams */
    WW_RES_QUESTIONS, /* RPC calls in progress */
    WW_RES_EXPORTS,   /* capabilities held for the peer */
    WW_RES_ITEMS,     /* records, subscriptions, watches */
    WW_RES_COUNT,
};

struct ww_budget {
    struct ww_budget *parent; /* NULL at the root */
    uint64_t used[WW_RES_COUNT];
    uint64_t max[WW_RES_COUNT]; /* UINT64_MAX: only ancestors limit */
};

/* No limit of its own; set `max[...]` afterwards. */
static inline void ww_budget_init(struct ww_budget *b, struct ww_budget *parent)
{
    *b = (struct ww_budget){.parent = parent};
    for (size_t i = 0; i < WW_RES_COUNT; i++)
        b->max[i] = UINT64_MAX;
}

/* All or nothing over the whole chain: WW_EBUDGET when one level refuses. NULL budget: always granted. */
WW_MUST_USE static inline ww_err ww_budget_charge(struct ww_budget *b, enum ww_resource r, uint64_t n)
{
    for (struct ww_budget *at = b; at; at = at->parent) {
        if (n > at->max[r] || at->used[r] > at->max[r] - n)
            return WW_EBUDGET;
    }
    for (struct ww_budget *at = b; at; at = at->parent)
        at->used[r] += n;
    return 0;
}

static inline void ww_budget_release(struct ww_budget *b, enum ww_resource r, uint64_t n)
{
    for (struct ww_budget *at = b; at; at = at->parent) {
        WW_ASSERT(at->used[r] >= n);
        at->used[r] -= n;
    }
}

#endif
