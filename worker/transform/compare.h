/*
 * compare.h: the order of values, the same for operators, greatest, min, and ORDER BY.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_COMPARE_H
#define DROVER_TRANSFORM_COMPARE_H

#include "vec.h"

static inline int compare_text(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, MIN(a.len, b.len));
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* NaN is equal to itself and above everything else. */
static inline int compare_f64(double a, double b)
{
    bool na = a != a, nb = b != b;
    if (na || nb)
        return na - nb;
    return (a > b) - (a < b);
}

static inline int compare_interval(struct interval a, struct interval b)
{
    __int128 x = calendar_interval_us(a), y = calendar_interval_us(b);
    return (x > y) - (x < y);
}

/* Row i of a and row j of b, of one type that has an order, neither NULL. */
int compare_rows(const struct vec *a, uint32_t i, const struct vec *b, uint32_t j,
                 struct arena *scratch);

#endif
