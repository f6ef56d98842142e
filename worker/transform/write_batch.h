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

/* An empty batch with a column for each result. NULL: no memory. */
struct batch *write_batch_columns(const struct plan *p) MUST_CHECK;

#endif
