/* capnpc/emit_field.c — accessors of one field. */
#include "capnpc/emit.h"

/* The statement that makes a union's member the current one, or "". */
static const char *select_member(const struct gen *g, const struct inst *i, struct field f)
{
    return f.tag == WW_LAYOUT_NO_TAG ? "" : textf("    %s(b, %s);\n", g->switch_fn, which_name(i->n, f));
}

/* ---- fields */

struct field_ctx {
    const struct inst *i;
    struct field f;
    struct type t;
    const char *select;
    const char *r_param; /* struct T_r r */
    const char *b_param;
    const char *image; /* of a pointer's default, or NULL */
};

static char *getter(const struct field_ctx *c)
{
    return textf("%s_%s", c->i->name, c->f.name);
}

static char *verb(const struct field_ctx *c, const char *word)
{
    return textf("%s_%s_%s", c->i->name, word, c->f.name);
}

/* Parameters of a builder function with one more behind the builder. */
static char *b_params(const struct field_ctx *c, const char *more)
{
    return textf("%s, %s", c->b_param, more);
}

static const char *read_ptr(const struct field_ctx *c)
{
    char *p = c->f.tag == WW_LAYOUT_NO_TAG
        ? textf("ww_sr_ptr(r.s, %u)", c->f.offset)
        : textf("ww_sr_ptr_if(r.s, %u, %u, %u)", node_tag_offset(c->i->n), c->f.tag, c->f.offset);
    return c->image ? textf("ww_pr_or(%s, &%s)", p, c->image) : p;
}

static const char *build_ptr(const struct field_ctx *c)
{
    return textf("ww_sb_ptr(b.s, %u)", c->f.offset);
}

/* From stored bits to the C type, the default taken out. */
static const char *decode(const struct field_ctx *c, const char *bits)
{
    uint64_t deflt = ww_layout_value_bits(c->t.kind, c->f.value);
    if (c->t.kind == TYPE_BOOL)
        return deflt ? textf("!%s", bits) : bits;
    const char *raw = deflt ? textf("(%s ^ UINT64_C(0x%llx))", bits, (unsigned long long)deflt) : bits;
    if (c->t.kind == TYPE_FLOAT32)
        return textf("ww_f32_of((uint32_t)%s)", raw);
    if (c->t.kind == TYPE_FLOAT64)
        return textf("ww_f64_of(%s)", raw);
    return textf("(%s)%s", c_type(c->t), raw);
}

static const char *encode(const struct field_ctx *c)
{
    uint64_t deflt = ww_layout_value_bits(c->t.kind, c->f.value);
    if (c->t.kind == TYPE_BOOL)
        return deflt ? "!v" : "v";
    const char *raw = c->t.kind == TYPE_FLOAT32 ? "ww_f32_bits(v)"
        : c->t.kind == TYPE_FLOAT64             ? "ww_f64_bits(v)"
                                                : "v";
    unsigned bits = bits_of(c->t.kind);
    if (deflt)
        return textf(
            "(uint%u_t)((uint%u_t)%s ^ UINT64_C(0x%llx))", bits, bits, raw, (unsigned long long)deflt);
    return textf("(uint%u_t)%s", bits, raw);
}

static void emit_scalar(struct gen *g, const struct field_ctx *c)
{
    struct field f = c->f;
    unsigned bits = bits_of(c->t.kind);
    const char *kind = c->t.kind == TYPE_BOOL ? "bool" : textf("u%u", bits);
    const char *type = c_type(c->t);
    const char *stored = textf("ww_sr_%s(r.s, %u)", kind, f.offset);
    open_fn(g, type, getter(c), c->r_param);
    if (f.tag != WW_LAYOUT_NO_TAG) {
        put(&g->fn, "    if (ww_sr_u16(r.s, %u) != %u)\n", node_tag_offset(c->i->n), f.tag);
        put(&g->fn, "        return %s;\n", decode(c, c->t.kind == TYPE_BOOL ? "false" : "0u"));
    }
    put(&g->fn, "    return %s;\n", decode(c, stored));
    close_fn(g);
    open_fn(g, "void", verb(c, "set"), b_params(c, textf("%s v", type)));
    put(&g->fn, "%s    ww_sb_set_%s(b.s, %u, %s);\n", c->select, kind, f.offset, encode(c));
    close_fn(g);
}

static void emit_void(struct gen *g, const struct field_ctx *c)
{
    if (c->f.tag == WW_LAYOUT_NO_TAG)
        return;
    open_fn(g, "void", verb(c, "set"), c->b_param);
    put(&g->fn, "%s", c->select);
    close_fn(g);
}

/* A builder function of one expression. */
static void build_fn(struct gen *g, const struct field_ctx *c, const char *result, char *name,
    const char *params, const char *expr)
{
    open_fn(g, result, name, params);
    put(&g->fn, "%s    %s%s;\n", c->select, strcmp(result, "void") == 0 ? "" : "return ", expr);
    close_fn(g);
}

static void build_wrap_fn(struct gen *g, const struct field_ctx *c, const char *type, const char *suffix,
    char *name, const char *params, const char *expr)
{
    char *result = textf("struct %s_%s", type, suffix);
    open_fn(g, result, name, params);
    put(&g->fn, "%s    %s v = {%s};\n    return v;\n", c->select, result, expr);
    close_fn(g);
}

static void emit_has(struct gen *g, const struct field_ctx *c)
{
    struct field_ctx plain = *c;
    plain.image = NULL;
    open_fn(g, "bool", verb(c, "has"), c->r_param);
    put(&g->fn, "    return !ww_pr_is_null(%s);\n", read_ptr(&plain));
    close_fn(g);
}

static void emit_blob(struct gen *g, const struct field_ctx *c)
{
    const char *word = c->t.kind == TYPE_TEXT ? "text" : "data";
    open_fn(g, "struct ww_bytes", getter(c), c->r_param);
    put(&g->fn, "    return ww_pr_%s(%s);\n", word, read_ptr(c));
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
    const struct inst *s = c->t.inst;
    const char *size = textf("%u, %u", node_data_words(s->n), node_ptrs(s->n));
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

static void emit_struct_list(struct gen *g, const struct field_ctx *c, const struct inst *s)
{
    const char *size = textf("%u, %u", node_data_words(s->n), node_ptrs(s->n));
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
    struct type elem = *c->t.elem;
    if (elem.kind == TYPE_STRUCT) {
        emit_struct_list(g, c, elem.inst);
        return;
    }
    const char *code = elem_name(elem_of(elem.kind));
    struct field_ctx filled = *c;
    filled.select = fill_default(c);
    open_fn(g, "struct ww_lr", getter(c), c->r_param);
    put(&g->fn, "    return ww_pr_list(%s, %s);\n", read_ptr(c), code);
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
    put(&g->fn, "    return ww_pr_cap(%s);\n", read_ptr(c));
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
    put(&g->fn, "    return %s;\n", read_ptr(c));
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
    if (c->f.tag != WW_LAYOUT_NO_TAG) {
        put(&g->fn, "    struct ww_orphan none = {NULL, NULL, 0};\n");
        put(&g->fn, "    if (ww_sb_u16(b.s, %u) != %u)\n        return none;\n", node_tag_offset(c->i->n),
            c->f.tag);
    }
    put(&g->fn, "    return ww_pb_disown(%s);\n", build_ptr(c));
    close_fn(g);
}

/* A group is its struct under another type. */
static void emit_group(struct gen *g, const struct field_ctx *c)
{
    const struct inst *group = inst_group(g->m, c->f.group, c->i);
    wrap_fn(g, group->name, "r", getter(c), c->r_param, "r.s");
    build_wrap_fn(g, c, group->name, "b", verb(c, "get"), c->b_param, "b.s");
}

/* The image of a pointer's default, or NULL. */
static const char *default_image(struct gen *g, const struct inst *i, struct field f)
{
    const char *name = textf("%s_%s_default", i->n->name, f.name);
    if (!f.has_default || ww_pr_is_null(value_ptr(f.value)))
        return NULL;
    if (i->bind_count == 0)
        emit_image(g, name, value_ptr(f.value));
    return name;
}

static void emit_slot(struct gen *g, struct field_ctx *c)
{
    if (is_pointer(c->t.kind))
        c->image = default_image(g, c->i, c->f);
    bool is_cap = c->t.kind == TYPE_INTERFACE || c->t.is_cap;
    if (is_cap)
        emit_cap(g, c);
    else if (c->t.kind == TYPE_VOID)
        emit_void(g, c);
    else if (!is_pointer(c->t.kind))
        emit_scalar(g, c);
    else if (c->t.kind == TYPE_TEXT || c->t.kind == TYPE_DATA)
        emit_blob(g, c);
    else if (c->t.kind == TYPE_STRUCT)
        emit_struct_field(g, c);
    else if (c->t.kind == TYPE_LIST)
        emit_list(g, c);
    else
        emit_any(g, c);
    if (is_pointer(c->t.kind) && !is_cap)
        emit_orphan(g, c);
}

void emit_field(struct gen *g, const struct inst *i, struct field f)
{
    struct field_ctx c = {.i = i, .f = f, .select = select_member(g, i, f)};
    c.r_param = textf("struct %s_r r", i->name);
    c.b_param = textf("struct %s_b b", i->name);
    if (f.is_group) {
        emit_group(g, &c);
        return;
    }
    c.t = field_type(g->m, f, i);
    emit_slot(g, &c);
}
