/*
 * sink.h: where result rows go: text (write.h), a batch for the fleet, or nowhere.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_SINK_H
#define DROVER_TRANSFORM_SINK_H

#include "vec.h"

struct sink {
    /* The rows of sel, a vector for each shown result. */
    int (*rows)(struct sink *s, const struct vec *const *columns, const struct sel *sel,
                struct error *e);
};

#endif
