/* test_sched_shard.c: who gets what: shards, stealing, fairness, priority, kinds, credit, draining. */
#include "sched_fixture.h"

#define TOKEN(e, n) ((struct token){(e), (n)})

enum { WORKERS_MAX = 16 };

/* Which session each key's task goes to, when all workers have much credit. */
static void owners(uint64_t *ret, size_t keys, const uint64_t *workers, size_t n)
{
    struct fix f = fix_new();
    f.unchecked = true;
    for (size_t i = 0; i < n; i++) {
        fix_hello(&f, workers[i], .worker = workers[i]);
        fix_credit(&f, workers[i], 100000);
    }
    fix_open(&f, 1, .sealed = false);
    for (size_t k = 0; k < keys; k++) {
        fix_tasks(&f, 1, k + 1, 1, k * 7919);
        ret[k] = fix_act(&f, SCHED_ACT_ASSIGN, 0).session.v;
    }
    assert_int_equal(fix_stats(&f).steals, 0);
    fix_done(&f);
}

static void only_the_keys_concerned_move(void **state)
{
    (void)state;
    enum { KEYS = 2000 };
    uint64_t before[KEYS], after[KEYS], workers[] = {11, 22, 33, 44, 55};
    owners(before, KEYS, workers, 4);
    owners(after, KEYS, workers, 5);
    size_t moved = 0, count[60] = {0};
    for (size_t k = 0; k < KEYS; k++) {
        if (before[k] != after[k]) {
            assert_int_equal(after[k], 55); /* a key moves only to the one that came */
            moved++;
        }
        count[after[k]]++;
    }
    assert_in_range(moved, KEYS / 5 * 8 / 10, KEYS / 5 * 12 / 10);
    for (size_t i = 0; i < 5; i++)
        assert_in_range(count[workers[i]], KEYS / 5 * 8 / 10, KEYS / 5 * 12 / 10);
}

static void idle_workers_steal(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_hello(&f, 10, .worker = 100);
    fix_hello(&f, 11, .worker = 101);
    fix_tasks(&f, 1, 1, 10, 7); /* one key: one owner */
    fix_credit(&f, 10, 3);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 3);
    fix_credit(&f, 11, 3);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 3);
    assert_int_equal(fix_stats(&f).steals, 3);
    fix_done(&f);
}

static void the_most_loaded_shard_is_robbed(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    for (uint64_t w = 0; w < 4; w++)
        fix_hello(&f, 10 + w, .worker = 100 + w);
    /* 64 keys with few tasks, then one with many: its owner is the most loaded by far. */
    for (uint64_t k = 0; k < 64; k++)
        fix_tasks(&f, 1, 1000 * (k + 1), 1, k * 131);
    fix_tasks(&f, 1, 1, 900, 12345);
    fix_hello(&f, 20, .worker = 200, .draining = true);
    fix_session(&f, SCHED_EV_DRAIN, 20, false);
    fix_credit(&f, 20, 60);
    size_t of_big = 0, n = fix_count(&f, SCHED_ACT_ASSIGN);
    assert_int_equal(n, 60);
    for (size_t i = 0; i < n; i++)
        of_big += fix_act(&f, SCHED_ACT_ASSIGN, i).task.v < 1000;
    assert_in_range(of_big, 15, 60);
    fix_done(&f);
}

static void jobs_of_one_priority_share_and_a_higher_one_goes_first(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .priority = 5);
    fix_open(&f, 2, .priority = 5);
    fix_open(&f, 3, .priority = 6);
    for (uint64_t k = 0; k < 50; k++)
        fix_tasks(&f, 1, 1000 + k * 100, 100, k); /* huge */
    fix_tasks(&f, 2, 1, 10, 99);                  /* small */
    fix_tasks(&f, 3, 11, 5, 98);                  /* more important */
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 25);
    size_t small = 0;
    for (size_t i = 0; i < 25; i++) {
        uint64_t job = fix_act(&f, SCHED_ACT_ASSIGN, i).job.v;
        assert_true(i < 5 ? job == 3 : job != 3);
        small += job == 2;
    }
    assert_int_equal(small, 10);
    fix_done(&f);
}

static void keys_of_a_job_take_turns_and_a_key_is_first_in_first_out(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_tasks(&f, 1, 100, 500, 1);
    fix_tasks(&f, 1, 1000, 500, 2);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, i).task.v, (i % 2 ? 1000 : 100) + i / 2);
    fix_done(&f);
}

static void a_priority_elsewhere_goes_before_the_own_shard(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .priority = 3);
    fix_open(&f, 2, .priority = 8);
    for (uint64_t w = 0; w < 8; w++)
        fix_hello(&f, 10 + w, .worker = 100 + w);
    for (uint64_t k = 0; k < 100; k++)
        fix_tasks(&f, 1, 1 + k, 1, k * 31);
    fix_tasks(&f, 2, 1000, 8, 5);
    for (uint64_t w = 0; w < 8; w++) {
        fix_credit(&f, 10 + w, 1);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).job.v, 2);
    }
    fix_done(&f);
}

static void kinds_decide_who_may(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_hello(&f, 10, .worker = 100, .kinds = 1);
    fix_hello(&f, 11, .worker = 101, .kinds = 2);
    fix_credit(&f, 10, 100);
    fix_credit(&f, 11, 100);
    fix_open(&f, 1, .kinds = 1);
    fix_open(&f, 2, .kinds = 3);
    fix_tasks(&f, 1, 1, 20, 1);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, i).session.v, 10);
    fix_tasks(&f, 2, 101, 5, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0); /* nobody has both */
    fix_hello(&f, 12, .worker = 102, .kinds = 7);
    fix_credit(&f, 12, 3);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 3);
    fix_hello(&f, 13, .worker = 102, .kinds = 1, .boot = 1); /* it comes back with less */
    fix_credit(&f, 13, 10);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_done(&f);
}

static void credit_is_cumulative_and_never_passed(void **state)
{
    (void)state;
    const struct {
        uint64_t tasks, bytes;
        size_t assigned;
    } steps[] = {
        {2, 10000, 2}, {2, 10000, 0}, {1, 5000, 0}, {5, 10000, 3}, {9, 650, 4}, {9, 10000, 0},
    };
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_hello(&f, 10, .worker = 100);
    fix_tasks(&f, 1, 1, 100, 1);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        fix_step(&f, (struct sched_event){.type = SCHED_EV_CREDIT,
                                          .session = {10},
                                          .u.credit = {steps[i].tasks, steps[i].bytes}});
        if (fix_count(&f, SCHED_ACT_ASSIGN) != steps[i].assigned)
            fail_msg("step %zu: %zu assigned", i, fix_count(&f, SCHED_ACT_ASSIGN));
    }
    fix_done(&f);
}

static void bytes_limit_and_a_large_task_does_not_block_others(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_hello(&f, 10, .worker = 100);
    fix_task(&f, 1, (struct sched_task){.id = {1}, .key = 1, .input_bytes = 5000}, false);
    fix_task(&f, 1, (struct sched_task){.id = {2}, .key = 2, .input_bytes = 100}, false);
    fix_step(&f,
             (struct sched_event){.type = SCHED_EV_CREDIT, .session = {10}, .u.credit = {9, 1000}});
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).task.v, 2);
    fix_task(&f, 1, (struct sched_task){.id = {3}, .key = 2, .input_bytes = 100}, false);
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).task.v, 3);
    fix_step(&f,
             (struct sched_event){.type = SCHED_EV_CREDIT, .session = {10}, .u.credit = {9, 6000}});
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).task.v, 1);
    fix_done(&f);
}

static void a_draining_worker_gets_nothing(void **state)
{
    (void)state;
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = false);
    fix_hello(&f, 10, .worker = 100);
    fix_credit(&f, 10, 100);
    fix_session(&f, SCHED_EV_DRAIN, 10, true);
    fix_tasks(&f, 1, 1, 5, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_hello(&f, 11, .worker = 100, .draining = true);
    fix_credit(&f, 11, 100);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
    fix_session(&f, SCHED_EV_DRAIN, 11, false);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 5);
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_keys_concerned_move),
        cmocka_unit_test(idle_workers_steal),
        cmocka_unit_test(the_most_loaded_shard_is_robbed),
        cmocka_unit_test(jobs_of_one_priority_share_and_a_higher_one_goes_first),
        cmocka_unit_test(keys_of_a_job_take_turns_and_a_key_is_first_in_first_out),
        cmocka_unit_test(a_priority_elsewhere_goes_before_the_own_shard),
        cmocka_unit_test(kinds_decide_who_may),
        cmocka_unit_test(credit_is_cumulative_and_never_passed),
        cmocka_unit_test(bytes_limit_and_a_large_task_does_not_block_others),
        cmocka_unit_test(a_draining_worker_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
