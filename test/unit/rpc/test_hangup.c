/* Who waits goes away: a Finish or the end of the connection, while results are on their way. */
#include "raw.h"

static struct raw r;

static int up(void **state)
{
    WW_UNUSED(state);
    raw_init(&r);
    raw_bootstrap(&r, 0);
    expect_results(&r, 0, 0);
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    raw_fini(&r);
    return 0;
}

/* ---- results that are written from where they lie */

enum { LARGE = 20000 };

/* An object whose results are itself and LARGE bytes. */
struct large {
    struct ww_rpc_server server;
    struct ww_cap *self;
};

static void large_dispatch(struct ww_rpc_server *server, struct ww_rpc_call *call)
{
    struct large *l = WW_CONTAINER_OF(server, struct large, server);
    static uint8_t data[LARGE];
    memset(data, 0x5a, sizeof data);
    struct ww_sb results = ww_pb_init_struct(ww_rpc_call_results(call, 0), 1, 2);
    ww_pb_set_cap(ww_sb_ptr(results, 0), l->self);
    ww_pb_set_data(ww_sb_ptr(results, 1), ww_bytes(data, sizeof data));
    ww_rpc_call_return(call);
}

static const struct ww_rpc_server_ops large_ops = {.dispatch = large_dispatch};

/* Answer 3 waits to be written. */
static void large_asked(struct large *l)
{
    *l = (struct large){.server.ops = &large_ops};
    assert_ok(ww_cap_new_server(r.s.vat, &l->server, &l->self));
    r.object->kept = ww_cap_ref(l->self);
    raw_call(&r, 2, IMPORTED(0), M_GIVE, 0, NO_DESC);
    struct desc d = expect_results(&r, 2, 0);
    raw_call(&r, 3, IMPORTED(d.id), M_ECHO, 0, NO_DESC);
    assert_true(ww_rpc_conn_pending(r.s.conn) > LARGE);
}

/* Other messages of that size take what memory they can get; the Return is whole all the same. */
static void large_arrives(struct large *l)
{
    static uint8_t other[LARGE];
    for (int i = 0; i < 4; i++) {
        struct ww_rpc_request *q;
        assert_ok(ww_rpc_request_new(l->self, TEST_IFACE, M_ECHO, LARGE / 8, &q));
        ww_pb_set_data(ww_rpc_request_params(q), ww_bytes(other, sizeof other));
        ww_rpc_request_free(q);
    }
    struct ww_sr ret = raw_next(&r, WW_RPC_RETURN);
    struct ww_sr results = ww_pr_struct(ww_sr_ptr(ww_pr_struct(ww_sr_ptr(ret, 0)), 0));
    struct ww_bytes data = ww_pr_data(ww_sr_ptr(results, 1));
    assert_int_equal(data.len, LARGE);
    for (size_t i = 0; i < data.len; i++)
        assert_int_equal(data.ptr[i], 0x5a);
    ww_cap_unref(l->self);
}

static void finish_crosses_large_return(void **state)
{
    WW_UNUSED(state);
    struct large l;
    large_asked(&l);
    raw_finish(&r, 3, true);
    large_arrives(&l);
    raw_silent(&r);
}

static void close_behind_large_return(void **state)
{
    WW_UNUSED(state);
    struct large l;
    large_asked(&l);
    ww_rpc_conn_close(r.s.conn, NULL);
    large_arrives(&l);
    raw_aborted(&r, WW_ECLOSED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(finish_crosses_large_return), T(close_behind_large_return)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
