/*
 * timetext.h: dates, timestamps and intervals from text and to text, as PostgreSQL writes them with
 * DateStyle ISO and in UTC.
 *
 * It reads year-month-day (also with / and ., and eight digits), then a time of the day, then Z or
 * an offset. It refuses what depends on a setting or on a clock: 05/06/2024, names of time zones,
 * now, today, infinity. Formats of the user's own are timeformat.h's business.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_TIMETEXT_H
#define DROVER_TRANSFORM_TIMETEXT_H

#include "calendar.h"
#include "parse.h"

enum { TIMETEXT_ROOM = 128 }; /* bytes of one text */

/* A time of the day behind the date is checked and left out. */
enum parse timetext_date(struct span s, int64_t *ret_days) MUST_CHECK;
/* zoned: of a timestamptz; else an offset is checked and left out, as in PostgreSQL. */
enum parse timetext_time(struct span s, bool zoned, int64_t *ret_us) MUST_CHECK;
/* 1 day, 2 hours 30 minutes, -1 day 02:03:04.5, 3 months ago. */
enum parse timetext_interval(struct span s, struct interval *ret) MUST_CHECK;

/* Each returns the bytes written. */
size_t timetext_put_date(int64_t days, char to[TIMETEXT_ROOM]);
/* zoned: with +00 behind it. */
size_t timetext_put_time(int64_t us, bool zoned, char to[TIMETEXT_ROOM]);
size_t timetext_put_interval(struct interval i, char to[TIMETEXT_ROOM]);
/* As RFC 3339 has it, for JSON: 2024-01-05T10:00:00Z. */
size_t timetext_put_rfc3339(int64_t us, char to[TIMETEXT_ROOM]);

#endif
