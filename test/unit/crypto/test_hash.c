#include "test/lib/test.h"

#include "crypto/hash.h"

static void test_digests(void **state)
{
    uint8_t d[64];
    WW_UNUSED(state);
    ww_sha256(WW_BYTES_LIT("abc"), d);
    assert_memory_equal(d, hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").ptr, 32);
    ww_sha256(ww_bytes(NULL, 0), d);
    assert_memory_equal(d, hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").ptr, 32);
    ww_sha512(WW_BYTES_LIT("abc"), d);
    assert_memory_equal(d,
        hex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f")
            .ptr,
        64);
    ww_blake2b256(WW_BYTES_LIT("abc"), d);
    assert_memory_equal(d, hex("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319").ptr, 32);
}

static void test_sha256_in_steps(void **state)
{
    uint8_t data[300], whole[32], steps[32];
    WW_UNUSED(state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 31);
    ww_sha256(ww_bytes(data, sizeof data), whole);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        struct ww_sha256 h, fork;
        ww_sha256_init(&h);
        ww_sha256_update(&h, ww_bytes(data, cut));
        fork = h;
        ww_sha256_update(&h, WW_BYTES_LIT("other"));
        ww_sha256_update(&fork, ww_bytes(data + cut, sizeof data - cut));
        ww_sha256_final(&fork, steps);
        assert_memory_equal(steps, whole, 32);
    }
}

/* RFC 4231, tests 2 and 6 (a key longer than a block). */
static void test_hmac(void **state)
{
    uint8_t mac[32], long_key[131];
    WW_UNUSED(state);
    ww_hmac_sha256(WW_BYTES_LIT("Jefe"), WW_BYTES_LIT("what do ya want for nothing?"), mac);
    assert_memory_equal(mac, hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").ptr, 32);
    memset(long_key, 0xaa, sizeof long_key);
    ww_hmac_sha256(ww_bytes(long_key, sizeof long_key),
        WW_BYTES_LIT("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    assert_memory_equal(mac, hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54").ptr, 32);
}

/* RFC 5869, tests 1 and 3. */
static void test_hkdf(void **state)
{
    uint8_t ikm[22], out[42], first[32], second[32], both[64];
    WW_UNUSED(state);
    memset(ikm, 0x0b, sizeof ikm);
    ww_hkdf_sha256(
        hex("000102030405060708090a0b0c"), ww_bytes(ikm, sizeof ikm), hex("f0f1f2f3f4f5f6f7f8f9"), out, 42);
    assert_memory_equal(out,
        hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865").ptr, 42);
    ww_hkdf_sha256(ww_bytes(NULL, 0), ww_bytes(ikm, sizeof ikm), ww_bytes(NULL, 0), out, 42);
    assert_memory_equal(out,
        hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8").ptr, 42);
    memcpy(first, hex("4f4e4d4c4b4a494847464544434241403f3e3d3c3b3a39383736353433323130").ptr, 32);
    ww_hkdf_sha256(ww_bytes(first, 32), ww_bytes(ikm, sizeof ikm), ww_bytes(NULL, 0), both, 64);
    ww_hkdf2_sha256(first, ww_bytes(ikm, sizeof ikm), first, second);
    assert_memory_equal(first, both, 32);
    assert_memory_equal(second, both + 32, 32);
}

static void test_eq(void **state)
{
    WW_UNUSED(state);
    assert_true(ww_crypto_eq("abcd", "abcd", 4));
    assert_false(ww_crypto_eq("abcd", "abce", 4));
    assert_true(ww_crypto_eq("a", "b", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_sha256_in_steps),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hkdf),
        cmocka_unit_test(test_eq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
