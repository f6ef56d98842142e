/* test_sched_breaker.c: when downstreams are broken off, who probes them, what is held meanwhile. */
#include "breaker_fixture.h"

static void opens_when_nothing_succeeds(void **state)
{
    (void)state;
    const struct {
        uint64_t workers, fails;
    } cases[] = {{1, 3}, {2, 6}, {3, 9}, {6, 18}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fix f = with_workers(cases[i].workers);
        fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1);
        calls(&f, 10, .ok = 1);
        f.now += BREAKER_QUIET_MS;
        for (uint64_t n = 1; n <= cases[i].fails; n++) {
            assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
            calls(&f, 10 + n % cases[i].workers, .fail = 1);
        }
        assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
        assert_int_equal(told(&f, SCHED_TELL_OPEN), cases[i].workers);
        assert_int_equal(fix_count(&f, SCHED_ACT_TRACE), 1);
        fix_done(&f);
    }
}

static void a_success_within_a_second_keeps_it_closed(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    for (int i = 0; i < 9; i++) {
        calls(&f, 10, .ok = 1);
        calls(&f, 10, .fail = 1);
        f.now += 500;
    }
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    fix_done(&f);
}

static void opens_when_half_fail_or_most_are_slow(void **state)
{
    (void)state;
    const struct {
        uint32_t ok, fail, slow;
        enum sched_breaker_state want;
    } cases[] = {{10, 10, 0, SCHED_BREAKER_OPEN},
                 {11, 9, 0, SCHED_BREAKER_CLOSED},
                 {9, 10, 0, SCHED_BREAKER_CLOSED}, /* too few calls */
                 {20, 0, 16, SCHED_BREAKER_OPEN},
                 {20, 0, 15, SCHED_BREAKER_CLOSED}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fix f = with_workers(2);
        calls(&f, 11, .ok = 0);
        calls(&f, 10, .ok = cases[i].ok, .fail = cases[i].fail, .slow = cases[i].slow);
        assert_int_equal(view(&f, SINK).state, cases[i].want);
        fix_done(&f);
    }
}

static void the_window_forgets(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    calls(&f, 10, .ok = 10, .fail = 9);
    f.now += BREAKER_WINDOW_S * 1000;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    calls(&f, 10, .ok = 1, .fail = 1);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    fix_done(&f);
}

static void tasks_are_held_and_use_nothing(void **state)
{
    (void)state;
    struct fix f = opened(3);
    fix_tasks(&f, 1, 1, 5, 7);
    credit_all(&f, 3, 100);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    assert_int_equal(view(&f, SINK).held, 5);
    struct sched_job_view job;
    assert_true(sched_job_view(f.s, (struct job_id){1}, &job));
    assert_int_equal(job.waits[SCHED_WAIT_BREAKER], 5);
    assert_int_equal(job.breaker, SINK);
    /* Another job, which does not need it, goes on. */
    fix_open(&f, 2);
    fix_tasks(&f, 2, 100, 2, 8);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 2);
    fix_done(&f);
}

static void a_worker_whose_rows_wait_is_the_probe(void **state)
{
    (void)state;
    struct fix f = opened(3);
    fix_tasks(&f, 1, 1, 50, 7);
    credit_all(&f, 3, 100);
    calls(&f, 11, .waiting = 2);
    calls(&f, 12, .waiting = 1);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_HALF_OPEN);
    for (int i = 0; i < BREAKER_SUCCESSES; i++) {
        assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
        const uint64_t by = fix_act(&f, SCHED_ACT_BREAKER, 0).session.v;
        assert_int_equal(by, i % 2 ? 12 : 11); /* in turn */
        calls(&f, by, .ok = 1, .waiting = 1);
    }
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    assert_int_equal(told(&f, SCHED_TELL_CLOSED), 3);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), BREAKER_RAMP_TASKS);
    fix_tick(&f, f.now + BREAKER_RAMP_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 2 * BREAKER_RAMP_TASKS);
    fix_tick(&f, f.now + BREAKER_RAMP_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 50 - 3 * BREAKER_RAMP_TASKS);
    fix_done(&f);
}

static void when_no_rows_wait_one_task_makes_some(void **state)
{
    (void)state;
    struct fix f = opened(3);
    fix_tasks(&f, 1, 1, 50, 7);
    credit_all(&f, 3, 100);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    const struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    calls(&f, a.session.v, .waiting = 1);
    assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_BREAKER, 0).session.v, a.session.v);
    calls(&f, a.session.v, .ok = 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1); /* the next probe */
    fix_done(&f);
}

static void a_failed_probe_doubles_the_time(void **state)
{
    (void)state;
    struct fix f = opened(3);
    uint64_t want_ms = BREAKER_OPEN_MS;
    calls(&f, 11, .waiting = 1);
    for (int i = 0; i < 6; i++) {
        const uint64_t open_ms = view(&f, SINK).open_ms;
        assert_in_range(open_ms, want_ms - want_ms / 5, want_ms);
        for (uint64_t end = f.now + open_ms; f.now < end;) {
            for (uint64_t w = 10; w < 13; w++)
                fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
            fix_tick(&f, MIN(f.now + 1000, end));
        }
        assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
        calls(&f, 11, .fail = 1, .waiting = 1);
        assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
        want_ms = MIN(want_ms * 2, (uint64_t)BREAKER_OPEN_SINK_MAX_MS);
    }
    fix_done(&f);
}

static void what_comes_late_moves_nothing(void **state)
{
    (void)state;
    struct fix f = opened(3);
    calls(&f, 12, .ok = 50);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
    calls(&f, 11, .waiting = 1);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    calls(&f, 12, .ok = 50); /* not the probe */
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_HALF_OPEN);
    calls(&f, 12, .fail = 50);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_HALF_OPEN);
    fix_done(&f);
}

static void a_probe_that_is_lost_is_made_by_another(void **state)
{
    (void)state;
    struct fix f = opened(3);
    calls(&f, 11, .waiting = 1);
    calls(&f, 12, .waiting = 1);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    const uint64_t first = fix_act(&f, SCHED_ACT_BREAKER, 0).session.v;
    fix_session(&f, SCHED_EV_LOST, first, true);
    assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
    assert_int_not_equal(fix_act(&f, SCHED_ACT_BREAKER, 0).session.v, first);
    fix_done(&f);
}

static void a_worker_that_fails_alone_is_quarantined(void **state)
{
    (void)state;
    struct fix f = with_workers(3);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1);
    fix_open(&f, 2);
    for (int i = 0; i < BREAKER_ALONE_FAILS; i++) {
        calls(&f, 10, .ok = 1);
        calls(&f, 11, .fail = 1);
    }
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    assert_int_equal(view(&f, SINK).quarantined, 1);
    assert_int_equal(told(&f, SCHED_TELL_QUARANTINED), 1);
    fix_tasks(&f, 1, 1, 60, 7);
    credit_all(&f, 3, 10);
    struct sched_session_view se;
    assert_true(sched_session_view(f.s, (struct session_id){11}, f.now, &se));
    assert_int_equal(se.leased, 0);
    fix_tasks(&f, 2, 100, 10, 8); /* a job without that sink */
    assert_true(sched_session_view(f.s, (struct session_id){11}, f.now, &se));
    assert_int_equal(se.leased, 10);
    for (uint64_t end = f.now + BREAKER_QUARANTINE_MS; f.now < end;) {
        for (uint64_t w = 10; w < 13; w++)
            fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
        fix_tick(&f, f.now + 1000);
    }
    assert_int_equal(view(&f, SINK).quarantined, 0);
    fix_done(&f);
}

static void by_hand(void **state)
{
    (void)state;
    struct fix f = with_workers(2);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1);
    credit_all(&f, 2, 100);
    manual(&f, SCHED_MANUAL_TRIPPED);
    fix_tasks(&f, 1, 1, 5, 7);
    assert_int_equal(view(&f, SINK).held, 5);
    assert_true(view(&f, SINK).open_ms == UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        for (uint64_t w = 10; w < 12; w++)
            fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
        fix_tick(&f, f.now + 5000);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN) + told(&f, SCHED_TELL_PROBE), 0);
    }
    manual(&f, SCHED_MANUAL_PINNED);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 5);
    for (int i = 0; i < 50; i++)
        calls(&f, 10 + (uint64_t)i % 2, .fail = 5);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    manual(&f, SCHED_MANUAL_NONE);
    for (int i = 0; i < 50; i++)
        calls(&f, 10 + (uint64_t)i % 2, .fail = 5);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_OPEN);
    manual(&f, SCHED_MANUAL_NONE);
    assert_int_equal(view(&f, SINK).state, SCHED_BREAKER_CLOSED);
    fix_done(&f);
}

static void a_new_session_hears_of_it(void **state)
{
    (void)state;
    struct fix f = opened(3);
    fix_hello(&f, 20, .worker = 200);
    assert_int_equal(told(&f, SCHED_TELL_OPEN), 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_BREAKER, 0).session.v, 20);
    fix_done(&f);
}

static void a_run_time_out_costs_nothing_while_rows_wait(void **state)
{
    (void)state;
    struct fix f = with_workers(3);
    fix_open(&f, 1, .downstreams = sinks, .n_downstreams = 1, .run_timeout_ms = 2000);
    credit_all(&f, 3, 100);
    fix_tasks(&f, 1, 1, 1, 7);
    manual(&f, SCHED_MANUAL_TRIPPED);
    for (int i = 0; i < 60; i++) {
        for (uint64_t w = 10; w < 13; w++)
            fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
        fix_tick(&f, f.now + 1000);
        assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    }
    manual(&f, SCHED_MANUAL_NONE);
    size_t revoked = 0;
    for (int i = 0; i < 10; i++) {
        for (uint64_t w = 10; w < 13; w++)
            fix_session(&f, SCHED_EV_HEARTBEAT, w, false);
        fix_tick(&f, f.now + 1000);
        revoked += fix_count(&f, SCHED_ACT_REVOKE);
    }
    assert_int_equal(revoked, 1);
    fix_done(&f);
}

/* ---- hosts ---- */

static void a_host_is_held_alone_and_probed_by_one_task(void **state)
{
    (void)state;
    struct fix f = with_workers(2);
    fix_open(&f, 1, .hosts = true, .key_limit = 4);
    fix_tasks(&f, 1, 1, 20, HOST);
    fix_credit(&f, 10, 1);
    struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    host_calls(&f, a.session.v, .fail = BREAKER_HOST_FAILS);
    assert_int_equal(view(&f, HOST).state, SCHED_BREAKER_OPEN);
    assert_int_equal(told(&f, SCHED_TELL_OPEN), 1); /* to who is at work on it */
    fix_result(&f, a.session.v, a.task.v, a.token, SCHED_DONE);
    fix_completed(&f, a.task.v, NULL, 0);
    fix_tasks(&f, 1, 100, 1, HOST + 1);
    fix_credit(&f, 10, 100);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1); /* the other host's */
    assert_int_equal(view(&f, HOST).held, 19);
    fix_tick(&f, f.now + BREAKER_OPEN_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    assert_int_equal(a.u.assign.grant, 1);
    assert_int_equal(told(&f, SCHED_TELL_PROBE), 1);
    host_calls(&f, a.session.v, .ok = 3);
    assert_int_equal(view(&f, HOST).state, SCHED_BREAKER_CLOSED);
    fix_done(&f);
}

static size_t letters(const struct fix *f)
{
    size_t n = 0;
    for (size_t k = 0; k < fix_count(f, SCHED_ACT_COMPLETE); k++)
        n += fix_act(f, SCHED_ACT_COMPLETE, k).u.complete.write == SCHED_WRITE_DEAD;
    return n;
}

static void a_host_that_stays_dead_is_given_up(void **state)
{
    (void)state;
    struct sched_config c = {.epoch = 1, .seed = 7, .lease_ms = LEASE_MS, .host_give_up_ms = 60000};
    struct fix f = {.s = sched_new(&c), .now = 1000};
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    fix_hello(&f, 10, .worker = 100);
    fix_open(&f, 1, .hosts = true, .key_limit = 4);
    fix_tasks(&f, 1, 1, 2500, HOST);
    fix_credit(&f, 10, 1000);
    size_t dead = 0;
    for (int i = 0; i < 200 && dead < 2400; i++) {
        if (fix_count(&f, SCHED_ACT_ASSIGN) > 0) { /* a probe, which fails */
            const struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
            host_calls(&f, 10, .fail = BREAKER_HOST_FAILS);
            dead += letters(&f);
            fix_result(&f, 10, a.task.v, a.token, SCHED_DONE);
            dead += letters(&f);
            fix_completed(&f, a.task.v, NULL, 0);
            dead += letters(&f);
        }
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        dead += letters(&f);
        fix_tick(&f, f.now + 1000);
        dead += letters(&f);
        if (i < 55)
            assert_int_equal(dead, 0);
    }
    assert_in_range(dead, 2400, 2500);
    fix_done(&f);
}

/* ---- the budget of retries ---- */

static void retries_keep_to_their_budget(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .retry_percent = 10, .attempts_max = 50, .backoff_ms = 1, .backoff_max_ms = 1);
    fix_tasks(&f, 1, 1, 200, 7);
    fix_credit(&f, 10, 100000);
    size_t given = fix_count(&f, SCHED_ACT_ASSIGN);
    assert_int_equal(given, 200);
    struct sched_action all[200];
    for (size_t i = 0; i < 200; i++)
        all[i] = fix_act(&f, SCHED_ACT_ASSIGN, i);
    given = 0;
    for (size_t i = 0; i < 200; i++) {
        fix_result(&f, 10, all[i].task.v, all[i].token, SCHED_RETRY);
        given += fix_count(&f, SCHED_ACT_ASSIGN);
        fix_completed(&f, all[i].task.v, NULL, 0);
        given += fix_count(&f, SCHED_ACT_ASSIGN);
    }
    fix_tick(&f, f.now + 2);
    /* 10 in stock and a tenth of the 200 first attempts. */
    assert_int_equal(given + fix_count(&f, SCHED_ACT_ASSIGN), 30);
    for (int i = 0; i < 10; i++) {
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        fix_tick(&f, f.now + 1000);
        assert_in_range(fix_count(&f, SCHED_ACT_ASSIGN), 8, 11);
    }
    for (int i = 0; i < 9; i++) { /* none is forgotten */
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        fix_tick(&f, f.now + 1000);
    }
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 0);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_when_nothing_succeeds),
        cmocka_unit_test(a_success_within_a_second_keeps_it_closed),
        cmocka_unit_test(opens_when_half_fail_or_most_are_slow),
        cmocka_unit_test(the_window_forgets),
        cmocka_unit_test(tasks_are_held_and_use_nothing),
        cmocka_unit_test(a_worker_whose_rows_wait_is_the_probe),
        cmocka_unit_test(when_no_rows_wait_one_task_makes_some),
        cmocka_unit_test(a_failed_probe_doubles_the_time),
        cmocka_unit_test(what_comes_late_moves_nothing),
        cmocka_unit_test(a_probe_that_is_lost_is_made_by_another),
        cmocka_unit_test(a_worker_that_fails_alone_is_quarantined),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(a_new_session_hears_of_it),
        cmocka_unit_test(a_run_time_out_costs_nothing_while_rows_wait),
        cmocka_unit_test(a_host_is_held_alone_and_probed_by_one_task),
        cmocka_unit_test(a_host_that_stays_dead_is_given_up),
        cmocka_unit_test(retries_keep_to_their_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
