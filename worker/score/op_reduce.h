/*
 * op_reduce.h: operators that fold dimensions: sums, extremes, the places of extremes.
 *
 * Thread rule: pure functions over the memory of the call.
 */
#ifndef DROVER_SCORE_OP_REDUCE_H
#define DROVER_SCORE_OP_REDUCE_H

#include "op.h"

int op_run_reduce(struct op_run *r);
int op_run_arg(struct op_run *r); /* ArgMax, ArgMin */
int op_run_top_k(struct op_run *r);
int op_run_cum_sum(struct op_run *r);

#endif
