/* Addresses that failed lately: after the n-th failure in a row one is left alone for 5 s + n² s, at most 5
 * minutes (libp2p's customary back-off). Bounded: the entry that was changed longest ago goes first. */
#include "p2p/swarm_internal.h"

enum { BACKOFF_MAX = 1024 };
#define BACKOFF_BASE_S 5
#define BACKOFF_LIMIT_S 300

struct backoff_entry {
    struct ww_map_node node;
    struct ww_list link;
    uint64_t until_ns;
    uint32_t failures;
    uint16_t len;
    uint8_t addr[];
};

struct swarm_backoff {
    struct ww_map map;
    struct ww_list order; /* changed longest ago first */
};

static struct ww_bytes entry_key(const struct ww_map_node *node)
{
    const struct backoff_entry *e = WW_CONTAINER_OF(node, struct backoff_entry, node);
    return ww_bytes(e->addr, e->len);
}

struct swarm_backoff *backoff_new(const uint64_t seed[2])
{
    struct swarm_backoff *b = WW_NEW(struct swarm_backoff);
    if (!b)
        return NULL;
    ww_map_init(&b->map, entry_key, seed);
    ww_list_init(&b->order);
    return b;
}

static void entry_drop(struct swarm_backoff *b, struct backoff_entry *e)
{
    ww_map_remove(&b->map, &e->node);
    ww_list_remove(&e->link);
    ww_free(e);
}

void backoff_free(struct swarm_backoff *b)
{
    if (!b)
        return;
    while (!ww_list_empty(&b->order))
        entry_drop(b, WW_LIST_ENTRY(b->order.next, struct backoff_entry, link));
    ww_map_fini(&b->map);
    ww_free(b);
}

static struct backoff_entry *entry_find(const struct swarm_backoff *b, struct ww_bytes addr)
{
    struct ww_map_node *node = ww_map_get(&b->map, addr);
    return node ? WW_CONTAINER_OF(node, struct backoff_entry, node) : NULL;
}

uint64_t backoff_until(const struct swarm_backoff *b, struct ww_bytes addr, uint64_t now_ns)
{
    const struct backoff_entry *e = entry_find(b, addr);
    return e && e->until_ns > now_ns ? e->until_ns : 0;
}

/* Not remembering a failure when memory is out costs one more attempt. */
static struct backoff_entry *entry_add(struct swarm_backoff *b, struct ww_bytes addr)
{
    if (b->map.count >= BACKOFF_MAX)
        entry_drop(b, WW_LIST_ENTRY(b->order.next, struct backoff_entry, link));
    struct backoff_entry *e = ww_calloc(1, sizeof *e + addr.len);
    if (!e)
        return NULL;
    ww_list_init(&e->link);
    e->len = (uint16_t)addr.len;
    memcpy(e->addr, addr.ptr, addr.len);
    if (ww_map_insert(&b->map, &e->node) < 0) {
        ww_free(e);
        return NULL;
    }
    return e;
}

void backoff_failed(struct swarm_backoff *b, struct ww_bytes addr, uint64_t now_ns)
{
    struct backoff_entry *e = entry_find(b, addr);
    if (!e)
        e = entry_add(b, addr);
    if (!e)
        return;
    uint64_t n = e->failures < 20 ? ++e->failures : e->failures;
    uint64_t wait_s = BACKOFF_BASE_S + n * n;
    e->until_ns = now_ns + (wait_s < BACKOFF_LIMIT_S ? wait_s : BACKOFF_LIMIT_S) * WW_NS_PER_S;
    ww_list_remove(&e->link);
    ww_list_push_back(&b->order, &e->link);
}

void backoff_succeeded(struct swarm_backoff *b, struct ww_bytes addr)
{
    struct backoff_entry *e = entry_find(b, addr);
    if (e)
        entry_drop(b, e);
}

/* The count of failures is forgotten some time after the wait is over. */
void backoff_expire(struct swarm_backoff *b, uint64_t now_ns)
{
    WW_LIST_FOR_SAFE(it, &b->order)
    {
        struct backoff_entry *e = WW_LIST_ENTRY(it, struct backoff_entry, link);
        if (e->until_ns + 2 * BACKOFF_LIMIT_S * WW_NS_PER_S <= now_ns)
            entry_drop(b, e);
    }
}
