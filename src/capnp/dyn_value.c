/* capnp/dyn_value.c — values, and what of them suits which type. */
#include "capnp/dyn.h"

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

ww_err ww_dyn_set_pointer(
    struct ww_pb p, struct ww_type to, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    if (!pointer_fits(to, v->type))
        return mismatch(to, v->type, diag);
    if (is_cap(v->type))
        ww_pb_set_cap(p, v->as.cap);
    else if (v->type.lists == 1 && v->type.base == WW_TYPE_STRUCT)
        ww_pb_set_structs(p, v->as.l);
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
    return ww_dyn_built(p.seg, diag);
}
