/*
 * write_batch.h: result rows as a struct batch, for the next stage and the sinks of the fleet.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_WRITE_BATCH_H
#define DROVER_TRANSFORM_WRITE_BATCH_H

#include "common/batch.h"
#include "plan.h"
#include "sink.h"

struct write_batch {
    struct sink sink; /* first: the writer is used as one */
    struct batch *to; /* borrowed */
};

void write_batch_init(struct write_batch *w, struct batch *to);

/* The rows of sel as a batch for the time of one call, without copying numbers: its columns of doubles, integers,
 * dates and times are the vectors. False: they have to be copied (sel leaves rows out, the batch has some, or there are very many columns).
 * Else w->to is given to fn, and empty after. */
typedef int write_batch_fn(void *user, struct batch *rows, struct error *e);
bool write_batch_lend(struct write_batch *w, const struct vec *const *columns,
                      const struct sel *sel, write_batch_fn *fn, void *user, int *ret_rc,
                      struct error *e) MUST_CHECK;

/* An empty batch with a column for each result. NULL: no memory. */
struct batch *write_batch_columns(const struct plan *p) MUST_CHECK;

#endif
