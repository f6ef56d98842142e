#include "tree.h"

#include <math.h>

/* ---- checks ---- */

static int check_node(struct forest *f, size_t i, uint8_t *parents, const char *what,
                      struct error *e)
{
    const struct tree_node *n = &f->nodes[i];
    const int32_t children[] = {n->yes, n->no};
    if (n->mode == TREE_LEAF)
        return ERR_OK;
    if (n->feature < 0 || n->feature >= TREE_FEATURES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "model: %s: node %zu compares feature %d", what, i,
                         n->feature);
    for (size_t k = 0; k < 2; k++) {
        if (children[k] < 0 || (size_t)children[k] >= f->n_nodes)
            return error_set(e, ERR_INVALID_SPEC, "model: %s: node %zu has no %s child", what, i,
                             k ? "false" : "true");
        f->shared |= parents[children[k]] != 0;
        parents[children[k]] = 1;
    }
    return ERR_OK;
}

static int too_deep(size_t tree, const char *what, struct error *e)
{
    return error_set(e, ERR_INVALID_SPEC,
                     "model: %s: tree %zu is deeper than the %d levels allowed", what, tree,
                     TREE_DEPTH_MAX);
}

static int unreached(size_t nodes, const char *what, struct error *e)
{
    return error_set(e, ERR_INVALID_SPEC, "model: %s: %zu nodes are reached from no root: a cycle",
                     what, nodes);
}

/* The same where ways meet again: a node is passed when all its parents were, so each is once, and
 * what lies on a cycle never is. left: by node, parents that were not passed; depths are zero. */
static int check_shared(struct forest *f, uint32_t *left, uint32_t *depths, int32_t *stack,
                        const char *what, struct error *e)
{
    size_t reached = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].mode != TREE_LEAF) {
            left[f->nodes[i].yes]++;
            left[f->nodes[i].no]++;
        }
    for (size_t t = 0; t < f->n_trees; t++) {
        size_t top = 0;
        stack[top++] = f->roots[t];
        while (top > 0) {
            int32_t i = stack[--top];
            const struct tree_node *n = &f->nodes[i];
            const int32_t children[] = {n->no, n->yes};
            reached++;
            f->depth = MAX(f->depth, depths[i]);
            f->n_leaves += n->mode == TREE_LEAF;
            for (size_t k = 0; n->mode != TREE_LEAF && k < 2; k++) {
                depths[children[k]] = MAX(depths[children[k]], depths[i] + 1);
                if (--left[children[k]] == 0)
                    stack[top++] = children[k];
            }
            if (n->mode != TREE_LEAF && depths[i] >= TREE_DEPTH_MAX)
                return too_deep(t, what, e);
        }
    }
    return reached == f->n_nodes ? ERR_OK : unreached(f->n_nodes - reached, what, e);
}

/* Walks all trees without recursion: how many nodes are reached, and how deep. */
static int check_reach(struct forest *f, uint32_t *depths, int32_t *stack, const char *what,
                       struct error *e)
{
    size_t reached = 0;
    for (size_t t = 0; t < f->n_trees; t++) {
        size_t top = 0;
        stack[top++] = f->roots[t];
        depths[f->roots[t]] = 0;
        while (top > 0) {
            int32_t i = stack[--top];
            const struct tree_node *n = &f->nodes[i];
            reached++;
            f->depth = MAX(f->depth, depths[i]);
            if (n->mode == TREE_LEAF) {
                f->n_leaves++;
                continue;
            }
            if (depths[i] >= TREE_DEPTH_MAX)
                return too_deep(t, what, e);
            depths[n->yes] = depths[n->no] = depths[i] + 1;
            stack[top++] = n->no;
            stack[top++] = n->yes;
        }
    }
    return reached == f->n_nodes ? ERR_OK : unreached(f->n_nodes - reached, what, e);
}

int forest_check(struct forest *f, struct arena *tmp, const char *what, struct error *e)
{
    uint8_t *parents = arena_zalloc(tmp, f->n_nodes + 1); /* has one */
    uint32_t *depths = arena_zalloc(tmp, (f->n_nodes + 1) * sizeof *depths), *left = NULL;
    int32_t *stack = arena_alloc(tmp, (f->n_nodes + 2) * sizeof *stack);
    int rc;
    if (!parents || !depths || !stack)
        return error_set(e, ERR_NOMEM, "model: %s: no memory left", what);
    f->shared = false;
    f->depth = 0;
    f->n_leaves = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        if ((rc = check_node(f, i, parents, what, e)))
            return rc;
    for (size_t t = 0; t < f->n_trees; t++)
        if (parents[f->roots[t]]++)
            return error_set(e, ERR_INVALID_SPEC, "model: %s: the root of tree %zu has a parent",
                             what, t);
    if (f->shared && !(left = arena_zalloc(tmp, (f->n_nodes + 1) * sizeof *left)))
        return error_set(e, ERR_NOMEM, "model: %s: no memory left", what);
    rc = f->shared ? check_shared(f, left, depths, stack, what, e)
                   : check_reach(f, depths, stack, what, e);
    if (rc)
        return rc;
    f->n_features = 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].mode != TREE_LEAF)
            f->n_features = MAX(f->n_features, f->nodes[i].feature + 1);
    for (size_t i = 0; i < f->n_weights; i++)
        if (f->weights[i].target < 0 || f->weights[i].target >= f->n_targets)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: %s: a weight is for target %d; there are %d", what,
                             f->weights[i].target, f->n_targets);
    return ERR_OK;
}

int forest_copy(const struct forest *f, struct arena *mem, struct forest *ret)
{
    struct forest copy = *f;
    copy.nodes = arena_alloc(mem, (f->n_nodes + 1) * sizeof *copy.nodes);
    copy.roots = arena_alloc(mem, (f->n_trees + 1) * sizeof *copy.roots);
    copy.weights = arena_alloc(mem, (f->n_weights + 1) * sizeof *copy.weights);
    if (!copy.nodes || !copy.roots || !copy.weights)
        return ERR_NOMEM;
    memcpy(copy.nodes, f->nodes, f->n_nodes * sizeof *copy.nodes);
    memcpy(copy.roots, f->roots, f->n_trees * sizeof *copy.roots);
    if (f->n_weights)
        memcpy(copy.weights, f->weights, f->n_weights * sizeof *copy.weights);
    *ret = copy;
    return ERR_OK;
}

/* ---- units of sums ---- */

/* The largest weight of a tree for each target, added to totals. False: one is not finite. */
static bool add_largest(const struct forest *f, size_t tree, int32_t *stack, double *largest,
                        double *totals)
{
    size_t top = 0;
    for (int32_t k = 0; k < f->n_targets; k++)
        largest[k] = 0;
    stack[top++] = f->roots[tree];
    while (top > 0) {
        const struct tree_node *n = &f->nodes[stack[--top]];
        if (n->mode != TREE_LEAF) {
            stack[top++] = n->no;
            stack[top++] = n->yes;
            continue;
        }
        for (uint32_t i = 0; i < n->n_weights; i++) {
            const struct tree_weight *w = &f->weights[n->weight + i];
            if (!isfinite(w->w))
                return false;
            largest[w->target] = MAX(largest[w->target], (double)fabsf(w->w));
        }
    }
    for (int32_t k = 0; k < f->n_targets; k++)
        totals[k] += largest[k];
    return true;
}

int forest_count(struct forest *f, struct arena *keep)
{
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    if (f->shared)
        return ERR_OK;
    size_t n = (size_t)f->n_targets;
    double *totals = arena_zalloc(keep, n * sizeof *totals);
    double *largest = arena_alloc(&tmp, n * sizeof *largest);
    int32_t *stack = arena_alloc(&tmp, (f->n_nodes + 2) * sizeof *stack);
    if (!totals || !largest || !stack)
        return ERR_NOMEM;
    for (size_t t = 0; t < f->n_trees; t++)
        if (!add_largest(f, t, stack, largest, totals))
            return ERR_OK;
    for (size_t k = 0; k < n; k++) { /* sums stay below 2^30 steps, and half a step more a tree */
        int exponent;
        (void)frexp(totals[k], &exponent);
        totals[k] = totals[k] > 0 ? ldexp(1, exponent - 30) : 1;
    }
    f->units = totals;
    return ERR_OK;
}

float forest_step(const struct forest *f, const struct tree_weight *w)
{
    if (!f->units)
        return w->w;
    int32_t n = (int32_t)lrint((double)w->w / f->units[w->target]);
    float bits;
    memcpy(&bits, &n, sizeof bits);
    return bits;
}

/* ---- simpler comparisons ---- */

static void swap_children(struct tree_node *n)
{
    int32_t yes = n->yes;
    n->yes = n->no;
    n->no = yes;
    n->nan_yes = !n->nan_yes;
}

/* The greatest float32 that is not above v. */
static float round_down(double v)
{
    float f = (float)v;
    return (double)f > v ? nextafterf(f, -INFINITY) : f;
}

bool forest_simplify(struct forest *f)
{
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct tree_node *n = &f->nodes[i];
        if (n->mode == TREE_LEAF)
            continue;
        if (isnan(n->value))
            return false;
        if (n->mode == TREE_GT || n->mode == TREE_GTE || n->mode == TREE_NEQ) {
            /* not x > v is x <= v, and NaN goes where it went before */
            n->mode = n->mode == TREE_GT ? TREE_LEQ : n->mode == TREE_GTE ? TREE_LT : TREE_EQ;
            swap_children(n);
            if (n->mode == TREE_EQ)
                n->nan_yes = 0; /* NaN is unequal to everything: it went to yes, which is no now */
        }
        if (n->mode == TREE_EQ) {
            if ((double)(float)n->value != n->value)
                return false;
            continue;
        }
        float v = round_down(n->value);
        if (n->mode == TREE_LT && (double)v == n->value) {
            if (v == -INFINITY)
                return false; /* never true, and no float lies below */
            v = v == 0 ? -0x1p-149f : nextafterf(v, -INFINITY);
        }
        n->mode = TREE_LEQ;
        n->value = (double)v;
    }
    return true;
}
