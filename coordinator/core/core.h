/*
 * core.h: the whole state of the scheduler, which its parts share. Nothing outside this folder
 * includes it; sched.h is the door.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_CORE_H
#define DROVER_CORE_CORE_H

#include "coordinator/core/breaker.h"
#include "coordinator/core/delay.h"
#include "coordinator/core/fleet.h"
#include "coordinator/core/ghost.h"
#include "coordinator/core/group.h"
#include "coordinator/core/job.h"
#include "coordinator/core/key.h"
#include "coordinator/core/lease.h"
#include "coordinator/core/list.h"
#include "coordinator/core/map.h"
#include "coordinator/core/match.h"
#include "coordinator/core/mem.h"
#include "coordinator/core/recovery.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/sched.h"
#include "coordinator/core/session.h"
#include "coordinator/core/shard.h"
#include "coordinator/core/task.h"
#include "coordinator/core/alarm.h"

struct sched {
    struct sched_config config;
    struct retry_rng rng;
    struct sched_actions *out; /* of the step that runs */
    uint64_t now_ms;           /* of the latest event; never goes back */
    uint64_t deaf_ms;          /* time in which no event was taken although one was due */
    uint64_t due_ms;           /* sched_deadline() after the latest step */
    uint64_t token_counter;
    uint64_t steals;
    uint32_t fleet_version; /* changes with every worker that comes, goes, drains */
    uint64_t tasks[SCHED_TASK_STATES];

    struct map job_map, group_map, key_map, lease_map, session_map, shard_map, lane_map,
        breaker_map;
    struct mem_pool job_pool, group_pool, key_pool, lease_pool, session_pool, lane_pool, ghost_pool,
        breaker_pool;
    struct task_pool task_pool;
    struct list jobs, shards, fleets, classes;
    struct list stranded;   /* groups */
    struct list by_silence; /* sessions */
    struct list dirty;      /* shards */
    struct list ghosts;
    struct list sink_breakers, host_breakers;
    size_t n_host_breakers;
    uint32_t n_sink_bits; /* given to sinks: breaker.bit */
    struct shard_loads loads;
    struct delay_heap delays;
    struct alarm_heap key_alarms;     /* by now_ms */
    struct alarm_heap run_alarms;     /* by listened time */
    struct alarm_heap ghost_alarms;   /* by now_ms */
    struct alarm_heap breaker_alarms; /* by now_ms */
    struct recovery recovery;
};

/* Time in which the coordinator listened: silence and run times are measured in it. */
static inline uint64_t core_listened_ms(const struct sched *s)
{
    return s->now_ms - s->deaf_ms;
}

/* Appends an action and returns it to be filled in; valid until the next one. */
struct sched_action *core_emit(struct sched *s, enum sched_action_type type);

/* Planted bugs: each makes the core break one promise, to prove that tests/sim notices. A build
 * without the macro has none.
 *   1  results are taken without a look at their token      5  failed attempts are not counted
 *   2  tasks of a lost worker are forgotten                 6  lost workers are not counted
 *   3  results are acknowledged before they are durable     7  adopted leases count as one slot
 *   4  slots of keys are not counted
 *   8  a downstream is probed by every worker that asks
 *   9  tasks are given out although their downstream is open
 *  10  held tasks are forgotten when a breaker moves
 *  11  the wait for a sink counts as run time
 *  12  workers are not told when a breaker opens
 *  13  after an outage everything begins at once
 *  14  rows may land before it is durable what they hold
 *  15  a task is given out again while the store notes what its rows hold
 * And in the workers of tests/sim:
 *  16  rows land before the coordinator knows what they hold, which is told with the result
 *  17  a task whose rows may have landed lands a part of its inputs */
#ifdef DROVER_PLANTED_BUG
#define CORE_BUG(n) (DROVER_PLANTED_BUG == (n))
#else
#define CORE_BUG(n) false
#endif

#endif
