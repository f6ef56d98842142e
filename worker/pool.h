/*
 * pool.h: threads for work that computes and does not wait for the network. They are started when
 * there is something to do, up to a number, and take jobs in the order in which they came.
 *
 * It knows nothing of what the jobs are. A job that has begun is not interrupted.
 *
 * Thread rule: the owner's thread; a job's function runs on one of the pool's.
 */
#ifndef DROVER_POOL_H
#define DROVER_POOL_H

#include "common/err.h"

struct pool;

struct pool_job { /* lives in what the job belongs to, until its function was called */
    void (*run)(struct pool_job *job);
    struct pool_job *next;
};

/* threads: at least 1. NULL: no memory. */
struct pool *pool_new(size_t threads) MUST_CHECK;
/* Waits for every job: those that have not begun are called too. */
void pool_free(struct pool *p); /* takes NULL */

/* UNAVAILABLE: no thread could be started, and there is none; the job was not taken. */
int pool_add(struct pool *p, struct pool_job *job, struct error *e) MUST_CHECK;

#endif
