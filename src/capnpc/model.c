#include "capnpc/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "capnpc/out.h"

#define ANNOTATION_PREFIX UINT64_C(0xd3a1f0c2b4e5968f) /* ww/c.capnp */
#define ANNOTATION_NAME UINT64_C(0xc5e7a91b3d2f4680)

static void broken(const char *what, uint64_t id)
{
    fprintf(stderr, "capnpc-ww: %s (node @0x%016llx)\n", what, (unsigned long long)id);
    exit(1);
}

/* ---- the layouts of schema.capnp */

enum node_kind node_kind(const struct node *n)
{
    return (enum node_kind)ww_sr_u16(n->s, 6);
}

uint16_t node_data_words(const struct node *n)
{
    return ww_sr_u16(n->s, 7);
}

uint16_t node_ptrs(const struct node *n)
{
    return ww_sr_u16(n->s, 12);
}

uint16_t node_tags(const struct node *n)
{
    return ww_sr_u16(n->s, 15);
}

uint32_t node_tag_offset(const struct node *n)
{
    return ww_sr_u32(n->s, 8);
}

bool node_is_group(const struct node *n)
{
    return ww_sr_bool(n->s, 224);
}

static struct ww_lr structs_at(struct ww_sr s, uint32_t ptr)
{
    return ww_pr_list(ww_sr_ptr(s, ptr), WW_ELEM_STRUCT);
}

struct ww_lr node_children(const struct node *n)
{
    return structs_at(n->s, 1);
}

/* The text of an annotation, or NULL. */
static const char *annotation(struct ww_lr annotations, uint64_t id)
{
    for (uint32_t i = 0; i < annotations.count; i++) {
        struct ww_sr a = ww_lr_struct(annotations, i);
        if (ww_sr_u64(a, 0) == id)
            return ww_cstr(ww_pr_text(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(a, 0)), 0)));
    }
    return NULL;
}

static const char *own_name(struct ww_sr s, struct ww_lr annotations)
{
    const char *name = annotation(annotations, ANNOTATION_NAME);
    return name ? name : ww_cstr(ww_pr_text(ww_sr_ptr(s, 0)));
}

uint32_t field_count(const struct node *n)
{
    return structs_at(n->s, 3).count;
}

struct field node_field(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(structs_at(n->s, 3), i);
    struct field f = {.name = own_name(s, structs_at(s, 1)), .tag = ww_sr_u16(s, 1) ^ NO_TAG};
    f.is_group = ww_sr_u16(s, 4) == 1;
    if (f.is_group) {
        f.group = ww_sr_u64(s, 2);
        return f;
    }
    f.offset = ww_sr_u32(s, 1);
    f.type = type_of(ww_pr_struct(ww_sr_ptr(s, 2)));
    f.value = ww_pr_struct(ww_sr_ptr(s, 3));
    f.has_default = ww_sr_bool(s, 128);
    return f;
}

uint32_t enumerant_count(const struct node *n)
{
    return structs_at(n->s, 3).count;
}

const char *enumerant_name(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(structs_at(n->s, 3), i);
    return own_name(s, structs_at(s, 1));
}

uint32_t method_count(const struct node *n)
{
    return structs_at(n->s, 3).count;
}

struct method node_method(const struct node *n, uint32_t i)
{
    struct ww_sr s = ww_lr_struct(structs_at(n->s, 3), i);
    return (struct method){.name = own_name(s, structs_at(s, 1)),
        .schema = ww_cstr(ww_pr_text(ww_sr_ptr(s, 0))),
        .index = (uint16_t)i,
        .params = ww_sr_u64(s, 1),
        .results = ww_sr_u64(s, 2)};
}

uint32_t super_count(const struct node *n)
{
    return structs_at(n->s, 4).count;
}

uint64_t node_super(const struct node *n, uint32_t i)
{
    return ww_sr_u64(ww_lr_struct(structs_at(n->s, 4), i), 0);
}

struct type type_of(struct ww_sr s)
{
    struct type t = {.kind = (enum type_kind)ww_sr_u16(s, 0), .id = ww_sr_u64(s, 1)};
    if (t.kind > TYPE_ANY)
        broken("a type that this generator does not know", 0);
    if (t.kind == TYPE_LIST)
        t.elem = ww_pr_struct(ww_sr_ptr(s, 0));
    if (t.kind == TYPE_ANY)
        t.is_cap = ww_sr_u16(s, 4) == 0 && ww_sr_u16(s, 5) == 3;
    return t;
}

struct type const_type(const struct node *n)
{
    return type_of(ww_pr_struct(ww_sr_ptr(n->s, 3)));
}

struct ww_sr const_value(const struct node *n)
{
    return ww_pr_struct(ww_sr_ptr(n->s, 4));
}

uint64_t value_bits(enum type_kind kind, struct ww_sr v)
{
    switch (kind) {
    case TYPE_BOOL:
        return ww_sr_bool(v, 16);
    case TYPE_INT8:
    case TYPE_UINT8:
        return ww_sr_u8(v, 2);
    case TYPE_INT16:
    case TYPE_UINT16:
    case TYPE_ENUM:
        return ww_sr_u16(v, 1);
    case TYPE_INT32:
    case TYPE_UINT32:
    case TYPE_FLOAT32:
        return ww_sr_u32(v, 1);
    case TYPE_INT64:
    case TYPE_UINT64:
    case TYPE_FLOAT64:
        return ww_sr_u64(v, 1);
    default:
        return 0;
    }
}

struct ww_pr value_ptr(struct ww_sr value)
{
    return ww_sr_ptr(value, 0);
}

enum ww_elem elem_of(struct type elem)
{
    switch (elem.kind) {
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
    return ww_cstr(ww_pr_text(ww_sr_ptr(ww_lr_struct(files, i), 0)));
}

uint64_t file_id(struct ww_lr files, uint32_t i)
{
    return ww_sr_u64(ww_lr_struct(files, i), 0);
}

const char *file_import(struct ww_lr files, uint32_t i, uint64_t id)
{
    struct ww_lr imports = structs_at(ww_lr_struct(files, i), 1);
    for (uint32_t k = 0; k < imports.count; k++) {
        struct ww_sr s = ww_lr_struct(imports, k);
        if (ww_sr_u64(s, 0) == id)
            return ww_cstr(ww_pr_text(ww_sr_ptr(s, 0)));
    }
    return NULL;
}

struct ww_lr model_files(const struct model *m)
{
    return structs_at(ww_pr_struct(ww_msg_root(m->msg)), 1);
}

/* ---- nodes and names */

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

struct node *child_node(const struct model *m, struct ww_lr children, uint32_t i)
{
    return model_node(m, ww_sr_u64(ww_lr_struct(children, i), 0));
}

static void name_node(const struct model *m, struct node *n, struct node *file, const char *name);

/* Parameter and result structs that the compiler made have no scope: they are named after their method. */
static void name_method_struct(
    const struct model *m, struct node *iface, const char *method, uint64_t id, const char *what)
{
    struct node *n = model_node(m, id);
    if (n && !n->name && ww_sr_u64(n->s, 2) == 0)
        name_node(m, n, iface->file, textf("%s_%s_%s", iface->name, method, what));
}

static void name_members(const struct model *m, struct node *n)
{
    if (node_kind(n) == NODE_STRUCT) {
        for (uint32_t i = 0; i < field_count(n); i++) {
            struct field f = node_field(n, i);
            struct node *group = f.is_group ? model_node(m, f.group) : NULL;
            if (group && !group->name)
                name_node(m, group, n->file, textf("%s_%s", n->name, f.name));
        }
    }
    if (node_kind(n) == NODE_INTERFACE) {
        for (uint32_t i = 0; i < method_count(n); i++) {
            struct method method = node_method(n, i);
            name_method_struct(m, n, method.name, method.params, "params");
            name_method_struct(m, n, method.name, method.results, "results");
        }
    }
}

static void name_node(const struct model *m, struct node *n, struct node *file, const char *name)
{
    n->name = name;
    n->file = file;
    name_members(m, n);
    struct ww_lr children = node_children(n);
    for (uint32_t i = 0; i < children.count; i++) {
        struct node *child = child_node(m, children, i);
        if (!child || child->name)
            continue;
        const char *own = annotation(structs_at(child->s, 2), ANNOTATION_NAME);
        if (!own)
            own = ww_cstr(ww_pr_text(ww_sr_ptr(ww_lr_struct(children, i), 0)));
        const char *join = n == file ? "" : "_";
        name_node(m, child, file, textf("%s%s%s", name, join, own));
    }
}

char *file_stem(const struct node *file)
{
    char *stem = textf("%s", file->schema);
    char *dot = strchr(stem, '.');
    if (dot)
        *dot = 0;
    for (char *p = stem; *p; p++) {
        bool good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        *p = good ? *p : '_';
    }
    return stem;
}

static const char *prefix_of(const struct node *file)
{
    const char *given = annotation(structs_at(file->s, 2), ANNOTATION_PREFIX);
    if (given)
        return given;
    return textf("%s_", file_stem(file));
}

void model_flatten(struct ww_msg *to, const struct node *n)
{
    struct ww_msg copy;
    ww_msg_init(&copy, NULL);
    struct ww_pb root = ww_msg_root_builder(&copy);
    ww_pb_set_struct(root, n->s);
    size_t cut = ww_pr_text(ww_sr_ptr(n->s, 0)).len - strlen(n->schema);
    uint32_t prefix = ww_sr_u32(n->s, 2);
    struct ww_sb s = ww_pb_struct(root, 5, 6);
    ww_pb_set_text(ww_sb_ptr(s, 0), ww_text(n->schema));
    ww_sb_set_u32(s, 2, prefix > cut ? prefix - (uint32_t)cut : 0);
    ww_err err = ww_msg_canonicalize(to, ww_msg_root(&copy));
    if (err < 0 || ww_msg_err(&copy) < 0)
        broken(ww_err_text(err < 0 ? err : ww_msg_err(&copy)), n->id);
    ww_msg_fini(&copy);
}

void model_fini(struct model *m)
{
    ww_free(m->nodes);
    ww_free(m->embedded);
}

void model_init(struct model *m, struct ww_msg *request)
{
    struct ww_lr nodes = structs_at(ww_pr_struct(ww_msg_root(request)), 0);
    m->msg = request;
    m->count = nodes.count;
    m->nodes = need(ww_calloc(nodes.count + 1, sizeof *m->nodes));
    m->embedded = need(ww_calloc(nodes.count + 1, sizeof *m->embedded));
    for (uint32_t i = 0; i < nodes.count; i++) {
        struct ww_sr s = ww_lr_struct(nodes, i);
        const char *display = ww_cstr(ww_pr_text(ww_sr_ptr(s, 0)));
        const char *slash = strrchr(display, '/');
        m->nodes[i] = (struct node){.id = ww_sr_u64(s, 0), .s = s, .schema = slash ? slash + 1 : display};
    }
    if (m->count)
        qsort(m->nodes, m->count, sizeof *m->nodes, by_id);
    for (size_t i = 0; i < m->count; i++) {
        struct node *n = &m->nodes[i];
        if (node_kind(n) == NODE_FILE)
            name_node(m, n, n, prefix_of(n));
    }
    if (ww_msg_err(request) < 0)
        broken("the request is malformed", 0);
}
