/*
 * looks.h: the thread that looks at models: what takes too long for the loop because a model is loaded for
 * it, and perhaps run over its sample. One look after the other, in the order in which they came. What is
 * loaded here is thrown away: workers are who predicts.
 *
 * A look is made by the loop thread and owned by it again when it comes back through looks_poll(); between,
 * it and what it points to belong to the thread. The blobs that it names stay while it is under way.
 *
 * It knows nothing of what is looked for (model_check.h, jobs.h).
 *
 * Thread rule: all functions from the loop thread, but for looks_map, which is for look.run.
 */
#ifndef DROVER_LOOKS_H
#define DROVER_LOOKS_H

#include "common/blob.h"
#include "common/err.h"
#include "worker/pool.h"

enum { LOOKS_MAX = 64 /* that wait, and the one under way */ };

struct blobs;
struct looks;

struct look {
    struct pool_job job; /* the thread's */
    struct looks *owner;
    struct look *next;
    const struct blob_name *blobs; /* that it reads; the owner's */
    size_t n_blobs;
    int (*run)(struct look *l, struct error *e); /* on the thread */
    void (*done)(struct look *l);                /* loop thread; owns l again */
    int rc;
    struct error error;
};

/* data_dir: of the coordinator, which has the blobs. */
int looks_new(const char *data_dir, struct blobs *blobs, struct looks **ret,
              struct error *e) MUST_CHECK;
/* From now on what is under way is finished, and what waits is answered UNAVAILABLE. */
void looks_stop(struct looks *l);
/* The same, and all looks come back through `done`. */
void looks_free(struct looks *l); /* takes NULL */

int looks_fd(const struct looks *l); /* readable when poll has something */
/* NOT_FOUND: a blob is not here. QUEUE_FULL: LOOKS_MAX are waiting. UNAVAILABLE: there is no thread. The
 * look was not taken then. */
int looks_submit(struct looks *l, struct look *one, struct error *e) MUST_CHECK;
void looks_poll(struct looks *l); /* calls done of what came back */

/* The bytes of a whole blob; give back by blob_files_unmap. NOT_FOUND, IO. */
int looks_map(struct looks *l, const struct blob_name *name, struct span *ret,
              struct error *e) MUST_CHECK;

#endif
