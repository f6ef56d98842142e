/*
 * tree.h: ensembles of decision trees. A forest is what a model describes, checked; a tree_kernel
 * is a forest in the form of one way to walk it. All kernels add the same weights in the order of
 * the trees, so their sums agree bit for bit, on every processor.
 *
 * Votes of classifiers are added as whole numbers of a small unit, chosen so that sums fit into 31
 * bits: ten trees of twenty make one half exactly, as they do in the library that adds float64, and
 * a tie is a tie. Regressors add float32, since their leaves may be of any size.
 *
 * Semantics: ai.onnx.ml TreeEnsembleRegressor/Classifier (versions 1 to 3) and TreeEnsemble (5),
 * https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md. A comparison with NaN is false
 * unless the node says that missing values track true.
 *
 * Thread rule: immutable once built.
 */
#ifndef DROVER_SCORE_TREE_H
#define DROVER_SCORE_TREE_H

#include "tensor.h"

enum {
    TREE_NODES_MAX = 1 << 26, /* of a forest */
    TREE_COUNT_MAX = 1 << 20,
    TREE_DEPTH_MAX = 4096,
    TREE_FEATURES_MAX = 1 << 20,
    TREE_TARGETS_MAX = 4096,
    TREE_BLOCK_ROWS = 64, /* rows that a kernel takes at a time */
};

enum tree_mode { TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ, TREE_LEAF };

struct tree_node {
    double value; /* what the feature is compared with */
    int32_t feature;
    int32_t yes, no;            /* numbers of nodes; -1 in a leaf */
    uint32_t weight, n_weights; /* of a leaf: into forest.weights */
    uint8_t mode;               /* enum tree_mode */
    uint8_t nan_yes;            /* a missing value goes where true goes */
};

struct tree_weight {
    int32_t target;
    float w;
};

struct forest {
    struct tree_node *nodes;
    int32_t *roots;
    struct tree_weight *weights;
    size_t n_nodes, n_trees, n_weights, n_leaves;
    int32_t n_targets;
    int32_t n_features; /* columns that the input must have at least */
    uint32_t depth;     /* of the deepest tree; a lone leaf has 0 */
    bool shared; /* ways meet again: sets of categories, each a test that leads to one node */
    const double *units; /* by target, of sums of whole numbers; NULL: sums of float32 */
};

/* Chooses the units; leaves the forest as it is when a weight is not finite, or nodes are shared.
 * NOMEM. */
int forest_count(struct forest *f, struct arena *keep) MUST_CHECK;

/* What is added for a weight: a float32, or the bits of a whole number. */
float forest_step(const struct forest *f, const struct tree_weight *w);

typedef uint32_t tree_count __attribute__((may_alias)); /* a sum of whole numbers, as int32_t */

static inline void tree_add(float *sum, float step, bool counts)
{
    tree_count n;
    memcpy(&n, &step, sizeof n);
    if (counts)
        *(tree_count *)(void *)sum += n;
    else
        *sum += step;
}

/* A copy in other memory. NOMEM. */
int forest_copy(const struct forest *f, struct arena *mem, struct forest *ret) MUST_CHECK;

/* Checks children, parents, reachability and depth, and counts. what: for errors. */
int forest_check(struct forest *f, struct arena *tmp, const char *what, struct error *e) MUST_CHECK;

/* ---- rows for the kernels ---- */

/* How a used feature comes from its column: NaN replaced (an Imputer), then (x - offset) * scale (a
 * Scaler). Both NULL for most models. */
struct tree_input {
    const float *missing; /* by feature of the model; NaN: stays */
    const float *offset, *scale;
};

/* Numbers whose order as integers is theirs as float32: -0 is 0, and NaN is above all. */
#define TREE_KEY_NAN 0xFFFFFFFFu
static inline uint32_t tree_key(float v)
{
    uint32_t bits;
    float sum = v + 0.0f;
    memcpy(&bits, &sum, sizeof bits);
    bits ^= bits >> 31 ? 0xFFFFFFFFu : 0x80000000u;
    return v == v ? bits : TREE_KEY_NAN;
}

/* Up to TREE_BLOCK_ROWS rows: x[feature slot][row]. Rows beyond n repeat old values. After the
 * slots of the forest there is one of zeros. */
struct tree_block {
    union {
        float *x;       /* (slots + 1) * TREE_BLOCK_ROWS, aligned to 64 */
        uint32_t *keys; /* for a kernel that compares keys */
    };
    uint32_t n;
    bool missing; /* a NaN is among them */
};

struct tree_kernel;

/* Adds the leaves of all trees to acc[target][row] (TREE_BLOCK_ROWS sums per target), block after
 * block. acc must be zero before. */
typedef void (*tree_run_fn)(const struct tree_kernel *k, const struct tree_block *blocks,
                            size_t n_blocks, float *acc);

struct tree_kernel {
    const char *name;
    tree_run_fn run;
    void *data;         /* of the kernel */
    uint32_t *features; /* slot -> feature */
    uint32_t n_slots;
    bool keys; /* takes tree_key of the numbers */
    int32_t n_targets;
    size_t n_trees;
    const double *units; /* of the forest */
    uint32_t n_combined; /* sums of acc per block: n_targets * TREE_BLOCK_ROWS */
};

/* The kernels. Each returns UNSUPPORTED when the forest has no such form. */
enum { TREE_UNSUPPORTED = -1 };
void tree_walk_use(struct forest *f, struct tree_kernel *ret); /* f stays as long as the kernel */
int tree_walk_make(const struct forest *f, struct arena *keep, struct tree_kernel *ret) MUST_CHECK;
int tree_lockstep_make(const struct forest *f, struct arena *keep,
                       struct tree_kernel *ret) MUST_CHECK;
int tree_quick_make(const struct forest *f, int level, struct arena *keep,
                    struct tree_kernel *ret) MUST_CHECK;

/* A forest without LT, GT, GTE, NEQ and thresholds beyond float32: the same answers for float32
 * inputs with LEQ and EQ alone. False: a comparison has no such form. */
bool forest_simplify(struct forest *f);

/* ---- the chosen kernel ---- */

enum { TREE_FEW_ROWS = 4 };

struct tree_kernels {
    struct tree_kernel many, few; /* few: for up to TREE_FEW_ROWS rows */
};

/* Makes the kernels that fit, measures them on made-up rows, and keeps the fastest for many rows
 * and for one; or the one that forced names ("walk", "lockstep", "quick", "quick-scalar",
 * "quick-avx2", "quick-avx512"). note becomes a sentence about the choice. */
int tree_choose(const struct forest *f, const char *forced, struct arena *keep,
                struct tree_kernels *ret, const char **ret_note, struct error *e) MUST_CHECK;

/* Sums for n rows of t (a float32 matrix in either form) into out[row * n_targets + target], with
 * base (n_targets values, or NULL) added. */
int tree_sums(const struct tree_kernels *k, const struct tree_input *input, const struct tensor *t,
              const float *base, struct arena *mem, float *out) MUST_CHECK;

/* The leaf that a row arrives at, with the nodes as they are in the model and values in double: for
 * values that float32 cannot hold, and for aggregates other than sums. */
const struct tree_node *tree_leaf(const struct forest *f, size_t tree, const double *row);

#endif
