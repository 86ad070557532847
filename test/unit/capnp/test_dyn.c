/* Dynamic access against generated access: both see the same messages. */
#include "schema_rig.h"

static struct ww_dyn_value get(struct ww_dyn_sb s, const char *name)
{
    struct ww_dyn_value v;
    struct ww_diag diag = {0};
    if (ww_dyn_get_name(ww_dyn_reader(s), name, &v, &diag) < 0)
        fail_msg("%s", diag.text);
    return v;
}

static void set(struct ww_dyn_sb s, const char *name, struct ww_dyn_value v)
{
    struct ww_diag diag = {0};
    if (ww_dyn_set_name(s, name, &v, &diag) < 0)
        fail_msg("%s", diag.text);
}

static void refused(struct ww_dyn_sb s, const char *name, struct ww_dyn_value v, const char *text)
{
    struct ww_diag diag = {0};
    assert_true(ww_dyn_set_name(s, name, &v, &diag) < 0);
    if (!strstr(diag.text, text))
        fail_msg("'%s' does not say '%s'", diag.text, text);
}

static void reads_and_writes_scalars(void **state)
{
    struct ww_msg m;
    struct ww_dyn_sb s = rig_build(&m, "Scalars");
    /* Defaults. */
    assert_true(get(s, "set").as.b);
    assert_int_equal(get(s, "i8").as.i, -3);
    assert_int_equal(get(s, "u32").as.u, 3000000000);
    assert_true(get(s, "f32").as.f == 1.5 && get(s, "f64").as.f == -0.25);
    assert_int_equal(get(s, "color").as.e, 2);
    /* What is written here is read there. */
    set(s, "void", ww_dyn_void());
    set(s, "flag", ww_dyn_bool(true));
    set(s, "i8", ww_dyn_int(-128));
    set(s, "i16", ww_dyn_uint(32767));
    set(s, "i32", ww_dyn_float(-5));
    set(s, "i64", ww_dyn_int(INT64_MIN));
    set(s, "u64", ww_dyn_uint(UINT64_MAX));
    set(s, "f32", ww_dyn_int(7));
    set(s, "f64", ww_dyn_float(0.1));
    set(s, "color", ww_dyn_text(ww_text("green")));
    struct kitchen_Scalars_r r = kitchen_Scalars_r_root(&m);
    assert_true(kitchen_Scalars_flag(r));
    assert_int_equal(kitchen_Scalars_i8(r), -128);
    assert_int_equal(kitchen_Scalars_i16(r), 32767);
    assert_int_equal(kitchen_Scalars_i32(r), -5);
    assert_true(kitchen_Scalars_i64(r) == INT64_MIN);
    assert_true(kitchen_Scalars_u64(r) == UINT64_MAX);
    assert_true(kitchen_Scalars_f32(r) == 7 && kitchen_Scalars_f64(r) == 0.1);
    assert_int_equal(kitchen_Scalars_color(r), kitchen_Color_green);
    assert_int_equal(get(s, "i64").as.i, INT64_MIN);
    assert_ok(ww_dyn_clear(s, rig_field(s.type, "i8"), NULL));
    assert_int_equal(kitchen_Scalars_i8(r), -3);
    ww_msg_fini(&m);
}

static void refuses_wrong_values(void **state)
{
    struct ww_msg m;
    struct ww_dyn_value v;
    struct ww_dyn_sb s = rig_build(&m, "Scalars");
    refused(s, "i8", ww_dyn_int(128), "out of the range of Int8");
    refused(s, "i8", ww_dyn_int(-129), "out of the range");
    refused(s, "u64", ww_dyn_int(-1), "out of the range");
    refused(s, "i64", ww_dyn_uint(UINT64_C(1) << 63), "out of the range");
    refused(s, "i32", ww_dyn_float(1.5), "fraction");
    refused(s, "i32", ww_dyn_float(__builtin_nan("")), "fraction");
    refused(s, "u64", ww_dyn_float(18446744073709551616.0), "fraction");
    refused(s, "flag", ww_dyn_int(1), "found Int64, expected Bool");
    refused(s, "f64", ww_dyn_text(ww_text("1")), "found Text, expected Float64");
    refused(s, "color", ww_dyn_text(ww_text("gren")), "did you mean `green`?");
    refused(s, "color", ww_dyn_int(1), "expected kitchen.capnp:Color");
    refused(s, "i23", ww_dyn_int(1), "no field `i23` in kitchen.capnp:Scalars; did you mean `i32`?");
    refused(s, "nonsense", ww_dyn_int(1), "no field `nonsense` in kitchen.capnp:Scalars");
    /* A field of another struct. */
    const struct ww_schema_field *x = rig_field(rig_type("Point"), "x");
    assert_int_equal(ww_dyn_get(ww_dyn_reader(s), x, &v, NULL), WW_EINVAL);
    assert_int_equal(ww_dyn_set(s, x, &v, NULL), WW_EINVAL);
    assert_false(ww_dyn_has(ww_dyn_reader(s), x));
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void follows_unions_and_groups(void **state)
{
    struct ww_msg m;
    struct ww_dyn_value v;
    struct ww_dyn_sb s = rig_build(&m, "Shape"), box, inner;
    assert_string_equal(ww_dyn_which(ww_dyn_reader(s))->name, "circle");
    set(s, "label", ww_dyn_text(ww_text("hello")));
    assert_string_equal(ww_dyn_which(ww_dyn_reader(s))->name, "label");
    assert_int_equal(ww_dyn_get(ww_dyn_reader(s), rig_field(s.type, "circle"), &v, NULL), WW_ESTATE);
    assert_int_equal(ww_dyn_edit(s, rig_field(s.type, "box"), &box, NULL), WW_ESTATE);
    assert_ok(ww_dyn_init(s, rig_field(s.type, "box"), &box, NULL));
    /* The label's pointer is the corner's as well: a group begins empty. */
    assert_false(ww_dyn_has(ww_dyn_reader(box), rig_field(box.type, "corner")));
    assert_int_equal(get(box, "width").as.u, 4);
    set(box, "width", ww_dyn_int(9));
    assert_ok(ww_dyn_edit(box, rig_field(box.type, "inner"), &inner, NULL));
    set(inner, "filled", ww_dyn_bool(false));
    struct kitchen_Shape_r r = kitchen_Shape_r_root(&m);
    assert_int_equal(kitchen_Shape_which(r), kitchen_Shape_which_box);
    assert_int_equal(kitchen_Shape_box_width(kitchen_Shape_box(r)), 9);
    refused(s, "box", ww_dyn_int(1), "is a group");
    /* A tag that the schema does not know. */
    ww_sb_set_u16(s.b, s.type.node->tag_offset, 77);
    assert_null(ww_dyn_which(ww_dyn_reader(s)));
    ww_msg_fini(&m);
}

static void reads_pointers_and_their_defaults(void **state)
{
    struct ww_msg m;
    struct ww_dyn_value v;
    struct ww_dyn_struct point;
    struct ww_dyn_sb s = rig_build(&m, "Pointers"), edit;
    assert_bytes(get(s, "textDefault").as.bytes, "fallback", 8);
    assert_bytes(get(s, "dataDefault").as.bytes, "abc", 3);
    assert_int_equal(get(s, "text").as.bytes.len, 0);
    v = get(s, "pointDefault");
    assert_ok(ww_dyn_as_struct(&v, &point, NULL));
    assert_ok(ww_dyn_get_name(point, "y", &v, NULL));
    assert_int_equal(v.as.i, 12);
    assert_false(ww_dyn_has(ww_dyn_reader(s), rig_field(s.type, "pointDefault")));
    /* Editing begins with a copy of the default. */
    assert_ok(ww_dyn_edit(s, rig_field(s.type, "pointDefault"), &edit, NULL));
    set(edit, "x", ww_dyn_int(1));
    assert_int_equal(get(edit, "y").as.i, 12);
    /* AnyPointer takes any pointer. */
    set(s, "any", get(s, "pointDefault"));
    v = get(s, "any");
    assert_ok(ww_dyn_root(v.as.p, rig_type("Point"), &point, NULL));
    assert_ok(ww_dyn_get_name(point, "x", &v, NULL));
    assert_int_equal(v.as.i, 1);
    struct ww_pb any;
    assert_ok(ww_dyn_pointer(s, rig_field(s.type, "any"), &any, NULL));
    assert_ok(ww_dyn_edit_root(any, rig_type("Point"), &edit, NULL)); /* what is there stays */
    assert_int_equal(get(edit, "x").as.i, 1);
    assert_ok(ww_dyn_init_root(any, rig_type("Shape"), &edit, NULL));
    refused(s, "any", ww_dyn_int(5), "expected AnyPointer");
    refused(s, "point", ww_dyn_text(ww_text("no")), "expected kitchen.capnp:Point");
    refused(s, "cap", ww_dyn_text(ww_text("no")), "expected Capability");
    refused(s, "text", ww_dyn_cap(NULL), "expected Text");
    set(s, "cap", ww_dyn_cap(NULL));
    ww_msg_fini(&m);
}

static void reads_and_writes_lists(void **state)
{
    static const char *const numbers[] = {
        "i8s", "i16s", "i32s", "i64s", "u8s", "u16s", "u32s", "u64s", "f32s", "f64s"};
    struct ww_msg m;
    struct ww_dyn_value v;
    struct ww_dyn_lb l, row;
    struct ww_dyn_list r;
    struct ww_dyn_sb s = rig_build(&m, "Lists"), point;
    for (size_t i = 0; i < WW_COUNT_OF(numbers); i++) {
        assert_ok(ww_dyn_init_list(s, rig_field(s.type, numbers[i]), 3, &l, NULL));
        v = ww_dyn_int(5);
        assert_ok(ww_dyn_put(l, 2, &v, NULL));
        assert_int_equal(ww_dyn_put(l, 3, &v, NULL), WW_EINVAL);
        v = get(s, numbers[i]);
        assert_ok(ww_dyn_as_list(&v, &r, NULL));
        assert_int_equal(r.r.count, 3);
        assert_ok(ww_dyn_at(r, 2, &v, NULL));
        assert_true(i < 4 ? v.as.i == 5 : i < 8 ? v.as.u == 5 : v.as.f == 5);
        assert_int_equal(ww_dyn_at(r, 3, &v, NULL), WW_EINVAL);
    }
    assert_ok(ww_dyn_init_list(s, rig_field(s.type, "bools"), 9, &l, NULL));
    v = ww_dyn_bool(true);
    assert_ok(ww_dyn_put(l, 8, &v, NULL));
    assert_ok(ww_dyn_init_list(s, rig_field(s.type, "voids"), 4, &l, NULL));
    assert_ok(ww_dyn_init_list(s, rig_field(s.type, "texts"), 2, &l, NULL));
    v = ww_dyn_text(ww_text("two"));
    assert_ok(ww_dyn_put(l, 1, &v, NULL));
    assert_ok(ww_dyn_init_list(s, rig_field(s.type, "points"), 2, &l, NULL));
    assert_ok(ww_dyn_put_struct(l, 1, &point, NULL));
    set(point, "x", ww_dyn_int(3));
    assert_int_equal(ww_dyn_put(l, 0, &v, NULL), WW_EINVAL);
    assert_ok(ww_dyn_init_list(s, rig_field(s.type, "matrix"), 2, &l, NULL));
    assert_ok(ww_dyn_put_list(l, 1, 2, &row, NULL));
    v = ww_dyn_int(-7);
    assert_ok(ww_dyn_put(row, 0, &v, NULL));
    assert_ok(ww_dyn_edit_list(s, rig_field(s.type, "withDefault"), &l, NULL));
    assert_int_equal(l.b.count, 2);
    struct kitchen_Lists_r k = kitchen_Lists_r_root(&m);
    assert_true(ww_lr_bool(kitchen_Lists_bools(k), 8));
    assert_int_equal(kitchen_Lists_voids(k).count, 4);
    assert_string_equal(ww_cstr(ww_lr_text(kitchen_Lists_texts(k), 1)), "two");
    v = get(s, "matrix");
    assert_ok(ww_dyn_as_list(&v, &r, NULL));
    assert_ok(ww_dyn_at(r, 1, &v, NULL));
    assert_ok(ww_dyn_as_list(&v, &r, NULL));
    assert_ok(ww_dyn_at(r, 0, &v, NULL));
    assert_int_equal(v.as.i, -7);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void binds_generics(void **state)
{
    struct ww_msg m;
    struct ww_dyn_sb s = rig_build(&m, "UsesPair"), pair, point;
    assert_ok(ww_dyn_init(s, rig_field(s.type, "pair"), &pair, NULL));
    set(pair, "first", ww_dyn_text(ww_text("one")));
    refused(pair, "first", ww_dyn_data(ww_text("one")), "found Data, expected Text");
    assert_ok(ww_dyn_init(pair, rig_field(pair.type, "second"), &point, NULL));
    set(point, "y", ww_dyn_int(1));
    assert_bytes(get(pair, "first").as.bytes, "one", 3);
    ww_msg_fini(&m);
    /* Without a binding, any pointer does. */
    s = rig_build(&m, "Pair");
    set(s, "first", ww_dyn_data(ww_text("one")));
    assert_int_equal(get(s, "first").type.base, WW_TYPE_ANY);
    ww_msg_fini(&m);
}

static void needs_the_schema(void **state)
{
    struct ww_schema_set *some;
    const struct ww_schema *s;
    struct ww_seg seg = {
        .data = (uint8_t *)(uintptr_t)kitchen_Pointers_node.words, .used = kitchen_Pointers_node.word_count};
    struct ww_dyn_sb b, point;
    struct ww_dyn_value v;
    struct ww_diag diag;
    struct ww_msg m;
    assert_ok(ww_schema_set_new(NULL, &some));
    assert_ok(ww_schema_load_node(some, ww_pr_struct(ww_pr_const(&seg)), &s, &diag));
    ww_msg_init(&m, NULL);
    assert_ok(ww_dyn_init_root(ww_msg_root_builder(&m), ww_type_of(s), &b, NULL));
    const struct ww_schema_field *f = ww_schema_field(s, "point");
    assert_int_equal(ww_dyn_get(ww_dyn_reader(b), f, &v, NULL), WW_ENOTFOUND);
    assert_int_equal(ww_dyn_init(b, f, &point, &diag), WW_ENOTFOUND);
    assert_string_equal(diag.text, "field `point` of kitchen.capnp:Pointers: its schema is not loaded");
    assert_int_equal(ww_dyn_edit(b, f, &point, NULL), WW_ENOTFOUND);
    assert_int_equal(ww_dyn_init_root(ww_msg_root_builder(&m), f->type, &b, NULL), WW_ENOTFOUND);
    ww_msg_fini(&m);
    ww_schema_set_free(some);
}

#define SAYS(want, call)                                                                                     \
    do {                                                                                                     \
        memset(&diag, 0, sizeof diag);                                                                       \
        assert_int_equal(call, WW_EINVAL);                                                                   \
        assert_int_equal(diag.code, WW_EINVAL);                                                              \
        assert_string_equal(diag.text, want);                                                                \
    } while (0)

/* Every call has its words for what the program got wrong, and touches nothing then. */
static void says_what_is_wrong(void **state)
{
    struct ww_diag diag;
    struct ww_msg m;
    struct ww_dyn_sb s = rig_build(&m, "Pointers"), other;
    struct ww_dyn_struct r;
    struct ww_dyn_list lr;
    struct ww_dyn_lb l;
    struct ww_pb p;
    struct ww_dyn_value v = ww_dyn_int(1);
    const struct ww_schema_field *x = rig_field(rig_type("Point"), "x"), *text = rig_field(s.type, "text"),
                                 *point = rig_field(s.type, "point");
    const char *strange = "field `x` of kitchen.capnp:Point is none of kitchen.capnp:Pointers";
    SAYS(strange, ww_dyn_get(ww_dyn_reader(s), x, &v, &diag));
    SAYS(strange, ww_dyn_set(s, x, &v, &diag));
    SAYS(strange, ww_dyn_clear(s, x, &diag));
    SAYS(strange, ww_dyn_init(s, x, &other, &diag));
    SAYS(strange, ww_dyn_edit(s, x, &other, &diag));
    SAYS(strange, ww_dyn_init_list(s, x, 1, &l, &diag));
    SAYS(strange, ww_dyn_edit_list(s, x, &l, &diag));
    SAYS(strange, ww_dyn_pointer(s, x, &p, &diag));
    const char *no_struct = "field `text` of kitchen.capnp:Pointers: found Text, expected a struct";
    SAYS(no_struct, ww_dyn_init(s, text, &other, &diag));
    SAYS(no_struct, ww_dyn_edit(s, text, &other, &diag));
    const char *no_list =
        "field `point` of kitchen.capnp:Pointers: found kitchen.capnp:Point, expected a list";
    SAYS(no_list, ww_dyn_init_list(s, point, 1, &l, &diag));
    SAYS(no_list, ww_dyn_edit_list(s, point, &l, &diag));
    SAYS("Int64 is no struct", ww_dyn_as_struct(&v, &r, &diag));
    SAYS("Int64 is no list", ww_dyn_as_list(&v, &lr, &diag));
    SAYS("Int64 is no struct", ww_dyn_root(ww_msg_root(&m), v.type, &r, &diag));
    SAYS("Int64 is no struct", ww_dyn_init_root(ww_msg_root_builder(&m), v.type, &other, &diag));
    SAYS("Int64 is no struct", ww_dyn_edit_root(ww_msg_root_builder(&m), v.type, &other, &diag));
    struct ww_dyn_sb lists;
    assert_ok(ww_dyn_init_root(ww_msg_root_builder(&m), rig_type("Lists"), &lists, &diag));
    assert_ok(ww_dyn_init_list(lists, rig_field(lists.type, "texts"), 2, &l, &diag));
    lr = (struct ww_dyn_list){l.type, ww_lb_reader(l.b)};
    SAYS("the list has no element 2", ww_dyn_at(lr, 2, &v, &diag));
    SAYS("the list has no element 2", ww_dyn_put(l, 2, &v, &diag));
    SAYS("the list has no element 2", ww_dyn_put_struct(l, 2, &other, &diag));
    SAYS("the list has no element 2", ww_dyn_put_list(l, 2, 1, &l, &diag));
    SAYS("Text is no struct", ww_dyn_put_struct(l, 1, &other, &diag));
    SAYS("found List(Text), expected a list of lists", ww_dyn_put_list(l, 1, 1, &l, &diag));
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
    s = rig_build(&m, "Shape");
    assert_int_equal(ww_dyn_edit(s, rig_field(s.type, "box"), &other, &diag), WW_ESTATE);
    assert_string_equal(
        diag.text, "field `box` of kitchen.capnp:Shape is not the active member of its union");
    assert_int_equal(ww_dyn_pointer(s, rig_field(s.type, "area"), &p, &diag), WW_EINVAL);
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static ww_err build(void *ctx)
{
    struct ww_schema_set *kitchen;
    struct ww_msg m;
    struct ww_dyn_sb s, pair;
    struct ww_dyn_value v = ww_dyn_text(ww_text("one"));
    WW_TRY(rig_load(&kitchen));
    struct ww_type type = ww_type_of(ww_schema_by_name(kitchen, "UsesPair"));
    ww_msg_init(&m, NULL);
    ww_err err = ww_dyn_init_root(ww_msg_root_builder(&m), type, &s, NULL);
    if (err == 0)
        err = ww_dyn_init(s, ww_schema_field(type.node, "pair"), &pair, NULL);
    if (err == 0)
        err = ww_dyn_set_name(pair, "first", &v, NULL);
    ww_msg_fini(&m);
    ww_schema_set_free(kitchen);
    return err;
}

static void survives_allocation_failures(void **state)
{
    alloc_fail_run(build, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_scalars),
        cmocka_unit_test(refuses_wrong_values),
        cmocka_unit_test(follows_unions_and_groups),
        cmocka_unit_test(reads_pointers_and_their_defaults),
        cmocka_unit_test(reads_and_writes_lists),
        cmocka_unit_test(binds_generics),
        cmocka_unit_test(needs_the_schema),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(survives_allocation_failures),
    };
    return cmocka_run_group_tests_name("capnp/dyn", tests, rig_setup, rig_teardown);
}
