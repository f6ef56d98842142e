/*
 * fn_num.c: numeric. Each kernel has a loop over plain mantissas for vectors in which all rows
 * share a scale, which is the usual case, and one over single values for all others.
 */
#include "fn.h"

enum { TYPMOD_PRECISION_MAX = 1000 };

static void put(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, bool ok,
                struct num x)
{
    uint8_t scale = 0;
    if (!ok) {
        eval_fault(v, i, FAULT_OVERFLOW, call);
        x = num_of(0);
    }
    out->i64[i] = num_pack(x, &scale);
    out->scales[i] = scale;
}

static bool share(const struct vec *const *args)
{
    return args[0]->scale != VEC_MIXED && args[1]->scale != VEC_MIXED;
}

/* Sums over mantissas of the same scale; false: one overflowed, so do all of them the long way. */
static bool add_fast(const struct vec *const *args, const struct sel *sel, struct vec *out,
                     bool minus)
{
    const int64_t *x = args[0]->i64, *y = args[1]->i64;
    int64_t *r = out->i64;
    bool over = false;
    if (!share(args) || args[0]->scale != args[1]->scale)
        return false;
    if (minus)
        SEL_EACH(sel, i)
    over |= __builtin_sub_overflow(x[i], y[i], &r[i]);
    else SEL_EACH(sel, i) over |= __builtin_add_overflow(x[i], y[i], &r[i]);
    out->scale = args[0]->scale;
    return !over;
}

#define BINARY(name, fast, slow, zero_is_wrong)                                                    \
    KERNEL(name)                                                                                   \
    {                                                                                              \
        if (fast)                                                                                  \
            return;                                                                                \
        out->scale = VEC_MIXED;                                                                    \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct num r = {0}, y = vec_num(args[1], i);                                           \
            if ((zero_is_wrong) && num_sign(y) == 0)                                               \
                eval_fault(v, i, FAULT_DIVISION, call);                                            \
            else                                                                                   \
                put(v, call, out, i, slow(&v->scratch, vec_num(args[0], i), y, &r), r);            \
        }                                                                                          \
        vec_settle_scale(out, sel);                                                                \
    }

static bool multiply_fast(const struct vec *const *args, const struct sel *sel, struct vec *out)
{
    const int64_t *x = args[0]->i64, *y = args[1]->i64;
    int64_t *r = out->i64;
    bool over = false;
    if (!share(args) || args[0]->scale + args[1]->scale > NUM_SCALE_MAX)
        return false;
    if (args[1]->constant) {
        int64_t by = y[0];
        SEL_EACH(sel, i)
        over |= __builtin_mul_overflow(x[i], by, &r[i]);
    } else {
        SEL_EACH(sel, i)
        over |= __builtin_mul_overflow(x[i], y[i], &r[i]);
    }
    out->scale = args[0]->scale + args[1]->scale;
    return !over;
}

BINARY(add, add_fast(args, sel, out, false), num_add, false)
BINARY(subtract, add_fast(args, sel, out, true), num_sub, false)
BINARY(multiply, multiply_fast(args, sel, out), num_mul, false)
BINARY(divide, false, num_div, true)
BINARY(modulo, false, num_mod, true)

KERNEL(negate)
{
    SEL_EACH(sel, i)
    {
        struct num r = {0};
        put(v, call, out, i, num_neg(&v->scratch, vec_num(args[0], i), &r), r);
    }
    vec_settle_scale(out, sel);
}

KERNEL(absolute)
{
    SEL_EACH(sel, i)
    {
        struct num x = vec_num(args[0], i), r = x;
        put(v, call, out, i, num_sign(x) >= 0 || num_neg(&v->scratch, x, &r), r);
    }
    vec_settle_scale(out, sel);
}

KERNEL(sign)
{
    SEL_EACH(sel, i)
    out->i64[i] = num_sign(vec_num(args[0], i));
    out->scale = 0;
}

KERNEL(same)
{
    vec_copy(out, args[0], sel);
    vec_settle_scale(out, sel);
}

/*
 * Rounds half away from zero. The frequent powers of ten stand there as constants, by which the
 * compiler divides by multiplying.
 */
static void round_down(const int64_t *x, int64_t *r, const struct sel *sel, int down)
{
    int64_t by = num_pow10[down], half = by / 2;
    switch (by) {
#define ROUND_CASE(value)                                                                          \
    case INT64_C(value):                                                                           \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            int64_t q = x[i] / INT64_C(value), rest = x[i] - q * INT64_C(value);                   \
            r[i] = q + (rest >= INT64_C(value) / 2) - (rest <= -(INT64_C(value) / 2));             \
        }                                                                                          \
        return
        ROUND_CASE(10);
        ROUND_CASE(100);
        ROUND_CASE(1000);
        ROUND_CASE(10000);
        ROUND_CASE(100000);
        ROUND_CASE(1000000);
    default:
        SEL_EACH(sel, i)
        {
            int64_t q = x[i] / by, rest = x[i] - q * by;
            r[i] = q + (rest >= half) - (rest <= -half);
        }
    }
}

static void round_any(struct eval *v, const struct expr *call, const struct vec *const *args,
                      const struct sel *sel, struct vec *out, enum big_round mode)
{
    const struct vec *x = args[0], *digits = call->n_args > 1 ? args[1] : NULL;
    int64_t to = digits ? digits->i64[0] : 0;
    if (mode == BIG_HALF_AWAY && x->scale != VEC_MIXED && (!digits || digits->constant) &&
        to >= 0 && x->scale > to && x->scale - to <= NUM_POW10_MAX) {
        round_down(x->i64, out->i64, sel, (int)(x->scale - to));
        out->scale = (int)to;
        return;
    }
    SEL_EACH(sel, i)
    {
        struct num r = {0};
        put(v, call, out, i,
            num_round(&v->scratch, vec_num(x, i), digits ? digits->i64[i] : 0, mode, &r), r);
    }
    vec_settle_scale(out, sel);
}

KERNEL(round_half)
{
    round_any(v, call, args, sel, out, BIG_HALF_AWAY);
}

KERNEL(truncate)
{
    round_any(v, call, args, sel, out, BIG_TRUNC);
}

KERNEL(ceiling)
{
    round_any(v, call, args, sel, out, BIG_CEIL);
}

KERNEL(lower)
{
    round_any(v, call, args, sel, out, BIG_FLOOR);
}

/* div(x, y): the quotient towards zero, which is (x - x % y) / y. */
static bool quotient(struct arena *a, struct num x, struct num y, struct num *ret)
{
    struct num rest, whole, q;
    return num_mod(a, x, y, &rest) && num_sub(a, x, rest, &whole) && num_div(a, whole, y, &q) &&
           num_rescale(a, q, 0, BIG_HALF_AWAY, ret);
}

BINARY(whole_quotient, false, quotient, true)

/* |x| < 10^digits */
static bool below_power(struct arena *a, struct num x, int64_t digits)
{
    struct num size = x;
    const struct big *one = big_from_i128(a, 1, 0);
    struct big *limit =
        one ? big_rescale(a, one, (int32_t)MIN(MAX(digits, 0), TYPMOD_PRECISION_MAX), BIG_TRUNC)
            : NULL;
    if (!limit || (num_sign(x) < 0 && !num_neg(a, x, &size)))
        return false;
    limit->scale = 0;
    return num_cmp(size, (struct num){.big = limit}, a) < 0;
}

/* numeric(precision, scale): rounds, and refuses what has more digits before the point. */
KERNEL(typmod)
{
    SEL_EACH(sel, i)
    {
        struct num r = {0};
        int64_t precision = args[1]->i64[i], scale = args[2]->i64[i];
        bool ok = num_round(&v->scratch, vec_num(args[0], i), scale, BIG_HALF_AWAY, &r) &&
                  below_power(&v->scratch, r, precision - scale);
        put(v, call, out, i, ok, r);
    }
    vec_settle_scale(out, sel);
}

static const struct func funcs[] = {
    OP2("+", NUMERIC, NUMERIC, NUMERIC, add, "1.5 + 0.25", "1.75"),
    OP2("-", NUMERIC, NUMERIC, NUMERIC, subtract, "1.5 - 0.50", "1.00"),
    OP2("*", NUMERIC, NUMERIC, NUMERIC, multiply, "1.50 * 1.5", "2.250"),
    OP2("/", NUMERIC, NUMERIC, NUMERIC, divide, "10 / 3.0", "3.3333333333333333"),
    OP2("%", NUMERIC, NUMERIC, NUMERIC, modulo, "-7.5 % 2", "-1.5"),
    FN2("mod", NUMERIC, NUMERIC, NUMERIC, modulo, "mod(7.5, 2)", "1.5"),
    FN2("div", NUMERIC, NUMERIC, NUMERIC, whole_quotient, "div(-7.5, 2)", "-3"),
    OP1("-", NUMERIC, NUMERIC, negate, "-(1.50)", "-1.50"),
    OP1("+", NUMERIC, NUMERIC, same, "+(1.50)", "1.50"),
    FN1("abs", NUMERIC, NUMERIC, absolute, "abs(-1.50)", "1.50"),
    FN1("sign", NUMERIC, NUMERIC, sign, "sign(-1.50)", "-1"),
    FN1("round", NUMERIC, NUMERIC, round_half, "round(2.5)", "3"),
    FN2("round", NUMERIC, NUMERIC, INT4, round_half, "round(-1.005, 2)", "-1.01"),
    FN1("trunc", NUMERIC, NUMERIC, truncate, "trunc(-2.7)", "-2"),
    FN2("trunc", NUMERIC, NUMERIC, INT4, truncate, "trunc(129.99, -1)", "120"),
    FN1("ceil", NUMERIC, NUMERIC, ceiling, "ceil(-1.5)", "-1"),
    FN1("ceiling", NUMERIC, NUMERIC, ceiling, "ceiling(1.1)", "2"),
    FN1("floor", NUMERIC, NUMERIC, lower, "floor(-1.5)", "-2"),
    FN3("numeric", NUMERIC, NUMERIC, INT4, INT4, typmod, "1.005::numeric(5,2)", "1.01"),
};

FN_TABLE(fn_num_table, funcs);
