/*
 * model.h: a loaded model: its graph, planned, and the names of its outputs as columns. It runs
 * tensors; rows of batches come in through stage.h.
 *
 * Thread rule: immutable once loaded, shared by any number of threads; references are atomic. A
 * scratch belongs to one thread at a time.
 */
#ifndef DROVER_SCORE_MODEL_H
#define DROVER_SCORE_MODEL_H

#include <stdatomic.h>

#include "common/batch.h"
#include "graph.h"

enum { SCORE_BLOCK_ROWS = 1024 }; /* rows that go through the graph at a time */

/* One column of the results: an element of an output's row. */
struct score_column {
    const char *name;
    enum col_type type;
    size_t output; /* of the graph */
    size_t at;     /* in the output's row */
};

struct score_model {
    struct arena keep, folded;
    struct graph graph;
    bool one_row; /* exported for one row at a time */
    struct score_column *columns;
    size_t n_columns;
    size_t *widths; /* of the outputs' rows, in elements */
    const char *producer, *producer_version;
    size_t file_bytes;
    atomic_uint references;
};

struct score_options {
    const char *kernel; /* forces one for all forests (tree.h); NULL: measured */
};

/* Reads, checks and plans a model. The file may go afterwards. INVALID_SPEC, INVALID_ARGUMENT,
 * LIMIT, NOMEM: the detail names the node and what is wrong with it. */
int score_load(struct span file, const struct score_options *options, struct score_model **ret,
               struct error *e) MUST_CHECK;
struct score_model *score_ref(struct score_model *m);
void score_unref(struct score_model *m); /* takes NULL */

/* A sentence for each: where the model is from, inputs, columns of the results, nodes, kernels. */
void score_explain(const struct score_model *m, struct buf *out);

/* The elements of a row of an input: of a matrix, its columns. */
size_t score_input_width(const struct score_model *m, size_t input);

/* Memory of runs, reused from one to the next. */
struct score_scratch {
    struct arena mem;
    size_t peak_bytes;
    uint64_t rows_before; /* in batches before this one: errors name rows of all of them, from 0 */
};
void score_scratch_init(struct score_scratch *s);
void score_scratch_done(struct score_scratch *s);
void score_scratch_clear(struct score_scratch *s); /* before each run */

/* Runs rows: a tensor for each input of the graph, with as many rows each (1 when one_row). The
 * outputs lie in the scratch, row-major, and have been checked against the planned shapes. */
int score_run_tensors(const struct score_model *m, const struct tensor *in, size_t rows,
                      struct score_scratch *s, const struct tensor **ret_out,
                      struct error *e) MUST_CHECK;

/* Names the columns of the results (columns.c). */
int score_name_columns(struct score_model *m, struct error *e) MUST_CHECK;

#endif
