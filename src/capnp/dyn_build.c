/* capnp/dyn_build.c — building by schema. */
#include "capnp/dyn.h"

#define GROUP_DEPTH_MAX 32 /* groups in groups */

/* ---- values */

static struct ww_dyn_value value(enum ww_type_kind base)
{
    struct ww_dyn_value v;
    memset(&v, 0, sizeof v);
    v.type.base = (uint8_t)base;
    return v;
}

struct ww_dyn_value ww_dyn_void(void)
{
    return value(WW_TYPE_VOID);
}

struct ww_dyn_value ww_dyn_bool(bool b)
{
    struct ww_dyn_value v = value(WW_TYPE_BOOL);
    v.as.b = b;
    return v;
}

struct ww_dyn_value ww_dyn_int(int64_t i)
{
    struct ww_dyn_value v = value(WW_TYPE_INT64);
    v.as.i = i;
    return v;
}

struct ww_dyn_value ww_dyn_uint(uint64_t u)
{
    struct ww_dyn_value v = value(WW_TYPE_UINT64);
    v.as.u = u;
    return v;
}

struct ww_dyn_value ww_dyn_float(double f)
{
    struct ww_dyn_value v = value(WW_TYPE_FLOAT64);
    v.as.f = f;
    return v;
}

struct ww_dyn_value ww_dyn_text(struct ww_bytes bytes)
{
    struct ww_dyn_value v = value(WW_TYPE_TEXT);
    v.as.bytes = bytes;
    return v;
}

struct ww_dyn_value ww_dyn_data(struct ww_bytes bytes)
{
    struct ww_dyn_value v = value(WW_TYPE_DATA);
    v.as.bytes = bytes;
    return v;
}

struct ww_dyn_value ww_dyn_cap(struct ww_cap *cap)
{
    struct ww_dyn_value v = value(WW_TYPE_ANY);
    v.type.any = WW_ANY_CAP;
    v.as.cap = cap;
    return v;
}

static ww_err mismatch(struct ww_type to, struct ww_type from, struct ww_diag *diag)
{
    char a[96], b[96];
    return ww_diag_set(diag, WW_EINVAL, "found %s, expected %s", ww_type_name(from, b, sizeof b),
        ww_type_name(to, a, sizeof a));
}

static ww_err out_of_range(struct ww_type to, struct ww_diag *diag)
{
    char name[96];
    return ww_diag_set(
        diag, WW_EINVAL, "the number is out of the range of %s", ww_type_name(to, name, sizeof name));
}

static bool is_int(unsigned base)
{
    return base >= WW_TYPE_INT8 && base <= WW_TYPE_INT64;
}

static bool is_uint(unsigned base)
{
    return base >= WW_TYPE_UINT8 && base <= WW_TYPE_UINT64;
}

/* An integer as sign and size; floats only when they are whole. */
static bool whole(const struct ww_dyn_value *v, bool *ret_negative, uint64_t *ret_size)
{
    if (is_int(v->type.base)) {
        *ret_negative = v->as.i < 0;
        *ret_size = v->as.i < 0 ? 0 - (uint64_t)v->as.i : (uint64_t)v->as.i;
        return true;
    }
    if (is_uint(v->type.base)) {
        *ret_negative = false;
        *ret_size = v->as.u;
        return true;
    }
    double f = v->as.f < 0 ? -v->as.f : v->as.f;
    if (!(f < 18446744073709551616.0) || (double)(uint64_t)f != f)
        return false;
    *ret_negative = v->as.f < 0;
    *ret_size = (uint64_t)f;
    return true;
}

static ww_err integer(
    struct ww_type to, const struct ww_dyn_value *v, uint64_t *ret_bits, struct ww_diag *diag)
{
    static const uint8_t bits[] = {0, 0, 8, 16, 32, 64, 8, 16, 32, 64};
    bool negative;
    uint64_t size, limit;
    unsigned n = bits[to.base];
    if (!whole(v, &negative, &size))
        return ww_diag_set(diag, WW_EINVAL, "found a fraction, expected a whole number");
    if (is_uint(to.base))
        limit = negative ? 0 : UINT64_MAX >> (64 - n);
    else
        limit = (UINT64_C(1) << (n - 1)) - !negative;
    if (size > limit)
        return out_of_range(to, diag);
    *ret_bits = (negative ? 0 - size : size) & UINT64_MAX >> (64 - n);
    return 0;
}

static ww_err floating(struct ww_type to, const struct ww_dyn_value *v, uint64_t *ret_bits)
{
    double f = is_int(v->type.base) ? (double)v->as.i : is_uint(v->type.base) ? (double)v->as.u : v->as.f;
    *ret_bits = to.base == WW_TYPE_FLOAT64 ? ww_f64_bits(f) : ww_f32_bits((float)f);
    return 0;
}

static ww_err enumerant(struct ww_type to, struct ww_bytes name, uint64_t *ret_bits, struct ww_diag *diag)
{
    uint16_t number;
    char text[128]; /* names come without their zero, and no enumerant is longer than a line */
    size_t len = name.len < sizeof text ? name.len : sizeof text - 1;
    if (len)
        memcpy(text, name.ptr, len);
    text[len] = 0;
    if (to.node->kind == WW_SCHEMA_MISSING)
        return ww_diag_set(diag, WW_ENOTFOUND, "the schema of the enum is not loaded");
    if (len == name.len && strlen(text) == len && ww_schema_enumerant(to.node, text, &number)) {
        *ret_bits = number;
        return 0;
    }
    const char *like = ww_dyn_similar(text, to.node->count, ww_dyn_enumerant_name, to.node);
    return ww_diag_set(diag, WW_EINVAL,
        like ? "no enumerant `%.60s` in %.80s; did you mean `%.60s`?" : "no enumerant `%.60s` in %.80s", text,
        to.node->display_name, like);
}

ww_err ww_dyn_scalar(
    struct ww_type to, const struct ww_dyn_value *v, uint64_t *ret_bits, struct ww_diag *diag)
{
    struct ww_type from = v->type;
    bool number = !from.lists &&
        (is_int(from.base) || is_uint(from.base) || from.base == WW_TYPE_FLOAT32 ||
            from.base == WW_TYPE_FLOAT64);
    *ret_bits = 0;
    if (to.base == WW_TYPE_VOID && !from.lists && from.base == WW_TYPE_VOID)
        return 0;
    if (to.base == WW_TYPE_BOOL && !from.lists && from.base == WW_TYPE_BOOL) {
        *ret_bits = v->as.b;
        return 0;
    }
    if (number && (is_int(to.base) || is_uint(to.base)))
        return integer(to, v, ret_bits, diag);
    if (number && (to.base == WW_TYPE_FLOAT32 || to.base == WW_TYPE_FLOAT64))
        return floating(to, v, ret_bits);
    if (to.base == WW_TYPE_ENUM && !from.lists && from.base == WW_TYPE_TEXT)
        return enumerant(to, v->as.bytes, ret_bits, diag);
    if (to.base == WW_TYPE_ENUM && !from.lists && from.base == WW_TYPE_ENUM && from.node == to.node) {
        *ret_bits = v->as.e;
        return 0;
    }
    return mismatch(to, from, diag);
}

/* ---- pointers */

static bool is_cap(struct ww_type t)
{
    return !t.lists && (t.base == WW_TYPE_INTERFACE || (t.base == WW_TYPE_ANY && t.any == WW_ANY_CAP));
}

/* Whether a value of type `from` may be set where `to` is declared. */
static bool pointer_fits(struct ww_type to, struct ww_type from)
{
    if (!ww_type_is_pointer(from))
        return false;
    if (is_cap(to) || is_cap(from))
        return is_cap(from) &&
            (is_cap(to) || (!to.lists && to.base == WW_TYPE_ANY && to.any == WW_ANY_POINTER));
    if (!to.lists && to.base == WW_TYPE_ANY) {
        bool is_struct = !from.lists && from.base == WW_TYPE_STRUCT;
        bool is_any = !from.lists && from.base == WW_TYPE_ANY;
        return to.any == WW_ANY_POINTER || is_any || is_struct == (to.any == WW_ANY_STRUCT);
    }
    if (to.lists != from.lists || to.base != from.base)
        return false;
    return to.node == from.node;
}

static ww_err set_pointer(
    struct ww_pb p, struct ww_type to, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    if (!pointer_fits(to, v->type))
        return mismatch(to, v->type, diag);
    if (is_cap(v->type))
        ww_pb_set_cap(p, v->as.cap);
    else if (v->type.lists)
        ww_pb_set_list(p, v->as.l);
    else if (v->type.base == WW_TYPE_TEXT)
        ww_pb_set_text(p, v->as.bytes);
    else if (v->type.base == WW_TYPE_DATA)
        ww_pb_set_data(p, v->as.bytes);
    else if (v->type.base == WW_TYPE_STRUCT)
        ww_pb_set_struct(p, v->as.s);
    else
        ww_pb_set(p, v->as.p);
    return p.seg && p.seg->msg ? ww_msg_err(p.seg->msg) : 0;
}

static ww_err built(const struct ww_seg *seg)
{
    return seg && seg->msg ? ww_msg_err(seg->msg) : 0;
}

/* ---- structs */

ww_err ww_dyn_init_root(struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret)
{
    WW_TRY(ww_dyn_check(type));
    ret->type = type;
    ret->b = ww_pb_init_struct(p, type.node->data_words, type.node->ptrs);
    return built(p.seg);
}

ww_err ww_dyn_edit_root(struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret)
{
    WW_TRY(ww_dyn_check(type));
    ret->type = type;
    ret->b = ww_pb_struct(p, type.node->data_words, type.node->ptrs);
    return built(p.seg);
}

static void store_bits(struct ww_sb s, unsigned base, uint32_t offset, uint64_t bits)
{
    switch (base) {
    case WW_TYPE_BOOL:
        ww_sb_set_bool(s, offset, bits & 1);
        break;
    case WW_TYPE_INT8:
    case WW_TYPE_UINT8:
        ww_sb_set_u8(s, offset, (uint8_t)bits);
        break;
    case WW_TYPE_INT16:
    case WW_TYPE_UINT16:
    case WW_TYPE_ENUM:
        ww_sb_set_u16(s, offset, (uint16_t)bits);
        break;
    case WW_TYPE_INT32:
    case WW_TYPE_UINT32:
    case WW_TYPE_FLOAT32:
        ww_sb_set_u32(s, offset, (uint32_t)bits);
        break;
    case WW_TYPE_INT64:
    case WW_TYPE_UINT64:
    case WW_TYPE_FLOAT64:
        ww_sb_set_u64(s, offset, bits);
        break;
    default:
        break;
    }
}

/* The checks that all writers of a field share; *ret_type is the field's. */
static ww_err enter(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_type *ret_type)
{
    if (f->owner != s.type.node)
        return WW_EINVAL;
    WW_TRY(ww_schema_field_type(s.type, f, ret_type));
    if (f->is_group) {
        WW_TRY(ww_dyn_check(*ret_type));
        return ww_schema_group_fits(s.type.node, ret_type->node) ? 0 : WW_EMALFORMED;
    }
    return 0;
}

ww_err ww_dyn_set(
    struct ww_dyn_sb s, const struct ww_schema_field *f, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    struct ww_type type;
    uint64_t bits;
    ww_err err = enter(s, f, &type);
    if (err < 0)
        return ww_diag_set(diag, err, "field `%s`: %s", f->name, ww_err_text(err));
    if (f->is_group)
        return ww_diag_set(diag, WW_EINVAL, "`%s` is a group: set its fields", f->name);
    if (ww_type_is_pointer(type)) {
        WW_TRY(set_pointer(ww_sb_ptr(s.b, f->offset), type, v, diag));
    } else {
        WW_TRY(ww_dyn_scalar(type, v, &bits, diag));
        store_bits(s.b, type.base, f->offset, bits ^ f->deflt.bits);
    }
    ww_dyn_select(s, f);
    return 0;
}

ww_err ww_dyn_set_name(
    struct ww_dyn_sb s, const char *name, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    const struct ww_schema_field *f = ww_schema_field(s.type.node, name);
    return f ? ww_dyn_set(s, f, v, diag) : ww_dyn_no_field(s.type.node, name, diag);
}

static ww_err clear(struct ww_dyn_sb s, const struct ww_schema_field *f, unsigned depth)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    ww_dyn_select(s, f);
    if (!f->is_group && ww_type_is_pointer(type)) {
        ww_pb_clear(ww_sb_ptr(s.b, f->offset));
    } else if (!f->is_group) {
        store_bits(s.b, type.base, f->offset, 0);
    } else {
        struct ww_dyn_sb group = {type, s.b};
        const struct ww_schema_field *first = ww_schema_member(type.node, 0);
        if (depth == 0)
            return WW_EDEPTH;
        if (first)
            WW_TRY(clear(group, first, depth - 1));
        for (uint32_t i = 0; i < type.node->count; i++) {
            if (type.node->fields[i].tag == WW_SCHEMA_NO_TAG)
                WW_TRY(clear(group, &type.node->fields[i], depth - 1));
        }
    }
    return 0;
}

ww_err ww_dyn_clear(struct ww_dyn_sb s, const struct ww_schema_field *f)
{
    return clear(s, f, GROUP_DEPTH_MAX);
}

ww_err ww_dyn_init(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    WW_TRY(ww_dyn_check(type));
    if (f->is_group) {
        WW_TRY(clear(s, f, GROUP_DEPTH_MAX));
        *ret = (struct ww_dyn_sb){type, s.b};
        return 0;
    }
    ww_dyn_select(s, f);
    return ww_dyn_init_root(ww_sb_ptr(s.b, f->offset), type, ret);
}

static bool inactive(struct ww_dyn_sb s, const struct ww_schema_field *f)
{
    return f->tag != WW_SCHEMA_NO_TAG && ww_sb_u16(s.b, s.type.node->tag_offset) != f->tag;
}

/* The pointer of a field, led to a copy of the default when it was null. */
static struct ww_pb with_default(struct ww_dyn_sb s, const struct ww_schema_field *f)
{
    struct ww_pb p = ww_sb_ptr(s.b, f->offset);
    if (ww_pb_is_null(p) && !ww_pr_is_null(f->deflt.at))
        ww_pb_set(p, f->deflt.at);
    return p;
}

ww_err ww_dyn_edit(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    WW_TRY(ww_dyn_check(type));
    if (inactive(s, f))
        return WW_ESTATE;
    if (!f->is_group)
        return ww_dyn_edit_root(with_default(s, f), type, ret);
    ret->type = type;
    ret->b = s.b;
    return built(s.b.seg);
}

/* ---- lists */

static ww_err init_list(struct ww_pb p, struct ww_type type, uint32_t count, struct ww_dyn_lb *ret)
{
    if (type.lists == 0)
        return WW_EINVAL;
    struct ww_type elem = ww_type_elem(type);
    enum ww_elem size = ww_dyn_elem(elem);
    ret->type = type;
    if (size == WW_ELEM_STRUCT) {
        WW_TRY(ww_dyn_check(elem));
        ret->b = ww_pb_init_structs(p, elem.node->data_words, elem.node->ptrs, count);
    } else {
        ret->b = ww_pb_init_list(p, size, count);
    }
    return built(p.seg);
}

ww_err ww_dyn_init_list(
    struct ww_dyn_sb s, const struct ww_schema_field *f, uint32_t count, struct ww_dyn_lb *ret)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    if (f->is_group || type.lists == 0)
        return WW_EINVAL;
    ww_dyn_select(s, f);
    return init_list(ww_sb_ptr(s.b, f->offset), type, count, ret);
}

ww_err ww_dyn_edit_list(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_lb *ret)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    if (f->is_group || type.lists == 0)
        return WW_EINVAL;
    if (inactive(s, f))
        return WW_ESTATE;
    struct ww_type elem = ww_type_elem(type);
    enum ww_elem size = ww_dyn_elem(elem);
    struct ww_pb p = with_default(s, f);
    if (size == WW_ELEM_STRUCT)
        WW_TRY(ww_dyn_check(elem));
    ret->type = type;
    ret->b = size == WW_ELEM_STRUCT ? ww_pb_structs(p, elem.node->data_words, elem.node->ptrs)
                                    : ww_pb_list(p, size);
    return built(p.seg);
}

ww_err ww_dyn_pointer(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_pb *ret)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type));
    if (f->is_group || !ww_type_is_pointer(type))
        return WW_EINVAL;
    ww_dyn_select(s, f);
    *ret = ww_sb_ptr(s.b, f->offset);
    return 0;
}

ww_err ww_dyn_put(struct ww_dyn_lb l, uint32_t i, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    uint64_t bits;
    if (i >= l.b.count || l.type.lists == 0)
        return ww_diag_set(diag, WW_EINVAL, "the list has no element %lu", (unsigned long)i);
    struct ww_type elem = ww_type_elem(l.type);
    enum ww_elem size = ww_dyn_elem(elem);
    if (size == WW_ELEM_STRUCT)
        return ww_diag_set(diag, WW_EINVAL, "elements that are structs are set field by field");
    if (size == WW_ELEM_PTR)
        return set_pointer(ww_lb_ptr(l.b, i), elem, v, diag);
    WW_TRY(ww_dyn_scalar(elem, v, &bits, diag));
    if (size == WW_ELEM_BIT)
        ww_lb_set_bool(l.b, i, bits & 1);
    else if (size == WW_ELEM_BYTE)
        ww_lb_set_u8(l.b, i, (uint8_t)bits);
    else if (size == WW_ELEM_TWO)
        ww_lb_set_u16(l.b, i, (uint16_t)bits);
    else if (size == WW_ELEM_FOUR)
        ww_lb_set_u32(l.b, i, (uint32_t)bits);
    else if (size == WW_ELEM_EIGHT)
        ww_lb_set_u64(l.b, i, bits);
    return 0;
}

ww_err ww_dyn_put_struct(struct ww_dyn_lb l, uint32_t i, struct ww_dyn_sb *ret)
{
    if (i >= l.b.count || l.type.lists == 0)
        return WW_EINVAL;
    struct ww_type elem = ww_type_elem(l.type);
    WW_TRY(ww_dyn_check(elem));
    *ret = (struct ww_dyn_sb){elem, ww_lb_struct(l.b, i)};
    return 0;
}

ww_err ww_dyn_put_list(struct ww_dyn_lb l, uint32_t i, uint32_t count, struct ww_dyn_lb *ret)
{
    if (i >= l.b.count || l.type.lists < 2)
        return WW_EINVAL;
    return init_list(ww_lb_ptr(l.b, i), ww_type_elem(l.type), count, ret);
}
