/* analyze_call.c: calls of functions and aggregates. See analyze.h. */
#include "analyze.h"

#include <stdio.h>

#include "agg.h"
#include "func.h"
#include "common/textcase.h"

/* What the function makes of its constants; a NULL among them makes the call NULL anyway. */
static bool prepare(struct analyze *c, struct expr *x)
{
    const struct func *f = x->func;
    char why[FUNC_WHY_LEN] = "";
    for (uint32_t i = 0; i < x->n_args; i++) {
        if (x->args[i]->kind == EXPR_CONST && x->args[i]->null)
            return true;
        if (i < FUNC_ARGS_MAX && (f->constants >> i & 1) && x->args[i]->kind != EXPR_CONST) {
            (void)analyze_refuse(c, x->args[i]->at, "argument %u of %s must be a constant", i + 1,
                                 f->name);
            return false;
        }
    }
    if (!f->prepare || f->prepare(c->plan, x, &x->prepared, why))
        return true;
    if (why[0] == '\0')
        (void)error_set(c->e, ERR_NOMEM, "plan");
    else
        (void)analyze_refuse(c, x->at, "%s: %s", f->name, why);
    return false;
}

struct expr *analyze_call(struct analyze *c, const struct func *f, struct expr **args, uint32_t n,
                          uint32_t at)
{
    enum { CALL_ARGS_MAX = 100 };
    if (n > CALL_ARGS_MAX)
        return analyze_refuse(c, at, "%s takes at most %d arguments", f->name, CALL_ARGS_MAX);
    struct expr *x = analyze_node(c, EXPR_CALL, f->result, at, n);
    if (!x)
        return NULL;
    x->func = f;
    for (uint32_t i = 0; i < n; i++) {
        char what[80];
        bool known;
        snprintf(what, sizeof what, "argument %u of %s", i + 1, f->name);
        if (!(f->flags & FUNC_TO_TEXT)) {
            x->args[i] = analyze_coerce(c, args[i], func_arg(f, i), what);
        } else if (args[i]->type == SQLTYPE_BOOL) { /* t and f, not true and false */
            enum sqltype type = SQLTYPE_BOOL;
            x->args[i] =
                analyze_call(c, func_find("bool letter", false, &type, 1, &known), &args[i], 1, at);
        } else {
            x->args[i] = args[i]->type == SQLTYPE_OPEN || args[i]->type == SQLTYPE_UNKNOWN
                             ? analyze_coerce(c, args[i], SQLTYPE_TEXT, what)
                             : analyze_cast(c, args[i], SQLTYPE_TEXT, at);
        }
        if (!x->args[i])
            return NULL;
    }
    return prepare(c, x) ? analyze_fold(c, x) : NULL;
}

struct expr *analyze_call_by_name(struct analyze *c, const char *name, bool is_operator,
                                  struct expr **args, uint32_t n, uint32_t at)
{
    enum { TYPES_MAX = 100 };
    enum sqltype types[TYPES_MAX];
    bool known;
    if (n > TYPES_MAX)
        return analyze_refuse(c, at, "%.60s: more than %d arguments", name, TYPES_MAX);
    for (uint32_t i = 0; i < n; i++)
        types[i] = args[i]->type;
    const struct func *f = func_find(name, is_operator, types, n, &known);
    if (f)
        return analyze_call(c, f, args, n, at);
    if (!known) {
        const char *near = func_nearest(name);
        return analyze_refuse(c, at, "there is no function \"%.100s\"%s%s%s", name,
                              near ? " (did you mean \"" : "", near ? near : "",
                              near ? "\"?)" : "");
    }
    struct buf list;
    char because[ANALYZE_BECAUSE_LEN];
    buf_init(&list, 200);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", sqltype_name(types[i]));
    buf_byte(&list, '\0');
    (void)analyze_refuse(c, at, "there is no %s(%s)%s (a cast may help)", name,
                         buf_ok(&list) ? (char *)list.data : "...",
                         analyze_because(c, args, n, because));
    buf_done(&list);
    return NULL;
}

/* The same aggregate twice is computed once. */
static struct expr *aggregate_node(struct analyze *c, const struct plan_agg *a, const char *name)
{
    struct plan *p = c->plan;
    size_t i = 0;
    for (; i < p->n_aggs; i++) {
        const struct plan_agg *b = &p->aggs[i];
        if (a->agg == b->agg && a->distinct == b->distinct && !a->arg == !b->arg &&
            !a->filter == !b->filter && (!a->arg || expr_equal(a->arg, b->arg)) &&
            (!a->filter || expr_equal(a->filter, b->filter)))
            break;
    }
    if (i == PLAN_COLUMNS_MAX)
        return analyze_refuse(c, a->at, "more than %d aggregates", PLAN_COLUMNS_MAX);
    if (i == p->n_aggs)
        p->aggs[p->n_aggs++] = *a;
    struct expr *x = analyze_node(c, EXPR_AGGREGATE, a->type, a->at, 0);
    if (x) {
        x->column = (uint32_t)i;
        x->name = arena_strndup(&p->arena, name, strlen(name));
    }
    return x && x->name ? x : NULL;
}

/* string_agg joins what it is given as it comes: each text gets the delimiter in front of it, and
 * the first one of the result is cut off. */
static struct expr *with_delimiter(struct analyze *c, const PgQuery__FuncCall *f, struct expr *arg,
                                   int64_t *ret_length, uint32_t at)
{
    struct expr *delimiter = arg ? analyze_expr(c, f->args[1], at) : NULL;
    delimiter = analyze_coerce(c, delimiter, SQLTYPE_TEXT, "the delimiter of string_agg");
    arg = delimiter ? analyze_coerce(c, arg, SQLTYPE_TEXT, "what string_agg joins") : NULL;
    if (!arg)
        return NULL;
    if (delimiter->kind != EXPR_CONST)
        return analyze_refuse(c, delimiter->at, "the delimiter of string_agg must be a constant");
    *ret_length = delimiter->null ? 0 : (int64_t)textcase_count(delimiter->value.text);
    return *ret_length == 0 ? arg : analyze_operator(c, "||", delimiter, arg, at);
}

static struct expr *without_first(struct analyze *c, struct expr *joined, int64_t length,
                                  uint32_t at)
{
    struct expr *from = length > 0 && joined ? analyze_const_int(c, length + 1, at) : NULL;
    struct expr *args[] = {joined, from};
    return from ? analyze_call_by_name(c, "substr", false, args, 2, at) : joined;
}

static struct expr *aggregate(struct analyze *c, const PgQuery__FuncCall *f, const char *name,
                              uint32_t at)
{
    enum analyze_where outer = c->place;
    struct plan_agg a = {.at = at, .distinct = f->agg_distinct};
    struct expr *arg = NULL;
    if (outer == ANALYZE_AGGREGATE)
        return analyze_refuse(c, at, "an aggregate inside an aggregate");
    if (outer == ANALYZE_ROW)
        return analyze_refuse(c, at,
                              "%s() is not allowed here: aggregates stand in SELECT, HAVING "
                              "and ORDER BY",
                              name);
    if (f->n_agg_order > 0 || f->agg_within_group)
        return analyze_refuse(c, at, "ORDER BY inside an aggregate is not supported");
    bool joins = strcmp(name, "string_agg") == 0;
    int64_t delimiter_length = 0;
    if (f->agg_star ? f->n_args != 0 : f->n_args != (joins ? 2 : 1))
        return analyze_refuse(c, at,
                              joins ? "%s() takes a text and a delimiter"
                                    : "%s() takes one argument",
                              name);
    c->place = ANALYZE_AGGREGATE;
    if (!f->agg_star)
        arg = analyze_expr(c, f->args[0], at);
    if (joins)
        arg = with_delimiter(c, f, arg, &delimiter_length, at);
    bool ok = f->agg_star || arg;
    if (ok && f->agg_filter) {
        struct expr *filter = analyze_expr(c, f->agg_filter, at);
        a.filter = analyze_coerce(c, filter, SQLTYPE_BOOL, "FILTER");
        ok = a.filter != NULL;
    }
    c->place = outer;
    if (!ok)
        return NULL;
    a.agg = agg_find(name, arg ? arg->type : SQLTYPE_OPEN, f->agg_star);
    if (!a.agg)
        return analyze_refuse(c, at, "there is no aggregate %s(%s)", name,
                              f->agg_star ? "*" : sqltype_name(arg->type));
    if (arg && a.agg->arg != SQLTYPE_OPEN) {
        bool open =
            arg->type == SQLTYPE_OPEN && (strcmp(name, "min") == 0 || strcmp(name, "max") == 0);
        if (!open)
            arg = analyze_coerce(c, arg, a.agg->arg, "the argument");
        if (!arg)
            return NULL;
    } else if (arg && arg->type == SQLTYPE_UNKNOWN) {
        arg = analyze_coerce(c, arg, SQLTYPE_TEXT, "the argument");
    }
    if (a.distinct && arg && !sqltype_has_order(arg->type))
        return analyze_refuse(c, at, "DISTINCT of json, which has no order: cast it to text");
    if (a.distinct && a.agg->distinct == AGG_DISTINCT_NO)
        return analyze_refuse(c, at, "DISTINCT is not supported in %s", name);
    a.arg = arg;
    a.type = arg && arg->type == SQLTYPE_OPEN && a.agg->result == a.agg->arg ? SQLTYPE_OPEN
                                                                             : a.agg->result;
    return without_first(c, aggregate_node(c, &a, name), delimiter_length, at);
}

/* Functions and aggregates of PostgreSQL that are missing for a reason that is worth saying. */
static const char *missing_because(const char *name)
{
    static const char clock[] = "the answer would depend on when a task runs";
    static const struct {
        const char *name, *why;
    } missing[] = {
        {"now", clock},
        {"clock_timestamp", clock},
        {"statement_timestamp", clock},
        {"transaction_timestamp", clock},
        {"timeofday", clock},
        {"age", "subtract the two, or their years and months"},
        {"random", "the answer would differ from run to run"},
        {"gen_random_uuid", "the answer would differ from run to run"},
        {"array_agg", "there are no arrays; string_agg joins texts"},
        {"json_agg", "there are no arrays; string_agg joins texts"},
        {"jsonb_agg", "there are no arrays; string_agg joins texts"},
        {"percentile_cont", "it does not merge over the tasks of a job"},
        {"percentile_disc", "it does not merge over the tasks of a job"},
        {"mode", "it does not merge over the tasks of a job"},
        {"median", "it does not merge over the tasks of a job"},
        {"ifnull", "write coalesce(x, y)"},
        {"isnull", "write coalesce(x, y), or x IS NULL"},
        {"nvl", "write coalesce(x, y)"},
        {"if", "write CASE WHEN ... THEN ... ELSE ... END"},
        {"iif", "write CASE WHEN ... THEN ... ELSE ... END"},
        {"len", "write length(x)"},
        {"group_concat", "write string_agg(x, ',')"},
        {"listagg", "write string_agg(x, ',')"},
        {"instr", "write strpos(text, part)"},
        {"charindex", "write strpos(text, part)"},
        {"date_format", "write to_char(x, 'YYYY-MM-DD')"},
        {"strftime", "write to_char(x, 'YYYY-MM-DD')"},
        {"str_to_date", "write to_date(x, 'YYYY-MM-DD')"},
        {"strptime", "write to_timestamp(x, 'YYYY-MM-DD HH24:MI:SS')"},
        {"datediff", "subtract the two dates"},
        {"getdate", clock},
        {"year", "write extract(year FROM x)"},
        {"month", "write extract(month FROM x)"},
        {"day", "write extract(day FROM x)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        if (strcmp(missing[i].name, name) == 0)
            return missing[i].why;
    return NULL;
}

struct expr *analyze_func_call(struct analyze *c, const PgQuery__FuncCall *f)
{
    uint32_t at = analyze_place(f->location, 0);
    const char *name = f->n_funcname > 0 ? analyze_string_of(f->funcname[f->n_funcname - 1]) : "";
    if (f->n_funcname > 1 && strcmp(analyze_string_of(f->funcname[0]), "pg_catalog") != 0)
        return analyze_refuse(c, at, "functions of schemas are not supported");
    const char *why = missing_because(name);
    if (why)
        return analyze_refuse(c, at, "%s() is not supported: %s", name, why);
    if (f->over)
        return analyze_refuse(c, at, "window functions (OVER) are not supported");
    if (f->func_variadic)
        return analyze_refuse(c, at, "VARIADIC is not supported");
    if (agg_known(name))
        return aggregate(c, f, name, at);
    if (f->agg_star || f->agg_distinct || f->agg_filter || f->n_agg_order > 0)
        return analyze_refuse(c, at, "%.60s is no aggregate", name);
    struct expr **args = arena_zalloc(&c->plan->arena, (f->n_args + 1) * sizeof(struct expr *));
    if (!args) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return NULL;
    }
    for (size_t i = 0; i < f->n_args; i++) {
        args[i] = analyze_expr(c, f->args[i], at);
        if (!args[i])
            return NULL;
    }
    return analyze_call_by_name(c, name, false, args, (uint32_t)f->n_args, at);
}
