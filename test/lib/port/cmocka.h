/* test/lib/port/cmocka.h — as much of cmocka as the portable unit tests use, for machines that have no
 * cmocka: the first failure ends the program. Prints TAP. */
#ifndef WW_TEST_PORT_CMOCKA_H
#define WW_TEST_PORT_CMOCKA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f)                                                                                  \
    {                                                                                                        \
#f, f                                                                                                \
    }

static inline void port_check(int good, const char *what, const char *file, int line)
{
    if (good)
        return;
    printf("not ok - %s:%d: %s\n", file, line, what);
    fflush(stdout);
    exit(1);
}

#define PORT_CHECK(good, what) port_check(good, what, __FILE__, __LINE__)
#define assert_true(x) PORT_CHECK(!!(x), #x)
#define assert_false(x) PORT_CHECK(!(x), "not " #x)
#define assert_int_equal(a, b) PORT_CHECK((uintmax_t)(a) == (uintmax_t)(b), #a " == " #b)
#define assert_int_not_equal(a, b) PORT_CHECK((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_ptr_equal(a, b) PORT_CHECK((const void *)(a) == (const void *)(b), #a " == " #b)
#define assert_ptr_not_equal(a, b) PORT_CHECK((const void *)(a) != (const void *)(b), #a " != " #b)
#define assert_null(x) PORT_CHECK((x) == NULL, #x " is NULL")
#define assert_non_null(x) PORT_CHECK((x) != NULL, #x " is not NULL")
#define assert_memory_equal(a, b, n) PORT_CHECK(memcmp(a, b, n) == 0, #a " holds " #b)
#define assert_string_equal(a, b) PORT_CHECK(strcmp(a, b) == 0, #a " is " #b)
#define print_error(...) printf("# " __VA_ARGS__)
#define fail_msg(...) (printf("# " __VA_ARGS__), printf("\n"), PORT_CHECK(0, "failed"))

static inline int port_run(const struct CMUnitTest *tests, size_t count)
{
    printf("1..%u\n", (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        printf("# %s\n", tests[i].name);
        fflush(stdout);
        tests[i].run(&state);
        printf("ok %u - %s\n", (unsigned)i + 1, tests[i].name);
    }
    return 0;
}
#define cmocka_run_group_tests(tests, setup, teardown) port_run(tests, sizeof(tests) / sizeof(tests)[0])

#endif
