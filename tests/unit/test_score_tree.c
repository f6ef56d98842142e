/*
 * Forests: every kernel gives the bits of the plain way, for trees of all sizes, comparisons,
 * missing values and numbers of rows; what a forest is checked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "common/hash.h"
#include "worker/score/tree.h"

enum { FEATURES = 7, ROWS = 300 };

static uint64_t seed;

static uint64_t draw(uint64_t n)
{
    return hash_mix(++seed) % n;
}

static const double values[] = {0,    -0.0,  1,     -1, 0.5, 1.5,      -2.25,     3,
                                1e30, -1e30, 1e-45, 7,  0.1, INFINITY, -INFINITY, 2};

struct shape {
    size_t trees, leaves; /* leaves of a tree, at most */
    int32_t targets;
    bool modes; /* all of them, not <= alone */
    bool equal; /* == and != too */
    bool missing, counts;
};

/* Splits random leaves until there are enough. */
static void grow(struct forest *f, const struct shape *s)
{
    int32_t root = (int32_t)f->n_nodes, leaf[4096];
    size_t n = 1;
    f->roots[f->n_trees++] = root;
    leaf[0] = root;
    f->nodes[f->n_nodes++] = (struct tree_node){.mode = TREE_LEAF, .yes = -1, .no = -1};
    size_t wanted = 1 + draw(s->leaves);
    while (n < wanted) {
        size_t k = draw(n);
        struct tree_node *node = &f->nodes[leaf[k]];
        node->mode = s->modes ? (uint8_t)draw(s->equal ? 6 : 4) : TREE_LEQ;
        node->feature = (int32_t)draw(FEATURES);
        node->value = draw(3) ? values[draw(ARRAY_LEN(values))] : (double)draw(1000) / 99 - 5;
        node->value = (double)(float)node->value;
        node->nan_yes = s->missing && draw(2);
        node->yes = (int32_t)f->n_nodes;
        node->no = node->yes + 1;
        for (int i = 0; i < 2; i++)
            f->nodes[f->n_nodes++] = (struct tree_node){.mode = TREE_LEAF, .yes = -1, .no = -1};
        leaf[k] = node->yes;
        leaf[n++] = node->no;
    }
}

static void add_weights(struct forest *f, bool one_each)
{
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct tree_node *n = &f->nodes[i];
        if (n->mode != TREE_LEAF)
            continue;
        n->weight = (uint32_t)f->n_weights;
        n->n_weights = one_each ? 1 : (uint32_t)draw((uint64_t)f->n_targets + 1);
        for (uint32_t k = 0; k < n->n_weights; k++)
            f->weights[f->n_weights++] =
                (struct tree_weight){one_each ? (int32_t)draw((uint64_t)f->n_targets) : (int32_t)k,
                                     (float)draw(2000) / 1777 - 0.5f};
    }
}

static struct forest make_forest(const struct shape *s, struct arena *mem)
{
    size_t room = s->trees * s->leaves * 2;
    struct error e = {0};
    struct forest f = {.nodes = arena_alloc(mem, room * sizeof *f.nodes),
                       .roots = arena_alloc(mem, s->trees * sizeof *f.roots),
                       .weights = arena_alloc(mem, room * (size_t)s->targets * sizeof *f.weights),
                       .n_targets = s->targets};
    assert_true(f.nodes && f.roots && f.weights);
    for (size_t t = 0; t < s->trees; t++)
        grow(&f, s);
    add_weights(&f, draw(2));
    assert_int_equal(forest_check(&f, mem, "test", &e), ERR_OK);
    if (s->counts)
        assert_int_equal(forest_count(&f, mem), ERR_OK);
    return f;
}

static struct tensor make_rows(struct arena *mem, bool columns)
{
    struct tensor t;
    assert_int_equal(tensor_make(mem, ELEM_F32, 2, (int64_t[]){ROWS, FEATURES}, &t), ERR_OK);
    for (size_t i = 0; i < t.n; i++) {
        uint64_t kind = draw(10);
        t.f32[i] = kind == 0  ? NAN
                   : kind < 5 ? (float)values[draw(ARRAY_LEN(values))]
                              : (float)draw(1000) / 99 - 5;
    }
    if (!columns)
        return t;
    float **cols = arena_alloc(mem, FEATURES * sizeof *cols);
    for (size_t c = 0; c < FEATURES; c++) {
        cols[c] = arena_alloc(mem, ROWS * sizeof(float));
        for (size_t r = 0; r < ROWS; r++)
            cols[c][r] = t.f32[r * FEATURES + c];
    }
    t.data = NULL;
    t.cols = (const float *const *)cols;
    return t;
}

/* Sums by one kernel; false when it does not fit. */
static bool sums(const struct forest *f, const char *kernel, const struct tensor *t, int64_t rows,
                 struct arena *mem, float *out)
{
    static const struct tree_input plain;
    struct tree_kernels k;
    struct error e = {0};
    const char *note;
    struct tensor part = *t;
    if (tree_choose(f, kernel, mem, &k, &note, &e)) {
        assert_non_null(strstr(e.detail, "no kernel"));
        return false;
    }
    part.dims[0] = rows;
    part.n = (size_t)rows * FEATURES;
    assert_int_equal(tree_sums(&k, &plain, &part, NULL, mem, out), ERR_OK);
    return true;
}

/* Compares the kernels that fit with the plain way; how many runs that were. */
static size_t compare(const struct shape *s, const char *label)
{
    static const char *const kernels[] = {"lockstep", "quick-scalar", "quick-avx2", "quick-avx512"};
    static const int64_t counts[] = {1, 3, 8, 9, 63, 64, 65, ROWS};
    struct arena mem;
    size_t used = 0;
    arena_init(&mem, 0);
    struct forest f = make_forest(s, &mem);
    float want[ROWS * 8], got[ROWS * 8];
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct tensor t = make_rows(&mem, c % 2);
        assert_true(sums(&f, "walk", &t, counts[c], &mem, want));
        for (size_t k = 0; k < ARRAY_LEN(kernels); k++) {
            if (!sums(&f, kernels[k], &t, counts[c], &mem, got))
                continue;
            used++;
            size_t n = (size_t)counts[c] * (size_t)s->targets;
            for (size_t i = 0; i < n; i++)
                if (memcmp(&want[i], &got[i], sizeof got[i]) != 0)
                    fail_msg("%s, kernel %s, %lld rows: sum %zu is %.9g, not %.9g", label,
                             kernels[k], (long long)counts[c], i, (double)got[i], (double)want[i]);
        }
    }
    arena_done(&mem);
    return used;
}

static void kernels_agree(void **state)
{
    static const size_t leaves[] = {1, 2, 8, 32, 33, 64, 200, 2000};
    size_t odd = 0;
    (void)state;
    for (size_t l = 0; l < ARRAY_LEN(leaves); l++)
        for (unsigned bits = 0; bits < 32; bits++) {
            const struct shape s = {.trees = 1 + draw(12),
                                    .leaves = leaves[l],
                                    .targets = bits & 1 ? 1 : (int32_t)(2 + draw(5)),
                                    .modes = bits & 2,
                                    .equal = (bits & 2) && (bits & 16),
                                    .missing = bits & 4,
                                    .counts = bits & 8};
            char label[100];
            snprintf(label, sizeof label, "leaves %zu, bits %u", leaves[l], bits);
            seed = l * 1000 + bits;
            size_t used = compare(&s, label);
            odd += s.modes ? used : 0;
            assert_true(used > 0 || s.modes); /* x < -infinity has no other form */
        }
    assert_true(odd > 500);
}

/* Ten votes of one twentieth are one half. */
static void ties_are_ties(void **state)
{
    struct tree_node nodes[20];
    int32_t roots[20];
    struct tree_weight weights[20];
    struct arena mem;
    struct tensor t;
    float out[1];
    (void)state;
    arena_init(&mem, 0);
    for (int i = 0; i < 20; i++) {
        nodes[i] = (struct tree_node){
            .mode = TREE_LEAF, .yes = -1, .no = -1, .weight = (uint32_t)i, .n_weights = 1};
        roots[i] = i;
        weights[i] = (struct tree_weight){0, i % 2 ? 0.05f : 0};
    }
    struct forest f = {.nodes = nodes,
                       .roots = roots,
                       .weights = weights,
                       .n_nodes = 20,
                       .n_trees = 20,
                       .n_weights = 20,
                       .n_leaves = 20,
                       .n_targets = 1};
    assert_int_equal(forest_count(&f, &mem), ERR_OK);
    assert_int_equal(tensor_make(&mem, ELEM_F32, 2, (int64_t[]){1, FEATURES}, &t), ERR_OK);
    memset(t.f32, 0, t.n * sizeof(float));
    assert_true(sums(&f, "quick", &t, 1, &mem, out));
    assert_true(out[0] <= 0.5f && out[0] >= 0.5f);
    arena_done(&mem);
}

static void keys_keep_the_order(void **state)
{
    static const float in_order[] = {-INFINITY, -3e38f, -1, -1e-45f, 0, 1e-45f, 1, 3e38f, INFINITY};
    (void)state;
    for (size_t i = 1; i < ARRAY_LEN(in_order); i++)
        assert_true(tree_key(in_order[i - 1]) < tree_key(in_order[i]));
    assert_true(tree_key(-0.0f) == tree_key(0.0f));
    assert_true(tree_key(NAN) == TREE_KEY_NAN && tree_key(-NAN) == TREE_KEY_NAN);
    assert_true(tree_key(INFINITY) < TREE_KEY_NAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_agree),
                                       cmocka_unit_test(ties_are_ties),
                                       cmocka_unit_test(keys_keep_the_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
