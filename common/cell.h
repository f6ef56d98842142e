/*
 * cell.h: a cell of a batch as plain text, for sinks that take texts: fields of Redis, CSV.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_CELL_H
#define DROVER_CELL_H

#include "batch.h"

/* The cell's text: true and false, numbers as in NDJSON but NaN, Infinity and -Infinity too, dates
 * as YYYY-MM-DD, timestamps as RFC 3339 in UTC, texts as they are. p is NULL for a NULL cell (and
 * for a date that no calendar has). It lies in the batch or in scratch, which is emptied first. */
struct span cell_text(const struct batch *b, size_t column, uint32_t row, struct buf *scratch);

#endif
