#include "shortest.h"

#include "shortest_table.h"

enum {
    FRACTION_BITS = 52,
    EXPONENT_BIAS = 1075, /* of a significand that is an integer */
    FIXED_LOW = -4,       /* exponents of ten from here ... */
    FIXED_HIGH = 15,      /* ... to before this are written without e */
    DIGITS_MAX = 17
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

/* Eight digits, a byte each, the first one lowest: halves, quarters and eighths at once, by products that
 * divide by 100 and by 10. v: below 10^8. */
static uint64_t spread(uint64_t v)
{
    uint64_t x = v / 10000 | v % 10000 << 32;
    uint64_t q = (x * 10486) >> 20 & UINT64_C(0x7f0000007f);
    x = q | (x - q * 100) << 16;
    q = (x * 103) >> 10 & UINT64_C(0x000f000f000f000f);
    return q | (x - q * 10) << 8;
}

enum { WORDS = 3, WORD = 8 };

/* The digits of v > 0 and then zeros, with the zeros at the end of v among them; ret_n: without those. */
static const char *digits_of(uint64_t v, char room[2 * WORDS * WORD], int *ret_n, int *ret_zeros)
{
    const uint64_t hundred_millions = 100000000, zeros = UINT64_C(0x3030303030303030);
    const uint64_t low = v % hundred_millions, high = v / hundred_millions;
    const uint64_t words[WORDS] = {spread(high / hundred_millions), spread(high % hundred_millions),
                                   spread(low)};
    int first = 0, last = WORDS - 1;
    while (words[first] == 0)
        first++;
    while (words[last] == 0)
        last--;
    for (int i = 0; i < 2 * WORDS; i++) {
        uint64_t text = i < WORDS ? words[i] | zeros : zeros;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
        text = __builtin_bswap64(text);
#endif
        memcpy(room + i * WORD, &text, sizeof(text));
    }
    const int begin = first * WORD + __builtin_ctzll(words[first]) / 8;
    const int end = last * WORD + WORD - __builtin_clzll(words[last]) / 8;
    *ret_n = end - begin;
    *ret_zeros = WORDS * WORD - end;
    return room + begin;
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

/* d.ddd * 10^exponent. More is copied than is meant, in pieces of one size: the room is there. */
static char *put_digits(char *to, const char *digits, int n, int exponent)
{
    if (exponent < FIXED_LOW || exponent >= FIXED_HIGH) {
        *to++ = digits[0];
        if (n > 1)
            *to++ = '.';
        memcpy(to, digits + 1, DIGITS_MAX);
        return put_exponent(to + n - 1, exponent);
    }
    if (exponent < 0) {
        memcpy(to, "0.000", 5);
        to += 1 - exponent;
        memcpy(to, digits, DIGITS_MAX);
        return to + n;
    }
    memcpy(to, digits, DIGITS_MAX); /* with zeros behind */
    if (n <= exponent + 1)
        return to + exponent + 1;
    to[exponent + 1] = '.';
    memcpy(to + exponent + 2, digits + exponent + 1, DIGITS_MAX);
    return to + n + 1;
}

size_t shortest_write(double x, char ret[SHORTEST_TEXT_LEN])
{
    uint64_t bits;
    char room[2 * WORDS * WORD], *to = ret;
    int exponent, zeros, n;
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
    const char *digits = digits_of(v, room, &n, &zeros);
    return (size_t)(put_digits(to, digits, n, exponent + zeros + n - 1) - ret);
}
