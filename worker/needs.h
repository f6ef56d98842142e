/*
 * needs.h: which blobs a task needs, as its job's stages and its items name them, asked of the cache.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_NEEDS_H
#define DROVER_NEEDS_H

#include "cache.h"
#include "pipeline.h"

enum { NEEDS_BLOBS_MAX = 1024 /* blobs that one task may need */ };

/* *ret NULL: it needs none. LIMIT, MALFORMED: its items; as cache_need. */
int needs_blobs(struct cache *c, const struct pipeline *p, struct span items,
                struct cache_need **ret, struct error *e) MUST_CHECK;

#endif
