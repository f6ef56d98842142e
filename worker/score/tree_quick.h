/*
 * tree_quick.h: the form of a forest for QuickScorer: a tree of up to 32 leaves is a list of tests,
 * in any order, and a word with one bit for each leaf. A test that fails clears the leaves on its
 * true side; the lowest bit that is left is the leaf. Larger trees are cut into parts of up to 32
 * leaves; the tests on the way to a part clear all its bits when the row goes elsewhere.
 *
 * Lucchese et al., "QuickScorer: a Fast Algorithm to Rank Documents with Additive Ensembles of
 * Regression Trees" (SIGIR 2015). Here the vector runs over rows, and nothing branches on data.
 *
 * Thread rule: immutable once built.
 */
#ifndef DROVER_SCORE_TREE_QUICK_H
#define DROVER_SCORE_TREE_QUICK_H

#include "tree.h"

enum { QUICK_LEAVES = 32, QUICK_TREE_LEAVES = 2048 };

/* When a test clears bits, by the order of the tests in a part. NaN: is it cleared for NaN? */
enum quick_kind {
    QUICK_NLE, /* not x <= v: NaN clears */
    QUICK_GT,  /* x > v */
    QUICK_LE,  /* on the way: the row must not go to yes */
    QUICK_NGT, /* the same, where NaN goes to yes */
    QUICK_NEQ, /* not x == v: NaN clears */
    QUICK_NEQ_KEEP,
    QUICK_EQ,
    QUICK_EQ_NAN,
    QUICK_KINDS
};

struct quick_test {
    float v;
    uint32_t keep; /* bits that stay when it clears */
    uint32_t x;    /* slot * TREE_BLOCK_ROWS */
};

struct quick_part {
    uint32_t first;             /* test */
    uint32_t end[QUICK_KINDS];  /* first + how many tests up to this kind */
    int32_t target;             /* of its only output; -1: leaves have n_targets values */
    uint32_t leaf;              /* values: leaf number 31 - bit, from here on */
    bool tests_way;             /* bits may all be cleared */
    bool starts, ends;          /* first and last part of its tree */
    float values[QUICK_LEAVES]; /* by 31 - bit; when target >= 0 */
};

struct quick {
    struct quick_part *parts;
    struct quick_test *tests;
    float *leaves; /* (leaf + 31 - bit) * n_targets, for parts with target -1 */
    size_t n_parts, n_tests, n_leaves;
    int32_t n_targets;
    bool counts; /* sums of whole numbers */
};

/* Adds what the rows' leaves say in trees with several targets. ids: leaves by row. */
static inline void quick_add_leaves(const struct quick *q, const uint32_t *ids, uint32_t n,
                                    float *sums)
{
    size_t width = (size_t)q->n_targets;
    for (uint32_t r = 0; r < n; r++)
        for (size_t k = 0; k < width; k++)
            tree_add(&sums[k * TREE_BLOCK_ROWS + r], q->leaves[ids[r] * width + k], q->counts);
}

enum quick_level { QUICK_SCALAR, QUICK_AVX2, QUICK_AVX512, QUICK_LEVELS };

extern const tree_run_fn quick_run[QUICK_LEVELS]; /* NULL: not on this architecture */
bool quick_has(int level);                        /* does this processor have it? */

#endif
