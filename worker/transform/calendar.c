#include "calendar.h"

/* Days and dates after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400
 * years that begin on the first of March. */
enum { ERA_DAYS = 146097, ERA_TO_1970 = 719468 };

int64_t calendar_days(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = calendar_floor(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - ERA_TO_1970;
}

void calendar_date(int64_t days, struct calendar *ret)
{
    int64_t from = days + ERA_TO_1970, era = calendar_floor(from, ERA_DAYS);
    int64_t d = from - era * ERA_DAYS;
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t of_year = d - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *ret = (struct calendar){.day = (int)(of_year - (153 * m + 2) / 5 + 1),
                             .month = (int)(m < 10 ? m + 3 : m - 9)};
    ret->year = y + era * 400 + (ret->month <= 2);
}

void calendar_of(int64_t us, struct calendar *ret)
{
    int64_t days = calendar_floor(us, CALENDAR_DAY_US), rest = us - days * CALENDAR_DAY_US;
    calendar_date(days, ret);
    ret->hour = (int)(rest / CALENDAR_HOUR_US);
    ret->minute = (int)(rest / CALENDAR_MINUTE_US % 60);
    ret->second = (int)(rest / CALENDAR_SECOND_US % 60);
    ret->us = (int)(rest % CALENDAR_SECOND_US);
}

int calendar_month_days(int64_t year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

int calendar_day_of_year(const struct calendar *c)
{
    return (int)(calendar_days(c->year, c->month, c->day) - calendar_days(c->year, 1, 1)) + 1;
}

int calendar_weekday(int64_t days)
{
    enum { THURSDAY = 4 }; /* 1970-01-01 */
    int64_t from = days + THURSDAY;
    return (int)(from - calendar_floor(from, 7) * 7);
}

int64_t calendar_iso_year_start(int64_t year)
{
    int64_t fourth = calendar_days(year, 1, 4); /* is always in the first week */
    return fourth - (calendar_weekday(fourth) + 6) % 7;
}

int calendar_iso_week(int64_t days, int64_t *ret_year)
{
    struct calendar c;
    calendar_date(days, &c);
    int64_t year = c.year + 1;
    while (days < calendar_iso_year_start(year))
        year--;
    *ret_year = year;
    return (int)((days - calendar_iso_year_start(year)) / 7) + 1;
}

bool calendar_join(const struct calendar *c, int64_t *ret_us)
{
    int64_t us;
    if (__builtin_mul_overflow(calendar_days(c->year, c->month, c->day), CALENDAR_DAY_US, &us) ||
        __builtin_add_overflow(us,
                               c->hour * CALENDAR_HOUR_US + c->minute * CALENDAR_MINUTE_US +
                                   c->second * CALENDAR_SECOND_US + c->us,
                               &us) ||
        !calendar_time_fits(us))
        return false;
    *ret_us = us;
    return true;
}

/* Months first: the day of the month stays, or becomes the last one. Then days, then the rest. */
bool calendar_add(int64_t us, struct interval i, bool minus, int64_t *ret_us)
{
    int64_t sign = minus ? -1 : 1, days;
    if (i.months != 0) {
        struct calendar c;
        calendar_of(us, &c);
        int64_t month = c.year * 12 + c.month - 1 + sign * i.months;
        c.year = calendar_floor(month, 12);
        c.month = (int)(month - c.year * 12) + 1;
        c.day = MIN(c.day, calendar_month_days(c.year, c.month));
        if (!calendar_join(&c, &us))
            return false;
    }
    bool over =
        __builtin_mul_overflow(sign * i.days, CALENDAR_DAY_US, &days) ||
        __builtin_add_overflow(us, days, &us) ||
        (minus ? __builtin_sub_overflow(us, i.us, &us) : __builtin_add_overflow(us, i.us, &us));
    if (over || !calendar_time_fits(us))
        return false;
    *ret_us = us;
    return true;
}
