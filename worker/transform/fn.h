/*
 * fn.h: what the kernels in the fn_*.c files share: the shape of a table entry and of a loop.
 *
 * Thread rule: macros and constants; fn_refuse works on its eval alone.
 */
#ifndef DROVER_TRANSFORM_FN_H
#define DROVER_TRANSFORM_FN_H

#include "eval.h"
#include "func.h"
#include "parse.h"

/* Table entries: name, result, argument types, kernel, example, answer. */
#define FN(fname, fresult, fn_kernel, fexample, fanswer, fflags, count, ...)                       \
    {                                                                                              \
        .name = (fname), .result = SQLTYPE_##fresult, .n_args = (count), .args = {__VA_ARGS__},    \
        .flags = (fflags), .kernel = (fn_kernel), .example = (fexample), .answer = (fanswer)       \
    }
#define FN1(name, result, a, kernel, example, answer)                                              \
    FN(name, result, kernel, example, answer, 0, 1, SQLTYPE_##a)
#define FN2(name, result, a, b, kernel, example, answer)                                           \
    FN(name, result, kernel, example, answer, 0, 2, SQLTYPE_##a, SQLTYPE_##b)
#define FN3(name, result, a, b, c, kernel, example, answer)                                        \
    FN(name, result, kernel, example, answer, 0, 3, SQLTYPE_##a, SQLTYPE_##b, SQLTYPE_##c)
#define OP1(name, result, a, kernel, example, answer)                                              \
    FN(name, result, kernel, example, answer, FUNC_OPERATOR, 1, SQLTYPE_##a)
#define OP2(name, result, a, b, kernel, example, answer)                                           \
    FN(name, result, kernel, example, answer, FUNC_OPERATOR, 2, SQLTYPE_##a, SQLTYPE_##b)
/* With constants that are prepared (func.h): the arguments of the mask must be some. */
#define FN_PREPARED(fname, fresult, fn_kernel, fprepare, mask, fexample, fanswer, count, ...)      \
    {                                                                                              \
        .name = (fname), .result = SQLTYPE_##fresult, .n_args = (count), .args = {__VA_ARGS__},    \
        .kernel = (fn_kernel), .prepare = (fprepare), .constants = (mask), .example = (fexample),  \
        .answer = (fanswer)                                                                        \
    }
#define CAST(result, a, kernel, example, answer)                                                   \
    FN("cast", result, kernel, example, answer, FUNC_CAST, 1, SQLTYPE_##a)

#define FN_TABLE(table, array) const struct func_table table = {(array), ARRAY_LEN(array)}

/* A text that is no value of the type of out: NULL, or a fault of its row, by the policy of the
 * stage. */
void fn_refuse(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, enum parse why,
               struct span value);

/* The parameters of a kernel, marked as not all used. */
#define KERNEL(name)                                                                               \
    static void name(struct eval *v UNUSED, const struct expr *call UNUSED,                        \
                     const struct vec *const *args UNUSED, const struct sel *sel UNUSED,           \
                     struct vec *out UNUSED)

#endif
