#include "test/lib/vectors.h"

#include "crypto/keys.h"

static const char *const types[] = {"ED25519", "secp256k1", "ECDSA", "rsa"};

static struct ww_bytes vector_key(const char *type, const char *half)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s key", type, half);
    return vector_hex(LIBP2P_VECTORS, "key", name);
}

static void load(const char *type, struct ww_keypair *pair)
{
    assert_ok(ww_keypair_decode(vector_key(type, "private"), pair));
}

static void test_vectors_round_trip(void **state)
{
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(types); i++) {
        struct ww_bytes want_priv = vector_key(types[i], "private"),
                        want_pub = vector_key(types[i], "public");
        uint8_t encoded[WW_PUBKEY_ENCODED_MAX];
        struct ww_keypair pair;
        struct ww_pubkey pub;
        struct ww_buf out;
        load(types[i], &pair);
        assert_int_equal(ww_pubkey_encode(&pair.pub, encoded), want_pub.len);
        assert_int_equal(ww_pubkey_encoded_size(&pair.pub), want_pub.len);
        assert_memory_equal(encoded, want_pub.ptr, want_pub.len);
        assert_ok(ww_pubkey_decode(want_pub, &pub));
        assert_true(ww_pubkey_eq(&pub, &pair.pub));
        ww_buf_init(&out, 8192);
        assert_ok(ww_keypair_encode(&pair, &out));
        assert_bytes(ww_buf_view(&out), want_priv.ptr, want_priv.len);
        ww_buf_fini(&out);
        ww_keypair_fini(&pair);
    }
}

static void test_sign_verify(void **state)
{
    struct ww_bytes msg = WW_BYTES_LIT("the quick brown fox");
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(types); i++) {
        struct ww_keypair pair;
        struct ww_signature sig;
        load(types[i], &pair);
        assert_ok(ww_keypair_sign(&pair, msg, &sig));
        assert_ok(ww_pubkey_verify(&pair.pub, msg, ww_signature_view(&sig)));
        assert_int_equal(
            ww_pubkey_verify(&pair.pub, WW_BYTES_LIT("the quick brown fix"), ww_signature_view(&sig)),
            WW_ECRYPTO);
        assert_int_equal(ww_pubkey_verify(&pair.pub, msg, ww_bytes(NULL, 0)), WW_ECRYPTO);
        assert_int_equal(ww_pubkey_verify(&pair.pub, msg, ww_bytes(sig.bytes, sig.len - 1u)), WW_ECRYPTO);
        for (size_t bit = 0; bit < sig.len * 8u; bit += 13) {
            sig.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(ww_pubkey_verify(&pair.pub, msg, ww_signature_view(&sig)), WW_ECRYPTO);
            sig.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        ww_keypair_fini(&pair);
    }
}

/* One key, another type's signature: never a match, never a crash. */
static void test_types_do_not_mix(void **state)
{
    struct ww_bytes msg = WW_BYTES_LIT("m");
    struct ww_keypair pairs[WW_COUNT_OF(types)];
    struct ww_signature sig;
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(types); i++)
        load(types[i], &pairs[i]);
    for (size_t i = 0; i < WW_COUNT_OF(types); i++) {
        assert_ok(ww_keypair_sign(&pairs[i], msg, &sig));
        for (size_t j = 0; j < WW_COUNT_OF(types); j++) {
            ww_err want = i == j ? WW_OK : WW_ECRYPTO;
            assert_int_equal(ww_pubkey_verify(&pairs[j].pub, msg, ww_signature_view(&sig)), want);
        }
    }
    for (size_t i = 0; i < WW_COUNT_OF(types); i++)
        ww_keypair_fini(&pairs[i]);
}

static void test_zero_seed(void **state)
{
    uint8_t seed[32] = {0}, encoded[WW_PUBKEY_ENCODED_MAX];
    struct ww_bytes want = vector_hex(LIBP2P_VECTORS, "js", "pub");
    struct ww_keypair pair;
    WW_UNUSED(state);
    ww_keypair_from_seed(&pair, seed);
    assert_int_equal(ww_pubkey_encode(&pair.pub, encoded), want.len);
    assert_memory_equal(encoded, want.ptr, want.len);
    ww_keypair_fini(&pair);
}

/* RFC 8032, section 7.1, test 2. */
static void test_rfc8032(void **state)
{
    struct ww_keypair pair;
    struct ww_signature sig;
    WW_UNUSED(state);
    ww_keypair_from_seed(&pair, hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").ptr);
    assert_memory_equal(
        pair.pub.data, hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").ptr, 32);
    assert_ok(ww_keypair_sign(&pair, WW_BYTES_LIT("\x72"), &sig));
    assert_bytes(ww_signature_view(&sig),
        hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
            .ptr,
        64);
    ww_keypair_fini(&pair);
}

static void refuse_public(struct ww_bytes in, ww_err want)
{
    struct ww_pubkey key = {.len = 7};
    assert_int_equal(ww_pubkey_decode(in, &key), want);
    assert_int_equal(key.len, 7);
}

static void test_malformed_messages(void **state)
{
    static const char good[] = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
    struct ww_pubkey key;
    WW_UNUSED(state);
    assert_ok(ww_pubkey_decode(hex(good), &key));
    for (size_t len = 0; len < hex(good).len; len++)
        refuse_public(ww_bytes(hex(good).ptr, len), WW_ETRUNC);
    /* trailing byte, other order, padded number, wrong tag, type 4, long and short data, a repeated field */
    refuse_public(
        hex("080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e00"), WW_EPROTO);
    refuse_public(hex("12201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e0801"), WW_EPROTO);
    refuse_public(hex("08011220"
                      "1ed1e8"),
        WW_ETRUNC);
    refuse_public(hex("0881001220"
                      "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"),
        WW_EPROTO);
    refuse_public(hex("080112a000"
                      "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"),
        WW_EPROTO);
    refuse_public(
        hex("080112211ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e00"), WW_EPROTO);
    refuse_public(hex("0801121f1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce2"), WW_EPROTO);
    refuse_public(
        hex("080412201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"), WW_EUNSUPPORTED);
    refuse_public(
        hex("0801080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"), WW_EPROTO);
}

/* Anyone can sign for these. Both signs of x, and the encodings with y + p. */
static void test_refuses_weak_ed25519(void **state)
{
    static const char *const weak[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    static const char *const padded[] = {
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct ww_pubkey key;
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(weak) + WW_COUNT_OF(padded); i++) {
        bool is_weak = i < WW_COUNT_OF(weak);
        uint8_t data[32];
        memcpy(data, hex(is_weak ? weak[i] : padded[i - WW_COUNT_OF(weak)]).ptr, 32);
        for (int sign = 0; sign < 2; sign++) {
            assert_int_equal(ww_pubkey_from_data(WW_KEY_ED25519, ww_bytes(data, 32), &key),
                is_weak ? WW_ECRYPTO : WW_EPROTO);
            data[31] ^= 0x80;
        }
    }
}

/* S + L signs the same equation: the second form must not pass. */
static void test_refuses_malleable_ed25519(void **state)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2,
        0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct ww_bytes msg = WW_BYTES_LIT("malleable");
    struct ww_keypair pair;
    struct ww_signature sig;
    uint8_t seed[32] = {5};
    unsigned carry = 0;
    WW_UNUSED(state);
    ww_keypair_from_seed(&pair, seed);
    assert_ok(ww_keypair_sign(&pair, msg, &sig));
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)sig.bytes[32 + i] + order[i];
        sig.bytes[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_int_equal(ww_pubkey_verify(&pair.pub, msg, ww_signature_view(&sig)), WW_ECRYPTO);
    ww_keypair_fini(&pair);
}

static void test_secp256k1_points(void **state)
{
    struct ww_pubkey key;
    WW_UNUSED(state);
    /* a point off the curve, the uncompressed tag, x beyond the field */
    assert_int_equal(ww_pubkey_from_data(WW_KEY_SECP256K1,
                         hex("020000000000000000000000000000000000000000000000000000000000000005"), &key),
        WW_EPROTO);
    assert_int_equal(ww_pubkey_from_data(WW_KEY_SECP256K1,
                         hex("04037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca"), &key),
        WW_EPROTO);
    assert_int_equal(ww_pubkey_from_data(WW_KEY_SECP256K1,
                         hex("02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"), &key),
        WW_EPROTO);
}

/* The signature with n - s in place of s is as good; ours is always the low one. */
static void test_secp256k1_high_s(void **state)
{
    static const char order[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    struct ww_bytes msg = WW_BYTES_LIT("normalise me");
    struct ww_keypair pair;
    struct ww_signature sig;
    uint8_t high[80], s[33] = {0};
    WW_UNUSED(state);
    load("secp256k1", &pair);
    assert_ok(ww_keypair_sign(&pair, msg, &sig));
    size_t r_len = sig.bytes[3], s_len = sig.bytes[5 + r_len];
    assert_true(s_len <= 32); /* low */
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int at = i - (32 - (int)s_len);
        int v = hex(order).ptr[i] - borrow - (at >= 0 ? sig.bytes[6 + r_len + (size_t)at] : 0);
        borrow = v < 0;
        s[i + 1] = (uint8_t)v;
    }
    assert_true(s[1] & 0x80);
    memcpy(high, sig.bytes, 4 + r_len);
    high[1] = (uint8_t)(2 + r_len + 2 + 33);
    high[4 + r_len] = 2;
    high[5 + r_len] = 33;
    memcpy(high + 6 + r_len, s, 33);
    assert_ok(ww_pubkey_verify(&pair.pub, msg, ww_bytes(high, 6 + r_len + 33)));
    ww_keypair_fini(&pair);
}

static void test_ecdsa_refusals(void **state)
{
    struct ww_bytes good = vector_key("ECDSA", "public");
    uint8_t bad[128];
    WW_UNUSED(state);
    memcpy(bad, good.ptr, good.len);
    bad[good.len - 1] ^= 1; /* off the curve */
    refuse_public(ww_bytes(bad, good.len), WW_EPROTO);
    memcpy(bad, good.ptr, good.len);
    bad[3 + 1 + 22] = 0x08; /* another curve's number */
    refuse_public(ww_bytes(bad, good.len), WW_EPROTO);
    /* RSA data under the ECDSA type and the other way round */
    memcpy(bad, good.ptr, good.len);
    bad[1] = WW_KEY_RSA;
    refuse_public(ww_bytes(bad, good.len), WW_EPROTO);
}

/* SubjectPublicKeyInfo with a modulus of `bits` ones. */
static size_t make_rsa(uint8_t *out, size_t bits, uint32_t exponent)
{
    size_t n = bits / 8, at = 0;
    uint8_t head[] = {0x30, 0x82, 0, 0, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0, 0, 0x00, 0x30, 0x82, 0, 0, 0x02, 0x82, 0, 0, 0x00};
    memcpy(out, head, sizeof head);
    at = sizeof head;
    memset(out + at, 0xff, n);
    at += n;
    uint8_t tail[] = {0x02, 0x04, (uint8_t)(exponent >> 24), (uint8_t)(exponent >> 16),
        (uint8_t)(exponent >> 8), (uint8_t)exponent};
    memcpy(out + at, tail, sizeof tail);
    at += sizeof tail;
    ww_be16_store(out + 2, (uint16_t)(at - 4));
    ww_be16_store(out + 21, (uint16_t)(at - 23));
    ww_be16_store(out + 26, (uint16_t)(at - 28));
    ww_be16_store(out + 30, (uint16_t)(n + 1));
    return at;
}

static void test_rsa_sizes(void **state)
{
    static const struct {
        size_t bits;
        uint32_t exponent;
        ww_err want;
    } cases[] = {
        {2048, 0x01000001, WW_OK}, {8192, 0x01000001, WW_OK}, {1024, 0x01000001, WW_EPROTO},
        {2040, 0x01000001, WW_EPROTO}, {8200, 0x01000001, WW_EPROTO}, {16384, 0x01000001, WW_ELIMIT},
        {2048, 0x01000000, WW_EPROTO}, /* even exponent */
        {2048, 0x00000003, WW_EPROTO}, /* padded number */
    };
    static uint8_t der[4096];
    struct ww_pubkey key;
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        size_t len = make_rsa(der, cases[i].bits, cases[i].exponent);
        assert_int_equal(ww_pubkey_from_data(WW_KEY_RSA, ww_bytes(der, len), &key), cases[i].want);
    }
    /* bytes after the structure */
    size_t len = make_rsa(der, 2048, 0x01000001);
    der[len] = 0;
    assert_int_equal(ww_pubkey_from_data(WW_KEY_RSA, ww_bytes(der, len + 1), &key), WW_EPROTO);
}

static void test_private_refusals(void **state)
{
    struct ww_bytes good = vector_key("ED25519", "private");
    uint8_t bad[128];
    struct ww_keypair pair;
    WW_UNUSED(state);
    memcpy(bad, good.ptr, good.len);
    bad[good.len - 1] ^= 1; /* the halves do not belong together */
    assert_int_equal(ww_keypair_decode(ww_bytes(bad, good.len), &pair), WW_ECRYPTO);
    /* the old form repeats the public key */
    memcpy(bad, good.ptr, good.len);
    memcpy(bad + good.len, good.ptr + good.len - 32, 32);
    bad[3] = 96;
    assert_ok(ww_keypair_decode(ww_bytes(bad, good.len + 32), &pair));
    ww_keypair_fini(&pair);
    bad[good.len + 31] ^= 1;
    assert_int_equal(ww_keypair_decode(ww_bytes(bad, good.len + 32), &pair), WW_ECRYPTO);
    assert_int_equal(
        ww_keypair_decode(
            hex("080212200000000000000000000000000000000000000000000000000000000000000000"), &pair),
        WW_ECRYPTO);
    assert_int_equal(ww_keypair_decode(hex("080212020102"), &pair), WW_EPROTO);
    assert_int_equal(ww_keypair_decode(hex("080012020102"), &pair), WW_EPROTO);
    assert_int_equal(ww_keypair_decode(hex("080312020102"), &pair), WW_EPROTO);
    assert_int_equal(ww_keypair_decode(hex("0801"), &pair), WW_ETRUNC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_round_trip),
        cmocka_unit_test(test_sign_verify),
        cmocka_unit_test(test_types_do_not_mix),
        cmocka_unit_test(test_zero_seed),
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_malformed_messages),
        cmocka_unit_test(test_refuses_weak_ed25519),
        cmocka_unit_test(test_refuses_malleable_ed25519),
        cmocka_unit_test(test_secp256k1_points),
        cmocka_unit_test(test_secp256k1_high_s),
        cmocka_unit_test(test_ecdsa_refusals),
        cmocka_unit_test(test_rsa_sizes),
        cmocka_unit_test(test_private_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
