/*
 * plan.h: what a query comes to, checked and typed: which columns are parsed, in which order, the
 * filter, the groups, the results and their order. analyze.h makes one, run.h runs it.
 *
 *     input columns -> [where] -> [joins -> where] -> [keys, aggregates -> having] -> results -> [distinct] -> [order]
 *
 * A query without groups has its results computed from the input columns; one with groups has them
 * computed from the group columns: the keys first, then the aggregates.
 *
 * Thread rule: immutable once made.
 */
#ifndef DROVER_TRANSFORM_PLAN_H
#define DROVER_TRANSFORM_PLAN_H

#include "expr.h"

struct agg;

enum {
    PLAN_COLUMNS_MAX = BATCH_COLUMNS_MAX,
    PLAN_NODES_MAX = 4096,
    PLAN_DEPTH_MAX = 400, /* nesting of an expression */
    PLAN_TABLES_MAX = 16,
    PLAN_JOINS_MAX = 16,
    PLAN_JOIN_KEYS_MAX = 8,
    PLAN_INPUT = -1,
    PLAN_LIMIT_NONE = -1
};

struct plan_column { /* of the input, or of a table that is joined */
    const char *name;
    enum sqltype type;
    bool early;     /* WHERE needs it; the others are parsed only where WHERE is true */
    int32_t join;   /* of whose table it is; PLAN_INPUT: of the input */
    uint32_t field; /* of that table */
    bool bare;      /* named without its table: the input must not have one of that name */
};

/* A lookup table that FROM can name. */
struct plan_table {
    const char *name;
    const char *const *columns;
    const enum sqltype *types;
    size_t n_columns;
};

struct plan_join {
    const char *alias;
    uint32_t table;                              /* of the options */
    bool left;                                   /* a row without a match stays, with NULLs */
    const struct expr *keys[PLAN_JOIN_KEYS_MAX]; /* over the input and the joins before */
    uint32_t columns[PLAN_JOIN_KEYS_MAX];        /* of the table, each compared with its key */
    size_t n_keys;
};

struct plan_agg {
    const struct agg *agg;
    const struct expr *arg;    /* NULL: count(*) */
    const struct expr *filter; /* FILTER (WHERE ...); NULL: all rows */
    bool distinct;
    enum sqltype type;
    uint32_t at;
};

struct plan_result {
    const char *name;
    const struct expr *expr;
    bool hidden; /* only for ORDER BY */
};

struct plan_order {
    uint32_t result;
    bool descending, nulls_first;
};

/* What functions prepared outside of the arena (a compiled pattern), to be given back. */
struct plan_object {
    struct plan_object *next;
    void *object;
    void (*free_object)(void *object);
};

struct plan {
    struct arena arena;
    struct plan_object *objects;
    struct span sql;
    struct plan_column *columns;
    size_t n_columns;
    const struct expr *where; /* of the input alone; NULL: all rows */
    struct plan_join *joins;
    size_t n_joins;
    const struct expr *where_joined; /* needs the joins; NULL: all rows */
    bool grouped;
    const struct expr **keys;
    size_t n_keys;
    struct plan_agg *aggs;
    size_t n_aggs;
    const struct expr *having; /* of group columns; NULL: all groups */
    struct plan_result *results;
    size_t n_results; /* hidden ones at the end */
    size_t n_shown;
    bool distinct;
    struct plan_order *order;
    size_t n_order;
    int64_t limit, offset; /* PLAN_LIMIT_NONE, 0 */
    /* Every expression by its id: of the input columns, and of the group columns. */
    const struct expr **row_nodes, **group_nodes;
    size_t n_row_nodes, n_group_nodes;
    enum sqltype *group_types; /* of keys and aggregates */
};

struct plan_options {
    const char *const *names; /* the columns of the input; NULL: not known yet */
    size_t n_names;
    /* Types that the user gives, by name. */
    const char *const *typed_names;
    const enum sqltype *types;
    size_t n_typed;
    const struct plan_table *tables;
    size_t n_tables;
};

/* INVALID_SPEC: names the construct and where it stands. */
int plan_new(struct span sql, const struct plan_options *options, struct plan **ret,
             struct error *e) MUST_CHECK;
void plan_free(struct plan *p);

/* The plan owns the object from now on, whatever is returned. False: no memory. */
bool plan_keep(struct plan *p, void *object, void (*free_object)(void *object)) MUST_CHECK;
void plan_clear(struct plan *p); /* forgets everything but the SQL text */

/* What will be done, for people. */
void plan_explain(const struct plan *p, struct buf *out);

#endif
