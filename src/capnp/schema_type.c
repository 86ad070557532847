/* capnp/schema_type.c — types and what their parameters are bound to. Equal brands are stored once, so that
 * types compare by address and walking a message makes each brand only the first time. */
#include "capnp/schema_int.h"
#include "capnp/schema_layout.h"

struct ww_bytes ww_brand_key(const struct ww_map_node *node)
{
    const struct ww_brand *b = WW_CONTAINER_OF(node, struct ww_brand, node);
    return ww_bytes(
        b + 1, b->scope_count * sizeof(struct ww_brand_scope) + b->type_count * sizeof(struct ww_type));
}

/* Without stray bits in its padding, since types are parts of keys. */
static void put_type(struct ww_type *at, struct ww_type t)
{
    memset(at, 0, sizeof *at);
    at->base = t.base;
    at->lists = t.lists;
    at->any = t.any;
    at->open = t.open;
    at->param = t.param;
    at->node = t.node;
    at->brand = t.brand;
    at->scope = t.scope;
}

/* A brand to be filled in, on the heap until it is interned. */
static struct ww_brand *brand_new(uint32_t scopes, uint32_t types)
{
    struct ww_brand *b =
        ww_calloc(1, sizeof *b + scopes * sizeof(struct ww_brand_scope) + types * sizeof(struct ww_type));
    if (b) {
        b->scope_count = scopes;
        b->type_count = types;
    }
    return b;
}

/* Sets depth and openness from the content. */
static ww_err brand_finish(struct ww_brand *b)
{
    unsigned depth = 0;
    for (uint32_t i = 0; i < b->scope_count; i++)
        b->open |= ww_brand_scopes(b)[i].inherit;
    for (uint32_t i = 0; i < b->type_count; i++) {
        const struct ww_type *t = &ww_brand_types(b)[i];
        b->open |= t->open;
        if (t->brand && t->brand->depth > depth)
            depth = t->brand->depth;
    }
    b->depth = (uint8_t)(depth + 1);
    return b->depth > WW_BRAND_DEPTH_MAX ? WW_ELIMIT : 0;
}

/* Takes `b` and gives the stored one; no scopes give NULL. */
static ww_err brand_intern(struct ww_schema_set *set, struct ww_brand *b, const struct ww_brand **ret_brand)
{
    ww_err err = brand_finish(b);
    struct ww_bytes key = ww_brand_key(&b->node);
    struct ww_map_node *known = ww_map_get(&set->brands, key);
    struct ww_brand *kept = NULL;
    if (err == 0 && b->scope_count && !known) {
        kept = ww_schema_alloc(set, 1, sizeof *b + key.len, &err);
        if (kept) {
            memcpy(kept, b, sizeof *b + key.len);
            err = ww_map_insert(&set->brands, &kept->node);
        }
    }
    if (known)
        kept = WW_CONTAINER_OF(known, struct ww_brand, node);
    if (err == 0)
        *ret_brand = b->scope_count ? kept : NULL;
    ww_free(b);
    return err;
}

/* ---- from schema.capnp's structs */

static ww_err any_type(struct ww_schema_load *load, struct ww_sr s, struct ww_type *t)
{
    uint16_t detail = ww_layout_any_detail(s);
    switch (ww_layout_any_kind(s)) {
    case 0:
        if (detail > WW_ANY_CAP)
            return ww_schema_fault(load, "has an AnyPointer of an unknown kind", NULL);
        t->any = (uint8_t)detail;
        return 0;
    case 1:
        t->any = WW_ANY_PARAM;
        t->scope = ww_layout_any_scope(s);
        break;
    case 2:
        t->any = WW_ANY_METHOD_PARAM;
        break;
    default:
        return ww_schema_fault(load, "has an AnyPointer of an unknown kind", NULL);
    }
    t->param = detail;
    t->open = true;
    return 0;
}

static ww_err read_type(struct ww_schema_load *load, struct ww_sr s, unsigned depth, struct ww_type *ret)
{
    struct ww_type t;
    struct ww_schema_slot *slot;
    memset(&t, 0, sizeof t);
    while (ww_layout_type_kind(s) == WW_TYPE_LIST) {
        if (++t.lists > WW_TYPE_LISTS_MAX)
            return ww_schema_fault(load, "has a type of too many lists", NULL);
        s = ww_layout_type_elem(s);
    }
    if (ww_layout_type_kind(s) > WW_TYPE_ANY)
        return ww_schema_fault(load, "has a type that is not known", NULL);
    t.base = (uint8_t)ww_layout_type_kind(s);
    if (t.base == WW_TYPE_ANY)
        WW_TRY(any_type(load, s, &t));
    if (t.base >= WW_TYPE_ENUM && t.base <= WW_TYPE_INTERFACE) {
        static const uint8_t kinds[] = {WW_SCHEMA_ENUM, WW_SCHEMA_STRUCT, WW_SCHEMA_INTERFACE};
        WW_TRY(ww_schema_need(
            load, ww_layout_type_id(s), (enum ww_schema_kind)kinds[t.base - WW_TYPE_ENUM], &slot));
        t.node = &slot->pub;
        WW_TRY(ww_schema_brand(load, ww_layout_type_brand(s), depth, &t.brand));
        t.open = t.brand && t.brand->open;
    }
    *ret = t;
    return 0;
}

ww_err ww_schema_type(struct ww_schema_load *load, struct ww_sr type, struct ww_type *ret_type)
{
    return read_type(load, type, 0, ret_type);
}

static ww_err read_binding(struct ww_schema_load *load, struct ww_sr s, unsigned depth, struct ww_type *at)
{
    struct ww_type t = {.base = WW_TYPE_ANY};
    if (ww_layout_binding_kind(s) > 1)
        return ww_schema_fault(load, "binds a type parameter in an unknown way", NULL);
    if (ww_layout_binding_kind(s) == 1) {
        WW_TRY(read_type(load, ww_layout_binding_type(s), depth + 1, &t));
        if (!ww_type_is_pointer(t))
            return ww_schema_fault(load, "binds a type parameter to what is no pointer", NULL);
    }
    put_type(at, t);
    return 0;
}

static ww_err read_scopes(
    struct ww_schema_load *load, struct ww_lr scopes, unsigned depth, struct ww_brand *b)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < scopes.count; i++) {
        struct ww_sr s = ww_lr_struct(scopes, i);
        struct ww_brand_scope *to = &ww_brand_scopes(b)[i];
        if (ww_layout_scope_kind(s) > 1)
            return ww_schema_fault(load, "has a brand of an unknown kind", NULL);
        to->id = ww_layout_scope_id(s);
        to->inherit = ww_layout_scope_kind(s);
        to->first = first;
        if (to->inherit)
            continue;
        struct ww_lr bindings = ww_layout_scope_bindings(s);
        to->count = bindings.count;
        for (uint32_t k = 0; k < bindings.count; k++)
            WW_TRY(read_binding(load, ww_lr_struct(bindings, k), depth, &ww_brand_types(b)[first + k]));
        first += bindings.count;
    }
    return 0;
}

ww_err ww_schema_brand(
    struct ww_schema_load *load, struct ww_sr brand, unsigned depth, const struct ww_brand **ret_brand)
{
    struct ww_lr scopes = ww_layout_brand_scopes(brand);
    uint64_t types = 0;
    *ret_brand = NULL;
    if (scopes.count == 0)
        return 0;
    if (depth >= WW_BRAND_DEPTH_MAX || scopes.count > WW_BRAND_SCOPES_MAX)
        return ww_schema_fault(load, "has a brand over the limits", NULL);
    for (uint32_t i = 0; i < scopes.count; i++) {
        struct ww_sr s = ww_lr_struct(scopes, i);
        if (ww_layout_scope_kind(s) == 0)
            types += ww_layout_scope_bindings(s).count;
    }
    if (types > UINT16_MAX)
        return ww_schema_fault(load, "has a brand over the limits", NULL);
    struct ww_brand *b = brand_new(scopes.count, (uint32_t)types);
    if (!b)
        return WW_ENOMEM;
    ww_err err = read_scopes(load, scopes, depth, b);
    if (err == 0)
        return brand_intern(load->set, b, ret_brand);
    ww_free(b);
    return err;
}

/* ---- binding */

static const struct ww_brand_scope *brand_scope(const struct ww_brand *b, uint64_t id)
{
    for (uint32_t i = 0; b && i < b->scope_count; i++) {
        if (ww_brand_scopes(b)[i].id == id)
            return &ww_brand_scopes(b)[i];
    }
    return NULL;
}

static ww_err subst_type(struct ww_schema_set *set, const struct ww_brand *env, struct ww_type t,
    unsigned depth, struct ww_type *ret);

/* `b` as seen where `env` binds the parameters. Scopes that `env` does not know fall away. */
static ww_err subst_brand(struct ww_schema_set *set, const struct ww_brand *env, const struct ww_brand *b,
    unsigned depth, const struct ww_brand **ret_brand)
{
    uint32_t scopes = 0, types = 0, first = 0, n = 0;
    if (depth >= WW_BRAND_DEPTH_MAX)
        return WW_ELIMIT;
    for (uint32_t i = 0; i < b->scope_count; i++) {
        const struct ww_brand_scope *s = &ww_brand_scopes(b)[i];
        const struct ww_brand_scope *from = s->inherit ? brand_scope(env, s->id) : s;
        scopes += from != NULL;
        types += from ? from->count : 0;
    }
    struct ww_brand *to = brand_new(scopes, types);
    if (!to)
        return WW_ENOMEM;
    for (uint32_t i = 0; i < b->scope_count; i++) {
        const struct ww_brand_scope *s = &ww_brand_scopes(b)[i];
        const struct ww_brand_scope *from = s->inherit ? brand_scope(env, s->id) : s;
        const struct ww_brand *owner = s->inherit ? env : b;
        if (!from)
            continue;
        ww_brand_scopes(to)[n++] = (struct ww_brand_scope){.id = s->id, .first = first, .count = from->count};
        for (uint32_t k = 0; k < from->count; k++) {
            struct ww_type t = ww_brand_types(owner)[from->first + k];
            ww_err err = subst_type(set, env, t, depth + 1, &t);
            if (err < 0)
                return ww_free(to), err;
            put_type(&ww_brand_types(to)[first + k], t);
        }
        first += from->count;
    }
    return brand_intern(set, to, ret_brand);
}

static ww_err subst_type(struct ww_schema_set *set, const struct ww_brand *env, struct ww_type t,
    unsigned depth, struct ww_type *ret)
{
    if (!t.open) {
        *ret = t;
        return 0;
    }
    if (t.base == WW_TYPE_ANY) {
        const struct ww_brand_scope *s = t.any == WW_ANY_PARAM ? brand_scope(env, t.scope) : NULL;
        struct ww_type bound = {.base = WW_TYPE_ANY};
        if (s && t.param < s->count)
            bound = ww_brand_types(env)[s->first + t.param];
        if (bound.lists + t.lists > WW_TYPE_LISTS_MAX)
            return WW_ELIMIT;
        bound.lists = (uint8_t)(bound.lists + t.lists);
        *ret = bound;
        return 0;
    }
    WW_TRY(subst_brand(set, env, t.brand, depth, &t.brand));
    t.open = false;
    *ret = t;
    return 0;
}

ww_err ww_type_in(struct ww_type of, struct ww_type type, struct ww_type *ret_type)
{
    if (!type.open) {
        *ret_type = type;
        return 0;
    }
    return subst_type(of.node->set, of.brand, type, 0, ret_type);
}

struct ww_type ww_type_of(const struct ww_schema *s)
{
    struct ww_type t;
    memset(&t, 0, sizeof t);
    t.base = s->kind == WW_SCHEMA_ENUM   ? WW_TYPE_ENUM
        : s->kind == WW_SCHEMA_INTERFACE ? WW_TYPE_INTERFACE
                                         : WW_TYPE_STRUCT;
    t.node = s;
    return t;
}

ww_err ww_type_bind(
    const struct ww_schema *s, const struct ww_type *args, uint16_t arg_count, struct ww_type *ret_type)
{
    struct ww_type t = ww_type_of(s);
    if (arg_count != s->param_count || (s->kind != WW_SCHEMA_STRUCT && s->kind != WW_SCHEMA_INTERFACE))
        return WW_EINVAL;
    struct ww_brand *b = brand_new(1, arg_count);
    if (!b)
        return WW_ENOMEM;
    ww_brand_scopes(b)[0] = (struct ww_brand_scope){.id = s->id, .count = arg_count};
    for (uint16_t i = 0; i < arg_count; i++) {
        if (!ww_type_is_pointer(args[i]) || args[i].open)
            return ww_free(b), WW_EINVAL;
        put_type(&ww_brand_types(b)[i], args[i]);
    }
    WW_TRY(brand_intern(s->set, b, &t.brand));
    *ret_type = t;
    return 0;
}

/* ---- for people */

bool ww_type_equal(struct ww_type a, struct ww_type b)
{
    struct ww_type x, y;
    put_type(&x, a);
    put_type(&y, b);
    return memcmp(&x, &y, sizeof x) == 0;
}

struct cut_text {
    char *at;
    size_t left;
};

static void append(struct cut_text *t, const char *text)
{
    for (; *text && t->left > 1; text++, t->left--)
        *t->at++ = *text;
    *t->at = 0;
}

const char *ww_type_name(struct ww_type t, char *out, size_t size)
{
    static const char *const names[] = {"Void", "Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16",
        "UInt32", "UInt64", "Float32", "Float64", "Text", "Data", "List", "enum", "struct", "interface",
        "AnyPointer"};
    static const char *const any[] = {
        "AnyPointer", "AnyStruct", "AnyList", "Capability", "type parameter", "type parameter"};
    struct cut_text text = {out, size};
    if (size == 0)
        return "";
    *out = 0;
    for (unsigned i = 0; i < t.lists; i++)
        append(&text, "List(");
    if (t.node)
        append(&text, t.node->kind == WW_SCHEMA_MISSING ? "type without schema" : t.node->display_name);
    else
        append(&text, t.base == WW_TYPE_ANY ? any[t.any % 6] : names[t.base % 19]);
    for (unsigned i = 0; i < t.lists; i++)
        append(&text, ")");
    return out;
}
