/*
 * output.h: what running one task came to, as an engine hands it to the runner: rows, counts, what
 * was found, what was rejected and why, what should be tried again. Every input of the task is
 * accounted for by a row, a reject, a retry or a count in stats: nothing is dropped in silence. What
 * has a part in the rows and what is left out of them is told apart (`left`), since rows that land in
 * sinks land once, and what they hold must be known before (docs/SINKS.md).
 *
 * Thread rule: one owner at a time; ownership moves from the engine to the runner.
 */
#ifndef DROVER_OUTPUT_H
#define DROVER_OUTPUT_H

#include "common/batch.h"

/* An input that failed for good, kept for the user: what, a stable reason code, and a detail. */
struct output_reject {
    char *input; /* URL, or file:line */
    const char
        *reason;  /* static: "HTTP_404", "ROBOTS", "TOO_LARGE", ... (docs/GUIDE.md lists them) */
    char *detail; /* may be NULL */
};

/* An input to run again as part of a new task, whose attempt is one more than this task's unless the
 * input was not tried. */
struct output_retry {
    char *input; /* URL */
    uint32_t depth;
    const char *reason; /* static, as above; NULL: not tried */
    char *detail;
};

/* An input that this task discovered (a link to follow). The coordinator de-duplicates. */
struct output_found {
    char *url; /* canonical */
    uint32_t depth;
};

struct output_stat {
    const char *name; /* static or interned for the process: "pages", "bytes", "fill.title", ... */
    int64_t value;    /* added up over the tasks of a job */
};

struct output {
    struct batch *rows; /* never NULL */
    uint64_t text_rows; /* rows that went out as text at once (pipeline_text) */
    struct buf partial; /* what the task of a stage that gathers came to; then there are no rows */
    struct output_reject *rejects;
    size_t n_rejects,
        n_input_rejects; /* the first of them are inputs of the task; those that follow
                                          are of rows: of later stages, of sinks */
    struct output_retry *retries;
    size_t n_retries;
    struct output_found *found;
    size_t n_found;
    struct output_stat *stats;
    size_t n_stats;
    uint32_t key_delay_ms; /* the host asks for this much time between requests (0: nothing) */
    uint32_t
        key_backoff_ms; /* give no task of this key out for so long (Retry-After; 0: nothing) */
    int error;          /* enum err: not OK means that the task as a whole failed */
    char error_detail[500];
    const char *error_reason; /* static reason code when error is not OK */
    bool failed;              /* an append found no memory: the task must be failed with NOMEM */
    size_t text_bytes;        /* of rejects, retries and found */
    int64_t *marked;          /* values of the stats at the mark */
    size_t marked_cap;
    uint8_t *left; /* bit i & 7 of byte i / 8: input i has no part in the rows; NULL: all have */
    size_t left_bytes;
};

/* A point to go back to. Stats that are new since stay, with the value 0. */
struct output_mark {
    uint32_t n_rows;
    size_t n_rejects, n_retries, n_found, n_stats, text_bytes;
};

struct output *output_new(struct batch *rows_take);
void output_free(struct output *o);
void output_reject(struct output *o, struct span input, const char *reason, const char *detail);
void output_retry(struct output *o, struct span input, uint32_t depth, const char *reason,
                  const char *detail);
void output_found(struct output *o, struct span url, uint32_t depth);
/* Input i of the task has no part in the rows: it is a reject or a retry. */
void output_leave(struct output *o, size_t i);
/* Rejects of inputs, retries and what was found were told apart from the rest, and are forgotten. */
void output_told(struct output *o);
/* Adds to the entry of that name. */
void output_stat(struct output *o, const char *name, int64_t add);

size_t output_bytes(const struct output *o);      /* of its parts that grow with the pages */
struct output_mark output_mark(struct output *o); /* one at a time: the next one replaces it */
void output_rollback(struct output *o, const struct output_mark *mark);

#endif
