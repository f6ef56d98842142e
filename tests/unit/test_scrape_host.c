/* test_scrape_host.c: pacing of one host, Retry-After, and the table of hosts. */
#include "worker/scrape/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "worker/scrape/robots.h"

static const struct {
    const char *name, *value;
    bool ok;
    uint64_t ms;
} retry_after_cases[] = {
    /* 784111777 is 1994-11-06 08:49:37 UTC, the example of RFC 9110; now is 37 s before */
    {"seconds", "120", true, 120000},
    {"zero", "0", true, 0},
    {"spaces", "  7\t", true, 7000},
    {"a year is a week", "31536000", true, 7ULL * 24 * 3600 * 1000},
    {"more digits than fit", "99999999999999999999999999", true, 7ULL * 24 * 3600 * 1000},
    {"imf date", "Sun, 06 Nov 1994 08:49:37 GMT", true, 37000},
    {"rfc 850 date", "Sunday, 06-Nov-94 08:49:37 GMT", true, 37000},
    {"asctime date", "Sun Nov  6 08:49:37 1994", true, 37000},
    {"a date that is past", "Sun, 06 Nov 1994 08:48:00 GMT", true, 0},
    {"a date of 2038 and later", "Wed, 01 Jan 2050 00:00:00 GMT", true, 7ULL * 24 * 3600 * 1000},
    {"empty", "", false, 0},
    {"negative", "-5", false, 0},
    {"fraction", "1.5", false, 0},
    {"words", "in a minute", false, 0},
    {"no such month", "Sun, 06 Foo 1994 08:49:37 GMT", false, 0},
    {"no such hour", "Sun, 06 Nov 1994 25:49:37 GMT", false, 0},
    {"too long", "Sun, 06 Nov 1994 08:49:37 GMT                                             x",
     false, 0},
};

static void test_retry_after(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(retry_after_cases); i++) {
        uint64_t ms = 0;
        bool ok = host_retry_after(span_str(retry_after_cases[i].value), 784111740, &ms);
        if (ok != retry_after_cases[i].ok || ms != retry_after_cases[i].ms)
            fail_msg("%s: %d %llu", retry_after_cases[i].name, ok, (unsigned long long)ms);
    }
}

/* One host, driven by steps: what is done at a time, and when the next start may be after it. */
enum step_type { START, END_OK, END_OVERLOAD, END_ERROR };
static const struct {
    const char *name;
    enum step_type type;
    uint64_t now_ms;
    uint32_t latency_ms;
    uint64_t retry_after_ms;
    uint64_t next_ms;
} throttle_steps[] = {
    {"nothing known: at once", START, 1000, 0, 0, 1000},
    {"half the way to 400/4", END_OK, 1400, 400, 0, 1000},
    {"the delay is 50 now", START, 1400, 0, 0, 1450},
    {"half the way again: 75", END_OK, 1800, 400, 0, 1450},
    {"so", START, 1800, 0, 0, 1875},
    {"a quick error page does not speed up", END_ERROR, 1810, 1, 0, 1875},
    {"as before", START, 1875, 0, 0, 1950},
    {"overload: at least half a second from now", END_OVERLOAD, 1900, 10, 0, 2400},
    {"so again", START, 2400, 0, 0, 2900},
    {"overload doubles", END_OVERLOAD, 2500, 10, 0, 3500},
    {"so", START, 3500, 0, 0, 4500},
    {"Retry-After is heeded beyond that", END_OVERLOAD, 3600, 10, 9000, 12600},
    {"then the delay of 2000 holds", START, 12600, 0, 0, 14600},
    {"success halves it", END_OK, 12700, 4, 0, 14600},
    {"so", START, 14600, 0, 0, 15600},
};

static void test_throttle(void **state)
{
    (void)state;
    struct hosts all;
    assert_int_equal(hosts_init(&all), ERR_OK);
    struct host *h = hosts_get(&all, SPAN("http://a"));
    for (size_t i = 0; i < ARRAY_LEN(throttle_steps); i++) {
        uint64_t now = throttle_steps[i].now_ms;
        enum host_outcome outcome = throttle_steps[i].type == END_OK         ? HOST_OK
                                    : throttle_steps[i].type == END_OVERLOAD ? HOST_OVERLOAD
                                                                             : HOST_ERROR;
        if (throttle_steps[i].type == START)
            host_started(h, now, 0);
        else
            host_finished(h, now, outcome, true, throttle_steps[i].latency_ms, 4,
                          throttle_steps[i].retry_after_ms);
        uint64_t next = host_next_start_ms(h);
        if (next != throttle_steps[i].next_ms)
            fail_msg("step %zu, %s: %llu", i, throttle_steps[i].name, (unsigned long long)next);
    }
    hosts_done(&all);
}

static void test_delays(void **state)
{
    (void)state;
    struct host h = {0};
    assert_int_equal(host_delay_ms(&h, 0), 0);
    assert_int_equal(host_delay_ms(&h, 250), 250);
    h.throttle_ms = HOST_THROTTLE_MIN_MS - 1; /* too little to pace by */
    assert_int_equal(host_delay_ms(&h, 0), 0);
    h.throttle_ms = 300;
    assert_int_equal(host_delay_ms(&h, 250), 300);
    h.crawl_delay_ms = 10000;
    assert_int_equal(host_delay_ms(&h, 250), 10000);
    assert_int_equal(host_limit(&h, 8), 1);
    h.crawl_delay_ms = 0;
    assert_int_equal(host_limit(&h, 8), 8);
}

/* Without autothrottle a 429 changes nothing but by its Retry-After. */
static void test_without_throttle(void **state)
{
    (void)state;
    struct host h = {0};
    host_started(&h, 100, 20);
    host_finished(&h, 110, HOST_OVERLOAD, false, 5, 4, 0);
    assert_int_equal(host_next_start_ms(&h), 120);
    host_started(&h, 120, 20);
    host_finished(&h, 130, HOST_OVERLOAD, false, 5, 4, 3000);
    assert_int_equal(host_next_start_ms(&h), 3130);
    assert_int_equal(h.active, 0);
}

/* The slowest that autothrottle gets. */
static void test_throttle_bound(void **state)
{
    (void)state;
    struct host h = {0};
    for (int i = 0; i < 40; i++) {
        host_started(&h, 0, 0);
        host_finished(&h, 0, HOST_OVERLOAD, true, UINT32_MAX, 1, 0);
    }
    assert_int_equal(h.throttle_ms, HOST_THROTTLE_MAX_MS);
}

static void test_table(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct hosts all;
    char key[64];
    assert_int_equal(hosts_init(&all), ERR_OK);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "https://host-%d.example", i);
        struct host *h = hosts_get(&all, span_str(key));
        assert_non_null(h);
        assert_ptr_equal(h, hosts_get(&all, span_str(key)));
        h->latency_ms = (uint32_t)i;
    }
    assert_int_equal(all.n, N); /* all in use: none is forgotten */
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "https://host-%d.example", i);
        hosts_release(&all, hosts_get(&all, span_str(key)));
    }
    assert_int_equal(all.n, HOST_IDLE_MAX);
    assert_int_equal(hosts_get(&all, SPAN("https://host-9999.example"))->latency_ms, 9999);
    assert_int_equal(hosts_get(&all, SPAN("https://host-0.example"))->latency_ms, 0); /* anew */
    assert_int_equal(all.n_idle, HOST_IDLE_MAX - 1);
    hosts_done(&all);
}

/* Idle hosts with large rules are forgotten by their bytes. */
static void test_idle_bytes(void **state)
{
    (void)state;
    struct hosts all;
    struct buf text = {0};
    char key[64];
    buf_str(&text, "user-agent: *\n");
    while (text.len < 400 * 1024)
        buf_str(&text, "disallow: /a/long/path/that/takes/room/in/memory\n");
    assert_int_equal(hosts_init(&all), ERR_OK);
    for (int i = 0; i < 60; i++) {
        snprintf(key, sizeof key, "http://h%d", i);
        struct host *h = hosts_get(&all, span_str(key));
        struct robots *r = robots_parse(buf_span(&text), SPAN("drover"));
        assert_non_null(r);
        host_set_robots(h, r, 1000, NULL);
        hosts_release(&all, h);
        assert_true(all.idle_bytes <= HOST_IDLE_BYTES_MAX);
    }
    assert_true(all.n_idle > 0 && all.n_idle < 60);
    hosts_done(&all);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after),    cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_delays),         cmocka_unit_test(test_without_throttle),
        cmocka_unit_test(test_throttle_bound), cmocka_unit_test(test_table),
        cmocka_unit_test(test_idle_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
