#include "capnpc/brand.h"

#include "capnpc/out.h"

/* Generics that instantiate themselves with ever larger arguments end here: what is deeper, or beyond the
 * number, is unbound. */
#define DEPTH_MAX 3
#define INSTANCES_MAX 2000

/* ---- keys and names */

static const char *type_key(struct type t)
{
    if (t.kind == TYPE_LIST)
        return textf("[%s]", type_key(*t.elem));
    if (t.inst)
        return t.inst->key;
    return textf("%u%s.%llx", t.kind, t.is_cap ? "c" : "", t.n ? (unsigned long long)t.n->id : 0);
}

static const char *key_of(const struct inst *inst)
{
    char *key = textf("%016llx", (unsigned long long)inst->n->id);
    for (uint32_t i = 0; i < inst->bind_count; i++) {
        key = textf("%s<%016llx", key, (unsigned long long)inst->binds[i].scope);
        for (uint32_t k = 0; k < inst->binds[i].count; k++)
            key = textf("%s,%s", key, type_key(inst->binds[i].args[k]));
        key = textf("%s>", key);
    }
    return key;
}

uint64_t inst_hash(const struct inst *inst)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *p = inst->key; *p; p++)
        hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    return hash;
}

static const char *const builtin_names[] = {"Void", "Bool", "Int8", "Int16", "Int32", "Int64", "UInt8",
    "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Text", "Data", "List", "", "", "Capability",
    "AnyPointer"};

/* Whether a name could be taken for a built-in type's: "Text", "List_Job". */
static bool looks_builtin(const char *name)
{
    for (size_t i = 0; i < WW_COUNT_OF(builtin_names); i++) {
        size_t len = strlen(builtin_names[i]);
        if (len && strncmp(name, builtin_names[i], len) == 0 && (name[len] == 0 || name[len] == '_'))
            return true;
    }
    return false;
}

/* The name of an argument; types of the generic's own prefix go without it. */
static const char *arg_name(const struct node *generic, struct type t)
{
    if (t.kind == TYPE_LIST)
        return textf("List_%s", arg_name(generic, *t.elem));
    const struct node *n = t.inst ? t.inst->n : t.n;
    if (!n)
        return builtin_names[t.is_cap ? TYPE_INTERFACE : t.kind];
    const char *full = t.inst ? t.inst->name : n->name;
    const char *prefix = n->file->name;
    size_t len = strlen(prefix);
    if (strcmp(prefix, generic->file->name) != 0 || strncmp(full, prefix, len) != 0 ||
        looks_builtin(full + len))
        return full;
    return full + len;
}

static const struct bind *find_bind(const struct inst *env, uint64_t scope)
{
    for (uint32_t i = 0; i < env->bind_count; i++) {
        if (env->binds[i].scope == scope)
            return &env->binds[i];
    }
    return NULL;
}

/* The name with the arguments of `n` and of the scopes around it, outer ones first. Where a scope binds
 * nothing, its parameters are named as what they are: else Outer(Data).Inner(T) and Outer(T).Inner(Data) were
 * one. */
static const char *name_args(const struct model *m, const struct inst *inst, const struct node *n)
{
    if (!n)
        return textf("%s_of", inst->n->name);
    const char *name = name_args(m, inst, n->iface ? n->iface : model_node(m, node_scope(n)));
    const struct bind *b = find_bind(inst, n->id);
    /* What a method has for parameters of its own is bound nowhere. */
    uint32_t count = b ? b->count : n->iface ? 0 : ww_layout_node_parameters(n->s).count;
    for (uint32_t k = 0; k < count; k++)
        name = textf("%s_%s", name, b ? arg_name(inst->n, b->args[k]) : builtin_names[TYPE_ANY]);
    return name;
}

/* ---- the table */

static unsigned type_depth(struct type t)
{
    if (t.kind == TYPE_LIST)
        return type_depth(*t.elem);
    return t.inst ? t.inst->depth : 0;
}

static unsigned depth_of(const struct inst *inst)
{
    unsigned depth = 0;
    for (uint32_t i = 0; i < inst->bind_count; i++) {
        for (uint32_t k = 0; k < inst->binds[i].count; k++) {
            unsigned d = type_depth(inst->binds[i].args[k]) + 1;
            depth = d > depth ? d : depth;
        }
    }
    return depth;
}

static const struct inst *plain(const struct model *m, const struct node *n)
{
    struct node *own = &m->nodes[n - m->nodes];
    if (!own->plain) {
        own->plain = keep(sizeof *own->plain);
        own->plain->n = n;
        own->plain->name = n->name;
        own->plain->key = key_of(own->plain);
    }
    return own->plain;
}

static const struct inst *intern(const struct model *m, struct inst wanted)
{
    struct inst_table *all = m->insts;
    wanted.depth = depth_of(&wanted);
    if (wanted.bind_count == 0 || wanted.depth > DEPTH_MAX || all->count >= INSTANCES_MAX)
        return plain(m, wanted.n);
    wanted.key = key_of(&wanted);
    wanted.name = name_args(m, &wanted, wanted.n);
    for (const struct inst *i = all->first; i; i = i->next) {
        if (strcmp(i->key, wanted.key) == 0)
            return i;
        if (strcmp(i->name, wanted.name) == 0)
            broken(textf("two brands would be called %s; rename a type by $C.name", i->name), i->n->id);
    }
    struct inst *made = keep(sizeof *made);
    *made = wanted;
    made->next = all->first;
    all->first = made;
    all->count++;
    return made;
}

const struct inst *inst_plain(const struct model *m, uint64_t id)
{
    return plain(m, model_need(m, id));
}

const struct inst *inst_group(const struct model *m, uint64_t id, const struct inst *of)
{
    return intern(m, (struct inst){.n = model_need(m, id), .binds = of->binds, .bind_count = of->bind_count});
}

/* ---- brands */

static bool binds_something(const struct bind *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->args[i].kind != TYPE_ANY || b->args[i].is_cap)
            return true;
    }
    return false;
}

static struct bind read_bind(const struct model *m, struct ww_sr scope, const struct inst *env)
{
    struct ww_lr bindings = ww_layout_scope_bindings(scope);
    if (bindings.count > 0 && bindings.step == 0)
        broken("the request has a list of empty structs", env->n->id);
    struct type *args = keep((bindings.count + 1) * sizeof *args);
    for (uint32_t i = 0; i < bindings.count; i++) {
        struct ww_sr b = ww_lr_struct(bindings, i);
        args[i].kind = TYPE_ANY;
        if (ww_layout_binding_kind(b) == 1)
            args[i] = type_of(m, ww_layout_binding_type(b), env);
    }
    return (struct bind){ww_layout_scope_id(scope), bindings.count, args};
}

/* How many scopes lie around a node. */
static unsigned scope_depth(const struct model *m, uint64_t id)
{
    unsigned depth = 0;
    for (const struct node *n = model_node(m, id); n && depth < 64; n = model_node(m, node_scope(n)))
        depth++;
    return depth;
}

/* Outer scopes first: the compiler lists them from the inside. */
static void sort_binds(const struct model *m, struct bind *binds, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t k = i; k > 0; k--) {
            if (scope_depth(m, binds[k - 1].scope) <= scope_depth(m, binds[k].scope))
                break;
            struct bind swap = binds[k];
            binds[k] = binds[k - 1];
            binds[k - 1] = swap;
        }
    }
}

const struct inst *inst_brand(const struct model *m, uint64_t id, struct ww_sr brand, const struct inst *env)
{
    struct ww_lr scopes = ww_layout_brand_scopes(brand);
    if (scopes.count > 0 && scopes.step == 0)
        broken("the request has a list of empty structs", env->n->id);
    if (scopes.count == 0)
        return plain(m, model_need(m, id));
    struct bind *binds = keep((scopes.count + 1) * sizeof *binds);
    uint32_t count = 0;
    for (uint32_t i = 0; i < scopes.count; i++) {
        struct ww_sr scope = ww_lr_struct(scopes, i);
        const struct bind *inherited = find_bind(env, ww_layout_scope_id(scope));
        bool inherits = ww_layout_scope_kind(scope) == 1;
        if (inherits && inherited)
            binds[count++] = *inherited;
        if (!inherits)
            binds[count] = read_bind(m, scope, env);
        if (!inherits && binds_something(&binds[count]))
            count++;
    }
    sort_binds(m, binds, count);
    return intern(m, (struct inst){.n = model_need(m, id), .binds = binds, .bind_count = count});
}

/* ---- types */

static struct type any_type(struct ww_sr s, const struct inst *env)
{
    struct type any = {.kind = TYPE_ANY};
    uint16_t detail = ww_layout_any_detail(s);
    if (ww_layout_any_kind(s) == 0)
        any.is_cap = detail == 3;
    if (ww_layout_any_kind(s) == 1) {
        const struct bind *b = find_bind(env, ww_layout_any_scope(s));
        return b && detail < b->count ? b->args[detail] : any;
    }
    return any;
}

static const struct node *need_kind(const struct model *m, uint64_t id, enum node_kind kind)
{
    const struct node *n = model_need(m, id);
    if (node_kind(n) != kind)
        broken("a type is not of the kind that it is used as", id);
    if (n->skip)
        broken("the type is skipped, but used where it cannot be left out", id);
    return n;
}

struct type type_of(const struct model *m, struct ww_sr s, const struct inst *env)
{
    struct type t = {.kind = (enum type_kind)ww_layout_type_kind(s)};
    struct type *elem;
    switch (t.kind) {
    case TYPE_LIST:
        elem = keep(sizeof *elem);
        *elem = type_of(m, ww_layout_type_elem(s), env);
        t.elem = elem;
        /* Of what elements is known to nobody before the parameter is bound. */
        return elem->kind == TYPE_ANY && !elem->is_cap ? *elem : t;
    case TYPE_ENUM:
        t.n = need_kind(m, ww_layout_type_id(s), NODE_ENUM);
        return t;
    case TYPE_STRUCT:
    case TYPE_INTERFACE:
        need_kind(m, ww_layout_type_id(s), t.kind == TYPE_STRUCT ? NODE_STRUCT : NODE_INTERFACE);
        t.inst = inst_brand(m, ww_layout_type_id(s), ww_layout_type_brand(s), env);
        return t;
    case TYPE_ANY:
        return any_type(s, env);
    default:
        if (t.kind > TYPE_ANY)
            broken("a type that this generator does not know", env->n->id);
        return t;
    }
}

/* ---- members */

struct type field_type(const struct model *m, struct field f, const struct inst *of)
{
    return type_of(m, f.type, of);
}

bool type_skipped(const struct model *m, struct ww_sr s)
{
    while (ww_layout_type_kind(s) == TYPE_LIST)
        s = ww_layout_type_elem(s);
    uint16_t kind = ww_layout_type_kind(s);
    const struct node *n = kind > TYPE_LIST ? model_node(m, ww_layout_type_id(s)) : NULL;
    return n && n->skip && kind != TYPE_ANY;
}

static uint64_t struct_id(const struct model *m, uint64_t id)
{
    return need_kind(m, id, NODE_STRUCT)->id;
}

const struct inst *method_params(const struct model *m, struct method method, const struct inst *of)
{
    return inst_brand(m, struct_id(m, method.params), method.params_brand, of);
}

const struct inst *method_results(const struct model *m, struct method method, const struct inst *of)
{
    if (method.results == STREAM_RESULT)
        return NULL;
    return inst_brand(m, struct_id(m, method.results), method.results_brand, of);
}

const struct inst *inst_super(const struct model *m, const struct inst *of, uint32_t i)
{
    return inst_brand(
        m, need_kind(m, node_super(of->n, i), NODE_INTERFACE)->id, node_super_brand(of->n, i), of);
}
