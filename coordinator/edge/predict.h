/*
 * predict.h: requests for answers now: rows for a named model, collected into batches, given to workers,
 * and cut apart again. Nothing of it is durable, and no task stands in its way: it goes to the sessions
 * directly, and workers run it beside their tasks.
 *
 *   predict_open --> rows go straight into the model's batch --> predict_add
 *
 *   [FILLING] --full, waited long enough, or a worker has nothing of the model--> [OPEN] --PREDICTED--> answered
 *       |                                                                           |
 *       '--full while all workers have enough--> [WAITING] --------------------->---' worker lost: once more
 *
 * A request that is over its deadline is answered with TIMEOUT wherever its batch is. Rows that a worker
 * refuses in a batch of several requests are asked again request by request, so that one request never
 * spoils another. A model that fails again and again (it cannot be loaded, its worker dies) is asked no
 * more for a while:
 *
 *     [CLOSED] --PREDICT_FAILURES in a row--> [OPEN] --pause over--> [PROBE] --good--> [CLOSED]
 *                                               ^---- fails, pause doubled ----'
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_PREDICT_H
#define DROVER_PREDICT_H

#include "coordinator/edge/model_table.h"

struct edge;
struct predict;
struct predict_batch;
struct session;
struct wire_predicted;

enum {
    PREDICT_ROWS_MAX = 10 * 1000,      /* of one request */
    PREDICT_BATCH_BYTES_MAX = 4 << 20, /* of one batch: it is sent before it has more */
    PREDICT_OPEN_MAX = 8,              /* batches that one worker has at a time */
    PREDICT_PREFETCH_MAX = 16,         /* models that a new worker is told to load */
    PREDICT_FAILURES = 5,              /* in a row, until the model's breaker opens */
    PREDICT_PAUSE_MS = 1000,           /* of an open breaker, at first; it doubles */
    PREDICT_PAUSE_MAX_MS = 30 * 1000,
    PREDICT_RETRY_AFTER_MS = 1000, /* told with a full queue */
    PREDICT_LOAD_MS = 60 * 1000    /* a worker may take so long to load a model ahead of time */
};

struct predict_answer {
    int code; /* enum err; not OK: detail says why, and there are no rows */
    const char *detail;
    uint32_t retry_after_ms;   /* 0: do not try again */
    const struct model *model; /* NULL: it is gone */
    const struct batch *rows;  /* of the whole batch; the request's are [first, first + n_rows) */
};

/* Made by the one who asks, who owns it again in `done`; meanwhile it must not move. */
struct predict_request {
    void (*done)(struct predict_request *r, const struct predict_answer *a);
    uint32_t first, n_rows; /* in its batch */
    uint64_t from_us, until_ms;
    struct predict_batch *batch;
    struct predict_request *next, *prev; /* in the batch */
};

struct predict *predict_new(struct edge *e) MUST_CHECK; /* NULL: no memory */
void predict_stop(struct predict *p); /* answers all requests that are open with UNAVAILABLE */
void predict_free(struct predict *p); /* takes NULL; stops it */

struct model_table *predict_models(const struct predict *p);

/* Whether the model (version 0: the newest) takes a request now, and the batch to which its rows are to be
 * appended, whole ones. NOT_FOUND, UNAVAILABLE (no worker, breaker), QUEUE_FULL, NOMEM;
 * *ret_retry_after_ms is valid after an error. */
int predict_open(struct predict *p, struct span name, uint64_t version, struct model **ret,
                 struct batch **ret_rows, uint32_t *ret_retry_after_ms, struct error *e) MUST_CHECK;
/* The rows from `first` on are r's. timeout_ms 0: as long as the configuration allows. Nothing but
 * appending rows happened since predict_open. An error (LIMIT, NOMEM, INVALID_ARGUMENT: no rows) takes
 * the rows out again. */
int predict_add(struct predict *p, struct model *m, struct predict_request *r, uint32_t first,
                uint64_t timeout_ms, struct error *e) MUST_CHECK;
/* The rows that were given are not valid: counts that, and takes them out again. */
void predict_reject(struct predict *p, struct model *m, uint32_t first);

/* Sends what is to be sent, answers what is too late; when it wants to be called next. */
uint64_t predict_step(struct predict *p);

/* ---- what happens elsewhere ---- */

void predict_answered(struct predict *p, struct session *s, const struct wire_predicted *m);
void predict_session_new(struct predict *p, struct session *s); /* may be sent to now */
void predict_session_end(struct predict *p, const struct session *s);
void predict_model_new(struct predict *p, struct model *m);  /* tells workers to load it */
void predict_model_gone(struct predict *p, struct model *m); /* before it is removed */

/* ---- to look at ---- */

enum predict_state { PREDICT_CLOSED, PREDICT_OPEN, PREDICT_PROBE };

struct predict_view {
    enum predict_state state;
    uint64_t retry_ms; /* until the next probe, when open */
    const char *error; /* of the last failure; empty: none */
    uint32_t queued_rows, open_batches;
};
void predict_look(const struct predict *p, const struct model *m, struct predict_view *ret);
uint64_t predict_unknown(const struct predict *p); /* requests for models that are not there */

#endif
