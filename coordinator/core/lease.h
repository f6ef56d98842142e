/*
 * lease.h: a worker's right to run a task, and then the wait for the store. A lease ends with the
 * worker's session, not with a guess about run time; whoever does not hold the exact token is stale.
 *
 *           assign, adopt               RESULT, timeout, kills used up
 *     none ───────────────▶ LEASED ────────────────────────────────────▶ COMMITTING ──COMPLETED──▶ none
 *                             │  returned, worker lost, cancelled                         ▲
 *                             └──────────────────────▶ none                               │
 *     none ──── a task that comes with its attempts used up ──────▶ COMMITTING ───────────┘
 *
 * The slots of the key and the place in the session are free as soon as it is no longer LEASED.
 *
 * Rows that land in sinks must hold what the store says that they hold. A worker that has made them asks
 * (RESULT, outcome LAND); the lease stays LEASED while the store notes it, then LAND gives leave. A lease
 * that ends meanwhile is COMMITTING until the store has answered, so that nobody runs the task with
 * inputs that are about to become those of another.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_LEASE_H
#define DROVER_CORE_LEASE_H

#include "coordinator/core/list.h"
#include "coordinator/core/task.h"
#include "coordinator/core/alarm.h"

struct group;
struct session;

enum lease_state { LEASE_NONE, LEASE_LEASED, LEASE_COMMITTING };

struct lease {
    struct task task;
    struct token token; /* counter 0: the task was never leased (dead on arrival) */
    struct group *group;
    struct session *session;      /* while LEASED */
    struct session_id session_id; /* who gets the ACK */
    enum lease_state state;
    enum sched_write write; /* COMMITTING: what was asked of the store */
    bool asking;            /* LEASED: the store notes what its rows hold */
    bool may_land;          /* LEASED: that is durable */
    uint32_t grant;         /* slots of the key; 0: not limited */
    uint32_t retry_after_ms;
    uint64_t given_ms; /* when it was assigned; SCHED_MS_UNKNOWN: adopted, or never leased */
    struct alarm run;  /* of the job's run_timeout_ms, in listened time */
    struct list in_session, in_job;
};

static inline bool token_equal(struct token a, struct token b)
{
    return a.epoch == b.epoch && a.counter == b.counter;
}

static inline bool token_newer(struct token a, struct token b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.counter > b.counter;
}

struct lease *lease_find(const struct sched *s, struct task_id task);

/* The first ready task of a queued group goes to the session: ASSIGN. */
void lease_assign(struct sched *s, struct session *se, struct group *g);
/* A lease of an earlier epoch that its worker still holds. */
void lease_adopt(struct sched *s, struct session *se, struct group *g, struct task t,
                 const struct sched_held *held);
void lease_move(struct sched *s, struct lease *l, struct session *to);

void lease_begun(struct sched *s, const struct sched_event *ev);
void lease_result(struct sched *s, const struct sched_event *ev);
void lease_completed(struct sched *s, const struct sched_event *ev);
void lease_lost(struct sched *s, struct lease *l, bool kill);
void lease_timeout_due(struct sched *s);
void lease_cancel(struct sched *s, struct lease *l); /* REVOKE "cancelled"; only while LEASED */

/* COMPLETE for a task without a worker: its attempts or kills are used up. */
void lease_dead_on_arrival(struct sched *s, struct group *g, struct task t, const char *error);

void lease_revoke(struct sched *s, struct session_id session, struct job_id job,
                  struct task_id task, struct token token, const char *reason);

#endif
