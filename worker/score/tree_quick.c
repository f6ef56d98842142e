/* tree_quick.c: makes the form of tree_quick.h from a forest. */
#include "tree_quick.h"

struct way {
    int32_t node;
    bool yes;
};

struct maker {
    const struct forest *f;
    struct quick *q;
    struct arena *keep;
    uint32_t *leaves; /* by node: of its subtree */
    struct way way[QUICK_TREE_LEAVES];
    size_t n_way;
    struct quick_test tests[QUICK_LEAVES + QUICK_TREE_LEAVES]; /* of one part */
    uint8_t kinds[QUICK_LEAVES + QUICK_TREE_LEAVES];
    size_t n_tests, cap_parts, cap_tests;
    bool counting; /* the first pass only counts */
    int32_t target;
};

static void add_test(struct maker *m, const struct tree_node *n, bool on_way, bool yes,
                     uint32_t keep)
{
    unsigned kind = n->mode == TREE_EQ ? QUICK_NEQ : QUICK_NLE;
    if (on_way && !yes)
        kind += 2;
    m->kinds[m->n_tests] = (uint8_t)(kind + n->nan_yes);
    m->tests[m->n_tests++] =
        (struct quick_test){(float)n->value, keep, (uint32_t)n->feature * TREE_BLOCK_ROWS};
}

/* Numbers the leaves of a part from the left; returns the next free number. */
static uint32_t add_subtree(struct maker *m, int32_t node, uint32_t bit, struct quick_part *part)
{
    const struct tree_node *n = &m->f->nodes[node];
    if (n->mode != TREE_LEAF) {
        uint32_t after = add_subtree(m, n->yes, bit, part);
        uint32_t yes_bits = (uint32_t)((1ull << after) - (1ull << bit));
        add_test(m, n, false, false, ~yes_bits);
        return add_subtree(m, n->no, after, part);
    }
    for (uint32_t i = 0; i < n->n_weights; i++) {
        const struct tree_weight *w = &m->f->weights[n->weight + i];
        if (part->target >= 0)
            part->values[31 - bit] = forest_step(m->f, w);
        else
            m->q->leaves[(part->leaf + 31 - bit) * (size_t)m->q->n_targets + (size_t)w->target] =
                forest_step(m->f, w);
    }
    return bit + 1;
}

static void add_part(struct maker *m, int32_t node)
{
    struct quick *q = m->q;
    if (m->counting) {
        q->n_parts++;
        q->n_tests += m->leaves[node] - 1 + m->n_way;
        q->n_leaves += m->target < 0 ? QUICK_LEAVES : 0;
        return;
    }
    struct quick_part *part = &q->parts[q->n_parts++];
    *part = (struct quick_part){.first = (uint32_t)q->n_tests,
                                .target = m->target,
                                .leaf = (uint32_t)q->n_leaves,
                                .tests_way = m->n_way > 0};
    q->n_leaves += m->target < 0 ? QUICK_LEAVES : 0;
    m->n_tests = 0;
    for (size_t i = 0; i < m->n_way; i++)
        add_test(m, &m->f->nodes[m->way[i].node], true, m->way[i].yes, 0);
    (void)add_subtree(m, node, 0, part);
    for (unsigned kind = 0; kind < QUICK_KINDS; kind++) {
        for (size_t i = 0; i < m->n_tests; i++)
            if (m->kinds[i] == kind)
                q->tests[q->n_tests++] = m->tests[i];
        part->end[kind] = (uint32_t)q->n_tests;
    }
}

/* Cuts a subtree into parts: whole subtrees that are small enough. */
static void cut(struct maker *m, int32_t node)
{
    const struct tree_node *n = &m->f->nodes[node];
    if (m->leaves[node] <= QUICK_LEAVES) {
        add_part(m, node);
        return;
    }
    m->way[m->n_way++] = (struct way){node, true};
    cut(m, n->yes);
    m->way[m->n_way - 1].yes = false;
    cut(m, n->no);
    m->n_way--;
}

static uint32_t count_leaves(struct maker *m, int32_t node)
{
    const struct tree_node *n = &m->f->nodes[node];
    return m->leaves[node] =
               n->mode == TREE_LEAF ? 1 : count_leaves(m, n->yes) + count_leaves(m, n->no);
}

/* Every leaf of the tree has one weight, for the same target: that target; otherwise -1. */
static int32_t only_target(const struct forest *f, int32_t node)
{
    const struct tree_node *n = &f->nodes[node];
    if (n->mode == TREE_LEAF)
        return n->n_weights == 1 ? f->weights[n->weight].target : -1;
    int32_t yes = only_target(f, n->yes);
    return yes >= 0 && only_target(f, n->no) == yes ? yes : -1;
}

static void cut_all(struct maker *m)
{
    for (size_t t = 0; t < m->f->n_trees; t++) {
        size_t first = m->q->n_parts;
        m->target = only_target(m->f, m->f->roots[t]);
        cut(m, m->f->roots[t]);
        if (!m->counting) {
            m->q->parts[first].starts = true;
            m->q->parts[m->q->n_parts - 1].ends = true;
        }
    }
}

static bool fits(struct maker *m)
{
    const struct forest *f = m->f;
    if (f->shared)
        return false;
    for (size_t i = 0; i < f->n_nodes; i++)
        if (f->nodes[i].mode != TREE_LEAF && f->nodes[i].mode != TREE_LEQ &&
            f->nodes[i].mode != TREE_EQ)
            return false;
    if (f->depth >= QUICK_TREE_LEAVES)
        return false;
    for (size_t t = 0; t < f->n_trees; t++)
        if (count_leaves(m, f->roots[t]) > QUICK_TREE_LEAVES)
            return false;
    return true;
}

static int make(struct maker *m)
{
    struct quick *q = m->q;
    m->counting = true;
    cut_all(m);
    if (q->n_tests > TENSOR_ELEMENTS_MAX / 8 ||
        q->n_leaves * (uint64_t)q->n_targets > TENSOR_ELEMENTS_MAX / 4)
        return TREE_UNSUPPORTED;
    q->parts = arena_alloc(m->keep, (q->n_parts + 1) * sizeof *q->parts);
    q->tests = arena_alloc(m->keep, (q->n_tests + 1) * sizeof *q->tests);
    q->leaves = arena_zalloc(m->keep, (q->n_leaves + 1) * (size_t)q->n_targets * sizeof(float));
    if (!q->parts || !q->tests || !q->leaves)
        return ERR_NOMEM;
    q->n_parts = q->n_tests = q->n_leaves = 0;
    m->counting = false;
    cut_all(m);
    return ERR_OK;
}

int tree_quick_make(const struct forest *f, int level, struct arena *keep, struct tree_kernel *ret)
{
    static const char *const names[] = {"quick-scalar", "quick-avx2", "quick-avx512"};
    struct quick *q = arena_zalloc(keep, sizeof *q);
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    struct maker *m = arena_zalloc(&tmp, sizeof *m);
    uint32_t *leaves = arena_alloc(&tmp, (f->n_nodes + 1) * sizeof *leaves);
    if (!q || !m || !leaves)
        return ERR_NOMEM;
    m->f = f;
    m->q = q;
    m->keep = keep;
    m->leaves = leaves;
    q->n_targets = f->n_targets;
    q->counts = f->units != NULL;
    if (!quick_has(level) || !fits(m))
        return TREE_UNSUPPORTED;
    int rc = make(m);
    if (rc)
        return rc;
    ret->name = names[level];
    ret->run = quick_run[level];
    ret->data = q;
    return ERR_OK;
}
