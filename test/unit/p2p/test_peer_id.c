#include "test/lib/vectors.h"

#include "p2p/cid.h"
#include "p2p/peer_id.h"

static void check_vector(const struct vector *v)
{
    struct ww_peer_id id, from_cid, again;
    char text[WW_PEER_ID_TEXT_MAX];
    assert_int_equal(v->count, 3);
    assert_ok(ww_peer_id_parse(ww_bytes_str(v->field[0]), &id));
    assert_ok(ww_peer_id_parse(ww_bytes_str(v->field[1]), &from_cid));
    assert_true(ww_peer_id_eq(&id, &from_cid));
    assert_int_equal(ww_peer_id_cmp(&id, &from_cid), 0);
    assert_string_equal(ww_peer_id_format(&id, text), v->field[0]);
    if (v->field[2][0] != '-') {
        struct ww_bytes want = hex(v->field[2]);
        assert_bytes(ww_peer_id_view(&id), want.ptr, want.len);
    }
    assert_ok(ww_peer_id_decode(ww_peer_id_view(&id), &again));
    assert_memory_equal(&id, &again, sizeof id);
}

static void test_vectors(void **state)
{
    WW_UNUSED(state);
    assert_int_equal(vectors_each(LIBP2P_VECTORS, "peerid", check_vector), 3);
}

static void check_id_of_key(const char *name, const char *want, bool inlined)
{
    struct ww_pubkey key, inside;
    struct ww_peer_id id;
    char text[WW_PEER_ID_TEXT_MAX];
    assert_ok(ww_pubkey_decode(vector_hex(LIBP2P_VECTORS, "key", name), &key));
    ww_peer_id_from_key(&key, &id);
    if (want)
        assert_string_equal(ww_peer_id_format(&id, text), want);
    assert_true(ww_peer_id_matches(&id, &key));
    if (inlined) {
        assert_ok(ww_peer_id_key(&id, &inside));
        assert_true(ww_pubkey_eq(&inside, &key));
        id.bytes[id.len - 1] ^= 1;
    } else {
        assert_int_equal(ww_peer_id_key(&id, &inside), WW_ENOTFOUND);
        assert_int_equal(id.len, 34);
        id.bytes[33] ^= 1;
    }
    assert_false(ww_peer_id_matches(&id, &key));
}

static void test_ids_of_keys(void **state)
{
    WW_UNUSED(state);
    check_id_of_key("ED25519 public key", "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq", true);
    check_id_of_key("secp256k1 public key", "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY", true);
    check_id_of_key("ECDSA public key", NULL, false);
    check_id_of_key("rsa public key", NULL, false);
}

static void test_refusals(void **state)
{
    static const char *const bad_bytes[] = {
        "",
        "00",
        "0000",                                                                             /* no key */
        "12200000",                                                                         /* truncated */
        "1219aabbccddeeff00112233445566778899aabbccddeeff001122",                           /* short digest */
        "1114aabbccddeeff00112233445566778899aabbccdd",                                     /* sha1 */
        "00240801122000000000000000000000000000000000000000000000000000000000000000000000", /* 2 bytes too
                                                                                               many */
        "0024080112200000000000000000000000000000000000000000000000000000000000000000",     /* small order */
        "0024080112200100000000000000000000000000000000000000000000000000000000000000",     /* small order */
        "002412203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da290801", /* fields swapped */
        "800024080112203b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
    };
    static const char *const bad_text[] = {
        "",
        "Qm",
        "1",
        "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXT",
        "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTNN",
        "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXT0",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", /* a CID, but of dag-pb */
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xq",
        "1111111111111111111111111111111111111111111111111111111111111111111",
        "hello",
    };
    struct ww_peer_id id = {.len = 9};
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(bad_bytes); i++)
        assert_true(ww_peer_id_decode(hex(bad_bytes[i]), &id) < 0);
    for (size_t i = 0; i < WW_COUNT_OF(bad_text); i++)
        assert_true(ww_peer_id_parse(ww_bytes_str(bad_text[i]), &id) < 0);
    assert_int_equal(id.len, 9);
}

static void test_cids(void **state)
{
    static const struct {
        const char *text;
        int version;
        uint64_t codec;
    } cases[] = {
        {"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", 0, WW_CODEC_DAG_PB},
        {"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", 1, WW_CODEC_DAG_PB},
        {"bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", 1, WW_CODEC_LIBP2P_KEY},
    };
    struct ww_cid cid, again;
    char text[WW_CID_TEXT_MAX];
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        assert_ok(ww_cid_parse(ww_bytes_str(cases[i].text), &cid));
        assert_int_equal(cid.version, cases[i].version);
        assert_int_equal(cid.codec, cases[i].codec);
        assert_ok(ww_cid_format(&cid, text, sizeof text));
        assert_string_equal(text, cases[i].text);
        assert_ok(ww_cid_decode(ww_cid_view(&cid), &again));
        assert_true(ww_bytes_eq(ww_cid_view(&cid), ww_cid_view(&again)));
        assert_int_equal(ww_cid_format(&cid, text, strlen(cases[i].text)), WW_ELIMIT);
    }
    /* version 1 over the hash of a version 0 */
    assert_ok(ww_cid_parse(ww_bytes_str(cases[0].text), &cid));
    assert_ok(ww_cid_make(WW_CODEC_LIBP2P_KEY, ww_cid_hash(&cid), &again));
    assert_ok(ww_cid_format(&again, text, sizeof text));
    assert_string_equal(text, cases[2].text);
    assert_int_equal(ww_cid_decode(hex("0255122000"), &cid), WW_EPROTO); /* version 2 */
    assert_int_equal(ww_cid_decode(hex("0155"), &cid), WW_ETRUNC);
    assert_int_equal(ww_cid_decode(hex("01550001aabb"), &cid), WW_EPROTO); /* bytes after it */
    assert_int_equal(ww_cid_make(WW_CODEC_RAW, hex("1202aabb"), &cid), WW_EPROTO);
    /* version 0 has no multibase form */
    assert_true(ww_cid_parse(ww_bytes_str("zQmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), &cid) < 0);
    assert_int_equal(ww_cid_parse(ww_bytes_str(""), &cid), WW_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_ids_of_keys),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
