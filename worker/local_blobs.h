/*
 * local_blobs.h: the blobs of a job that runs alone (`run --blobs DIR`): files of a folder that are named
 * by their SHA-256. Those that the description names are hashed and opened before the first task, those
 * of the items with their task, since a slice is used once.
 *
 * Thread rule: one thread, the process's first.
 */
#ifndef DROVER_LOCAL_BLOBS_H
#define DROVER_LOCAL_BLOBS_H

#include "local_files.h"
#include "pipeline.h"
#include "worker/blobset.h"

struct local_blobs {
    struct blob_files *files; /* borrowed; NULL: there is no folder */
    struct blobset job;       /* of every task */
};

/* files: of the job, with the folder; borrowed until close. NOT_FOUND, IO, NOMEM. */
int local_blobs_open(struct local_blobs *l, const struct local_files *files,
                     const struct pipeline *p, struct error *e) MUST_CHECK;
void local_blobs_close(struct local_blobs *l);

/* Those of a task, on top of the job's; the caller gives them back by blobset_done. */
int local_blobs_task(struct local_blobs *l, const struct pipeline *p, struct span items,
                     struct blobset *ret, struct error *e) MUST_CHECK;

#endif
