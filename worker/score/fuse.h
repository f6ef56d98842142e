/*
 * fuse.h: operators of a planned graph that become one.
 *
 *     MatMul or Gemm, Add, Relu/Sigmoid/Tanh        one dense product
 *     Gather, Imputer, Scaler before a forest        the forest reads the columns itself
 *     operators on the output of one tree            evaluated once for each leaf
 *     Sum of trees over one input                    one forest
 *
 * The last two together turn an isolation forest, which exporters write as some 27 operators for
 * each tree, into one forest.
 *
 * Thread rule: used by one thread while a model is loaded.
 */
#ifndef DROVER_SCORE_FUSE_H
#define DROVER_SCORE_FUSE_H

#include "graph.h"

struct fuse {
    struct graph *g;
    uint32_t *uses; /* by value: inputs of nodes, and outputs of the graph */
    bool *gone;     /* by node */
    struct arena *tmp;
    struct error *e;
};

/* The node that makes the value when nobody else uses it; NULL otherwise. */
struct node *fuse_sole_maker(const struct fuse *f, int32_t value);
/* The only node that uses the value; NULL: none, several, or it is an output of the graph. */
struct node *fuse_sole_user(const struct fuse *f, int32_t value);

int fuse_dense(struct fuse *f) MUST_CHECK;
int fuse_leaves(struct fuse *f) MUST_CHECK; /* fuse_tree.c, as the next two */
int fuse_inputs(struct fuse *f) MUST_CHECK;
int fuse_sums(struct fuse *f) MUST_CHECK;

#endif
