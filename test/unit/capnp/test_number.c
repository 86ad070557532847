/* Numbers as text against the C library, in the C locale. */
#include <math.h>

#include "base/prng.h"
#include "capnp/number.h"
#include "test/lib/test.h"

static void no_plus(char *text)
{
    char *plus = strchr(text, '+');
    if (plus)
        memmove(plus, plus + 1, strlen(plus));
}

static void check_f64(double v)
{
    char want[64], got[WW_NUMBER_MAX];
    snprintf(want, sizeof want, "%.15g", v);
    if (strtod(want, NULL) != v)
        snprintf(want, sizeof want, "%.17g", v);
    no_plus(want);
    assert_int_equal(ww_number_f64(v, got), strlen(want));
    assert_string_equal(got, want);
}

static void check_f32(float v)
{
    char want[64], got[WW_NUMBER_MAX];
    snprintf(want, sizeof want, "%.6g", (double)v);
    if (strtof(want, NULL) != v || (v != 0 && fabsf(v) < 0x1p-126f))
        snprintf(want, sizeof want, "%.8g", (double)v);
    no_plus(want);
    assert_int_equal(ww_number_f32(v, got), strlen(want));
    assert_string_equal(got, want);
}

static void check_parse(const char *text)
{
    double got;
    assert_true(ww_number_parse(ww_bytes_str(text), &got));
    double want = strtod(text, NULL);
    if (memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%s: %a, not %a", text, got, want);
}

static void prints_as_the_library_does(void **state)
{
    struct ww_prng prng;
    ww_prng_init(&prng, 7);
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = ww_prng_u64(&prng), small = bits >> (12 + bits % 52);
        double v;
        memcpy(&v, i % 4 == 0 ? &small : &bits, sizeof v);
        v = i % 4 == 1 ? (double)(int32_t)bits / 100 : i % 4 == 2 ? ldexp(1, (int)(bits % 2098) - 1074) : v;
        if (isnan(v) || isinf(v))
            continue;
        check_f64(v);
        if (fabs(v) < 3e38)
            check_f32((float)v);
    }
    char text[WW_NUMBER_MAX];
    ww_number_f64(-INFINITY, text);
    assert_string_equal(text, "-inf");
    ww_number_f32(NAN, text);
    assert_string_equal(text, "nan");
    ww_number_f64(-0.0, text);
    assert_string_equal(text, "-0");
    ww_number_i64(INT64_MIN, text);
    assert_string_equal(text, "-9223372036854775808");
    ww_number_u64(UINT64_MAX, text);
    assert_string_equal(text, "18446744073709551615");
}

static void parses_to_the_nearest(void **state)
{
    static const char *const edges[] = {"0", "1.7976931348623157e308", "1.797693134862315807937e308",
        "1.797693134862315807938e308", "2.4703282292062328e-324", "2.4703282292062327e-324", "4.9e-324",
        "1e309", "1e-400", "0e99999999999", "123E-2", "1.", "9007199254740993", "9007199254740992.99999",
        "1e22", "1e23", "2.2250738585072011e-308",
        "0.000000000000000000000000000000000000000000000000000000000000000000001"};
    struct ww_prng prng;
    char text[900];
    ww_prng_init(&prng, 8);
    for (size_t i = 0; i < WW_COUNT_OF(edges); i++)
        check_parse(edges[i]);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = ww_prng_u64(&prng);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isnan(v) || isinf(v))
            continue;
        snprintf(text, sizeof text, "%.*e", (int)(bits % 60) * (i % 10 ? 1 : 13), fabs(v));
        check_parse(text);
        /* Odd integers of 54 bits lie right between two numbers; then a little more. */
        snprintf(text, sizeof text, "%llu%s", (unsigned long long)(bits >> 10 | UINT64_C(1) << 53 | 1),
            i % 2 ? ".000000000000000000000000000001" : "");
        check_parse(text);
    }
    snprintf(text, sizeof text, "9007199254740993.%0*d", 800, 0);
    check_parse(text);
    text[800] = '1';
    check_parse(text);
}

static void refuses_what_is_no_number(void **state)
{
    static const char *const bad[] = {"", ".", ".5", "-1", "+1", "1e", "1e+", "1ee5", "1.5.5", "0x10", "inf",
        "nan", "1 ", " 1", "1,5", "e5"};
    double v;
    for (size_t i = 0; i < WW_COUNT_OF(bad); i++) {
        if (ww_number_parse(ww_bytes_str(bad[i]), &v))
            fail_msg("'%s' was taken for a number", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_as_the_library_does),
        cmocka_unit_test(parses_to_the_nearest),
        cmocka_unit_test(refuses_what_is_no_number),
    };
    return cmocka_run_group_tests_name("capnp/number", tests, NULL, NULL);
}
