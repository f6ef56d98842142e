/*
 * load.h: fields of a block of CSV, or cells of a batch, into the typed vectors of the columns that a
 * query names. An empty field without quotes is NULL, as for COPY ... CSV. What does not parse is a
 * fault of its row, or NULL by policy.
 *
 * Thread rule: works on its eval alone.
 */
#ifndef DROVER_TRANSFORM_LOAD_H
#define DROVER_TRANSFORM_LOAD_H

#include "common/batch.h"
#include "csv.h"
#include "eval.h"

struct load_column {
    uint32_t field;  /* of the row or of the batch, from 0 */
    uint32_t column; /* of the eval */
    const char *name;
};

/* Rows first_row + i of the block, for the i of sel, each of which has the field or counts as NULL. */
void load_csv(struct eval *v, const struct csv_block *b, size_t first_row, const struct sel *sel,
              const struct load_column *column, uint8_t quote);

void load_batch(struct eval *v, const struct batch *b, uint32_t first_row, const struct sel *sel,
                const struct load_column *column);

#endif
