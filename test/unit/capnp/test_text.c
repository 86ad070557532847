/* The text form: what is printed is what `capnp convert` prints (goldens are its output), and what it reads
 * is read. convert_test.py compares with the tool itself. */
#define RIG_PARSE ww_text_parse
#define RIG_PRINT ww_text_print
#include "text_rig.h"

static void reads_what_it_prints(void **state)
{
    round_trip("Point", "(x = -2147483648, y = 2147483647)");
    round_trip("Scalars",
        "(void = void, flag = true, set = false, i8 = -128, i16 = 32767, i32 = 0, i64 = "
        "-9223372036854775808, u8 = 255, u16 = 65535, u32 = 4294967295, u64 = "
        "18446744073709551615, f32 = 0.1, f64 = 1e300, color = green)");
    round_trip("Pointers",
        "(text = \"a\\tb\\\"c\\\\\\n\\001 \\'?\\177\", textDefault = \"\", data = \"\\000\\001\\377A\")");
    round_trip("Pointers", "(point = (x = 1, y = 7), child = (child = (text = \"deep\")))");
    round_trip("Lists",
        "(voids = [void, void], bools = [true, false, true], i8s = [-1], u64s = "
        "[18446744073709551615], f32s = [0.1, 1e10, 3.4e38, 1.4012985e-45, 123456.7], f64s = "
        "[1, 1.5, 1e20, 1e-05, 0.0001, nan, inf, -inf, 1.2345678901234568e17], texts = [\"\", "
        "\"x\"], datas = [\"\\200\"], colors = [red, blue], points = [(x = 0, y = 7), (x = 1, y "
        "= 2)], matrix = [[], [1, 2]], pointLists = [[(x = 5, y = 7)]], withDefault = [])");
    round_trip("Shape", "(area = 0, circle = 0, tail = (nothing = void))");
    round_trip("Shape",
        "(area = 1, none = void, tail = (next = (area = 0, label = \"l\", tail = (nothing = void))))");
    round_trip("Shape",
        "(area = 0, box = (corner = (x = 1, y = 1), width = 3, inner = (filled = false)), tail = "
        "(nothing = void))");
    round_trip("UsesPair", "(pair = (first = \"f\", second = (x = 0, y = 7)))");
    round_trip("Pair", "()");
}

static void breaks_lines_like_the_reference(void **state)
{
    struct ww_diag diag;
    assert_ok(parse("Lists",
        ww_bytes_str("(matrix = [[1,2],[3],[]], texts = [\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"], bools = "
                     "[true, false],"
                     "points = [(x = 1), (x = 2147483647, y = 2147483647)])"),
        &diag));
    assert_string_equal(print("Lists", true),
        "( bools = [true, false],\n"
        "  texts = [\n"
        "    \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" ],\n"
        "  points = [\n"
        "    (x = 1, y = 7),\n"
        "    (x = 2147483647, y = 2147483647) ],\n"
        "  matrix = [[1, 2], [3], []] )");
    assert_ok(parse("Point", ww_bytes_str("()"), &diag));
    assert_string_equal(print("Point", true), "(x = 0, y = 7)");
    assert_ok(parse("Pointers", ww_bytes_str("()"), &diag));
    assert_string_equal(print("Pointers", true), "()");
}

static void reads_every_literal(void **state)
{
    struct ww_diag diag;
    assert_ok(parse("Scalars",
        ww_bytes_str("# comment\n ( u8 = 0x1F, u16 = 017,i32= - 5, f64 = 1., f32 = 1E5,\n\ti64 = 0, "
                     "u64 = 0xffffffffffffffff, i8 = (5), ) # end"),
        &diag));
    struct kitchen_Scalars_r r = kitchen_Scalars_r_root(&msg);
    assert_int_equal(kitchen_Scalars_u8(r), 31);
    assert_int_equal(kitchen_Scalars_u16(r), 15);
    assert_int_equal(kitchen_Scalars_i32(r), -5);
    assert_int_equal(kitchen_Scalars_i8(r), 5);
    assert_true(kitchen_Scalars_f64(r) == 1 && kitchen_Scalars_f32(r) == 100000);
    assert_true(kitchen_Scalars_u64(r) == UINT64_MAX);
    assert_ok(parse("Pointers",
        ww_bytes_str("((text = \"a\" # one\n \"b\\x41\\101\\0\\?\\a\", data = 0x\"00 ff\n10\", "
                     "dataDefault = \"x\"))"),
        &diag));
    struct kitchen_Pointers_r p = kitchen_Pointers_r_root(&msg);
    assert_bytes(kitchen_Pointers_text(p), "abAA\0?\a", 7);
    assert_bytes(kitchen_Pointers_data(p), "\0\xff\x10", 3);
    assert_bytes(kitchen_Pointers_dataDefault(p), "x", 1);
    /* The last of two wins, also in unions. */
    assert_ok(parse("Shape", ww_bytes_str("(box = (width = 1), circle = 2, area = 1, area = 2,)"), &diag));
    assert_string_equal(print("Shape", false), "(area = 2, circle = 2, tail = (nothing = void))");
    /* More than one message. */
    size_t used;
    ww_msg_reset(&msg);
    assert_ok(ww_text_parse(
        WW_BYTES_LIT("(x = 1)(x = 2)"), rig_type("Point"), ww_msg_root_builder(&msg), &used, &diag));
    assert_int_equal(used, 7);
}

static void says_where_and_why(void **state)
{
    refused("Point", "(x = 1,\n  z = 2)", "2:3: no field `z` in kitchen.capnp:Point; did you mean `x`?");
    refused(
        "Pointers", "(txet = \"\")", "1:2: no field `txet` in kitchen.capnp:Pointers; did you mean `text`?");
    refused("Point", "(x = \"s\")", "1:6: found a string, expected Int32");
    refused("Point", "(x = 1.0)", "1:6: found a fraction, expected Int32");
    refused("Point", "(x = true)", "1:6: found Bool, expected Int32");
    refused("Point", "(x = 2147483648)", "1:6: the number is out of the range of Int32");
    refused("Point", "(x = 08)", "1:6: no number, or more than 64 bits");
    refused("Point", "(x = 1a)", "1:6: no number, or more than 64 bits");
    refused("Point", "(x = 18446744073709551616)", "1:6: no number, or more than 64 bits");
    refused("Point", "(x = -18446744073709551615)", "1:6: the number is too large to be negative");
    refused("Point", "(x = someConstant)",
        "1:6: found `someConstant`: constants, imports and embeds are not known here");
    refused("Point", "(x = )", "1:6: found `)`, expected a value");
    refused("Point", "(x 1)", "1:4: found `1`, expected , or )");
    refused("Point", "(x = 1 y = 2)", "1:8: found `y`, expected , or )");
    refused("Point", "(x = 1,, y = 2)", "1:8: found `,`, expected name = value");
    refused("Point", "(1, 2)", "1:5: found `2`, expected name = value");
    refused("Point", "(x = 1", "1:7: found the end, expected , or )");
    refused("Point", "", "1:1: found the end, expected a struct, which begins with (");
    refused("Point", "x", "1:1: found `x`, expected a struct, which begins with (");
    refused("Point", "(x = 1) 5", "1:9: found `5`, expected the end");
    refused("Point", "(1)", "1:2: found a number, expected kitchen.capnp:Point");
    refused("Pointers", "(text = \"abc", "1:9: the string has no end on its line");
    refused("Pointers", "(text = \"a\nb\")", "1:9: the string has no end on its line");
    refused("Scalars", "(u8 = 0X1F)", "1:7: no number, or more than 64 bits");
    refused("Pointers", "(text = 0x\"00\")", "1:9: found binary data, expected Text");
    refused("Pointers", "(data = 0x\"0 0\")", "1:13: found byte 32, expected two hexadecimal digits");
    refused("Pointers", "(point = [])", "1:10: found a list, expected kitchen.capnp:Point");
    refused("Pointers", "(any = (x = 1))", "1:8: found a struct, expected AnyPointer");
    refused("Pointers", "(cap = void)", "1:8: found Void, expected Capability");
    refused("Lists", "(i8s = [1, 2", "1:13: found the end, expected , or ]");
    refused("Lists", "(i8s = [1,, 2])", "1:11: found `,`, expected a value");
    refused("Lists", "(i8s = (1))", "1:9: found a number, expected List(Int8)");
    refused("Lists", "(colors = [gren])",
        "1:12: no enumerant `gren` in kitchen.capnp:Color; did you mean `green`?");
    refused("Shape", "(box = 5)", "1:8: found a number, expected kitchen.capnp:Shape.box");
}

static void bounds_depth(void **state)
{
    static char deep[20000];
    struct ww_diag diag;
    size_t n = 0;
    for (int i = 0; i < 1000; i++)
        n += (size_t)snprintf(deep + n, sizeof deep - n, "(child = ");
    assert_int_equal(parse("Pointers", ww_bytes_str(deep), &diag), WW_EDEPTH);
    assert_non_null(strstr(diag.text, "nested too deeply"));
    /* Deeper than readers go: printing says so. */
    n = 0;
    for (int i = 0; i < 70; i++)
        n += (size_t)snprintf(deep + n, sizeof deep - n, "(child = ");
    n += (size_t)snprintf(deep + n, sizeof deep - n, "()");
    for (int i = 0; i < 70; i++)
        deep[n++] = ')';
    deep[n] = 0;
    assert_ok(parse("Pointers", ww_bytes_str(deep), &diag));
    struct ww_dyn_struct s;
    str.len = 0;
    assert_ok(ww_dyn_root(ww_msg_root(&msg), rig_type("Pointers"), &s, NULL));
    assert_int_equal(ww_text_print(s, true, &str, &diag), WW_EDEPTH);
    assert_int_equal(str.len, 0);
}

static void bounds_output(void **state)
{
    struct ww_diag diag;
    struct ww_dyn_struct s;
    struct ww_str small = {.max = 100};
    assert_ok(parse("Lists",
        ww_bytes_str("(voids = [void, void, void, void, void, void, void, void, void, void, void, void, "
                     "void, void, void, void, void])"),
        &diag));
    assert_ok(ww_dyn_root(ww_msg_root(&msg), rig_type("Lists"), &s, NULL));
    assert_int_equal(ww_text_print(s, false, &small, &diag), WW_ELIMIT);
    ww_str_fini(&small);
}

static void prints_what_it_does_not_know(void **state)
{
    struct ww_diag diag;
    assert_ok(parse("Scalars", ww_bytes_str("()"), &diag));
    struct ww_sb s = ww_pb_struct(ww_msg_root_builder(&msg), 0, 0);
    ww_sb_set_u16(s, rig_field(rig_type("Scalars"), "color")->offset, 99 ^ 2);
    assert_non_null(strstr(print("Scalars", false), "color = (99))"));
    assert_ok(parse("Shape", ww_bytes_str("()"), &diag));
    s = ww_pb_struct(ww_msg_root_builder(&msg), 0, 0);
    ww_sb_set_u16(s, rig_type("Shape").node->tag_offset, 99);
    assert_string_equal(print("Shape", false), "(area = 0, tail = (nothing = void))");
    assert_ok(parse("Pointers", ww_bytes_str("(point = ())"), &diag));
    s = ww_pb_struct(ww_msg_root_builder(&msg), 0, 0);
    ww_pb_set_text(ww_sb_ptr(s, rig_field(rig_type("Pointers"), "any")->offset), ww_text("x"));
    assert_string_equal(print("Pointers", false), "(point = (x = 0, y = 7), any = <opaque pointer>)");
}

static void survives_allocation_failures(void **state)
{
    static char text[] = "(area = 1, box = (corner = (x = 1), inner = (filled = false)), tail = "
                         "(next = (polygon = [(x = 1), (y = 2)])))";
    alloc_fail_run(there_and_back, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_prints),
        cmocka_unit_test(breaks_lines_like_the_reference),
        cmocka_unit_test(reads_every_literal),
        cmocka_unit_test(says_where_and_why),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(bounds_output),
        cmocka_unit_test(prints_what_it_does_not_know),
        cmocka_unit_test(survives_allocation_failures),
    };
    return cmocka_run_group_tests_name("capnp/text", tests, rig_setup, rig_text_teardown);
}
