/* test/lib/test.h — what every unit test includes. */
#ifndef WW_TEST_LIB_TEST_H
#define WW_TEST_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#define assert_ok(expr) assert_int_equal((expr), 0)
#define assert_bytes(view, lit_ptr, lit_len)                                                                 \
    do {                                                                                                     \
        struct ww_bytes assert_bytes_v = (view);                                                             \
        assert_int_equal(assert_bytes_v.len, (lit_len));                                                     \
        assert_memory_equal(assert_bytes_v.ptr, (lit_ptr), (lit_len));                                       \
    } while (0)

/* Decodes a hex literal into a static ring of buffers: fine for a few literals in one expression. */
static inline struct ww_bytes hex(const char *text)
{
    static uint8_t ring[8][4096];
    static unsigned at;
    uint8_t *out = ring[at++ % 8];
    size_t len = strlen(text) / 2;
    assert_true(len <= sizeof ring[0]);
    assert_int_equal(ww_hex_decode(ww_bytes_str(text), out, len), 0);
    return ww_bytes(out, len);
}

#endif
