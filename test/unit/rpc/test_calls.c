/* Calls, capabilities in parameters and results, releases, cancellation: two well-behaved vats. */
#include "pair.h"

static int live;

static struct ww_cap *make_object(struct ww_rpc_vat *vat)
{
    return object_new(vat, &live, NULL);
}

static struct pair p;

static int setup(void **state)
{
    WW_UNUSED(state);
    live = 0;
    pair_init(&p, make_object, false);
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    pair_fini(&p);
    assert_int_equal(live, 0);
    return 0;
}

static struct ww_cap *boot(void)
{
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    return cap;
}

static void echo(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(cap, M_ECHO, 42, NULL, &o); /* on a promise, before anything moved */
    assert_int_equal(o.count, 0);
    pair_settle(&p);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.status, 0);
    assert_int_equal(o.value, 42);
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    pair_settle(&p);
    side_idle(&p.a);
    side_idle(&p.b);
}

static void done(struct ww_rpc_request *r)
{
    pair_settle(&p); /* what is freed before it was delivered never is */
    ww_rpc_request_free(r);
    pair_settle(&p);
}

static void all_idle(void)
{
    pair_settle(&p);
    side_idle(&p.a);
    side_idle(&p.b);
}

static void calls_in_order(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    unsigned order = 0;
    struct outcome o[100];
    struct ww_rpc_request *r[100];
    for (unsigned i = 0; i < 100; i++) {
        outcome_init(&o[i], &order);
        r[i] = call_send(cap, i % 10 == 9 ? M_FAIL : M_ECHO, i, NULL, &o[i]);
    }
    pair_settle(&p);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(o[i].at, i + 1);
        assert_int_equal(o[i].status, i % 10 == 9 ? WW_EFAILED : 0);
        ww_rpc_request_free(r[i]);
    }
    ww_cap_unref(cap);
    all_idle();
}

static void exceptions(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    static const struct {
        ww_err thrown, seen;
    } kinds[] = {{WW_EINVAL, WW_EFAILED}, {WW_EBUDGET, WW_EOVERLOADED}, {WW_ECLOSED, WW_EDISCONNECTED},
        {WW_EUNSUPPORTED, WW_EUNIMPLEMENTED}};
    for (size_t i = 0; i < WW_COUNT_OF(kinds); i++) {
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *r = call_send(cap, M_FAIL, (uint64_t)(uint32_t)kinds[i].thrown, NULL, &o);
        pair_settle(&p);
        assert_int_equal(o.status, kinds[i].seen);
        assert_string_equal(o.reason, "asked to fail");
        done(r);
    }
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(cap, TEST_IFACE + 1, 0, 0, &r));
    ww_rpc_request_send(r, &o.wait);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EUNIMPLEMENTED);
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    all_idle();
}

static void pipelined(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct ww_rpc_request *r = call_send(cap, M_NEW, 0, NULL, NULL);
    struct ww_cap *made = pipeline(r, 0), *again = pipeline(r, 0);
    assert_ptr_equal(made, again);
    ww_cap_unref(again);
    assert_int_equal(ww_cap_state(made), WW_CAP_PROMISE);
    ww_rpc_request_free(r); /* the promise keeps the call */
    struct outcome o[3];
    struct ww_rpc_request *c[3];
    unsigned order = 0;
    for (unsigned i = 0; i < 3; i++) {
        outcome_init(&o[i], &order);
        c[i] = call_send(made, M_ECHO, i, NULL, &o[i]);
    }
    pair_settle(&p);
    assert_int_equal(ww_cap_state(made), WW_CAP_SETTLED);
    assert_int_equal(live, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(o[i].value, i);
        assert_int_equal(o[i].at, i + 1);
        ww_rpc_request_free(c[i]);
    }
    ww_cap_unref(made);
    pair_settle(&p);
    assert_int_equal(live, 1);
    ww_cap_unref(cap);
    all_idle();
}

static void pipelined_on_failure(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    static const struct {
        uint16_t method;
        int path;
    } bad[] = {{M_FAIL, 0}, {M_ECHO, 0}, {M_ECHO, 7}, {M_GIVE, 0}};
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        struct ww_rpc_request *r = call_send(cap, bad[i].method, (uint64_t)(uint32_t)WW_EFAILED, NULL, NULL);
        struct ww_cap *none = pipeline(r, bad[i].path);
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *c = call_send(none, M_ECHO, 1, NULL, &o);
        pair_settle(&p);
        assert_int_equal(o.count, 1);
        assert_int_equal(o.status, WW_EFAILED);
        ww_rpc_request_free(c);
        ww_rpc_request_free(r);
        ww_cap_unref(none);
        pair_settle(&p);
    }
    assert_true(ww_rpc_conn_is_open(p.a.conn));
    ww_cap_unref(cap);
    all_idle();
}

static void chain_of_pipelines(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    enum { DEPTH = 50 };
    struct ww_cap *at = ww_cap_ref(cap);
    for (unsigned i = 0; i < DEPTH; i++) {
        struct ww_rpc_request *r = call_send(at, M_NEW, 0, NULL, NULL);
        struct ww_cap *next = pipeline(r, 0);
        ww_rpc_request_free(r);
        ww_cap_unref(at);
        at = next;
    }
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(at, M_ECHO, 5, NULL, &o);
    pair_settle(&p);
    assert_int_equal(o.value, 5);
    ww_rpc_request_free(r);
    ww_cap_unref(at);
    ww_cap_unref(cap);
    all_idle();
    assert_int_equal(live, 1);
}

static void keep_and_release(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct object *mine;
    struct ww_cap *my = object_new(p.a.vat, &live, &mine);
    struct outcome o;
    outcome_init(&o, NULL);
    done(call_send(cap, M_KEEP, 1, my, NULL));
    struct ww_rpc_conn_stats st;
    ww_rpc_conn_stats(p.a.conn, &st);
    assert_int_equal(st.exports, 1);
    done(call_send(
        cap, M_KEEP, 1, my, NULL)); /* the same object: the same export, and the old one is released */
    ww_rpc_conn_stats(p.a.conn, &st);
    assert_int_equal(st.exports, 1);
    ww_cap_unref(my);
    struct ww_rpc_request *r =
        call_send(cap, M_CALL, 77, NULL, &o); /* calls back, and forwards the outcome */
    pair_settle(&p);
    assert_int_equal(o.value, 77);
    assert_int_equal(mine->seen_count, 1);
    ww_rpc_request_free(r);
    assert_int_equal(live, 2);
    done(call_send(cap, M_KEEP, 1, NULL, NULL));
    assert_int_equal(live, 1); /* dropped by the peer: gone here */
    ww_cap_unref(cap);
    all_idle();
}

static void same_twice_in_one_message(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct ww_cap *my = object_new(p.a.vat, &live, NULL);
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 0, &r));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(r), 1, 2);
    ww_pb_set_cap(ww_sb_ptr(params, 0), my);
    ww_pb_set_cap(ww_sb_ptr(params, 1), my);
    ww_rpc_request_send(r, NULL);
    ww_cap_unref(my);
    struct ww_rpc_conn_stats st;
    ww_rpc_conn_stats(p.a.conn, &st);
    assert_int_equal(st.exports, 1);
    pair_settle(&p);
    assert_int_equal(live, 1); /* both references came back */
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    all_idle();
}

static void comes_home(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct object *mine;
    struct ww_cap *my = object_new(p.a.vat, &live, &mine);
    done(call_send(cap, M_KEEP, 0, my, NULL));
    struct ww_rpc_request *r = call_send(cap, M_GIVE, 0, NULL, NULL);
    pair_settle(&p);
    struct ww_cap *back = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(r)), 0));
    assert_true(ww_cap_same(back, my));
    assert_ptr_equal(ww_cap_server(back, &object_ops), &mine->server);
    struct ww_rpc_conn_stats before, after;
    ww_rpc_conn_stats(p.a.conn, &before);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *c = call_send(back, M_ECHO, 3, NULL, &o);
    pair_settle(&p);
    ww_rpc_conn_stats(p.a.conn, &after);
    assert_int_equal(o.value, 3);
    assert_int_equal(after.calls_out, before.calls_out); /* called here, without a message */
    ww_rpc_request_free(c);
    ww_rpc_request_free(r);
    ww_cap_unref(my);
    done(call_send(cap, M_KEEP, 0, NULL, NULL));
    ww_cap_unref(cap);
    all_idle();
}

/* Calls through a promise that turns out to lead home must not be overtaken by calls made after that is
 * known. */
static void embargo_keeps_order(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot();
    struct object *mine;
    struct ww_cap *my = object_new(p.a.vat, &live, &mine);
    pair_settle(&p);
    struct ww_rpc_request *r = call_send(cap, M_ECHO_CAP, 0, my, NULL);
    struct ww_cap *promise = pipeline(r, 0);
    struct ww_rpc_request *c[8];
    unsigned n = 0;
    c[n] = call_send(promise, M_ECHO, n, NULL, NULL), n++;
    c[n] = call_send(promise, M_ECHO, n, NULL, NULL), n++;
    /* Step by step: in whatever turn the Return comes, one more call goes out on the promise. */
    for (unsigned turn = 0; turn < 6; turn++) {
        pair_move(&p, &p.a, &p.b, 0);
        ww_rpc_vat_run(p.b.vat, 1, 0);
        pair_move(&p, &p.b, &p.a, 0);
        c[n] = call_send(promise, M_ECHO, n, NULL, NULL), n++;
        ww_rpc_vat_run(p.a.vat, 1, 0);
    }
    pair_settle(&p);
    assert_int_equal(mine->seen_count, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(mine->seen[i], i);
        ww_rpc_request_free(c[i]);
    }
    assert_ptr_equal(ww_cap_server(promise, &object_ops), &mine->server);
    ww_rpc_request_free(r);
    ww_cap_unref(promise);
    ww_cap_unref(my);
    ww_cap_unref(cap);
    all_idle();
}

static void local_promise_as_parameter(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot(), *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    done(call_send(cap, M_KEEP, 0, promise, NULL));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(cap, M_CALL, 9, NULL, &o);
    pair_settle(&p);
    assert_int_equal(o.count, 0); /* waits here, in the promise */
    struct object *mine;
    struct ww_cap *my = object_new(p.a.vat, &live, &mine);
    ww_cap_resolver_resolve(resolver, my);
    pair_settle(&p);
    assert_int_equal(o.value, 9);
    ww_rpc_request_free(r);
    ww_cap_unref(promise);
    ww_cap_unref(my);
    done(call_send(cap, M_KEEP, 0, NULL, NULL));
    ww_cap_unref(cap);
    all_idle();
    assert_int_equal(live, 1);
}

static void promise_resolves_to_the_peers_own(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot(), *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    done(call_send(cap, M_KEEP, 0, promise, NULL));
    struct outcome o, o2;
    outcome_init(&o, NULL);
    outcome_init(&o2, NULL);
    struct ww_rpc_request *r = call_send(cap, M_CALL, 9, NULL, &o);
    pair_settle(&p);
    ww_cap_resolver_resolve(resolver, cap); /* the object now keeps itself; an embargo on the other side */
    pair_settle(&p);
    assert_int_equal(o.value, 9);
    ww_rpc_request_free(r);
    r = call_send(cap, M_CALL, 10, NULL, &o2);
    pair_settle(&p);
    assert_int_equal(o2.value, 10);
    ww_rpc_request_free(r);
    done(call_send(cap, M_KEEP, 0, NULL, NULL));
    ww_cap_unref(promise);
    ww_cap_unref(cap);
    all_idle();
}

static void rejected_and_broken(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap = boot(), *promise, *broken;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    done(call_send(cap, M_KEEP, 0, promise, NULL));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(cap, M_CALL, 9, NULL, &o);
    pair_settle(&p);
    ww_cap_resolver_reject(resolver, WW_EOVERLOADED, "no such luck");
    pair_settle(&p);
    assert_int_equal(o.status, WW_EOVERLOADED);
    assert_string_equal(o.reason, "no such luck");
    ww_rpc_request_free(r);
    ww_cap_unref(promise);
    assert_ok(ww_cap_new_broken(p.a.vat, WW_EUNSUPPORTED, "broken at birth", &broken));
    done(call_send(cap, M_KEEP, 0, broken, NULL));
    outcome_init(&o, NULL);
    r = call_send(cap, M_CALL, 9, NULL, &o);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EUNIMPLEMENTED);
    assert_string_equal(o.reason, "broken at birth");
    ww_rpc_request_free(r);
    ww_cap_unref(broken);
    done(call_send(cap, M_KEEP, 0, NULL, NULL));
    ww_cap_unref(cap);
    all_idle();
}

static void promise_that_nobody_resolves(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &promise, &resolver));
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(promise, M_ECHO, 1, NULL, &o);
    ww_cap_unref(promise);
    pair_settle(&p);
    assert_int_equal(o.count, 0);
    ww_cap_resolver_free(resolver);
    pair_settle(&p);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, "promise dropped unresolved");
    ww_rpc_request_free(r);
}

static void promise_cycle(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *x, *y;
    struct ww_cap_resolver *x_resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &x, &x_resolver));
    struct ww_cap_resolver *y_resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &y, &y_resolver));
    ww_cap_resolver_resolve(x_resolver, y);
    ww_cap_resolver_resolve(y_resolver, x);
    assert_int_equal(ww_cap_state(x), WW_CAP_BROKEN);
    assert_int_equal(ww_cap_state(y), WW_CAP_BROKEN);
    ww_cap_unref(x);
    ww_cap_unref(y);
}

struct watcher {
    struct ww_cap_watch watch;
    unsigned fired;
};

static void watcher_settled(struct ww_cap_watch *watch)
{
    WW_CONTAINER_OF(watch, struct watcher, watch)->fired++;
}

static void watches(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *x, *y;
    struct ww_cap_resolver *x_resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &x, &x_resolver));
    struct ww_cap_resolver *y_resolver;
    assert_ok(ww_cap_new_promise(p.a.vat, &y, &y_resolver));
    struct watcher w[2] = {{.watch.settled = watcher_settled}, {.watch.settled = watcher_settled}};
    assert_ok(ww_cap_watch_start(&w[0].watch, x));
    assert_ok(ww_cap_watch_start(&w[1].watch, x));
    ww_cap_resolver_resolve(x_resolver, y);
    pair_settle(&p);
    assert_int_equal(w[0].fired, 0);
    ww_cap_watch_stop(&w[1].watch);
    ww_cap_resolver_resolve(y_resolver, NULL);
    assert_int_equal(w[0].fired, 0); /* from the run queue only */
    pair_settle(&p);
    assert_int_equal(w[0].fired, 1);
    assert_int_equal(w[1].fired, 0);
    assert_int_equal(ww_cap_state(x), WW_CAP_NULL);
    ww_cap_unref(x);
    ww_cap_unref(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(echo, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(exceptions, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined, setup, teardown),
        cmocka_unit_test_setup_teardown(pipelined_on_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(chain_of_pipelines, setup, teardown),
        cmocka_unit_test_setup_teardown(keep_and_release, setup, teardown),
        cmocka_unit_test_setup_teardown(same_twice_in_one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(comes_home, setup, teardown),
        cmocka_unit_test_setup_teardown(embargo_keeps_order, setup, teardown),
        cmocka_unit_test_setup_teardown(local_promise_as_parameter, setup, teardown),
        cmocka_unit_test_setup_teardown(promise_resolves_to_the_peers_own, setup, teardown),
        cmocka_unit_test_setup_teardown(rejected_and_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(promise_that_nobody_resolves, setup, teardown),
        cmocka_unit_test_setup_teardown(promise_cycle, setup, teardown),
        cmocka_unit_test_setup_teardown(watches, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
