/*
 * batch_csv.h: rows as CSV: fields with a comma, a quote or a line break stand in quotes. NULL is an empty
 * field, an empty text is "" (as in PostgreSQL's COPY). Two styles differ in the rest.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_BATCH_CSV_H
#define DROVER_BATCH_CSV_H

#include "batch.h"

enum batch_csv_style {
    BATCH_CSV_RFC4180, /* lines end with CR LF; values are as cell.h writes them */
    BATCH_CSV_COPY     /* lines end with LF; t and f, 2026-01-05 00:00:00+00: as COPY writes them */
};

void batch_csv_header(const struct batch *b, enum batch_csv_style style, struct buf *out);
/* scratch: used again from row to row. */
void batch_csv_row(const struct batch *b, uint32_t row, enum batch_csv_style style,
                   struct buf *scratch, struct buf *out);

#endif
