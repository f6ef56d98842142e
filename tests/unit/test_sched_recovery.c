/* test_sched_recovery.c: restarts: parking, adoption with old tokens, release; a stopped coordinator. */
#include "sched_fixture.h"

#define TOKEN(e, n) ((struct token){(e), (n)})

/* Epoch 2, with tasks 1 to 6 of job 1 (key 7) from the store. */
static struct fix restarted(uint32_t key_limit)
{
    struct fix f = fix_new_epoch(2);
    fix_open(&f, 1, .sealed = true, .key_limit = key_limit);
    for (uint64_t id = 1; id <= 6; id++)
        fix_task(&f, 1, (struct sched_task){.id = {id}, .key = 7}, true);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    assert_true(fix_stats(&f).recovering);
    return f;
}

static void replayed_tasks_wait_one_lease(void **state)
{
    (void)state;
    struct fix f = restarted(0);
    uint64_t start = f.now;
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 100);
    fix_tasks(&f, 1, 50, 2, 7); /* new ones do not wait */
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 2);
    assert_int_equal(sched_deadline(f.s), start + LEASE_MS);
    f.now += LEASE_MS / 2;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_tick(&f, start + LEASE_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 6);
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, i).task.v, i + 1);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, i).token.epoch, 2);
    }
    assert_false(fix_stats(&f).recovering);
    fix_done(&f);
}

static void held_tasks_are_adopted(void **state)
{
    (void)state;
    struct fix f = restarted(0);
    uint64_t start = f.now;
    struct sched_held held[] = {{{2}, {1, 40}}, {{4}, {1, 41}}, {{9}, {1, 42}}, {{5}, {2, 1}}};
    fix_hello(&f, 10, .worker = 100, .held = held, .n_held = 4);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 2); /* 9: done before; 5: not an old token */
    assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).task.v, 9);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "stale");
    assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 1).task.v, 5);
    fix_result(&f, 10, 2, TOKEN(1, 40), SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
    assert_true(fix_act(&f, SCHED_ACT_COMPLETE, 0).u.complete.ran_ms == SCHED_MS_UNKNOWN);
    fix_completed(&f, 2, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_ACK, 0).token.epoch, 1);
    fix_credit(&f, 10, 100);
    f.now = start + LEASE_MS / 2;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_tick(&f, start + LEASE_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 4); /* 1, 3, 5, 6 */
    fix_result(&f, 10, 4, TOKEN(1, 41), SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
    fix_done(&f);
}

static void a_late_worker_is_stale(void **state)
{
    (void)state;
    struct fix f = restarted(0);
    fix_tick(&f, f.now + LEASE_MS);
    struct sched_held held = {{2}, {1, 40}};
    fix_hello(&f, 10, .worker = 100, .held = &held, .n_held = 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 1);
    fix_result(&f, 10, 2, TOKEN(1, 40), SCHED_DONE);
    assert_int_equal(fix_count(&f, SCHED_ACT_DISCARD), 1);
    fix_done(&f);
}

static void of_two_claims_the_later_lease_wins(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct fix f = restarted(0);
        struct sched_held old = {{3}, {1, 5}}, newer = {{3}, {1, 9}};
        fix_hello(&f, 10, .worker = 100, .held = order ? &newer : &old, .n_held = 1);
        fix_hello(&f, 11, .worker = 101, .held = order ? &old : &newer, .n_held = 1);
        assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 1);
        assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).token.counter, 5);
        fix_result(&f, 10, 3, TOKEN(1, 5), SCHED_DONE);
        assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
        fix_result(&f, 10, 3, TOKEN(1, 9), SCHED_DONE);
        assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 1);
        fix_done(&f);
    }
}

static void limited_keys_wait_for_those_who_may_hold_slots(void **state)
{
    (void)state;
    struct fix f = restarted(2);
    uint64_t start = f.now;
    struct sched_held held = {{2}, {1, 40}};
    fix_hello(&f, 10, .worker = 100, .held = &held, .n_held = 1);
    fix_credit(&f, 10, 100);
    fix_tasks(&f, 1, 50, 2, 8); /* new, but on a limited key */
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    f.now += LEASE_MS / 2;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_tick(&f, start + LEASE_MS);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN),
                     1); /* key 8; on 7 the adopted one counts in full */
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).task.v, 50);
    fix_result(&f, 10, 2, TOKEN(1, 40), SCHED_DONE);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.grant, 2);
    fix_done(&f);
}

static void retries_keep_their_wait_over_a_restart(void **state)
{
    (void)state;
    struct fix f = fix_new_epoch(2);
    fix_open(&f, 1, .sealed = true);
    fix_task(&f, 1, (struct sched_task){.id = {9}, .attempt = 1, .retry_after_ms = 3000}, true);
    fix_task(&f, 1, (struct sched_task){.id = {4}, .retry_after_ms = 1000},
             true);                                                      /* not in order */
    fix_task(&f, 1, (struct sched_task){.id = {6}, .attempt = 3}, true); /* should be dead */
    fix_task(&f, 1, (struct sched_task){.id = {7}}, true);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    fix_tick(&f, f.now + LEASE_MS);
    assert_int_equal(fix_act(&f, SCHED_ACT_COMPLETE, 0).task.v, 6);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_DELAYED], 2);
    assert_int_equal(sched_deadline(f.s), f.now + 1000);
    fix_tick(&f, f.now + 3000);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 3);
    fix_done(&f);
}

static void jobs_end_after_the_replay_alone(void **state)
{
    (void)state;
    struct fix f = fix_new_epoch(2);
    fix_open(&f, 1, .sealed = true);
    fix_open(&f, 2, .sealed = true, .dead_letters = 3);
    fix_open(&f, 3, .cancelled = true);
    fix_open(&f, 4, .sealed = false);
    fix_open(&f, 5, .sealed = true);
    fix_task(&f, 3, (struct sched_task){.id = {1}}, true);
    fix_task(&f, 5, (struct sched_task){.id = {2}}, true);
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 3);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_DONE);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 1).u.end.how, SCHED_JOB_FAILED);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 2).u.end.how, SCHED_JOB_CANCELLED);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 5); /* while its task is parked */
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).job.v, 5);
    fix_tick(&f, f.now + LEASE_MS);
    assert_int_equal(fix_stats(&f).keys, 0);
    fix_done(&f);
}

static void many_parked_tasks_are_released_in_order_over_several_steps(void **state)
{
    (void)state;
    enum { N = 40000 };
    struct fix f = fix_new_epoch(2);
    fix_open(&f, 1, .sealed = true);
    struct sched_task *t = calloc(N, sizeof(*t));
    for (size_t i = 0; i < N; i++)
        t[i] = (struct sched_task){.id = {i + 1}, .key = 7};
    fix_step(&f, (struct sched_event){.type = SCHED_EV_TASKS, .job = {1}, .u.tasks = {t, N, true}});
    free(t);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_REPLAYED});
    f.now += LEASE_MS;
    size_t steps = 0;
    for (; sched_deadline(f.s) <= f.now; steps++)
        fix_step(&f, (struct sched_event){.type = SCHED_EV_TICK});
    assert_int_equal(steps, 3);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, N);
    for (size_t i = 0; i < N; i += 997)
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, i).task.v, i + 1);
    fix_done(&f);
}

static void a_stopped_coordinator_does_not_blame_its_workers(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_hello(&f, 10, .worker = 100);
    f.now += 6 * LEASE_MS; /* stopped for a minute; the heartbeat waited in the socket */
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    assert_int_equal(fix_stats(&f).sessions, 1);
    assert_int_equal(sched_deadline(f.s), f.now + LEASE_MS);
    fix_tick(&f, f.now + LEASE_MS);
    assert_int_equal(fix_stats(&f).sessions, 0);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_tasks_wait_one_lease),
        cmocka_unit_test(held_tasks_are_adopted),
        cmocka_unit_test(a_late_worker_is_stale),
        cmocka_unit_test(of_two_claims_the_later_lease_wins),
        cmocka_unit_test(limited_keys_wait_for_those_who_may_hold_slots),
        cmocka_unit_test(retries_keep_their_wait_over_a_restart),
        cmocka_unit_test(jobs_end_after_the_replay_alone),
        cmocka_unit_test(many_parked_tasks_are_released_in_order_over_several_steps),
        cmocka_unit_test(a_stopped_coordinator_does_not_blame_its_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
