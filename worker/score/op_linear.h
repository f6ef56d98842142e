/*
 * op_linear.h: the operators of ai.onnx.ml that weigh features: LinearRegressor, LinearClassifier,
 * and those with support vectors: SVMRegressor, SVMClassifier.
 *
 * Semantics: https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md; where it is silent, ONNX
 * Runtime's. Support vectors are LIBSVM's: https://www.csie.ntu.edu.tw/~cjlin/papers/libsvm.pdf
 *
 * Thread rule: states are immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_OP_LINEAR_H
#define DROVER_SCORE_OP_LINEAR_H

#include "op_matmul.h"
#include "post.h"

struct linear_state {
    struct dense_state dense;
    enum post post;
    bool classifier;
    struct labels labels; /* of a classifier */
};

int op_prepare_linear_regressor(struct op_prepare *p);
int op_prepare_linear_classifier(struct op_prepare *p);
int op_run_linear(struct op_run *r);
int op_prepare_svm_regressor(struct op_prepare *p);
int op_prepare_svm_classifier(struct op_prepare *p);
int op_run_svm(struct op_run *r);

/* Names of the classes whose scores an SVMClassifier gives; NULL: its scores are of pairs. */
const struct labels *svm_labels(const struct node *n);

/* The input as a float32 matrix: a vector counts as one row, numbers become float32. */
int op_matrix(struct op_run *r, const struct tensor *t, struct tensor *ret) MUST_CHECK;

#endif
