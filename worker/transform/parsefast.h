/*
 * parsefast.h: decimals eight digits at a time, many at once. The words of a run of rows are turned
 * into mantissas and scales by arithmetic alone, without a branch and without a table, so that the
 * compiler makes vector code of it for each instruction set.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_PARSEFAST_H
#define DROVER_TRANSFORM_PARSEFAST_H

#include "simd.h"

/* A field [-]digits[.digits] as a word: its last eight bytes, little-endian, with '0' for the
 * bytes in front of it and for the sign. */
struct parsefast {
    uint64_t *words;  /* in: the words; out: the mantissas, positive still */
    uint64_t *scales; /* out */
    uint64_t *odd;    /* out: not 0: the word is of another shape, ask parse_num */
    size_t n;
};

void parsefast_run(const struct parsefast *x, enum simd simd);

/* The last n (1 to 8) bytes before end, of which 8 are readable; a point alone is odd. */
static inline uint64_t parsefast_word(const char *end, size_t n)
{
    uint64_t x, keep = ~UINT64_C(0) << (8 * (8 - n));
    memcpy(&x, end - 8, sizeof x);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    uint64_t fill = UINT64_C(0x3030303030303030) & ~keep;
    return n == 1 && x >> 56 == '.' ? 0 : (x & keep) | fill;
}

#endif
