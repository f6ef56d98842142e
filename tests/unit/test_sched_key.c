/* test_sched_key.c: limits of keys: slots, first contact, delay, backoff, and who shares them. */
#include "sched_fixture.h"

#define TOKEN(e, n) ((struct token){(e), (n)})

/* `workers` workers with much credit (sessions 10, 11, ...; workers 100, 101, ...). */
static struct fix with_workers(uint64_t workers)
{
    struct fix f = fix_new();
    for (uint64_t i = 0; i < workers; i++) {
        fix_hello(&f, 10 + i, .worker = 100 + i);
        fix_credit(&f, 10 + i, 1000);
    }
    return f;
}

static uint32_t grants(const struct fix *f)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < fix_count(f, SCHED_ACT_ASSIGN); i++)
        sum += fix_act(f, SCHED_ACT_ASSIGN, i).u.assign.grant;
    return sum;
}

static void keep_alive(struct fix *f, uint64_t workers)
{
    for (uint64_t i = 0; i < workers; i++)
        fix_session(f, SCHED_EV_HEARTBEAT, 10 + i, false);
}

/* Finishes the first contact of key 7, so that its delay (0) is known. */
static void contact(struct fix *f)
{
    struct sched_action a = fix_act(f, SCHED_ACT_ASSIGN, 0);
    fix_result(f, a.session.v, a.task.v, a.token, SCHED_DONE);
}

static void grants_share_the_limit(void **state)
{
    (void)state;
    const struct {
        uint32_t limit;
        uint64_t workers;
        size_t leases;
        uint32_t grant;
    } cases[] = {
        {1, 1, 1, 1}, {1, 4, 1, 1}, {2, 4, 2, 1}, {4, 4, 4, 1},
        {8, 4, 4, 2}, {5, 2, 2, 3}, {3, 1, 1, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("# limit %u, %u workers\n", cases[i].limit, (unsigned)cases[i].workers);
        struct fix f = with_workers(cases[i].workers);
        fix_open(&f, 1, .key_limit = cases[i].limit);
        fix_tasks(&f, 1, 1, 50, 7);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1); /* first contact */
        contact(&f);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), cases[i].leases);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.grant, cases[i].grant);
        assert_int_equal(grants(&f), cases[i].limit);
        fix_done(&f);
    }
}

static void an_unlimited_key_never_limits(void **state)
{
    (void)state;
    struct fix f = with_workers(2);
    fix_open(&f, 1, .key_limit = 0);
    fix_tasks(&f, 1, 1, 50, 7);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 50);
    assert_int_equal(grants(&f), 0);
    fix_done(&f);
}

static void jobs_share_a_key(void **state)
{
    (void)state;
    struct fix f = with_workers(4);
    fix_open(&f, 1, .key_limit = 2);
    fix_open(&f, 2, .key_limit = 3);
    fix_tasks(&f, 1, 1, 10, 7);
    fix_tasks(&f, 2, 101, 10, 7);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE); /* whoever sent it: the token counts */
    assert_int_equal(grants(&f), 3);
    /* Job 1 may not pass 2 on the key, whoever has them. */
    size_t of_first = 0;
    for (size_t i = 0; i < 3; i++)
        of_first += fix_act(&f, SCHED_ACT_ASSIGN, i).job.v == 1;
    assert_in_range(of_first, 1, 2);
    fix_done(&f);
}

static void a_lost_first_contact_is_still_the_first(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .key_limit = 4);
    fix_tasks(&f, 1, 1, 10, 7);
    fix_session(&f, SCHED_EV_LOST, 10, true);
    fix_hello(&f, 20, .worker = 200);
    fix_credit(&f, 20, 10);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    fix_done(&f);
}

static void a_delay_lets_one_at_a_time_through(void **state)
{
    (void)state;
    const struct {
        const char *what;
        uint32_t job_ms, learned_ms, delay_ms;
    } cases[] = {
        {"the job's", 2000, 0, 2000},
        {"learned", 0, 3000, 3000},
        {"the larger is learned", 1000, 3000, 3000},
        {"the larger is the job's", 4000, 3000, 4000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("# delay: %s\n", cases[i].what);
        struct fix f = with_workers(3);
        fix_open(&f, 1, .key_limit = 6, .key_delay_ms = cases[i].job_ms);
        fix_tasks(&f, 1, 1, 10, 7);
        struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
        for (uint64_t task = 2; task < 5; task++) {
            fix_result(&f, a.session.v, a.task.v, a.token, SCHED_DONE,
                       .key_delay_ms = cases[i].learned_ms);
            assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
            assert_int_equal(sched_deadline(f.s), f.now + cases[i].delay_ms);
            fix_tick(&f, f.now + cases[i].delay_ms);
            assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
            a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
            assert_int_equal(a.u.assign.grant, 1);
            keep_alive(&f, 3);
        }
        fix_done(&f);
    }
}

static void backoff_holds_every_job_on_the_key(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .key_limit = 2);
    fix_open(&f, 2, .key_limit = 0);
    fix_tasks(&f, 1, 1, 2, 7);
    struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    fix_result(&f, 10, 1, a.token, SCHED_RETRY, .key_backoff_ms = 5000, .retry_after_ms = 9000);
    fix_tasks(&f, 2, 11, 2, 7);
    fix_tasks(&f, 2, 21, 2, 8);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 2); /* another key */
    fix_tick(&f, f.now + 4999);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_tick(&f, f.now + 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 3);
    fix_done(&f);
}

/* Workers 100 and 101 (sessions 10, 11); one of them, which is returned, has both slots of key 7. */
static struct fix with_slots_used(uint64_t *ret_session, struct sched_action *ret_first)
{
    struct fix f = with_workers(2);
    fix_open(&f, 1, .key_limit = 2, .key_use_ms = 3000);
    fix_tasks(&f, 1, 1, 20, 7);
    contact(&f);
    assert_int_equal(grants(&f), 2); /* both to the owner of the key, which has credit */
    *ret_first = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    *ret_session = ret_first->session.v;
    return f;
}

/* Lets time pass in which one worker alone is heard; the grants that were made on the way. */
static uint32_t pass(struct fix *f, uint64_t ms, uint64_t alive)
{
    uint32_t sum = 0;
    for (uint64_t end = f->now + ms; f->now < end;) {
        fix_tick(f, MIN(f->now + 1000, end));
        sum += grants(f);
        fix_session(f, SCHED_EV_HEARTBEAT, alive, false);
        sum += grants(f);
    }
    return sum;
}

static void slots_come_back_when_a_worker_is_lost(void **state)
{
    (void)state;
    const struct {
        const char *what;
        bool bye, breaks;
        uint64_t silent_ms; /* when it breaks */
        uint64_t wait_ms;   /* from then on */
    } cases[] = {
        {"it said BYE: nothing of it runs", true, false, 0, 0},
        {"its connection was closed: it may live until its lease is over", false, true, 0,
         LEASE_MS},
        {"the same, some time after it was heard", false, true, 2000, LEASE_MS - 2000},
        {"it fell silent: it may stand still, with requests under way", false, false, 0,
         LEASE_MS + 3000},
        {"its connection was given up after a silence", false, true, 7000, LEASE_MS + 3000 - 7000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("# %s\n", cases[i].what);
        uint64_t lost;
        struct sched_action first;
        struct fix f = with_slots_used(&lost, &first);
        const uint64_t other = lost == 10 ? 11 : 10;
        assert_int_equal(pass(&f, cases[i].silent_ms, other), 0);
        if (cases[i].breaks || cases[i].bye)
            fix_session(&f, SCHED_EV_LOST, lost, cases[i].bye);
        if (cases[i].wait_ms == 0) {
            assert_int_equal(grants(&f), 2);
        } else {
            assert_true(!cases[i].breaks || grants(&f) == 0);
            assert_int_equal(pass(&f, cases[i].wait_ms - 1, other), 0);
            fix_tick(&f, f.now + 1);
            assert_int_equal(grants(&f), 2);
        }
        fix_done(&f);
    }
}

static void unlimited_tasks_of_a_broken_session_go_to_others_at_once(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .key_limit = 1);
    fix_open(&f, 2, .key_limit = 0);
    fix_tasks(&f, 1, 1, 1, 7);
    fix_tasks(&f, 2, 2, 1, 7);
    fix_session(&f, SCHED_EV_LOST, 10, false);
    assert_int_equal(fix_count(&f, SCHED_ACT_SESSION_END), 0);
    fix_hello(&f, 20, .worker = 200);
    fix_credit(&f, 20, 10);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).job.v, 2);
    fix_session(&f, SCHED_EV_DRAIN, 10, false); /* an administrator: changes nothing */
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_done(&f);
}

static void a_worker_that_comes_back_in_time_keeps_its_slots(void **state)
{
    (void)state;
    uint64_t lost;
    struct sched_action first;
    struct fix f = with_slots_used(&lost, &first);
    fix_session(&f, SCHED_EV_LOST, lost, false);
    const struct sched_held held = {first.task, first.token};
    fix_hello(&f, 30, .worker = 90 + lost, .held = &held, .n_held = 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_SESSION_END, 0).session.v, lost);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    fix_credit(&f, 30, 10);
    /* It was granted 1 with each of two leases; the one that it does not list is given anew. */
    assert_int_equal(fix_stats(&f).tasks[SCHED_LEASED], 2);
    fix_result(&f, 30, first.task.v, first.token, SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
    assert_int_equal(grants(&f), 1);
    fix_done(&f);
}

static void a_worker_that_comes_back_later_frees_its_slots_soon(void **state)
{
    (void)state;
    uint64_t lost;
    struct sched_action first;
    struct fix f = with_slots_used(&lost, &first);
    const uint64_t other = lost == 10 ? 11 : 10;
    assert_int_equal(pass(&f, LEASE_MS, other), 0);
    assert_int_equal(fix_stats(&f).sessions, 1);
    fix_hello(&f, 30, .worker = 90 + lost);
    assert_int_equal(pass(&f, 999, other), 0);
    fix_tick(&f, f.now + 1);
    assert_int_equal(grants(&f), 2);
    fix_done(&f);
}

static void a_cancel_frees_no_slots_of_a_worker_that_cannot_hear_it(void **state)
{
    (void)state;
    uint64_t lost;
    struct sched_action first;
    struct fix f = with_slots_used(&lost, &first);
    const uint64_t other = lost == 10 ? 11 : 10;
    fix_open(&f, 2, .key_limit = 2);
    fix_tasks(&f, 2, 101, 20, 7);
    fix_session(&f, SCHED_EV_LOST, lost, false);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    assert_int_equal(pass(&f, LEASE_MS - 1, other), 0);
    fix_tick(&f, f.now + 1);
    assert_int_equal(grants(&f), 2);
    fix_done(&f);
}

static void a_first_contact_that_failed_is_none(void **state)
{
    (void)state;
    struct fix f = with_workers(2);
    fix_open(&f, 1, .key_limit = 4);
    fix_tasks(&f, 1, 1, 10, 7);
    struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    fix_result(&f, a.session.v, a.task.v, a.token, SCHED_RETRY);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1); /* its robots.txt is not known yet */
    contact(&f);
    assert_int_equal(grants(&f), 4);
    fix_done(&f);
}

static void a_recalled_lease_leaves_the_key_alone_for_a_moment(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .key_limit = 1);
    fix_open(&f, 2, .key_limit = 1);
    fix_tasks(&f, 1, 1, 1, 7);
    fix_tasks(&f, 2, 2, 1, 7);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_tick(&f, f.now + 999);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_tick(&f, f.now + 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    fix_done(&f);
}

static void records_of_keys_are_freed(void **state)
{
    (void)state;
    struct fix f = with_workers(1);
    fix_open(&f, 1, .key_limit = 2);
    fix_tasks(&f, 1, 1, 1, 7);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE);
    assert_int_equal(fix_stats(&f).keys, 1);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_stats(&f).keys, 0); /* nothing learned: first contact anew */
    fix_tasks(&f, 1, 2, 1, 7);
    fix_result(&f, 10, 2, TOKEN(1, 2), SCHED_DONE, .key_delay_ms = 1000);
    fix_completed(&f, 2, NULL, 0);
    assert_int_equal(fix_stats(&f).keys, 1); /* the delay is kept for the job */
    fix_tick(&f, f.now + 1000);
    assert_int_equal(fix_stats(&f).keys, 1);
    fix_tasks(&f, 1, 3, 2, 7);
    fix_result(&f, 10, 3, TOKEN(1, 3), SCHED_DONE);
    assert_int_equal(sched_deadline(f.s), f.now + 1000);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    fix_completed(&f, 3, NULL, 0);
    assert_int_equal(fix_stats(&f).jobs, 0);
    assert_int_equal(fix_stats(&f).keys, 1); /* the pause is kept for the host */
    fix_tick(&f, f.now + 1000);
    assert_int_equal(fix_stats(&f).keys, 0);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_share_the_limit),
        cmocka_unit_test(an_unlimited_key_never_limits),
        cmocka_unit_test(jobs_share_a_key),
        cmocka_unit_test(a_lost_first_contact_is_still_the_first),
        cmocka_unit_test(a_delay_lets_one_at_a_time_through),
        cmocka_unit_test(backoff_holds_every_job_on_the_key),
        cmocka_unit_test(slots_come_back_when_a_worker_is_lost),
        cmocka_unit_test(unlimited_tasks_of_a_broken_session_go_to_others_at_once),
        cmocka_unit_test(a_worker_that_comes_back_in_time_keeps_its_slots),
        cmocka_unit_test(a_worker_that_comes_back_later_frees_its_slots_soon),
        cmocka_unit_test(a_cancel_frees_no_slots_of_a_worker_that_cannot_hear_it),
        cmocka_unit_test(a_first_contact_that_failed_is_none),
        cmocka_unit_test(a_recalled_lease_leaves_the_key_alone_for_a_moment),
        cmocka_unit_test(records_of_keys_are_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
