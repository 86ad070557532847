/* The allocation-failure loop finds what it is there to find. */
#include "test/lib/alloc_fail.h"
#include "test/lib/test.h"

static ww_err two_blocks(void *ctx)
{
    size_t *refusals = ctx;
    void *a = ww_alloc(10), *b = ww_calloc(3, 5);
    *refusals += !a + !b;
    ww_err err = a && b ? WW_OK : WW_ENOMEM;
    if (b)
        assert_memory_equal(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
    ww_free(a);
    ww_free(b);
    return err;
}

static void each_allocation_fails_in_turn(void **state)
{
    WW_UNUSED(state);
    size_t refusals = 0;
    assert_int_equal(alloc_fail_run(two_blocks, &refusals), 2);
    /* first alone; first and all after; second alone; second and all after */
    assert_int_equal(refusals, 1 + 2 + 1 + 1);
}

static void leak_is_counted(void **state)
{
    WW_UNUSED(state);
    alloc_track_begin();
    uint8_t *p = ww_alloc(1);
    assert_int_equal(alloc_track_live(), 1);
    alloc_track_fail(1, false);
    assert_null(ww_realloc(p, 100));
    assert_true(alloc_track_failed());
    assert_int_equal(alloc_track_live(), 1);
    *p = 7;
    uint8_t *q = ww_realloc(p, 100);
    assert_int_equal(*q, 7);
    assert_int_equal(alloc_track_live(), 1);
    ww_free(q);
    alloc_track_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_in_turn),
        cmocka_unit_test(leak_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
