/* capnp/number.h — numbers as text and back, exact and without the C library, whose printf and strtod depend
 * on the locale and would triple the size of a guest. */
#ifndef WW_CAPNP_NUMBER_H
#define WW_CAPNP_NUMBER_H

#include "base/base.h"

#define WW_NUMBER_MAX 32 /* bytes that the printers need, the final zero included */

/* Each writes a NUL-terminated text and returns its length. */
size_t ww_number_u64(uint64_t v, char *out);
size_t ww_number_i64(int64_t v, char *out);
/* As the reference implementation prints them: 15 digits (6 for float) when these are enough to get the value
 * back, else 17 (8; which does not always suffice). "nan", "inf", "-inf". */
size_t ww_number_f64(double v, char *out);
size_t ww_number_f32(float v, char *out);

/* The double nearest to DIGITS[.DIGITS][e[+-]DIGITS], ties to even, infinity when it is too large. False when
 * `text` is anything else; there is no sign in front. */
bool ww_number_parse(struct ww_bytes text, double *ret);

/* A whole number of digits in base 8, 10 or 16, without sign or prefix. False when it is none, or over 64
 * bits.
 */
bool ww_number_parse_u64(struct ww_bytes digits, unsigned base, uint64_t *ret);

static inline int ww_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
