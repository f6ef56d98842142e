/*
 * part_serve.h: gives workers the parts of a job (store_parts), as a source of bytes for blob_serve.h:
 * an offset is the cursor of the last part that the worker has.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_PART_SERVE_H
#define DROVER_PART_SERVE_H

#include "coordinator/edge/edge.h"

enum {
    PART_SERVE_NAME_LEN = 8,               /* the job's number, big-endian */
    PART_SERVE_BYTES_MAX = 4 * 1024 * 1024 /* in one answer, unless one part alone is larger */
};

/* What came of it. next == total: there is no more. */
struct part_answer {
    uint64_t session, job, cursor, next, total;
    uint32_t bytes_asked;
    struct span data;
    int rc;
    const char *detail;
};
typedef void part_serve_fn(struct edge *e, const struct part_answer *answer);

/* NOMEM. done is called later, once. max: bytes, unless one part alone is larger. */
int part_serve(struct edge *e, uint64_t session, struct span name, uint64_t cursor, uint32_t max,
               part_serve_fn *done, struct error *error) MUST_CHECK;

#endif
