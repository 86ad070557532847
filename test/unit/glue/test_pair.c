/* ww/rpc_pair.h: two vats, one vat, ends of all kinds. */
#include "test/lib/alloc_fail.h"
#include "test/unit/rpc/pair.h"
#include "ww/rpc_pair.h"

static int live;

static struct ww_rpc_request *request(struct ww_cap *to, uint16_t method, uint64_t value)
{
    struct ww_rpc_request *r;
    assert_ok(ww_rpc_request_new(to, TEST_IFACE, method, 3, &r));
    ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, value);
    return r;
}

static ww_err converse(struct ww_rpc_vat *a, struct ww_rpc_vat *b, bool packed)
{
    struct ww_rpc_pair *pair;
    struct ww_cap *cap = NULL, *boot = object_try(a, &live, NULL);
    struct ww_rpc_request *r = NULL;
    if (!boot)
        return WW_ENOMEM;
    ww_err err =
        ww_rpc_pair_new(a, &(struct ww_rpc_conn_config){.bootstrap = boot, .packed = packed}, b, NULL, &pair);
    ww_cap_unref(boot);
    if (err < 0)
        return err;
    err = ww_rpc_conn_bootstrap(ww_rpc_pair_conn(pair, 1), &cap);
    for (uint64_t i = 0; err == 0 && i < 5; i++) {
        err = ww_rpc_request_new(cap, TEST_IFACE, M_ECHO, 3, &r);
        if (err < 0)
            break;
        ww_sb_set_u64(ww_pb_init_struct(ww_rpc_request_params(r), 1, 1), 0, i);
        err = ww_rpc_pair_call(pair, r);
        if (err == 0)
            assert_int_equal(ww_sr_u64(ww_pr_struct(ww_rpc_request_results(r)), 0), i);
        ww_rpc_request_free(r);
    }
    ww_cap_unref(cap);
    ww_rpc_pair_free(pair);
    return err;
}

static ww_err two_vats_body(void *ctx)
{
    struct ww_rpc_vat *a, *b;
    bool *packed = ctx;
    WW_TRY(ww_rpc_vat_new(NULL, &a));
    ww_err err = ww_rpc_vat_new(NULL, &b);
    if (err == 0) {
        err = converse(a, b, *packed);
        ww_rpc_vat_run(b, 1, 0);
        ww_rpc_vat_run(a, 1, 0);
        ww_rpc_vat_free(b);
    }
    ww_rpc_vat_free(a);
    assert_int_equal(live, 0);
    return err;
}

static void two_vats(void **state)
{
    WW_UNUSED(state);
    for (int packed = 0; packed < 2; packed++)
        assert_true(alloc_fail_run(two_vats_body, &(bool){packed}) > 10);
}

static void one_vat(void **state)
{
    struct ww_rpc_vat *vat;
    WW_UNUSED(state);
    assert_ok(ww_rpc_vat_new(NULL, &vat));
    assert_ok(converse(vat, vat, true));
    ww_rpc_vat_run(vat, 1, 0);
    assert_int_equal(live, 0);
    ww_rpc_vat_free(vat);
}

static void ends(void **state)
{
    WW_UNUSED(state);
    for (int how = 0; how < 3; how++) {
        struct ww_rpc_vat *a, *b;
        struct ww_rpc_pair *pair;
        struct object *object;
        struct ww_cap *cap;
        assert_ok(ww_rpc_vat_new(NULL, &a));
        assert_ok(ww_rpc_vat_new(NULL, &b));
        struct ww_cap *boot = object_new(a, &live, &object);
        assert_ok(ww_rpc_pair_new(a, &(struct ww_rpc_conn_config){.bootstrap = boot}, b, NULL, &pair));
        ww_cap_unref(boot);
        assert_ok(ww_rpc_conn_bootstrap(ww_rpc_pair_conn(pair, 1), &cap));
        struct ww_rpc_request *r = request(cap, M_LATER, 1);
        assert_int_equal(ww_rpc_pair_call(pair, r), WW_EAGAIN);
        if (how == 0)
            ww_rpc_pair_cut(pair, WW_ERESET);
        else
            ww_rpc_conn_close(ww_rpc_pair_conn(pair, how == 2), "enough");
        ww_rpc_pair_run(pair, 2);
        assert_int_equal(ww_rpc_request_status(r), WW_EDISCONNECTED);
        assert_string_equal(ww_rpc_request_reason(r), how == 0 ? "stream reset by peer" : "enough");
        assert_false(ww_rpc_conn_is_open(ww_rpc_pair_conn(pair, 0)));
        assert_false(ww_rpc_conn_is_open(ww_rpc_pair_conn(pair, 1)));
        assert_int_equal(object->canceled, 1);
        object_go(object);
        ww_rpc_request_free(r);
        ww_cap_unref(cap);
        ww_rpc_pair_free(pair);
        while ((int)ww_rpc_vat_run(a, 3, 0) | (int)ww_rpc_vat_run(b, 3, 0))
            ;
        assert_int_equal(live, 0);
        ww_rpc_vat_free(a);
        ww_rpc_vat_free(b);
    }
}

static void in_pieces(void **state)
{
    struct ww_rpc_vat *a, *b;
    struct ww_rpc_pair *pair;
    struct ww_cap *cap;
    WW_UNUSED(state);
    assert_ok(ww_rpc_vat_new(NULL, &a));
    assert_ok(ww_rpc_vat_new(NULL, &b));
    struct ww_cap *boot = object_new(a, &live, NULL);
    struct ww_rpc_conn_config packed = {.packed = true};
    assert_int_equal(
        ww_rpc_pair_new(a, &(struct ww_rpc_conn_config){.bootstrap = boot}, b, &packed, &pair), WW_EINVAL);
    assert_ok(ww_rpc_pair_new(a, &(struct ww_rpc_conn_config){.bootstrap = boot}, b, NULL, &pair));
    ww_cap_unref(boot);
    assert_ok(ww_rpc_conn_bootstrap(ww_rpc_pair_conn(pair, 1), &cap));
    struct ww_rpc_request *r = request(cap, M_ECHO, 77);
    ww_rpc_request_send(r, NULL);
    unsigned moves = 0;
    while (ww_rpc_request_status(r) == WW_EAGAIN) {
        ww_rpc_vat_run(a, 1, 0);
        ww_rpc_vat_run(b, 1, 0);
        assert_true(ww_rpc_pair_move(pair, 0, 1) + ww_rpc_pair_move(pair, 1, 1) <= 2);
        assert_true(++moves < 2000);
    }
    assert_true(moves > 100);
    assert_ok(ww_rpc_request_status(r));
    ww_rpc_request_free(r);
    ww_cap_unref(cap);
    ww_rpc_pair_free(pair);
    ww_rpc_vat_run(a, 1, 0);
    ww_rpc_vat_run(b, 1, 0);
    assert_int_equal(live, 0);
    ww_rpc_vat_free(a);
    ww_rpc_vat_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_vats),
        cmocka_unit_test(one_vat),
        cmocka_unit_test(ends),
        cmocka_unit_test(in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
