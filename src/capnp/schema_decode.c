/* capnp/schema_decode.c — one Node struct into the structs of ww/schema.h, with all checks that one node
 * allows. */
#include "capnp/schema_int.h"
#include "capnp/schema_layout.h"

#define STREAM_RESULT UINT64_C(0x995f9a3377c0b16e) /* /capnp/stream.capnp:StreamResult */

bool ww_schema_is_name(struct ww_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

static ww_err read_name(struct ww_schema_load *load, struct ww_bytes name, const char **ret)
{
    if (!ww_schema_is_name(name))
        return ww_schema_fault(load, "has a member whose name is no identifier", NULL);
    *ret = ww_cstr(name);
    return 0;
}

/* ---- order by name. The arrays hold structs that begin with their name. */

struct names {
    const uint8_t *at;
    size_t size;
    uint16_t *order;
};

static const char *name_of(const struct names *n, uint16_t i)
{
    const char *name;
    memcpy(&name, n->at + (size_t)i * n->size, sizeof name);
    return name;
}

static void sift(struct names *n, uint32_t from, uint32_t count)
{
    for (uint32_t child; (child = 2 * from + 1) < count; from = child) {
        if (child + 1 < count && strcmp(name_of(n, n->order[child]), name_of(n, n->order[child + 1])) < 0)
            child++;
        if (strcmp(name_of(n, n->order[from]), name_of(n, n->order[child])) >= 0)
            return;
        uint16_t swap = n->order[from];
        n->order[from] = n->order[child];
        n->order[child] = swap;
    }
}

/* Heap sort: no memory and no bad case. */
static ww_err sort_names(struct ww_schema_load *load, struct ww_schema *s, const void *array, size_t size)
{
    ww_err err = 0;
    struct names n = {array, size, NULL};
    if (s->count == 0)
        return 0;
    n.order = ww_schema_alloc(load->set, s->count, sizeof *n.order, &err);
    if (!n.order)
        return err;
    for (uint32_t i = 0; i < s->count; i++)
        n.order[i] = (uint16_t)i;
    for (uint32_t i = s->count / 2; i-- > 0;)
        sift(&n, i, s->count);
    for (uint32_t last = s->count; last-- > 1;) {
        uint16_t swap = n.order[0];
        n.order[0] = n.order[last];
        n.order[last] = swap;
        sift(&n, 0, last);
    }
    for (uint32_t i = 1; i < s->count; i++) {
        if (strcmp(name_of(&n, n.order[i - 1]), name_of(&n, n.order[i])) == 0)
            return ww_schema_fault(load, "has two members of one name", name_of(&n, n.order[i]));
    }
    s->by_name = n.order;
    return 0;
}

/* Places in the source: each number once. */
static ww_err check_orders(struct ww_schema_load *load, struct ww_lr members)
{
    ww_err err = 0;
    if (members.count == 0)
        return 0;
    uint8_t *seen = ww_calloc(members.count, 1);
    if (!seen)
        return WW_ENOMEM;
    for (uint32_t i = 0; i < members.count && err == 0; i++) {
        uint16_t order = ww_layout_member_order(ww_lr_struct(members, i));
        if (order >= members.count || seen[order]++)
            err = ww_schema_fault(load, "has members with impossible places in the source", NULL);
    }
    ww_free(seen);
    return err;
}

/* ---- structs */

/* Bits of a scalar in the data section. */
static uint32_t type_bits(struct ww_type t)
{
    static const uint8_t bits[] = {0, 1, 8, 16, 32, 64, 8, 16, 32, 64, 32, 64};
    return t.base == WW_TYPE_ENUM ? 16 : bits[t.base];
}

static bool text_ends(struct ww_pr p)
{
    struct ww_bytes b = ww_pr_data(p);
    return b.len > 0 && b.ptr[b.len - 1] == 0;
}

ww_err ww_schema_value(
    struct ww_schema_load *load, struct ww_sr value, struct ww_type type, struct ww_schema_value *ret)
{
    enum ww_type_kind kind = ww_type_kind(type);
    struct ww_pr at = ww_layout_value_ptr(value);
    *ret = (struct ww_schema_value){0, at};
    /* No Value at all is what some writers leave of a zero. */
    if (value.data_bytes == 0 && value.ptrs == 0)
        return 0;
    if (ww_layout_value_kind(value) != (unsigned)kind)
        return ww_schema_fault(load, "has a value that is not of its type", NULL);
    ret->bits = ww_layout_value_bits((unsigned)kind, value);
    enum ww_ptr_kind ptr = ww_pr_kind(at);
    bool good = true;
    if (ptr != WW_PTR_NULL && kind == WW_TYPE_STRUCT)
        good = ptr == WW_PTR_STRUCT;
    else if (ptr != WW_PTR_NULL && (kind == WW_TYPE_LIST || kind == WW_TYPE_DATA))
        good = ptr == WW_PTR_LIST;
    else if (ptr != WW_PTR_NULL && kind == WW_TYPE_TEXT)
        good = ptr == WW_PTR_LIST && text_ends(at);
    return good ? 0 : ww_schema_fault(load, "has a value that is not of its type", NULL);
}

/* 64-bit arithmetic: (offset + 1) * bits does not fit into 32. */
static bool slot_fits(const struct ww_schema *s, struct ww_type type, uint32_t offset)
{
    if (ww_type_is_pointer(type))
        return offset < s->ptrs;
    return type.base == WW_TYPE_VOID ||
        ((uint64_t)offset + 1) * type_bits(type) <= (uint64_t)s->data_words * 64;
}

static ww_err read_field(
    struct ww_schema_load *load, const struct ww_schema *s, struct ww_sr raw, struct ww_schema_field *f)
{
    struct ww_schema_slot *group;
    WW_TRY(read_name(load, ww_layout_member_name(raw), &f->name));
    f->order = ww_layout_member_order(raw);
    f->tag = ww_layout_field_tag(raw);
    f->annotations = ww_layout_member_annotations(raw);
    f->deflt.at = ww_sr_ptr(s->raw, UINT32_MAX);
    switch (ww_layout_field_kind(raw)) {
    case 0:
        f->offset = ww_layout_field_offset(raw);
        f->has_default = ww_layout_field_explicit(raw);
        WW_TRY(ww_schema_type(load, ww_layout_field_type(raw), &f->type));
        if (!slot_fits(s, f->type, f->offset))
            return ww_schema_fault(load, "has a field outside of its struct", f->name);
        return ww_schema_value(load, ww_layout_field_default(raw), f->type, &f->deflt);
    case 1:
        f->is_group = true;
        WW_TRY(ww_schema_need(load, ww_layout_field_group(raw), WW_SCHEMA_STRUCT, &group));
        f->type = ww_type_of(&group->pub);
        f->type.base = WW_TYPE_STRUCT;
        return 0;
    default:
        return ww_schema_fault(load, "has a field of an unknown kind", f->name);
    }
}

/* The union's members in the order of their tags. */
static ww_err read_tags(struct ww_schema_load *load, struct ww_schema *s)
{
    ww_err err = 0;
    uint32_t members = 0;
    if (s->tag_count == 1)
        return ww_schema_fault(load, "has a union of one member", NULL);
    if (s->tag_count && ((uint64_t)s->tag_offset + 1) * 16 > (uint64_t)s->data_words * 64)
        return ww_schema_fault(load, "has its union's tag outside of the struct", NULL);
    uint16_t *by_tag = s->tag_count ? ww_schema_alloc(load->set, s->tag_count, sizeof *by_tag, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < s->tag_count; i++)
        by_tag[i] = UINT16_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        uint16_t tag = s->fields[i].tag;
        if (tag == WW_SCHEMA_NO_TAG)
            continue;
        if (tag >= s->tag_count || by_tag[tag] != UINT16_MAX)
            return ww_schema_fault(load, "has a union member with an impossible tag", s->fields[i].name);
        by_tag[tag] = (uint16_t)i;
        members++;
    }
    if (members != s->tag_count)
        return ww_schema_fault(load, "has a union with members missing", NULL);
    s->by_tag = by_tag;
    return 0;
}

static ww_err read_struct(struct ww_schema_load *load, struct ww_schema *s, struct ww_lr members)
{
    ww_err err = 0;
    int64_t last = -1;
    s->data_words = ww_layout_struct_data_words(s->raw);
    s->ptrs = ww_layout_struct_ptrs(s->raw);
    s->is_group = ww_layout_struct_is_group(s->raw);
    s->tag_count = ww_layout_struct_tags(s->raw);
    s->tag_offset = ww_layout_struct_tag_offset(s->raw);
    struct ww_schema_field *fields =
        s->count ? ww_schema_alloc(load->set, s->count, sizeof *fields, &err) : NULL;
    if (err < 0)
        return err;
    s->fields = fields;
    for (uint32_t i = 0; i < s->count; i++) {
        struct ww_sr raw = ww_lr_struct(members, i);
        fields[i].index = (uint16_t)i;
        fields[i].owner = ww_schema_by_id(load->set, s->id);
        WW_TRY(read_field(load, s, raw, &fields[i]));
        uint32_t ordinal = ww_layout_field_ordinal(raw);
        if (ordinal == UINT32_MAX)
            continue;
        if ((int64_t)ordinal <= last)
            return ww_schema_fault(load, "has fields out of the order of their ordinals", fields[i].name);
        last = ordinal;
    }
    WW_TRY(read_tags(load, s));
    return sort_names(load, s, fields, sizeof *fields);
}

/* ---- the other kinds */

static ww_err read_enum(struct ww_schema_load *load, struct ww_schema *s, struct ww_lr members)
{
    ww_err err = 0;
    struct ww_schema_enumerant *e = s->count ? ww_schema_alloc(load->set, s->count, sizeof *e, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < s->count; i++) {
        struct ww_sr raw = ww_lr_struct(members, i);
        WW_TRY(read_name(load, ww_layout_member_name(raw), &e[i].name));
        e[i].order = ww_layout_member_order(raw);
        e[i].annotations = ww_layout_member_annotations(raw);
    }
    s->enumerants = e;
    return sort_names(load, s, e, sizeof *e);
}

static ww_err read_struct_type(
    struct ww_schema_load *load, uint64_t id, struct ww_sr brand, struct ww_type *ret)
{
    struct ww_schema_slot *slot;
    WW_TRY(ww_schema_need(load, id, WW_SCHEMA_STRUCT, &slot));
    *ret = ww_type_of(&slot->pub);
    WW_TRY(ww_schema_brand(load, brand, 0, &ret->brand));
    ret->open = ret->brand && ret->brand->open;
    return 0;
}

static ww_err read_supers(struct ww_schema_load *load, struct ww_schema *s)
{
    ww_err err = 0;
    struct ww_lr raw = ww_layout_interface_supers(s->raw);
    struct ww_type *t = raw.count ? ww_schema_alloc(load->set, raw.count, sizeof *t, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < raw.count; i++) {
        struct ww_sr super = ww_lr_struct(raw, i);
        struct ww_schema_slot *slot;
        WW_TRY(ww_schema_need(load, ww_sr_u64(super, 0), WW_SCHEMA_INTERFACE, &slot));
        t[i] = ww_type_of(&slot->pub);
        t[i].base = WW_TYPE_INTERFACE;
        WW_TRY(ww_schema_brand(load, ww_pr_struct(ww_sr_ptr(super, 0)), 0, &t[i].brand));
        t[i].open = t[i].brand && t[i].brand->open;
    }
    s->supers = t;
    s->super_count = raw.count;
    return 0;
}

static ww_err read_interface(struct ww_schema_load *load, struct ww_schema *s, struct ww_lr members)
{
    ww_err err = 0;
    struct ww_schema_method *m = s->count ? ww_schema_alloc(load->set, s->count, sizeof *m, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < s->count; i++) {
        struct ww_sr raw = ww_lr_struct(members, i);
        WW_TRY(read_name(load, ww_layout_member_name(raw), &m[i].name));
        m[i].owner = ww_schema_by_id(load->set, s->id);
        m[i].ordinal = (uint16_t)i;
        m[i].order = ww_layout_member_order(raw);
        m[i].annotations = ww_layout_member_annotations(raw);
        m[i].streaming = ww_layout_method_results(raw) == STREAM_RESULT;
        WW_TRY(read_struct_type(
            load, ww_layout_method_params(raw), ww_layout_method_params_brand(raw), &m[i].params));
        WW_TRY(read_struct_type(
            load, ww_layout_method_results(raw), ww_layout_method_results_brand(raw), &m[i].results));
    }
    s->methods = m;
    WW_TRY(read_supers(load, s));
    return sort_names(load, s, m, sizeof *m);
}

/* ---- what all nodes have */

static ww_err read_display_name(struct ww_schema_load *load, struct ww_schema *s)
{
    struct ww_bytes name = ww_layout_node_name(s->raw);
    uint32_t prefix = ww_layout_node_prefix(s->raw);
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return ww_schema_fault(load, "has a name with control characters", NULL);
    }
    if (prefix > name.len)
        return ww_schema_fault(load, "has a name shorter than its prefix", NULL);
    s->display_name = ww_cstr(name);
    s->name = s->display_name + prefix;
    load->name = s->display_name;
    return 0;
}

static ww_err read_nested(struct ww_schema_load *load, struct ww_schema *s)
{
    ww_err err = 0;
    struct ww_lr raw = ww_layout_node_nested(s->raw);
    struct ww_schema_nested *nested =
        raw.count ? ww_schema_alloc(load->set, raw.count, sizeof *nested, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < raw.count; i++) {
        struct ww_sr n = ww_lr_struct(raw, i);
        WW_TRY(read_name(load, ww_layout_member_name(n), &nested[i].name));
        nested[i].id = ww_sr_u64(n, 0);
    }
    s->nested = nested;
    s->nested_count = raw.count;
    return 0;
}

static ww_err read_params(struct ww_schema_load *load, struct ww_schema *s)
{
    ww_err err = 0;
    struct ww_lr raw = ww_layout_node_parameters(s->raw);
    if (raw.count > UINT16_MAX)
        return ww_schema_fault(load, "has too many type parameters", NULL);
    const char **params = raw.count ? ww_schema_alloc(load->set, raw.count, sizeof *params, &err) : NULL;
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < raw.count; i++)
        WW_TRY(read_name(load, ww_layout_member_name(ww_lr_struct(raw, i)), &params[i]));
    s->params = params;
    s->param_count = (uint16_t)raw.count;
    return 0;
}

ww_err ww_schema_decode(struct ww_schema_load *load, struct ww_schema *s)
{
    WW_TRY(read_display_name(load, s));
    s->scope = ww_layout_node_scope(s->raw);
    s->annotations = ww_layout_node_annotations(s->raw);
    s->generic = ww_layout_node_generic(s->raw);
    s->value.at = ww_sr_ptr(s->raw, UINT32_MAX);
    WW_TRY(read_nested(load, s));
    WW_TRY(read_params(load, s));
    if (ww_layout_node_kind(s->raw) > WW_SCHEMA_ANNOTATION)
        return ww_schema_fault(load, "is of a kind that is not known", NULL);
    s->kind = (enum ww_schema_kind)ww_layout_node_kind(s->raw);
    if (s->kind == WW_SCHEMA_FILE)
        return 0;
    if (s->kind == WW_SCHEMA_CONST || s->kind == WW_SCHEMA_ANNOTATION) {
        WW_TRY(ww_schema_type(load, ww_layout_node_type(s->raw), &s->type));
        s->targets = s->kind == WW_SCHEMA_ANNOTATION ? ww_layout_annotation_targets(s->raw) : 0;
        return s->kind == WW_SCHEMA_CONST
            ? ww_schema_value(load, ww_layout_const_value(s->raw), s->type, &s->value)
            : 0;
    }
    struct ww_lr members = ww_layout_node_members(s->raw);
    if (members.count > UINT16_MAX)
        return ww_schema_fault(load, "has too many members", NULL);
    s->count = members.count;
    WW_TRY(check_orders(load, members));
    if (s->kind == WW_SCHEMA_STRUCT)
        return read_struct(load, s, members);
    return s->kind == WW_SCHEMA_ENUM ? read_enum(load, s, members) : read_interface(load, s, members);
}
