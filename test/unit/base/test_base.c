#include "test/lib/test.h"

#include "base/budget.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/protobuf.h"
#include "base/prng.h"
#include "base/trace.h"
#include "base/varint.h"

static void varint_vectors(void **state)
{
    static const struct {
        uint64_t v;
        const char *hex;
    } vectors[] = {{1, "01"}, {127, "7f"}, {128, "8001"}, {255, "ff01"}, {300, "ac02"}, {16384, "808001"}};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(vectors); i++) {
        uint8_t out[WW_PROTOBUF_VARINT_MAX_BYTES];
        struct ww_bytes want = hex(vectors[i].hex);
        size_t n = ww_varint_encode(vectors[i].v, out);
        assert_bytes(want, out, n);
        uint64_t v;
        assert_int_equal(ww_uvarint_decode(want, &v), (int)n);
        assert_true(v == vectors[i].v);
        assert_int_equal(ww_uvarint_decode(ww_bytes(want.ptr, n - 1), &v), WW_ETRUNC);
    }
}

static void varint_refusals(void **state)
{
    uint64_t v;
    WW_UNUSED(state);
    assert_int_equal(ww_uvarint_decode(hex("8100"), &v), WW_EPROTO);
    assert_int_equal(ww_uvarint_decode(hex("ffffffffffffffffff01"), &v), WW_EPROTO);
    assert_int_equal(ww_protobuf_varint_decode(hex("8100"), &v), 2);
    assert_int_equal(ww_protobuf_varint_decode(hex("ffffffffffffffffff01"), &v), 10);
    assert_true(v == UINT64_MAX);
    assert_int_equal(ww_protobuf_varint_decode(hex("ffffffffffffffffff02"), &v), WW_EPROTO);
}

static void pb_walk(void **state)
{
    WW_UNUSED(state);
    struct ww_buf out;
    ww_buf_init(&out, 1024);
    assert_ok(ww_protobuf_put_varint(&out, 1, 0));
    assert_ok(ww_protobuf_put_bytes(&out, 16, WW_BYTES_LIT("hi")));
    assert_bytes(ww_buf_view(&out), "\x08\x00\x82\x01\x02hi", 7);
    assert_int_equal(ww_buf_len(&out), ww_protobuf_varint_size(1, 0) + ww_protobuf_bytes_size(16, 2));
    struct ww_bytes in = ww_buf_view(&out);
    struct ww_protobuf_field f;
    assert_int_equal(ww_protobuf_next(&in, &f), 1);
    assert_int_equal(f.number, 1);
    assert_int_equal(ww_protobuf_next(&in, &f), 1);
    assert_int_equal(f.number, 16);
    assert_bytes(f.bytes, "hi", 2);
    assert_int_equal(ww_protobuf_next(&in, &f), 0);
    struct ww_bytes cut = ww_bytes(ww_buf_data(&out) + 2, 4);
    assert_int_equal(ww_protobuf_next(&cut, &f), WW_ETRUNC);
    struct ww_bytes group = hex("0b");
    assert_int_equal(ww_protobuf_next(&group, &f), WW_EPROTO);
    struct ww_bytes zero = hex("0001");
    assert_int_equal(ww_protobuf_next(&zero, &f), WW_EPROTO);
    ww_buf_fini(&out);
}

static void buf_is_a_bounded_queue(void **state)
{
    WW_UNUSED(state);
    struct ww_buf b;
    ww_buf_init(&b, 200);
    uint8_t next_in = 0, next_out = 0;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 7 && ww_buf_len(&b) < 200; i++, next_in++)
            assert_ok(ww_buf_append_byte(&b, next_in));
        size_t take = ww_buf_len(&b) < 5 ? ww_buf_len(&b) : 5;
        for (size_t i = 0; i < take; i++, next_out++)
            assert_int_equal(ww_buf_data(&b)[i], next_out);
        ww_buf_consume(&b, take);
    }
    uint8_t big[201] = {0};
    assert_int_equal(ww_buf_append(&b, ww_bytes(big, sizeof big)), WW_ELIMIT);
    ww_buf_fini(&b);
}

static void budget_is_all_or_nothing(void **state)
{
    WW_UNUSED(state);
    struct ww_budget node, peer;
    ww_budget_init(&node, NULL);
    ww_budget_init(&peer, &node);
    node.max[WW_RES_BYTES] = 100;
    peer.max[WW_RES_BYTES] = 80;
    assert_ok(ww_budget_charge(&peer, WW_RES_BYTES, 60));
    assert_int_equal(ww_budget_charge(&peer, WW_RES_BYTES, 21), WW_EBUDGET);
    assert_ok(ww_budget_charge(&node, WW_RES_BYTES, 40));
    assert_int_equal(ww_budget_charge(&peer, WW_RES_BYTES, 1), WW_EBUDGET);
    assert_int_equal(ww_budget_charge(&node, WW_RES_BYTES, UINT64_MAX), WW_EBUDGET);
    assert_int_equal(peer.used[WW_RES_BYTES], 60);
    ww_budget_release(&peer, WW_RES_BYTES, 60);
    assert_int_equal(node.used[WW_RES_BYTES], 40);
}

static void prng_streams_are_independent(void **state)
{
    WW_UNUSED(state);
    struct ww_prng root, a, b, a2;
    ww_prng_init(&root, 7);
    ww_prng_split(&root, "net", 0, &a);
    ww_prng_split(&root, "disk", 0, &b);
    ww_prng_split(&root, "net", 0, &a2);
    uint64_t va = ww_prng_u64(&a);
    assert_true(va == ww_prng_u64(&a2));
    assert_true(va != ww_prng_u64(&b));
    for (int i = 0; i < 1000; i++) {
        assert_true(ww_prng_below(&a, 10) < 10);
        double u = ww_prng_unit(&a);
        assert_true(u >= 0 && u < 1);
    }
}

static void trace_prints(void **state)
{
    WW_UNUSED(state);
    const struct ww_trace_val vals[] = {
        ww_tv_str("12D3"), ww_tv_hex(WW_BYTES_LIT("\x01\xff")), ww_tv_str("a b\"\n")};
    struct ww_buf out;
    ww_buf_init(&out, 1024);
    assert_ok(ww_trace_format_text(&out, WW_TR_CLUSTER_JOIN, vals, 3));
    assert_ok(ww_buf_append_byte(&out, 0));
    assert_string_equal(
        (char *)ww_buf_data(&out), "cluster.join peer=12D3 server=01ff host=\"a b\\\"\\u000a\"");
    ww_buf_clear(&out);
    assert_ok(ww_trace_format_json(&out, WW_TR_CLUSTER_JOIN, vals, 3));
    assert_ok(ww_buf_append_byte(&out, 0));
    assert_string_equal((char *)ww_buf_data(&out),
        "\"event\":\"cluster.join\",\"peer\":\"12D3\",\"server\":\"01ff\",\"host\":\"a b\\\"\\u000a\"");
    ww_buf_clear(&out);
    assert_ok(ww_json_put_string(&out, WW_BYTES_LIT("\xc3\xa9\xff\xed\xa0\x80")));
    assert_bytes(ww_buf_view(&out), "\"\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\"", 28);
    ww_buf_fini(&out);
}

static void errors_have_kinds(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(ww_err_kind(WW_ECLOSED), WW_KIND_DISCONNECTED);
    assert_string_equal(ww_err_name(WW_EPROTO), "EPROTO");
    assert_string_equal(ww_err_name(-9999), "EUNKNOWN");
    struct ww_diag d;
    assert_int_equal(ww_diag_set(&d, WW_EINVAL, "%s", "bad"), WW_EINVAL);
    assert_string_equal(d.text, "bad");
    assert_int_equal(ww_diag_set(NULL, WW_EINVAL, "x"), WW_EINVAL);
}

static void durations(void **state)
{
    WW_UNUSED(state);
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"3s", 3 * WW_NS_PER_S}, {"500ms", 500 * WW_NS_PER_MS}, {"1m30s", 90 * WW_NS_PER_S}, {"0", 0},
        {"1.5s", 1500 * WW_NS_PER_MS}, {"0.25h", 900 * WW_NS_PER_S}, {"7ns", 7}};
    static const char *const bad[] = {"", "3", "s", "-1s", "1x", "1s2", "1.s", " 1s", "1 s", "9999999h"};
    uint64_t ns;
    for (size_t i = 0; i < WW_COUNT_OF(good); i++) {
        assert_ok(ww_duration_parse(good[i].text, &ns));
        assert_true(ns == good[i].ns);
    }
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++)
        assert_true(ww_duration_parse(bad[i], &ns) < 0);
    char out[32];
    ww_duration_format(1500 * WW_NS_PER_MS, out, sizeof out);
    assert_string_equal(out, "1500ms");
    ww_duration_format(10 * WW_NS_PER_S, out, sizeof out);
    assert_string_equal(out, "10s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varint_vectors),
        cmocka_unit_test(varint_refusals),
        cmocka_unit_test(pb_walk),
        cmocka_unit_test(buf_is_a_bounded_queue),
        cmocka_unit_test(budget_is_all_or_nothing),
        cmocka_unit_test(prng_streams_are_independent),
        cmocka_unit_test(trace_prints),
        cmocka_unit_test(errors_have_kinds),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
