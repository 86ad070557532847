/* capnp/schema_set.c — the set: memory, nodes by id, lookups by name. */
#include "capnp/schema_int.h"
#include "capnp/schema_layout.h"

#define CHUNK_BYTES 4096
#define DEFAULT_BYTES ((size_t)64 << 20)
#define DEFAULT_NODES 65536

static struct ww_bytes slot_key(const struct ww_map_node *node)
{
    const struct ww_schema_slot *slot = WW_CONTAINER_OF(node, struct ww_schema_slot, by_id);
    return ww_bytes(&slot->pub.id, sizeof slot->pub.id);
}

ww_err ww_schema_set_new(const struct ww_schema_limits *lim, struct ww_schema_set **ret_set)
{
    struct ww_schema_set *set = WW_NEW(struct ww_schema_set);
    if (!set)
        return WW_ENOMEM;
    /* Ids come from outside; the address is what a stranger does not know. */
    const uint64_t seed[2] = {(uint64_t)(uintptr_t)set, UINT64_C(0x736368656d612173)};
    ww_map_init(&set->by_id, slot_key, seed);
    ww_map_init(&set->brands, ww_brand_key, seed);
    set->max_bytes = lim && lim->bytes ? lim->bytes : DEFAULT_BYTES;
    set->max_slots = lim && lim->nodes ? lim->nodes : DEFAULT_NODES;
    *ret_set = set;
    return 0;
}

void ww_schema_set_free(struct ww_schema_set *set)
{
    if (!set)
        return;
    ww_map_fini(&set->by_id);
    ww_map_fini(&set->brands);
    ww_free(set->slots);
    for (struct ww_arena_chunk *c = set->chunks, *next; c; c = next) {
        next = c->next;
        ww_free(c);
    }
    ww_free(set);
}

void *ww_schema_alloc(struct ww_schema_set *set, size_t count, size_t size, ww_err *ret_err)
{
    struct ww_arena_chunk *c = set->chunks;
    if (count > set->max_bytes / size) {
        *ret_err = WW_ELIMIT;
        return NULL;
    }
    size_t bytes = (count * size + 7) & ~(size_t)7;
    if (bytes > set->max_bytes - set->bytes) {
        *ret_err = WW_ELIMIT;
        return NULL;
    }
    if (!c || bytes > c->capacity - c->used) {
        size_t capacity = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        c = ww_calloc(1, sizeof *c + capacity);
        if (!c) {
            *ret_err = WW_ENOMEM;
            return NULL;
        }
        c->capacity = capacity;
        c->next = set->chunks;
        set->chunks = c;
    }
    void *at = (uint8_t *)(c + 1) + c->used;
    c->used += bytes;
    set->bytes += bytes;
    return at;
}

static struct ww_schema_slot *find(const struct ww_schema_set *set, uint64_t id)
{
    struct ww_map_node *node = ww_map_get(&set->by_id, ww_bytes(&id, sizeof id));
    return node ? WW_CONTAINER_OF(node, struct ww_schema_slot, by_id) : NULL;
}

static ww_err add_slot(struct ww_schema_set *set, uint64_t id, struct ww_schema_slot **ret_slot)
{
    ww_err err = 0;
    if (set->slot_count >= set->max_slots)
        return WW_ELIMIT;
    if (set->slot_count == set->slot_capacity) {
        size_t capacity = set->slot_capacity ? set->slot_capacity * 2 : 64;
        struct ww_schema_slot **slots = ww_realloc(set->slots, capacity * sizeof(struct ww_schema_slot *));
        if (!slots)
            return WW_ENOMEM;
        set->slots = slots;
        set->slot_capacity = capacity;
    }
    struct ww_schema_slot *slot = ww_schema_alloc(set, 1, sizeof *slot, &err);
    if (!slot)
        return err;
    slot->pub.id = id;
    slot->pub.set = set;
    slot->pub.kind = WW_SCHEMA_MISSING;
    slot->pub.name = slot->pub.display_name = "";
    slot->expect = WW_SCHEMA_MISSING;
    WW_TRY(ww_map_insert(&set->by_id, &slot->by_id));
    set->slots[set->slot_count++] = slot;
    *ret_slot = slot;
    return 0;
}

ww_err ww_schema_need(
    struct ww_schema_load *load, uint64_t id, enum ww_schema_kind kind, struct ww_schema_slot **ret_slot)
{
    struct ww_schema_slot *slot = find(load->set, id);
    if (!slot)
        WW_TRY(add_slot(load->set, id, &slot));
    enum ww_schema_kind known =
        slot->pub.kind == WW_SCHEMA_MISSING ? (enum ww_schema_kind)slot->expect : slot->pub.kind;
    if (kind != WW_SCHEMA_MISSING && known != WW_SCHEMA_MISSING && known != kind)
        return ww_schema_fault(load, "names a node that is of another kind", slot->pub.name);
    if (slot->pub.kind == WW_SCHEMA_MISSING && kind != WW_SCHEMA_MISSING)
        slot->expect = (uint8_t)kind;
    *ret_slot = slot;
    return 0;
}

/* ---- lookups */

const struct ww_schema *ww_schema_at(const struct ww_schema_set *set, size_t i)
{
    return i < set->slot_count ? &set->slots[i]->pub : NULL;
}

const struct ww_schema *ww_schema_by_id(const struct ww_schema_set *set, uint64_t id)
{
    struct ww_schema_slot *slot = find(set, id);
    return slot ? &slot->pub : NULL;
}

/* Follows the names of `path` down from `s`. */
static const struct ww_schema *descend(const struct ww_schema *s, const char *path)
{
    while (s) {
        size_t len = strcspn(path, ".");
        const struct ww_schema *found = NULL;
        for (uint32_t i = 0; i < s->nested_count && !found; i++) {
            const char *name = s->nested[i].name;
            if (strlen(name) == len && memcmp(name, path, len) == 0)
                found = ww_schema_by_id(s->set, s->nested[i].id);
        }
        if (!found || path[len] == 0)
            return found;
        s = found;
        path += len + 1;
    }
    return NULL;
}

const struct ww_schema *ww_schema_by_name(const struct ww_schema_set *set, const char *path)
{
    const char *colon = strrchr(path, ':');
    for (size_t i = 0; i < set->slot_count; i++) {
        const struct ww_schema *file = &set->slots[i]->pub;
        if (file->kind != WW_SCHEMA_FILE)
            continue;
        if (strcmp(file->display_name, path) == 0)
            return file;
        size_t len = strlen(file->display_name);
        if (colon && ((size_t)(colon - path) != len || memcmp(path, file->display_name, len) != 0))
            continue;
        const struct ww_schema *found = descend(file, colon ? colon + 1 : path);
        if (found)
            return found;
    }
    return NULL;
}

const struct ww_schema *ww_schema_resolve(const struct ww_schema *scope, const char *path)
{
    for (unsigned i = 0; scope && i < WW_SCOPE_DEPTH_MAX; i++) {
        const struct ww_schema *found = descend(scope, path);
        if (found)
            return found;
        scope = ww_schema_by_id(scope->set, scope->scope);
    }
    return NULL;
}

/* ---- members. Fields, enumerants and methods all begin with their name. */

static const char *name_at(const void *array, size_t size, size_t i)
{
    const char *name;
    memcpy(&name, (const uint8_t *)array + i * size, sizeof name);
    return name;
}

/* The index, or `count`. */
static uint32_t search(const struct ww_schema *s, const void *array, size_t size, const char *name)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int c = strcmp(name, name_at(array, size, s->by_name[mid]));
        if (c == 0)
            return s->by_name[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return s->count;
}

const struct ww_schema_field *ww_schema_field(const struct ww_schema *s, const char *name)
{
    if (s->kind != WW_SCHEMA_STRUCT)
        return NULL;
    uint32_t i = search(s, s->fields, sizeof *s->fields, name);
    return i < s->count ? &s->fields[i] : NULL;
}

const struct ww_schema_enumerant *ww_schema_enumerant(
    const struct ww_schema *s, const char *name, uint16_t *ret_value)
{
    if (s->kind != WW_SCHEMA_ENUM)
        return NULL;
    uint32_t i = search(s, s->enumerants, sizeof *s->enumerants, name);
    if (i == s->count)
        return NULL;
    if (ret_value)
        *ret_value = (uint16_t)i;
    return &s->enumerants[i];
}

const struct ww_schema_field *ww_schema_member(const struct ww_schema *s, uint16_t tag)
{
    return tag < s->tag_count ? &s->fields[s->by_tag[tag]] : NULL;
}

/* Walks `s` and all that it extends, each once, nearest first; cycles end. Returns the first that `match`
 * accepts. */
static const struct ww_schema *walk_supers(
    const struct ww_schema *s, bool (*match)(const struct ww_schema *s, void *ctx), void *ctx)
{
    struct ww_schema_slot *head = ww_schema_slot(s), *tail = head;
    uint32_t mark = ++s->set->mark;
    head->mark = mark;
    head->next = NULL;
    for (; head; head = head->next) {
        if (match(&head->pub, ctx))
            return &head->pub;
        for (uint32_t i = 0; i < head->pub.super_count; i++) {
            struct ww_schema_slot *super = ww_schema_slot(head->pub.supers[i].node);
            if (super->mark == mark)
                continue;
            super->mark = mark;
            super->next = NULL;
            tail = tail->next = super;
        }
    }
    return NULL;
}

struct method_search {
    const char *name;
    uint32_t index;
};

static bool has_method(const struct ww_schema *s, void *ctx)
{
    struct method_search *m = ctx;
    if (s->kind != WW_SCHEMA_INTERFACE)
        return false;
    m->index = search(s, s->methods, sizeof *s->methods, m->name);
    return m->index < s->count;
}

const struct ww_schema_method *ww_schema_method(const struct ww_schema *s, const char *name)
{
    struct method_search m = {name, 0};
    const struct ww_schema *found = walk_supers(s, has_method, &m);
    return found ? &found->methods[m.index] : NULL;
}

static bool same_node(const struct ww_schema *s, void *ctx)
{
    return s == ctx;
}

bool ww_schema_extends(const struct ww_schema *s, const struct ww_schema *other)
{
    return walk_supers(s, same_node, (void *)other) != NULL;
}

bool ww_schema_annotation(
    struct ww_lr annotations, uint64_t id, enum ww_type_kind type, struct ww_schema_value *ret_value)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        struct ww_sr a = ww_lr_struct(annotations, i);
        struct ww_sr value = ww_layout_annotation_value(a);
        if (ww_layout_annotation_id(a) != id || ww_layout_value_kind(value) != (unsigned)type)
            continue;
        if (ret_value)
            *ret_value = (struct ww_schema_value){
                ww_layout_value_bits((unsigned)type, value), ww_layout_value_ptr(value)};
        return true;
    }
    return false;
}
