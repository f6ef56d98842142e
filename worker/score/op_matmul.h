/*
 * op_matmul.h: products of matrices: MatMul, Gemm, and what the planner puts into them (an addition
 * that follows, an activation); BatchNormalization.
 *
 * Thread rule: states are immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_OP_MATMUL_H
#define DROVER_SCORE_OP_MATMUL_H

#include "op.h"
#include "simd.h"

/* A product with constant weights. The state of MatMul and Gemm; NULL when the weights vary. */
struct dense_state {
    struct simd_dense dense;
    const float *weights; /* [k][m], as they came */
    const float *bias;    /* m values, or NULL */
};

int op_prepare_matmul(struct op_prepare *p);
int op_prepare_gemm(struct op_prepare *p);
int op_run_matmul(struct op_run *r);
int op_run_gemm(struct op_run *r);
int op_run_batch_normalization(struct op_run *r);

/* Adds a bias of m values and an activation to a state that has none. NOMEM. */
int dense_fuse(struct dense_state *s, const float *bias, enum simd_activation activation,
               struct arena *keep) MUST_CHECK;

/* x (a float32 matrix in either form) times the weights into out[rows][m]. NOMEM. */
int dense_run(const struct dense_state *s, const struct tensor *x, struct arena *mem,
              float *out) MUST_CHECK;

#endif
