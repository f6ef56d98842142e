/*
 * fn_compare.c: =, <>, <, <=, > and >= of every type, IS DISTINCT FROM, greatest and least. Text is
 * ordered by code point (collation "C"), NaN is equal to itself and above all numbers.
 */
#include "fn.h"

#include <math.h>

#include "compare.h"

/* Kernels of the six operators over a type. before: sets up x and y of row i. */
#define COMPARE(type, sign, op, order)                                                             \
    KERNEL(type##_##op)                                                                            \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        out->b8[i] = (order)sign 0;                                                                \
    }
#define COMPARE_ALL(type, order)                                                                   \
    COMPARE(type, ==, eq, order)                                                                   \
    COMPARE(type, !=, ne, order)                                                                   \
    COMPARE(type, <, lt, order)                                                                    \
    COMPARE(type, <=, le, order)                                                                   \
    COMPARE(type, >, gt, order)                                                                    \
    COMPARE(type, >=, ge, order)

COMPARE_ALL(int, (args[0]->i64[i] > args[1]->i64[i]) - (args[0]->i64[i] < args[1]->i64[i]))
COMPARE_ALL(flag, args[0]->b8[i] - args[1]->b8[i])
COMPARE_ALL(float, compare_f64(args[0]->f64[i], args[1]->f64[i]))
COMPARE_ALL(interval, compare_interval(args[0]->interval[i], args[1]->interval[i]))
COMPARE_ALL(text, compare_text(args[0]->text[i], args[1]->text[i]))

/* With a scale in common (that of the vector, when the constant can take it on) the mantissas
 * tell. */
static bool same_scale(const struct vec *const *args, int64_t *ret_constant)
{
    const struct vec *x = args[0], *y = args[1];
    if (x->scale == VEC_MIXED || !y->constant || y->scale == VEC_MIXED || y->scale > x->scale ||
        x->scale - y->scale > NUM_POW10_MAX)
        return false;
    return !__builtin_mul_overflow(y->i64[0], num_pow10[x->scale - y->scale], ret_constant);
}

#define COMPARE_NUM(sign, op)                                                                      \
    KERNEL(num_##op)                                                                               \
    {                                                                                              \
        int64_t constant;                                                                          \
        if (same_scale(args, &constant)) {                                                         \
            const int64_t *m = args[0]->i64;                                                       \
            SEL_EACH(sel, i)                                                                       \
            out->b8[i] = m[i] sign constant;                                                       \
            return;                                                                                \
        }                                                                                          \
        SEL_EACH(sel, i)                                                                           \
        out->b8[i] = num_cmp(vec_num(args[0], i), vec_num(args[1], i), &v->scratch) sign 0;        \
    }
COMPARE_NUM(==, eq)
COMPARE_NUM(!=, ne)
COMPARE_NUM(<, lt)
COMPARE_NUM(<=, le)
COMPARE_NUM(>, gt)
COMPARE_NUM(>=, ge)

KERNEL(distinct)
{
    SEL_EACH(sel, i)
    {
        bool x = vec_is_null(args[0], i), y = vec_is_null(args[1], i);
        out->b8[i] = x || y ? x != y : compare_rows(args[0], i, args[1], i, &v->scratch) != 0;
    }
}

KERNEL(not_distinct)
{
    distinct(v, call, args, sel, out);
    SEL_EACH(sel, i)
    out->b8[i] = !out->b8[i];
}

/* NULLs are passed over; NULL when all are. */
static void extreme(struct eval *v, const struct expr *call, const struct vec *const *args,
                    const struct sel *sel, struct vec *out, int sign)
{
    out->ascii = true;
    for (uint32_t k = 0; k < call->n_args; k++)
        out->ascii &= args[k]->ascii || (args[k]->constant && args[k]->has_nulls);
    SEL_EACH(sel, i)
    {
        const struct vec *best = NULL;
        for (uint32_t k = 0; k < call->n_args; k++) {
            if (vec_is_null(args[k], i))
                continue;
            if (!best || compare_rows(args[k], i, best, i, &v->scratch) * sign > 0)
                best = args[k];
        }
        uint16_t row = (uint16_t)i;
        struct sel one = {&row, 1};
        if (best)
            vec_copy(out, best, &one);
        else
            vec_set_null(out, i);
    }
    if (out->type == SQLTYPE_NUMERIC)
        vec_settle_scale(out, sel);
}

KERNEL(greatest)
{
    extreme(v, call, args, sel, out, 1);
}

KERNEL(least)
{
    extreme(v, call, args, sel, out, -1);
}

#define OPERATORS(type, sql, x, y)                                                                 \
    OP2("=", BOOL, sql, sql, type##_eq, x " = " y, "f"),                                           \
        OP2("<>", BOOL, sql, sql, type##_ne, x " <> " y, "t"),                                     \
        OP2("<", BOOL, sql, sql, type##_lt, x " < " y, "t"),                                       \
        OP2("<=", BOOL, sql, sql, type##_le, x " <= " y, "t"),                                     \
        OP2(">", BOOL, sql, sql, type##_gt, x " > " y, "f"),                                       \
        OP2(">=", BOOL, sql, sql, type##_ge, x " >= " y, "f")

#define OF_NULLS(sql, x)                                                                           \
    FN("is distinct from", BOOL, distinct, x " IS DISTINCT FROM NULL", "t",                        \
       FUNC_OPERATOR | FUNC_NULLS, 2, SQLTYPE_##sql, SQLTYPE_##sql),                               \
        FN("is not distinct from", BOOL, not_distinct, x " IS NOT DISTINCT FROM " x, "t",          \
           FUNC_OPERATOR | FUNC_NULLS, 2, SQLTYPE_##sql, SQLTYPE_##sql),                           \
        FN("greatest", sql, greatest, "greatest(" x ", NULL, " x ") = " x, "t",                    \
           FUNC_NULLS | FUNC_VARIADIC, 1, SQLTYPE_##sql),                                          \
        FN("least", sql, least, "least(" x ", NULL, " x ") = " x, "t", FUNC_NULLS | FUNC_VARIADIC, \
           1, SQLTYPE_##sql)

static const struct func funcs[] = {
    OPERATORS(int, INT4, "1", "2"),
    OPERATORS(int, INT8, "1::bigint", "5000000000"),
    OPERATORS(num, NUMERIC, "1.50", "1.6"),
    OPERATORS(float, FLOAT8, "1e3::float8", "'NaN'::float8"),
    OPERATORS(text, TEXT, "'B'", "'a'"),
    OPERATORS(flag, BOOL, "false", "true"),
    OPERATORS(int, DATE, "date '2024-01-31'", "date '2024-02-01'"),
    OPERATORS(int, TIMESTAMP, "timestamp '2024-01-31'", "timestamp '2024-01-31 00:00:00.1'"),
    OPERATORS(int, TIMESTAMPTZ, "timestamptz '2024-01-31 10:00+02'",
              "timestamptz '2024-01-31 09:00Z'"),
    OPERATORS(interval, INTERVAL, "interval '29 days'", "interval '1 month'"),
    OF_NULLS(INT4, "1"),
    OF_NULLS(INT8, "5000000000"),
    OF_NULLS(NUMERIC, "1.5"),
    OF_NULLS(FLOAT8, "1::float8"),
    OF_NULLS(TEXT, "'a'::text"),
    OF_NULLS(BOOL, "true"),
    OF_NULLS(DATE, "date '2024-01-31'"),
    OF_NULLS(TIMESTAMP, "timestamp '2024-01-31'"),
    OF_NULLS(TIMESTAMPTZ, "timestamptz '2024-01-31'"),
    OF_NULLS(INTERVAL, "interval '1 day'"),
};

FN_TABLE(fn_compare_table, funcs);
