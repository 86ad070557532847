#include "capnpc/model.h"

#include <stdlib.h>

#include "capnpc/annotations.h"
#include "capnpc/out.h"

#define SCOPE_DEPTH_MAX 100

_Noreturn void broken(const char *what, uint64_t id)
{
    give_up(textf("%s (node @0x%016llx)", what, (unsigned long long)id));
}

enum node_kind node_kind(const struct node *n)
{
    return (enum node_kind)ww_layout_node_kind(n->s);
}

uint16_t node_data_words(const struct node *n)
{
    return ww_layout_struct_data_words(n->s);
}

uint16_t node_ptrs(const struct node *n)
{
    return ww_layout_struct_ptrs(n->s);
}

uint16_t node_tags(const struct node *n)
{
    return ww_layout_struct_tags(n->s);
}

uint32_t node_tag_offset(const struct node *n)
{
    return ww_layout_struct_tag_offset(n->s);
}

bool node_is_group(const struct node *n)
{
    return ww_layout_struct_is_group(n->s);
}

uint64_t node_scope(const struct node *n)
{
    return ww_layout_node_scope(n->s);
}

/* Elements of no size would let a small request claim millions of them. */
static struct ww_lr sized(struct ww_lr l)
{
    if (l.count > 0 && l.step == 0)
        broken("the request has a list of empty structs", 0);
    return l;
}

uint32_t field_count(const struct node *n)
{
    return n->members.count;
}

struct field node_field(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(n->members, i);
    struct ww_lr annotations = sized(ww_layout_member_annotations(s));
    struct field f = {.name = own_name(s, annotations, n->id), .tag = ww_layout_field_tag(s)};
    f.skip = annotation_use(annotations, ANNOTATION_SKIP, NULL);
    f.is_group = ww_layout_field_kind(s) == 1;
    if (f.is_group) {
        f.group = ww_layout_field_group(s);
        return f;
    }
    f.offset = ww_layout_field_offset(s);
    f.type = ww_layout_field_type(s);
    f.value = ww_layout_field_default(s);
    f.has_default = ww_layout_field_explicit(s);
    return f;
}

uint32_t enumerant_count(const struct node *n)
{
    return n->members.count;
}

const char *enumerant_name(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(n->members, i);
    return own_name(s, sized(ww_layout_member_annotations(s)), n->id);
}

uint32_t method_count(const struct node *n)
{
    return n->members.count;
}

struct method node_method(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(n->members, i);
    struct ww_lr annotations = sized(ww_layout_member_annotations(s));
    return (struct method){.name = own_name(s, annotations, n->id),
        .schema = ww_cstr(ww_layout_member_name(s)),
        .index = (uint16_t)i,
        .params = ww_layout_method_params(s),
        .results = ww_layout_method_results(s),
        .params_brand = ww_layout_method_params_brand(s),
        .results_brand = ww_layout_method_results_brand(s),
        .allow_cancellation = allows_cancellation(annotations) || allows_cancellation(n->annotations) ||
            allows_cancellation(n->file->annotations)};
}

uint32_t super_count(const struct node *n)
{
    return n->supers.count;
}

uint64_t node_super(const struct node *n, uint32_t i)
{
    return ww_layout_super_id(ww_lr_struct(n->supers, i));
}

struct ww_sr node_super_brand(const struct node *n, uint32_t i)
{
    return ww_layout_super_brand(ww_lr_struct(n->supers, i));
}

struct ww_sr const_type(const struct node *n)
{
    return ww_layout_node_type(n->s);
}

struct ww_sr const_value(const struct node *n)
{
    return ww_layout_const_value(n->s);
}

struct ww_pr value_ptr(struct ww_sr value)
{
    return ww_layout_value_ptr(value);
}

enum ww_elem elem_of(enum type_kind kind)
{
    switch (kind) {
    case TYPE_VOID:
        return WW_ELEM_VOID;
    case TYPE_BOOL:
        return WW_ELEM_BIT;
    case TYPE_INT8:
    case TYPE_UINT8:
        return WW_ELEM_BYTE;
    case TYPE_INT16:
    case TYPE_UINT16:
    case TYPE_ENUM:
        return WW_ELEM_TWO;
    case TYPE_INT32:
    case TYPE_UINT32:
    case TYPE_FLOAT32:
        return WW_ELEM_FOUR;
    case TYPE_INT64:
    case TYPE_UINT64:
    case TYPE_FLOAT64:
        return WW_ELEM_EIGHT;
    case TYPE_STRUCT:
        return WW_ELEM_STRUCT;
    default:
        return WW_ELEM_PTR;
    }
}

const char *file_path(struct ww_lr files, uint32_t i)
{
    return ww_cstr(ww_layout_file_name(ww_lr_struct(files, i)));
}

uint64_t file_id(struct ww_lr files, uint32_t i)
{
    return ww_layout_file_id(ww_lr_struct(files, i));
}

const char *file_import(struct ww_lr files, uint32_t i, uint64_t id)
{
    struct ww_lr imports = sized(ww_layout_file_imports(ww_lr_struct(files, i)));
    for (uint32_t k = 0; k < imports.count; k++) {
        struct ww_sr s = ww_lr_struct(imports, k);
        if (ww_layout_file_id(s) == id)
            return ww_cstr(ww_layout_file_name(s));
    }
    return NULL;
}

struct ww_lr model_files(const struct model *m)
{
    return sized(ww_layout_request_files(ww_pr_struct(ww_msg_root(m->msg))));
}

/* ---- nodes */

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct node *)a)->id, y = ((const struct node *)b)->id;
    return (x > y) - (x < y);
}

struct node *model_node(const struct model *m, uint64_t id)
{
    struct node key = {.id = id};
    return m->count ? bsearch(&key, m->nodes, m->count, sizeof key, by_id) : NULL;
}

struct node *model_need(const struct model *m, uint64_t id)
{
    struct node *n = model_node(m, id);
    if (!n || !n->name)
        broken("a type is used that the request does not describe", id);
    return n;
}

struct node *child_node(const struct model *m, const struct node *n, uint32_t i)
{
    struct node *child = model_node(m, ww_layout_nested_id(ww_lr_struct(n->children, i)));
    return child && node_scope(child) == n->id ? child : NULL;
}

struct ww_bytes model_flatten(const struct model *m, const struct node *n)
{
    ww_msg_reset(m->copy);
    struct ww_pb root = ww_msg_root_builder(m->copy);
    ww_pb_set_struct(root, n->s);
    size_t cut = ww_layout_node_name(n->s).len - strlen(n->schema);
    uint32_t prefix = ww_layout_node_prefix(n->s);
    struct ww_sb s = ww_pb_struct(root, 5, 6);
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text(n->schema));
    ww_sb_set_u32(s, 2, prefix > cut ? prefix - (uint32_t)cut : 0);
    ww_err err = ww_msg_canonicalize(m->flat, ww_msg_root(m->copy));
    if (err == 0)
        err = ww_msg_err(m->copy);
    if (err < 0)
        broken(ww_err_text(err), n->id);
    return ww_msg_seg(m->flat, 0);
}

/* The name as displayed, without directories, and without what would end a comment or a string. */
static const char *display_name(struct ww_sr s)
{
    const char *display = ww_cstr(ww_layout_node_name(s));
    const char *slash = strrchr(display, '/');
    char *name = textf("%s", slash ? slash + 1 : display);
    for (char *p = name; *p; p++) {
        if ((uint8_t)*p < ' ' || strchr("\"\\*?", *p))
            *p = '_';
    }
    return name;
}

/* Whatever is reached through scopes and groups ends: scopes have no cycles and little depth. */
static void check_node(const struct model *m, const struct node *n)
{
    const struct node *outer = n;
    for (unsigned depth = 0; outer; outer = model_node(m, node_scope(outer))) {
        if (++depth > SCOPE_DEPTH_MAX)
            broken("scopes are nested too deeply", n->id);
    }
    for (uint32_t i = 0; node_kind(n) == NODE_STRUCT && i < field_count(n); i++) {
        struct ww_sr s = ww_lr_struct(n->members, i);
        bool is_group = ww_layout_field_kind(s) == 1;
        const struct node *group = is_group ? model_node(m, ww_layout_field_group(s)) : NULL;
        if (is_group && (!group || !node_is_group(group) || node_scope(group) != n->id))
            broken("a group is not where it is said to be", n->id);
    }
}

static void init_node(struct node *n, struct ww_sr s)
{
    *n = (struct node){.id = ww_layout_node_id(s), .s = s};
    n->schema = display_name(s);
    n->annotations = sized(ww_layout_node_annotations(s));
    n->children = sized(ww_layout_node_nested(s));
    n->skip = annotation_use(n->annotations, ANNOTATION_SKIP, NULL);
    if (node_kind(n) > NODE_ANNOTATION)
        broken("a node of a kind that this generator does not know", n->id);
    if (node_kind(n) == NODE_STRUCT || node_kind(n) == NODE_ENUM || node_kind(n) == NODE_INTERFACE)
        n->members = sized(ww_layout_node_members(s));
    if (node_kind(n) == NODE_INTERFACE)
        n->supers = sized(ww_layout_interface_supers(s));
}

void model_init(struct model *m, struct ww_msg *request)
{
    struct ww_lr nodes = sized(ww_layout_request_nodes(ww_pr_struct(ww_msg_root(request))));
    m->msg = request;
    m->count = nodes.count;
    m->nodes = keep((nodes.count + 1) * sizeof *m->nodes);
    m->embedded = keep((nodes.count + 1) * sizeof *m->embedded);
    m->insts = keep(sizeof *m->insts);
    for (uint32_t i = 0; i < nodes.count; i++)
        init_node(&m->nodes[i], ww_lr_struct(nodes, i));
    if (m->count)
        qsort(m->nodes, m->count, sizeof *m->nodes, by_id);
    for (size_t i = 0; i < m->count; i++) {
        if (i > 0 && m->nodes[i].id == m->nodes[i - 1].id)
            broken("a node appears twice", m->nodes[i].id);
        check_node(m, &m->nodes[i]);
    }
    name_nodes(m);
    if (ww_msg_err(request) < 0)
        broken("the request is malformed", 0);
}
