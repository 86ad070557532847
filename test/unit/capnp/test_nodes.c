/* Embedded schemas: what generated code says of itself is what the compiler said of the file. */
#include "test/lib/test.h"

#include "kitchen-other.capnp.h"
#include "kitchen.capnp.h"
#include "schema.capnp.h"

static const struct ww_msg_limits wide = {.words = 1 << 20, .traversal = 1 << 24, .segments = 1, .depth = 64};

static struct schema_Node_r open_node(struct ww_msg *m, const struct ww_capnp_node *n)
{
    struct ww_bytes seg = ww_bytes(n->words, n->word_count * 8);
    assert_ok(ww_msg_open_segs(m, &seg, 1, &wide));
    return schema_Node_r_root(m);
}

static const struct ww_capnp_node *dep(const struct ww_capnp_node *n, uint64_t id)
{
    for (uint32_t i = 0; i < n->dep_count; i++) {
        if (n->deps[i]->id == id)
            return n->deps[i];
    }
    return NULL;
}

struct walk {
    const struct ww_capnp_node *seen[256];
    size_t count;
};

static void walk(struct walk *w, const struct ww_capnp_node *n)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->seen[i] == n)
            return;
        assert_true(w->seen[i]->id != n->id); /* one copy of each */
    }
    assert_true(w->count < WW_COUNT_OF(w->seen));
    w->seen[w->count++] = n;
    for (uint32_t i = 0; i < n->dep_count; i++)
        walk(w, n->deps[i]);
}

static void every_node_is_canonical_and_named(void **state)
{
    struct walk w = {.count = 0};
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    walk(&w, &kitchen_file_node);
    assert_true(w.count > 45);
    for (size_t i = 0; i < w.count; i++) {
        const struct ww_capnp_node *n = w.seen[i];
        struct schema_Node_r r = open_node(&m, n);
        const char *display = ww_cstr(schema_Node_displayName(r));
        assert_true(ww_msg_is_canonical(&m));
        assert_true(schema_Node_id(r) == n->id);
        assert_string_equal(display, n->name);
        assert_null(strchr(display, '/'));
        uint32_t prefix = schema_Node_displayNamePrefixLength(r);
        assert_true(prefix < strlen(display));
        if (schema_Node_which(r) != schema_Node_which_file && schema_Node_scopeId(r) != 0)
            assert_true(display[prefix - 1] == ':' || display[prefix - 1] == '.');
        assert_ok(ww_msg_err(&m));
    }
    ww_msg_fini(&m);
}

static void types_lead_to_what_they_name(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct schema_Node_r r = open_node(&m, &kitchen_Shape_node);
    struct schema_Field_l fields = schema_Node_struct_fields(schema_Node_struct(r));
    assert_int_equal(fields.l.count, 8);
    assert_string_equal(ww_cstr(schema_Field_name(schema_Field_l_at(fields, 1))), "circle");
    assert_ptr_equal(dep(&kitchen_Shape_node, kitchen_Point_ID), &kitchen_Point_node);
    assert_null(dep(&kitchen_Shape_node, kitchen_Shape_ID));
    assert_int_equal(kitchen_Shape_node.dep_count, 3); /* Point, box, tail */
    assert_ptr_equal(dep(&kitchen_Kitchen_node, kitchen_Base_ID), &kitchen_Base_node);
    assert_ptr_equal(dep(&kitchen_UsesPair_node, kitchen_Pair_ID), &kitchen_Pair_node);
    assert_ptr_equal(dep(&kitchen_UsesPair_node, kitchen_Point_ID), &kitchen_Point_node);
    assert_ptr_equal(dep(&kitchen_Color_node, 1), NULL);
    ww_msg_fini(&m);
}

/* A file's reflection stands alone: what it imports is there as a copy of its own. */
static void imports_are_copied(void **state)
{
    const struct ww_capnp_node *remote = dep(&kitchen_Pointers_node, kitchen_other_Remote_ID);
    assert_non_null(remote);
    assert_ptr_not_equal(remote, &kitchen_other_Remote_node);
    assert_int_equal(remote->word_count, kitchen_other_Remote_node.word_count);
    assert_memory_equal(remote->words, kitchen_other_Remote_node.words, remote->word_count * 8);
    assert_ptr_equal(dep(remote, kitchen_Pointers_ID), &kitchen_Pointers_node);
    assert_string_equal(remote->name, "kitchen-other.capnp:Remote");
}

static void annotations_can_be_read(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct schema_Node_r r = open_node(&m, &kitchen_Names_node);
    struct schema_Field_l fields = schema_Node_struct_fields(schema_Node_struct(r));
    struct schema_Field_r renamed = {{0}};
    for (uint32_t i = 0; i < fields.l.count; i++) {
        struct schema_Field_r f = schema_Field_l_at(fields, i);
        if (strcmp(ww_cstr(schema_Field_name(f)), "renamed") == 0)
            renamed = f;
    }
    struct schema_Annotation_l uses = schema_Field_annotations(renamed);
    assert_int_equal(uses.l.count, 1);
    struct schema_Annotation_r use = schema_Annotation_l_at(uses, 0);
    assert_string_equal(ww_cstr(schema_Value_text(schema_Annotation_value(use))), "other");
    assert_non_null(dep(&kitchen_Names_node, schema_Annotation_id(use)));
    ww_msg_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_is_canonical_and_named),
        cmocka_unit_test(types_lead_to_what_they_name),
        cmocka_unit_test(imports_are_copied),
        cmocka_unit_test(annotations_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
