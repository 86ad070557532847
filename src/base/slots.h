/* base/slots.h — generational ids: domains refer to each other's objects by id, and a stale id finds nothing.
 */
#ifndef WW_BASE_SLOTS_H
#define WW_BASE_SLOTS_H

#include "base/base.h"

typedef uint64_t ww_id; /* index in the low, generation (never 0) in the high half; 0 is no id */

struct ww_slot {
    void *object; /* NULL: free */
    uint32_t generation, next_free;
};

struct ww_slots {
    struct ww_slot *slots;
    uint32_t count, capacity, free_head, live; /* free_head: index + 1, 0 for none */
};

static inline void ww_slots_init(struct ww_slots *s)
{
    *s = (struct ww_slots){0};
}

void ww_slots_fini(struct ww_slots *s);
/* object is not NULL. WW_ENOMEM. */
WW_MUST_USE ww_err ww_slots_add(struct ww_slots *s, void *object, ww_id *ret_id);
/* NULL when the id is stale or never was. */
void *ww_slots_get(const struct ww_slots *s, ww_id id);
/* The id must be live. */
void ww_slots_remove(struct ww_slots *s, ww_id id);

#endif
