/*
 * job_run.h: one run of a task, from its input to the packed result, and what its rows must wait for in
 * between.
 *
 * Rows that land in sinks land once: whoever has the task later finds a note of it and writes nothing. So
 * what they hold must not depend on who runs the task. Where it could (a page that fails now and not
 * later), the run asks first: the coordinator notes durably what the rows hold, makes new tasks of the
 * inputs that are left out, and gives leave to land. From then on the task is whole: another run of it
 * has rows of every input that is still its own, or gives it back.
 *
 * It sends nothing, and knows of no lease but by its token.
 *
 * Thread rule: job_run_finish on the thread that made the rows; all else the session thread.
 */
#ifndef DROVER_JOB_RUN_H
#define DROVER_JOB_RUN_H

#include "common/wire.h"
#include "runner.h"

struct cache_need;
struct held;
struct landings;
struct parts;
struct parts_list;

enum { JOB_RUN_COUNTERS_MAX = 32 };

struct job_run {
    struct runner_task task;
    struct held *held; /* NULL: abandoned, its lease is gone */
    struct wire_token token;
    struct buf packed;         /* the result, or the question */
    struct landings *landings; /* its rows are for sinks, and no result is packed yet */
    bool asks;                 /* with landings: it has no leave to land them yet */
    size_t asking_bytes;       /* of those rows */
    bool begins;               /* the coordinator counts its time from BEGUN */
    bool tell_begun;           /* RUNNING: it is still to be told */
    enum wire_outcome outcome;
    uint32_t rows;
    int rc; /* of packing */
    struct wire_stat counters[JOB_RUN_COUNTERS_MAX];
    size_t n_counters;
    struct cache_need *need; /* the blobs that it needs, until its rows are made; NULL: none */
    struct parts *parts;     /* what it brings together; NULL: it is a task as the others */
    struct parts_list *parts_of;
    char *input; /* until its rows are made */
    size_t input_len;
};

/* A copy of the task's input. NULL: no memory. */
struct job_run *job_run_new(const struct wire_task *t, struct wire_token token) MUST_CHECK;
void job_run_free(struct job_run *run); /* takes NULL; none of its rows is in the batcher */
void job_run_made(struct job_run *run); /* its rows are made: frees what they were made from */

/* Its rows are made: packs the result, or the question, or nothing when they may land at once. */
void job_run_finish(struct job_run *run, struct output *output_take);
/* The sinks have answered: packs the result. */
void job_run_landed(struct job_run *run);

/* Adds to the counter of that name; beyond JOB_RUN_COUNTERS_MAX names it is left out. */
void job_run_count(struct wire_stat *all, size_t *n, struct span name, int64_t value);

#endif
