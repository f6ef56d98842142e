/*
 * digits.h: integers and decimals as text, without a division for each digit.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_DIGITS_H
#define DROVER_TRANSFORM_DIGITS_H

#include "num.h"
#include "simd.h"

enum { DIGITS_ROOM = NUM_TEXT_MAX + 32 }; /* bytes that may be written, past the end too */

/*
 * In two steps, for many numbers: their digits as words, eight at once with vector instructions,
 * and then each word as text where it belongs. A number of more than eight digits has DIGITS_LONG
 * for a word. The second step takes the sign from m.
 */
#define DIGITS_LONG UINT64_MAX
void digits_words(const int64_t *m, size_t n, uint64_t *words, enum simd simd);

/* Mantissa and scale as num_text_small; returns the end. */
char *digits_write(char *to, int64_t m, int32_t scale);

static inline char *digits_put(char *to, uint64_t word, int64_t m, int32_t scale)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ascii_zeros = UINT64_C(0x3030303030303030);
    if (__builtin_expect(word == DIGITS_LONG || scale >= 8, 0))
        return digits_write(to, m, scale);
    unsigned zeros = (unsigned)__builtin_ctzll(word | UINT64_C(1) << 63) / 8;
    unsigned whole = 8 - (unsigned)scale;
    zeros = MIN(zeros, whole - 1); /* one digit before the point */
    whole -= zeros;
    uint64_t t = (word | ascii_zeros) >> (8 * zeros);
    *to = '-';
    to += m < 0;
    memcpy(to, &t, sizeof t);
    if (scale == 0)
        return to + whole;
    uint64_t part = t >> (8 * (whole - 1)) >> 8;
    to[whole] = '.';
    memcpy(to + whole + 1, &part, sizeof part);
    return to + whole + 1 + scale;
#else
    (void)word;
    return digits_write(to, m, scale);
#endif
}

#endif
