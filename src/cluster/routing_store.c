/* Storage of the routing table: cells, bodies, interned strings, their hashes, and versions. */
#include "cluster/routing_int.h"

static void *tracked_alloc(struct ww_routing *t, size_t size)
{
    void *p = ww_alloc(size);
    if (p)
        t->bytes += size;
    return p;
}

static void tracked_free(struct ww_routing *t, void *p, size_t size)
{
    if (p)
        t->bytes -= size;
    ww_free(p);
}

/* ---- numbered things in chunks ---- */

/* A number whose chunk exists; 0 when memory is out. */
static uint32_t chunked_next(struct ww_routing *t, struct chunked *c, size_t item_bytes)
{
    if (c->used == 0)
        c->used = 1; /* 0 means none */
    uint32_t chunk = c->used >> CHUNK_BITS;
    if (chunk >= c->chunk_count) {
        if (chunk >= c->chunk_capacity) {
            uint32_t capacity = c->chunk_capacity ? c->chunk_capacity * 2 : 16;
            void **grown = ww_realloc(c->chunks, capacity * sizeof *grown);
            if (!grown)
                return 0;
            t->bytes += (capacity - c->chunk_capacity) * sizeof *grown;
            c->chunks = grown;
            c->chunk_capacity = capacity;
        }
        void *mem = tracked_alloc(t, CHUNK_SIZE * item_bytes);
        if (!mem)
            return 0;
        memset(mem, 0, CHUNK_SIZE * item_bytes);
        c->chunks[c->chunk_count++] = mem;
    }
    return c->used++;
}

static void chunked_fini(struct chunked *c)
{
    for (uint32_t i = 0; i < c->chunk_count; i++)
        ww_free(c->chunks[i]);
    ww_free(c->chunks);
}

uint32_t cell_new(struct ww_routing *t)
{
    uint32_t slot = t->cells.free;
    if (slot)
        t->cells.free = cell_at(t, slot)->next;
    else
        slot = chunked_next(t, &t->cells, sizeof(struct cell));
    if (slot)
        *cell_at(t, slot) = (struct cell){0};
    return slot;
}

void cell_free(struct ww_routing *t, uint32_t slot)
{
    struct cell *c = cell_at(t, slot);
    versions_free(t, &c->older);
    *c = (struct cell){.next = t->cells.free};
    t->cells.free = slot;
}

/* ---- peer id -> slot: open addressing, linear probing, no tombstones ---- */

#define HASH_MIN 64

static uint32_t pair_hash(uint64_t pair)
{
    return (uint32_t)(pair >> 32);
}

uint64_t peer_hash(const struct ww_routing *t, struct ww_bytes peer)
{
    return ww_siphash13(t->conf.seed, peer);
}

uint32_t peers_find(const struct ww_routing *t, struct ww_bytes peer, uint64_t hash)
{
    if (t->peers.capacity == 0)
        return 0;
    uint32_t mask = t->peers.capacity - 1;
    for (uint32_t i = (uint32_t)hash & mask; t->peers.slots[i]; i = (i + 1) & mask) {
        uint64_t pair = t->peers.slots[i];
        if (pair_hash(pair) == (uint32_t)hash &&
            ww_bytes_eq(body_peer(cell_at(t, (uint32_t)pair)->body), peer))
            return (uint32_t)pair;
    }
    return 0;
}

static void peers_put(uint64_t *slots, uint32_t mask, uint64_t pair)
{
    uint32_t i = pair_hash(pair) & mask;
    while (slots[i])
        i = (i + 1) & mask;
    slots[i] = pair;
}

ww_err peers_reserve(struct ww_routing *t)
{
    if ((uint64_t)(t->peers.count + 1) * 4 <= (uint64_t)t->peers.capacity * 3)
        return 0;
    uint32_t capacity = t->peers.capacity ? t->peers.capacity * 2 : HASH_MIN;
    uint64_t *slots = ww_calloc(capacity, sizeof *slots);
    if (!slots)
        return WW_ENOMEM;
    for (uint32_t i = 0; i < t->peers.capacity; i++) {
        if (t->peers.slots[i])
            peers_put(slots, capacity - 1, t->peers.slots[i]);
    }
    t->bytes += (capacity - t->peers.capacity) * sizeof *slots;
    ww_free(t->peers.slots);
    t->peers.slots = slots;
    t->peers.capacity = capacity;
    return 0;
}

void peers_insert(struct ww_routing *t, uint32_t slot, uint64_t hash)
{
    cell_at(t, slot)->hash = (uint32_t)hash;
    peers_put(t->peers.slots, t->peers.capacity - 1, (uint64_t)(uint32_t)hash << 32 | slot);
    t->peers.count++;
}

/* Closes the gap at `i`: later entries of the run move up when their home allows it. */
void peers_remove(struct ww_routing *t, uint32_t slot)
{
    uint32_t mask = t->peers.capacity - 1, i = cell_at(t, slot)->hash & mask;
    while ((uint32_t)t->peers.slots[i] != slot)
        i = (i + 1) & mask;
    for (uint32_t j = (i + 1) & mask; t->peers.slots[j]; j = (j + 1) & mask) {
        uint32_t home = pair_hash(t->peers.slots[j]) & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            t->peers.slots[i] = t->peers.slots[j];
            i = j;
        }
    }
    t->peers.slots[i] = 0;
    t->peers.count--;
}

/* ---- interned strings ---- */

static uint32_t atom_hash(const struct ww_routing *t, enum atom_kind kind, struct ww_bytes text)
{
    uint64_t seed[2] = {t->conf.seed[0] ^ (uint64_t)kind, t->conf.seed[1]};
    return (uint32_t)ww_siphash13(seed, text);
}

static ww_err interned_reserve(struct ww_routing *t)
{
    if ((uint64_t)(t->interned.count + 1) * 4 <= (uint64_t)t->interned.capacity * 3)
        return 0;
    uint32_t capacity = t->interned.capacity ? t->interned.capacity * 2 : HASH_MIN, mask = capacity - 1;
    uint32_t *slots = ww_calloc(capacity, sizeof *slots);
    if (!slots)
        return WW_ENOMEM;
    for (uint32_t i = 0; i < t->interned.capacity; i++) {
        uint32_t atom = t->interned.slots[i];
        if (!atom)
            continue;
        uint32_t at = atom_at(t, atom)->hash & mask;
        while (slots[at])
            at = (at + 1) & mask;
        slots[at] = atom;
    }
    t->bytes += (capacity - t->interned.capacity) * sizeof *slots;
    ww_free(t->interned.slots);
    t->interned.slots = slots;
    t->interned.capacity = capacity;
    return 0;
}

static void interned_remove(struct ww_routing *t, uint32_t atom)
{
    uint32_t mask = t->interned.capacity - 1, i = atom_at(t, atom)->hash & mask;
    while (t->interned.slots[i] != atom)
        i = (i + 1) & mask;
    for (uint32_t j = (i + 1) & mask; t->interned.slots[j]; j = (j + 1) & mask) {
        uint32_t home = atom_at(t, t->interned.slots[j])->hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            t->interned.slots[i] = t->interned.slots[j];
            i = j;
        }
    }
    t->interned.slots[i] = 0;
    t->interned.count--;
}

static uint32_t atom_new(struct ww_routing *t, enum atom_kind kind, uint32_t hash, struct ww_bytes text)
{
    uint32_t atom = t->atoms.free;
    if (!atom)
        atom = chunked_next(t, &t->atoms, sizeof(struct atom *));
    if (!atom)
        return 0;
    struct atom *a = tracked_alloc(t, sizeof *a + text.len);
    bool from_free = atom == t->atoms.free;
    if (!a) {
        if (!from_free) { /* keep the number for later: an empty cell of the free list holds the next number
                           */
            *atom_ref(t, atom) = (struct atom *)(uintptr_t)t->atoms.free;
            t->atoms.free = atom;
        }
        return 0;
    }
    if (from_free)
        t->atoms.free = (uint32_t)(uintptr_t)*atom_ref(t, atom);
    *a = (struct atom){.born = t->epoch,
        .epoch = t->epoch,
        .hash = hash,
        .number = atom,
        .len = (uint16_t)text.len,
        .kind = (uint8_t)kind};
    memcpy(a->text, text.ptr, text.len);
    *atom_ref(t, atom) = a;
    return atom;
}

static uint32_t atom_lookup(
    const struct ww_routing *t, enum atom_kind kind, uint32_t hash, struct ww_bytes text)
{
    if (t->interned.capacity == 0)
        return 0;
    uint32_t mask = t->interned.capacity - 1;
    for (uint32_t i = hash & mask; t->interned.slots[i]; i = (i + 1) & mask) {
        const struct atom *a = atom_at(t, t->interned.slots[i]);
        if (a->hash == hash && a->kind == kind && ww_bytes_eq(atom_text(a), text))
            return a->number;
    }
    return 0;
}

uint32_t atom_find(const struct ww_routing *t, enum atom_kind kind, struct ww_bytes text)
{
    return atom_lookup(t, kind, atom_hash(t, kind, text), text);
}

uint32_t atom_intern(struct ww_routing *t, enum atom_kind kind, struct ww_bytes text)
{
    uint32_t hash = atom_hash(t, kind, text), atom = atom_lookup(t, kind, hash, text);
    if (atom) {
        atom_at(t, atom)->refs++;
        return atom;
    }
    if (interned_reserve(t) < 0)
        return 0;
    atom = atom_new(t, kind, hash, text);
    if (!atom)
        return 0;
    uint32_t mask = t->interned.capacity - 1, at = hash & mask;
    while (t->interned.slots[at])
        at = (at + 1) & mask;
    t->interned.slots[at] = atom;
    t->interned.count++;
    atom_at(t, atom)->refs = 1;
    return atom;
}

void atom_unref(struct ww_routing *t, uint32_t atom)
{
    struct atom *a = atom_at(t, atom);
    WW_ASSERT(a->refs > 0);
    if (--a->refs > 0)
        return;
    WW_ASSERT(a->posting.count == 0);
    interned_remove(t, atom);
    atom_retire(t, atom);
}

void atom_free(struct ww_routing *t, uint32_t atom)
{
    struct atom *a = atom_at(t, atom);
    versions_free(t, &a->older);
    tracked_free(t, a, sizeof *a + a->len);
    *atom_ref(t, atom) = (struct atom *)(uintptr_t)t->atoms.free;
    t->atoms.free = atom;
}

/* ---- versions ---- */

#define SPARE_KEPT 64

ww_err versions_reserve(struct ww_routing *t, uint32_t count)
{
    while (t->spare_count < count) {
        struct version *v = tracked_alloc(t, sizeof *v);
        if (!v)
            return WW_ENOMEM;
        v->older = t->spare;
        t->spare = v;
        t->spare_count++;
    }
    return 0;
}

struct version *version_take(struct ww_routing *t)
{
    struct version *v = t->spare;
    WW_ASSERT(v);
    t->spare = v->older;
    t->spare_count--;
    return v;
}

static void version_give(struct ww_routing *t, struct version *v)
{
    if (t->spare_count >= SPARE_KEPT) {
        tracked_free(t, v, sizeof *v);
        return;
    }
    v->older = t->spare;
    t->spare = v;
    t->spare_count++;
}

void versions_prune(struct ww_routing *t, struct version **chain, uint64_t epoch)
{
    struct ww_list *at = t->snaps.next;
    while (*chain) {
        struct version *v = *chain;
        /* v is what snapshots with v->epoch <= their epoch < `epoch` see. */
        while (at != &t->snaps && WW_LIST_ENTRY(at, struct ww_snapshot, link)->epoch >= epoch)
            at = at->next;
        bool seen = at != &t->snaps && WW_LIST_ENTRY(at, struct ww_snapshot, link)->epoch >= v->epoch;
        epoch = v->epoch;
        if (seen) {
            chain = &v->older;
        } else {
            *chain = v->older;
            version_give(t, v);
        }
    }
}

void versions_free(struct ww_routing *t, struct version **chain)
{
    while (*chain) {
        struct version *v = *chain;
        *chain = v->older;
        version_give(t, v);
    }
}

/* ---- bodies ---- */

static size_t body_bytes(size_t meta_count, size_t peer_len)
{
    return offsetof(struct body, meta) + meta_count * sizeof(uint32_t) + peer_len;
}

struct body *body_new(struct ww_routing *t, const struct ww_record_in *in)
{
    struct body *b = tracked_alloc(t, body_bytes(in->meta_count, in->peer.len));
    if (!b)
        return NULL;
    char text[ID_TEXT_MAX];
    *b = (struct body){.server = in->server, .born = t->epoch};
    b->peer_len = (uint8_t)in->peer.len;
    b->meta_count = (uint8_t)in->meta_count;
    memcpy(&b->meta[in->meta_count], in->peer.ptr, in->peer.len);
    b->id_word = id_word(id_text(in->peer, text));
    memset(b->meta, 0, in->meta_count * sizeof *b->meta);
    bool ok = true;
    if (in->host.len) {
        uint32_t host = atom_intern(t, ATOM_HOST, in->host);
        ok = host != 0;
        b->host = ok ? atom_at(t, host) : NULL;
    }
    for (size_t i = 0; ok && i < in->meta_count; i++) {
        b->meta[i] = atom_intern(t, ATOM_META, in->meta[i]);
        ok = b->meta[i] != 0;
    }
    if (ok)
        return b;
    body_free(t, b);
    return NULL;
}

void body_free(struct ww_routing *t, struct body *b)
{
    if (b->host)
        atom_unref(t, b->host->number);
    for (size_t i = 0; i < b->meta_count; i++) {
        if (b->meta[i])
            atom_unref(t, b->meta[i]);
    }
    tracked_free(t, b, body_bytes(b->meta_count, b->peer_len));
}

void store_fini(struct ww_routing *t)
{
    while (t->spare) {
        struct version *v = t->spare;
        t->spare = v->older;
        ww_free(v);
    }
    chunked_fini(&t->cells);
    chunked_fini(&t->atoms);
    ww_free(t->peers.slots);
    ww_free(t->interned.slots);
    ww_free(t->departed);
}
