/* capnpc-ww — makes readable C11 of Cap'n Proto schemas; started by `capnp compile
 * -o/path/to/capnpc-ww[:outdir]`. Reads a CodeGeneratorRequest from standard input, writes the files of
 * emit.h to the working directory. */
#include <stdio.h>
#include <stdlib.h>

#include "capnpc/emit.h"

static void die(const char *what)
{
    fprintf(stderr, "capnpc-ww: %s\n", what);
    exit(1);
}

const char *claim(struct gen *g, char *name)
{
    for (size_t i = 0; i < g->taken_count; i++) {
        if (strcmp(g->taken[i], name) == 0)
            return claim(g, textf("%s_", name));
    }
    if ((g->taken_count & (g->taken_count - 1)) == 0)
        g->taken = need(ww_realloc(g->taken, (g->taken_count ? g->taken_count * 2 : 1) * sizeof *g->taken));
    g->taken[g->taken_count++] = name;
    return name;
}

static struct ww_bytes read_all(FILE *in)
{
    size_t len = 0, capacity = 64 << 10;
    uint8_t *mem = need(ww_alloc(capacity));
    for (;;) {
        size_t n = fread(mem + len, 1, capacity - len, in);
        if (n == 0)
            return ww_bytes(mem, len);
        len += n;
        if (len == capacity)
            mem = need(ww_realloc(mem, capacity *= 2));
    }
}

/* ---- the nodes of a file, outer before inner: groups and parameter structs follow what they belong to */

static void collect(struct gen *g, struct node *n);

static void collect_id(struct gen *g, uint64_t id)
{
    struct node *n = model_node(g->m, id);
    if (!n || n->file != g->file)
        return;
    for (size_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i] == n)
            return;
    }
    collect(g, n);
}

static void collect(struct gen *g, struct node *n)
{
    g->nodes[g->node_count++] = n;
    if (node_kind(n) == NODE_STRUCT) {
        for (uint32_t i = 0; i < field_count(n); i++) {
            struct field f = node_field(n, i);
            if (f.is_group)
                collect_id(g, f.group);
        }
    }
    struct ww_lr children = node_children(n);
    for (uint32_t i = 0; i < children.count; i++) {
        struct node *child = child_node(g->m, children, i);
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

/* ---- includes: other files whose structs or enums appear here */

struct includes {
    uint64_t ids[256];
    uint32_t count;
};

static void include_node(struct gen *g, struct includes *inc, uint64_t id)
{
    if (id == STREAM_RESULT)
        return;
    const struct node *n = model_need(g->m, id);
    if (n->file == g->file)
        return;
    for (uint32_t i = 0; i < inc->count; i++) {
        if (inc->ids[i] == n->file->id)
            return;
    }
    if (inc->count == WW_COUNT_OF(inc->ids))
        die("too many imports in one file");
    inc->ids[inc->count++] = n->file->id;
}

static void include_type(struct gen *g, struct includes *inc, struct type t)
{
    while (t.kind == TYPE_LIST)
        t = type_of(t.elem);
    if (t.kind == TYPE_STRUCT || t.kind == TYPE_ENUM)
        include_node(g, inc, t.id);
}

static void find_includes(struct gen *g, struct includes *inc)
{
    for (size_t k = 0; k < g->node_count; k++) {
        const struct node *n = g->nodes[k];
        if (node_kind(n) == NODE_CONST)
            include_type(g, inc, const_type(n));
        if (node_kind(n) == NODE_STRUCT) {
            for (uint32_t i = 0; i < field_count(n); i++) {
                struct field f = node_field(n, i);
                if (!f.is_group)
                    include_type(g, inc, f.type);
            }
        }
        if (node_kind(n) == NODE_INTERFACE) {
            for (uint32_t i = 0; i < method_count(n); i++) {
                include_node(g, inc, node_method(n, i).params);
                include_node(g, inc, node_method(n, i).results);
            }
        }
    }
}

/* An import as written in the schema; an absolute one is looked for on the include path. */
static void put_includes(struct gen *g, const struct includes *inc)
{
    for (uint32_t i = 0; i < inc->count; i++) {
        const char *name = file_import(g->files, g->file_index, inc->ids[i]);
        if (!name)
            die("a type comes from a file that is not imported");
        put(&g->h, "#include \"%s.h\"\n", name[0] == '/' ? name + 1 : name);
    }
    if (inc->count)
        put(&g->h, "\n");
}

/* ---- files */

__attribute__((noinline)) static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void put_opening(struct out *o, const char *path, uint64_t id, const char *guard, const char *include)
{
    put(o, "/* Made from %s by capnpc-ww. */\n", base_name(path));
    put(o, "#ifndef WW_CAPNP_%016llX%s_H\n#define WW_CAPNP_%016llX%s_H\n\n#include \"%s\"\n",
        (unsigned long long)id, guard, (unsigned long long)id, guard, include);
}

static const char extern_c[] = "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
static const char extern_c_end[] = "#ifdef __cplusplus\n}\n#endif\n#endif\n";

static void emit_functions(struct gen *g)
{
    for (size_t i = 0; i < g->node_count; i++) {
        if (node_kind(g->nodes[i]) == NODE_STRUCT)
            emit_struct(g, g->nodes[i]);
    }
    for (size_t i = 0; i < g->node_count; i++) {
        if (node_kind(g->nodes[i]) == NODE_CONST)
            emit_const(g, g->nodes[i]);
        if (node_kind(g->nodes[i]) == NODE_INTERFACE) {
            emit_interface(g, g->nodes[i]);
            emit_rpc(g, g->nodes[i]);
        }
    }
}

/* Types come first, then the imports, then functions: so files may import each other. */
static void emit_file(struct gen *g, const char *path)
{
    struct includes inc = {0};
    find_includes(g, &inc);
    put_opening(&g->h, path, g->file->id, "", "ww/capnp.h");
    put(&g->h, "\n%s", extern_c);
    put(&g->c, "/* Made from %s by capnpc-ww. */\n#include \"%s.h\"\n\n", base_name(path), base_name(path));
    put_opening(&g->rpc_h, path, g->file->id, "_RPC", "ww/rpc.h");
    put(&g->rpc_h, "#include \"%s.h\"\n\n%s", base_name(path), extern_c);
    put(&g->rpc_c, "/* Made from %s by capnpc-ww. */\n#include \"%s.rpc.h\"\n\n", base_name(path),
        base_name(path));
    for (size_t i = 0; i < g->node_count; i++)
        emit_types(g, g->nodes[i]);
    if (inc.count)
        put(&g->h, "#ifdef __cplusplus\n}\n#endif\n\n");
    put_includes(g, &inc);
    if (inc.count)
        put(&g->h, "%s", extern_c);
    emit_functions(g);
    emit_nodes(g);
    put(&g->h, "%s", extern_c_end);
    put(&g->rpc_h, "%s", extern_c_end);
}

static void write_file(const struct out *o, const char *path, const char *suffix)
{
    char *name = textf("%s%s", path, suffix);
    out_write(o, name);
}

static void generate(const struct model *m, struct ww_lr files, uint32_t index)
{
    struct gen g = {.m = m, .files = files, .file_index = index};
    const char *path = file_path(files, index);
    g.file = model_need(m, file_id(files, index));
    g.nodes = need(ww_calloc(m->count + 1, sizeof *g.nodes));
    g.node_names = need(ww_calloc(m->count, sizeof *g.node_names));
    collect(&g, g.file);
    emit_file(&g, path);
    write_file(&g.h, path, ".h");
    write_file(&g.c, path, ".c");
    if (g.has_interfaces) {
        write_file(&g.rpc_h, path, ".rpc.h");
        write_file(&g.rpc_c, path, ".rpc.c");
    }
    out_fini(&g.h);
    out_fini(&g.c);
    out_fini(&g.rpc_h);
    out_fini(&g.rpc_c);
    ww_free(g.nodes);
    ww_free((void *)g.node_names);
    ww_free(g.taken);
}

int main(void)
{
    /* The compiler that feeds us is trusted, and large schema sets visit their nodes many times. */
    const struct ww_msg_limits lim = {
        .words = UINT32_MAX, .traversal = UINT64_MAX, .segments = 65536, .depth = 64};
    struct model m;
    struct ww_msg request;
    struct ww_bytes in = read_all(stdin);
    ww_msg_init(&request, NULL);
    if (ww_msg_open(&request, in, &lim) < 0)
        die("standard input is not a CodeGeneratorRequest; start this through `capnp compile -o`");
    model_init(&m, &request);
    struct ww_lr files = model_files(&m);
    for (uint32_t i = 0; i < files.count; i++)
        generate(&m, files, i);
    if (ww_msg_err(&request) < 0)
        die(ww_err_text(ww_msg_err(&request)));
    ww_msg_fini(&request);
    model_fini(&m);
    ww_free((void *)in.ptr);
    textf_free_all();
    return 0;
}
