/* capnpc/emit_rpc.c — interfaces: their descriptions, calls, and servers. */
#include "capnpc/emit.h"

#define PIPELINE_DEPTH 4

/* ---- what an interface says without the runtime */

/* Whether a struct can hold capabilities, anywhere below it. Recursive types are cut at a depth where another
 * look finds nothing new in practice; what is not sure counts as yes. */
static bool has_caps(const struct gen *g, const struct node *n, unsigned depth);

static bool type_has_caps(const struct gen *g, struct type t, unsigned depth)
{
    switch (t.kind) {
    case TYPE_INTERFACE:
    case TYPE_ANY:
        return true;
    case TYPE_LIST:
        return type_has_caps(g, type_of(t.elem), depth);
    case TYPE_STRUCT:
        return has_caps(g, model_need(g->m, t.id), depth + 1);
    default:
        return false;
    }
}

static bool has_caps(const struct gen *g, const struct node *n, unsigned depth)
{
    if (depth > 8)
        return true;
    for (uint32_t i = 0; i < field_count(n); i++) {
        struct field f = node_field(n, i);
        if (f.is_group ? has_caps(g, model_need(g->m, f.group), depth) : type_has_caps(g, f.type, depth))
            return true;
    }
    return false;
}

/* NULL for `-> stream`. */
static const struct node *results_of(const struct gen *g, struct method m)
{
    return m.results == STREAM_RESULT ? NULL : model_need(g->m, m.results);
}

static const char *short_name(const struct node *n)
{
    const char *colon = strrchr(n->schema, ':');
    return colon ? colon + 1 : n->schema;
}

static void emit_methods(struct gen *g, const struct node *n)
{
    put(&g->c, "static const struct ww_capnp_method %s_methods[] = {\n", n->name);
    for (uint32_t i = 0; i < method_count(n); i++) {
        struct method m = node_method(n, i);
        const struct node *p = model_need(g->m, m.params), *r = results_of(g, m);
        put(&g->c, "    {\"%s\", %u, %u, %u, %u, %s, %s},\n", m.schema, node_data_words(p), node_ptrs(p),
            r ? node_data_words(r) : 0, r ? node_ptrs(r) : 0, r ? "false" : "true",
            r && has_caps(g, r, 0) ? "true" : "false");
    }
    put(&g->c, "};\n");
}

void emit_interface(struct gen *g, const struct node *n)
{
    put(&g->h, "/* %s */\n\n#define %s UINT64_C(0x%016llx)\n", n->schema, claim(g, textf("%s_ID", n->name)),
        (unsigned long long)n->id);
    for (uint32_t i = 0; i < method_count(n); i++)
        put(&g->h, "#define %s %uu\n", claim(g, textf("%s_%s_METHOD", n->name, node_method(n, i).name)), i);
    put(&g->h, "extern const struct ww_capnp_interface %s;\n\n", claim(g, textf("%s_interface", n->name)));
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

/* ---- calls */

/* `words` that parameters surely take: exact when they hold no pointers, else unknown. */
static uint32_t size_hint(const struct node *params)
{
    return node_ptrs(params) == 0 ? node_data_words(params) : 0;
}

static void emit_request(struct gen *g, const struct node *n, struct method m)
{
    const struct node *p = model_need(g->m, m.params);
    put(&g->rpc_h,
        "WW_MUST_USE static inline ww_err %s(\n"
        "    struct ww_cap *target, struct ww_rpc_request **ret_request, struct %s_b *ret_params)\n{\n"
        "    ww_err err = ww_rpc_request_new(target, %s_ID, %u, %u, ret_request);\n"
        "    if (err < 0)\n"
        "        return err;\n"
        "    *ret_params = %s_b_init(ww_rpc_request_params(*ret_request));\n"
        "    return 0;\n}\n\n",
        claim(g, textf("%s_%s_request", n->name, m.name)), p->name, n->name, m.index, size_hint(p), p->name);
    /* The same as an expression; what went wrong shows when the request is sent by one of the loops' helpers.
     */
    put(&g->rpc_h,
        "static inline struct %s_b %s(struct ww_cap *target, struct ww_rpc_request **ret_request)\n{\n"
        "    struct ww_pb none = {NULL, NULL};\n"
        "    if (ww_rpc_request_new(target, %s_ID, %u, %u, ret_request) < 0) {\n"
        "        *ret_request = NULL;\n"
        "        return %s_b_init(none); /* writes go nowhere */\n"
        "    }\n"
        "    return %s_b_init(ww_rpc_request_params(*ret_request));\n}\n\n",
        p->name, claim(g, textf("%s_%s_begin", n->name, m.name)), n->name, m.index, size_hint(p), p->name,
        p->name);
}

static void emit_results(struct gen *g, const struct node *n, struct method m, const struct node *r)
{
    put(&g->rpc_h,
        "static inline struct %s_r %s(struct ww_rpc_request *request)\n{\n"
        "    return %s_r_from(ww_rpc_request_results(request));\n}\n\n",
        r->name, claim(g, textf("%s_%s_results", n->name, m.name)), r->name);
}

static void emit_pipeline_cap(
    struct gen *g, const struct node *n, struct method m, const char *name, const char *path)
{
    put(&g->rpc_h,
        "WW_MUST_USE static inline ww_err %s(\n"
        "    struct ww_rpc_request *request, struct ww_cap **ret_cap)\n{\n"
        "    const uint16_t path[] = {%s};\n"
        "    return ww_rpc_request_pipeline(request, path, sizeof path / sizeof path[0], ret_cap);\n}\n\n",
        claim(g, textf("%s_%s_pipeline%s", n->name, m.name, name)), path);
}

/* Where a pipelined capability lies: the struct that is looked at, and how it was reached. */
struct step {
    const struct step *up;
    const struct node *at;
    const char *name; /* _field_field */
    const char *path; /* pointer indexes, comma-separated */
};

static bool on_way(const struct step *s, const struct node *n, unsigned *io_depth)
{
    for (*io_depth = 0; s; s = s->up, ++*io_depth) {
        if (s->at == n)
            return true;
    }
    return false;
}

/* One function for each capability that can be used before the results are there. */
static void emit_pipelines(struct gen *g, const struct node *n, struct method m, const struct step *s)
{
    for (uint32_t i = 0; i < field_count(s->at); i++) {
        struct field f = node_field(s->at, i);
        unsigned depth;
        char *name = textf("%s_%s", s->name, f.name);
        char *path = textf("%s%s%u", s->path, *s->path ? ", " : "", f.offset);
        struct step next = {s, NULL, name, f.is_group ? s->path : path};
        if (f.is_group || f.type.kind == TYPE_STRUCT)
            next.at = model_need(g->m, f.is_group ? f.group : f.type.id);
        if (next.at && !on_way(s, next.at, &depth) && depth < PIPELINE_DEPTH)
            emit_pipelines(g, n, m, &next);
        else if (!f.is_group && (f.type.kind == TYPE_INTERFACE || f.type.kind == TYPE_ANY))
            emit_pipeline_cap(g, n, m, name, path);
    }
}

/* What a handler uses. */
static void emit_handler_parts(struct gen *g, const struct node *n, struct method m, const struct node *r)
{
    const struct node *p = model_need(g->m, m.params);
    put(&g->rpc_h,
        "static inline struct %s_r %s(struct ww_rpc_call *call)\n{\n"
        "    return %s_r_from(ww_rpc_call_params(call));\n}\n\n",
        p->name, claim(g, textf("%s_%s_params", n->name, m.name)), p->name);
    if (!r)
        return;
    put(&g->rpc_h,
        "static inline struct %s_b %s(struct ww_rpc_call *call)\n{\n"
        "    return %s_b_init(ww_rpc_call_results(call, %u));\n}\n\n",
        r->name, claim(g, textf("%s_%s_answer", n->name, m.name)), r->name, size_hint(r));
}

static void emit_method_calls(struct gen *g, const struct node *n, struct method m)
{
    const struct node *r = results_of(g, m);
    put(&g->rpc_h, "/* %s.%s @%u%s */\n\n", short_name(n), m.name, m.index, r ? "" : " -> stream");
    emit_request(g, n, m);
    if (r) {
        emit_results(g, n, m, r);
        emit_pipelines(g, n, m, &(struct step){NULL, r, "", ""});
    }
    emit_handler_parts(g, n, m, r);
}

/* ---- servers */

struct closure {
    const struct node *all[64];
    uint32_t count;
};

/* The interface and everything that it extends, each once. */
static void close_over(const struct gen *g, const struct node *n, struct closure *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->all[i] == n)
            return;
    }
    WW_ASSERT(c->count < WW_COUNT_OF(c->all));
    c->all[c->count++] = n;
    for (uint32_t i = 0; i < super_count(n); i++)
        close_over(g, model_need(g->m, node_super(n, i)), c);
}

static bool is_keyword(const char *word)
{
    static const char *const words[] = {"auto", "bool", "break", "case", "catch", "char", "class", "const",
        "continue", "default", "delete", "do", "double", "drop", "else", "enum", "extern", "false", "float",
        "for", "friend", "goto", "if", "inline", "int", "long", "namespace", "new", "operator", "private",
        "protected", "public", "register", "restrict", "return", "short", "signed", "sizeof", "static",
        "struct", "switch", "template", "this", "throw", "true", "try", "typedef", "typename", "union",
        "unsigned", "using", "virtual", "void", "volatile", "while"};
    for (size_t i = 0; i < WW_COUNT_OF(words); i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

/* The name of a handler in the table: the method's, made longer where two interfaces have one of that name.
 */
static char *handler_name(const struct closure *c, uint32_t which, const char *method)
{
    for (uint32_t i = 0; i < which; i++) {
        for (uint32_t k = 0; k < method_count(c->all[i]); k++) {
            if (strcmp(node_method(c->all[i], k).name, method) == 0)
                return textf("%s_%s", c->all[which]->name, method);
        }
    }
    return textf("%s%s", method, is_keyword(method) ? "_" : "");
}

static void emit_ops(struct gen *g, const struct node *n, const struct closure *c)
{
    put(&g->rpc_h,
        "/* A handler completes its call once, now or later; NULL answers `unimplemented`. `drop`: the last "
        "reference and\n"
        " * the last call are gone. */\n"
        "struct %s_server;\nstruct %s_ops {\n",
        n->name, n->name);
    for (uint32_t i = 0; i < c->count; i++) {
        for (uint32_t k = 0; k < method_count(c->all[i]); k++) {
            char *handler = handler_name(c, i, node_method(c->all[i], k).name);
            put(&g->rpc_h, "    void (*%s)(struct %s_server *self, struct ww_rpc_call *call);\n", handler,
                n->name);
        }
    }
    put(&g->rpc_h, "    void (*drop)(struct %s_server *self);\n};\n\n", n->name);
}

static void emit_server(struct gen *g, const struct node *n)
{
    const char *t = n->name;
    put(&g->rpc_h,
        "/* The object embeds this, and lives until `drop`. */\n"
        "struct %s_server {\n    struct ww_rpc_server rpc;\n    const struct %s_ops *ops;\n};\n\n"
        "extern const struct ww_rpc_server_ops %s_server_ops;\n\n",
        t, t, t);
    put(&g->rpc_h,
        "static inline void %s_server_init(struct %s_server *server, const struct %s_ops *ops)\n{\n"
        "    server->rpc.ops = &%s_server_ops;\n    server->ops = ops;\n}\n\n",
        t, t, t, t);
    put(&g->rpc_h,
        "WW_MUST_USE static inline ww_err %s_server_cap(\n"
        "    struct ww_rpc_vat *vat, struct %s_server *server, struct ww_cap **ret_cap)\n{\n"
        "    return ww_cap_new_server(vat, &server->rpc, ret_cap);\n}\n\n",
        t, t);
    put(&g->rpc_h,
        "/* The object behind `cap` when it is one of these in this vat, else NULL. */\n"
        "static inline struct %s_server *%s_server_of(struct ww_cap *cap)\n{\n"
        "    return (struct %s_server *)(void *)ww_cap_server(cap, &%s_server_ops);\n}\n\n",
        t, t, t, t);
}

static void emit_cases(struct gen *g, const struct closure *c, uint32_t which)
{
    const struct node *n = c->all[which];
    if (method_count(n) == 0)
        return;
    put(&g->rpc_c, "    case UINT64_C(0x%016llx): /* %s */\n        switch (ww_rpc_call_method(call)) {\n",
        (unsigned long long)n->id, short_name(n));
    for (uint32_t k = 0; k < method_count(n); k++) {
        struct method m = node_method(n, k);
        char *handler = handler_name(c, which, m.name);
        put(&g->rpc_c, "        case %u:\n", k);
        if (!results_of(g, m))
            put(&g->rpc_c, "            ww_rpc_call_set_streaming(call);\n");
        put(&g->rpc_c, "            handler = self->ops->%s;\n            break;\n", handler);
    }
    put(&g->rpc_c, "        default:\n            break;\n        }\n        break;\n");
}

static void emit_dispatch(struct gen *g, const struct node *n, const struct closure *c)
{
    const char *t = n->name;
    put(&g->rpc_c,
        "static void %s_dispatch(struct ww_rpc_server *rpc, struct ww_rpc_call *call)\n{\n"
        "    struct %s_server *self = (struct %s_server *)(void *)rpc;\n"
        "    void (*handler)(struct %s_server *, struct ww_rpc_call *) = NULL;\n"
        "    switch (ww_rpc_call_interface(call)) {\n",
        t, t, t, t);
    for (uint32_t i = 0; i < c->count; i++)
        emit_cases(g, c, i);
    put(&g->rpc_c,
        "    default:\n        break;\n    }\n"
        "    if (handler)\n        handler(self, call);\n    else\n"
        "        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, \"%s has no such method\");\n}\n\n",
        short_name(n));
    put(&g->rpc_c,
        "static void %s_drop(struct ww_rpc_server *rpc)\n{\n"
        "    struct %s_server *self = (struct %s_server *)(void *)rpc;\n"
        "    if (self->ops->drop)\n        self->ops->drop(self);\n}\n\n"
        "const struct ww_rpc_server_ops %s_server_ops = {%s_dispatch, %s_drop};\n\n",
        t, t, t, t, t, t);
}

void emit_rpc(struct gen *g, const struct node *n)
{
    struct closure c = {0};
    close_over(g, n, &c);
    g->has_interfaces = true;
    for (uint32_t i = 0; i < method_count(n); i++)
        emit_method_calls(g, n, node_method(n, i));
    put(&g->rpc_h, "/* %s: server */\n\n", short_name(n));
    emit_ops(g, n, &c);
    emit_server(g, n);
    emit_dispatch(g, n, &c);
}
