/*
 * delay.h: tasks that wait for their backoff, first due first: a binary heap of values, 32 bytes a
 * task. Ties go by task id, so that the order never depends on history.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_DELAY_H
#define DROVER_CORE_DELAY_H

#include "coordinator/core/task.h"

struct group;
struct job;

struct delay_item {
    uint64_t due_ms;
    struct group *group;
    struct task task;
};

struct delay_heap {
    struct delay_item *items;
    size_t n, cap;
};

void delay_done(struct delay_heap *h);
void delay_push(struct delay_heap *h, struct delay_item item);
bool delay_pop_due(struct delay_heap *h, uint64_t now_ms, struct delay_item *ret);
static inline uint64_t delay_first_ms(const struct delay_heap *h) /* UINT64_MAX: none */
{
    return h->n ? h->items[0].due_ms : UINT64_MAX;
}

/* Takes out every task of a job (cancel); O(all delayed tasks). Returns how many. */
uint64_t delay_remove_job(struct delay_heap *h, const struct job *job);

#endif
