/*
 * transform.h: the transform engine as the rest of the worker sees it: a stage of a job, compiled
 * once, run over ranges of files or over the rows of the stage before.
 *
 *     {"kind": "transform", "sql": "SELECT ... FROM input ...", "columns": {"amount": "numeric"},
 *      "on_error": "reject" | "null" | "fail",
 *      "csv": {"delimiter": ",", "quote": "\"", "header": true, "names": [...],
 *              "ragged": "reject" | "pad" | "fail"},
 *      "tables": {"regions": {"columns": {"code": "text"}, "csv": {...}, "blob": SHA256}}}
 *
 * It knows nothing of tasks, leases or sinks of the fleet.
 *
 * Thread rule: a struct transform is immutable and may be shared; a struct transform_run has one
 * owner at a time.
 */
#ifndef DROVER_TRANSFORM_TRANSFORM_H
#define DROVER_TRANSFORM_TRANSFORM_H

#include <jansson.h>
#include <stdatomic.h>

#include "common/blob.h"
#include "run.h"
#include "split.h"

struct transform;

/* input: the columns of the stage before; NULL for the first stage, which reads files. names: the
 * columns of the files, when they are known already (n_names 0: they are not, and a column that
 * does not exist is found out when a file is opened). INVALID_SPEC, its detail beginning with the
 * path. */
int transform_compile(const json_t *stage, const struct batch *input, const char *const *names,
                      size_t n_names, struct transform **ret, struct error *e) MUST_CHECK;
void transform_free(struct transform *t); /* takes NULL */

/* The lookup tables that the SQL can join. Each that it does join must be given as a file
 * before the first transform_open (again is no error); with that the transform is immutable. The file is read by
 * offset, to its end, and may be closed then. LIMIT names the table; a value that is none of its
 * column's type is INVALID_ARGUMENT with its line. */
size_t transform_n_tables(const struct transform *t);
const char *transform_table_name(const struct transform *t, size_t i);
const struct blob_name *transform_table_blob(const struct transform *t, size_t i); /* NULL: none */
int transform_table(struct transform *t, const char *name, int fd, struct error *e) MUST_CHECK;

/* An empty batch with the columns of the results. NULL: no memory. */
struct batch *transform_columns(const struct transform *t) MUST_CHECK;
void transform_explain(const struct transform *t, struct buf *out);
const struct plan *transform_plan(const struct transform *t);
/* The results are groups, or sorted, or limited: parts of an input have to be brought together. */
bool transform_gathers(const struct transform *t);
/* The results are groups that a sink can add up by itself, key by key: keys, and sum, count, min and max
 * of columns, as they are. */
bool transform_adds_up(const struct transform *t);

/* The names in the first row of a file, as one allocation; without header those of the stage.
 * MALFORMED: there is none. */
int transform_names(const struct transform *t, int fd, char ***ret_names, size_t *ret_n,
                    struct error *e) MUST_CHECK;

/* Rows of a range that split.h gave; end UINT64_MAX: to the end of the file. */
struct transform_range {
    struct split_point begin;
    uint64_t end;
};
extern const struct transform_range transform_whole_file;

/* Cuts a file into ranges (split.h), from the start of a row on. */
struct transform_cut {
    struct split split;
    int fd;
    uint64_t at;
    const atomic_bool *stop;
};
bool transform_can_cut(const struct transform *t, int fd);
int transform_cut_init(struct transform_cut *c, const struct transform *t, int fd,
                       struct split_point from, const atomic_bool *stop,
                       struct error *e) MUST_CHECK;
/* As split_next. */
int transform_cut_next(struct transform_cut *c, uint64_t offset, struct split_point *ret,
                       struct error *e) MUST_CHECK;
void transform_cut_done(struct transform_cut *c);

struct transform_run;

/* reject: may be NULL. simd: how, SIMD_AVX512 for the best there is is simd_best(). */
int transform_open(const struct transform *t, struct sink *sink, run_reject_fn *reject, void *user,
                   enum simd simd, struct transform_run **ret, struct error *e) MUST_CHECK;
void transform_close(struct transform_run *r); /* takes NULL */
/* When it becomes true, reading a file ends soon, with STALE. */
void transform_stop(struct transform_run *r, const atomic_bool *stop);
int transform_file(struct transform_run *r, int fd, const struct transform_range *range,
                   const char *const *names, size_t n_names, struct error *e) MUST_CHECK;
/* Batches of one run have the same columns. */
int transform_batch(struct transform_run *r, const struct batch *in, struct error *e) MUST_CHECK;
/* What another run, which has not ended, found. Here and below: for a stage that gathers. */
int transform_merge(struct transform_run *r, const struct transform_run *from,
                    struct error *e) MUST_CHECK;
/* What the run found so far, as bytes that are appended to out, instead of transform_end. LIMIT:
 * more than out may hold. */
int transform_save(struct transform_run *r, struct buf *out, struct error *e) MUST_CHECK;
/* Takes such bytes in. Those of all runs may come in any order, each once; a run can also load
 * some and save what they come to. MALFORMED: they are none of this query (after this or
 * another error the run is good for nothing). */
int transform_load(struct transform_run *r, struct span from, struct error *e) MUST_CHECK;
int transform_end(struct transform_run *r, struct error *e) MUST_CHECK;
struct run_counts transform_counts(const struct transform_run *r);

#endif
