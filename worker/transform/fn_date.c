/*
 * fn_date.c: casts of dates, timestamps and intervals, and their arithmetic. Timestamps with time
 * zone are UTC, so that they are computed as those without.
 */
#include "fn.h"

#include <math.h>

#include "timetext.h"

static void put_time(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, bool ok,
                     int64_t us)
{
    out->i64[i] = us;
    if (!ok || !calendar_time_fits(us))
        eval_fault(v, i, FAULT_OVERFLOW, call);
}

static void put_date(struct eval *v, const struct expr *call, struct vec *out, uint32_t i,
                     int64_t days)
{
    out->i64[i] = days;
    if (!calendar_date_fits(days))
        eval_fault(v, i, FAULT_OVERFLOW, call);
}

/* ---- from text and to text ---- */

KERNEL(text_to_date)
{
    SEL_EACH(sel, i)
    {
        enum parse why = timetext_date(args[0]->text[i], &out->i64[i]);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

KERNEL(text_to_time)
{
    bool zoned = out->type == SQLTYPE_TIMESTAMPTZ;
    SEL_EACH(sel, i)
    {
        enum parse why = timetext_time(args[0]->text[i], zoned, &out->i64[i]);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

KERNEL(text_to_interval)
{
    SEL_EACH(sel, i)
    {
        enum parse why = timetext_interval(args[0]->text[i], &out->interval[i]);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

KERNEL(date_to_text)
{
    SEL_EACH(sel, i)
    {
        size_t n = timetext_put_date(args[0]->i64[i], eval_room(v, TIMETEXT_ROOM));
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
}

KERNEL(time_to_text)
{
    bool zoned = args[0]->type == SQLTYPE_TIMESTAMPTZ;
    SEL_EACH(sel, i)
    {
        size_t n = timetext_put_time(args[0]->i64[i], zoned, eval_room(v, TIMETEXT_ROOM));
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
}

KERNEL(interval_to_text)
{
    SEL_EACH(sel, i)
    {
        size_t n = timetext_put_interval(args[0]->interval[i], eval_room(v, TIMETEXT_ROOM));
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
}

/* ---- between dates and timestamps ---- */

KERNEL(date_to_time)
{
    SEL_EACH(sel, i)
    {
        int64_t us = 0;
        bool over = __builtin_mul_overflow(args[0]->i64[i], CALENDAR_DAY_US, &us);
        put_time(v, call, out, i, !over, us);
    }
}

KERNEL(time_to_date)
{
    SEL_EACH(sel, i)
    out->i64[i] = calendar_floor(args[0]->i64[i], CALENDAR_DAY_US);
}

KERNEL(time_to_time)
{
    vec_copy(out, args[0], sel);
}

/* ---- sums and differences ---- */

KERNEL(date_plus_days)
{
    SEL_EACH(sel, i)
    put_date(v, call, out, i, args[0]->i64[i] + args[1]->i64[i]);
}

KERNEL(date_minus_days)
{
    SEL_EACH(sel, i)
    put_date(v, call, out, i, args[0]->i64[i] - args[1]->i64[i]);
}

KERNEL(date_minus_date)
{
    SEL_EACH(sel, i)
    out->i64[i] = args[0]->i64[i] - args[1]->i64[i];
}

/* A date, or a timestamp, with an interval. */
static void shift(struct eval *v, const struct expr *call, const struct vec *at,
                  const struct vec *by, const struct sel *sel, struct vec *out, bool minus)
{
    int64_t unit = at->type == SQLTYPE_DATE ? CALENDAR_DAY_US : 1;
    SEL_EACH(sel, i)
    {
        int64_t us = 0;
        bool ok = !__builtin_mul_overflow(at->i64[i], unit, &us) &&
                  calendar_add(us, by->interval[i], minus, &us);
        put_time(v, call, out, i, ok, us);
    }
}

KERNEL(plus_interval)
{
    shift(v, call, args[0], args[1], sel, out, false);
}

KERNEL(interval_plus)
{
    shift(v, call, args[1], args[0], sel, out, false);
}

KERNEL(minus_interval)
{
    shift(v, call, args[0], args[1], sel, out, true);
}

/* Whole days and the rest, as PostgreSQL shows a difference. */
KERNEL(time_minus_time)
{
    SEL_EACH(sel, i)
    {
        int64_t us;
        out->interval[i] = (struct interval){0};
        if (__builtin_sub_overflow(args[0]->i64[i], args[1]->i64[i], &us)) {
            eval_fault(v, i, FAULT_OVERFLOW, call);
            continue;
        }
        out->interval[i] =
            (struct interval){.us = us % CALENDAR_DAY_US, .days = (int32_t)(us / CALENDAR_DAY_US)};
    }
}

/* ---- intervals ---- */

static void add_intervals(struct eval *v, const struct expr *call, const struct vec *const *args,
                          const struct sel *sel, struct vec *out, bool minus)
{
    SEL_EACH(sel, i)
    {
        struct interval x = args[0]->interval[i], y = args[1]->interval[i], r = {0};
        bool over = minus ? __builtin_sub_overflow(x.us, y.us, &r.us)
                          : __builtin_add_overflow(x.us, y.us, &r.us);
        over |= minus ? __builtin_sub_overflow(x.days, y.days, &r.days)
                      : __builtin_add_overflow(x.days, y.days, &r.days);
        over |= minus ? __builtin_sub_overflow(x.months, y.months, &r.months)
                      : __builtin_add_overflow(x.months, y.months, &r.months);
        out->interval[i] = r;
        if (over)
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

KERNEL(interval_add)
{
    add_intervals(v, call, args, sel, out, false);
}

KERNEL(interval_subtract)
{
    add_intervals(v, call, args, sel, out, true);
}

KERNEL(interval_negate)
{
    SEL_EACH(sel, i)
    {
        struct interval x = args[0]->interval[i], r = {0};
        bool over = __builtin_sub_overflow((int64_t)0, x.us, &r.us);
        over |= __builtin_sub_overflow(0, x.days, &r.days);
        over |= __builtin_sub_overflow(0, x.months, &r.months);
        out->interval[i] = r;
        if (over)
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

/* To whole microseconds, so that the parts that a double leaves over do not show. */
static double settled(double x)
{
    return rint(x * 1e6) / 1e6;
}

/* PostgreSQL's interval_mul and interval_div, of which this is both: what is left over of months
 * becomes days, and what is left over of days becomes time. */
static bool scale(struct interval x, double by, bool divide, struct interval *ret)
{
    enum { DAY_SECONDS = 86400 };
    double months = divide ? x.months / by : x.months * by;
    double days = divide ? x.days / by : x.days * by;
    double us = divide ? (double)x.us / by : (double)x.us * by;
    if (!(fabs(months) < 0x1p31) || !(fabs(days) < 0x1p31) || !isfinite(us))
        return false;
    struct interval r = {.months = (int32_t)months, .days = (int32_t)days};
    double over_days = settled((months - r.months) * CALENDAR_MONTH_DAYS);
    double seconds = settled((days - r.days + over_days - (int)over_days) * DAY_SECONDS);
    int64_t whole = r.days;
    if (fabs(seconds) >= DAY_SECONDS) {
        whole += (int)(seconds / DAY_SECONDS);
        seconds -= (int)(seconds / DAY_SECONDS) * DAY_SECONDS;
    }
    whole += (int)over_days;
    us = rint(us + seconds * 1e6);
    if (whole < INT32_MIN || whole > INT32_MAX || !(fabs(us) < 0x1p63))
        return false;
    r.days = (int32_t)whole;
    r.us = (int64_t)us;
    *ret = r;
    return true;
}

static void scale_all(struct eval *v, const struct expr *call, const struct vec *x,
                      const struct vec *by, const struct sel *sel, struct vec *out, bool divide)
{
    SEL_EACH(sel, i)
    {
        out->interval[i] = (struct interval){0};
        if (divide && by->f64[i] == 0)
            eval_fault(v, i, FAULT_DIVISION, call);
        else if (!scale(x->interval[i], by->f64[i], divide, &out->interval[i]))
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

KERNEL(interval_times)
{
    scale_all(v, call, args[0], args[1], sel, out, false);
}

KERNEL(times_interval)
{
    scale_all(v, call, args[1], args[0], sel, out, false);
}

KERNEL(interval_divide)
{
    scale_all(v, call, args[0], args[1], sel, out, true);
}

#define SHIFTS(from, to, one, shown)                                                               \
    OP2("+", to, from, INTERVAL, plus_interval, one " + interval '1 month -1 day'", shown),        \
        OP2("+", to, INTERVAL, from, interval_plus, "interval '1 month -1 day' + " one, shown),    \
        OP2("-", to, from, INTERVAL, minus_interval, one " - interval '1 day -1 month'", shown)

static const struct func funcs[] = {
    CAST(DATE, TEXT, text_to_date, "'2024-01-05 10:00'::text::date", "2024-01-05"),
    CAST(TIMESTAMP, TEXT, text_to_time, "'2024-01-05T10:00:00.5Z'::text::timestamp",
         "2024-01-05 10:00:00.5"),
    CAST(TIMESTAMPTZ, TEXT, text_to_time, "'2024-01-05 10:00+02'::text::timestamptz",
         "2024-01-05 08:00:00+00"),
    CAST(INTERVAL, TEXT, text_to_interval, "'1 day 90 min'::text::interval", "1 day 01:30:00"),
    CAST(TEXT, DATE, date_to_text, "date '20240105'::text", "2024-01-05"),
    CAST(TEXT, TIMESTAMP, time_to_text, "timestamp '2024-01-05'::text", "2024-01-05 00:00:00"),
    CAST(TEXT, TIMESTAMPTZ, time_to_text, "timestamptz '2024-01-05'::text",
         "2024-01-05 00:00:00+00"),
    CAST(TEXT, INTERVAL, interval_to_text, "interval '-1 month 1 day 3:00'::text",
         "-1 mons +1 day 03:00:00"),
    CAST(TIMESTAMP, DATE, date_to_time, "date '2024-01-05'::timestamp", "2024-01-05 00:00:00"),
    CAST(TIMESTAMPTZ, DATE, date_to_time, "date '2024-01-05'::timestamptz",
         "2024-01-05 00:00:00+00"),
    CAST(DATE, TIMESTAMP, time_to_date, "timestamp '1969-12-31 23:00'::date", "1969-12-31"),
    CAST(DATE, TIMESTAMPTZ, time_to_date, "timestamptz '2024-01-05 23:00-02'::date", "2024-01-06"),
    CAST(TIMESTAMPTZ, TIMESTAMP, time_to_time, "timestamp '2024-01-05 10:00'::timestamptz",
         "2024-01-05 10:00:00+00"),
    CAST(TIMESTAMP, TIMESTAMPTZ, time_to_time, "timestamptz '2024-01-05 10:00'::timestamp",
         "2024-01-05 10:00:00"),
    OP2("-", INT4, DATE, DATE, date_minus_date, "date '2024-03-01' - date '2024-02-01'", "29"),
    OP2("+", DATE, DATE, INT4, date_plus_days, "date '2024-02-28' + 2", "2024-03-01"),
    OP2("+", DATE, INT4, DATE, date_plus_days, "2 + date '2024-02-28'", "2024-03-01"),
    OP2("-", DATE, DATE, INT4, date_minus_days, "date '2024-03-01' - 1", "2024-02-29"),
    SHIFTS(DATE, TIMESTAMP, "date '2024-01-31'", "2024-02-28 00:00:00"),
    SHIFTS(TIMESTAMP, TIMESTAMP, "timestamp '2024-01-31'", "2024-02-28 00:00:00"),
    SHIFTS(TIMESTAMPTZ, TIMESTAMPTZ, "timestamptz '2024-01-31'", "2024-02-28 00:00:00+00"),
    OP2("-", INTERVAL, TIMESTAMP, TIMESTAMP, time_minus_time,
        "timestamp '2024-01-05 10:00' - timestamp '2024-01-01'", "4 days 10:00:00"),
    OP2("-", INTERVAL, TIMESTAMPTZ, TIMESTAMPTZ, time_minus_time,
        "timestamptz '2024-01-01' - timestamptz '2024-01-05 10:00'", "-4 days -10:00:00"),
    OP2("+", INTERVAL, INTERVAL, INTERVAL, interval_add, "interval '1 day' + interval '2 hours'",
        "1 day 02:00:00"),
    OP2("-", INTERVAL, INTERVAL, INTERVAL, interval_subtract,
        "interval '1 year' - interval '1 week'", "1 year -7 days"),
    OP1("-", INTERVAL, INTERVAL, interval_negate, "-interval '90 sec'", "-00:01:30"),
    OP2("*", INTERVAL, INTERVAL, FLOAT8, interval_times, "interval '1 month' * 1.5",
        "1 mon 15 days"),
    OP2("*", INTERVAL, FLOAT8, INTERVAL, times_interval, "3 * interval '1 day'", "3 days"),
    OP2("/", INTERVAL, INTERVAL, FLOAT8, interval_divide, "interval '1 day' / 5", "04:48:00"),
};

FN_TABLE(fn_date_table, funcs);
