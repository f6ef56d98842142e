/* test_sched_breaker_past.c: what breakers must not believe or keep: late reports, old failures, workers and
 * hosts that are gone. */
#include "breaker_fixture.h"

/* Only one of these workers may run the job: the others say nothing about its sink. */
static void few_workers_that_may_use_it_are_enough(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_hello(&f, 10, .worker = 100, .kinds = 2);
    for (uint64_t i = 1; i < 10; i++)
        fix_hello(&f, 10 + i, .worker = 100 + i, .kinds = 1);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1, .kinds = 2);
    for (int i = 0; i < BREAKER_FAILS_A_WORKER; i++) {
        assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
        calls(&f, 10, .fail = 1);
    }
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
    fix_done(&f);
}

/* A probe is one call: a report of many is from before it was told. */
static void one_report_of_a_probe_is_one_success(void **state)
{
    (void)state;
    struct fix f = opened(3);
    calls(&f, 11, .waiting = 1);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
    calls(&f, 11, .ok = 50, .waiting = 1);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_HALF_OPEN);
    fix_done(&f);
}

static void a_probe_without_rows_is_made_by_another(void **state)
{
    (void)state;
    struct fix f = opened(3);
    calls(&f, 11, .waiting = 1);
    calls(&f, 12, .waiting = 1);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    const uint64_t first = fix_act(&f, SCHED_ACT_BREAKER, 0).session.v;
    calls(&f, first, .waiting = 0); /* its tasks were revoked meanwhile */
    assert_int_equal(told(&f, SCHED_TELL_OPEN), 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_BREAKER, 0).session.v, first);
    assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
    assert_int_not_equal(fix_act(&f, SCHED_ACT_BREAKER, 1).session.v, first);
    fix_done(&f);
}

/* One failure long ago does not keep a task that hangs from its run time-out. */
static void an_old_failure_holds_no_run_time_out(void **state)
{
    (void)state;
    struct fix f = with_workers(3);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1, .run_timeout_ms = 2000);
    credit_all(&f, 3, 100);
    fix_tasks(&f, 1, 1, 1, 7);
    calls(&f, 10, .fail = 1);
    size_t revoked = 0;
    for (int i = 0; i < 2 * BREAKER_STABLE_MS / 1000; i++) {
        for (uint64_t w = 10; w < 13; w++)
            fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
        fix_tick(&f, f.now + 1000);
        revoked += fix_count(&f, SCHED_ACT_REVOKE);
    }
    assert_int_equal(revoked, 1);
    fix_done(&f);
}

static size_t breakers(const struct fix *f)
{
    struct sched_breaker_view v;
    size_t n = 0;
    for (size_t at = 0; sched_breaker_next(f->s, &at, f->now, &v);)
        n++;
    return n;
}

/* A crawl meets many dead hosts in its life; those without a task left are not kept. */
static void a_dead_host_without_tasks_is_forgotten(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .hosts = true, .key_limit = 4);
    fix_credit(&f, 10, 1);
    fix_tasks(&f, 1, 1, 1, HOST);
    const struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    host_calls(&f, 10, .fail = BREAKER_HOST_FAILS);
    fix_result(&f, 10, a.task.v, a.token, SCHED_DONE);
    fix_completed(&f, a.task.v, NULL, 0);
    assert_int_equal(breakers(&f), 1);
    for (int i = 0; i < 2 * BREAKER_FORGET_MS / 1000; i++) {
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        fix_tick(&f, f.now + 1000);
    }
    assert_int_equal(breakers(&f), 0);
    fix_done(&f);
}

/* Workers come and go under new names; what was known of those that are gone is not kept. */
static void workers_that_are_gone_are_forgotten(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1);
    uint64_t before = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        fix_hello(&f, 10 + i, .worker = 1000 + i);
        calls(&f, 10 + i, .ok = 1);
        fix_session(&f, SCHED_EV_LOST, 10 + i, true);
        if (i == 100)
            before = fix_stats(&f).memory_bytes;
    }
    assert_in_range(fix_stats(&f).memory_bytes, 0, before + 4096);
    fix_done(&f);
}

/* Who waits for the budget goes on when later first attempts have earned it. */
static void earned_retries_are_used(void **state)
{
    (void)state;
    enum { FAILED = 500, LATER = 10000 };
    struct fix f = with_workers(1);
    fix_open(&f, 1, .retry_percent = 10, .attempts_max = 50, .backoff_ms = 1, .backoff_max_ms = 1);
    fix_tasks(&f, 1, 1, FAILED, 7);
    fix_credit(&f, 10, FAILED);
    struct sched_action *all = calloc(FAILED, sizeof(*all));
    assert_non_null(all);
    for (size_t i = 0; i < FAILED; i++)
        all[i] = fix_act(&f, SCHED_ACT_ASSIGN, i);
    for (size_t i = 0; i < FAILED; i++) {
        fix_result(&f, 10, all[i].task.v, all[i].token, SCHED_RETRY);
        fix_completed(&f, all[i].task.v, NULL, 0);
    }
    free(all);
    fix_tick(&f, f.now + 10);
    fix_credit(&f, 10, 1000000);
    fix_tasks(&f, 1, 10000, LATER, 8); /* all given out at once: they earn a thousand */
    for (int i = 0; i < 5; i++) {
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        fix_tick(&f, f.now + 1000);
    }
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 0);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_workers_that_may_use_it_are_enough),
        cmocka_unit_test(one_report_of_a_probe_is_one_success),
        cmocka_unit_test(a_probe_without_rows_is_made_by_another),
        cmocka_unit_test(an_old_failure_holds_no_run_time_out),
        cmocka_unit_test(a_dead_host_without_tasks_is_forgotten),
        cmocka_unit_test(workers_that_are_gone_are_forgotten),
        cmocka_unit_test(earned_retries_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
