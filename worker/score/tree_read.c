#include "tree_read.h"

#include <stdio.h>

/* ---- attributes as arrays of one length ---- */

int tree_read_values(struct op_prepare *p, struct arena *mem, const char *name, double **ret,
                     size_t *ret_n)
{
    char as_tensor[80];
    snprintf(as_tensor, sizeof as_tensor, "%s_as_tensor", name);
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_FLOATS);
    const struct onnx_attr *t = op_attr(p->node, as_tensor, ONNX_ATTR_TENSOR);
    if (!t)
        t = op_attr(p->node, name, ONNX_ATTR_TENSOR);
    size_t n = a && a->n ? a->n : t && t->t ? t->t->n : 0;
    if (t && t->t && !elem_float(t->t->type))
        return op_fail(p->e, p->node, "%s must be float32 or float64", as_tensor);
    double *values = arena_alloc(mem, (n + 1) * sizeof *values);
    if (!values)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < n; i++)
        values[i] = a && a->n ? (double)a->floats[i] : tensor_f64(t->t, i);
    *ret = values;
    *ret_n = n;
    return ERR_OK;
}

static int ints(struct op_prepare *p, const char *name, size_t n, bool optional,
                const int64_t **ret)
{
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_INTS);
    *ret = NULL;
    if ((!a || a->n == 0) && (optional || n == 0))
        return ERR_OK;
    if (!a)
        return op_fail(p->e, p->node, "attribute %s is missing", name);
    if (a->n != n)
        return op_fail(p->e, p->node, "attribute %s has %zu elements where %zu are needed", name,
                       a->n, n);
    *ret = a->ints;
    return ERR_OK;
}

static bool read_mode(struct span s, uint8_t *ret)
{
    static const char *const modes[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", "LEAF"};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (span_eq(s, span_str(modes[i]))) {
            *ret = (uint8_t)i;
            return true;
        }
    return false;
}

/* ---- nodes by tree and number ---- */

struct key {
    uint64_t id; /* tree << 32 | node */
    uint32_t at;
};

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = ((const struct key *)a)->id, y = ((const struct key *)b)->id;
    return x < y ? -1 : x > y;
}

static int64_t find_key(const struct key *keys, size_t n, uint64_t id)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (keys[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && keys[lo].id == id ? (int64_t)keys[lo].at : -1;
}

struct columns {
    size_t n;
    const int64_t *trees, *numbers, *features, *yes, *no, *missing;
    double *values;
    const struct onnx_attr *modes;
    struct key *keys; /* sorted */
};

static bool id_ok(int64_t v)
{
    return v >= 0 && v <= INT32_MAX;
}

static int read_columns(struct op_prepare *p, struct arena *tmp, struct columns *c)
{
    size_t n_values;
    int rc = tree_read_values(p, tmp, "nodes_values", &c->values, &n_values);
    const struct onnx_attr *trees = op_attr(p->node, "nodes_treeids", ONNX_ATTR_INTS);
    if (rc)
        return rc;
    c->n = trees ? trees->n : 0;
    c->modes = op_attr(p->node, "nodes_modes", ONNX_ATTR_STRINGS);
    if (c->n == 0 || c->n > TREE_NODES_MAX)
        return op_fail(p->e, p->node, "it has %zu nodes; 1 to %d are allowed", c->n,
                       TREE_NODES_MAX);
    if (n_values != c->n || !c->modes || c->modes->n != c->n)
        return op_fail(p->e, p->node,
                       "nodes_values has %zu elements and nodes_modes %zu, where %zu are needed",
                       n_values, c->modes ? c->modes->n : 0, c->n);
    if ((rc = ints(p, "nodes_treeids", c->n, false, &c->trees)) ||
        (rc = ints(p, "nodes_nodeids", c->n, false, &c->numbers)) ||
        (rc = ints(p, "nodes_featureids", c->n, false, &c->features)) ||
        (rc = ints(p, "nodes_truenodeids", c->n, false, &c->yes)) ||
        (rc = ints(p, "nodes_falsenodeids", c->n, false, &c->no)) ||
        (rc = ints(p, "nodes_missing_value_tracks_true", c->n, true, &c->missing)))
        return rc;
    bool sorted = true;
    c->keys = arena_alloc(tmp, c->n * sizeof *c->keys);
    if (!c->keys)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < c->n; i++) {
        if (!id_ok(c->trees[i]) || !id_ok(c->numbers[i]))
            return op_fail(p->e, p->node, "node %zu: tree %lld, number %lld is out of range", i,
                           (long long)c->trees[i], (long long)c->numbers[i]);
        c->keys[i] =
            (struct key){(uint64_t)c->trees[i] << 32 | (uint64_t)c->numbers[i], (uint32_t)i};
        sorted &= i == 0 || c->keys[i - 1].id < c->keys[i].id;
    }
    if (!sorted)
        qsort(c->keys, c->n, sizeof *c->keys, compare_keys);
    for (size_t i = 1; i < c->n; i++)
        if (c->keys[i - 1].id == c->keys[i].id)
            return op_fail(p->e, p->node, "tree %lld has two nodes of number %lld",
                           (long long)(c->keys[i].id >> 32), (long long)(uint32_t)c->keys[i].id);
    return ERR_OK;
}

static int read_node(struct op_prepare *p, const struct columns *c, size_t i, struct tree_node *n)
{
    *n = (struct tree_node){.yes = -1, .no = -1, .value = c->values[i]};
    if (!read_mode(c->modes->strings[i], &n->mode))
        return op_fail(p->e, p->node, "node %zu has the unknown mode '%.*s'", i,
                       (int)MIN(c->modes->strings[i].len, (size_t)40), c->modes->strings[i].p);
    if (n->mode == TREE_LEAF)
        return ERR_OK;
    if (c->features[i] < 0 || c->features[i] >= TREE_FEATURES_MAX)
        return op_fail(p->e, p->node, "node %zu compares feature %lld", i,
                       (long long)c->features[i]);
    n->feature = (int32_t)c->features[i];
    n->nan_yes = c->missing && c->missing[i] != 0;
    uint64_t tree = (uint64_t)c->trees[i] << 32;
    if (id_ok(c->yes[i]))
        n->yes = (int32_t)find_key(c->keys, c->n, tree | (uint64_t)c->yes[i]);
    if (id_ok(c->no[i]))
        n->no = (int32_t)find_key(c->keys, c->n, tree | (uint64_t)c->no[i]);
    if (n->yes < 0 || n->no < 0)
        return op_fail(p->e, p->node, "node %zu has no %s child: tree %lld has no node %lld", i,
                       n->yes < 0 ? "true" : "false", (long long)c->trees[i],
                       (long long)(n->yes < 0 ? c->yes[i] : c->no[i]));
    return ERR_OK;
}

/* The root of each tree: its only node without a parent. */
static int find_roots(struct op_prepare *p, const struct columns *c, struct arena *tmp,
                      struct forest *f)
{
    uint8_t *child = arena_zalloc(tmp, c->n);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += i == 0 || c->keys[i].id >> 32 != c->keys[i - 1].id >> 32;
    if (n > TREE_COUNT_MAX)
        return op_fail(p->e, p->node, "it has %zu trees, over the %d allowed", n, TREE_COUNT_MAX);
    f->roots = arena_alloc(p->load, n * sizeof *f->roots);
    if (!child || !f->roots)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < c->n; i++) {
        if (f->nodes[i].yes >= 0)
            child[f->nodes[i].yes] = 1;
        if (f->nodes[i].no >= 0)
            child[f->nodes[i].no] = 1;
    }
    int64_t last = -1;
    for (size_t i = 0; i < c->n; i++) {
        int64_t tree = (int64_t)(c->keys[i].id >> 32);
        if (child[c->keys[i].at])
            continue;
        if (tree == last)
            return op_fail(p->e, p->node, "tree %lld has two roots", (long long)tree);
        f->roots[f->n_trees++] = (int32_t)c->keys[i].at;
        last = tree;
    }
    if (f->n_trees != n)
        return op_fail(p->e, p->node, "a tree has no root: its nodes form a cycle");
    return ERR_OK;
}

/* ---- weights ---- */

/* Puts the weights of each leaf side by side, one target's added up. leaf[i] < 0: skipped. */
static int group_weights(struct op_prepare *p, const int64_t *leaf, const int64_t *targets,
                         const double *w, size_t n, struct forest *f)
{
    f->weights = arena_alloc(p->load, (n + 1) * sizeof *f->weights);
    if (!f->weights)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < n; i++) {
        if (targets[i] < 0 || targets[i] >= f->n_targets)
            return op_fail(p->e, p->node, "weight %zu is for target %lld; there are %d", i,
                           (long long)targets[i], f->n_targets);
        if (leaf[i] >= 0)
            f->nodes[leaf[i]].n_weights++;
    }
    for (size_t i = 0; i < f->n_nodes; i++) {
        f->nodes[i].weight = (uint32_t)f->n_weights;
        f->n_weights += f->nodes[i].n_weights;
        f->nodes[i].n_weights = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (leaf[i] < 0)
            continue;
        struct tree_node *node = &f->nodes[leaf[i]];
        struct tree_weight *at = f->weights + node->weight, *end = at + node->n_weights;
        while (at < end && at->target != targets[i])
            at++;
        if (at == end) {
            *at = (struct tree_weight){(int32_t)targets[i], 0};
            node->n_weights++;
        }
        at->w += (float)w[i];
    }
    return ERR_OK;
}

static int read_weights(struct op_prepare *p, const char *prefix, const struct columns *c,
                        struct arena *tmp, struct forest *f)
{
    char name[3][40];
    const int64_t *trees, *numbers, *targets;
    double *w;
    size_t n;
    snprintf(name[0], sizeof name[0], "%s_treeids", prefix);
    snprintf(name[1], sizeof name[1], "%s_nodeids", prefix);
    snprintf(name[2], sizeof name[2], "%s_weights", prefix);
    int rc = tree_read_values(p, tmp, name[2], &w, &n);
    snprintf(name[2], sizeof name[2], "%s_ids", prefix);
    if (rc || (rc = ints(p, name[0], n, false, &trees)) ||
        (rc = ints(p, name[1], n, false, &numbers)) || (rc = ints(p, name[2], n, false, &targets)))
        return rc;
    int64_t *leaf = arena_alloc(tmp, (n + 1) * sizeof *leaf);
    if (!leaf)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < n; i++) {
        leaf[i] = id_ok(trees[i]) && id_ok(numbers[i])
                      ? find_key(c->keys, c->n, (uint64_t)trees[i] << 32 | (uint64_t)numbers[i])
                      : -1;
        if (leaf[i] < 0)
            return op_fail(p->e, p->node,
                           "weight %zu is for node %lld of tree %lld, which is not there", i,
                           (long long)numbers[i], (long long)trees[i]);
        if (f->nodes[leaf[i]].mode != TREE_LEAF)
            leaf[i] = -1; /* some exporters give inner nodes weights, which nothing reads */
    }
    return group_weights(p, leaf, targets, w, n, f);
}

int tree_read(struct op_prepare *p, const char *prefix, int32_t n_targets, struct forest *ret)
{
    CLEANUP(arena_done) struct arena tmp;
    struct columns c = {0};
    struct forest f = {.n_targets = n_targets};
    arena_init(&tmp, 0);
    int rc = read_columns(p, &tmp, &c);
    if (rc)
        return rc;
    f.n_nodes = c.n;
    f.nodes = arena_alloc(p->load, c.n * sizeof *f.nodes);
    if (!f.nodes)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < c.n; i++)
        if ((rc = read_node(p, &c, i, &f.nodes[i])))
            return rc;
    if ((rc = find_roots(p, &c, &tmp, &f)) || (rc = read_weights(p, prefix, &c, &tmp, &f)) ||
        (rc = forest_check(&f, &tmp, p->node->label, p->e)))
        return rc;
    *ret = f;
    return ERR_OK;
}

/* ---- version 5 ---- */

static int read_node_v5(struct op_prepare *p, const struct onnx_attr *modes, size_t i, size_t n,
                        size_t n_leaves, const int64_t *const ids[5], struct tree_node *node)
{
    int64_t mode = tensor_i64(modes->t, i);
    if (mode < TREE_LEQ || mode > TREE_NEQ)
        return op_fail(p->e, p->node, "node %zu has mode %lld (set membership is not supported)", i,
                       (long long)mode);
    node->mode = (uint8_t)mode;
    if (ids[0][i] < 0 || ids[0][i] >= TREE_FEATURES_MAX)
        return op_fail(p->e, p->node, "node %zu compares feature %lld", i, (long long)ids[0][i]);
    node->feature = (int32_t)ids[0][i];
    for (size_t k = 0; k < 2; k++) {
        int64_t child = ids[1 + 2 * k][i];
        bool leaf = ids[2 + 2 * k][i] != 0;
        if (child < 0 || child >= (int64_t)(leaf ? n_leaves : n))
            return op_fail(p->e, p->node, "node %zu has no child %lld", i, (long long)child);
        *(k ? &node->no : &node->yes) = (int32_t)(leaf ? (int64_t)n + child : child);
    }
    return ERR_OK;
}

int tree_read_v5(struct op_prepare *p, int32_t n_targets, struct forest *ret)
{
    static const char *const names[] = {"nodes_featureids", "nodes_truenodeids", "nodes_trueleafs",
                                        "nodes_falsenodeids", "nodes_falseleafs"};
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    const struct onnx_attr *modes = op_attr(p->node, "nodes_modes", ONNX_ATTR_TENSOR);
    const int64_t *ids[5], *missing, *roots, *targets;
    double *splits, *weights;
    size_t n, n_leaves;
    struct forest f = {.n_targets = n_targets};
    const struct onnx_attr *a = op_attr(p->node, "tree_roots", ONNX_ATTR_INTS);
    int rc = tree_read_values(p, &tmp, "nodes_splits", &splits, &n);
    if (rc || (rc = tree_read_values(p, &tmp, "leaf_weights", &weights, &n_leaves)))
        return rc;
    if (!a || a->n == 0 || a->n > TREE_COUNT_MAX || !modes || !modes->t || modes->t->n != n ||
        n == 0 || n + n_leaves > TREE_NODES_MAX)
        return op_fail(p->e, p->node,
                       "it needs tree_roots, and nodes_modes as long as nodes_splits");
    if ((rc = ints(p, "nodes_missing_value_tracks_true", n, true, &missing)) ||
        (rc = ints(p, "leaf_targetids", n_leaves, false, &targets)) ||
        (rc = ints(p, "tree_roots", a->n, false, &roots)))
        return rc;
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        if ((rc = ints(p, names[k], n, false, &ids[k])))
            return rc;
    f.n_nodes = n + n_leaves;
    f.n_trees = a->n;
    f.nodes = arena_zalloc(p->load, f.n_nodes * sizeof *f.nodes);
    f.roots = arena_alloc(p->load, a->n * sizeof *f.roots);
    int64_t *leaf = arena_alloc(&tmp, (n_leaves + 1) * sizeof *leaf);
    if (!f.nodes || !f.roots || !leaf)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < n; i++) {
        f.nodes[i].value = splits[i];
        f.nodes[i].nan_yes = missing && missing[i] != 0;
        if ((rc = read_node_v5(p, modes, i, n, n_leaves, ids, &f.nodes[i])))
            return rc;
    }
    for (size_t i = 0; i < n_leaves; i++) {
        f.nodes[n + i].mode = TREE_LEAF;
        f.nodes[n + i].yes = f.nodes[n + i].no = -1;
        leaf[i] = (int64_t)(n + i);
    }
    for (size_t t = 0; t < a->n; t++) {
        if (roots[t] < 0 || roots[t] >= (int64_t)n)
            return op_fail(p->e, p->node, "tree %zu has the root %lld, which is not there", t,
                           (long long)roots[t]);
        f.roots[t] = (int32_t)roots[t];
    }
    if ((rc = group_weights(p, leaf, targets, weights, n_leaves, &f)) ||
        (rc = forest_check(&f, &tmp, p->node->label, p->e)))
        return rc;
    *ret = f;
    return ERR_OK;
}
