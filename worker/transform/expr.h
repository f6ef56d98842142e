/*
 * expr.h: a checked expression: every node has a type, every call its function. The compiler
 * (analyze.h) makes them, eval.h runs them; nodes live in the plan's arena.
 *
 * Thread rule: immutable once the plan is finished.
 */
#ifndef DROVER_TRANSFORM_EXPR_H
#define DROVER_TRANSFORM_EXPR_H

#include "vec.h"

struct func;

enum expr_kind {
    EXPR_CONST,
    EXPR_COLUMN, /* of the input, or of the groups: see expr_columns */
    EXPR_CALL,   /* of a function with vectors as arguments */
    EXPR_AND,    /* of two or more: the later ones see only the rows that are not decided yet */
    EXPR_OR,
    EXPR_CASE, /* condition, value, condition, value, ..., otherwise */
    EXPR_COALESCE,
    EXPR_AGGREGATE /* number `column` of the plan; only while the plan is made */
};

union expr_value {
    bool b;
    int64_t i;
    double f;
    struct num num;
    struct span text; /* VEC_PAD bytes behind it may be read */
    struct interval interval;
};

struct expr {
    enum expr_kind kind;
    enum sqltype type;
    uint32_t at; /* where it stands in the SQL text: a byte offset */
    uint32_t id; /* its vector in an eval; columns share one */
    /* CALL */
    const struct func *func;
    struct expr **args; /* also of AND, OR, CASE and COALESCE */
    uint32_t n_args;
    const void *prepared; /* what the function made of its constants (func.h); or NULL */
    /* COLUMN */
    uint32_t column;
    const char *name;
    /* CONST */
    bool null;
    union expr_value value;
};

/* The same expression, position apart. */
bool expr_equal(const struct expr *a, const struct expr *b);

/* Appends it as SQL that says what was understood, casts and all. */
void expr_text(const struct expr *e, struct buf *out);

#endif
