#include "rpc/idmap.h"

enum { DENSE_MAX = 1024, HASH_MIN = 16 };

void ww_rpc_slots_fini(struct ww_rpc_slots *s)
{
    ww_free(s->at);
    ww_free(s->next_free);
    *s = (struct ww_rpc_slots){0};
}

static ww_err slots_grow(struct ww_rpc_slots *s)
{
    if (s->capacity >= UINT32_C(1) << 30)
        return WW_ELIMIT;
    uint32_t capacity = s->capacity ? s->capacity * 2 : 8;
    void **at = ww_realloc(s->at, capacity * sizeof *at);
    if (!at)
        return WW_ENOMEM;
    s->at = at;
    uint32_t *next_free = ww_realloc(s->next_free, capacity * sizeof *next_free);
    if (!next_free)
        return WW_ENOMEM;
    s->next_free = next_free;
    s->capacity = capacity;
    return 0;
}

ww_err ww_rpc_slots_add(struct ww_rpc_slots *s, void *object, uint32_t *ret_id)
{
    uint32_t id = s->free_head - 1;
    if (s->free_head) {
        s->free_head = s->next_free[id];
    } else {
        if (s->size == s->capacity)
            WW_TRY(slots_grow(s));
        id = s->size++;
    }
    s->at[id] = object;
    s->live++;
    *ret_id = id;
    return 0;
}

void ww_rpc_slots_remove(struct ww_rpc_slots *s, uint32_t id)
{
    WW_ASSERT(id < s->size && s->at[id]);
    s->at[id] = NULL;
    s->next_free[id] = s->free_head;
    s->free_head = id + 1;
    s->live--;
}

/* The finalizer of MurmurHash3, keyed before and after. */
static uint32_t slot_of(const struct ww_rpc_idmap *m, uint64_t key)
{
    uint64_t h = key ^ m->seed[0];
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h ^= m->seed[1];
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h >> 32) & (m->hash_size - 1);
}

void ww_rpc_idmap_fini(struct ww_rpc_idmap *m)
{
    ww_free(m->dense);
    ww_free(m->hash);
    *m = (struct ww_rpc_idmap){.seed = {m->seed[0], m->seed[1]}};
}

void *ww_rpc_idmap_get_hashed(const struct ww_rpc_idmap *m, uint64_t key)
{
    if (m->hash_live == 0)
        return NULL;
    for (uint32_t i = slot_of(m, key); m->hash[i].value; i = (i + 1) & (m->hash_size - 1)) {
        if (m->hash[i].key == key)
            return m->hash[i].value;
    }
    return NULL;
}

static void hash_put(struct ww_rpc_idmap *m, uint64_t key, void *value)
{
    uint32_t i = slot_of(m, key);
    while (m->hash[i].value)
        i = (i + 1) & (m->hash_size - 1);
    m->hash[i] = (struct ww_rpc_idmap_entry){key, value};
    m->hash_live++;
}

static ww_err hash_grow(struct ww_rpc_idmap *m)
{
    if (m->hash_size >= UINT32_C(1) << 30)
        return WW_ELIMIT;
    uint32_t old_size = m->hash_size;
    struct ww_rpc_idmap_entry *old = m->hash;
    uint32_t size = old_size ? old_size * 2 : HASH_MIN;
    struct ww_rpc_idmap_entry *hash = ww_calloc(size, sizeof *hash);
    if (!hash)
        return WW_ENOMEM;
    m->hash = hash;
    m->hash_size = size;
    m->hash_live = 0;
    for (uint32_t i = 0; i < old_size; i++) {
        if (old[i].value)
            hash_put(m, old[i].key, old[i].value);
    }
    ww_free(old);
    return 0;
}

static ww_err dense_grow(struct ww_rpc_idmap *m, uint64_t key)
{
    uint32_t size = m->dense_size ? m->dense_size : 8;
    while (size <= key)
        size *= 2;
    void **dense = ww_realloc(m->dense, size * sizeof *dense);
    if (!dense)
        return WW_ENOMEM;
    memset(dense + m->dense_size, 0, (size - m->dense_size) * sizeof *dense);
    m->dense = dense;
    m->dense_size = size;
    return 0;
}

ww_err ww_rpc_idmap_put(struct ww_rpc_idmap *m, uint64_t key, void *value)
{
    m->live++; /* before any growth, undone on failure */
    ww_err err = 0;
    if (key < DENSE_MAX) {
        if (key >= m->dense_size)
            err = dense_grow(m, key);
        if (err == 0)
            m->dense[key] = value;
    } else {
        if ((uint64_t)m->hash_live * 2 >= m->hash_size)
            err = hash_grow(m);
        if (err == 0)
            hash_put(m, key, value);
    }
    m->live -= err < 0;
    return err;
}

void ww_rpc_idmap_remove(struct ww_rpc_idmap *m, uint64_t key)
{
    m->live--;
    if (key < DENSE_MAX) {
        WW_ASSERT(key < m->dense_size && m->dense[key]);
        m->dense[key] = NULL;
        return;
    }
    uint32_t mask = m->hash_size - 1, hole = slot_of(m, key);
    while (m->hash[hole].key != key || !m->hash[hole].value) {
        WW_ASSERT(m->hash[hole].value);
        hole = (hole + 1) & mask;
    }
    /* Pull later entries of the run back, so that no search stops early at the hole. */
    for (uint32_t i = (hole + 1) & mask; m->hash[i].value; i = (i + 1) & mask) {
        uint32_t home = slot_of(m, m->hash[i].key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->hash[hole] = m->hash[i];
            hole = i;
        }
    }
    m->hash[hole] = (struct ww_rpc_idmap_entry){0, NULL};
    m->hash_live--;
}

void ww_rpc_idmap_each(
    const struct ww_rpc_idmap *m, void (*visit)(void *ctx, uint64_t key, void *value), void *ctx)
{
    for (uint32_t i = 0; i < m->dense_size; i++) {
        if (m->dense[i])
            visit(ctx, i, m->dense[i]);
    }
    for (uint32_t i = 0; i < m->hash_size; i++) {
        if (m->hash[i].value)
            visit(ctx, m->hash[i].key, m->hash[i].value);
    }
}
