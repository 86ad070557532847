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

/* ---- files */

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
    collect(&g);
    emit_file(&g, path);
    write_file(&g.h, path, ".h");
    write_file(&g.c, path, ".c");
    if (g.has_rpc) {
        write_file(&g.rpc_h, path, ".rpc.h");
        write_file(&g.rpc_c, path, ".rpc.c");
    }
    out_fini(&g.h);
    out_fini(&g.fn);
    out_fini(&g.c);
    out_fini(&g.rpc_h);
    out_fini(&g.rpc_c);
    ww_free(g.nodes);
    ww_free((void *)g.node_names);
    ww_free((void *)g.brands);
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
    keep_free_all();
    return 0;
}
