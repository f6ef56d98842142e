/*
 * jobs.h: the open jobs, as the loop needs them at hand: description, engine, flags, and a number
 * that changes whenever something about the job did. Ended jobs are only in the store.
 *
 *    submit committed, replay, dead letters retried
 *      --> [open] --SCHED_ACT_JOB_END--> [ending] --committed--> gone
 *                      ^                     |
 *                      +---- tasks came -----+   (dead letters retried at that very moment)
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_JOBS_H
#define DROVER_JOBS_H

#include "common/spec.h"
#include "coordinator/edge/edge.h"

/* Sinks fence a job that was cancelled at its generation; there is no second one, since a cancelled
 * job is never opened again. */
enum { JOBS_GENERATION = 1 };

struct job {
    uint64_t id;
    uint8_t uid[16];         /* names it in sinks */
    struct span spec_text;   /* owned */
    struct spec *spec;       /* owned */
    bool ending;             /* its end was decided and is on its way to the store */
    uint64_t version;        /* never 0; changes with the job */
    uint64_t results;        /* commits that added rows or rejects, in this process */
    struct tasks_made *late; /* tasks that came while the job was ending */
};

struct jobs;

struct jobs *jobs_new(struct edge *e, const struct spec_engine *engines, size_t n) MUST_CHECK;
void jobs_free(struct jobs *j);

struct job *jobs_get(const struct jobs *j, struct job_id id); /* NULL: not open */
size_t jobs_count(const struct jobs *j);

/* Checks a description that a client gave. */
int jobs_parse(const struct jobs *j, struct span text, struct spec **ret,
               struct error *error) MUST_CHECK;
/* The text alone, of a description that was not seen before: see spec_open. */
int jobs_read(const struct jobs *j, struct span text, struct spec **ret,
              struct error *error) MUST_CHECK;

/* The job is durable: keeps it and tells the scheduler. The spec is parsed when *spec_take is NULL.
 * A job that is open already stays as it is. */
int jobs_open(struct jobs *j, const struct store_job *job, struct spec **spec_take,
              struct error *error) MUST_CHECK;

/* Tasks of a job are durable: they go to the scheduler, their inputs into the cache. */
void jobs_tasks(struct jobs *j, const struct store_job *job, const struct store_task *tasks,
                size_t n);

/* Dead letters of the job were retried or discarded: the scheduler hears how many are left. */
void jobs_letters(struct jobs *j, const struct store_job *job);

/* Something changed: new version, and those who wait for the job are woken. */
void jobs_changed(struct jobs *j, struct job *job, bool results);

/* SCHED_ACT_JOB_END: writes the end to the store; after the commit the job is gone from here. */
void jobs_end(struct jobs *j, struct job_id id, enum sched_job_end how);

#endif
