/*
 * ndjson.h: reads NDJSON: one object a line, of which the wanted values (jsonpath.h) are found in
 * one pass that also checks the rest of the line. What a value is to a column is its text: a string
 * without quotes and escapes, a number or true and false as written, an object or array as its JSON;
 * null, and a key that is not there, are NULL. Of equal keys the last one counts.
 *
 * A line that is no JSON object is a bad row; blank lines are none. load_json (below) turns values
 * into vectors.
 *
 * Thread rule: one owner at a time; the paths may be shared.
 */
#ifndef DROVER_TRANSFORM_NDJSON_H
#define DROVER_TRANSFORM_NDJSON_H

#include "jsonpath.h"
#include "lines.h"
#include "load.h"

enum {
    NDJSON_NESTING_MAX = 128, /* of objects and arrays in a line */
    NDJSON_BAD_SHOWN = 100    /* bytes of a bad line that a reject shows */
};

enum ndjson_kind { NDJSON_NULL, NDJSON_PLAIN, NDJSON_ESCAPED };

struct ndjson_cell {
    uint32_t at; /* in the block */
    uint32_t len : 30;
    uint32_t kind : 2; /* enum ndjson_kind */
};

/* Up to VEC_ROWS lines. */
struct ndjson_piece {
    const uint8_t *data;
    bool ascii;
    uint32_t n;
    struct ndjson_cell *cells; /* column * VEC_ROWS + row */
    bool *escaped;             /* of each column: some cell is */
    uint64_t first_line;
    uint32_t lines[VEC_ROWS]; /* of each row, after the first one */
    uint16_t good[VEC_ROWS], bad[VEC_ROWS];
    uint32_t n_good, n_bad;
    struct span bad_text[VEC_ROWS]; /* of bad[k]: how the line begins */
};

struct ndjson;

/* n_columns: of the paths. */
int ndjson_new(const struct jsonpath *root, size_t n_columns, csv_read_fn *read, void *user,
               uint64_t first_line, struct ndjson **ret, struct error *e) MUST_CHECK;
void ndjson_free(struct ndjson *j); /* takes NULL */

/* The next rows, or NULL at the end; valid until the next call. LIMIT as lines_next. */
int ndjson_next(struct ndjson *j, const struct ndjson_piece **ret, struct error *e) MUST_CHECK;

/* Rows i of the piece, for the i of sel. column->field is a column of the paths. */
void load_json(struct eval *v, const struct ndjson_piece *p, enum simd simd, const struct sel *sel,
               const struct load_column *column);

#endif
