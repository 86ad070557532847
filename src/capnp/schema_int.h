/* capnp/schema_int.h — inside of a schema set. */
#ifndef WW_CAPNP_SCHEMA_INT_H
#define WW_CAPNP_SCHEMA_INT_H

#include "base/base.h"
#include "base/map.h"
#include "ww/schema.h"

#define WW_TYPE_LISTS_MAX 32  /* List(List(...)), below the depth that messages may have */
#define WW_BRAND_DEPTH_MAX 16 /* Map(Text, Map(Text, ...)) */
#define WW_BRAND_SCOPES_MAX 64
#define WW_SCOPE_DEPTH_MAX 64 /* nodes in nodes */

/* Memory that is only given back as a whole. */
struct ww_arena_chunk {
    struct ww_arena_chunk *next;
    size_t used, capacity;
};

struct ww_schema_slot {
    struct ww_map_node by_id;
    struct ww_schema pub;
    struct ww_seg seg; /* of pub.raw */
    uint8_t expect;    /* kind that others take a placeholder for; WW_SCHEMA_MISSING: none */
    const struct ww_capnp_node *embedded; /* its dependencies are loaded, or in a queue to be */
    struct ww_schema_slot *next_embedded;
    /* one walk over superclasses at a time */
    uint32_t mark;
    struct ww_schema_slot *next;
};

struct ww_schema_set {
    struct ww_arena_chunk *chunks;
    size_t bytes, max_bytes;
    struct ww_schema_slot **slots;
    size_t slot_count, slot_capacity, max_slots;
    struct ww_map by_id, brands;
    uint32_t mark;
};

/* Where a fault is reported: the node under way. */
struct ww_schema_load {
    struct ww_schema_set *set;
    uint64_t id;
    const char *name;
    struct ww_diag *diag;
};

struct ww_brand_scope {
    uint64_t id;
    uint32_t first, count; /* among the brand's types */
    uint32_t inherit;      /* 1: bound as in the scope of the use */
    uint32_t zero;
};

/* Interned: one address for equal brands. Scopes and then types lie behind it; they are the key. */
struct ww_brand {
    struct ww_map_node node;
    uint32_t scope_count, type_count;
    uint8_t depth;
    bool open;
};

static inline struct ww_brand_scope *ww_brand_scopes(const struct ww_brand *b)
{
    return (struct ww_brand_scope *)(b + 1);
}

static inline struct ww_type *ww_brand_types(const struct ww_brand *b)
{
    return (struct ww_type *)(ww_brand_scopes(b) + b->scope_count);
}

/* Zeroed; NULL with *ret_err when memory or the limit is out. */
void *ww_schema_alloc(struct ww_schema_set *set, size_t count, size_t size, ww_err *ret_err);

static inline struct ww_schema_slot *ww_schema_slot(const struct ww_schema *s)
{
    return WW_CONTAINER_OF(s, struct ww_schema_slot, pub);
}

/* The node `id`, made as a placeholder when it is not there. WW_EMALFORMED when it is known to be something
 * else than `kind` (WW_SCHEMA_MISSING: anything). */
ww_err ww_schema_need(
    struct ww_schema_load *load, uint64_t id, enum ww_schema_kind kind, struct ww_schema_slot **ret_slot);

/* WW_EMALFORMED with a text that names the node. */
ww_err ww_schema_fault(const struct ww_schema_load *load, const char *what, const char *member);

/* A Type or a Brand struct of schema.capnp. */
ww_err ww_schema_type(struct ww_schema_load *load, struct ww_sr type, struct ww_type *ret_type);
ww_err ww_schema_brand(
    struct ww_schema_load *load, struct ww_sr brand, unsigned depth, const struct ww_brand **ret_brand);
struct ww_bytes ww_brand_key(const struct ww_map_node *node);

/* Fills in `ret` from its `raw`, but for id, set and raw. */
ww_err ww_schema_decode(struct ww_schema_load *load, struct ww_schema *ret);
/* The Value of a type. */
ww_err ww_schema_value(
    struct ww_schema_load *load, struct ww_sr value, struct ww_type type, struct ww_schema_value *ret);

/* ASCII letters, digits and _, no digit first: what the language allows, and what needs no escapes. */
bool ww_schema_is_name(struct ww_bytes name);

/* False: neither can stand for the other. *ret_newer: `b` says more than `a`. */
bool ww_schema_compatible(const struct ww_schema *a, const struct ww_schema *b, bool *ret_newer);

/* Whether a group's struct fits into its parent: the loader cannot know before both are there. */
static inline bool ww_schema_group_fits(const struct ww_schema *parent, const struct ww_schema *group)
{
    return group->kind == WW_SCHEMA_STRUCT && group->is_group && group->data_words <= parent->data_words &&
        group->ptrs <= parent->ptrs;
}

#endif
