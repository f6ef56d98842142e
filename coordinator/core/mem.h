/*
 * mem.h: memory for the core: allocations that succeed or end the process, and pools of equal
 * objects. The durable state is in the store, so ending is safe and recovery is a restart.
 *
 * It refuses to hand out anything that must survive its pool, and counts bytes, not objects.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_MEM_H
#define DROVER_CORE_MEM_H

#include "common/base.h"

void *mem_alloc(size_t n);                                    /* cleared; never NULL */
void *mem_resize(void *p, size_t n_items, size_t item_bytes); /* never NULL; aborts on overflow */

/* Grows *cap by half (at least to 16) and returns the moved array. */
void *mem_grow(void *p, size_t *cap, size_t item_bytes);

/* A pool: objects of one size in aligned slabs of 64 KiB. A slab whose objects are all free goes
 * back to the system, but for one that is kept. Nothing on the way allocates for each object. */
struct mem_slab;
struct mem_pool {
    size_t item_bytes;
    struct mem_slab *partial; /* slabs with a free object */
    uint64_t slabs, live;     /* slabs held; objects handed out */
    uint64_t idle;            /* slabs without a live object: 0 or 1 */
    struct mem_slab *all;
};

void mem_pool_init(struct mem_pool *p, size_t item_bytes);
void mem_pool_done(struct mem_pool *p); /* frees the slabs with all objects in them */
void *mem_pool_get(struct mem_pool *p); /* cleared */
void mem_pool_put(struct mem_pool *p, void *item);
uint64_t mem_pool_bytes(const struct mem_pool *p); /* held from the system */

#endif
