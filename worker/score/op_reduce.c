#include "op_reduce.h"

#include <math.h>

#include "op_shape.h"

/* ---- Reduce* ---- */

enum fold {
    FOLD_SUM,
    FOLD_MEAN,
    FOLD_MAX,
    FOLD_MIN,
    FOLD_PROD,
    FOLD_SQUARES,
    FOLD_L1,
    FOLD_L2,
    FOLD_LOG_SUM,
    FOLD_LOG_SUM_EXP
};

static const struct {
    const char *op;
    enum fold fold;
} folds[] = {{"ReduceSum", FOLD_SUM},        {"ReduceMean", FOLD_MEAN},
             {"ReduceMax", FOLD_MAX},        {"ReduceMin", FOLD_MIN},
             {"ReduceProd", FOLD_PROD},      {"ReduceSumSquare", FOLD_SQUARES},
             {"ReduceL1", FOLD_L1},          {"ReduceL2", FOLD_L2},
             {"ReduceLogSum", FOLD_LOG_SUM}, {"ReduceLogSumExp", FOLD_LOG_SUM_EXP}};

static double fold_start(enum fold f)
{
    return f == FOLD_MAX || f == FOLD_LOG_SUM_EXP ? -INFINITY
           : f == FOLD_MIN                        ? INFINITY
           : f == FOLD_PROD                       ? 1
                                                  : 0;
}

/* LOG_SUM_EXP folds the maximum first, and the sum in a second pass. */
static double fold_step(enum fold f, double acc, double x)
{
    switch (f) {
    case FOLD_MAX:
    case FOLD_LOG_SUM_EXP:
        return x > acc || x != x ? x : acc;
    case FOLD_MIN:
        return x < acc || x != x ? x : acc;
    case FOLD_PROD:
        return acc * x;
    case FOLD_SQUARES:
    case FOLD_L2:
        return acc + x * x;
    case FOLD_L1:
        return acc + fabs(x);
    default:
        return acc + x;
    }
}

static double fold_end(enum fold f, double acc, size_t n)
{
    return f == FOLD_MEAN      ? acc / (double)n
           : f == FOLD_L2      ? sqrt(acc)
           : f == FOLD_LOG_SUM ? log(acc)
                               : acc;
}

struct reduce {
    bool gone[TENSOR_RANK_MAX];
    int64_t dims[TENSOR_RANK_MAX]; /* of the output */
    uint32_t rank;
    size_t steps[TENSOR_RANK_MAX]; /* in the output, by dimension of the input */
    size_t n;                      /* elements that fold into one */
};

static int reduce_shape(struct op_run *r, const struct tensor *t, struct reduce *ret)
{
    struct reduce d = {.n = 1};
    int64_t axes[TENSOR_RANK_MAX];
    size_t n, stride = 1;
    bool keep = op_attr_i(r->node, "keepdims", 1) != 0;
    int rc = op_ints(r, "axes", 1, TENSOR_RANK_MAX, axes, &n);
    if (rc)
        return rc;
    bool all = n == SIZE_MAX || n == 0;
    if (all && op_attr_i(r->node, "noop_with_empty_axes", 0) != 0)
        all = false;
    for (size_t i = 0; n != SIZE_MAX && i < n; i++) {
        uint32_t axis = 0;
        if (!op_axis(axes[i], t->rank, &axis))
            return op_fail(r->e, r->node, "axis %lld is out of range", (long long)axes[i]);
        d.gone[axis] = true;
    }
    for (uint32_t i = 0; i < t->rank; i++) {
        d.gone[i] |= all;
        if (d.gone[i])
            d.n *= (size_t)t->dims[i];
        if (!d.gone[i] || keep)
            d.dims[d.rank++] = d.gone[i] ? 1 : t->dims[i];
    }
    for (uint32_t i = t->rank; i-- > 0;) {
        d.steps[i] = d.gone[i] ? 0 : stride;
        stride *= d.gone[i] ? 1 : (size_t)t->dims[i];
    }
    *ret = d;
    return ERR_OK;
}

/* Folds every element of t into its place; exp_of: subtracts the maximum there and adds exp. */
static void reduce_pass(const struct tensor *t, const struct reduce *d, enum fold f,
                        const double *maxima, double *acc)
{
    size_t at[TENSOR_RANK_MAX] = {0}, to = 0;
    for (size_t i = 0; i < t->n; i++) {
        double x = tensor_f64(t, i);
        if (maxima)
            acc[to] += exp(x - (isinf(maxima[to]) ? 0 : maxima[to]));
        else
            acc[to] = fold_step(f, acc[to], x);
        for (uint32_t k = t->rank; k-- > 0;) {
            to += d->steps[k];
            if (++at[k] < (size_t)t->dims[k])
                break;
            to -= d->steps[k] * at[k];
            at[k] = 0;
        }
    }
}

int op_run_reduce(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    struct reduce d;
    enum fold f = FOLD_SUM;
    for (size_t i = 0; i < ARRAY_LEN(folds); i++)
        if (strcmp(folds[i].op, r->node->op->name) == 0)
            f = folds[i].fold;
    if (t->type == ELEM_STR || t->type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    int rc = reduce_shape(r, t, &d);
    if (rc || (rc = op_make(r, 0, t->type, d.rank, d.dims)))
        return rc;
    size_t n = r->out[0].n;
    double *acc = arena_alloc(r->mem, (n + 1) * sizeof *acc);
    double *sums = arena_zalloc(r->mem, (n + 1) * sizeof *sums);
    if (!acc || !sums)
        return op_nomem(r->e, r->node);
    for (size_t i = 0; i < n; i++)
        acc[i] = fold_start(f);
    reduce_pass(t, &d, f, NULL, acc);
    if (f == FOLD_LOG_SUM_EXP) {
        reduce_pass(t, &d, f, acc, sums);
        for (size_t i = 0; i < n; i++)
            acc[i] = log(sums[i]) + (isinf(acc[i]) ? 0 : acc[i]);
    }
    for (size_t i = 0; i < n; i++) {
        double v = fold_end(f, acc[i], d.n);
        if (t->type == ELEM_F32)
            r->out[0].f32[i] = (float)v;
        else if (t->type == ELEM_F64)
            r->out[0].f64[i] = v;
        else if (t->type == ELEM_I32)
            r->out[0].i32[i] = i32_of_f64(v);
        else
            r->out[0].i64[i] = i64_of_f64(v);
    }
    return ERR_OK;
}

/* ---- ArgMax, ArgMin ---- */

/* As the loop below, over pairs that stand side by side: the two classes of most models. A NaN is no more
 * than anything. */
static void arg_of_pairs(const float *x, size_t n, bool largest, bool last, int64_t *out)
{
    for (size_t i = 0; i < n; i++) {
        const float a = largest ? x[2 * i] : -x[2 * i], b = largest ? x[2 * i + 1] : -x[2 * i + 1];
        out[i] = b > a || (last && !(b < a));
    }
}

int op_run_arg(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    bool largest = strcmp(r->node->op->name, "ArgMax") == 0;
    bool last = op_attr_i(r->node, "select_last_index", 0) != 0;
    bool keep = op_attr_i(r->node, "keepdims", 1) != 0;
    int64_t dims[TENSOR_RANK_MAX];
    uint32_t axis = 0, rank = 0;
    if (t->type == ELEM_STR || t->type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    if (!op_axis(op_attr_i(r->node, "axis", 0), t->rank, &axis) || t->dims[axis] == 0)
        return op_fail(r->e, r->node, "its axis is out of range, or empty");
    for (uint32_t d = 0; d < t->rank; d++)
        if (d != axis || keep)
            dims[rank++] = d == axis ? 1 : t->dims[d];
    int rc = op_make(r, 0, ELEM_I64, rank, dims);
    if (rc)
        return rc;
    struct op_axes a = op_axes_of(t, axis);
    if (t->type == ELEM_F32 && a.n == 2 && a.inner == 1) {
        arg_of_pairs(t->f32, a.outer, largest, last, r->out[0].i64);
        return ERR_OK;
    }
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            const size_t first = o * a.n * a.inner + i;
            double best = tensor_f64(t, first);
            size_t at = 0;
            for (size_t k = 1; k < a.n; k++) {
                double x = tensor_f64(t, first + k * a.inner);
                if ((largest ? x > best : x < best) || (last && !(x < best) && !(x > best))) {
                    best = x;
                    at = k;
                }
            }
            r->out[0].i64[o * a.inner + i] = (int64_t)at;
        }
    return ERR_OK;
}

/* ---- TopK ---- */

struct ranked {
    double v;
    size_t at;
};

static int compare_down(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->v > y->v ? -1 : x->v < y->v ? 1 : x->at < y->at ? -1 : x->at > y->at;
}

static int compare_up(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->v < y->v ? -1 : x->v > y->v ? 1 : x->at < y->at ? -1 : x->at > y->at;
}

static void copy_element(const struct tensor *from, size_t i, struct tensor *to, size_t k)
{
    size_t width = elem_bytes(from->type);
    memcpy((char *)to->data + k * width, (char *)from->data + i * width, width);
}

int op_run_top_k(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t k = r->node->n_in > 1 && r->in[1] && r->in[1]->n == 1 ? tensor_i64(r->in[1], 0)
                                                                  : op_attr_i(r->node, "k", -1);
    bool largest = op_attr_i(r->node, "largest", 1) != 0;
    int64_t dims[TENSOR_RANK_MAX];
    uint32_t axis = 0;
    if (t->type == ELEM_STR || t->type == ELEM_BOOL)
        return op_fail(r->e, r->node, "it is not supported for %s", elem_name(t->type));
    if (!op_axis(op_attr_i(r->node, "axis", -1), t->rank, &axis) || k < 0 || k > t->dims[axis])
        return op_fail(r->e, r->node, "axis or k (%lld) is out of range", (long long)k);
    memcpy(dims, t->dims, sizeof dims);
    dims[axis] = k;
    struct tensor values, places;
    int rc = tensor_make(r->mem, t->type, t->rank, dims, &values)
                 ?: tensor_make(r->mem, ELEM_I64, t->rank, dims, &places);
    struct op_axes a = op_axes_of(t, axis);
    struct ranked *all = arena_alloc(r->mem, (a.n + 1) * sizeof *all);
    if (rc || !all)
        return op_nomem(r->e, r->node);
    for (size_t o = 0; o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++) {
            for (size_t j = 0; j < a.n; j++)
                all[j] = (struct ranked){tensor_f64(t, (o * a.n + j) * a.inner + i), j};
            qsort(all, a.n, sizeof *all, largest ? compare_down : compare_up);
            for (size_t j = 0; j < (size_t)k; j++) {
                size_t to = (o * (size_t)k + j) * a.inner + i;
                copy_element(t, (o * a.n + all[j].at) * a.inner + i, &values, to);
                places.i64[to] = (int64_t)all[j].at;
            }
        }
    r->out[0] = values;
    if (r->node->n_out > 1)
        r->out[1] = places;
    return ERR_OK;
}

/* ---- CumSum ---- */

/* One line along the axis: elements lie step apart. */
static void cumulate(const struct tensor *t, struct tensor *out, size_t first, size_t n,
                     size_t step, bool exclusive, bool reverse)
{
    double sum = 0;
    uint64_t whole = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = first + (reverse ? n - 1 - i : i) * step;
        double before = sum;
        uint64_t whole_before = whole;
        if (elem_float(t->type))
            sum += tensor_f64(t, at);
        else
            whole += (uint64_t)tensor_i64(t, at);
        double v = exclusive ? before : sum;
        uint64_t w = exclusive ? whole_before : whole;
        if (t->type == ELEM_F32)
            out->f32[at] = (float)v;
        else if (t->type == ELEM_F64)
            out->f64[at] = v;
        else if (t->type == ELEM_I32)
            out->i32[at] = (int32_t)(uint32_t)w;
        else
            out->i64[at] = (int64_t)w;
    }
}

int op_run_cum_sum(struct op_run *r)
{
    const struct tensor *t = r->in[0], *axis_in = r->in[1];
    bool exclusive = op_attr_i(r->node, "exclusive", 0) != 0;
    bool reverse = op_attr_i(r->node, "reverse", 0) != 0;
    uint32_t axis = 0;
    if (t->type == ELEM_STR || t->type == ELEM_BOOL || axis_in->n != 1 ||
        (axis_in->type != ELEM_I64 && axis_in->type != ELEM_I32))
        return op_fail(r->e, r->node, "it takes numbers and one whole number, the axis");
    if (!op_axis(tensor_i64(axis_in, 0), t->rank, &axis))
        return op_fail(r->e, r->node, "axis %lld is out of range",
                       (long long)tensor_i64(axis_in, 0));
    struct op_axes a = op_axes_of(t, axis);
    int rc = op_make(r, 0, t->type, t->rank, t->dims);
    for (size_t o = 0; !rc && o < a.outer; o++)
        for (size_t i = 0; i < a.inner; i++)
            cumulate(t, &r->out[0], o * a.n * a.inner + i, a.n, a.inner, exclusive, reverse);
    return rc;
}
