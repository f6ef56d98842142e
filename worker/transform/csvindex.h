/*
 * csvindex.h: where the fields and rows of a run of CSV end, in one pass over the bytes.
 *
 * A quote toggles "inside quotes" wherever it stands, and a doubled quote toggles twice: the rule
 * of PostgreSQL's COPY, and the reason why a mask of the quotes' parity tells which separators
 * count. 64 bytes at a time become four masks (quote, delimiter, newline, not plain), and the
 * positions of the bits are written out. The scalar loop says the same, byte by byte, and is the
 * reference.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_CSVINDEX_H
#define DROVER_TRANSFORM_CSVINDEX_H

#include "simd.h"

enum {
    CSVINDEX_STEP = 64,
    CSVINDEX_SLACK = 64,      /* entries that are written past the last one in ends and rows */
    CSVINDEX_QUOTES_SLACK = 2 /* words that are read past the last one in quotes */
};

struct csvindex {
    /* Set by the caller. */
    const uint8_t *data; /* readable up to the next multiple of CSVINDEX_STEP */
    size_t n;
    uint8_t delimiter, quote;
    uint32_t *ends; /* room for n + CSVINDEX_SLACK: positions of delimiters and newlines */
    uint32_t *rows; /* the same: the index in ends of each newline */
    uint64_t
        *quotes; /* room for a bit for each byte, and CSVINDEX_QUOTES_SLACK words: the quotes */
    /* The result. */
    size_t n_ends, n_rows;
    size_t n_quotes;
    size_t n_inner_lines; /* newlines inside quotes, which end no row */
    bool plain;           /* all bytes are ASCII and none is NUL */
    bool in_quote;        /* the data end inside quotes */
};

/* The data begin at the start of a row. Bit i % 64 of word i / 64 of quotes says what byte i is:
 * the order of bytes in a word must be little-endian for csvindex_quoted. */
void csvindex_run(struct csvindex *x, enum simd simd);

/* Is there a quote in [from, to)? A field of up to 56 bytes is one load and no branch that depends
 * on where it stands. */
static inline bool csvindex_quoted(const uint64_t *quotes, size_t from, size_t to)
{
    enum { WINDOW = 56 };
    const uint8_t *bits = (const uint8_t *)quotes;
    uint64_t w;
    for (; to - from > WINDOW; from += WINDOW) {
        memcpy(&w, bits + from / 8, sizeof w);
        if (w >> (from % 8) << (64 - WINDOW))
            return true;
    }
    memcpy(&w, bits + from / 8, sizeof w);
    return (w >> (from % 8) & ((UINT64_C(1) << (to - from)) - 1)) != 0;
}

#endif
