/* Generated accessors against the schema compiler's own encoder and decoder, in both directions. */
#define SCHEMA_FILE "kitchen.capnp"
#include "test/unit/capnp/tool.h"

#include <math.h>

#include "base/prng.h"
#include "kitchen-other.capnp.h"
#include "kitchen.capnp.h"

static void constants_have_their_values(void **state)
{
    assert_int_equal(kitchen_answer, 42);
    assert_true(kitchen_lowest == INT64_MIN);
    assert_true(kitchen_pi == 3.141592653589793);
    assert_true(isinf(kitchen_infinite));
    assert_string_equal(ww_cstr(kitchen_greeting()), "hello");
    assert_bytes(kitchen_blob(), "\x00\xff\x10", 3);
    assert_int_equal((int32_t)ww_lr_u32(kitchen_numbers(), 1), -2);
    assert_int_equal(kitchen_numbers().count, 3);
    assert_int_equal(kitchen_Point_y(kitchen_origin()), -4);
    assert_int_equal(kitchen_path().l.count, 2);
    assert_int_equal(kitchen_Point_y(kitchen_Point_l_at(kitchen_path(), 1)), 7);
    assert_int_equal(kitchen_favorite, kitchen_Color_green);
    assert_int_equal(kitchen_Outer_Middle_Inner_limit, 99);
    assert_int_equal(kitchen_Outer_Middle_Inner_Mood_bad, 1);
}

static void scalar_defaults_are_xored(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    kitchen_Scalars_b_root(&m);
    struct kitchen_Scalars_r r = kitchen_Scalars_r_root(&m);
    assert_true(kitchen_Scalars_set(r));
    assert_int_equal(kitchen_Scalars_i8(r), -3);
    assert_int_equal(kitchen_Scalars_i32(r), -100000);
    assert_int_equal(kitchen_Scalars_u8(r), 200);
    assert_int_equal(kitchen_Scalars_u32(r), 3000000000u);
    assert_true(kitchen_Scalars_f32(r) == 1.5f && kitchen_Scalars_f64(r) == -0.25);
    assert_int_equal(kitchen_Scalars_color(r), kitchen_Color_blue);
    assert_decodes(&m, "Scalars",
        "(void = void, flag = false, set = true, i8 = -3, i16 = 0, i32 = -100000, i64 = 0, u8 = 200, u16 = "
        "0, "
        "u32 = 3000000000, u64 = 0, f32 = 1.5, f64 = -0.25, color = blue)");
    /* a message that is missing altogether reads the same */
    struct kitchen_Scalars_r none = kitchen_Scalars_r_from(ww_sr_ptr(r.s, 100));
    assert_int_equal(kitchen_Scalars_i32(none), -100000);
    assert_true(kitchen_Scalars_set(none));
    ww_msg_fini(&m);
}

static void scalars_go_both_ways(void **state)
{
    static const char text[] =
        "(void = void, flag = true, set = false, i8 = -128, i16 = 32767, i32 = 2147483647, i64 = -5, u8 = "
        "255, "
        "u16 = 65535, u32 = 4294967295, u64 = 18446744073709551615, f32 = 0.5, f64 = 1e100, color = green)";
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct kitchen_Scalars_b b = kitchen_Scalars_b_root(&m);
    kitchen_Scalars_set_flag(b, true);
    kitchen_Scalars_set_set(b, false);
    kitchen_Scalars_set_i8(b, INT8_MIN);
    kitchen_Scalars_set_i16(b, INT16_MAX);
    kitchen_Scalars_set_i32(b, INT32_MAX);
    kitchen_Scalars_set_i64(b, -5);
    kitchen_Scalars_set_u8(b, UINT8_MAX);
    kitchen_Scalars_set_u16(b, UINT16_MAX);
    kitchen_Scalars_set_u32(b, UINT32_MAX);
    kitchen_Scalars_set_u64(b, UINT64_MAX);
    kitchen_Scalars_set_f32(b, 0.5f);
    kitchen_Scalars_set_f64(b, 1e100);
    kitchen_Scalars_set_color(b, kitchen_Color_green);
    assert_decodes(&m, "Scalars", text);
    encode(&m, "Scalars", text);
    struct kitchen_Scalars_r r = kitchen_Scalars_r_root(&m);
    assert_true(kitchen_Scalars_flag(r) && !kitchen_Scalars_set(r));
    assert_int_equal(kitchen_Scalars_i8(r), INT8_MIN);
    assert_int_equal(kitchen_Scalars_i16(r), INT16_MAX);
    assert_int_equal(kitchen_Scalars_i32(r), INT32_MAX);
    assert_int_equal(kitchen_Scalars_i64(r), -5);
    assert_int_equal(kitchen_Scalars_u8(r), UINT8_MAX);
    assert_int_equal(kitchen_Scalars_u16(r), UINT16_MAX);
    assert_int_equal(kitchen_Scalars_u32(r), UINT32_MAX);
    assert_true(kitchen_Scalars_u64(r) == UINT64_MAX);
    assert_true(kitchen_Scalars_f32(r) == 0.5f && kitchen_Scalars_f64(r) == 1e100);
    assert_int_equal(kitchen_Scalars_color(r), kitchen_Color_green);
    ww_msg_fini(&m);
}

static void pointers_go_both_ways(void **state)
{
    static const char text[] = "(text = \"t\", textDefault = \"other\", data = \"d\", point = (x = 1, y = "
                               "2), child = (text = \"deep\"), "
                               "remote = (point = (x = 5, y = 7), color = green, back = (text = \"home\")))";
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct kitchen_Pointers_b b = kitchen_Pointers_b_root(&m);
    struct kitchen_Pointers_r r = kitchen_Pointers_r_root(&m);
    assert_false(kitchen_Pointers_has_textDefault(r));
    assert_string_equal(ww_cstr(kitchen_Pointers_textDefault(r)), "fallback");
    assert_bytes(kitchen_Pointers_dataDefault(r), "abc", 3);
    assert_int_equal(kitchen_Point_x(kitchen_Pointers_pointDefault(r)), 11);
    assert_int_equal(kitchen_Point_y(kitchen_Pointers_pointDefault(r)), 12);
    assert_null(kitchen_Pointers_cap(r));
    /* a builder of a defaulted struct starts from a copy of the default */
    kitchen_Point_set_x(kitchen_Pointers_get_pointDefault(b), 1);
    assert_int_equal(kitchen_Point_y(kitchen_Pointers_pointDefault(r)), 12);
    ww_pb_clear(ww_sb_ptr(b.s, 5));
    kitchen_Pointers_set_text(b, ww_text("t"));
    kitchen_Pointers_set_textDefault(b, ww_text("other"));
    memcpy(kitchen_Pointers_init_data(b, 1), "d", 1);
    kitchen_Point_set_x(kitchen_Pointers_init_point(b), 1);
    kitchen_Point_set_y(kitchen_Pointers_get_point(b), 2);
    memcpy(kitchen_Pointers_init_text(kitchen_Pointers_get_child(b), 4), "deep", 4);
    struct kitchen_other_Remote_b remote = kitchen_Pointers_init_remote(b);
    kitchen_Point_set_x(kitchen_other_Remote_init_point(remote), 5);
    kitchen_Pointers_set_text(kitchen_other_Remote_init_back(remote), ww_text("home"));
    assert_decodes(&m, "Pointers", text);
    encode(&m, "Pointers", text);
    r = kitchen_Pointers_r_root(&m);
    assert_string_equal(ww_cstr(kitchen_Pointers_textDefault(r)), "other");
    assert_string_equal(ww_cstr(kitchen_Pointers_text(kitchen_Pointers_child(r))), "deep");
    struct kitchen_other_Remote_r far = kitchen_Pointers_remote(r);
    assert_int_equal(kitchen_Point_x(kitchen_other_Remote_point(far)), 5);
    assert_int_equal(kitchen_other_Remote_color(far), kitchen_Color_green);
    assert_string_equal(ww_cstr(kitchen_Pointers_text(kitchen_other_Remote_back(far))), "home");
    ww_msg_fini(&m);
}

#define LISTS_TEXT                                                                                           \
    "(voids = [void, void], bools = [true, false, true], i8s = [-1, 2], i16s = [-300], i32s = [70000], "     \
    "i64s = [-1], u8s = [255], u16s = [65535, 1, 2], u32s = [4000000000], u64s = [18446744073709551615], "   \
    "f32s = [0.5], f64s = [-2.5], texts = [\"a\", \"\", \"ccc\"], datas = [\"\\000\"], "                     \
    "colors = [green, red], points = [(x = 1, y = 7), (x = 2, y = 3)], matrix = [[1, 2], [], [3]], "         \
    "pointLists = [[(x = 9, y = 7)]], withDefault = [8])"

static void build_lists(struct kitchen_Lists_b b)
{
    kitchen_Lists_init_voids(b, 2);
    struct ww_lb l = kitchen_Lists_init_bools(b, 3);
    ww_lb_set_bool(l, 0, true);
    ww_lb_set_bool(l, 2, true);
    l = kitchen_Lists_init_i8s(b, 2);
    ww_lb_set_u8(l, 0, (uint8_t)-1);
    ww_lb_set_u8(l, 1, 2);
    ww_lb_set_u16(kitchen_Lists_init_i16s(b, 1), 0, (uint16_t)-300);
    ww_lb_set_u32(kitchen_Lists_init_i32s(b, 1), 0, 70000);
    ww_lb_set_u64(kitchen_Lists_init_i64s(b, 1), 0, (uint64_t)-1);
    ww_lb_set_u8(kitchen_Lists_init_u8s(b, 1), 0, 255);
    l = kitchen_Lists_init_u16s(b, 3);
    ww_lb_set_u16(l, 0, 65535);
    ww_lb_set_u16(l, 1, 1);
    ww_lb_set_u16(kitchen_Lists_get_u16s(b), 2, 2);
    ww_lb_set_u32(kitchen_Lists_init_u32s(b, 1), 0, 4000000000u);
    ww_lb_set_u64(kitchen_Lists_init_u64s(b, 1), 0, UINT64_MAX);
    ww_lb_set_f32(kitchen_Lists_init_f32s(b, 1), 0, 0.5f);
    ww_lb_set_f64(kitchen_Lists_init_f64s(b, 1), 0, -2.5);
    l = kitchen_Lists_init_texts(b, 3);
    ww_lb_set_text(l, 0, ww_text("a"));
    ww_lb_set_text(l, 1, ww_text(""));
    ww_lb_set_text(l, 2, ww_text("ccc"));
    ww_lb_set_data(kitchen_Lists_init_datas(b, 1), 0, ww_bytes("", 1));
    ww_lb_set_u16(kitchen_Lists_init_colors(b, 2), 0, kitchen_Color_green);
    struct kitchen_Point_lb points = kitchen_Lists_init_points(b, 2);
    kitchen_Point_set_x(kitchen_Point_lb_at(points, 0), 1);
    kitchen_Point_set_x(kitchen_Point_lb_at(points, 1), 2);
    kitchen_Point_set_y(kitchen_Point_lb_at(points, 1), 3);
    struct ww_lb matrix = kitchen_Lists_init_matrix(b, 3);
    l = ww_pb_init_list(ww_lb_ptr(matrix, 0), WW_ELEM_TWO, 2);
    ww_lb_set_u16(l, 0, 1);
    ww_lb_set_u16(l, 1, 2);
    ww_pb_init_list(ww_lb_ptr(matrix, 1), WW_ELEM_TWO, 0);
    ww_lb_set_u16(ww_pb_init_list(ww_lb_ptr(matrix, 2), WW_ELEM_TWO, 1), 0, 3);
    points = kitchen_Point_lb_init(ww_lb_ptr(kitchen_Lists_init_pointLists(b, 1), 0), 1);
    kitchen_Point_set_x(kitchen_Point_lb_at(points, 0), 9);
    ww_lb_set_u16(kitchen_Lists_init_withDefault(b, 1), 0, 8);
}

static void check_lists(struct kitchen_Lists_r r)
{
    assert_int_equal(kitchen_Lists_voids(r).count, 2);
    assert_true(ww_lr_bool(kitchen_Lists_bools(r), 2) && !ww_lr_bool(kitchen_Lists_bools(r), 1));
    assert_int_equal((int8_t)ww_lr_u8(kitchen_Lists_i8s(r), 0), -1);
    assert_int_equal((int16_t)ww_lr_u16(kitchen_Lists_i16s(r), 0), -300);
    assert_int_equal(ww_lr_u32(kitchen_Lists_i32s(r), 0), 70000);
    assert_true(ww_lr_u64(kitchen_Lists_i64s(r), 0) == UINT64_MAX);
    assert_int_equal(ww_lr_u16(kitchen_Lists_u16s(r), 2), 2);
    assert_true(ww_lr_f32(kitchen_Lists_f32s(r), 0) == 0.5f && ww_lr_f64(kitchen_Lists_f64s(r), 0) == -2.5);
    assert_string_equal(ww_cstr(ww_lr_text(kitchen_Lists_texts(r), 2)), "ccc");
    assert_bytes(ww_lr_data(kitchen_Lists_datas(r), 0), "", 1);
    assert_int_equal(ww_lr_u16(kitchen_Lists_colors(r), 0), kitchen_Color_green);
    assert_int_equal(kitchen_Point_y(kitchen_Point_l_at(kitchen_Lists_points(r), 1)), 3);
    assert_int_equal(ww_lr_u16(ww_pr_list(ww_lr_ptr(kitchen_Lists_matrix(r), 0), WW_ELEM_TWO), 1), 2);
    struct kitchen_Point_l inner = kitchen_Point_l_from(ww_lr_ptr(kitchen_Lists_pointLists(r), 0));
    assert_int_equal(kitchen_Point_x(kitchen_Point_l_at(inner, 0)), 9);
    assert_int_equal(ww_lr_u16(kitchen_Lists_withDefault(r), 0), 8);
}

static void lists_go_both_ways(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct kitchen_Lists_b b = kitchen_Lists_b_root(&m);
    assert_int_equal(ww_lr_u16(kitchen_Lists_withDefault(kitchen_Lists_b_reader(b)), 1), 6);
    assert_int_equal(kitchen_Lists_get_withDefault(b).count, 2);
    build_lists(b);
    assert_decodes(&m, "Lists", LISTS_TEXT);
    check_lists(kitchen_Lists_r_root(&m));
    encode(&m, "Lists", LISTS_TEXT);
    check_lists(kitchen_Lists_r_root(&m));
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void unions_hold_one_member(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct kitchen_Shape_b b = kitchen_Shape_b_root(&m);
    struct kitchen_Shape_r r = kitchen_Shape_r_root(&m);
    kitchen_Shape_set_area(b, 2);
    kitchen_Shape_set_circle(b, 4.5);
    assert_decodes(&m, "Shape", "(area = 2, circle = 4.5, tail = (nothing = void))");
    kitchen_Shape_set_square(b, 10);
    assert_decodes(&m, "Shape", "(area = 2, square = 10, tail = (nothing = void))");
    assert_int_equal(kitchen_Shape_which(r), kitchen_Shape_which_square);
    assert_true(kitchen_Shape_circle(r) == 0);
    kitchen_Shape_set_none(b);
    assert_int_equal(kitchen_Shape_square(r), 9); /* not the member: its default */
    kitchen_Shape_set_label(b, ww_text("secret"));
    assert_string_equal(ww_cstr(kitchen_Shape_label(r)), "secret");
    struct kitchen_Shape_box_b box = kitchen_Shape_get_box(b);
    assert_false(kitchen_Shape_has_label(r));
    assert_null(memmem(ww_msg_seg(&m, 0).ptr, ww_msg_seg(&m, 0).len, "secret", 6));
    kitchen_Shape_box_set_width(box, 6);
    kitchen_Point_set_x(kitchen_Shape_box_init_corner(box), 1);
    kitchen_Shape_box_inner_set_filled(kitchen_Shape_box_get_inner(box), false);
    assert_decodes(&m, "Shape",
        "(area = 2, box = (corner = (x = 1, y = 7), width = 6, inner = (filled = false)), tail = (nothing = "
        "void))");
    kitchen_Shape_set_none(kitchen_Shape_tail_init_next(kitchen_Shape_get_tail(b)));
    kitchen_Shape_set_none(b);
    kitchen_Shape_get_box(b);
    assert_decodes(&m, "Shape",
        "(area = 2, box = (width = 4, inner = (empty = void)), "
        "tail = (next = (area = 0, none = void, tail = (nothing = void))))");
    encode(&m, "Shape", "(area = 1, box = (width = 3, inner = (filled = true)))");
    r = kitchen_Shape_r_root(&m);
    assert_int_equal(kitchen_Shape_which(r), kitchen_Shape_which_box);
    assert_int_equal(kitchen_Shape_box_width(kitchen_Shape_box(r)), 3);
    assert_true(kitchen_Shape_box_inner_filled(kitchen_Shape_box_inner(kitchen_Shape_box(r))));
    ww_msg_fini(&m);
}

static void awkward_names_and_generics_work(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct kitchen_Names_b b = kitchen_Names_b_root(&m);
    kitchen_Names_set_which(b, 3);
    kitchen_Names_set_int(b, -1);
    kitchen_Names_set_root(b, ww_text("r"));
    kitchen_Names_set_class(b, ww_text("c"));
    kitchen_Names_set_other(b, 7);
    kitchen_Names_set_which(kitchen_Names_init_return(b), 4);
    assert_int_equal(kitchen_Names_which_(kitchen_Names_b_reader(b)), 3);
    assert_decodes(&m, "Names",
        "(which = 3, int = -1, root = \"r\", class = \"c\", renamed = 7, return = (which = 4, int = 0, "
        "renamed = 0, "
        "for = void))");
    ww_msg_reset(&m);
    struct kitchen_Pair_of_Text_Point_b pair = kitchen_UsesPair_init_pair(kitchen_UsesPair_b_root(&m));
    kitchen_Pair_of_Text_Point_set_first(pair, ww_text("one"));
    struct kitchen_Pair_b unbound = {pair.s};
    kitchen_Point_set_x(kitchen_Point_b_init(kitchen_Pair_get_second(unbound)), 2);
    assert_decodes(&m, "UsesPair", "(pair = (first = \"one\", second = (x = 2, y = 7)))");
    ww_msg_fini(&m);
}

static void interfaces_are_described(void **state)
{
    const struct ww_capnp_interface *k = &kitchen_Kitchen_interface;
    assert_true(k->id == kitchen_Kitchen_ID);
    assert_string_equal(k->name, "Kitchen");
    assert_int_equal(k->method_count, 4);
    assert_int_equal(k->extends_count, 2);
    assert_ptr_equal(k->extends[1], &kitchen_Extra_interface);
    assert_string_equal(k->methods[0].name, "cook");
    assert_true(k->methods[0].results_have_caps);
    assert_false(k->methods[1].results_have_caps);
    assert_int_equal(k->methods[1].params_data_words, 1);
    assert_int_equal(k->methods[1].results_data_words, kitchen_Scalars_DATA_WORDS);
    assert_true(kitchen_Extra_interface.methods[1].streaming);
    assert_int_equal(kitchen_Kitchen_delete_METHOD, 2);
}

/* Packed bytes equal those of the reference for one segment, and are what it reads for many. */
static void packing_is_the_references(void **state)
{
    for (uint32_t hint = 2; hint < 700; hint = hint * 3 + 1) {
        struct ww_msg m;
        size_t len;
        ww_msg_init(&m, NULL);
        ww_msg_hint(&m, hint);
        build_lists(kitchen_Lists_b_root(&m));
        uint8_t *packed = malloc(ww_msg_pack_bound(&m));
        size_t n = ww_msg_pack(&m, packed);
        if (ww_msg_seg_count(&m) == 1) {
            uint8_t *want = run_tool("convert binary:packed", "", "Lists", ww_msg_frame(&m), &len);
            assert_bytes(ww_bytes(packed, n), want, len);
            free(want);
        } else {
            char *text = (char *)run_tool("decode", "--packed --short", "Lists", ww_bytes(packed, n), &len);
            text[strcspn(text, "\n")] = 0;
            assert_string_equal(text, LISTS_TEXT);
            free(text);
        }
        free(packed);
        ww_msg_fini(&m);
    }
}

/* The reference's own multi-segment messages, with far pointers of every kind it makes. */
static void foreign_segments_are_read(void **state)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    encode(&m, "--segment-size=1 Lists", LISTS_TEXT);
    assert_true(ww_msg_seg_count(&m) > 10);
    check_lists(kitchen_Lists_r_root(&m));
    assert_ok(ww_msg_err(&m));
    ww_msg_fini(&m);
}

static void canonical_bytes_are_the_references(void **state)
{
    static const struct {
        const char *type, *text;
    } cases[] = {
        {"Lists", LISTS_TEXT},
        {"Shape", "(area = 1, polygon = [(x = 1, y = 7), (x = 0, y = 7)], tail = (next = (label = \"x\")))"},
        {"Pointers",
            "(text = \"t\", child = (child = (child = ())), remote = (back = (data = \"abcdefghi\")))"},
        {"UsesPair", "(pair = (second = (x = 0, y = 7)))"},
    };
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_msg m, c;
        size_t len;
        ww_msg_init(&m, NULL);
        ww_msg_init(&c, NULL);
        encode(&m, cases[i].type, cases[i].text);
        assert_ok(ww_msg_canonicalize(&c, ww_msg_root(&m)));
        uint8_t *want = run_tool("convert text:canonical", "", cases[i].type,
            ww_bytes(cases[i].text, strlen(cases[i].text)), &len);
        assert_bytes(ww_msg_seg(&c, 0), want, len);
        free(want);
        ww_msg_fini(&c);
        ww_msg_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_have_their_values),
        cmocka_unit_test(scalar_defaults_are_xored),
        cmocka_unit_test(scalars_go_both_ways),
        cmocka_unit_test(pointers_go_both_ways),
        cmocka_unit_test(lists_go_both_ways),
        cmocka_unit_test(unions_hold_one_member),
        cmocka_unit_test(awkward_names_and_generics_work),
        cmocka_unit_test(interfaces_are_described),
        cmocka_unit_test(packing_is_the_references),
        cmocka_unit_test(foreign_segments_are_read),
        cmocka_unit_test(canonical_bytes_are_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
