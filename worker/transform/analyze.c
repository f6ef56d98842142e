#include "analyze.h"

#include "common/suggest.h"

static bool refused(struct analyze *c, uint32_t at, const char *what)
{
    (void)analyze_refuse(c, at, "%s is not supported", what);
    return false;
}

static bool no_memory(struct analyze *c)
{
    (void)error_set(c->e, ERR_NOMEM, "plan");
    return false;
}

static uint32_t node_at(const PgQuery__Node *node)
{
    int32_t at = 0;
    if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
        at = node->column_ref->location;
    else if (node->node_case == PG_QUERY__NODE__NODE_A_CONST)
        at = node->a_const->location;
    else if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
        at = node->range_var->location;
    else if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL)
        at = node->func_call->location;
    return (uint32_t)MAX(at, 0);
}

/* ---- what a statement may hold ---- */

static bool check_statement(struct analyze *c, const PgQuery__SelectStmt *s)
{
    if (s->with_clause)
        return refused(c, (uint32_t)MAX(s->with_clause->location, 0), "WITH");
    if (s->op > PG_QUERY__SET_OPERATION__SETOP_NONE)
        return refused(c, 0, "UNION, INTERSECT or EXCEPT");
    if (s->n_values_lists > 0)
        return refused(c, 0, "VALUES");
    if (s->into_clause)
        return refused(c, 0, "SELECT INTO");
    if (s->n_window_clause > 0)
        return refused(c, 0, "WINDOW");
    if (s->n_locking_clause > 0)
        return refused(c, 0, "FOR UPDATE or FOR SHARE");
    if (s->n_distinct_clause > 0 && s->distinct_clause[0]->node_case != 0)
        return refused(c, node_at(s->distinct_clause[0]), "DISTINCT ON");
    if (s->group_distinct)
        return refused(c, 0, "GROUP BY DISTINCT");
    if (s->limit_option == PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES)
        return refused(c, 0, "FETCH FIRST WITH TIES");
    if (s->n_target_list == 0) {
        (void)analyze_refuse(c, 0, "the SELECT list is empty");
        return false;
    }
    return analyze_from(c, s);
}

/* ---- the SELECT list ---- */

/* PostgreSQL's name of a result without AS. */
static const char *result_name(const PgQuery__Node *node)
{
    for (;;) {
        switch (node->node_case) {
        case PG_QUERY__NODE__NODE_COLUMN_REF: {
            const PgQuery__ColumnRef *r = node->column_ref;
            const PgQuery__Node *last = r->fields[r->n_fields - 1];
            return last->node_case == PG_QUERY__NODE__NODE_STRING ? last->string->sval : "?column?";
        }
        case PG_QUERY__NODE__NODE_FUNC_CALL: {
            const PgQuery__FuncCall *f = node->func_call;
            const PgQuery__Node *last = f->funcname[f->n_funcname - 1];
            return last->node_case == PG_QUERY__NODE__NODE_STRING ? last->string->sval : "?column?";
        }
        case PG_QUERY__NODE__NODE_TYPE_CAST: {
            const PgQuery__TypeCast *t = node->type_cast;
            if (t->arg->node_case == PG_QUERY__NODE__NODE_A_CONST && t->type_name->n_names > 0)
                return t->type_name->names[t->type_name->n_names - 1]->string->sval;
            node = t->arg;
            break;
        }
        case PG_QUERY__NODE__NODE_CASE_EXPR:
            return "case";
        case PG_QUERY__NODE__NODE_COALESCE_EXPR:
            return "coalesce";
        case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
            return node->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST ? "greatest"
                                                                               : "least";
        case PG_QUERY__NODE__NODE_A_EXPR:
            return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF ? "nullif"
                                                                               : "?column?";
        default:
            return "?column?";
        }
    }
}

static bool has_order(struct analyze *c, const struct expr *x, const char *what)
{
    if (sqltype_has_order(x->type))
        return true;
    (void)analyze_refuse(c, x->at, "%s of %s, which has no order: cast it to text", what,
                         sqltype_name(x->type));
    return false;
}

static bool add_result(struct analyze *c, const char *name, struct expr *x, bool hidden)
{
    struct plan *p = c->plan;
    if (!x)
        return false;
    if (p->n_results == PLAN_COLUMNS_MAX) {
        (void)analyze_refuse(c, x->at, "more than %d results", PLAN_COLUMNS_MAX);
        return false;
    }
    if (x->type == SQLTYPE_UNKNOWN)
        x = analyze_coerce(c, x, SQLTYPE_TEXT, "a result");
    char *copy = arena_strndup(&p->arena, name, strlen(name));
    if (!x || !copy)
        return x ? no_memory(c) : false;
    if (p->distinct && !has_order(c, x, "DISTINCT"))
        return false;
    p->results[p->n_results++] = (struct plan_result){copy, x, hidden};
    return true;
}

static bool is_star(const PgQuery__Node *node)
{
    return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && node->column_ref->n_fields == 1 &&
           node->column_ref->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

static bool add_star(struct analyze *c, uint32_t at)
{
    const struct plan_options *o = c->options;
    if (c->n_joins > 0) {
        (void)analyze_refuse(c, at, "* with JOIN is not supported: list the columns");
        return false;
    }
    if (!o->names) {
        (void)analyze_refuse(c, at, "* needs the names of the input's columns: list them");
        return false;
    }
    for (size_t i = 0; i < o->n_names; i++)
        if (!add_result(c, o->names[i], analyze_input_column(c, o->names[i], at), false))
            return false;
    return true;
}

static bool add_results(struct analyze *c, const PgQuery__SelectStmt *s)
{
    c->place = ANALYZE_RESULT;
    for (size_t i = 0; i < s->n_target_list; i++) {
        const PgQuery__ResTarget *t = s->target_list[i]->res_target;
        uint32_t at = (uint32_t)MAX(t->location, 0);
        const char *name = t->name && t->name[0] ? t->name : result_name(t->val);
        if (is_star(t->val) ? !add_star(c, at)
                            : !add_result(c, name, analyze_expr(c, t->val, at), false))
            return false;
    }
    c->plan->n_shown = c->plan->n_results;
    return true;
}

/* ---- GROUP BY and ORDER BY ---- */

static const char *bare_name(const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1 ||
        node->column_ref->fields[0]->node_case != PG_QUERY__NODE__NODE_STRING)
        return NULL;
    return node->column_ref->fields[0]->string->sval;
}

/* A whole number stands for the result of that place. False: it is out of range. */
static bool by_number(struct analyze *c, const PgQuery__Node *node, const char *what, size_t *ret)
{
    const PgQuery__AConst *k =
        node->node_case == PG_QUERY__NODE__NODE_A_CONST ? node->a_const : NULL;
    *ret = SIZE_MAX;
    if (!k || k->isnull || k->val_case != PG_QUERY__A__CONST__VAL_IVAL)
        return true;
    if (k->ival->ival < 1 || (size_t)k->ival->ival > c->plan->n_shown) {
        (void)analyze_refuse(c, node_at(node), "%s %d: there is no such place in the SELECT list",
                             what, k->ival->ival);
        return false;
    }
    *ret = (size_t)k->ival->ival - 1;
    return true;
}

static size_t result_named(const struct analyze *c, const char *name)
{
    for (size_t i = 0; name && i < c->plan->n_shown; i++)
        if (strcmp(c->plan->results[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static bool input_has(const struct analyze *c, const char *name)
{
    for (size_t i = 0; i < c->n_columns; i++)
        if (strcmp(c->columns[i].name, name) == 0)
            return true;
    return false;
}

static bool has_aggregate(const struct expr *x)
{
    bool has = x->kind == EXPR_AGGREGATE;
    for (uint32_t i = 0; i < x->n_args && !has; i++)
        has = has_aggregate(x->args[i]);
    return has;
}

static bool add_keys(struct analyze *c, const PgQuery__SelectStmt *s)
{
    struct plan *p = c->plan;
    p->keys = arena_zalloc(&p->arena, (s->n_group_clause + 1) * sizeof(const struct expr *));
    if (!p->keys)
        return no_memory(c);
    for (size_t i = 0; i < s->n_group_clause; i++) {
        const PgQuery__Node *node = s->group_clause[i];
        const char *name = bare_name(node);
        size_t at;
        if (!by_number(c, node, "GROUP BY", &at))
            return false;
        if (at == SIZE_MAX && name && !input_has(c, name)) /* a column goes before a result */
            at = result_named(c, name);
        c->place = ANALYZE_ROW;
        const struct expr *x =
            at != SIZE_MAX ? p->results[at].expr : analyze_expr(c, node, node_at(node));
        if (x && x->type == SQLTYPE_UNKNOWN)
            x = analyze_coerce(c, (struct expr *)(uintptr_t)x, SQLTYPE_TEXT, "GROUP BY");
        if (!x || !has_order(c, x, "GROUP BY"))
            return false;
        if (has_aggregate(x)) { /* by its place or its name: an expression was refused before */
            (void)analyze_refuse(c, node_at(node),
                                 "GROUP BY: aggregates stand in SELECT, HAVING and ORDER BY");
            return false;
        }
        p->keys[p->n_keys++] = x;
    }
    return true;
}

static bool add_order(struct analyze *c, const PgQuery__SelectStmt *s)
{
    struct plan *p = c->plan;
    p->order = arena_zalloc(&p->arena, (s->n_sort_clause + 1) * sizeof *p->order);
    if (!p->order)
        return no_memory(c);
    for (size_t i = 0; i < s->n_sort_clause; i++) {
        const PgQuery__SortBy *by = s->sort_clause[i]->sort_by;
        size_t at;
        if (by->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_USING)
            return refused(c, (uint32_t)MAX(by->location, 0), "ORDER BY USING");
        if (!by_number(c, by->node, "ORDER BY", &at))
            return false;
        if (at == SIZE_MAX)
            at = result_named(c, bare_name(by->node));
        if (at == SIZE_MAX) {
            c->place = ANALYZE_RESULT;
            struct expr *x = analyze_expr(c, by->node, node_at(by->node));
            for (size_t k = 0; x && k < p->n_results && at == SIZE_MAX; k++)
                at = expr_equal(x, p->results[k].expr) ? k : at;
            if (at == SIZE_MAX && x && p->distinct)
                return refused(c, x->at,
                               "with DISTINCT, ORDER BY of what is not in the SELECT list");
            if (at == SIZE_MAX) {
                if (!add_result(c, "order", x, true))
                    return false;
                at = p->n_results - 1;
            }
        }
        if (!has_order(c, p->results[at].expr, "ORDER BY"))
            return false;
        bool descending = by->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
        bool first = by->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST ||
                     (by->sortby_nulls != PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST && descending);
        p->order[p->n_order++] = (struct plan_order){(uint32_t)at, descending, first};
    }
    return true;
}

static bool count_of(struct analyze *c, const PgQuery__Node *node, const char *what, int64_t *ret)
{
    if (!node)
        return true;
    c->place = ANALYZE_ROW;
    struct expr *x = analyze_coerce(c, analyze_expr(c, node, node_at(node)), SQLTYPE_INT8, what);
    if (!x)
        return false;
    if (x->kind != EXPR_CONST || (!x->null && x->value.i < 0)) {
        (void)analyze_refuse(c, x->at, "%s must be a whole number", what);
        return false;
    }
    if (!x->null)
        *ret = x->value.i;
    return true;
}

/* ---- passes ---- */

static bool begin(struct analyze *c)
{
    struct plan *p = c->plan;
    plan_clear(p);
    p->results = arena_zalloc(&p->arena, (PLAN_COLUMNS_MAX + 1) * sizeof *p->results);
    p->aggs = arena_zalloc(&p->arena, (PLAN_COLUMNS_MAX + 1) * sizeof *p->aggs);
    c->changed = false;
    c->n_nodes = 0;
    c->depth = 0;
    for (size_t i = 0; i < c->n_columns; i++) {
        c->columns[i].used = false;
        c->columns[i].weak = SQLTYPE_OPEN;
    }
    return p->results && p->aggs ? true : no_memory(c);
}

static bool pass(struct analyze *c, const PgQuery__SelectStmt *s)
{
    struct plan *p = c->plan;
    if (!begin(c))
        return false;
    if (!analyze_joins(c))
        return false;
    if (s->where_clause) {
        c->place = ANALYZE_ROW;
        struct expr *where =
            analyze_coerce(c, analyze_expr(c, s->where_clause, 0), SQLTYPE_BOOL, "WHERE");
        if (!where || !analyze_split_where(c, where))
            return false;
    }
    p->distinct = s->n_distinct_clause > 0;
    if (!add_results(c, s) || !add_keys(c, s))
        return false;
    if (s->having_clause) {
        c->place = ANALYZE_RESULT;
        p->having = analyze_coerce(c, analyze_expr(c, s->having_clause, 0), SQLTYPE_BOOL, "HAVING");
        if (!p->having)
            return false;
    }
    if (!add_order(c, s) || !count_of(c, s->limit_count, "LIMIT", &p->limit) ||
        !count_of(c, s->limit_offset, "OFFSET", &p->offset))
        return false;
    p->grouped = p->n_keys > 0 || p->n_aggs > 0 || p->having;
    return true;
}

/* Columns that no use has decided take the type of their cast, or are text. */
static bool settle_rest(struct analyze *c)
{
    bool any = false;
    for (size_t i = 0; i < c->n_columns; i++) {
        struct analyze_column *column = &c->columns[i];
        if (column->type != SQLTYPE_OPEN)
            continue;
        column->type = column->weak != SQLTYPE_OPEN ? column->weak : SQLTYPE_TEXT;
        any = true;
    }
    return any;
}

int analyze_select(struct analyze *c, const PgQuery__SelectStmt *s)
{
    if (!check_statement(c, s))
        return (int)c->e->code;
    for (;;) { /* each turn decides the type of a column, or is the last but one */
        if (!pass(c, s))
            return (int)c->e->code;
        if (!c->changed && !settle_rest(c))
            return ERR_OK;
    }
}
