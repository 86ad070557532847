/* Sturdy references under the house's own cryptography. */
#include "test/lib/test.h"
#include "base/prng.h"
#include "crypto/hash.h"
#include "service/sturdy.h"

static struct ww_prng prng;
static unsigned restored, changed;

static void env_random(struct ww_env *env, void *out, size_t len)
{
    WW_UNUSED(env);
    ww_prng_fill(&prng, out, len);
}

static ww_err restore(struct ww_sturdy *self, struct ww_bytes object, struct ww_cap **ret_cap)
{
    WW_UNUSED(self);
    assert_true(ww_bytes_eq(object, WW_BYTES_LIT("door")));
    restored++;
    *ret_cap = NULL;
    return 0;
}

static void note(struct ww_sturdy *self)
{
    WW_UNUSED(self);
    changed++;
}

static void sealed(void **state)
{
    WW_UNUSED(state);
    static const struct ww_env_ops env_ops = {.random = env_random};
    static const struct ww_sturdy_ops ops = {restore, note};
    struct ww_env env = {.ops = &env_ops};
    uint8_t key[WW_STURDY_KEY_BYTES] = {1, 2, 3}, ref[WW_PERSIST_REF_BYTES], stored[256], mac[32];
    struct ww_sturdy host;
    struct ww_persist *table;
    struct ww_cap *cap;
    struct ww_bytes alice = WW_BYTES_LIT("alice");
    ww_prng_init(&prng, 5);
    assert_ok(ww_sturdy_new(&host, &ops, &env, key, &table));
    assert_ok(ww_persist_save(table, WW_BYTES_LIT("door"), alice, 0, ref));
    assert_int_equal(changed, 1);
    uint8_t text[17 + 5]; /* what the tag is over: version, id, owner */
    memcpy(text, ref, 17);
    memcpy(text + 17, "alice", 5);
    ww_hmac_sha256(ww_bytes(key, sizeof key), ww_bytes(text, sizeof text), mac);
    assert_memory_equal(ref + 17, mac, sizeof mac);
    size_t len = ww_persist_bytes(table);
    assert_true(len <= sizeof stored);
    ww_persist_write(table, stored);
    ww_persist_free(table);
    assert_ok(ww_sturdy_new(&host, &ops, &env, key, &table)); /* a restart */
    assert_ok(ww_persist_load(table, ww_bytes(stored, len), NULL));
    assert_ok(ww_persist_restore(table, ww_bytes(ref, sizeof ref), alice, 1, &cap));
    assert_int_equal(restored, 1);
    ref[48] ^= 1;
    assert_int_equal(ww_persist_restore(table, ww_bytes(ref, sizeof ref), alice, 1, &cap), WW_ENOTFOUND);
    ww_persist_free(table);
    key[0] ^= 1;
    assert_ok(ww_sturdy_new(&host, &ops, &env, key, &table));
    assert_int_equal(ww_persist_load(table, ww_bytes(stored, len), NULL), WW_ECRYPTO);
    ww_persist_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sealed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
