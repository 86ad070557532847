/* capnpc/emit_call.c — calls of methods, and what handlers read and answer with. */
#include "capnpc/emit.h"

#define PIPELINE_DEPTH 4

/* `words` that parameters surely take: exact when they hold no pointers, else unknown. */
static uint32_t size_hint(const struct inst *s)
{
    return node_ptrs(s->n) == 0 ? node_data_words(s->n) : 0;
}

/* Callers of methods without capabilities in their results say so: neither side need be ready for pipelining.
 */
static void emit_request(struct gen *g, const struct inst *n, struct method m)
{
    bool piped = results_have_caps(g, method_results(g->m, m, n));
    const char *hint = piped ? "" : "    ww_rpc_request_no_pipeline(*ret_request);\n";
    const struct inst *p = method_params(g->m, m, n);
    put(&g->rpc_h,
        "WW_MUST_USE static inline ww_err %s(\n"
        "    struct ww_cap *target, struct ww_rpc_request **ret_request, struct %s_b *ret_params)\n{\n"
        "    ww_err err = ww_rpc_request_new(target, UINT64_C(0x%016llx), %u, %u, ret_request);\n"
        "    if (err < 0)\n"
        "        return err;\n%s"
        "    *ret_params = %s_b_init(ww_rpc_request_params(*ret_request));\n"
        "    return 0;\n}\n\n",
        claim(g, textf("%s_%s_request", n->name, m.name)), p->name, (unsigned long long)n->n->id, m.index,
        size_hint(p), hint, p->name);
    /* The same as an expression; what went wrong shows when the request is sent by one of the loops' helpers.
     */
    put(&g->rpc_h,
        "static inline struct %s_b %s(struct ww_cap *target, struct ww_rpc_request **ret_request)\n{\n"
        "    struct ww_pb none = {NULL, NULL};\n"
        "    if (ww_rpc_request_new(target, UINT64_C(0x%016llx), %u, %u, ret_request) < 0) {\n"
        "        *ret_request = NULL;\n"
        "        return %s_b_init(none); /* writes go nowhere */\n"
        "    }\n%s"
        "    return %s_b_init(ww_rpc_request_params(*ret_request));\n}\n\n",
        p->name, claim(g, textf("%s_%s_begin", n->name, m.name)), (unsigned long long)n->n->id, m.index,
        size_hint(p), p->name, hint, p->name);
}

static void emit_results(struct gen *g, const struct inst *n, struct method m, const struct inst *r)
{
    put(&g->rpc_h,
        "static inline struct %s_r %s(struct ww_rpc_request *request)\n{\n"
        "    return %s_r_from(ww_rpc_request_results(request));\n}\n\n",
        r->name, claim(g, textf("%s_%s_results", n->name, m.name)), r->name);
}

static void emit_pipeline_cap(
    struct gen *g, const struct inst *n, struct method m, const char *name, const char *path)
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
    const struct inst *at;
    const char *name; /* _field_field */
    const char *path; /* pointer indexes, comma-separated */
};

static bool on_way(const struct step *s, const struct inst *n, unsigned *io_depth)
{
    for (*io_depth = 0; s; s = s->up, ++*io_depth) {
        if (s->at == n)
            return true;
    }
    return false;
}

/* One function for each capability that can be used before the results are there. */
static void emit_pipelines(struct gen *g, const struct inst *n, struct method m, const struct step *s)
{
    for (uint32_t i = 0; i < field_count(s->at->n); i++) {
        struct field f = node_field(s->at->n, i);
        unsigned depth;
        if (!field_wanted(g, f))
            continue;
        struct type t = f.is_group ? (struct type){.kind = TYPE_VOID} : field_type(g->m, f, s->at);
        char *name = textf("%s_%s", s->name, f.name);
        char *path = textf("%s%s%u", s->path, *s->path ? ", " : "", f.offset);
        struct step next = {s, NULL, name, f.is_group ? s->path : path};
        if (f.is_group || t.kind == TYPE_STRUCT)
            next.at = f.is_group ? inst_group(g->m, f.group, s->at) : t.inst;
        if (next.at && !on_way(s, next.at, &depth) && depth < PIPELINE_DEPTH)
            emit_pipelines(g, n, m, &next);
        else if (!f.is_group && (t.kind == TYPE_INTERFACE || t.kind == TYPE_ANY))
            emit_pipeline_cap(g, n, m, name, path);
    }
}

/* What a handler uses. */
static void emit_handler_parts(struct gen *g, const struct inst *n, struct method m, const struct inst *r)
{
    const struct inst *p = method_params(g->m, m, n);
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

static void emit_method_calls(struct gen *g, const struct inst *n, struct method m)
{
    const struct inst *r = method_results(g->m, m, n);
    put(&g->rpc_h, "/* %s.%s @%u%s */\n\n", short_name(n->n), m.name, m.index, r ? "" : " -> stream");
    emit_request(g, n, m);
    if (r) {
        emit_results(g, n, m, r);
        emit_pipelines(g, n, m, &(struct step){NULL, r, "", ""});
    }
    emit_handler_parts(g, n, m, r);
}

void emit_calls(struct gen *g, const struct inst *i)
{
    if (i->bind_count) {
        open_brand(&g->rpc_h, i, "RPC");
        put(&g->rpc_h, "/* %s, its parameters bound */\n\n", i->n->schema);
    }
    for (uint32_t k = 0; k < method_count(i->n); k++)
        emit_method_calls(g, i, node_method(i->n, k));
    if (i->bind_count)
        close_brand(&g->rpc_h, i);
}
