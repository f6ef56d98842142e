/* op_svm.c: SVMRegressor and SVMClassifier. */
#include <math.h>

#include "op_linear.h"

enum kernel { KERNEL_LINEAR, KERNEL_POLY, KERNEL_RBF, KERNEL_SIGMOID };

struct svm_state {
    enum kernel kernel;
    enum post post;
    float gamma, coef0, degree;
    float *vectors, *coefficients, *rho, *prob_a, *prob_b; /* prob: NULL without probabilities */
    size_t n_vectors, k; /* 0 vectors: coefficients are weights of features */
    size_t n_rows;       /* of coefficients */
    bool one_class, classifier;
    struct labels labels;
    size_t *starts, *counts; /* of the vectors of each class */
};

/* ---- preparing ---- */

static int floats(struct op_prepare *p, const char *name, float **ret, size_t *ret_n)
{
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_FLOATS);
    *ret = NULL;
    *ret_n = a ? a->n : 0;
    if (*ret_n == 0)
        return ERR_OK;
    if (!(*ret = arena_alloc(p->keep, a->n * sizeof **ret)))
        return op_nomem(p->e, p->node);
    memcpy(*ret, a->floats, a->n * sizeof **ret);
    return ERR_OK;
}

static int read_kernel(struct op_prepare *p, struct svm_state *s)
{
    static const char *const names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    struct span text = op_attr_s(p->node, "kernel_type", "LINEAR");
    float *params;
    size_t n, k = 0;
    int rc = floats(p, "kernel_params", &params, &n);
    if (rc)
        return rc;
    while (k < ARRAY_LEN(names) && !span_eq(text, span_str(names[k])))
        k++;
    if (k == ARRAY_LEN(names))
        return op_fail(p->e, p->node, "kernel_type '%.*s' is unknown",
                       (int)MIN(text.len, (size_t)40), text.p);
    if (n != 0 && n != 3)
        return op_fail(p->e, p->node, "kernel_params has %zu elements; 3 are needed", n);
    s->kernel = (enum kernel)k;
    if (n) {
        s->gamma = params[0];
        s->coef0 = params[1];
        s->degree = params[2];
    }
    return ERR_OK;
}

static int read_common(struct op_prepare *p, struct svm_state *s, size_t *n_coefficients,
                       size_t *n_rho)
{
    size_t n;
    int rc = read_kernel(p, s);
    if (rc || (rc = floats(p, "support_vectors", &s->vectors, &n)) ||
        (rc = floats(p, "coefficients", &s->coefficients, n_coefficients)) ||
        (rc = floats(p, "rho", &s->rho, n_rho)) || (rc = post_read(p->node, &s->post, p->e)))
        return rc;
    if (*n_coefficients == 0 || *n_rho == 0)
        return op_fail(p->e, p->node, "it has no coefficients or no rho");
    if (s->n_vectors && (n == 0 || n % s->n_vectors != 0))
        return op_fail(p->e, p->node, "support_vectors has %zu elements for %zu vectors", n,
                       s->n_vectors);
    s->k = s->n_vectors ? n / s->n_vectors : 0;
    return ERR_OK;
}

int op_prepare_svm_regressor(struct op_prepare *p)
{
    struct svm_state *s = arena_zalloc(p->keep, sizeof *s);
    int64_t n = op_attr_i(p->node, "n_supports", 0);
    size_t n_coefficients, n_rho;
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    if (n < 0 || n > TENSOR_ELEMENTS_MAX)
        return op_fail(p->e, p->node, "n_supports is %lld", (long long)n);
    s->n_vectors = (size_t)n;
    s->one_class = op_attr_i(p->node, "one_class", 0) != 0;
    int rc = read_common(p, s, &n_coefficients, &n_rho);
    if (rc)
        return rc;
    if (s->n_vectors && n_coefficients != s->n_vectors)
        return op_fail(p->e, p->node, "it has %zu coefficients for %zu vectors", n_coefficients,
                       s->n_vectors);
    if (!s->n_vectors)
        s->k = n_coefficients;
    s->n_rows = 1;
    return ERR_OK;
}

static int read_classes(struct op_prepare *p, struct svm_state *s)
{
    const struct onnx_attr *per = op_attr(p->node, "vectors_per_class", ONNX_ATTR_INTS);
    size_t classes = s->labels.n;
    if (!per || per->n == 0)
        return ERR_OK;
    if (per->n != classes)
        return op_fail(p->e, p->node, "vectors_per_class has %zu elements for %zu classes", per->n,
                       classes);
    s->starts = arena_alloc(p->keep, classes * sizeof *s->starts);
    s->counts = arena_alloc(p->keep, classes * sizeof *s->counts);
    if (!s->starts || !s->counts)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < classes; i++) {
        if (per->ints[i] < 0 || per->ints[i] > TENSOR_ELEMENTS_MAX)
            return op_fail(p->e, p->node, "a class has %lld vectors", (long long)per->ints[i]);
        s->starts[i] = s->n_vectors;
        s->counts[i] = (size_t)per->ints[i];
        s->n_vectors += s->counts[i];
    }
    return ERR_OK;
}

int op_prepare_svm_classifier(struct op_prepare *p)
{
    struct svm_state *s = arena_zalloc(p->keep, sizeof *s);
    size_t n_coefficients, n_rho, n_a, n_b;
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    s->classifier = true;
    int rc = labels_read(p, "classlabels_ints", "classlabels_strings", &s->labels);
    if (rc || (rc = read_classes(p, s)) || (rc = read_common(p, s, &n_coefficients, &n_rho)) ||
        (rc = floats(p, "prob_a", &s->prob_a, &n_a)) ||
        (rc = floats(p, "prob_b", &s->prob_b, &n_b)))
        return rc;
    size_t c = s->labels.n, pairs = c * (c - 1) / 2;
    if (c < 2)
        return op_fail(p->e, p->node, "it has %zu classes; 2 or more are needed", c);
    if (s->n_vectors == 0) {
        if (n_coefficients % c != 0)
            return op_fail(p->e, p->node, "it has %zu coefficients for %zu classes", n_coefficients,
                           c);
        s->n_rows = c;
        s->k = n_coefficients / c;
        s->kernel = KERNEL_LINEAR;
        return n_rho < 1 ? op_fail(p->e, p->node, "it has no rho") : ERR_OK;
    }
    s->n_rows = c - 1;
    if (n_coefficients != s->n_rows * s->n_vectors || n_rho != pairs ||
        (n_a && (n_a != pairs || n_b != pairs)))
        return op_fail(
            p->e, p->node,
            "%zu coefficients, %zu rho, %zu prob_a and %zu prob_b do not fit %zu classes "
            "and %zu vectors",
            n_coefficients, n_rho, n_a, n_b, c, s->n_vectors);
    return ERR_OK;
}

const struct labels *svm_labels(const struct node *n)
{
    const struct svm_state *s = n->state;
    return s->prob_a || s->n_vectors == 0 || s->labels.n == 2 ? &s->labels : NULL;
}

/* ---- running ---- */

static float kernel_of(const struct svm_state *s, const float *a, const float *b)
{
    float sum = 0;
    if (s->kernel == KERNEL_RBF) {
        for (size_t i = 0; i < s->k; i++)
            sum += (a[i] - b[i]) * (a[i] - b[i]);
        return expf(-s->gamma * sum);
    }
    for (size_t i = 0; i < s->k; i++)
        sum += a[i] * b[i];
    if (s->kernel == KERNEL_LINEAR)
        return sum;
    sum = s->gamma * sum + s->coef0;
    return s->kernel == KERNEL_POLY ? powf(sum, s->degree) : tanhf(sum);
}

static void run_regressor(const struct svm_state *s, const struct tensor *x, float *out)
{
    for (size_t r = 0; r < (size_t)x->dims[0]; r++) {
        const float *row = x->f32 + r * s->k;
        float sum = 0;
        if (s->n_vectors == 0)
            sum = kernel_of(s, row, s->coefficients);
        for (size_t j = 0; j < s->n_vectors; j++)
            sum += s->coefficients[j] * kernel_of(s, row, s->vectors + j * s->k);
        sum += s->rho[0];
        out[r] = s->one_class ? (sum > 0 ? 1 : -1) : sum;
        if (!s->one_class)
            post_apply(s->post, &out[r], 1);
    }
}

/* LIBSVM's sigmoid_predict. */
static float pair_probability(float decision, float a, float b)
{
    float v = decision * a + b;
    return v < 0 ? 1 / (1 + expf(v)) : expf(-v) / (1 + expf(-v));
}

/* LIBSVM's multiclass_probability: from the probabilities of pairs (Wu, Lin, Weng 2004, method 2).
 * pairs[i * n + j]: i against j. work: n * n + 2 * n values. */
static void couple(size_t n, const double *pairs, double *work, float *out)
{
    double *q = work, *qp = work + n * n, *all = qp + n;
    for (size_t t = 0; t < n; t++) {
        all[t] = 1.0 / (double)n;
        q[t * n + t] = 0;
        for (size_t j = 0; j < n; j++) {
            if (j == t)
                continue;
            q[t * n + t] += pairs[j * n + t] * pairs[j * n + t];
            q[t * n + j] = -pairs[j * n + t] * pairs[t * n + j];
        }
    }
    for (size_t round = 0; round < MAX(n, (size_t)100); round++) {
        double ptqp = 0, worst = 0;
        for (size_t t = 0; t < n; t++) {
            qp[t] = 0;
            for (size_t j = 0; j < n; j++)
                qp[t] += q[t * n + j] * all[j];
            ptqp += all[t] * qp[t];
        }
        for (size_t t = 0; t < n; t++)
            worst = MAX(worst, fabs(qp[t] - ptqp));
        if (worst < 0.005 / (double)n)
            break;
        for (size_t t = 0; t < n; t++) {
            double diff = (ptqp - qp[t]) / q[t * n + t];
            all[t] += diff;
            ptqp = (ptqp + diff * (diff * q[t * n + t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
            for (size_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + diff * q[t * n + j]) / (1 + diff);
                all[j] /= 1 + diff;
            }
        }
    }
    for (size_t t = 0; t < n; t++)
        out[t] = (float)all[t];
}

struct svm_work {
    float *kernels;   /* by vector */
    float *decisions; /* by pair */
    uint32_t *votes;  /* by class */
    double *pairs, *coupling;
};

static bool make_work(const struct svm_state *s, struct arena *mem, struct svm_work *w)
{
    size_t c = s->labels.n;
    w->kernels = arena_alloc(mem, (s->n_vectors + 1) * sizeof *w->kernels);
    w->decisions = arena_alloc(mem, c * c * sizeof *w->decisions);
    w->votes = arena_alloc(mem, c * sizeof *w->votes);
    w->pairs = arena_alloc(mem, c * c * sizeof *w->pairs);
    w->coupling = arena_alloc(mem, (c * c + 2 * c) * sizeof *w->coupling);
    return w->kernels && w->decisions && w->votes && w->pairs && w->coupling;
}

/* Decisions between each two classes, and the votes of them. */
static void decide(const struct svm_state *s, const float *row, struct svm_work *w)
{
    size_t c = s->labels.n, pair = 0;
    for (size_t j = 0; j < s->n_vectors; j++)
        w->kernels[j] = kernel_of(s, row, s->vectors + j * s->k);
    memset(w->votes, 0, c * sizeof *w->votes);
    for (size_t i = 0; i < c; i++)
        for (size_t j = i + 1; j < c; j++, pair++) {
            const float *ci = s->coefficients + (j - 1) * s->n_vectors;
            const float *cj = s->coefficients + i * s->n_vectors;
            double sum = 0;
            for (size_t m = s->starts[i]; m < s->starts[i] + s->counts[i]; m++)
                sum += (double)(ci[m] * w->kernels[m]);
            for (size_t m = s->starts[j]; m < s->starts[j] + s->counts[j]; m++)
                sum += (double)(cj[m] * w->kernels[m]);
            w->decisions[pair] = (float)(sum + (double)s->rho[pair]);
            w->votes[w->decisions[pair] > 0 ? i : j]++;
        }
}

/* Scores of one row (n_out of them), and the class. */
static size_t classify(const struct svm_state *s, const float *row, struct svm_work *w, float *out)
{
    size_t c = s->labels.n, best = 0, pair = 0;
    if (s->n_vectors == 0) {
        for (size_t k = 0; k < c; k++)
            out[k] = kernel_of(s, row, s->coefficients + k * s->k) + s->rho[0];
        for (size_t k = 1; k < c; k++)
            best = out[k] > out[best] ? k : best;
        post_apply(s->post, out, c);
        return best;
    }
    decide(s, row, w);
    for (size_t k = 1; k < c; k++) /* the votes decide, as in LIBSVM, whatever the probabilities */
        best = w->votes[k] > w->votes[best] ? k : best;
    if (s->prob_a) {
        for (size_t i = 0; i < c; i++)
            for (size_t j = i + 1; j < c; j++, pair++) {
                double p =
                    (double)pair_probability(w->decisions[pair], s->prob_a[pair], s->prob_b[pair]);
                p = p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p;
                w->pairs[i * c + j] = p;
                w->pairs[j * c + i] = 1 - p;
            }
        couple(c, w->pairs, w->coupling, out);
        return best;
    }
    if (c == 2) { /* the score of both classes */
        out[0] = -w->decisions[0];
        out[1] = w->decisions[0];
        post_apply(s->post, out, 2);
    } else {
        memcpy(out, w->decisions, c * (c - 1) / 2 * sizeof *out);
        post_apply(s->post, out, c * (c - 1) / 2);
    }
    return best;
}

int op_run_svm(struct op_run *r)
{
    const struct svm_state *s = r->node->state;
    struct tensor x, scores;
    struct svm_work w;
    char text[TENSOR_TEXT_BYTES];
    int rc = op_matrix(r, r->in[0], &x);
    if (rc)
        return rc;
    if (x.dims[1] != (int64_t)s->k)
        return op_fail(r->e, r->node, "it takes %zu columns, not %s", s->k,
                       tensor_text(r->in[0], text));
    if (!s->classifier) {
        if ((rc = op_make(r, 0, ELEM_F32, 2, (int64_t[]){x.dims[0], 1})))
            return rc;
        run_regressor(s, &x, r->out[0].f32);
        return ERR_OK;
    }
    size_t c = s->labels.n;
    bool by_class = c == 2 || s->prob_a || s->n_vectors == 0;
    const int64_t dims[] = {x.dims[0], (int64_t)(by_class ? c : c * (c - 1) / 2)};
    if ((rc = op_make(r, 0, s->labels.type, 1, dims)))
        return rc;
    if (tensor_make(r->mem, ELEM_F32, 2, dims, &scores) || !make_work(s, r->mem, &w))
        return op_nomem(r->e, r->node);
    for (size_t i = 0; i < (size_t)dims[0]; i++) {
        size_t best = classify(s, x.f32 + i * s->k, &w, scores.f32 + i * (size_t)dims[1]);
        labels_put(&s->labels, best, &r->out[0], i);
    }
    if (r->node->n_out > 1)
        r->out[1] = scores;
    return ERR_OK;
}
