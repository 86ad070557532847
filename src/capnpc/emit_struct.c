/* capnpc/emit_struct.c — views of structs and their accessors. */
#include "capnpc/emit.h"

const char *c_type(const struct gen *g, struct type t)
{
    static const char *const names[] = {"void", "bool", "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t",
        "uint16_t", "uint32_t", "uint64_t", "float", "double"};
    if (t.kind == TYPE_ENUM)
        return textf("enum %s", model_need(g->m, t.id)->name);
    return t.kind < WW_COUNT_OF(names) ? names[t.kind] : NULL;
}

static unsigned bits_of(enum type_kind kind)
{
    static const uint8_t bits[] = {0, 1, 8, 16, 32, 64, 8, 16, 32, 64, 32, 64};
    return kind == TYPE_ENUM ? 16 : kind < WW_COUNT_OF(bits) ? bits[kind] : 0;
}

static bool is_pointer(struct type t)
{
    return t.kind >= TYPE_TEXT && t.kind != TYPE_ENUM;
}

static bool is_cap(struct type t)
{
    return t.kind == TYPE_INTERFACE || (t.kind == TYPE_ANY && t.is_cap);
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

static void emit_which(struct gen *g, const struct node *n)
{
    if (node_tags(n) == 0)
        return;
    put(&g->h, "enum %s_which {\n", n->name);
    for (uint32_t i = 0; i < field_count(n); i++) {
        struct field f = node_field(n, i);
        if (f.tag != NO_TAG)
            put(&g->h, "    %s = %u,\n", claim(g, textf("%s_which_%s", n->name, f.name)), f.tag);
    }
    put(&g->h, "};\n\n");
}

static void emit_wrapper(struct gen *g, const struct node *n, const char *suffix, const char *view)
{
    put(&g->h, "struct %s_%s {\n    struct ww_%s %c;\n};\n", n->name, suffix, view, view[0]);
}

void emit_types(struct gen *g, const struct node *n)
{
    if (node_kind(n) == NODE_ENUM)
        emit_enum(g, n);
    if (node_kind(n) != NODE_STRUCT)
        return;
    emit_which(g, n);
    emit_wrapper(g, n, "r", "sr");
    emit_wrapper(g, n, "b", "sb");
    if (!node_is_group(n)) {
        emit_wrapper(g, n, "l", "lr");
        emit_wrapper(g, n, "lb", "lb");
        put(&g->h, "#define %s UINT64_C(0x%016llx)\n", claim(g, textf("%s_ID", n->name)),
            (unsigned long long)n->id);
        put(&g->h, "#define %s %uu\n", claim(g, textf("%s_DATA_WORDS", n->name)), node_data_words(n));
        put(&g->h, "#define %s %uu\n", claim(g, textf("%s_PTRS", n->name)), node_ptrs(n));
    }
    put(&g->h, "\n");
}

/* ---- functions */

/* `static inline RESULT NAME(PARAMS)` and the opening brace. */
static void open_fn(struct gen *g, const char *result, char *name, const char *params)
{
    put(&g->h, "static inline %s%s%s(%s)\n{\n", result, result[strlen(result) - 1] == '*' ? "" : " ",
        claim(g, name), params);
}

static void close_fn(struct gen *g)
{
    put(&g->h, "}\n\n");
}

/* A function whose body wraps one expression in a view type. */
static void wrap_fn(
    struct gen *g, const char *type, const char *suffix, char *name, const char *params, const char *expr)
{
    char *result = textf("struct %s_%s", type, suffix);
    open_fn(g, result, name, params);
    put(&g->h, "    %s v = {%s};\n    return v;\n", result, expr);
    close_fn(g);
}

static void emit_roots(struct gen *g, const struct node *n)
{
    const char *t = n->name;
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

static void emit_reader_of(struct gen *g, const struct node *n)
{
    wrap_fn(
        g, n->name, "r", textf("%s_b_reader", n->name), textf("struct %s_b b", n->name), "ww_sb_reader(b.s)");
}

/* ---- unions: changing the member wipes what the old one used */

static void emit_wipe_fields(struct gen *g, const struct node *n, bool union_only);

static void emit_wipe_field(struct gen *g, const struct node *n, struct field f)
{
    if (f.is_group) {
        const struct node *group = model_need(g->m, f.group);
        emit_wipe_fields(g, group, false);
        if (node_tags(group))
            put(&g->h, "    ww_sb_set_u16(b.s, %u, 0);\n", node_tag_offset(group));
    } else if (is_pointer(f.type)) {
        put(&g->h, "    ww_pb_clear(ww_sb_ptr(b.s, %u));\n", f.offset);
    } else if (f.type.kind == TYPE_BOOL) {
        put(&g->h, "    ww_sb_set_bool(b.s, %u, false);\n", f.offset);
    } else if (f.type.kind != TYPE_VOID) {
        put(&g->h, "    ww_sb_set_u%u(b.s, %u, 0);\n", bits_of(f.type.kind), f.offset);
    }
}

static void emit_wipe_fields(struct gen *g, const struct node *n, bool union_only)
{
    for (uint32_t i = 0; i < field_count(n); i++) {
        struct field f = node_field(n, i);
        if (!union_only || f.tag != NO_TAG)
            emit_wipe_field(g, n, f);
    }
}

static void emit_union(struct gen *g, const struct node *n)
{
    if (node_tags(n) == 0)
        return;
    const char *t = n->name;
    char *result = textf("enum %s_which", t);
    open_fn(g, result, textf("%s_which", t), textf("struct %s_r r", t));
    put(&g->h, "    return (%s)ww_sr_u16(r.s, %u);\n", result, node_tag_offset(n));
    close_fn(g);
    open_fn(g, "void", textf("%s_switch", t), textf("struct %s_b b, %s which", t, result));
    put(&g->h, "    if (ww_sb_u16(b.s, %u) == (uint16_t)which)\n        return;\n", node_tag_offset(n));
    emit_wipe_fields(g, n, true);
    put(&g->h, "    ww_sb_set_u16(b.s, %u, (uint16_t)which);\n", node_tag_offset(n));
    close_fn(g);
}

/* The statement that makes a union's member the current one, or "". */
static const char *select_member(const struct node *n, struct field f)
{
    return f.tag == NO_TAG ? "" : textf("    %s_switch(b, %s_which_%s);\n", n->name, n->name, f.name);
}

/* ---- fields */

struct field_ctx {
    const struct node *n;
    struct field f;
    const char *select;
    const char *r_param; /* struct T_r r */
    const char *b_param;
    const char *image; /* of a pointer's default, or NULL */
};

static char *getter(const struct field_ctx *c)
{
    return textf("%s_%s", c->n->name, c->f.name);
}

static char *verb(const struct field_ctx *c, const char *word)
{
    return textf("%s_%s_%s", c->n->name, word, c->f.name);
}

/* Parameters of a builder function with one more behind the builder. */
static char *b_params(const struct field_ctx *c, const char *more)
{
    return textf("%s, %s", c->b_param, more);
}

static const char *read_ptr(const struct field_ctx *c)
{
    char *p = c->f.tag == NO_TAG
        ? textf("ww_sr_ptr(r.s, %u)", c->f.offset)
        : textf("ww_sr_ptr_if(r.s, %u, %u, %u)", node_tag_offset(c->n), c->f.tag, c->f.offset);
    return c->image ? textf("ww_pr_or(%s, &%s)", p, c->image) : p;
}

static const char *build_ptr(const struct field_ctx *c)
{
    return textf("ww_sb_ptr(b.s, %u)", c->f.offset);
}

/* From stored bits to the C type, the default taken out. */
static const char *decode(const struct gen *g, struct field f, const char *bits)
{
    uint64_t deflt = value_bits(f.type.kind, f.value);
    if (f.type.kind == TYPE_BOOL)
        return deflt ? textf("!%s", bits) : bits;
    const char *raw = deflt ? textf("(%s ^ UINT64_C(0x%llx))", bits, (unsigned long long)deflt) : bits;
    if (f.type.kind == TYPE_FLOAT32)
        return textf("ww_f32_of((uint32_t)%s)", raw);
    if (f.type.kind == TYPE_FLOAT64)
        return textf("ww_f64_of(%s)", raw);
    return textf("(%s)%s", c_type(g, f.type), raw);
}

static const char *encode(struct field f)
{
    uint64_t deflt = value_bits(f.type.kind, f.value);
    if (f.type.kind == TYPE_BOOL)
        return deflt ? "!v" : "v";
    const char *raw = f.type.kind == TYPE_FLOAT32 ? "ww_f32_bits(v)"
        : f.type.kind == TYPE_FLOAT64             ? "ww_f64_bits(v)"
                                                  : "v";
    unsigned bits = bits_of(f.type.kind);
    if (deflt)
        return textf(
            "(uint%u_t)((uint%u_t)%s ^ UINT64_C(0x%llx))", bits, bits, raw, (unsigned long long)deflt);
    return textf("(uint%u_t)%s", bits, raw);
}

static void emit_scalar(struct gen *g, const struct field_ctx *c)
{
    struct field f = c->f;
    unsigned bits = bits_of(f.type.kind);
    const char *kind = f.type.kind == TYPE_BOOL ? "bool" : textf("u%u", bits);
    const char *type = c_type(g, f.type);
    const char *stored = textf("ww_sr_%s(r.s, %u)", kind, f.offset);
    open_fn(g, type, getter(c), c->r_param);
    if (f.tag != NO_TAG) {
        put(&g->h, "    if (ww_sr_u16(r.s, %u) != %u)\n", node_tag_offset(c->n), f.tag);
        put(&g->h, "        return %s;\n", decode(g, f, f.type.kind == TYPE_BOOL ? "false" : "0u"));
    }
    put(&g->h, "    return %s;\n", decode(g, f, stored));
    close_fn(g);
    open_fn(g, "void", verb(c, "set"), b_params(c, textf("%s v", type)));
    put(&g->h, "%s    ww_sb_set_%s(b.s, %u, %s);\n", c->select, kind, f.offset, encode(f));
    close_fn(g);
}

static void emit_void(struct gen *g, const struct field_ctx *c)
{
    if (c->f.tag == NO_TAG)
        return;
    open_fn(g, "void", verb(c, "set"), c->b_param);
    put(&g->h, "%s", c->select);
    close_fn(g);
}

/* A builder function of one expression. */
static void build_fn(struct gen *g, const struct field_ctx *c, const char *result, char *name,
    const char *params, const char *expr)
{
    open_fn(g, result, name, params);
    put(&g->h, "%s    %s%s;\n", c->select, strcmp(result, "void") == 0 ? "" : "return ", expr);
    close_fn(g);
}

static void build_wrap_fn(struct gen *g, const struct field_ctx *c, const char *type, const char *suffix,
    char *name, const char *params, const char *expr)
{
    char *result = textf("struct %s_%s", type, suffix);
    open_fn(g, result, name, params);
    put(&g->h, "%s    %s v = {%s};\n    return v;\n", c->select, result, expr);
    close_fn(g);
}

static void emit_has(struct gen *g, const struct field_ctx *c)
{
    struct field_ctx plain = *c;
    plain.image = NULL;
    open_fn(g, "bool", verb(c, "has"), c->r_param);
    put(&g->h, "    return !ww_pr_is_null(%s);\n", read_ptr(&plain));
    close_fn(g);
}

static void emit_blob(struct gen *g, const struct field_ctx *c)
{
    const char *word = c->f.type.kind == TYPE_TEXT ? "text" : "data";
    open_fn(g, "struct ww_bytes", getter(c), c->r_param);
    put(&g->h, "    return ww_pr_%s(%s);\n", word, read_ptr(c));
    close_fn(g);
    emit_has(g, c);
    build_fn(g, c, "void", verb(c, "set"), b_params(c, "struct ww_bytes v"),
        textf("ww_pb_set_%s(%s, v)", word, build_ptr(c)));
    build_fn(g, c, "uint8_t *", verb(c, "init"), b_params(c, "size_t len"),
        textf("ww_pb_init_%s(%s, len)", word, build_ptr(c)));
}

/* Before a builder hands out what is there: a null pointer with a default becomes a copy of the default. */
static const char *fill_default(const struct field_ctx *c)
{
    if (!c->image)
        return c->select;
    return textf("%s    if (ww_pb_is_null(%s))\n        ww_pb_set(%s, ww_pr_const(&%s));\n", c->select,
        build_ptr(c), build_ptr(c), c->image);
}

static void emit_struct_field(struct gen *g, const struct field_ctx *c)
{
    const struct node *s = model_need(g->m, c->f.type.id);
    const char *size = textf("%u, %u", node_data_words(s), node_ptrs(s));
    struct field_ctx filled = *c;
    filled.select = fill_default(c);
    wrap_fn(g, s->name, "r", getter(c), c->r_param, textf("ww_pr_struct(%s)", read_ptr(c)));
    emit_has(g, c);
    build_wrap_fn(g, c, s->name, "b", verb(c, "init"), c->b_param,
        textf("ww_pb_init_struct(%s, %s)", build_ptr(c), size));
    build_wrap_fn(g, &filled, s->name, "b", verb(c, "get"), c->b_param,
        textf("ww_pb_struct(%s, %s)", build_ptr(c), size));
    build_fn(g, c, "void", verb(c, "set"), b_params(c, textf("struct %s_r v", s->name)),
        textf("ww_pb_set_struct(%s, v.s)", build_ptr(c)));
}

const char *elem_name(enum ww_elem elem)
{
    static const char *const names[] = {"WW_ELEM_VOID", "WW_ELEM_BIT", "WW_ELEM_BYTE", "WW_ELEM_TWO",
        "WW_ELEM_FOUR", "WW_ELEM_EIGHT", "WW_ELEM_PTR", "WW_ELEM_STRUCT"};
    return names[elem];
}

static void emit_struct_list(struct gen *g, const struct field_ctx *c, const struct node *s)
{
    const char *size = textf("%u, %u", node_data_words(s), node_ptrs(s));
    struct field_ctx filled = *c;
    filled.select = fill_default(c);
    wrap_fn(g, s->name, "l", getter(c), c->r_param, textf("ww_pr_list(%s, WW_ELEM_STRUCT)", read_ptr(c)));
    emit_has(g, c);
    build_wrap_fn(g, c, s->name, "lb", verb(c, "init"), b_params(c, "uint32_t count"),
        textf("ww_pb_init_structs(%s, %s, count)", build_ptr(c), size));
    build_wrap_fn(g, &filled, s->name, "lb", verb(c, "get"), c->b_param,
        textf("ww_pb_structs(%s, %s)", build_ptr(c), size));
    build_fn(g, c, "void", verb(c, "set"), b_params(c, textf("struct %s_l v", s->name)),
        textf("ww_pb_set_structs(%s, v.l)", build_ptr(c)));
}

static void emit_list(struct gen *g, const struct field_ctx *c)
{
    struct type elem = type_of(c->f.type.elem);
    if (elem.kind == TYPE_STRUCT) {
        emit_struct_list(g, c, model_need(g->m, elem.id));
        return;
    }
    const char *code = elem_name(elem_of(elem));
    struct field_ctx filled = *c;
    filled.select = fill_default(c);
    open_fn(g, "struct ww_lr", getter(c), c->r_param);
    put(&g->h, "    return ww_pr_list(%s, %s);\n", read_ptr(c), code);
    close_fn(g);
    emit_has(g, c);
    build_fn(g, c, "struct ww_lb", verb(c, "init"), b_params(c, "uint32_t count"),
        textf("ww_pb_init_list(%s, %s, count)", build_ptr(c), code));
    build_fn(g, &filled, "struct ww_lb", verb(c, "get"), c->b_param,
        textf("ww_pb_list(%s, %s)", build_ptr(c), code));
    build_fn(g, c, "void", verb(c, "set"), b_params(c, "struct ww_lr v"),
        textf("ww_pb_set_list(%s, v)", build_ptr(c)));
}

static void emit_cap(struct gen *g, const struct field_ctx *c)
{
    open_fn(g, "struct ww_cap *", getter(c), c->r_param);
    put(&g->h, "    return ww_pr_cap(%s);\n", read_ptr(c));
    close_fn(g);
    emit_has(g, c);
    build_fn(g, c, "void", verb(c, "set"), b_params(c, "struct ww_cap *v"),
        textf("ww_pb_set_cap(%s, v)", build_ptr(c)));
}

static void emit_any(struct gen *g, const struct field_ctx *c)
{
    struct field_ctx filled = *c;
    filled.select = fill_default(c);
    open_fn(g, "struct ww_pr", getter(c), c->r_param);
    put(&g->h, "    return %s;\n", read_ptr(c));
    close_fn(g);
    emit_has(g, c);
    build_fn(g, &filled, "struct ww_pb", verb(c, "get"), c->b_param, build_ptr(c));
    build_fn(
        g, c, "void", verb(c, "set"), b_params(c, "struct ww_pr v"), textf("ww_pb_set(%s, v)", build_ptr(c)));
}

/* What the field leads to as an object of its own. A union's member that is not current has none. */
static void emit_orphan(struct gen *g, const struct field_ctx *c)
{
    build_fn(g, c, "void", verb(c, "adopt"), b_params(c, "struct ww_orphan *o"),
        textf("ww_pb_adopt(%s, o)", build_ptr(c)));
    open_fn(g, "struct ww_orphan", verb(c, "disown"), c->b_param);
    if (c->f.tag != NO_TAG) {
        put(&g->h, "    struct ww_orphan none = {NULL, NULL, 0};\n");
        put(&g->h, "    if (ww_sb_u16(b.s, %u) != %u)\n        return none;\n", node_tag_offset(c->n),
            c->f.tag);
    }
    put(&g->h, "    return ww_pb_disown(%s);\n", build_ptr(c));
    close_fn(g);
}

/* A group is its struct under another type. */
static void emit_group(struct gen *g, const struct field_ctx *c)
{
    const struct node *group = model_need(g->m, c->f.group);
    wrap_fn(g, group->name, "r", textf("%s", group->name), c->r_param, "r.s");
    build_wrap_fn(g, c, group->name, "b", verb(c, "get"), c->b_param, "b.s");
}

static void emit_field(struct gen *g, const struct node *n, struct field f)
{
    struct field_ctx c = {.n = n, .f = f, .select = select_member(n, f)};
    c.r_param = textf("struct %s_r r", n->name);
    c.b_param = textf("struct %s_b b", n->name);
    if (f.is_group) {
        emit_group(g, &c);
        return;
    }
    if (is_pointer(f.type) && f.has_default && !ww_pr_is_null(value_ptr(f.value))) {
        c.image = textf("%s_%s_default", n->name, f.name);
        emit_image(g, c.image, value_ptr(f.value));
    }
    if (is_cap(f.type))
        emit_cap(g, &c);
    else if (f.type.kind == TYPE_VOID)
        emit_void(g, &c);
    else if (!is_pointer(f.type))
        emit_scalar(g, &c);
    else if (f.type.kind == TYPE_TEXT || f.type.kind == TYPE_DATA)
        emit_blob(g, &c);
    else if (f.type.kind == TYPE_STRUCT)
        emit_struct_field(g, &c);
    else if (f.type.kind == TYPE_LIST)
        emit_list(g, &c);
    else
        emit_any(g, &c);
    if (is_pointer(f.type) && !is_cap(f.type))
        emit_orphan(g, &c);
}

void emit_struct(struct gen *g, const struct node *n)
{
    put(&g->h, "/* %s */\n\n", n->schema);
    if (!node_is_group(n))
        emit_roots(g, n);
    emit_reader_of(g, n);
    emit_union(g, n);
    for (uint32_t i = 0; i < field_count(n); i++)
        emit_field(g, n, node_field(n, i));
}
