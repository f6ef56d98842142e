/*
 * timer.h: which of many objects is due first. A binary heap of timers that are members of their
 * objects, so that one can be moved or stopped by itself in O(log n).
 *
 * It refuses to know the time: the caller compares.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_TIMER_H
#define DROVER_CORE_TIMER_H

#include "common/base.h"

struct timer {
    uint64_t at_ms;
    uint32_t place; /* index in the heap plus 1; 0: not running */
};

struct timer_heap {
    struct timer **items;
    size_t n, cap;
};

void timer_heap_done(struct timer_heap *h);
void timer_set(struct timer_heap *h, struct timer *t, uint64_t at_ms); /* starts or moves */
void timer_stop(struct timer_heap *h, struct timer *t); /* nothing when it does not run */

static inline uint64_t timer_first_ms(const struct timer_heap *h) /* UINT64_MAX: none */
{
    return h->n ? h->items[0]->at_ms : UINT64_MAX;
}

/* Stops and returns the first timer that is due at now_ms, or NULL. */
struct timer *timer_due(struct timer_heap *h, uint64_t now_ms);

#endif
