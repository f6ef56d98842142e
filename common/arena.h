/*
 * arena.h: memory that is given piece by piece and taken back all at once (per message, per page).
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_ARENA_H
#define DROVER_ARENA_H

#include "base.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used_bytes;          /* handed out since the last clear */
    size_t limit_bytes;         /* 0: no limit */
    bool failed;                /* an allocation came to NULL since the last clear */
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_done(struct arena *a);
void arena_clear(struct arena *a); /* keeps one block for the next round */

/* n bytes aligned to 16, not cleared; NULL when memory or the limit is at its end. */
void *arena_alloc(struct arena *a, size_t n) MUST_CHECK;
void *arena_zalloc(struct arena *a, size_t n) MUST_CHECK;

/* A NUL-terminated copy, or NULL. */
char *arena_strndup(struct arena *a, const char *p, size_t n) MUST_CHECK;

#endif
