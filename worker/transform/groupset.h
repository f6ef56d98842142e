/*
 * groupset.h: the values that a DISTINCT aggregate has seen in each group. The set is what travels
 * from task to task; the aggregate's state is made of the values that are new in a set, once each.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_GROUPSET_H
#define DROVER_TRANSFORM_GROUPSET_H

#include "agg.h"
#include "keyset.h"

struct groupset {
    const struct agg *agg;
    struct keyset set; /* number of the group, bytes of the value (keyset_encode) */
    struct buf key;
    struct vec value; /* one, on its way into a state */
    char *state;      /* one, to take a scale from */
};

int groupset_init(struct groupset *s, const struct agg *agg, enum sqltype type,
                  size_t limit_bytes) MUST_CHECK; /* NOMEM */
void groupset_done(struct groupset *s);
size_t groupset_bytes(const struct groupset *s);

/* As the update of an aggregate. */
bool groupset_add(struct groupset *s, char *states, const uint32_t *groups, const struct vec *arg,
                  const struct sel *sel, struct arena *a, struct arena *scratch) MUST_CHECK;
/* Group i of the other is map[i] here; n groups. */
bool groupset_merge(struct groupset *s, char *states, const struct groupset *from,
                    const char *from_states, const uint32_t *map, uint32_t n,
                    struct arena *a) MUST_CHECK;

/* The entries by their group: those of group i are entries[first[i]] to entries[first[i + 1] - 1].
 * False: no memory; what there is must be freed in any case. */
struct groupset_order {
    uint32_t *first, *entries;
};
bool groupset_sort(const struct groupset *s, uint32_t n_groups,
                   struct groupset_order *ret) MUST_CHECK;
void groupset_save(const struct groupset *s, const struct groupset_order *order, uint32_t group,
                   const void *state, struct buf *out);
/* False: malformed (u->failed), or no memory. */
bool groupset_load(struct groupset *s, char *states, uint32_t group, struct unpack *u,
                   struct arena *a) MUST_CHECK;

#endif
