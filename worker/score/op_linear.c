#include "op_linear.h"

#include "op_math.h"

int op_matrix(struct op_run *r, const struct tensor *t, struct tensor *ret)
{
    struct tensor m;
    char text[TENSOR_TEXT_BYTES];
    if (t->type == ELEM_STR || t->rank < 1 || t->rank > 2)
        return op_fail(r->e, r->node, "it takes a matrix of numbers, not %s", tensor_text(t, text));
    int rc = op_convert(r, t, ELEM_F32, &m);
    if (rc)
        return rc;
    if (m.rank == 1) {
        m.rank = 2;
        m.dims[1] = m.dims[0];
        m.dims[0] = 1;
    }
    *ret = m;
    return ERR_OK;
}

/* Coefficients are rows of k for each of m outputs; the product wants them the other way. */
static int read_weights(struct op_prepare *p, struct linear_state *s, size_t m)
{
    const struct onnx_attr *c = op_attr(p->node, "coefficients", ONNX_ATTR_FLOATS);
    const struct onnx_attr *i = op_attr(p->node, "intercepts", ONNX_ATTR_FLOATS);
    if (!c || c->n == 0 || m == 0 || c->n % m != 0)
        return op_fail(p->e, p->node, "it has %zu coefficients for %zu outputs", c ? c->n : 0, m);
    if (i && i->n != 0 && i->n != m)
        return op_fail(p->e, p->node, "it has %zu intercepts for %zu outputs", i->n, m);
    size_t k = c->n / m;
    float *w = arena_alloc(p->keep, (k * m) * sizeof *w);
    float *bias = arena_zalloc(p->keep, m * sizeof *bias);
    if (!w || !bias)
        return op_nomem(p->e, p->node);
    for (size_t row = 0; row < m; row++)
        for (size_t col = 0; col < k; col++)
            w[col * m + row] = c->floats[row * k + col];
    for (size_t row = 0; i && i->n && row < m; row++)
        bias[row] = i->floats[row];
    if (!simd_dense_make(p->keep, w, k, m, bias, SIMD_NONE, &s->dense.dense))
        return op_nomem(p->e, p->node);
    s->dense.weights = w;
    s->dense.bias = bias;
    return ERR_OK;
}

int op_prepare_linear_regressor(struct op_prepare *p)
{
    struct linear_state *s = arena_zalloc(p->keep, sizeof *s);
    int64_t targets = op_attr_i(p->node, "targets", 1);
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    if (targets < 1 || targets > TENSOR_ELEMENTS_MAX)
        return op_fail(p->e, p->node, "targets is %lld", (long long)targets);
    int rc = post_read(p->node, &s->post, p->e);
    return rc ? rc : read_weights(p, s, (size_t)targets);
}

int op_prepare_linear_classifier(struct op_prepare *p)
{
    struct linear_state *s = arena_zalloc(p->keep, sizeof *s);
    const struct onnx_attr *i = op_attr(p->node, "intercepts", ONNX_ATTR_FLOATS);
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    s->classifier = true;
    int rc = labels_read(p, "classlabels_ints", "classlabels_strings", &s->labels);
    if (rc || (rc = post_read(p->node, &s->post, p->e)))
        return rc;
    size_t m = i && i->n ? i->n : s->labels.n; /* two classes may have one row of coefficients */
    if (m != s->labels.n && !(m == 1 && s->labels.n == 2))
        return op_fail(p->e, p->node, "it has %zu intercepts for %zu classes", m, s->labels.n);
    return read_weights(p, s, m);
}

static void two_classes(const struct linear_state *s, const float *score, size_t rows,
                        struct tensor *label, float *out)
{
    for (size_t r = 0; r < rows; r++) {
        float v = score[r], *to = out + 2 * r;
        labels_put(&s->labels, v > 0, label, r);
        to[0] = s->post == POST_LOGISTIC ? post_logistic(-v) : -v;
        to[1] = s->post == POST_LOGISTIC ? post_logistic(v) : v;
        if (s->post != POST_LOGISTIC)
            post_apply(s->post, to, 2);
    }
}

static int run_classifier(struct op_run *r, const struct linear_state *s, const struct tensor *x)
{
    size_t rows = (size_t)x->dims[0], m = s->dense.dense.m, width = s->labels.n;
    const int64_t dims[] = {x->dims[0], (int64_t)width};
    struct tensor scores;
    int rc = op_make(r, 0, s->labels.type, 1, dims);
    if (rc)
        return rc;
    float *sums = m == width ? NULL : arena_alloc(r->mem, (rows + 1) * sizeof *sums);
    if (tensor_make(r->mem, ELEM_F32, 2, dims, &scores) || (m != width && !sums))
        return op_nomem(r->e, r->node);
    if (dense_run(&s->dense, x, r->mem, sums ? sums : scores.f32))
        return op_nomem(r->e, r->node);
    if (sums) {
        two_classes(s, sums, rows, &r->out[0], scores.f32);
    } else {
        for (size_t i = 0; i < rows; i++) {
            float *v = scores.f32 + i * width;
            size_t best = 0;
            for (size_t k = 1; k < width; k++)
                best = v[k] > v[best] ? k : best;
            labels_put(&s->labels, best, &r->out[0], i);
            if (s->post != POST_LOGISTIC)
                post_apply(s->post, v, width);
        }
        if (s->post == POST_LOGISTIC)
            simd_sigmoid(scores.f32, scores.n);
    }
    if (r->node->n_out > 1)
        r->out[1] = scores;
    return ERR_OK;
}

int op_run_linear(struct op_run *r)
{
    const struct linear_state *s = r->node->state;
    struct tensor x;
    char text[TENSOR_TEXT_BYTES];
    int rc = op_matrix(r, r->in[0], &x);
    if (rc)
        return rc;
    if (x.dims[1] != (int64_t)s->dense.dense.k)
        return op_fail(r->e, r->node, "it takes %zu columns, not %s", s->dense.dense.k,
                       tensor_text(r->in[0], text));
    if (s->classifier)
        return run_classifier(r, s, &x);
    size_t m = s->dense.dense.m;
    if ((rc = op_make(r, 0, ELEM_F32, 2, (int64_t[]){x.dims[0], (int64_t)m})))
        return rc;
    if (dense_run(&s->dense, &x, r->mem, r->out[0].f32))
        return op_nomem(r->e, r->node);
    for (size_t i = 0; s->post != POST_NONE && i < (size_t)x.dims[0]; i++)
        post_apply(s->post, r->out[0].f32 + i * m, m);
    return ERR_OK;
}
