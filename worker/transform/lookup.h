/*
 * lookup.h: a lookup table of a JOIN: its rows in memory, and an index of those rows by the columns
 * that a join compares. Filled once, as the sink of the run that reads its file.
 *
 * Rows with one key are a chain: lookup_find gives the first, lookup_next those behind it, in the
 * order of the file. A key with a NULL in it is in no chain.
 *
 * Thread rule: one owner while it is filled; immutable and shared by threads once indexed.
 */
#ifndef DROVER_TRANSFORM_LOOKUP_H
#define DROVER_TRANSFORM_LOOKUP_H

#include "keyset.h"
#include "sink.h"
#include "store.h"

enum {
    LOOKUP_ROWS_MAX = 16000000,
    LOOKUP_BYTES_MAX = 256 * 1024 * 1024 /* of the rows, and again of each index */
};

#define LOOKUP_NONE UINT32_MAX

struct lookup {
    struct sink sink; /* first: the table is used as one while it is filled */
    const char *name; /* for errors; borrowed */
    struct store rows;
};

struct lookup_index {
    const struct lookup *table;
    struct keyset keys;
    uint32_t *first, *last; /* row of each key */
    uint32_t *next;         /* row behind each row */
};

int lookup_init(struct lookup *l, const char *name, const enum sqltype *types,
                size_t n) MUST_CHECK; /* NOMEM */
void lookup_done(struct lookup *l);

/* columns: n_keys of the table. LIMIT, NOMEM. */
int lookup_index_init(struct lookup_index *x, const struct lookup *l, const uint32_t *columns,
                      size_t n_keys, struct error *e) MUST_CHECK;
void lookup_index_done(struct lookup_index *x);

/* The first row that has the key of each row of sel, or NONE, into at. key: room for the bytes of
 * one. False: no memory. */
bool lookup_find(const struct lookup_index *x, const struct vec *const *keys, size_t n_keys,
                 const struct sel *sel, struct arena *scratch, struct buf *key,
                 uint32_t at[VEC_ROWS]) MUST_CHECK;

static inline uint32_t lookup_next(const struct lookup_index *x, uint32_t row)
{
    return x->next[row];
}

#endif
