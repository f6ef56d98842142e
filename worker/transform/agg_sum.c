/* agg_sum.c: count, sum and avg. */
#include "agg_sum.h"

#include <math.h>

#include "agg_table.h"

/* ---- count ---- */

UPDATE(count_update)
{
    SEL_EACH(sel, i)
    ++*STATE(int64_t, i);
    return true;
}

MERGE(count_merge)
{
    return !__builtin_add_overflow(*(int64_t *)to_state, *(const int64_t *)from_state,
                                   (int64_t *)to_state);
}

FINISH(count_finish)
{
    out->i64[i] = *(const int64_t *)state;
    return true;
}

SAVE(count_save)
{
    pack_i64(out, *(const int64_t *)state);
}

LOAD(count_load)
{
    return agg_load_count(u, state);
}

/* ---- sums of exact numbers ---- */

static bool sum_spill(struct sum *s, const struct big *x, struct arena *a)
{
    s->rest = s->rest ? big_add(a, s->rest, x, false) : big_copy(a, x);
    return s->rest != NULL;
}

/* Adds m * 10^-scale. */
static bool sum_add(struct sum *s, num_wide m, int32_t scale, struct arena *a)
{
    num_wide to = s->m, add = m, total;
    int32_t up = scale - s->scale;
    bool over = abs(up) > NUM_POW10_MAX;
    if (!over && up > 0)
        over = __builtin_mul_overflow(to, (num_wide)num_pow10[up], &to);
    if (!over && up < 0)
        over = __builtin_mul_overflow(add, (num_wide)num_pow10[-up], &add);
    if (!over && !__builtin_add_overflow(to, add, &total)) {
        s->m = total;
        s->scale = MAX(s->scale, scale);
        return true;
    }
    const struct big *old = big_from_i128(a, s->m, s->scale);
    const struct big *b = big_from_i128(a, m, scale);
    s->m = 0;
    return old && b && sum_spill(s, old, a) && sum_spill(s, b, a);
}

bool agg_sum_add_num(struct sum *s, struct num x, struct arena *a)
{
    num_wide m;
    s->n++;
    if (!x.big)
        return sum_add(s, x.m, x.scale, a);
    if (big_to_i128(x.big, &m))
        return sum_add(s, m, x.big->scale, a);
    return sum_spill(s, x.big, a);
}

UPDATE(sum_num_update)
{
    bool ok = true;
    if (arg->scale == VEC_MIXED) {
        SEL_EACH(sel, i)
        ok &= agg_sum_add_num(STATE(struct sum, i), vec_num(arg, i), a);
        return ok;
    }
    SEL_EACH(sel, i)
    {
        struct sum *s = STATE(struct sum, i);
        num_wide total;
        if (s->scale == arg->scale && !__builtin_add_overflow(s->m, arg->i64[i], &total)) {
            s->m = total;
            s->n++;
        } else {
            ok &= agg_sum_add_num(s, vec_num(arg, i), a);
        }
    }
    return ok;
}

UPDATE(sum_int_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    ok &= agg_sum_add_num(STATE(struct sum, i), num_of(arg->i64[i]), a);
    return ok;
}

bool agg_sum_merge(struct sum *to, const struct sum *from, struct arena *a)
{
    return !__builtin_add_overflow(to->n, from->n, &to->n) &&
           sum_add(to, from->m, from->scale, a) && (!from->rest || sum_spill(to, from->rest, a));
}

void agg_sum_save(const struct sum *s, struct buf *out)
{
    pack_i64(out, s->n);
    pack_u64(out, (uint64_t)s->scale);
    pack_i64(out, (int64_t)(s->m >> 64));
    pack_u64(out, (uint64_t)s->m);
    if (s->rest)
        state_put_num(out, (struct num){.big = s->rest});
    else
        pack_nil(out);
}

bool agg_sum_load(struct sum *s, struct unpack *u, struct arena *a)
{
    struct num rest;
    (void)agg_load_count(u, &s->n);
    uint64_t scale = unpack_u64(u);
    s->m = (num_wide)((unsigned __int128)unpack_i64(u) << 64);
    s->m |= unpack_u64(u);
    u->failed |= scale > BIG_DIGITS_MAX;
    if (!unpack_ok(u))
        return false;
    s->scale = (int32_t)scale;
    if (unpack_peek(u) == UNPACK_NIL) {
        unpack_skip(u);
        return true;
    }
    if (!state_get_num(u, a, &rest))
        return false;
    s->rest = rest.big ? rest.big : big_from_i128(a, rest.m, rest.scale);
    return s->rest != NULL;
}

MERGE(sum_merge)
{
    return agg_sum_merge(to_state, from_state, a);
}

SAVE(sum_save)
{
    agg_sum_save(state, out);
}

LOAD(sum_load)
{
    return agg_sum_load(state, u, a);
}

/* The scale of the other, and nothing of its value. */
static bool sum_raise(void *state, const void *other, struct arena *a)
{
    const struct sum *from = other;
    int32_t scale = from->rest ? MAX(from->scale, from->rest->scale) : from->scale;
    return sum_add(state, 0, scale, a);
}

bool agg_sum_value(const struct sum *s, struct num *ret, struct arena *a)
{
    struct num x;
    if (!num_make(a, s->m, s->scale, &x))
        return false;
    if (s->rest && !num_add(a, x, (struct num){.big = s->rest}, &x))
        return false;
    *ret = x;
    return true;
}

FINISH(sum_num_finish)
{
    const struct sum *s = state;
    struct num x = {0};
    bool ok = agg_sum_value(s, &x, a);
    vec_put_num(out, i, x);
    if (s->n == 0)
        vec_set_null(out, i);
    return ok;
}

FINISH(sum_int_finish)
{
    const struct sum *s = state;
    struct num x = {0};
    bool ok = agg_sum_value(s, &x, a) && num_to_i64(x, a, &out->i64[i]);
    if (s->n == 0)
        vec_set_null(out, i);
    return ok;
}

FINISH(avg_num_finish)
{
    const struct sum *s = state;
    struct num x = {0}, avg = {0};
    bool ok = s->n == 0 || (agg_sum_value(s, &x, a) && num_div(a, x, num_of(s->n), &avg));
    vec_put_num(out, i, avg);
    if (s->n == 0)
        vec_set_null(out, i);
    return ok;
}

/* ---- sums of doubles ---- */

struct float_sum {
    double sum;
    int64_t n;
};

UPDATE(sum_float_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    {
        struct float_sum *s = STATE(struct float_sum, i);
        double sum = s->sum + arg->f64[i];
        ok &= !isinf(sum) || isinf(s->sum) || isinf(arg->f64[i]);
        s->sum = sum;
        s->n++;
    }
    return ok;
}

MERGE(sum_float_merge)
{
    struct float_sum *to = to_state;
    const struct float_sum *from = from_state;
    to->sum += from->sum;
    return !__builtin_add_overflow(to->n, from->n, &to->n);
}

SAVE(float_sum_save)
{
    const struct float_sum *s = state;
    pack_i64(out, s->n);
    pack_f64(out, s->sum);
}

LOAD(float_sum_load)
{
    struct float_sum *s = state;
    s->sum = (agg_load_count(u, &s->n), unpack_f64(u));
    return unpack_ok(u);
}

FINISH(sum_float_finish)
{
    const struct float_sum *s = state;
    out->f64[i] = s->sum;
    if (s->n == 0)
        vec_set_null(out, i);
    return true;
}

FINISH(avg_float_finish)
{
    const struct float_sum *s = state;
    out->f64[i] = s->sum / (double)s->n;
    if (s->n == 0)
        vec_set_null(out, i);
    return true;
}

/* ---- the table ---- */

#define sum_int_merge sum_merge

#define SCALED(aname, fin)                                                                         \
    {                                                                                              \
        .name = (aname), .arg = SQLTYPE_NUMERIC, .result = SQLTYPE_NUMERIC,                        \
        .distinct = AGG_DISTINCT_SET, .state_bytes = sizeof(struct sum), .update = sum_num_update, \
        .merge = sum_merge, .finish = fin##_finish, .save = sum_save, .load = sum_load,            \
        .raise = sum_raise                                                                         \
    }

static const struct agg aggs[] = {
    AGG("count", OPEN, INT8, SET, int64_t, count, count, count),
    AGG("sum", INT4, INT8, SET, struct sum, sum_int, sum_int, sum),
    AGG("sum", INT8, NUMERIC, SET, struct sum, sum_int, sum_num, sum),
    SCALED("sum", sum_num),
    AGG("sum", FLOAT8, FLOAT8, SET, struct float_sum, sum_float, sum_float, float_sum),
    AGG("avg", INT4, NUMERIC, SET, struct sum, sum_int, avg_num, sum),
    AGG("avg", INT8, NUMERIC, SET, struct sum, sum_int, avg_num, sum),
    SCALED("avg", avg_num),
    AGG("avg", FLOAT8, FLOAT8, SET, struct float_sum, sum_float, avg_float, float_sum),
};

AGG_TABLE(agg_sum_table, aggs);
