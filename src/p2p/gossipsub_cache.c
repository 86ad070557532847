#include "p2p/gossipsub_cache.h"

#define SEEN_START 256u

void ww_seen_init(struct ww_seen *s, size_t max, uint64_t ttl_ns)
{
    size_t rounded = SEEN_START;
    while (rounded < max && rounded < UINT32_C(1) << 30)
        rounded *= 2;
    *s = (struct ww_seen){.max = rounded, .ttl_ns = ttl_ns};
}

void ww_seen_fini(struct ww_seen *s)
{
    ww_free(s->ring);
    ww_free(s->heads);
    s->ring = NULL;
    s->heads = NULL;
    s->capacity = s->count = s->head = 0;
}

bool ww_seen_has(const struct ww_seen *s, uint64_t hash)
{
    if (s->count == 0)
        return false;
    uint32_t at = s->heads[hash & (s->capacity - 1)];
    while (at && s->ring[at - 1].hash != hash)
        at = s->ring[at - 1].next;
    return at != 0;
}

/* The oldest entry is always the last of its chain. */
static void drop_oldest(struct ww_seen *s)
{
    struct ww_seen_entry *e = &s->ring[s->head];
    uint32_t *link = &s->heads[e->hash & (s->capacity - 1)];
    while (*link != s->head + 1)
        link = &s->ring[*link - 1].next;
    *link = 0;
    s->head = (s->head + 1) & (s->capacity - 1);
    s->count--;
}

static void put(struct ww_seen *s, uint64_t hash, uint64_t expires_ns)
{
    size_t at = (s->head + s->count) & (s->capacity - 1);
    uint32_t *head = &s->heads[hash & (s->capacity - 1)];
    s->ring[at] = (struct ww_seen_entry){hash, expires_ns, *head};
    *head = (uint32_t)at + 1;
    s->count++;
}

static ww_err grow(struct ww_seen *s)
{
    size_t capacity = s->capacity ? s->capacity * 2 : SEEN_START;
    struct ww_seen bigger = *s;
    bigger.ring = ww_calloc(capacity, sizeof *bigger.ring);
    bigger.heads = ww_calloc(capacity, sizeof *bigger.heads);
    if (!bigger.ring || !bigger.heads) {
        ww_free(bigger.ring);
        ww_free(bigger.heads);
        return WW_ENOMEM;
    }
    bigger.capacity = capacity;
    bigger.head = bigger.count = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct ww_seen_entry *e = &s->ring[(s->head + i) & (s->capacity - 1)];
        put(&bigger, e->hash, e->expires_ns);
    }
    ww_free(s->ring);
    ww_free(s->heads);
    *s = bigger;
    return 0;
}

ww_err ww_seen_add(struct ww_seen *s, uint64_t hash, uint64_t now_ns)
{
    if (s->count == s->capacity && (s->capacity == s->max || grow(s) < 0)) {
        if (s->count == 0)
            return WW_ENOMEM;
        drop_oldest(s);
        s->evicted++;
    }
    put(s, hash, now_ns + s->ttl_ns);
    return 0;
}

void ww_seen_expire(struct ww_seen *s, uint64_t now_ns)
{
    while (s->count && s->ring[s->head].expires_ns <= now_ns)
        drop_oldest(s);
}
