#include "arena.h"

enum { ARENA_ALIGN = 16, ARENA_BLOCK_BYTES = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes};
}

static void blocks_free(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_done(struct arena *a)
{
    if (!a)
        return;
    blocks_free(a->blocks);
    *a = (struct arena){0};
}

void arena_clear(struct arena *a)
{
    a->used_bytes = 0;
    a->failed = false;
    if (!a->blocks)
        return;
    blocks_free(a->blocks->next);
    a->blocks->next = NULL;
    a->blocks->used = 0;
}

static void *fail(struct arena *a)
{
    a->failed = true;
    return NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return fail(a);
    n = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->limit_bytes && a->used_bytes + n > a->limit_bytes)
        return fail(a);
    struct arena_block *b = a->blocks;
    if (!b || b->cap - b->used < n) {
        size_t cap = MAX((size_t)ARENA_BLOCK_BYTES, n);
        b = malloc(sizeof *b + cap);
        if (!b)
            return fail(a);
        b->next = a->blocks;
        b->used = 0;
        b->cap = cap;
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += n;
    a->used_bytes += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    if (p)
        memset(p, 0, n);
    return p;
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
    char *copy = n < SIZE_MAX / 2 ? arena_alloc(a, n + 1) : NULL;
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, p, n);
    copy[n] = 0;
    return copy;
}
