/*
 * tree_read.h: reads the attributes of TreeEnsembleRegressor, TreeEnsembleClassifier and
 * TreeEnsemble into a forest, checking every number.
 *
 * Thread rule: used while a model is loaded.
 */
#ifndef DROVER_SCORE_TREE_READ_H
#define DROVER_SCORE_TREE_READ_H

#include "onnx_list.h"
#include "op.h"
#include "tree.h"

/* prefix: "target" or "class", of the attributes with the weights. n_targets: of the model. */
int tree_read(struct op_prepare *p, const char *prefix, int32_t n_targets,
              struct forest *ret) MUST_CHECK;

/* TreeEnsemble of ai.onnx.ml version 5. */
int tree_read_v5(struct op_prepare *p, int32_t n_targets, struct forest *ret) MUST_CHECK;

/* Values of an attribute that may be floats or a tensor named with "_as_tensor", in order. */
struct tree_values {
    size_t n; /* 0 when neither is there */
    struct onnx_list list;
    const struct tensor *tensor; /* or NULL */
    size_t at;
};
int tree_values(struct op_prepare *p, const char *name, struct tree_values *ret) MUST_CHECK;
double tree_values_next(struct tree_values *v);

#endif
