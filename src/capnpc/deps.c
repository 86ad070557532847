/* capnpc/deps.c — which nodes a node names. */
#include "capnpc/emit.h"

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
    struct ww_lr scopes = ww_layout_brand_scopes(brand);
    for (uint32_t i = 0; i < scopes.count; i++) {
        struct ww_sr scope = ww_lr_struct(scopes, i);
        struct ww_lr bindings = ww_layout_scope_bindings(scope);
        add(d, ww_layout_scope_id(scope));
        for (uint32_t k = 0; ww_layout_scope_kind(scope) == 0 && k < bindings.count; k++) {
            struct ww_sr binding = ww_lr_struct(bindings, k);
            if (ww_layout_binding_kind(binding) == 1)
                add_type(d, ww_layout_binding_type(binding));
        }
    }
}

static void add_type(struct deps *d, struct ww_sr type)
{
    switch (ww_layout_type_kind(type)) {
    case TYPE_LIST:
        add_type(d, ww_layout_type_elem(type));
        break;
    case TYPE_ENUM:
    case TYPE_STRUCT:
    case TYPE_INTERFACE:
        add(d, ww_layout_type_id(type));
        add_brand(d, ww_layout_type_brand(type));
        break;
    case TYPE_ANY:
        if (ww_layout_any_kind(type) == 1) /* a parameter of that scope */
            add(d, ww_layout_any_scope(type));
        break;
    default:
        break;
    }
}

static void add_annotations(struct deps *d, struct ww_lr annotations)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        struct ww_sr a = ww_lr_struct(annotations, i);
        add(d, ww_layout_annotation_id(a));
        add_brand(d, ww_layout_annotation_brand(a));
    }
}

static void add_fields(struct deps *d, struct ww_lr fields)
{
    for (uint32_t i = 0; i < fields.count; i++) {
        struct ww_sr f = ww_lr_struct(fields, i);
        add_annotations(d, ww_layout_member_annotations(f));
        if (ww_layout_field_kind(f) == 1)
            add(d, ww_layout_field_group(f));
        else
            add_type(d, ww_layout_field_type(f));
    }
}

static void add_methods(struct deps *d, struct ww_lr methods)
{
    for (uint32_t i = 0; i < methods.count; i++) {
        struct ww_sr m = ww_lr_struct(methods, i);
        add_annotations(d, ww_layout_member_annotations(m));
        add(d, ww_layout_method_params(m));
        add(d, ww_layout_method_results(m));
        add_brand(d, ww_layout_method_params_brand(m));
        add_brand(d, ww_layout_method_results_brand(m));
    }
}

void deps_of(struct deps *d, const struct node *n)
{
    d->of = n;
    d->count = 0;
    add_annotations(d, n->annotations);
    switch (node_kind(n)) {
    case NODE_STRUCT:
        add_fields(d, n->members);
        break;
    case NODE_ENUM:
        for (uint32_t i = 0; i < enumerant_count(n); i++)
            add_annotations(d, ww_layout_member_annotations(ww_lr_struct(n->members, i)));
        break;
    case NODE_INTERFACE:
        add_methods(d, n->members);
        for (uint32_t i = 0; i < super_count(n); i++) {
            add(d, node_super(n, i));
            add_brand(d, node_super_brand(n, i));
        }
        break;
    case NODE_CONST:
    case NODE_ANNOTATION:
        add_type(d, const_type(n));
        break;
    default:
        break;
    }
}

void deps_add(struct deps *d, const struct node *n)
{
    add(d, n->id);
}
