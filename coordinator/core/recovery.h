/*
 * recovery.h: the time after a restart. Leases are not stored, so the tasks that come from the store
 * are parked until every worker that still lives has had one lease time to say what it holds.
 *
 *              REPLAYED                   lease_ms later            nothing parked
 *     LOADING ──────────▶ WAITING ─────────────────────▶ RELEASING ───────────────▶ OVER
 *        │                                                                            ▲
 *        └──────────────────────── REPLAYED, nothing parked ──────────────────────────┘
 *
 * While WAITING, HELLO adopts parked tasks with their old tokens, new tasks on unlimited keys are
 * assigned as usual, and limited keys wait, because their slots may be in use by workers that did
 * not come back yet. RELEASING puts a bounded number of tasks into their groups at each TICK.
 *
 * A parked task is 24 bytes in one array sorted by task id; the array shrinks from its end, and each
 * task goes to the front of its group, which restores the order.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_RECOVERY_H
#define DROVER_CORE_RECOVERY_H

#include "coordinator/core/task.h"

struct group;
struct job;

enum recovery_state { RECOVERY_LOADING, RECOVERY_WAITING, RECOVERY_RELEASING, RECOVERY_OVER };

enum { RECOVERY_RELEASE_MAX = 16384 }; /* tasks a step: about 5 ms */

struct recovery_item {
    struct task task;
    struct group *group; /* NULL: adopted or cancelled */
};

struct recovery_floor {
    struct task_id task;
    uint32_t retry_after_ms;
};

struct recovery {
    enum recovery_state state;
    bool unsorted;     /* tasks did not come in order of id */
    uint64_t until_ms; /* WAITING */
    struct recovery_item *items;
    size_t n, cap;
    struct recovery_floor *floors; /* the few tasks with a retry_after_ms */
    size_t n_floors, cap_floors;
};

void recovery_done(struct recovery *r);
void recovery_park(struct sched *s, struct job *job, const struct sched_task *t);
void recovery_replayed(struct sched *s);
/* Takes the task out of the park, when it is there and WAITING. */
bool recovery_claim(struct sched *s, struct task_id id, struct group **ret_group,
                    struct task *ret_task);
/* Drops a cancelled job's tasks; returns how many. O(parked). */
uint64_t recovery_remove_job(struct sched *s, const struct job *job);
void recovery_tick(struct sched *s);
uint64_t recovery_deadline_ms(const struct sched *s);

#endif
