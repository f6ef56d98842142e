/* analyze_type.c: types, casts, literals and folding. See analyze.h. */
#include "analyze.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/suggest.h"
#include "eval.h"
#include "func.h"
#include "jsontext.h"
#include "parse.h"
#include "timetext.h"

struct expr *analyze_refuse(struct analyze *c, uint32_t at, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)error_set(c->e, ERR_INVALID_SPEC, "sql, character %u: %s",
                    sqltext_character(c->plan->sql, at), text);
    return NULL;
}

const char *analyze_because(struct analyze *c, struct expr *const *args, uint32_t n,
                            char ret[ANALYZE_BECAUSE_LEN])
{
    ret[0] = '\0';
    for (uint32_t i = 0; i < n && ret[0] == '\0'; i++) {
        const struct analyze_column *column =
            args[i]->kind == EXPR_COLUMN ? &c->columns[args[i]->column] : NULL;
        if (column && column->decided)
            snprintf(ret, ANALYZE_BECAUSE_LEN, ": %.60s is %s by its use at character %u",
                     column->name, sqltype_name(column->type),
                     sqltext_character(c->plan->sql, column->at));
    }
    return ret;
}

struct expr *analyze_node(struct analyze *c, enum expr_kind kind, enum sqltype type, uint32_t at,
                          uint32_t n_args)
{
    struct arena *a = &c->plan->arena;
    if (++c->n_nodes > PLAN_NODES_MAX)
        return analyze_refuse(c, at, "more than %d parts of expressions", PLAN_NODES_MAX);
    struct expr *x = arena_zalloc(a, sizeof *x);
    if (x && n_args > 0)
        x->args = arena_zalloc(a, n_args * sizeof(struct expr *));
    if (!x || (n_args > 0 && !x->args)) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return NULL;
    }
    x->kind = kind;
    x->type = type;
    x->at = at;
    x->n_args = n_args;
    return x;
}

/* ---- literals ---- */

struct expr *analyze_const_bool(struct analyze *c, bool b, uint32_t at)
{
    struct expr *x = analyze_node(c, EXPR_CONST, SQLTYPE_BOOL, at, 0);
    if (x)
        x->value.b = b;
    return x;
}

struct expr *analyze_const_int(struct analyze *c, int64_t i, uint32_t at)
{
    struct expr *x = analyze_node(c, EXPR_CONST, SQLTYPE_INT4, at, 0);
    if (x)
        x->value.i = i;
    return x;
}

struct expr *analyze_const_null(struct analyze *c, uint32_t at)
{
    struct expr *x = analyze_node(c, EXPR_CONST, SQLTYPE_UNKNOWN, at, 0);
    if (x)
        x->null = true;
    return x;
}

/* A copy with VEC_PAD bytes behind it that may be read. */
static bool keep_text(struct analyze *c, struct span s, struct span *ret)
{
    char *copy = arena_zalloc(&c->plan->arena, s.len + VEC_PAD);
    if (!copy) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return false;
    }
    memcpy(copy, s.p, s.len);
    *ret = (struct span){copy, s.len};
    return true;
}

static struct expr *const_number(struct analyze *c, const char *text, uint32_t at)
{
    struct span s = span_str(text);
    struct expr *x = analyze_node(c, EXPR_CONST, SQLTYPE_INT8, at, 0);
    if (!x || parse_int(s, SQLTYPE_INT8, &x->value.i) == PARSE_OK)
        return x;
    x->type = SQLTYPE_NUMERIC;
    if (parse_num(&c->plan->arena, s, &x->value.num) != PARSE_OK)
        return analyze_refuse(c, at, "the number has too many digits");
    return x;
}

struct expr *analyze_const(struct analyze *c, const PgQuery__AConst *k, uint32_t at)
{
    struct expr *x;
    if (k->isnull)
        return analyze_const_null(c, at);
    switch (k->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL:
        return analyze_const_int(c, k->ival->ival, at);
    case PG_QUERY__A__CONST__VAL_FVAL:
        return const_number(c, k->fval->fval, at);
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
        return analyze_const_bool(c, k->boolval->boolval, at);
    case PG_QUERY__A__CONST__VAL_SVAL:
        x = analyze_node(c, EXPR_CONST, SQLTYPE_UNKNOWN, at, 0);
        return x && keep_text(c, span_str(k->sval->sval), &x->value.text) ? x : NULL;
    default:
        return analyze_refuse(c, at, "this kind of literal is not supported");
    }
}

/* A quoted literal as a value of the type. */
static struct expr *literal(struct analyze *c, struct expr *x, enum sqltype type)
{
    struct span s = x->value.text;
    enum parse why = PARSE_OK;
    struct expr *y = analyze_node(c, EXPR_CONST, type, x->at, 0);
    if (!y)
        return NULL;
    y->null = x->null;
    if (x->null)
        return y;
    switch (type) {
    case SQLTYPE_BOOL:
        why = parse_bool(s, &y->value.b);
        break;
    case SQLTYPE_INT4:
    case SQLTYPE_INT8:
        why = parse_int(s, type, &y->value.i);
        break;
    case SQLTYPE_NUMERIC:
        why = parse_num(&c->plan->arena, s, &y->value.num);
        break;
    case SQLTYPE_FLOAT8:
        why = parse_float(s, &y->value.f);
        break;
    case SQLTYPE_DATE:
        why = timetext_date(s, &y->value.i);
        break;
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
        why = timetext_time(s, type == SQLTYPE_TIMESTAMPTZ, &y->value.i);
        break;
    case SQLTYPE_JSON:
        y->value.text = s;
        why = jsontext_valid(s) ? PARSE_OK : PARSE_MALFORMED;
        break;
    case SQLTYPE_INTERVAL:
        why = timetext_interval(s, &y->value.interval);
        break;
    default:
        y->value.text = s;
        break;
    }
    if (why == PARSE_MALFORMED)
        return analyze_refuse(c, x->at, "'%.*s' is no %s", (int)MIN(s.len, (size_t)60), s.p,
                              sqltype_name(type));
    if (why == PARSE_RANGE)
        return analyze_refuse(c, x->at, "'%.*s' is out of range for %s",
                              (int)MIN(s.len, (size_t)60), s.p, sqltype_name(type));
    return y;
}

/* ---- folding ---- */

static bool read_value(struct analyze *c, const struct vec *v, struct expr *x)
{
    x->null = vec_is_null(v, 0);
    if (x->null)
        return true;
    switch (x->type) {
    case SQLTYPE_BOOL:
        x->value.b = v->b8[0];
        return true;
    case SQLTYPE_NUMERIC:
        return num_keep(&c->plan->arena, vec_num(v, 0), &x->value.num);
    case SQLTYPE_FLOAT8:
        x->value.f = v->f64[0];
        return true;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        return keep_text(c, v->text[0], &x->value.text);
    case SQLTYPE_INTERVAL:
        x->value.interval = v->interval[0];
        return true;
    default:
        x->value.i = v->i64[0];
        return true;
    }
}

struct expr *analyze_fold(struct analyze *c, struct expr *x)
{
    enum { ARGS_MAX = 16 };
    const struct expr *nodes[ARGS_MAX + 1];
    struct eval v;
    if (!x || x->kind != EXPR_CALL)
        return x;
    for (uint32_t i = 0; i < x->n_args && !(x->func->flags & FUNC_NULLS); i++) {
        if (x->args[i]->kind != EXPR_CONST || !x->args[i]->null)
            continue;
        struct expr *null = analyze_node(c, EXPR_CONST, x->type, x->at, 0);
        if (null)
            null->null = true;
        return null;
    }
    if (x->n_args > ARGS_MAX)
        return x;
    for (uint32_t i = 0; i < x->n_args; i++) {
        if (x->args[i]->kind != EXPR_CONST || x->args[i]->type == SQLTYPE_UNKNOWN)
            return x;
        x->args[i]->id = i;
        nodes[i] = x->args[i];
    }
    x->id = x->n_args;
    nodes[x->n_args] = x;
    if (eval_init(&v, nodes, (size_t)x->n_args + 1, NULL, 0) != ERR_OK) {
        (void)error_set(c->e, ERR_NOMEM, "plan");
        return NULL;
    }
    struct sel one = {NULL, 1};
    const struct vec *value = eval_run(&v, x, &one);
    struct expr *y = x;
    if (v.n_faults == 0 && v.error == ERR_OK) {
        y = analyze_node(c, EXPR_CONST, x->type, x->at, 0);
        if (y && !read_value(c, value, y))
            y = NULL;
    }
    eval_done(&v);
    return y;
}

/* ---- open columns ---- */

/* Gives the type to the columns that the value of the expression comes from. */
static void decide(struct analyze *c, struct expr *x, enum sqltype type, uint32_t at)
{
    if (x->type != SQLTYPE_OPEN)
        return;
    x->type = type;
    if (x->kind == EXPR_COLUMN) {
        struct analyze_column *column = &c->columns[x->column];
        if (column->type == SQLTYPE_OPEN) {
            column->type = type;
            column->at = at;
            column->decided = c->changed = true;
        }
        return;
    }
    for (uint32_t i = 0; i < x->n_args; i++)
        decide(c, x->args[i], type, at);
    if (x->kind == EXPR_AGGREGATE && c->plan->aggs[x->column].arg) {
        /* The argument was made in this pass, by analyze_expr, and belongs to nobody else yet. */
        decide(c, (struct expr *)(uintptr_t)c->plan->aggs[x->column].arg, type, at);
    }
}

struct expr *analyze_coerce(struct analyze *c, struct expr *x, enum sqltype type, const char *what)
{
    if (!x || x->type == type)
        return x;
    if (x->type == SQLTYPE_OPEN) {
        decide(c, x, type, x->at);
        return x;
    }
    if (x->type == SQLTYPE_UNKNOWN && x->kind == EXPR_CONST)
        return literal(c, x, type);
    if (sqltype_casts_to(x->type, type))
        return analyze_cast(c, x, type, x->at);
    return analyze_refuse(c, x->at, "%s must be %s, not %s", what, sqltype_name(type),
                          sqltype_name(x->type));
}

struct expr *analyze_cast(struct analyze *c, struct expr *x, enum sqltype type, uint32_t at)
{
    if (!x || x->type == type)
        return x;
    if (x->type == SQLTYPE_UNKNOWN && x->kind == EXPR_CONST)
        return literal(c, x, type);
    enum sqltype from = x->type;
    if (from == SQLTYPE_OPEN) {
        if (x->kind == EXPR_COLUMN) {
            struct analyze_column *column = &c->columns[x->column];
            column->weak =
                column->weak == SQLTYPE_OPEN || column->weak == type ? type : SQLTYPE_TEXT;
        }
        from = type == SQLTYPE_TEXT ? SQLTYPE_BOOL : SQLTYPE_TEXT; /* any: a later pass decides */
    }
    const struct func *f = func_cast(from, type);
    if (!f)
        return analyze_refuse(c, at, "%s cannot be cast to %s", sqltype_name(x->type),
                              sqltype_name(type));
    struct expr *y = analyze_node(c, EXPR_CALL, type, at, 1);
    if (!y)
        return NULL;
    y->func = f;
    y->args[0] = x;
    return analyze_fold(c, y);
}

/* What a column becomes beside a value of the type: one beside an integer may have decimals. */
static enum sqltype beside(enum sqltype type)
{
    return type == SQLTYPE_INT4 || type == SQLTYPE_INT8 ? SQLTYPE_NUMERIC : type;
}

enum sqltype analyze_common(struct analyze *c, struct expr **args, uint32_t n, uint32_t step,
                            const char *what)
{
    enum sqltype common = SQLTYPE_OPEN;
    bool open = false, quoted = false;
    for (uint32_t i = 0; i < n; i += step) {
        enum sqltype type = args[i]->type;
        if (type == SQLTYPE_OPEN) {
            open = true;
        } else if (type == SQLTYPE_UNKNOWN) {
            quoted |= !args[i]->null;
        } else if (common == SQLTYPE_OPEN || sqltype_casts_to(common, type)) {
            common = type;
        } else if (!sqltype_casts_to(type, common)) {
            (void)analyze_refuse(c, args[i]->at, "%s has values of type %s and %s", what,
                                 sqltype_name(common), sqltype_name(type));
            return SQLTYPE_UNKNOWN;
        }
    }
    if (common == SQLTYPE_OPEN)
        return quoted || !open ? SQLTYPE_TEXT : SQLTYPE_OPEN;
    return open ? beside(common) : common;
}

/* ---- operators ---- */

static bool arithmetic(const char *name)
{
    return name[1] == '\0' && strchr("+-*/%^", name[0]) != NULL;
}

/* -> ->> #> #>> */
static bool of_json(const char *name)
{
    return name[0] == '-' || name[0] == '#' ? name[1] == '>' : false;
}

/* A comparison of which both sides are open decides nothing: a later pass knows more, or both are
 * text in the end. */
static struct expr *compare_open(struct analyze *c, const char *name, struct expr **args,
                                 uint32_t at)
{
    static const enum sqltype texts[2] = {SQLTYPE_TEXT, SQLTYPE_TEXT};
    bool known;
    const struct func *f = func_find(name, true, texts, 2, &known);
    if (!f)
        return analyze_refuse(c, at, "the operator %s is not supported%s", name,
                              strcmp(name, "==") == 0 ? " (did you mean \"=\"?)" : "");
    struct expr *x = analyze_node(c, EXPR_CALL, f->result, at, 2);
    if (x) {
        x->func = f;
        memcpy(x->args, args, 2 * sizeof x->args[0]);
    }
    return x;
}

struct expr *analyze_operator(struct analyze *c, const char *name, struct expr *x, struct expr *y,
                              uint32_t at)
{
    enum sqltype types[2];
    struct expr *args[2] = {x, y};
    char because[ANALYZE_BECAUSE_LEN];
    bool known;
    if (!x || !y)
        return NULL;
    if (strcmp(name, "!=") == 0)
        name = "<>";
    for (int i = 0; i < 2; i++) {
        enum sqltype other = args[1 - i]->type;
        types[i] = args[i]->type;
        if (types[i] != SQLTYPE_OPEN)
            continue;
        if (strcmp(name, "||") == 0)
            types[i] = SQLTYPE_TEXT;
        else if (of_json(name))
            types[i] = i == 0 ? SQLTYPE_JSON : SQLTYPE_TEXT;
        else if (other == SQLTYPE_INTERVAL && arithmetic(name))
            types[i] = SQLTYPE_TIMESTAMPTZ;
        else if (other == SQLTYPE_OPEN || other == SQLTYPE_UNKNOWN)
            types[i] = arithmetic(name) ? SQLTYPE_NUMERIC : SQLTYPE_OPEN;
        else
            types[i] = beside(other);
        if (types[i] == SQLTYPE_OPEN && other == SQLTYPE_UNKNOWN)
            types[i] = SQLTYPE_TEXT;
        if (types[i] != SQLTYPE_OPEN)
            decide(c, args[i], types[i], at);
    }
    if (types[0] == SQLTYPE_OPEN && types[1] == SQLTYPE_OPEN)
        return compare_open(c, name, args, at);
    if (strcmp(name, "||") == 0) { /* one text is enough: the other is shown as one */
        bool text = types[0] == SQLTYPE_TEXT || types[1] == SQLTYPE_TEXT ||
                    (types[0] == SQLTYPE_UNKNOWN && types[1] == SQLTYPE_UNKNOWN);
        for (int i = 0; i < 2; i++) {
            if (text || types[1 - i] == SQLTYPE_UNKNOWN)
                args[i] = analyze_cast(c, args[i], SQLTYPE_TEXT, at);
            if (!args[i])
                return NULL;
            types[i] = args[i]->type;
        }
    }
    const struct func *f = func_find(name, true, types, 2, &known);
    if (!f && !known)
        return analyze_refuse(c, at, "the operator %s is not supported%s", name,
                              strcmp(name, "==") == 0 ? " (did you mean \"=\"?)" : "");
    if (!f)
        return analyze_refuse(c, at, "there is no operator %s %s %s%s (a cast may help)",
                              sqltype_name(types[0]), name, sqltype_name(types[1]),
                              analyze_because(c, args, 2, because));
    return analyze_call(c, f, args, 2, at);
}

/* ---- names of types ---- */

static const char *last_name(PgQuery__Node *const *names, size_t n)
{
    return n > 0 && names[n - 1]->node_case == PG_QUERY__NODE__NODE_STRING
               ? names[n - 1]->string->sval
               : "";
}

enum sqltype analyze_type_name(struct analyze *c, const PgQuery__TypeName *t, uint32_t at,
                               int32_t ret_mods[2], size_t *ret_n_mods)
{
    char hint[SUGGEST_TEXT_LEN];
    size_t n;
    const char *name = last_name(t->names, t->n_names);
    enum sqltype type = sqltype_of_name(name);
    const char *const *names = sqltype_names(&n);
    *ret_n_mods = 0;
    if (type == SQLTYPE_OPEN || t->n_array_bounds > 0 || t->setof) {
        (void)analyze_refuse(c, at, "the type %s%s is not supported%s", name,
                             t->n_array_bounds > 0 ? "[]" : "", suggest_text(name, names, n, hint));
        return SQLTYPE_OPEN;
    }
    for (size_t i = 0; i < t->n_typmods; i++) {
        const PgQuery__Node *mod = t->typmods[i];
        if (i >= 2 || mod->node_case != PG_QUERY__NODE__NODE_A_CONST ||
            mod->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL) {
            (void)analyze_refuse(c, at, "the type %s takes whole numbers only", name);
            return SQLTYPE_OPEN;
        }
        ret_mods[(*ret_n_mods)++] = mod->a_const->ival->ival;
    }
    return type;
}

static struct expr *with_mods(struct analyze *c, struct expr *x, const int32_t *mods, size_t n,
                              uint32_t at)
{
    enum { PRECISION_MAX = 1000 };
    bool known;
    struct expr *args[3] = {x};
    enum sqltype types[3] = {x->type, SQLTYPE_INT4, SQLTYPE_INT4};
    if (x->type == SQLTYPE_NUMERIC) {
        int32_t scale = n > 1 ? mods[1] : 0;
        if (mods[0] < 1 || mods[0] > PRECISION_MAX || scale < -PRECISION_MAX ||
            scale > PRECISION_MAX)
            return analyze_refuse(c, at, "numeric takes a precision of 1 to %d digits",
                                  PRECISION_MAX);
        args[1] = analyze_const_int(c, mods[0], at);
        args[2] = analyze_const_int(c, scale, at);
        if (!args[1] || !args[2])
            return NULL;
        return analyze_call(c, func_find("numeric", false, types, 3, &known), args, 3, at);
    }
    if (x->type != SQLTYPE_TEXT || n != 1 || mods[0] < 1)
        return analyze_refuse(c, at, "the type %s takes no such length", sqltype_name(x->type));
    args[1] = analyze_const_int(c, mods[0], at);
    if (!args[1])
        return NULL;
    return analyze_call(c, func_find("left", false, types, 2, &known), args, 2, at);
}

struct expr *analyze_cast_node(struct analyze *c, const PgQuery__TypeCast *t)
{
    int32_t mods[2];
    size_t n_mods;
    uint32_t at = (uint32_t)MAX(t->location, 0);
    struct expr *x = analyze_expr(c, t->arg, at);
    if (!x)
        return NULL;
    enum sqltype type = analyze_type_name(c, t->type_name, at, mods, &n_mods);
    if (type == SQLTYPE_OPEN)
        return NULL;
    x = analyze_cast(c, x, type, t->location >= 0 ? at : x->at);
    return x && n_mods > 0 ? with_mods(c, x, mods, n_mods, at) : x;
}
