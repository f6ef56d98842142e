/*
 * map64.h: a hash map from non-zero 64-bit numbers (ids of tasks, jobs, sessions) to pointers.
 *
 * Open addressing with linear probing; removal shifts entries back, so there are no tombstones. The
 * memory follows the largest number of entries that was held, down to the smallest table.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_MAP64_H
#define DROVER_MAP64_H

#include "common/base.h"

struct map64_entry {
    uint64_t key; /* 0: free */
    void *value;
};

struct map64 {
    struct map64_entry *entries;
    size_t n, cap; /* cap is 0 or a power of two */
};

void map64_done(struct map64 *m);

/* False: no memory (nothing changed). An earlier value of the key is replaced. */
bool map64_put(struct map64 *m, uint64_t key, void *value) MUST_CHECK;
void *map64_get(const struct map64 *m, uint64_t key); /* NULL: not there */
void *map64_take(struct map64 *m, uint64_t key);      /* removes; NULL: not there */

/* Walks all entries: start with *at = 0; NULL at the end. The map must not change between. */
struct map64_entry *map64_next(const struct map64 *m, size_t *at);

#endif
