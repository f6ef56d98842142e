/*
 * ghost.h: slots of a key that are counted as used although their lease is over, because the worker
 * that held it may still be using them: it fell silent, or lost its connection, and nobody can ask it.
 *
 *   begins   with a lease that ends without its worker's word
 *   ends     when the last use that it can have begun is over; soon after its worker's next HELLO
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_GHOST_H
#define DROVER_CORE_GHOST_H

#include "coordinator/core/alarm.h"
#include "coordinator/core/list.h"

struct key;
struct sched;

struct ghost {
    struct key *key;
    uint64_t worker; /* hash of its durable id */
    uint32_t grant;
    struct alarm end;
    struct list in_sched;
};

/* Takes over the slots that the lease has of its key, until then. */
void ghost_new(struct sched *s, struct key *k, uint32_t grant, uint64_t worker, uint64_t until_ms);
/* The worker is back, and began nothing since it was lost: its ghosts end soon. */
void ghost_worker_back(struct sched *s, uint64_t worker);
void ghost_end_due(struct sched *s);

#endif
