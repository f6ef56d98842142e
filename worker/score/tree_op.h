/*
 * tree_op.h: the operators TreeEnsembleRegressor, TreeEnsembleClassifier and TreeEnsemble, and what
 * the planner changes in them before they choose their kernel.
 *
 * Thread rule: a state is immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_TREE_OP_H
#define DROVER_SCORE_TREE_OP_H

#include "post.h"
#include "tree.h"

enum tree_aggregate { TREE_SUM, TREE_AVERAGE, TREE_MIN, TREE_MAX };

/* How float64 and integer inputs become float32 without changing a comparison. */
enum tree_rounding { TREE_ROUND_UP, TREE_ROUND_DOWN, TREE_ROUND_NONE };

struct tree_state {
    struct forest forest; /* its arrays are gone after loading unless needs_walk */
    struct tree_kernels kernels;
    struct tree_input input;
    bool chosen;     /* the kernel is there */
    bool needs_walk; /* rows may need the model's own nodes */
    enum tree_aggregate aggregate;
    enum tree_rounding rounding;
    enum post post;
    float *base;   /* n_targets values, or NULL */
    size_t n_base; /* as the model has them */
    bool classifier;
    struct labels labels;
    bool one_score;    /* two classes, whose scores are both told by the weights of one */
    bool all_positive; /* no weight is negative: the score is a probability */
};

int tree_prepare_regressor(struct op_prepare *p);
int tree_prepare_classifier(struct op_prepare *p);
int tree_prepare_v5(struct op_prepare *p);
int tree_run_op(struct op_run *r);

/* Chooses the kernel of a prepared node (or takes the one that is named). Once, after the planner
 * is done with it; until then rows walk over the model's own nodes. */
int tree_settle(struct node *n, const char *kernel, enum elem_type input, struct arena *keep,
                struct error *e) MUST_CHECK;

/* The number of columns that the node's input must have. */
int32_t tree_features(const struct node *n);

#endif
