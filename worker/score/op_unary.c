/* op_unary.c: functions of one number, Clip, Where, Softmax. */
#include <math.h>

#include "broadcast.h"
#include "op_math.h"
#include "simd.h"

/* ---- functions of one number ---- */

struct params {
    double alpha, beta;
};

static double unary_abs(double x, struct params p UNUSED)
{
    return fabs(x);
}

static double unary_neg(double x, struct params p UNUSED)
{
    return -x;
}

static double unary_sign(double x, struct params p UNUSED)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

static double unary_sqrt(double x, struct params p UNUSED)
{
    return sqrt(x);
}

static double unary_exp(double x, struct params p UNUSED)
{
    return exp(x);
}

static double unary_log(double x, struct params p UNUSED)
{
    return log(x);
}

static double unary_relu(double x, struct params p UNUSED)
{
    return x < 0 ? 0 : x;
}

static double unary_leaky(double x, struct params p)
{
    return x < 0 ? p.alpha * x : x;
}

static double unary_elu(double x, struct params p)
{
    return x < 0 ? p.alpha * expm1(x) : x;
}

static double unary_sigmoid(double x, struct params p UNUSED)
{
    double e = exp(-fabs(x)), v = 1 / (1 + e);
    return x < 0 ? e * v : v;
}

static double unary_hard_sigmoid(double x, struct params p)
{
    double v = p.alpha * x + p.beta;
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static double unary_softplus(double x, struct params p UNUSED)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double unary_tanh(double x, struct params p UNUSED)
{
    return tanh(x);
}

static double unary_floor(double x, struct params p UNUSED)
{
    return floor(x);
}

static double unary_ceil(double x, struct params p UNUSED)
{
    return ceil(x);
}

static double unary_round(double x, struct params p UNUSED)
{
    return nearbyint(x); /* half to even, as ONNX says */
}

static double unary_reciprocal(double x, struct params p UNUSED)
{
    return 1 / x;
}

static double unary_erf(double x, struct params p UNUSED)
{
    return erf(x);
}

static double unary_sin(double x, struct params p UNUSED)
{
    return sin(x);
}

static double unary_cos(double x, struct params p UNUSED)
{
    return cos(x);
}

static double unary_selu(double x, struct params p)
{
    return x > 0 ? p.beta * x : p.beta * p.alpha * expm1(x);
}

static const struct unary {
    const char *op;
    double (*fn)(double x, struct params p);
    void (*fast)(float *v, size_t n); /* for float32, in place; NULL: none */
    bool integers;                    /* defined for them too */
    double alpha, beta;               /* defaults */
} table[] = {
    {"Abs", unary_abs, NULL, true, 0, 0},
    {"Neg", unary_neg, NULL, true, 0, 0},
    {"Sign", unary_sign, NULL, true, 0, 0},
    {"Sqrt", unary_sqrt, NULL, false, 0, 0},
    {"Exp", unary_exp, simd_exp, false, 0, 0},
    {"Log", unary_log, NULL, false, 0, 0},
    {"Relu", unary_relu, simd_relu, true, 0, 0},
    {"LeakyRelu", unary_leaky, NULL, false, 0.01, 0},
    {"Elu", unary_elu, NULL, false, 1, 0},
    {"Selu", unary_selu, NULL, false, 1.67326319217681884765625, 1.05070102214813232421875},
    {"Sigmoid", unary_sigmoid, simd_sigmoid, false, 0, 0},
    {"HardSigmoid", unary_hard_sigmoid, NULL, false, 0.2, 0.5},
    {"Softplus", unary_softplus, NULL, false, 0, 0},
    {"Tanh", unary_tanh, simd_tanh, false, 0, 0},
    {"Floor", unary_floor, NULL, false, 0, 0},
    {"Ceil", unary_ceil, NULL, false, 0, 0},
    {"Round", unary_round, NULL, false, 0, 0},
    {"Reciprocal", unary_reciprocal, NULL, false, 0, 0},
    {"Erf", unary_erf, NULL, false, 0, 0},
    {"Sin", unary_sin, NULL, false, 0, 0},
    {"Cos", unary_cos, NULL, false, 0, 0},
};

static int unary_numbers(struct op_run *r, const struct unary *row)
{
    const struct tensor *t = r->in[0];
    const struct params p = {(double)op_attr_f(r->node, "alpha", (float)row->alpha),
                             (double)op_attr_f(r->node, row->beta > 1 ? "gamma" : "beta",
                                               (float)row->beta)};
    int rc = op_make(r, 0, t->type, t->rank, t->dims);
    if (rc)
        return rc;
    struct tensor *out = &r->out[0];
    if (t->type == ELEM_F32 && row->fast) {
        memcpy(out->f32, t->f32, t->n * sizeof(float));
        row->fast(out->f32, t->n);
        return ERR_OK;
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->type == ELEM_F32)
            out->f32[i] = (float)row->fn((double)t->f32[i], p);
        else if (t->type == ELEM_F64)
            out->f64[i] = row->fn(t->f64[i], p);
        else if (t->type == ELEM_I32)
            out->i32[i] = i32_of_f64(row->fn((double)t->i32[i], p));
        else
            out->i64[i] = i64_of_f64(row->fn((double)t->i64[i], p));
    return ERR_OK;
}

static int unary_bool(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    const char *op = r->node->op->name;
    bool inverts = strcmp(op, "Not") == 0, infinite = strcmp(op, "IsInf") == 0;
    bool positive = op_attr_i(r->node, "detect_positive", 1) != 0;
    bool negative = op_attr_i(r->node, "detect_negative", 1) != 0;
    if (inverts ? t->type != ELEM_BOOL : !elem_float(t->type))
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    int rc = op_make(r, 0, ELEM_BOOL, t->rank, t->dims);
    for (size_t i = 0; !rc && i < t->n; i++) {
        double x = tensor_f64(t, i);
        bool yes = infinite ? isinf(x) && (x > 0 ? positive : negative) : isnan(x);
        r->out[0].bools[i] = inverts ? !t->bools[i] : yes;
    }
    return rc;
}

int op_run_unary(struct op_run *r)
{
    const char *op = r->node->op->name;
    enum elem_type type = r->in[0]->type;
    if (strcmp(op, "Not") == 0 || strcmp(op, "IsNaN") == 0 || strcmp(op, "IsInf") == 0)
        return unary_bool(r);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].op, op) != 0)
            continue;
        if (!elem_float(type) && !(table[i].integers && (type == ELEM_I32 || type == ELEM_I64)))
            return op_fail(r->e, r->node, "it is not supported for %s", elem_name(type));
        return unary_numbers(r, &table[i]);
    }
    return op_fail(r->e, r->node, "no function of that name");
}

/* ---- Clip ---- */

static int clip_bound(struct op_run *r, uint32_t input, const char *attr, double otherwise,
                      double *ret)
{
    const struct tensor *t = input < r->node->n_in ? r->in[input] : NULL;
    *ret = (double)op_attr_f(r->node, attr, (float)otherwise);
    if (!t)
        return ERR_OK;
    if (t->n != 1 || t->type == ELEM_STR)
        return op_fail(r->e, r->node, "%s must be one number", attr);
    *ret = tensor_f64(t, 0);
    return ERR_OK;
}

int op_run_clip(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    double lo, hi;
    int rc = clip_bound(r, 1, "min", -INFINITY, &lo);
    if (rc || (rc = clip_bound(r, 2, "max", INFINITY, &hi)))
        return rc;
    if (t->type == ELEM_STR || t->type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    if ((rc = op_make(r, 0, t->type, t->rank, t->dims)))
        return rc;
    for (size_t i = 0; i < t->n; i++) {
        double x = tensor_f64(t, i), v = x < lo ? lo : x;
        v = v > hi ? hi : v;
        if (t->type == ELEM_F32)
            r->out[0].f32[i] = (float)v;
        else if (t->type == ELEM_F64)
            r->out[0].f64[i] = v;
        else if (t->type == ELEM_I32)
            r->out[0].i32[i] = v == x ? t->i32[i] : i32_of_f64(v);
        else
            r->out[0].i64[i] = v == x ? t->i64[i] : i64_of_f64(v);
    }
    return ERR_OK;
}

/* ---- Where ---- */

struct where {
    const uint8_t *condition;
    const char *yes, *no;
    char *out;
    size_t width;
};

static void where_run(const struct broadcast *b, const size_t in[BROADCAST_INPUTS], size_t out,
                      void *user)
{
    const struct where *w = user;
    for (size_t i = 0; i < b->run; i++) {
        bool c = w->condition[in[0] + i * b->run_steps[0]] != 0;
        const char *from = c ? w->yes + (in[1] + i * b->run_steps[1]) * w->width
                             : w->no + (in[2] + i * b->run_steps[2]) * w->width;
        memcpy(w->out + (out + i) * w->width, from, w->width);
    }
}

int op_run_where(struct op_run *r)
{
    struct broadcast b;
    if (r->in[0]->type != ELEM_BOOL || r->in[1]->type != r->in[2]->type)
        return op_fail(r->e, r->node, "it takes a bool and two values of one type, not %s, %s, %s",
                       elem_name(r->in[0]->type), elem_name(r->in[1]->type),
                       elem_name(r->in[2]->type));
    if (!broadcast_make(r->in, 3, &b))
        return op_fail(r->e, r->node, "the shapes of its inputs do not go together");
    int rc = op_make(r, 0, r->in[1]->type, b.rank, b.dims);
    if (rc)
        return rc;
    struct where w = {r->in[0]->bools, r->in[1]->data, r->in[2]->data, r->out[0].data,
                      elem_bytes(r->in[1]->type)};
    broadcast_each(&b, where_run, &w);
    return ERR_OK;
}

/* ---- Softmax ---- */

static void softmax(double *v, size_t n, bool logarithm)
{
    double top = v[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        top = v[i] > top ? v[i] : top;
    for (size_t i = 0; i < n; i++)
        sum += exp(v[i] - top);
    for (size_t i = 0; i < n; i++)
        v[i] = logarithm ? v[i] - top - log(sum) : exp(v[i] - top) / sum;
}

int op_run_softmax(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    bool old = r->node->version < 13, logarithm = r->node->op->name[0] == 'L';
    int64_t axis = op_attr_i(r->node, "axis", old ? 1 : -1);
    uint32_t d = 0;
    size_t inner = 1, n = 1, outer = 1;
    if (!elem_float(t->type))
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    if (!op_axis(axis, t->rank, &d))
        return op_fail(r->e, r->node, "axis %lld is out of range", (long long)axis);
    for (uint32_t i = 0; i < t->rank; i++) /* before 13, all dimensions from the axis on are one */
        *(i < d ? &outer : i == d || old ? &n : &inner) *= (size_t)t->dims[i];
    int rc = op_make(r, 0, t->type, t->rank, t->dims);
    double *v = arena_alloc(r->mem, (n + 1) * sizeof *v);
    if (rc || !v)
        return rc ? rc : op_nomem(r->e, r->node);
    if (t->n == 0)
        return ERR_OK;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) {
            size_t first = o * n * inner + i;
            for (size_t k = 0; k < n; k++)
                v[k] = tensor_f64(t, first + k * inner);
            softmax(v, n, logarithm);
            for (size_t k = 0; k < n; k++)
                if (t->type == ELEM_F32)
                    r->out[0].f32[first + k * inner] = (float)v[k];
                else
                    r->out[0].f64[first + k * inner] = v[k];
        }
    return ERR_OK;
}
