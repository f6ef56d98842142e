/*
 * func.h: the functions, operators and casts of the language, each one entry in one table: name,
 * types, kernel, and an example with its answer, which a test runs. The tables stand in the fn_*.c
 * files, by subject.
 *
 * A kernel gets vectors and the rows to work on. Unless the entry says FUNC_NULLS, it is called
 * only with rows in which no argument is NULL, and the result of all others is NULL already.
 *
 * Thread rule: constants and pure functions; a kernel works on its eval alone.
 */
#ifndef DROVER_TRANSFORM_FUNC_H
#define DROVER_TRANSFORM_FUNC_H

#include "expr.h"

struct eval;

enum { FUNC_ARGS_MAX = 4, FUNC_WHY_LEN = 200 };

enum func_flag {
    FUNC_NULLS = 1,    /* sees NULL arguments, and says itself which results are NULL */
    FUNC_VARIADIC = 2, /* the last argument may come again and again */
    FUNC_OPERATOR = 4,
    FUNC_CAST = 8,
    FUNC_TO_TEXT = 16 /* arguments of any type, as text */
};

typedef void func_kernel(struct eval *v, const struct expr *call, const struct vec *const *args,
                         const struct sel *sel, struct vec *out);

/*
 * What a function makes of its constants once, when the plan is made (a compiled pattern, a format
 * that is understood), into *ret, which becomes call->prepared. The arena is the plan's. False: why
 * not, in the words of the error; "" for no memory.
 */
struct plan;
typedef bool func_prepare(struct plan *p, const struct expr *call, const void **ret,
                          char why[FUNC_WHY_LEN]);

struct func {
    const char *name; /* lower case, or the operator */
    enum sqltype result;
    uint8_t n_args;
    enum sqltype args[FUNC_ARGS_MAX];
    unsigned flags;
    func_kernel *kernel;
    func_prepare *prepare; /* NULL: nothing to prepare */
    unsigned constants;    /* bit i: argument i must be a constant, because prepare wants it */
    const char *example, *answer; /* answer NULL: the result is NULL */
};

/* The table of one subject. */
struct func_table {
    const struct func *funcs;
    size_t n;
};
extern const struct func_table fn_bool_table, fn_cast_table, fn_compare_table, fn_date_table,
    fn_float_table, fn_hash_table, fn_int_table, fn_json_table, fn_num_table, fn_regex_table,
    fn_text_table, fn_text_edit_table, fn_time_table;

/* The i-th of all, or NULL. */
const struct func *func_at(size_t i);

/*
 * The function of that name which fits the argument types best, as PostgreSQL chooses: most exact
 * matches, then most preferred types (double precision, text) where a cast is needed. An open
 * column takes the type of numeric rather than another number. NULL: none; *ret_known: the name
 * exists.
 */
const struct func *func_find(const char *name, bool is_operator, const enum sqltype *args, size_t n,
                             bool *ret_known);
/* Argument i of the function; the last one of a variadic function goes on. */
enum sqltype func_arg(const struct func *f, size_t i);
const struct func *func_cast(enum sqltype from, enum sqltype to); /* NULL: there is no such cast */
const char *func_nearest(const char *name);                       /* for "did you mean", or NULL */

#endif
