/*
 * model_check.h: a model looked at when one is added or shown (looks.h): does it load, does it give what
 * its sample expects, which columns has it. It does not say what to do about the answer.
 *
 * Thread rule: model_check_submit from the loop thread; the check is the thread's until `done`.
 */
#ifndef DROVER_MODEL_CHECK_H
#define DROVER_MODEL_CHECK_H

#include "coordinator/edge/looks.h"
#include "coordinator/edge/model_info.h"

struct model_check {
    struct look look; /* first: what comes back is cast */
    struct blob_name blobs[2];
    bool has_sample; /* then the model must give what it expects */
    double tolerance;
    const struct span *names; /* of a matrix' columns, or NULL */
    size_t n_names;
    bool explain;            /* text is wanted, with kernels chosen and measured on this machine */
    struct model_info *info; /* answered, unless explain; the owner's */
    struct buf text;         /* answered, when explain */
};

/* sample: NULL: none. done: on the loop thread, with check.look.rc. Errors: looks_submit. */
int model_check_submit(struct looks *l, struct model_check *c, const struct blob_name *model,
                       const struct blob_name *sample, void (*done)(struct look *),
                       struct error *e) MUST_CHECK;

#endif
