/* capnp/json_parse.c — JSON into messages: members by name, in any order.
 *
 * Where a union is chosen by a discriminator member, the members of its flattened structs mean nothing before
 * that one was read. So an object is gone over again as long as that makes members readable; what stays
 * unreadable is ignored, like all that is not known. */
#include "capnp/json_int.h"

#define LOOKUP_STEPS                                                                                         \
    20000 /* fields looked at for one name: a circle of flattened structs grows without end */

ww_err ww_json_push(
    struct ww_json_parser *p, struct ww_type type, const struct ww_schema_field *group, uint32_t node)
{
    if (p->depth == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 8;
        struct ww_json_frame *frames = ww_realloc(p->frames, capacity * sizeof *frames);
        if (!frames)
            return ww_diag_set(p->tape.diag, WW_ENOMEM, "%s", ww_err_text(WW_ENOMEM));
        p->frames = frames;
        p->capacity = capacity;
    }
    struct ww_json_frame *f = &p->frames[p->depth++];
    memset(f, 0, sizeof *f);
    f->type = type;
    f->group = group;
    f->node = f->first = node + 1;
    f->end = p->tape.nodes[node].next;
    f->seen = p->seen_count;
    f->annotated = !type.lists && (ww_json_annotated(type.node) || (group && group->annotations.count));
    return 0;
}

/* ---- unions with a discriminator */

static bool was_seen(const struct ww_json_parser *p, struct ww_dyn_sb s)
{
    for (size_t i = p->frames[p->depth - 1].seen; i < p->seen_count; i++) {
        if (p->seen[i].data == s.b.data && p->seen[i].tag_offset == s.type.node->tag_offset)
            return true;
    }
    return false;
}

static ww_err add_seen(struct ww_json_parser *p, struct ww_dyn_sb s)
{
    if (was_seen(p, s))
        return 0;
    if (p->seen_count == p->seen_capacity) {
        size_t capacity = p->seen_capacity ? p->seen_capacity * 2 : 8;
        struct ww_json_seen *seen = ww_realloc(p->seen, capacity * sizeof *seen);
        if (!seen)
            return ww_diag_set(p->tape.diag, WW_ENOMEM, "%s", ww_err_text(WW_ENOMEM));
        p->seen = seen;
        p->seen_capacity = capacity;
    }
    p->seen[p->seen_count++] = (struct ww_json_seen){s.b.data, s.type.node->tag_offset};
    return 0;
}

static ww_err choose(struct ww_json_parser *p, struct ww_dyn_sb s, uint32_t node)
{
    const struct ww_tape_node *n = &p->tape.nodes[node];
    struct ww_json_field look;
    char name[256];
    if (n->kind != WW_TAPE_STRING)
        return ww_json_expected(p, node, "the name of a union's member");
    if (n->len > sizeof name)
        return 0;
    struct ww_bytes text = ww_bytes(name, ww_json_unescape(ww_tape_text(&p->tape, n), (uint8_t *)name));
    for (uint16_t tag = 0; tag < s.type.node->tag_count; tag++) {
        const struct ww_schema_field *f = ww_schema_member(s.type.node, tag);
        ww_json_field_info(f, &look);
        if (!ww_bytes_eq(look.name, text))
            continue;
        struct ww_diag diag = {0};
        ww_err err = ww_dyn_clear(s, f, &diag);
        return err < 0 ? ww_json_placed(p, node, err, &diag) : add_seen(p, s);
    }
    return 0;
}

/* ---- members */

static ww_err count_step(struct ww_json_parser *p)
{
    if (++p->steps > LOOKUP_STEPS)
        return ww_diag_set(p->tape.diag, WW_ELIMIT, "structs are flattened into each other without end");
    return 0;
}

static bool has_prefix(struct ww_bytes name, const struct ww_json_field *look)
{
    return look->flat && ww_bytes_has_prefix(name, look->prefix);
}

/* Whether a member `name` can belong to a struct. */
static ww_err knows(struct ww_json_parser *p, const struct ww_schema *s, const struct ww_schema_field *group,
    struct ww_bytes name, unsigned depth, bool *ret)
{
    struct ww_json_union u;
    struct ww_json_field look;
    ww_json_union_info(s, group, &u);
    *ret = (u.has_tag && ww_bytes_eq(name, u.tag)) || (u.has_value && ww_bytes_eq(name, u.value));
    if (s->kind != WW_SCHEMA_STRUCT || depth == 0)
        return 0;
    for (uint32_t i = 0; i < s->count && !*ret; i++) {
        const struct ww_schema_field *f = &s->fields[i];
        WW_TRY(count_step(p));
        ww_json_field_info(f, &look);
        if (has_prefix(name, &look))
            WW_TRY(knows(p, f->type.node, f, ww_bytes_skip(name, look.prefix.len), depth - 1, ret));
        else if (!look.flat && (f->tag == WW_SCHEMA_NO_TAG || !u.has_value))
            *ret = ww_bytes_eq(name, look.name);
    }
    return 0;
}

/* Into the flattened field `f`, when it knows the name. */
static ww_err put_flat(struct ww_json_parser *p, struct ww_dyn_sb s, const struct ww_schema_field *f,
    struct ww_bytes name, uint32_t node, unsigned depth, enum ww_json_outcome *ret)
{
    struct ww_json_field look;
    struct ww_dyn_sb sub;
    bool known = false;
    ww_json_field_info(f, &look);
    if (!has_prefix(name, &look) || depth == 0)
        return 0;
    name = ww_bytes_skip(name, look.prefix.len);
    WW_TRY(knows(p, f->type.node, f, name, depth - 1, &known));
    if (!known)
        return 0;
    struct ww_diag diag = {0};
    ww_err err = ww_dyn_edit(s, f, &sub, &diag);
    if (err < 0)
        return ww_json_placed(p, node, err, &diag);
    return ww_json_put_member(p, sub, f, name, node, depth - 1, ret);
}

ww_err ww_json_put_member(struct ww_json_parser *p, struct ww_dyn_sb s, const struct ww_schema_field *group,
    struct ww_bytes name, uint32_t node, unsigned depth, enum ww_json_outcome *ret)
{
    const struct ww_schema *schema = s.type.node;
    struct ww_json_union u;
    struct ww_json_field look;
    ww_json_union_info(schema, group, &u);
    *ret = WW_JSON_DONE;
    if (u.has_tag && ww_bytes_eq(name, u.tag))
        return choose(p, s, node);
    bool seen = was_seen(p, s);
    const struct ww_schema_field *active = seen ? ww_dyn_which(ww_dyn_reader(s)) : NULL;
    if (u.has_value && ww_bytes_eq(name, u.value)) {
        *ret = seen ? WW_JSON_DONE : WW_JSON_WAIT;
        return active ? ww_json_put_field(p, s, active, node) : 0;
    }
    *ret = WW_JSON_UNKNOWN;
    for (uint32_t i = 0; i < schema->count && *ret == WW_JSON_UNKNOWN; i++) {
        const struct ww_schema_field *f = &schema->fields[i];
        bool member = f->tag != WW_SCHEMA_NO_TAG;
        WW_TRY(count_step(p));
        ww_json_field_info(f, &look);
        if (!look.flat) {
            if ((member && u.has_value) || !ww_bytes_eq(name, look.name))
                continue;
            *ret = WW_JSON_DONE;
            return ww_json_put_field(p, s, f, node);
        }
        bool known = false;
        if (member && !seen && has_prefix(name, &look) && depth > 0)
            WW_TRY(knows(p, f->type.node, f, ww_bytes_skip(name, look.prefix.len), depth - 1, &known));
        if (known)
            *ret = WW_JSON_WAIT;
        else if (!member || f == active)
            WW_TRY(put_flat(p, s, f, name, node, depth, ret));
    }
    return 0;
}

/* Without annotations, names are the schema's. */
static ww_err put_plain(struct ww_json_parser *p, struct ww_dyn_sb s, struct ww_bytes name, uint32_t node)
{
    char text[128];
    if (name.len >= sizeof text)
        return 0;
    if (name.len)
        memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    const struct ww_schema_field *f = strlen(text) == name.len ? ww_schema_field(s.type.node, text) : NULL;
    return f ? ww_json_put_field(p, s, f, node) : 0;
}

#define NAME_MAX_ 512 /* no member's name is longer, prefixes included */

static ww_err step_object(struct ww_json_parser *p, struct ww_json_frame *f)
{
    uint32_t name = f->node;
    struct ww_tape_node *n = &p->tape.nodes[name];
    uint8_t text[NAME_MAX_];
    enum ww_json_outcome outcome = WW_JSON_UNKNOWN;
    size_t frame = p->depth - 1;
    f->node = p->tape.nodes[name + 1].next;
    if (n->kind != WW_TAPE_NAME || n->len > sizeof text)
        return 0;
    struct ww_bytes b = ww_bytes(text, ww_json_unescape(ww_tape_text(&p->tape, n), text));
    if (!f->annotated)
        return put_plain(p, f->at.s, b, name + 1);
    p->steps = 0;
    WW_TRY(ww_json_put_member(p, f->at.s, f->group, b, name + 1, WW_JSON_FLAT_MAX, &outcome));
    f = &p->frames[frame];
    if (outcome == WW_JSON_WAIT) {
        f->waiting = true;
    } else {
        n->kind = WW_TAPE_GROUP; /* read: another pass goes over it */
        f->progress = true;
    }
    return 0;
}

static ww_err step(struct ww_json_parser *p)
{
    struct ww_json_frame *f = &p->frames[p->depth - 1];
    if (f->node == f->end) {
        if (f->waiting && f->progress) {
            f->waiting = f->progress = false;
            f->node = f->first;
        } else {
            p->seen_count = f->seen;
            p->depth--;
        }
        return 0;
    }
    if (!f->type.lists)
        return step_object(p, f);
    uint32_t node = f->node;
    f->node = p->tape.nodes[node].next;
    return ww_json_put_element(p, f->at.l, f->i++, node);
}

static ww_err build(struct ww_json_parser *p, struct ww_type type, struct ww_pb to)
{
    char name[96];
    WW_TRY(ww_dyn_check(type, p->tape.diag));
    if (p->tape.nodes[0].kind != WW_TAPE_STRUCT)
        return ww_json_expected(p, 0, ww_type_name(type, name, sizeof name));
    WW_TRY(ww_json_push(p, type, NULL, 0));
    ww_err err = ww_dyn_init_root(to, type, &p->frames[0].at.s, p->tape.diag);
    while (err == 0 && p->depth > 0)
        err = ww_tape_built(&p->tape, to, step(p));
    return err;
}

ww_err ww_json_parse(
    struct ww_bytes json, struct ww_type type, struct ww_pb to, size_t *ret_used, struct ww_diag *diag)
{
    struct ww_json_parser p = {.frames = NULL};
    ww_err err = ww_json_scan(&p.tape, json, diag);
    if (err == 0)
        err = ww_json_scan_end(&p.tape, ret_used != NULL);
    if (err == 0)
        err = build(&p, type, to);
    if (err == 0 && ret_used)
        *ret_used = p.tape.at;
    ww_free(p.frames);
    ww_free(p.seen);
    ww_tape_fini(&p.tape);
    return err;
}
