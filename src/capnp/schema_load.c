/* capnp/schema_load.c — nodes into a set: from requests, one by one, from generated code.
 *
 * A node from outside is first copied into one segment of its own (canonical form). That bounds it, makes a
 * tree of it whatever its pointers were, and lets everything later point into it. Then it is decoded beside
 * the set, and put in place only when all of it is right. */
#include "capnp/schema_int.h"
#include "capnp/schema_layout.h"

ww_err ww_schema_fault(const struct ww_schema_load *load, const char *what, const char *member)
{
    return ww_diag_set(load->diag, WW_EMALFORMED, "schema node @0x%08lx%08lx %s%s%s%s%s",
        (unsigned long)(load->id >> 32), (unsigned long)(load->id & 0xffffffff), load->name,
        *load->name ? " " : "", what, member ? ": " : "", member ? member : "");
}

/* Ends a load: errors without a text of their own get one. */
static ww_err fail(struct ww_schema_load *load, ww_err err)
{
    if (!load->diag || load->diag->text[0])
        return err;
    return ww_diag_set(load->diag, err, "schema node @0x%08lx%08lx %s: %s", (unsigned long)(load->id >> 32),
        (unsigned long)(load->id & 0xffffffff), load->name, ww_err_text(err));
}

static struct ww_schema_load start(struct ww_schema_set *set, struct ww_diag *diag)
{
    if (diag)
        diag->text[0] = 0;
    return (struct ww_schema_load){set, 0, "", diag};
}

/* ---- versions */

static bool types_compatible(struct ww_type a, struct ww_type b)
{
    if (ww_type_is_pointer(a) != ww_type_is_pointer(b))
        return false;
    if (!ww_type_is_pointer(a))
        return a.base == b.base && a.node == b.node;
    /* Lists of scalars become lists of structs, AnyPointer becomes anything. */
    if ((a.base == WW_TYPE_ANY && !a.lists) || (b.base == WW_TYPE_ANY && !b.lists))
        return true;
    if (a.lists || b.lists)
        return (a.lists > 0) == (b.lists > 0);
    return a.base == b.base && a.node == b.node;
}

static bool fields_compatible(const struct ww_schema_field *a, const struct ww_schema_field *b)
{
    /* A field may become the first member of a new union. */
    bool tags = a->tag == b->tag || (a->tag == WW_SCHEMA_NO_TAG && b->tag == 0) ||
        (b->tag == WW_SCHEMA_NO_TAG && a->tag == 0);
    return tags && a->is_group == b->is_group && a->offset == b->offset && a->deflt.bits == b->deflt.bits &&
        (a->is_group || types_compatible(a->type, b->type));
}

static bool structs_compatible(const struct ww_schema *a, const struct ww_schema *b, bool *ret_newer)
{
    uint32_t common = a->count < b->count ? a->count : b->count;
    for (uint32_t i = 0; i < common; i++) {
        if (!fields_compatible(&a->fields[i], &b->fields[i]))
            return false;
    }
    if (a->is_group != b->is_group || (a->tag_count && b->tag_count && a->tag_offset != b->tag_offset))
        return false;
    bool a_larger = a->count > b->count || a->data_words > b->data_words || a->ptrs > b->ptrs;
    bool b_larger = b->count > a->count || b->data_words > a->data_words || b->ptrs > a->ptrs;
    *ret_newer = b_larger;
    return !(a_larger && b_larger);
}

static bool interfaces_compatible(const struct ww_schema *a, const struct ww_schema *b)
{
    uint32_t common = a->count < b->count ? a->count : b->count;
    for (uint32_t i = 0; i < common; i++) {
        if (a->methods[i].params.node != b->methods[i].params.node ||
            a->methods[i].results.node != b->methods[i].results.node)
            return false;
    }
    return true;
}

bool ww_schema_compatible(const struct ww_schema *a, const struct ww_schema *b, bool *ret_newer)
{
    *ret_newer = b->count > a->count;
    if (a->kind != b->kind || a->scope != b->scope)
        return false;
    switch (a->kind) {
    case WW_SCHEMA_FILE:
        *ret_newer = b->nested_count > a->nested_count;
        return true;
    case WW_SCHEMA_STRUCT:
        return structs_compatible(a, b, ret_newer);
    case WW_SCHEMA_ENUM:
        return true;
    case WW_SCHEMA_INTERFACE:
        return interfaces_compatible(a, b);
    case WW_SCHEMA_ANNOTATION:
        return types_compatible(a->type, b->type);
    default: /* the value of a constant is all there is to it */
        return false;
    }
}

/* ---- one node */

/* Without a message: trusted, never charged. */
static struct ww_seg words_seg(uint8_t *words, uint32_t count)
{
    return (struct ww_seg){.data = words, .used = count, .capacity = count};
}

static struct ww_pr seg_root(const struct ww_seg *seg)
{
    struct ww_pr p = {seg, seg->data, 64};
    return p;
}

/* What could not be checked while one of the two was missing. */
static ww_err check_groups(struct ww_schema_load *load, const struct ww_schema *s)
{
    for (uint32_t i = 0; s->kind == WW_SCHEMA_STRUCT && i < s->count; i++) {
        const struct ww_schema *group = s->fields[i].is_group ? s->fields[i].type.node : NULL;
        if (group && group->kind != WW_SCHEMA_MISSING && !ww_schema_group_fits(s, group))
            return ww_schema_fault(load, "has a group that does not fit", s->fields[i].name);
    }
    return 0;
}

/* Decodes `seg` for `slot`; the set keeps the segment's words. */
static ww_err install(struct ww_schema_load *load, struct ww_schema_slot *slot, struct ww_seg seg)
{
    struct ww_schema next;
    bool newer = true;
    struct ww_seg *kept;
    ww_err err = 0;
    if (slot->pub.kind != WW_SCHEMA_MISSING && ww_pr_equal(seg_root(&slot->seg), seg_root(&seg)))
        return 0;
    memset(&next, 0, sizeof next);
    next.id = slot->pub.id;
    next.set = load->set;
    kept = ww_schema_alloc(load->set, 1, sizeof *kept, &err);
    if (!kept)
        return err;
    *kept = seg;
    next.raw = ww_pr_struct(seg_root(kept));
    WW_TRY(ww_schema_decode(load, &next));
    if (slot->pub.kind == WW_SCHEMA_MISSING) {
        if (slot->expect != WW_SCHEMA_MISSING && slot->expect != next.kind)
            return ww_schema_fault(load, "is not of the kind that others take it for", NULL);
    } else if (!ww_schema_compatible(&slot->pub, &next, &newer)) {
        ww_ignore(ww_schema_fault(load, "is there already, and is no version of the same thing", NULL));
        if (load->diag)
            load->diag->code = WW_EEXIST;
        return WW_EEXIST;
    }
    WW_TRY(check_groups(load, &next));
    if (newer) {
        slot->seg = *kept;
        slot->pub = next;
    }
    return 0;
}

/* Copies a node into words of the set's own. `io_temp` are two messages to work in. */
static ww_err copy_node(
    struct ww_schema_load *load, struct ww_sr node, struct ww_msg io_temp[2], struct ww_seg *ret_seg)
{
    ww_err err = 0;
    ww_msg_reset(&io_temp[0]);
    ww_pb_set_struct(ww_msg_root_builder(&io_temp[0]), node);
    WW_TRY(ww_msg_err(&io_temp[0]));
    ww_err canonical = ww_msg_canonicalize(&io_temp[1], ww_msg_root(&io_temp[0]));
    if (canonical == WW_EINVAL)
        return ww_schema_fault(load, "holds a capability", NULL);
    WW_TRY(canonical);
    struct ww_bytes words = ww_msg_seg(&io_temp[1], 0);
    uint8_t *copy = ww_schema_alloc(load->set, words.len / 8, 8, &err);
    if (!copy)
        return err;
    memcpy(copy, words.ptr, words.len);
    *ret_seg = words_seg(copy, (uint32_t)(words.len / 8));
    return 0;
}

static ww_err load_node(struct ww_schema_load *load, struct ww_sr node, struct ww_msg io_temp[2],
    const struct ww_schema **ret_schema)
{
    struct ww_seg seg;
    struct ww_schema_slot *slot;
    load->id = ww_layout_node_id(node);
    load->name = "";
    if (load->id == 0)
        return ww_schema_fault(load, "has no id", NULL);
    WW_TRY(copy_node(load, node, io_temp, &seg));
    WW_TRY(ww_schema_need(load, load->id, WW_SCHEMA_MISSING, &slot));
    WW_TRY(install(load, slot, seg));
    if (ret_schema)
        *ret_schema = &slot->pub;
    return 0;
}

ww_err ww_schema_load_node(
    struct ww_schema_set *set, struct ww_sr node, const struct ww_schema **ret_schema, struct ww_diag *diag)
{
    struct ww_schema_load load = start(set, diag);
    struct ww_msg temp[2];
    ww_msg_init(&temp[0], NULL);
    ww_msg_init(&temp[1], NULL);
    ww_err err = load_node(&load, node, temp, ret_schema);
    ww_msg_fini(&temp[0]);
    ww_msg_fini(&temp[1]);
    if (err == 0 && node.seg && node.seg->msg)
        err = ww_msg_err(node.seg->msg);
    return err < 0 ? fail(&load, err) : 0;
}

/* Groups against parents, scopes against cycles: where nodes come in any order, this waits for all. */
static ww_err check_set(struct ww_schema_load *load)
{
    for (size_t i = 0; i < load->set->slot_count; i++) {
        const struct ww_schema *s = &load->set->slots[i]->pub, *scope = s;
        unsigned depth = 0;
        load->id = s->id;
        load->name = s->display_name;
        WW_TRY(check_groups(load, s));
        while (scope && scope->scope && depth++ < WW_SCOPE_DEPTH_MAX)
            scope = ww_schema_by_id(load->set, scope->scope);
        if (depth >= WW_SCOPE_DEPTH_MAX)
            return ww_schema_fault(load, "stands in scopes without end", NULL);
    }
    return 0;
}

ww_err ww_schema_load_request(struct ww_schema_set *set, struct ww_msg *request, struct ww_diag *diag)
{
    struct ww_schema_load load = start(set, diag);
    struct ww_msg temp[2];
    ww_err err = 0;
    struct ww_lr nodes = ww_layout_request_nodes(ww_pr_struct(ww_msg_root(request)));
    ww_msg_init(&temp[0], NULL);
    ww_msg_init(&temp[1], NULL);
    for (uint32_t i = 0; i < nodes.count && err == 0; i++) {
        err = load_node(&load, ww_lr_struct(nodes, i), temp, NULL);
        if (err == 0)
            err = ww_msg_err(request);
    }
    ww_msg_fini(&temp[0]);
    ww_msg_fini(&temp[1]);
    if (err == 0)
        err = ww_msg_err(request);
    if (err == 0)
        err = nodes.count ? check_set(&load)
                          : ww_schema_fault(&load, "is missing: no request with nodes", NULL);
    return err < 0 ? fail(&load, err) : 0;
}

/* ---- from generated code */

/* Slots whose dependencies are still to be loaded. */
struct embedded_queue {
    struct ww_schema_slot *first, **end;
};

static ww_err load_words(
    struct ww_schema_load *load, const struct ww_capnp_node *node, struct embedded_queue *q)
{
    struct ww_schema_slot *slot;
    /* The words are only read: messages without a `msg` have no builders. */
    struct ww_seg seg = words_seg((uint8_t *)(uintptr_t)node->words, node->word_count);
    load->id = node->id;
    load->name = node->name;
    if (node->word_count == 0 || ww_layout_node_id(ww_pr_struct(seg_root(&seg))) != node->id)
        return ww_schema_fault(load, "is not what its description says", NULL);
    WW_TRY(ww_schema_need(load, node->id, WW_SCHEMA_MISSING, &slot));
    WW_TRY(install(load, slot, seg));
    if (!slot->embedded) {
        slot->embedded = node;
        slot->next_embedded = NULL;
        *q->end = slot;
        q->end = &slot->next_embedded;
    }
    return 0;
}

ww_err ww_schema_load_embedded(struct ww_schema_set *set, const struct ww_capnp_node *node,
    const struct ww_schema **ret_schema, struct ww_diag *diag)
{
    struct ww_schema_load load = start(set, diag);
    struct embedded_queue q = {NULL, &q.first};
    ww_err err = load_words(&load, node, &q);
    struct ww_schema_slot *slot = q.first;
    for (; slot && err == 0; slot = err == 0 ? slot->next_embedded : slot) {
        for (uint32_t i = 0; err == 0 && i < slot->embedded->dep_count; i++)
            err = load_words(&load, slot->embedded->deps[i], &q);
    }
    /* After an error the rest may be asked for again. */
    for (; slot; slot = slot->next_embedded)
        slot->embedded = NULL;
    if (err < 0)
        return fail(&load, err);
    if (ret_schema)
        *ret_schema = ww_schema_by_id(set, node->id);
    return 0;
}
