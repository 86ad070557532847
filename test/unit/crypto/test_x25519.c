#include "test/lib/test.h"

#include "crypto/x25519.h"

/* RFC 7748, section 6.1: Bob's side. */
static const char bob_secret[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";

static void test_rfc7748_exchange(void **state)
{
    uint8_t b[32], shared[32], pub[32];
    WW_UNUSED(state);
    memcpy(b, hex(bob_secret).ptr, 32);
    ww_x25519_public(b, pub);
    assert_memory_equal(pub, hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f").ptr, 32);
    assert_ok(
        ww_x25519(b, hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a").ptr, shared));
    assert_memory_equal(
        shared, hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742").ptr, 32);
}

/* Section 5.2: the function applied to its own output. */
static void test_rfc7748_iterated(void **state)
{
    uint8_t k[32] = {9}, u[32] = {9}, r[32];
    WW_UNUSED(state);
    for (int i = 1; i <= 1000; i++) {
        assert_ok(ww_x25519(k, u, r));
        memcpy(u, k, 32);
        memcpy(k, r, 32);
        if (i == 1)
            assert_memory_equal(
                k, hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079").ptr, 32);
    }
    assert_memory_equal(k, hex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51").ptr, 32);
}

static void test_refuses_small_order(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t a[32], out[32];
    WW_UNUSED(state);
    memcpy(a, hex(bob_secret).ptr, 32);
    for (size_t i = 0; i < WW_COUNT_OF(points); i++) {
        memset(out, 0xaa, sizeof out);
        assert_int_equal(ww_x25519(a, hex(points[i]).ptr, out), WW_ECRYPTO);
        assert_int_equal(out[0], 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7748_exchange),
        cmocka_unit_test(test_rfc7748_iterated),
        cmocka_unit_test(test_refuses_small_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
