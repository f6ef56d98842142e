/* explain.c: a plan for people: what is parsed and when, and what is computed with which kernels. Where
 * the parts of an answer come together is told by who runs the tasks. See plan.h. */
#include "agg.h"
#include "func.h"
#include "plan.h"

static void explain_columns(const struct plan *p, bool early, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < p->n_columns; i++) {
        if (p->columns[i].type == SQLTYPE_OPEN || p->columns[i].early != early ||
            p->columns[i].join != PLAN_INPUT)
            continue;
        buf_printf(out, "%s%s %s",
                   any     ? ", "
                   : early ? "read: "
                           : "read where true: ",
                   p->columns[i].name, sqltype_name(p->columns[i].type));
        any = true;
    }
    if (any)
        buf_byte(out, '\n');
}

static void explain_exprs(const char *title, const struct expr *const *x, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i == 0 ? title : ", ");
        expr_text(x[i], out);
    }
    if (n > 0)
        buf_byte(out, '\n');
}

static void explain_groups(const struct plan *p, struct buf *out)
{
    explain_exprs("group by: ", p->keys, p->n_keys, out);
    for (size_t i = 0; i < p->n_aggs; i++) {
        const struct plan_agg *a = &p->aggs[i];
        buf_printf(out, "%s%s(%s", i == 0 ? "aggregate (partial states merge exactly): " : ", ",
                   a->agg->name, a->distinct ? "DISTINCT " : "");
        if (a->arg)
            expr_text(a->arg, out);
        else
            buf_byte(out, '*');
        buf_byte(out, ')');
        if (a->filter) {
            buf_str(out, " FILTER (WHERE ");
            expr_text(a->filter, out);
            buf_byte(out, ')');
        }
    }
    if (p->n_aggs > 0)
        buf_byte(out, '\n');
    explain_exprs("having: ", &p->having, p->having ? 1 : 0, out);
}

static void explain_join(const struct plan *p, size_t join, struct buf *out)
{
    const struct plan_join *j = &p->joins[join];
    bool any = false;
    buf_printf(out, "%s %s: ", j->left ? "left join" : "join", j->alias);
    for (size_t k = 0; k < j->n_keys; k++) {
        buf_str(out, k > 0 ? ", " : "look up ");
        expr_text(j->keys[k], out);
    }
    for (size_t i = 0; i < p->n_columns; i++) {
        const struct plan_column *c = &p->columns[i];
        if (c->join != (int32_t)join || c->type == SQLTYPE_OPEN)
            continue;
        buf_printf(out, "%s%s %s", any ? ", " : "; take ", c->name, sqltype_name(c->type));
        any = true;
    }
    buf_byte(out, '\n');
}

/* Each function that runs, once, with the types that chose it. */
static void explain_kernels(const struct expr *const *nodes, size_t n, const char *title,
                            struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        bool seen = nodes[i]->kind != EXPR_CALL;
        for (size_t k = 0; k < i && !seen; k++)
            seen = nodes[k]->kind == EXPR_CALL && nodes[k]->func == nodes[i]->func;
        if (seen)
            continue;
        const struct func *f = nodes[i]->func;
        buf_printf(out, "%s%s(", any ? ", " : title, f->name);
        for (size_t a = 0; a < f->n_args; a++)
            buf_printf(out, "%s%s", a > 0 ? ", " : "", sqltype_name(f->args[a]));
        buf_str(out, f->flags & FUNC_VARIADIC ? ", ...)" : ")");
        if (f->flags & FUNC_CAST)
            buf_printf(out, " to %s", sqltype_name(f->result));
        any = true;
    }
    if (any)
        buf_byte(out, '\n');
}

void plan_explain(const struct plan *p, struct buf *out)
{
    explain_columns(p, true, out);
    explain_exprs("where: ", &p->where, p->where ? 1 : 0, out);
    explain_columns(p, false, out);
    for (size_t j = 0; j < p->n_joins; j++)
        explain_join(p, j, out);
    explain_exprs("where joined: ", &p->where_joined, p->where_joined ? 1 : 0, out);
    if (p->grouped)
        explain_groups(p, out);
    for (size_t i = 0; i < p->n_shown; i++) {
        buf_printf(out, "result %s %s: ", p->results[i].name,
                   sqltype_name(p->results[i].expr->type));
        expr_text(p->results[i].expr, out);
        buf_byte(out, '\n');
    }
    if (p->distinct)
        buf_str(out, "distinct\n");
    for (size_t i = 0; i < p->n_order; i++) {
        buf_str(out, i == 0 ? "order by: " : ", ");
        expr_text(p->results[p->order[i].result].expr, out);
        buf_printf(out, "%s%s", p->order[i].descending ? " DESC" : "",
                   p->order[i].nulls_first ? " NULLS FIRST" : "");
    }
    if (p->n_order > 0)
        buf_byte(out, '\n');
    if (p->limit != PLAN_LIMIT_NONE)
        buf_printf(out, "limit: %lld\n", (long long)p->limit);
    if (p->offset > 0)
        buf_printf(out, "offset: %lld\n", (long long)p->offset);
    explain_kernels(p->row_nodes, p->n_row_nodes, "kernels: ", out);
    explain_kernels(p->group_nodes, p->n_group_nodes, "kernels of groups: ", out);
}
