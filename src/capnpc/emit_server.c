/* capnpc/emit_server.c — servers: tables of handlers, and the functions that find the handler of a call. */
#include "capnpc/emit.h"

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
    if (c->count == WW_COUNT_OF(c->all))
        broken("an interface extends too many others", n->id);
    c->all[c->count++] = n;
    for (uint32_t i = 0; i < super_count(n); i++)
        close_over(g, inst_super(g->m, inst_plain(g->m, n->id), i)->n, c);
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
    return textf("%s%s", method, is_reserved(method) || strcmp(method, "drop") == 0 ? "_" : "");
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

static void emit_server_type(struct gen *g, const struct node *n)
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
        if (m.results == STREAM_RESULT)
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
        "        ww_rpc_call_fail_unknown(call, \"%s\");\n}\n\n",
        short_name(n));
    put(&g->rpc_c,
        "static void %s_drop(struct ww_rpc_server *rpc)\n{\n"
        "    struct %s_server *self = (struct %s_server *)(void *)rpc;\n"
        "    if (self->ops->drop)\n        self->ops->drop(self);\n}\n\n"
        "const struct ww_rpc_server_ops %s_server_ops = {%s_dispatch, %s_drop};\n\n",
        t, t, t, t, t, t);
}

void emit_server(struct gen *g, const struct inst *i)
{
    struct closure c = {.count = 0};
    close_over(g, i->n, &c);
    put(&g->rpc_h, "/* %s: server */\n\n", short_name(i->n));
    emit_ops(g, i->n, &c);
    emit_server_type(g, i->n);
    emit_dispatch(g, i->n, &c);
}
