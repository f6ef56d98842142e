/*
 * fn_float.c: double precision. As in PostgreSQL an infinite result of finite arguments is an
 * error, and so is a result of 0 where mathematics has none.
 */
#include "fn.h"

#include <math.h>

static void put(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, double x,
                bool inexact)
{
    out->f64[i] = x;
    if (inexact)
        eval_fault(v, i, FAULT_OVERFLOW, call);
}

#define X args[0]->f64[i]
#define Y args[1]->f64[i]

KERNEL(add)
{
    SEL_EACH(sel, i)
    put(v, call, out, i, X + Y, isinf(X + Y) && !isinf(X) && !isinf(Y));
}

KERNEL(subtract)
{
    SEL_EACH(sel, i)
    put(v, call, out, i, X - Y, isinf(X - Y) && !isinf(X) && !isinf(Y));
}

KERNEL(multiply)
{
    SEL_EACH(sel, i)
    {
        double r = X * Y;
        put(v, call, out, i, r,
            (isinf(r) && !isinf(X) && !isinf(Y)) || (r == 0 && X != 0 && Y != 0));
    }
}

KERNEL(divide)
{
    SEL_EACH(sel, i)
    {
        double r = X / Y;
        if (Y == 0 && !isnan(X))
            eval_fault(v, i, FAULT_DIVISION, call);
        else
            put(v, call, out, i, r, (isinf(r) && !isinf(X)) || (r == 0 && X != 0 && !isinf(Y)));
    }
}

#define UNARY(name, expression, wrong)                                                             \
    KERNEL(name)                                                                                   \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            double x = X;                                                                          \
            out->f64[i] = (expression);                                                            \
            if (wrong)                                                                             \
                eval_fault(v, i, FAULT_ARGUMENT, call);                                            \
        }                                                                                          \
    }
UNARY(negate, -x, false)
UNARY(same, x, false)
UNARY(absolute, fabs(x), false)
UNARY(ceiling, ceil(x), false)
UNARY(lower, floor(x), false)
UNARY(round_even, rint(x), false)
UNARY(truncate, trunc(x), false)
UNARY(sign, x > 0 ? 1 : x < 0 ? -1 : 0, false) /* of NaN too, as in PostgreSQL */
UNARY(square_root, sqrt(x), x < 0)
UNARY(logarithm, log(x), x <= 0)
UNARY(logarithm10, log10(x), x <= 0)

KERNEL(exponential)
{
    SEL_EACH(sel, i)
    {
        double r = exp(X);
        put(v, call, out, i, r, !isinf(X) && (isinf(r) || r == 0));
    }
}

KERNEL(power)
{
    SEL_EACH(sel, i)
    {
        double x = X, y = Y, r = pow(x, y);
        if ((x == 0 && y < 0) || (x < 0 && isfinite(y) && floor(y) != y))
            eval_fault(v, i, FAULT_ARGUMENT, call);
        else
            put(v, call, out, i, r, !isinf(x) && !isinf(y) && (isinf(r) || (r == 0 && x != 0)));
    }
}

static const struct func funcs[] = {
    OP2("+", FLOAT8, FLOAT8, FLOAT8, add, "0.1::float8 + 0.2", "0.30000000000000004"),
    OP2("-", FLOAT8, FLOAT8, FLOAT8, subtract, "1::float8 - 0.5", "0.5"),
    OP2("*", FLOAT8, FLOAT8, FLOAT8, multiply, "1e20::float8 * 10", "1e+21"),
    OP2("/", FLOAT8, FLOAT8, FLOAT8, divide, "1::float8 / 3", "0.3333333333333333"),
    OP1("-", FLOAT8, FLOAT8, negate, "-(1.5::float8)", "-1.5"),
    OP1("+", FLOAT8, FLOAT8, same, "+(1.5::float8)", "1.5"),
    FN1("abs", FLOAT8, FLOAT8, absolute, "abs(-1.5::float8)", "1.5"),
    FN1("ceil", FLOAT8, FLOAT8, ceiling, "ceil(1.2::float8)", "2"),
    FN1("ceiling", FLOAT8, FLOAT8, ceiling, "ceiling(1.2::float8)", "2"),
    FN1("floor", FLOAT8, FLOAT8, lower, "floor(-1.2::float8)", "-2"),
    FN1("round", FLOAT8, FLOAT8, round_even, "round(2.5::float8)", "2"),
    FN1("trunc", FLOAT8, FLOAT8, truncate, "trunc(-1.7::float8)", "-1"),
    FN1("sign", FLOAT8, FLOAT8, sign, "sign(-1.7::float8)", "-1"),
    FN1("sqrt", FLOAT8, FLOAT8, square_root, "sqrt(2::float8)", "1.4142135623730951"),
    FN1("ln", FLOAT8, FLOAT8, logarithm, "ln(1::float8)", "0"),
    FN1("log", FLOAT8, FLOAT8, logarithm10, "log(1000::float8)", "3"),
    FN1("log10", FLOAT8, FLOAT8, logarithm10, "log10(1000::float8)", "3"),
    FN1("exp", FLOAT8, FLOAT8, exponential, "exp(0::float8)", "1"),
    FN2("power", FLOAT8, FLOAT8, FLOAT8, power, "power(2::float8, 10)", "1024"),
    FN2("pow", FLOAT8, FLOAT8, FLOAT8, power, "pow(2::float8, 0.5)", "1.4142135623730951"),
    OP2("^", FLOAT8, FLOAT8, FLOAT8, power, "2::float8 ^ 3", "8"),
};

FN_TABLE(fn_float_table, funcs);
