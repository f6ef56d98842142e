/* op_prep.c: features that stay numbers. */
#include "op_prep.h"

#include <math.h>

#include "op_math.h"
#include "op_shape.h"

/* Values of an attribute, copied; *ret_n is 0 when it is not there. */
static int copy_floats(struct op_prepare *p, const char *name, float **ret, size_t *ret_n)
{
    const struct onnx_attr *a = op_attr(p->node, name, ONNX_ATTR_FLOATS);
    size_t n = a ? a->n : 0;
    float *copy = arena_alloc(p->keep, (n + 1) * sizeof *copy);
    if (!copy)
        return op_nomem(p->e, p->node);
    if (n)
        memcpy(copy, a->floats, n * sizeof *copy);
    *ret = copy;
    *ret_n = n;
    return ERR_OK;
}

/* Values are one for all features or one for each; the last dimension are the features. */
static int check_width(struct op_run *r, const struct tensor *t, size_t n)
{
    char text[TENSOR_TEXT_BYTES];
    if (t->type == ELEM_STR || t->type == ELEM_BOOL || t->rank < 1)
        return op_fail(r->e, r->node, "it takes numbers, not %s", tensor_text(t, text));
    if (n != 1 && t->dims[t->rank - 1] != (int64_t)n)
        return op_fail(r->e, r->node, "it takes %zu features, not %s", n, tensor_text(t, text));
    return ERR_OK;
}

/* A matrix like t whose columns have memory of their own, to be filled. */
static int make_columns(struct op_run *r, const struct tensor *t, float ***ret)
{
    size_t width = (size_t)t->dims[1], rows = (size_t)t->dims[0];
    float **cols = arena_alloc(r->mem, (width + 1) * sizeof *cols);
    if (!cols)
        return op_nomem(r->e, r->node);
    for (size_t c = 0; c < width; c++)
        if (!(cols[c] = arena_alloc(r->mem, (rows + 1) * sizeof(float))))
            return op_nomem(r->e, r->node);
    r->out[0] = *t;
    r->out[0].cols = (const float *const *)cols;
    *ret = cols;
    return ERR_OK;
}

/* ---- Scaler ---- */

int op_prepare_scaler(struct op_prepare *p)
{
    struct scaler_state *s = arena_zalloc(p->keep, sizeof *s);
    size_t n_offset = 0, n_scale = 0;
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = copy_floats(p, "offset", &s->offset, &n_offset);
    if (rc || (rc = copy_floats(p, "scale", &s->scale, &n_scale)))
        return rc;
    s->n = n_offset > n_scale ? n_offset : n_scale;
    s->n = MAX(s->n, (size_t)1);
    if ((n_offset > 1 && n_offset != s->n) || (n_scale > 1 && n_scale != s->n))
        return op_fail(p->e, p->node, "it has %zu offsets and %zu scales", n_offset, n_scale);
    if (n_offset != s->n || n_scale != s->n) { /* one for all, or left out */
        float *offset = arena_alloc(p->keep, s->n * sizeof *offset);
        float *scale = arena_alloc(p->keep, s->n * sizeof *scale);
        if (!offset || !scale)
            return op_nomem(p->e, p->node);
        for (size_t i = 0; i < s->n; i++) {
            offset[i] = n_offset == 0 ? 0 : s->offset[n_offset == 1 ? 0 : i];
            scale[i] = n_scale == 0 ? 1 : s->scale[n_scale == 1 ? 0 : i];
        }
        s->offset = offset;
        s->scale = scale;
    }
    p->node->state = s;
    return ERR_OK;
}

int op_run_scaler(struct op_run *r)
{
    const struct scaler_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    int rc = check_width(r, t, s->n);
    if (rc)
        return rc;
    if (t->cols) {
        float **cols;
        if ((rc = make_columns(r, t, &cols)))
            return rc;
        for (size_t c = 0; c < (size_t)t->dims[1]; c++)
            for (size_t i = 0, k = s->n == 1 ? 0 : c; i < (size_t)t->dims[0]; i++)
                cols[c][i] = (t->cols[c][i] - s->offset[k]) * s->scale[k];
        return ERR_OK;
    }
    if ((rc = op_make(r, 0, ELEM_F32, t->rank, t->dims)))
        return rc;
    for (size_t i = 0, k = 0; i < t->n; i++, k = k + 1 == s->n ? 0 : k + 1) {
        float x = t->type == ELEM_F32 ? t->f32[i] : (float)tensor_f64(t, i);
        r->out[0].f32[i] = (x - s->offset[k]) * s->scale[k];
    }
    return ERR_OK;
}

/* ---- Imputer ---- */

int op_prepare_imputer(struct op_prepare *p)
{
    struct imputer_state *s = arena_zalloc(p->keep, sizeof *s);
    const struct onnx_attr *whole = op_attr(p->node, "imputed_value_int64s", ONNX_ATTR_INTS);
    if (!s)
        return op_nomem(p->e, p->node);
    int rc = copy_floats(p, "imputed_value_floats", &s->values, &s->n);
    if (rc)
        return rc;
    s->replaced = op_attr_f(p->node, "replaced_value_float", 0);
    s->replaced_whole = op_attr_i(p->node, "replaced_value_int64", 0);
    if (s->n == 0 && whole && whole->n) {
        s->ints = true;
        s->n = whole->n;
        s->whole = arena_alloc(p->keep, s->n * sizeof *s->whole);
        if (!s->whole)
            return op_nomem(p->e, p->node);
        memcpy(s->whole, whole->ints, s->n * sizeof *s->whole);
    }
    if (s->n == 0)
        return op_fail(p->e, p->node, "it has no values to put in");
    p->node->state = s;
    return ERR_OK;
}

static inline float imputed(const struct imputer_state *s, float x, size_t k)
{
    bool missing = s->replaced != s->replaced ? x != x : !(x < s->replaced || x > s->replaced);
    return missing && (s->replaced != s->replaced || x == x) ? s->values[k] : x;
}

int op_run_imputer(struct op_run *r)
{
    const struct imputer_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    int rc = check_width(r, t, s->n);
    if (rc)
        return rc;
    if (s->ints != (t->type == ELEM_I64 || t->type == ELEM_I32))
        return op_fail(r->e, r->node, "its values are not of the input's type, %s",
                       elem_name(t->type));
    if (t->cols) {
        float **cols;
        if ((rc = make_columns(r, t, &cols)))
            return rc;
        for (size_t c = 0; c < (size_t)t->dims[1]; c++)
            for (size_t i = 0; i < (size_t)t->dims[0]; i++)
                cols[c][i] = imputed(s, t->cols[c][i], s->n == 1 ? 0 : c);
        return ERR_OK;
    }
    enum elem_type type = t->type == ELEM_I32 ? ELEM_I64 : t->type;
    if ((rc = op_make(r, 0, type, t->rank, t->dims)))
        return rc;
    for (size_t i = 0, k = 0; i < t->n; i++, k = k + 1 == s->n ? 0 : k + 1)
        if (t->type == ELEM_F32) {
            r->out[0].f32[i] = imputed(s, t->f32[i], k);
        } else if (t->type == ELEM_F64) {
            bool nan = s->replaced != s->replaced;
            double x = t->f64[i], replaced = (double)s->replaced;
            bool missing = nan ? x != x : x == x && !(x < replaced || x > replaced);
            r->out[0].f64[i] = missing ? (double)s->values[k] : x;
        } else {
            int64_t x = tensor_i64(t, i);
            r->out[0].i64[i] = x == s->replaced_whole ? s->whole[k] : x;
        }
    return ERR_OK;
}

/* ---- Normalizer ---- */

int op_run_normalizer(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    struct span norm = op_attr_s(r->node, "norm", "MAX");
    bool max = span_eq(norm, SPAN("MAX")), l2 = span_eq(norm, SPAN("L2"));
    if (!max && !l2 && !span_eq(norm, SPAN("L1")))
        return op_fail(r->e, r->node, "norm '%.*s' is unknown", (int)MIN(norm.len, (size_t)40),
                       norm.p);
    int rc = check_width(r, t, 1);
    if (rc || (rc = op_make(r, 0, ELEM_F32, t->rank, t->dims)))
        return rc;
    size_t width = (size_t)t->dims[t->rank - 1];
    for (size_t row = 0; width && row < t->n / width; row++) {
        float *out = r->out[0].f32 + row * width;
        double sum = max ? -INFINITY : 0;
        for (size_t k = 0; k < width; k++) {
            double x = tensor_f64(t, row * width + k);
            sum = max ? (x > sum ? x : sum) : sum + (l2 ? x * x : fabs(x));
            out[k] = (float)x;
        }
        sum = l2 ? sqrt(sum) : sum;
        for (size_t k = 0; (sum < 0 || sum > 0) && k < width; k++)
            out[k] = (float)((double)out[k] / sum);
    }
    return ERR_OK;
}

/* ai.onnx's LpNormalization, along any axis. */
int op_run_lp_normalization(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    bool l2 = op_attr_i(r->node, "p", 2) == 2;
    uint32_t axis = 0;
    if (!elem_float(t->type) || !op_axis(op_attr_i(r->node, "axis", -1), t->rank, &axis))
        return op_fail(r->e, r->node, "it takes floats, and an axis of theirs");
    int rc = op_make(r, 0, t->type, t->rank, t->dims);
    if (rc)
        return rc;
    struct op_axes a = op_axes_of(t, axis);
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            size_t first = o * a.n * a.inner + i;
            double sum = 0;
            for (size_t k = 0; k < a.n; k++) {
                double x = tensor_f64(t, first + k * a.inner);
                sum += l2 ? x * x : fabs(x);
            }
            sum = l2 ? sqrt(sum) : sum;
            for (size_t k = 0; k < a.n; k++) {
                size_t at = first + k * a.inner;
                double v = sum > 0 ? tensor_f64(t, at) / sum : 0;
                if (t->type == ELEM_F32)
                    r->out[0].f32[at] = (float)v;
                else
                    r->out[0].f64[at] = v;
            }
        }
    return ERR_OK;
}

/* ---- Binarizer, FeatureVectorizer ---- */

int op_run_binarizer(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    double threshold = (double)op_attr_f(r->node, "threshold", 0);
    int rc = check_width(r, t, 1);
    if (rc || (rc = op_make(r, 0, t->type, t->rank, t->dims)))
        return rc;
    for (size_t i = 0; i < t->n; i++) {
        bool above = tensor_f64(t, i) > threshold;
        if (t->type == ELEM_F32)
            r->out[0].f32[i] = above;
        else if (t->type == ELEM_F64)
            r->out[0].f64[i] = above;
        else if (t->type == ELEM_I64)
            r->out[0].i64[i] = above;
        else
            r->out[0].i32[i] = above;
    }
    return ERR_OK;
}

int op_run_feature_vectorizer(struct op_run *r)
{
    int64_t rows = r->in[0]->rank ? r->in[0]->dims[0] : 1, width = 0;
    char text[TENSOR_TEXT_BYTES];
    for (uint32_t i = 0; i < r->node->n_in; i++) {
        const struct tensor *t = r->in[i];
        if (!t || t->type == ELEM_STR || t->rank < 1 || t->rank > 2 || t->dims[0] != rows)
            return op_fail(r->e, r->node, "input %u is %s, where numbers of %lld rows are needed",
                           i, t ? tensor_text(t, text) : "left out", (long long)rows);
        width += t->rank == 2 ? t->dims[1] : 1;
    }
    int rc = op_make(r, 0, ELEM_F32, 2, (int64_t[]){rows, width});
    if (rc)
        return rc;
    for (uint32_t i = 0, at = 0; i < r->node->n_in; i++) {
        const struct tensor *t = r->in[i];
        size_t n = t->rank == 2 ? (size_t)t->dims[1] : 1;
        for (size_t k = 0; k < t->n; k++)
            r->out[0].f32[k / n * (size_t)width + at + k % n] = (float)tensor_f64(t, k);
        at += (uint32_t)n;
    }
    return ERR_OK;
}
