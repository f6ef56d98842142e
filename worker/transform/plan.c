#include "plan.h"

#include "agg.h"
#include "analyze.h"

/* ---- finishing: group columns and numbers ---- */

/*
 * An expression of a grouped query over its groups: keys and aggregates become columns of the
 * group; a column of the input that is in neither has no one value.
 */
static struct expr *over_groups(struct analyze *c, const struct expr *x)
{
    struct plan *p = c->plan;
    struct expr *y;
    for (size_t k = 0; k < p->n_keys; k++) {
        if (!expr_equal(x, p->keys[k]) || x->kind == EXPR_CONST)
            continue;
        y = analyze_node(c, EXPR_COLUMN, x->type, x->at, 0);
        if (y) {
            y->column = (uint32_t)k;
            y->name = x->kind == EXPR_COLUMN ? x->name : "key";
        }
        return y;
    }
    if (x->kind == EXPR_COLUMN)
        return analyze_refuse(c, x->at, "column \"%.100s\" must be in GROUP BY or in an aggregate",
                              x->name);
    y = analyze_node(c, x->kind, x->type, x->at, x->n_args);
    if (!y)
        return NULL;
    struct expr **args = y->args;
    *y = *x;
    y->args = args;
    if (x->kind == EXPR_AGGREGATE) {
        y->kind = EXPR_COLUMN;
        y->column = (uint32_t)p->n_keys + x->column;
    }
    for (uint32_t i = 0; i < x->n_args; i++) {
        y->args[i] = over_groups(c, x->args[i]);
        if (!y->args[i])
            return NULL;
    }
    return y;
}

static bool group_results(struct analyze *c)
{
    struct plan *p = c->plan;
    p->group_types = arena_zalloc(&p->arena, (p->n_keys + p->n_aggs + 1) * sizeof(enum sqltype));
    if (!p->group_types)
        return false;
    for (size_t i = 0; i < p->n_keys; i++)
        p->group_types[i] = p->keys[i]->type;
    for (size_t i = 0; i < p->n_aggs; i++)
        p->group_types[p->n_keys + i] = p->aggs[i].agg->result;
    for (size_t i = 0; i < p->n_results; i++) {
        p->results[i].expr = over_groups(c, p->results[i].expr);
        if (!p->results[i].expr)
            return false;
    }
    if (!p->having)
        return true;
    p->having = over_groups(c, p->having);
    return p->having;
}

struct numbering {
    const struct expr **nodes;
    size_t n;
};

static void number(struct numbering *to, const struct expr *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < to->n; i++)
        if (to->nodes[i] == x)
            return; /* shared: BETWEEN and IN use an operand more than once */
    ((struct expr *)(uintptr_t)x)->id = (uint32_t)to->n; /* not yet given out */
    to->nodes[to->n++] = x;
    for (uint32_t i = 0; i < x->n_args; i++)
        number(to, x->args[i]);
}

static bool number_all(struct analyze *c)
{
    struct plan *p = c->plan;
    struct numbering rows = {0}, groups = {0};
    rows.nodes = arena_zalloc(&p->arena, (c->n_nodes + 1) * sizeof(const struct expr *));
    groups.nodes = arena_zalloc(&p->arena, (c->n_nodes + 1) * sizeof(const struct expr *));
    if (!rows.nodes || !groups.nodes)
        return false;
    number(&rows, p->where);
    for (size_t j = 0; j < p->n_joins; j++)
        for (size_t k = 0; k < p->joins[j].n_keys; k++)
            number(&rows, p->joins[j].keys[k]);
    number(&rows, p->where_joined);
    for (size_t i = 0; i < p->n_keys; i++)
        number(&rows, p->keys[i]);
    for (size_t i = 0; i < p->n_aggs; i++) {
        number(&rows, p->aggs[i].arg);
        number(&rows, p->aggs[i].filter);
    }
    number(&groups, p->having);
    for (size_t i = 0; i < p->n_results; i++)
        number(p->grouped ? &groups : &rows, p->results[i].expr);
    p->row_nodes = rows.nodes;
    p->n_row_nodes = rows.n;
    p->group_nodes = groups.nodes;
    p->n_group_nodes = groups.n;
    return true;
}

static void mark_early(struct plan *p, const struct expr *x)
{
    if (!x)
        return;
    if (x->kind == EXPR_COLUMN)
        p->columns[x->column].early = true;
    for (uint32_t i = 0; i < x->n_args; i++)
        mark_early(p, x->args[i]);
}

/* The columns that are used, in the plan's own memory; columns keep their numbers. */
static bool keep_columns(struct analyze *c)
{
    struct plan *p = c->plan;
    p->columns = arena_zalloc(&p->arena, (c->n_columns + 1) * sizeof *p->columns);
    if (!p->columns)
        return false;
    p->n_columns = c->n_columns;
    for (size_t i = 0; i < c->n_columns; i++) {
        p->columns[i].name =
            arena_strndup(&p->arena, c->columns[i].name, strlen(c->columns[i].name));
        p->columns[i].type = c->columns[i].used ? c->columns[i].type : SQLTYPE_OPEN;
        p->columns[i].join = c->columns[i].join;
        p->columns[i].field = c->columns[i].field;
        p->columns[i].bare = c->columns[i].bare;
        if (!p->columns[i].name)
            return false;
    }
    for (size_t k = 0; k < p->n_row_nodes; k++)
        if (p->row_nodes[k]->kind == EXPR_COLUMN)
            ((struct expr *)(uintptr_t)p->row_nodes[k])->name =
                p->columns[p->row_nodes[k]->column].name;
    for (size_t k = 0; k < p->n_group_nodes; k++)
        if (p->group_nodes[k]->kind == EXPR_COLUMN && p->group_nodes[k]->column < p->n_keys &&
            p->keys[p->group_nodes[k]->column]->kind == EXPR_COLUMN)
            ((struct expr *)(uintptr_t)p->group_nodes[k])->name =
                p->columns[p->keys[p->group_nodes[k]->column]->column].name;
    mark_early(p, p->where);
    return true;
}

/* ---- compiling ---- */

struct job {
    struct analyze c;
    int rc;
};

static int begin_columns(struct analyze *c)
{
    const struct plan_options *o = c->options;
    c->columns = calloc(PLAN_COLUMNS_MAX + 1, sizeof *c->columns);
    if (!c->columns)
        return error_set(c->e, ERR_NOMEM, "plan");
    if (o->n_names > PLAN_COLUMNS_MAX)
        return error_set(c->e, ERR_INVALID_SPEC, "the input has more than %d columns",
                         PLAN_COLUMNS_MAX);
    for (size_t i = 0; o->names && i < o->n_names; i++) {
        c->columns[c->n_columns].join = PLAN_INPUT;
        c->columns[c->n_columns].name = strdup(o->names[i]);
        if (!c->columns[c->n_columns++].name)
            return error_set(c->e, ERR_NOMEM, "plan");
    }
    for (size_t k = 0; k < o->n_typed; k++) {
        size_t i = 0;
        while (i < c->n_columns && strcmp(c->columns[i].name, o->typed_names[k]) != 0)
            i++;
        if (i == c->n_columns && o->names)
            return error_set(c->e, ERR_INVALID_SPEC, "columns.%s: the input has no such column",
                             o->typed_names[k]);
        if (i == c->n_columns) {
            c->columns[i].join = PLAN_INPUT;
            c->columns[i].name = strdup(o->typed_names[k]);
            if (!c->columns[c->n_columns++].name)
                return error_set(c->e, ERR_NOMEM, "plan");
        }
        c->columns[i].type = o->types[k];
    }
    return ERR_OK;
}

static void compile(void *user)
{
    struct job *job = user;
    struct analyze *c = &job->c;
    PgQuery__ParseResult *tree = NULL;
    job->rc = begin_columns(c);
    if (job->rc == ERR_OK)
        job->rc = sqltext_parse(c->plan->sql, &tree, c->e);
    if (job->rc == ERR_OK)
        job->rc = analyze_select(c, tree->stmts[0]->stmt->select_stmt);
    if (job->rc == ERR_OK) {
        c->e->code = ERR_OK;
        if ((c->plan->grouped && !group_results(c)) || !number_all(c) || !keep_columns(c))
            job->rc = c->e->code != ERR_OK ? (int)c->e->code : error_set(c->e, ERR_NOMEM, "plan");
    }
    sqltext_free(tree);
    for (size_t i = 0; c->columns && i < c->n_columns; i++)
        free(c->columns[i].name);
    free(c->columns);
}

int plan_new(struct span sql, const struct plan_options *options, struct plan **ret,
             struct error *e)
{
    enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };
    struct error own = {0};
    struct plan *p = calloc(1, sizeof *p);
    char *text = p ? malloc(sql.len + 1) : NULL; /* not as a string: it may hold a NUL */
    if (!text) {
        free(p);
        return error_set(e, ERR_NOMEM, "plan");
    }
    memcpy(text, sql.p, sql.len);
    text[sql.len] = '\0';
    arena_init(&p->arena, ARENA_BYTES_MAX);
    p->sql = (struct span){text, sql.len};
    struct job job = {.c = {.plan = p, .options = options, .e = &own}};
    int rc = sqltext_with_stack(compile, &job, &own);
    if (rc == ERR_OK)
        rc = job.rc;
    if (rc) {
        plan_free(p);
        return error_set(e, own.code, "%s", own.detail);
    }
    *ret = p;
    return ERR_OK;
}

bool plan_keep(struct plan *p, void *object, void (*free_object)(void *object))
{
    struct plan_object *o = arena_zalloc(&p->arena, sizeof *o);
    if (!o) {
        free_object(object);
        return false;
    }
    *o = (struct plan_object){p->objects, object, free_object};
    p->objects = o;
    return true;
}

void plan_clear(struct plan *p)
{
    for (struct plan_object *o = p->objects; o; o = o->next)
        o->free_object(o->object);
    arena_clear(&p->arena);
    struct arena arena = p->arena;
    *p = (struct plan){.sql = p->sql, .arena = arena, .limit = PLAN_LIMIT_NONE};
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    plan_clear(p);
    arena_done(&p->arena);
    free((char *)(uintptr_t)p->sql.p);
    free(p);
}
