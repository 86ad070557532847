/* capnpc/collect.c — what there is to emit for a file: its nodes, and the brands that they use. */
#include "capnpc/emit.h"

bool field_wanted(const struct gen *g, struct field f)
{
    return f.is_group ? !model_need(g->m, f.group)->skip : !f.skip && !type_skipped(g->m, f.type);
}

/* ---- nodes, outer before inner: groups and parameter structs follow what they belong to */

static void collect_node(struct gen *g, struct node *n);

static void collect_id(struct gen *g, uint64_t id)
{
    struct node *n = model_node(g->m, id);
    if (!n || n->file != g->file)
        return;
    for (size_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i] == n)
            return;
        if (strcmp(g->nodes[i]->name, n->name) == 0 && i > 0)
            broken(textf("two nodes are called %s; rename one by $C.name", n->name), id);
    }
    collect_node(g, n);
}

static void collect_node(struct gen *g, struct node *n)
{
    g->nodes[g->node_count++] = n;
    if (node_kind(n) == NODE_STRUCT) {
        for (uint32_t i = 0; i < field_count(n); i++) {
            struct field f = node_field(n, i);
            if (f.is_group)
                collect_id(g, f.group);
        }
    }
    for (uint32_t i = 0; i < n->children.count; i++) {
        struct node *child = child_node(g->m, n, i);
        if (child)
            collect_id(g, child->id);
    }
    if (node_kind(n) == NODE_INTERFACE) {
        for (uint32_t i = 0; i < method_count(n); i++) {
            collect_id(g, node_method(n, i).params);
            collect_id(g, node_method(n, i).results);
        }
    }
}

/* ---- brands, in the order in which they are met */

static void visit(struct gen *g, const struct inst *i);

static void visit_type(struct gen *g, struct type t)
{
    while (t.kind == TYPE_LIST)
        t = *t.elem;
    if (t.inst && t.inst->bind_count)
        visit(g, t.inst);
}

static void visit_fields(struct gen *g, const struct inst *i)
{
    for (uint32_t k = 0; k < field_count(i->n); k++) {
        struct field f = node_field(i->n, k);
        if (!field_wanted(g, f))
            continue;
        if (!f.is_group)
            visit_type(g, field_type(g->m, f, i));
        else if (i->bind_count)
            visit(g, inst_group(g->m, f.group, i));
    }
}

static void visit_interface(struct gen *g, const struct inst *i)
{
    for (uint32_t k = 0; k < method_count(i->n); k++) {
        struct method m = node_method(i->n, k);
        const struct inst *params = method_params(g->m, m, i), *results = method_results(g->m, m, i);
        visit_type(g, (struct type){.inst = params});
        if (results)
            visit_type(g, (struct type){.inst = results});
    }
    for (uint32_t k = 0; k < super_count(i->n); k++)
        visit_type(g, (struct type){.inst = inst_super(g->m, i, k)});
}

static void visit_members(struct gen *g, const struct inst *i)
{
    if (node_kind(i->n) == NODE_STRUCT)
        visit_fields(g, i);
    if (node_kind(i->n) == NODE_INTERFACE)
        visit_interface(g, i);
    if (node_kind(i->n) == NODE_CONST)
        visit_type(g, type_of(g->m, const_type(i->n), i));
}

static void visit(struct gen *g, const struct inst *i)
{
    for (size_t k = 0; k < g->brand_count; k++) {
        if (g->brands[k] == i)
            return;
    }
    g->brands = keep_grow((void *)g->brands, g->brand_count, sizeof *g->brands);
    g->brands[g->brand_count++] = i;
    visit_members(g, i);
}

void collect(struct gen *g)
{
    collect_node(g, g->file);
    for (size_t i = 0; i < g->node_count; i++) {
        const struct node *n = g->nodes[i];
        if (!n->skip &&
            (node_kind(n) == NODE_STRUCT || node_kind(n) == NODE_INTERFACE || node_kind(n) == NODE_CONST))
            visit_members(g, inst_plain(g->m, n->id));
    }
    for (size_t i = 0; i < g->node_count; i++)
        g->has_rpc |= node_kind(g->nodes[i]) == NODE_INTERFACE && !g->nodes[i]->skip;
    for (size_t i = 0; i < g->brand_count; i++)
        g->has_rpc |= node_kind(g->brands[i]->n) == NODE_INTERFACE;
}
