/* test_sched_land.c: leave to land: what a lease whose rows go into sinks asks before they do. */
#include "sched_fixture.h"

/* One task that session 10 has; its token. */
static struct fix with_task(struct token *ret)
{
    struct fix f = fix_new();
    fix_open(&f, 1, .sealed = true, .run_timeout_ms = 5000);
    fix_hello(&f, 10, .worker = 100, .boot = 1);
    fix_credit(&f, 10, 1);
    fix_tasks(&f, 1, 1, 1, 77);
    *ret = fix_act(&f, SCHED_ACT_ASSIGN, 0).token;
    return f;
}

static void leave_is_given_when_it_is_durable(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    int payload;
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    assert_int_equal(fix_count(&f, SCHED_ACT_LAND), 0);
    const struct sched_action c = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(c.u.complete.write, SCHED_WRITE_LANDING);
    assert_int_equal(c.u.complete.attempt, 0); /* no attempt is over */
    assert_ptr_equal(c.u.complete.payload, &payload);
    assert_true(c.u.complete.ran_ms == SCHED_MS_UNKNOWN);
    /* While the store writes, its run time stands still. */
    fix_tick(&f, f.now + 6000);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    /* A part of its inputs is a new task; the task itself goes on. */
    const struct sched_task part = {.id = {2}, .key = 77, .input_bytes = 100};
    fix_completed(&f, 1, &part, 1);
    assert_int_equal(fix_act(&f, SCHED_ACT_LAND, 0).session.v, 10);
    assert_int_equal(fix_stats(&f).tasks[SCHED_LEASED], 1);
    assert_int_equal(fix_stats(&f).tasks[SCHED_READY], 1);
    fix_result(&f, 10, 1, t, SCHED_DONE, .payload = NULL);
    assert_int_equal(fix_act(&f, SCHED_ACT_COMPLETE, 0).u.complete.write, SCHED_WRITE_DONE);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_ACK), 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    fix_done(&f);
}

static void the_question_may_be_sent_again(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    int payload;
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    fix_hello(&f, 11, .worker = 100, .boot = 1, .held = &(struct sched_held){{1}, t}, .n_held = 1);
    fix_result(&f, 11, 1, t, SCHED_LAND, .payload = &payload);
    assert_int_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).session.v, 0);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_LAND, 0).session.v, 11);
    /* The leave was lost: it is durable, so that it is given again at once. */
    fix_result(&f, 11, 1, t, SCHED_LAND, .payload = &payload);
    assert_int_equal(fix_act(&f, SCHED_ACT_DISCARD, 0).session.v, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_LAND, 0).session.v, 11);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    fix_done(&f);
}

/* How a lease ends while it asks. */
static void lost(struct fix *f, struct token t)
{
    (void)t;
    fix_session(f, SCHED_EV_LOST, 10, false);
}

static void said_bye(struct fix *f, struct token t)
{
    (void)t;
    fix_session(f, SCHED_EV_LOST, 10, true);
}

static void given_back(struct fix *f, struct token t)
{
    fix_result(f, 10, 1, t, SCHED_RETURNED, .payload = NULL);
}

static void restarted(struct fix *f, struct token t)
{
    (void)t;
    fix_hello(f, 11, .worker = 100, .boot = 2);
}

static void a_lease_that_ends_while_it_asks_waits_for_the_store(void **state)
{
    (void)state;
    const struct {
        const char *what;
        void (*end)(struct fix *f, struct token t);
    } cases[] = {
        {"connection lost", lost},
        {"BYE", said_bye},
        {"given back", given_back},
        {"another process", restarted},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("# case: %s\n", cases[i].what);
        struct token t;
        struct fix f = with_task(&t);
        int payload;
        fix_hello(&f, 20, .worker = 200, .boot = 3);
        fix_credit(&f, 20, 5);
        fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
        cases[i].end(&f, t);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 0);
        assert_int_equal(fix_stats(&f).tasks[SCHED_COMMITTING], 1);
        /* What is still sent under its token is stale, and so is who says that he holds it. */
        fix_hello(&f, 30, .worker = 100, .boot = 4, .held = &(struct sched_held){{1}, t},
                  .n_held = 1);
        assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "stale");
        fix_completed(&f, 1, NULL, 0);
        assert_int_equal(fix_count(&f, SCHED_ACT_LAND), 0);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).session.v, 20);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.attempt, 1);
        fix_done(&f);
    }
}

static void a_task_that_kills_is_dead_when_the_store_has_answered(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    for (uint64_t se = 11; se < 13; se++) { /* two workers are lost with it */
        fix_hello(&f, se, .worker = 100, .boot = se);
        fix_credit(&f, se, 1);
        t = fix_act(&f, SCHED_ACT_ASSIGN, 0).token;
    }
    int payload;
    fix_result(&f, 12, 1, t, SCHED_LAND, .payload = &payload);
    fix_hello(&f, 13, .worker = 100, .boot = 13);
    assert_int_equal(fix_count(&f, SCHED_ACT_COMPLETE), 0);
    fix_completed(&f, 1, NULL, 0);
    const struct sched_action dead = fix_act(&f, SCHED_ACT_COMPLETE, 0);
    assert_int_equal(dead.u.complete.write, SCHED_WRITE_DEAD);
    assert_string_equal(dead.u.complete.error, "WORKER_LOST");
    assert_int_equal(dead.u.complete.kills, 3);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_FAILED);
    fix_done(&f);
}

static void what_was_noted_for_another_is_refused(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    int payload;
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    fix_credit(&f, 10, 2);
    fix_step(&f, (struct sched_event){.type = SCHED_EV_COMPLETED,
                                      .u.completed = {.task = {1}, .refused = true}});
    assert_int_equal(fix_count(&f, SCHED_ACT_LAND), 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).token.counter, t.counter);
    assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.attempt, 1);
    fix_done(&f);
}

static void a_cancel_ends_a_lease_that_asks(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    int payload;
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "cancelled");
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_CANCELLED);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(f.a.n, 0);
    fix_done(&f);

    /* Lost before: the job waits for the store. */
    f = with_task(&t);
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    fix_session(&f, SCHED_EV_LOST, 10, false);
    fix_job(&f, SCHED_EV_JOB_CANCEL, 1);
    assert_int_equal(fix_count(&f, SCHED_ACT_JOB_END), 0);
    fix_completed(&f, 1, NULL, 0);
    assert_int_equal(fix_act(&f, SCHED_ACT_JOB_END, 0).u.end.how, SCHED_JOB_CANCELLED);
    fix_done(&f);
}

static void run_time_begins_anew_with_the_leave(void **state)
{
    (void)state;
    struct token t;
    struct fix f = with_task(&t);
    int payload;
    f.now += 4000;
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_result(&f, 10, 1, t, SCHED_LAND, .payload = &payload);
    fix_completed(&f, 1, NULL, 0);
    fix_tick(&f, f.now + 4900);
    assert_int_equal(fix_count(&f, SCHED_ACT_REVOKE), 0);
    fix_session(&f, SCHED_EV_HEARTBEAT, 10, false);
    fix_tick(&f, f.now + 200);
    assert_string_equal(fix_act(&f, SCHED_ACT_REVOKE, 0).u.revoke.reason, "timeout");
    fix_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leave_is_given_when_it_is_durable),
        cmocka_unit_test(the_question_may_be_sent_again),
        cmocka_unit_test(a_lease_that_ends_while_it_asks_waits_for_the_store),
        cmocka_unit_test(a_task_that_kills_is_dead_when_the_store_has_answered),
        cmocka_unit_test(what_was_noted_for_another_is_refused),
        cmocka_unit_test(a_cancel_ends_a_lease_that_asks),
        cmocka_unit_test(run_time_begins_anew_with_the_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
