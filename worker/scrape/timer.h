/*
 * timer.h: what is due when, for one loop: an intrusive pairing heap (Fredman, Sedgewick, Sleator,
 * Tarjan 1986) that allocates nothing, so that setting a timer cannot fail.
 *
 * It reads no clock and calls nobody: its owner pops what is due.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_TIMER_H
#define DROVER_TIMER_H

#include "common/base.h"

/* A member of the object that waits. Zeroed: not set. */
struct timer {
    uint64_t due_ms;
    int kind; /* the owner's: which object the timer is a member of */
    bool set;
    struct timer *child, *next, *prev; /* prev: left sibling, or the parent of a first child */
};

struct timers {
    struct timer *root;
};

void timer_set(struct timers *all, struct timer *t, uint64_t due_ms); /* moves it when it is set */
void timer_cancel(struct timers *all, struct timer *t);               /* nothing when it is not */
uint64_t timer_next(const struct timers *all);                        /* UINT64_MAX: none is set */
struct timer *timer_pop(struct timers *all, uint64_t now_ms); /* one that is due, now not set */

#endif
