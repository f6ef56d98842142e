#include "expr.h"

#include <stdio.h>

#include "func.h"
#include "textfloat.h"
#include "timetext.h"

static bool equal_const(const struct expr *a, const struct expr *b)
{
    if (a->null || b->null)
        return a->null == b->null;
    switch (a->type) {
    case SQLTYPE_BOOL:
        return a->value.b == b->value.b;
    case SQLTYPE_FLOAT8:
        return memcmp(&a->value.f, &b->value.f, sizeof a->value.f) == 0;
    case SQLTYPE_NUMERIC:
        return !a->value.num.big && !b->value.num.big && a->value.num.m == b->value.num.m &&
               a->value.num.scale == b->value.num.scale;
    case SQLTYPE_INTERVAL:
        return a->value.interval.us == b->value.interval.us &&
               a->value.interval.days == b->value.interval.days &&
               a->value.interval.months == b->value.interval.months;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
    case SQLTYPE_UNKNOWN:
        return span_eq(a->value.text, b->value.text);
    default:
        return a->value.i == b->value.i;
    }
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->type != b->type || a->func != b->func || a->n_args != b->n_args)
        return false;
    if (a->kind == EXPR_CONST)
        return equal_const(a, b);
    if (a->kind == EXPR_COLUMN || a->kind == EXPR_AGGREGATE)
        return a->column == b->column;
    for (uint32_t i = 0; i < a->n_args; i++)
        if (!expr_equal(a->args[i], b->args[i]))
            return false;
    return true;
}

static void quoted_text(struct span s, struct buf *out)
{
    buf_byte(out, '\'');
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\'')
            buf_byte(out, '\'');
        buf_byte(out, (uint8_t)s.p[i]);
    }
    buf_byte(out, '\'');
}

/* date '2024-01-05' */
static void time_text(const struct expr *e, struct buf *out)
{
    char text[TIMETEXT_ROOM];
    size_t n = e->type == SQLTYPE_DATE ? timetext_put_date(e->value.i, text)
               : e->type == SQLTYPE_INTERVAL
                   ? timetext_put_interval(e->value.interval, text)
                   : timetext_put_time(e->value.i, e->type == SQLTYPE_TIMESTAMPTZ, text);
    buf_printf(out, "%s ", sqltype_name(e->type));
    quoted_text((struct span){text, n}, out);
}

static void const_text(const struct expr *e, struct buf *out)
{
    char text[TEXTFLOAT_MAX];
    if (e->null) {
        buf_str(out, "NULL");
        return;
    }
    switch (e->type) {
    case SQLTYPE_BOOL:
        buf_str(out, e->value.b ? "true" : "false");
        break;
    case SQLTYPE_NUMERIC:
        num_text(e->value.num, out);
        break;
    case SQLTYPE_FLOAT8:
        buf_append(out, text, textfloat_write(e->value.f, text));
        break;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
    case SQLTYPE_UNKNOWN:
        quoted_text(e->value.text, out);
        break;
    case SQLTYPE_DATE:
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
    case SQLTYPE_INTERVAL:
        time_text(e, out);
        break;
    default:
        buf_printf(out, "%lld", (long long)e->value.i);
        break;
    }
}

static void args_text(const struct expr *e, const char *between, struct buf *out)
{
    buf_byte(out, '(');
    for (uint32_t i = 0; i < e->n_args; i++) {
        if (i > 0)
            buf_str(out, between);
        expr_text(e->args[i], out);
    }
    buf_byte(out, ')');
}

static void case_text(const struct expr *e, struct buf *out)
{
    buf_str(out, "CASE");
    for (uint32_t i = 0; i + 1 < e->n_args; i += 2) {
        buf_str(out, " WHEN ");
        expr_text(e->args[i], out);
        buf_str(out, " THEN ");
        expr_text(e->args[i + 1], out);
    }
    buf_str(out, " ELSE ");
    expr_text(e->args[e->n_args - 1], out);
    buf_str(out, " END");
}

static void call_text(const struct expr *e, struct buf *out)
{
    const struct func *f = e->func;
    if (f->flags & FUNC_CAST) {
        expr_text(e->args[0], out);
        buf_printf(out, "::%s", sqltype_name(e->type));
    } else if ((f->flags & FUNC_OPERATOR) && e->n_args == 2) {
        char between[16];
        int n = snprintf(between, sizeof between, " %s ", f->name);
        assert(n > 0 && (size_t)n < sizeof between);
        args_text(e, between, out);
    } else {
        buf_str(out, f->name);
        args_text(e, ", ", out);
    }
}

void expr_text(const struct expr *e, struct buf *out)
{
    switch (e->kind) {
    case EXPR_CONST:
        const_text(e, out);
        break;
    case EXPR_COLUMN:
    case EXPR_AGGREGATE:
        buf_str(out, e->name);
        break;
    case EXPR_CALL:
        call_text(e, out);
        break;
    case EXPR_AND:
        args_text(e, " AND ", out);
        break;
    case EXPR_OR:
        args_text(e, " OR ", out);
        break;
    case EXPR_CASE:
        case_text(e, out);
        break;
    case EXPR_COALESCE:
        buf_str(out, "coalesce");
        args_text(e, ", ", out);
        break;
    }
}
