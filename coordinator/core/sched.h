/*
 * sched.h: the scheduler, the pure heart of the coordinator. One event in, actions out.
 *
 * It refuses to do I/O of any kind: no clock, socket, file, environment, random device or log. Time
 * comes in with each event (milliseconds of a monotonic clock), randomness from the seed in its
 * configuration. Payloads (rows, inputs) pass by as opaque pointers that it never reads.
 *
 * Ordering: what must be durable first is asked for by an action (SCHED_ACT_COMPLETE, ...) and takes
 * effect when the edge reports it back by an event (SCHED_EV_COMPLETED, ...) after the commit.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_SCHED_H
#define DROVER_SCHED_H

#include "common/base.h"

struct sched;

struct job_id {
    uint64_t v;
};
struct task_id {
    uint64_t v;
};
struct session_id {
    uint64_t v;
}; /* one connection life of one worker; never reused in an epoch */
struct token {
    uint64_t epoch, counter;
};

struct sched_config {
    uint64_t epoch;
    uint64_t seed;
    uint32_t lease_ms;  /* a session that is silent so long is lost; also the recovery wait */
    uint32_t kills_max; /* a task that lost so many workers is a dead letter */
    uint32_t
        host_give_up_ms; /* tasks of a host that had no success for so long are dead letters; 0: never */
    uint64_t memory_max_bytes; /* of the task records; events that add tasks are refused above it by
                                  the edge, which reads sched_stats() */
};

enum sched_outcome {
    SCHED_DONE,     /* the rows are complete */
    SCHED_RETRY,    /* the attempt failed for a reason that may pass */
    SCHED_FAIL,     /* it failed for good: dead letter at once */
    SCHED_RETURNED, /* given back unstarted or cut short by a drain: the attempt does not count */
    SCHED_LAND      /* no end: its rows are made, and ask for leave to land in sinks (lease.h) */
};

struct sched_task {
    struct task_id id;
    uint64_t key;     /* hash of host, file or model: shard, limits */
    uint32_t attempt; /* attempts used; above 0 it waits for its backoff first */
    uint32_t kills;
    uint32_t retry_after_ms; /* at least this long before the next attempt; 0: nothing */
    uint32_t input_bytes;
};

struct sched_held {
    struct task_id task;
    struct token token;
};

enum { SCHED_DOWNSTREAMS_MAX = 8 };

/*      calls fail                 open time over             3 successes
 * CLOSED ---------> OPEN <--------------------> HALF_OPEN ---------------> CLOSED (admission ramps up)
 *                     '------------ a probe fails ---'
 * What an administrator said (manual) stands until it is reset, over restarts too. */
enum sched_breaker_state { SCHED_BREAKER_CLOSED, SCHED_BREAKER_OPEN, SCHED_BREAKER_HALF_OPEN };
enum sched_manual {
    SCHED_MANUAL_NONE,    /* reset: closed, its counts forgotten */
    SCHED_MANUAL_TRIPPED, /* open until it is reset */
    SCHED_MANUAL_PINNED   /* closed, whatever happens */
};

enum sched_event_type {
    SCHED_EV_TICK,       /* the deadline was reached */
    SCHED_EV_JOB_OPEN,   /* a job is durable (also at replay). A sealed one is followed by TASKS
                               (n may be 0); for a job that is here it updates `sealed` and
                               `dead_letters` alone */
    SCHED_EV_TASKS,      /* tasks of a job are durable (also at replay, with replay = true) */
    SCHED_EV_JOB_SEAL,   /* no further input comes from the client */
    SCHED_EV_JOB_CANCEL, /* the cancel is durable */
    SCHED_EV_JOB_PAUSE,  /* on */
    SCHED_EV_REPLAYED,   /* everything in the store was replayed; the recovery wait begins. Always
                               sent once, before the first HELLO, also when the store is empty: no
                               job ends and no limited key is used before it */
    SCHED_EV_HELLO,      /* a worker's new session; ends its earlier session at once */
    SCHED_EV_CREDIT,     /* cumulative */
    SCHED_EV_HEARTBEAT,
    SCHED_EV_LOST,  /* the worker said BYE, or its connection is known to be gone (see session.h) */
    SCHED_EV_DRAIN, /* on: gives nothing more to this worker */
    SCHED_EV_CALLS, /* what a worker says of its calls to a downstream (breaker.h) */
    SCHED_EV_BREAKER, /* an administrator's word about a downstream; durable */
    SCHED_EV_BEGUN,   /* a worker has begun a task of a job that `begins` */
    SCHED_EV_RESULT,
    SCHED_EV_COMPLETED /* the store committed (or refused as a duplicate) a COMPLETE action */
};

struct sched_event {
    enum sched_event_type type;
    uint64_t now_ms;
    struct job_id job;
    struct session_id session;
    union {
        struct {
            uint8_t priority; /* 0 to 9, higher sooner; 5 by default */
            uint32_t attempts_max;
            uint32_t backoff_ms, backoff_max_ms; /* base and cap; full jitter over base * 2^(n-1) */
            uint32_t key_limit;             /* concurrent slots a key, fleet-wide; 0: no limit */
            uint32_t key_delay_ms;          /* between two uses of a key; 0: nothing */
            uint32_t key_use_ms;            /* the longest that one use of a key can take */
            uint32_t run_timeout_ms;        /* of one attempt; 0: nothing */
            bool begins;                    /* it counts from BEGUN, not from the lease: tasks may
                                               have to wait on their worker for files */
            uint32_t kinds;                 /* bit set of engine kinds that a worker must have */
            uint32_t retry_percent;         /* retries to 100 first attempts; 0: as many as come */
            const uint64_t *downstreams;    /* sinks that its rows need (downstream_hash) */
            size_t n_downstreams;           /* at most SCHED_DOWNSTREAMS_MAX */
            bool hosts;                     /* its keys are hosts, which have breakers */
            bool sealed, cancelled, paused; /* at replay, and when dead letters are retried */
            uint64_t dead_letters;          /* that the job has now: with any, it ends as FAILED */
        } open;
        struct {
            const struct sched_task *tasks;
            size_t n;
            bool replay;
        } tasks;
        bool on; /* PAUSE, DRAIN; LOST: it said BYE, so what it held is not counted as a kill */
        struct {
            uint64_t worker; /* hash of the worker's durable id: rendezvous, drain */
            uint64_t boot;   /* hash of the process's boot id; 0: not known. A lease that
                                          the same process does not list never reached it, which is
                                          no kill; one that another process lost is */
            uint32_t slots;
            uint32_t kinds;
            bool draining;
            const struct sched_held *held; /* running or finished but not acknowledged */
            size_t n_held;
        } hello;
        struct {
            uint64_t downstream; /* a sink's, or a host's: that of its key */
            bool host;
            uint32_t ok, fail, slow; /* since the last one; slow ones are among ok */
            uint32_t row;            /* of `fail`: those that came after the last of ok */
            uint32_t waiting;        /* now: tasks of this worker whose rows wait for it */
        } calls;
        struct {
            uint64_t downstream;
            bool host;
            enum sched_manual manual;
        } breaker;
        struct {
            uint64_t tasks, bytes;
        } credit; /* totals since the session began */
        struct {
            struct task_id task;
            struct token token;
        } begun;
        struct {
            struct task_id task;
            struct token token;
            enum sched_outcome outcome;
            uint32_t key_delay_ms, key_backoff_ms, retry_after_ms;
            void *payload; /* passed through to COMPLETE or DISCARD */
        } result;
        struct {
            struct task_id task;
            const struct sched_task *tasks; /* made by this completion (found, retried). After
                                               WRITE_ATTEMPT the core goes on with the task by
                                               itself, unless it is in this list */
            size_t n;
            bool refused; /* WRITE_LANDING: what another lease's rows hold was noted before */
        } completed;
    } u;
};

#define SCHED_MS_UNKNOWN UINT64_MAX

enum sched_action_type {
    SCHED_ACT_WELCOME,  /* session accepted; adopted leases keep their tokens; `held` answers */
    SCHED_ACT_ASSIGN,   /* send the task to the session */
    SCHED_ACT_REVOKE,   /* tell the session to drop the lease (cancelled, timed out, not adopted) */
    SCHED_ACT_COMPLETE, /* write the outcome of a task, with payload, in one transaction */
    SCHED_ACT_DISCARD,  /* a stale result: free the payload, acknowledge it so that it is dropped;
                            session 0: free it only, the ACK follows when the first copy is durable */
    SCHED_ACT_ACK,      /* after COMPLETED: tell the session that this result is durable */
    SCHED_ACT_LAND,     /* after COMPLETED of WRITE_LANDING: the session may land the rows */
    SCHED_ACT_SESSION_END, /* the session is over: forget it; tell the peer if it still lives */
    SCHED_ACT_JOB_END,     /* the job reached its end: persist it and tell those who wait */
    SCHED_ACT_BREAKER,     /* tell the session what it may do with a downstream */
    SCHED_ACT_TRACE,       /* a breaker moved: a line for the log */
};

enum sched_write {
    SCHED_WRITE_DONE,
    SCHED_WRITE_ATTEMPT,
    SCHED_WRITE_DEAD,
    SCHED_WRITE_CANCELLED,
    SCHED_WRITE_LANDING /* the task stays: note which of its inputs have rows, and make new tasks of the
                           others. From then on it is done with all of those or not at all */
};
enum sched_job_end { SCHED_JOB_DONE, SCHED_JOB_FAILED /* has dead letters */, SCHED_JOB_CANCELLED };

struct sched_action {
    enum sched_action_type type;
    struct job_id job;
    struct session_id session;
    struct task_id task;
    struct token token;
    union {
        struct {
            uint32_t attempt; /* from 1: the attempt that this is */
            uint32_t grant;   /* concurrent uses of the key that the worker may make; 0: no limit */
            uint32_t run_timeout_ms;
            uint64_t waited_ms; /* since it became ready, after its backoff or the recovery wait */
        } assign;
        struct {
            const char *reason;
        } revoke; /* static: "cancelled", "timeout", "stale" */
        struct {
            enum sched_write write;
            uint32_t attempt, kills; /* counts after this one */
            uint64_t ran_ms;   /* since it was given to the worker; SCHED_MS_UNKNOWN: it was given
                                before a restart, was lost with its worker, or never given */
            const char *error; /* static reason when the core decided ("WORKER_LOST"), or NULL */
            void *payload;     /* NULL when there is no result */
        } complete;
        struct {
            void *payload;
        } discard;
        struct {
            enum sched_job_end how;
        } end;
        struct {
            uint64_t downstream;
            bool host;
            enum sched_tell {
                SCHED_TELL_CLOSED,     /* as enum wire_breaker_state */
                SCHED_TELL_OPEN,       /* call it no more; keep what waits */
                SCHED_TELL_PROBE,      /* make one call and report it at once */
                SCHED_TELL_QUARANTINED /* others reach it: give its tasks back */
            } tell;
        } breaker;
        struct {
            uint64_t downstream;
            bool host;
            enum sched_breaker_state state;
            enum sched_manual manual;
            uint64_t worker;  /* the one that is quarantined or free again; 0: the breaker moved */
            bool quarantined; /* with worker */
            uint64_t open_ms; /* OPEN: until the next probe; UINT64_MAX: until reset */
            const char *reason; /* static */
        } trace;
    } u;
};

/* Growable list of actions, reused from step to step. */
struct sched_actions {
    struct sched_action *items;
    size_t n, cap;
};
void sched_actions_done(struct sched_actions *a);

struct sched *sched_new(const struct sched_config *config) MUST_CHECK; /* NULL: no memory */
void sched_free(struct sched *s);

/* Takes one event, appends actions. Memory failure: aborts (the durable state is in the store). */
void sched_step(struct sched *s, const struct sched_event *event, struct sched_actions *actions);

/* When sched_step must next be called with TICK; UINT64_MAX: never. */
uint64_t sched_deadline(const struct sched *s);

/* ---- views, for status and metrics ---- */
enum sched_task_state {
    SCHED_READY,
    SCHED_DELAYED,
    SCHED_LEASED,
    SCHED_COMMITTING,
    SCHED_TASK_STATES
};

/* Why the ready tasks of a job do not run, for `explain`. */
enum sched_wait {
    SCHED_WAIT_NONE,     /* queued: workers are busy, or have no credit */
    SCHED_WAIT_PAUSED,   /* its job */
    SCHED_WAIT_LIMIT,    /* the slots or the delay of its key */
    SCHED_WAIT_BREAKER,  /* a downstream that is not closed: held */
    SCHED_WAIT_WORKERS,  /* no worker has the kinds */
    SCHED_WAIT_RECOVERY, /* the coordinator has just started */
    SCHED_WAITS
};

struct sched_job_view {
    uint64_t tasks[SCHED_TASK_STATES];
    uint64_t done, dead, cancelled; /* since the start of this process */
    uint64_t waits[SCHED_WAITS];    /* its ready tasks by the reason for which they wait */
    uint64_t breaker;               /* a downstream that holds some of them; 0: none */
    uint64_t ahead;                 /* ready tasks that go before its own: of higher priority */
    bool sealed, paused, cancelling;
};
bool sched_job_view(const struct sched *s, struct job_id job, struct sched_job_view *ret);

struct sched_breaker_view {
    uint64_t downstream;
    bool host;
    enum sched_breaker_state state;
    enum sched_manual manual;
    uint64_t since_ms;    /* in this state for so long */
    uint64_t open_ms;     /* OPEN: until the next probe; UINT64_MAX: until reset */
    uint64_t held;        /* ready tasks that wait for it */
    uint64_t waiting;     /* tasks on workers whose rows wait for it */
    uint32_t quarantined; /* workers */
    uint64_t ok, fail;    /* calls in the window */
    uint64_t opened;      /* times, since the start of this process */
};
/* All that were ever called, or have a manual state; *at = 0 first, false after the last. */
bool sched_breaker_next(const struct sched *s, size_t *at, uint64_t now_ms,
                        struct sched_breaker_view *ret);

/* One task that has not ended. Its job and key come from the store, which has them on disk: a task
 * that waits has no record of its own to be found by. */
struct sched_task_view {
    enum sched_task_state state;
    enum sched_wait wait;      /* READY: why */
    uint64_t breaker;          /* with SCHED_WAIT_BREAKER */
    uint64_t ahead;            /* READY: tasks of its job and key that go before it */
    uint64_t delay_ms;         /* DELAYED: until its next attempt; 0: it waits for the budget */
    struct session_id session; /* LEASED: who has it */
};
/* Walks the tasks of its group, or the delayed ones: for people who ask about one. */
bool sched_task_view(const struct sched *s, struct job_id job, uint64_t key, struct task_id task,
                     uint64_t now_ms, struct sched_task_view *ret);

struct sched_session_view {
    uint64_t worker;
    uint32_t slots, leased;
    uint64_t credit_left;
    bool draining;
    uint64_t silent_ms;
};
bool sched_session_view(const struct sched *s, struct session_id session, uint64_t now_ms,
                        struct sched_session_view *ret);

struct sched_stats {
    uint64_t tasks[SCHED_TASK_STATES];
    uint64_t jobs, sessions, keys, steals, memory_bytes;
    uint64_t oldest_ready_age_ms;
    bool recovering;
};
void sched_stats(const struct sched *s, uint64_t now_ms, struct sched_stats *ret);

/* Checks every internal promise (each task in exactly one state and list, slots add up, ...) and
 * returns NULL or a static sentence naming the broken one. For tests; O(everything). */
const char *sched_invariant(const struct sched *s);

#endif
