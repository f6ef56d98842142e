/*
 * tail.h: what happens to result rows on their way to the sink: DISTINCT, ORDER BY, OFFSET, LIMIT.
 * Without any of them rows pass through; else they are kept to the end (with a LIMIT only the best
 * ones), so that they can be saved or merged into another tail instead. The results of groups come
 * at the end anyway, and are only kept to be sorted.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_TAIL_H
#define DROVER_TRANSFORM_TAIL_H

#include "keyset.h"
#include "plan.h"
#include "sink.h"
#include "state.h"
#include "store.h"

struct tail {
    const struct plan *plan;
    struct sink *sink; /* borrowed */
    size_t limit_bytes;
    struct keyset seen; /* DISTINCT */
    struct buf key;
    struct store kept;
    struct vec *cells; /* to read kept rows back; NULL: not needed yet */
    const struct vec **columns;
    struct arena scratch;
    int64_t skipped, passed;
    bool full; /* LIMIT is reached: no more rows are wanted */
};

/* Rows of that plan are kept. */
bool tail_keeps(const struct plan *p);

int tail_init(struct tail *t, const struct plan *p, struct sink *sink, size_t limit_bytes,
              struct error *e) MUST_CHECK;
void tail_done(struct tail *t);

/* A vector for each result, hidden ones too. */
int tail_rows(struct tail *t, const struct vec *const *results, const struct sel *sel,
              struct arena *scratch, struct error *e) MUST_CHECK;
/* The rows that another tail of the same plan has kept, in order. */
int tail_merge(struct tail *t, const struct tail *from, struct error *e) MUST_CHECK;
/* Kept rows as records; and such records as if they had come to tail_rows. */
int tail_save(struct tail *t, struct buf *out, struct error *e) MUST_CHECK;
int tail_take(struct tail *t, struct state_in *in, struct error *e) MUST_CHECK;

int tail_end(struct tail *t, struct error *e) MUST_CHECK; /* gives out what was kept */

#endif
