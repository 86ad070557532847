#include "test/lib/test.h"

#include "p2p/multihash.h"

static void test_sha256(void **state)
{
    uint8_t out[34];
    struct ww_multihash h;
    WW_UNUSED(state);
    ww_multihash_sha256(WW_BYTES_LIT("abc"), out);
    assert_bytes(
        hex("1220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), out, sizeof out);
    assert_ok(ww_multihash_decode(ww_bytes(out, sizeof out), &h));
    assert_int_equal(h.code, WW_MULTIHASH_SHA2_256);
    assert_bytes(h.digest, out + 2, 32);
}

static void test_take_leaves_the_rest(void **state)
{
    struct ww_bytes in = hex("0003616263ff");
    struct ww_multihash h;
    WW_UNUSED(state);
    assert_ok(ww_multihash_take(&in, &h));
    assert_bytes(h.digest, "abc", 3);
    assert_bytes(in, "\xff", 1);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text;
        ww_err err;
    } bad[] = {
        {"", WW_ETRUNC},
        {"12", WW_ETRUNC},
        {"1220aabb", WW_ETRUNC},
        {"8000", WW_EPROTO},     /* padded code */
        {"1202aabb", WW_EPROTO}, /* truncated sha2-256 */
        {"000161ff", WW_EPROTO}, /* bytes after it */
        {"008101", WW_ELIMIT},   /* digest of 129 bytes */
        {"00ffffffffffffffff7f", WW_ELIMIT},
        {"00ffffffffffffffffff01", WW_EPROTO},
    };
    struct ww_multihash h;
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++)
        assert_int_equal(ww_multihash_decode(hex(bad[i].text), &h), bad[i].err);
}

static void test_unknown_code_passes(void **state)
{
    struct ww_multihash h;
    WW_UNUSED(state);
    assert_ok(ww_multihash_decode(hex("ff0102aabb"), &h));
    assert_int_equal(h.code, 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_take_leaves_the_rest),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unknown_code_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
