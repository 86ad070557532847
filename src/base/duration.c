#include "base/duration.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {
    /* two letters before one: "ms" must not read as "m" */
    {"ns", 1},
    {"us", WW_NS_PER_US},
    {"ms", WW_NS_PER_MS},
    {"h", 3600 * WW_NS_PER_S},
    {"m", 60 * WW_NS_PER_S},
    {"s", WW_NS_PER_S},
};

static ww_err take_unit(const char **at, uint64_t *ret_ns)
{
    for (size_t i = 0; i < WW_COUNT_OF(units); i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(*at, units[i].name, n) == 0) {
            *at += n;
            *ret_ns = units[i].ns;
            return 0;
        }
    }
    return WW_EINVAL;
}

/* One number with its unit. The fraction keeps nine digits, as many as a nanosecond needs. */
static ww_err take_part(const char **at, uint64_t *ret_ns)
{
    uint64_t whole = 0, fraction = 0, scale = 1, unit;
    const char *begin = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, **at - '0', &whole))
            return WW_ELIMIT;
    }
    if (*at == begin)
        return WW_EINVAL;
    if (**at == '.') {
        const char *dot = ++*at;
        for (; **at >= '0' && **at <= '9'; (*at)++) {
            if (scale < WW_NS_PER_S) {
                fraction = fraction * 10 + (uint64_t)(**at - '0');
                scale *= 10;
            }
        }
        if (*at == dot)
            return WW_EINVAL;
    }
    WW_TRY(take_unit(at, &unit));
    uint64_t ns;
    if (__builtin_mul_overflow(whole, unit, &ns))
        return WW_ELIMIT;
    /* unit <= 3.6e12 and fraction < 1e9: the product can pass 2^64, so divide the larger side first */
    uint64_t part = unit >= scale ? unit / scale * fraction : unit * fraction / scale;
    if (__builtin_add_overflow(ns, part, &ns) || ns > INT64_MAX)
        return WW_ELIMIT;
    *ret_ns = ns;
    return 0;
}

ww_err ww_duration_parse(const char *text, uint64_t *ret_ns)
{
    uint64_t total = 0;
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*text == '\0')
        return WW_EINVAL;
    while (*text) {
        uint64_t part;
        WW_TRY(take_part(&text, &part));
        if (__builtin_add_overflow(total, part, &total) || total > INT64_MAX)
            return WW_ELIMIT;
    }
    *ret_ns = total;
    return 0;
}

void ww_duration_format(uint64_t ns, char *out, size_t out_size)
{
    const char *name = "ns";
    uint64_t unit = 1;
    if (ns > 0 && ns % WW_NS_PER_S == 0)
        name = "s", unit = WW_NS_PER_S;
    else if (ns > 0 && ns % WW_NS_PER_MS == 0)
        name = "ms", unit = WW_NS_PER_MS;
    else if (ns > 0 && ns % WW_NS_PER_US == 0)
        name = "us", unit = WW_NS_PER_US;
    else if (ns == 0)
        name = "s";
    snprintf(out, out_size, "%" PRIu64 "%s", ns / unit, name);
}
