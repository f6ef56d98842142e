/*
 * breaker.h: whether a downstream may be called: a sink that jobs' rows go to, or a scraped host. One
 * record each, from what workers say of their calls (CALLS); fleet-wide.
 *
 *           calls fail (rules below)      open time is over             three successes
 *   CLOSED ─────────────────────────▶ OPEN ───────────────▶ HALF_OPEN ─────────────────▶ CLOSED
 *      ▲                               ▲                        │                      (ramps up)
 *      └─ reset ── TRIPPED by hand ────┴──── the probe fails ───┘
 *
 *   opens when   (a) of 20 calls or more in the last 10 s half failed, or 80 % were slow
 *                (b) nothing succeeded for 1 s, and min(20, 3 W) calls failed in a row, at min(3, W) workers; W
 *                    are those that may run a job which needs it. (With fewer than seven workers 20 failures would take
 *                    long, since each waits longer after every failure of its own.)
 *                    a host: 5 failed in a row
 *   quarantine   5 calls in a row failed at one worker while another had success: that worker is given no task
 *                that needs the sink, for a time that doubles from 10 s to 300 s. Sinks alone: a host's tasks are
 *                mostly at one worker anyway.
 *   open time    doubles from 1 s to 10 s (sinks), 300 s (hosts), less up to a tenth by chance; begins again after
 *                60 s without opening
 *   probe        one for the whole fleet. A sink's: a worker whose rows wait is told to make one call; when none
 *                waits, one task is let through to make some. A host's: one task, with one slot
 *   ramp         after closing, 8 tasks in the first 100 ms, then twice as many in each step, until it is over
 *   give up      tasks of a host that had no success for host_give_up_ms are dead letters (HOST_DOWN), when it
 *                was probed at least four times in that time. A sink is never given up
 *   forget       a broken host that has had no task for ten minutes, so that a crawl's dead hosts do not add up
 *
 * Tasks that need a downstream that is not closed are held (GROUP_HELD): they use no attempt, slot or
 * credit. What is reported late, from before it opened, neither opens nor closes anything.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_BREAKER_H
#define DROVER_CORE_BREAKER_H

#include "coordinator/core/alarm.h"
#include "coordinator/core/list.h"
#include "coordinator/core/sched.h"

enum {
    BREAKER_WINDOW_S = 10,
    BREAKER_CALLS_MIN = 20, /* rule a */
    BREAKER_FAIL_PERCENT = 50,
    BREAKER_SLOW_PERCENT = 80,
    BREAKER_FAILS = 20, /* rule b */
    BREAKER_FAILS_A_WORKER = 3,
    BREAKER_WORKERS = 3,
    BREAKER_REPORT_MS = 250, /* between two reports of a worker, at most */
    BREAKER_QUIET_MS = 1000, /* looked at when it is over, not with the next report alone */
    BREAKER_HOST_FAILS = 5,
    BREAKER_ALONE_FAILS = 5, /* quarantine */
    BREAKER_QUARANTINE_MS = 10000,
    BREAKER_QUARANTINE_MAX_MS = 300000,
    BREAKER_OPEN_MS = 1000,
    BREAKER_OPEN_SINK_MAX_MS = 10000,
    BREAKER_OPEN_HOST_MAX_MS = 300000,
    BREAKER_STABLE_MS = 60000,
    BREAKER_SUCCESSES = 3,
    BREAKER_FORGET_MS = 600000, /* a broken host without a task is forgotten */
    BREAKER_PROBE_MS =
        25000, /* a probe that nobody heard of is over: longer than a call may take */
    BREAKER_RAMP_TASKS = 8,
    BREAKER_RAMP_MS = 100,
    BREAKER_RAMP_STEPS = 10,
    BREAKER_GIVE_UP_OPENS = 5, /* openings without a success, at least, before a host is given up */
    BREAKER_GIVE_UP_STEP = 1000, /* tasks given up in one step */
    BREAKER_SWEEP_MS = 1000,     /* between two looks for tasks of a host that was given up */
    BREAKER_HOSTS_MAX = 100000,
    BREAKER_SINK_BITS = 28 /* sinks that a worker can be quarantined from */
};

struct job;
struct key;
struct lease;
struct session;
struct shard;

/* What is known of a worker and a sink. */
struct breaker_worker {
    uint64_t worker;
    uint32_t waiting;       /* tasks whose rows wait for it */
    uint32_t fails_row;     /* since its last success */
    uint64_t ok_ms;         /* of its last success; 0: none */
    uint64_t until_ms;      /* quarantined until then; 0: it is not */
    uint32_t quarantine_ms; /* the last time; 0: never, or long ago */
};

struct breaker_second {
    uint64_t second;
    uint32_t ok, fail, slow;
};

struct breaker {
    uint64_t id;
    bool host;
    enum sched_breaker_state state;
    enum sched_manual manual;
    uint32_t bit;      /* in the kinds of jobs and workers; 0: a host, or there were too many */
    uint64_t since_ms; /* in this state */
    uint64_t not_closed_ms; /* when it was last not closed; 0: never */
    uint64_t open_until_ms;
    uint32_t open_ms; /* of the last opening, without the jitter */
    uint64_t opened;
    struct breaker_second window[BREAKER_WINDOW_S];
    uint64_t ok_ms;      /* of the last success; 0: none */
    uint64_t down_ms;    /* a host's first opening since its last success; 0: it is not down */
    uint32_t down_opens; /* openings since its last success */
    uint32_t fails_row;  /* since the last success */
    uint64_t fail_ms;    /* of the last failure; 0: none */
    uint64_t keyless_ms; /* a host's: since when it has no task, while it has none */
    uint32_t successes;  /* of probes */
    bool probing;        /* HALF_OPEN: the probe is out */
    bool told; /* with probing: a session was told to make it; else a task was let through */
    struct session_id probe_session;
    struct task_id probe_task; /* when a task was let through */
    uint64_t probe_until_ms;
    uint32_t ramp_step;             /* CLOSED: 1 and more while it ramps up; 0: over */
    uint32_t ramp_tasks;            /* that may still begin in this step */
    uint64_t ramp_ms;               /* end of the step */
    bool given_up;                  /* a host: its tasks are dead letters until it answers */
    struct breaker_worker *workers; /* sinks */
    size_t n_workers, cap_workers;
    size_t next_probe; /* index of the worker to be asked next */
    struct key *key;   /* a host's, while it has tasks */
    struct alarm alarm;
    struct list in_sched;
};

/* The sinks of a job: made when they are new. */
struct breaker *breaker_sink(struct sched *s, uint64_t id);
/* A host's, or NULL: it has none. */
struct breaker *breaker_host(const struct sched *s, uint64_t id);
void breakers_free(struct sched *s);

/* The one that holds tasks of that job and key now, or NULL. */
struct breaker *breaker_holding(const struct sched *s, const struct job *job, const struct key *k);
/* Whether something that the job needs was not closed in the last ms. */
bool breaker_disturbed(const struct sched *s, const struct job *job, const struct key *k,
                       uint64_t ms);

void breaker_calls(struct sched *s, struct session *se, const struct sched_event *ev);
void breaker_manual(struct sched *s, const struct sched_event *ev);

/* A task was given to a worker, or came back from it. Settles groups: call it last. */
void breaker_given(struct sched *s, const struct lease *l);
void breaker_given_back(struct sched *s, const struct lease *l);
/* Its worker has a new session: a probe goes on there. */
void breaker_moved(struct sched *s, const struct lease *l);

/* A new session hears of the sinks that are not closed. */
void breaker_greet(struct sched *s, const struct session *se);
void breaker_session_gone(struct sched *s, struct session_id id, uint64_t worker);
/* The kinds of a worker: its engines, and the sinks that it is not quarantined from. */
uint32_t breaker_worker_kinds(const struct sched *s, uint64_t worker, uint32_t engines);

void breaker_key_new(struct sched *s, struct key *k);
void breaker_key_gone(struct sched *s, struct key *k);

void breaker_due(struct sched *s); /* alarms */

#endif
