/*
 * agg.h: the aggregates, each one entry in one table by name and argument type. A state is a piece
 * of memory that starts as zeros; states of one aggregate lie in an array by group number. Two
 * partial states merge exactly: sums of decimals are kept as 128-bit mantissas (or longer),
 * averages as sum and count.
 *
 * Thread rule: constants and pure functions over states that belong to the caller.
 */
#ifndef DROVER_TRANSFORM_AGG_H
#define DROVER_TRANSFORM_AGG_H

#include "common/unpack.h"
#include "vec.h"

/* What DISTINCT means to an aggregate. */
enum agg_distinct {
    AGG_DISTINCT_NO,   /* refused */
    AGG_DISTINCT_SAME, /* nothing: the result is the same without */
    AGG_DISTINCT_SET   /* each value once: the set of the values travels instead of the state */
};

struct agg {
    const char *name;
    enum sqltype arg; /* OPEN: any type, whose values are not looked at */
    enum sqltype result;
    enum agg_distinct distinct;
    size_t state_bytes;
    /* Rows of sel, none of which is NULL in arg (NULL: count(*)), into states[groups[row]]. False:
     * no memory, or a sum out of range. place: of the rows in the input, the lower the earlier. */
    bool (*update)(char *states, const uint32_t *groups, const struct vec *arg,
                   const struct sel *sel, uint64_t place, struct arena *a);
    bool (*merge)(void *to, const void *from, struct arena *a);
    /* The result into row i; false as for update. */
    bool (*finish)(const void *state, struct vec *out, uint32_t i, struct arena *a);
    /* AGG_DISTINCT_SET of numbers with a scale: the state shows at least the scale of the other.
     * NULL: there is none. */
    bool (*raise)(void *state, const void *other, struct arena *a);
    /* The state as msgpack values, and back into one that is zeros. load is false for bytes that
     * save does not write (u->failed), or as for update. */
    void (*save)(const void *state, struct buf *out);
    bool (*load)(void *state, struct unpack *u, struct arena *a);
};

const struct agg *agg_at(size_t i); /* the i-th of all, or NULL */
bool agg_known(const char *name);
/* NULL: not for that type. type OPEN: what an open column becomes; UNKNOWN: text. */
const struct agg *agg_find(const char *name, enum sqltype type, bool star);

#endif
