/*
 * local_gather.h: brings together what the tasks of a job that runs alone came to, when a stage of it
 * gathers: each part as soon as it is there, and the answer when all are.
 *
 * Thread rule: add from any thread; the rest is the owner's.
 */
#ifndef DROVER_LOCAL_GATHER_H
#define DROVER_LOCAL_GATHER_H

#include <pthread.h>

#include "pipeline.h"

struct local_gather {
    struct pipeline_gather *gather; /* NULL: no stage gathers */
    pthread_mutex_t lock;           /* of it, and of the next */
    struct error error;
    bool ended;
};

void local_gather_init(struct local_gather *g);
int local_gather_open(struct local_gather *g, const struct pipeline *p, const struct blobset *blobs,
                      struct error *e) MUST_CHECK;
void local_gather_done(struct local_gather *g);

/* Takes the part of an output, if it has one. */
void local_gather_add(struct local_gather *g, struct output *o);

/* All parts are there: the packed item of the task that gives the answer, once; *ret_wanted false: there is
 * none to give. Or what went wrong with a part. */
int local_gather_item(struct local_gather *g, struct buf *item, bool *ret_wanted,
                      struct error *e) MUST_CHECK;

#endif
