/*
 * local_rejects.h: what came to nothing in a job that runs alone: counted, listed in a file of NDJSON when
 * there is one, and the first whole input that was lost remembered.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_LOCAL_REJECTS_H
#define DROVER_LOCAL_REJECTS_H

#include "local_stats.h"
#include "rowfile.h"

struct local_rejects {
    struct local_stats *stats;
    struct rowfile file;
    struct buf line;
    struct error lost; /* the first input that came to nothing */
};

/* path NULL: they are only counted. IO. */
int local_rejects_open(struct local_rejects *r, const char *path, struct local_stats *stats,
                       struct error *e) MUST_CHECK;
int local_rejects_close(struct local_rejects *r, struct error *e) MUST_CHECK;

/* detail: may be NULL. */
void local_rejects_add(struct local_rejects *r, struct span input, const char *reason,
                       const char *detail);
/* A whole input, and not a row of it. */
void local_rejects_lose(struct local_rejects *r, struct span input, const char *reason,
                        const char *detail);

/* Whether there are more than the job allows. */
bool local_rejects_too_many(const struct local_rejects *r, int64_t rejects_max);

#endif
