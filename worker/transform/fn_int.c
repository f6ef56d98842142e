/* fn_int.c: integer and bigint. Both are computed in 64 bits; a result out of range is an error. */
#include "fn.h"

static bool fits(enum sqltype type, int64_t x)
{
    return type != SQLTYPE_INT4 || (x >= INT32_MIN && x <= INT32_MAX);
}

#define ARITHMETIC(name, builtin)                                                                  \
    KERNEL(name)                                                                                   \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        if (builtin(args[0]->i64[i], args[1]->i64[i], &out->i64[i]) ||                             \
            !fits(out->type, out->i64[i]))                                                         \
            eval_fault(v, i, FAULT_OVERFLOW, call);                                                \
    }
ARITHMETIC(add, __builtin_add_overflow)
ARITHMETIC(subtract, __builtin_sub_overflow)
ARITHMETIC(multiply, __builtin_mul_overflow)

static void put(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, int64_t x)
{
    out->i64[i] = x;
    if (!fits(out->type, x))
        eval_fault(v, i, FAULT_OVERFLOW, call);
}

KERNEL(divide)
{
    SEL_EACH(sel, i)
    {
        int64_t x = args[0]->i64[i], y = args[1]->i64[i];
        if (y == 0)
            eval_fault(v, i, FAULT_DIVISION, call);
        else if (y == -1 && x == INT64_MIN)
            eval_fault(v, i, FAULT_OVERFLOW, call);
        else
            put(v, call, out, i, x / y);
    }
}

KERNEL(modulo)
{
    SEL_EACH(sel, i)
    {
        int64_t x = args[0]->i64[i], y = args[1]->i64[i];
        if (y == 0)
            eval_fault(v, i, FAULT_DIVISION, call);
        else
            out->i64[i] = y == -1 ? 0 : x % y;
    }
}

KERNEL(negate)
{
    SEL_EACH(sel, i)
    {
        int64_t x = args[0]->i64[i];
        if (x == INT64_MIN)
            eval_fault(v, i, FAULT_OVERFLOW, call);
        else
            put(v, call, out, i, -x);
    }
}

KERNEL(absolute)
{
    SEL_EACH(sel, i)
    {
        int64_t x = args[0]->i64[i];
        if (x == INT64_MIN)
            eval_fault(v, i, FAULT_OVERFLOW, call);
        else
            put(v, call, out, i, x < 0 ? -x : x);
    }
}

KERNEL(same)
{
    vec_copy(out, args[0], sel);
}

#define INTEGERS(sql, one)                                                                         \
    OP2("+", sql, sql, sql, add, one " + 2", "3"),                                                 \
        OP2("-", sql, sql, sql, subtract, one " - 2", "-1"),                                       \
        OP2("*", sql, sql, sql, multiply, one " * -7", "-7"),                                      \
        OP2("/", sql, sql, sql, divide, "-7 * " one " / 2", "-3"),                                 \
        OP2("%", sql, sql, sql, modulo, "-7 * " one " % 3", "-1"),                                 \
        FN2("mod", sql, sql, sql, modulo, "mod(-7 * " one ", 3)", "-1"),                           \
        OP1("-", sql, sql, negate, "-(" one ")", "-1"),                                            \
        OP1("+", sql, sql, same, "+(" one ")", "1"),                                               \
        FN1("abs", sql, sql, absolute, "abs(-7 * " one ")", "7")

static const struct func funcs[] = {
    INTEGERS(INT4, "1"),
    INTEGERS(INT8, "1::bigint"),
};

FN_TABLE(fn_int_table, funcs);
