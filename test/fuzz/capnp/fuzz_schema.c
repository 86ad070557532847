/* Loading schemas that nobody vouched for: what is accepted holds all that later accesses rely on, and
 * loading it again changes nothing. */
#include "base/base.h"
#include "ww/schema.h"

static volatile uint64_t sink;

/* Groups are held against their parents when all nodes are there. */
static void check_field(const struct ww_schema *s, const struct ww_schema_field *f, bool whole)
{
    struct ww_type t;
    WW_ASSERT(ww_schema_field(s, f->name) == f && f->owner == s);
    WW_ASSERT(
        !f->is_group || !whole || f->type.node->kind == WW_SCHEMA_MISSING || f->type.node->ptrs <= s->ptrs);
    WW_ASSERT(f->is_group || !ww_type_is_pointer(f->type) || f->offset < s->ptrs);
    WW_ASSERT(f->tag == WW_SCHEMA_NO_TAG || ww_schema_member(s, f->tag) == f);
    if (ww_schema_field_type(ww_type_of(s), f, &t) == 0) {
        char name[40];
        WW_ASSERT(!t.open);
        sink += strlen(ww_type_name(t, name, sizeof name));
    }
}

static void check(const struct ww_schema *s, bool whole)
{
    for (uint32_t i = 0; s->kind == WW_SCHEMA_STRUCT && i < s->count; i++)
        check_field(s, &s->fields[i], whole);
    for (uint32_t i = 0; s->kind == WW_SCHEMA_ENUM && i < s->count; i++) {
        uint16_t value;
        WW_ASSERT(ww_schema_enumerant(s, s->enumerants[i].name, &value) && value == i);
    }
    for (uint32_t i = 0; s->kind == WW_SCHEMA_INTERFACE && i < s->count; i++)
        WW_ASSERT(ww_schema_method(s, s->methods[i].name)->owner == s);
    WW_ASSERT(ww_schema_extends(s, s));
    sink += ww_schema_resolve(s, "a.b.c") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ww_msg_limits msg = {.words = 1 << 16, .traversal = 1 << 16, .segments = 8, .depth = 64};
    const struct ww_schema_limits lim = {.bytes = 1 << 20, .nodes = 1000};
    struct ww_schema_set *set;
    struct ww_diag diag;
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    WW_ASSERT(ww_schema_set_new(&lim, &set) == 0);
    if (ww_msg_open(&m, ww_bytes(data, len), &msg) == 0) {
        ww_err err = ww_schema_load_request(set, &m, &diag);
        WW_ASSERT(err == 0 || diag.text[0]);
        for (size_t i = 0; ww_schema_at(set, i); i++)
            check(ww_schema_at(set, i), err == 0);
        if (err == 0 && ww_msg_open(&m, ww_bytes(data, len), &msg) == 0) {
            err = ww_schema_load_request(set, &m, &diag);
            WW_ASSERT(err == 0 || err == WW_ELIMIT || err == WW_EEXIST);
        }
    }
    ww_msg_fini(&m);
    ww_schema_set_free(set);
    return 0;
}
