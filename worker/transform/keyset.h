/*
 * keyset.h: a set of byte strings with numbers in the order of their coming: groups, DISTINCT, and
 * count(DISTINCT). Values become bytes so that equal values, and only those, have the same bytes
 * (1.50 and 1.5 do, 0 and -0 of double precision do).
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_KEYSET_H
#define DROVER_TRANSFORM_KEYSET_H

#include "common/hash.h"
#include "vec.h"

enum { KEYSET_SHORT = 16 }; /* bytes of a key that its entry holds */

#define KEYSET_NONE UINT32_MAX

struct keyset_entry {
    uint64_t head[2]; /* the first sixteen bytes, zeros behind a shorter key */
    const char *p;
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

/* The first sixteen bytes, without a branch: how long keys are cannot be guessed. */
static inline void keyset_head(struct span s, uint64_t head[2])
{
    static const uint8_t mask[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255};
    uint64_t keep[2];
    memcpy(keep, mask + KEYSET_SHORT - MIN(s.len, (size_t)KEYSET_SHORT), sizeof keep);
    memcpy(head, s.p, sizeof keep);
    head[0] &= keep[0];
    head[1] &= keep[1];
}

static inline uint32_t keyset_hash(struct span s, const uint64_t head[2])
{
    if (s.len > KEYSET_SHORT)
        return (uint32_t)hash_64(s.p, s.len, 0);
    unsigned __int128 m = (unsigned __int128)(head[0] ^ UINT64_C(0x9e3779b97f4a7c15)) *
                          (head[1] ^ s.len ^ UINT64_C(0xd6e8feb86659fd93));
    uint64_t mixed = (uint64_t)m ^ (uint64_t)(m >> 64);
    return (uint32_t)(mixed ^ mixed >> 32);
}

static inline bool keyset_same(const struct keyset_entry *e, struct span s, const uint64_t head[2])
{
    bool like = ((e->head[0] ^ head[0]) | (e->head[1] ^ head[1])) == 0 && e->len == s.len;
    return like && (s.len <= KEYSET_SHORT ||
                    memcmp(e->p + KEYSET_SHORT, s.p + KEYSET_SHORT, s.len - KEYSET_SHORT) == 0);
}

/* The number of a key, which is readable 16 bytes past its end; KEYSET_NONE: it is not there.
 * Inline, because it runs for each row of a GROUP BY. */
static inline uint32_t keyset_find(const struct keyset *k, struct span key)
{
    uint64_t head[2];
    if (k->n_slots == 0)
        return KEYSET_NONE;
    keyset_head(key, head);
    uint32_t mask = k->n_slots - 1;
    for (uint32_t at = keyset_hash(key, head) & mask; k->slots[at]; at = (at + 1) & mask)
        if (keyset_same(&k->entries[k->slots[at] - 1], key, head))
            return k->slots[at] - 1;
    return KEYSET_NONE;
}

/* The same, and puts it there when it is not; KEYSET_NONE: memory or the limit is at its end. */
uint32_t keyset_put(struct keyset *k, struct span key, bool *ret_new);

/* Appends what tells the value apart; NULL is a value of its own. */
void keyset_encode(const struct vec *v, uint32_t i, struct arena *scratch, struct buf *out);

/* Such bytes, from anywhere, into row i of a vector of the type; a text is a copy with VEC_PAD. False:
 * they are none of that type, or no memory. */
bool keyset_decode(struct span bytes, struct vec *v, uint32_t i, struct arena *a) MUST_CHECK;

#endif
