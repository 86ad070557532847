/* capnp/number.c — floating point to decimal and back.
 *
 * Both ways go over a fixed-point number of base 10^9, large enough to hold any double exactly: scaling it by
 * powers of two loses nothing (10^9 is divisible by 2^9), so rounding happens once, at the end. A few
 * microseconds in the worst case, which no text format notices; short numbers take a shorter way. */
#include "capnp/number.h"

#define BASE 1000000000u
#define BASE_DIGITS 9
#define POINT 40       /* limbs before the point: 10^310 and some room */
#define LIMBS 280      /* limbs at all: 800 digits, and a bit for every bit that dividing shifts out */
#define DIGITS_MAX 800 /* significant digits that can matter; a tie needs at most 767 */

struct fixed {
    uint32_t limb[LIMBS]; /* limb[i] counts BASE^(POINT - 1 - i) */
    int first, end;       /* limbs outside are 0 */
};

static void trim(struct fixed *f)
{
    while (f->first < f->end && f->limb[f->first] == 0)
        f->first++;
    while (f->end > f->first && f->limb[f->end - 1] == 0)
        f->end--;
}

/* Times 2^k, k <= 29. */
static void shift_up(struct fixed *f, unsigned k)
{
    uint32_t carry = 0;
    for (int i = f->end - 1; i >= f->first; i--) {
        uint64_t v = ((uint64_t)f->limb[i] << k) + carry;
        f->limb[i] = (uint32_t)(v % BASE);
        carry = (uint32_t)(v / BASE);
    }
    if (carry)
        f->limb[--f->first] = carry;
    trim(f);
}

/* Divided by 2^k, k <= 9. */
static void shift_down(struct fixed *f, unsigned k)
{
    uint32_t mask = (1u << k) - 1, rest = 0;
    for (int i = f->first; i < f->end; i++) {
        uint64_t v = f->limb[i] + (uint64_t)rest * BASE;
        f->limb[i] = (uint32_t)(v >> k);
        rest = (uint32_t)v & mask;
    }
    if (rest)
        f->limb[f->end++] = (uint32_t)(((uint64_t)rest * BASE) >> k);
    trim(f);
}

/* ---- decimal to binary */

struct format {
    int bits;     /* of the significand */
    int least;    /* the exponent of the smallest subnormal */
    int greatest; /* the exponent of the significand of the largest number */
};

static const struct format doubles = {53, -1074, 971}, floats = {24, -149, 104};

/* 0.DIGITS * 10^point. */
struct decimal {
    uint8_t digit[DIGITS_MAX]; /* none leading is 0 */
    int count;
    int point;
    bool more; /* digits that are not 0 were dropped */
};

static void load(struct fixed *f, const struct decimal *d)
{
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    memset(f, 0, sizeof *f);
    f->end = LIMBS;
    for (int i = 0; i < d->count; i++) {
        int power = d->point - 1 - i;
        int down = power >= 0 ? -(power / BASE_DIGITS) : (BASE_DIGITS - 1 - power) / BASE_DIGITS;
        f->limb[POINT - 1 + down] += d->digit[i] * powers[power + down * BASE_DIGITS];
    }
    trim(f);
}

static uint64_t integer_part(const struct fixed *f)
{
    return (uint64_t)f->limb[POINT - 2] * BASE + f->limb[POINT - 1];
}

static uint64_t compose(uint64_t m, int e, const struct format *to)
{
    uint64_t hidden = UINT64_C(1) << (to->bits - 1);
    if (e > to->greatest)
        return (uint64_t)(to->greatest - to->least + 2) << (to->bits - 1);
    return m < hidden ? m : ((uint64_t)(e - to->least + 1) << (to->bits - 1)) | (m - hidden);
}

/* The bits of the nearest number. */
static uint64_t to_binary(const struct decimal *d, const struct format *to)
{
    struct fixed f;
    int scale = 0;
    if (d->count == 0 || d->point < -330)
        return 0;
    if (d->point > 310)
        return compose(0, to->greatest + 1, to);
    load(&f, d);
    while (f.first < POINT - 2) {
        shift_down(&f, 9);
        scale += 9;
    }
    uint64_t whole;
    while ((whole = integer_part(&f)) < UINT64_C(1) << 54) {
        unsigned k = whole < UINT64_C(1) << 25 ? 29 : 5;
        shift_up(&f, k);
        scale -= (int)k;
    }
    bool more = d->more || f.end > POINT;
    int drop = 64 - __builtin_clzll(whole) - to->bits, e = scale + drop;
    if (e < to->least) {
        drop += to->least - e;
        e = to->least;
    }
    if (drop > 61)
        return 0;
    uint64_t m = whole >> drop, half = UINT64_C(1) << (drop - 1), rest = whole & (half * 2 - 1);
    if (rest > half || (rest == half && (more || m & 1)))
        m++;
    if (m >> to->bits) {
        m >>= 1;
        e++;
    }
    return compose(m, e, to);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void take_digit(struct decimal *d, uint8_t c, bool after_point)
{
    if (d->count == 0 && c == '0') {
        d->point -= after_point;
        return;
    }
    if (d->count < DIGITS_MAX)
        d->digit[d->count++] = c - '0';
    else
        d->more |= c != '0';
    d->point += !after_point;
}

/* The exponent after the `e` at `at`. */
static bool read_exponent(struct ww_bytes text, size_t at, int *ret)
{
    bool negative = false;
    int e = 0;
    if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-'))
        negative = text.ptr[at++] == '-';
    if (at == text.len)
        return false;
    for (; at < text.len; at++) {
        if (!is_digit(text.ptr[at]))
            return false;
        if (e < 100000000)
            e = e * 10 + (text.ptr[at] - '0');
    }
    *ret = negative ? -e : e;
    return true;
}

static bool read_decimal(struct ww_bytes text, struct decimal *d)
{
    size_t at = 0;
    int e = 0;
    d->count = d->point = 0;
    d->more = false;
    if (text.len > (1u << 20))
        return false;
    for (; at < text.len && is_digit(text.ptr[at]); at++)
        take_digit(d, text.ptr[at], false);
    if (at == 0)
        return false;
    if (at < text.len && text.ptr[at] == '.') {
        for (at++; at < text.len && is_digit(text.ptr[at]); at++)
            take_digit(d, text.ptr[at], true);
    }
    if (at < text.len) {
        if ((text.ptr[at] != 'e' && text.ptr[at] != 'E') || !read_exponent(text, at + 1, &e))
            return false;
    }
    d->point += e;
    while (d->count > 0 && d->digit[d->count - 1] == 0)
        d->count--;
    return true;
}

/* Both operands and the result of one operation are exact: what fits into 53 bits, times or over 10^22. */
static bool short_way(const struct decimal *d, double *ret)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
        1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int power = d->point - d->count;
    uint64_t m = 0;
    if (d->count > 15 || power < -22 || power > 22)
        return false;
    for (int i = 0; i < d->count; i++)
        m = m * 10 + d->digit[i];
    *ret = power < 0 ? (double)m / powers[-power] : (double)m * powers[power];
    return true;
}

static double nearest_f64(const struct decimal *d)
{
    double v;
    if (!short_way(d, &v)) {
        uint64_t bits = to_binary(d, &doubles);
        memcpy(&v, &bits, sizeof v);
    }
    return v;
}

static float nearest_f32(const struct decimal *d)
{
    float v;
    uint32_t bits = (uint32_t)to_binary(d, &floats);
    memcpy(&v, &bits, sizeof v);
    return v;
}

bool ww_number_parse(struct ww_bytes text, double *ret)
{
    struct decimal d;
    if (!read_decimal(text, &d))
        return false;
    *ret = nearest_f64(&d);
    return true;
}

bool ww_number_parse_u64(struct ww_bytes digits, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = ww_hex_digit(digits.ptr[i]);
        if (digit < 0 || (unsigned)digit >= base || v > (UINT64_MAX - (unsigned)digit) / base)
            return false;
        v = v * base + (unsigned)digit;
    }
    *ret = v;
    return digits.len > 0;
}

/* ---- binary to decimal */

size_t ww_number_u64(uint64_t v, char *out)
{
    char digits[20];
    size_t n = 0, len = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
    } while (v /= 10);
    while (n > 0)
        out[len++] = digits[--n];
    out[len] = 0;
    return len;
}

size_t ww_number_i64(int64_t v, char *out)
{
    if (v >= 0)
        return ww_number_u64((uint64_t)v, out);
    *out = '-';
    return 1 + ww_number_u64(0 - (uint64_t)v, out + 1);
}

/* m * 2^e, m > 0. */
static void expand(struct fixed *f, uint64_t m, int e)
{
    memset(f, 0, sizeof *f);
    f->limb[POINT - 2] = (uint32_t)(m / BASE);
    f->limb[POINT - 1] = (uint32_t)(m % BASE);
    f->first = POINT - 2;
    f->end = POINT;
    trim(f);
    for (; e > 0; e -= e > 29 ? 29 : e)
        shift_up(f, e > 29 ? 29u : (unsigned)e);
    for (; e < 0; e += e < -9 ? 9 : -e)
        shift_down(f, e < -9 ? 9u : (unsigned)-e);
}

/* The first `count` significant digits, at most 17, rounded to nearest and even. */
static void round_digits(const struct fixed *f, int count, struct decimal *d)
{
    uint8_t digit[3 * BASE_DIGITS];
    int n = 0;
    for (int i = f->first; i < f->first + 3; i++) {
        uint32_t v = i < LIMBS ? f->limb[i] : 0;
        for (uint32_t unit = BASE / 10; unit > 0; unit /= 10) {
            if (n > 0 || v / unit)
                digit[n++] = (uint8_t)(v / unit % 10);
        }
    }
    /* The first limb has n - 18 digits. */
    d->point = (POINT - 1 - f->first) * BASE_DIGITS + n - 2 * BASE_DIGITS;
    d->count = count;
    d->more = false;
    memcpy(d->digit, digit, (size_t)count);
    bool rest = f->end > f->first + 3;
    for (int i = count + 1; i < n; i++)
        rest |= digit[i] != 0;
    bool up = digit[count] > 5 || (digit[count] == 5 && (rest || digit[count - 1] % 2));
    for (int i = count - 1; up && i >= 0; i--) {
        up = d->digit[i] == 9;
        d->digit[i] = up ? 0 : (uint8_t)(d->digit[i] + 1);
    }
    if (up) {
        d->digit[0] = 1;
        d->point++;
    }
}

/* Scientific from 10^precision on and below 10^-4, without trailing zeroes: what %g does, but for the plus.
 */
static size_t layout(const struct decimal *d, bool negative, char *out)
{
    int count = d->count, e = d->point - 1;
    char *at = out;
    bool scientific = e < -4 || e >= d->count;
    while (count > 1 && d->digit[count - 1] == 0)
        count--;
    if (negative)
        *at++ = '-';
    int point = scientific ? 1 : d->point;
    if (point <= 0) {
        *at++ = '0';
        *at++ = '.';
        for (int i = point; i < 0; i++)
            *at++ = '0';
    }
    for (int i = 0; i < count || i < point; i++) {
        if (i == point && i > 0)
            *at++ = '.';
        *at++ = (char)('0' + (i < count ? d->digit[i] : 0));
    }
    if (scientific) {
        *at++ = 'e';
        if (e < 0)
            *at++ = '-';
        e = e < 0 ? -e : e;
        if (e < 10)
            *at++ = '0';
        at += ww_number_u64((uint64_t)e, at);
    }
    *at = 0;
    return (size_t)(at - out);
}

/* What has no digits, or zero. */
static size_t special(const char *text, bool negative, char *out)
{
    size_t len = strlen(text);
    if (negative)
        *out = '-';
    memcpy(out + negative, text, len + 1);
    return len + negative;
}

size_t ww_number_f64(double v, char *out)
{
    struct fixed f;
    struct decimal d;
    uint64_t bits, m;
    memcpy(&bits, &v, sizeof bits);
    bool negative = bits >> 63;
    int e = (int)(bits >> 52 & 0x7ff);
    m = bits & ((UINT64_C(1) << 52) - 1);
    if (e == 0x7ff)
        return special(m ? "nan" : "inf", m ? false : negative, out);
    if (e == 0 && m == 0)
        return special("0", negative, out);
    expand(&f, e ? m | UINT64_C(1) << 52 : m, e ? e - 1075 : -1074);
    round_digits(&f, 15, &d);
    if (nearest_f64(&d) != (negative ? -v : v))
        round_digits(&f, 17, &d);
    return layout(&d, negative, out);
}

size_t ww_number_f32(float v, char *out)
{
    struct fixed f;
    struct decimal d;
    uint32_t bits, m;
    memcpy(&bits, &v, sizeof bits);
    bool negative = bits >> 31;
    int e = (int)(bits >> 23 & 0xff);
    m = bits & ((1u << 23) - 1);
    if (e == 0xff)
        return special(m ? "nan" : "inf", m ? false : negative, out);
    if (e == 0 && m == 0)
        return special("0", negative, out);
    expand(&f, e ? m | 1u << 23 : m, e ? e - 150 : -149);
    round_digits(&f, 6, &d);
    /* The reference does not trust its parser with subnormals. */
    if (e == 0 || nearest_f32(&d) != (negative ? -v : v))
        round_digits(&f, 8, &d);
    return layout(&d, negative, out);
}
