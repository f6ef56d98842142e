/*
 * model_check.h: models loaded from their blobs to look at them, when one is added or shown. That takes a
 * while, so it is done on a thread of its own, one model after the other. What is loaded here is thrown
 * away: workers are who predicts.
 *
 * A check is made by the loop thread and owned by it again when it comes back through
 * model_checker_poll(); between, it and what it points to belong to the thread.
 *
 * Thread rule: all functions from the loop thread.
 */
#ifndef DROVER_MODEL_CHECK_H
#define DROVER_MODEL_CHECK_H

#include "common/blob.h"
#include "coordinator/edge/model_info.h"
#include "worker/pool.h"

struct model_checker;

struct model_check {
    struct pool_job job; /* the thread's */
    struct model_checker *owner;
    struct model_check *next;
    struct blob_name model;
    bool has_sample; /* then the model must give what it expects */
    struct blob_name sample;
    double tolerance;
    const struct span *names; /* of a matrix' columns, or NULL */
    size_t n_names;
    bool explain;            /* text is wanted, with kernels chosen and measured on this machine */
    struct model_info *info; /* answered, unless explain; the owner's */
    struct buf text;         /* answered, when explain */
    void (*done)(struct model_check *c); /* loop thread; owns c again */
    int rc;
    struct error error;
};

/* data_dir: of the coordinator, which has the blobs. */
int model_checker_new(const char *data_dir, struct model_checker **ret, struct error *e) MUST_CHECK;
/* What is being looked at is finished; all checks come back through `done`. */
void model_checker_free(struct model_checker *m); /* takes NULL */

int model_checker_fd(const struct model_checker *m); /* readable when poll has something */
/* UNAVAILABLE: there is no thread; the check was not taken. */
int model_checker_submit(struct model_checker *m, struct model_check *c,
                         struct error *e) MUST_CHECK;
void model_checker_poll(struct model_checker *m); /* calls done of what came back */

#endif
