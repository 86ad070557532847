/* Restorers: references that come in over a connection, and what is refused with which words. */
#include "test/lib/alloc_fail.h"
#include "pair.h"
#include "persist_host.h"

#define RESTORER_ID UINT64_C(0xf82065c5f4d8685f)
enum { RESTORE, REVOKE, NO_METHOD };

#define NOTHING "the reference leads to nothing for this owner"
#define NO_REF "this is no reference of this realm: pass on what save() gave, Data of 49 bytes, unchanged"

static struct pair p;
static struct host h;
static struct ww_persist *table;
static struct object *object;
static struct ww_cap *alice; /* alice's Restorer, at the client */
static uint8_t ref[WW_PERSIST_REF_BYTES];

static struct ww_cap *make_restorer(struct ww_rpc_vat *vat)
{
    struct ww_cap *cap;
    host_start(&h, vat, 1);
    h.object = object_new(vat, NULL, &object);
    assert_ok(ww_persist_new(&h.host, 0, &table));
    assert_ok(ww_persist_restorer(table, vat, WW_BYTES_LIT("alice"), &cap));
    return cap;
}

static int up(void **state)
{
    WW_UNUSED(state);
    pair_init(&p, make_restorer, false);
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &alice));
    assert_ok(ww_persist_save(table, WW_BYTES_LIT("door"), WW_BYTES_LIT("alice"), 2000, ref));
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    ww_cap_unref(alice);
    ww_cap_unref(h.object);
    pair_fini(&p);
    ww_persist_free(table);
    return 0;
}

static struct ww_rpc_request *ask(uint16_t method, struct ww_bytes data)
{
    struct ww_rpc_request *q;
    assert_ok(ww_rpc_request_new(alice, RESTORER_ID, method, 8, &q));
    ww_pb_set_data(ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(q), 0, 1), 0), data);
    ww_rpc_request_send(q, NULL);
    pair_settle(&p);
    return q;
}

static ww_err outcome(struct ww_rpc_request *q, char *ret_reason)
{
    ww_err err = ww_rpc_request_status(q);
    snprintf(ret_reason, 128, "%s", ww_rpc_request_reason(q));
    ww_rpc_request_free(q);
    pair_settle(&p);
    return err;
}

static void refused(uint16_t method, struct ww_bytes data, const char *reason)
{
    char said[128];
    assert_int_equal(outcome(ask(method, data), said), WW_EFAILED);
    if (strncmp(said, reason, strlen(reason)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", said, reason);
}

static struct ww_bytes the_ref(void)
{
    return ww_bytes(ref, sizeof ref);
}

static void works(struct ww_cap *cap, uint64_t value)
{
    struct outcome o;
    outcome_init(&o, NULL);
    struct ww_rpc_request *q = call_send(cap, M_ECHO, value, NULL, &o);
    pair_settle(&p);
    assert_ok(o.status);
    assert_int_equal(o.value, value);
    ww_rpc_request_free(q);
}

static void restores(void **state)
{
    WW_UNUSED(state);
    struct ww_rpc_request *q[2];
    struct ww_cap *cap[2];
    for (unsigned i = 0; i < 2; i++) {
        q[i] = ask(RESTORE, the_ref());
        assert_ok(ww_rpc_request_status(q[i]));
        cap[i] = ww_cap_ref(ww_pr_cap(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q[i])), 0)));
        assert_string_equal(h.last, "door");
        works(cap[i], i);
    }
    assert_true(ww_cap_same(cap[0], cap[1]));
    for (unsigned i = 0; i < 2; i++) {
        ww_rpc_request_free(q[i]);
        ww_cap_unref(cap[i]);
    }
    /* Before the answer is there, too. */
    struct ww_rpc_request *early;
    struct ww_cap *promise;
    assert_ok(ww_rpc_request_new(alice, RESTORER_ID, RESTORE, 8, &early));
    ww_pb_set_data(ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(early), 0, 1), 0), the_ref());
    ww_rpc_request_send(early, NULL);
    promise = pipeline(early, 0);
    works(promise, 2);
    ww_cap_unref(promise);
    ww_rpc_request_free(early);
}

/* Whatever is wrong with a reference, the same is said. */
static void leads_to_nothing(void **state)
{
    WW_UNUSED(state);
    for (unsigned bit = 0; bit < sizeof ref * 8; bit++) {
        ref[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused(RESTORE, the_ref(), NOTHING);
        refused(REVOKE, the_ref(), NOTHING);
        ref[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(h.restored, 0);
    h.now_s = 1999;
    char said[128];
    assert_ok(outcome(ask(RESTORE, the_ref()), said));
    h.now_s = 2000;
    refused(RESTORE, the_ref(), NOTHING);
    h.now_s = 1000;
    uint8_t other[WW_PERSIST_REF_BYTES];
    assert_ok(ww_persist_save(table, WW_BYTES_LIT("door"), WW_BYTES_LIT("bob"), 0, other));
    refused(RESTORE, ww_bytes(other, sizeof other), NOTHING);
    refused(REVOKE, ww_bytes(other, sizeof other), NOTHING);
    assert_int_equal(ww_persist_count(table), 2);
    h.nothing = true;
    refused(RESTORE, the_ref(), NOTHING);
    h.fails = WW_ENOTFOUND;
    refused(RESTORE, the_ref(), NOTHING);
    h.fails = 0;
    h.nothing = false;
    assert_ok(outcome(ask(REVOKE, the_ref()), said));
    refused(RESTORE, the_ref(), NOTHING);
    refused(REVOKE, the_ref(), NOTHING);
    assert_int_equal(ww_persist_count(table), 1);
    assert_ok(ww_persist_save(table, WW_BYTES_LIT("door"), ww_bytes(NULL, 0), 500, ref));
    assert_ok(outcome(ask(REVOKE, the_ref()), said)); /* nobody's, and expired */
}

static void without_a_clock(void **state)
{
    WW_UNUSED(state);
    struct ww_persist_ops blind = *h.host.ops;
    blind.now_s = NULL;
    h.host.ops = &blind;
    refused(RESTORE, the_ref(), NOTHING);
    uint8_t lasting[WW_PERSIST_REF_BYTES];
    char said[128];
    assert_ok(ww_persist_save(table, WW_BYTES_LIT("door"), ww_bytes(NULL, 0), 0, lasting));
    assert_ok(outcome(ask(RESTORE, ww_bytes(lasting, sizeof lasting)), said));
}

/* The length and the type are looked at before anything else. */
static void no_references(void **state)
{
    WW_UNUSED(state);
    static uint8_t large[4096];
    for (size_t n = 0; n < sizeof large; n += n < 60 ? 1 : 997) {
        memcpy(large, ref, n < sizeof ref ? n : sizeof ref);
        refused(RESTORE, ww_bytes(large, n), n == sizeof ref ? "" : NO_REF);
        if (n + 1 == sizeof ref)
            n++;
    }
    for (unsigned i = 0; i < 5; i++) {
        struct ww_rpc_request *q;
        char said[128];
        assert_ok(ww_rpc_request_new(alice, RESTORER_ID, RESTORE, 32, &q));
        struct ww_pb params = ww_rpc_request_params(q);
        struct ww_pb at = i < 4 ? ww_sb_ptr(ww_pb_init_struct(params, 0, 1), 0) : params;
        if (i == 0)
            (void)ww_pb_init_struct(at, 7, 0);
        else if (i == 1)
            (void)ww_pb_init_list(at, WW_ELEM_TWO, sizeof ref);
        else if (i == 2)
            (void)ww_pb_init_list(at, WW_ELEM_BIT, sizeof ref);
        else if (i == 3)
            ww_pb_set_cap(at, alice);
        else
            (void)ww_pb_init_struct(at, 1, 0);
        ww_rpc_request_send(q, NULL);
        pair_settle(&p);
        assert_true(outcome(q, said) == WW_EFAILED);
        assert_string_equal(said, NO_REF);
    }
    assert_int_equal(h.restored, 0);
}

static void kinds(void **state)
{
    WW_UNUSED(state);
    char said[128];
    const ww_err from[] = {WW_EOVERLOADED, WW_EDISCONNECTED, WW_EIO, WW_ENOMEM},
                 to[] = {WW_EOVERLOADED, WW_EDISCONNECTED, WW_EFAILED, WW_EOVERLOADED};
    for (size_t i = 0; i < WW_COUNT_OF(from); i++) {
        h.fails = from[i];
        assert_int_equal(outcome(ask(RESTORE, the_ref()), said), to[i]);
        assert_non_null(strstr(said, "the object cannot be had now: "));
    }
    assert_int_equal(outcome(ask(NO_METHOD, the_ref()), said), WW_EUNIMPLEMENTED);
    struct ww_rpc_request *q;
    assert_ok(
        ww_persist_save_request(alice, ww_bytes(NULL, 0), &q)); /* a Restorer is not persistent itself */
    ww_rpc_request_send(q, NULL);
    pair_settle(&p);
    assert_int_equal(ww_persist_save_ref(q).len, 0);
    assert_int_equal(outcome(q, said), WW_EUNIMPLEMENTED);
}

static void outlives_its_table(void **state)
{
    WW_UNUSED(state);
    char said[128];
    struct ww_cap *second;
    assert_ok(ww_persist_restorer(table, p.b.vat, WW_BYTES_LIT("bob"), &second));
    assert_ok(outcome(ask(RESTORE, the_ref()), said));
    ww_cap_unref(second); /* before the table */
    ww_persist_free(table);
    table = NULL;
    assert_int_equal(outcome(ask(RESTORE, the_ref()), said), WW_EDISCONNECTED);
    assert_string_equal(said, "this Restorer's host has ended: connect anew");
}

static void limits(void **state)
{
    WW_UNUSED(state);
    static uint8_t owner[WW_PERSIST_OWNER_MAX + 1];
    struct ww_cap *cap;
    assert_ok(ww_persist_restorer(table, p.b.vat, ww_bytes(owner, WW_PERSIST_OWNER_MAX), &cap));
    ww_cap_unref(cap);
    assert_int_equal(ww_persist_restorer(table, p.b.vat, ww_bytes(owner, sizeof owner), &cap), WW_EINVAL);
}

static ww_err without_memory(void *ctx)
{
    WW_UNUSED(ctx);
    struct ww_rpc_vat *vat;
    struct ww_persist *t;
    struct ww_cap *cap = NULL;
    WW_TRY(ww_rpc_vat_new(NULL, &vat));
    ww_err err = ww_persist_new(&h.host, 0, &t);
    if (err == 0) {
        err = ww_persist_restorer(t, vat, WW_BYTES_LIT("alice"), &cap);
        if (err == 0)
            ww_cap_unref(cap);
        (void)ww_rpc_vat_run(vat, 0, 0);
        ww_persist_free(t);
    }
    ww_rpc_vat_free(vat);
    return err;
}

static void out_of_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(without_memory, NULL) > 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {T(restores), T(leads_to_nothing), T(without_a_clock), T(no_references),
        T(kinds), T(outlives_its_table), T(limits), T(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
