/* The peerstore: lifetimes, caps, and what is believed. */
#include "p2p/peer_record.h"
#include "p2p/peerstore.h"
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

#define S WW_NS_PER_S

static struct ww_peer_id id_of(uint32_t n)
{
    struct ww_peer_id id = {.len = 38};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

static size_t count_addrs(struct ww_peerstore *ps, const struct ww_peer_id *id, uint64_t now_ns)
{
    size_t n = 0;
    while (ww_peerstore_addr(ps, id, now_ns, n).len)
        n++;
    return n;
}

static void addresses_live_and_die(void **state)
{
    struct ww_peerstore *ps = ww_peerstore_new(NULL);
    struct ww_peer_id a = id_of(1);
    assert_ok(ww_peerstore_add_addr(ps, &a, WW_BYTES_LIT("one"), 0, 10 * S));
    assert_ok(ww_peerstore_add_addr(ps, &a, WW_BYTES_LIT("two"), 0, 20 * S));
    assert_ok(ww_peerstore_add_addr(ps, &a, WW_BYTES_LIT("one"), 0, 5 * S)); /* never shortens */
    assert_int_equal(count_addrs(ps, &a, 9 * S), 2);
    assert_int_equal(count_addrs(ps, &a, 10 * S), 1);
    assert_bytes(ww_peerstore_addr(ps, &a, 15 * S, 0), "two", 3);
    assert_ok(ww_peerstore_add_addr(ps, &a, WW_BYTES_LIT("for ever"), 15 * S, WW_PEERSTORE_TTL_FOREVER));
    ww_peerstore_expire(ps, 30 * S);
    assert_int_equal(count_addrs(ps, &a, UINT64_MAX - 1), 1);
    /* connected: kept until the end of the connection, and a while after it */
    ww_peerstore_set_connected(ps, &a, true, 30 * S);
    ww_peerstore_set_connected(ps, &a, false, 40 * S);
    assert_int_equal(count_addrs(ps, &a, 40 * S + WW_PEERSTORE_TTL_RECENT_NS - 1), 1);
    ww_peerstore_expire(ps, 40 * S + WW_PEERSTORE_TTL_RECENT_NS);
    assert_int_equal(ww_peerstore_count(ps), 0);
    ww_peerstore_free(ps);
}

static void caps_hold(void **state)
{
    struct ww_peerstore *ps = ww_peerstore_new(NULL);
    struct ww_peer_id a = id_of(1), first = id_of(1000000);
    uint8_t addr[WW_PEERSTORE_ADDR_BYTES_MAX + 1] = {0};
    assert_int_equal(ww_peerstore_add_addr(ps, &a, ww_bytes(addr, 0), 0, S), WW_EINVAL);
    assert_int_equal(ww_peerstore_add_addr(ps, &a, ww_bytes(addr, sizeof addr), 0, S), WW_EINVAL);
    for (unsigned i = 0; i < 3 * WW_PEERSTORE_ADDRS_MAX; i++) {
        addr[0] = (uint8_t)i;
        assert_ok(ww_peerstore_add_addr(ps, &a, ww_bytes(addr, 10), 0, (1000 - i) * S));
    }
    assert_int_equal(count_addrs(ps, &a, 0), WW_PEERSTORE_ADDRS_MAX);
    addr[0] = 0; /* the one that lives longest is still there */
    bool found = false;
    for (size_t i = 0; i < WW_PEERSTORE_ADDRS_MAX; i++)
        found |= ww_bytes_eq(ww_peerstore_addr(ps, &a, 0, i), ww_bytes(addr, 10));
    assert_true(found);
    /* peers: who was not heard of longest goes, the connected stay */
    ww_peerstore_set_connected(ps, &first, true, 0);
    for (uint32_t i = 2; i < 2 + 2 * WW_PEERSTORE_PEERS_MAX; i++) {
        struct ww_peer_id id = id_of(i);
        assert_ok(ww_peerstore_add_addr(ps, &id, WW_BYTES_LIT("x"), 0, S));
    }
    assert_int_equal(ww_peerstore_count(ps), WW_PEERSTORE_PEERS_MAX);
    assert_int_equal(count_addrs(ps, &a, 0), 0);
    size_t seen = 0;
    bool kept = false;
    for (const struct ww_peer_id *id = NULL; (id = ww_peerstore_next(ps, id)); seen++)
        kept |= ww_peer_id_eq(id, &first);
    assert_int_equal(seen, WW_PEERSTORE_PEERS_MAX);
    assert_true(kept);
    ww_peerstore_forget(ps, &first); /* connected: not forgotten */
    assert_int_equal(ww_peerstore_count(ps), WW_PEERSTORE_PEERS_MAX);
    ww_peerstore_free(ps);
}

static void names_are_replaced(void **state)
{
    struct ww_peerstore *ps = ww_peerstore_new(NULL);
    struct ww_peer_id a = id_of(1);
    struct ww_bytes names[] = {WW_BYTES_LIT("/a"), WW_BYTES_LIT(""), WW_BYTES_LIT("b")};
    assert_false(ww_peerstore_identified(ps, &a));
    ww_peerstore_set_connected(ps, &a, true, 0);
    assert_ok(ww_peerstore_set_protocols(ps, &a, names, 3));
    assert_true(ww_peerstore_identified(ps, &a));
    assert_true(ww_peerstore_speaks(ps, &a, WW_BYTES_LIT("b")));
    assert_bytes(ww_peerstore_protocol(ps, &a, 0), "/a", 2);
    assert_ok(ww_peerstore_set_protocols(ps, &a, names, 1));
    assert_false(ww_peerstore_speaks(ps, &a, WW_BYTES_LIT("b")));
    char *long_text = ww_calloc(1, 1000);
    assert_ok(ww_peerstore_set_agent(ps, &a, ww_bytes(long_text, 1000), WW_BYTES_LIT("v")));
    assert_int_equal(ww_peerstore_agent(ps, &a).len, 256);
    ww_free(long_text);
    ww_peerstore_set_connected(ps, &a, false, 0);
    assert_false(ww_peerstore_identified(ps, &a));
    assert_false(ww_peerstore_speaks(ps, &a, WW_BYTES_LIT("/a")));
    ww_peerstore_free(ps);
}

static void records_are_believed_when_genuine(void **state)
{
    uint8_t seed[32] = {7};
    struct ww_keypair key;
    struct ww_peer_id id, other = id_of(9);
    struct ww_buf record;
    struct ww_bytes addr = hex("047f000001060fa1");
    ww_keypair_from_seed(&key, seed);
    ww_peer_id_from_key(&key.pub, &id);
    ww_buf_init(&record, 8192);
    assert_ok(ww_peer_record_seal(&key, 1, &addr, 1, &record));
    struct ww_peerstore *ps = ww_peerstore_new(NULL);
    assert_ok(ww_peerstore_set_record(ps, &id, ww_buf_view(&record)));
    assert_true(ww_bytes_eq(ww_peerstore_record(ps, &id), ww_buf_view(&record)));
    assert_ok(ww_peerstore_set_record(ps, &other, ww_buf_view(&record))); /* somebody else's */
    assert_int_equal(ww_peerstore_record(ps, &other).len, 0);
    ww_buf_data(&record)[ww_buf_len(&record) - 1] ^= 1;
    assert_ok(ww_peerstore_set_record(ps, &id, ww_buf_view(&record)));
    assert_int_equal(ww_peerstore_record(ps, &id).len, 0);
    uint8_t *large = ww_calloc(1, WW_PEERSTORE_RECORD_BYTES_MAX + 1);
    assert_int_equal(
        ww_peerstore_set_record(ps, &id, ww_bytes(large, WW_PEERSTORE_RECORD_BYTES_MAX + 1)), WW_ELIMIT);
    ww_free(large);
    ww_peerstore_free(ps);
    ww_buf_fini(&record);
    ww_keypair_fini(&key);
}

static ww_err fill(void *ctx)
{
    struct ww_bytes names[] = {WW_BYTES_LIT("/a"), WW_BYTES_LIT("/b")};
    struct ww_peer_id a = id_of(1);
    struct ww_peerstore *ps = ww_peerstore_new(NULL);
    if (!ps)
        return WW_ENOMEM;
    ww_err err = ww_peerstore_add_addr(ps, &a, WW_BYTES_LIT("x"), 0, S);
    if (err == WW_OK)
        err = ww_peerstore_set_protocols(ps, &a, names, 2);
    if (err == WW_OK)
        err = ww_peerstore_set_agent(ps, &a, WW_BYTES_LIT("agent"), WW_BYTES_LIT("1"));
    if (err == WW_OK)
        err = ww_peerstore_set_key(ps, &a, WW_BYTES_LIT("key"));
    ww_peerstore_free(ps);
    return err;
}

static void memory_runs_out(void **state)
{
    alloc_fail_run(fill, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_live_and_die),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(names_are_replaced),
        cmocka_unit_test(records_are_believed_when_genuine),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
