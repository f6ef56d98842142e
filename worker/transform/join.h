/*
 * join.h: the joins of a plan with its lookup tables, over the rows of a piece. A row that has
 * several matches is looked at once for each: the columns of the table are filled for the first
 * matches of all rows together, what comes behind the joins is run, then the same for the second
 * ones, until no row has another.
 *
 * Thread rule: one owner at a time; the indexes are shared.
 */
#ifndef DROVER_TRANSFORM_JOIN_H
#define DROVER_TRANSFORM_JOIN_H

#include "eval.h"
#include "lookup.h"
#include "plan.h"

struct join_level {
    uint32_t at[VEC_ROWS]; /* the row of the table that each row is matched with */
    struct arena scratch;  /* of a round */
};

struct join {
    const struct plan *plan;
    const struct lookup_index *indexes; /* one for each join of the plan */
    struct join_level *levels;
    struct buf key;
};

int join_init(struct join *j, const struct plan *p,
              const struct lookup_index *indexes) MUST_CHECK; /* NOMEM */
void join_done(struct join *j);

/* What is done with rows that are joined; then with faults, before a row comes again. */
typedef int join_rows_fn(void *user, const struct sel *sel, struct error *e);
typedef int join_report_fn(void *user, struct error *e);

/* The rows of sel, whose input columns are loaded. */
int join_run(struct join *j, struct eval *v, const struct sel *sel, join_rows_fn *rows,
             join_report_fn *report, void *user, struct error *e) MUST_CHECK;

#endif
