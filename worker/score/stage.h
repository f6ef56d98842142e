/*
 * stage.h: a model as a stage of a job: which columns of the rows before feed which inputs, and
 * which columns come out.
 *
 *     {"kind": "score", "model": {"blob": SHA256},
 *      "inputs": {"X": ["age", "income"], "city": "city"},
 *      "outputs": ["label", "probability_1"], "keep": ["id"]}
 *
 * Without "inputs", an input takes the column of its name; a model with one matrix takes all
 * columns that are not kept, in their order. Without "outputs" all columns of the model come out.
 * Kept columns come first. NULL is a missing value: NaN for floats, empty for text; an integer that
 * is NULL is an error.
 *
 * Thread rule: a stage is immutable and may be shared by threads, each with a scratch of its own.
 */
#ifndef DROVER_SCORE_STAGE_H
#define DROVER_SCORE_STAGE_H

#include <jansson.h>

#include "model.h"

struct score_stage;

/* stage: NULL for a model without a description (all inputs by name or by position). input: the
 * columns of the stage before. Takes a reference to the model. */
int score_stage_compile(const json_t *stage, struct score_model *model, const struct batch *input,
                        struct score_stage **ret, struct error *e) MUST_CHECK;
void score_stage_free(struct score_stage *s); /* takes NULL */

const struct score_model *score_stage_model(const struct score_stage *s);
/* An empty batch with the columns that the stage makes. NULL: no memory. */
struct batch *score_stage_columns(const struct score_stage *s) MUST_CHECK;

/* Scores the rows of in and appends them to out, which has the columns of score_stage_columns.
 * in has the columns that the stage was compiled for. INVALID_ARGUMENT names the row; LIMIT. */
int score_stage_run(const struct score_stage *s, struct score_scratch *scratch,
                    const struct batch *in, struct batch *out, struct error *e) MUST_CHECK;
/* The same for n rows from first. */
int score_stage_run_some(const struct score_stage *s, struct score_scratch *scratch,
                         const struct batch *in, uint32_t first, uint32_t n, struct batch *out,
                         struct error *e) MUST_CHECK;

#endif
