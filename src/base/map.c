#include "base/map.h"

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", with 1 compression and 3 final
 * rounds). */
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIP_ROUND                                                                                            \
    do {                                                                                                     \
        v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32);                                            \
        v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2;                                                               \
        v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0;                                                               \
        v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32);                                            \
    } while (0)

uint64_t ww_siphash13(const uint64_t seed[2], struct ww_bytes data)
{
    uint64_t v0 = seed[0] ^ UINT64_C(0x736f6d6570736575), v1 = seed[1] ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = seed[0] ^ UINT64_C(0x6c7967656e657261), v3 = seed[1] ^ UINT64_C(0x7465646279746573);
    size_t i = 0;
    for (; i + 8 <= data.len; i += 8) {
        uint64_t m = ww_le64_load(data.ptr + i);
        v3 ^= m;
        SIP_ROUND;
        v0 ^= m;
    }
    uint64_t last = (uint64_t)data.len << 56;
    for (unsigned shift = 0; i < data.len; i++, shift += 8)
        last |= (uint64_t)data.ptr[i] << shift;
    v3 ^= last;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

void ww_map_init(struct ww_map *m, ww_map_key_fn key, const uint64_t seed[2])
{
    *m = (struct ww_map){.key = key};
    if (seed)
        memcpy(m->seed, seed, sizeof m->seed);
}

void ww_map_fini(struct ww_map *m)
{
    ww_free(m->buckets);
    m->buckets = NULL;
    m->bucket_count = m->count = 0;
}

static struct ww_map_node *find(const struct ww_map *m, struct ww_bytes key, uint64_t hash)
{
    if (!m->buckets)
        return NULL;
    struct ww_map_node *n = m->buckets[hash & (m->bucket_count - 1)];
    while (n && !(n->hash == hash && ww_bytes_eq(m->key(n), key)))
        n = n->next;
    return n;
}

struct ww_map_node *ww_map_get(const struct ww_map *m, struct ww_bytes key)
{
    return m->count ? find(m, key, ww_siphash13(m->seed, key)) : NULL;
}

static ww_err grow(struct ww_map *m)
{
    size_t count = m->bucket_count ? m->bucket_count * 2 : 16;
    struct ww_map_node **buckets = ww_calloc(count, sizeof(*buckets));
    if (!buckets)
        return WW_ENOMEM;
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct ww_map_node *n = m->buckets[i], *next; n; n = next) {
            next = n->next;
            n->next = buckets[n->hash & (count - 1)];
            buckets[n->hash & (count - 1)] = n;
        }
    }
    ww_free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
    return 0;
}

ww_err ww_map_insert(struct ww_map *m, struct ww_map_node *node)
{
    if (m->count >= m->bucket_count) {
        ww_err r = grow(m);
        if (r < 0 && !m->buckets)
            return r; /* a full table may go on with longer chains */
    }
    struct ww_bytes key = m->key(node);
    node->hash = ww_siphash13(m->seed, key);
    WW_ASSERT(!find(m, key, node->hash));
    struct ww_map_node **slot = &m->buckets[node->hash & (m->bucket_count - 1)];
    node->next = *slot;
    *slot = node;
    m->count++;
    return 0;
}

void ww_map_remove(struct ww_map *m, struct ww_map_node *node)
{
    struct ww_map_node **slot = &m->buckets[node->hash & (m->bucket_count - 1)];
    while (*slot != node) {
        WW_ASSERT(*slot);
        slot = &(*slot)->next;
    }
    *slot = node->next;
    node->next = NULL;
    m->count--;
}

struct ww_map_node *ww_map_next(const struct ww_map *m, const struct ww_map_node *node)
{
    if (node && node->next)
        return node->next;
    size_t i = node ? (node->hash & (m->bucket_count - 1)) + 1 : 0;
    for (; i < m->bucket_count; i++) {
        if (m->buckets[i])
            return m->buckets[i];
    }
    return NULL;
}
