/* Generated calls and servers, over a connection in memory: parameters and results, inheritance, pipelining,
 * streaming, and methods that nobody has. */
#include "test/lib/test.h"

#include "kitchen.capnp.rpc.h"

struct kitchen {
    struct kitchen_Kitchen_server server;
    struct ww_cap *self; /* borrowed: one capability for one object */
    unsigned pings, extra_pings, fed, dropped;
};

static struct kitchen *kitchen_of(struct kitchen_Kitchen_server *server)
{
    return WW_CONTAINER_OF(server, struct kitchen, server);
}

static void on_cook(struct kitchen_Kitchen_server *server, struct ww_rpc_call *call)
{
    struct kitchen_Kitchen_cook_params_r p = kitchen_Kitchen_cook_params(call);
    assert_int_equal(kitchen_Shape_which(kitchen_Kitchen_cook_params_recipe(p)), kitchen_Shape_which_square);
    assert_int_equal(kitchen_Shape_square(kitchen_Kitchen_cook_params_recipe(p)), 12);
    struct ww_lr helpers = kitchen_Kitchen_cook_params_helpers(p);
    assert_int_equal(helpers.count, 1);
    struct kitchen_Kitchen_cook_results_b r = kitchen_Kitchen_cook_answer(call);
    struct kitchen_Kitchen_Session_b session = kitchen_Kitchen_cook_results_init_session(r);
    /* the caller's own kitchen comes back to it */
    kitchen_Kitchen_Session_set_owner(session, ww_pr_cap(ww_lr_ptr(helpers, 0)));
    struct ww_cap *self = kitchen_of(server)->self;
    kitchen_Kitchen_Session_deep_set_tool(kitchen_Kitchen_Session_get_deep(session), self);
    kitchen_Kitchen_cook_results_set_meal(r, self);
    ww_rpc_call_return(call);
}

static void on_taste(struct kitchen_Kitchen_server *server, struct ww_rpc_call *call)
{
    struct kitchen_Point_r p = kitchen_Kitchen_taste_params(call);
    struct kitchen_Scalars_b r = kitchen_Kitchen_taste_answer(call);
    kitchen_Scalars_set_i32(r, kitchen_Point_x(p) + kitchen_Point_y(p));
    ww_rpc_call_return(call);
}

static void on_ping(struct kitchen_Kitchen_server *server, struct ww_rpc_call *call)
{
    kitchen_of(server)->pings++;
    uint32_t n = kitchen_Base_ping_params_n(kitchen_Base_ping_params(call));
    kitchen_Base_ping_results_set_n(kitchen_Base_ping_answer(call), n + 1);
    ww_rpc_call_return(call);
}

static void on_extra_ping(struct kitchen_Kitchen_server *server, struct ww_rpc_call *call)
{
    kitchen_of(server)->extra_pings++;
    kitchen_Extra_ping_answer(call);
    ww_rpc_call_return(call);
}

static void on_feed(struct kitchen_Kitchen_server *server, struct ww_rpc_call *call)
{
    struct ww_bytes chunk = kitchen_Extra_feed_params_chunk(kitchen_Extra_feed_params(call));
    kitchen_of(server)->fed += (unsigned)chunk.len;
    ww_rpc_call_return(call);
}

static void on_drop(struct kitchen_Kitchen_server *server)
{
    kitchen_of(server)->dropped++;
}

/* `delete` and the method `drop` are left out: they answer `unimplemented`. */
static const struct kitchen_Kitchen_ops kitchen_ops = {
    .cook = on_cook,
    .taste = on_taste,
    .ping = on_ping,
    .kitchen_Extra_ping = on_extra_ping,
    .feed = on_feed,
    .drop = on_drop,
};

static struct ww_cap *kitchen_init(struct kitchen *k, struct ww_rpc_vat *vat)
{
    *k = (struct kitchen){.self = NULL};
    kitchen_Kitchen_server_init(&k->server, &kitchen_ops);
    assert_ok(kitchen_Kitchen_server_cap(vat, &k->server, &k->self));
    return k->self;
}

struct world {
    struct ww_rpc_vat *vats[2];
    struct ww_rpc_conn *conns[2];
    struct kitchen near, far;
    struct ww_cap *near_cap, *far_cap; /* far_cap: from the other side of the connection */
};

static bool carry(struct ww_rpc_conn *from, struct ww_rpc_conn *to)
{
    struct ww_bytes views[8];
    size_t n = ww_rpc_conn_pull(from, views, WW_COUNT_OF(views)), bytes = 0;
    for (size_t i = 0; i < n; i++) {
        assert_ok(ww_rpc_conn_feed(to, views[i]));
        bytes += views[i].len;
    }
    ww_rpc_conn_pulled(from, bytes);
    return bytes > 0;
}

static void settle(struct world *w)
{
    bool more = true;
    while (more) {
        ww_rpc_vat_run(w->vats[0], 0, 0);
        ww_rpc_vat_run(w->vats[1], 0, 0);
        more = carry(w->conns[0], w->conns[1]);
        more = carry(w->conns[1], w->conns[0]) || more;
    }
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    for (int i = 0; i < 2; i++)
        assert_ok(ww_rpc_vat_new(NULL, &w->vats[i]));
    w->near_cap = kitchen_init(&w->near, w->vats[0]);
    struct ww_cap *served = kitchen_init(&w->far, w->vats[1]);
    struct ww_rpc_conn_config client = {.host = NULL}, server = {.bootstrap = served};
    assert_ok(ww_rpc_conn_new(w->vats[0], &client, &w->conns[0]));
    assert_ok(ww_rpc_conn_new(w->vats[1], &server, &w->conns[1]));
    ww_cap_unref(served);
    assert_ok(ww_rpc_conn_bootstrap(w->conns[0], &w->far_cap));
}

static void world_fini(struct world *w)
{
    ww_cap_unref(w->near_cap);
    ww_cap_unref(w->far_cap);
    settle(w);
    for (int i = 0; i < 2; i++)
        ww_rpc_conn_free(w->conns[i]);
    for (int i = 0; i < 2; i++)
        ww_rpc_vat_run(w->vats[i], 0, 0);
    assert_int_equal(w->near.dropped, 1);
    assert_int_equal(w->far.dropped, 1);
    for (int i = 0; i < 2; i++)
        ww_rpc_vat_free(w->vats[i]);
}

static void calls_carry_parameters_and_results(void **state)
{
    struct world w;
    struct ww_rpc_request *taste, *ping;
    struct kitchen_Point_b point = {0};
    struct kitchen_Base_ping_params_b n = {0};
    world_init(&w);
    assert_ok(kitchen_Kitchen_taste_request(w.far_cap, &taste, &point));
    kitchen_Point_set_x(point, 40);
    kitchen_Point_set_y(point, 2);
    ww_rpc_request_send(taste, NULL);
    assert_ok(kitchen_Base_ping_request(w.far_cap, &ping, &n));
    kitchen_Base_ping_params_set_n(n, 6);
    ww_rpc_request_send(ping, NULL);
    settle(&w);
    assert_ok(ww_rpc_request_status(taste));
    assert_int_equal(kitchen_Scalars_i32(kitchen_Kitchen_taste_results(taste)), 42);
    assert_int_equal(kitchen_Scalars_u8(kitchen_Kitchen_taste_results(taste)), 200);
    assert_int_equal(kitchen_Base_ping_results_n(kitchen_Base_ping_results(ping)), 7);
    assert_int_equal(w.far.pings, 1);
    ww_rpc_request_free(taste);
    ww_rpc_request_free(ping);
    world_fini(&w);
}

/* Two pings of different interfaces, the deeper one through two fields of results that are not there yet. */
static void pipelines_follow_structs_and_groups(void **state)
{
    struct world w;
    struct ww_rpc_request *cook, *pings[2];
    struct kitchen_Kitchen_cook_params_b p = {0};
    struct ww_cap *owner, *tool;
    world_init(&w);
    assert_ok(kitchen_Kitchen_cook_request(w.far_cap, &cook, &p));
    kitchen_Shape_set_square(kitchen_Kitchen_cook_params_init_recipe(p), 12);
    ww_pb_set_cap(ww_lb_ptr(kitchen_Kitchen_cook_params_init_helpers(p, 1), 0), w.near_cap);
    ww_rpc_request_send(cook, NULL);
    assert_ok(kitchen_Kitchen_cook_pipeline_session_owner(cook, &owner));
    assert_ok(kitchen_Kitchen_cook_pipeline_session_deep_tool(cook, &tool));
    struct kitchen_Base_ping_params_b n = {0};
    struct kitchen_Extra_ping_params_b none = {0};
    assert_ok(kitchen_Base_ping_request(owner, &pings[0], &n));
    kitchen_Base_ping_params_set_n(n, 1);
    ww_rpc_request_send(pings[0], NULL);
    assert_ok(kitchen_Extra_ping_request(tool, &pings[1], &none));
    ww_rpc_request_send(pings[1], NULL);
    settle(&w);
    assert_ok(ww_rpc_request_status(cook));
    assert_ok(ww_rpc_request_status(pings[1]));
    assert_int_equal(kitchen_Base_ping_results_n(kitchen_Base_ping_results(pings[0])), 2);
    assert_int_equal(w.near.pings, 1);
    assert_int_equal(w.far.extra_pings, 1);
    assert_int_equal(w.far.pings, 0);
    struct kitchen_Kitchen_Session_r session =
        kitchen_Kitchen_cook_results_session(kitchen_Kitchen_cook_results(cook));
    struct ww_cap *back = kitchen_Kitchen_Session_owner(session);
    assert_true(ww_cap_same(back, w.near_cap));
    assert_ptr_equal(kitchen_Kitchen_server_of(back), &w.near.server);
    assert_null(kitchen_Kitchen_server_of(w.far_cap));
    ww_cap_unref(owner);
    ww_cap_unref(tool);
    ww_rpc_request_free(cook);
    ww_rpc_request_free(pings[0]);
    ww_rpc_request_free(pings[1]);
    world_fini(&w);
}

static void streams_reach_their_handler(void **state)
{
    struct world w;
    struct ww_rpc_stream stream;
    static const struct ww_rpc_stream_ops ops = {NULL, NULL};
    world_init(&w);
    assert_ok(ww_rpc_stream_init(&stream, w.vats[0], &ops, 1 << 20));
    for (int i = 0; i < 5; i++) {
        struct ww_rpc_request *feed;
        struct kitchen_Extra_feed_params_b p = {0};
        assert_ok(kitchen_Extra_feed_request(w.far_cap, &feed, &p));
        kitchen_Extra_feed_params_set_chunk(p, ww_text("12345678"));
        assert_int_equal(ww_rpc_stream_send_take(&stream, feed), WW_RPC_STREAM_OK);
    }
    settle(&w);
    assert_int_equal(w.far.fed, 40);
    assert_int_equal(stream.in_flight, 0);
    ww_rpc_stream_fini(&stream);
    world_fini(&w);
}

static void missing_methods_are_unimplemented(void **state)
{
    struct world w;
    struct ww_rpc_request *requests[3];
    struct kitchen_Kitchen_delete_params_b p = {0};
    world_init(&w);
    assert_ok(kitchen_Kitchen_delete_request(w.far_cap, &requests[0], &p));
    assert_ok(ww_rpc_request_new(w.far_cap, kitchen_Kitchen_ID, 77, 0, &requests[1]));
    assert_ok(ww_rpc_request_new(w.far_cap, UINT64_C(0x1234), 0, 0, &requests[2]));
    for (int i = 0; i < 3; i++)
        ww_rpc_request_send(requests[i], NULL);
    settle(&w);
    char of_kitchen[128];
    snprintf(of_kitchen, sizeof of_kitchen, "Kitchen has no method 77 of interface 0x%llx",
        (unsigned long long)kitchen_Kitchen_ID);
    assert_string_equal(ww_rpc_request_reason(requests[1]), of_kitchen);
    assert_string_equal(ww_rpc_request_reason(requests[2]), "Kitchen has no method 0 of interface 0x1234");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ww_rpc_request_status(requests[i]), WW_EUNIMPLEMENTED);
        ww_rpc_request_free(requests[i]);
    }
    world_fini(&w);
}

static char long_name[4096];

static void dispatch_long(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    ww_rpc_call_fail_unknown(call, long_name);
}

/* A name without end is cut; the largest numbers fit. */
static void unknown_method_of_a_long_name(void **state)
{
    static const struct ww_rpc_server_ops ops = {.dispatch = dispatch_long};
    struct ww_rpc_server server = {.ops = &ops};
    struct ww_rpc_vat *vat;
    struct ww_cap *cap;
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_vat_new(NULL, &vat));
    assert_ok(ww_cap_new_server(vat, &server, &cap));
    for (int i = 0; i < 2; i++) {
        memset(long_name, 'n', i ? sizeof long_name - 1 : 1);
        assert_ok(ww_rpc_request_new(cap, UINT64_MAX, UINT16_MAX, 0, &r));
        ww_rpc_request_send(r, NULL);
        ww_rpc_vat_run(vat, 0, 0);
        const char *reason = ww_rpc_request_reason(r);
        if (i)
            assert_int_equal(strlen(reason), strspn(reason, "n"));
        else
            assert_string_equal(reason, "n has no method 65535 of interface 0xffffffffffffffff");
        assert_in_range(strlen(reason), 1, sizeof long_name / 2);
        ww_rpc_request_free(r);
    }
    ww_cap_unref(cap);
    ww_rpc_vat_run(vat, 0, 0);
    ww_rpc_vat_free(vat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_carry_parameters_and_results),
        cmocka_unit_test(pipelines_follow_structs_and_groups),
        cmocka_unit_test(streams_reach_their_handler),
        cmocka_unit_test(missing_methods_are_unimplemented),
        cmocka_unit_test(unknown_method_of_a_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
