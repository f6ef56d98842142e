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
    RUN_BLOCKS = 16,                /* blocks that go through one tree after another */
    TRIAL_NODES_MAX = 16 * 1048576, /* larger forests are not measured: lockstep wins */
};

/* ---- slots ---- */

/* A copy of the forest whose features are numbered without gaps, and the list of them. */
static int compact(const struct forest *f, struct arena *keep, struct forest *ret,
                   struct tree_kernel *k)
{
    *ret = *f;
    ret->nodes = arena_alloc(keep, (f->n_nodes + 1) * sizeof *ret->nodes);
    int32_t *slots = arena_alloc(keep, ((size_t)f->n_features + 1) * sizeof *slots);
    k->features = arena_alloc(keep, ((size_t)f->n_features + 1) * sizeof *k->features);
    if (!ret->nodes || !slots || !k->features)
        return ERR_NOMEM;
    if (f->n_nodes)
        memcpy(ret->nodes, f->nodes, f->n_nodes * sizeof *ret->nodes);
    for (int32_t i = 0; i < f->n_features; i++)
        slots[i] = -1;
    k->n_slots = 0;
    for (size_t i = 0; i < f->n_nodes; i++) {
        struct tree_node *n = &ret->nodes[i];
        if (n->mode == TREE_LEAF)
            continue;
        if (slots[n->feature] < 0) {
            slots[n->feature] = (int32_t)k->n_slots;
            k->features[k->n_slots++] = (uint32_t)n->feature;
        }
        n->feature = slots[n->feature];
    }
    ret->n_features = (int32_t)k->n_slots;
    return ERR_OK;
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

static double trial_ns(const struct tree_kernel *k, const struct tree_block *blocks, float *acc)
{
    double best = 0;
    for (int round = 0; round < TRIAL_ROUNDS; round++) {
        uint64_t start = now_ns();
        k->run(k, blocks, TRIAL_BLOCKS, acc);
        double ns = (double)(now_ns() - start);
        if (round == 0 || ns < best)
            best = ns;
    }
    return best / (TRIAL_BLOCKS * TREE_BLOCK_ROWS);
}

struct choice {
    struct tree_kernel kernels[2 + QUICK_LEVELS];
    size_t n;
};

static bool named(const char *forced, const char *name)
{
    return !forced || strcmp(forced, name) == 0;
}

/* Makes the kernels that are asked for. The scalar quick one is no candidate where better is. */
static int candidates(const struct forest *f, bool simple, const char *forced,
                      const struct tree_kernel *base, struct arena *keep, struct choice *c)
{
    static const char *const quick_names[] = {"quick-scalar", "quick-avx2", "quick-avx512"};
    int best_level = quick_has(QUICK_AVX512) ? QUICK_AVX512
                     : quick_has(QUICK_AVX2) ? QUICK_AVX2
                                             : QUICK_SCALAR;
    int rc = TREE_UNSUPPORTED;
    c->kernels[0] = *base;
    if (simple && named(forced, "lockstep")) {
        rc = tree_lockstep_make(f, keep, &c->kernels[c->n]);
        if (rc > 0)
            return rc;
        c->n += rc == 0;
    }
    for (int level = 0; simple && level < QUICK_LEVELS; level++) {
        bool wanted = forced ? strcmp(forced, quick_names[level]) == 0 ||
                                   (strcmp(forced, "quick") == 0 && level == best_level)
                             : level == best_level;
        if (!wanted)
            continue;
        c->kernels[c->n] = *base;
        rc = tree_quick_make(f, level, keep, &c->kernels[c->n]);
        if (rc > 0)
            return rc;
        c->n += rc == 0;
    }
    if (c->n == 0 && named(forced, "walk")) {
        c->kernels[0] = *base;
        rc = tree_walk_make(f, keep, &c->kernels[0]);
        if (rc)
            return rc;
        c->n = 1;
    }
    return ERR_OK;
}

static int pick(const struct forest *f, struct choice *c, struct arena *keep,
                struct tree_kernel *ret, const char **ret_note)
{
    CLEANUP(arena_done) struct arena tmp;
    struct tree_block blocks[TRIAL_BLOCKS];
    char text[200];
    size_t best = 0, at = 0;
    double best_ns = 0;
    arena_init(&tmp, 0);
    float *acc = aligned(&tmp, (size_t)c->kernels[0].n_combined * TRIAL_BLOCKS);
    if (!acc || made_up_rows(f, &tmp, blocks))
        return ERR_NOMEM;
    text[0] = 0;
    for (size_t i = 0; i < c->n; i++) {
        double ns = f->n_nodes > TRIAL_NODES_MAX ? 0 : trial_ns(&c->kernels[i], blocks, acc);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %.0f ns/row", i ? ", " : "",
                               c->kernels[i].name, ns);
        if (i == 0 || ns < best_ns) {
            best = i;
            best_ns = ns;
        }
    }
    *ret = c->kernels[best];
    char note[300];
    int n = snprintf(note, sizeof note,
                     "%zu trees, %zu leaves, depth %u, %d targets: kernel %s (measured: %s)",
                     f->n_trees, f->n_leaves, f->depth, f->n_targets, ret->name, text);
    *ret_note = arena_strndup(keep, note, MIN((size_t)n, sizeof note - 1));
    return *ret_note ? ERR_OK : ERR_NOMEM;
}

int tree_choose(const struct forest *f, const char *forced, struct arena *keep,
                struct tree_kernel *ret, const char **ret_note, struct error *e)
{
    struct tree_kernel base = {.n_targets = f->n_targets,
                               .n_trees = f->n_trees,
                               .n_combined = (uint32_t)f->n_targets * TREE_BLOCK_ROWS};
    struct forest slots, simple;
    struct choice c = {.n = 0};
    int rc = compact(f, keep, &slots, &base);
    if (!rc) {
        simple = slots;
        simple.nodes = arena_alloc(keep, (f->n_nodes + 1) * sizeof *simple.nodes);
        rc = simple.nodes ? ERR_OK : ERR_NOMEM;
    }
    if (!rc) {
        memcpy(simple.nodes, slots.nodes, f->n_nodes * sizeof *simple.nodes);
        bool is_simple = forest_simplify(&simple);
        rc = candidates(is_simple ? &simple : &slots, is_simple, forced, &base, keep, &c);
    }
    if (!rc && c.n == 0)
        return error_set(e, ERR_INVALID_ARGUMENT, "model: no kernel '%.40s' for this forest", forced);
    if (!rc)
        rc = pick(&slots, &c, keep, ret, ret_note);
    return rc ? error_set(e, (enum err)rc, "model: no memory left for the trees") : ERR_OK;
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
    }
}

/* Sums of a block into rows of the output. */
static void spill(const struct tree_kernel *k, const float *acc, uint32_t n, float *out)
{
    size_t width = (size_t)k->n_targets;
    for (size_t j = 0; j < width; j++)
        for (uint32_t r = 0; r < n; r++)
            out[r * width + j] = acc[j * TREE_BLOCK_ROWS + r];
}

int tree_sums(const struct tree_kernel *k, const struct tree_input *input, const struct tensor *t,
              const float *base, struct arena *mem, float *out)
{
    size_t rows = (size_t)t->dims[0], width = (size_t)k->n_targets;
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
            blocks[b].x = x + b * k->n_slots * TREE_BLOCK_ROWS;
            fill(k, input, t, row, n, &blocks[b]);
            for (size_t j = 0; j < k->n_combined; j++)
                acc[b * k->n_combined + j] = base ? base[j / TREE_BLOCK_ROWS] : 0;
            row += n;
        }
        k->run(k, blocks, b, acc);
        for (size_t i = 0; i < b; i++, first += TREE_BLOCK_ROWS)
            spill(k, acc + i * k->n_combined, blocks[i].n, out + first * width);
    }
    return ERR_OK;
}
