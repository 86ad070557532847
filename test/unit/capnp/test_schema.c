/* Schema sets: loading requests, single nodes and embedded ones; what loading must refuse. */
#include <unistd.h>

#include "capnp/schema_layout.h"
#include "ww/schema.h"

#include "kitchen.capnp.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

/* The request that `capnp compile` makes of the kitchen schema, read once. */
static struct ww_msg request;

static int setup(void **state)
{
    static uint8_t bytes[1 << 18];
    char command[1024];
    snprintf(command, sizeof command, "%s compile -I%s -o- --src-prefix=%s %s/kitchen.capnp", getenv("CAPNP"),
        getenv("SCHEMA"), getenv("KITCHEN"), getenv("KITCHEN"));
    FILE *in = popen(command, "r");
    assert_non_null(in);
    size_t len = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(pclose(in), 0);
    ww_msg_init(&request, NULL);
    assert_ok(ww_msg_open_copy(&request, ww_bytes(bytes, len), NULL));
    return 0;
}

static int teardown(void **state)
{
    ww_msg_fini(&request);
    return 0;
}

static struct ww_schema_set *load(void)
{
    struct ww_schema_set *set;
    struct ww_diag diag = {0};
    request.budget = UINT64_C(1) << 20;
    assert_ok(ww_schema_set_new(NULL, &set));
    ww_err err = ww_schema_load_request(set, &request, &diag);
    if (err < 0)
        fail_msg("%s", diag.text);
    return set;
}

static void loads_a_request(void **state)
{
    struct ww_schema_set *set = load();
    const struct ww_schema *s = ww_schema_by_name(set, "Scalars");
    assert_non_null(s);
    assert_int_equal(s->kind, WW_SCHEMA_STRUCT);
    assert_string_equal(s->name, "Scalars");
    assert_string_equal(s->display_name, "kitchen.capnp:Scalars");
    assert_int_equal(s->count, 14);
    const struct ww_schema_field *f = ww_schema_field(s, "i32");
    assert_int_equal(f->type.base, WW_TYPE_INT32);
    assert_int_equal((int32_t)f->deflt.bits, -100000);
    assert_null(ww_schema_field(s, "i33"));
    f = ww_schema_field(s, "color");
    assert_int_equal(f->type.base, WW_TYPE_ENUM);
    uint16_t value;
    assert_non_null(ww_schema_enumerant(f->type.node, "blue", &value));
    assert_int_equal(value, 2);
    assert_int_equal(f->deflt.bits, 2);
    /* Again: all of it is there. */
    struct ww_diag diag;
    assert_ok(ww_schema_load_request(set, &request, &diag));
    ww_schema_set_free(set);
}

static void loads_what_is_embedded(void **state)
{
    struct ww_schema_set *set, *whole = load();
    const struct ww_schema *s;
    struct ww_diag diag;
    assert_ok(ww_schema_set_new(NULL, &set));
    /* One struct brings what it needs and leaves the rest. */
    assert_ok(ww_schema_load_embedded(set, &kitchen_Shape_node, &s, &diag));
    assert_string_equal(s->name, "Shape");
    assert_int_equal(ww_schema_field(s, "box")->type.node->kind, WW_SCHEMA_STRUCT);
    assert_null(ww_schema_by_id(set, kitchen_Lists_node.id));
    assert_ok(ww_schema_load_embedded(set, &kitchen_file_node, NULL, &diag));
    assert_ok(ww_schema_load_embedded(set, &kitchen_file_node, NULL, &diag));
    for (size_t i = 0; (s = ww_schema_at(whole, i)) != NULL; i++) {
        const struct ww_schema *mine = ww_schema_by_id(set, s->id);
        if (s->kind == WW_SCHEMA_STRUCT && strncmp(s->display_name, "kitchen.capnp:", 14) == 0) {
            assert_non_null(mine);
            assert_int_equal(mine->count, s->count);
            assert_int_equal(mine->data_words, s->data_words);
        }
    }
    ww_schema_set_free(set);
    ww_schema_set_free(whole);
}

static ww_err load_embedded(void *ctx)
{
    struct ww_schema_set *set;
    WW_TRY(ww_schema_set_new(NULL, &set));
    ww_err err = ww_schema_load_embedded(set, &kitchen_file_node, NULL, NULL);
    ww_schema_set_free(set);
    return err;
}

static void finds_by_path(void **state)
{
    struct ww_schema_set *set = load();
    const struct ww_schema *s = ww_schema_by_name(set, "Outer.Middle.Inner");
    assert_string_equal(s->name, "Inner");
    assert_ptr_equal(ww_schema_by_name(set, "kitchen.capnp:Outer.Middle.Inner"), s);
    assert_null(ww_schema_by_name(set, "kitchen-other.capnp:Outer.Middle.Inner"));
    assert_null(ww_schema_by_name(set, "Outer.Middle.Inner.Deeper"));
    assert_null(ww_schema_by_name(set, ""));
    assert_null(ww_schema_by_name(set, "Outer..Inner"));
    assert_int_equal(ww_schema_by_name(set, "Outer.Middle.Inner.limit")->value.bits, 99);
    assert_string_equal(ww_schema_resolve(s, "Mood")->name, "Mood");
    assert_string_equal(ww_schema_resolve(s, "Color")->name, "Color");
    assert_null(ww_schema_resolve(s, "Colour"));
    assert_int_equal(ww_schema_by_name(set, "kitchen.capnp")->kind, WW_SCHEMA_FILE);
    ww_schema_set_free(set);
}

static void knows_unions_and_groups(void **state)
{
    struct ww_schema_set *set = load();
    const struct ww_schema *s = ww_schema_by_name(set, "Shape");
    assert_int_equal(s->tag_count, 6);
    assert_string_equal(ww_schema_member(s, 3)->name, "label");
    assert_null(ww_schema_member(s, 6));
    const struct ww_schema_field *box = ww_schema_field(s, "box");
    assert_true(box->is_group && box->type.node->is_group);
    const struct ww_schema_field *inner = ww_schema_field(box->type.node, "inner");
    assert_int_equal(inner->type.node->tag_count, 2);
    assert_int_equal(inner->tag, WW_SCHEMA_NO_TAG);
    ww_schema_set_free(set);
}

static void knows_interfaces(void **state)
{
    struct ww_schema_set *set = load();
    const struct ww_schema *kitchen = ww_schema_by_name(set, "Kitchen"),
                           *base = ww_schema_by_name(set, "Base");
    assert_int_equal(kitchen->super_count, 2);
    assert_true(ww_schema_extends(kitchen, base));
    assert_false(ww_schema_extends(base, kitchen));
    assert_ptr_equal(ww_schema_method(kitchen, "cook")->owner, kitchen);
    assert_ptr_equal(ww_schema_method(kitchen, "ping")->owner, base);
    assert_true(ww_schema_method(kitchen, "feed")->streaming);
    assert_false(ww_schema_method(kitchen, "taste")->streaming);
    assert_null(ww_schema_method(base, "cook"));
    assert_string_equal(ww_schema_method(kitchen, "taste")->params.node->name, "Point");
    ww_schema_set_free(set);
}

static void binds_type_parameters(void **state)
{
    struct ww_schema_set *set = load();
    struct ww_type t, pair = ww_type_of(ww_schema_by_name(set, "Pair"));
    const struct ww_schema_field *second = ww_schema_field(pair.node, "second");
    /* Unbound. */
    assert_ok(ww_schema_field_type(pair, second, &t));
    assert_int_equal(t.base, WW_TYPE_ANY);
    assert_false(t.open);
    /* As a field binds it. */
    struct ww_type user = ww_type_of(ww_schema_by_name(set, "UsesPair")), bound;
    assert_ok(ww_schema_field_type(user, ww_schema_field(user.node, "pair"), &bound));
    assert_ok(ww_schema_field_type(bound, second, &t));
    assert_string_equal(t.node->name, "Point");
    assert_ok(ww_schema_field_type(bound, ww_schema_field(pair.node, "first"), &t));
    assert_int_equal(t.base, WW_TYPE_TEXT);
    /* By hand: equal bindings are one type. */
    struct ww_type args[2] = {{.base = WW_TYPE_TEXT}, ww_type_of(ww_schema_by_name(set, "Point"))}, same;
    assert_ok(ww_type_bind(pair.node, args, 2, &same));
    assert_true(ww_type_equal(same, bound));
    args[0].lists = 3;
    assert_ok(ww_type_bind(pair.node, args, 2, &same));
    assert_false(ww_type_equal(same, bound));
    assert_int_equal(ww_type_bind(pair.node, args, 1, &same), WW_EINVAL);
    args[0] = (struct ww_type){.base = WW_TYPE_UINT8};
    assert_int_equal(ww_type_bind(pair.node, args, 2, &same), WW_EINVAL);
    char name[64];
    assert_string_equal(ww_type_name((struct ww_type){.base = WW_TYPE_TEXT, .lists = 2}, name, sizeof name),
        "List(List(Text))");
    assert_string_equal(ww_type_name(pair, name, 10), "kitchen.c");
    ww_schema_set_free(set);
}

/* ---- what must be refused: a node that is right, with one thing changed */

static struct ww_sr node_of(const char *name)
{
    struct ww_lr nodes = ww_layout_request_nodes(ww_pr_struct(ww_msg_root(&request)));
    request.budget = UINT64_C(1) << 20;
    for (uint32_t i = 0; i < nodes.count; i++) {
        struct ww_sr n = ww_lr_struct(nodes, i);
        if (strcmp(ww_cstr(ww_layout_node_name(n)) + ww_layout_node_prefix(n), name) == 0)
            return n;
    }
    fail_msg("no node %s", name);
    return (struct ww_sr){0};
}

static struct ww_msg changed;

/* A copy of the node to change. */
static struct ww_sb edit(const char *name)
{
    ww_msg_fini(&changed);
    ww_msg_init(&changed, NULL);
    ww_pb_set_struct(ww_msg_root_builder(&changed), node_of(name));
    return ww_pb_struct(ww_msg_root_builder(&changed), 5, 6);
}

static struct ww_sb member(struct ww_sb node, uint32_t i)
{
    return ww_lb_struct(ww_pb_structs(ww_sb_ptr(node, 3), 3, 4), i);
}

static void refused(struct ww_sb node, const char *text)
{
    struct ww_schema_set *set;
    const struct ww_schema *s;
    struct ww_diag diag = {0};
    assert_ok(ww_msg_err(&changed));
    assert_ok(ww_schema_set_new(NULL, &set));
    assert_int_equal(ww_schema_load_node(set, ww_sb_reader(node), &s, &diag), WW_EMALFORMED);
    if (!strstr(diag.text, text))
        fail_msg("'%s' does not say '%s'", diag.text, text);
    ww_schema_set_free(set);
}

static void accepted(struct ww_sb node)
{
    struct ww_schema_set *set;
    const struct ww_schema *s;
    struct ww_diag diag = {0};
    assert_ok(ww_schema_set_new(NULL, &set));
    if (ww_schema_load_node(set, ww_sb_reader(node), &s, &diag) < 0)
        fail_msg("%s", diag.text);
    ww_schema_set_free(set);
}

static void refuses_bad_structs(void **state)
{
    struct ww_sb n = edit("Scalars");
    accepted(n);
    /* i32 is the field that does not fit; (2^30 + 1) * 32 is 32 again in 32 bits. */
    ww_sb_set_u32(member(n, 5), 1, UINT32_C(1) << 30);
    refused(n, "outside of its struct: i32");
    n = edit("Scalars");
    ww_sb_set_u32(member(n, 5), 1, UINT32_MAX);
    refused(n, "outside of its struct: i32");
    n = edit("Scalars");
    ww_sb_set_u32(member(n, 1), 1, 64 * 64);
    refused(n, "outside of its struct: flag");
    n = edit("Pointers");
    ww_sb_set_u32(member(n, 3), 1, 10);
    refused(n, "outside of its struct: dataDefault");
    n = edit("Scalars");
    ww_sb_set_u16(member(n, 5), 0, 77);
    refused(n, "impossible places");
    n = edit("Scalars");
    ww_sb_set_u16(member(n, 5), 0, 4);
    refused(n, "impossible places");
    n = edit("Scalars");
    ww_pb_set_text(ww_sb_ptr(member(n, 5), 0), ww_text("i16"));
    refused(n, "two members of one name: i16");
    n = edit("Scalars");
    ww_pb_set_text(ww_sb_ptr(member(n, 5), 0), ww_text("a\"b"));
    refused(n, "no identifier");
    n = edit("Scalars");
    ww_pb_clear(ww_sb_ptr(member(n, 5), 0));
    refused(n, "no identifier");
    n = edit("Scalars");
    ww_sb_set_u16(member(n, 5), 6, 9);
    refused(n, "order of their ordinals");
    n = edit("Scalars");
    ww_sb_set_u16(member(n, 5), 4, 2);
    refused(n, "field of an unknown kind");
    n = edit("Scalars");
    ww_sb_set_u16(ww_pb_struct(ww_sb_ptr(member(n, 5), 3), 2, 1), 0, WW_TYPE_UINT32);
    refused(n, "not of its type");
    n = edit("Scalars");
    ww_sb_set_u16(ww_pb_struct(ww_sb_ptr(member(n, 5), 2), 3, 1), 0, 19);
    refused(n, "type that is not known");
    n = edit("Scalars");
    ww_sb_set_u16(n, 6, 6);
    refused(n, "kind that is not known");
    n = edit("Scalars");
    ww_sb_set_u64(n, 0, 0);
    refused(n, "no id");
    n = edit("Scalars");
    ww_sb_set_u32(n, 2, 1000);
    refused(n, "shorter than its prefix");
    n = edit("Pointers");
    ww_pb_set_data(ww_sb_ptr(ww_pb_struct(ww_sb_ptr(member(n, 1), 3), 2, 1), 0), ww_text("no end"));
    refused(n, "not of its type");
}

static void refuses_bad_unions(void **state)
{
    struct ww_sb n = edit("Shape");
    accepted(n);
    ww_sb_set_u16(member(n, 1), 1, 6 ^ 0xffff);
    refused(n, "impossible tag: circle");
    n = edit("Shape");
    ww_sb_set_u16(member(n, 1), 1, 1 ^ 0xffff);
    refused(n, "impossible tag: square");
    n = edit("Shape");
    ww_sb_set_u16(member(n, 1), 1, 0);
    refused(n, "members missing");
    n = edit("Shape");
    ww_sb_set_u32(n, 8, UINT32_MAX);
    refused(n, "tag outside");
    n = edit("Shape");
    ww_sb_set_u32(n, 8, UINT32_C(1) << 28);
    refused(n, "tag outside");
    n = edit("Shape");
    ww_sb_set_u16(n, 15, 1);
    refused(n, "union of one");
    n = edit("Shape");
    ww_sb_set_u64(member(n, 6), 2, ww_layout_node_id(ww_sb_reader(n)));
    struct ww_schema_set *set;
    struct ww_diag diag;
    assert_ok(ww_schema_set_new(NULL, &set));
    assert_int_equal(ww_schema_load_node(set, ww_sb_reader(n), NULL, &diag), 0);
    ww_schema_set_free(set);
}

static void keeps_what_is_missing_apart(void **state)
{
    struct ww_schema_set *set;
    const struct ww_schema *s;
    struct ww_diag diag;
    assert_ok(ww_schema_set_new(NULL, &set));
    assert_ok(ww_schema_load_node(set, node_of("Scalars"), &s, &diag));
    const struct ww_schema *color = ww_schema_field(s, "color")->type.node;
    assert_int_equal(color->kind, WW_SCHEMA_MISSING);
    /* Not what it was taken for. */
    struct ww_sb n = edit("Point");
    ww_sb_set_u64(n, 0, color->id);
    assert_int_equal(ww_schema_load_node(set, ww_sb_reader(n), NULL, &diag), WW_EMALFORMED);
    assert_non_null(strstr(diag.text, "not of the kind"));
    assert_int_equal(color->kind, WW_SCHEMA_MISSING);
    assert_ok(ww_schema_load_node(set, node_of("Color"), NULL, &diag));
    assert_int_equal(color->kind, WW_SCHEMA_ENUM);
    /* And the other way: a field of a known node of another kind. */
    n = edit("Scalars");
    ww_sb_set_u64(n, 0, 0x8000000000000001);
    ww_sb_set_u64(ww_pb_struct(ww_sb_ptr(member(n, 13), 2), 3, 1), 1, s->id);
    assert_int_equal(ww_schema_load_node(set, ww_sb_reader(n), NULL, &diag), WW_EMALFORMED);
    assert_non_null(strstr(diag.text, "another kind"));
    ww_schema_set_free(set);
}

static void takes_the_newer_version(void **state)
{
    struct ww_schema_set *set;
    const struct ww_schema *s;
    struct ww_diag diag;
    struct ww_sb n = edit("Color");
    struct ww_msg older;
    ww_msg_init(&older, NULL);
    ww_pb_set_struct(ww_msg_root_builder(&older), ww_sb_reader(n));
    struct ww_sb old = ww_pb_struct(ww_msg_root_builder(&older), 5, 6);
    ww_pb_init_structs(ww_sb_ptr(old, 3), 1, 2, 1);
    ww_pb_set_text(ww_sb_ptr(ww_lb_struct(ww_pb_structs(ww_sb_ptr(old, 3), 1, 2), 0), 0), ww_text("red"));
    assert_ok(ww_schema_set_new(NULL, &set));
    assert_ok(ww_schema_load_node(set, ww_sb_reader(old), &s, &diag));
    assert_int_equal(s->count, 1);
    assert_ok(ww_schema_load_node(set, ww_sb_reader(n), &s, &diag));
    assert_int_equal(s->count, 3);
    assert_ok(ww_schema_load_node(set, ww_sb_reader(old), &s, &diag));
    assert_int_equal(s->count, 3);
    ww_msg_fini(&older);
    /* No version of it: a field of another type. */
    assert_ok(ww_schema_load_node(set, node_of("Scalars"), &s, &diag));
    n = edit("Scalars");
    ww_sb_set_u16(ww_pb_struct(ww_sb_ptr(member(n, 5), 2), 3, 1), 0, WW_TYPE_UINT32);
    ww_sb_set_u16(ww_pb_struct(ww_sb_ptr(member(n, 5), 3), 2, 1), 0, WW_TYPE_UINT32);
    assert_int_equal(ww_schema_load_node(set, ww_sb_reader(n), NULL, &diag), WW_EEXIST);
    assert_non_null(strstr(diag.text, "no version of the same thing"));
    assert_int_equal(ww_schema_field(s, "i32")->type.base, WW_TYPE_INT32);
    ww_schema_set_free(set);
}

static void bounds_its_memory(void **state)
{
    const struct ww_schema_limits few = {.nodes = 8}, small = {.bytes = 10000};
    struct ww_schema_set *set;
    struct ww_diag diag;
    request.budget = UINT64_C(1) << 20;
    assert_ok(ww_schema_set_new(&few, &set));
    assert_int_equal(ww_schema_load_request(set, &request, &diag), WW_ELIMIT);
    ww_schema_set_free(set);
    assert_ok(ww_schema_set_new(&small, &set));
    assert_int_equal(ww_schema_load_request(set, &request, &diag), WW_ELIMIT);
    ww_schema_set_free(set);
}

static void refuses_endless_scopes(void **state)
{
    struct ww_schema_set *set;
    struct ww_diag diag;
    struct ww_sb n = edit("Point");
    ww_sb_set_u64(n, 2, ww_layout_node_id(ww_sb_reader(n)));
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct ww_sb r = ww_pb_init_struct(ww_msg_root_builder(&m), 0, 4);
    /* The changed node as the request's only one. */
    struct ww_lr one = {
        ww_sb_reader(n).seg, ww_sb_reader(n).data, 1, 5 * 8 + 6 * 8, 5 * 8, 6, WW_ELEM_STRUCT, 64};
    ww_pb_set_list(ww_sb_ptr(r, 0), one);
    assert_ok(ww_schema_set_new(NULL, &set));
    assert_int_equal(ww_schema_load_request(set, &m, &diag), WW_EMALFORMED);
    assert_non_null(strstr(diag.text, "without end"));
    ww_schema_set_free(set);
    ww_msg_fini(&m);
}

static ww_err load_all(void *ctx)
{
    struct ww_schema_set *set;
    struct ww_diag diag;
    request.budget = UINT64_C(1) << 20;
    WW_TRY(ww_schema_set_new(NULL, &set));
    ww_err err = ww_schema_load_request(set, &request, &diag);
    if (err == 0) {
        struct ww_type t, user = ww_type_of(ww_schema_by_name(set, "UsesPair"));
        err = ww_schema_field_type(user, ww_schema_field(user.node, "pair"), &t);
    }
    ww_schema_set_free(set);
    request.err = 0;
    return err;
}

static void survives_allocation_failures(void **state)
{
    alloc_fail_run(load_all, NULL);
    alloc_fail_run(load_embedded, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_a_request),
        cmocka_unit_test(loads_what_is_embedded),
        cmocka_unit_test(finds_by_path),
        cmocka_unit_test(knows_unions_and_groups),
        cmocka_unit_test(knows_interfaces),
        cmocka_unit_test(binds_type_parameters),
        cmocka_unit_test(refuses_bad_structs),
        cmocka_unit_test(refuses_bad_unions),
        cmocka_unit_test(keeps_what_is_missing_apart),
        cmocka_unit_test(takes_the_newer_version),
        cmocka_unit_test(bounds_its_memory),
        cmocka_unit_test(refuses_endless_scopes),
        cmocka_unit_test(survives_allocation_failures),
    };
    int failed = cmocka_run_group_tests_name("capnp/schema", tests, setup, teardown);
    ww_msg_fini(&changed);
    return failed;
}
