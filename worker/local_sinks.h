/*
 * local_sinks.h: the sinks of a job that runs alone (`drover-worker run`): from the sections [sink.NAME] of
 * the worker's own configuration, asked before the first task whether the rows fit, told at the end.
 *
 * The names under which rows land: without a run id every run is another job to the sinks. With one, a
 * run that is started again lands only what is not there yet: each input is a task of its own, named by
 * its text, because which inputs come together in a larger task is decided by chance and time.
 *
 * Thread rule: one thread, the process's first.
 */
#ifndef DROVER_LOCAL_SINKS_H
#define DROVER_LOCAL_SINKS_H

#include "common/config.h"
#include "worker/landings.h"
#include "worker/sinks/batcher.h"

struct local_sinks_config {
    const struct config *options; /* with sink.*.url and its like; borrowed until open returns */
    const char *run_id;           /* NULL: none */
    uint32_t connections;         /* of each sink */
    size_t budget_bytes;          /* of rows on their way */
};

struct local_sinks {
    struct batcher *batcher; /* NULL: the store is the only sink, which is a file here */
    const struct pipeline *pipeline;
    struct sink_settings settings[SPEC_SINKS_MAX]; /* of spec->sinks[i]; empty for the store */
    bool by_input;                                 /* a run id: each input is a task */
    uint64_t last_task;
    size_t budget_bytes;
};

/* CONFIG: no such section, or a bad one. INVALID_SPEC: the rows do not fit. UNAVAILABLE: a sink cannot
 * be reached. */
int local_sinks_open(struct local_sinks *s, const struct local_sinks_config *config,
                     struct pipeline *pipeline, struct error *e) MUST_CHECK;
/* Tells the sinks that the job is over. UNAVAILABLE: one could not be told; the rows are there. */
int local_sinks_end(struct local_sinks *s, bool failed, struct error *e) MUST_CHECK;
/* False: a call to a sink did not end, and the process must end without tidying up. */
bool local_sinks_close(struct local_sinks *s) MUST_CHECK;

/* The name of a task for the sinks. items: its packed array of items. */
uint64_t local_sinks_task(struct local_sinks *s, struct span items);
/* Rows that are on their way have used up their budget. */
bool local_sinks_full(const struct local_sinks *s);
int local_sinks_fd(
    const struct local_sinks *s); /* readable: landings came back; -1: there are none */

#endif
