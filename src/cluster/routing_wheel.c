/* Deadlines: a hierarchical timing wheel (Varghese, Lauck 1987). Level l has 64 slots of 64^l ticks; an entry
 * sits on the level of the highest digit in which its tick differs from the present one. */
#include "cluster/routing_int.h"

#define TICK_BITS 20 /* a tick is 2^20 ns, about a millisecond */
#define SLOT_BITS 6
#define DUE_BUCKET UINT16_MAX
#define NO_BUCKET (UINT16_MAX - 1)

_Static_assert(TICK_BITS + WHEEL_LEVELS * SLOT_BITS >= 64, "the wheel spans all of time");

static void bucket_push(struct ww_routing *t, uint32_t *head, uint32_t slot)
{
    struct cell *c = cell_at(t, slot);
    c->prev = 0;
    c->next = *head;
    if (*head)
        cell_at(t, *head)->prev = slot;
    *head = slot;
}

static uint16_t bucket_of(const struct wheel *w, uint64_t deadline_ns)
{
    uint64_t tick = deadline_ns >> TICK_BITS;
    if (tick < w->tick)
        tick = w->tick;
    uint64_t differs = tick ^ w->tick;
    unsigned level = differs ? (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS : 0;
    return (uint16_t)(level * WHEEL_SLOTS + (tick >> (level * SLOT_BITS)) % WHEEL_SLOTS);
}

static void wheel_put(struct ww_routing *t, uint32_t slot, uint16_t bucket)
{
    bucket_push(t, &t->wheel.heads[bucket], slot);
    t->wheel.used[bucket / WHEEL_SLOTS] |= UINT64_C(1) << bucket % WHEEL_SLOTS;
    cell_at(t, slot)->bucket = bucket;
}

void wheel_insert(struct ww_routing *t, uint32_t slot)
{
    wheel_put(t, slot, bucket_of(&t->wheel, cell_at(t, slot)->deadline_ns));
}

void wheel_remove(struct ww_routing *t, uint32_t slot)
{
    struct cell *c = cell_at(t, slot);
    if (c->bucket == NO_BUCKET)
        return;
    uint32_t *head = c->bucket == DUE_BUCKET ? &t->wheel.due : &t->wheel.heads[c->bucket];
    if (c->prev)
        cell_at(t, c->prev)->next = c->next;
    else
        *head = c->next;
    if (c->next)
        cell_at(t, c->next)->prev = c->prev;
    if (c->bucket != DUE_BUCKET && !*head)
        t->wheel.used[c->bucket / WHEEL_SLOTS] &= ~(UINT64_C(1) << c->bucket % WHEEL_SLOTS);
    c->next = c->prev = 0;
    c->bucket = NO_BUCKET;
}

void wheel_update(struct ww_routing *t, uint32_t slot, uint64_t old_deadline_ns)
{
    /* With a later deadline it stays: when its bucket comes due, the cell moves on. This spares the
     * neighbours in the list, which are cold memory, at every heartbeat. */
    if (cell_at(t, slot)->deadline_ns >= old_deadline_ns)
        return;
    wheel_remove(t, slot);
    wheel_insert(t, slot);
}

/* Bits from `first` on, `count` of them, around the circle. */
static uint64_t circle(unsigned first, uint64_t count)
{
    if (count >= 64)
        return UINT64_MAX;
    uint64_t bits = (UINT64_C(1) << count) - 1;
    return first ? bits << first | bits >> (64 - first) : bits;
}

/* Moves what may be due by `tick` into the list `due` and sets the wheel to that tick. */
static void wheel_turn(struct ww_routing *t, uint64_t tick)
{
    struct wheel *w = &t->wheel;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        unsigned shift = level * SLOT_BITS, from = (w->tick >> shift) % WHEEL_SLOTS;
        uint64_t steps = (tick >> shift) - (w->tick >> shift);
        if (level > 0 && steps == 0)
            break;
        uint64_t bits =
            w->used[level] & (level == 0 ? circle(from, steps + 1) : circle((from + 1) % 64, steps));
        w->used[level] &= ~bits;
        for (; bits; bits &= bits - 1) {
            uint32_t *head = &w->heads[level * WHEEL_SLOTS + (unsigned)__builtin_ctzll(bits)];
            uint32_t last = 0;
            for (uint32_t s = *head; s; s = cell_at(t, s)->next) {
                cell_at(t, s)->bucket = DUE_BUCKET;
                last = s;
            }
            cell_at(t, last)->next = w->due;
            if (w->due)
                cell_at(t, w->due)->prev = last;
            w->due = *head;
            *head = 0;
        }
    }
    w->tick = tick;
}

uint32_t wheel_expired(struct ww_routing *t, uint64_t now_ns)
{
    uint64_t tick = now_ns >> TICK_BITS;
    if (!t->wheel.due && tick >= t->wheel.tick)
        wheel_turn(t, tick);
    while (t->wheel.due) {
        uint32_t slot = t->wheel.due;
        struct cell *c = cell_at(t, slot);
        wheel_remove(t, slot);
        if (c->deadline_ns <= now_ns)
            return slot;
        wheel_insert(t, slot);
    }
    return 0;
}

uint64_t wheel_deadline(const struct ww_routing *t)
{
    const struct wheel *w = &t->wheel;
    if (w->due)
        return 0;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (!w->used[level])
            continue;
        unsigned shift = level * SLOT_BITS, from = (w->tick >> shift) % WHEEL_SLOTS;
        uint64_t turned = from ? w->used[level] >> from | w->used[level] << (64 - from) : w->used[level];
        /* A bucket of one tick: when it is over, all of it is due. */
        uint64_t tick = ((w->tick >> shift) + (unsigned)__builtin_ctzll(turned) + (level == 0)) << shift;
        return tick << TICK_BITS;
    }
    return WW_NEVER;
}
