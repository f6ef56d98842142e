#include "timeunit.h"

#include <strings.h>

static const struct timeunit_name names[] = {
    {"microsecond", "microseconds", TIMEUNIT_MICROSECONDS},
    {"millisecond", "milliseconds", TIMEUNIT_MILLISECONDS},
    {"second", "seconds", TIMEUNIT_SECOND},
    {"minute", "minutes", TIMEUNIT_MINUTE},
    {"hour", "hours", TIMEUNIT_HOUR},
    {"day", "days", TIMEUNIT_DAY},
    {"week", "weeks", TIMEUNIT_WEEK},
    {"month", "months", TIMEUNIT_MONTH},
    {"quarter", "quarter", TIMEUNIT_QUARTER},
    {"year", "years", TIMEUNIT_YEAR},
    {"decade", "decades", TIMEUNIT_DECADE},
    {"century", "centuries", TIMEUNIT_CENTURY},
    {"millennium", "millennia", TIMEUNIT_MILLENNIUM},
    {"epoch", "epoch", TIMEUNIT_EPOCH},
    {"dow", "dow", TIMEUNIT_DOW},
    {"isodow", "isodow", TIMEUNIT_ISODOW},
    {"doy", "doy", TIMEUNIT_DOY},
    {"isoyear", "isoyear", TIMEUNIT_ISOYEAR},
};

const struct timeunit_name *timeunit_find(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *both[] = {names[i].name, names[i].plural};
        for (size_t k = 0; k < ARRAY_LEN(both); k++)
            if (strlen(both[k]) == name.len && strncasecmp(both[k], name.p, name.len) == 0)
                return &names[i];
    }
    return NULL;
}

/* 1 BC is the year 0 here and -1 in PostgreSQL's answers; centuries and millennia begin with 1. */
static int64_t count_from_one(int64_t year, int64_t by)
{
    return year > 0 ? (year + by - 1) / by : -((by - year) / by);
}

static int64_t shown_year(int64_t year)
{
    return year > 0 ? year : year - 1;
}

int64_t timeunit_of(enum timeunit unit, int64_t us, int *ret_scale)
{
    struct calendar c;
    int64_t days = calendar_floor(us, CALENDAR_DAY_US), year;
    calendar_of(us, &c);
    *ret_scale = 0;
    switch (unit) {
    case TIMEUNIT_MICROSECONDS:
        return c.second * CALENDAR_SECOND_US + c.us;
    case TIMEUNIT_MILLISECONDS:
        *ret_scale = 3;
        return c.second * CALENDAR_SECOND_US + c.us;
    case TIMEUNIT_SECOND:
        *ret_scale = 6;
        return c.second * CALENDAR_SECOND_US + c.us;
    case TIMEUNIT_MINUTE:
        return c.minute;
    case TIMEUNIT_HOUR:
        return c.hour;
    case TIMEUNIT_DAY:
        return c.day;
    case TIMEUNIT_WEEK:
        return calendar_iso_week(days, &year);
    case TIMEUNIT_MONTH:
        return c.month;
    case TIMEUNIT_QUARTER:
        return (c.month - 1) / 3 + 1;
    case TIMEUNIT_YEAR:
        return shown_year(c.year);
    case TIMEUNIT_DECADE:
        return calendar_floor(c.year, 10);
    case TIMEUNIT_CENTURY:
        return count_from_one(c.year, 100);
    case TIMEUNIT_MILLENNIUM:
        return count_from_one(c.year, 1000);
    case TIMEUNIT_EPOCH:
        *ret_scale = 6;
        return us;
    case TIMEUNIT_DOW:
        return calendar_weekday(days);
    case TIMEUNIT_ISODOW:
        return (calendar_weekday(days) + 6) % 7 + 1;
    case TIMEUNIT_DOY:
        return calendar_day_of_year(&c);
    case TIMEUNIT_ISOYEAR:
        (void)calendar_iso_week(days, &year);
        return shown_year(year);
    case TIMEUNIT_N:
        break;
    }
    return 0;
}

/* PostgreSQL's: a year has 365.25 days and a month 30. */
static bool epoch_of_interval(struct interval i, int64_t *ret)
{
    enum { QUARTER_DAYS_OF_YEAR = 1461, QUARTER_DAYS_OF_MONTH = 120 };
    int64_t quarters = (int64_t)QUARTER_DAYS_OF_YEAR * (i.months / 12) +
                       (int64_t)QUARTER_DAYS_OF_MONTH * (i.months % 12) + (int64_t)4 * i.days;
    int64_t us;
    if (__builtin_mul_overflow(quarters, CALENDAR_DAY_US / 4, &us))
        return false;
    return !__builtin_add_overflow(us, i.us, ret);
}

bool timeunit_of_interval(enum timeunit unit, struct interval i, int64_t *ret, int *ret_scale)
{
    int64_t years = i.months / 12, x = 0;
    *ret_scale = unit == TIMEUNIT_MILLISECONDS                       ? 3
                 : unit == TIMEUNIT_SECOND || unit == TIMEUNIT_EPOCH ? 6
                                                                     : 0;
    switch (unit) {
    case TIMEUNIT_MICROSECONDS:
    case TIMEUNIT_MILLISECONDS:
    case TIMEUNIT_SECOND:
        x = i.us % CALENDAR_MINUTE_US;
        break;
    case TIMEUNIT_MINUTE:
        x = i.us / CALENDAR_MINUTE_US % 60;
        break;
    case TIMEUNIT_HOUR:
        x = i.us / CALENDAR_HOUR_US;
        break;
    case TIMEUNIT_DAY:
        x = i.days;
        break;
    case TIMEUNIT_MONTH:
        x = i.months % 12;
        break;
    case TIMEUNIT_QUARTER:
        x = i.months % 12 / 3 + 1;
        break;
    case TIMEUNIT_YEAR:
        x = years;
        break;
    case TIMEUNIT_DECADE:
        x = years / 10;
        break;
    case TIMEUNIT_CENTURY:
        x = years / 100;
        break;
    case TIMEUNIT_MILLENNIUM:
        x = years / 1000;
        break;
    case TIMEUNIT_EPOCH:
        if (!epoch_of_interval(i, &x))
            return false;
        break;
    case TIMEUNIT_WEEK:
    case TIMEUNIT_DOW:
    case TIMEUNIT_ISODOW:
    case TIMEUNIT_DOY:
    case TIMEUNIT_ISOYEAR:
    case TIMEUNIT_N:
        return false;
    }
    *ret = x;
    return true;
}

static bool trunc_by(int64_t us, int64_t by, int64_t *ret)
{
    *ret = calendar_floor(us, by) * by;
    return calendar_time_fits(*ret);
}

bool timeunit_trunc(enum timeunit unit, int64_t us, int64_t *ret_us)
{
    static const int64_t fixed[] = {[TIMEUNIT_MICROSECONDS] = 1,
                                    [TIMEUNIT_MILLISECONDS] = 1000,
                                    [TIMEUNIT_SECOND] = CALENDAR_SECOND_US,
                                    [TIMEUNIT_MINUTE] = CALENDAR_MINUTE_US,
                                    [TIMEUNIT_HOUR] = CALENDAR_HOUR_US,
                                    [TIMEUNIT_DAY] = CALENDAR_DAY_US};
    struct calendar c;
    int64_t days = calendar_floor(us, CALENDAR_DAY_US);
    if ((size_t)unit < ARRAY_LEN(fixed))
        return trunc_by(us, fixed[unit], ret_us);
    calendar_date(days, &c);
    if (unit == TIMEUNIT_WEEK)
        calendar_date(days - (calendar_weekday(days) + 6) % 7, &c);
    else
        c.day = 1;
    if (unit == TIMEUNIT_QUARTER)
        c.month = (c.month - 1) / 3 * 3 + 1;
    else if (unit != TIMEUNIT_MONTH && unit != TIMEUNIT_WEEK)
        c.month = 1;
    if (unit == TIMEUNIT_DECADE)
        c.year = calendar_floor(c.year, 10) * 10;
    else if (unit == TIMEUNIT_CENTURY)
        c.year = calendar_floor(c.year - 1, 100) * 100 + 1;
    else if (unit == TIMEUNIT_MILLENNIUM)
        c.year = calendar_floor(c.year - 1, 1000) * 1000 + 1;
    return calendar_join(&c, ret_us);
}
