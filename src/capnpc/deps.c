/* capnpc/deps.c — which nodes a node names. Offsets are those of /capnp/schema.capnp, as in model.c. */
#include "capnpc/emit.h"

static struct ww_lr structs_at(struct ww_sr s, uint32_t ptr)
{
    return ww_pr_list(ww_sr_ptr(s, ptr), WW_ELEM_STRUCT);
}

static struct ww_sr struct_at(struct ww_sr s, uint32_t ptr)
{
    return ww_pr_struct(ww_sr_ptr(s, ptr));
}

/* A node that the request leaves out is nobody's dependency: what cannot do without it says so elsewhere. */
static void add(struct deps *d, uint64_t id)
{
    struct node *n = model_node(d->m, id);
    if (!n || n == d->of)
        return;
    for (size_t i = 0; i < d->count; i++) {
        if (d->nodes[i] == n)
            return;
    }
    d->nodes = keep_grow(d->nodes, d->count, sizeof *d->nodes);
    d->nodes[d->count++] = n;
}

static void add_type(struct deps *d, struct ww_sr type);

static void add_brand(struct deps *d, struct ww_sr brand)
{
    struct ww_lr scopes = structs_at(brand, 0);
    for (uint32_t i = 0; i < scopes.count; i++) {
        struct ww_sr scope = ww_lr_struct(scopes, i);
        struct ww_lr bindings = structs_at(scope, 0);
        add(d, ww_sr_u64(scope, 0));
        for (uint32_t k = 0; ww_sr_u16(scope, 4) == 0 && k < bindings.count; k++) {
            struct ww_sr binding = ww_lr_struct(bindings, k);
            if (ww_sr_u16(binding, 0) == 1)
                add_type(d, struct_at(binding, 0));
        }
    }
}

static void add_type(struct deps *d, struct ww_sr type)
{
    switch (ww_sr_u16(type, 0)) {
    case TYPE_LIST:
        add_type(d, struct_at(type, 0));
        break;
    case TYPE_ENUM:
    case TYPE_STRUCT:
    case TYPE_INTERFACE:
        add(d, ww_sr_u64(type, 1));
        add_brand(d, struct_at(type, 0));
        break;
    case TYPE_ANY:
        if (ww_sr_u16(type, 4) == 1) /* a parameter of that scope */
            add(d, ww_sr_u64(type, 2));
        break;
    default:
        break;
    }
}

static void add_annotations(struct deps *d, struct ww_lr annotations)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        struct ww_sr a = ww_lr_struct(annotations, i);
        add(d, ww_sr_u64(a, 0));
        add_brand(d, struct_at(a, 1));
    }
}

static void add_fields(struct deps *d, struct ww_lr fields)
{
    for (uint32_t i = 0; i < fields.count; i++) {
        struct ww_sr f = ww_lr_struct(fields, i);
        add_annotations(d, structs_at(f, 1));
        if (ww_sr_u16(f, 4) == 1)
            add(d, ww_sr_u64(f, 2));
        else
            add_type(d, struct_at(f, 2));
    }
}

static void add_methods(struct deps *d, struct ww_lr methods)
{
    for (uint32_t i = 0; i < methods.count; i++) {
        struct ww_sr m = ww_lr_struct(methods, i);
        add_annotations(d, structs_at(m, 1));
        add(d, ww_sr_u64(m, 1));
        add(d, ww_sr_u64(m, 2));
        add_brand(d, struct_at(m, 2));
        add_brand(d, struct_at(m, 3));
    }
}

void deps_of(struct deps *d, const struct node *n)
{
    d->of = n;
    d->count = 0;
    add_annotations(d, structs_at(n->s, 2));
    switch (node_kind(n)) {
    case NODE_STRUCT:
        add_fields(d, structs_at(n->s, 3));
        break;
    case NODE_ENUM:
        for (uint32_t i = 0; i < enumerant_count(n); i++)
            add_annotations(d, structs_at(ww_lr_struct(structs_at(n->s, 3), i), 1));
        break;
    case NODE_INTERFACE:
        add_methods(d, structs_at(n->s, 3));
        for (uint32_t i = 0; i < super_count(n); i++) {
            struct ww_sr super = ww_lr_struct(structs_at(n->s, 4), i);
            add(d, ww_sr_u64(super, 0));
            add_brand(d, struct_at(super, 0));
        }
        break;
    case NODE_CONST:
    case NODE_ANNOTATION:
        add_type(d, struct_at(n->s, 3));
        break;
    default:
        break;
    }
}

void deps_add(struct deps *d, const struct node *n)
{
    add(d, n->id);
}
