/*
 * workload.h: the tasks in this worker's hands: taken over from an ASSIGN, started when there is a
 * slot, turned into a result, kept until the coordinator has it.
 *
 * It puts together what is held (held.h), the jobs (catalog.h), the blobs (cache.h), the threads (runner.h)
 * and the sinks (sinks/batcher.h): a task that needs blobs waits until they are here, and one whose
 * job has sinks is finished when its rows have landed. It sends
 * nothing: agent.c asks for the next results. It reads no clock: whether work may be started is its
 * caller's to say.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_WORKLOAD_H
#define DROVER_WORKLOAD_H

#include "cache.h"
#include "catalog.h"
#include "credit.h"
#include "held.h"
#include "job_run.h"
#include "parts.h"
#include "runner.h"
#include "worker/sinks/batcher.h"

enum {
    WORKLOAD_MESSAGE_BYTES =
        1024 * 1024, /* of results in one message, unless one alone is larger */
    WORKLOAD_IN_FLIGHT_BYTES = 8 * 1024 * 1024, /* of results sent and not acknowledged */
    WORKLOAD_HOST_CALLS = 64 /* hosts in one CALLS; the others come in the next */
};

struct workload_config {
    size_t loops;
    uint32_t slots;
    struct scrape_config scrape; /* of each loop; borrowed */
    struct inputs inputs;        /* files that tasks may read; what it borrows, too */
    uint32_t sink_connections;   /* of each sink */
    size_t landing_budget_bytes; /* of rows on their way into sinks */
    struct cache_config cache;
    uint64_t seed;
};

struct workload {
    struct held_table held;
    struct catalog catalog;
    struct cache *cache;
    struct parts_list parts;
    struct runner *runner;
    struct batcher *batcher;
    uint32_t slots;
    bool returning;     /* draining: what is not started goes back */
    size_t sent_bytes;  /* of SENT results */
    bool begun;         /* there are RUNNING tasks that the coordinator is to be told of */
    size_t n_abandoned; /* tasks on a loop whose lease is gone */
    size_t landing_budget_bytes;
    uint64_t tasks_done, tasks_failed, tasks_returned, rows;
    size_t asking_bytes;                             /* of rows that have no leave to land yet */
    struct wire_stat counters[JOB_RUN_COUNTERS_MAX]; /* for heartbeats; names are static */
    size_t n_counters;
    struct wire_stat beat[JOB_RUN_COUNTERS_MAX + BATCHER_SINKS_MAX + 2]; /* of the last heartbeat */
};

int workload_init(struct workload *w, const struct workload_config *config,
                  struct error *e) MUST_CHECK;
/* False: a call to a sink did not end. Its thread still reads some of this memory, and the process must
 * end without tidying up. */
bool workload_done(struct workload *w) MUST_CHECK;

void workload_session(
    struct workload *w); /* a new session: results not acknowledged are sent again */
/* NOMEM: the session must end, since a lease would be lost from sight. */
int workload_assign(struct workload *w, uint64_t epoch, const struct wire_assign *m,
                    struct error *e) MUST_CHECK;
/* RESULT_ACK or REVOKE: forgets, or lands what asked for leave. A verdict on another token than the one that is held is ignored. */
void workload_settle(struct workload *w, const struct wire_verdict *verdicts, size_t n);

/* Starts what waits, as far as there are slots, while `may_start(user)` says so before each task. */
void workload_pump(struct workload *w, bool (*may_start)(void *user), void *user);
void workload_collect(struct workload *w); /* takes finished tasks from the runner */
int workload_fd(const struct workload *w); /* readable: workload_collect has something to do */
int workload_sinks_fd(const struct workload *w); /* the same, for rows that have landed */

/* While on, tasks that are not started are given back. */
void workload_return(struct workload *w, bool on);
void workload_cancel_running(struct workload *w); /* they are given back as well */

/* Tasks that have begun and the coordinator waits to hear of, at most max: BEGUN. */
size_t workload_begun(struct workload *w, struct wire_token *ret, size_t max);

/* Packs the body of a RESULT message; the number of results in it, 0: nothing to send now. When the
 * message cannot be sent, its results go with the next session. */
size_t workload_results(struct workload *w, struct buf *body);

/* ---- downstreams (common/downstream.h) ---- */

void workload_breaker(struct workload *w, const struct wire_breaker *m);
/* A session ended, or another one began: nothing is said of downstreams. Until then the worker's own
 * caution alone keeps it from calling what fails. */
void workload_no_breakers(struct workload *w);
/* What came of calls, at most max; urgent: only when some of it should not wait. Texts are in the arena, or
 * valid until the next call. */
size_t workload_calls(struct workload *w, bool urgent, struct wire_calls *ret, size_t max,
                      struct arena *a);
/* Whether there may be something to tell at the next time. */
bool workload_is_calling(const struct workload *w);

void workload_state(const struct workload *w, struct credit_state *ret); /* all but `closed` */
/* The counters are valid until the next call. */
void workload_heartbeat(struct workload *w, struct wire_heartbeat *ret);

#endif
