#include "capnpc/generate.h"

#include "capnpc/emit.h"

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *p = text; *p; p++)
        hash = (hash ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
    return hash;
}

/* The place of a name in the table: where it is, or where it would be. */
static const char **find_name(const char **names, size_t capacity, const char *name)
{
    size_t i = hash_text(name) & (capacity - 1);
    while (names[i] && strcmp(names[i], name) != 0)
        i = (i + 1) & (capacity - 1);
    return &names[i];
}

/* Twice the room: at most half of it is ever used. */
static void grow_taken(struct gen *g)
{
    size_t capacity = g->taken_capacity ? g->taken_capacity * 2 : 64;
    const char **larger = keep(capacity * sizeof *larger);
    for (size_t i = 0; i < g->taken_capacity; i++) {
        if (g->taken[i])
            *find_name(larger, capacity, g->taken[i]) = g->taken[i];
    }
    g->taken = larger;
    g->taken_capacity = capacity;
}

const char *claim(struct gen *g, char *name)
{
    if (g->taken_count * 2 >= g->taken_capacity)
        grow_taken(g);
    const char **place = find_name(g->taken, g->taken_capacity, name);
    if (*place)
        return claim(g, textf("%s_", name));
    g->taken_count++;
    return *place = name;
}

__attribute__((noinline)) static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void put_opening(struct out *o, const char *path, uint64_t id, const char *guard, const char *include)
{
    put(o, "/* Made from %s by capnpc-ww. */\n", path);
    put(o, "#ifndef WW_CAPNP_%016llX%s_H\n#define WW_CAPNP_%016llX%s_H\n\n#include \"%s\"\n",
        (unsigned long long)id, guard, (unsigned long long)id, guard, include);
}

static const char extern_c[] = "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
static const char extern_c_end[] = "#ifdef __cplusplus\n}\n#endif\n#endif\n";

/* Types, before the includes: so files may import each other. */
static void emit_all_types(struct gen *g)
{
    for (size_t i = 0; i < g->node_count; i++) {
        if (!g->nodes[i]->skip)
            emit_types(g, g->nodes[i]);
    }
    for (size_t i = 0; i < g->brand_count; i++)
        emit_brand_types(g, g->brands[i]);
}

static void emit_functions(struct gen *g)
{
    for (size_t i = 0; i < g->node_count; i++) {
        if (node_kind(g->nodes[i]) == NODE_STRUCT && !g->nodes[i]->skip)
            emit_struct(g, inst_plain(g->m, g->nodes[i]->id));
    }
    for (size_t i = 0; i < g->brand_count; i++) {
        if (node_kind(g->brands[i]->n) == NODE_STRUCT)
            emit_struct(g, g->brands[i]);
    }
    for (size_t i = 0; i < g->node_count; i++) {
        const struct node *n = g->nodes[i];
        if (node_kind(n) == NODE_CONST && !n->skip)
            emit_const(g, n);
        if (node_kind(n) != NODE_INTERFACE || n->skip)
            continue;
        emit_interface(g, n);
        emit_calls(g, inst_plain(g->m, n->id));
        emit_server(g, inst_plain(g->m, n->id));
    }
    for (size_t i = 0; i < g->brand_count; i++) {
        if (node_kind(g->brands[i]->n) == NODE_INTERFACE)
            emit_calls(g, g->brands[i]);
    }
}

static void emit_file(struct gen *g, const char *path)
{
    const char *name = g->file->schema;
    put_opening(&g->h, name, g->file->id, "", "ww/capnp.h");
    put(&g->h, "\n%s", extern_c);
    put(&g->c, "/* Made from %s by capnpc-ww. */\n#include \"%s.h\"\n\n", name, base_name(path));
    put_opening(&g->rpc_h, name, g->file->id, "_RPC", "ww/rpc.h");
    put(&g->rpc_h, "#include \"%s.h\"\n\n%s", base_name(path), extern_c);
    put(&g->rpc_c, "/* Made from %s by capnpc-ww. */\n#include \"%s.rpc.h\"\n\n", name, base_name(path));
    emit_all_types(g);
    emit_functions(g);
    if (has_includes(g)) {
        put(&g->h, "\n#ifdef __cplusplus\n}\n#endif\n\n");
        emit_includes(g);
        put(&g->h, "%s", extern_c);
    }
    emit_nodes(g);
    put(&g->h, "\n%s%s", g->fn.text ? g->fn.text : "", extern_c_end);
    put(&g->rpc_h, "%s", extern_c_end);
}

static struct made_file *all_files, **end_of_files;

static void add_file(const struct out *o, const char *path, const char *suffix)
{
    struct made_file *f = keep(sizeof *f);
    f->path = textf("%s%s", path, suffix);
    f->text = *o;
    *end_of_files = f;
    end_of_files = &f->next;
}

static void generate_file(const struct model *m, struct ww_lr files, uint32_t index)
{
    struct gen g = {.m = m, .files = files, .file_index = index};
    const char *path = file_path(files, index);
    g.file = model_need(m, file_id(files, index));
    if (node_kind(g.file) != NODE_FILE || !*path)
        broken("a requested file is none", g.file->id);
    g.nodes = keep((m->count + 1) * sizeof *g.nodes);
    g.node_names = keep((m->count + 1) * sizeof *g.node_names);
    collect(&g);
    emit_file(&g, path);
    add_file(&g.h, path, ".h");
    add_file(&g.c, path, ".c");
    if (g.has_rpc) {
        add_file(&g.rpc_h, path, ".rpc.h");
        add_file(&g.rpc_c, path, ".rpc.c");
    }
}

/* The request and scratch. Static: they are used after a jump. */
static struct ww_msg messages[3];

static void run(struct ww_bytes in)
{
    struct ww_msg *request = &messages[0];
    /* Each node is visited some hundred times; a request whose pointers lead to the same place again and
     * again would be visited without end. */
    const struct ww_msg_limits lim = {
        .words = UINT32_MAX, .traversal = in.len / 8 * 4096 + (1 << 20), .segments = 65536, .depth = 64};
    struct model m = {.flat = &messages[1], .copy = &messages[2]};
    if (ww_msg_open(request, in, &lim) < 0)
        give_up("standard input is not a CodeGeneratorRequest; start this through `capnp compile -o`");
    model_init(&m, request);
    struct ww_lr files = model_files(&m);
    for (uint32_t i = 0; i < files.count; i++)
        generate_file(&m, files, i);
    if (ww_msg_err(request) < 0)
        give_up(textf("the request cannot be read: %s", ww_err_text(ww_msg_err(request))));
}

const char *generate(struct ww_bytes in, const struct made_file **ret_files)
{
    for (size_t i = 0; i < WW_COUNT_OF(messages); i++)
        ww_msg_init(&messages[i], NULL);
    all_files = NULL;
    end_of_files = &all_files;
    out_message = NULL;
    if (setjmp(out_given_up) == 0)
        run(in);
    for (size_t i = 0; i < WW_COUNT_OF(messages); i++)
        ww_msg_fini(&messages[i]);
    *ret_files = out_message ? NULL : all_files;
    return out_message;
}
