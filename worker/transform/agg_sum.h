/*
 * agg_sum.h: the exact sum of numbers, as sum, avg and the variances keep it.
 *
 * Thread rule: pure functions over states that belong to the caller.
 */
#ifndef DROVER_TRANSFORM_AGG_SUM_H
#define DROVER_TRANSFORM_AGG_SUM_H

#include "agg.h"

struct sum {
    num_wide m; /* of scale `scale` */
    int64_t n;
    int32_t scale;
    const struct big *rest; /* what did not fit; NULL: nothing */
};

/* False: no memory, or too many digits. */
bool agg_sum_add_num(struct sum *s, struct num x, struct arena *a) MUST_CHECK;
bool agg_sum_merge(struct sum *to, const struct sum *from, struct arena *a) MUST_CHECK;
bool agg_sum_value(const struct sum *s, struct num *ret, struct arena *a) MUST_CHECK;
void agg_sum_save(const struct sum *s, struct buf *out);
/* False: malformed, or as above. */
bool agg_sum_load(struct sum *s, struct unpack *u, struct arena *a) MUST_CHECK;

#endif
