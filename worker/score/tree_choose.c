/*
 * tree_choose.c: picks the kernel for a forest by measuring those that fit on rows made up from the
 * forest's own thresholds, and feeds rows to the one that was picked.
 */
#include "tree.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "common/hash.h"
#include "tree_quick.h"

enum {
    TRIAL_BLOCKS = 4,
    TRIAL_ROUNDS = 3,
    RUN_BLOCKS = 8,                 /* blocks that go through one tree after another */
    TRIAL_NODES_MAX = 16 * 1048576, /* larger forests are not measured: lockstep wins */
};

static void to_keys(struct tree_block *b, uint32_t slot, uint32_t n)
{
    float *x = b->x + (size_t)slot * TREE_BLOCK_ROWS;
    uint32_t *keys = b->keys + (size_t)slot * TREE_BLOCK_ROWS;
    for (uint32_t r = 0; r < n; r++) {
        float v = x[r];
        keys[r] = tree_key(v);
    }
}

/* ---- slots ---- */

/* Numbers the features of f, which is the caller's own, without gaps; the list of them into k. */
static int compact(struct forest *f, struct arena *keep, struct arena *tmp, struct tree_kernel *k)
{
    int32_t *slots = arena_alloc(tmp, ((size_t)f->n_features + 1) * sizeof *slots);
    k->features = arena_alloc(keep, ((size_t)f->n_features + 1) * sizeof *k->features);
    if (!slots || !k->features)
        return ERR_NOMEM;
    for (int32_t i = 0; i < f->n_features; i++)
        slots[i] = -1;
    k->n_slots = 0;
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct tree_node *n = &f->nodes[i];
        if (n->mode == TREE_LEAF)
            continue;
        if (slots[n->feature] < 0) {
            slots[n->feature] = (int32_t)k->n_slots;
            k->features[k->n_slots++] = (uint32_t)n->feature;
        }
        n->feature = slots[n->feature];
    }
    f->n_features = (int32_t)k->n_slots;
    return ERR_OK;
}

/* A copy of the nodes, with features numbered so, in simple comparisons when that can be. */
static int prepare(const struct forest *f, struct arena *keep, struct arena *tmp,
                   struct forest *ret, struct tree_kernel *k, bool *ret_simple)
{
    const size_t bytes = f->n_nodes * sizeof *f->nodes;
    *ret = *f;
    ret->nodes = arena_alloc(tmp, bytes + 1);
    if (!ret->nodes)
        return ERR_NOMEM;
    memcpy(ret->nodes, f->nodes, bytes);
    *ret_simple = forest_simplify(ret);
    if (!*ret_simple) /* it gave up half-way */
        memcpy(ret->nodes, f->nodes, bytes);
    return compact(ret, keep, tmp, k);
}

/* ---- trials ---- */

static float *aligned(struct arena *mem, size_t floats)
{
    uintptr_t p = (uintptr_t)arena_zalloc(mem, floats * sizeof(float) + 64);
    return p ? (float *)((p + 63) & ~(uintptr_t)63) : NULL;
}

/* Values near the thresholds of each slot, so that rows spread over the leaves. */
static int made_up_rows(const struct forest *f, struct arena *tmp, struct tree_block *blocks)
{
    size_t n_slots = (size_t)f->n_features;
    uint64_t seed = 1;
    const struct tree_node **by_slot = arena_zalloc(tmp, (n_slots + 1) * sizeof *by_slot);
    if (!by_slot)
        return ERR_NOMEM;
    for (size_t b = 0; b < TRIAL_BLOCKS; b++) {
        blocks[b] = (struct tree_block){.x = aligned(tmp, (n_slots + 1) * TREE_BLOCK_ROWS),
                                        .n = TREE_BLOCK_ROWS};
        if (!blocks[b].x)
            return ERR_NOMEM;
        for (size_t r = 0; r < TREE_BLOCK_ROWS; r++) {
            for (size_t s = 0; s < n_slots; s++) { /* a few draws until one is of this slot */
                uint64_t u = hash_mix(seed++);
                const struct tree_node *n = &f->nodes[u % f->n_nodes];
                if (n->mode != TREE_LEAF)
                    by_slot[n->feature] = n;
            }
            for (size_t s = 0; s < n_slots; s++) {
                uint64_t u = hash_mix(seed++);
                double v = by_slot[s] ? by_slot[s]->value : 0;
                blocks[b].x[s * TREE_BLOCK_ROWS + r] =
                    (float)(v + (fabs(v) + 0.1) * ((double)(u >> 40) / 8388608.0 - 1.0));
            }
        }
    }
    return ERR_OK;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds of a row, in so many blocks at a time. */
static double trial_ns(const struct tree_kernel *k, const struct tree_block *blocks, size_t n,
                       float *acc)
{
    double best = 0;
    for (int round = 0; round < TRIAL_ROUNDS; round++) {
        uint64_t start = now_ns();
        k->run(k, blocks, n, acc);
        double ns = (double)(now_ns() - start);
        if (round == 0 || ns < best)
            best = ns;
    }
    return best / (double)(n * blocks->n);
}

/* ---- candidates ---- */

enum { LOCKSTEP = QUICK_LEVELS, WALK, KERNELS };

static const char *const names[KERNELS] = {[QUICK_SCALAR] = "quick-scalar",
                                           [QUICK_AVX2] = "quick-avx2",
                                           [QUICK_AVX512] = "quick-avx512",
                                           [LOCKSTEP] = "lockstep",
                                           [WALK] = "walk"};

static int best_quick(void)
{
    return quick_has(QUICK_AVX512) ? QUICK_AVX512
           : quick_has(QUICK_AVX2) ? QUICK_AVX2
                                   : QUICK_SCALAR;
}

/* -1: there is no such kernel. */
static int kernel_named(const char *name)
{
    for (int kernel = 0; kernel < KERNELS; kernel++)
        if (strcmp(name, names[kernel]) == 0)
            return kernel;
    return strcmp(name, "quick") == 0 ? best_quick() : -1;
}

static int make(int kernel, const struct forest *f, bool simple, struct arena *mem,
                const struct tree_kernel *base, struct tree_kernel *ret)
{
    *ret = *base;
    if (kernel == WALK)
        return tree_walk_make(f, mem, ret);
    if (!simple)
        return TREE_UNSUPPORTED;
    return kernel == LOCKSTEP ? tree_lockstep_make(f, mem, ret)
                              : tree_quick_make(f, kernel, mem, ret);
}

/* What the trials found: the fastest kernel for many rows and for one, or -1. */
struct trials {
    int best, few;
    double best_ns, few_ns;
    char text[200];
    size_t len;
};

static void try_one(const struct tree_kernel *k, int kernel, bool large, struct tree_block *blocks,
                    float *acc, struct trials *t)
{
    struct tree_block one = {.x = blocks->x, .n = 1};
    double ns = large ? 0 : trial_ns(k, blocks, TRIAL_BLOCKS, acc);
    double few_ns = large ? 0 : trial_ns(k, &one, 1, acc);
    if (t->best < 0 || ns < t->best_ns || (large && kernel == LOCKSTEP)) {
        t->best = kernel;
        t->best_ns = ns;
    }
    if (t->few < 0 || few_ns < t->few_ns || (large && kernel == LOCKSTEP)) {
        t->few = kernel;
        t->few_ns = few_ns;
    }
    int n = snprintf(t->text + t->len, sizeof t->text - t->len, "%s%s %.0f ns/row, one row %.0f ns",
                     t->len ? "; " : "", k->name, ns, few_ns);
    t->len = MIN(t->len + (size_t)n, sizeof t->text - 1);
}

static int try_all(const struct forest *f, bool simple, struct arena *tmp,
                   const struct tree_kernel *base, struct trials *t)
{
    struct tree_block blocks[TRIAL_BLOCKS];
    float *acc = aligned(tmp, (size_t)base->n_combined * TRIAL_BLOCKS);
    *t = (struct trials){.best = -1, .few = -1};
    if (!acc || made_up_rows(f, tmp, blocks))
        return ERR_NOMEM;
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        struct tree_kernel k;
        /* the plain way is for forests that have no other */
        if (kernel == WALK ? t->best >= 0 : kernel != LOCKSTEP && kernel != best_quick())
            continue;
        int rc = make(kernel, f, simple, tmp, base, &k);
        if (rc == TREE_UNSUPPORTED)
            continue;
        if (rc)
            return rc;
        for (uint32_t s = 0; k.keys && s < base->n_slots; s++) /* kernels of floats came before */
            for (size_t b = 0; b < TRIAL_BLOCKS; b++)
                to_keys(&blocks[b], s, TREE_BLOCK_ROWS);
        try_one(&k, kernel, f->n_nodes > TRIAL_NODES_MAX, blocks, acc, t);
    }
    return ERR_OK;
}

static int note(const struct forest *f, const struct tree_kernels *k, const char *measured,
                struct arena *keep, const char **ret)
{
    char text[500];
    int n = snprintf(text, sizeof text,
                     "%zu trees, %zu leaves, depth %u, %d targets: kernel %s, for few rows %s (%s)",
                     f->n_trees, f->n_leaves, f->depth, f->n_targets, k->many.name, k->few.name,
                     measured);
    *ret = arena_strndup(keep, text, MIN((size_t)n, sizeof text - 1));
    return *ret ? ERR_OK : ERR_NOMEM;
}

static int choose_fastest(const struct forest *f, bool simple, struct arena *keep,
                          struct arena *tmp, const struct tree_kernel *base,
                          struct tree_kernels *ret, const char **ret_note)
{
    char text[250];
    struct trials t;
    int rc = try_all(f, simple, tmp, base, &t);
    if (rc || (rc = make(t.best, f, simple, keep, base, &ret->many)))
        return rc;
    ret->few = ret->many;
    if (t.few != t.best && (rc = make(t.few, f, simple, keep, base, &ret->few)))
        return rc;
    snprintf(text, sizeof text, "measured: %s", t.text);
    return note(f, ret, text, keep, ret_note);
}

/* The forest as the model has it, and no copies but the one that stays. */
static int take_walk(const struct forest *f, struct arena *keep, struct arena *tmp,
                     struct tree_kernel *base, struct tree_kernels *ret)
{
    struct forest *own = arena_alloc(keep, sizeof *own);
    if (!own || forest_copy(f, keep, own) || compact(own, keep, tmp, base))
        return ERR_NOMEM;
    ret->many = *base;
    tree_walk_use(own, &ret->many);
    ret->few = ret->many;
    return ERR_OK;
}

static int choose(const struct forest *f, const char *forced, struct arena *keep, struct arena *tmp,
                  struct tree_kernels *ret, const char **ret_note, struct error *e)
{
    struct tree_kernel base = {.n_targets = f->n_targets,
                               .n_trees = f->n_trees,
                               .units = f->units,
                               .n_combined = (uint32_t)f->n_targets * TREE_BLOCK_ROWS};
    struct forest copy;
    bool simple = false;
    int kernel = forced ? kernel_named(forced) : -1;
    int rc = kernel == WALK ? take_walk(f, keep, tmp, &base, ret)
                            : prepare(f, keep, tmp, &copy, &base, &simple);
    if (rc || !forced)
        return rc ? rc : choose_fastest(&copy, simple, keep, tmp, &base, ret, ret_note);
    if (kernel != WALK) {
        rc = kernel < 0 ? TREE_UNSUPPORTED : make(kernel, &copy, simple, keep, &base, &ret->many);
        ret->few = ret->many;
    }
    if (rc == TREE_UNSUPPORTED)
        return error_set(e, ERR_INVALID_ARGUMENT, "model: no kernel '%.40s' for this forest",
                         forced);
    return rc ? rc : note(f, ret, "not measured", keep, ret_note);
}

int tree_choose(const struct forest *f, const char *forced, struct arena *keep,
                struct tree_kernels *ret, const char **ret_note, struct error *e)
{
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    int rc = choose(f, forced, keep, &tmp, ret, ret_note, e);
    return rc == ERR_NOMEM ? error_set(e, ERR_NOMEM, "model: no memory left for the trees") : rc;
}

/* ---- feeding ---- */

static bool has_nan(const float *x, uint32_t n)
{
    uint32_t any = 0;
    for (uint32_t r = 0; r < n; r++)
        any |= x[r] != x[r];
    return any != 0;
}

static void adjust(const struct tree_input *in, uint32_t feature, float *x, uint32_t n)
{
    if (in->missing && in->missing[feature] == in->missing[feature])
        for (uint32_t r = 0; r < n; r++)
            x[r] = x[r] != x[r] ? in->missing[feature] : x[r];
    if (in->scale)
        for (uint32_t r = 0; r < n; r++)
            x[r] = (x[r] - in->offset[feature]) * in->scale[feature];
}

static void fill(const struct tree_kernel *k, const struct tree_input *in, const struct tensor *t,
                 size_t row, uint32_t n, struct tree_block *b)
{
    size_t width = (size_t)t->dims[1];
    b->n = n;
    b->missing = false;
    for (uint32_t s = 0; s < k->n_slots; s++) {
        uint32_t feature = k->features[s];
        float *x = b->x + (size_t)s * TREE_BLOCK_ROWS;
        if (t->cols) {
            memcpy(x, t->cols[feature] + row, n * sizeof *x);
        } else {
            const float *from = t->f32 + row * width + feature;
            for (uint32_t r = 0; r < n; r++)
                x[r] = from[r * width];
        }
        adjust(in, feature, x, n);
        b->missing |= has_nan(x, n);
        if (k->keys)
            to_keys(b, s, n);
    }
}

/* Sums of a block, with the base, into rows of the output. */
static void spill(const struct tree_kernel *k, const float *acc, const float *base, uint32_t n,
                  float *out)
{
    size_t width = (size_t)k->n_targets;
    for (size_t j = 0; j < width; j++) {
        const float *sums = acc + j * TREE_BLOCK_ROWS;
        const tree_count *counts = (const tree_count *)(const void *)sums;
        double first = base ? (double)base[j] : 0;
        for (uint32_t r = 0; k->units && r < n; r++)
            out[r * width + j] = (float)(first + (double)(int32_t)counts[r] * k->units[j]);
        for (uint32_t r = 0; !k->units && r < n; r++)
            out[r * width + j] = (float)(first + (double)sums[r]);
    }
}

int tree_sums(const struct tree_kernels *kernels, const struct tree_input *input,
              const struct tensor *t, const float *base, struct arena *mem, float *out)
{
    size_t rows = (size_t)t->dims[0];
    const struct tree_kernel *k = rows <= TREE_FEW_ROWS ? &kernels->few : &kernels->many;
    size_t width = (size_t)k->n_targets;
    size_t n_blocks = MIN((rows + TREE_BLOCK_ROWS - 1) / TREE_BLOCK_ROWS, (size_t)RUN_BLOCKS);
    struct tree_block blocks[RUN_BLOCKS];
    float *acc = aligned(mem, n_blocks * k->n_combined + 16);
    float *x = aligned(mem, n_blocks * (k->n_slots + 1) * TREE_BLOCK_ROWS);
    if (!acc || !x)
        return ERR_NOMEM;
    for (size_t row = 0; row < rows;) {
        size_t b = 0, first = row;
        for (; b < n_blocks && row < rows; b++) {
            uint32_t n = (uint32_t)MIN(rows - row, (size_t)TREE_BLOCK_ROWS);
            blocks[b].x = x + b * (k->n_slots + 1) * TREE_BLOCK_ROWS;
            fill(k, input, t, row, n, &blocks[b]);
            row += n;
        }
        memset(acc, 0, b * k->n_combined * sizeof *acc);
        k->run(k, blocks, b, acc);
        for (size_t i = 0; i < b; i++, first += TREE_BLOCK_ROWS)
            spill(k, acc + i * k->n_combined, base, blocks[i].n, out + first * width);
    }
    return ERR_OK;
}
