/*
 * waiters.h: requests that wait for news of a job. They are parked until the job changes, it ends,
 * or their time is over, and then run again from the beginning of their verb.
 *
 * Woken calls run a little later (WAITERS_DEBOUNCE_MS), so that a job with thousands of completions
 * a second does not answer each of them; the end of a job is told at once.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_WAITERS_H
#define DROVER_WAITERS_H

#include "coordinator/edge/front.h"

enum { WAITERS_DEBOUNCE_MS = 50 };

struct waiters;

struct waiters *waiters_new(struct edge *e, size_t max) MUST_CHECK;
void waiters_free(struct waiters *w); /* with the calls that wait */

/* Parks the call, or returns false when its time is over or too many wait: the caller answers with
 * what there is. */
bool waiters_park(struct waiters *w, struct call *c, uint64_t job) MUST_CHECK;

/* Something about the job changed. */
void waiters_wake(struct waiters *w, uint64_t job, bool at_once);

void waiters_wake_all(struct waiters *w); /* the coordinator stops */

/* Runs what is due. Returns when it wants to be called next. */
uint64_t waiters_timer(struct waiters *w);
size_t waiters_count(const struct waiters *w);

#endif
