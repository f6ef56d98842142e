/*
 * split.h: cuts a file of CSV or NDJSON into ranges of whole rows. A newline of CSV may stand inside
 * quotes, so the only way to know is to count the quotes from the start; that is done once, when a
 * job is planned. (NDJSON has none, but its lines are to be numbered too.)
 * It does not look at delimiters, and it does not judge the rows.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_SPLIT_H
#define DROVER_TRANSFORM_SPLIT_H

#include "csv.h"

enum { SPLIT_NO_QUOTE = -1 };

/* Where a range may begin. */
struct split_point {
    uint64_t offset; /* of the first byte of a row */
    uint64_t line;   /* its number, from 1 */
};

struct split {
    csv_read_fn *read;
    void *user;
    int quote; /* SPLIT_NO_QUOTE: every newline ends a row */
    uint8_t *memory;
    size_t at, len;          /* in memory: bytes looked at, bytes there */
    bool in_quote, at_row;   /* at_row: a row begins at the next byte */
    struct split_point here; /* the next byte, and its line */
};

/* from: where reading begins, which is the start of a row. */
int split_init(struct split *s, int quote, struct split_point from, csv_read_fn *read, void *user,
               struct error *e) MUST_CHECK;
void split_done(struct split *s);

/* The first start of a row at or after the offset, or the end of the file. Offsets must not fall.
 * */
int split_next(struct split *s, uint64_t offset, struct split_point *ret,
               struct error *e) MUST_CHECK;

#endif
