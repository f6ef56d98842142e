/*
 * verify.h: rows that travel with a model, and what Python made of them. Whoever computes something
 * else refuses the model: the coordinator when a job is submitted, and each worker.
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

enum {
    VERIFY_ROWS_MAX = 100000,
    VERIFY_BYTES_MAX = 64 * 1024 * 1024, /* of a sample */
    VERIFY_SUBMIT_MAX_MS = 5000 /* so long at submit; what is left is the workers' to find */
};
#define VERIFY_TOLERANCE 1e-5 /* by default */

/* limit_ms: the rest is left out after so long, for who only wants to hear early; 0: all of it.
 *
 * Numbers may differ by tolerance * max(1, |expected|); text, integers and NaN not at all.
 * INVALID_ARGUMENT names the row, the output and the difference; MALFORMED, LIMIT, NOMEM. */
int score_verify(struct score_model *m, struct span sample, double tolerance, uint32_t limit_ms,
                 struct error *e) MUST_CHECK;

#endif
