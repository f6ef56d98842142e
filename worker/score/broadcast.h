/*
 * broadcast.h: walks tensors of several shapes together by ONNX's rule (as numpy): shapes are lined
 * up from the right, and a dimension of 1 repeats. What can be walked as one run is one run.
 *
 * Rule: https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SCORE_BROADCAST_H
#define DROVER_SCORE_BROADCAST_H

#include "op.h"

enum { BROADCAST_INPUTS = 3 }; /* inputs */

struct broadcast {
    uint32_t rank;
    int64_t dims[TENSOR_RANK_MAX]; /* of the output */
    uint32_t n_in;
    /* The walk: loops from the outside in; the last is a run of `run` elements. */
    uint32_t n_loops;
    size_t counts[TENSOR_RANK_MAX], steps[BROADCAST_INPUTS][TENSOR_RANK_MAX];
    size_t run, run_steps[BROADCAST_INPUTS]; /* a step of a run is 0 or 1 element */
};

/* False when the shapes do not go together. */
bool broadcast_make(const struct tensor *const *in, uint32_t n_in,
                    struct broadcast *ret) MUST_CHECK;

/* Calls fn for each run with the offsets of the inputs and of the output, in elements. */
typedef void (*broadcast_fn)(const struct broadcast *b, const size_t in[BROADCAST_INPUTS],
                             size_t out, void *user);
void broadcast_each(const struct broadcast *b, broadcast_fn fn, void *user);

#endif
