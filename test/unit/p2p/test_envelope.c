#include "test/lib/alloc_fail.h"
#include "test/lib/vectors.h"

#include "p2p/multiaddr.h"
#include "p2p/peer_record.h"

#define GO_NODE "test/vectors/go-node/"

static struct ww_keypair zero_key(void)
{
    struct ww_keypair pair;
    uint8_t seed[32] = {0};
    ww_keypair_from_seed(&pair, seed);
    return pair;
}

static struct ww_bytes file_hex(const char *name)
{
    static uint8_t out[4096];
    char path[128];
    snprintf(path, sizeof path, GO_NODE "%s.hex", name);
    char *text = vector_file(path);
    size_t digits = strspn(text, "0123456789abcdef");
    assert_true(digits > 0 && digits / 2 <= sizeof out);
    assert_ok(ww_hex_decode(ww_bytes(text, digits), out, digits / 2));
    free(text);
    return ww_bytes(out, digits / 2);
}

/* What Go nodes sent: Ed25519 on the wire, ECDSA in the Go repository's own test data. */
static void test_boot_packets(void **state)
{
    static const struct {
        const char *file, *signer;
        enum ww_key_type type;
    } cases[] = {
        {"boot-mcast-00", "12D3KooWQC48V2XSKwDUh5nGWM7sXCt1AXUPQdYjT6d3WLzbu37o", WW_KEY_ED25519},
        {"boot-mcast-01", "12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ", WW_KEY_ED25519},
        {"boot-mcast-02", "12D3KooWAKjheAfYCkrrq6FzkywtVzvaeSgYv8RQf6dMpRvrPwfj", WW_KEY_ED25519},
        {"boot-mcast-03", "12D3KooWGyAwk1J8ivassXwMHRz8PKeZRNc732Rf8B69Cu8wjVaM", WW_KEY_ED25519},
        {"boot-mcast-04", "12D3KooWA2qLFkyxZdSNxqNkHtL1vojm5SstXa8KeUz135vpNaaj", WW_KEY_ED25519},
        {"boot-mcast-05", "12D3KooWEca3sXDHjDzvbS7oc47KEuTCMHmktwpFFgyFU343WFgJ", WW_KEY_ED25519},
        {"boot-mcast-06", "12D3KooWAKjheAfYCkrrq6FzkywtVzvaeSgYv8RQf6dMpRvrPwfj", WW_KEY_ED25519},
        {"boot-crawl-request", "12D3KooWJSCf1APzxCoFQwdXwJAAnVHG5VFKVKZZ6y3FhpDMm2Qe", WW_KEY_ED25519},
        {"boot-crawl-response", "12D3KooWJcm4Xn4yZfaLnbWTZKU3tHNLqz1KcfqxxoXTrRXmiKLo", WW_KEY_ED25519},
        {"upstream-boot-request", NULL, WW_KEY_ECDSA},
        {"upstream-boot-response", NULL, WW_KEY_ECDSA},
    };
    struct ww_bytes domain = WW_BYTES_LIT("casm-boot-record");
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_bytes packet = file_hex(cases[i].file);
        struct ww_envelope env;
        struct ww_peer_id signer;
        char text[WW_PEER_ID_TEXT_MAX];
        assert_ok(ww_envelope_open(packet, domain, &env));
        assert_int_equal(env.key.type, cases[i].type);
        assert_bytes(env.payload_type, "\x1f\x00", 2);
        ww_peer_id_from_key(&env.key, &signer);
        if (cases[i].signer)
            assert_string_equal(ww_peer_id_format(&signer, text), cases[i].signer);
        else
            assert_bytes(ww_peer_id_view(&signer),
                hex("1220e902b6d87fff91a8149eecb7567cc8172e531510f07bbcb2cad3736a104a5cb5").ptr, 34);
        assert_int_equal(ww_envelope_open(packet, WW_BYTES_LIT("casm-boot-recorD"), &env), WW_ECRYPTO);
    }
}

static void test_golden_peer_record(void **state)
{
    struct ww_bytes want = vector_hex(LIBP2P_VECTORS, "js", "envelope");
    struct ww_bytes addr = hex("047f000001060fa1"), got, rest;
    struct ww_keypair pair = zero_key();
    struct ww_peer_record record;
    struct ww_buf out;
    char text[WW_PEER_ID_TEXT_MAX];
    WW_UNUSED(state);
    ww_buf_init(&out, 1024);
    assert_ok(ww_peer_record_seal(&pair, 1, &addr, 1, &out));
    assert_bytes(ww_buf_view(&out), want.ptr, want.len);
    assert_ok(ww_peer_record_open(want, &record));
    assert_int_equal(record.seq, 1);
    assert_int_equal(record.addr_count, 1);
    assert_string_equal(
        ww_peer_id_format(&record.peer, text), "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN");
    rest = record.payload;
    assert_true(ww_peer_record_next(&rest, &got));
    assert_true(ww_bytes_eq(got, addr));
    assert_false(ww_peer_record_next(&rest, &got));
    ww_buf_fini(&out);
}

/* Every bit matters, and every cut. */
static void test_refuses_changes(void **state)
{
    struct ww_bytes good = vector_hex(LIBP2P_VECTORS, "js", "envelope");
    struct ww_peer_record record = {.seq = 77};
    uint8_t bad[512];
    WW_UNUSED(state);
    for (size_t bit = 0; bit < good.len * 8; bit++) {
        memcpy(bad, good.ptr, good.len);
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(ww_peer_record_open(ww_bytes(bad, good.len), &record) < 0);
    }
    for (size_t len = 0; len < good.len; len++)
        assert_true(ww_peer_record_open(ww_bytes(good.ptr, len), &record) < 0);
    assert_int_equal(record.seq, 77);
}

static ww_err open_sealed(const struct ww_keypair *pair, struct ww_bytes type, const char *payload)
{
    struct ww_peer_record record;
    struct ww_buf out;
    ww_buf_init(&out, WW_ENVELOPE_MAX_BYTES);
    assert_ok(ww_envelope_seal(pair, WW_BYTES_LIT("libp2p-peer-record"), type, hex(payload), &out));
    ww_err err = ww_peer_record_open(ww_buf_view(&out), &record);
    ww_buf_fini(&out);
    return err;
}

/* Well signed, and still wrong. */
static void test_refuses_signed_nonsense(void **state)
{
    static const char peer[] =
        "0a260024080112203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    struct ww_bytes type = WW_BYTES_LIT("\x03\x01");
    struct ww_keypair zero = zero_key(), other;
    uint8_t seed[32] = {1};
    char text[256];
    WW_UNUSED(state);
    ww_keypair_from_seed(&other, seed);
    assert_ok(open_sealed(&zero, type, peer));
    assert_int_equal(open_sealed(&other, type, peer), WW_EPEERID);
    assert_int_equal(open_sealed(&zero, WW_BYTES_LIT("\x03\x02"), peer), WW_EPROTO);
    assert_int_equal(open_sealed(&zero, type, ""), WW_ETRUNC);
    snprintf(text, sizeof text, "%s1a040a020601", peer); /* half an address */
    assert_int_equal(open_sealed(&zero, type, text), WW_ETRUNC);
    snprintf(text, sizeof text, "%s1a00", peer); /* no address */
    assert_int_equal(open_sealed(&zero, type, text), WW_ETRUNC);
    snprintf(text, sizeof text,
        "%s1001"
        "0a0100",
        peer); /* a second, bad peer id */
    assert_true(open_sealed(&zero, type, text) < 0);
    snprintf(text, sizeof text, "%s120101", peer); /* seq of another wire type */
    assert_int_equal(open_sealed(&zero, type, text), WW_EPROTO);
}

static void test_limits(void **state)
{
    struct ww_bytes addrs[WW_PEER_RECORD_ADDRS_MAX + 1];
    struct ww_keypair pair = zero_key();
    struct ww_peer_record record;
    struct ww_buf out;
    uint8_t big[WW_ENVELOPE_MAX_BYTES + 1] = {0};
    WW_UNUSED(state);
    ww_buf_init(&out, 2 * WW_ENVELOPE_MAX_BYTES);
    for (size_t i = 0; i < WW_COUNT_OF(addrs); i++)
        addrs[i] = WW_BYTES_LIT("\x04\x7f\0\0\1");
    assert_ok(ww_peer_record_seal(&pair, UINT64_MAX, addrs, WW_PEER_RECORD_ADDRS_MAX, &out));
    assert_ok(ww_peer_record_open(ww_buf_view(&out), &record));
    assert_int_equal(record.addr_count, WW_PEER_RECORD_ADDRS_MAX);
    assert_true(record.seq == UINT64_MAX);
    ww_buf_clear(&out);
    assert_int_equal(ww_peer_record_seal(&pair, 1, addrs, WW_COUNT_OF(addrs), &out), WW_ELIMIT);
    assert_int_equal(
        ww_envelope_seal(&pair, WW_BYTES_LIT("d"), WW_BYTES_LIT("t"), ww_bytes(big, 8150), &out), WW_ELIMIT);
    assert_int_equal(
        ww_envelope_seal(&pair, ww_bytes(big, 300), WW_BYTES_LIT("t"), ww_bytes(big, 1), &out), WW_ELIMIT);
    assert_int_equal(ww_buf_len(&out), 0);
    struct ww_envelope env;
    assert_int_equal(ww_envelope_open(ww_bytes(big, sizeof big), WW_BYTES_LIT("d"), &env), WW_ELIMIT);
    ww_buf_fini(&out);
}

/* Every key type can seal. */
static void test_key_types(void **state)
{
    static const char *const names[] = {
        "ED25519 private key", "secp256k1 private key", "ECDSA private key", "rsa private key"};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(names); i++) {
        struct ww_keypair pair;
        struct ww_envelope env;
        struct ww_buf out;
        ww_buf_init(&out, WW_ENVELOPE_MAX_BYTES);
        assert_ok(ww_keypair_decode(vector_hex(LIBP2P_VECTORS, "key", names[i]), &pair));
        assert_ok(
            ww_envelope_seal(&pair, WW_BYTES_LIT("d"), WW_BYTES_LIT("t"), WW_BYTES_LIT("payload"), &out));
        assert_ok(ww_envelope_open(ww_buf_view(&out), WW_BYTES_LIT("d"), &env));
        assert_bytes(env.payload, "payload", 7);
        assert_true(ww_pubkey_eq(&env.key, &pair.pub));
        assert_int_equal(ww_envelope_open(ww_buf_view(&out), WW_BYTES_LIT("e"), &env), WW_ECRYPTO);
        ww_buf_fini(&out);
        ww_keypair_fini(&pair);
    }
}

static ww_err seal_and_open(void *ctx)
{
    const struct ww_keypair *pair = ctx;
    struct ww_bytes addr = WW_BYTES_LIT("\x04\x7f\0\0\1");
    struct ww_peer_record record;
    struct ww_buf out;
    ww_buf_init(&out, WW_ENVELOPE_MAX_BYTES);
    ww_err err = ww_peer_record_seal(pair, 1, &addr, 1, &out);
    if (err < 0)
        assert_int_equal(ww_buf_len(&out), 0);
    else
        err = ww_peer_record_open(ww_buf_view(&out), &record);
    ww_buf_fini(&out);
    return err;
}

static void test_out_of_memory(void **state)
{
    struct ww_keypair pair = zero_key();
    WW_UNUSED(state);
    assert_true(alloc_fail_run(seal_and_open, &pair) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_packets),
        cmocka_unit_test(test_golden_peer_record),
        cmocka_unit_test(test_refuses_changes),
        cmocka_unit_test(test_refuses_signed_nonsense),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_key_types),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
