/*
 * fleet.h: who may run what. Workers that offer the same engine kinds are a fleet; jobs that need
 * the same kinds are a class. There are few of either, so that a question about all workers or all
 * jobs ("is there work for this one?") is a loop over a handful.
 *
 * Draining workers are in no fleet.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_FLEET_H
#define DROVER_CORE_FLEET_H

#include "coordinator/core/job.h"
#include "coordinator/core/list.h"

struct sched;
struct shard;

struct fleet {
    uint32_t kinds;
    uint32_t n, cap;
    uint64_t *mix; /* beside shards: the scores are computed from this alone */
    struct shard **shards;
    struct list hungry; /* sessions with credit */
    struct list in_sched;
};

struct fleet_class {
    uint32_t kinds;
    uint32_t jobs;
    uint32_t levels;                 /* bit p: queued[p] > 0 */
    uint64_t queued[JOB_PRIORITIES]; /* ready tasks of queued groups */
    struct list in_sched;
};

static inline bool fleet_may(uint32_t have, uint32_t need)
{
    return (have & need) == need;
}

struct fleet_class *fleet_class_take(struct sched *s, uint32_t kinds);
void fleet_class_give(struct sched *s, struct fleet_class *c);
void fleet_class_load(struct fleet_class *c, int priority, int64_t change);

void fleet_join(struct sched *s, struct shard *sh);
void fleet_leave(struct sched *s, struct shard *sh);
uint32_t fleet_workers_for(const struct sched *s, uint32_t kinds);

/* The highest priority of which a queued task is there for such a worker, or -1. */
int fleet_top_priority(const struct sched *s, uint32_t kinds);

#endif
