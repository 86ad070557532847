/* capnp/dyn_read.c — reading by schema. */
#include "capnp/dyn.h"

/* ---- errors */

ww_err ww_dyn_check(struct ww_type type, struct ww_diag *diag)
{
    char name[96];
    bool is_struct = !type.lists && type.base == WW_TYPE_STRUCT && type.node;
    if (is_struct && type.node->kind == WW_SCHEMA_MISSING)
        return ww_diag_set(diag, WW_ENOTFOUND, "the schema of struct @0x%08lx%08lx is not loaded",
            (unsigned long)(type.node->id >> 32), (unsigned long)(type.node->id & 0xffffffff));
    return is_struct && type.node->kind == WW_SCHEMA_STRUCT
        ? 0
        : ww_diag_set(diag, WW_EINVAL, "%s is no struct", ww_type_name(type, name, sizeof name));
}

ww_err ww_dyn_field_error(const struct ww_schema_field *f, ww_err err, struct ww_diag *diag)
{
    const char *owner = f->owner->display_name;
    if (err == WW_ESTATE)
        return ww_diag_set(
            diag, err, "field `%s` of %s is not the active member of its union", f->name, owner);
    return ww_diag_set(diag, err, "field `%s` of %s: %s", f->name, owner,
        err == WW_ENOTFOUND ? "its schema is not loaded" : ww_err_text(err));
}

ww_err ww_dyn_strange_field(const struct ww_schema_field *f, struct ww_type type, struct ww_diag *diag)
{
    char name[96];
    return ww_diag_set(diag, WW_EINVAL, "field `%s` of %s is none of %s", f->name, f->owner->display_name,
        ww_type_name(type, name, sizeof name));
}

ww_err ww_dyn_not_a(
    const struct ww_schema_field *f, struct ww_type type, const char *what, struct ww_diag *diag)
{
    char name[96];
    return ww_diag_set(diag, WW_EINVAL, "field `%s` of %s: found %s, expected %s", f->name,
        f->owner->display_name, ww_type_name(type, name, sizeof name), what);
}

ww_err ww_dyn_no_element(uint32_t i, struct ww_diag *diag)
{
    return ww_diag_set(diag, WW_EINVAL, "the list has no element %lu", (unsigned long)i);
}

/* ---- reading */

enum ww_elem ww_dyn_elem(struct ww_type elem)
{
    static const uint8_t sizes[] = {WW_ELEM_VOID, WW_ELEM_BIT, WW_ELEM_BYTE, WW_ELEM_TWO, WW_ELEM_FOUR,
        WW_ELEM_EIGHT, WW_ELEM_BYTE, WW_ELEM_TWO, WW_ELEM_FOUR, WW_ELEM_EIGHT, WW_ELEM_FOUR, WW_ELEM_EIGHT};
    if (elem.lists == 0 && elem.base <= WW_TYPE_FLOAT64)
        return (enum ww_elem)sizes[elem.base];
    if (elem.lists == 0 && elem.base == WW_TYPE_ENUM)
        return WW_ELEM_TWO;
    return elem.lists == 0 && elem.base == WW_TYPE_STRUCT ? WW_ELEM_STRUCT : WW_ELEM_PTR;
}

ww_err ww_dyn_root(struct ww_pr p, struct ww_type type, struct ww_dyn_struct *ret, struct ww_diag *diag)
{
    WW_TRY(ww_dyn_check(type, diag));
    ret->type = type;
    ret->r = ww_pr_struct(p);
    return 0;
}

static uint64_t load_bits(struct ww_sr s, unsigned base, uint32_t offset)
{
    switch (base) {
    case WW_TYPE_BOOL:
        return ww_sr_bool(s, offset);
    case WW_TYPE_INT8:
    case WW_TYPE_UINT8:
        return ww_sr_u8(s, offset);
    case WW_TYPE_INT16:
    case WW_TYPE_UINT16:
    case WW_TYPE_ENUM:
        return ww_sr_u16(s, offset);
    case WW_TYPE_INT32:
    case WW_TYPE_UINT32:
    case WW_TYPE_FLOAT32:
        return ww_sr_u32(s, offset);
    case WW_TYPE_INT64:
    case WW_TYPE_UINT64:
    case WW_TYPE_FLOAT64:
        return ww_sr_u64(s, offset);
    default:
        return 0;
    }
}

static void scalar(struct ww_dyn_value *v, uint64_t bits)
{
    switch (v->type.base) {
    case WW_TYPE_BOOL:
        v->as.b = bits & 1;
        break;
    case WW_TYPE_INT8:
        v->as.i = (int8_t)bits;
        break;
    case WW_TYPE_INT16:
        v->as.i = (int16_t)bits;
        break;
    case WW_TYPE_INT32:
        v->as.i = (int32_t)bits;
        break;
    case WW_TYPE_INT64:
        v->as.i = (int64_t)bits;
        break;
    case WW_TYPE_FLOAT32:
        v->as.f = (double)ww_f32_of((uint32_t)bits);
        break;
    case WW_TYPE_FLOAT64:
        v->as.f = ww_f64_of(bits);
        break;
    case WW_TYPE_ENUM:
        v->as.e = (uint16_t)bits;
        break;
    default:
        v->as.u = bits;
    }
}

static void pointer(struct ww_dyn_value *v, struct ww_pr p)
{
    if (v->type.lists) {
        v->as.l = ww_pr_list(p, ww_dyn_elem(ww_type_elem(v->type)));
        return;
    }
    switch (v->type.base) {
    case WW_TYPE_TEXT:
        v->as.bytes = ww_pr_text(p);
        break;
    case WW_TYPE_DATA:
        v->as.bytes = ww_pr_data(p);
        break;
    case WW_TYPE_STRUCT:
        v->as.s = ww_pr_struct(p);
        break;
    case WW_TYPE_INTERFACE:
        v->as.cap = ww_pr_cap(p);
        break;
    default:
        if (v->type.any == WW_ANY_CAP)
            v->as.cap = ww_pr_cap(p);
        else
            v->as.p = p;
    }
}

/* The type of a field, checked as far as reading needs it. */
static ww_err readable(struct ww_dyn_struct s, const struct ww_schema_field *f, struct ww_type *ret_type)
{
    if (f->tag != WW_SCHEMA_NO_TAG && ww_sr_u16(s.r, s.type.node->tag_offset) != f->tag)
        return WW_ESTATE;
    WW_TRY(ww_schema_field_type(s.type, f, ret_type));
    if (ww_type_kind(*ret_type) == WW_TYPE_STRUCT)
        WW_TRY(ww_dyn_check(*ret_type, NULL));
    return f->is_group && !ww_schema_group_fits(s.type.node, ret_type->node) ? WW_EMALFORMED : 0;
}

ww_err ww_dyn_get(
    struct ww_dyn_struct s, const struct ww_schema_field *f, struct ww_dyn_value *ret, struct ww_diag *diag)
{
    struct ww_dyn_value v;
    if (f->owner != s.type.node)
        return ww_dyn_strange_field(f, s.type, diag);
    memset(&v, 0, sizeof v);
    ww_err err = readable(s, f, &v.type);
    if (err < 0)
        return ww_dyn_field_error(f, err, diag);
    if (f->is_group) {
        v.as.s = s.r;
    } else if (ww_type_is_pointer(v.type)) {
        struct ww_pr p = ww_sr_ptr(s.r, f->offset);
        pointer(&v, ww_pr_is_null(p) ? f->deflt.at : p);
    } else {
        scalar(&v, load_bits(s.r, v.type.base, f->offset) ^ f->deflt.bits);
    }
    *ret = v;
    return 0;
}

ww_err ww_dyn_get_name(
    struct ww_dyn_struct s, const char *name, struct ww_dyn_value *ret, struct ww_diag *diag)
{
    const struct ww_schema_field *f = ww_schema_field(s.type.node, name);
    return f ? ww_dyn_get(s, f, ret, diag) : ww_dyn_no_field(s.type.node, name, diag);
}

bool ww_dyn_has(struct ww_dyn_struct s, const struct ww_schema_field *f)
{
    if (f->owner != s.type.node)
        return false;
    if (f->tag != WW_SCHEMA_NO_TAG && ww_sr_u16(s.r, s.type.node->tag_offset) != f->tag)
        return false;
    return f->is_group || !ww_type_is_pointer(f->type) || ww_sr_has(s.r, f->offset);
}

const struct ww_schema_field *ww_dyn_which(struct ww_dyn_struct s)
{
    const struct ww_schema *n = s.type.node;
    return n->tag_count ? ww_schema_member(n, ww_sr_u16(s.r, n->tag_offset)) : NULL;
}

ww_err ww_dyn_at(struct ww_dyn_list l, uint32_t i, struct ww_dyn_value *ret, struct ww_diag *diag)
{
    struct ww_dyn_value v;
    if (i >= l.r.count || l.type.lists == 0)
        return ww_dyn_no_element(i, diag);
    memset(&v, 0, sizeof v);
    v.type = ww_type_elem(l.type);
    switch (ww_dyn_elem(v.type)) {
    case WW_ELEM_VOID:
        break;
    case WW_ELEM_BIT:
        v.as.b = ww_lr_bool(l.r, i);
        break;
    case WW_ELEM_BYTE:
        scalar(&v, ww_lr_u8(l.r, i));
        break;
    case WW_ELEM_TWO:
        scalar(&v, ww_lr_u16(l.r, i));
        break;
    case WW_ELEM_FOUR:
        scalar(&v, ww_lr_u32(l.r, i));
        break;
    case WW_ELEM_EIGHT:
        scalar(&v, ww_lr_u64(l.r, i));
        break;
    case WW_ELEM_PTR:
        pointer(&v, ww_lr_ptr(l.r, i));
        break;
    case WW_ELEM_STRUCT:
        WW_TRY(ww_dyn_check(v.type, diag));
        v.as.s = ww_lr_struct(l.r, i);
        break;
    }
    *ret = v;
    return 0;
}

ww_err ww_dyn_as_struct(const struct ww_dyn_value *v, struct ww_dyn_struct *ret, struct ww_diag *diag)
{
    WW_TRY(ww_dyn_check(v->type, diag));
    *ret = (struct ww_dyn_struct){v->type, v->as.s};
    return 0;
}

ww_err ww_dyn_as_list(const struct ww_dyn_value *v, struct ww_dyn_list *ret, struct ww_diag *diag)
{
    char name[96];
    if (v->type.lists == 0)
        return ww_diag_set(diag, WW_EINVAL, "%s is no list", ww_type_name(v->type, name, sizeof name));
    *ret = (struct ww_dyn_list){v->type, v->as.l};
    return 0;
}

/* ---- names that are nearly right */

const char *ww_dyn_field_name(const struct ww_schema *s, uint32_t i)
{
    return s->fields[i].name;
}

const char *ww_dyn_enumerant_name(const struct ww_schema *s, uint32_t i)
{
    return s->enumerants[i].name;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* At most one letter apart, or two swapped; capitals do not count. */
static bool similar(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b), head = 0, tail = 0;
    size_t shorter = la < lb ? la : lb, longer = la < lb ? lb : la;
    while (head < shorter && lower(a[head]) == lower(b[head]))
        head++;
    while (tail < shorter - head && lower(a[la - 1 - tail]) == lower(b[lb - 1 - tail]))
        tail++;
    size_t rest = longer - head - tail;
    return rest <= 1 ||
        (la == lb && rest == 2 && lower(a[head]) == lower(b[head + 1]) &&
            lower(a[head + 1]) == lower(b[head]));
}

const char *ww_dyn_similar(const char *name, uint32_t count,
    const char *(*get)(const struct ww_schema *s, uint32_t i), const struct ww_schema *s)
{
    for (uint32_t i = 0; i < count; i++) {
        if (similar(name, get(s, i)))
            return get(s, i);
    }
    return NULL;
}

ww_err ww_dyn_no_field(const struct ww_schema *s, const char *name, struct ww_diag *diag)
{
    if (s->kind == WW_SCHEMA_MISSING)
        return ww_diag_set(
            diag, WW_ENOTFOUND, "no field `%.60s`: the schema of its struct is not loaded", name);
    const char *like = ww_dyn_similar(name, s->count, ww_dyn_field_name, s);
    return ww_diag_set(diag, WW_ENOTFOUND,
        like ? "no field `%.60s` in %.80s; did you mean `%.60s`?" : "no field `%.60s` in %.80s", name,
        s->display_name, like);
}
