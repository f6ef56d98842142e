/*
 * model_info.h: what the coordinator knows of a named model without loading it: the columns that a
 * request has to give, in the model's order, and those that it answers with. Made once, when the model
 * is added, and kept in the store as bytes.
 *
 * A model with one matrix knows its columns by name when they were named at adding; otherwise by position
 * alone, and requests give rows as lists: names that nobody checks could come in any order.
 *
 * Thread rule: immutable once made.
 */
#ifndef DROVER_MODEL_INFO_H
#define DROVER_MODEL_INFO_H

#include "common/arena.h"
#include "common/batch.h"
#include "worker/score/score.h"

/* What a cell may be. The numbers are stored: never change one. */
enum model_cell {
    MODEL_FLOAT = 1, /* a number; null is a missing value */
    MODEL_INT64 = 2,
    MODEL_INT32 = 3,
    MODEL_BOOL = 4,
    MODEL_TEXT = 5 /* null is the empty text */
};

struct model_column {
    struct span name; /* NUL-terminated */
    enum model_cell cell;
};

struct model_result {
    struct span name;
    enum col_type type;
};

struct model_info {
    struct arena mem;
    bool positional; /* names are "1", "2" ..., for errors */
    struct model_column *columns;
    uint32_t n_columns;
    uint32_t *by_name; /* numbers of the columns, in order of their names */
    struct model_result *results;
    uint32_t n_results;
};

/* names: of the columns of a model with one matrix, or NULL; n_names of them. INVALID_ARGUMENT: the model
 * takes others, or more than one matrix; NOMEM. */
int model_info_new(const struct score_model *m, const struct span *names, size_t n_names,
                   struct model_info **ret, struct error *e) MUST_CHECK;
void model_info_free(struct model_info *info); /* takes NULL */

void model_info_pack(const struct model_info *info, struct buf *out);
int model_info_read(struct span packed, struct model_info **ret, struct error *e) MUST_CHECK;

/* The number of the column with that name; -1: there is none. */
int64_t model_info_find(const struct model_info *info, struct span name);
/* An empty batch with the columns. NULL: no memory. */
struct batch *model_info_batch(const struct model_info *info) MUST_CHECK;
const char *model_cell_name(enum model_cell cell); /* "a number", "a text", ... */

#endif
