/* base/duration.h — durations as people write them: "500ms", "3s", "1m30s", "2h". */
#ifndef WW_BASE_DURATION_H
#define WW_BASE_DURATION_H

#include "base/base.h"

/* Units h, m, s, ms, us, ns; decimal fractions allowed ("1.5s"); a sum of parts is allowed; a bare number
 * other than 0 is refused, because nobody can tell its unit. WW_EINVAL, or WW_ELIMIT above 2^63 ns. */
WW_MUST_USE ww_err ww_duration_parse(const char *text, uint64_t *ret_ns);
/* The shortest exact form with one unit ("90s", "1500ms"), NUL-terminated; 32 bytes suffice. */
void ww_duration_format(uint64_t ns, char *out, size_t out_size);

#endif
