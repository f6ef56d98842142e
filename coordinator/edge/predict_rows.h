/*
 * predict_rows.h: the rows of one request, cell by cell, into the batch of a model: names to columns, and
 * every value checked against what the model takes. Every error names row and column. The ways in are
 * msgpack (here) and JSON (predict_json.h).
 *
 * Thread rule: one thread at a time.
 */
#ifndef DROVER_PREDICT_ROWS_H
#define DROVER_PREDICT_ROWS_H

#include "coordinator/edge/model_info.h"

struct predict_rows {
    const struct model_info *info;
    struct batch *out;
    struct arena *mem;
    uint32_t row;       /* of the request, from 0 */
    struct span *names; /* that the request uses, in its order; NULL: none were said */
    uint32_t *columns;  /* of the model, for each of them */
    uint32_t n;         /* of both */
};

void predict_rows_init(struct predict_rows *r, const struct model_info *info, struct batch *out,
                       struct arena *mem);

/* The names of the request's columns: all that the model takes, in any order. They must live as long as r. INVALID_ARGUMENT, NOMEM. */
int predict_rows_names(struct predict_rows *r, const struct span *names, size_t n,
                       struct error *e) MUST_CHECK;
/* Without names: the model's own order. */
int predict_rows_order(struct predict_rows *r, struct error *e) MUST_CHECK;

/* A cell of the current row, at a position in the request's order. INVALID_ARGUMENT. */
int predict_rows_null(struct predict_rows *r, uint32_t at, struct error *e) MUST_CHECK;
int predict_rows_number(struct predict_rows *r, uint32_t at, double v, struct error *e) MUST_CHECK;
int predict_rows_integer(struct predict_rows *r, uint32_t at, int64_t v,
                         struct error *e) MUST_CHECK;
int predict_rows_bool(struct predict_rows *r, uint32_t at, bool v, struct error *e) MUST_CHECK;
/* v: UTF-8. */
int predict_rows_text(struct predict_rows *r, uint32_t at, struct span v,
                      struct error *e) MUST_CHECK;
int predict_rows_wrong(const struct predict_rows *r, uint32_t at,
                       const char *what, /* "an object" */
                       struct error *e) MUST_CHECK;

/* The position of a name; guess: where it is expected. INVALID_ARGUMENT: unknown, or out of order. */
int predict_rows_find(const struct predict_rows *r, struct span name, uint32_t guess, uint32_t *ret,
                      struct error *e) MUST_CHECK;
/* Ends the row. INVALID_ARGUMENT: a column is missing. */
int predict_rows_end(struct predict_rows *r, struct error *e) MUST_CHECK;

/* columns: packed array of names, or nothing; rows: packed array of arrays. */
int predict_rows_unpack(const struct model_info *info, struct span columns, struct span rows,
                        struct batch *out, struct arena *mem, struct error *e) MUST_CHECK;

/* Appends n rows from `first` on in their wire form. NOMEM. */
int predict_rows_cut(const struct batch *rows, uint32_t first, uint32_t n,
                     struct buf *out) MUST_CHECK;

#endif
