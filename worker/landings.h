/*
 * landings.h: the rows of one task on their way into all sinks of its job but the store: one landing
 * for each (worker/sinks/sink.h). The task is done when all are.
 *
 * It decides what the verdicts of the sinks mean for the task. It sends nothing and knows no lease.
 *
 * Thread rule: made on any thread; then the batcher's owner's.
 */
#ifndef DROVER_LANDINGS_H
#define DROVER_LANDINGS_H

#include "pipeline.h"
#include "worker/sinks/sink.h"

struct batcher;

struct landings {
    struct output *output; /* owned */
    size_t n, left;        /* left: not back from the batcher */
    void *user;
    struct landing list[];
};

/* Whether the job has sinks beside the store, and whether the store is among its sinks. */
bool landings_needed(const struct pipeline *p);
bool landings_store_too(const struct pipeline *p);

/* Takes the output. NULL: no memory, and the output is the caller's still. */
struct landings *landings_new(const struct pipeline *p, uint64_t job, uint64_t task,
                              struct output **output_take) MUST_CHECK;
void landings_free(struct landings *l); /* takes NULL; nothing may be in the batcher any more */

/* Gives all to the batcher. One that it does not take has FAILED. True: none is in the batcher. */
bool landings_put(struct landings *l, struct batcher *b) MUST_CHECK;
/* One came back: what it belongs to; look at `left`. When it did not land, the others are withdrawn, since
 * the task is over whatever they come to. */
struct landings *landings_back(struct landing *one, struct batcher *b);
/* Nobody waits for the rows any more: those that are in no call leave the batcher. Look at `left`. */
void landings_withdraw(struct landings *l, struct batcher *b);

/* Writes what came of it into the output: rows that did not fit as rejects, counts of rows for each sink,
 * and an error of the task: STALE when a sink gave it back undecided, a final one when a sink refused. */
void landings_settle(struct landings *l);

#endif
