/*
 * tail.h: what happens to result rows on their way to the sink: DISTINCT, ORDER BY, OFFSET, LIMIT.
 * Without ORDER BY rows pass through; with it they are kept, and with a LIMIT only the best ones.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_TAIL_H
#define DROVER_TRANSFORM_TAIL_H

#include "keyset.h"
#include "plan.h"
#include "sink.h"
#include "store.h"

struct tail {
    const struct plan *plan;
    struct sink *sink; /* borrowed */
    size_t limit_bytes;
    struct keyset seen; /* DISTINCT */
    struct buf key;
    struct store kept; /* ORDER BY */
    struct vec *cells; /* to read kept rows back */
    const struct vec **columns;
    struct arena scratch;
    int64_t skipped, passed;
    bool full; /* LIMIT is reached: no more rows are wanted */
};

int tail_init(struct tail *t, const struct plan *p, struct sink *sink, size_t limit_bytes,
              struct error *e) MUST_CHECK;
void tail_done(struct tail *t);

/* A vector for each result, hidden ones too. */
int tail_rows(struct tail *t, const struct vec *const *results, const struct sel *sel,
              struct arena *scratch, struct error *e) MUST_CHECK;
int tail_end(struct tail *t, struct error *e) MUST_CHECK; /* gives out what was kept */

#endif
