/*
 * keyset.h: a set of byte strings with numbers in the order of their coming: groups, DISTINCT, and
 * count(DISTINCT). Values become bytes so that equal values, and only those, have the same bytes
 * (1.50 and 1.5 do, 0 and -0 of double precision do).
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_KEYSET_H
#define DROVER_TRANSFORM_KEYSET_H

#include "vec.h"

#define KEYSET_NONE UINT32_MAX

struct keyset_entry {
    const char *p; /* readable KEYSET_PAD bytes on */
    uint32_t len;
    uint32_t hash;
};

struct keyset {
    struct arena memory;
    struct keyset_entry *entries;
    uint32_t *slots;  /* number + 1; 0: free */
    uint32_t n, cap;  /* of entries */
    uint32_t n_slots; /* a power of two, at least twice cap */
    size_t limit_bytes;
};

void keyset_init(struct keyset *k, size_t limit_bytes);
void keyset_done(struct keyset *k);

/* The number of the key, which is readable 16 bytes past its end; KEYSET_NONE: memory or the limit
 * is at its end. */
uint32_t keyset_put(struct keyset *k, struct span key, bool *ret_new);

/* Appends what tells the value apart; NULL is a value of its own. */
void keyset_encode(const struct vec *v, uint32_t i, struct arena *scratch, struct buf *out);

#endif
