#include "func.h"

#include "common/suggest.h"

enum { NAMES_MAX = 512 };

static const struct func_table *const tables[] = {
    &fn_bool_table, &fn_cast_table,      &fn_compare_table, &fn_date_table, &fn_float_table,
    &fn_hash_table, &fn_int_table,       &fn_json_table,    &fn_num_table,  &fn_regex_table,
    &fn_text_table, &fn_text_edit_table, &fn_time_table};

const struct func *func_at(size_t i)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        if (i < tables[t]->n)
            return &tables[t]->funcs[i];
        i -= tables[t]->n;
    }
    return NULL;
}

enum sqltype func_arg(const struct func *f, size_t i)
{
    return f->args[MIN(i, (size_t)f->n_args - 1)];
}

static bool preferred(enum sqltype type)
{
    return type == SQLTYPE_FLOAT8 || type == SQLTYPE_TEXT || type == SQLTYPE_TIMESTAMPTZ;
}

/* How well an argument fits a parameter: see func_find. */
static int fit_one(enum sqltype arg, enum sqltype want)
{
    enum { EXACT = 1000, GUESS_TEXT = 1500, GUESS_NUMERIC = 2000 };
    if (arg == want)
        return EXACT;
    if (arg == SQLTYPE_OPEN)
        return want == SQLTYPE_NUMERIC                               ? GUESS_NUMERIC
               : want == SQLTYPE_TEXT || want == SQLTYPE_TIMESTAMPTZ ? GUESS_TEXT / 2
                                                                     : 0;
    if (arg == SQLTYPE_UNKNOWN && want == SQLTYPE_TEXT)
        return GUESS_TEXT;
    return preferred(want);
}

/* Negative: not at all. */
static int fit(const struct func *f, const enum sqltype *args, size_t n)
{
    int sum = 0;
    if (n < f->n_args || (n > f->n_args && !(f->flags & FUNC_VARIADIC)))
        return -1;
    for (size_t i = 0; i < n && !(f->flags & FUNC_TO_TEXT); i++) {
        enum sqltype want = func_arg(f, i);
        if (args[i] == SQLTYPE_OPEN && i < FUNC_ARGS_MAX && (f->constants >> i & 1))
            return -1; /* a column is no constant */
        if (!sqltype_casts_to(args[i], want))
            return -1;
        sum += fit_one(args[i], want);
    }
    return sum;
}

const struct func *func_find(const char *name, bool is_operator, const enum sqltype *args, size_t n,
                             bool *ret_known)
{
    const struct func *best = NULL, *f;
    int best_fit = -1;
    *ret_known = false;
    for (size_t i = 0; (f = func_at(i)); i++) {
        if (strcmp(f->name, name) != 0 || (f->flags & FUNC_CAST) ||
            ((f->flags & FUNC_OPERATOR) != 0) != is_operator)
            continue;
        *ret_known = true;
        int how = fit(f, args, n);
        if (how > best_fit) {
            best = f;
            best_fit = how;
        }
    }
    return best;
}

const struct func *func_cast(enum sqltype from, enum sqltype to)
{
    const struct func *f;
    for (size_t i = 0; (f = func_at(i)); i++)
        if ((f->flags & FUNC_CAST) && f->args[0] == from && f->result == to)
            return f;
    return NULL;
}

const char *func_nearest(const char *name)
{
    static const char *const others[] = {"coalesce", "nullif", "greatest", "least", "count",
                                         "sum",      "avg",    "min",      "max"};
    const char *names[NAMES_MAX];
    const struct func *f;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        names[n++] = others[i];
    for (size_t i = 0; (f = func_at(i)) && n < NAMES_MAX; i++)
        if (!(f->flags & (FUNC_CAST | FUNC_OPERATOR)))
            names[n++] = f->name;
    return suggest_nearest(name, names, n);
}
