/*
 * fn_time.c: parts of dates, timestamps and intervals, cutting them to units, and formats of the
 * user's own. There is no now() and no age(): an answer must not depend on when a task runs.
 */
#include "fn.h"

#include <math.h>
#include <stdio.h>

#include "plan.h"
#include "timeformat.h"
#include "timeunit.h"

/* ---- units ---- */

static bool prepare_unit(struct plan *p UNUSED, const struct expr *call, const void **ret,
                         char why[FUNC_WHY_LEN])
{
    struct span name = call->args[0]->value.text;
    const struct timeunit_name *unit = timeunit_find(name);
    enum sqltype type = call->args[1]->type;
    bool cut = call->func->result == type, ok = unit != NULL;
    int64_t x;
    int scale;
    if (ok && cut)
        ok = unit->unit <= TIMEUNIT_MILLENNIUM;
    else if (ok && type == SQLTYPE_INTERVAL)
        ok = timeunit_of_interval(unit->unit, (struct interval){0}, &x, &scale);
    else if (ok && type == SQLTYPE_DATE)
        ok = unit->unit >= TIMEUNIT_DAY;
    if (!ok)
        snprintf(why, FUNC_WHY_LEN, "there is no unit '%.*s' of a %s",
                 (int)MIN(name.len, (size_t)60), name.p, sqltype_name(type));
    *ret = unit;
    return ok;
}

static enum timeunit unit_of(const struct expr *call)
{
    return ((const struct timeunit_name *)call->prepared)->unit;
}

/* The part of row i as a mantissa with its scale. */
static bool part(const struct expr *call, const struct vec *of, uint32_t i, int64_t *ret,
                 int *ret_scale)
{
    enum timeunit unit = unit_of(call);
    if (of->type == SQLTYPE_INTERVAL)
        return timeunit_of_interval(unit, of->interval[i], ret, ret_scale);
    if (of->type == SQLTYPE_DATE && unit == TIMEUNIT_EPOCH) {
        *ret_scale = 0;
        *ret = of->i64[i] * (CALENDAR_DAY_US / CALENDAR_SECOND_US);
        return true;
    }
    int64_t us = of->i64[i];
    if (of->type == SQLTYPE_DATE && __builtin_mul_overflow(us, CALENDAR_DAY_US, &us))
        return false;
    *ret = timeunit_of(unit, us, ret_scale);
    return true;
}

KERNEL(extract)
{
    int scale = 0;
    SEL_EACH(sel, i)
    {
        out->i64[i] = 0;
        if (!part(call, args[1], i, &out->i64[i], &scale))
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
    out->scale = scale; /* depends on the unit alone */
}

KERNEL(date_part)
{
    SEL_EACH(sel, i)
    {
        int64_t x = 0;
        int scale = 0;
        if (!part(call, args[1], i, &x, &scale))
            eval_fault(v, i, FAULT_OVERFLOW, call);
        out->f64[i] = (double)x / (double)num_pow10[scale];
    }
}

KERNEL(date_trunc)
{
    enum timeunit unit = unit_of(call);
    SEL_EACH(sel, i)
    {
        if (!timeunit_trunc(unit, args[1]->i64[i], &out->i64[i]))
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

/* The beginning of the bin of that width, counted from an origin, in which the time is. */
KERNEL(date_bin)
{
    SEL_EACH(sel, i)
    {
        struct interval width = args[0]->interval[i];
        int64_t days, us, from = args[2]->i64[i], distance;
        if (width.months != 0 || __builtin_mul_overflow(width.days, CALENDAR_DAY_US, &days) ||
            __builtin_add_overflow(days, width.us, &us) || us <= 0) {
            eval_fault(v, i, FAULT_ARGUMENT, call);
            continue;
        }
        if (__builtin_sub_overflow(args[1]->i64[i], from, &distance) ||
            __builtin_mul_overflow(calendar_floor(distance, us), us, &distance) ||
            __builtin_add_overflow(from, distance, &out->i64[i]) ||
            !calendar_time_fits(out->i64[i]))
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

/* ---- making ---- */

KERNEL(make_date)
{
    SEL_EACH(sel, i)
    {
        int64_t year = args[0]->i64[i], month = args[1]->i64[i], day = args[2]->i64[i];
        if (year < 0) /* so many years BC */
            year++;
        else if (year == 0)
            month = 0;
        if (month < 1 || month > 12 || day < 1 || day > calendar_month_days(year, (int)month) ||
            !calendar_date_fits(calendar_days(year, (int)month, (int)day)))
            eval_fault(v, i, FAULT_ARGUMENT, call);
        else
            out->i64[i] = calendar_days(year, (int)month, (int)day);
    }
}

KERNEL(of_epoch)
{
    SEL_EACH(sel, i)
    {
        double us = rint(args[0]->f64[i] * 1e6);
        bool ok = us >= (double)CALENDAR_TIME_MIN && us < 0x1p63;
        out->i64[i] = ok ? (int64_t)us : 0;
        if (!ok)
            eval_fault(v, i, FAULT_ARGUMENT, call);
    }
}

KERNEL(to_day)
{
    SEL_EACH(sel, i)
    out->i64[i] = calendar_floor(args[0]->i64[i], CALENDAR_DAY_US);
}

/* ---- formats ---- */

static bool prepare_format(struct plan *p, const struct expr *call, const void **ret,
                           char why[FUNC_WHY_LEN])
{
    struct timeformat *f = NULL;
    if (!timeformat_new(&p->arena, call->args[1]->value.text, call->func->result != SQLTYPE_TEXT,
                        &f, why))
        return false;
    *ret = f;
    return true;
}

KERNEL(to_char)
{
    const struct timeformat *f = call->prepared;
    size_t bound = timeformat_bound(f);
    bool zoned = args[0]->type == SQLTYPE_TIMESTAMPTZ;
    SEL_EACH(sel, i)
    {
        char *to = eval_room(v, bound);
        out->text[i] = eval_keep(v, v->error ? 0 : timeformat_write(f, args[0]->i64[i], zoned, to));
    }
}

KERNEL(to_date)
{
    struct calendar c;
    SEL_EACH(sel, i)
    {
        if (timeformat_read(call->prepared, args[0]->text[i], &c))
            out->i64[i] = calendar_days(c.year, c.month, c.day);
        else
            fn_refuse(v, call, out, i, PARSE_MALFORMED, args[0]->text[i]);
    }
}

KERNEL(to_timestamp)
{
    struct calendar c;
    SEL_EACH(sel, i)
    {
        if (!timeformat_read(call->prepared, args[0]->text[i], &c))
            fn_refuse(v, call, out, i, PARSE_MALFORMED, args[0]->text[i]);
        else if (!calendar_join(&c, &out->i64[i]))
            fn_refuse(v, call, out, i, PARSE_RANGE, args[0]->text[i]);
    }
}

/* ---- time zones ---- */

static bool prepare_zone(struct plan *p UNUSED, const struct expr *call, const void **ret UNUSED,
                         char why[FUNC_WHY_LEN])
{
    struct span zone = call->args[0]->value.text;
    if (span_eq(zone, SPAN("UTC")) || span_eq(zone, SPAN("utc")) || span_eq(zone, SPAN("GMT")) ||
        span_eq(zone, SPAN("Z")))
        return true;
    snprintf(why, FUNC_WHY_LEN, "times are UTC here; the zone '%.*s' is not known",
             (int)MIN(zone.len, (size_t)60), zone.p);
    return false;
}

KERNEL(timezone)
{
    vec_copy(out, args[1], sel);
}

#define PARTS(type, one, answer)                                                                   \
    FN_PREPARED("date_part", FLOAT8, date_part, prepare_unit, 1, "date_part('hour', " one ")",     \
                answer, 2, SQLTYPE_TEXT, SQLTYPE_##type)
#define TRUNCS(type, one, shown)                                                                   \
    FN_PREPARED("date_trunc", type, date_trunc, prepare_unit, 1, "date_trunc('month', " one ")",   \
                shown, 2, SQLTYPE_TEXT, SQLTYPE_##type)
#define BINS(type, one, shown)                                                                     \
    FN("date_bin", type, date_bin, "date_bin('15 min', " one ", '2001-01-01')", shown, 0, 3,       \
       SQLTYPE_INTERVAL, SQLTYPE_##type, SQLTYPE_##type)

static const struct func funcs[] = {
    FN_PREPARED("extract", NUMERIC, extract, prepare_unit, 1,
                "extract(epoch from date '1970-01-02')", "86400", 2, SQLTYPE_TEXT, SQLTYPE_DATE),
    FN_PREPARED("extract", NUMERIC, extract, prepare_unit, 1,
                "extract(second from timestamp '2024-01-05 10:00:07.5')", "7.500000", 2,
                SQLTYPE_TEXT, SQLTYPE_TIMESTAMP),
    FN_PREPARED("extract", NUMERIC, extract, prepare_unit, 1,
                "extract(week from timestamptz '2024-12-30 10:00Z')", "1", 2, SQLTYPE_TEXT,
                SQLTYPE_TIMESTAMPTZ),
    FN_PREPARED("extract", NUMERIC, extract, prepare_unit, 1,
                "extract(epoch from interval '1 month 1 day')", "2678400.000000", 2, SQLTYPE_TEXT,
                SQLTYPE_INTERVAL),
    PARTS(TIMESTAMP, "timestamp '2024-01-05 10:00'", "10"),
    PARTS(TIMESTAMPTZ, "timestamptz '2024-01-05 10:00+02'", "8"),
    PARTS(INTERVAL, "interval '1 day 30:00'", "30"),
    TRUNCS(TIMESTAMP, "timestamp '2024-02-05 10:00'", "2024-02-01 00:00:00"),
    TRUNCS(TIMESTAMPTZ, "timestamptz '2024-02-05 10:00'", "2024-02-01 00:00:00+00"),
    BINS(TIMESTAMP, "timestamp '2024-02-05 10:29'", "2024-02-05 10:15:00"),
    BINS(TIMESTAMPTZ, "timestamptz '1999-02-05 10:29'", "1999-02-05 10:15:00+00"),
    FN3("make_date", DATE, INT4, INT4, INT4, make_date, "make_date(2024, 2, 29)", "2024-02-29"),
    FN1("to_timestamp", TIMESTAMPTZ, FLOAT8, of_epoch, "to_timestamp(1704448800.5)",
        "2024-01-05 10:00:00.5+00"),
    FN1("date", DATE, TIMESTAMP, to_day, "date(timestamp '2024-01-05 10:00')", "2024-01-05"),
    FN1("date", DATE, TIMESTAMPTZ, to_day, "date(timestamptz '2024-01-05 10:00')", "2024-01-05"),
    FN_PREPARED("to_char", TEXT, to_char, prepare_format, 2,
                "to_char(timestamp '2024-01-05 15:04', 'FMMonth DD, YYYY HH12:MI am')",
                "January 05, 2024 03:04 pm", 2, SQLTYPE_TIMESTAMP, SQLTYPE_TEXT),
    FN_PREPARED("to_char", TEXT, to_char, prepare_format, 2,
                "to_char(timestamptz '2024-12-30 15:04', 'IYYY-\"W\"IW-ID TZ')", "2025-W01-1 UTC",
                2, SQLTYPE_TIMESTAMPTZ, SQLTYPE_TEXT),
    FN_PREPARED("to_date", DATE, to_date, prepare_format, 2, "to_date('5.1.24', 'DD.MM.YY')",
                "2024-01-05", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("to_timestamp", TIMESTAMPTZ, to_timestamp, prepare_format, 2,
                "to_timestamp('Jan 5 2024 3:04:05 PM', 'Mon DD YYYY HH12:MI:SS AM')",
                "2024-01-05 15:04:05+00", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("timezone", TIMESTAMP, timezone, prepare_zone, 1,
                "timestamptz '2024-01-05 10:00+02' AT TIME ZONE 'UTC'", "2024-01-05 08:00:00", 2,
                SQLTYPE_TEXT, SQLTYPE_TIMESTAMPTZ),
    FN_PREPARED("timezone", TIMESTAMPTZ, timezone, prepare_zone, 1,
                "timestamp '2024-01-05 10:00' AT TIME ZONE 'UTC'", "2024-01-05 10:00:00+00", 2,
                SQLTYPE_TEXT, SQLTYPE_TIMESTAMP),
};

FN_TABLE(fn_time_table, funcs);
