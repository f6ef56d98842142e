/*
 * lines.h: reads a file in blocks of whole lines. The memory is bounded: one buffer, which grows
 * only for a line that is longer than it, up to LINES_BYTES_MAX. A byte order mark at the start of
 * the file is skipped, and a last line without newline gets one.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_LINES_H
#define DROVER_TRANSFORM_LINES_H

#include "csv.h"

enum {
    LINES_BLOCK_BYTES = 128 * 1024,
    LINES_BYTES_MAX = 4 * 1024 * 1024,
    LINES_PAD = 64 /* bytes before and after a block that may be read */
};

struct lines {
    csv_read_fn *read;
    void *user;
    uint8_t *memory; /* LINES_PAD bytes, then the block, then LINES_PAD */
    size_t cap, len; /* of the block */
    size_t used;     /* bytes that were given out */
    bool end, started;
    uint64_t line; /* of the next block's first byte, from 1 */
};

int lines_init(struct lines *l, csv_read_fn *read, void *user, uint64_t first_line,
               struct error *e) MUST_CHECK;
void lines_done(struct lines *l);

/* The next block, valid until the next call; of no bytes at the end. *ret_line is the number of its
 * first line; the caller counts the lines of a block into l->line. LIMIT names a line that is too
 * long. */
int lines_next(struct lines *l, struct span *ret, uint64_t *ret_line, struct error *e) MUST_CHECK;

#endif
