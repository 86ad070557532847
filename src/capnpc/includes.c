/* capnpc/includes.c — headers of other files whose structs or enums the functions of this one name. */
#include "capnpc/emit.h"

struct includes {
    const struct node *files[256];
    uint32_t count;
};

static void include_node(const struct gen *g, struct includes *inc, const struct node *n)
{
    if (n->file == g->file)
        return;
    for (uint32_t i = 0; i < inc->count; i++) {
        if (inc->files[i] == n->file)
            return;
    }
    if (inc->count == WW_COUNT_OF(inc->files))
        broken("too many imports in one file", g->file->id);
    inc->files[inc->count++] = n->file;
}

static void include_type(const struct gen *g, struct includes *inc, struct type t)
{
    while (t.kind == TYPE_LIST)
        t = *t.elem;
    if (t.kind == TYPE_ENUM)
        include_node(g, inc, t.n);
    if (t.kind == TYPE_STRUCT)
        include_node(g, inc, t.inst->n);
}

static void include_members(const struct gen *g, struct includes *inc, const struct inst *i)
{
    const struct node *n = i->n;
    if (node_kind(n) == NODE_CONST)
        include_type(g, inc, type_of(g->m, const_type(n), i));
    if (node_kind(n) == NODE_STRUCT) {
        include_node(g, inc, n);
        for (uint32_t k = 0; k < field_count(n); k++) {
            struct field f = node_field(n, k);
            if (!f.is_group && field_wanted(g, f))
                include_type(g, inc, field_type(g->m, f, i));
        }
    }
    for (uint32_t k = 0; node_kind(n) == NODE_INTERFACE && k < method_count(n); k++) {
        struct method m = node_method(n, k);
        const struct inst *results = method_results(g->m, m, i);
        include_node(g, inc, method_params(g->m, m, i)->n);
        if (results)
            include_node(g, inc, results->n);
    }
}

static void find(const struct gen *g, struct includes *inc)
{
    for (size_t i = 0; i < g->node_count; i++) {
        const struct node *n = g->nodes[i];
        enum node_kind kind = node_kind(n);
        if (!n->skip && (kind == NODE_STRUCT || kind == NODE_INTERFACE || kind == NODE_CONST))
            include_members(g, inc, inst_plain(g->m, n->id));
    }
    for (size_t i = 0; i < g->brand_count; i++)
        include_members(g, inc, g->brands[i]);
}

/* Files that are used together must not give one name to two things. */
static void check_names(const struct gen *g, const struct includes *inc)
{
    struct gen names = {.file = NULL}; /* a table of its own */
    for (size_t i = 0; i < g->m->count; i++) {
        const struct node *n = &g->m->nodes[i];
        bool seen = n->file == g->file;
        for (uint32_t k = 0; k < inc->count && !seen; k++)
            seen = n->file == inc->files[k];
        if (!seen || n->skip || node_kind(n) == NODE_FILE || node_kind(n) == NODE_ANNOTATION)
            continue;
        if (strcmp(claim(&names, textf("%s", n->name)), n->name) != 0)
            broken(textf("%s is in two files that are used together; give one of them a $C.prefix", n->name),
                n->id);
    }
}

static const char *display_path(const struct node *file)
{
    return ww_cstr(ww_layout_node_name(file->s));
}

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* An import as written in the schema. What comes in by an alias of another file is looked for beside this
 * file, when it lies there, else on the include path, like imports that begin with a slash. */
static const char *include_path(const struct gen *g, const struct node *file)
{
    const char *name = file_import(g->files, g->file_index, file->id);
    if (name)
        return name[0] == '/' ? name + 1 : name;
    const char *own = display_path(g->file), *other = display_path(file);
    size_t dir = dir_len(own);
    return dir == dir_len(other) && strncmp(own, other, dir) == 0 ? other + dir : other;
}

bool has_includes(const struct gen *g)
{
    struct includes inc = {.count = 0};
    find(g, &inc);
    return inc.count > 0;
}

void emit_includes(struct gen *g)
{
    struct includes inc = {.count = 0};
    find(g, &inc);
    check_names(g, &inc);
    for (uint32_t i = 0; i < inc.count; i++) {
        const char *path = include_path(g, inc.files[i]);
        /* The C++ plugin gives its headers the same name, and installs those of the standard schemas. */
        put(&g->h, "#include \"%s.h\"\n#ifndef WW_CAPNP_%016llX_H\n", path,
            (unsigned long long)inc.files[i]->id);
        put(&g->h,
            "#error \"%s.h is not what capnpc-ww makes of %s: generate that, and put its -I "
            "first\"\n#endif\n",
            path, path);
    }
    put(&g->h, "\n");
}
