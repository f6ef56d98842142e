#include "agg.h"

#include <math.h>

#include "compare.h"

#define STATE(type, i) (&((type *)(void *)states)[groups[i]])

#define UPDATE(name)                                                                               \
    static bool name(char *states, const uint32_t *groups, const struct vec *arg UNUSED,           \
                     const struct sel *sel, struct arena *a UNUSED)
#define MERGE(name) static bool name(void *to_state, const void *from_state, struct arena *a UNUSED)
#define FINISH(name)                                                                               \
    static bool name(const void *state, struct vec *out, uint32_t i, struct arena *a UNUSED)

/* ---- count ---- */

UPDATE(count_update)
{
    SEL_EACH(sel, i)
    ++*STATE(int64_t, i);
    return true;
}

MERGE(count_merge)
{
    *(int64_t *)to_state += *(const int64_t *)from_state;
    return true;
}

FINISH(count_finish)
{
    out->i64[i] = *(const int64_t *)state;
    return true;
}

/* ---- sums of exact numbers ---- */

struct sum {
    num_wide m; /* of scale `scale` */
    int64_t n;
    int32_t scale;
    const struct big *rest; /* what did not fit; NULL: nothing */
};

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

static bool sum_add_num(struct sum *s, struct num x, struct arena *a)
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
        ok &= sum_add_num(STATE(struct sum, i), vec_num(arg, i), a);
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
            ok &= sum_add_num(s, vec_num(arg, i), a);
        }
    }
    return ok;
}

UPDATE(sum_int_update)
{
    bool ok = true;
    SEL_EACH(sel, i)
    ok &= sum_add_num(STATE(struct sum, i), num_of(arg->i64[i]), a);
    return ok;
}

MERGE(sum_merge)
{
    struct sum *to = to_state;
    const struct sum *from = from_state;
    to->n += from->n;
    return sum_add(to, from->m, from->scale, a) && (!from->rest || sum_spill(to, from->rest, a));
}

static bool sum_value(const struct sum *s, struct num *ret, struct arena *a)
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
    bool ok = sum_value(s, &x, a);
    vec_put_num(out, i, x);
    if (s->n == 0)
        vec_set_null(out, i);
    return ok;
}

FINISH(sum_int_finish)
{
    const struct sum *s = state;
    struct num x = {0};
    bool ok = sum_value(s, &x, a) && num_to_i64(x, a, &out->i64[i]);
    if (s->n == 0)
        vec_set_null(out, i);
    return ok;
}

FINISH(avg_num_finish)
{
    const struct sum *s = state;
    struct num x = {0}, avg = {0};
    bool ok = s->n == 0 || (sum_value(s, &x, a) && num_div(a, x, num_of(s->n), &avg));
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
    to->n += from->n;
    return true;
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

/* ---- min and max ---- */

struct extreme {
    bool any;
    union {
        int64_t i;
        double f;
        struct num num;
        struct interval interval;
        struct {
            char *p; /* room for cap bytes, in the arena; reused while the texts fit */
            uint32_t len, cap;
        } text;
    };
};

static bool extreme_keep_text(struct extreme *x, struct span s, struct arena *a)
{
    if (s.len > x->text.cap || !x->text.p) {
        size_t cap = MAX(s.len * 2, (size_t)16);
        if (cap > UINT32_MAX)
            return false;
        x->text.p = arena_alloc(a, cap + VEC_PAD);
        if (!x->text.p)
            return false;
        x->text.cap = (uint32_t)cap;
    }
    memcpy(x->text.p, s.p, s.len);
    x->text.len = (uint32_t)s.len;
    return true;
}

static struct span extreme_text(const struct extreme *x)
{
    return (struct span){x->text.p, x->text.len};
}

/* Of equal values the last one stays, as in PostgreSQL: 1.5 and 1.50 show which. */
#define EXTREME(name, better_int, better)                                                          \
    UPDATE(name##_int_update)                                                                      \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || arg->i64[i] better_int x->i)                                            \
                x->i = arg->i64[i];                                                                \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_int_merge)                                                                        \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || from->i better_int to->i))                                   \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_float_update)                                                                    \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || compare_f64(arg->f64[i], x->f) better)                                  \
                x->f = arg->f64[i];                                                                \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_float_merge)                                                                      \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || compare_f64(from->f, to->f) better))                         \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_interval_update)                                                                 \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || compare_interval(arg->interval[i], x->interval) better)                 \
                x->interval = arg->interval[i];                                                    \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_interval_merge)                                                                   \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || compare_interval(from->interval, to->interval) better))      \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_num_update)                                                                      \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (x->any && !(num_cmp(vec_num(arg, i), x->num, a) better))                           \
                continue;                                                                          \
            if (!num_keep(a, vec_num(arg, i), &x->num))                                            \
                return false;                                                                      \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_num_merge)                                                                        \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (!from->any || (to->any && !(num_cmp(from->num, to->num, a) better)))                   \
            return true;                                                                           \
        to->any = true;                                                                            \
        return num_keep(a, from->num, &to->num);                                                   \
    }                                                                                              \
    UPDATE(name##_text_update)                                                                     \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (x->any && !(compare_text(arg->text[i], extreme_text(x)) better))                   \
                continue;                                                                          \
            if (!extreme_keep_text(x, arg->text[i], a))                                            \
                return false;                                                                      \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_text_merge)                                                                       \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (!from->any ||                                                                          \
            (to->any && !(compare_text(extreme_text(from), extreme_text(to)) better)))             \
            return true;                                                                           \
        to->any = true;                                                                            \
        return extreme_keep_text(to, extreme_text(from), a);                                       \
    }

EXTREME(min, <=, <= 0)
EXTREME(max, >=, >= 0)

FINISH(extreme_int_finish)
{
    const struct extreme *x = state;
    out->i64[i] = x->i;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_float_finish)
{
    const struct extreme *x = state;
    out->f64[i] = x->f;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_interval_finish)
{
    const struct extreme *x = state;
    out->interval[i] = x->interval;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_num_finish)
{
    const struct extreme *x = state;
    vec_put_num(out, i, x->any ? x->num : num_of(0));
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_text_finish)
{
    const struct extreme *x = state;
    out->text[i] = extreme_text(x);
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

/* ---- bool_and, bool_or ---- */

struct flags {
    bool any, all_true, one_true;
};

UPDATE(flags_update)
{
    SEL_EACH(sel, i)
    {
        struct flags *f = STATE(struct flags, i);
        f->all_true = (f->all_true || !f->any) && arg->b8[i];
        f->one_true |= arg->b8[i];
        f->any = true;
    }
    return true;
}

MERGE(flags_merge)
{
    struct flags *to = to_state;
    const struct flags *from = from_state;
    if (!from->any)
        return true;
    to->all_true = (to->all_true || !to->any) && from->all_true;
    to->one_true |= from->one_true;
    to->any = true;
    return true;
}

FINISH(and_finish)
{
    const struct flags *f = state;
    out->b8[i] = f->all_true;
    if (!f->any)
        vec_set_null(out, i);
    return true;
}

FINISH(or_finish)
{
    const struct flags *f = state;
    out->b8[i] = f->one_true;
    if (!f->any)
        vec_set_null(out, i);
    return true;
}

/* ---- the table ---- */

#define AGG(aname, atype, aresult, adistinct, atate, prefix, fin)                                  \
    {                                                                                              \
        .name = (aname), .arg = SQLTYPE_##atype, .result = SQLTYPE_##aresult,                      \
        .distinct = (adistinct), .state_bytes = sizeof(atate), .update = prefix##_update,          \
        .merge = prefix##_merge, .finish = fin##_finish                                            \
    }
#define EXTREMES(fname)                                                                            \
    AGG(#fname, INT4, INT4, true, struct extreme, fname##_int, extreme_int),                       \
        AGG(#fname, INT8, INT8, true, struct extreme, fname##_int, extreme_int),                   \
        AGG(#fname, NUMERIC, NUMERIC, true, struct extreme, fname##_num, extreme_num),             \
        AGG(#fname, FLOAT8, FLOAT8, true, struct extreme, fname##_float, extreme_float),           \
        AGG(#fname, TEXT, TEXT, true, struct extreme, fname##_text, extreme_text),                 \
        AGG(#fname, DATE, DATE, true, struct extreme, fname##_int, extreme_int),                   \
        AGG(#fname, TIMESTAMP, TIMESTAMP, true, struct extreme, fname##_int, extreme_int),         \
        AGG(#fname, TIMESTAMPTZ, TIMESTAMPTZ, true, struct extreme, fname##_int, extreme_int),     \
        AGG(#fname, INTERVAL, INTERVAL, true, struct extreme, fname##_interval, extreme_interval)

#define sum_num_merge sum_merge
#define sum_int_merge sum_merge

static const struct agg aggs[] = {
    AGG("count", OPEN, INT8, true, int64_t, count, count),
    AGG("sum", INT4, INT8, false, struct sum, sum_int, sum_int),
    AGG("sum", INT8, NUMERIC, false, struct sum, sum_int, sum_num),
    AGG("sum", NUMERIC, NUMERIC, false, struct sum, sum_num, sum_num),
    AGG("sum", FLOAT8, FLOAT8, false, struct float_sum, sum_float, sum_float),
    AGG("avg", INT4, NUMERIC, false, struct sum, sum_int, avg_num),
    AGG("avg", INT8, NUMERIC, false, struct sum, sum_int, avg_num),
    AGG("avg", NUMERIC, NUMERIC, false, struct sum, sum_num, avg_num),
    AGG("avg", FLOAT8, FLOAT8, false, struct float_sum, sum_float, avg_float),
    EXTREMES(min),
    EXTREMES(max),
    AGG("bool_and", BOOL, BOOL, false, struct flags, flags, and),
    AGG("every", BOOL, BOOL, false, struct flags, flags, and),
    AGG("bool_or", BOOL, BOOL, false, struct flags, flags, or),
};

bool agg_known(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(aggs); i++)
        if (strcmp(aggs[i].name, name) == 0)
            return true;
    return false;
}

/* What an open column becomes in the aggregate: a number if it can be one, but in min and max
 * text. */
static bool takes_open(const struct agg *a)
{
    bool extreme = strcmp(a->name, "min") == 0 || strcmp(a->name, "max") == 0;
    return a->arg == SQLTYPE_OPEN || a->arg == SQLTYPE_BOOL ||
           a->arg == (extreme ? SQLTYPE_TEXT : SQLTYPE_NUMERIC);
}

const struct agg *agg_find(const char *name, enum sqltype type, bool star)
{
    for (size_t i = 0; i < ARRAY_LEN(aggs); i++) {
        const struct agg *a = &aggs[i];
        if (strcmp(a->name, name) != 0 || (star && a->arg != SQLTYPE_OPEN))
            continue;
        if (a->arg == SQLTYPE_OPEN || a->arg == type || (type == SQLTYPE_OPEN && takes_open(a)) ||
            (type == SQLTYPE_UNKNOWN && a->arg == SQLTYPE_TEXT))
            return a;
    }
    return NULL;
}
