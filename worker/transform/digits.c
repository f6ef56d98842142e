#include "digits.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

enum { EIGHT = 100000000 };

/* Eight digits as numbers 0 to 9, the first in the lowest byte: halves, quarters, eighths, each by
 * one multiplication for all of them. */
static inline uint64_t spread(uint32_t x)
{
    uint64_t v = x / 10000 | (uint64_t)(x % 10000) << 32;
    uint64_t q = (v * 10486 >> 20) & UINT64_C(0x7f0000007f);
    v = q | (v - q * 100) << 16;
    q = (v * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return q | (v - q * 10) << 8;
}

static const uint64_t ascii_zeros = UINT64_C(0x3030303030303030);

static inline char *put_eight(char *to, uint32_t x)
{
    uint64_t t = spread(x) | ascii_zeros;
    memcpy(to, &t, sizeof t);
    return to + 8;
}

/* Without zeros in front, but at least `least` (1 to 8) digits. */
static inline char *put_short(char *to, uint32_t x, unsigned least)
{
    uint64_t t = spread(x);
    unsigned zeros = t ? (unsigned)__builtin_ctzll(t) / 8 : 8;
    zeros = MIN(zeros, 8 - least);
    t = (t | ascii_zeros) >> (8 * zeros);
    memcpy(to, &t, sizeof t);
    return to + 8 - zeros;
}

static inline char *put_whole(char *to, uint64_t u)
{
    if (u < EIGHT)
        return put_short(to, (uint32_t)u, 1);
    uint64_t top = u / EIGHT;
    if (top < EIGHT) {
        to = put_short(to, (uint32_t)top, 1);
    } else {
        to = put_short(to, (uint32_t)(top / EIGHT), 1);
        to = put_eight(to, (uint32_t)(top % EIGHT));
    }
    return put_eight(to, (uint32_t)(u % EIGHT));
}

char *digits_write(char *to, int64_t m, int32_t scale)
{
    uint64_t u = m < 0 ? -(uint64_t)m : (uint64_t)m;
    *to = '-';
    if (scale == 0)
        return put_whole(to + (m < 0), u);
    if (u < EIGHT && scale < 8) {
        /* All digits in one word, and the point between its bytes. */
        uint64_t t = spread((uint32_t)u);
        unsigned zeros = t ? (unsigned)__builtin_ctzll(t) / 8 : 8;
        zeros = MIN(zeros, 7 - (unsigned)scale);
        unsigned whole = 8 - zeros - (unsigned)scale;
        t = (t | ascii_zeros) >> (8 * zeros);
        to += m < 0;
        uint64_t part = t >> (8 * (whole - 1)) >> 8;
        memcpy(to, &t, sizeof t);
        to[whole] = '.';
        memcpy(to + whole + 1, &part, sizeof part);
        return to + whole + 1 + scale;
    }
    return to + num_text_small(m, scale, to);
}

#else

char *digits_write(char *to, int64_t m, int32_t scale)
{
    return to + num_text_small(m, scale, to);
}

#endif
