#include "test/lib/test.h"

#include "crypto/aead.h"

static const uint8_t key[WW_AEAD_KEY_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

/* RFC 8439, appendix A.5, whose nonce begins with zeros as ours do. Through both libraries. */
static void test_rfc8439(void **state)
{
    static const char text[] =
        "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, "
        "or "
        "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
        "material or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
    const uint64_t nonce = UINT64_C(0x0807060504030201);
    struct ww_bytes rfc_key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    struct ww_bytes ad = hex("f33388860000000000004e91");
    struct ww_bytes sealed = hex("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755"
                                 "d43eea09ee94e382d26b0bdb7b7"
                                 "3c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd6"
                                 "0f982b1ff37c8559797a06ef4f0"
                                 "ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b521"
                                 "6cde7a4e99040c5a40433225ee2"
                                 "82a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f5482"
                                 "71a0bb2316053fa76991955ebd6"
                                 "3159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305"
                                 "beaba2eda04df997b714d6c6f2c"
                                 "29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38");
    uint8_t out[300];
    struct ww_aead *a;
    struct ww_bytes piece = ww_bytes(text, sizeof text - 1);
    WW_UNUSED(state);
    assert_int_equal(sealed.len, piece.len + WW_AEAD_TAG_BYTES);
    assert_ok(ww_aead_new(rfc_key.ptr, &a));
    assert_ok(ww_aead_seal(a, nonce, ad, &piece, 1, out));
    assert_memory_equal(out, sealed.ptr, sealed.len);
    ww_aead_seal_once(rfc_key.ptr, nonce, ad, piece, out);
    assert_memory_equal(out, sealed.ptr, sealed.len);
    assert_ok(ww_aead_open(a, nonce, ad, sealed, out));
    assert_memory_equal(out, text, piece.len);
    assert_ok(ww_aead_open_once(rfc_key.ptr, nonce, ad, sealed, out));
    assert_memory_equal(out, text, piece.len);
    ww_aead_free(a);
}

/* Sizes on both sides of the switch between the libraries, in one to five pieces. */
static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 64, 95, 96, 97, 127, 128, 1000, 16384, 16385, 65519, 200000};
    struct ww_aead *a;
    uint8_t *plain = malloc(200000), *sealed = malloc(200016), *once = malloc(200016);
    WW_UNUSED(state);
    assert_ok(ww_aead_new(key, &a));
    for (size_t i = 0; i < 200000; i++)
        plain[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t i = 0; i < WW_COUNT_OF(sizes); i++) {
        size_t len = sizes[i];
        struct ww_bytes ad = ww_bytes(plain, i * 3);
        ww_aead_seal_once(key, i, ad, ww_bytes(plain, len), once);
        for (size_t count = 1; count <= 5; count++) {
            struct ww_bytes pieces[5] = {0};
            size_t at = 0;
            for (size_t p = 0; p < count; p++) {
                size_t n = p + 1 == count ? len - at : (len - at) * (p + 1) / 7;
                pieces[p] = ww_bytes(plain + at, n);
                at += n;
            }
            assert_ok(ww_aead_seal(a, i, ad, pieces, count, sealed));
            assert_memory_equal(sealed, once, len + WW_AEAD_TAG_BYTES);
        }
        assert_ok(ww_aead_open(a, i, ad, ww_bytes(sealed, len + WW_AEAD_TAG_BYTES), sealed));
        assert_memory_equal(sealed, plain, len);
        assert_ok(ww_aead_open_once(key, i, ad, ww_bytes(once, len + WW_AEAD_TAG_BYTES), once));
        assert_memory_equal(once, plain, len);
    }
    ww_aead_free(a);
    free(plain);
    free(sealed);
    free(once);
}

static void test_seals_in_place(void **state)
{
    struct ww_aead *a;
    WW_UNUSED(state);
    assert_ok(ww_aead_new(key, &a));
    for (size_t len = 10; len <= 5000; len += 499) {
        uint8_t want[5016], got[5016];
        memset(want, 3, len);
        memset(got, 3, len);
        ww_aead_seal_once(key, 9, ww_bytes(NULL, 0), ww_bytes(want, len), want);
        struct ww_bytes piece = ww_bytes(got, len);
        assert_ok(ww_aead_seal(a, 9, ww_bytes(NULL, 0), &piece, 1, got));
        assert_memory_equal(want, got, len + WW_AEAD_TAG_BYTES);
        /* a header from elsewhere before a body that is in its place */
        memset(got, 3, len);
        struct ww_bytes pieces[2] = {ww_bytes("\3\3\3\3\3", 5), ww_bytes(got + 5, len - 5)};
        assert_ok(ww_aead_seal(a, 9, ww_bytes(NULL, 0), pieces, 2, got));
        assert_memory_equal(want, got, len + WW_AEAD_TAG_BYTES);
    }
    ww_aead_free(a);
}

static void test_refuses_changes(void **state)
{
    static const size_t sizes[] = {0, 50, 500};
    struct ww_aead *a;
    uint8_t plain[500] = {4}, sealed[516], out[516];
    struct ww_bytes ad = WW_BYTES_LIT("ad");
    WW_UNUSED(state);
    assert_ok(ww_aead_new(key, &a));
    for (size_t i = 0; i < WW_COUNT_OF(sizes); i++) {
        struct ww_bytes piece = ww_bytes(plain, sizes[i]);
        size_t len = sizes[i] + WW_AEAD_TAG_BYTES;
        assert_ok(ww_aead_seal(a, UINT64_MAX - 1, ad, &piece, 1, sealed));
        assert_ok(ww_aead_open(a, UINT64_MAX - 1, ad, ww_bytes(sealed, len), out));
        assert_int_equal(ww_aead_open(a, UINT64_MAX - 2, ad, ww_bytes(sealed, len), out), WW_ECRYPTO);
        assert_int_equal(
            ww_aead_open(a, UINT64_MAX - 1, WW_BYTES_LIT("aD"), ww_bytes(sealed, len), out), WW_ECRYPTO);
        assert_int_equal(ww_aead_open(a, UINT64_MAX - 1, ad, ww_bytes(sealed, len - 1), out), WW_ECRYPTO);
        for (size_t at = 0; at < len; at += 5) {
            sealed[at] ^= 0x10;
            assert_int_equal(ww_aead_open(a, UINT64_MAX - 1, ad, ww_bytes(sealed, len), out), WW_ECRYPTO);
            sealed[at] ^= 0x10;
        }
        /* a refused record does not spoil the next */
        assert_ok(ww_aead_open(a, UINT64_MAX - 1, ad, ww_bytes(sealed, len), out));
    }
    for (size_t len = 0; len < WW_AEAD_TAG_BYTES; len++)
        assert_int_equal(ww_aead_open(a, 0, ad, ww_bytes(sealed, len), out), WW_ECRYPTO);
    ww_aead_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8439),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_seals_in_place),
        cmocka_unit_test(test_refuses_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
