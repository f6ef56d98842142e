/*
 * group.h: the groups of a query and the partial states of its aggregates. Rows come in block by
 * block; states of other tasks can be merged in at any time, and the answer is the same as if all
 * rows had come here. At the end the groups are read out as group columns (plan.h).
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_GROUP_H
#define DROVER_TRANSFORM_GROUP_H

#include "eval.h"
#include "keyset.h"
#include "plan.h"
#include "state.h"
#include "store.h"

struct group;

/* limit_bytes: of all keys and states together. */
int group_new(const struct plan *p, size_t limit_bytes, struct group **ret,
              struct error *e) MUST_CHECK;
void group_free(struct group *g);

/* Where the rows that come next stand in the input, for what depends on their order. */
void group_place(struct group *g, uint64_t place);
/* The rows of sel, whose columns are loaded. Rows with faults are counted nowhere. */
int group_add(struct group *g, struct eval *v, const struct sel *sel, struct error *e) MUST_CHECK;
/* All of the other's groups; both have the same plan. */
int group_merge(struct group *g, const struct group *from, struct error *e) MUST_CHECK;

/* All groups as records; and such records, merged in. After an error the groups are good for
 * nothing. */
int group_save(const struct group *g, struct buf *out, struct error *e) MUST_CHECK;
int group_take(struct group *g, struct state_in *in, struct error *e) MUST_CHECK;

uint32_t group_count(struct group *g); /* one at least when there are no keys */
/* Groups first to first + n - 1 into the group columns of v. */
int group_load(struct group *g, uint32_t first, uint32_t n, struct eval *v,
               struct error *e) MUST_CHECK;

#endif
