/*
 * sim.h: a whole fleet in one thread and one seed: the real scheduler and the real codec between a
 * fake clock, network, store, workers and a client. Everything random comes from sim_random(), so a
 * seed is a run. sim_oracle.c holds the promises of docs/SCHEDULER.md, independently of the core.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_SIM_H
#define DROVER_SIM_H

#include "common/base.h"
#include "common/buf.h"
#include "common/wire.h"
#include "coordinator/core/sched.h"

enum {
    SIM_LEASE_MS = 5000,
    SIM_HEARTBEAT_MS = 1000,
    SIM_KILLS_MAX = 3,
    SIM_RETRY_PERCENT = 10,
    SIM_GIVE_UP_MS = 20000,
    SIM_FAULTS_MS = 40000, /* faults stop after so long; then everything must end */
    SIM_END_MS =
        40000 + 1800000, /* within half an hour of virtual time: one key's tasks run in turn */
    SIM_WORKERS_MAX = 6,
    SIM_JOBS_MAX = 4,
    SIM_SINKS = 2,
    SIM_KEYS = 8,
    SIM_INPUTS = 4, /* of a task, at most */
    SIM_COORD = 0,  /* nodes of the network: workers are 1 to SIM_WORKERS_MAX */
    SIM_CLIENT = SIM_WORKERS_MAX + 1,
    SIM_NODES
};

struct sim;
typedef void sim_fn(struct sim *sim, void *arg, uint64_t tag);

struct sim_event {
    uint64_t at_ms, order;
    sim_fn *fn;
    void *arg;
    uint64_t tag; /* mostly the life of a process, so that the timers of a dead one do nothing */
};

/* What a job of this run is like; the "spec" that the client submits is its index. */
struct sim_spec {
    uint8_t priority;
    uint32_t attempts_max, key_limit, key_delay_ms, learned_delay_ms, run_timeout_ms, kinds;
    uint32_t chunks, chunk_tasks, keys;
    uint32_t run_ms;                                 /* a task takes up to so long */
    uint32_t retry_pm, fail_pm, found_pm, poison_pm; /* per mille of the tasks */
    uint32_t again_pm, reject_pm;                    /* per mille of the inputs */
    uint64_t cancel_at_ms, pause_at_ms;              /* 0: never */
    uint32_t sinks;                                  /* bits: where its rows go */
    bool hosts;                                      /* its keys are hosts */
    bool retry_dead;
};

/* Things that must happen in some seed, or the faults do not reach them. */
#define SIM_SEEN_TABLE(X)                                                                          \
    X(ADOPTED, "leases adopted after a restart")                                                   \
    X(MOVED, "leases moved to a worker's next session")                                            \
    X(STALE, "stale results discarded")                                                            \
    X(REPEATED, "results repeated before their commit")                                            \
    X(RETURNED, "tasks returned")                                                                  \
    X(REVOKED, "held tasks refused")                                                               \
    X(CANCELLED, "leases revoked by a cancel")                                                     \
    X(TIMEOUT, "run timeouts")                                                                     \
    X(WORKER_LOST, "tasks dead because they lost too many workers")                                \
    X(EXHAUSTED, "tasks dead on arrival")                                                          \
    X(EXPIRED, "sessions expired")                                                                 \
    X(JOB_DONE, "jobs done")                                                                       \
    X(JOB_FAILED, "jobs failed")                                                                   \
    X(JOB_CANCELLED, "jobs cancelled")                                                             \
    X(STEALS, "tasks stolen")                                                                      \
    X(OPENED, "breakers of sinks opened")                                                          \
    X(RULE_A, "sinks opened because half of the calls failed")                                     \
    X(RULE_B, "sinks opened because no call succeeded")                                            \
    X(RAMPED, "tasks held back after an outage")                                                   \
    X(HOST_OPENED, "breakers of hosts opened")                                                     \
    X(CLOSED, "breakers closed by probes")                                                         \
    X(PROBE_FAILED, "probes failed")                                                               \
    X(PROBE_TASK, "probes by a task that was let through")                                         \
    X(PROBE_LOST, "probes lost with their session")                                                \
    X(QUARANTINED, "workers quarantined")                                                          \
    X(GIVEN_BACK, "rows given back by a quarantined worker")                                       \
    X(GIVEN_UP, "tasks of a host that was given up")                                               \
    X(TRIPPED, "breakers tripped by hand")                                                         \
    X(PINNED, "breakers pinned by hand")                                                           \
    X(LANDED_TWICE, "rows that a second worker brought to a sink")                                 \
    X(PARTS, "tasks that kept a part of their inputs and landed it")                               \
    X(LEAVE_AGAIN, "leave to land given again")                                                    \
    X(LOST_ASKING, "leases lost while they asked for leave to land")                               \
    X(WHOLE, "tasks given out that must land whole")                                               \
    X(WHOLE_BACK, "whole tasks given back, since a part could not be had")

enum sim_seen {
#define SIM_SEEN_ENUM(name, text) SIM_SEEN_##name,
    SIM_SEEN_TABLE(SIM_SEEN_ENUM)
#undef SIM_SEEN_ENUM
        SIM_SEEN_N
};

/* A downstream as it is: whether calls succeed, and how long they take. */
struct sim_downstream {
    uint64_t down_until_ms;
    uint32_t call_ms;         /* of a failing call: 5, or a time-out */
    uint32_t bad_worker;      /* that alone cannot reach it; 0: none */
    enum sched_manual manual; /* durable */
};

struct sim {
    uint64_t seed, now_ms, order, rng, trace;
    struct sim_event *queue;
    size_t n_queue, cap_queue;
    bool faults, invariants, verbose;
    bool outages; /* mostly of downstreams: other faults end them before they are over */
    uint32_t drop_pm, twice_pm, late_pm;         /* of the network */
    bool cut_to[SIM_NODES], cut_from[SIM_NODES]; /* between this node and the coordinator */
    uint32_t workers, jobs;
    struct sim_spec specs[SIM_JOBS_MAX];
    struct sim_downstream sinks[SIM_SINKS], hosts[SIM_KEYS];
    char violation[256]; /* the first broken promise; empty: none */
    uint64_t seen[SIM_SEEN_N];
    uint64_t n_messages, n_steps, n_restarts, n_worker_lives;
    struct sim_store *store;
    struct sim_coord *coord;
    struct sim_worker *worker; /* [workers + 1], by node */
    struct sim_client *client;
    struct sim_oracle *oracle;
    struct sim_told *told;
};

uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t n); /* 0 to n - 1; 0 for n = 0 */
bool sim_chance(struct sim *sim, uint32_t per_mille);
void sim_at(struct sim *sim, uint64_t at_ms, sim_fn *fn, void *arg, uint64_t tag);
void sim_trace(struct sim *sim, uint64_t a, uint64_t b, uint64_t c);
void sim_violate(struct sim *sim, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_say(const struct sim *sim, const char *fmt, ...) PRINTF_LIKE(2, 3); /* with -v */

/* A datagram between a node and the coordinator; takes a copy. */
void sim_send(struct sim *sim, uint32_t from, uint32_t to, const struct buf *message);

/* One run. Returns false when a promise was broken: sim->violation says which. */
bool sim_run(struct sim *sim, uint64_t seed, bool invariants, bool verbose);

/* ---- the fake store: sim_store.c ---- */
enum sim_op_type {
    SIM_OP_SUBMIT,
    SIM_OP_INPUT,
    SIM_OP_SEAL,
    SIM_OP_CANCEL,
    SIM_OP_PAUSE,
    SIM_OP_RETRY,
    SIM_OP_COMPLETE,
    SIM_OP_JOB_END
};
enum sim_job_state { SIM_JOB_NONE, SIM_JOB_OPEN, SIM_JOB_DONE, SIM_JOB_FAILED, SIM_JOB_CANCELLED };
enum sim_task_state {
    SIM_TASK_NONE,
    SIM_TASK_PENDING,
    SIM_TASK_DONE,
    SIM_TASK_DEAD,
    SIM_TASK_GONE
};

struct sim_payload { /* a result on its way from the frame to the store */
    uint32_t n_found;
    uint64_t found_keys[4];
    uint32_t left, again; /* bits of inputs: without rows here, and of those, to be tried again */
    uint32_t retry_after_ms;
};

struct sim_op {
    enum sim_op_type type;
    uint32_t spec;    /* job = spec + 1 */
    uint64_t request; /* seq of the client's request; 0: none */
    uint64_t chunk;
    bool on;
    struct task_id task;
    struct token token;
    enum sched_write write;
    uint32_t attempt, kills;
    enum sched_job_end how;
    struct sim_payload *payload;
};

struct sim_task {
    enum sim_task_state state;
    uint64_t job, key;
    uint32_t attempt, kills, rows, depth;
    uint32_t landed;        /* bits: the sinks that have its rows */
    struct token committed; /* of the latest completion that is durable */
    struct token landing;   /* whose rows may land; counter 0: nobody's, yet */
    uint64_t origin; /* the task that its inputs came with; itself, unless it was made of a part */
    uint32_t inputs; /* bits among those of the origin */
    /* Of an origin: where the rows of each input are, the last for the store, and its rejects. */
    uint32_t came_with, rejected;
    uint32_t n_rows[SIM_SINKS + 1][SIM_INPUTS];
};

struct sim_job {
    enum sim_job_state state;
    bool sealed, cancelling, paused, retried;
    uint64_t chunks, dead;
};

struct sim_answer {
    struct sim_op op;
    bool refused;
    struct sched_task *tasks;
    size_t n;
};

struct sim_store {
    uint64_t epoch;
    bool draining[SIM_NODES];
    struct sim_job jobs[SIM_JOBS_MAX + 1]; /* by job id */
    struct sim_task *tasks;                /* by task id; durable, as are the jobs */
    size_t n_tasks, cap_tasks;
    struct sim_op *ops; /* not durable yet */
    size_t n_ops, cap_ops;
    bool busy;
    uint64_t life; /* of the coordinator that it answers */
};

void sim_store_init(struct sim *sim);
void sim_store_done(struct sim *sim);
void sim_store_put(struct sim *sim, struct sim_op op); /* takes the payload */
void sim_store_drop(struct sim_event *ev); /* frees what an answer that never came holds */
void sim_store_crash(struct sim *sim);     /* what is not durable is lost */
/* Those of a job that are pending, as the scheduler wants them; the caller frees. */
struct sched_task *sim_store_pending(struct sim *sim, uint64_t job, size_t *ret_n);

/* ---- the coordinator's edge: sim_coord.c ---- */
void sim_coord_init(struct sim *sim);
void sim_coord_done(struct sim *sim);
void sim_coord_start(struct sim *sim);
void sim_coord_crash(struct sim *sim);
void sim_coord_freeze(struct sim *sim, uint64_t for_ms);
void sim_coord_drain(struct sim *sim, uint32_t node, bool on);
void sim_coord_message(struct sim *sim, uint32_t from, struct span message);
void sim_coord_manual(struct sim *sim, uint32_t sink, enum sched_manual manual);
void sim_coord_answers(struct sim *sim, struct sim_answer *answers, size_t n, uint64_t life);
bool sim_coord_alive(const struct sim *sim);
uint64_t sim_coord_frozen_until(const struct sim *sim);

/* ---- workers: sim_worker.c ---- */
void sim_worker_init(struct sim *sim);
void sim_worker_done(struct sim *sim);
void sim_worker_start(struct sim *sim, uint32_t node);
void sim_worker_crash(struct sim *sim, uint32_t node, uint64_t back_ms);
void sim_worker_freeze(struct sim *sim, uint32_t node, uint64_t for_ms);
void sim_worker_leave(struct sim *sim, uint32_t node); /* returns its tasks, BYE, and comes back */
void sim_worker_message(struct sim *sim, uint32_t node, struct span message);
uint64_t sim_worker_boot(const struct sim *sim, uint32_t node); /* of its present process */
uint64_t sim_worker_frozen_until(const struct sim *sim, uint32_t node);
void sim_worker_heal(struct sim *sim, uint32_t node);

/* ---- the client: sim_client.c ---- */
void sim_client_init(struct sim *sim);
void sim_client_done(struct sim *sim);
void sim_client_message(struct sim *sim, struct span message);
bool sim_client_finished(const struct sim *sim); /* every job ended, and the client knows */

/* ---- the oracle: sim_oracle.c ---- */
void sim_oracle_init(struct sim *sim);
void sim_oracle_done(struct sim *sim);
void sim_oracle_restart(struct sim *sim);
void sim_oracle_step(struct sim *sim, const struct sched_event *ev, const struct sched_actions *a);
void sim_oracle_complete(struct sim *sim, const struct sim_op *op); /* as it becomes durable */
/* Rows of these inputs are in a sink, and the note that the task has landed there. */
void sim_oracle_landed(struct sim *sim, uint64_t task, uint32_t sink, uint32_t inputs);
/* The names of downstreams in messages. */
struct span sim_sink_name(uint32_t sink);
struct span sim_host_name(uint32_t key);
bool sim_name_read(struct span name, bool *ret_host, uint32_t *ret_index);
void sim_oracle_acknowledged(struct sim *sim, uint64_t job, uint64_t chunks);
void sim_oracle_end(struct sim *sim);

/* ---- what sessions were told of sinks: sim_told.c ---- */
void sim_told_init(struct sim *sim);
void sim_told_done(struct sim *sim);
void sim_told_restart(struct sim *sim);
void sim_told_step(struct sim *sim, const struct sched_event *ev, const struct sched_actions *a);
/* A worker calls a sink; the last that it heard of it in this session, and its calls since then. */
void sim_told_call(struct sim *sim, uint32_t node, uint32_t sink, enum wire_breaker_state heard,
                   uint32_t calls);

#endif
