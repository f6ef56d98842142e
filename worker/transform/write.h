/*
 * write.h: result rows as CSV or NDJSON, straight from the vectors.
 *
 * CSV: a header, then rows that end with LF; a field is quoted when it holds the delimiter, a quote
 * or a line end, and an empty text is "" because an empty field is NULL, as COPY reads and writes
 * it. NDJSON: numbers as they are, non-finite doubles and NULL as null.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_WRITE_H
#define DROVER_TRANSFORM_WRITE_H

#include "common/buf.h"
#include "simd.h"
#include "sink.h"

enum write_format { WRITE_CSV, WRITE_NDJSON };

enum { WRITE_FLUSH_BYTES = 64 * 1024 };

typedef int write_flush_fn(void *user, const void *p, size_t n, struct error *e);

struct write {
    struct sink sink; /* first: the writer is used as one */
    enum write_format format;
    uint8_t delimiter, quote;
    struct buf out;
    write_flush_fn *flush;
    void *user;
    size_t n_columns;
    struct buf *keys; /* NDJSON: what stands before each value */
    enum simd simd;   /* simd_best(), unless set after write_init */
    uint64_t *words;  /* VEC_ROWS for each column: the digits of its numbers, by place in sel */
};

int write_init(struct write *w, enum write_format format, const char *const *names, size_t n,
               uint8_t delimiter, uint8_t quote, write_flush_fn *flush, void *user,
               struct error *e) MUST_CHECK;
int write_end(struct write *w, struct error *e) MUST_CHECK; /* the rest of the buffer */
void write_done(struct write *w);

#endif
