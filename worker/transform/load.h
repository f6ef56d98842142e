/*
 * load.h: fields of a block of CSV, or cells of a batch, into the typed vectors of the columns
 * that a query names. An empty field without quotes is NULL, as for COPY ... CSV. What does not
 * parse is a fault of its row, or NULL by policy.
 *
 * Thread rule: works on its eval alone.
 */
#ifndef DROVER_TRANSFORM_LOAD_H
#define DROVER_TRANSFORM_LOAD_H

#include "common/batch.h"
#include "csv.h"
#include "eval.h"
#include "parsefast.h"

struct load_column {
    uint32_t field;  /* of the row or of the batch, from 0 */
    uint32_t column; /* of the eval */
    const char *name;
};

/* A piece of a block: up to VEC_ROWS rows, looked at once for all columns. */
struct load_piece {
    const struct csv_block *block;
    size_t first_row;
    uint32_t n;
    uint32_t stride; /* fields of each row; 0: they differ */
    uint8_t quote;
    enum simd simd;
    uint32_t n_quoted; /* rows with a quote in them, in order, and as a bitmap */
    uint16_t quoted[VEC_ROWS];
    uint64_t is_quoted[VEC_WORDS];
};

/* stride: of rows that all have so many fields; 0 when they differ. */
void load_begin(struct load_piece *p, const struct csv_block *b, size_t first_row, uint32_t n,
                uint32_t stride, uint8_t quote, enum simd simd);

/* Rows i of the piece, for the i of sel; where a row has no such field it counts as NULL. */
void load_csv(struct eval *v, const struct load_piece *p, const struct sel *sel,
              const struct load_column *column);

void load_batch(struct eval *v, const struct batch *b, uint32_t first_row, const struct sel *sel,
                const struct load_column *column);

/* ---- for readers of other formats ---- */

/* Row i from its text: UTF-8 unless the vector is known to be ASCII, readable VEC_PAD bytes on. */
void load_value(struct eval *v, uint32_t i, struct vec *to, struct span s, const char *name);
void load_null(struct vec *to, uint32_t i);
/* Do numbers of this type go by words? */
static inline bool load_is_number(enum sqltype type)
{
    return type == SQLTYPE_NUMERIC || type == SQLTYPE_FLOAT8 || type == SQLTYPE_INT4 ||
           type == SQLTYPE_INT8;
}
/* Words of the rows of sel, one each, into a vector of such a type. True: some are odd (x->odd), and
 * theirs are still to be loaded. A numeric vector has a scale of all when none is. */
bool load_words(struct parsefast *x, enum simd simd, const struct sel *sel, struct vec *to);
/* A fault of the row, or NULL by policy. */
void load_refuse(struct eval *v, uint32_t i, struct vec *to, const char *reason, const char *name,
                 struct span value);

#endif
