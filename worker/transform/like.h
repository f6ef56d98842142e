/*
 * like.h: LIKE and ILIKE: % is any run of characters, _ is one, \ takes the next as it is.
 *
 * Thread rule: a pattern is read-only after like_compile; its memory is the arena's.
 */
#ifndef DROVER_TRANSFORM_LIKE_H
#define DROVER_TRANSFORM_LIKE_H

#include "common/arena.h"

struct like_part {         /* what stands between two % */
    const uint32_t *chars; /* characters; LIKE_ANY for _ */
    size_t n;
};

struct like {
    struct like_part *parts; /* n_parts - 1 signs % in all */
    size_t n_parts;
    bool fold;           /* without regard to case */
    struct span literal; /* when the pattern has no _ and case counts: */
    enum { LIKE_GENERAL, LIKE_EQUAL, LIKE_PREFIX, LIKE_SUFFIX, LIKE_CONTAINS } shape;
};

/* False: no memory, or a \ at the end. */
bool like_compile(struct like *l, struct span pattern, bool fold, struct arena *a) MUST_CHECK;
bool like_match(const struct like *l, struct span s);

#endif
