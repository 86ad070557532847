/* capnpc/emit_node.c — schemas inside of the program: a `struct ww_capnp_node` for each node of the file.
 *
 * Nodes of other files that are reached from here are copied into the file, static: its reflection needs no
 * other generated file. Nothing but the nodes themselves refers to them, so a linker that collects sections
 * drops what nobody uses. */
#include <stdio.h>

#include "capnpc/emit.h"

/* What one file embeds: its own nodes first, then those that they lead to. */
struct embedded {
    struct node **nodes;
    const char **names; /* of the C objects */
    size_t count;
};

static void embed(struct embedded *e, const struct model *m, struct node *n, const char *name)
{
    bool *seen = &m->embedded[n - m->nodes];
    if (*seen)
        return;
    *seen = true;
    e->nodes[e->count] = n;
    e->names[e->count++] = name;
}

static void put_deps(struct gen *g, const struct embedded *e, size_t which, const struct deps *d)
{
    if (d->count == 0)
        return;
    put(&g->c, "static const struct ww_capnp_node *const deps_%016llx[] = {",
        (unsigned long long)e->nodes[which]->id);
    for (size_t i = 0; i < d->count; i++)
        put(&g->c, "\n    &%s,", g->node_names[d->nodes[i] - g->m->nodes]);
    put(&g->c, "\n};\n");
}

static void put_node(struct gen *g, const struct embedded *e, size_t which, const struct deps *d)
{
    const struct node *n = e->nodes[which];
    unsigned long long id = n->id;
    struct ww_bytes seg = model_flatten(g->m, n);
    char *words = textf("words_%016llx", id);
    put_words(&g->c, words, seg);
    put_deps(g, e, which, d);
    put(&g->c, "%sconst struct ww_capnp_node %s = {\n    UINT64_C(0x%016llx), \"%s\", %s, %zu, %zu, ",
        n->file == g->file ? "" : "static ", e->names[which], id, n->schema, words, seg.len / 8, d->count);
    if (d->count)
        put(&g->c, "deps_%016llx};\n\n", id);
    else
        put(&g->c, "NULL};\n\n");
}

/* `kitchen.capnp` under the prefix "ww_" gives ww_kitchen_file: files may share a prefix. */
static char *file_name(const struct node *file)
{
    char *stem = file_stem(file);
    size_t len = strlen(stem);
    bool own = strncmp(file->name, stem, len) == 0 && strcmp(file->name + len, "_") == 0;
    return textf("%s%s_file", own ? "" : file->name, stem);
}

/* The file's node leads to all that is in the file; the others to what they name. */
static void find_deps(struct gen *g, const struct node *n, struct deps *d)
{
    deps_of(d, n);
    for (size_t i = 0; n == g->file && i < g->node_count; i++)
        deps_add(d, g->nodes[i]);
}

static void collect_embedded(struct gen *g, struct embedded *e, struct deps *d)
{
    memset(g->m->embedded, 0, g->m->count);
    for (size_t i = 0; i < g->node_count; i++) {
        const struct node *n = g->nodes[i];
        embed(e, g->m, g->nodes[i], claim(g, textf("%s_node", n == g->file ? file_name(n) : n->name)));
    }
    for (size_t i = 0; i < e->count; i++) {
        g->node_names[e->nodes[i] - g->m->nodes] = e->names[i];
        find_deps(g, e->nodes[i], d);
        for (size_t k = 0; k < d->count; k++)
            embed(e, g->m, d->nodes[k], textf("node_%016llx", (unsigned long long)d->nodes[k]->id));
    }
}

void emit_nodes(struct gen *g)
{
    struct embedded e = {0};
    struct deps d = {.m = g->m};
    e.nodes = keep(g->m->count * sizeof *e.nodes);
    e.names = keep(g->m->count * sizeof *e.names);
    collect_embedded(g, &e, &d);
    put(&g->fn, "/* Schemas, for reflection. */\n\n");
    put(&g->c, "/* Schemas, for reflection. */\n\n");
    for (size_t i = 0; i < e.count; i++) {
        if (e.nodes[i]->file == g->file)
            put(&g->fn, "extern const struct ww_capnp_node %s;\n", e.names[i]);
        else
            put(&g->c, "static const struct ww_capnp_node %s; /* %s */\n", e.names[i], e.nodes[i]->schema);
    }
    put(&g->fn, "\n");
    put(&g->c, "\n");
    for (size_t i = 0; i < e.count; i++) {
        find_deps(g, e.nodes[i], &d);
        put_node(g, &e, i, &d);
    }
}
