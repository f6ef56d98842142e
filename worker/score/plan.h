/*
 * plan.h: what happens to a graph between its building and its first run: constants are computed,
 * types and shapes are found by runs over made-up rows, operators are put together (fuse.h), what
 * nobody needs is left out, and forests choose their kernels.
 *
 * Shapes come from trial runs with two numbers of rows: what differs between them is the dimension
 * of the rows. So there is one set of rules for shapes, the operators' own.
 *
 * Thread rule: used by one thread while a model is loaded.
 */
#ifndef DROVER_SCORE_PLAN_H
#define DROVER_SCORE_PLAN_H

#include "graph.h"

enum { PLAN_FOLDED_BYTES_MAX = 64 << 20 }; /* of constants that are computed when loading */

/* folded: memory for computed constants, with that limit. kernel: forced for all forests, or NULL.
 * *ret_one_row: the model was exported for one row at a time. */
int plan_make(struct graph *g, const char *kernel, struct arena *folded, bool *ret_one_row,
              struct error *e) MUST_CHECK;

/* The columns that a matrix of unknown width must have at least, by the operators that take it; 0:
 * no operator says. */
int64_t plan_width(const struct graph *g, int32_t value);

#endif
