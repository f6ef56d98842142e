/*
 * sink.h: where rows land outside of the coordinator: PostgreSQL, Redis, files. What the parts of
 * this folder have in common, and the door to each kind.
 *
 *   pipeline's rows --> struct landing --> batcher (batcher.h) --> sink_kind.write --> landing.verdict
 *
 * A landing is all rows of one task for one sink: it lands whole, once, or not at all. A connection
 * writes a group of landings at a time, of any jobs and targets of one sink. It de-duplicates by
 * (uid of the job, task, index of the target): rows that an earlier attempt landed are not written again, which is a
 * success.
 *
 * The kinds know nothing of sessions, leases, batching or breakers: they are called with what is to be
 * written now, block until it is decided or the deadline has passed, and say whether the downstream or
 * the data is at fault.
 *
 * Thread rule: sink_kind's functions block and belong to the thread that owns the connection.
 */
#ifndef DROVER_SINK_H
#define DROVER_SINK_H

#include "common/batch.h"
#include "common/err.h"
#include "common/spec_sink.h"

enum {
    SINK_UID_LEN = 16,
    SINK_BAD_ROWS_MAX = 1000, /* rejected rows of one landing; more fail its task */
    SINK_ERROR_LEN = 500
};

/* A sink as the administrator configured it ([sink.NAME]); what is not given is "". */
struct sink_settings {
    char *name; /* "main" */
    enum spec_sink_kind kind;
    char *url;      /* postgresql://..., redis://, rediss://, unix:///path, file:///path */
    char *user;     /* overrides the URL's */
    char *password; /* the content of password_file */
    char *ca_pem;   /* the content of ca_file; "": the system's, or the built-in bundle */
};

/* One row that does not fit, for the job's reject list. */
struct landing_reject {
    uint32_t row; /* of the batch */
    char *column; /* NULL: the row as a whole */
    char *detail; /* why, in the sink's own words where it has some */
};

enum landing_verdict {
    LANDING_UNDECIDED, /* nothing is known to have been written: it is to be tried again */
    LANDING_DONE,      /* its rows are there, durable as the sink promises */
    LANDING_DUPLICATE, /* they were there already */
    LANDING_FENCED,    /* the sink takes nothing of this job's generation any more */
    LANDING_FAILED     /* for good: `error` says why; nothing of it is there */
};

struct landing {
    /* what is to be written; borrowed while it lands */
    const struct spec_sink *target;
    uint8_t uid[SINK_UID_LEN]; /* of the job */
    uint64_t job;              /* for people */
    uint64_t generation, task;
    uint32_t index;           /* of the target among the sinks of its job */
    const struct batch *rows; /* may have none: the task is noted all the same */
    /* what came of it */
    enum landing_verdict verdict;
    uint32_t n_written; /* DONE: rows; those rejected are not among them */
    struct landing_reject *rejects;
    size_t n_rejects;
    char error[SINK_ERROR_LEN]; /* FAILED, FENCED */
    /* the batcher's */
    struct landing *prev, *next;
    size_t bytes;
    uint64_t put_ms;
    bool queued;    /* it waits in a queue */
    bool withdrawn; /* its owner has lost interest: it is not tried again */
    void *user;     /* the owner's */
};

void landing_reject(struct landing *l, uint32_t row, const char *column, const char *detail);
void landing_fail(struct landing *l, enum landing_verdict verdict, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void landing_done(struct landing *l); /* frees the rejects */

struct sink_conn; /* each kind's own */

struct sink_kind {
    enum spec_sink_kind kind;
    /* Checks the settings without connecting (INVALID_ARGUMENT, naming what is wrong with the URL). */
    int (*check)(const struct sink_settings *settings, struct error *e);
    /* Connects. UNAVAILABLE: the downstream's fault, with its own words. timeout_ms: for all of it. */
    int (*open)(const struct sink_settings *settings, uint32_t timeout_ms, struct sink_conn **ret,
                struct error *e);
    /* Writes the landings, in as few exchanges as it can. OK: each has a verdict that is not
     * UNDECIDED. UNAVAILABLE: the downstream failed (connection, timeout, restart, full disk,
     * read-only, out of memory); what has a verdict keeps it, the rest is tried again on a new
     * connection: this one is closed by the caller. Data that is at fault never gives UNAVAILABLE.
     * A landing that is tried again after a connection was lost in the middle of its commit must not
     * be written twice. */
    int (*write)(struct sink_conn *c, struct landing **list, size_t n, uint32_t timeout_ms,
                 struct error *e);
    void (*close)(struct sink_conn *c); /* takes NULL */
    /* Whether a table, its columns or a path fits a job, asked by the coordinator when the job is
     * submitted and by `drover sink check`. columns: of the job's rows. INVALID_SPEC: says what does not
     * fit, beginning with the key of the sink ("table: ..."); UNAVAILABLE: it could not be asked. */
    int (*fits)(struct sink_conn *c, const struct spec_sink *target, const struct batch *columns,
                uint32_t timeout_ms, struct error *e);
    /* The job is over: after a cancel, nothing of its generation is taken any more (`fenced`); who
     * follows the job in the sink is told its state ("done", "failed", "cancelled"). */
    int (*job_end)(struct sink_conn *c, const struct spec_sink *target,
                   const uint8_t uid[SINK_UID_LEN], uint64_t generation, bool fenced,
                   const char *state, uint32_t timeout_ms, struct error *e);
};

extern const struct sink_kind sink_postgres, sink_redis, sink_file;

/* NULL for the store, which is not reached from here. */
const struct sink_kind *sink_kind_of(enum spec_sink_kind kind);

/* Settings by their keys in the configuration and on the wire: url, user, password, ca_pem. An
 * unknown key is left alone (a newer coordinator may know more). NOMEM. */
int sink_settings_set(struct sink_settings *s, const char *key, struct span value,
                      struct error *e) MUST_CHECK;
void sink_settings_done(struct sink_settings *s);

#endif
