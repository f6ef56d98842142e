/* fuse_tree.c: what is put into forests. */
#include <math.h>
#include <stdio.h>

#include "fuse.h"
#include "op_math.h"
#include "op_prep.h"
#include "op_shape.h"
#include "tree_op.h"

enum { LEAF_STEPS_MAX = 1 << 28 }; /* trees times nodes that are looked at */

/* A regressor whose output is no more than the sum of its trees. */
static struct tree_state *plain_sum(const struct node *n)
{
    struct tree_state *s = n->state;
    bool plain = n->op->run == tree_run_op && !s->classifier && s->aggregate == TREE_SUM &&
                 s->post == POST_NONE && !s->base && s->forest.n_targets == 1;
    return plain ? s : NULL;
}

/* ---- operators on one tree's output ---- */

/* Does the operator work on each element by itself (or, Reshape, keep their order)? */
static bool by_element(const struct node *n)
{
    static const char *const more[] = {"LabelEncoder", "Reshape", "Identity", "Clip", "Binarizer"};
    if (n->n_out != 1)
        return false;
    if (n->op->run == op_run_binary || n->op->run == op_run_unary || n->op->run == op_run_cast ||
        n->op->run == op_run_where || n->op->run == op_run_mean)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        if (strcmp(n->op->name, more[i]) == 0)
            return true;
    return false;
}

/* By value: the one tree on whose output alone it depends, or -1. */
static int32_t *find_sources(const struct fuse *f)
{
    const struct graph *g = f->g;
    int32_t *source = arena_alloc(f->tmp, (g->n_values + 1) * sizeof *source);
    for (size_t i = 0; source && i < g->n_values; i++)
        source[i] = -1;
    for (size_t i = 0; source && i < g->n_nodes; i++) {
        const struct node *n = &g->nodes[i];
        const struct tree_state *s = plain_sum(n);
        int32_t from = -1;
        bool one = by_element(n);
        if (s && s->forest.n_trees == 1) {
            source[n->out[0]] = (int32_t)i;
            continue;
        }
        for (uint32_t k = 0; one && k < n->n_in; k++) {
            if (n->in[k] < 0 || g->values[n->in[k]].constant)
                continue;
            int32_t its = source[n->in[k]];
            one = its >= 0 && (from < 0 || from == its);
            from = its;
        }
        if (one && from >= 0 && n->out[0] >= 0)
            source[n->out[0]] = from;
    }
    return source;
}

/* By tree node: the value at the end of its region, -1: none, -2: several. */
static int32_t *find_ends(const struct fuse *f, const int32_t *source)
{
    const struct graph *g = f->g;
    int32_t *end = arena_alloc(f->tmp, (g->n_nodes + 1) * sizeof *end);
    bool *leaves = arena_zalloc(f->tmp, g->n_values + 1); /* used outside of its region */
    if (!end || !leaves)
        return NULL;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct node *n = &g->nodes[i];
        end[i] = -1;
        int32_t made = n->n_out && n->out[0] >= 0 ? source[n->out[0]] : -1;
        for (uint32_t k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0 && source[n->in[k]] >= 0 && source[n->in[k]] != made)
                leaves[n->in[k]] = true;
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        leaves[g->outputs[i]] = true;
    for (size_t v = 0; v < g->n_values; v++)
        if (leaves[v] && source[v] >= 0)
            end[source[v]] = end[source[v]] == -1 ? (int32_t)v : -2;
    return end;
}

/* What the tree gives at each leaf, as the output of so many rows. */
static bool leaf_values(const struct forest *f, struct arena *mem, struct tensor *ret)
{
    size_t at = 0;
    if (tensor_make(mem, ELEM_F32, 2, (int64_t[]){(int64_t)f->n_leaves, 1}, ret))
        return false;
    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct tree_node *n = &f->nodes[i];
        if (n->mode == TREE_LEAF)
            ret->f32[at++] = n->n_weights ? f->weights[n->weight].w : 0;
    }
    return true;
}

/* The forest with other values at its leaves. */
static int with_values(struct forest *f, const float *values, struct arena *mem)
{
    struct tree_weight *weights = arena_alloc(mem, (f->n_leaves + 1) * sizeof *weights);
    uint32_t at = 0;
    if (!weights)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct tree_node *n = &f->nodes[i];
        if (n->mode != TREE_LEAF)
            continue;
        weights[at] = (struct tree_weight){0, values[at]};
        n->weight = at++;
        n->n_weights = 1;
    }
    f->weights = weights;
    f->n_weights = at;
    return ERR_OK;
}

/* Runs the region over all leaves; its end becomes the tree's output. */
static int evaluate(struct fuse *f, size_t tree, int32_t end, const int32_t *source,
                    const struct tensor **vals)
{
    CLEANUP(arena_done) struct arena mem;
    struct node *n = &f->g->nodes[tree];
    struct tree_state *s = n->state;
    struct tensor leaves;
    struct error why = {0};
    arena_init(&mem, GRAPH_RUN_BYTES_MAX);
    if (!leaf_values(&s->forest, &mem, &leaves))
        return op_nomem(f->e, n);
    vals[n->out[0]] = &leaves;
    for (size_t i = tree + 1; i < f->g->n_nodes; i++) {
        const struct node *next = &f->g->nodes[i];
        if (next->n_out == 1 && next->out[0] >= 0 && source[next->out[0]] == (int32_t)tree &&
            graph_run_node(next, vals, &mem, false, &why))
            return ERR_OK; /* it stays as it is; an error shows when rows come */
        if (next->n_out == 1 && next->out[0] == end)
            break;
    }
    const struct tensor *t = vals[end];
    const struct shape *shape = &f->g->values[end].shape;
    if (!t || t->type != ELEM_F32 || t->n != leaves.n || t->rank != 2 || t->dims[1] != 1 ||
        shape->rank != 2 || shape->dims[0] != SHAPE_ROWS)
        return ERR_OK;
    if (with_values(&s->forest, t->f32, f->g->load))
        return op_nomem(f->e, n);
    f->gone[f->g->values[end].maker] = true;
    f->g->values[end].maker = (int32_t)tree;
    n->out[0] = end;
    return ERR_OK;
}

int fuse_leaves(struct fuse *f)
{
    struct graph *g = f->g;
    const int32_t *source = find_sources(f), *end = source ? find_ends(f, source) : NULL;
    const struct tensor **vals = graph_vals(g, f->tmp);
    uint64_t steps = 0;
    if (!source || !end || !vals)
        return error_set(f->e, ERR_NOMEM, "model: no memory left");
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (end[i] < 0 || end[i] == g->nodes[i].out[0] || (steps += g->n_nodes) > LEAF_STEPS_MAX)
            continue;
        int rc = evaluate(f, i, end[i], source, vals);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

/* ---- what comes before a forest ---- */

/* Columns chosen by a constant: the forest's features are numbers of the wider matrix. */
static bool take_gather(struct fuse *f, const struct node *from, struct tree_state *s)
{
    const struct graph *g = f->g;
    bool extract = from->op->run == op_run_extract;
    if (!extract && (from->op->run != op_run_gather || op_attr_i(from, "axis", 0) != 1))
        return false;
    const struct tensor *t = g->values[from->in[1]].constant;
    const struct shape *shape = &g->values[from->in[0]].shape;
    if (!t || (t->rank != 1 && !extract) || shape->rank != 2 || shape->dims[1] <= 0)
        return false;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t column;
        if (!op_axis(tensor_i64(t, i), (uint32_t)shape->dims[1], &column))
            return false;
    }
    int32_t widest = 0;
    for (size_t i = 0; i < s->forest.n_nodes; i++) {
        struct tree_node *n = &s->forest.nodes[i];
        uint32_t column = 0;
        if (n->mode == TREE_LEAF || (size_t)n->feature >= t->n ||
            !op_axis(tensor_i64(t, (size_t)n->feature), (uint32_t)shape->dims[1], &column))
            continue;
        n->feature = (int32_t)column;
        widest = MAX(widest, n->feature + 1);
    }
    s->forest.n_features = widest;
    return true;
}

/* One value for all features becomes one for each. */
static float *spread(const float *v, size_t n, size_t width, struct arena *keep)
{
    float *all = arena_alloc(keep, (width + 1) * sizeof *all);
    for (size_t i = 0; all && i < width; i++)
        all[i] = v[n == 1 ? 0 : i];
    return all;
}

static int take_before(struct fuse *f, struct node *n, struct tree_state *s, bool *ret_taken)
{
    int32_t maker = f->g->values[n->in[0]].maker;
    const struct node *from = maker < 0 ? NULL : &f->g->nodes[maker];
    struct arena *keep = f->g->keep;
    *ret_taken = false;
    if (!from || from->n_in == 0 || from->in[0] < 0 ||
        f->g->values[from->in[0]].shape.type != ELEM_F32 ||
        f->g->values[from->in[0]].shape.rank != 2)
        return ERR_OK;
    size_t width = (size_t)MAX(f->g->values[from->in[0]].shape.dims[1], (int64_t)0);
    if (!s->input.missing && !s->input.scale && take_gather(f, from, s)) {
        *ret_taken = true;
    } else if (from->op->run == op_run_scaler && !s->input.missing && !s->input.scale) {
        const struct scaler_state *scaler = from->state;
        float *offset = spread(scaler->offset, scaler->n, width, keep);
        s->input.scale = spread(scaler->scale, scaler->n, width, keep);
        s->input.offset = offset;
        if (!offset || !s->input.scale)
            return op_nomem(f->e, n);
        *ret_taken = true;
    } else if (from->op->run == op_run_imputer && !s->input.missing) {
        const struct imputer_state *imputer = from->state;
        if (imputer->ints || !isnan(imputer->replaced))
            return ERR_OK;
        if (!(s->input.missing = spread(imputer->values, imputer->n, width, keep)))
            return op_nomem(f->e, n);
        *ret_taken = true;
    }
    if (*ret_taken)
        n->in[0] = from->in[0]; /* what nobody else needs is dropped later */
    return ERR_OK;
}

int fuse_inputs(struct fuse *f)
{
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        struct node *n = &f->g->nodes[i];
        struct tree_state *s = n->state;
        bool taken = n->op->run == tree_run_op && s->aggregate <= TREE_AVERAGE;
        while (taken) {
            int rc = take_before(f, n, s, &taken);
            if (rc)
                return rc;
        }
    }
    return ERR_OK;
}

/* ---- sums of trees ---- */

/* All inputs are plain sums of trees over one value, used nowhere else. */
static bool sums_trees(const struct fuse *f, const struct node *n, size_t *ret_nodes,
                       size_t *ret_trees)
{
    int32_t over = -1;
    *ret_nodes = *ret_trees = 0;
    if ((strcmp(n->op->name, "Sum") != 0 && strcmp(n->op->name, "Add") != 0) || n->n_in < 2)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const struct node *tree = fuse_sole_maker(f, n->in[i]);
        const struct tree_state *s = tree ? plain_sum(tree) : NULL;
        if (!s || s->input.missing || s->input.scale || (over >= 0 && tree->in[0] != over))
            return false;
        over = tree->in[0];
        *ret_nodes += s->forest.n_nodes;
        *ret_trees += s->forest.n_trees;
    }
    return *ret_nodes <= TREE_NODES_MAX && *ret_trees <= TREE_COUNT_MAX;
}

static void append(struct forest *to, const struct forest *from)
{
    int32_t first = (int32_t)to->n_nodes;
    for (size_t i = 0; i < from->n_nodes; i++) {
        struct tree_node n = from->nodes[i];
        n.yes = n.yes < 0 ? -1 : n.yes + first;
        n.no = n.no < 0 ? -1 : n.no + first;
        n.weight += (uint32_t)to->n_weights;
        to->nodes[to->n_nodes++] = n;
    }
    for (size_t i = 0; i < from->n_weights; i++)
        to->weights[to->n_weights++] = from->weights[i];
    for (size_t i = 0; i < from->n_trees; i++)
        to->roots[to->n_trees++] = from->roots[i] + first;
    to->n_leaves += from->n_leaves;
    to->n_features = MAX(to->n_features, from->n_features);
    to->depth = MAX(to->depth, from->depth);
    to->shared |= from->shared;
}

/* The node that adds becomes the forest. */
static int merge(struct fuse *f, struct node *n, size_t n_nodes, size_t n_trees)
{
    struct graph *g = f->g;
    const struct node *first = fuse_sole_maker(f, n->in[0]);
    struct tree_state *s = arena_alloc(g->keep, sizeof *s);
    struct arena *load = g->load;
    size_t n_weights = 0;
    if (!s)
        return op_nomem(f->e, n);
    for (uint32_t i = 0; i < n->n_in; i++)
        n_weights +=
            ((const struct tree_state *)fuse_sole_maker(f, n->in[i])->state)->forest.n_weights;
    *s = *(const struct tree_state *)first->state;
    s->forest =
        (struct forest){.nodes = arena_alloc(load, (n_nodes + 1) * sizeof *s->forest.nodes),
                        .roots = arena_alloc(load, (n_trees + 1) * sizeof *s->forest.roots),
                        .weights = arena_alloc(load, (n_weights + 1) * sizeof *s->forest.weights),
                        .n_targets = 1};
    if (!s->forest.nodes || !s->forest.roots || !s->forest.weights)
        return op_nomem(f->e, n);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const struct tree_state *from = fuse_sole_maker(f, n->in[i])->state;
        append(&s->forest, &from->forest);
        s->rounding = from->rounding == s->rounding ? s->rounding : TREE_ROUND_NONE;
    }
    n->op = first->op;
    n->in[0] = first->in[0];
    n->n_in = 1;
    n->attrs = NULL;
    n->n_attrs = 0;
    n->state = s;
    return ERR_OK;
}

int fuse_sums(struct fuse *f)
{
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        size_t n_nodes, n_trees;
        if (!sums_trees(f, &f->g->nodes[i], &n_nodes, &n_trees))
            continue;
        int rc = merge(f, &f->g->nodes[i], n_nodes, n_trees);
        if (rc)
            return rc;
    }
    return ERR_OK;
}
