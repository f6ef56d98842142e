/*
 * verify.h: rows that travel with a model, and what Python made of them. A worker that computes
 * something else refuses the model.
 *
 * A sample is msgpack: [1, inputs, outputs], both a packed batch (common/batch.h) of as many rows.
 * inputs has the columns that the model takes, by name or by position as in a stage without
 * "inputs". outputs has columns of the model's results (stage.h), at least one.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SCORE_VERIFY_H
#define DROVER_SCORE_VERIFY_H

#include "model.h"

enum { VERIFY_ROWS_MAX = 100000 };
#define VERIFY_TOLERANCE 1e-5 /* by default */

/* Numbers may differ by tolerance * max(1, |expected|); text, integers and NaN not at all.
 * INVALID_ARGUMENT names the row, the output and the difference; MALFORMED, LIMIT, NOMEM. */
int score_verify(struct score_model *m, struct span sample, double tolerance,
                 struct error *e) MUST_CHECK;

#endif
