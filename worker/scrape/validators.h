/*
 * validators.h: the ETag and Last-Modified that pages came with, for conditional requests of later
 * jobs. Bounded: a table of fixed size in which a new entry displaces an old one.
 *
 * A validator is never used by the job that brought it: when the result of a task is lost and the
 * task runs again, a 304 would lose its rows.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_VALIDATORS_H
#define DROVER_VALIDATORS_H

#include "common/base.h"

enum { VALIDATOR_BYTES_MAX = 96, VALIDATORS_MAX = 8192 };

struct validator {
    uint64_t url_lo, url_hi; /* hash; both 0: empty */
    uint64_t job_id;         /* that brought it */
    char etag[VALIDATOR_BYTES_MAX];
    char last_modified[32];
};

struct validators;

struct validators *validators_new(void) MUST_CHECK; /* 1.2 MB; NULL: no memory */
void validators_free(struct validators *v);

/* What is known of a URL from another job; NULL: nothing. */
const struct validator *validators_get(const struct validators *v, struct span url,
                                       uint64_t job_id);

/* A value that does not fit, or holds control characters, is left out. */
void validators_put(struct validators *v, struct span url, uint64_t job_id, struct span etag,
                    struct span last_modified);

#endif
