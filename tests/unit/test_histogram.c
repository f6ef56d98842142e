/* test_histogram.c: buckets, the text for Prometheus, the quantile of the last minutes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "coordinator/edge/histogram.h"

static char *rendered(const struct histogram *h, struct buf *out)
{
    buf_clear(out);
    histogram_render(h, out, "x_seconds", "a=\"b\"");
    assert_false(out->failed);
    buf_byte(out, '\0');
    return (char *)out->data;
}

static void values_fall_into_the_first_bucket_that_holds_them(void **state)
{
    (void)state;
    const struct {
        uint64_t ms;
        const char *in, *not_in; /* lines that count it, and that do not */
    } cases[] = {
        {0, "le=\"0.001\"} 1\n", "le=\"0.001\"} 0\n"},
        {1, "le=\"0.001\"} 1\n", "le=\"0.001\"} 0\n"},
        {2, "le=\"0.002\"} 1\n", "le=\"0.001\"} 1\n"},
        {1000, "le=\"1\"} 1\n", "le=\"0.5\"} 1\n"},
        {1001, "le=\"2\"} 1\n", "le=\"1\"} 1\n"},
        {5000000, "le=\"5000\"} 1\n", "le=\"2000\"} 1\n"},
        {5000001, "le=\"+Inf\"} 1\n", "le=\"5000\"} 1\n"},
        {UINT64_MAX, "le=\"+Inf\"} 1\n", "le=\"5000\"} 1\n"},
    };
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct histogram h = {0};
        histogram_add(&h, cases[i].ms);
        const char *text = rendered(&h, &out);
        if (!strstr(text, cases[i].in) || strstr(text, cases[i].not_in))
            fail_msg("%llu ms:\n%s", (unsigned long long)cases[i].ms, text);
        assert_non_null(strstr(text, "x_seconds_count{a=\"b\"} 1\n"));
    }
    buf_done(&out);
}

static void an_empty_one_has_every_line_at_0(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf out;
    size_t lines = 0;
    buf_init(&out, 0);
    for (const char *at = rendered(&h, &out); (at = strchr(at, '\n')); at++) {
        assert_memory_equal(at - 2, at[-2] == ' ' ? " 0" : "00", 2);
        lines++;
    }
    assert_int_equal(lines, HISTOGRAM_BUCKETS + 2);
    assert_non_null(strstr((char *)out.data, "x_seconds_sum{a=\"b\"} 0.000\n"));
    buf_done(&out);
}

static void sums_are_in_seconds_and_buckets_add_up(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf out;
    buf_init(&out, 0);
    histogram_add(&h, 30);
    histogram_add(&h, 300);
    histogram_add(&h, 3000);
    const char *text = rendered(&h, &out);
    assert_non_null(strstr(text, "x_seconds_sum{a=\"b\"} 3.330\n"));
    assert_non_null(strstr(text, "le=\"0.05\"} 1\n"));
    assert_non_null(strstr(text, "le=\"0.5\"} 2\n"));
    assert_non_null(strstr(text, "le=\"5\"} 3\n"));
    buf_done(&out);
}

static void the_quantile_is_of_what_came_lately(void **state)
{
    (void)state;
    struct histogram_recent r = {0};
    assert_true(histogram_recent_quantile(&r, 0.95) < 0);
    for (int i = 0; i < 90; i++)
        histogram_recent_add(&r, 8);
    for (int i = 0; i < 10; i++)
        histogram_recent_add(&r, 150);
    /* Rank 95 of 100 is the middle of the ten in (100, 200] ms. */
    assert_true(fabs(histogram_recent_quantile(&r, 0.95) - 0.150) < 1e-9);
    assert_true(histogram_recent_quantile(&r, 0.5) <= 0.010);
    /* Old values weigh half after a half-life: 50 of them stand beside 100 new ones. */
    histogram_recent_fade(&r, HISTOGRAM_HALF_S);
    for (int i = 0; i < 100; i++)
        histogram_recent_add(&r, 40000);
    assert_true(histogram_recent_quantile(&r, 0.29) < 0.011);
    assert_true(histogram_recent_quantile(&r, 0.34) > 20);
    histogram_recent_fade(&r, 30 * HISTOGRAM_HALF_S);
    assert_true(histogram_recent_quantile(&r, 0.95) < 0);
    histogram_recent_add(&r, UINT64_MAX);
    assert_true(fabs(histogram_recent_quantile(&r, 0.95) - 5000) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fall_into_the_first_bucket_that_holds_them),
        cmocka_unit_test(an_empty_one_has_every_line_at_0),
        cmocka_unit_test(sums_are_in_seconds_and_buckets_add_up),
        cmocka_unit_test(the_quantile_is_of_what_came_lately),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
