/* Brands of generics: typed values go to the schema compiler and come back. */
#define SCHEMA_FILE "generics.capnp"
#include "test/unit/capnp/tool.h"

#include "defaults.capnp.h"
#include "generics.capnp.h"
#include "generics.capnp.rpc.h"

/* No size of a list is known to the compiler's text form, so every value is written. */
static void maps_go_both_ways(void **state)
{
    static const char text[] =
        "(map = (entries = [(key = \"ada\", value = (name = \"Ada\", age = 36)), (next = (key = \"z\"))], "
        "size = 2, "
        "inverse = (size = 0, extra = \"v\"), pair = (left = \"l\", right = (age = 18))))";
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct generics_Map_of_Text_Person_b map = generics_User_init_map(generics_User_b_root(&m));
    struct generics_Map_Entry_of_Text_Person_lb entries = generics_Map_of_Text_Person_init_entries(map, 2);
    struct generics_Map_Entry_of_Text_Person_b entry = generics_Map_Entry_of_Text_Person_lb_at(entries, 0);
    generics_Map_Entry_of_Text_Person_set_key(entry, ww_text("ada"));
    struct generics_Person_b ada = generics_Map_Entry_of_Text_Person_init_value(entry);
    generics_Person_set_name(ada, ww_text("Ada"));
    generics_Person_set_age(ada, 36);
    entry = generics_Map_Entry_of_Text_Person_init_next(generics_Map_Entry_of_Text_Person_lb_at(entries, 1));
    generics_Map_Entry_of_Text_Person_set_key(entry, ww_text("z"));
    generics_Map_of_Text_Person_set_size(map, 2);
    generics_Map_of_Person_Text_set_extra(generics_Map_of_Text_Person_init_inverse(map), ww_text("v"));
    struct generics_Map_pair_of_Text_Person_b pair = generics_Map_of_Text_Person_get_pair(map);
    generics_Map_pair_of_Text_Person_set_left(pair, ww_text("l"));
    generics_Map_pair_of_Text_Person_init_right(pair);
    assert_decodes(&m, "User", text);
    encode(&m, "User", text);
    struct generics_Map_of_Text_Person_r r = generics_User_map(generics_User_r_root(&m));
    struct generics_Map_Entry_of_Text_Person_l l = generics_Map_of_Text_Person_entries(r);
    struct generics_Map_Entry_of_Text_Person_r first = generics_Map_Entry_of_Text_Person_l_at(l, 0);
    assert_string_equal(ww_cstr(generics_Map_Entry_of_Text_Person_key(first)), "ada");
    assert_int_equal(generics_Person_age(generics_Map_Entry_of_Text_Person_value(first)), 36);
    assert_int_equal(generics_Map_of_Text_Person_which(r), generics_Map_which_pair);
    /* the unbound form is the same bytes */
    struct generics_Map_r plain = {r.s};
    struct generics_Map_pair_r raw = generics_Map_pair(plain);
    assert_string_equal(ww_cstr(ww_pr_text(generics_Map_pair_left(raw))), "l");
    ww_msg_fini(&m);
}

static void brands_nest(void **state)
{
    static const char text[] =
        "(nested = (entries = [(key = \"k\", value = (entries = [(value = (value = (name = \"p\", age = 18), "
        "label = "
        "\"box\", point = (x = 6, y = 3)))], size = 0, none = void))], size = 1, none = void))";
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct generics_Map_of_Text_Map_of_Text_Box_of_Person_b outer =
        generics_User_init_nested(generics_User_b_root(&m));
    generics_Map_of_Text_Map_of_Text_Box_of_Person_set_size(outer, 1);
    struct generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_b entry =
        generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_lb_at(
            generics_Map_of_Text_Map_of_Text_Box_of_Person_init_entries(outer, 1), 0);
    generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_set_key(entry, ww_text("k"));
    struct generics_Map_of_Text_Box_of_Person_b inner =
        generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_init_value(entry);
    struct generics_Box_of_Person_b box =
        generics_Map_Entry_of_Text_Box_of_Person_init_value(generics_Map_Entry_of_Text_Box_of_Person_lb_at(
            generics_Map_of_Text_Box_of_Person_init_entries(inner, 1), 0));
    generics_Person_set_name(generics_Box_of_Person_init_value(box), ww_text("p"));
    generics_Box_of_Person_set_label(box, generics_Box_of_Person_label(generics_Box_of_Person_b_reader(box)));
    defaults_Point_set_x(generics_Box_of_Person_get_point(box), 6); /* a copy of the default */
    assert_decodes(&m, "User", text);
    encode(&m, "User", text);
    struct generics_Map_of_Text_Map_of_Text_Box_of_Person_r r =
        generics_User_nested(generics_User_r_root(&m));
    struct generics_Map_of_Text_Box_of_Person_r in =
        generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_value(
            generics_Map_Entry_of_Text_Map_of_Text_Box_of_Person_l_at(
                generics_Map_of_Text_Map_of_Text_Box_of_Person_entries(r), 0));
    struct generics_Box_of_Person_r b = generics_Map_Entry_of_Text_Box_of_Person_value(
        generics_Map_Entry_of_Text_Box_of_Person_l_at(generics_Map_of_Text_Box_of_Person_entries(in), 0));
    assert_string_equal(ww_cstr(generics_Person_name(generics_Box_of_Person_value(b))), "p");
    assert_int_equal(defaults_Point_x(generics_Box_of_Person_point(b)), 6);
    ww_msg_fini(&m);
}

static void lists_blobs_and_scopes_are_arguments(void **state)
{
    static const char text[] =
        "(bytes = (entries = [(key = \"\\000\\377\", value = [(name = \"q\", age = 18)])], size = 0, none = "
        "void), "
        "deep = (a = \"a\", b = (age = 1), both = (size = 3, extra = (age = 2))), "
        "list = [(size = 0, extra = \"e\")], boxText = (value = (inside = (age = 3)), label = \"box\"), "
        "far = (held = (age = 4), box = (value = (age = 5))), numbers = (value = [1, 65535]), "
        "two = (deep = (a = \"t\", b = \"d\")))";
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct generics_User_b u = generics_User_b_root(&m);
    struct generics_Map_Entry_of_Data_List_Person_b e = generics_Map_Entry_of_Data_List_Person_lb_at(
        generics_Map_of_Data_List_Person_init_entries(generics_User_init_bytes(u), 1), 0);
    memcpy(generics_Map_Entry_of_Data_List_Person_init_key(e, 2), "\x00\xff", 2);
    generics_Person_set_name(
        generics_Person_lb_at(generics_Map_Entry_of_Data_List_Person_init_value(e, 1), 0), ww_text("q"));
    struct generics_Two_Deep_of_Text_Person_b deep = generics_User_init_deep(u);
    generics_Two_Deep_of_Text_Person_set_a(deep, ww_text("a"));
    generics_Person_set_age(generics_Two_Deep_of_Text_Person_init_b(deep), 1);
    struct generics_Map_of_Text_Person_b both = generics_Two_Deep_of_Text_Person_init_both(deep);
    generics_Map_of_Text_Person_set_size(both, 3);
    generics_Person_set_age(generics_Map_of_Text_Person_init_extra(both), 2);
    generics_Map_of_Text_Text_set_extra(
        generics_Map_of_Text_Text_lb_at(generics_User_init_list(u, 1), 0), ww_text("e"));
    struct generics_Box_of_Jar_Text_of_Person_b jar = generics_User_init_boxText(u);
    generics_Person_set_age(
        generics_Jar_Text_of_Person_init_inside(generics_Box_of_Jar_Text_of_Person_init_value(jar)), 3);
    generics_Box_of_Jar_Text_of_Person_set_label(jar, ww_text("box"));
    struct defaults_Holder_of_generics_Person_b far = generics_User_init_far(u);
    generics_Person_set_age(defaults_Holder_of_generics_Person_init_held(far), 4);
    generics_Person_set_age(
        generics_Box_of_Person_init_value(defaults_Holder_of_generics_Person_init_box(far)), 5);
    struct ww_lb numbers = generics_Box_of_List_UInt16_init_value(generics_User_init_numbers(u), 2);
    ww_lb_set_u16(numbers, 0, 1);
    ww_lb_set_u16(numbers, 1, 65535);
    struct generics_Two_Deep_of_Text_Data_b d = generics_Two_of_Text_init_deep(generics_User_init_two(u));
    generics_Two_Deep_of_Text_Data_set_a(d, ww_text("t"));
    generics_Two_Deep_of_Text_Data_set_b(d, ww_text("d"));
    assert_decodes(&m, "User", text);
    encode(&m, "User", text);
    struct generics_User_r r = generics_User_r_root(&m);
    assert_int_equal(ww_lr_u16(generics_Box_of_List_UInt16_value(generics_User_numbers(r)), 1), 65535);
    assert_int_equal(generics_Person_age(generics_Two_Deep_of_Text_Person_b(generics_User_deep(r))), 1);
    ww_msg_fini(&m);
}

static void constants_have_brands(void **state)
{
    struct generics_Map_of_Text_Person_r people = generics_people();
    assert_int_equal(generics_Map_of_Text_Person_size(people), 2);
    struct generics_Map_Entry_of_Text_Person_l l = generics_Map_of_Text_Person_entries(people);
    assert_string_equal(
        ww_cstr(generics_Map_Entry_of_Text_Person_key(generics_Map_Entry_of_Text_Person_l_at(l, 1))), "bob");
}

/* ---- interfaces: a store of people, called through the brand's functions and served through the plain table
 */

struct people {
    struct generics_PersonStore_server server;
    unsigned puts, named;
};

static void on_get(struct generics_PersonStore_server *server, struct ww_rpc_call *call)
{
    struct generics_Person_b p =
        generics_Store_get_results_of_Person_init_value(generics_Store_of_Person_get_answer(call));
    generics_Person_set_name(
        p, generics_Store_get_params_of_Person_key(generics_Store_of_Person_get_params(call)));
    ww_rpc_call_return(call);
}

static void on_put(struct generics_PersonStore_server *server, struct ww_rpc_call *call)
{
    struct people *people = WW_CONTAINER_OF(server, struct people, server);
    struct generics_Map_of_Text_Person_r in = generics_Store_of_Person_put_params(call);
    people->puts += generics_Map_of_Text_Person_size(in);
    struct generics_Map_of_Person_Text_b out = generics_Store_of_Person_put_answer(call);
    generics_Map_of_Person_Text_set_extra(out, ww_text("stored"));
    ww_rpc_call_return(call);
}

static void on_name(struct generics_PersonStore_server *server, struct ww_rpc_call *call)
{
    WW_CONTAINER_OF(server, struct people, server)->named++;
    generics_Named_name_results_set_name(generics_Named_name_answer(call), ww_text("store"));
    ww_rpc_call_return(call);
}

static void calls_are_typed_by_brand(void **state)
{
    static const struct generics_PersonStore_ops ops = {.get = on_get, .put = on_put, .name = on_name};
    struct people people = {.puts = 0};
    struct ww_rpc_vat *vat;
    struct ww_cap *cap;
    struct ww_rpc_request *get, *put, *name;
    assert_ok(ww_rpc_vat_new(NULL, &vat));
    generics_PersonStore_server_init(&people.server, &ops);
    assert_ok(generics_PersonStore_server_cap(vat, &people.server, &cap));
    struct generics_Store_get_params_of_Person_b key = {0};
    struct generics_Map_of_Text_Person_b map = {0};
    struct generics_Named_name_params_b none = {0};
    assert_ok(generics_Store_of_Person_get_request(cap, &get, &key));
    generics_Store_get_params_of_Person_set_key(key, ww_text("eve"));
    assert_ok(generics_Store_of_Person_put_request(cap, &put, &map));
    generics_Map_of_Text_Person_set_size(map, 4);
    assert_ok(generics_Named_name_request(cap, &name, &none));
    ww_rpc_request_send(get, NULL);
    ww_rpc_request_send(put, NULL);
    ww_rpc_request_send(name, NULL);
    while (ww_rpc_vat_run(vat, 0, 64))
        ;
    assert_ok(ww_rpc_request_status(get));
    struct generics_Person_r eve =
        generics_Store_get_results_of_Person_value(generics_Store_of_Person_get_results(get));
    assert_string_equal(ww_cstr(generics_Person_name(eve)), "eve");
    assert_string_equal(
        ww_cstr(generics_Map_of_Person_Text_extra(generics_Store_of_Person_put_results(put))), "stored");
    assert_int_equal(people.puts, 4);
    assert_int_equal(people.named, 1);
    ww_rpc_request_free(get);
    ww_rpc_request_free(put);
    ww_rpc_request_free(name);
    ww_cap_unref(cap);
    ww_rpc_vat_free(vat);
}

/* A diamond has its shared base once in the table. */
static void diamonds_are_closed(void **state)
{
    static const struct generics_Diamond_ops ops = {.name = NULL, .left = NULL, .right = NULL, .both = NULL};
    assert_null(ops.drop);
    assert_int_equal(sizeof ops, 5 * sizeof(void (*)(void)));
    assert_int_equal(generics_Diamond_interface.extends_count, 2);
    assert_ptr_equal(
        generics_Diamond_interface.extends[0]->extends[0], generics_Diamond_interface.extends[1]->extends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_go_both_ways),
        cmocka_unit_test(brands_nest),
        cmocka_unit_test(lists_blobs_and_scopes_are_arguments),
        cmocka_unit_test(constants_have_brands),
        cmocka_unit_test(calls_are_typed_by_brand),
        cmocka_unit_test(diamonds_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
