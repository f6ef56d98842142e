/*
 * tree_lockstep.c: eight rows go down a tree together. A node has eight bytes: the threshold, and
 * the place of its children (which lie side by side) with the feature. Numbers are compared as keys
 * (tree_key), so that a step is a comparison of integers whose carry is added to the place of the
 * children. A leaf leads to itself, so that no row has to be asked whether it has arrived: it
 * compares a slot that is always 0, and has its own number for a threshold. The steps of eight rows
 * hide each other's waiting for memory; rows that have arrived are dropped every few levels. One
 * row alone goes down eight trees together instead.
 */
#include "tree.h"

enum {
    LANES = 8,
    LEVELS = 4,
    SLOT_SHIFT = 7, /* slot << 1 to the bytes of its TREE_BLOCK_ROWS keys */
};
_Static_assert(2 << SLOT_SHIFT == TREE_BLOCK_ROWS * sizeof(uint32_t), "a slot is 256 bytes");

struct node8 {
    uint32_t key;  /* of the threshold; the number of the leaf */
    uint32_t next; /* place of the yes child << shift | slot << 1 | nan_yes */
};

struct tree8 {
    const struct node8 *nodes; /* nodes[0] is unused; nodes[1] is the root */
    const float *values;       /* by leaf: one, or n_targets */
    uint32_t depth;
    int32_t target; /* -1: leaves have n_targets values */
};

struct lockstep {
    struct tree8 *trees;
    size_t n_trees;
    uint32_t shift, mask;
    uint32_t leaf_slot; /* << 1 */
    int32_t n_targets;
    bool nan_yes, counts;
};

/* ---- building ---- */

/* The only target of the tree's leaves, or -1. */
static int32_t only_target(const struct forest *f, const int32_t *order, size_t n)
{
    int32_t target = -1;
    for (size_t i = 0; i < n; i++) {
        const struct tree_node *node = &f->nodes[order[i]];
        if (node->mode != TREE_LEAF)
            continue;
        if (node->n_weights != 1)
            return -1;
        int32_t t = f->weights[node->weight].target;
        if (target >= 0 && t != target)
            return -1;
        target = t;
    }
    return target;
}

/* Breadth first: order[i] is the node that lies at place i + 1. */
static size_t breadth_first(const struct forest *f, size_t tree, int32_t *order,
                            uint32_t *ret_depth)
{
    size_t n = 1, level_end = 1;
    uint32_t depth = 0;
    order[0] = f->roots[tree];
    for (size_t i = 0; i < n; i++) {
        if (i == level_end) {
            depth++;
            level_end = n;
        }
        const struct tree_node *node = &f->nodes[order[i]];
        if (node->mode != TREE_LEAF) {
            order[n++] = node->yes;
            order[n++] = node->no;
        }
    }
    *ret_depth = depth;
    return n;
}

static int build_tree(const struct forest *f, size_t tree, const struct lockstep *l, int32_t *order,
                      struct arena *keep, struct tree8 *ret)
{
    size_t n = breadth_first(f, tree, order, &ret->depth), next = 2;
    uint32_t leaf = 0;
    ret->target = only_target(f, order, n);
    size_t width = ret->target >= 0 ? 1 : (size_t)f->n_targets;
    struct node8 *nodes = arena_zalloc(keep, (n + 1) * sizeof *nodes);
    float *values = arena_zalloc(keep, ((n + 1) / 2) * width * sizeof *values);
    if (!nodes || !values)
        return ERR_NOMEM;
    if (n + 1 > 1u << (32 - l->shift))
        return TREE_UNSUPPORTED;
    for (size_t i = 0; i < n; i++) {
        const struct tree_node *node = &f->nodes[order[i]];
        struct node8 *out = &nodes[i + 1];
        if (node->mode != TREE_LEAF) {
            out->key = tree_key((float)node->value);
            out->next = (uint32_t)next << l->shift | (uint32_t)node->feature << 1 | node->nan_yes;
            next += 2;
            continue;
        }
        out->key = leaf;
        out->next = (uint32_t)(i + 1) << l->shift | l->leaf_slot;
        for (uint32_t k = 0; k < node->n_weights; k++) {
            const struct tree_weight *w = &f->weights[node->weight + k];
            values[leaf * width + (ret->target >= 0 ? 0 : (size_t)w->target)] = forest_step(f, w);
        }
        leaf++;
    }
    ret->nodes = nodes;
    ret->values = values;
    return ERR_OK;
}

/* ---- running ---- */

static inline __attribute__((always_inline)) uint32_t down(const struct lockstep *l,
                                                           const struct node8 *nodes, uint32_t i,
                                                           const uint32_t *x, bool missing)
{
    uint32_t next = nodes[i].next, key;
    memcpy(&key, (const char *)x + ((size_t)(next & l->mask) << SLOT_SHIFT), sizeof key);
    uint32_t no = nodes[i].key < key;
    if (missing)
        no &= ~((uint32_t)(key == TREE_KEY_NAN) & next);
    return (next >> l->shift) + no;
}

static inline void add_leaf(const struct lockstep *l, const struct tree8 *t, uint32_t leaf,
                            float *sum)
{
    if (t->target >= 0) {
        tree_add(&sum[t->target * TREE_BLOCK_ROWS], t->values[leaf], l->counts);
        return;
    }
    const float *values = t->values + (size_t)leaf * (size_t)l->n_targets;
    for (int32_t k = 0; k < l->n_targets; k++)
        tree_add(&sum[k * TREE_BLOCK_ROWS], values[k], l->counts);
}

/* All rows of a block. A path is much shorter on average than the longest of eight, so after each
 * few levels the rows that have arrived make room for others. */
static inline __attribute__((always_inline)) void all_rows(const struct lockstep *l,
                                                           const struct tree8 *t, const uint32_t *x,
                                                           uint32_t n, float *sum, bool missing)
{
    uint32_t at[TREE_BLOCK_ROWS], row[TREE_BLOCK_ROWS], end[TREE_BLOCK_ROWS];
    const struct node8 *nodes = t->nodes;
    uint32_t active = n;
    for (uint32_t r = 0; r < TREE_BLOCK_ROWS; r++) {
        at[r] = 1;
        row[r] = r;
    }
    for (uint32_t depth = 0; depth < t->depth; depth += LEVELS) {
        for (uint32_t g = 0; g < active; g += LANES) { /* what lies beyond does no harm */
            uint32_t i[LANES];
            const uint32_t *xs[LANES];
            for (size_t k = 0; k < LANES; k++) {
                i[k] = at[g + k];
                xs[k] = x + row[g + k];
            }
            for (uint32_t level = 0; level < LEVELS; level++)
                for (size_t k = 0; k < LANES; k++)
                    i[k] = down(l, nodes, i[k], xs[k], missing);
            for (size_t k = 0; k < LANES; k++)
                at[g + k] = i[k];
        }
        if (depth < LEVELS || depth + LEVELS >= t->depth)
            continue;
        uint32_t still = 0;
        for (uint32_t i = 0; i < active; i++) {
            uint32_t place = at[i], its_row = row[i];
            end[its_row] = place;
            at[still] = place;
            row[still] = its_row;
            still += (nodes[place].next & l->mask) != l->leaf_slot;
        }
        active = still;
    }
    for (uint32_t i = 0; i < active; i++)
        end[row[i]] = at[i];
    for (uint32_t r = 0; r < n; r++)
        add_leaf(l, t, nodes[end[r]].key, sum + r);
}

static inline __attribute__((always_inline)) void eight_trees(const struct lockstep *l,
                                                              const struct tree8 *t,
                                                              const uint32_t *x, float *sum,
                                                              bool missing)
{
    uint32_t i[LANES], depth = 0;
    for (size_t k = 0; k < LANES; k++) {
        i[k] = 1;
        depth = MAX(depth, t[k].depth);
    }
    for (uint32_t level = 0; level < depth; level++)
        for (size_t k = 0; k < LANES; k++)
            i[k] = down(l, t[k].nodes, i[k], x, missing);
    for (size_t k = 0; k < LANES; k++)
        add_leaf(l, &t[k], t[k].nodes[i[k]].key, sum);
}

static void one_tree(const struct lockstep *l, const struct tree8 *t, const uint32_t *x, float *sum)
{
    uint32_t i = 1;
    for (uint32_t level = 0; level < t->depth; level++)
        i = down(l, t->nodes, i, x, true);
    add_leaf(l, t, t->nodes[i].key, sum);
}

static void few_rows(const struct lockstep *l, const struct tree_block *b, float *sums)
{
    for (uint32_t r = 0; r < b->n; r++) {
        size_t t = 0;
        for (; t + LANES <= l->n_trees; t += LANES)
            if (b->missing && l->nan_yes)
                eight_trees(l, &l->trees[t], b->keys + r, sums + r, true);
            else
                eight_trees(l, &l->trees[t], b->keys + r, sums + r, false);
        for (; t < l->n_trees; t++)
            one_tree(l, &l->trees[t], b->keys + r, sums + r);
    }
}

static void run(const struct tree_kernel *k, const struct tree_block *blocks, size_t n_blocks,
                float *acc)
{
    const struct lockstep *l = k->data;
    if (n_blocks == 1 && blocks->n < LANES) {
        few_rows(l, blocks, acc);
        return;
    }
    for (size_t t = 0; t < l->n_trees; t++)
        for (size_t b = 0; b < n_blocks; b++) {
            const uint32_t *x = blocks[b].keys;
            float *sums = acc + b * k->n_combined;
            if (blocks[b].missing && l->nan_yes)
                all_rows(l, &l->trees[t], x, blocks[b].n, sums, true);
            else
                all_rows(l, &l->trees[t], x, blocks[b].n, sums, false);
        }
}

int tree_lockstep_make(const struct forest *f, struct arena *keep, struct tree_kernel *ret)
{
    struct lockstep *l = arena_zalloc(keep, sizeof *l);
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    int32_t *order = arena_alloc(&tmp, (f->n_nodes + 1) * sizeof *order);
    if (!l || !order)
        return ERR_NOMEM;
    for (l->shift = 2; 1 << (l->shift - 1) < f->n_features + 1; l->shift++)
        ;
    l->leaf_slot = (uint32_t)f->n_features << 1;
    l->mask = (1u << l->shift) - 2;
    l->n_trees = f->n_trees;
    l->n_targets = f->n_targets;
    l->counts = f->units != NULL;
    l->trees = arena_zalloc(keep, (f->n_trees + 1) * sizeof *l->trees);
    if (!l->trees)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct tree_node *n = &f->nodes[i];
        if (n->mode != TREE_LEAF && n->mode != TREE_LEQ)
            return TREE_UNSUPPORTED;
        l->nan_yes |= n->mode != TREE_LEAF && n->nan_yes;
    }
    if (f->shared || (uint64_t)f->n_leaves * (uint64_t)f->n_targets > TENSOR_ELEMENTS_MAX / 4)
        return TREE_UNSUPPORTED;
    for (size_t t = 0; t < f->n_trees; t++) {
        int rc = build_tree(f, t, l, order, keep, &l->trees[t]);
        if (rc)
            return rc;
    }
    ret->name = "lockstep";
    ret->keys = true;
    ret->run = run;
    ret->data = l;
    return ERR_OK;
}
