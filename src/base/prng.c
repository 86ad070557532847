#include "base/prng.h"

#include "base/map.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void ww_prng_init(struct ww_prng *p, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        p->s[i] = splitmix(&seed);
}

void ww_prng_split(const struct ww_prng *parent, const char *name, uint64_t index, struct ww_prng *ret)
{
    uint64_t key[2] = {parent->s[0] ^ index, parent->s[1]};
    ww_prng_init(ret, ww_siphash13(key, ww_bytes_str(name)));
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t ww_prng_u64(struct ww_prng *p)
{
    uint64_t *s = p->s, result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* The upper half of the product. */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t mid = ah * bl + (al * bl >> 32), low = al * bh + (uint32_t)mid;
    return ah * bh + (mid >> 32) + (low >> 32);
#endif
}

uint64_t ww_prng_below(struct ww_prng *p, uint64_t bound)
{
    WW_ASSERT(bound > 0);
    /* Lemire's multiply-shift; the bias of skipping rejection is below 2^-32 for the bounds that we use. */
    return mul_high(ww_prng_u64(p), bound);
}

double ww_prng_unit(struct ww_prng *p)
{
    return (double)(ww_prng_u64(p) >> 11) * 0x1.0p-53;
}

void ww_prng_fill(struct ww_prng *p, void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        uint64_t v = ww_prng_u64(p);
        size_t n = len < sizeof v ? len : sizeof v;
        memcpy(at, &v, n);
        at += n;
        len -= n;
    }
}
