/* What memory is taken: by calls (none, once warm), by large messages (once their size), by idle connections.
 */
#include "pair.h"
#include "test/lib/alloc_count.h"

static struct pair p;
static int live;

static struct object *far;

static struct ww_cap *make_object(struct ww_rpc_vat *vat)
{
    return object_new(vat, &live, &far);
}

static int setup(void **state)
{
    WW_UNUSED(state);
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

/* ---- calls */

static void ask(struct ww_cap *to, uint16_t method, struct ww_cap *cap, unsigned at_once)
{
    struct ww_rpc_request *q[64];
    struct outcome o[64];
    for (unsigned i = 0; i < at_once; i++) {
        outcome_init(&o[i], NULL);
        q[i] = call_send(to, method, i, cap, &o[i]);
    }
    pair_settle(&p);
    for (unsigned i = 0; i < at_once; i++) {
        assert_int_equal(o[i].status, 0);
        ww_rpc_request_free(q[i]);
    }
    pair_settle(&p);
}

static double allocations(struct ww_cap *to, uint16_t method, struct ww_cap *cap, unsigned at_once)
{
    for (int warm = 0; warm < 8; warm++)
        ask(to, method, cap, at_once);
    uint64_t before = mem.calls;
    for (int i = 0; i < 20; i++)
        ask(to, method, cap, at_once);
    return (double)(mem.calls - before) / (20 * at_once);
}

static void calls_allocate_nothing(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap, *mine = object_new(p.a.vat, &live, NULL), *local = object_new(p.a.vat, &live, NULL);
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    assert_true(allocations(cap, M_ECHO, NULL, 1) == 0);
    assert_true(allocations(cap, M_ECHO, NULL, 64) == 0);
    assert_true(allocations(local, M_ECHO, NULL, 1) == 0);
    assert_true(allocations(local, M_ECHO, NULL, 64) == 0);
    assert_true(allocations(cap, M_ECHO_CAP, mine, 1) <= 4); /* there and back */
    assert_true(allocations(cap, M_KEEP, mine, 1) <= 4);
    ask(cap, M_KEEP, NULL, 1);
    ww_cap_unref(mine);
    ww_cap_unref(local);
    ww_cap_unref(cap);
    pair_settle(&p);
}

/* ---- large messages */

enum { LARGE = 60 << 20, SLACK = 256 << 10 };

/* Moves through the place that the receiver offers. */
static void move_direct(struct side *from, struct side *to)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(from->conn, &view, 1)) {
        uint8_t *at;
        size_t room;
        assert_ok(ww_rpc_conn_rbuf(to->conn, &at, &room));
        size_t n = view.len < room ? view.len : room;
        memcpy(at, view.ptr, n);
        ww_rpc_conn_pulled(from->conn, n);
        assert_ok(ww_rpc_conn_fed(to->conn, n));
    }
}

/* The sender's copy and the receiver's: nothing more, at any time. */
static void large_parameters(void **state)
{
    WW_UNUSED(state);
    struct ww_cap *cap;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    pair_settle(&p);
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q;
    size_t before = mem.now;
    mem.peak = mem.now;
    assert_ok(ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 0, &q));
    struct ww_sb params = ww_pb_init_struct(ww_rpc_request_params(q), 1, 2);
    ww_sb_set_u64(params, 0, 5);
    memset(ww_pb_init_data(ww_sb_ptr(params, 1), LARGE), 7, LARGE);
    ww_rpc_request_send(q, &o.wait);
    assert_true(mem.peak - before < LARGE + SLACK); /* sent as it lies */
    side_check(&p.a);
    move_direct(&p.a, &p.b);
    side_check(&p.b);
    assert_true(mem.now - before < LARGE + SLACK); /* written: only the receiver has it */
    assert_true(mem.peak - before < 2 * (size_t)LARGE + SLACK);
    pair_settle(&p);
    assert_int_equal(o.value, 5);
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    pair_settle(&p);
    assert_true(mem.now - before < SLACK);
}

struct generous {
    struct ww_rpc_server server;
    struct ww_cap *self;
};

static void generous_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    struct generous *g = WW_CONTAINER_OF(self, struct generous, server);
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 0), 1, 2);
    uint8_t *at = ww_pb_init_data(ww_sb_ptr(results, 1), LARGE);
    memset(at, 9, LARGE);
    at[LARGE - 1] = 3;
    if (ww_rpc_call_method(call) == M_GIVE)
        ww_pb_set_cap(ww_sb_ptr(results, 0), g->self);
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops generous_ops = {.dispatch = generous_dispatch};

static void large_results(void **state)
{
    WW_UNUSED(state);
    static struct generous g = {.server.ops = &generous_ops};
    assert_ok(ww_cap_new_server(p.b.vat, &g.server, &g.self));
    struct ww_cap *cap, *boot;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    far->kept = ww_cap_ref(g.self);
    struct ww_rpc_request *q = call_send(boot, M_GIVE, 0, NULL, NULL), *c;
    cap = pipeline(q, 0);
    pair_settle(&p);
    ww_rpc_request_free(q);
    for (int with_cap = 0; with_cap < 2; with_cap++) {
        size_t before = mem.now;
        q = call_send(cap, with_cap ? M_GIVE : M_ECHO, 0, NULL, NULL);
        while (ww_rpc_conn_pending(p.a.conn) > 0)
            pair_move(&p, &p.a, &p.b, 0);
        mem.peak = mem.now;
        ww_rpc_vat_run(p.b.vat, 1, 0);
        assert_true(mem.peak - before < LARGE + SLACK);
        side_check(&p.b);
        move_direct(&p.b, &p.a);
        assert_true(mem.peak - before < 2 * (size_t)LARGE + SLACK);
        side_check(&p.a);
        assert_int_equal(ww_rpc_request_status(q), 0);
        struct ww_bytes data = ww_pr_data(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 1));
        assert_int_equal(data.len, LARGE);
        assert_int_equal(data.ptr[0], 9);
        assert_int_equal(data.ptr[LARGE - 1], 3);
        if (with_cap) { /* the callee keeps what can be pipelined on, and it is still readable */
            struct ww_cap *got = ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 0));
            assert_true(ww_cap_same(got, cap));
        }
        ww_rpc_request_free(q);
        pair_settle(&p);
        assert_true(mem.now - before < SLACK);
    }
    c = call_send(boot, M_KEEP, 0, NULL, NULL);
    pair_settle(&p);
    ww_rpc_request_free(c);
    ww_cap_unref(boot);
    ww_cap_unref(cap);
    ww_cap_unref(g.self);
    pair_settle(&p);
}

/* A result that calls are pipelined on stays whole while it is being written. */
static void large_results_pipelined(void **state)
{
    WW_UNUSED(state);
    static struct generous g = {.server.ops = &generous_ops};
    assert_ok(ww_cap_new_server(p.b.vat, &g.server, &g.self));
    far->kept = ww_cap_ref(g.self);
    struct ww_cap *boot;
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &boot));
    struct ww_rpc_request *q = call_send(boot, M_GIVE, 0, NULL, NULL), *one, *two;
    struct ww_cap *cap = pipeline(q, 0);
    pair_settle(&p);
    one = call_send(cap, M_GIVE, 0, NULL, NULL);
    struct ww_cap *next = pipeline(one, 0);
    while (ww_rpc_conn_pending(p.a.conn) > 0)
        pair_move(&p, &p.a, &p.b, 0);
    ww_rpc_vat_run(p.b.vat, 1, 0);
    pair_move(&p, &p.b, &p.a, 1 << 20); /* a part of it */
    two = call_send(next, M_ECHO, 0, NULL, NULL);
    pair_move(&p, &p.a, &p.b, 0); /* looks into the results that are on their way out */
    pair_settle(&p);
    assert_int_equal(ww_rpc_request_status(one), 0);
    assert_int_equal(ww_rpc_request_status(two), 0);
    ww_rpc_conn_lost(p.a.conn, WW_ERESET);
    ww_rpc_conn_lost(p.b.conn, WW_ERESET);
    struct ww_rpc_request *requests[] = {q, one, two};
    for (size_t i = 0; i < WW_COUNT_OF(requests); i++)
        ww_rpc_request_free(requests[i]);
    ww_cap_unref(next);
    ww_cap_unref(cap);
    ww_cap_unref(boot);
    ww_cap_unref(g.self);
}

/* ---- idle connections */

enum { CONNS = 1000, IDLE_BYTES = 4 << 10 };

static const struct ww_rpc_conn_ops no_events = {0};

static void move_between(struct ww_rpc_conn *from, struct ww_rpc_conn *to)
{
    struct ww_bytes view;
    while (ww_rpc_conn_pull(from, &view, 1)) {
        assert_ok(ww_rpc_conn_feed(to, ww_bytes(view.ptr, view.len - view.len / 2)));
        assert_ok(ww_rpc_conn_feed(to, ww_bytes_skip(view, view.len - view.len / 2)));
        ww_rpc_conn_pulled(from, view.len);
    }
}

/* Connections that were in use, have a bootstrap capability, and now say nothing. */
static void idle_connections(void **state)
{
    WW_UNUSED(state);
    static struct {
        struct ww_rpc_conn *a, *b;
        struct ww_cap *cap;
    } at[CONNS];
    static struct ww_rpc_conn_host host = {.ops = &no_events};
    struct ww_cap *self = object_new(p.b.vat, &live, NULL);
    size_t before = mem.now;
    for (size_t i = 0; i < CONNS; i++) {
        struct ww_rpc_conn_config config = {.host = &host, .bootstrap = self};
        assert_ok(ww_rpc_conn_new(p.b.vat, &config, &at[i].b));
        config.bootstrap = NULL;
        assert_ok(ww_rpc_conn_new(p.a.vat, &config, &at[i].a));
        assert_ok(ww_rpc_conn_bootstrap(at[i].a, &at[i].cap));
        struct outcome o;
        outcome_init(&o, NULL);
        struct ww_rpc_request *q = call_send(at[i].cap, M_ECHO, i, NULL, &o);
        for (int turn = 0; turn < 4; turn++) {
            move_between(at[i].a, at[i].b);
            ww_rpc_vat_run(p.b.vat, 1, 0);
            move_between(at[i].b, at[i].a);
            ww_rpc_vat_run(p.a.vat, 1, 0);
        }
        assert_int_equal(o.value, i);
        ww_rpc_request_free(q);
    }
    size_t each = (mem.now - before) / (2 * CONNS);
    if (each > IDLE_BYTES)
        fail_msg("an idle connection takes %zu bytes", each);
    static struct ww_rpc_request *waiting[CONNS]; /* for peers that do not read */
    before = mem.now;
    for (size_t i = 0; i < CONNS; i++)
        waiting[i] = call_send(at[i].cap, M_ECHO, i, NULL, NULL);
    ww_rpc_vat_run(p.a.vat, 1, 0);
    each = (mem.now - before) / CONNS;
    if (each > IDLE_BYTES)
        fail_msg("a call that the peer does not read takes %zu bytes", each);
    for (size_t i = 0; i < CONNS; i++) {
        assert_true(ww_rpc_conn_pending(at[i].a) > 0);
        ww_rpc_request_free(waiting[i]);
        ww_cap_unref(at[i].cap);
        ww_rpc_conn_free(at[i].a);
        ww_rpc_conn_free(at[i].b);
    }
    ww_cap_unref(self);
}

int main(void)
{
    alloc_count_start();
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(calls_allocate_nothing), T(large_parameters), T(large_results),
        T(large_results_pipelined), T(idle_connections)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
