#include "post.h"

#include <math.h>

static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};

int post_read(const struct node *n, enum post *ret, struct error *e)
{
    struct span s = op_attr_s(n, "post_transform", "NONE");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (span_eq(s, span_str(names[i]))) {
            *ret = (enum post)i;
            return ERR_OK;
        }
    return op_fail(e, n, "post_transform '%.*s' is unknown", (int)MIN(s.len, (size_t)60), s.p);
}

const char *post_name(enum post p)
{
    return names[p];
}

float post_logistic(float x)
{
    float v = 1.0f / (1.0f + expf(-fabsf(x)));
    return x < 0 ? 1.0f - v : v;
}

/* The inverse of the normal distribution: Acklam's rational approximation, and one step of Halley's
 * method, after which it is exact to double precision. */
static double probit(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    double q, r, x;
    if (!(p > 0 && p < 1))
        return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    if (p > 0.5)
        return -probit(1 - p);
    if (p < 0.02425) {
        q = sqrt(-2 * log(p));
        x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
            ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    } else {
        q = p - 0.5;
        r = q * q;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
    }
    double err = 0.5 * erfc(-x / M_SQRT2) - p;
    double u = err * sqrt(2 * M_PI) * exp(x * x / 2);
    return x - u / (1 + x * u / 2);
}

static void softmax(float *v, size_t n, bool keep_zero)
{
    float top = v[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        top = v[i] > top ? v[i] : top;
    for (size_t i = 0; i < n; i++) {
        if (keep_zero && fabsf(v[i]) < 1e-7f)
            v[i] = 0;
        else
            v[i] = expf(v[i] - top);
        sum += v[i];
    }
    for (size_t i = 0; i < n && sum > 0; i++)
        v[i] /= sum;
}

void post_apply(enum post p, float *v, size_t n)
{
    if (n == 0)
        return;
    if (p == POST_SOFTMAX || p == POST_SOFTMAX_ZERO)
        softmax(v, n, p == POST_SOFTMAX_ZERO);
    for (size_t i = 0; p == POST_LOGISTIC && i < n; i++)
        v[i] = post_logistic(v[i]);
    for (size_t i = 0; p == POST_PROBIT && i < n; i++)
        v[i] = (float)probit((double)v[i]);
}

int labels_read(struct op_prepare *p, const char *ints, const char *strings, struct labels *ret)
{
    const struct onnx_attr *i = op_attr(p->node, ints, ONNX_ATTR_INTS);
    const struct onnx_attr *s = op_attr(p->node, strings, ONNX_ATTR_STRINGS);
    struct labels l = {.type = ELEM_I64};
    if (i && i->n > 0) {
        l.n = i->n;
        l.ints = arena_alloc(p->keep, l.n * sizeof *l.ints);
        if (!l.ints)
            return op_nomem(p->e, p->node);
        memcpy(l.ints, i->ints, l.n * sizeof *l.ints);
    } else if (s && s->n > 0) {
        l.type = ELEM_STR;
        l.n = s->n;
        l.strings = arena_alloc(p->keep, l.n * sizeof *l.strings);
        if (!l.strings)
            return op_nomem(p->e, p->node);
        for (size_t k = 0; k < l.n; k++) {
            char *copy = arena_strndup(p->keep, s->strings[k].p, s->strings[k].len);
            if (!copy)
                return op_nomem(p->e, p->node);
            l.strings[k] = (struct span){copy, s->strings[k].len};
        }
    } else {
        return op_fail(p->e, p->node, "the classes have no names: neither %s nor %s is there", ints,
                       strings);
    }
    *ret = l;
    return ERR_OK;
}
