#include "test/lib/test.h"

#include "p2p/multibase.h"

static const enum ww_multibase all[] = {
    WW_BASE16, WW_BASE32, WW_BASE36, WW_BASE58BTC, WW_BASE64, WW_BASE64URL};

/* Two of the multibase specification's test files. */
static void test_vectors(void **state)
{
    static const struct {
        const char *plain, *text;
    } cases[] = {
        {"yes mani !", "f796573206d616e692021"},
        {"yes mani !", "bpfsxgidnmfxgsibb"},
        {"yes mani !", "k2lcpzo5yikidynfl"},
        {"yes mani !", "z7paNL19xttacUY"},
        {"yes mani !", "meWVzIG1hbmkgIQ"},
        {"yes mani !", "ueWVzIG1hbmkgIQ"},
        {"yes mani !", "F796573206D616E692021"},
        {"yes mani !", "BPFSXGIDNMFXGSIBB"},
        {"yes mani !", "K2LCPZO5YIKIDYNFL"},
        {"", "b"},
        {"", "z"},
    };
    WW_UNUSED(state);
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        struct ww_buf out;
        ww_buf_init(&out, 256);
        assert_ok(ww_multibase_decode(ww_bytes_str(cases[i].text), &out));
        assert_bytes(ww_buf_view(&out), cases[i].plain, strlen(cases[i].plain));
        ww_buf_clear(&out);
        if (cases[i].text[0] > 'Z') {
            assert_ok(
                ww_multibase_encode((enum ww_multibase)cases[i].text[0], ww_bytes_str(cases[i].plain), &out));
            assert_bytes(ww_buf_view(&out), cases[i].text, strlen(cases[i].text));
        }
        ww_buf_fini(&out);
    }
}

static void test_round_trip(void **state)
{
    uint8_t data[WW_BASE58_BYTES_MAX];
    WW_UNUSED(state);
    for (size_t len = 0; len <= 150; len++) {
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i < len / 4 ? 0 : i * 37 + len);
        for (size_t b = 0; b < WW_COUNT_OF(all); b++) {
            struct ww_buf text, back;
            ww_buf_init(&text, 512);
            ww_buf_init(&back, 512);
            assert_ok(ww_multibase_encode(all[b], ww_bytes(data, len), &text));
            assert_ok(ww_multibase_decode(ww_buf_view(&text), &back));
            assert_bytes(ww_buf_view(&back), data, len);
            ww_buf_fini(&text);
            ww_buf_fini(&back);
        }
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text;
        ww_err err;
    } bad[] = {
        {"", WW_EINVAL}, {"?abc", WW_EUNSUPPORTED}, {"f0", WW_EINVAL}, /* half a byte */
        {"f0G", WW_EINVAL},                                            /* alphabet */
        {"fAB", WW_EINVAL},                                            /* case of the prefix */
        {"ba", WW_EINVAL},                                             /* no whole byte */
        {"bab", WW_EINVAL},                                            /* unused bits set */
        {"baa=", WW_EINVAL},                                           /* padding */
        {"mA", WW_EINVAL},                                             /* no whole byte */
        {"mAB", WW_EINVAL},                                            /* unused bits set */
        {"mAA==", WW_EINVAL},                                          /* padding */
        {"m-_8", WW_EINVAL},                                           /* the other alphabet */
        {"u+/8", WW_EINVAL},                                           /* the other alphabet */
        {"z0OIl", WW_EINVAL},                                          /* alphabet */
    };
    struct ww_buf out;
    WW_UNUSED(state);
    ww_buf_init(&out, 100);
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        assert_int_equal(ww_multibase_decode(ww_bytes_str(bad[i].text), &out), bad[i].err);
        assert_int_equal(ww_buf_len(&out), 0);
    }
    ww_buf_fini(&out);
}

static void test_caps(void **state)
{
    char text[WW_BASE58_TEXT_MAX + 1];
    uint8_t bytes[WW_BASE58_TEXT_MAX + 1];
    WW_UNUSED(state);
    memset(text, 'z', sizeof text);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(ww_base58_decode(ww_bytes(text, sizeof text), bytes, sizeof bytes), WW_ELIMIT);
    assert_int_equal(ww_base58_decode(ww_bytes(text, 259), bytes, sizeof bytes), 190);
    assert_int_equal(ww_base58_decode(ww_bytes(text, 260), bytes, sizeof bytes), WW_ELIMIT);
    memset(text, '1', sizeof text); /* zeros count as well */
    assert_int_equal(ww_base58_decode(ww_bytes(text, 190), bytes, sizeof bytes), 190);
    assert_int_equal(ww_base58_decode(ww_bytes(text, 191), bytes, sizeof bytes), WW_ELIMIT);
    assert_int_equal(ww_base58_decode(ww_bytes(text, 20), bytes, 10), WW_ELIMIT);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(
        ww_base58_encode(ww_bytes(bytes, WW_BASE58_BYTES_MAX + 1), text, sizeof text), WW_ELIMIT);
    assert_int_equal(ww_base58_encode(ww_bytes(bytes, 20), text, 20), WW_ELIMIT);
    memset(bytes, 0xff, sizeof bytes);
    struct ww_buf out;
    ww_buf_init(&out, 1024);
    /* the longest input to the base that needs the most characters */
    assert_ok(ww_multibase_encode(WW_BASE36, ww_bytes(bytes, WW_BASE58_BYTES_MAX), &out));
    assert_int_equal(ww_buf_len(&out), 1 + 295);
    ww_buf_fini(&out);
    ww_buf_init(&out, 3);
    assert_int_equal(ww_multibase_encode(WW_BASE16, ww_bytes(bytes, 2), &out), WW_ELIMIT);
    assert_int_equal(ww_buf_len(&out), 0);
    ww_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
