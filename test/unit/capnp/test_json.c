/* JSON: what is printed is what `capnp convert` prints, and what is read is RFC 8259. convert_test.py
 * compares with the tool itself, also for the annotations. */
#define RIG_PARSE ww_json_parse
#define RIG_PRINT ww_json_print
#include "text_rig.h"

static void reads_what_it_prints(void **state)
{
    round_trip("Point", "{\"x\":-2147483648,\"y\":2147483647}");
    round_trip("Scalars",
        "{\"void\":null,\"flag\":true,\"set\":false,\"i8\":-128,\"i16\":32767,\"i32\":0,\"i64\":"
        "\"-9223372036854775808\",\"u8\":255,\"u16\":65535,\"u32\":4294967295,\"u64\":"
        "\"18446744073709551615\",\"f32\":0.10000000149011612,\"f64\":1e300,\"color\":\"green\"}");
    round_trip("Pointers",
        "{\"text\":\"a\\tb\\\"c\\\\\\n\\u0001/\\u001f\",\"data\":[0,1,255],\"point\":{\"x\":1,\"y\":7}}");
    round_trip("Lists",
        "{\"voids\":[null,null],\"bools\":[true,false],\"u64s\":[\"5\"],\"f64s\":[1,1.5,1e20,1e-05,"
        "\"NaN\",\"Infinity\",\"-Infinity\",-0],\"texts\":[\"\",\"x\"],\"datas\":[[128],[]],"
        "\"colors\":[\"red\"],\"points\":[{\"x\":0,\"y\":7}],\"matrix\":[[],[1,2]]}");
    round_trip("Shape", "{\"area\":0,\"tail\":{\"nothing\":null},\"circle\":0}");
    round_trip(
        "Shape", "{\"area\":0,\"tail\":{\"nothing\":null},\"box\":{\"width\":3,\"inner\":{\"empty\":null}}}");
    round_trip("UsesPair", "{\"pair\":{\"first\":\"f\",\"second\":{\"x\":0,\"y\":7}}}");
    round_trip("Pair", "{}");
}

static void breaks_lines_like_the_reference(void **state)
{
    struct ww_diag diag;
    assert_ok(parse("Lists",
        WW_BYTES_LIT("{\"texts\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"b\"],"
                     "\"matrix\":[[1,2],[3],[]]}"),
        &diag));
    assert_string_equal(print("Lists", true),
        "{ \"texts\": [\n"
        "    \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n"
        "    \"b\" ],\n"
        "  \"matrix\": [[1, 2], [3], []] }");
    assert_ok(parse("UsesPair", WW_BYTES_LIT("{\"pair\":{\"second\":{}}}"), &diag));
    assert_string_equal(print("UsesPair", true), "{\"pair\": {\"second\": {\"x\": 0, \"y\": 7}}}");
    assert_ok(parse("Pair", WW_BYTES_LIT("{}"), &diag));
    assert_string_equal(print("Pair", true), "{}");
}

static void reads_what_others_write(void **state)
{
    struct ww_diag diag;
    assert_ok(parse("Scalars",
        WW_BYTES_LIT(" {\"i64\": 9007199254740993, \"u64\": 18446744073709551615, \"i8\": \"-5\", "
                     "\"u8\": 2.0e1, \"f64\": null, \"f32\": \"-Infinity\", \"color\": 1, \"void\": "
                     "[1, {\"x\": 2}], \"unknown\": {\"y\": [[]]}, \"i16\": \"0x10\", \"i16\": 7}\n"),
        &diag));
    struct kitchen_Scalars_r r = kitchen_Scalars_r_root(&msg);
    assert_int_equal(kitchen_Scalars_i64(r), 9007199254740993);
    assert_true(kitchen_Scalars_u64(r) == UINT64_MAX);
    assert_int_equal(kitchen_Scalars_i8(r), -5);
    assert_int_equal(kitchen_Scalars_u8(r), 20);
    assert_int_equal(kitchen_Scalars_i16(r), 7);
    assert_true(kitchen_Scalars_f64(r) != kitchen_Scalars_f64(r));
    assert_true(kitchen_Scalars_f32(r) == -__builtin_inff());
    assert_int_equal(kitchen_Scalars_color(r), kitchen_Color_green);
    assert_ok(parse(
        "Pointers", WW_BYTES_LIT("{\"te\\u0078t\": \"\\u00e9\\ud83d\\ude00\\/\\u0000\xc3\xa9\"}"), &diag));
    assert_bytes(
        kitchen_Pointers_text(kitchen_Pointers_r_root(&msg)), "\xc3\xa9\xf0\x9f\x98\x80/\0\xc3\xa9", 10);
    size_t used;
    ww_msg_reset(&msg);
    assert_ok(ww_json_parse(
        WW_BYTES_LIT("{\"x\":1}{\"x\":2}"), rig_type("Point"), ww_msg_root_builder(&msg), &used, &diag));
    assert_int_equal(used, 7);
}

static void says_where_and_why(void **state)
{
    refused("Point", "{\"x\": 1,\n \"y\": \"s\"}", "2:7: found a string, expected Int32");
    refused("Point", "{\"x\": 2147483648}", "1:7: the number is out of the range of Int32");
    refused("Point", "{\"x\": 1.5}", "1:7: found a fraction, expected a whole number");
    refused("Point", "{\"x\": null}", "1:7: found null, expected Int32");
    refused("Point", "[]", "1:1: found an array, expected kitchen.capnp:Point");
    refused("Scalars", "{\"flag\": 1}", "1:10: found a number, expected true or false");
    refused("Scalars", "{\"color\": \"pink\"}", "1:11: no enumerant `pink` in kitchen.capnp:Color");
    refused("Scalars", "{\"color\": 65536}", "1:11: the number is out of the range of UInt16");
    refused("Scalars", "{\"u64\": \"1.0\"}", "1:9: found a string, expected UInt64");
    refused("Scalars", "{\"u64\": \"\"}", "1:9: found a string, expected UInt64");
    refused("Pointers", "{\"text\": null}", "1:10: found null, expected a string");
    refused("Pointers", "{\"data\": \"x\"}", "1:10: found a string, expected an array of bytes");
    refused("Pointers", "{\"data\": [256]}", "1:11: the number is out of the range of UInt8");
    refused("Pointers", "{\"point\": null}", "1:11: found null, expected kitchen.capnp:Point");
    refused("Pointers", "{\"any\": null}", "1:9: capabilities and AnyPointer have no JSON");
    refused("Pointers", "{\"cap\": {}}", "1:9: capabilities and AnyPointer have no JSON");
    refused("Lists", "{\"i8s\": {}}", "1:9: found an object, expected List(Int8)");
}

static void reads_only_rfc_8259(void **state)
{
    static const char *const bad[] = {"", " ", "{", "}", "{]", "{\"x\"}", "{\"x\":}", "{\"x\":1,}", "{,}",
        "{x:1}", "{'x':1}", "{\"x\":01}", "{\"x\":-}", "{\"x\":+1}", "{\"x\":.5}", "{\"x\":1.}", "{\"x\":1e}",
        "{\"x\":0x1}", "{\"x\":-01}", "{\"x\":NaN}", "{\"x\":TRUE}", "{\"x\":truer}", "{\"x\":1 \"y\":2}",
        "{\"x\":1}x", "{}{}", "// c\n{}", "{\"z\":[1,]}", "{\"z\":[,1]}", "{\"z\":[1 2]}",
        "{\"z\":\"\\x41\"}", "{\"z\":\"\\u12\"}", "{\"z\":\"\\ud800\"}", "{\"z\":\"\\udc00\"}",
        "{\"z\":\"\\ud800\\u0041\"}", "{\"z\":\"a\tb\"}", "{\"z\":\"a\nb\"}", "{\"z\":\"", "{\"z\":\"\\",
        "{\"z\":\"\xff\"}", "{\"z\":\"\xc0\x80\"}", "{\"z\":\"\xed\xa0\x80\"}",
        "{\"z\":\"\xf4\x90\x80\x80\"}", "{\"z\":\"\xe2\x82\"}", "{\"z\":\"\x80\"}", "\xef\xbb\xbf{}",
        "{\"x\":1}\v"};
    static const char *const good[] = {"{}", " { } ", "{\"z\":[]}", "{\"z\":{}}",
        "{\"z\":[1,-0,0.5,1e5,1E+5,1.5e-5]}", "{\"z\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"}",
        "{\"z\":\"\x7f\xf4\x8f\xbf\xbf\"}", "{\"z\":[true,false,null]}", "{\"\":1}", "{\"z\":1e999}",
        "\t\r\n{\"x\" : 1 , \"y\" : 2}\r\n"};
    struct ww_diag diag;
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        if (parse("Point", ww_bytes_str(bad[i]), &diag) != WW_EINVAL)
            fail_msg("'%s' was taken for JSON", bad[i]);
        assert_true(diag.text[0] >= '1' && diag.text[0] <= '9');
    }
    for (size_t i = 0; i < WW_COUNT_OF(good); i++) {
        if (parse("Point", ww_bytes_str(good[i]), &diag) < 0)
            fail_msg("'%s': %s", good[i], diag.text);
    }
    assert_int_equal(parse("Point", ww_bytes("{\"x\":1\0}", 8), &diag), WW_EINVAL);
}

static void bounds_depth(void **state)
{
    static char deep[4000];
    struct ww_diag diag;
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"z\":", 5);
    assert_int_equal(parse("Point", ww_bytes(deep, sizeof deep), &diag), WW_EDEPTH);
}

static void has_no_json_for_capabilities(void **state)
{
    struct ww_diag diag = {0};
    struct ww_dyn_struct s;
    assert_ok(parse("Pointers", WW_BYTES_LIT("{}"), &diag));
    struct ww_sb b = ww_pb_struct(ww_msg_root_builder(&msg), 0, 0);
    ww_pb_set_text(ww_sb_ptr(b, rig_field(rig_type("Pointers"), "any")->offset), ww_text("x"));
    assert_ok(ww_dyn_root(ww_msg_root(&msg), rig_type("Pointers"), &s, NULL));
    str.len = 0;
    assert_int_equal(ww_json_print(s, true, &str, &diag), WW_EUNSUPPORTED);
    assert_string_equal(diag.text, "field `any`: capabilities and AnyPointer have no JSON");
    assert_int_equal(str.len, 0);
}

static void survives_allocation_failures(void **state)
{
    static char text[] = "{\"area\": 1, \"box\": {\"corner\": {\"x\": 1}, \"inner\": {\"filled\": "
                         "false}}, \"tail\": {\"next\": {\"polygon\": [{\"x\": 1}, {\"y\": 2}]}}}";
    alloc_fail_run(there_and_back, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_prints),
        cmocka_unit_test(breaks_lines_like_the_reference),
        cmocka_unit_test(reads_what_others_write),
        cmocka_unit_test(says_where_and_why),
        cmocka_unit_test(reads_only_rfc_8259),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(has_no_json_for_capabilities),
        cmocka_unit_test(survives_allocation_failures),
    };
    return cmocka_run_group_tests_name("capnp/json", tests, rig_setup, rig_text_teardown);
}
