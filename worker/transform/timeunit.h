/*
 * timeunit.h: the units that extract, date_part and date_trunc name, and what each is of a time.
 *
 * Thread rule: pure functions and constants.
 */
#ifndef DROVER_TRANSFORM_TIMEUNIT_H
#define DROVER_TRANSFORM_TIMEUNIT_H

#include "calendar.h"

enum timeunit {
    TIMEUNIT_MICROSECONDS,
    TIMEUNIT_MILLISECONDS,
    TIMEUNIT_SECOND,
    TIMEUNIT_MINUTE,
    TIMEUNIT_HOUR,
    TIMEUNIT_DAY,
    TIMEUNIT_WEEK,
    TIMEUNIT_MONTH,
    TIMEUNIT_QUARTER,
    TIMEUNIT_YEAR,
    TIMEUNIT_DECADE,
    TIMEUNIT_CENTURY,
    TIMEUNIT_MILLENNIUM,
    /* these can be extracted, but nothing is cut to them */
    TIMEUNIT_EPOCH,
    TIMEUNIT_DOW,
    TIMEUNIT_ISODOW,
    TIMEUNIT_DOY,
    TIMEUNIT_ISOYEAR,
    TIMEUNIT_N
};

/* A table entry, whose address is what a call of extract prepares. */
struct timeunit_name {
    const char *name, *plural;
    enum timeunit unit;
};

const struct timeunit_name *timeunit_find(struct span name); /* NULL: there is none */

/* The unit of a time or interval as x * 10^-scale. */
int64_t timeunit_of(enum timeunit unit, int64_t us, int *ret_scale);
/* False: an interval has no such part. */
bool timeunit_of_interval(enum timeunit unit, struct interval i, int64_t *ret, int *ret_scale);

/* The beginning of the unit in which the time is; units up to MILLENNIUM. False: out of range. */
bool timeunit_trunc(enum timeunit unit, int64_t us, int64_t *ret_us) MUST_CHECK;

#endif
