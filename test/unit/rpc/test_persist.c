/* Sturdy references: saved over a connection, restored after a restart, and worth nothing to anybody else.
 * The MAC is a toy; the house's own is tested where it is used. */
#include "test/lib/alloc_fail.h"
#include "pair.h"
#include "persist_host.h"

static struct host h;
static struct ww_persist *table;

static void host_init(uint64_t key)
{
    host_start(&h, h.vat, key);
}

static int up(void **state)
{
    WW_UNUSED(state);
    assert_ok(ww_rpc_vat_new(NULL, &h.vat));
    host_init(1);
    assert_ok(ww_persist_new(&h.host, 0, &table));
    return 0;
}

static int down(void **state)
{
    WW_UNUSED(state);
    ww_persist_free(table);
    ww_rpc_vat_free(h.vat);
    return 0;
}

static ww_err try_restore(const uint8_t *ref, size_t len, const char *owner, uint64_t now_s)
{
    struct ww_cap *cap = NULL;
    ww_err err = ww_persist_restore(table, ww_bytes(ref, len), ww_bytes_str(owner), now_s, &cap);
    assert_int_equal(err == 0, cap != NULL);
    ww_cap_unref(cap);
    return err;
}

static ww_err again(const uint8_t *ref, const char *owner)
{
    return try_restore(ref, WW_PERSIST_REF_BYTES, owner, 1000);
}

static void save(const char *object, const char *owner, uint64_t expires_s, uint8_t *ret_ref)
{
    assert_ok(ww_persist_save(table, ww_bytes_str(object), ww_bytes_str(owner), expires_s, ret_ref));
}

static uint8_t *stored(size_t *ret_len)
{
    *ret_len = ww_persist_bytes(table);
    uint8_t *bytes = ww_alloc(*ret_len);
    assert_non_null(bytes);
    ww_persist_write(table, bytes);
    return bytes;
}

static void restart(void **state)
{
    WW_UNUSED(state);
    uint8_t a[WW_PERSIST_REF_BYTES], b[WW_PERSIST_REF_BYTES], c[WW_PERSIST_REF_BYTES];
    save("door", "", 0, a);
    save("window", "alice", 0, b);
    save("door", "bob", 2000, c);
    assert_int_equal(h.changed, 3);
    size_t len;
    uint8_t *bytes = stored(&len);
    ww_persist_free(table);
    host_init(1);
    assert_ok(ww_persist_new(&h.host, 0, &table));
    assert_int_equal(again(a, ""), WW_ENOTFOUND);
    assert_ok(ww_persist_load(table, ww_bytes(bytes, len), NULL));
    assert_int_equal(ww_persist_load(table, ww_bytes(bytes, len), NULL), WW_ESTATE);
    assert_int_equal(ww_persist_count(table), 3);
    assert_ok(again(a, "anybody"));
    assert_string_equal(h.last, "door");
    assert_ok(again(b, "alice"));
    assert_string_equal(h.last, "window");
    assert_ok(again(c, "bob"));
    ww_persist_free(table);
    host_init(2); /* another key: another realm */
    assert_ok(ww_persist_new(&h.host, 0, &table));
    struct ww_diag diag = {0};
    assert_int_equal(ww_persist_load(table, ww_bytes(bytes, len), &diag), WW_ECRYPTO);
    assert_non_null(strstr(diag.text, "another key: bring that key back"));
    ww_free(bytes);
}

static void owners(void **state)
{
    WW_UNUSED(state);
    uint8_t ref[WW_PERSIST_REF_BYTES];
    save("door", "alice", 0, ref);
    assert_ok(again(ref, "alice"));
    assert_int_equal(again(ref, "alicf"), WW_ENOTFOUND);
    assert_int_equal(again(ref, "alic"), WW_ENOTFOUND);
    assert_int_equal(again(ref, "alice2"), WW_ENOTFOUND);
    assert_int_equal(again(ref, ""), WW_ENOTFOUND);
    assert_int_equal(h.restored, 1);
}

static void forged(void **state)
{
    WW_UNUSED(state);
    uint8_t ref[WW_PERSIST_REF_BYTES + 1] = {0}, other[WW_PERSIST_REF_BYTES];
    save("door", "alice", 0, ref);
    save("safe", "bob", 0, other);
    for (unsigned bit = 0; bit < WW_PERSIST_REF_BYTES * 8; bit++) {
        ref[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(again(ref, "alice"), WW_ENOTFOUND);
        assert_int_equal(ww_persist_revoke(table, ww_bytes(ref, WW_PERSIST_REF_BYTES)), WW_ENOTFOUND);
        ref[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < WW_PERSIST_REF_BYTES; n++)
        assert_int_equal(try_restore(ref, n, "alice", 1000), WW_ENOTFOUND);
    assert_int_equal(try_restore(ref, sizeof ref, "alice", 1000), WW_ENOTFOUND);
    memcpy(other + 17, ref + 17, 32); /* a genuine tag on another's id */
    assert_int_equal(again(other, "bob"), WW_ENOTFOUND);
    assert_int_equal(h.restored, 0);
    assert_ok(again(ref, "alice"));
}

static void ends(void **state)
{
    WW_UNUSED(state);
    uint8_t a[WW_PERSIST_REF_BYTES], b[WW_PERSIST_REF_BYTES], c[WW_PERSIST_REF_BYTES];
    save("door", "", 1001, a);
    save("door", "", 0, b);
    save("safe", "", 0, c);
    assert_ok(again(a, ""));
    assert_int_equal(try_restore(a, sizeof a, "", 1001), WW_ENOTFOUND);
    assert_int_equal(ww_persist_expire(table, 1000), 0);
    assert_int_equal(ww_persist_expire(table, 1001), 1);
    assert_int_equal(ww_persist_count(table), 2);
    assert_ok(ww_persist_revoke(table, ww_bytes(c, sizeof c)));
    assert_int_equal(again(c, ""), WW_ENOTFOUND);
    assert_ok(again(b, "")); /* one alone */
    assert_int_equal(ww_persist_forget(table, WW_BYTES_LIT("door")), 1);
    assert_int_equal(ww_persist_count(table), 0);
    assert_int_equal(h.changed, 6);
}

static void limits(void **state)
{
    WW_UNUSED(state);
    static uint8_t large[WW_PERSIST_OBJECT_MAX + 1];
    uint8_t ref[WW_PERSIST_REF_BYTES];
    struct ww_bytes none = {0};
    assert_ok(ww_persist_save(
        table, ww_bytes(large, WW_PERSIST_OBJECT_MAX), ww_bytes(large, WW_PERSIST_OWNER_MAX), 0, ref));
    assert_int_equal(ww_persist_save(table, ww_bytes(large, sizeof large), none, 0, ref), WW_EINVAL);
    assert_int_equal(
        ww_persist_save(table, none, ww_bytes(large, WW_PERSIST_OWNER_MAX + 1), 0, ref), WW_EINVAL);
    struct ww_persist *small;
    assert_ok(ww_persist_new(&h.host, 2, &small));
    assert_ok(ww_persist_save(small, none, none, 0, ref));
    assert_ok(ww_persist_save(small, none, none, 0, ref));
    assert_int_equal(ww_persist_save(small, none, none, 0, ref), WW_ELIMIT);
    assert_ok(ww_persist_save(table, none, none, 0, ref));
    assert_ok(ww_persist_save(table, none, none, 0, ref));
    size_t len;
    struct ww_diag diag = {0};
    uint8_t *bytes = stored(&len);
    ww_persist_free(small);
    assert_ok(ww_persist_new(&h.host, 2, &small));
    assert_int_equal(ww_persist_load(small, ww_bytes(bytes, len), &diag), WW_ELIMIT);
    assert_string_equal(diag.text, "3 references are stored, and the table takes 2: make it larger");
    assert_int_equal(ww_persist_count(small), 0);
    ww_free(bytes);
    ww_persist_free(small);
}

/* Every cut and every changed byte of a stored table is found out. */
static void damaged(void **state)
{
    WW_UNUSED(state);
    uint8_t ref[WW_PERSIST_REF_BYTES];
    save("door", "alice", 0, ref);
    save("safe", "", 5, ref);
    size_t len;
    uint8_t *bytes = stored(&len);
    ww_persist_free(table);
    assert_ok(ww_persist_new(&h.host, 0, &table));
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(ww_persist_load(table, ww_bytes(bytes, i), NULL), WW_EPROTO);
        bytes[i] ^= 0x40;
        assert_int_equal(
            ww_persist_load(table, ww_bytes(bytes, len), NULL), i >= 12 && i < 28 ? WW_ECRYPTO : WW_EPROTO);
        bytes[i] ^= 0x40;
        assert_int_equal(ww_persist_count(table), 0);
    }
    assert_ok(ww_persist_load(table, ww_bytes(bytes, len), NULL));
    ww_free(bytes);
}

/* ---- over a connection */

struct thing {
    struct ww_rpc_server server;
    bool dropped;
};

static void thing_dispatch(struct ww_rpc_server *self, struct ww_rpc_call *call)
{
    WW_UNUSED(self);
    if (!ww_persist_serve(table, call, WW_BYTES_LIT("thing"), 0))
        ww_rpc_call_fail(call, WW_EUNIMPLEMENTED, "not persistent");
}

static const struct ww_rpc_server_ops thing_ops = {.dispatch = thing_dispatch};
static struct thing thing;

static struct ww_cap *make_thing(struct ww_rpc_vat *vat)
{
    struct ww_cap *cap;
    thing.server.ops = &thing_ops;
    assert_ok(ww_cap_new_server(vat, &thing.server, &cap));
    return cap;
}

static void over_the_wire(void **state)
{
    WW_UNUSED(state);
    struct pair p;
    pair_init(&p, make_thing, false);
    struct ww_cap *cap;
    ww_persist_free(table);
    assert_ok(ww_persist_new(&h.host, 2, &table));
    assert_ok(ww_rpc_conn_bootstrap(p.a.conn, &cap));
    uint8_t last[WW_PERSIST_REF_BYTES];
    for (unsigned i = 0; i < 5; i++) {
        struct ww_rpc_request *q;
        uint64_t iface = i == 4 ? TEST_IFACE : WW_PERSISTENT_ID;
        assert_ok(ww_rpc_request_new(cap, iface, i == 3, 8, &q));
        struct ww_pb owner = ww_sb_ptr(ww_pb_init_struct(ww_rpc_request_params(q), 0, 1), 0);
        if (i == 1)
            ww_pb_set_data(owner, WW_BYTES_LIT("alice"));
        else if (i == 2)
            (void)ww_pb_init_struct(owner, 1, 0); /* an owner of some other realm */
        ww_rpc_request_send(q, NULL);
        pair_settle(&p);
        if (i >= 2) {
            assert_true(ww_rpc_request_status(q) < 0);
            if (i == 2)
                assert_non_null(strstr(ww_rpc_request_reason(q), "sealFor is Data of 1 to 1024 bytes here"));
        } else {
            assert_ok(ww_rpc_request_status(q));
            struct ww_bytes ref = ww_pr_data(ww_sr_ptr(ww_pr_struct(ww_rpc_request_results(q)), 0));
            assert_int_equal(ref.len, WW_PERSIST_REF_BYTES);
            assert_int_equal(again(ref.ptr, "bob"), i == 1 ? WW_ENOTFOUND : 0);
            assert_int_equal(again(ref.ptr, "alice"), 0);
            assert_string_equal(h.last, "thing");
            memcpy(last, ref.ptr, ref.len);
        }
        ww_rpc_request_free(q);
    }
    assert_int_equal(ww_persist_count(table), 2);
    static uint8_t large[WW_PERSIST_OWNER_MAX + 1] = {1};
    for (size_t n = sizeof large; n >= sizeof large - 1; n--) { /* too long for an owner; no room any more */
        struct ww_rpc_request *q;
        assert_ok(ww_persist_save_request(cap, ww_bytes(large, n), &q));
        ww_rpc_request_send(q, NULL);
        pair_settle(&p);
        assert_int_equal(ww_rpc_request_status(q), n == sizeof large ? WW_EFAILED : WW_EOVERLOADED);
        assert_non_null(strstr(ww_rpc_request_reason(q), n == sizeof large ? "1 to 1024" : "revoke some"));
        assert_int_equal(ww_persist_save_ref(q).len, 0);
        ww_rpc_request_free(q);
    }
    assert_ok(ww_persist_revoke(table, ww_bytes(last, sizeof last)));
    struct ww_rpc_request *q;
    assert_ok(ww_persist_save_request(cap, WW_BYTES_LIT("bob"), &q));
    ww_rpc_request_send(q, NULL);
    pair_settle(&p);
    assert_ok(ww_rpc_request_status(q));
    assert_ok(again(ww_persist_save_ref(q).ptr, "bob"));
    ww_rpc_request_free(q);
    ww_cap_unref(cap);
    pair_fini(&p);
}

static ww_err without_memory(void *ctx)
{
    struct ww_persist *t;
    uint8_t ref[WW_PERSIST_REF_BYTES];
    WW_UNUSED(ctx);
    WW_TRY(ww_persist_new(&h.host, 0, &t));
    ww_err err = 0;
    for (int i = 0; i < 20 && err == 0; i++)
        err = ww_persist_save(t, WW_BYTES_LIT("door"), WW_BYTES_LIT("alice"), 0, ref);
    ww_persist_free(t);
    return err;
}

static void out_of_memory(void **state)
{
    WW_UNUSED(state);
    assert_true(alloc_fail_run(without_memory, NULL) > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        T(restart), T(owners), T(forged), T(ends), T(limits), T(damaged), T(over_the_wire), T(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
