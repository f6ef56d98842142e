/*
 * edge.h: what the pieces of the loop thread share: the scheduler, the store's thread, the sockets
 * and the clock of this turn. edge.c feeds the scheduler and carries its actions to the pieces that
 * do the work; it holds no policy.
 *
 * Data flows one way: frame -> back/front -> event -> sched_step -> action -> completions,
 * sessions, store -> frame. An action never leads to another sched_step within the same step.
 *
 * Thread rule: the loop thread, all of it.
 */
#ifndef DROVER_EDGE_H
#define DROVER_EDGE_H

#include "common/buf.h"
#include "coordinator/edge/histogram.h"
#include "coordinator/edge/sinks.h"
#include "coordinator/edge/store_thread.h"

struct blob_serve;
struct blobs;
struct completions;
struct config;
struct downstreams;
struct inputs;
struct jobs;
struct keys_allow;
struct looks;
struct predict;
struct predict_http;
struct sessions;
struct sink_thread;
struct transport;
struct waiters;

/* Copied from the configuration (options.h). */
struct edge_options {
    uint32_t lease_ms;
    uint32_t heartbeat_ms;
    uint32_t kills_max;
    uint32_t host_give_up_ms;
    size_t tasks_memory_bytes;  /* of the scheduler's records, before job.input is refused */
    size_t inputs_memory_bytes; /* of inputs.h */
    size_t store_queue_bytes;   /* before the front refuses */
    size_t waiters_max;
    uint64_t blob_bytes_max;
    uint64_t blob_keep_ms;
    uint32_t predict_batch_rows; /* of a batch for a worker */
    uint32_t predict_batch_wait_ms;
    uint32_t predict_queue_rows; /* that wait for a model */
    uint32_t predict_timeout_ms;
};

/* Since the start of the process, for metrics and status. */
enum edge_outcome {
    EDGE_DONE,
    EDGE_RETRIED,
    EDGE_DEAD,
    EDGE_CANCELLED,
    EDGE_RETURNED,
    EDGE_OUTCOMES
};
enum edge_job_outcome { EDGE_JOB_DONE, EDGE_JOB_FAILED, EDGE_JOB_CANCELLED, EDGE_JOB_OUTCOMES };
enum { EDGE_STATUS_CLASSES = 4 }; /* 2xx to 5xx */
enum { EDGE_KINDS = 4 };          /* bits of enum wire_kind */
enum { EDGE_AGAIN_MS = 500, EDGE_LOGS_PER_S = 20 };

struct edge_counts {
    uint64_t jobs_submitted[EDGE_KINDS];
    uint64_t jobs_finished[EDGE_JOB_OUTCOMES];
    uint64_t attempts[EDGE_KINDS][EDGE_OUTCOMES];
    struct histogram waits[EDGE_KINDS], runs[EDGE_KINDS];
    uint64_t rows, rejects, items;
    uint64_t rows_stored;              /* of `rows`, those that came to the store */
    uint64_t rows_of_sinks[SINKS_MAX]; /* by index in the table of sinks */
    uint64_t scrape_responses[EDGE_STATUS_CLASSES], scrape_bytes;
    uint64_t discarded;  /* stale results */
    uint64_t returned;   /* leases given back */
    uint64_t frames_bad; /* of peers that speak another language */
    uint64_t resyncs, requests, requests_failed, refused_full;
    uint64_t replaced; /* sessions ended by a newer HELLO of the same worker */
};

struct edge {
    struct edge_options options;
    uint64_t epoch;
    uint64_t started_ms;
    uint64_t now_ms; /* monotonic; read once a turn */
    int64_t wall_ms; /* Unix; the same moment */
    struct transport *back, *front;
    bool keyed; /* CURVE is on: roles and identities come from the key list */
    bool stopping;
    bool store_full;               /* the last write failed for lack of disk */
    uint64_t store_full_ms;        /* when it did */
    struct store_sizes sizes;      /* of some seconds ago */
    double done_per_s, rows_per_s; /* of the last seconds */
    struct histogram_recent recent_runs;

    struct sched *sched;
    struct sched_actions actions;
    struct store_thread *store;
    struct sessions *sessions;
    struct jobs *jobs;
    struct inputs *inputs;
    struct waiters *waiters;
    struct completions *completions;
    struct sinks *sinks; /* of the configuration; immutable */
    struct sink_thread *sink_thread;
    struct downstreams *downstreams;
    struct blobs *blobs;
    struct blob_serve *blob_serve;
    struct predict *predict;
    struct looks *looks;
    struct predict_http *predict_http; /* NULL: off */
    struct keys_allow *keys;           /* NULL: loopback without keys */
    const struct config *config;

    struct store_request *again; /* writes that wait for room on the disk */
    uint64_t again_due_ms;
    uint64_t logged_ms; /* the second that edge_may_log counts in */
    uint32_t logged;

    struct buf out;       /* the message that is being made */
    struct arena scratch; /* cleared after each use */
    struct edge_counts counts;
};

void edge_clock(struct edge *e); /* reads both clocks into now_ms and wall_ms */

/* How long the tasks that are here will take at the present rate, in seconds; negative: not known.
 */
double edge_eta_s(const struct edge *e, const struct sched_stats *stats);

/* Fills in the time, steps the scheduler and carries out what it asks for; before the store has its
 * thread (at replay) that is left to edge_carry_out. */
void edge_event(struct edge *e, struct sched_event *event);
void edge_carry_out(struct edge *e);

/* Sends what this turn collected: completions to the store, messages to the sessions. */
void edge_flush(struct edge *e);

/* Whether a line about what a peer did may be logged: strangers must not fill the log. */
bool edge_may_log(struct edge *e);

/* Index of the lowest bit of an engine kind, for edge_counts. */
size_t edge_kind_index(uint32_t kinds);
const char *edge_kind_name(size_t index);

/* Notes that a write came back with STORE_FULL, or that one succeeded. */
void edge_store_result(struct edge *e, int rc);

/* For writes that nobody can be asked to repeat: when the disk was full, takes the request, makes
 * it again in EDGE_AGAIN_MS and returns true. */
bool edge_again(struct edge *e, struct store_request *r);
uint64_t edge_again_timer(struct edge *e); /* when it wants to be called next */

/* OK, or the reason why nothing that adds to the queue is accepted now: QUEUE_FULL, STORE_FULL. */
int edge_admit(const struct edge *e, struct error *error) MUST_CHECK;

#endif
