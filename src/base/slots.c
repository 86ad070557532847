#include "base/slots.h"

void ww_slots_fini(struct ww_slots *s)
{
    ww_free(s->slots);
    ww_slots_init(s);
}

ww_err ww_slots_add(struct ww_slots *s, void *object, ww_id *ret_id)
{
    WW_ASSERT(object);
    uint32_t i;
    if (s->free_head) {
        i = s->free_head - 1;
        s->free_head = s->slots[i].next_free;
    } else {
        if (s->count == s->capacity) {
            uint32_t capacity = s->capacity ? s->capacity * 2 : 16;
            struct ww_slot *slots = ww_realloc(s->slots, capacity * sizeof *slots);
            if (!slots)
                return WW_ENOMEM;
            s->slots = slots;
            s->capacity = capacity;
        }
        i = s->count++;
        s->slots[i] = (struct ww_slot){.generation = 1};
    }
    s->slots[i].object = object;
    s->live++;
    *ret_id = (uint64_t)s->slots[i].generation << 32 | i;
    return 0;
}

void *ww_slots_get(const struct ww_slots *s, ww_id id)
{
    uint32_t i = (uint32_t)id;
    if (i >= s->count || s->slots[i].generation != id >> 32)
        return NULL;
    return s->slots[i].object;
}

void ww_slots_remove(struct ww_slots *s, ww_id id)
{
    WW_ASSERT(ww_slots_get(s, id));
    struct ww_slot *slot = &s->slots[(uint32_t)id];
    slot->object = NULL;
    if (++slot->generation == 0)
        slot->generation = 1;
    slot->next_free = s->free_head;
    s->free_head = (uint32_t)id + 1;
    s->live--;
}
