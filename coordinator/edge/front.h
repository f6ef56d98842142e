/*
 * front.h: what clients and administrators ask. A request is read, checked against the role that
 * its key has, and handed to its verb (verbs.h); the answer goes out once.
 *
 *    received --> [runs in its verb] --> [in the store's thread] --> answered, freed
 *                        ^    |                    |
 *                        |    +--> [parked] <------+     (waiters.h: job.wait, job.results)
 *                        +-----------+
 *
 * Thread rule: the loop thread; while a call is in the store's thread, only its `run` touches it.
 */
#ifndef DROVER_FRONT_H
#define DROVER_FRONT_H

#include "common/blob_thread.h"
#include "common/keys.h"
#include "common/spec.h"
#include "common/transport.h"
#include "coordinator/edge/edge.h"
#include "coordinator/edge/model_check.h"
#include "coordinator/edge/predict.h"

enum {
    FRONT_WAIT_MAX_MS = 30 * 1000,
    FRONT_ITEMS_MAX = 100 * 1000, /* of one job.input */
    FRONT_BLOBS_MAX = 1000,       /* names in one blob.have */
    FRONT_LIST_MAX = 1000,        /* entries in one answer of a list */
    FRONT_RESULT_BYTES_MAX = 3 * 1024 * 1024,
    FRONT_RETRY_AFTER_MS = 500 /* told with QUEUE_FULL and the like */
};

struct ask;
struct call;

struct front_verb {
    const char *name;
    uint32_t roles; /* bits of keys_role that may use it */
    /* Takes charge of the call: answers it now or later, and returns 0. Otherwise the error is the
     * answer. Runs again when a parked call is woken. */
    int (*start)(struct call *c, struct error *error);
};

/* The arguments that verbs know; what was not given is zero. Spans point into the message. */
struct front_args {
    uint64_t job; /* 0: job_name, or none */
    struct span job_name;
    uint64_t task, chunk, cursor, before, after, max, max_bytes, wait_ms, version;
    bool has_version;
    struct span spec, idem, worker, name, role, public, downstream, sink;
    struct span items; /* packed array */
    struct span sha, shas, data;
    uint64_t offset, total;
    struct span blob, sample, columns, rows; /* columns and rows: packed arrays */
    double tolerance;
    bool has_tolerance;
    uint64_t timeout_ms;
};

/* One request in work. */
struct call {
    struct store_request request; /* first: what comes back is cast */
    struct edge *edge;
    const struct front_verb *verb;
    struct transport_message message;
    bool received; /* the message is there and must be given back */
    uint64_t seq;
    enum keys_role role;
    struct span client;
    struct front_args args;
    int64_t wall_ms;    /* when the store was asked: its thread does not read the edge */
    struct arena arena; /* of the request; the store's answer is in request.arena */

    /* parked: see waiters.h */
    struct call *wait_next, *wait_prev, *wait_ready;
    uint64_t wait_job;
    uint64_t wait_until_ms; /* 0: it has not been parked yet */
    uint64_t wait_due_ms;   /* it was woken: runs at this time */
    uint64_t seen;          /* the job's counter when the store was asked */

    /* questions to sinks: see asks.h */
    struct ask *asks;
    size_t n_asks, asks_open;
    void (*asks_then)(struct call *c);

    struct blob_request blob; /* blob.put */
    struct model_check check; /* model.add, model.show */
    struct look look;         /* job.submit, job.check: see verbs_submit.c */
    int (*looked)(struct call *c, struct error *error);
    struct predict_request predict;
    struct store_model model; /* model.add */

    /* what verbs carry from one step to the next */
    struct spec *spec;
    struct blob_name *blobs; /* that the description, or the items, need */
    size_t n_blobs, cap_blobs;
    struct store_job job;
    struct store_job *jobs;
    struct store_stat **stats; /* of each of jobs */
    size_t *n_stats;
    size_t n_jobs;
    struct store_task *tasks;
    size_t n_tasks;
    struct store_item *items;
    size_t n_items;
    struct store_result *results;
    size_t n_results;
    struct store_dead *dead;
    size_t n_dead;
    struct store_pending task;
    char downstream[DOWNSTREAM_NAME_MAX];
    enum sched_manual manual;
    uint64_t n;
    uint64_t accepted;
    bool existing;
};

/* Reads what is there, up to max requests. True: there may be more. */
bool front_receive(struct edge *e, size_t max);

/* The answer: begin, pack the value, end (which sends it and frees the call). */
struct buf *front_reply(struct call *c);
void front_send(struct call *c);
void front_fail(struct call *c, int code, const char *detail); /* answers with ERROR and frees */
/* The same with a time after which to try again; 0: not. */
void front_fail_later(struct call *c, int code, const char *detail, uint32_t retry_after_ms);
void front_free(struct call *c);

/* Hands the call to the store's thread: run there, then done here with the code in request.rc. */
void front_store(struct call *c, bool write, int (*run)(struct store *, struct store_request *),
                 void (*done)(struct store_request *, void *));

/* On the store's thread: args.job, looked up by name when a name was given. */
int front_job(struct store *s, struct call *c, struct error *error) MUST_CHECK;

/* Verbs that read nothing from the store's thread answer so when the request made no sense. */
int front_need(bool given, const char *argument, struct error *error) MUST_CHECK;

#endif
