/*
 * local.h: `drover-worker run`: a job on this machine alone, without a coordinator: the plan (tasks
 * of one key), limits a key, retries with back-off, a crawl's frontier and what it has seen, rows and
 * rejects to files, rows into the job's sinks (local_sinks.h), and statistics.
 *
 * Bounded: inputs are read as there is room for them; the frontier has a limit in bytes, and what a
 * crawl finds beyond it is a reject with the reason FRONTIER_FULL; tasks get fewer inputs when their
 * rows are large; no task begins while the rows that wait for a sink have used up their budget.
 *
 * Thread rule: one thread, the process's first; rows are written by the loops' threads, too.
 */
#ifndef DROVER_LOCAL_H
#define DROVER_LOCAL_H

#include <jansson.h>

#include "local_files.h"
#include "local_output.h"
#include "local_sinks.h"
#include "pipeline.h"
#include "worker/scrape/scrape.h"

enum {
    LOCAL_TASK_ITEMS_MAX = 16,          /* small tasks: their rows wait in memory until they end */
    LOCAL_TASKS_PER_LOOP = 64,          /* under way at once */
    LOCAL_LANDING_MAX = 8192,           /* besides, tasks whose rows are on their way into sinks */
    LOCAL_ROWS_BYTES = 4 * 1024 * 1024, /* of a loop's tasks: large rows make smaller tasks */
    LOCAL_LINE_MAX = 64 * 1024,         /* bytes of one line of the input */
    LOCAL_INPUT_AHEAD_BYTES = 4 * 1024 * 1024 /* of inputs read before they are needed */
};

struct local_config {
    struct pipeline *pipeline; /* borrowed */
    const char *input;         /* file of inputs, one in a line; "-": standard input; NULL: none */
    const char *output;        /* "-": standard output; NULL: rows are counted, not written */
    enum local_format format;
    const char *rejects;       /* NDJSON; NULL: rejects are only counted */
    struct local_files *blobs; /* of the job, and the folder of others; borrowed */
    size_t loops;
    uint64_t download_bytes_max; /* of a file of a web server */
    struct scrape_config scrape;
    size_t frontier_max_bytes;
    struct local_sinks_config sinks;
};

/* How it ended. */
enum local_end {
    LOCAL_DONE,
    LOCAL_STOPPED, /* by a signal */
    LOCAL_FAILED   /* a transform has not seen all of its input: its answer would be wrong */
};

/* Runs to the end. SIGINT and SIGTERM (which agent_block_signals has blocked) end it early, with what
 * there is. *ret_stats: the statistics as one object, which the caller decrefs. LOCAL_FAILED: e says
 * what was the first. *ret_busy, also after an error: a call to a sink did not end, and its thread uses
 * the pipeline: the process must end by _exit. */
int local_run(const struct local_config *config, enum local_end *ret_end, json_t **ret_stats,
              bool *ret_busy, struct error *e) MUST_CHECK;

#endif
