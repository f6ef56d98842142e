/*
 * alarm.h: which of many objects is due first. A binary heap of alarms that are members of their
 * objects, so that one can be moved or stopped by itself in O(log n).
 *
 * It refuses to know the time: the caller compares.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_ALARM_H
#define DROVER_CORE_ALARM_H

#include "common/base.h"

struct alarm {
    uint64_t at_ms;
    uint32_t place; /* index in the heap plus 1; 0: not running */
};

struct alarm_heap {
    struct alarm **items;
    size_t n, cap;
};

void alarm_heap_done(struct alarm_heap *h);
void alarm_set(struct alarm_heap *h, struct alarm *t, uint64_t at_ms); /* starts or moves */
void alarm_stop(struct alarm_heap *h, struct alarm *t); /* nothing when it does not run */

static inline uint64_t alarm_first_ms(const struct alarm_heap *h) /* UINT64_MAX: none */
{
    return h->n ? h->items[0]->at_ms : UINT64_MAX;
}

/* Stops and returns the first alarm that is due at now_ms, or NULL. */
struct alarm *alarm_due(struct alarm_heap *h, uint64_t now_ms);

#endif
