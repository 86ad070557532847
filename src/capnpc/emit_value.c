/* capnpc/emit_value.c — constants, and the word images of values that are objects. */
#include <math.h>

#include "capnpc/emit.h"

void put_words(struct out *o, const char *name, struct ww_bytes seg)
{
    put(o, "static const uint64_t %s[] = {", name);
    for (size_t i = 0; i < seg.len; i += 8)
        put(o, "%sUINT64_C(0x%016llx),", i % 32 ? " " : "\n    ",
            (unsigned long long)ww_load64_(seg.ptr + i));
    put(o, "\n};\n");
}

void emit_image(struct gen *g, const char *name, struct ww_pr value)
{
    struct ww_msg *flat = g->m->flat;
    for (uint32_t words = 1024; words == 1024 || (ww_msg_seg_count(flat) > 1 && !ww_msg_err(flat));
         words *= 4) {
        ww_msg_reset(flat);
        ww_msg_hint(flat, words);
        ww_pb_set(ww_msg_root_builder(flat), value);
    }
    if (ww_msg_err(flat) < 0)
        give_up(textf("the value of %s cannot be copied: %s", name, ww_err_text(ww_msg_err(flat))));
    struct ww_bytes seg = ww_msg_seg(flat, 0);
    put(&g->h, "extern const struct ww_seg %s;\n", name);
    put_words(&g->c, textf("%s_words", name), seg);
    put(&g->c, "const struct ww_seg %s = {NULL, (uint8_t *)%s_words, %zu, %zu, 0, 0};\n\n", name, name,
        seg.len / 8, seg.len / 8);
}

static char *signed_literal(const char *type, unsigned bits, int64_t v)
{
    if (v == INT64_MIN)
        return textf("(-INT64_C(9223372036854775807) - 1)");
    return bits == 64 ? textf("INT64_C(%lld)", (long long)v) : textf("((%s)%lld)", type, (long long)v);
}

static char *float_literal(struct type t, uint64_t bits)
{
    bool narrow = t.kind == TYPE_FLOAT32;
    double v = narrow ? (double)ww_f32_of((uint32_t)bits) : ww_f64_of(bits);
    if (!isfinite(v))
        return narrow ? textf("ww_f32_of(UINT32_C(0x%llx))", (unsigned long long)bits)
                      : textf("ww_f64_of(UINT64_C(0x%llx))", (unsigned long long)bits);
    const char *digits = narrow ? textf("%.9g", v) : textf("%.17g", v);
    const char *point = strpbrk(digits, ".e") ? "" : ".0"; /* without it, minus zero would lose its sign */
    return textf("((%s)%s%s)", narrow ? "float" : "double", digits, point);
}

static char *scalar_literal(struct type t, uint64_t bits)
{
    const char *type = c_type(t);
    switch (t.kind) {
    case TYPE_BOOL:
        return textf("%s", bits ? "true" : "false");
    case TYPE_INT8:
        return signed_literal(type, 8, (int8_t)bits);
    case TYPE_INT16:
        return signed_literal(type, 16, (int16_t)bits);
    case TYPE_INT32:
        return signed_literal(type, 32, (int32_t)bits);
    case TYPE_INT64:
        return signed_literal(type, 64, (int64_t)bits);
    case TYPE_UINT64:
        return textf("UINT64_C(%llu)", (unsigned long long)bits);
    case TYPE_FLOAT32:
    case TYPE_FLOAT64:
        return float_literal(t, bits);
    default:
        return textf("((%s)%lluu)", type, (unsigned long long)bits);
    }
}

static void object_fn(struct gen *g, const char *type, const char *name, const char *expr)
{
    put(&g->fn, "static inline struct %s %s(void)\n{\n    struct %s v = %s;\n    return v;\n}\n\n", type,
        name, type, expr);
}

/* A constant of a struct or interface may be called like a part of that: `Foo.r` would redefine `struct
 * Foo_r`. */
static const char *const_name(struct gen *g, const struct node *n)
{
    static const char *const parts[] = {
        "r", "b", "l", "lb", "server", "ops", "methods", "extends", "dispatch", "drop"};
    const struct node *scope = model_node(g->m, node_scope(n));
    for (size_t i = 0; scope && scope != g->file && i < WW_COUNT_OF(parts); i++) {
        if (strcmp(n->name, textf("%s_%s", scope->name, parts[i])) == 0)
            return claim(g, textf("%s_", n->name));
    }
    return claim(g, textf("%s", n->name));
}

static void emit_object(struct gen *g, const struct node *n, struct type t)
{
    const char *image = claim(g, textf("%s_image", n->name));
    const char *name = const_name(g, n);
    emit_image(g, image, value_ptr(const_value(n)));
    char *root = textf("ww_pr_const(&%s)", image);
    if (t.kind == TYPE_TEXT || t.kind == TYPE_DATA) {
        object_fn(g, "ww_bytes", name, textf("ww_pr_%s(%s)", t.kind == TYPE_TEXT ? "text" : "data", root));
    } else if (t.kind == TYPE_STRUCT) {
        const char *type = textf("%s_r", t.inst->name);
        object_fn(g, type, name, textf("{ww_pr_struct(%s)}", root));
    } else if (t.kind == TYPE_LIST && t.elem->kind == TYPE_STRUCT) {
        const char *type = textf("%s_l", t.elem->inst->name);
        object_fn(g, type, name, textf("{ww_pr_list(%s, WW_ELEM_STRUCT)}", root));
    } else if (t.kind == TYPE_LIST) {
        object_fn(g, "ww_lr", name, textf("ww_pr_list(%s, %s)", root, elem_name(elem_of(t.elem->kind))));
    } else {
        object_fn(g, "ww_pr", name, root);
    }
}

void emit_const(struct gen *g, const struct node *n)
{
    struct type t = type_of(g->m, const_type(n), inst_plain(g->m, n->id));
    if (t.kind == TYPE_VOID)
        return;
    if (t.kind >= TYPE_TEXT && t.kind != TYPE_ENUM) {
        emit_object(g, n, t);
        return;
    }
    char *literal = scalar_literal(t, ww_layout_value_bits(t.kind, const_value(n)));
    put(&g->fn, "#define %s %s\n\n", const_name(g, n), literal);
}
