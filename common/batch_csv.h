/*
 * batch_csv.h: rows as CSV of RFC 4180: fields with a comma, a quote or a line break stand in
 * quotes, lines end with CR LF. NULL is an empty field, an empty text is "" (as in PostgreSQL's
 * COPY). Values are as cell.h writes them.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_BATCH_CSV_H
#define DROVER_BATCH_CSV_H

#include "batch.h"

void batch_csv_header(const struct batch *b, struct buf *out);
/* scratch: used again from row to row. */
void batch_csv_row(const struct batch *b, uint32_t row, struct buf *scratch, struct buf *out);

#endif
