/*
 * tally.h: a few named sums: statistics of a job, rejects by reason. Bounded; what does not fit is
 * summed under "other".
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TALLY_H
#define DROVER_TALLY_H

#include <jansson.h>

#include "common/base.h"

enum { TALLY_MAX = 2048 };

struct tally_entry {
    char *name; /* owned */
    int64_t value;
};

struct tally {
    struct tally_entry *entries;
    size_t n;
};

void tally_done(struct tally *t);
void tally_add(struct tally *t, const char *name, int64_t value);
int64_t tally_get(const struct tally *t, const char *name); /* 0: not there */
/* The sums whose names begin with the prefix, without it, as an object. NULL: no memory. */
json_t *tally_json(const struct tally *t, const char *prefix);

#endif
