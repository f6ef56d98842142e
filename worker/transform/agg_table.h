/*
 * agg_table.h: what the agg_*.c files share: the shape of a table entry and of its functions. Each
 * file has the aggregates of one subject and gives a table of them.
 *
 * Thread rule: macros and constants.
 */
#ifndef DROVER_TRANSFORM_AGG_TABLE_H
#define DROVER_TRANSFORM_AGG_TABLE_H

#include "agg.h"
#include "common/pack.h"
#include "state.h"

struct agg_table {
    const struct agg *aggs;
    size_t n;
};

extern const struct agg_table agg_extreme_table, agg_flags_table, agg_spread_table,
    agg_string_table, agg_sum_table;

#define STATE(type, i) (&((type *)(void *)states)[groups[i]])

#define UPDATE(name)                                                                               \
    static bool name(char *states, const uint32_t *groups, const struct vec *arg UNUSED,           \
                     const struct sel *sel, uint64_t place UNUSED, struct arena *a UNUSED)
#define MERGE(name) static bool name(void *to_state, const void *from_state, struct arena *a UNUSED)
#define FINISH(name)                                                                               \
    static bool name(const void *state, struct vec *out, uint32_t i, struct arena *a UNUSED)
#define SAVE(name) static void name(const void *state, struct buf *out)
#define LOAD(name) static bool name(void *state, struct unpack *u, struct arena *a UNUSED)

/* Name, argument, result, DISTINCT, state, and the stems of update and merge, of finish, and of
 * save and load. */
#define AGG(aname, atype, aresult, adistinct, astate, prefix, fin, wire)                           \
    {                                                                                              \
        .name = (aname), .arg = SQLTYPE_##atype, .result = SQLTYPE_##aresult,                      \
        .distinct = AGG_DISTINCT_##adistinct, .state_bytes = sizeof(astate),                       \
        .update = prefix##_update, .merge = prefix##_merge, .finish = fin##_finish,                \
        .save = wire##_save, .load = wire##_load                                                   \
    }
#define AGG_TABLE(table, array) const struct agg_table table = {(array), ARRAY_LEN(array)}

/* Into a number that is not negative. */
static inline bool agg_load_count(struct unpack *u, int64_t *ret)
{
    *ret = unpack_i64(u);
    u->failed |= *ret < 0;
    return unpack_ok(u);
}

#endif
