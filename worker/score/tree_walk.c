/*
 * tree_walk.c: the plain way through a forest, node by node as the model has them. Every other
 * kernel is tested against it, and it takes the forests that have no other form.
 */
#include "tree.h"

static bool holds(uint8_t mode, double x, double v)
{
    switch (mode) {
    case TREE_LEQ:
        return x <= v;
    case TREE_LT:
        return x < v;
    case TREE_GTE:
        return x >= v;
    case TREE_GT:
        return x > v;
    case TREE_EQ:
        return x == v;
    default:
        return x != v;
    }
}

static const struct tree_node *step(const struct forest *f, const struct tree_node *n, double x)
{
    bool yes = x != x ? n->nan_yes || (n->mode == TREE_NEQ) : holds(n->mode, x, n->value);
    return &f->nodes[yes ? n->yes : n->no];
}

const struct tree_node *tree_leaf(const struct forest *f, size_t tree, const double *row)
{
    const struct tree_node *n = &f->nodes[f->roots[tree]];
    while (n->mode != TREE_LEAF)
        n = step(f, n, row[n->feature]);
    return n;
}

static void run(const struct tree_kernel *k, const struct tree_block *blocks, size_t n_blocks,
                float *acc)
{
    const struct forest *f = k->data;
    for (size_t t = 0; t < f->n_trees; t++)
        for (size_t b = 0; b < n_blocks; b++) {
            const float *x = blocks[b].x;
            float *sums = acc + b * k->n_combined;
            for (uint32_t r = 0; r < blocks[b].n; r++) {
                const struct tree_node *n = &f->nodes[f->roots[t]];
                while (n->mode != TREE_LEAF)
                    n = step(f, n, (double)x[(uint32_t)n->feature * TREE_BLOCK_ROWS + r]);
                for (uint32_t i = 0; i < n->n_weights; i++) {
                    const struct tree_weight *w = &f->weights[n->weight + i];
                    tree_add(&sums[w->target * TREE_BLOCK_ROWS + (int32_t)r], forest_step(f, w),
                             f->units != NULL);
                }
            }
        }
}

void tree_walk_use(struct forest *f, struct tree_kernel *ret)
{
    ret->name = "walk";
    ret->run = run;
    ret->data = f;
}

int tree_walk_make(const struct forest *f, struct arena *keep, struct tree_kernel *ret)
{
    struct forest *copy = arena_alloc(keep, sizeof *copy);
    if (!copy || forest_copy(f, keep, copy))
        return ERR_NOMEM;
    tree_walk_use(copy, ret);
    return ERR_OK;
}
