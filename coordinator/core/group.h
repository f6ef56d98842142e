/*
 * group.h: the tasks of one job with one key, first in first out. Every decision about waiting
 * tasks is made once for the group, never task by task.
 *
 *     EMPTY     no ready task (it may have delayed, leased or parked ones, or keep a learned delay)
 *     PAUSED    its job is paused
 *     HELD      a downstream that its job needs is not closed (breaker.h)
 *     BLOCKED   its key allows nothing now (slots, delay, backoff, recovery)
 *     STRANDED  no worker that may run it is here
 *     QUEUED    in the lane of its job in the shard of its owner: the next idle worker may have it
 *
 * Any state may follow any other; group_settle() looks at the facts and moves the group, keeping
 * the membership of lists in step.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_GROUP_H
#define DROVER_CORE_GROUP_H

#include "coordinator/core/list.h"
#include "coordinator/core/task.h"

struct job;
struct key;
struct lane;
struct sched;
struct shard;

enum group_state {
    GROUP_EMPTY,
    GROUP_PAUSED,
    GROUP_HELD,
    GROUP_BLOCKED,
    GROUP_STRANDED,
    GROUP_QUEUED,
    GROUP_STATES
};

struct group {
    struct job *job;
    struct key *key;
    struct task_queue ready;
    struct list in_job, in_key;
    struct list
        in_lane; /* QUEUED: in its lane; STRANDED: in the scheduler's list; HELD: in its job's */
    struct lane *lane;   /* while QUEUED */
    struct shard *owner; /* valid while owner_version is the fleet's */
    uint32_t owner_version;
    uint32_t n_ready, n_delayed, n_leased, n_parked; /* n_leased: also committing */
    enum group_state state;
};

struct group *group_get(struct sched *s, struct job *job, uint64_t key); /* makes it if need be */
void group_push(struct sched *s, struct group *g, struct task t, bool front);
/* *ret_since_ms: when the task became ready. */
struct task group_pop(struct sched *s, struct group *g, uint64_t *ret_since_ms);

void group_clear(struct sched *s, struct group *g); /* no ready task is left */

/* Where it belongs now. Call after any change of the group, its job, its key or the fleet. */
void group_settle(struct sched *s, struct group *g);
enum group_state group_state_now(struct sched *s, struct group *g); /* also finds its owner */

/* Frees the group, and then its key, when nothing is left that needs them. */
void group_release_unused(struct sched *s, struct group *g);
void group_delete(struct sched *s, struct group *g);

#endif
