/*
 * calendar.h: days, months and years of the proleptic Gregorian calendar, and the fields of a time
 * in UTC. A date is days and a timestamp microseconds since 1970-01-01; an interval has months,
 * days and microseconds of their own, as in PostgreSQL. Texts are timetext.h's business.
 *
 * There is no year 0 in texts, but here there is: it is 1 BC.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_CALENDAR_H
#define DROVER_TRANSFORM_CALENDAR_H

#include "common/base.h"

#define CALENDAR_DAY_US INT64_C(86400000000)
#define CALENDAR_HOUR_US INT64_C(3600000000)
#define CALENDAR_MINUTE_US INT64_C(60000000)
#define CALENDAR_SECOND_US INT64_C(1000000)

/* PostgreSQL's: from 4714-11-24 BC to 5874897-12-31, and for timestamps as far as microseconds since
 * 1970 reach (its own go on for another 30 years). */
#define CALENDAR_DATE_MIN INT64_C(-2440588)
#define CALENDAR_DATE_END INT64_C(2145042906)
#define CALENDAR_TIME_MIN INT64_C(-210866803200000000)
#define CALENDAR_TIME_END INT64_MAX

enum { CALENDAR_MONTH_DAYS = 30 }; /* of a month in a comparison of intervals */

struct calendar {
    int64_t year;
    int month, day, hour, minute, second, us;
};

struct interval {
    int64_t us;
    int32_t days, months;
};

int64_t calendar_days(int64_t year, int month, int day); /* month and day must exist */
void calendar_date(int64_t days, struct calendar *ret);  /* at midnight */
void calendar_of(int64_t us, struct calendar *ret);
int calendar_month_days(int64_t year, int month);
int calendar_day_of_year(const struct calendar *c); /* from 1 */
int calendar_weekday(int64_t days);                 /* 0: Sunday */
/* The ISO week of a date, from 1, and the year that the week belongs to. */
int calendar_iso_week(int64_t days, int64_t *ret_year);
int64_t calendar_iso_year_start(int64_t year); /* the Monday of its first week */

/* False: out of range, and nothing is written. */
bool calendar_join(const struct calendar *c, int64_t *ret_us) MUST_CHECK;
bool calendar_add(int64_t us, struct interval i, bool minus, int64_t *ret_us) MUST_CHECK;

static inline bool calendar_date_fits(int64_t days)
{
    return days >= CALENDAR_DATE_MIN && days < CALENDAR_DATE_END;
}

static inline bool calendar_time_fits(int64_t us)
{
    return us >= CALENDAR_TIME_MIN && us < CALENDAR_TIME_END;
}

/* Rounded down, also below zero. */
static inline int64_t calendar_floor(int64_t x, int64_t by)
{
    int64_t q = x / by;
    return q - (x % by < 0);
}

/* A month counts as 30 days and a day as 24 hours, as PostgreSQL compares them. */
static inline __int128 calendar_interval_us(struct interval i)
{
    return i.us + (i.days + (__int128)i.months * CALENDAR_MONTH_DAYS) * (__int128)CALENDAR_DAY_US;
}

#endif
