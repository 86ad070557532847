#include "test/lib/test.h"

#include "crypto/x25519.h"

/* RFC 7748, section 6.1. */
static const char alice_secret[] = "77076d0a7318a57d3c16c17251b26645df3f4a79bc59f1ce3c30b0f1b2b4ae2a";

static void test_rfc7748(void **state)
{
    uint8_t a[32], b[32], ka[32], kb[32], pa[32], pb[32];
    WW_UNUSED(state);
    memcpy(a, hex(alice_secret).ptr, 32);
    memcpy(b, hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb").ptr, 32);
    ww_x25519_public(a, pa);
    ww_x25519_public(b, pb);
    assert_memory_equal(pa, hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a").ptr, 32);
    assert_memory_equal(pb, hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f").ptr, 32);
    assert_ok(ww_x25519(a, pb, ka));
    assert_ok(ww_x25519(b, pa, kb));
    assert_memory_equal(ka, kb, 32);
    assert_memory_equal(ka, hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742").ptr, 32);
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
    memcpy(a, hex(alice_secret).ptr, 32);
    for (size_t i = 0; i < WW_COUNT_OF(points); i++) {
        memset(out, 0xaa, sizeof out);
        assert_int_equal(ww_x25519(a, hex(points[i]).ptr, out), WW_ECRYPTO);
        assert_int_equal(out[0], 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7748),
        cmocka_unit_test(test_refuses_small_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
