/*
 * job.h: a job in memory: its options, its counts, its groups of tasks. It is here from JOB_OPEN to
 * JOB_END; what is finished leaves memory.
 *
 *            JOB_SEAL            last task gone
 *     OPEN ────────────▶ SEALED ────────────────▶ ENDED (DONE, or FAILED with dead letters)
 *       │                  │
 *       │ JOB_CANCEL       │      nothing leased or committing
 *       └────────┬─────────┘
 *                ▼
 *            CANCELLING ────────────────────────▶ ENDED (CANCELLED)
 *
 * Paused is not a state of this machine: a job of any state can be paused.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_JOB_H
#define DROVER_CORE_JOB_H

#include "coordinator/core/group.h"
#include "coordinator/core/list.h"
#include "coordinator/core/sched.h"
#include "coordinator/core/task.h"

struct breaker;
struct fleet_class;

enum job_state { JOB_OPEN, JOB_SEALED, JOB_CANCELLING, JOB_ENDED, JOB_STATES };

enum {
    JOB_PRIORITIES = 10,
    JOB_RETRIES_PER_S = 10,
    JOB_RETRIES_FIRST = 10,  /* in stock when the job begins */
    JOB_RETRIES_MAX = 10000, /* in stock at most */
    /* Who waits for the budget looks again after so long, and 1 ms more for 20 that wait: first attempts
     * earn tokens meanwhile, and a million waiting tasks look 20,000 times a second. */
    JOB_RETRY_LOOK_MS = 1000,
    JOB_RETRY_LOOKS_PER_MS = 20
};

struct job {
    struct job_id id;
    enum job_state state;
    bool paused;
    uint8_t priority;
    uint32_t attempts_max; /* 1 to TASK_COUNT_MAX - 1 */
    uint32_t backoff_ms, backoff_max_ms, key_limit, key_delay_ms, key_use_ms;
    uint32_t run_timeout_ms;
    bool begins;               /* run_timeout_ms counts from BEGUN */
    struct fleet_class *kinds; /* which workers may run it: engines and sinks (breaker.bit) */
    struct breaker *sinks[SCHED_DOWNSTREAMS_MAX];
    size_t n_sinks;
    bool hosts; /* its keys are hosts, which have breakers */
    uint32_t retry_percent;
    uint64_t retry_tokens; /* thousandths of a retry that may begin now */
    uint64_t retry_ms;     /* when the tokens of time were last given */
    uint64_t
        retry_next_ms; /* when the next token of time is free: who waits for one has its turn */
    uint64_t tasks[SCHED_TASK_STATES];
    uint64_t done, dead, cancelled; /* since JOB_OPEN */
    uint64_t dead_letters;          /* that it has now: decides between DONE and FAILED */
    uint64_t ready[GROUP_STATES];   /* ready tasks of its groups, by the group's state */
    struct list groups, held, leases, in_sched;
};

struct job *job_find(const struct sched *s, struct job_id id);
void job_open(struct sched *s, const struct sched_event *ev);
void job_seal(struct sched *s, struct job *job);
void job_pause(struct sched *s, struct job *job, bool on);
void job_cancel(struct sched *s, struct job *job);

/* Adds durable tasks: to their group, to the backoff, or straight to their dead letter. */
void job_add_task(struct sched *s, struct job *job, const struct sched_task *t);
/* The same for a record that is already the core's, which waits at least floor_ms. */
void job_admit(struct sched *s, struct group *g, int from, struct task t, uint32_t floor_ms);

/* The budget of retries: at most retry_percent of the first attempts, and JOB_RETRIES_PER_S whatever they
 * are, so that the tail of a job goes on. When the next one may begin; now_ms: it may, and is counted. */
uint64_t job_retry_at(struct sched *s, struct job *job);
void job_first_attempt(struct job *job); /* earns some */

/* The one place where tasks change their state: counts, of the job and of all. */
void job_count_move(struct sched *s, struct job *job, int from, int to, uint64_t n);

/* Ends and frees the job when its time has come. The pointer must not be used after. */
void job_check_end(struct sched *s, struct job *job);
void job_free(struct sched *s,
              struct job *job); /* no action; its groups must be gone or go with it */

#endif
