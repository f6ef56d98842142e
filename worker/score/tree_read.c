#include "tree_read.h"

#include <stdio.h>

#include "common/utf8.h"

enum { NEAR_MAX = 4096 /* nodes that are passed over in search of the next leaf */ };

/* ---- attributes as arrays of one length ---- */

int tree_values(struct op_prepare *p, const char *name, struct tree_values *ret)
{
    char as_tensor[80];
    snprintf(as_tensor, sizeof as_tensor, "%s_as_tensor", name);
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_FLOATS);
    const struct onnx_attr *t = op_attr(p->node, as_tensor, ONNX_ATTR_TENSOR);
    if (!t)
        t = op_attr(p->node, name, ONNX_ATTR_TENSOR);
    if (t && t->t && !elem_float(t->t->type))
        return op_fail(p->e, p->node, "%s must be float32 or float64", as_tensor);
    *ret = (struct tree_values){.n = 0};
    if (a && a->n) {
        ret->list = onnx_list_of(a);
        ret->n = a->n;
    } else if (t && t->t) {
        ret->tensor = t->t;
        ret->n = t->t->n;
    }
    return ERR_OK;
}

double tree_values_next(struct tree_values *v)
{
    return v->tensor ? tensor_f64(v->tensor, v->at++) : (double)onnx_list_float(&v->list);
}

/* *ret: without an attribute when there is none. */
static int ints(struct op_prepare *p, const char *name, size_t n, bool optional,
                struct onnx_list *ret)
{
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_INTS);
    *ret = onnx_list_of(NULL);
    if ((!a || a->n == 0) && (optional || n == 0))
        return ERR_OK;
    if (!a)
        return op_fail(p->e, p->node, "attribute %s is missing", name);
    if (a->n != n)
        return op_fail(p->e, p->node, "attribute %s has %zu elements where %zu are needed", name,
                       a->n, n);
    *ret = onnx_list_of(a);
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
    struct onnx_list trees, numbers, features, yes, no, missing, modes;
    struct tree_values values;
    struct key *keys; /* sorted */
};

static bool id_ok(int64_t v)
{
    return v >= 0 && v <= INT32_MAX;
}

/* The numbers of the nodes, to find them by. */
static int read_keys(struct op_prepare *p, struct arena *tmp, struct columns *c)
{
    struct onnx_list trees = c->trees, numbers = c->numbers;
    bool sorted = true;
    c->keys = arena_alloc(tmp, c->n * sizeof *c->keys);
    if (!c->keys)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < c->n; i++) {
        int64_t tree = onnx_list_int(&trees), number = onnx_list_int(&numbers);
        if (!id_ok(tree) || !id_ok(number))
            return op_fail(p->e, p->node, "node %zu: tree %lld, number %lld is out of range", i,
                           (long long)tree, (long long)number);
        c->keys[i] = (struct key){(uint64_t)tree << 32 | (uint64_t)number, (uint32_t)i};
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

static int read_columns(struct op_prepare *p, struct arena *tmp, struct columns *c)
{
    int rc = tree_values(p, "nodes_values", &c->values);
    const struct onnx_attr *trees = op_attr(p->node, "nodes_treeids", ONNX_ATTR_INTS);
    const struct onnx_attr *modes = op_attr(p->node, "nodes_modes", ONNX_ATTR_STRINGS);
    if (rc)
        return rc;
    c->n = trees ? trees->n : 0;
    c->modes = onnx_list_of(modes);
    if (c->n == 0 || c->n > TREE_NODES_MAX)
        return op_fail(p->e, p->node, "it has %zu nodes; 1 to %d are allowed", c->n,
                       TREE_NODES_MAX);
    if (c->values.n != c->n || !modes || modes->n != c->n)
        return op_fail(p->e, p->node,
                       "nodes_values has %zu elements and nodes_modes %zu, where %zu are needed",
                       c->values.n, modes ? modes->n : 0, c->n);
    if ((rc = ints(p, "nodes_treeids", c->n, false, &c->trees)) ||
        (rc = ints(p, "nodes_nodeids", c->n, false, &c->numbers)) ||
        (rc = ints(p, "nodes_featureids", c->n, false, &c->features)) ||
        (rc = ints(p, "nodes_truenodeids", c->n, false, &c->yes)) ||
        (rc = ints(p, "nodes_falsenodeids", c->n, false, &c->no)) ||
        (rc = ints(p, "nodes_missing_value_tracks_true", c->n, true, &c->missing)))
        return rc;
    return read_keys(p, tmp, c);
}

/* The child of that number. Mostly it comes next, or soon. */
static int64_t child_of(const struct columns *c, size_t i, uint64_t tree, int64_t number)
{
    if (!id_ok(number))
        return -1;
    const uint64_t id = tree << 32 | (uint64_t)number;
    if (c->keys[i].id >> 32 == tree && id > c->keys[i].id) {
        size_t guess = i + (size_t)(id - c->keys[i].id); /* numbers without gaps, in order */
        if (guess < c->n && c->keys[guess].id == id)
            return c->keys[guess].at;
    }
    return find_key(c->keys, c->n, id);
}

/* Node i; each list is at its element. */
static int read_node(struct op_prepare *p, struct columns *c, size_t i, struct tree_node *n)
{
    const struct span mode = onnx_list_text(&c->modes);
    const int64_t tree = onnx_list_int(&c->trees), feature = onnx_list_int(&c->features),
                  yes = onnx_list_int(&c->yes), no = onnx_list_int(&c->no);
    const bool missing = onnx_list_int(&c->missing) != 0;
    *n = (struct tree_node){.yes = -1, .no = -1, .value = tree_values_next(&c->values)};
    if (!read_mode(mode, &n->mode))
        return op_fail(p->e, p->node, "node %zu has the unknown mode '%.*s'", i,
                       (int)utf8_valid_prefix((struct span){mode.p, MIN(mode.len, (size_t)40)}),
                       mode.p);
    if (n->mode == TREE_LEAF)
        return ERR_OK;
    if (feature < 0 || feature >= TREE_FEATURES_MAX)
        return op_fail(p->e, p->node, "node %zu compares feature %lld", i, (long long)feature);
    n->feature = (int32_t)feature;
    n->nan_yes = missing;
    n->yes = (int32_t)child_of(c, i, (uint64_t)tree, yes);
    n->no = (int32_t)child_of(c, i, (uint64_t)tree, no);
    if (n->yes < 0 || n->no < 0)
        return op_fail(p->e, p->node, "node %zu has no %s child: tree %lld has no node %lld", i,
                       n->yes < 0 ? "true" : "false", (long long)tree,
                       (long long)(n->yes < 0 ? yes : no));
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
static int group_weights(struct op_prepare *p, const int32_t *leaf, struct onnx_list targets,
                         struct tree_values w, struct forest *f)
{
    const struct onnx_list first = targets;
    f->weights = arena_alloc(p->load, (w.n + 1) * sizeof *f->weights);
    if (!f->weights)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < w.n; i++) {
        const int64_t target = onnx_list_int(&targets);
        if (target < 0 || target >= f->n_targets)
            return op_fail(p->e, p->node, "weight %zu is for target %lld; there are %d", i,
                           (long long)target, f->n_targets);
        if (leaf[i] >= 0)
            f->nodes[leaf[i]].n_weights++;
    }
    for (size_t i = 0; i < f->n_nodes; i++) {
        f->nodes[i].weight = (uint32_t)f->n_weights;
        f->n_weights += f->nodes[i].n_weights;
        f->nodes[i].n_weights = 0;
    }
    targets = first;
    for (size_t i = 0; i < w.n; i++) {
        const int32_t target = (int32_t)onnx_list_int(&targets);
        const float value = (float)tree_values_next(&w);
        if (leaf[i] < 0)
            continue;
        struct tree_node *node = &f->nodes[leaf[i]];
        struct tree_weight *at = f->weights + node->weight, *end = at + node->n_weights;
        while (at < end && at->target != target)
            at++;
        if (at == end) {
            *at = (struct tree_weight){target, 0};
            node->n_weights++;
        }
        at->w += value;
    }
    return ERR_OK;
}

static int read_weights(struct op_prepare *p, const char *prefix, const struct columns *c,
                        struct arena *tmp, struct forest *f)
{
    char name[3][40];
    struct onnx_list trees, numbers, targets;
    struct tree_values w;
    snprintf(name[0], sizeof name[0], "%s_treeids", prefix);
    snprintf(name[1], sizeof name[1], "%s_nodeids", prefix);
    snprintf(name[2], sizeof name[2], "%s_weights", prefix);
    int rc = tree_values(p, name[2], &w);
    snprintf(name[2], sizeof name[2], "%s_ids", prefix);
    if (rc || (rc = ints(p, name[0], w.n, false, &trees)) ||
        (rc = ints(p, name[1], w.n, false, &numbers)) ||
        (rc = ints(p, name[2], w.n, false, &targets)))
        return rc;
    int32_t *leaf = arena_alloc(tmp, (w.n + 1) * sizeof *leaf);
    if (!leaf)
        return op_nomem(p->e, p->node);
    size_t near = 0; /* weights mostly come in the order of the nodes */
    for (size_t i = 0; i < w.n; i++) {
        const int64_t tree = onnx_list_int(&trees), number = onnx_list_int(&numbers);
        const uint64_t id = (uint64_t)tree << 32 | (uint64_t)number;
        for (size_t k = 0; k < NEAR_MAX && near < c->n && c->keys[near].id < id; k++)
            near++;
        int64_t at = -1;
        if (near < c->n && c->keys[near].id == id)
            at = c->keys[near].at;
        else if (id_ok(tree) && id_ok(number))
            at = find_key(c->keys, c->n, id);
        if (at < 0)
            return op_fail(p->e, p->node,
                           "weight %zu is for node %lld of tree %lld, which is not there", i,
                           (long long)number, (long long)tree);
        /* some exporters give inner nodes weights, which nothing reads */
        leaf[i] = f->nodes[at].mode == TREE_LEAF ? (int32_t)at : -1;
    }
    return group_weights(p, leaf, targets, w, f);
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

/* ids: the lists of the features, children and whether those are leaves, at element i. */
static int read_node_v5(struct op_prepare *p, const struct onnx_attr *modes, size_t i, size_t n,
                        size_t n_leaves, struct onnx_list ids[5], struct tree_node *node)
{
    int64_t id[5];
    for (size_t k = 0; k < ARRAY_LEN(id); k++)
        id[k] = onnx_list_int(&ids[k]);
    int64_t mode = tensor_i64(modes->t, i);
    if (mode < TREE_LEQ || mode > TREE_NEQ)
        return op_fail(p->e, p->node, "node %zu has mode %lld (set membership is not supported)", i,
                       (long long)mode);
    node->mode = (uint8_t)mode;
    if (id[0] < 0 || id[0] >= TREE_FEATURES_MAX)
        return op_fail(p->e, p->node, "node %zu compares feature %lld", i, (long long)id[0]);
    node->feature = (int32_t)id[0];
    for (size_t k = 0; k < 2; k++) {
        int64_t child = id[1 + 2 * k];
        bool leaf = id[2 + 2 * k] != 0;
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
    struct onnx_list ids[5], missing, roots, targets;
    struct tree_values splits, weights;
    struct forest f = {.n_targets = n_targets};
    const struct onnx_attr *a = op_attr(p->node, "tree_roots", ONNX_ATTR_INTS);
    int rc = tree_values(p, "nodes_splits", &splits);
    if (rc || (rc = tree_values(p, "leaf_weights", &weights)))
        return rc;
    const size_t n = splits.n, n_leaves = weights.n;
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
    int32_t *leaf = arena_alloc(&tmp, (n_leaves + 1) * sizeof *leaf);
    if (!f.nodes || !f.roots || !leaf)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < n; i++) {
        f.nodes[i].value = tree_values_next(&splits);
        f.nodes[i].nan_yes = onnx_list_int(&missing) != 0;
        if ((rc = read_node_v5(p, modes, i, n, n_leaves, ids, &f.nodes[i])))
            return rc;
    }
    for (size_t i = 0; i < n_leaves; i++) {
        f.nodes[n + i].mode = TREE_LEAF;
        f.nodes[n + i].yes = f.nodes[n + i].no = -1;
        leaf[i] = (int32_t)(n + i);
    }
    for (size_t t = 0; t < a->n; t++) {
        const int64_t root = onnx_list_int(&roots);
        if (root < 0 || root >= (int64_t)n)
            return op_fail(p->e, p->node, "tree %zu has the root %lld, which is not there", t,
                           (long long)root);
        f.roots[t] = (int32_t)root;
    }
    if ((rc = group_weights(p, leaf, targets, weights, &f)) ||
        (rc = forest_check(&f, &tmp, p->node->label, p->e)))
        return rc;
    *ret = f;
    return ERR_OK;
}
