/* test_sched.c: leases, outcomes, retries, cancel, jobs' ends: what happens to one task. */
#include "sched_fixture.h"

#define TOKEN(e, n) ((struct token){(e), (n)})

/* One job, one worker with credit, `n` tasks assigned; the ASSIGN actions are in f.a. */
static struct fix with_tasks(size_t n)
{
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, n);
    fix_tasks(&f, 1, 1, n, 77);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), n);
    return f;
}

static void a_task_is_done_once_it_is_durable(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    assert_int_equal(a.u.assign.attempt, 1);
    assert_int_equal(a.u.assign.grant, 0);
    int payload;
    fix_result(&f, 10, 1, a.token, SCHED_DONE, .payload = &payload);
    assert_int_equal(fix_count(&f, SCHED_ACT_ACK), 0);
    struct sched_action c = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(c.u.complete.write, SCHED_WRITE_DONE);
    assert_ptr_equal(c.u.complete.payload, &payload);
    fix_job(&f, SCHED_EV_JOB_SEAL, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_ACK, 0).session.v, 10);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_DONE);
    assert_int_equal(fix_stats(&f).keys, 0);
    fix_done(&f);
}

static void waits_and_runs_are_measured(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .run_timeout_ms = 5000);
    fix_hello(&f, 10, .worker = 100);
    fix_tasks(&f, 1, 1, 1, 77);
    f.now += 300;
    fix_tasks(&f, 1, 2, 1, 77);
    f.now += 40;
    fix_credit(&f, 10, 2);
    struct sched_action first = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    struct sched_action second = fix_act(&f, SCHED_ACT_ASSIGN, 1);
    assert_int_equal(first.u.assign.waited_ms, 340);
    assert_int_equal(second.u.assign.waited_ms, 40);

    f.now += 1234;
    fix_result(&f, 10, 1, first.token, SCHED_DONE, .payload = NULL);
    assert_int_equal(fix_act(&f, SCHED_ACT_COMPLETE, 0).u.complete.ran_ms, 1234);
    fix_completed(&f, 1, NULL, 0);

    /* Given back: it waits anew, from now on. */
    fix_result(&f, 10, 2, second.token, SCHED_RETURNED, .payload = NULL);
    f.now += 7;
    fix_credit(&f, 10, 4);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.waited_ms, 7);

    /* A run that is cut short counts with its limit; the backoff after it is no wait. */
    fix_tick(&f, f.now + 5000);
    assert_int_equal(fix_act(&f, SCHED_ACT_COMPLETE, 0).u.complete.ran_ms, 5000);
    fix_completed(&f, 2, NULL, 0);
    fix_tick(&f, f.now + 4000);
    assert_true(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.waited_ms == 0);

    /* Lost with its worker: nobody knows how long it ran. */
    fix_session(&f, SCHED_EV_LOST, 10, false);
    for (uint64_t se = 11; se < 13; se++) {
        fix_hello(&f, se, .worker = se);
        fix_credit(&f, se, 1);
        f.now += 50;
        fix_session(&f, SCHED_EV_LOST, se, false);
    }
    struct sched_action dead = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(dead.u.complete.write, SCHED_WRITE_DEAD);
    assert_true(dead.u.complete.ran_ms == SCHED_MS_UNKNOWN);
    fix_completed(&f, 2, NULL, 0);
    fix_done(&f);
}

static void stale_results_are_discarded(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    struct token good = fix_act(&f, SCHED_ACT_ASSIGN, 0).token;
    const struct {
        const char *what;
        uint64_t task;
        struct token token;
    } cases[] = {
        {"older counter", 1, {good.epoch, good.counter - 1}},
        {"newer counter", 1, {good.epoch, good.counter + 1}},
        {"older epoch", 1, {good.epoch - 1, good.counter}},
        {"zero token", 1, {0, 0}},
        {"unknown task", 2, good},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fix_result(&f, 10, cases[i].task, cases[i].token, SCHED_DONE, .payload = &f);
        if (fix_count(&f, SCHED_ACT_COMPLETE) != 0)
            fail_msg("completed: %s", cases[i].what);
        assert_int_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).session.v, 10);
    }
    fix_result(&f, 10, 1, good, SCHED_DONE, .payload = &f);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
    /* The second copy is freed but not acknowledged before the first is durable. */
    fix_result(&f, 10, 1, good, SCHED_DONE, .payload = &f);
    assert_int_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).session.v, 0);
    fix_completed(&f, 1, NULL, 0);
    fix_done(&f);
}

static void outcomes_ask_for_the_right_write(void **state)
{
    (void)state;
    const struct {
        const char *what;
        uint32_t attempt, attempts_max;
        enum sched_outcome outcome;
        enum sched_write write;
        uint32_t attempt_after;
    } cases[] = {
        {"done", 0, 3, SCHED_DONE, SCHED_WRITE_DONE, 1},
        {"retry, attempts left", 0, 3, SCHED_RETRY, SCHED_WRITE_ATTEMPT, 1},
        {"retry, the last but one", 1, 3, SCHED_RETRY, SCHED_WRITE_ATTEMPT, 2},
        {"retry, attempts used up", 2, 3, SCHED_RETRY, SCHED_WRITE_DEAD, 3},
        {"retry, one attempt only", 0, 1, SCHED_RETRY, SCHED_WRITE_DEAD, 1},
        {"fail", 0, 3, SCHED_FAIL, SCHED_WRITE_DEAD, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("# case: %s\n", cases[i].what);
        struct fix f = fix_new();
        fix_open(&f, 1, .attempts_max = cases[i].attempts_max, .backoff_ms = 1);
        fix_hello(&f, 10, .worker = 100);
        fix_credit(&f, 10, 1);
        fix_task(&f, 1, (struct sched_task){.id = {1}, .attempt = cases[i].attempt}, false);
        if (cases[i].attempt > 0 && fix_count(&f, SCHED_ACT_ASSIGN) == 0)
            fix_tick(&f, f.now + 2); /* a first backoff of at most 1 ms, a second of at most 2 */
        struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
        fix_result(&f, 10, 1, a.token, cases[i].outcome);
        struct sched_action c = fix_act(&f, SCHED_ACT_COMPLETE, 0);
        assert_int_equal(c.u.complete.write, cases[i].write);
        assert_int_equal(c.u.complete.attempt, cases[i].attempt_after);
        fix_done(&f);
    }
}

static void a_retried_task_waits_for_its_backoff(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    struct token t = fix_act(&f, SCHED_ACT_ASSIGN, 0).token;
    fix_result(&f, 10, 1, t, SCHED_RETRY, .retry_after_ms = 5000);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_ACK), 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 1);
    assert_int_equal(sched_deadline(f.s), f.now + 5000); /* Retry-After is longer than the jitter */
    fix_credit(&f, 10, 2);
    f.now += 4999;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_tick(&f, f.now + 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.attempt, 2);
    fix_done(&f);
}

static void the_edge_may_list_the_retried_task_itself(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    fix_result(&f, 10, 1, fix_act(&f, SCHED_ACT_ASSIGN, 0).token, SCHED_RETRY);
    struct sched_task again = {.id = {1}, .key = 77, .attempt = 1, .retry_after_ms = 100};
    fix_completed(&f, 1, &again, 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_COMMITTING], 0);
    fix_done(&f);
}

static void completion_brings_new_tasks(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    fix_job(&f, SCHED_EV_JOB_SEAL, 1);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE);
    struct sched_task found[] = {{.id = {2}, .key = 5},
                                 {.id = {3}, .key = 6, .attempt = 1},
                                 {.id = {4}, .key = 6, .attempt = 3}};
    fix_completed(&f, 1, found, 3);
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 1);
    struct sched_action dead = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(dead.task.v, 4);
    assert_int_equal(dead.u.complete.write, SCHED_WRITE_DEAD);
    assert_string_equal(dead.u.complete.error, "ATTEMPTS_EXHAUSTED");
    fix_completed(&f, 4, NULL, 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_ACK), 0);
    fix_done(&f);
}

static void a_returned_task_comes_first_and_costs_nothing(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    fix_tasks(&f, 1, 2, 3, 77);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_RETURNED, .payload = &f);
    assert_ptr_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).u.discard.payload, &f);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    fix_credit(&f, 10, 2);
    struct sched_action a = fix_act(&f, SCHED_ACT_ASSIGN, 0);
    assert_int_equal(a.task.v, 1);
    assert_int_equal(a.u.assign.attempt, 1);
    assert_int_equal(a.token.counter, 2);
    fix_done(&f);
}

static void a_silent_worker_loses_its_tasks(void **state)
{
    (void)state;
    struct fix f = with_tasks(2);
    uint64_t start = f.now;
    fix_tick(&f, start + LEASE_MS - 1);
    assert_int_equal(fix_stats(&f).sessions, 1);
    fix_tick(&f, start + LEASE_MS);
    assert_int_equal(fix_act(&f, SCHED_ACT_SESSION_END, 0).session.v, 10);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 2);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE); /* it wakes up */
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_DISCARD), 1);
    fix_done(&f);
}

static void a_task_that_kills_workers_is_a_dead_letter(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = true);
    fix_tasks(&f, 1, 1, 1, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        fix_hello(&f, i, .worker = 100, .boot = i);
        fix_credit(&f, i, 1);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    }
    fix_session(&f, SCHED_EV_LOST, 3, false);
    struct sched_action c = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(c.u.complete.write, SCHED_WRITE_DEAD);
    assert_int_equal(c.u.complete.kills, 3);
    assert_int_equal(c.u.complete.attempt, 0);
    assert_string_equal(c.u.complete.error, "WORKER_LOST");
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_FAILED);
    fix_done(&f);
}

static void leaving_in_order_is_no_kill(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = true);
    fix_tasks(&f, 1, 1, 1, 0);
    for (uint64_t i = 1; i <= 9; i++) {
        fix_hello(&f, i, .worker = 100, .boot = 42);
        fix_credit(&f, i, 1);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
        if (i % 2)
            fix_session(&f, SCHED_EV_LOST, i,
                        true); /* BYE; the others: a new session, same process */
        assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    }
    fix_done(&f);
}

static void a_new_session_keeps_what_it_holds(void **state)
{
    (void)state;
    struct fix f = with_tasks(3);
    fix_result(&f, 10, 3, TOKEN(1, 3), SCHED_DONE);
    struct sched_held held[] = {{{1}, {1, 1}}, {{2}, {1, 9}}, {{3}, {1, 3}}, {{8}, {1, 1}}};
    fix_hello(&f, 11, .worker = 100, .held = held, .n_held = 4);
    assert_int_equal(fix_act(&f, SCHED_ACT_SESSION_END, 0).session.v, 10);
    assert_int_equal(fix_act(&f, SCHED_ACT_WELCOME, 0).session.v, 11);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 2);
    assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).task.v, 2);
    assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 1).task.v, 8);
    struct sched_session_view v;
    assert_true(sched_session_view(f.s, (struct session_id){11}, f.now, &v));
    assert_int_equal(v.leased, 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 1);
    fix_completed(&f, 3, NULL, 0); /* the ACK finds the new session */
    assert_int_equal(fix_act(&f, SCHED_ACT_ACK, 0).session.v, 11);
    fix_result(&f, 11, 1, TOKEN(1, 1), SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
    fix_done(&f);
}

static void a_run_that_takes_too_long_is_a_failed_attempt(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .run_timeout_ms = 3000, .attempts_max = 2);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 1);
    fix_tasks(&f, 1, 1, 1, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.run_timeout_ms, 3000);
    fix_tick(&f, f.now + 3000);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "timeout");
    struct sched_action c = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(c.u.complete.write, SCHED_WRITE_ATTEMPT);
    assert_string_equal(c.u.complete.error, "RUN_TIMEOUT");
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE); /* it comes nevertheless */
    assert_int_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).session.v, 10);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_ACK), 0);
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 1);
    fix_done(&f);
}

static void begun(struct fix *f, uint64_t se, uint64_t task, struct token token)
{
    fix_step(f, (struct sched_event){.type = SCHED_EV_BEGUN,
                                     .session = {se},
                                     .u.begun = {.task = {task}, .token = token}});
}

/* Tasks that wait on their worker for files: the time counts from when they run. */
static void a_run_may_count_from_when_the_worker_says_so(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .run_timeout_ms = 3000, .attempts_max = 2, .begins = true);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 1);
    fix_tasks(&f, 1, 1, 1, 0);
    for (int i = 0; i < 20; i++) {
        fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
        fix_tick(&f, f.now + 1000);
        assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    }
    begun(&f, 10, 2, TOKEN(1, 1)); /* no such task, no such token: nothing */
    begun(&f, 10, 1, TOKEN(1, 9));
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_tick(&f, f.now + 3000);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    begun(&f, 10, 1, TOKEN(1, 1));
    fix_tick(&f, f.now + 2999);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    fix_tick(&f, f.now + 1);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "timeout");
    begun(&f, 10, 1, TOKEN(1, 1)); /* too late */
    fix_done(&f);
}

static void cancel_drops_everything_that_is_not_committing(void **state)
{
    (void)state;
    struct fix f = with_tasks(2);
    fix_tasks(&f, 1, 10, 5, 77);
    fix_tasks(&f, 1, 20, 5, 78);
    fix_task(&f, 1, (struct sched_task){.id = {30}, .attempt = 1}, false);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_DONE);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 1);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "cancelled");
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    fix_result(&f, 10, 2, TOKEN(1, 2), SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_DISCARD), 1);
    struct sched_job_view v;
    assert_true(sched_job_view(f.s, (struct job_id){1}, &v));
    assert_int_equal(v.cancelled, 12);
    assert_true(v.cancelling);
    struct sched_task found = {.id = {40}, .key = 3};
    fix_completed(&f, 1, &found, 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_CANCELLED);
    assert_int_equal(fix_stats(&f).jobs, 0);
    assert_int_equal(fix_stats(&f).keys, 0);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1); /* again: nobody there */
    assert_int_equal(f.a.n, 0);
    fix_done(&f);
}

static void pause_and_resume(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .paused = true);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 10);
    fix_tasks(&f, 1, 1, 3, 9);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_JOB_PAUSE, .job = {1}, .u.on = false});
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 3);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_JOB_PAUSE, .job = {1}, .u.on = true});
    fix_tasks(&f, 1, 4, 3, 9);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_done(&f);
}

static void a_job_whose_dead_letters_are_retried_opens_again(void **state)
{
    (void)state;
    struct fix f = with_tasks(1);
    fix_job(&f, SCHED_EV_JOB_SEAL, 1);
    fix_result(&f, 10, 1, TOKEN(1, 1), SCHED_FAIL);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_FAILED);
    fix_open(&f, 1, .sealed = true);
    assert_int_equal(f.a.n, 0); /* its tasks are still to come */
    fix_credit(&f, 10, 2);
    fix_tasks(&f, 1, 1, 1, 77);
    fix_result(&f, 10, 1, fix_act(&f, SCHED_ACT_ASSIGN, 0).token, SCHED_DONE);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_DONE);
    /* One of two letters stays dead: still failed. */
    fix_open(&f, 1, .sealed = true, .dead_letters = 1);
    fix_tasks(&f, 1, 0, 0, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_FAILED);
    fix_done(&f);
}

static void events_for_nobody_do_nothing(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_tasks(&f, 9, 1, 3, 0);
    fix_completed(&f, 1, NULL, 0);
    fix_credit(&f, 5, 10);
    for (int type = SCHED_EV_TICK; type <= SCHED_EV_DRAIN; type++)
        if (type != SCHED_EV_JOB_OPEN && type != SCHED_EV_HELLO)
            fix_step(&f, (struct sched_event){.type = (enum sched_event_type)type,
                                              .job = {4},
                                              .session = {4}});
    assert_int_equal(f.a.n, 0);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 0);
    assert_true(sched_deadline(f.s) == UINT64_MAX);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_done_once_it_is_durable),
        cmocka_unit_test(waits_and_runs_are_measured),
        cmocka_unit_test(stale_results_are_discarded),
        cmocka_unit_test(outcomes_ask_for_the_right_write),
        cmocka_unit_test(a_retried_task_waits_for_its_backoff),
        cmocka_unit_test(the_edge_may_list_the_retried_task_itself),
        cmocka_unit_test(completion_brings_new_tasks),
        cmocka_unit_test(a_returned_task_comes_first_and_costs_nothing),
        cmocka_unit_test(a_silent_worker_loses_its_tasks),
        cmocka_unit_test(a_task_that_kills_workers_is_a_dead_letter),
        cmocka_unit_test(leaving_in_order_is_no_kill),
        cmocka_unit_test(a_new_session_keeps_what_it_holds),
        cmocka_unit_test(a_run_that_takes_too_long_is_a_failed_attempt),
        cmocka_unit_test(a_run_may_count_from_when_the_worker_says_so),
        cmocka_unit_test(cancel_drops_everything_that_is_not_committing),
        cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(a_job_whose_dead_letters_are_retried_opens_again),
        cmocka_unit_test(events_for_nobody_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
