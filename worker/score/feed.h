/*
 * feed.h: columns of a batch as tensors, and tensors as columns of a batch.
 *
 * Thread rule: pure functions over the memory of the call.
 */
#ifndef DROVER_SCORE_FEED_H
#define DROVER_SCORE_FEED_H

#include "model.h"

/* Can a column of this type feed an input of that type? */
bool feed_fits(enum col_type from, enum elem_type to);

/* n rows of columns of in, from row first on, as a tensor of this shape. A float32 matrix lies as
 * columns. INVALID_ARGUMENT: a cell that is no number; the detail names column and row. */
int feed_tensor(const struct batch *in, const uint32_t *columns, size_t n_columns,
                const struct shape *shape, uint32_t first, uint32_t n,
                struct score_scratch *scratch, struct tensor *ret, struct error *e) MUST_CHECK;

/* Element `at` of each row of t (width elements each) into a column of out. The rows' other columns
 * must be filled alike, and then out->n_rows raised (feed_rows). A failure sticks in out. */
void feed_column(const struct tensor *t, size_t width, size_t at, struct batch *out, size_t column);

/* Copies rows of a column. */
void feed_copy(const struct batch *in, size_t from, uint32_t first, uint32_t n, struct batch *out,
               size_t column);

/* All columns have n more cells. */
void feed_rows(struct batch *out, uint32_t n);

#endif
