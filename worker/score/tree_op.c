#include "tree_op.h"

#include <math.h>

#include "tree_read.h"

/* ---- preparing ---- */

/* Comparisons x <= v and x > v with v a float32 hold for x if they hold for x rounded up to it;
 * x < v and x >= v if they hold for x rounded down. */
static enum tree_rounding rounding_of(const struct forest *f)
{
    bool up = true, down = true;
    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct tree_node *n = &f->nodes[i];
        if (n->mode == TREE_LEAF)
            continue;
        bool exact = (double)(float)n->value == n->value;
        up &= exact && (n->mode == TREE_LEQ || n->mode == TREE_GT);
        down &= exact && (n->mode == TREE_LT || n->mode == TREE_GTE);
    }
    return up ? TREE_ROUND_UP : down ? TREE_ROUND_DOWN : TREE_ROUND_NONE;
}

static int read_aggregate(struct op_prepare *p, struct tree_state *s)
{
    static const char *const names[] = {"SUM", "AVERAGE", "MIN", "MAX"};
    struct span text = op_attr_s(p->node, "aggregate_function", "SUM");
    const struct onnx_attr *number = op_attr(p->node, "aggregate_function", ONNX_ATTR_INT);
    static const enum tree_aggregate v5[] = {TREE_AVERAGE, TREE_SUM, TREE_MIN, TREE_MAX};
    if (number && number->i >= 0 && number->i < (int64_t)ARRAY_LEN(v5)) {
        s->aggregate = v5[number->i];
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_eq(text, span_str(names[i]))) {
            s->aggregate = (enum tree_aggregate)i;
            return ERR_OK;
        }
    return op_fail(p->e, p->node, "aggregate_function '%.*s' is unknown",
                   (int)MIN(text.len, (size_t)60), text.p);
}

static int read_base(struct op_prepare *p, struct tree_state *s)
{
    struct tree_values values;
    int rc = tree_values(p, "base_values", &values);
    const size_t n = values.n, want = (size_t)s->forest.n_targets;
    if (rc || n == 0)
        return rc;
    if (n != want && !(s->classifier && n == 1 && want == 2))
        return op_fail(p->e, p->node, "base_values has %zu elements where %zu are needed", n, want);
    s->base = arena_zalloc(p->keep, want * sizeof *s->base);
    if (!s->base)
        return op_nomem(p->e, p->node);
    s->n_base = n;
    for (size_t i = 0; i < n; i++)
        s->base[i] = (float)tree_values_next(&values);
    return ERR_OK;
}

static struct tree_state *state_new(struct op_prepare *p)
{
    struct tree_state *s = arena_zalloc(p->keep, sizeof *s);
    if (s)
        p->node->state = s;
    return s;
}

static int read_targets(struct op_prepare *p, int32_t *ret)
{
    int64_t n = op_attr_i(p->node, "n_targets", 1);
    if (n < 1 || n > TREE_TARGETS_MAX)
        return op_fail(p->e, p->node, "n_targets is %lld; 1 to %d are allowed", (long long)n,
                       TREE_TARGETS_MAX);
    *ret = (int32_t)n;
    return ERR_OK;
}

int tree_prepare_regressor(struct op_prepare *p)
{
    struct tree_state *s = state_new(p);
    int32_t n_targets = 1;
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = read_targets(p, &n_targets);
    if (rc || (rc = tree_read(p, "target", n_targets, &s->forest)) ||
        (rc = post_read(p->node, &s->post, p->e)) || (rc = read_aggregate(p, s)) ||
        (rc = read_base(p, s)))
        return rc;
    s->rounding = rounding_of(&s->forest);
    return ERR_OK;
}

int tree_prepare_v5(struct op_prepare *p)
{
    static const enum post posts[] = {POST_NONE, POST_SOFTMAX, POST_LOGISTIC, POST_SOFTMAX_ZERO,
                                      POST_PROBIT};
    struct tree_state *s = state_new(p);
    int32_t n_targets = 1;
    if (!s)
        return op_nomem(p->e, p->node);
    int64_t post = op_attr_i(p->node, "post_transform", 0);
    if (post < 0 || post >= (int64_t)ARRAY_LEN(posts))
        return op_fail(p->e, p->node, "post_transform %lld is unknown", (long long)post);
    s->post = posts[post];
    int rc = read_targets(p, &n_targets);
    if (rc || (rc = tree_read_v5(p, n_targets, &s->forest)) || (rc = read_aggregate(p, s)))
        return rc;
    s->rounding = rounding_of(&s->forest);
    return ERR_OK;
}

/* Two classes with weights of one class alone: the other's score follows from it. The target of
 * those weights becomes 0. */
static void find_one_score(struct tree_state *s)
{
    struct forest *f = &s->forest;
    s->all_positive = true;
    s->one_score = f->n_targets == 2 && f->n_weights > 0;
    for (size_t i = 0; i < f->n_nodes; i++)
        for (uint32_t k = 0; k < f->nodes[i].n_weights; k++) {
            const struct tree_weight *w = &f->weights[f->nodes[i].weight + k];
            s->all_positive &= w->w >= 0;
            s->one_score &= w->target == f->weights[0].target;
        }
    if (!s->one_score)
        return;
    if (s->base && s->n_base == 2)
        s->base[0] = s->base[1]; /* as ONNX Runtime: of two values the second counts */
    for (size_t i = 0; i < f->n_weights; i++)
        f->weights[i].target = 0;
    f->n_targets = 1;
}

int tree_prepare_classifier(struct op_prepare *p)
{
    struct tree_state *s = state_new(p);
    if (!s)
        return op_nomem(p->e, p->node);
    s->classifier = true;
    int rc = labels_read(p, "classlabels_int64s", "classlabels_strings", &s->labels);
    if (rc)
        return rc;
    if (s->labels.n > TREE_TARGETS_MAX)
        return op_fail(p->e, p->node, "it has %zu classes, over the %d allowed", s->labels.n,
                       TREE_TARGETS_MAX);
    if ((rc = tree_read(p, "class", (int32_t)s->labels.n, &s->forest)) ||
        (rc = post_read(p->node, &s->post, p->e)) || (rc = read_base(p, s)))
        return rc;
    find_one_score(s);
    s->rounding = rounding_of(&s->forest);
    return forest_count(&s->forest, p->keep) ? op_nomem(p->e, p->node) : ERR_OK;
}

int tree_settle(struct node *n, const char *kernel, enum elem_type input, struct arena *keep,
                struct error *e)
{
    struct tree_state *s = n->state;
    if (s->chosen)
        return ERR_OK;
    int rc = tree_choose(&s->forest, kernel, keep, &s->kernels, &n->note, e);
    if (rc)
        return rc;
    s->needs_walk = s->aggregate == TREE_MIN || s->aggregate == TREE_MAX ||
                    (input != ELEM_F32 && s->rounding == TREE_ROUND_NONE);
    if (s->needs_walk && forest_copy(&s->forest, keep, &s->forest))
        return op_nomem(e, n);
    s->chosen = true;
    return ERR_OK;
}

int32_t tree_features(const struct node *n)
{
    const struct tree_state *s = n->state;
    return s->forest.n_features;
}

/* ---- running ---- */

static double element(const struct tensor *t, size_t row, size_t col)
{
    return t->cols ? (double)t->cols[col][row] : tensor_f64(t, row * (size_t)t->dims[1] + col);
}

static double combined(enum tree_aggregate how, double sum, float w, bool first)
{
    if (how == TREE_MIN)
        return first || (double)w < sum ? (double)w : sum;
    if (how == TREE_MAX)
        return first || (double)w > sum ? (double)w : sum;
    return sum + (double)w;
}

/* The slow way: any type, any aggregate. AVERAGE is divided by who calls. */
static int walk_rows(const struct tree_state *s, const struct tensor *t, struct arena *mem,
                     float *out)
{
    const struct forest *f = &s->forest;
    size_t width = (size_t)f->n_targets, n_features = (size_t)f->n_features;
    double *row = arena_alloc(mem, (n_features + 1) * sizeof *row);
    double *sums = arena_alloc(mem, width * sizeof *sums);
    uint8_t *seen = arena_alloc(mem, width);
    if (!row || !seen || !sums)
        return ERR_NOMEM;
    for (size_t r = 0; r < (size_t)t->dims[0]; r++) {
        for (size_t c = 0; c < n_features; c++)
            row[c] = element(t, r, c);
        memset(seen, 0, width);
        memset(sums, 0, width * sizeof *sums);
        for (size_t i = 0; i < f->n_trees; i++) {
            const struct tree_node *leaf = tree_leaf(f, i, row);
            for (uint32_t k = 0; k < leaf->n_weights; k++) {
                const struct tree_weight *w = &f->weights[leaf->weight + k];
                sums[w->target] = combined(s->aggregate, sums[w->target], w->w, !seen[w->target]);
                seen[w->target] = 1;
            }
        }
        for (size_t k = 0; k < width; k++)
            out[r * width + k] =
                (float)(sums[k] +
                        (s->base && s->aggregate != TREE_AVERAGE ? (double)s->base[k] : 0));
    }
    return ERR_OK;
}

static float rounded(double v, enum tree_rounding rounding)
{
    float f = (float)v;
    if (rounding == TREE_ROUND_UP && (double)f < v)
        return nextafterf(f, INFINITY);
    if (rounding == TREE_ROUND_DOWN && (double)f > v)
        return nextafterf(f, -INFINITY);
    return f;
}

static int as_f32(const struct tree_state *s, const struct tensor *t, struct arena *mem,
                  struct tensor *ret)
{
    int rc = tensor_make(mem, ELEM_F32, 2, t->dims, ret);
    for (size_t i = 0; !rc && i < t->n; i++)
        ret->f32[i] = rounded(tensor_f64(t, i), s->rounding);
    return rc;
}

/* Sums, or what the aggregate is, of each target for each row. */
static int scores(struct op_run *r, const struct tree_state *s, const struct tensor *t, float *out)
{
    struct tensor converted;
    int rc;
    if (!s->chosen || s->needs_walk) {
        rc = walk_rows(s, t, r->mem, out);
    } else {
        if (t->type != ELEM_F32) {
            rc = as_f32(s, t, r->mem, &converted);
            if (rc)
                return op_nomem(r->e, r->node);
            t = &converted;
        }
        const float *base = s->aggregate == TREE_SUM ? s->base : NULL;
        rc = tree_sums(&s->kernels, &s->input, t, base, r->mem, out);
    }
    size_t width = (size_t)s->forest.n_targets;
    for (size_t i = 0; !rc && s->aggregate == TREE_AVERAGE && i < (size_t)t->dims[0] * width; i++)
        out[i] = out[i] / (float)s->forest.n_trees + (s->base ? s->base[i % width] : 0);
    return rc ? op_nomem(r->e, r->node) : ERR_OK;
}

/* Two classes told by one score; out has room for both. */
static void two_classes(const struct tree_state *s, const float *score, size_t rows,
                        struct tensor *label, float *out)
{
    bool logistic = s->post == POST_LOGISTIC;
    bool probability = s->all_positive && !logistic;
    float threshold = probability ? 0.5f : 0.0f;
    for (size_t r = 0; r < rows; r++) {
        float v = score[r];
        labels_put(&s->labels, v > threshold, label, r);
        float p = logistic ? post_logistic(v) : v;
        out[2 * r] = logistic || probability ? 1.0f - p : -p;
        out[2 * r + 1] = p;
        if (s->post == POST_SOFTMAX || s->post == POST_SOFTMAX_ZERO || s->post == POST_PROBIT)
            post_apply(s->post, out + 2 * r, 2);
    }
}

static size_t arg_max(const float *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

static int run_classifier(struct op_run *r, const struct tree_state *s, const struct tensor *t)
{
    size_t rows = (size_t)t->dims[0], width = s->labels.n;
    const int64_t dims[] = {t->dims[0], (int64_t)width};
    struct tensor probabilities;
    int rc = op_make(r, 0, s->labels.type, 1, dims);
    if (rc)
        return rc;
    if (tensor_make(r->mem, ELEM_F32, 2, dims, &probabilities))
        return op_nomem(r->e, r->node);
    float *out = probabilities.f32, *sums = out;
    if (s->one_score) {
        sums = arena_alloc(r->mem, (rows + 1) * sizeof *sums);
        if (!sums)
            return op_nomem(r->e, r->node);
    }
    if ((rc = scores(r, s, t, sums)))
        return rc;
    if (s->one_score) {
        two_classes(s, sums, rows, &r->out[0], out);
    } else {
        for (size_t i = 0; i < rows; i++) {
            labels_put(&s->labels, arg_max(out + i * width, width), &r->out[0], i);
            post_apply(s->post, out + i * width, width);
        }
    }
    if (r->node->n_out > 1)
        r->out[1] = probabilities;
    return ERR_OK;
}

int tree_run_op(struct op_run *r)
{
    const struct tree_state *s = r->node->state;
    struct tensor t = *r->in[0];
    if (t.type == ELEM_STR || t.type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it takes numbers, not %s", elem_name(t.type));
    if (t.rank == 1) {
        t.rank = 2;
        t.dims[1] = t.dims[0];
        t.dims[0] = 1;
    }
    if (t.rank != 2 || t.dims[1] < s->forest.n_features) {
        char text[TENSOR_TEXT_BYTES];
        return op_fail(r->e, r->node, "it needs a matrix of at least %d columns, not %s",
                       s->forest.n_features, tensor_text(r->in[0], text));
    }
    if (s->classifier)
        return run_classifier(r, s, &t);
    size_t width = (size_t)s->forest.n_targets;
    const int64_t dims[] = {t.dims[0], (int64_t)width};
    int rc = op_make(r, 0, ELEM_F32, 2, dims);
    if (!rc)
        rc = scores(r, s, &t, r->out[0].f32);
    for (size_t i = 0; !rc && s->post != POST_NONE && i < (size_t)t.dims[0]; i++)
        post_apply(s->post, r->out[0].f32 + i * width, width);
    return rc;
}
