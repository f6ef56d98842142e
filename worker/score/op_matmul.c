#include "op_matmul.h"

#include <math.h>

#include "broadcast.h"

enum { PRODUCTS_MAX = 1 << 30 }; /* multiplications of one product without constant weights */
enum { NARROW = 4 }; /* outputs up to which columns are summed one by one, without a transpose */

/* ---- constant weights ---- */

static int make_dense(struct op_prepare *p, const float *w, size_t k, size_t m, const float *bias)
{
    struct dense_state *s = arena_zalloc(p->keep, sizeof *s);
    if (!s || !simd_dense_make(p->keep, w, k, m, bias, SIMD_NONE, &s->dense))
        return op_nomem(p->e, p->node);
    s->weights = w;
    s->bias = bias;
    p->node->state = s;
    return ERR_OK;
}

int dense_fuse(struct dense_state *s, const float *bias, enum simd_activation activation,
               struct arena *keep)
{
    if (!simd_dense_make(keep, s->weights, s->dense.k, s->dense.m, bias, activation, &s->dense))
        return ERR_NOMEM;
    s->bias = bias;
    return ERR_OK;
}

static void activate(enum simd_activation a, float *v, size_t n)
{
    if (a == SIMD_RELU)
        simd_relu(v, n);
    else if (a == SIMD_SIGMOID)
        simd_sigmoid(v, n);
    else if (a == SIMD_TANH)
        simd_tanh(v, n);
}

/* Few outputs from columns: each is a weighted sum of columns. */
static int narrow(const struct dense_state *s, const struct tensor *x, struct arena *mem,
                  float *out)
{
    size_t rows = (size_t)x->dims[0], k = s->dense.k, m = s->dense.m;
    float *sum = m == 1 ? out : arena_alloc(mem, (rows + 1) * sizeof *sum);
    float *w = arena_alloc(mem, (k + 1) * sizeof *w);
    if (!sum || !w)
        return ERR_NOMEM;
    for (size_t j = 0; j < m; j++) {
        for (size_t i = 0; i < k; i++)
            w[i] = s->weights[i * m + j];
        for (size_t r = 0; r < rows; r++)
            sum[r] = s->bias ? s->bias[j] : 0;
        simd_columns(x->cols, w, k, rows, sum);
        for (size_t r = 0; m > 1 && r < rows; r++)
            out[r * m + j] = sum[r];
    }
    activate(s->dense.activation, out, rows * m);
    return ERR_OK;
}

int dense_run(const struct dense_state *s, const struct tensor *x, struct arena *mem, float *out)
{
    if (x->cols && s->dense.m <= NARROW)
        return narrow(s, x, mem, out);
    size_t rows = s->dense.k ? x->n / s->dense.k : (size_t)x->dims[0];
    if (s->dense.m == 1) { /* no panel, of which one column would be used */
        simd_dots(x->f32, s->weights, s->dense.k, rows, s->bias ? s->bias[0] : 0, out);
        activate(s->dense.activation, out, rows);
    } else {
        simd_dense_run(&s->dense, x->cols ? NULL : x->f32, x->cols, rows, out);
    }
    return ERR_OK;
}

static int run_dense(struct op_run *r, const struct dense_state *s)
{
    const struct tensor *x = r->in[0];
    const bool vector = r->in[1]->rank == 1; /* of weights: its dimension is summed, none is made */
    int64_t dims[TENSOR_RANK_MAX];
    char text[TENSOR_TEXT_BYTES];
    if (x->type != ELEM_F32 || x->rank < 1 || x->dims[x->rank - 1] != (int64_t)s->dense.k)
        return op_fail(r->e, r->node, "it takes float32 with %zu columns, not %s", s->dense.k,
                       tensor_text(x, text));
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = (int64_t)s->dense.m;
    int rc = op_make(r, 0, ELEM_F32, x->rank - vector, dims);
    if (rc)
        return rc;
    return dense_run(s, x, r->mem, r->out[0].f32) ? op_nomem(r->e, r->node) : ERR_OK;
}

/* ---- any operands ---- */

/* One matrix seen in either direction. */
struct view {
    const struct tensor *t;
    size_t base, row_step, column_step;
};

static void product(const struct view *a, const struct view *b, size_t n, size_t k, size_t m,
                    struct tensor *out, size_t base)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            size_t at = a->base + i * a->row_step, bt = b->base + j * b->column_step;
            size_t to = base + i * m + j;
            double sum = 0;
            uint64_t whole = 0;
            for (size_t l = 0; l < k; l++, at += a->column_step, bt += b->row_step)
                if (elem_float(out->type))
                    sum += tensor_f64(a->t, at) * tensor_f64(b->t, bt);
                else
                    whole += (uint64_t)tensor_i64(a->t, at) * (uint64_t)tensor_i64(b->t, bt);
            if (out->type == ELEM_F32)
                out->f32[to] = (float)sum;
            else if (out->type == ELEM_F64)
                out->f64[to] = sum;
            else if (out->type == ELEM_I32)
                out->i32[to] = (int32_t)(uint32_t)whole;
            else
                out->i64[to] = (int64_t)whole;
        }
}

/* Both of one type of numbers, and row by row in memory. */
static int read_operands(struct op_run *r)
{
    for (uint32_t i = 0; i < r->node->n_in; i++)
        if (r->in[i] && !(r->in[i] = tensor_dense(r->in[i], r->mem)))
            return op_nomem(r->e, r->node);
    const struct tensor *a = r->in[0], *b = r->in[1];
    if (a->type != b->type || a->type == ELEM_STR || a->type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it is not supported for %s times %s", elem_name(a->type),
                       elem_name(b->type));
    return ERR_OK;
}

static int check_work(struct op_run *r, size_t n, size_t k, size_t m)
{
    double products = (double)n * (double)k * (double)m;
    return products <= PRODUCTS_MAX ? ERR_OK
                                    : error_set(r->e, ERR_LIMIT,
                                                "model: %.150s: %.3g multiplications, over the %d "
                                                "allowed",
                                                r->node->label, products, PRODUCTS_MAX);
}

/* The leading dimensions as tensors of no data, for broadcasting. */
static struct tensor leading(const struct tensor *t)
{
    struct tensor lead = {.type = t->type, .rank = t->rank > 2 ? t->rank - 2 : 0};
    memcpy(lead.dims, t->dims, lead.rank * sizeof lead.dims[0]);
    return lead;
}

struct products {
    struct view a, b;
    size_t n, k, m;
    struct tensor *out;
};

static void products_run(const struct broadcast *lead, const size_t in[BROADCAST_INPUTS],
                         size_t out, void *user)
{
    const struct products *p = user;
    struct view a = p->a, b = p->b;
    for (size_t i = 0; i < lead->run; i++) {
        a.base = (in[0] + i * lead->run_steps[0]) * p->n * p->k;
        b.base = (in[1] + i * lead->run_steps[1]) * p->k * p->m;
        product(&a, &b, p->n, p->k, p->m, p->out, (out + i) * p->n * p->m);
    }
}

int op_prepare_matmul(struct op_prepare *p)
{
    const struct tensor *w = p->constants[1];
    if (!w || w->type != ELEM_F32 || w->rank < 1 || w->rank > 2)
        return ERR_OK;
    return make_dense(p, w->f32, (size_t)w->dims[0], w->rank == 2 ? (size_t)w->dims[1] : 1, NULL);
}

/* As numpy.matmul: a vector is a row (left) or a column (right), leading dimensions repeat. */
int op_run_matmul(struct op_run *r)
{
    if (r->node->state)
        return run_dense(r, r->node->state);
    int rc = read_operands(r);
    if (rc)
        return rc;
    struct tensor a = *r->in[0], b = *r->in[1];
    bool row = a.rank == 1, column = b.rank == 1;
    char ta[TENSOR_TEXT_BYTES], tb[TENSOR_TEXT_BYTES];
    if (row) {
        a.dims[1] = a.dims[0];
        a.dims[0] = 1;
        a.rank = 2;
    }
    if (column) {
        b.dims[1] = 1;
        b.rank = 2;
    }
    struct tensor lead_a = leading(&a), lead_b = leading(&b);
    struct broadcast lead;
    if (a.rank < 2 || b.rank < 2 || a.dims[a.rank - 1] != b.dims[b.rank - 2] ||
        !broadcast_make((const struct tensor *const[]){&lead_a, &lead_b}, 2, &lead))
        return op_fail(r->e, r->node, "shapes do not go together: %s and %s",
                       tensor_text(r->in[0], ta), tensor_text(r->in[1], tb));
    struct products p = {.n = (size_t)a.dims[a.rank - 2],
                         .k = (size_t)a.dims[a.rank - 1],
                         .m = (size_t)b.dims[b.rank - 1],
                         .out = &r->out[0]};
    uint32_t rank = lead.rank;
    int64_t dims[TENSOR_RANK_MAX + 2];
    memcpy(dims, lead.dims, sizeof lead.dims);
    if (!row)
        dims[rank++] = a.dims[a.rank - 2];
    if (!column)
        dims[rank++] = b.dims[b.rank - 1];
    if (rank > TENSOR_RANK_MAX)
        return op_fail(r->e, r->node, "the output has more than %d dimensions", TENSOR_RANK_MAX);
    if ((rc = op_make(r, 0, a.type, rank, dims)) || (rc = check_work(r, r->out[0].n, p.k, 1)))
        return rc;
    p.a = (struct view){&a, 0, p.k, 1};
    p.b = (struct view){&b, 0, p.m, 1};
    broadcast_each(&lead, products_run, &p);
    return ERR_OK;
}

/* ---- Gemm ---- */

int op_prepare_gemm(struct op_prepare *p)
{
    const struct tensor *b = p->constants[1];
    const struct tensor *c = p->node->n_in > 2 ? p->constants[2] : NULL;
    bool has_c = p->node->n_in > 2 && p->node->in[2] >= 0;
    bool turned = op_attr_i(p->node, "transB", 0) != 0;
    float alpha = op_attr_f(p->node, "alpha", 1), beta = op_attr_f(p->node, "beta", 1);
    if (!b || b->type != ELEM_F32 || b->rank != 2 || op_attr_i(p->node, "transA", 0) != 0)
        return ERR_OK;
    size_t k = (size_t)b->dims[turned], m = (size_t)b->dims[!turned];
    bool fits = c && c->type == ELEM_F32 && (c->n == 1 || c->n == m) &&
                (c->rank == 0 || c->n == 1 || c->dims[c->rank - 1] == (int64_t)m);
    if (has_c && !fits)
        return ERR_OK;
    float *w = arena_alloc(p->keep, (k * m + 1) * sizeof *w);
    float *bias = arena_zalloc(p->keep, (m + 1) * sizeof *bias);
    if (!w || !bias)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < m; j++)
            w[i * m + j] = alpha * b->f32[turned ? j * k + i : i * m + j];
    for (size_t j = 0; c && j < m; j++)
        bias[j] = beta * c->f32[c->n == 1 ? 0 : j];
    return make_dense(p, w, k, m, has_c ? bias : NULL);
}

struct addition {
    const struct tensor *c;
    struct tensor *out;
    double beta;
};

static void add_run(const struct broadcast *b, const size_t in[BROADCAST_INPUTS], size_t out,
                    void *user)
{
    const struct addition *a = user;
    for (size_t i = 0; i < b->run; i++) {
        double v = a->beta * tensor_f64(a->c, in[1] + i * b->run_steps[1]);
        size_t to = out + i;
        if (a->out->type == ELEM_F32)
            a->out->f32[to] += (float)v;
        else if (a->out->type == ELEM_F64)
            a->out->f64[to] += v;
        else if (a->out->type == ELEM_I32)
            a->out->i32[to] += i32_of_f64(v);
        else
            a->out->i64[to] += i64_of_f64(v);
    }
}

int op_run_gemm(struct op_run *r)
{
    if (r->node->state)
        return run_dense(r, r->node->state);
    int rc = read_operands(r);
    if (rc)
        return rc;
    const struct tensor *a = r->in[0], *b = r->in[1], *c = r->node->n_in > 2 ? r->in[2] : NULL;
    bool ta = op_attr_i(r->node, "transA", 0) != 0, tb = op_attr_i(r->node, "transB", 0) != 0;
    double alpha = (double)op_attr_f(r->node, "alpha", 1);
    char text_a[TENSOR_TEXT_BYTES], text_b[TENSOR_TEXT_BYTES];
    struct broadcast walk;
    if (a->rank != 2 || b->rank != 2 || a->dims[!ta] != b->dims[tb])
        return op_fail(r->e, r->node, "shapes do not go together: %s and %s",
                       tensor_text(a, text_a), tensor_text(b, text_b));
    const int64_t dims[] = {a->dims[ta], b->dims[!tb]};
    size_t n = (size_t)dims[0], k = (size_t)a->dims[!ta], m = (size_t)dims[1];
    if ((rc = op_make(r, 0, a->type, 2, dims)) || (rc = check_work(r, n, k, m)))
        return rc;
    struct tensor *out = &r->out[0];
    product(&(struct view){a, 0, ta ? 1 : k, ta ? n : 1},
            &(struct view){b, 0, tb ? 1 : m, tb ? k : 1}, n, k, m, out, 0);
    for (size_t i = 0; alpha < 1 || alpha > 1 ? i < out->n : false; i++)
        if (out->type == ELEM_F32)
            out->f32[i] *= (float)alpha;
        else if (out->type == ELEM_F64)
            out->f64[i] *= alpha;
    if (!c)
        return ERR_OK;
    if (c->type != out->type || !broadcast_make((const struct tensor *const[]){out, c}, 2, &walk) ||
        walk.rank != 2 || walk.dims[0] != dims[0] || walk.dims[1] != dims[1])
        return op_fail(r->e, r->node, "input 2 does not fit the product: %s",
                       tensor_text(c, text_a));
    struct addition add = {c, out, (double)op_attr_f(r->node, "beta", 1)};
    broadcast_each(&walk, add_run, &add);
    return ERR_OK;
}

/* ---- BatchNormalization ---- */

int op_run_batch_normalization(struct op_run *r)
{
    const struct tensor *x = r->in[0];
    double epsilon = (double)op_attr_f(r->node, "epsilon", 1e-5f);
    if (!elem_float(x->type) || x->rank < 2)
        return op_fail(r->e, r->node, "it takes floats of two dimensions at least");
    if (op_attr_i(r->node, "training_mode", 0) != 0)
        return op_fail(r->e, r->node, "the model was exported for training");
    size_t channels = (size_t)x->dims[1], inner = 1;
    for (uint32_t i = 1; i < 5; i++)
        if (!elem_float(r->in[i]->type) || r->in[i]->n != channels)
            return op_fail(r->e, r->node, "input %u must have %zu floats", i, channels);
    for (uint32_t d = 2; d < x->rank; d++)
        inner *= (size_t)x->dims[d];
    int rc = op_make(r, 0, x->type, x->rank, x->dims);
    for (size_t i = 0; !rc && i < x->n; i++) {
        size_t c = i / inner % channels;
        double scale = tensor_f64(r->in[1], c) / sqrt(tensor_f64(r->in[4], c) + epsilon);
        double v = (tensor_f64(x, i) - tensor_f64(r->in[3], c)) * scale + tensor_f64(r->in[2], c);
        if (x->type == ELEM_F32)
            r->out[0].f32[i] = (float)v;
        else
            r->out[0].f64[i] = v;
    }
    return rc;
}
