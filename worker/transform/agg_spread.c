/*
 * agg_spread.c: variances and standard deviations. Of exact numbers they are computed exactly, as
 * PostgreSQL's numeric_stddev_internal does from the number of values, their sum and the sum of
 * their squares. Of double precision they are those of Youngs and Cramer, which PostgreSQL uses
 * too, merged as its float8_combine does.
 */
#include <math.h>

#include "agg_sum.h"
#include "agg_table.h"

/* ---- exact numbers ---- */

struct spread {
    struct sum sum, squares;
};

static bool spread_add(struct spread *s, struct num x, struct arena *a)
{
    struct num square;
    return agg_sum_add_num(&s->sum, x, a) && num_mul(a, x, x, &square) &&
           agg_sum_add_num(&s->squares, square, a);
}

UPDATE(spread_num_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    ok = ok && spread_add(STATE(struct spread, i), vec_num(arg, i), a);
    return ok;
}

UPDATE(spread_int_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    ok = ok && spread_add(STATE(struct spread, i), num_of(arg->i64[i]), a);
    return ok;
}

MERGE(spread_merge)
{
    struct spread *to = to_state;
    const struct spread *from = from_state;
    return agg_sum_merge(&to->sum, &from->sum, a) && agg_sum_merge(&to->squares, &from->squares, a);
}

SAVE(spread_save)
{
    const struct spread *s = state;
    agg_sum_save(&s->sum, out);
    agg_sum_save(&s->squares, out);
}

LOAD(spread_load)
{
    struct spread *s = state;
    return agg_sum_load(&s->sum, u, a) && agg_sum_load(&s->squares, u, a);
}

/* (n * squares - sum * sum) / (n * n), or n * (n - 1) for a sample. */
static bool variance(const struct spread *s, bool sample, struct num *ret, struct arena *a)
{
    struct num sum, squares, n = num_of(s->sum.n), by = num_of(s->sum.n - (sample ? 1 : 0));
    if (!agg_sum_value(&s->sum, &sum, a) || !agg_sum_value(&s->squares, &squares, a) ||
        !num_mul(a, sum, sum, &sum) || !num_mul(a, n, squares, &squares) ||
        !num_sub(a, squares, sum, &squares) || !num_mul(a, n, by, &by))
        return false;
    if (num_sign(squares) > 0)
        return num_div(a, squares, by, ret);
    *ret = num_of(0);
    return true;
}

static bool finish_num(const struct spread *s, struct vec *out, uint32_t i, bool sample, bool root,
                       struct arena *a)
{
    struct num x = {0};
    bool any = s->sum.n > (sample ? 1 : 0);
    bool ok = !any || variance(s, sample, &x, a);
    if (ok && root && num_sign(x) > 0)
        ok = num_sqrt(a, x, &x);
    vec_put_num(out, i, x);
    if (!any)
        vec_set_null(out, i);
    return ok;
}

/* ---- double precision ---- */

struct float_spread {
    int64_t n;
    double sum, squares; /* squares: of the differences from the mean */
};

UPDATE(spread_float_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    {
        struct float_spread *s = STATE(struct float_spread, i);
        double x = arg->f64[i], old_n = (double)s->n, old_sum = s->sum;
        double n = (double)++s->n;
        s->sum += x;
        if (old_n == 0) {
            s->squares = isfinite(x) ? 0 : (double)NAN;
            continue;
        }
        double off = x * n - s->sum;
        s->squares += off * off / (n * old_n);
        if (isinf(s->sum) || isinf(s->squares)) {
            ok &= isinf(old_sum) || isinf(x);
            s->squares = (double)NAN;
        }
    }
    return ok;
}

MERGE(spread_float_merge)
{
    struct float_spread *to = to_state;
    const struct float_spread *from = from_state;
    if (from->n == 0)
        return true;
    if (to->n == 0) {
        *to = *from;
        return true;
    }
    double n = (double)to->n, m = (double)from->n, off = to->sum / n - from->sum / m;
    bool finite = isfinite(to->sum) && isfinite(from->sum);
    to->squares = to->squares + from->squares + n * m * off * off / (n + m);
    to->sum += from->sum;
    return !__builtin_add_overflow(to->n, from->n, &to->n) && (!finite || isfinite(to->sum));
}

SAVE(float_spread_save)
{
    const struct float_spread *s = state;
    pack_i64(out, s->n);
    pack_f64(out, s->sum);
    pack_f64(out, s->squares);
}

LOAD(float_spread_load)
{
    struct float_spread *s = state;
    (void)agg_load_count(u, &s->n);
    s->sum = unpack_f64(u);
    s->squares = unpack_f64(u);
    return unpack_ok(u);
}

static bool finish_float(const struct float_spread *s, struct vec *out, uint32_t i, bool sample,
                         bool root)
{
    int64_t n = s->n - (sample ? 1 : 0);
    double x = s->squares / (double)n;
    out->f64[i] = root ? sqrt(x) : x;
    if (n <= 0)
        vec_set_null(out, i);
    return true;
}

#define FINISHES(name, sample, root)                                                               \
    FINISH(name##_num_finish)                                                                      \
    {                                                                                              \
        return finish_num(state, out, i, sample, root, a);                                         \
    }                                                                                              \
    FINISH(name##_float_finish)                                                                    \
    {                                                                                              \
        return finish_float(state, out, i, sample, root);                                          \
    }
FINISHES(var_samp, true, false)
FINISHES(var_pop, false, false)
FINISHES(stddev_samp, true, true)
FINISHES(stddev_pop, false, true)

/* ---- the table ---- */

#define spread_int_merge spread_merge
#define spread_num_merge spread_merge

#define SPREADS(aname, fin)                                                                        \
    AGG(aname, INT4, NUMERIC, NO, struct spread, spread_int, fin##_num, spread),                   \
        AGG(aname, INT8, NUMERIC, NO, struct spread, spread_int, fin##_num, spread),               \
        AGG(aname, NUMERIC, NUMERIC, NO, struct spread, spread_num, fin##_num, spread),            \
        AGG(aname, FLOAT8, FLOAT8, NO, struct float_spread, spread_float, fin##_float,             \
            float_spread)

static const struct agg aggs[] = {
    SPREADS("stddev", stddev_samp),    SPREADS("stddev_samp", stddev_samp),
    SPREADS("stddev_pop", stddev_pop), SPREADS("variance", var_samp),
    SPREADS("var_samp", var_samp),     SPREADS("var_pop", var_pop),
};

AGG_TABLE(agg_spread_table, aggs);
