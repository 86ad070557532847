/* capnp/dyn_build.c — building by schema. */
#include "capnp/dyn.h"

#define GROUP_DEPTH_MAX 32 /* groups in groups */

ww_err ww_dyn_built(const struct ww_seg *seg, struct ww_diag *diag)
{
    ww_err err = seg && seg->msg ? ww_msg_err(seg->msg) : 0;
    return err < 0 ? ww_diag_set(diag, err, "%s", ww_err_text(err)) : 0;
}

/* ---- structs */

ww_err ww_dyn_init_root(struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret, struct ww_diag *diag)
{
    WW_TRY(ww_dyn_check(type, diag));
    ret->type = type;
    ret->b = ww_pb_init_struct(p, type.node->data_words, type.node->ptrs);
    return ww_dyn_built(p.seg, diag);
}

ww_err ww_dyn_edit_root(struct ww_pb p, struct ww_type type, struct ww_dyn_sb *ret, struct ww_diag *diag)
{
    WW_TRY(ww_dyn_check(type, diag));
    ret->type = type;
    ret->b = ww_pb_struct(p, type.node->data_words, type.node->ptrs);
    return ww_dyn_built(p.seg, diag);
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
static ww_err enter(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_type *ret_type, struct ww_diag *diag)
{
    if (f->owner != s.type.node)
        return ww_dyn_strange_field(f, s.type, diag);
    ww_err err = ww_schema_field_type(s.type, f, ret_type);
    if (err == 0 && f->is_group)
        err = ww_dyn_check(*ret_type, NULL);
    if (err == 0 && f->is_group && !ww_schema_group_fits(s.type.node, ret_type->node))
        err = WW_EMALFORMED;
    return err < 0 ? ww_dyn_field_error(f, err, diag) : 0;
}

/* As `enter`, for a field that must be a struct or group. */
static ww_err enter_struct(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_type *ret_type, struct ww_diag *diag)
{
    WW_TRY(enter(s, f, ret_type, diag));
    ww_err err = ww_dyn_check(*ret_type, NULL);
    if (err == WW_EINVAL)
        return ww_dyn_not_a(f, *ret_type, "a struct", diag);
    return err < 0 ? ww_dyn_field_error(f, err, diag) : 0;
}

/* For a field that must be a list. */
static ww_err enter_list(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_type *ret_type, struct ww_diag *diag)
{
    WW_TRY(enter(s, f, ret_type, diag));
    if (ret_type->lists == 0)
        return ww_dyn_not_a(f, *ret_type, "a list", diag);
    ww_err err = ret_type->lists == 1 && ret_type->base == WW_TYPE_STRUCT
        ? ww_dyn_check(ww_type_elem(*ret_type), NULL)
        : 0;
    return err < 0 ? ww_dyn_field_error(f, err, diag) : 0;
}

ww_err ww_dyn_set(
    struct ww_dyn_sb s, const struct ww_schema_field *f, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    struct ww_type type;
    uint64_t bits;
    WW_TRY(enter(s, f, &type, diag));
    if (f->is_group)
        return ww_diag_set(diag, WW_EINVAL, "`%s` is a group: set its fields", f->name);
    if (ww_type_is_pointer(type)) {
        WW_TRY(ww_dyn_set_pointer(ww_sb_ptr(s.b, f->offset), type, v, diag));
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

static ww_err clear(struct ww_dyn_sb s, const struct ww_schema_field *f, unsigned depth, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type, diag));
    ww_dyn_select(s, f);
    if (!f->is_group && ww_type_is_pointer(type)) {
        ww_pb_clear(ww_sb_ptr(s.b, f->offset));
    } else if (!f->is_group) {
        store_bits(s.b, type.base, f->offset, 0);
    } else {
        struct ww_dyn_sb group = {type, s.b};
        const struct ww_schema_field *first = ww_schema_member(type.node, 0);
        if (depth == 0)
            return ww_dyn_field_error(f, WW_EDEPTH, diag);
        if (first)
            WW_TRY(clear(group, first, depth - 1, diag));
        for (uint32_t i = 0; i < type.node->count; i++) {
            if (type.node->fields[i].tag == WW_SCHEMA_NO_TAG)
                WW_TRY(clear(group, &type.node->fields[i], depth - 1, diag));
        }
    }
    return 0;
}

ww_err ww_dyn_clear(struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_diag *diag)
{
    return clear(s, f, GROUP_DEPTH_MAX, diag);
}

ww_err ww_dyn_init(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter_struct(s, f, &type, diag));
    if (f->is_group) {
        WW_TRY(clear(s, f, GROUP_DEPTH_MAX, diag));
        *ret = (struct ww_dyn_sb){type, s.b};
        return 0;
    }
    ww_dyn_select(s, f);
    return ww_dyn_init_root(ww_sb_ptr(s.b, f->offset), type, ret, diag);
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

ww_err ww_dyn_edit(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_sb *ret, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter_struct(s, f, &type, diag));
    if (inactive(s, f))
        return ww_dyn_field_error(f, WW_ESTATE, diag);
    if (!f->is_group)
        return ww_dyn_edit_root(with_default(s, f), type, ret, diag);
    ret->type = type;
    ret->b = s.b;
    return ww_dyn_built(s.b.seg, diag);
}

/* ---- lists */

static ww_err init_list(
    struct ww_pb p, struct ww_type type, uint32_t count, struct ww_dyn_lb *ret, struct ww_diag *diag)
{
    struct ww_type elem = ww_type_elem(type);
    enum ww_elem size = ww_dyn_elem(elem);
    ret->type = type;
    if (size == WW_ELEM_STRUCT) {
        WW_TRY(ww_dyn_check(elem, diag));
        ret->b = ww_pb_init_structs(p, elem.node->data_words, elem.node->ptrs, count);
    } else {
        ret->b = ww_pb_init_list(p, size, count);
    }
    return ww_dyn_built(p.seg, diag);
}

ww_err ww_dyn_init_list(struct ww_dyn_sb s, const struct ww_schema_field *f, uint32_t count,
    struct ww_dyn_lb *ret, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter_list(s, f, &type, diag));
    ww_dyn_select(s, f);
    return init_list(ww_sb_ptr(s.b, f->offset), type, count, ret, diag);
}

ww_err ww_dyn_edit_list(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_dyn_lb *ret, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter_list(s, f, &type, diag));
    if (inactive(s, f))
        return ww_dyn_field_error(f, WW_ESTATE, diag);
    struct ww_type elem = ww_type_elem(type);
    enum ww_elem size = ww_dyn_elem(elem);
    struct ww_pb p = with_default(s, f);
    ret->type = type;
    ret->b = size == WW_ELEM_STRUCT ? ww_pb_structs(p, elem.node->data_words, elem.node->ptrs)
                                    : ww_pb_list(p, size);
    return ww_dyn_built(p.seg, diag);
}

ww_err ww_dyn_pointer(
    struct ww_dyn_sb s, const struct ww_schema_field *f, struct ww_pb *ret, struct ww_diag *diag)
{
    struct ww_type type;
    WW_TRY(enter(s, f, &type, diag));
    if (f->is_group || !ww_type_is_pointer(type))
        return ww_dyn_not_a(f, type, "a pointer", diag);
    ww_dyn_select(s, f);
    *ret = ww_sb_ptr(s.b, f->offset);
    return 0;
}

ww_err ww_dyn_put(struct ww_dyn_lb l, uint32_t i, const struct ww_dyn_value *v, struct ww_diag *diag)
{
    uint64_t bits;
    if (i >= l.b.count || l.type.lists == 0)
        return ww_dyn_no_element(i, diag);
    struct ww_type elem = ww_type_elem(l.type);
    enum ww_elem size = ww_dyn_elem(elem);
    if (size == WW_ELEM_STRUCT)
        return ww_diag_set(diag, WW_EINVAL, "elements that are structs are set field by field");
    if (size == WW_ELEM_PTR)
        return ww_dyn_set_pointer(ww_lb_ptr(l.b, i), elem, v, diag);
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

ww_err ww_dyn_put_struct(struct ww_dyn_lb l, uint32_t i, struct ww_dyn_sb *ret, struct ww_diag *diag)
{
    if (i >= l.b.count || l.type.lists == 0)
        return ww_dyn_no_element(i, diag);
    struct ww_type elem = ww_type_elem(l.type);
    WW_TRY(ww_dyn_check(elem, diag));
    *ret = (struct ww_dyn_sb){elem, ww_lb_struct(l.b, i)};
    return 0;
}

ww_err ww_dyn_put_list(
    struct ww_dyn_lb l, uint32_t i, uint32_t count, struct ww_dyn_lb *ret, struct ww_diag *diag)
{
    char name[96];
    if (i >= l.b.count || l.type.lists == 0)
        return ww_dyn_no_element(i, diag);
    if (l.type.lists == 1)
        return ww_diag_set(
            diag, WW_EINVAL, "found %s, expected a list of lists", ww_type_name(l.type, name, sizeof name));
    return init_list(ww_lb_ptr(l.b, i), ww_type_elem(l.type), count, ret, diag);
}
