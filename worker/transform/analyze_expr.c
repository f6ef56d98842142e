/* analyze_expr.c: one node of the parser's tree into one checked expression. See analyze.h. */
#include "analyze.h"

#include <stdio.h>

#include "func.h"

#include "common/suggest.h"

/* ---- columns ---- */

const char *analyze_missing(const char *name, const char *const *names, size_t n,
                            char ret[ANALYZE_MISSING_LEN])
{
    ret[0] = '\0';
    if (n == 1 && strpbrk(names[0], ";|\t,"))
        snprintf(ret, ANALYZE_MISSING_LEN,
                 "; the only one is \"%.100s\": is the delimiter another one?", names[0]);
    else if (n > 0)
        (void)suggest_text(name, names, n, ret);
    return ret;
}

static struct expr *no_column(struct analyze *c, const char *name, uint32_t at)
{
    const struct plan_options *o = c->options;
    const struct span sql = c->plan->sql;
    char hint[ANALYZE_MISSING_LEN];
    if (o->names)
        (void)analyze_missing(name, o->names, o->n_names, hint);
    else
        hint[0] = '\0';
    if (hint[0] == '\0' && at < sql.len && sql.p[at] == '"')
        snprintf(hint, sizeof hint, " (a text is written in single quotes)");
    return analyze_refuse(c, at, "there is no column \"%.100s\"%s", name, hint);
}

struct expr *analyze_column_at(struct analyze *c, size_t column, uint32_t at)
{
    c->columns[column].used = true;
    struct expr *x = analyze_node(c, EXPR_COLUMN, c->columns[column].type, at, 0);
    if (x) {
        x->column = (uint32_t)column;
        x->name = c->columns[column].name;
    }
    return x;
}

static size_t input_column(const struct analyze *c, const char *name)
{
    size_t i = 0;
    while (i < c->n_columns &&
           (c->columns[i].join != ANALYZE_INPUT || strcmp(c->columns[i].name, name) != 0))
        i++;
    return i;
}

/* A column that nobody has named before, when the input's columns are not known yet. */
static bool add_column(struct analyze *c, const char *name, uint32_t at)
{
    if (input_column(c, name) < c->n_columns || c->options->names)
        return true; /* or analyze_input_column says that there is none */
    if (c->n_columns == PLAN_COLUMNS_MAX) {
        (void)analyze_refuse(c, at, "more than %d columns", PLAN_COLUMNS_MAX);
        return false;
    }
    char *copy = strdup(name);
    if (!copy) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return false;
    }
    c->columns[c->n_columns++] = (struct analyze_column){.name = copy, .join = ANALYZE_INPUT};
    return true;
}

struct expr *analyze_input_column(struct analyze *c, const char *name, uint32_t at)
{
    if (!add_column(c, name, at))
        return NULL;
    size_t i = input_column(c, name);
    if (i == c->n_columns)
        return no_column(c, name, at);
    return analyze_column_at(c, i, at);
}

static struct expr *column_ref(struct analyze *c, const PgQuery__ColumnRef *r, uint32_t at)
{
    at = analyze_place(r->location, at);
    if (r->n_fields > 2 || r->n_fields == 0)
        return analyze_refuse(c, at, "a column of another schema is not supported");
    const PgQuery__Node *last = r->fields[r->n_fields - 1];
    if (last->node_case == PG_QUERY__NODE__NODE_A_STAR)
        return analyze_refuse(c, at, "* stands alone in the SELECT list only");
    return analyze_from_column(c, r->n_fields == 2 ? analyze_string_of(r->fields[0]) : NULL,
                               analyze_string_of(last), at);
}

/* ---- AND, OR, NOT ---- */

/* AND or OR of two; longer lists nest flat. */
static struct expr *logic(struct analyze *c, enum expr_kind kind, struct expr **args, uint32_t n,
                          uint32_t at)
{
    struct expr *x = analyze_node(c, kind, SQLTYPE_BOOL, at, n);
    for (uint32_t i = 0; x && i < n; i++) {
        x->args[i] = analyze_coerce(c, args[i], SQLTYPE_BOOL,
                                    kind == EXPR_AND ? "what AND joins" : "what OR joins");
        if (!x->args[i])
            return NULL;
    }
    return x;
}

static struct expr *unary(struct analyze *c, const char *name, struct expr *x, enum sqltype type,
                          uint32_t at)
{
    bool known;
    if (type != SQLTYPE_OPEN)
        x = analyze_coerce(c, x, type, "what NOT turns");
    if (!x)
        return NULL;
    enum sqltype of =
        x->type == SQLTYPE_OPEN || x->type == SQLTYPE_UNKNOWN ? SQLTYPE_TEXT : x->type;
    if (x->type == SQLTYPE_UNKNOWN)
        x = analyze_coerce(c, x, SQLTYPE_TEXT, name);
    const struct func *f = func_find(name, true, &of, 1, &known);
    struct expr *y = f && x ? analyze_node(c, EXPR_CALL, f->result, at, 1) : NULL;
    if (!f)
        return analyze_refuse(c, at, "there is no %s for %s", name, sqltype_name(of));
    if (y) {
        y->func = f;
        y->args[0] = x;
    }
    return analyze_fold(c, y);
}

static struct expr *negated(struct analyze *c, struct expr *x, uint32_t at)
{
    return x ? unary(c, "not", x, SQLTYPE_BOOL, at) : NULL;
}

static struct expr *bool_expr(struct analyze *c, const PgQuery__BoolExpr *b, uint32_t at)
{
    at = analyze_place(b->location, at);
    struct expr **args = arena_zalloc(&c->plan->arena, (b->n_args + 1) * sizeof(struct expr *));
    for (size_t i = 0; args && i < b->n_args; i++) {
        args[i] = analyze_expr(c, b->args[i], at);
        if (!args[i])
            return NULL;
    }
    if (!args) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return NULL;
    }
    if (b->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR)
        return negated(c, args[0], at);
    return logic(c, b->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR ? EXPR_AND : EXPR_OR, args,
                 (uint32_t)b->n_args, at);
}

/* ---- operators ---- */

static struct expr *sign(struct analyze *c, const char *name, struct expr *x, uint32_t at)
{
    if (x && (x->type == SQLTYPE_OPEN || x->type == SQLTYPE_UNKNOWN))
        x = analyze_coerce(c, x, x->type == SQLTYPE_OPEN ? SQLTYPE_NUMERIC : SQLTYPE_FLOAT8, name);
    if (!x)
        return NULL;
    return analyze_call_by_name(c, name, true, &x, 1, at);
}

static struct expr *in_list(struct analyze *c, const PgQuery__AExpr *a, uint32_t at)
{
    const PgQuery__Node *right = a->rexpr;
    if (!right || right->node_case != PG_QUERY__NODE__NODE_LIST)
        return analyze_refuse(c, at, "IN with a subquery is not supported");
    bool not_in = strcmp(analyze_string_of(a->name[0]), "<>") == 0;
    uint32_t n = (uint32_t)right->list->n_items;
    struct expr **tests = arena_zalloc(&c->plan->arena, (n + 2) * sizeof(struct expr *));
    struct expr **all = arena_zalloc(&c->plan->arena, (n + 2) * sizeof(struct expr *));
    struct expr *x = analyze_expr(c, a->lexpr, at);
    if (!tests || !all || !x)
        return NULL;
    all[0] = x;
    for (uint32_t i = 0; i < n; i++) {
        all[i + 1] = analyze_expr(c, right->list->items[i], at);
        if (!all[i + 1])
            return NULL;
    }
    enum sqltype common = analyze_common(c, all, n + 1, 1, "IN");
    if (common == SQLTYPE_UNKNOWN)
        return NULL;
    for (uint32_t i = 0; i <= n && common != SQLTYPE_OPEN; i++) {
        all[i] = analyze_coerce(c, all[i], common, "IN");
        if (!all[i])
            return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        tests[i] = analyze_operator(c, not_in ? "<>" : "=", all[0], all[i + 1], at);
        if (!tests[i])
            return NULL;
    }
    return n == 1 ? tests[0] : logic(c, not_in ? EXPR_AND : EXPR_OR, tests, n, at);
}

static struct expr *between(struct analyze *c, const PgQuery__AExpr *a, bool not, bool symmetric,
                            uint32_t at)
{
    const PgQuery__Node *right = a->rexpr;
    if (symmetric)
        return analyze_refuse(c, at, "BETWEEN SYMMETRIC is not supported");
    if (!right || right->node_case != PG_QUERY__NODE__NODE_LIST || right->list->n_items != 2)
        return analyze_refuse(c, at, "BETWEEN takes two bounds");
    struct expr *x = analyze_expr(c, a->lexpr, at);
    struct expr *low = x ? analyze_expr(c, right->list->items[0], at) : NULL;
    struct expr *high = low ? analyze_expr(c, right->list->items[1], at) : NULL;
    if (!high)
        return NULL;
    struct expr *tests[2] = {analyze_operator(c, not ? "<" : ">=", x, low, at)};
    tests[1] = tests[0] ? analyze_operator(c, not ? ">" : "<=", x, high, at) : NULL;
    return tests[1] ? logic(c, not ? EXPR_OR : EXPR_AND, tests, 2, at) : NULL;
}

/* NULL where they are equal, else the first. */
static struct expr *null_if(struct analyze *c, struct expr *x, struct expr *y, uint32_t at)
{
    struct expr *equal = analyze_operator(c, "=", x, y, at);
    if (!equal)
        return NULL;
    enum sqltype type = x->type == SQLTYPE_UNKNOWN ? SQLTYPE_TEXT : x->type;
    struct expr *null = analyze_const_null(c, at);
    struct expr *z = null ? analyze_node(c, EXPR_CASE, type, at, 3) : NULL;
    if (!z)
        return NULL;
    z->args[0] = equal;
    z->args[1] = type == SQLTYPE_OPEN ? null : analyze_coerce(c, null, type, "NULLIF");
    z->args[2] = analyze_coerce(c, x, type, "NULLIF");
    return z->args[1] && z->args[2] ? z : NULL;
}

static struct expr *is_distinct(struct analyze *c, const char *name, struct expr *x, struct expr *y,
                                uint32_t at)
{
    return x && y ? analyze_operator(c, name, x, y, at) : NULL;
}

static struct expr *a_expr(struct analyze *c, const PgQuery__AExpr *a, uint32_t at)
{
    at = analyze_place(a->location, at);
    const char *name = a->n_name > 0 ? analyze_string_of(a->name[a->n_name - 1]) : "";
    switch (a->kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
        return in_list(c, a, at);
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
        return between(c, a, a->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN, false, at);
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
        return between(c, a, false, true, at);
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
    case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
    case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF:
    case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
        break;
    default:
        return analyze_refuse(c, at, "ANY, ALL and SIMILAR TO are not supported");
    }
    struct expr *x = a->lexpr ? analyze_expr(c, a->lexpr, at) : NULL;
    if (a->lexpr && !x)
        return NULL;
    struct expr *y = analyze_expr(c, a->rexpr, at);
    if (!y)
        return NULL;
    if (!a->lexpr)
        return sign(c, name, y, at);
    if (a->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF)
        return null_if(c, x, y, at);
    if (a->kind == PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT)
        return is_distinct(c, "is distinct from", x, y, at);
    if (a->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT)
        return is_distinct(c, "is not distinct from", x, y, at);
    if (strchr(name, '~')) { /* LIKE and regular expressions: open columns are text */
        x = x->type == SQLTYPE_OPEN ? analyze_coerce(c, x, SQLTYPE_TEXT, "a pattern") : x;
        y = y->type == SQLTYPE_OPEN ? analyze_coerce(c, y, SQLTYPE_TEXT, "a pattern") : y;
    }
    return analyze_operator(c, name, x, y, at);
}

/* ---- CASE and its like ---- */

/* The arguments first, first + step, ... as one type. */
static bool unify(struct analyze *c, struct expr *x, uint32_t first, uint32_t step,
                  const char *what)
{
    struct expr **values = arena_zalloc(&c->plan->arena, (x->n_args + 1) * sizeof(struct expr *));
    uint32_t n = 0;
    if (!values)
        return false;
    for (uint32_t i = first; i < x->n_args; i += step)
        values[n++] = x->args[i];
    if (x->kind == EXPR_CASE)
        values[n++] = x->args[x->n_args - 1];
    enum sqltype type = analyze_common(c, values, n, 1, what);
    if (type == SQLTYPE_UNKNOWN)
        return false;
    x->type = type;
    for (uint32_t i = 0; i < x->n_args && type != SQLTYPE_OPEN; i++) {
        bool value = x->kind != EXPR_CASE || i % 2 == 1 || i == x->n_args - 1;
        x->args[i] = value ? analyze_coerce(c, x->args[i], type, what) : x->args[i];
        if (!x->args[i])
            return false;
    }
    return true;
}

static struct expr *case_expr(struct analyze *c, const PgQuery__CaseExpr *k, uint32_t at)
{
    at = analyze_place(k->location, at);
    struct expr *x = analyze_node(c, EXPR_CASE, SQLTYPE_OPEN, at, (uint32_t)k->n_args * 2 + 1);
    struct expr *of = k->arg && x ? analyze_expr(c, k->arg, at) : NULL;
    if (!x || (k->arg && !of))
        return NULL;
    for (size_t i = 0; i < k->n_args; i++) {
        const PgQuery__CaseWhen *w = k->args[i]->case_when;
        struct expr *when = analyze_expr(c, w->expr, at);
        if (when && of)
            when = analyze_operator(c, "=", of, when, at);
        x->args[2 * i] = when ? analyze_coerce(c, when, SQLTYPE_BOOL, "what WHEN tests") : NULL;
        x->args[2 * i + 1] = x->args[2 * i] ? analyze_expr(c, w->result, at) : NULL;
        if (!x->args[2 * i + 1])
            return NULL;
    }
    x->args[x->n_args - 1] =
        k->defresult ? analyze_expr(c, k->defresult, at) : analyze_const_null(c, at);
    return x->args[x->n_args - 1] && unify(c, x, 1, 2, "CASE") ? x : NULL;
}

static struct expr *coalesce(struct analyze *c, const PgQuery__CoalesceExpr *k, uint32_t at)
{
    at = analyze_place(k->location, at);
    struct expr *x = analyze_node(c, EXPR_COALESCE, SQLTYPE_OPEN, at, (uint32_t)k->n_args);
    for (size_t i = 0; x && i < k->n_args; i++) {
        x->args[i] = analyze_expr(c, k->args[i], at);
        if (!x->args[i])
            return NULL;
    }
    return x && unify(c, x, 0, 1, "COALESCE") ? x : NULL;
}

static struct expr *min_max(struct analyze *c, const PgQuery__MinMaxExpr *k, uint32_t at)
{
    bool known;
    bool greatest = k->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST;
    at = analyze_place(k->location, at);
    struct expr *x = analyze_node(c, EXPR_CALL, SQLTYPE_OPEN, at, (uint32_t)k->n_args);
    for (size_t i = 0; x && i < k->n_args; i++) {
        x->args[i] = analyze_expr(c, k->args[i], at);
        if (!x->args[i])
            return NULL;
    }
    if (!x || !unify(c, x, 0, 1, greatest ? "GREATEST" : "LEAST"))
        return NULL;
    enum sqltype type = x->type == SQLTYPE_OPEN ? SQLTYPE_TEXT : x->type;
    x->func = func_find(greatest ? "greatest" : "least", false, &type, 1, &known);
    if (!x->func)
        return analyze_refuse(c, at, "%s has no order: cast it to text", sqltype_name(type));
    return x->type == SQLTYPE_OPEN ? x : analyze_fold(c, x);
}

static struct expr *null_test(struct analyze *c, const PgQuery__NullTest *t, uint32_t at)
{
    at = analyze_place(t->location, at);
    struct expr *x = analyze_expr(c, t->arg, at);
    bool is = t->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL;
    return x ? unary(c, is ? "is null" : "is not null", x, SQLTYPE_OPEN, at) : NULL;
}

static struct expr *boolean_test(struct analyze *c, const PgQuery__BooleanTest *t, uint32_t at)
{
    static const char *const names[] = {[PG_QUERY__BOOL_TEST_TYPE__IS_TRUE] = "is true",
                                        [PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE] = "is not true",
                                        [PG_QUERY__BOOL_TEST_TYPE__IS_FALSE] = "is false",
                                        [PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE] = "is not false",
                                        [PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN] = "is unknown",
                                        [PG_QUERY__BOOL_TEST_TYPE__IS_NOT_UNKNOWN] =
                                            "is not unknown"};
    at = analyze_place(t->location, at);
    struct expr *x = analyze_expr(c, t->arg, at);
    if (!x || (size_t)t->booltesttype >= ARRAY_LEN(names) || !names[t->booltesttype])
        return NULL;
    return unary(c, names[t->booltesttype], x, SQLTYPE_BOOL, at);
}

/* ---- any node ---- */

static const char *construct(const PgQuery__Node *node)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_SUB_LINK:
        return "a subquery";
    case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
        return "ARRAY";
    case PG_QUERY__NODE__NODE_ROW_EXPR:
        return "a row of values";
    case PG_QUERY__NODE__NODE_A_INDIRECTION:
        return "a subscript or field";
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
        return "COLLATE";
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
        return "a value that depends on when and where a task runs (CURRENT_DATE, CURRENT_USER)";
    case PG_QUERY__NODE__NODE_PARAM_REF:
        return "a parameter";
    case PG_QUERY__NODE__NODE_GROUPING_SET:
        return "GROUPING SETS, ROLLUP or CUBE";
    case PG_QUERY__NODE__NODE_GROUPING_FUNC:
        return "GROUPING";
    case PG_QUERY__NODE__NODE_XML_EXPR:
        return "XML";
    case PG_QUERY__NODE__NODE_SET_TO_DEFAULT:
        return "DEFAULT";
    default:
        return "this construct";
    }
}

static struct expr *any_node(struct analyze *c, const PgQuery__Node *node, uint32_t at)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
        return column_ref(c, node->column_ref, at);
    case PG_QUERY__NODE__NODE_A_CONST:
        return analyze_const(c, node->a_const, analyze_place(node->a_const->location, at));
    case PG_QUERY__NODE__NODE_A_EXPR:
        return a_expr(c, node->a_expr, at);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
        return bool_expr(c, node->bool_expr, at);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return analyze_func_call(c, node->func_call);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        return analyze_cast_node(c, node->type_cast);
    case PG_QUERY__NODE__NODE_CASE_EXPR:
        return case_expr(c, node->case_expr, at);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        return coalesce(c, node->coalesce_expr, at);
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return min_max(c, node->min_max_expr, at);
    case PG_QUERY__NODE__NODE_NULL_TEST:
        return null_test(c, node->null_test, at);
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return boolean_test(c, node->boolean_test, at);
    case PG_QUERY__NODE__NODE_SUB_LINK:
        return analyze_refuse(c, analyze_place(node->sub_link->location, at), "%s is not supported",
                              construct(node));
    default:
        return analyze_refuse(c, at, "%s is not supported", construct(node));
    }
}

struct expr *analyze_expr(struct analyze *c, const PgQuery__Node *node, uint32_t at)
{
    if (!node)
        return analyze_refuse(c, at, "an expression is missing");
    if (++c->depth > PLAN_DEPTH_MAX)
        return analyze_refuse(c, at, "expressions nested more than %d deep", PLAN_DEPTH_MAX);
    struct expr *x = any_node(c, node, at);
    c->depth--;
    return x;
}
