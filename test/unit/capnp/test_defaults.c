/* Defaults and constants of every kind: what accessors read where nothing is written, written out, is what
 * the schema compiler reads; and names that are words or macros of C. */
#define SCHEMA_FILE "defaults.capnp"
#include "test/unit/capnp/tool.h"

#include <errno.h>
#include <math.h>

#include "defaults.capnp.h"
#include "generics.capnp.h"
#include "schema.capnp.h"

#define ALL_TEXT                                                                                             \
    "text = \"tab\\t quote\\\" ☃ \\177 end\", empty = \"\", data = \"\\000\\001\\376\\377\", "             \
    "bools = [true, false, true], int8s = [-1, 0, 127], uint64s = [18446744073709551615], "                  \
    "float32s = [1.5, inf, -inf], float64s = [0.1, -1e300], texts = [\"\", \"x\", \"☃\"], "                \
    "datas = [\"ab\", \"\\000\"], moods = [bad, good, bad], points = [(x = 1, y = 3), (x = 0, y = 3), "      \
    "(x = 0, y = 9)], lists = [[1], [], [2, 3]], pointLists = [[(x = 1, y = 3)], []], "                      \
    "point = (x = 1, y = 2), "
#define SCALARS_TEXT                                                                                         \
    "f32 = nan, f64 = -inf, mood = bad, u64 = 18446744073709551615, i64 = -9223372036854775808, "
#define NOTHING_TEXT SCALARS_TEXT "nothing = void"

/* Copies each default that the getter gives into the field itself. */
static void write_out(struct defaults_All_b b, struct defaults_All_r r)
{
    defaults_All_set_text(b, defaults_All_text(r));
    defaults_All_set_empty(b, defaults_All_empty(r));
    defaults_All_set_data(b, defaults_All_data(r));
    defaults_All_set_bools(b, defaults_All_bools(r));
    defaults_All_set_int8s(b, defaults_All_int8s(r));
    defaults_All_set_uint64s(b, defaults_All_uint64s(r));
    defaults_All_set_float32s(b, defaults_All_float32s(r));
    defaults_All_set_float64s(b, defaults_All_float64s(r));
    defaults_All_set_texts(b, defaults_All_texts(r));
    defaults_All_set_datas(b, defaults_All_datas(r));
    defaults_All_set_moods(b, defaults_All_moods(r));
    defaults_All_set_points(b, defaults_All_points(r));
    defaults_All_set_lists(b, defaults_All_lists(r));
    defaults_All_set_pointLists(b, defaults_All_pointLists(r));
    defaults_All_set_point(b, defaults_All_point(r));
    defaults_All_set_voids(b, defaults_All_voids(r));
    defaults_All_set_box(b, defaults_All_box(r));
    defaults_All_set_same(b, defaults_All_same(r));
}

static void defaults_are_the_schemas(void **state)
{
    struct ww_msg empty, m;
    ww_msg_init(&empty, NULL);
    ww_msg_init(&m, NULL);
    defaults_All_b_root(&empty);
    struct defaults_All_r r = defaults_All_r_root(&empty);
    struct defaults_All_b b = defaults_All_b_root(&m);
    write_out(b, r);
    assert_decodes(&m, "All",
        "(" ALL_TEXT "voids = [void, void, void], f32 = nan, f64 = -inf, mood = bad, u64 = "
        "18446744073709551615, i64 = -9223372036854775808, box = (value = (x = 8, y = 3), label = \"b\"), "
        "same = \"tab\\t quote\\\" back\\\\ nul\\001 ?\?/ é ☃\", nothing = void)");
    assert_false(defaults_All_has_text(r) || defaults_All_has_points(r) || defaults_All_has_box(r));
    assert_true(ww_pr_is_null(defaults_All_any(r)));
    assert_null(defaults_All_cap(r));
    assert_true(isnan(defaults_All_f32(r)) && isinf(defaults_All_f64(r)));
    assert_int_equal(defaults_All_mood(r), defaults_Mood_bad);
    ww_msg_fini(&m);
    ww_msg_fini(&empty);
}

/* A struct whose default is of its own type, with defaults inside of the default. */
static void defaults_nest(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct defaults_All_b b = defaults_All_b_root(&m);
    struct defaults_All_r deep = defaults_All_deep(defaults_All_r_root(&m));
    assert_int_equal(defaults_Point_x(defaults_All_point(deep)), 9);
    assert_string_equal(ww_cstr(defaults_All_text(defaults_All_deep(deep))), "deeper");
    assert_int_equal(defaults_Point_x(defaults_All_point(defaults_All_deep(deep))), 1);
    /* a builder starts from a copy, which then is its own */
    defaults_All_set_text(defaults_All_get_deep(defaults_All_get_deep(b)), ww_text("mine"));
    assert_decodes(&m, "All",
        "(deep = (texts = [\"in\"], point = (x = 9, y = 3), deep = (text = \"mine\", " NOTHING_TEXT
        "), " NOTHING_TEXT "), " NOTHING_TEXT ")");
    ww_msg_fini(&m);
}

static void lists_start_from_their_defaults(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct defaults_All_b b = defaults_All_b_root(&m);
    ww_lb_set_u16(ww_pb_list(ww_lb_ptr(defaults_All_get_lists(b), 2), WW_ELEM_TWO), 1, 77);
    defaults_Point_set_x(defaults_Point_lb_at(defaults_All_get_points(b), 2), 6);
    defaults_Point_set_y(generics_Box_of_defaults_Point_get_value(defaults_All_get_box(b)), 1);
    assert_decodes(&m, "All",
        "(points = [(x = 1, y = 3), (x = 0, y = 3), (x = 6, y = 9)], lists = [[1], [], [2, "
        "77]], " SCALARS_TEXT "box = (value = (x = 8, y = 1), label = \"b\"), nothing = void)");
    ww_msg_fini(&m);
}

static void unions_in_groups_in_unions(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct defaults_All_b b = defaults_All_b_root(&m);
    struct defaults_All_r r = defaults_All_r_root(&m);
    struct defaults_All_group_inner_b inner = defaults_All_group_get_inner(defaults_All_get_group(b));
    assert_int_equal(defaults_All_group_inner_one(defaults_All_group_inner(defaults_All_group(r))), 11);
    struct defaults_All_group_inner_two_last_b last =
        defaults_All_group_inner_two_get_last(defaults_All_group_inner_get_two(inner));
    struct defaults_All_group_inner_two_r two =
        defaults_All_group_inner_two(defaults_All_group_inner(defaults_All_group(r)));
    assert_int_equal(ww_lr_u32(defaults_All_group_inner_two_three(two), 2), 3);
    assert_true(defaults_All_group_inner_two_last_four(defaults_All_group_inner_two_last(two)));
    defaults_Point_set_x(defaults_All_group_inner_two_last_get_five(last), 1);
    assert_decodes(&m, "All", "(" SCALARS_TEXT "group = (inner = (two = (last = (five = (x = 1, y = 5))))))");
    assert_int_equal(defaults_All_which(r), defaults_All_which_group);
    defaults_All_set_choice(b, ww_text("c"));
    assert_decodes(&m, "All", "(" SCALARS_TEXT "choice = \"c\")");
    ww_msg_fini(&m);
}

static void constants_of_every_kind(void **state)
{
    assert_true(defaults_yes);
    assert_int_equal(defaults_small, -128);
    assert_true(defaults_tiny == 1e-40f && defaults_huge == 1.7976931348623157e308);
    assert_true(isinf(defaults_minus) && defaults_minus < 0 && isnan(defaults_wrong));
    assert_string_equal(ww_cstr(defaults_escaped()), "tab\t quote\" back\\ nul\x01 ?\?/ é ☃");
    assert_string_equal(ww_cstr(defaults_same()), ww_cstr(defaults_escaped()));
    assert_string_equal(ww_cstr(ww_lr_text(defaults_words(), 1)), ww_cstr(defaults_escaped()));
    assert_int_equal(defaults_Point_y(defaults_corner()), defaults_lower);
    assert_int_equal(defaults_Point_x(defaults_Point_l_at(defaults_corners(), 0)), 7);
    struct ww_lr row = ww_pr_list(ww_lr_ptr(defaults_matrix(), 2), WW_ELEM_BYTE);
    assert_int_equal((int8_t)ww_lr_u8(row, 0), -3);
    assert_int_equal(defaults_flags().count, 9);
    assert_true(ww_lr_bool(defaults_flags(), 8) && !ww_lr_bool(defaults_flags(), 7));
    assert_int_equal(defaults_voids().count, 2);
    assert_int_equal(ww_lr_u16(defaults_moods(), 0), defaults_Mood_bad);
    assert_string_equal(ww_cstr(generics_Person_name(defaults_ada())), "Ada");
    assert_int_equal(generics_Person_age(defaults_ada()), 18);
}

static void words_and_macros_are_names(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct defaults_Awkward_b b = defaults_Awkward_b_root(&m);
    defaults_Awkward_set_errno(b, 1);
    defaults_Awkward_set_linux(b, ww_text("l"));
    defaults_Awkward_set_node(b, 5);
    defaults_Awkward_set_switch(b, 6);
    defaults_Awkward_set_r(b, 7);
    defaults_Awkward_set_id(b, 11);
    defaults_Awkward_set_operator(b, defaults_Mood_bad);
    defaults_Awkward_set_EOF(b, ww_text("end"));
    defaults_Awkward_set_x(b, 9);
    defaults_Awkward_set_set_x(defaults_Awkward_get_set(b), 8);
    /* `x` of the group `set` meets the setter of `x` */
    assert_int_equal(defaults_Awkward_set_x_(defaults_Awkward_set(defaults_Awkward_b_reader(b))), 8);
    defaults_Awkward_init_default(b);
    assert_decodes(&m, "Awkward",
        "(errno = 1, null = false, linux = \"l\", node = 5, switch = 6, r = 7, id = 11, operator = bad, eof "
        "= \"end\", "
        "set = (x = 8), x = 9, default = (x = 0, y = 3))");
    assert_int_equal(defaults_Awkward_Errno_else, 1);
    assert_int_equal(defaults_Awkward_which(defaults_Awkward_b_reader(b)), defaults_Awkward_which_default);
    ww_msg_fini(&m);
}

static void wide_structs_hold_every_field(void **state)
{
    struct ww_msg m;
    size_t len;
    ww_msg_init(&m, NULL);
    encode(&m, "Wide", "(f0 = false, f150 = true, f151 = 2, f158 = -7, f199 = 9, f195 = \"x\", f196 = 0.5)");
    struct defaults_Wide_r r = defaults_Wide_r_root(&m);
    assert_false(defaults_Wide_f0(r));
    assert_true(defaults_Wide_f12(r) && defaults_Wide_f150(r) && !defaults_Wide_f6(r));
    assert_int_equal(defaults_Wide_f151(r), 2);
    assert_int_equal(defaults_Wide_f157(r), 157);
    assert_int_equal(defaults_Wide_f158(r), -7);
    assert_true(defaults_Wide_f190(r) == 190.5f && defaults_Wide_f196(r) == 0.5f);
    assert_int_equal(defaults_Wide_f199(r), 9);
    len = defaults_Wide_f195(r).len;
    assert_int_equal(len, 1);
    ww_msg_fini(&m);
}

static void methods_know_what_they_may(void **state)
{
    const struct ww_capnp_method *slow = defaults_Slow_interface.methods;
    assert_true(defaults_Awful_interface.methods[0].allow_cancellation);
    assert_true(defaults_Awful_interface.methods[5].allow_cancellation &&
        defaults_Awful_interface.methods[5].streaming);
    assert_false(slow[0].allow_cancellation);
    assert_true(slow[1].allow_cancellation);
    assert_false(slow[2].results_have_caps); /* a recursive struct without any */
    assert_true(slow[3].results_have_caps);  /* in a group in a list in a struct */
    assert_false(slow[4].results_have_caps); /* Box(Text) */
    assert_true(slow[5].results_have_caps);  /* Box: who knows */
}

static struct schema_Annotation_r annotation(struct schema_Annotation_l uses, uint64_t id)
{
    struct schema_Annotation_r found = {{0}};
    unsigned count = 0;
    for (uint32_t i = 0; i < uses.l.count; i++) {
        if (schema_Annotation_id(schema_Annotation_l_at(uses, i)) == id) {
            found = schema_Annotation_l_at(uses, i);
            count++;
        }
    }
    assert_int_equal(count, 1);
    return found;
}

/* Uses of annotations are in the embedded schema, their definitions among its dependencies. */
static void annotations_are_there_at_run_time(void **state)
{
    struct ww_msg m;
    struct ww_bytes seg = ww_bytes(defaults_All_node.words, defaults_All_node.word_count * 8);
    ww_msg_init(&m, NULL);
    assert_ok(ww_msg_open_segs(&m, &seg, 1, NULL));
    struct schema_Node_r node = schema_Node_r_root(&m);
    struct schema_Annotation_r origin = annotation(schema_Node_annotations(node), defaults_origin_node.id);
    struct ww_pr value = schema_Value_struct(schema_Annotation_value(origin));
    assert_int_equal(defaults_Point_x(defaults_Point_r_from(value)), 4);
    assert_int_equal(defaults_Point_y(defaults_Point_r_from(value)), 3);
    struct schema_Field_l fields = schema_Node_struct_fields(schema_Node_struct(node));
    struct schema_Annotation_r unit =
        annotation(schema_Field_annotations(schema_Field_l_at(fields, 0)), defaults_unit_node.id);
    assert_string_equal(ww_cstr(schema_Value_text(schema_Annotation_value(unit))), "glyphs");
    unsigned found = 0;
    for (uint32_t i = 0; i < defaults_All_node.dep_count; i++)
        found += defaults_All_node.deps[i] == &defaults_origin_node ||
            defaults_All_node.deps[i] == &defaults_unit_node;
    assert_int_equal(found, 2);
    ww_msg_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_schemas),
        cmocka_unit_test(defaults_nest),
        cmocka_unit_test(lists_start_from_their_defaults),
        cmocka_unit_test(unions_in_groups_in_unions),
        cmocka_unit_test(constants_of_every_kind),
        cmocka_unit_test(words_and_macros_are_names),
        cmocka_unit_test(wide_structs_hold_every_field),
        cmocka_unit_test(methods_know_what_they_may),
        cmocka_unit_test(annotations_are_there_at_run_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
