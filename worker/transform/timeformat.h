/*
 * timeformat.h: the formats of to_char, to_date and to_timestamp, understood once and used for all
 * rows. The patterns are PostgreSQL's and mean what they mean there (formatting.c); those that are
 * missing are refused by name, and so are letters that are no pattern and stand without quotes.
 *
 * Thread rule: immutable once made.
 */
#ifndef DROVER_TRANSFORM_TIMEFORMAT_H
#define DROVER_TRANSFORM_TIMEFORMAT_H

#include "calendar.h"
#include "common/arena.h"
#include "func.h"

struct timeformat;

/* reading: for to_date and to_timestamp. False: why not, "" for no memory. */
bool timeformat_new(struct arena *a, struct span text, bool reading, struct timeformat **ret,
                    char why[FUNC_WHY_LEN]) MUST_CHECK;

size_t timeformat_bound(const struct timeformat *f); /* bytes that a text can have */
/* Returns the bytes written. zoned: TZ is UTC; else nothing. */
size_t timeformat_write(const struct timeformat *f, int64_t us, bool zoned, char *to);
/* False: the text does not have that format, or it is no time. */
bool timeformat_read(const struct timeformat *f, struct span s, struct calendar *ret) MUST_CHECK;

#endif
