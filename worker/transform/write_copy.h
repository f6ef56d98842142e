/*
 * write_copy.h: result rows as PostgreSQL's binary COPY, straight from the vectors: what COPY ...
 * FROM STDIN (FORMAT binary) reads into columns of the results' own types.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_WRITE_COPY_H
#define DROVER_TRANSFORM_WRITE_COPY_H

#include "write.h"

struct write_copy {
    struct sink sink; /* first: the writer is used as one */
    struct buf out;
    write_flush_fn *flush;
    void *user;
    size_t n_columns;
};

int write_copy_init(struct write_copy *w, size_t n_columns, write_flush_fn *flush, void *user,
                    struct error *e) MUST_CHECK;
int write_copy_end(struct write_copy *w, struct error *e) MUST_CHECK; /* the trailer, and all */
void write_copy_done(struct write_copy *w);

#endif
