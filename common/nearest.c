#include "nearest.h"

enum {
    LENGTH_MAX = 400, /* digits that are counted */
    DIGITS_64 = 19,   /* that surely fit into 64 bits */
    POWER_EXACT = 22, /* the largest power of ten that a double holds exactly */
    POWER_64 = 27     /* of five that 64 bits hold */
};

#define MANTISSA_MAX (UINT64_C(1) << 53)
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

struct digits {
    uint64_t m;
    int n, places; /* digits without leading zeros; those behind the point */
};

/* Eight digits at once, as parsefast.c does it; false: not all of them are. */
static bool eight(const char *p, uint64_t *ret)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    if ((((x + EACH(0x06)) & EACH(0xf0)) >> 4 | (x & EACH(0xf0))) != EACH(0x33))
        return false;
    x = (x & EACH(0x0f)) * 2561 >> 8;
    x = (x & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
    *ret = (x & UINT64_C(0x0000ffff0000ffff)) * UINT64_C(42949672960001) >> 32;
    return true;
}

/* The number of digits, leading zeros and all. */
static int read_digits(const char **at, const char *end, struct digits *d)
{
    const char *p = *at;
    uint64_t x;
    if (d->n == 0)
        while (p < end && *p == '0')
            p++;
    const char *first = p;
    for (; end - p >= 8 && d->n < DIGITS_64 && eight(p, &x); p += 8)
        d->m = d->m * 100000000 + x;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        d->m = d->m * 10 + (uint64_t)(*p - '0');
    d->n += (int)MIN(p - first, LENGTH_MAX);
    const int all = (int)MIN(p - *at, LENGTH_MAX);
    *at = p;
    return all;
}

static const char *read_exponent(const char *p, const char *end, int *ret)
{
    const char *from;
    int x = 0;
    p++;
    const bool minus = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    from = p;
    for (; p < end && p - from < 4 && *p >= '0' && *p <= '9'; p++)
        x = x * 10 + (*p - '0');
    *ret = minus ? -x : x;
    return p == from ? NULL : p;
}

/* top * 2^exponent to the nearest double, ties to even. top: of 55 bits at least; more: there is a
 * rest below it. The result is far from the ends of the range. */
static double rounded(uint64_t top, bool more, int exponent)
{
    const int shift = 64 - __builtin_clzll(top) - 53;
    const uint64_t half = UINT64_C(1) << (shift - 1), rest = top & (half * 2 - 1);
    uint64_t m = top >> shift;
    m += rest > half || (rest == half && (more || (m & 1)));
    union {
        uint64_t bits;
        double value;
    } two = {(uint64_t)(1023 + exponent + shift) << 52};
    return (double)m * two.value;
}

/*
 * m * 10^power, rounded once: by integers of 128 bits. 10^k is 5^k and k places of bits; times 5^k is
 * exact, and the quotient by 5^k has 63 bits and whether there is a rest, which is all that rounding
 * asks for.
 */
static double scaled(uint64_t m, int power)
{
    static const uint64_t five[POWER_64 + 1] = {
        1,
        5,
        25,
        125,
        625,
        3125,
        15625,
        78125,
        390625,
        1953125,
        9765625,
        48828125,
        244140625,
        1220703125,
        6103515625,
        30517578125,
        152587890625,
        762939453125,
        3814697265625,
        19073486328125,
        95367431640625,
        476837158203125,
        2384185791015625,
        11920928955078125,
        59604644775390625,
        298023223876953125,
        1490116119384765625,
        7450580596923828125,
    };
    const int zeros = __builtin_clzll(m);
    m <<= zeros;
    if (power >= 0) {
        const unsigned __int128 x = (unsigned __int128)m * five[power];
        const uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x;
        if (high == 0)
            return rounded(low, false, power - zeros);
        const int more = __builtin_clzll(high); /* high has fewer bits than the rounding needs */
        const uint64_t top = more > 0 ? high << more | low >> (64 - more) : high;
        return rounded(top, low << more != 0, power - zeros + 64 - more);
    }
    const int divisor_zeros = __builtin_clzll(five[-power]);
    const uint64_t divisor = five[-power] << divisor_zeros;
    uint64_t quotient, rest;
#if defined(__x86_64__)
    /* m / 2 is below the divisor: the quotient fits. */
    __asm__("divq %4"
            : "=a"(quotient), "=d"(rest)
            : "0"(m << 63), "1"(m >> 1), "r"(divisor)
            : "cc");
#else
    const unsigned __int128 x = (unsigned __int128)m << 63;
    quotient = (uint64_t)(x / divisor);
    rest = (uint64_t)(x % divisor);
#endif
    return rounded(quotient, rest != 0, power - 63 - zeros + divisor_zeros);
}

bool nearest_read(struct span s, double *ret)
{
    static const double powers[POWER_EXACT + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    const char *p = s.p, *end = s.p + s.len;
    struct digits d = {0, 0, 0};
    int power = 0;
    const bool minus = p < end && *p == '-';
    p += minus;
    int n = read_digits(&p, end, &d);
    if (p < end && *p == '.') {
        p++;
        d.places = read_digits(&p, end, &d);
        n += d.places;
    }
    if (p < end && (*p == 'e' || *p == 'E') && n > 0)
        p = read_exponent(p, end, &power);
    power -= d.places;
    if (p != end || n == 0 || d.n > DIGITS_64 || power < -POWER_64 || power > POWER_64)
        return false;
    double v = 0;
    if (d.m <= MANTISSA_MAX && power <= 0 && power >= -POWER_EXACT)
        v = (double)d.m / powers[-power]; /* both are exact (Clinger 1990, the fast case) */
    else if (d.m > 0)
        v = scaled(d.m, power);
    *ret = minus ? -v : v;
    return true;
}
