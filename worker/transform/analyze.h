/*
 * analyze.h: the parser's tree into checked, typed expressions. analyze.c has the statement,
 * analyze_from.c the tables,
 * analyze_expr.c the expressions, analyze_call.c functions and aggregates, analyze_type.c types,
 * casts and literals. Only plan.c calls in.
 *
 * A column's type is what the query makes of it: the first use that wants a type decides (amount >
 * 0 makes it numeric), then the analysis starts again with what is known now, until nothing
 * changes; a column that is only cast takes the type of the cast, and one that no use decides is
 * text. That the passes are whole ones keeps the rules simple: within one, every type is known or
 * open.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_ANALYZE_H
#define DROVER_TRANSFORM_ANALYZE_H

#include "plan.h"
#include "sqltext.h"

struct analyze_column {
    char *name;
    enum sqltype type; /* OPEN: no use has decided */
    enum sqltype weak; /* what it is cast to; TEXT after casts to different types */
    uint32_t at;       /* the use that decided */
    bool decided;      /* by the use at `at` */
    bool used;         /* in this pass */
    int32_t join;      /* of the joins; ANALYZE_INPUT */
    uint32_t field;    /* of the table of a join */
    bool merged;       /* by USING: without its table the name is the input's */
    bool bare;         /* named without its table */
};

enum { ANALYZE_INPUT = PLAN_INPUT };

struct analyze_join {
    const char *alias;
    const PgQuery__JoinExpr *node;
    uint32_t table; /* of the options */
    bool left;
    size_t first; /* of its columns */
};

/* What an expression may hold. */
enum analyze_where { ANALYZE_ROW, ANALYZE_RESULT, ANALYZE_AGGREGATE };

struct analyze {
    struct plan *plan;
    const struct plan_options *options;
    struct analyze_column *columns;
    size_t n_columns;
    const char *input_alias;
    struct analyze_join joins[PLAN_JOINS_MAX];
    size_t n_joins, n_visible; /* those behind the visible ones cannot be named yet */
    bool changed;              /* this pass has decided the type of a column */
    enum analyze_where place;
    unsigned depth;
    size_t n_nodes;
    struct error *e;
};

/* The plan's expressions, until no type is open. */
int analyze_select(struct analyze *c, const PgQuery__SelectStmt *s) MUST_CHECK;

/* Where a node stands, when it says so; else where the one around it does. */
static inline uint32_t analyze_place(int32_t location, uint32_t otherwise)
{
    return location >= 0 ? (uint32_t)location : otherwise;
}

/* The text of a String node; "" for another. */
static inline const char *analyze_string_of(const PgQuery__Node *node)
{
    return node && node->node_case == PG_QUERY__NODE__NODE_STRING ? node->string->sval : "";
}

/* ---- between the analyze files; NULL means that *c->e says why not ---- */

struct expr *analyze_expr(struct analyze *c, const PgQuery__Node *node, uint32_t at) MUST_CHECK;
struct expr *analyze_func_call(struct analyze *c, const PgQuery__FuncCall *f) MUST_CHECK;
struct expr *analyze_cast_node(struct analyze *c, const PgQuery__TypeCast *t) MUST_CHECK;

/* What to say behind the name of a column that the input does not have: the nearest one, or that the
 * delimiter seems to be another one; or "". Returns ret. */
enum { ANALYZE_MISSING_LEN = 192 };
const char *analyze_missing(const char *name, const char *const *names, size_t n,
                            char ret[ANALYZE_MISSING_LEN]);

struct expr *analyze_refuse(struct analyze *c, uint32_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* `: amount is numeric by its use at character 46`, for the first of the expressions that is a
 * column with a type that a use decided; else "". Returns ret. */
enum { ANALYZE_BECAUSE_LEN = 200 };
const char *analyze_because(struct analyze *c, struct expr *const *args, uint32_t n,
                            char ret[ANALYZE_BECAUSE_LEN]);
struct expr *analyze_node(struct analyze *c, enum expr_kind kind, enum sqltype type, uint32_t at,
                          uint32_t n_args) MUST_CHECK;
struct expr *analyze_call(struct analyze *c, const struct func *f, struct expr **args, uint32_t n,
                          uint32_t at) MUST_CHECK;
struct expr *analyze_call_by_name(struct analyze *c, const char *name, bool is_operator,
                                  struct expr **args, uint32_t n, uint32_t at) MUST_CHECK;
struct expr *analyze_operator(struct analyze *c, const char *name, struct expr *x, struct expr *y,
                              uint32_t at) MUST_CHECK;
struct expr *analyze_input_column(struct analyze *c, const char *name, uint32_t at) MUST_CHECK;
struct expr *analyze_column_at(struct analyze *c, size_t column, uint32_t at) MUST_CHECK;
/* alias NULL: a name without a table. */
struct expr *analyze_from_column(struct analyze *c, const char *alias, const char *name,
                                 uint32_t at) MUST_CHECK;
bool analyze_from(struct analyze *c, const PgQuery__SelectStmt *s) MUST_CHECK;
bool analyze_joins(struct analyze *c) MUST_CHECK; /* in each pass */
/* The plan's WHERE: what needs no join, and the rest. */
bool analyze_split_where(struct analyze *c, struct expr *where) MUST_CHECK;

/* Implicitly: literals take the type, open columns get it, numbers widen. */
struct expr *analyze_coerce(struct analyze *c, struct expr *x, enum sqltype type,
                            const char *what) MUST_CHECK;
struct expr *analyze_cast(struct analyze *c, struct expr *x, enum sqltype type,
                          uint32_t at) MUST_CHECK;
/* The type that all can take; OPEN when nothing says. UNKNOWN after an error. */
enum sqltype analyze_common(struct analyze *c, struct expr **args, uint32_t n, uint32_t step,
                            const char *what) MUST_CHECK;
struct expr *analyze_const(struct analyze *c, const PgQuery__AConst *k, uint32_t at) MUST_CHECK;
struct expr *analyze_const_bool(struct analyze *c, bool b, uint32_t at) MUST_CHECK;
struct expr *analyze_const_int(struct analyze *c, int64_t i, uint32_t at) MUST_CHECK;
struct expr *analyze_const_null(struct analyze *c, uint32_t at) MUST_CHECK;
/* A call of which all arguments are constants becomes one, unless computing it is an error; so does
 * one with NULL for an argument, if it is NULL then. */
struct expr *analyze_fold(struct analyze *c, struct expr *x) MUST_CHECK;
enum sqltype analyze_type_name(struct analyze *c, const PgQuery__TypeName *t, uint32_t at,
                               int32_t ret_mods[2], size_t *ret_n_mods) MUST_CHECK;

#endif
