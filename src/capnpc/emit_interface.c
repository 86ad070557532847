/* capnpc/emit_interface.c — interfaces as data. */
#include "capnpc/emit.h"

/* ---- whether a struct can hold capabilities, anywhere below it */

struct search {
    const struct gen *g;
    const struct inst **seen;
    size_t count;
};

static bool has_caps(struct search *s, const struct inst *i);

static bool type_has_caps(struct search *s, struct type t)
{
    while (t.kind == TYPE_LIST)
        t = *t.elem;
    if (t.kind == TYPE_INTERFACE || t.kind == TYPE_ANY)
        return true;
    return t.kind == TYPE_STRUCT && has_caps(s, t.inst);
}

static bool has_caps(struct search *s, const struct inst *i)
{
    for (size_t k = 0; k < s->count; k++) {
        if (s->seen[k] == i)
            return false; /* is being looked at, or was */
    }
    s->seen = keep_grow((void *)s->seen, s->count, sizeof *s->seen);
    s->seen[s->count++] = i;
    for (uint32_t k = 0; k < field_count(i->n); k++) {
        struct field f = node_field(i->n, k);
        if (f.is_group ? has_caps(s, inst_group(s->g->m, f.group, i))
                       : type_skipped(s->g->m, f.type) || type_has_caps(s, field_type(s->g->m, f, i)))
            return true;
    }
    return false;
}

bool results_have_caps(const struct gen *g, const struct inst *results)
{
    struct search s = {.g = g};
    return results && has_caps(&s, results);
}

/* ---- */

const char *short_name(const struct node *n)
{
    const char *colon = strrchr(n->schema, ':');
    return colon ? colon + 1 : n->schema;
}

static void emit_methods(struct gen *g, const struct node *n)
{
    const struct inst *self = inst_plain(g->m, n->id);
    put(&g->c, "static const struct ww_capnp_method %s_methods[] = {\n", n->name);
    for (uint32_t i = 0; i < method_count(n); i++) {
        struct method m = node_method(n, i);
        const struct inst *r = method_results(g->m, m, self);
        const struct node *p = method_params(g->m, m, self)->n;
        put(&g->c, "    {\"%s\", %u, %u, %u, %u, %s, %s, %s},\n", m.schema, node_data_words(p), node_ptrs(p),
            r ? node_data_words(r->n) : 0, r ? node_ptrs(r->n) : 0, r ? "false" : "true",
            results_have_caps(g, r) ? "true" : "false", m.allow_cancellation ? "true" : "false");
    }
    put(&g->c, "};\n");
}

void emit_interface(struct gen *g, const struct node *n)
{
    put(&g->fn, "/* %s */\n\n#define %s UINT64_C(0x%016llx)\n", n->schema, claim(g, textf("%s_ID", n->name)),
        (unsigned long long)n->id);
    for (uint32_t i = 0; i < method_count(n); i++)
        put(&g->fn, "#define %s %uu\n", claim(g, textf("%s_%s_METHOD", n->name, node_method(n, i).name)), i);
    put(&g->fn, "extern const struct ww_capnp_interface %s;\n\n", claim(g, textf("%s_interface", n->name)));
    if (method_count(n) > 0)
        emit_methods(g, n);
    if (super_count(n) > 0) {
        for (uint32_t i = 0; i < super_count(n); i++) {
            const struct node *s = model_need(g->m, node_super(n, i));
            if (s->file != n->file)
                put(&g->c, "extern const struct ww_capnp_interface %s_interface;\n", s->name);
        }
        put(&g->c, "static const struct ww_capnp_interface *const %s_extends[] = {\n", n->name);
        for (uint32_t i = 0; i < super_count(n); i++)
            put(&g->c, "    &%s_interface,\n", model_need(g->m, node_super(n, i))->name);
        put(&g->c, "};\n");
    }
    char *methods = method_count(n) ? textf("%s_methods", n->name) : textf("NULL");
    char *extends = super_count(n) ? textf("%s_extends", n->name) : textf("NULL");
    put(&g->c, "const struct ww_capnp_interface %s_interface = {\n    %s_ID, \"%s\", %s, %s, %u, %u};\n\n",
        n->name, n->name, short_name(n), methods, extends, method_count(n), super_count(n));
}
