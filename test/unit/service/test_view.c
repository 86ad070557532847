#include "schema/cluster.capnp.rpc.h"
#include "service/view.h"
#include "test/unit/service/world.h"

enum { HOSTS_MAX = 4096 };

struct fixture {
    struct world w;
    struct ww_routing *table;
    struct ww_cap *view;
};

static void begin(struct fixture *f)
{
    struct ww_routing_conf conf = {.seed = {1, 2}};
    memset(f, 0, sizeof *f);
    world_init(&f->w);
    assert_ok(ww_routing_new(&conf, &f->table));
    assert_ok(ww_view_new(f->w.env, f->w.vat, f->table, &f->view));
}

static void finish(struct fixture *f)
{
    ww_cap_unref(f->view);
    world_run(&f->w, WW_NS_PER_S);
    ww_routing_free(f->table);
    world_fini(&f->w);
}

static void add(struct fixture *f, uint8_t n, const char *host, const char *meta)
{
    uint8_t peer[34] = {0x12, 0x20, n};
    struct ww_bytes field = ww_bytes_str(meta ? meta : "");
    struct ww_record_in in = {.peer = ww_bytes(peer, sizeof peer),
        .server = 0x100u + n,
        .seq = n,
        .ttl_ms = 60000,
        .host = ww_bytes_str(host),
        .meta = &field,
        .meta_count = meta ? 1 : 0};
    assert_true(ww_routing_upsert(f->table, ww_env_now(f->w.env), &in) > 0);
}

/* Collects hosts, optionally holding every call back until told. */
struct collector {
    struct ww_View_Handler_server server;
    char got[HOSTS_MAX];
    struct ww_rpc_call *held;
    unsigned count, calls_at_once, most_at_once;
    bool hold, dropped, fail;
};

static void recv_record(struct ww_View_Handler_server *self, struct ww_rpc_call *call)
{
    struct collector *c = WW_CONTAINER_OF(self, struct collector, server);
    ww_rpc_call_set_streaming(call);
    struct ww_View_Record_r record = ww_View_Handler_recv_params_record(ww_View_Handler_recv_params(call));
    struct ww_Heartbeat_r beat = ww_View_Record_heartbeat(record);
    assert_int_equal(ww_Heartbeat_server(beat), ww_View_Record_server(record));
    assert_int_equal(ww_Heartbeat_ttl(beat), 60000);
    assert_int_equal(ww_View_Record_peer(record).len, 34);
    size_t used = strlen(c->got);
    snprintf(c->got + used, sizeof c->got - used, "%s ", ww_cstr(ww_Heartbeat_host(beat)));
    c->count++;
    if (c->fail)
        ww_rpc_call_fail(call, WW_EFAILED, "enough");
    else if (c->hold)
        c->held = call;
    else
        ww_rpc_call_return(call);
}

static void collector_drop(struct ww_View_Handler_server *self)
{
    WW_CONTAINER_OF(self, struct collector, server)->dropped = true;
}

static const struct ww_View_Handler_ops collector_ops = {.recv = recv_record, .drop = collector_drop};

typedef void (*fill_fn)(struct ww_View_Selector_b selector, struct ww_View_iter_params_b params);

static void start_iter(struct fixture *f, struct ww_cap *view, struct collector *c, fill_fn fill,
    struct ww_rpc_request **ret_request, struct waiter *waiter)
{
    struct ww_View_iter_params_b params = {0};
    struct ww_cap *handler;
    ww_View_Handler_server_init(&c->server, &collector_ops);
    assert_ok(ww_View_Handler_server_cap(f->w.vat, &c->server, &handler));
    assert_ok(ww_View_iter_request(view, ret_request, &params));
    ww_View_iter_params_set_handler(params, handler);
    ww_cap_unref(handler);
    if (fill)
        fill(ww_View_iter_params_init_selector(params), params);
    *waiter = (struct waiter){.wait = {waiter_done}};
    ww_rpc_request_send(*ret_request, &waiter->wait);
}

/* The hosts that an iteration gives, "!" and the reason when it fails. */
static const char *iter(struct fixture *f, struct ww_cap *view, fill_fn fill)
{
    static char out[HOSTS_MAX + 1];
    struct collector c = {0};
    struct waiter waiter;
    struct ww_rpc_request *request;
    start_iter(f, view, &c, fill, &request, &waiter);
    world_run(&f->w, WW_NS_PER_S);
    assert_int_equal(waiter.done, 1);
    if (ww_rpc_request_status(request) < 0)
        snprintf(out, sizeof out, "!%.200s", ww_rpc_request_reason(request));
    else
        snprintf(out, sizeof out, "%s", c.got);
    ww_rpc_request_free(request);
    world_run(&f->w, WW_NS_PER_S);
    assert_true(c.dropped);
    return out;
}

static void match_host(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    WW_UNUSED(p);
    ww_View_Index_set_host(ww_View_Selector_init_match(s), ww_text("foo"));
}

static void match_host_prefix(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    WW_UNUSED(p);
    struct ww_View_Index_b ix = ww_View_Selector_init_match(s);
    ww_View_Index_set_prefix(ix, true);
    ww_View_Index_set_host(ix, ww_text("foo"));
}

static void match_meta(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    WW_UNUSED(p);
    ww_View_Index_set_meta(ww_View_Selector_init_match(s), ww_text("k=2"));
}

static void match_server(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    WW_UNUSED(p);
    ww_View_Index_set_server(ww_View_Selector_init_match(s), ww_text("0000000000000103"));
}

static void from_to(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    ww_View_Index_set_host(ww_View_Selector_init_from(s), ww_text("foo"));
    struct ww_View_Constraint_lb list = ww_View_iter_params_init_constraints(p, 1);
    ww_View_Index_set_host(
        ww_View_Constraint_init_to(ww_View_Constraint_lb_at(list, 0)), ww_text("foobarbaz"));
}

static void limited(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    ww_View_Index_set_host(ww_View_Selector_init_from(s), ww_text("foo"));
    ww_View_Constraint_set_limit(ww_View_Constraint_lb_at(ww_View_iter_params_init_constraints(p, 1), 0), 2);
}

static void zero_limit(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    WW_UNUSED(s);
    ww_View_Constraint_set_limit(ww_View_Constraint_lb_at(ww_View_iter_params_init_constraints(p, 1), 0), 0);
}

static void other_index(struct ww_View_Selector_b s, struct ww_View_iter_params_b p)
{
    ww_View_Index_set_host(ww_View_Selector_init_from(s), ww_text("foo"));
    struct ww_View_Constraint_lb list = ww_View_iter_params_init_constraints(p, 1);
    ww_View_Index_set_meta(ww_View_Constraint_init_to(ww_View_Constraint_lb_at(list, 0)), ww_text("k=1"));
}

static void iterations(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    assert_string_equal(iter(&f, f.view, NULL), "");
    add(&f, 1, "foo", "k=1");
    add(&f, 2, "foobar", "k=2");
    add(&f, 3, "foobarbaz", "k=2");
    add(&f, 4, "foobarbaz", NULL);
    add(&f, 5, "foobarbazqux", "k=22");
    add(&f, 6, "bar", NULL);
    assert_int_equal(
        strlen(iter(&f, f.view, NULL)), strlen("foo foobar foobarbaz foobarbaz foobarbazqux bar "));
    assert_string_equal(iter(&f, f.view, match_host), "foo ");
    assert_string_equal(iter(&f, f.view, match_host_prefix), "foo foobar foobarbaz foobarbaz foobarbazqux ");
    assert_string_equal(iter(&f, f.view, match_meta), "foobar foobarbaz ");
    assert_string_equal(iter(&f, f.view, match_server), "foobarbaz ");
    assert_string_equal(iter(&f, f.view, from_to), "foo foobar foobarbaz foobarbaz ");
    assert_string_equal(iter(&f, f.view, limited), "foo foobar ");
    assert_string_equal(iter(&f, f.view, zero_limit), "!expected limit > 0 (got 0)");
    assert_non_null(strstr(iter(&f, f.view, other_index), "!invalid index"));
    finish(&f);
}

static void reverse_is_its_own_inverse(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    add(&f, 1, "foo", NULL);
    add(&f, 2, "foobar", NULL);
    add(&f, 3, "zoo", NULL);
    struct ww_rpc_request *once, *twice;
    struct ww_View_reverse_params_b params = {0};
    struct ww_cap *back, *forth;
    assert_ok(ww_View_reverse_request(f.view, &once, &params));
    ww_rpc_request_send(once, NULL);
    assert_ok(ww_View_reverse_pipeline_view(once, &back));
    assert_ok(ww_View_reverse_request(back, &twice, &params));
    ww_rpc_request_send(twice, NULL);
    assert_ok(ww_View_reverse_pipeline_view(twice, &forth));
    assert_string_equal(iter(&f, back, match_host_prefix), "foobar foo ");
    assert_string_equal(iter(&f, forth, match_host_prefix), "foo foobar ");
    assert_string_equal(iter(&f, back, limited), "foo ");
    ww_cap_unref(back);
    ww_cap_unref(forth);
    ww_rpc_request_free(once);
    ww_rpc_request_free(twice);
    finish(&f);
}

static void lookups(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    for (int round = 0; round < 2; round++) {
        struct ww_rpc_request *request;
        struct ww_View_lookup_params_b params = {0};
        struct waiter waiter = {.wait = {waiter_done}};
        assert_ok(ww_View_lookup_request(f.view, &request, &params));
        ww_View_Index_set_host(
            ww_View_Selector_init_match(ww_View_lookup_params_init_selector(params)), ww_text("b"));
        ww_rpc_request_send(request, &waiter.wait);
        world_run(&f.w, WW_NS_PER_S);
        assert_int_equal(waiter.done, 1);
        assert_ok(ww_rpc_request_status(request));
        struct ww_View_lookup_results_r r = ww_View_lookup_results(request);
        assert_int_equal(ww_View_lookup_results_has_result(r), round == 1);
        if (round == 1)
            assert_int_equal(
                ww_View_Record_seq(ww_View_MaybeRecord_just(ww_View_lookup_results_result(r))), 2);
        ww_rpc_request_free(request);
        if (round == 0) {
            add(&f, 1, "a", NULL);
            add(&f, 2, "b", NULL);
        }
    }
    finish(&f);
}

static void slow_reader(void **state)
{
    struct fixture f;
    struct collector c = {.hold = true};
    struct waiter waiter;
    struct ww_rpc_request *request;
    WW_UNUSED(state);
    begin(&f);
    char host[200];
    memset(host, 'x', sizeof host - 1);
    for (int i = 0; i < 200; i++) {
        snprintf(host, sizeof host, "%03d", i);
        host[3] = 'x';
        host[sizeof host - 1] = '\0';
        add(&f, (uint8_t)i, host, NULL);
    }
    start_iter(&f, f.view, &c, NULL, &request, &waiter);
    world_run(&f.w, WW_NS_PER_S);
    /* One at a time, whatever the window: the order of a stream. */
    assert_int_equal(c.count, 1);
    for (unsigned i = 1; i < 200; i++) {
        struct ww_rpc_call *call = c.held;
        assert_int_equal(waiter.done, 0);
        c.held = NULL;
        ww_rpc_call_return(call);
        world_run(&f.w, WW_NS_PER_MS);
        assert_int_equal(c.count, i + 1);
    }
    ww_rpc_call_return(c.held);
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(waiter.done, 1);
    assert_ok(ww_rpc_request_status(request));
    ww_rpc_request_free(request);
    world_run(&f.w, WW_NS_PER_S);
    assert_true(c.dropped);
    finish(&f);
}

static void bad_ends(void **state)
{
    struct fixture f;
    WW_UNUSED(state);
    begin(&f);
    for (int i = 0; i < 100; i++)
        add(&f, (uint8_t)i, "h", NULL);
    /* the reader fails */
    struct collector failing = {.fail = true};
    struct waiter waiter;
    struct ww_rpc_request *request;
    start_iter(&f, f.view, &failing, NULL, &request, &waiter);
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(waiter.done, 1);
    assert_true(ww_rpc_request_status(request) < 0);
    assert_non_null(strstr(ww_rpc_request_reason(request), "enough"));
    ww_rpc_request_free(request);
    /* the caller cancels while a call is held */
    struct collector held = {.hold = true};
    start_iter(&f, f.view, &held, NULL, &request, &waiter);
    world_run(&f.w, WW_NS_PER_S);
    ww_rpc_request_free(request);
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(waiter.done, 0);
    assert_int_equal(held.count, 1);
    held.hold = false; /* what was sent before still comes */
    ww_rpc_call_return(held.held);
    world_run(&f.w, WW_NS_PER_S);
    assert_true(held.dropped);
    /* too many at a time */
    struct collector many[WW_VIEW_RUNS_PER_CONN + 1];
    struct waiter waiters[WW_COUNT_OF(many)];
    struct ww_rpc_request *requests[WW_COUNT_OF(many)];
    for (size_t i = 0; i < WW_COUNT_OF(many); i++) {
        memset(&many[i], 0, sizeof many[i]);
        many[i].hold = true;
        start_iter(&f, f.view, &many[i], NULL, &requests[i], &waiters[i]);
    }
    world_run(&f.w, WW_NS_PER_S);
    assert_int_equal(waiters[WW_VIEW_RUNS_PER_CONN].done, 1);
    assert_int_equal(ww_rpc_request_status(requests[WW_VIEW_RUNS_PER_CONN]), WW_EOVERLOADED);
    for (size_t i = 0; i < WW_COUNT_OF(many); i++) {
        ww_rpc_request_free(requests[i]);
        world_run(&f.w, WW_NS_PER_MS);
        many[i].hold = false;
        if (many[i].held)
            ww_rpc_call_return(many[i].held);
    }
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iterations),
        cmocka_unit_test(reverse_is_its_own_inverse),
        cmocka_unit_test(lookups),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(bad_ends),
    };
    return cmocka_run_group_tests_name("service/view", tests, NULL, NULL);
}
