/*
 * run.h: runs a plan over rows: blocks of CSV or batches, in pieces of VEC_ROWS rows.
 *
 *     load early columns -> WHERE -> load the others -> groups, or results -> tail -> sink
 *
 * A row with a fault goes to the reject function and into no result.
 *
 * Thread rule: one owner at a time; the plan may be shared.
 */
#ifndef DROVER_TRANSFORM_RUN_H
#define DROVER_TRANSFORM_RUN_H

#include "csv.h"
#include "load.h"
#include "lookup.h"
#include "ndjson.h"
#include "plan.h"
#include "sink.h"
#include "state.h"

enum { RUN_LIMIT_BYTES = 256 * 1024 * 1024 }; /* of groups, and of kept results */

enum run_policy { RUN_REJECT, RUN_NULL, RUN_FAIL };

/* A row that came to nothing. Valid during the call. */
struct run_reject {
    uint64_t line;      /* of the file; 0: a group */
    uint64_t row;       /* of the batch, from 0 */
    const char *reason; /* fault.h */
    const char *column; /* NULL: it came from computing */
    unsigned character; /* of the SQL text, when column is NULL; 0: none */
    struct span value;
};

typedef void run_reject_fn(void *user, const struct run_reject *r);

struct run_options {
    enum run_policy policy;
    run_reject_fn *reject; /* may be NULL: rejects are only counted */
    void *user;
    size_t limit_bytes;                 /* 0: RUN_LIMIT_BYTES */
    const struct lookup_index *indexes; /* one for each join of the plan */
};

struct run;

int run_new(const struct plan *p, const struct run_options *o, struct sink *sink, struct run **ret,
            struct error *e) MUST_CHECK;
void run_free(struct run *r);

/* The names of the fields of the input, in order: where the plan's columns are; NULL: field i is
 * column i of the plan. INVALID_SPEC: one of them is not there. */
int run_bind(struct run *r, const char *const *names, size_t n, struct error *e) MUST_CHECK;

/* Where the rows that come next stand in the input, the lower the earlier. */
void run_place(struct run *r, uint64_t place);
/* All rows of the reader. skip_header: its first row names the columns. */
int run_csv(struct run *r, struct csv *c, bool skip_header, struct error *e) MUST_CHECK;
int run_ndjson(struct run *r, struct ndjson *j, enum simd simd, struct error *e) MUST_CHECK;
/* A reject that the reader found beside the rows; by policy an error. */
int run_reject(struct run *r, const struct run_reject *reject, struct error *e) MUST_CHECK;
bool run_full(const struct run *r); /* no more rows are wanted */
int run_batch(struct run *r, const struct batch *b, struct error *e) MUST_CHECK;
/* Takes in what another run of the same plan, which has not ended, found. Here and below the plan
 * has something to gather: groups, or rows that the tail keeps. */
int run_merge(struct run *r, const struct run *from, struct error *e) MUST_CHECK;
/* What a run that has not ended found, as bytes (state.h) appended to out, and such bytes into a run.
 * LIMIT: more than out may hold. After an error of run_load the run is good for nothing. */
int run_save(struct run *r, struct buf *out, struct error *e) MUST_CHECK;
int run_load(struct run *r, struct span from, struct error *e) MUST_CHECK;
/* Gives out groups and sorted rows. */
int run_end(struct run *r, struct error *e) MUST_CHECK;

struct run_counts {
    uint64_t rows, rejects, results;
    uint64_t skipped; /* packets of a capture that belong to no flow; of this run alone */
};
struct run_counts run_counts(const struct run *r);

#endif
