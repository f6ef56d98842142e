#include "shortest.h"

#include "shortest_table.h"

enum {
    FRACTION_BITS = 52,
    EXPONENT_BIAS = 1075, /* of a significand that is an integer */
    FIXED_LOW = -4,       /* exponents of ten from here ... */
    FIXED_HIGH = 15       /* ... to before this are written without e */
};

__extension__ typedef unsigned __int128 u128;

/* The highest 64 bits of the product, the lowest of which says whether anything was cut off. */
static uint64_t product(const uint64_t g[2], uint64_t c)
{
    const u128 low = (u128)g[1] * c;
    const u128 high = (u128)g[0] * c + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* significand * 2^q as digits * 10^*ret_exponent. closer: the double below is at half the distance. */
static uint64_t decimal(uint64_t c, int q, bool closer, int *ret_exponent)
{
    if (-q >= 0 && -q <= FRACTION_BITS && (c & ((UINT64_C(1) << -q) - 1)) == 0) {
        *ret_exponent = 0;
        return c >> -q; /* a small integer */
    }
    const int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22; /* floor of log10 of the interval */
    const int h = q + ((-k * 1741647) >> 19) + 1;
    const uint64_t *g = powers_of_ten[-k - POWERS_FIRST];
    /* The ends belong to the neighbours: PostgreSQL does not rely on how ties are read. */
    const uint64_t lower = product(g, (4 * c - 2 + closer) << h) + 1;
    const uint64_t upper = product(g, (4 * c + 2) << h) - 1;
    const uint64_t x = product(g, (4 * c) << h), s = x / 4;
    if (s >= 10) { /* one digit less, if just one such decimal is inside */
        const uint64_t t = s / 10;
        const bool down = lower <= 40 * t, up = 40 * t + 40 <= upper;
        if (down != up) {
            *ret_exponent = k + 1;
            return t + up;
        }
    }
    *ret_exponent = k;
    const bool down = lower <= 4 * s, up = 4 * s + 4 <= upper;
    if (down != up)
        return s + up;
    const uint64_t middle = 4 * s + 2;
    return s + (x > middle || (x == middle && (s & 1)));
}

/* Without zeros at the end; the number of them. */
static int digits_of(uint64_t v, char ret[20], int *ret_zeros)
{
    char reversed[20];
    int n = 0, zeros = 0;
    while (v % 10 == 0) {
        v /= 10;
        zeros++;
    }
    for (; v > 0; v /= 10)
        reversed[n++] = (char)('0' + v % 10);
    for (int i = 0; i < n; i++)
        ret[i] = reversed[n - 1 - i];
    *ret_zeros = zeros;
    return n;
}

static char *put_exponent(char *to, int exponent)
{
    const int e = exponent < 0 ? -exponent : exponent;
    *to++ = 'e';
    *to++ = exponent < 0 ? '-' : '+';
    if (e >= 100)
        *to++ = (char)('0' + e / 100);
    *to++ = (char)('0' + e / 10 % 10);
    *to++ = (char)('0' + e % 10);
    return to;
}

/* d.ddd * 10^exponent */
static char *put_digits(char *to, const char *digits, int n, int exponent)
{
    if (exponent < FIXED_LOW || exponent >= FIXED_HIGH) {
        *to++ = digits[0];
        if (n > 1)
            *to++ = '.';
        memcpy(to, digits + 1, (size_t)n - 1);
        return put_exponent(to + n - 1, exponent);
    }
    if (exponent < 0) {
        memcpy(to, "0.000", 5);
        to += 1 - exponent;
        memcpy(to, digits, (size_t)n);
        return to + n;
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        *to++ = i < n ? digits[i] : '0';
        if (i == exponent && i + 1 < n)
            *to++ = '.';
    }
    return to;
}

size_t shortest_write(double x, char ret[SHORTEST_TEXT_LEN])
{
    uint64_t bits;
    char digits[20] = "", *to = ret;
    int exponent, zeros;
    memcpy(&bits, &x, sizeof(bits));
    const uint64_t fraction = bits & ((UINT64_C(1) << FRACTION_BITS) - 1);
    const int biased = (int)(bits >> FRACTION_BITS & 0x7ff);
    assert(biased != 0x7ff);
    if (bits >> 63)
        *to++ = '-';
    if (biased == 0 && fraction == 0) {
        *to++ = '0';
        return (size_t)(to - ret);
    }
    const uint64_t v = biased > 0
                           ? decimal(fraction | UINT64_C(1) << FRACTION_BITS,
                                     biased - EXPONENT_BIAS, fraction == 0 && biased > 1, &exponent)
                           : decimal(fraction, 1 - EXPONENT_BIAS, false, &exponent);
    const int n = digits_of(v, digits, &zeros);
    return (size_t)(put_digits(to, digits, n, exponent + zeros + n - 1) - ret);
}
