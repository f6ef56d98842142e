/* analyze_from.c: FROM: the input and the lookup tables that are joined to it, and which of them a
 * column is of. See analyze.h. */
#include "analyze.h"

#include "common/suggest.h"

static bool refuse(struct analyze *c, uint32_t at, const char *what)
{
    (void)analyze_refuse(c, at, "%s is not supported", what);
    return false;
}

static const char *alias_of(const PgQuery__RangeVar *r)
{
    return r->alias && r->alias->aliasname[0] ? r->alias->aliasname : r->relname;
}

static bool plain_table(struct analyze *c, const PgQuery__Node *node, const PgQuery__RangeVar **ret)
{
    if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR)
        return refuse(c, 0, "a subquery or function in FROM");
    const PgQuery__RangeVar *r = node->range_var;
    uint32_t at = (uint32_t)MAX(r->location, 0);
    if (r->schemaname && r->schemaname[0])
        return refuse(c, at, "a table of a schema");
    if (r->alias && r->alias->n_colnames > 0)
        return refuse(c, at, "an alias for columns");
    *ret = r;
    return true;
}

static bool is_input(struct analyze *c, const PgQuery__Node *node)
{
    const PgQuery__RangeVar *r;
    if (!plain_table(c, node, &r))
        return false;
    if (strcmp(r->relname, "input") == 0) {
        c->input_alias = alias_of(r);
        return true;
    }
    for (size_t i = 0; i < c->options->n_tables; i++) {
        if (strcmp(c->options->tables[i].name, r->relname) == 0) {
            (void)analyze_refuse(c, (uint32_t)MAX(r->location, 0),
                                 "FROM begins with input; lookup tables are joined to it");
            return false;
        }
    }
    (void)analyze_refuse(c, (uint32_t)MAX(r->location, 0),
                         "there is no table \"%.100s\"; the rows are called input", r->relname);
    return false;
}

/* ---- tables ---- */

static const struct plan_table *table_named(struct analyze *c, const char *name, uint32_t at)
{
    const struct plan_options *o = c->options;
    const char *names[PLAN_TABLES_MAX];
    char hint[SUGGEST_TEXT_LEN];
    for (size_t i = 0; i < o->n_tables; i++) {
        names[i] = o->tables[i].name;
        if (strcmp(names[i], name) == 0)
            return &o->tables[i];
    }
    (void)analyze_refuse(c, at, "there is no table \"%.100s\" in \"tables\"%s", name,
                         suggest_text(name, names, o->n_tables, hint));
    return NULL;
}

static bool add_columns(struct analyze *c, const struct plan_table *t, uint32_t at)
{
    struct analyze_join *j = &c->joins[c->n_joins];
    j->first = c->n_columns;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (c->n_columns == PLAN_COLUMNS_MAX) {
            (void)analyze_refuse(c, at, "more than %d columns", PLAN_COLUMNS_MAX);
            return false;
        }
        char *name = strdup(t->columns[i]);
        if (!name) {
            (void)error_set(c->e, ERR_NOMEM, "plan");
            return false;
        }
        c->columns[c->n_columns++] = (struct analyze_column){.name = name,
                                                             .type = t->types[i],
                                                             .join = (int32_t)c->n_joins,
                                                             .field = (uint32_t)i};
    }
    return true;
}

static bool add_join(struct analyze *c, const PgQuery__JoinExpr *node)
{
    const PgQuery__RangeVar *r;
    bool left = node->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
    if (node->is_natural)
        return refuse(c, 0, "NATURAL JOIN");
    if (node->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER && !left)
        return refuse(c, 0, "RIGHT or FULL JOIN");
    if (node->rarg->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR)
        return refuse(c, 0, "a JOIN in parentheses");
    if (!plain_table(c, node->rarg, &r))
        return false;
    uint32_t at = (uint32_t)MAX(r->location, 0);
    if (!node->quals && node->n_using_clause == 0)
        return refuse(c, at, "CROSS JOIN");
    if (c->n_joins == PLAN_JOINS_MAX) {
        (void)analyze_refuse(c, at, "more than %d joins", PLAN_JOINS_MAX);
        return false;
    }
    const char *alias = alias_of(r);
    bool taken = strcmp(alias, c->input_alias) == 0;
    for (size_t i = 0; i < c->n_joins; i++)
        taken |= strcmp(alias, c->joins[i].alias) == 0;
    if (taken) {
        (void)analyze_refuse(c, at, "two tables are called \"%.100s\": give one an alias", alias);
        return false;
    }
    const struct plan_table *t = table_named(c, r->relname, at);
    if (!t || !add_columns(c, t, at))
        return false;
    struct analyze_join *j = &c->joins[c->n_joins++];
    j->alias = alias;
    j->node = node;
    j->left = left;
    j->table = (uint32_t)(t - c->options->tables);
    return true;
}

static bool add_from(struct analyze *c, const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR)
        return is_input(c, node);
    const PgQuery__JoinExpr *j = node->join_expr;
    if (j->alias)
        return refuse(c, 0, "an alias for a JOIN");
    return add_from(c, j->larg) && add_join(c, j);
}

bool analyze_from(struct analyze *c, const PgQuery__SelectStmt *s)
{
    if (s->n_from_clause == 0) {
        (void)analyze_refuse(c, 0, "FROM input is wanted: the rows are called input");
        return false;
    }
    if (s->n_from_clause > 1) {
        (void)analyze_refuse(c, 0, "several tables in FROM: write JOIN ... ON");
        return false;
    }
    return add_from(c, s->from_clause[0]);
}

/* ---- columns ---- */

/* The column of that name of the input (join -1) or of a join; SIZE_MAX: none. */
static size_t column_of(const struct analyze *c, int32_t join, const char *name)
{
    for (size_t i = 0; i < c->n_columns; i++)
        if (c->columns[i].join == join && strcmp(c->columns[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

/* A name without a table: the one table that has it. What USING compares is the input's. */
static bool find_bare(struct analyze *c, const char *name, uint32_t at, int32_t *ret_join)
{
    const char *owner = NULL;
    *ret_join = ANALYZE_INPUT;
    if (column_of(c, ANALYZE_INPUT, name) != SIZE_MAX)
        owner = c->input_alias;
    for (size_t j = 0; j < c->n_visible; j++) {
        size_t i = column_of(c, (int32_t)j, name);
        if (i == SIZE_MAX || c->columns[i].merged)
            continue;
        if (owner) {
            (void)analyze_refuse(c, at,
                                 "column \"%.60s\" is in %.60s and in %.60s: write %.60s.%.60s",
                                 name, owner, c->joins[j].alias, c->joins[j].alias, name);
            return false;
        }
        owner = c->joins[j].alias;
        *ret_join = (int32_t)j;
    }
    return true;
}

static bool find_table(struct analyze *c, const char *alias, uint32_t at, int32_t *ret_join)
{
    const char *names[PLAN_JOINS_MAX + 1];
    char hint[SUGGEST_TEXT_LEN];
    *ret_join = ANALYZE_INPUT;
    if (strcmp(alias, c->input_alias) == 0)
        return true;
    names[0] = c->input_alias;
    for (size_t j = 0; j < c->n_visible; j++) {
        names[j + 1] = c->joins[j].alias;
        *ret_join = (int32_t)j;
        if (strcmp(names[j + 1], alias) == 0)
            return true;
    }
    (void)analyze_refuse(c, at, "there is no table \"%.100s\"; the rows are called %.60s%s", alias,
                         c->input_alias, suggest_text(alias, names, c->n_visible + 1, hint));
    return false;
}

static struct expr *no_column_of_table(struct analyze *c, int32_t join, const char *name,
                                       uint32_t at)
{
    const char *names[PLAN_COLUMNS_MAX];
    char hint[ANALYZE_MISSING_LEN];
    size_t n = 0;
    for (size_t i = 0; i < c->n_columns; i++)
        if (c->columns[i].join == join)
            names[n++] = c->columns[i].name;
    return analyze_refuse(c, at, "the table %.60s has no column \"%.100s\"%s", c->joins[join].alias,
                          name, analyze_missing(name, names, n, hint));
}

struct expr *analyze_from_column(struct analyze *c, const char *alias, const char *name,
                                 uint32_t at)
{
    int32_t join;
    if (alias ? !find_table(c, alias, at, &join) : !find_bare(c, name, at, &join))
        return NULL;
    if (join == ANALYZE_INPUT)
        return analyze_input_column(c, name, at);
    size_t i = column_of(c, join, name);
    if (i == SIZE_MAX)
        return no_column_of_table(c, join, name, at);
    c->columns[i].bare |= !alias;
    return analyze_column_at(c, i, at);
}

/* ---- what a join compares ---- */

static bool uses_join(const struct analyze *c, const struct expr *x, int32_t join)
{
    if (x->kind == EXPR_COLUMN)
        return c->columns[x->column].join == join;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (uses_join(c, x->args[i], join))
            return true;
    return false;
}

static bool same_bytes(enum sqltype a, enum sqltype b)
{
    bool ints =
        (a == SQLTYPE_INT4 || a == SQLTYPE_INT8) && (b == SQLTYPE_INT4 || b == SQLTYPE_INT8);
    return a == b || ints;
}

/* key: over the rows before; column: of the table. */
static bool add_key(struct analyze *c, struct plan_join *p, struct expr *key, struct expr *column,
                    uint32_t at)
{
    if (p->n_keys == PLAN_JOIN_KEYS_MAX) {
        (void)analyze_refuse(c, at, "a JOIN compares more than %d columns", PLAN_JOIN_KEYS_MAX);
        return false;
    }
    if (!sqltype_has_order(column->type)) {
        (void)analyze_refuse(c, at, "a JOIN cannot compare %s", sqltype_name(column->type));
        return false;
    }
    if (!same_bytes(key->type, column->type))
        key = analyze_coerce(c, key, column->type, "what a JOIN compares with a column of a table");
    if (!key)
        return false;
    p->keys[p->n_keys] = key;
    p->columns[p->n_keys++] = c->columns[column->column].field;
    return true;
}

static bool add_equality(struct analyze *c, struct plan_join *p, int32_t join,
                         const PgQuery__Node *node)
{
    const PgQuery__AExpr *a = node->node_case == PG_QUERY__NODE__NODE_A_EXPR ? node->a_expr : NULL;
    uint32_t at = a ? analyze_place(a->location, 0) : 0;
    bool equality = a && a->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && a->lexpr &&
                    a->n_name == 1 && strcmp(analyze_string_of(a->name[0]), "=") == 0;
    struct expr *x = equality ? analyze_expr(c, a->lexpr, at) : NULL;
    struct expr *y = x ? analyze_expr(c, a->rexpr, at) : NULL;
    if (equality && !y)
        return false;
    if (y && x->kind == EXPR_COLUMN && uses_join(c, x, join)) {
        struct expr *swap = x;
        x = y;
        y = swap;
    }
    if (!y || y->kind != EXPR_COLUMN || !uses_join(c, y, join) || uses_join(c, x, join)) {
        (void)analyze_refuse(c, at,
                             "a JOIN compares columns of %.60s by = with what comes before it; "
                             "other conditions belong into WHERE",
                             c->joins[join].alias);
        return false;
    }
    return add_key(c, p, x, y, at);
}

static bool add_using(struct analyze *c, struct plan_join *p, int32_t join,
                      const PgQuery__JoinExpr *node)
{
    for (size_t i = 0; i < node->n_using_clause; i++) {
        const char *name = analyze_string_of(node->using_clause[i]);
        size_t column = column_of(c, join, name);
        c->n_visible = (size_t)join;
        struct expr *key = analyze_from_column(c, NULL, name, 0);
        c->n_visible = (size_t)join + 1;
        if (column == SIZE_MAX) {
            (void)analyze_refuse(c, 0, "USING: the table %.60s has no column \"%.100s\"",
                                 c->joins[join].alias, name);
            return false;
        }
        c->columns[column].merged = true;
        struct expr *of = key ? analyze_column_at(c, column, 0) : NULL;
        if (!of || !add_key(c, p, key, of, 0))
            return false;
    }
    return true;
}

bool analyze_joins(struct analyze *c)
{
    struct plan *p = c->plan;
    p->joins = arena_zalloc(&p->arena, (c->n_joins + 1) * sizeof *p->joins);
    if (!p->joins) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return false;
    }
    c->place = ANALYZE_ROW;
    for (size_t j = 0; j < c->n_joins; j++) {
        const PgQuery__JoinExpr *node = c->joins[j].node;
        const PgQuery__Node *on = node->quals;
        struct plan_join *to = &p->joins[p->n_joins++];
        *to = (struct plan_join){.table = c->joins[j].table, .left = c->joins[j].left};
        to->alias = arena_strndup(&p->arena, c->joins[j].alias, strlen(c->joins[j].alias));
        c->n_visible = j + 1;
        bool all = on && on->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
                   on->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
        bool ok = on || add_using(c, to, (int32_t)j, node);
        for (size_t i = 0; all && ok && i < on->bool_expr->n_args; i++)
            ok = add_equality(c, to, (int32_t)j, on->bool_expr->args[i]);
        if (on && !all)
            ok = add_equality(c, to, (int32_t)j, on);
        if (!ok || !to->alias)
            return false;
    }
    return true;
}

/* ---- WHERE, before and behind the joins ---- */

static bool uses_any_join(const struct analyze *c, const struct expr *x)
{
    if (x->kind == EXPR_COLUMN)
        return c->columns[x->column].join != ANALYZE_INPUT;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (uses_any_join(c, x->args[i]))
            return true;
    return false;
}

/* One more condition of those that hold already. */
static bool add_condition(struct analyze *c, const struct expr **to, struct expr *x)
{
    if (*to) {
        struct expr *both = analyze_node(c, EXPR_AND, SQLTYPE_BOOL, x->at, 2);
        if (!both)
            return false;
        both->args[0] = (struct expr *)(uintptr_t)*to;
        both->args[1] = x;
        x = both;
    }
    *to = x;
    return true;
}

bool analyze_split_where(struct analyze *c, struct expr *where)
{
    struct plan *p = c->plan;
    if (where->kind == EXPR_AND && c->n_joins > 0) {
        for (uint32_t i = 0; i < where->n_args; i++)
            if (!analyze_split_where(c, where->args[i]))
                return false;
        return true;
    }
    return add_condition(c, uses_any_join(c, where) ? &p->where_joined : &p->where, where);
}
