/*
 * csv.h: reads CSV (RFC 4180, with any delimiter and quote) in blocks of whole rows.
 *
 * The memory is bounded: one buffer, which grows only for a row that is longer than it, up to
 * CSV_ROW_BYTES_MAX. A byte order mark at the start of the file is skipped, CRLF ends a row as LF
 * does, a last row needs no newline. What is between quotes is taken as COPY of PostgreSQL takes
 * it. It does not know what the fields mean: load.h parses those that a query names.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_CSV_H
#define DROVER_TRANSFORM_CSV_H

#include "csvindex.h"
#include "common/err.h"

enum {
    CSV_BLOCK_BYTES = 128 * 1024, /* with its index it fits into the second-level cache */
    CSV_ROW_BYTES_MAX = 4 * 1024 * 1024,
    CSV_PAD = 64 /* bytes before and after the block that may be read */
};

enum csv_ragged { CSV_RAGGED_REJECT, CSV_RAGGED_PAD, CSV_RAGGED_FAIL };

struct csv_options {
    uint8_t delimiter, quote;
    bool header;            /* the first row names the columns */
    enum csv_ragged ragged; /* a row with fewer or more fields than there are columns */
};

/* Fills up to n bytes; *ret_n 0 means the end. */
typedef int csv_read_fn(void *user, void *to, size_t n, size_t *ret_n, struct error *e);

/* A run of whole rows. Field k of the block ends at ends[k] and begins behind ends[k - 1]; row r
 * consists of the fields rows[r - 1] + 1 to rows[r]. Both arrays have an entry before the first. */
struct csv_block {
    const uint8_t *data;
    const uint32_t *ends, *rows;
    const uint64_t *quotes; /* bit for each byte */
    size_t n_rows;
    bool any_quote, plain;
    uint64_t first_line; /* of the first row */
};

struct csv {
    struct csv_options options;
    enum simd simd;
    csv_read_fn *read;
    void *user;
    uint8_t *memory; /* CSV_PAD bytes, then the block, then CSV_PAD and a step */
    size_t cap, len; /* of the block */
    size_t used;     /* bytes of rows that were given out */
    uint32_t *ends, *rows;
    uint64_t *quotes;
    bool end, started;
    bool inner_lines; /* a newline of the block stands inside quotes */
    uint64_t lines;   /* that ended before the block */
    struct csv_block block;
};

int csv_init(struct csv *c, const struct csv_options *options, enum simd simd, csv_read_fn *read,
             void *user, uint64_t first_line, struct error *e) MUST_CHECK;
void csv_done(struct csv *c);

/* The next block, or NULL at the end; it is valid until the next call. LIMIT names a row that is
 * too long, MALFORMED a quote that is never closed. */
int csv_next(struct csv *c, const struct csv_block **ret, struct error *e) MUST_CHECK;

/* The number of the line on which a row begins, from 1. */
uint64_t csv_line(const struct csv_block *b, size_t row);

static inline uint32_t csv_first_field(const struct csv_block *b, size_t row)
{
    return b->rows[(ptrdiff_t)row - 1] + 1;
}

static inline uint32_t csv_n_fields(const struct csv_block *b, size_t row)
{
    return b->rows[row] - b->rows[(ptrdiff_t)row - 1];
}

/* The bytes of field k of the block, quotes and all. last: of its row (a CR before the end is none
 * of it). */
static inline struct span csv_raw(const struct csv_block *b, uint32_t k, bool last)
{
    uint32_t from = b->ends[(ptrdiff_t)k - 1] + 1, to = b->ends[k];
    if (last && to > from && b->data[to - 1] == '\r')
        to--;
    return (struct span){(const char *)b->data + from, to - from};
}

/* Takes quotes away, into room for as many bytes as the field has; returns the length. */
size_t csv_unquote(struct span raw, uint8_t quote, char *to);

#endif
