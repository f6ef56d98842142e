#include "mem.h"

enum { SLAB_BYTES = 64 * 1024, SLAB_HEADER = 64 };

struct mem_slab {
    struct mem_slab *all_next, *all_prev;
    struct mem_slab *next, *prev; /* in the list of partial slabs, while `listed` */
    void *free;                   /* chain through the first word of each free object */
    uint32_t live, fresh;         /* handed out; objects never used yet begin at this index */
    bool listed;
};
_Static_assert(sizeof(struct mem_slab) <= SLAB_HEADER, "the header fits");

static void *mem_or_abort(void *p)
{
    if (!p)
        abort();
    return p;
}

void *mem_alloc(size_t n)
{
    return mem_or_abort(calloc(1, n ? n : 1));
}

void *mem_resize(void *p, size_t n_items, size_t item_bytes)
{
    size_t n;
    if (__builtin_mul_overflow(n_items, item_bytes, &n))
        abort();
    return mem_or_abort(realloc(p, n ? n : 1));
}

void *mem_grow(void *p, size_t *cap, size_t item_bytes)
{
    size_t want = *cap + *cap / 2;
    if (want < 16)
        want = 16;
    p = mem_resize(p, want, item_bytes);
    *cap = want;
    return p;
}

void mem_pool_init(struct mem_pool *p, size_t item_bytes)
{
    assert(item_bytes >= sizeof(void *) && item_bytes <= (SLAB_BYTES - SLAB_HEADER) / 8);
    *p = (struct mem_pool){.item_bytes = (item_bytes + 7) / 8 * 8};
}

void mem_pool_done(struct mem_pool *p)
{
    while (p->all) {
        struct mem_slab *slab = p->all;
        p->all = slab->all_next;
        free(slab);
    }
    *p = (struct mem_pool){0};
}

static uint32_t slab_capacity(const struct mem_pool *p)
{
    return (uint32_t)((SLAB_BYTES - SLAB_HEADER) / p->item_bytes);
}

static void slab_list(struct mem_pool *p, struct mem_slab *slab)
{
    slab->listed = true;
    slab->prev = NULL;
    slab->next = p->partial;
    if (slab->next)
        slab->next->prev = slab;
    p->partial = slab;
}

static void slab_unlist(struct mem_pool *p, struct mem_slab *slab)
{
    slab->listed = false;
    if (slab->prev)
        slab->prev->next = slab->next;
    else
        p->partial = slab->next;
    if (slab->next)
        slab->next->prev = slab->prev;
}

static struct mem_slab *slab_new(struct mem_pool *p)
{
    struct mem_slab *slab = mem_or_abort(aligned_alloc(SLAB_BYTES, SLAB_BYTES));
    *slab = (struct mem_slab){.all_next = p->all};
    if (p->all)
        p->all->all_prev = slab;
    p->all = slab;
    p->slabs++;
    p->idle++;
    slab_list(p, slab);
    return slab;
}

static void slab_free(struct mem_pool *p, struct mem_slab *slab)
{
    slab_unlist(p, slab);
    if (slab->all_prev)
        slab->all_prev->all_next = slab->all_next;
    else
        p->all = slab->all_next;
    if (slab->all_next)
        slab->all_next->all_prev = slab->all_prev;
    p->slabs--;
    free(slab);
}

void *mem_pool_get(struct mem_pool *p)
{
    struct mem_slab *slab = p->partial ? p->partial : slab_new(p);
    void *item = slab->free;
    if (item)
        memcpy(&slab->free, item, sizeof(void *));
    else
        item = (char *)slab + SLAB_HEADER + p->item_bytes * slab->fresh++;
    if (slab->live++ == 0)
        p->idle--;
    if (!slab->free && slab->fresh == slab_capacity(p))
        slab_unlist(p, slab);
    p->live++;
    memset(item, 0, p->item_bytes);
    return item;
}

void mem_pool_put(struct mem_pool *p, void *item)
{
    struct mem_slab *slab =
        (struct mem_slab *)(void *)((uintptr_t)item & ~(uintptr_t)(SLAB_BYTES - 1));
    memcpy(item, &slab->free, sizeof(void *));
    slab->free = item;
    if (!slab->listed)
        slab_list(p, slab);
    p->live--;
    if (--slab->live > 0)
        return;
    if (p->idle > 0)
        slab_free(p, slab);
    else
        p->idle++;
}

uint64_t mem_pool_bytes(const struct mem_pool *p)
{
    return p->slabs * SLAB_BYTES;
}
