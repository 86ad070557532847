/* Local promises and their resolvers: who waits, who is told, and what remains when either goes first. */
#include "raw.h"

static struct raw r;

static int setup(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    return 0;
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

static const char unresolved[] = "promise dropped unresolved";

/* A capability of the peer's. */
static struct ww_cap *have_target(void)
{
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    raw_finish(&r, 0, false);
    raw_call(&r, 900, IMPORTED(0), M_KEEP, 1, HOSTED(7));
    expect_results(&r, 900, 1);
    struct ww_cap *cap = r.object->kept;
    r.object->kept = NULL;
    return cap;
}

/* Gives `cap` of ours to the peer as a parameter of a call; how it was described. */
static struct desc show(struct ww_cap *target, struct ww_cap *cap)
{
    struct ww_rpc_request *q = call_send(target, M_KEEP, 0, cap, NULL);
    struct ww_sr call = raw_next(&r, WW_RPC_CALL);
    struct desc d = desc_at(ww_pr_struct(ww_sr_ptr(call, 1)), 0);
    uint32_t qid = ww_sr_u32(call, 0);
    raw_return(&r, qid, 0, NO_DESC);
    expect_finish(&r, qid, false);
    ww_rpc_request_free(q);
    return d;
}

/* The peer is told why. */
static void expect_broken(uint32_t promise_id, uint16_t kind, const char *reason)
{
    struct ww_sr resolve = raw_next(&r, WW_RPC_RESOLVE);
    assert_int_equal(ww_sr_u32(resolve, 0), promise_id);
    assert_int_equal(ww_sr_u16(resolve, 2), 1);
    struct ww_sr exc = ww_pr_struct(ww_sr_ptr(resolve, 0));
    assert_int_equal(ww_sr_u16(exc, 2), kind);
    assert_string_equal(ww_pr_text(ww_sr_ptr(exc, 0)).ptr, reason);
}

static void dropped_with_exports_out(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *target = have_target(), *p;
    struct ww_cap_resolver *resolver;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct desc d = show(target, p);
    assert_int_equal(d.kind, WW_RPC_DESC_SENDER_PROMISE);
    raw_call(&r, 60, IMPORTED(d.id), M_ECHO, 1, NO_DESC);
    struct ww_rpc_request *q = call_send(p, M_ECHO, 2, NULL, &o);
    raw_silent(&r);
    ww_cap_resolver_free(resolver);
    expect_broken(d.id, WW_KIND_FAILED, unresolved);
    expect_exception(&r, 60, WW_KIND_FAILED);
    raw_finish(&r, 60, false);
    raw_silent(&r);
    assert_int_equal(ww_cap_state(p), WW_CAP_BROKEN);
    assert_int_equal(o.status, WW_EFAILED);
    assert_string_equal(o.reason, unresolved);
    raw_call(&r, 61, IMPORTED(d.id), M_ECHO, 3, NO_DESC);
    expect_exception(&r, 61, WW_KIND_FAILED);
    raw_finish(&r, 61, false);
    raw_release(&r, d.id, 1);
    ww_rpc_request_free(q);
    ww_cap_unref(p);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

/* Calls that carry what they wait for, one of them behind the result of another. */
static void dropped_with_queued_calls(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *p;
    struct ww_cap_resolver *resolver;
    struct outcome o[3];
    struct ww_rpc_request *q[3];
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    for (int i = 0; i < 3; i++)
        outcome_init(&o[i], NULL);
    q[0] = call_send(p, M_KEEP, 0, p, &o[0]);
    q[1] = call_send(p, M_KEEP, 1, p, &o[1]);
    struct ww_cap *made = pipeline(q[1], 0);
    q[2] = call_send(made, M_KEEP, 2, p, &o[2]);
    ww_cap_unref(made);
    ww_cap_unref(p);
    raw_silent(&r);
    assert_int_equal(o[0].count, 0);
    ww_cap_resolver_free(resolver);
    raw_silent(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(o[i].status, WW_EFAILED);
        assert_string_equal(o[i].reason, unresolved);
        ww_rpc_request_free(q[i]);
    }
}

/* Two promises whose queues hold each other. */
static void two_dropped_that_hold_each_other(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *x, *y;
    struct ww_cap_resolver *of_x, *of_y;
    struct outcome o[2];
    assert_ok(ww_cap_new_promise(r.s.vat, &x, &of_x));
    assert_ok(ww_cap_new_promise(r.s.vat, &y, &of_y));
    outcome_init(&o[0], NULL);
    outcome_init(&o[1], NULL);
    struct ww_rpc_request *a = call_send(x, M_KEEP, 0, y, &o[0]), *b = call_send(y, M_KEEP, 0, x, &o[1]);
    ww_cap_unref(x);
    ww_cap_unref(y);
    ww_cap_resolver_free(of_y);
    raw_silent(&r);
    assert_int_equal(o[0].count, 0);
    assert_int_equal(o[1].status, WW_EFAILED);
    ww_cap_resolver_free(of_x);
    raw_silent(&r);
    assert_int_equal(o[0].status, WW_EFAILED);
    ww_rpc_request_free(a);
    ww_rpc_request_free(b);
}

/* The calls that wait go on although nobody else holds the promise. */
static void resolver_outlives_all_caps(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *p, *target = have_target();
    struct object *object;
    struct ww_cap *to = object_new(r.s.vat, &r.live, &object);
    struct ww_cap_resolver *resolver;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct desc d = show(target, p);
    raw_call(&r, 1, IMPORTED(d.id), M_ECHO, 8, NO_DESC);
    struct ww_rpc_request *q = call_send(p, M_ECHO, 9, NULL, &o);
    ww_cap_unref(p);
    raw_release(&r, d.id, 1);
    raw_silent(&r);
    assert_int_equal(o.count, 0);
    ww_cap_resolver_resolve(resolver, to);
    expect_results(&r, 1, 8);
    raw_finish(&r, 1, false);
    raw_silent(&r);
    assert_int_equal(o.value, 9);
    assert_int_equal(object->seen_count, 2);
    ww_rpc_request_free(q);
    ww_cap_unref(to);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

static void resolve_after_everyone_left(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *p, *target = have_target();
    struct ww_cap *to = object_new(r.s.vat, &r.live, NULL);
    int live = r.live;
    struct ww_cap_resolver *resolver[4];
    for (int i = 0; i < 4; i++) {
        assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver[i]));
        struct desc d = show(target, p);
        ww_cap_unref(p);
        raw_release(&r, d.id, 1);
    }
    ww_cap_resolver_resolve(resolver[0], to);
    ww_cap_resolver_resolve(resolver[1], NULL);
    ww_cap_resolver_reject(resolver[2], WW_EFAILED, NULL);
    ww_cap_resolver_free(resolver[3]);
    raw_silent(&r); /* nobody to tell */
    ww_cap_unref(to);
    raw_silent(&r);
    assert_int_equal(r.live, live - 1);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
}

/* The vat was freed: what is still there can only be given back. */
static void resolver_outlives_the_vat(void **state)
{
    WW_UNUSED(state);
    for (int way = 0; way < 3; way++) {
        struct ww_rpc_vat *vat;
        struct ww_cap *p, *q;
        struct ww_cap_resolver *resolver;
        struct outcome o;
        outcome_init(&o, NULL);
        assert_ok(ww_rpc_vat_new(NULL, &vat));
        assert_ok(ww_cap_new_promise(vat, &p, &resolver));
        q = ww_cap_ref(p);
        struct ww_rpc_request *c = call_send(p, M_KEEP, 1, p, &o);
        ww_rpc_vat_free(vat);
        if (way == 0)
            ww_cap_resolver_free(resolver);
        else
            ww_cap_resolver_resolve(resolver, way == 1 ? NULL : p);
        assert_int_equal(ww_cap_state(q), WW_CAP_BROKEN);
        ww_cap_unref(q);
        ww_cap_unref(p);
        ww_rpc_request_free(c);
        assert_int_equal(o.count, 0);
    }
}

static void resolved_to_itself(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *p;
    struct ww_cap_resolver *resolver;
    struct outcome o;
    outcome_init(&o, NULL);
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct ww_rpc_request *q = call_send(p, M_ECHO, 1, NULL, &o);
    ww_cap_resolver_resolve(resolver, p);
    raw_silent(&r);
    assert_int_equal(ww_cap_state(p), WW_CAP_BROKEN);
    assert_string_equal(o.reason, "promise resolved to itself");
    ww_rpc_request_free(q);
    ww_cap_unref(p);
    ww_cap_resolver_free(NULL);
}

/* The peer and a call in its own queue have it; then it turns out to be an object, which so keeps itself. */
static void kept_by_others(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *target = have_target(), *p, *object = object_new(r.s.vat, &r.live, NULL);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct desc d = show(target, p);
    struct ww_rpc_request *q = call_send(p, M_KEEP, 5, p, &o);
    ww_cap_unref(p);
    raw_silent(&r);
    assert_int_equal(o.count, 0);
    ww_cap_resolver_resolve(resolver, object);
    assert_int_equal(expect_resolve(&r, d.id).kind, WW_RPC_DESC_SENDER_HOSTED);
    assert_int_equal(o.value, 5);
    ww_rpc_request_free(q);
    q = call_send(object, M_KEEP, 0, NULL, NULL);
    raw_silent(&r);
    ww_rpc_request_free(q);
    ww_cap_unref(object);
    ww_rpc_conn_lost(r.s.conn, WW_ECLOSED);
    ww_cap_unref(target);
}

/* A call on the result of another; that other's results hold the promise of the first one's result. Both are
 * finished when nobody wants either. */
static void result_that_holds_what_was_called_on_it(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *target = have_target(), *p, *first, *second;
    struct ww_cap_resolver *resolver;
    assert_ok(ww_cap_new_promise(r.s.vat, &p, &resolver));
    struct ww_rpc_request *q = call_send(target, M_ECHO_CAP, 0, p, NULL), *on;
    struct ww_sr call = raw_next(&r, WW_RPC_CALL);
    uint32_t qid = ww_sr_u32(call, 0), id = desc_at(ww_pr_struct(ww_sr_ptr(call, 1)), 0).id, on_id;
    first = pipeline(q, 1);
    assert_ok(ww_rpc_request_new(first, TEST_IFACE, M_NEW, 0, &on));
    ww_rpc_request_send_for_pipeline(on);
    second = pipeline(on, 0);
    expect_call(&r, PROMISED(qid, 1), M_NEW, 0, &on_id);
    ww_cap_resolver_resolve(resolver, second);
    expect_resolve(&r, id);
    ww_cap_unref(first);
    ww_cap_unref(second);
    ww_cap_unref(p);
    raw_return(&r, qid, 0, YOURS(id));
    expect_finish(&r, qid, false);
    raw_release(&r, id, 1);
    ww_rpc_request_free(q);
    ww_rpc_request_free(on);
    expect_finish(&r, on_id, true);
    ww_cap_unref(target);
    expect_release(&r, 7, 1);
    raw_release(&r, 0, 1);
    side_idle(&r.s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(dropped_with_exports_out), T(dropped_with_queued_calls),
        T(two_dropped_that_hold_each_other), T(resolver_outlives_all_caps), T(resolve_after_everyone_left),
        T(resolver_outlives_the_vat), T(resolved_to_itself), T(kept_by_others),
        T(result_that_holds_what_was_called_on_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
