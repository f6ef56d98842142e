/*
 * store.h: rows that have to be kept: the keys of groups, and the results that ORDER BY sorts.
 * Columns of values that last, with a limit in bytes.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_STORE_H
#define DROVER_TRANSFORM_STORE_H

#include "vec.h"

struct store_column {
    enum sqltype type;
    int64_t *
        cells; /* bit pattern: of a double too; of a bool 0 or 1; of texts and intervals the address */
    uint32_t *lens;  /* TEXT, JSON */
    uint8_t *scales; /* NUMERIC */
    uint8_t *nulls;
};

struct store {
    struct arena memory; /* texts and long numbers */
    struct store_column *columns;
    size_t n_columns;
    uint32_t n, cap;
    size_t limit_bytes;
};

int store_init(struct store *s, const enum sqltype *types, size_t n, size_t limit_bytes) MUST_CHECK;
void store_done(struct store *s);

/* A row from row i of the vectors. False: memory or the limit is at its end. */
bool store_add(struct store *s, const struct vec *const *from, uint32_t i) MUST_CHECK;

/* Row rows[k] (row first + k when rows is NULL) into row k of the vector, for k below n. */
void store_load(const struct store *s, size_t column, const uint32_t *rows, uint32_t first,
                uint32_t n, struct vec *to);

/* Row at[i] into row i of the vector, for the i of sel; UINT32_MAX: NULL. */
void store_gather(const struct store *s, size_t column, const uint32_t *at, const struct sel *sel,
                  struct vec *to);

/* The order of two rows by one column; both NULL: 0, one: nulls_last. */
int store_compare(const struct store *s, size_t column, uint32_t a, uint32_t b, bool nulls_first,
                  bool descending, struct arena *scratch);

size_t store_bytes(const struct store *s);

#endif
