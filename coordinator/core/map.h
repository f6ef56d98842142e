/*
 * map.h: a hash table from a well-mixed 64-bit hash to a pointer. Several entries may have one
 * hash; the caller tells them apart by looking at what they point to.
 *
 * Open addressing with linear probing and removal by moving back, at most 3/4 full, 16 bytes a slot.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_MAP_H
#define DROVER_CORE_MAP_H

#include "common/base.h"

struct map_slot {
    uint64_t hash;
    void *value; /* NULL: free */
};

struct map {
    struct map_slot *slots;
    size_t n, cap; /* cap: a power of two, or 0 */
};

void map_done(struct map *m);
void map_add(struct map *m, uint64_t hash, void *value);
void map_remove(struct map *m, uint64_t hash, const void *value); /* must be there */

/* The first entry with that hash, and the next one after *cursor; NULL: no more. */
void *map_next(const struct map *m, uint64_t hash, size_t *cursor);
static inline void *map_find(const struct map *m, uint64_t hash)
{
    size_t cursor = SIZE_MAX;
    return map_next(m, hash, &cursor);
}

static inline uint64_t map_bytes(const struct map *m)
{
    return m->cap * sizeof(struct map_slot);
}

#endif
