/* Dates, times and intervals: every day there and back, what is read and what is refused. What the
 * functions over them answer is compared with PostgreSQL in tests/e2e/test_transform_oracle.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "worker/transform/timeformat.h"
#include "worker/transform/timetext.h"
#include "worker/transform/timeunit.h"

static struct span text_of(char *text, size_t n)
{
    return (struct span){text, n};
}

static void every_day(void **state)
{
    (void)state;
    char text[TIMETEXT_ROOM];
    for (int64_t day = CALENDAR_DATE_MIN; day < 3000000;
         day += day < -800000 || day > 800000 ? 61 : 1) {
        struct calendar c;
        int64_t back = INT64_MIN, us;
        calendar_date(day, &c);
        assert_int_equal(calendar_days(c.year, c.month, c.day), day);
        assert_int_equal(timetext_date(text_of(text, timetext_put_date(day, text)), &back),
                         PARSE_OK);
        assert_int_equal(back, day);
        us = day * CALENDAR_DAY_US + day % 7 * CALENDAR_HOUR_US + (day & 0xfff);
        if (!calendar_time_fits(us))
            continue;
        assert_int_equal(timetext_time(text_of(text, timetext_put_time(us, true, text)), true,
                                       &back),
                         PARSE_OK);
        assert_int_equal(back, us);
    }
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum parse why;
        int64_t us;
    } cases[] = {
        {"1970-01-01", PARSE_OK, 0},
        {" 1970-01-02 ", PARSE_OK, CALENDAR_DAY_US},
        {"19700102", PARSE_OK, CALENDAR_DAY_US},
        {"1970/1/2", PARSE_OK, CALENDAR_DAY_US},
        {"1970-01-01T00:00:01Z", PARSE_OK, CALENDAR_SECOND_US},
        {"1970-01-01 01:00+01", PARSE_OK, 0},
        {"1970-01-01 01:00:00.5 +01:00", PARSE_OK, 500000},
        {"1970-01-01 00:00-0130", PARSE_OK, 90 * CALENDAR_MINUTE_US},
        {"1970-01-01 24:00", PARSE_OK, CALENDAR_DAY_US},
        {"1970-01-01 00:00:00.0000005", PARSE_OK, 0},
        {"1970-01-01 00:00:00.0000015", PARSE_OK, 2},
        {"1970-01-01 24:01", PARSE_MALFORMED, 0},
        {"1970-02-29", PARSE_MALFORMED, 0},
        {"1970-13-01", PARSE_MALFORMED, 0},
        {"0000-01-01", PARSE_MALFORMED, 0},
        {"1970-01-01T", PARSE_MALFORMED, 0},
        {"1970-01-01x", PARSE_MALFORMED, 0},
        {"1970-01-01 00:00 Europe/Berlin", PARSE_MALFORMED, 0},
        {"01/02/1970", PARSE_MALFORMED, 0},
        {"70-01-01", PARSE_MALFORMED, 0},
        {"now", PARSE_MALFORMED, 0},
        {"", PARSE_MALFORMED, 0},
        {"300000-01-01", PARSE_RANGE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t us = 0;
        enum parse why = timetext_time(span_str(cases[i].text), true, &us);
        if (why != cases[i].why || us != cases[i].us)
            fail_msg("'%s': %d, %lld", cases[i].text, why, (long long)us);
    }
}

static void intervals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"1 day", "1 day"},
        {"2 hours 30 min", "02:30:00"},
        {"-1 month 1 day 3:00", "-1 mons +1 day 03:00:00"},
        {"1.5 days", "1 day 12:00:00"},
        {"1 year 14 months", "2 years 2 mons"},
        {"3 days ago", "-3 days"},
        {"100:00:00", "100:00:00"},
        {"0.000001 sec", "00:00:00.000001"},
        {"1 week", "7 days"},
        {"1.5 months", NULL}, /* of how many days? */
        {"1", NULL},
        {"day", NULL},
        {"1 day 2", NULL},
        {"999999999999 years", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct interval x = {0};
        char text[TIMETEXT_ROOM];
        enum parse why = timetext_interval(span_str(cases[i][0]), &x);
        size_t n = timetext_put_interval(x, text);
        bool right = cases[i][1]
                         ? why == PARSE_OK && span_eq(text_of(text, n), span_str(cases[i][1]))
                         : why != PARSE_OK;
        if (!right)
            fail_msg("'%s': %d, %.*s", cases[i][0], why, (int)n, text);
    }
}

/* What a format reads back is what it wrote. */
static void formats(void **state)
{
    (void)state;
    static const char *const cases[] = {"YYYY-MM-DD HH24:MI:SS.US", "YYYYMMDDHH24MISSUS",
                                        "FMDD FMMonth YYYY, HH12:MI:SS.US am", "YYYY DDD SSSS US"};
    struct arena a;
    char why[FUNC_WHY_LEN], text[400];
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct timeformat *write = NULL, *read = NULL;
        assert_true(timeformat_new(&a, span_str(cases[i]), false, &write, why));
        assert_true(timeformat_new(&a, span_str(cases[i]), true, &read, why));
        assert_true(timeformat_bound(write) <= sizeof text);
        for (int64_t us = -CALENDAR_DAY_US * 1000; us < CALENDAR_DAY_US * 20000;
             us += CALENDAR_DAY_US * 17 + 7654321) {
            struct calendar c;
            int64_t back = 0;
            size_t n = timeformat_write(write, us, true, text);
            if (!timeformat_read(read, text_of(text, n), &c) || !calendar_join(&c, &back) ||
                back != us)
                fail_msg("%s: %.*s is %lld", cases[i], (int)n, text, (long long)back);
        }
    }
    arena_done(&a);
}

static void units(void **state)
{
    (void)state;
    for (int unit = 0; unit <= TIMEUNIT_MILLENNIUM; unit++) {
        for (int64_t us = -CALENDAR_DAY_US * 800000; us < CALENDAR_DAY_US * 100000;
             us += CALENDAR_DAY_US * 997 + 123456789) {
            int64_t start, again;
            assert_true(timeunit_trunc((enum timeunit)unit, us, &start));
            assert_true(start <= us);
            assert_true(timeunit_trunc((enum timeunit)unit, start, &again));
            assert_int_equal(again, start);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day), cmocka_unit_test(texts), cmocka_unit_test(intervals),
        cmocka_unit_test(formats),   cmocka_unit_test(units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
