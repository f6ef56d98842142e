/*
 * csvindex.h: where the fields and rows of a run of CSV end, in one pass over the bytes.
 *
 * A quote toggles "inside quotes" wherever it stands, and a doubled quote toggles twice: the rule of
 * PostgreSQL's COPY, and the reason why a mask of the quotes' parity tells which separators count.
 * 64 bytes at a time become four masks (quote, delimiter, newline, not plain), and the positions of
 * the bits are written out. The scalar loop says the same, byte by byte, and is the reference.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_CSVINDEX_H
#define DROVER_TRANSFORM_CSVINDEX_H

#include "simd.h"

enum {
    CSVINDEX_STEP = 64,
    CSVINDEX_SLACK = 64 /* entries that are written past the last one in ends and rows */
};

struct csvindex {
    /* Set by the caller. */
    const uint8_t *data; /* readable up to the next multiple of CSVINDEX_STEP */
    size_t n;
    uint8_t delimiter, quote;
    uint32_t *ends;   /* room for n + CSVINDEX_SLACK: positions of delimiters and newlines */
    uint32_t *rows;   /* the same: the index in ends of each newline */
    uint64_t *quotes; /* room for a bit for each byte: where the quotes are */
    /* The result. */
    size_t n_ends, n_rows;
    size_t n_quotes;
    bool plain;    /* all bytes are ASCII and none is NUL */
    bool in_quote; /* the data end inside quotes */
};

/* The data begin at the start of a row. */
void csvindex_run(struct csvindex *x, enum simd simd);

/* Is there a quote in [from, to)? */
static inline bool csvindex_quoted(const uint64_t *quotes, size_t from, size_t to)
{
    if (to == from)
        return false;
    size_t first = from / 64, last = (to - 1) / 64;
    uint64_t head = ~UINT64_C(0) << (from % 64), tail = ~UINT64_C(0) >> (63 - (to - 1) % 64);
    if (first == last)
        return (quotes[first] & head & tail) != 0;
    uint64_t any = (quotes[first] & head) | (quotes[last] & tail);
    for (size_t i = first + 1; i < last; i++)
        any |= quotes[i];
    return any != 0;
}

#endif
