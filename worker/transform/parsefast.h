/*
 * parsefast.h: decimals eight digits at a time, many at once. The words of a run of rows are turned
 * into numbers by arithmetic alone, without a branch and without a table, in vectors of eight.
 *
 *     parsefast_put for each row -> parsefast_decimals or parsefast_doubles -> words, and which are odd
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_PARSEFAST_H
#define DROVER_TRANSFORM_PARSEFAST_H

#include "simd.h"
#include "vec.h"

#define PARSEFAST_NEGATIVE (UINT64_C(1) << 63)

/* Fields [-]digits[.digits] of up to eight bytes without the sign. Entries after the last one, up to a
 * multiple of eight, are computed with and mean nothing. */
struct parsefast {
    size_t n;
    uint64_t words[VEC_ROWS];  /* the last eight bytes of each, little-endian; out: its value */
    uint64_t shapes[VEC_ROWS]; /* how many of them count, and PARSEFAST_NEGATIVE; out: the scale */
    uint64_t odd[VEC_ROWS];    /* out: not 0: it is of another shape, and the value means nothing */
};

/* The next field; 8 bytes before its end must be readable, and one at `at`. */
static inline void parsefast_put(struct parsefast *x, const char *at, size_t len)
{
    uint64_t word, neg = len > 0 && at[0] == '-';
    memcpy(&word, at + len - sizeof word, sizeof word);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    x->words[x->n] = word;
    x->shapes[x->n++] = (len - neg) | neg << 63;
}

/* words: mantissas; shapes: scales. */
void parsefast_decimals(struct parsefast *f, enum simd simd);
/* words: the bits of the doubles that are next to the decimals. */
void parsefast_doubles(struct parsefast *f, enum simd simd);

#endif
