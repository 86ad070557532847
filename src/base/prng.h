/* base/prng.h — deterministic randomness for jitter, sampling and the simulator. Not for secrets.
 * xoshiro256++ seeded by splitmix64 (Blackman, Vigna 2019). */
#ifndef WW_BASE_PRNG_H
#define WW_BASE_PRNG_H

#include "base/base.h"

struct ww_prng {
    uint64_t s[4];
};

void ww_prng_init(struct ww_prng *p, uint64_t seed);
/* An independent stream named by `name`, without drawing from `parent`: a new user does not shift the others.
 */
void ww_prng_split(const struct ww_prng *parent, const char *name, uint64_t index, struct ww_prng *ret);
uint64_t ww_prng_u64(struct ww_prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t ww_prng_below(struct ww_prng *p, uint64_t bound);
/* Uniform in [0, 1). */
double ww_prng_unit(struct ww_prng *p);
void ww_prng_fill(struct ww_prng *p, void *out, size_t len);

#endif
