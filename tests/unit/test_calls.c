/* What is told of hosts that fail: counts since the last report, and which hosts are watched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker/scrape/calls.h"

static struct calls *c;
static int fd;
static struct calls_report reports[CALLS_HOSTS_MAX + 1];

static int set_up(void **state UNUSED)
{
    fd = eventfd(0, EFD_NONBLOCK);
    c = calls_new(fd);
    return c ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
    calls_free(c);
    calls_free(NULL);
    close(fd);
    return 0;
}

static bool woken(void)
{
    uint64_t n;
    return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

static size_t take(bool all, uint64_t now_ms)
{
    return calls_take(c, all, now_ms, reports, ARRAY_LEN(reports));
}

static void only_hosts_that_fail_are_told_of(void **state UNUSED)
{
    calls_ok(c, SPAN("http://good"), false);
    assert_false(calls_watching(c));
    assert_int_equal(take(true, 0), 0);
    calls_failed(c, SPAN("http://bad"), "HTTP 503", 1000);
    assert_true(woken()); /* the first failure does not wait */
    calls_failed(c, SPAN("http://bad"), "HTTP 502", 1001);
    calls_ok(c, SPAN("http://bad"), false);
    calls_ok(c, SPAN("http://bad"), true);
    assert_false(woken());
    assert_int_equal(take(false, 1002), 1);
    assert_string_equal(reports[0].key, "http://bad");
    assert_int_equal(reports[0].fail, 2);
    assert_int_equal(reports[0].ok, 2);
    assert_int_equal(reports[0].slow, 1);
    assert_string_equal(reports[0].error, "HTTP 502");
    assert_int_equal(take(true, 1003), 0); /* nothing new */
    calls_ok(c, SPAN("http://bad"), false);
    assert_int_equal(take(false, 1004), 0); /* may wait */
    assert_int_equal(take(true, 1005), 1);
    assert_string_equal(reports[0].error, "");
}

static void a_host_is_watched_for_a_while(void **state UNUSED)
{
    calls_failed(c, SPAN("http://a"), "x", 1000);
    calls_failed(c, SPAN("http://b"), "x", 1000 + CALLS_WATCH_MS / 2);
    assert_int_equal(take(true, 2000), 2);
    take(true, 1000 + CALLS_WATCH_MS); /* a is well again */
    calls_ok(c, SPAN("http://a"), false);
    calls_ok(c, SPAN("http://b"), false);
    assert_int_equal(take(true, 1000 + CALLS_WATCH_MS), 1);
    assert_string_equal(reports[0].key, "http://b");
    take(true, 1000 + 2 * CALLS_WATCH_MS);
    assert_false(calls_watching(c));
}

static void a_full_table_keeps_the_latest(void **state UNUSED)
{
    char key[40];
    for (int i = 0; i <= CALLS_HOSTS_MAX; i++) {
        const int n = snprintf(key, sizeof(key), "http://h%d", i);
        calls_failed(c, (struct span){key, (size_t)n}, "x", 1000 + (uint64_t)i);
    }
    assert_int_equal(take(true, 2000), CALLS_HOSTS_MAX);
    for (int i = 0; i < CALLS_HOSTS_MAX; i++)
        assert_string_not_equal(reports[i].key, "http://h0");
}

static void some_now_and_the_rest_later(void **state UNUSED)
{
    calls_failed(c, SPAN("http://a"), "x", 1);
    calls_failed(c, SPAN("http://b"), "x", 1);
    assert_int_equal(calls_take(c, true, 2, reports, 1), 1);
    assert_int_equal(take(true, 3), 1);
    assert_string_equal(reports[0].key, "http://b");
}

static void a_new_session_begins_anew(void **state UNUSED)
{
    calls_failed(c, SPAN("http://a"), "x", 1);
    calls_clear(c);
    assert_int_equal(take(true, 2), 0);
    assert_true(woken());
    calls_failed(c, SPAN("http://a"), "x", 3);
    assert_true(woken());
}

static void keys_that_are_none(void **state UNUSED)
{
    static char key[CALLS_KEY_MAX + 2];
    memset(key, 'x', sizeof(key));
    calls_failed(c, (struct span){key, CALLS_KEY_MAX + 1}, "x", 1);
    assert_int_equal(take(true, 1), 0);
    calls_failed(c, (struct span){key, CALLS_KEY_MAX}, "x", 1);
    assert_int_equal(take(true, 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_hosts_that_fail_are_told_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_host_is_watched_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_table_keeps_the_latest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_now_and_the_rest_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_session_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_that_are_none, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
