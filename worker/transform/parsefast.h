/*
 * parsefast.h: decimals eight digits at a time, for the common shapes, without a branch for each
 * digit. Inline, because it runs for each row of a numeric column.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_PARSEFAST_H
#define DROVER_TRANSFORM_PARSEFAST_H

#include "common/base.h"

#define PARSEFAST_EACH(b) (UINT64_C(0x0101010101010101) * (b))

/*
 * parsefast_decimal: [-]digits[.digits] of up to 16 bytes after the sign. The 16 bytes before the end
 * must be readable. False: another shape; ask parse_num.
 */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

/* The last n (1 to 8) bytes before end, with '0' in front of them. */
static inline uint64_t parsefast_load(const char *end, size_t n)
{
    uint64_t x, keep = ~UINT64_C(0) << (8 * (8 - n));
    memcpy(&x, end - 8, sizeof x);
    return (x & keep) | (PARSEFAST_EACH('0') & ~keep);
}

/* 0x80 in the bytes that are points. */
static inline uint64_t parsefast_points(uint64_t x)
{
    uint64_t y = x ^ PARSEFAST_EACH('.');
    return ~(((y & PARSEFAST_EACH(0x7f)) + PARSEFAST_EACH(0x7f)) | y | PARSEFAST_EACH(0x7f));
}

static inline bool parsefast_all_digits(uint64_t x)
{
    return ((x & PARSEFAST_EACH(0xf0)) | (((x + PARSEFAST_EACH(0x06)) & PARSEFAST_EACH(0xf0)) >> 4)) ==
           PARSEFAST_EACH(0x33);
}

/* Pairs, then fours, then eights, each by one multiplication. */
static inline uint64_t parsefast_digits_value(uint64_t x)
{
    x = (x & PARSEFAST_EACH(0x0f)) * 2561 >> 8;
    x = (x & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
    return (x & UINT64_C(0x0000ffff0000ffff)) * 42949672960001 >> 32;
}

/* Takes the byte d (0: lowest) out; what is below moves up, and a '0' comes in. */
static inline uint64_t parsefast_without(uint64_t x, unsigned d)
{
    uint64_t below = (UINT64_C(1) << (8 * d)) - 1;
    return (x & ~below & ~(UINT64_C(0xff) << (8 * d))) | (x & below) << 8 | '0';
}

static inline bool parsefast_decimal(const char *p, size_t len, int64_t *ret_m, uint8_t *ret_scale)
{
    const char *end = p + len;
    bool neg = len > 0 && p[0] == '-';
    size_t n = len - neg;
    if (n - 1 >= 16)
        return false;
    uint64_t low = parsefast_load(end, MIN(n, (size_t)8)), high = PARSEFAST_EACH('0'), dot = parsefast_points(low);
    uint64_t scale = 0;
    bool pointed = dot != 0;
    if (n > 8)
        high = parsefast_load(end - 8, n - 8);
    if (dot) {
        unsigned d = (unsigned)__builtin_ctzll(dot) / 8;
        if (n == 1 || (dot & (dot - 1)))
            return false;
        scale = 7 - d;
        /* The top digit of the upper word comes down into the place that became free. */
        low = (parsefast_without(low, d) & ~UINT64_C(0xff)) | high >> 56;
        high = high << 8 | '0';
    }
    if (!parsefast_all_digits(low))
        return false;
    uint64_t m = parsefast_digits_value(low);
    if (n > 8) {
        dot = parsefast_points(high);
        if (dot) { /* the point stands further to the left */
            unsigned d = (unsigned)__builtin_ctzll(dot) / 8;
            if (pointed || (dot & (dot - 1)))
                return false;
            scale = 15 - d;
            high = parsefast_without(high, d);
        }
        if (!parsefast_all_digits(high))
            return false;
        m += parsefast_digits_value(high) * 100000000;
    }
    *ret_m = neg ? -(int64_t)m : (int64_t)m;
    *ret_scale = (uint8_t)scale;
    return true;
}

#else

static inline bool parsefast_decimal(const char *p, size_t len, int64_t *ret_m, uint8_t *ret_scale)
{
    (void)p;
    (void)len;
    (void)ret_m;
    (void)ret_scale;
    return false;
}

#endif

#endif
