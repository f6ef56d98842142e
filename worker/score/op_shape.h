/*
 * op_shape.h: operators that move elements without computing with them.
 *
 * Thread rule: pure functions over the memory of the call.
 */
#ifndef DROVER_SCORE_OP_SHAPE_H
#define DROVER_SCORE_OP_SHAPE_H

#include "op.h"

int op_run_identity(struct op_run *r); /* Identity, Dropout (which does nothing when scoring) */
int op_run_reshape(struct op_run *r);
int op_run_flatten(struct op_run *r);
int op_run_squeeze(struct op_run *r);
int op_run_unsqueeze(struct op_run *r);
int op_run_shape(struct op_run *r);
int op_prepare_constant(struct op_prepare *p);
int op_run_constant(struct op_run *r);
int op_run_constant_of_shape(struct op_run *r);
int op_run_expand(struct op_run *r);
int op_run_concat(struct op_run *r);
int op_run_split(struct op_run *r);
int op_run_slice(struct op_run *r);
int op_run_gather(struct op_run *r);
int op_run_gather_elements(struct op_run *r);
int op_run_extract(struct op_run *r); /* ai.onnx.ml ArrayFeatureExtractor */
int op_run_transpose(struct op_run *r);

/* Sizes of the dimensions before, at and after an axis, multiplied. */
struct op_axes {
    size_t outer, n, inner;
};

static inline struct op_axes op_axes_of(const struct tensor *t, uint32_t axis)
{
    struct op_axes a = {1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++)
        *(i < axis ? &a.outer : i == axis ? &a.n : &a.inner) *= (size_t)t->dims[i];
    return a;
}

#endif
