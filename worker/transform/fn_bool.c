/* fn_bool.c: NOT and the tests that are never NULL. AND and OR are eval.c's. */
#include "fn.h"

KERNEL(not )
{
    SEL_EACH(sel, i)
    out->b8[i] = !args[0]->b8[i];
}

KERNEL(is_null)
{
    SEL_EACH(sel, i)
    out->b8[i] = vec_is_null(args[0], i);
}

KERNEL(is_not_null)
{
    SEL_EACH(sel, i)
    out->b8[i] = !vec_is_null(args[0], i);
}

KERNEL(is_true)
{
    SEL_EACH(sel, i)
    out->b8[i] = !vec_is_null(args[0], i) && args[0]->b8[i];
}

KERNEL(is_not_true)
{
    SEL_EACH(sel, i)
    out->b8[i] = vec_is_null(args[0], i) || !args[0]->b8[i];
}

KERNEL(is_false)
{
    SEL_EACH(sel, i)
    out->b8[i] = !vec_is_null(args[0], i) && !args[0]->b8[i];
}

KERNEL(is_not_false)
{
    SEL_EACH(sel, i)
    out->b8[i] = vec_is_null(args[0], i) || args[0]->b8[i];
}

#define TEST(name, type, kernel, example, answer)                                                  \
    FN(name, BOOL, kernel, example, answer, FUNC_OPERATOR | FUNC_NULLS, 1, SQLTYPE_##type)
#define NULL_TESTS(type, x)                                                                        \
    TEST("is null", type, is_null, x " IS NULL", "f"),                                             \
        TEST("is not null", type, is_not_null, x " IS NOT NULL", "t")

static const struct func funcs[] = {
    OP1("not", BOOL, BOOL, not, "NOT true", "f"),
    NULL_TESTS(TEXT, "'a'::text"),
    NULL_TESTS(BOOL, "true"),
    NULL_TESTS(INT4, "1"),
    NULL_TESTS(INT8, "1::bigint"),
    NULL_TESTS(NUMERIC, "1.5"),
    NULL_TESTS(FLOAT8, "1::float8"),
    NULL_TESTS(DATE, "date '2024-01-31'"),
    NULL_TESTS(TIMESTAMP, "timestamp '2024-01-31'"),
    NULL_TESTS(TIMESTAMPTZ, "timestamptz '2024-01-31'"),
    NULL_TESTS(JSON, "'[]'::json"),
    NULL_TESTS(INTERVAL, "interval '1 day'"),
    TEST("is true", BOOL, is_true, "NULL::boolean IS TRUE", "f"),
    TEST("is not true", BOOL, is_not_true, "NULL::boolean IS NOT TRUE", "t"),
    TEST("is false", BOOL, is_false, "false IS FALSE", "t"),
    TEST("is not false", BOOL, is_not_false, "NULL::boolean IS NOT FALSE", "t"),
    TEST("is unknown", BOOL, is_null, "NULL::boolean IS UNKNOWN", "t"),
    TEST("is not unknown", BOOL, is_not_null, "NULL::boolean IS NOT UNKNOWN", "f"),
};

FN_TABLE(fn_bool_table, funcs);
