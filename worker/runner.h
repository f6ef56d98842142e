/*
 * runner.h: the threads that do the work: one scrape loop per core, each on a thread of its own, and a
 * pool of as many threads for what computes. Tasks of one key always go to the same loop, so that a
 * host's limits hold inside the process.
 *
 *     owner's thread:  runner_start ----> [loop or pool] source, later stages, config.finish ---.
 *                      runner_take <-------------------------- runner_fd becomes readable <----'
 *
 * Inline sources (noop) never change thread: pipeline_run does them. The runner knows nothing of
 * leases, sessions or files; it decides nothing about when a task is started.
 *
 * Thread rule: the owner's thread, except for config.finish, which runs on a loop's.
 */
#ifndef DROVER_RUNNER_H
#define DROVER_RUNNER_H

#include "pipeline.h"
#include "pool.h"
#include "worker/inputs.h"
#include "worker/scrape/calls.h"
#include "worker/scrape/scrape.h"

struct runner;

struct runner_task {
    /* set by the owner */
    struct pipeline *pipeline; /* LOOP or POOL; borrowed until the task was taken back */
    uint64_t job;
    uint32_t attempt;            /* from 1 */
    const struct blobset *blobs; /* what it needs; NULL: nothing; borrowed, as the pipeline */
    uint32_t grant;              /* concurrent requests to its host; 0: no limit but the stage's */
    bool whole;                  /* all of its items or nothing */
    void *user;
    bool gather; /* it brings together the parts: packed arrays of one binary each; borrowed */
    struct span parts;
    /* private */
    struct runner *runner;
    struct runner_loop *loop;
    struct scrape_task scrape;
    struct pool_job job_of_pool;
    atomic_bool cancelled;
    char *memory; /* the URLs; or the items */
    size_t items_len;
    struct output *output;               /* of the pool's */
    struct runner_task *older, *younger; /* of those of the pool that were not taken back */
    struct runner_task *next;
};

struct runner_config {
    size_t loops;                /* at least 1 */
    struct scrape_config scrape; /* of each loop; borrowed while the runner lives */
    struct inputs inputs;        /* files that tasks may read; what it borrows, too */
    /* As which text rows go out at once, instead of as an output's; NULL: they do not. */
    const struct pipeline_text *text;
    bool fleet; /* failing hosts are told of, and left */
    /* Takes the output on the loop's thread, e.g. to pack it. Then the task can be taken back. */
    void (*finish)(void *user, struct runner_task *task, struct output *output_take);
    void *user;
};

int runner_new(const struct runner_config *config, struct runner **ret, struct error *e) MUST_CHECK;

/* Ends the loops. Unfinished tasks are finished with STALE before it returns; the owner takes all
 * back with runner_take first when it wants them after: runner_stop, runner_take, runner_free. */
void runner_stop(struct runner *r);
void runner_free(struct runner *r); /* takes NULL */

/* Starts a task with its items, which are copied. MALFORMED, NOMEM: it was not started. */
int runner_start(struct runner *r, struct runner_task *task, struct span items,
                 struct error *e) MUST_CHECK;
/* It finishes soon, with STALE. Nothing happens when it has finished already. */
void runner_cancel(struct runner *r, struct runner_task *task);
/* Frozen loops begin no new request. */
void runner_freeze(struct runner *r, bool frozen);
void runner_lease(struct runner *r, uint64_t end_ms); /* scrape_loop_lease of each loop */

/* In a fleet: what the coordinator says of a host (scrape_loop_tell), and calls to hosts (calls_take). */
void runner_tell(struct runner *r, struct span host, enum scrape_host_state state);
void runner_session(struct runner *r);          /* a session began or ended: every host is free */
bool runner_is_calling(const struct runner *r); /* hosts that failed of late are watched */
size_t runner_calls(struct runner *r, bool all, struct calls_report *ret, size_t max);

/* Readable: there is something to take, or calls to tell of. */
int runner_fd(const struct runner *r);
struct runner_task *runner_take(struct runner *r); /* NULL: nothing (more) has finished */

/* The number of cores that this process may use. */
size_t runner_cores(void);

#endif
