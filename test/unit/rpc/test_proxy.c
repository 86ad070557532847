/* A vat in the middle: what it gets from one peer it gives to another, without knowing what it is. */
#include "pair.h"

/* left and right are ends of the middle's two connections. */
static struct net {
    struct side left, right;
    struct side in, out; /* the middle's halves; one vat */
    struct object *object;
    struct ww_cap *cap; /* what left got from the middle: right's object */
    int live;
} n;

static void side_open(struct side *s, struct ww_rpc_vat *vat, struct ww_cap *boot)
{
    static const struct ww_rpc_conn_ops none = {0};
    *s = (struct side){.host.ops = &none, .vat = vat};
    ww_budget_init(&s->budget, NULL);
    assert_ok(ww_rpc_conn_new(vat,
        &(struct ww_rpc_conn_config){.host = &s->host, .bootstrap = boot, .budget = &s->budget}, &s->conn));
}

static void settle(void)
{
    bool moved = true;
    while (moved) {
        moved = (int)ww_rpc_vat_run(n.left.vat, 1, 0) | (int)ww_rpc_vat_run(n.right.vat, 1, 0) |
            (int)ww_rpc_vat_run(n.in.vat, 1, 0);
        moved |= (int)pair_move(NULL, &n.left, &n.in, 0) | (int)pair_move(NULL, &n.in, &n.left, 0);
        moved |= (int)pair_move(NULL, &n.out, &n.right, 0) | (int)pair_move(NULL, &n.right, &n.out, 0);
        side_check(&n.left);
        side_check(&n.right);
        side_check(&n.in);
        side_check(&n.out);
    }
}

static int setup(void **state)
{
    WW_UNUSED(state);
    memset(&n, 0, sizeof n);
    struct ww_rpc_vat *left, *middle, *right;
    assert_ok(ww_rpc_vat_new(NULL, &left));
    assert_ok(ww_rpc_vat_new(NULL, &middle));
    assert_ok(ww_rpc_vat_new(NULL, &right));
    struct ww_cap *object = object_new(right, &n.live, &n.object), *through;
    side_open(&n.right, right, object);
    ww_cap_unref(object);
    side_open(&n.out, middle, NULL);
    assert_ok(ww_rpc_conn_bootstrap(n.out.conn, &through));
    side_open(&n.in, middle, through); /* still a promise */
    ww_cap_unref(through);
    side_open(&n.left, left, NULL);
    assert_ok(ww_rpc_conn_bootstrap(n.left.conn, &n.cap));
    objects_obey_cancel = true;
    objects_canceled = 0;
    return 0;
}

static void vat_done(struct ww_rpc_vat *vat)
{
    while (ww_rpc_vat_run(vat, 1, 0))
        ;
    assert_int_equal(vat->refs, 2);
    ww_rpc_vat_free(vat);
}

static int teardown(void **state)
{
    WW_UNUSED(state);
    ww_cap_unref(n.cap);
    settle();
    if (ww_rpc_conn_is_open(n.left.conn))
        side_idle(&n.left);
    struct side *sides[] = {&n.left, &n.in, &n.out, &n.right};
    for (size_t i = 0; i < WW_COUNT_OF(sides); i++)
        ww_rpc_conn_free(sides[i]->conn);
    vat_done(n.left.vat);
    vat_done(n.in.vat);
    vat_done(n.right.vat);
    for (size_t i = 0; i < WW_COUNT_OF(sides); i++) {
        for (int res = 0; res < WW_RES_COUNT; res++)
            assert_int_equal(sides[i]->budget.used[res], 0);
    }
    assert_int_equal(n.live, 0);
    return 0;
}

static uint64_t ask(struct ww_cap *to, uint16_t method, uint64_t value, struct ww_cap *cap, ww_err expect)
{
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(to, method, value, cap, &o);
    settle();
    assert_int_equal(o.count, 1);
    assert_int_equal(o.status, expect);
    ww_rpc_request_free(r);
    settle();
    return o.value;
}

static void calls_go_through(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(ask(n.cap, M_ECHO, 5, NULL, 0), 5);
    ask(n.cap, M_FAIL, (uint64_t)(uint32_t)WW_EBUDGET, NULL, WW_EOVERLOADED);
    ask(n.cap, 99, 0, NULL, WW_EUNIMPLEMENTED);
}

static void capabilities_go_through(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(n.left.vat, &n.live, &mine);
    ask(n.cap, M_KEEP, 0, my, 0);
    assert_int_equal(ask(n.cap, M_CALL, 12, NULL, 0), 12); /* left, middle, right, and back again */
    assert_int_equal(mine->seen_count, 1);
    ww_cap_unref(my);
    assert_int_equal(n.live, 2);
    ask(n.cap, M_KEEP, 0, NULL, 0);
    assert_int_equal(n.live, 1);
}

static void pipelines_go_through(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *at = ww_cap_ref(n.cap);
    for (int i = 0; i < 5; i++) {
        struct ww_rpc_request *r = call_send(at, M_NEW, 0, NULL, NULL);
        struct ww_cap *next = pipeline(r, 0);
        ww_rpc_request_free(r);
        ww_cap_unref(at);
        at = next;
    }
    assert_int_equal(ask(at, M_ECHO, 3, NULL, 0), 3);
    ww_cap_unref(at);
    settle();
    assert_int_equal(n.live, 1);
}

static void home_through_two_hops(void **state)
{
    WW_UNUSED(state);
    struct object *mine;
    struct ww_cap *my = object_new(n.left.vat, &n.live, &mine);
    struct ww_rpc_request *r = call_send(n.cap, M_ECHO_CAP, 0, my, NULL), *c[12];
    struct ww_cap *promise = pipeline(r, 0);
    unsigned sent = 0;
    c[sent] = call_send(promise, M_ECHO, sent, NULL, NULL), sent++;
    while (sent < WW_COUNT_OF(c)) { /* one call at every stage of the Return, the Disembargo and the echo */
        pair_move(NULL, &n.left, &n.in, 0);
        ww_rpc_vat_run(n.in.vat, 1, 0);
        pair_move(NULL, &n.out, &n.right, 0);
        ww_rpc_vat_run(n.right.vat, 1, 0);
        c[sent] = call_send(promise, M_ECHO, sent, NULL, NULL), sent++;
        pair_move(NULL, &n.right, &n.out, 0);
        ww_rpc_vat_run(n.in.vat, 1, 0);
        pair_move(NULL, &n.in, &n.left, 0);
        c[sent % WW_COUNT_OF(c)] =
            sent < WW_COUNT_OF(c) ? call_send(promise, M_ECHO, sent, NULL, NULL) : c[0];
        sent += sent < WW_COUNT_OF(c);
        ww_rpc_vat_run(n.left.vat, 1, 0);
    }
    settle();
    assert_int_equal(mine->seen_count, sent);
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(mine->seen[i], i);
        ww_rpc_request_free(c[i]);
    }
    assert_ptr_equal(ww_cap_server(promise, &object_ops), &mine->server);
    ww_rpc_request_free(r);
    ww_cap_unref(promise);
    ww_cap_unref(my);
}

static void cancellation_goes_through(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, &o);
    settle();
    assert_int_equal(objects_canceled, 0);
    ww_rpc_request_free(r);
    settle();
    assert_int_equal(objects_canceled, 1);
    assert_int_equal(o.count, 0);
}

static void far_end_disconnects(void **state)
{
    WW_UNUSED(state);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, &o);
    settle();
    ww_rpc_conn_lost(n.out.conn, WW_ERESET);
    ww_rpc_conn_lost(n.right.conn, WW_ERESET);
    settle();
    assert_int_equal(o.status, WW_EDISCONNECTED);
    ww_rpc_request_free(r);
    ask(n.cap, M_ECHO, 0, NULL, WW_EDISCONNECTED);
    assert_int_equal(objects_canceled, 1);
}

static void near_end_disconnects(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_request *r = call_send(n.cap, M_LATER, 0, NULL, NULL);
    settle();
    ww_rpc_conn_lost(n.left.conn, WW_ERESET);
    ww_rpc_conn_lost(n.in.conn, WW_ERESET);
    settle();
    assert_int_equal(objects_canceled, 1); /* nobody is left who wants it */
    ww_rpc_request_free(r);
}

static void promise_of_the_far_end(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *promise;
    assert_ok(ww_cap_new_promise(n.right.vat, &promise));
    n.object->kept = ww_cap_ref(promise);
    struct ww_rpc_request *r = call_send(n.cap, M_GIVE, 0, NULL, NULL), *c;
    struct ww_cap *given = pipeline(r, 0);
    struct outcome o;
    outcome_init(&o, NULL);
    c = call_send(given, M_ECHO, 8, NULL, &o);
    settle();
    assert_int_equal(o.count, 0);
    assert_int_equal(ww_cap_state(given), WW_CAP_PROMISE);
    struct ww_cap *made = object_new(n.right.vat, &n.live, NULL);
    assert_ok(ww_cap_resolve(promise, made));
    settle();
    assert_int_equal(o.value, 8);
    assert_int_equal(ww_cap_state(given), WW_CAP_SETTLED);
    ww_rpc_request_free(r);
    ww_rpc_request_free(c);
    ww_cap_unref(given);
    ww_cap_unref(made);
    ww_cap_unref(promise);
    ww_cap_unref(n.object->kept);
    n.object->kept = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(calls_go_through), T(capabilities_go_through),
        T(pipelines_go_through), T(home_through_two_hops), T(cancellation_goes_through),
        T(far_end_disconnects), T(near_end_disconnects), T(promise_of_the_far_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
