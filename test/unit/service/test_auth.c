#include "test/lib/test.h"

#include "service/auth.h"

static void make_key(uint8_t n, struct ww_keypair *key, struct ww_peer_id *id)
{
    uint8_t seed[32];
    memset(seed, n, sizeof seed);
    ww_keypair_from_seed(key, seed);
    ww_peer_id_from_key(&key->pub, id);
}

static void proofs_hold_for_one_challenge(void **state)
{
    WW_UNUSED(state);
    struct ww_keypair key;
    struct ww_peer_id id, account;
    uint8_t challenge[16] = {1, 2, 3};
    struct ww_buf proof;
    make_key(7, &key, &id);
    ww_buf_init(&proof, WW_AUTH_PROOF_MAX);
    assert_ok(ww_auth_prove(&key, challenge, &proof));
    assert_ok(ww_auth_check(ww_buf_view(&proof), challenge, &account));
    assert_true(ww_peer_id_eq(&id, &account));
    challenge[0] ^= 1;
    assert_int_equal(ww_auth_check(ww_buf_view(&proof), challenge, &account), WW_ECRYPTO);
    challenge[0] ^= 1;
    for (size_t i = 0; i < ww_buf_len(&proof); i++) {
        ww_buf_data(&proof)[i] ^= 0x40;
        assert_true(ww_auth_check(ww_buf_view(&proof), challenge, &account) < 0);
        ww_buf_data(&proof)[i] ^= 0x40;
        assert_true(ww_auth_check(ww_bytes(ww_buf_data(&proof), i), challenge, &account) < 0);
    }
    ww_buf_fini(&proof);
    ww_keypair_fini(&key);
}

static void challenges_are_bound_to_both_ends(void **state)
{
    WW_UNUSED(state);
    struct ww_keypair keys[3];
    struct ww_peer_id ids[3];
    uint8_t salt[32] = {9}, a[16], b[16];
    for (uint8_t i = 0; i < 3; i++)
        make_key(i, &keys[i], &ids[i]);
    ww_auth_challenge(salt, &ids[0], &ids[1], a);
    ww_auth_challenge(salt, &ids[0], &ids[1], b);
    assert_memory_equal(a, b, 16);
    ww_auth_challenge(salt, &ids[2], &ids[1], b);
    assert_memory_not_equal(a, b, 16);
    ww_auth_challenge(salt, &ids[0], &ids[2], b);
    assert_memory_not_equal(a, b, 16);
    ww_auth_challenge(salt, &ids[1], &ids[0], b);
    assert_memory_not_equal(a, b, 16);
    salt[31] = 1;
    ww_auth_challenge(salt, &ids[0], &ids[1], b);
    assert_memory_not_equal(a, b, 16);
    for (uint8_t i = 0; i < 3; i++)
        ww_keypair_fini(&keys[i]);
}

static void lists_allow_those_on_them(void **state)
{
    WW_UNUSED(state);
    struct ww_auth_list list;
    struct ww_keypair key;
    struct ww_peer_id listed, other;
    struct ww_diag diag;
    char text[256], id[WW_PEER_ID_TEXT_MAX];
    make_key(1, &key, &listed);
    ww_keypair_fini(&key);
    make_key(2, &key, &other);
    ww_keypair_fini(&key);
    snprintf(text, sizeof text, "# friends\r\n\n  %s  # me\n", ww_peer_id_format(&listed, id));
    assert_ok(ww_auth_list_parse(&list, ww_bytes_str(text), &diag));
    assert_int_equal(list.count, 1);
    assert_true(list.policy.allows(&list.policy, &listed));
    assert_false(list.policy.allows(&list.policy, &other));
    assert_true(ww_auth_allow_all.allows(&ww_auth_allow_all, &other));
    ww_auth_list_fini(&list);
    assert_int_equal(ww_auth_list_parse(&list, WW_BYTES_LIT("\n\nnonsense\n"), &diag), WW_EINVAL);
    assert_non_null(strstr(diag.text, "line 3"));
    assert_ok(ww_auth_list_parse(&list, WW_BYTES_LIT(""), &diag));
    assert_false(list.policy.allows(&list.policy, &listed));
    ww_auth_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proofs_hold_for_one_challenge),
        cmocka_unit_test(challenges_are_bound_to_both_ends),
        cmocka_unit_test(lists_allow_those_on_them),
    };
    return cmocka_run_group_tests_name("service/auth", tests, NULL, NULL);
}
