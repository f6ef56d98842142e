/*
 * op_math.h: operators that work element by element: arithmetic, comparisons, logic, functions of
 * one number, Cast, Where.
 *
 * Thread rule: pure functions over the memory of the call.
 */
#ifndef DROVER_SCORE_OP_MATH_H
#define DROVER_SCORE_OP_MATH_H

#include "op.h"

int op_run_binary(struct op_run *r); /* Add Sub Mul Div Pow Min Max And Or Xor comparisons Sum */
int op_run_mean(struct op_run *r);
int op_run_unary(struct op_run *r);
int op_run_clip(struct op_run *r);
int op_run_where(struct op_run *r);
int op_run_cast(struct op_run *r);
int op_run_softmax(struct op_run *r); /* Softmax LogSoftmax */

/* Converts t to another element type. INVALID_ARGUMENT for text that is no number. */
int op_convert(struct op_run *r, const struct tensor *t, enum elem_type to,
               struct tensor *ret) MUST_CHECK;

#endif
