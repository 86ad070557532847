/* capnpc/emit_struct.c — views of structs and their accessors. */
#include "capnpc/emit.h"

const char *c_type(struct type t)
{
    static const char *const names[] = {"void", "bool", "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t",
        "uint16_t", "uint32_t", "uint64_t", "float", "double"};
    if (t.kind == TYPE_ENUM)
        return textf("enum %s", t.n->name);
    return t.kind < WW_COUNT_OF(names) ? names[t.kind] : NULL;
}

unsigned bits_of(enum type_kind kind)
{
    static const uint8_t bits[] = {0, 1, 8, 16, 32, 64, 8, 16, 32, 64, 32, 64};
    return kind == TYPE_ENUM ? 16 : kind < WW_COUNT_OF(bits) ? bits[kind] : 0;
}

bool is_pointer(enum type_kind kind)
{
    return kind >= TYPE_TEXT && kind != TYPE_ENUM;
}

/* ---- types */

static void emit_enum(struct gen *g, const struct node *n)
{
    put(&g->h, "enum %s { /* %s @0x%016llx */\n", n->name, n->schema, (unsigned long long)n->id);
    for (uint32_t i = 0; i < enumerant_count(n); i++)
        put(&g->h, "    %s = %u,\n", claim(g, textf("%s_%s", n->name, enumerant_name(n, i))), i);
    if (enumerant_count(n) == 0)
        put(&g->h, "    %s = 0,\n", claim(g, textf("%s_none_", n->name)));
    put(&g->h, "};\n\n");
}

const char *which_name(const struct node *n, struct field f)
{
    return textf("%s_which_%s", n->name, f.name);
}

static void emit_which(struct gen *g, const struct node *n)
{
    if (node_tags(n) == 0)
        return;
    put(&g->h, "enum %s_which {\n", n->name);
    for (uint32_t i = 0; i < field_count(n); i++) {
        struct field f = node_field(n, i);
        if (f.tag == WW_LAYOUT_NO_TAG)
            continue;
        const char *name = which_name(n, f);
        if (strcmp(claim(g, textf("%s", name)), name) != 0)
            broken(textf("two members of a union would be called %s", name), n->id);
        put(&g->h, "    %s = %u,\n", name, f.tag);
    }
    put(&g->h, "};\n\n");
}

static void emit_wrapper(struct gen *g, const char *name, const char *suffix, const char *view)
{
    put(&g->h, "struct %s_%s {\n    struct ww_%s %c;\n};\n", name, suffix, view, view[0]);
}

static void emit_wrappers(struct gen *g, const struct node *n, const char *name)
{
    emit_wrapper(g, name, "r", "sr");
    emit_wrapper(g, name, "b", "sb");
    if (!node_is_group(n)) {
        emit_wrapper(g, name, "l", "lr");
        emit_wrapper(g, name, "lb", "lb");
    }
}

void emit_types(struct gen *g, const struct node *n)
{
    if (node_kind(n) == NODE_ENUM)
        emit_enum(g, n);
    if (node_kind(n) != NODE_STRUCT)
        return;
    emit_which(g, n);
    emit_wrappers(g, n, n->name);
    if (!node_is_group(n)) {
        put(&g->h, "#define %s UINT64_C(0x%016llx)\n", claim(g, textf("%s_ID", n->name)),
            (unsigned long long)n->id);
        put(&g->h, "#define %s %uu\n", claim(g, textf("%s_DATA_WORDS", n->name)), node_data_words(n));
        put(&g->h, "#define %s %uu\n", claim(g, textf("%s_PTRS", n->name)), node_ptrs(n));
    }
    put(&g->h, "\n");
}

void open_brand(struct out *o, const struct inst *i, const char *what)
{
    unsigned long long hash = inst_hash(i);
    put(o, "#ifndef WW_BRAND_%016llX_%s\n#define WW_BRAND_%016llX_%s\n", hash, what, hash, what);
}

void close_brand(struct out *o, const struct inst *i)
{
    put(o, "#endif /* %s */\n\n", i->name);
}

void emit_brand_types(struct gen *g, const struct inst *i)
{
    if (node_kind(i->n) != NODE_STRUCT)
        return;
    open_brand(&g->h, i, "TYPES");
    emit_wrappers(g, i->n, i->name);
    close_brand(&g->h, i);
}

/* ---- functions */

/* `static inline RESULT NAME(PARAMS)` and the opening brace. */
const char *open_fn(struct gen *g, const char *result, char *name, const char *params)
{
    const char *claimed = claim(g, name);
    put(&g->fn, "static inline %s%s%s(%s)\n{\n", result, result[strlen(result) - 1] == '*' ? "" : " ",
        claimed, params);
    return claimed;
}

void close_fn(struct gen *g)
{
    put(&g->fn, "}\n\n");
}

/* A function whose body wraps one expression in a view type. */
void wrap_fn(
    struct gen *g, const char *type, const char *suffix, char *name, const char *params, const char *expr)
{
    char *result = textf("struct %s_%s", type, suffix);
    open_fn(g, result, name, params);
    put(&g->fn, "    %s v = {%s};\n    return v;\n", result, expr);
    close_fn(g);
}

static void emit_roots(struct gen *g, const struct inst *inst)
{
    const struct node *n = inst->n;
    const char *t = inst->name;
    wrap_fn(g, t, "r", textf("%s_r_from", t), "struct ww_pr p", "ww_pr_struct(p)");
    wrap_fn(g, t, "r", textf("%s_r_root", t), "struct ww_msg *m", "ww_pr_struct(ww_msg_root(m))");
    char *size = textf("%u, %u", node_data_words(n), node_ptrs(n));
    wrap_fn(g, t, "b", textf("%s_b_init", t), "struct ww_pb p", textf("ww_pb_init_struct(p, %s)", size));
    wrap_fn(g, t, "b", textf("%s_b_from", t), "struct ww_pb p", textf("ww_pb_struct(p, %s)", size));
    wrap_fn(g, t, "b", textf("%s_b_root", t), "struct ww_msg *m",
        textf("ww_pb_init_struct(ww_msg_root_builder(m), %s)", size));
    wrap_fn(g, t, "l", textf("%s_l_from", t), "struct ww_pr p", "ww_pr_list(p, WW_ELEM_STRUCT)");
    wrap_fn(g, t, "r", textf("%s_l_at", t), textf("struct %s_l l, uint32_t i", t), "ww_lr_struct(l.l, i)");
    wrap_fn(g, t, "lb", textf("%s_lb_init", t), "struct ww_pb p, uint32_t count",
        textf("ww_pb_init_structs(p, %s, count)", size));
    wrap_fn(g, t, "b", textf("%s_lb_at", t), textf("struct %s_lb l, uint32_t i", t), "ww_lb_struct(l.l, i)");
}

static void emit_reader_of(struct gen *g, const char *t)
{
    wrap_fn(g, t, "r", textf("%s_b_reader", t), textf("struct %s_b b", t), "ww_sb_reader(b.s)");
}

/* ---- unions: changing the member wipes what the old one used */

static void emit_wipe_fields(struct gen *g, const struct node *n, bool union_only);

static void emit_wipe_field(struct gen *g, struct field f)
{
    enum type_kind kind = (enum type_kind)ww_layout_type_kind(f.type);
    if (f.is_group) {
        const struct node *group = model_need(g->m, f.group);
        emit_wipe_fields(g, group, false);
        if (node_tags(group))
            put(&g->fn, "    ww_sb_set_u16(b.s, %u, 0);\n", node_tag_offset(group));
    } else if (is_pointer(kind)) {
        put(&g->fn, "    ww_pb_clear(ww_sb_ptr(b.s, %u));\n", f.offset);
    } else if (kind == TYPE_BOOL) {
        put(&g->fn, "    ww_sb_set_bool(b.s, %u, false);\n", f.offset);
    } else if (kind != TYPE_VOID) {
        put(&g->fn, "    ww_sb_set_u%u(b.s, %u, 0);\n", bits_of(kind), f.offset);
    }
}

static void emit_wipe_fields(struct gen *g, const struct node *n, bool union_only)
{
    for (uint32_t i = 0; i < field_count(n); i++) {
        struct field f = node_field(n, i);
        if (!union_only || f.tag != WW_LAYOUT_NO_TAG)
            emit_wipe_field(g, f);
    }
}

static void emit_union(struct gen *g, const struct inst *inst)
{
    const struct node *n = inst->n;
    if (node_tags(n) == 0)
        return;
    const char *t = inst->name;
    char *result = textf("enum %s_which", n->name);
    open_fn(g, result, textf("%s_which", t), textf("struct %s_r r", t));
    put(&g->fn, "    return (%s)ww_sr_u16(r.s, %u);\n", result, node_tag_offset(n));
    close_fn(g);
    g->switch_fn = open_fn(g, "void", textf("%s_switch", t), textf("struct %s_b b, %s which", t, result));
    put(&g->fn, "    if (ww_sb_u16(b.s, %u) == (uint16_t)which)\n        return;\n", node_tag_offset(n));
    emit_wipe_fields(g, n, true);
    put(&g->fn, "    ww_sb_set_u16(b.s, %u, (uint16_t)which);\n", node_tag_offset(n));
    close_fn(g);
}

void emit_struct(struct gen *g, const struct inst *i)
{
    const struct node *n = i->n;
    if (i->bind_count)
        open_brand(&g->fn, i, "");
    put(&g->fn, "/* %s%s */\n\n", n->schema, i->bind_count ? ", its parameters bound" : "");
    if (!node_is_group(n))
        emit_roots(g, i);
    emit_reader_of(g, i->name);
    emit_union(g, i);
    for (uint32_t k = 0; k < field_count(n); k++) {
        struct field f = node_field(n, k);
        if (field_wanted(g, f))
            emit_field(g, i, f);
    }
    if (i->bind_count)
        close_brand(&g->fn, i);
}
