/* conformance_landing.c: what a task's rows hold is noted before they land in sinks. */
#include "conformance.h"

static struct store_complete landing_of(uint64_t job, struct task_id task, uint64_t counter)
{
    struct store_complete in = fx_done(job, task);
    in.write = SCHED_WRITE_LANDING;
    in.attempt = 0;
    in.token = (struct token){3, counter};
    return in;
}

/* A task of five items a0 to a4. */
static uint64_t five(struct fx *x, struct task_id *ret)
{
    uint64_t job = fx_job(x, 5, false);
    struct store_item items[] = {fx_item(x, "a", "a0"), fx_item(x, "a", "a1"),
                                 fx_item(x, "a", "a2"), fx_item(x, "a", "a3"),
                                 fx_item(x, "a", "a4")};
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, items, ARRAY_LEN(items), &tasks), 1);
    *ret = tasks[0].sched.id;
    return job;
}

/* The urls of a pending task, with a space behind each, and whether it is whole. */
static const char *input_of(struct fx *x, struct task_id task, bool *ret_whole)
{
    static char text[100];
    struct span input;
    text[0] = '\0';
    fx_ok(x, store_task_input(x->s, task, &x->arena, &input, ret_whole, &x->e));
    for (size_t i = 0; i < fx_count(input); i++) {
        strcat(text, fx_url(x, input, i));
        strcat(text, " ");
    }
    return text;
}

static void a_part_stays_and_the_rest_goes_on(void **state)
{
    struct fx *x = *state;
    struct task_id task;
    const uint64_t job = five(x, &task);
    bool whole = true;
    assert_string_equal(input_of(x, task, &whole), "a0 a1 a2 a3 a4 ");
    assert_false(whole);
    /* a1 is a reject, a3 failed for now, a4 was not tried; b0 was found. */
    const struct store_item found = fx_item(x, "b", "b0");
    const struct store_retry retries[] = {{fx_item(x, "a", "a3"), SPAN("HTTP_503")},
                                          {fx_item(x, "a", "a4"), {NULL, 0}}};
    struct store_complete in = landing_of(job, task, 7);
    in.left = (struct span){"\x1a\xff", 2}; /* bits beyond the items say nothing */
    in.rejects = SPAN("rejects");
    in.n_rejects = 1;
    in.found = &found;
    in.n_found = 1;
    in.retries = retries;
    in.n_retries = 2;
    struct store_complete_ret ret = fx_complete(x, &in);
    assert_false(ret.duplicate || ret.refused);
    assert_int_equal(ret.n_tasks, 3);
    assert_int_equal(ret.tasks[1].sched.attempt, 1);
    assert_int_equal(ret.tasks[2].sched.attempt, 0);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(input_of(x, task, &whole), "a0 a2 ");
        assert_true(whole);
        assert_string_equal(input_of(x, ret.tasks[0].sched.id, &whole), "b0 ");
        assert_false(whole);
        struct store_job got = fx_get(x, job);
        assert_int_equal(got.tasks_pending, 4);
        assert_int_equal(got.tasks_done, 0);
        assert_int_equal(got.rejects, 1);
        assert_int_equal(got.rows, 0);
        /* The same question again. */
        ret.n_tasks = 1;
        struct store_complete_ret again = fx_complete(x, &in);
        assert_true(again.duplicate && !again.refused);
        assert_int_equal(again.n_tasks, 0);
        fx_reopen(x);
    }
}

static void another_lease_is_refused(void **state)
{
    struct fx *x = *state;
    struct task_id task;
    const uint64_t job = five(x, &task);
    struct store_complete in = landing_of(job, task, 7);
    bool whole = false;
    assert_false(fx_complete(x, &in).duplicate);
    assert_string_equal(input_of(x, task, &whole), "a0 a1 a2 a3 a4 ");
    assert_true(whole);
    in.token.counter = 8;
    in.left = SPAN("\x01");
    in.rejects = SPAN("rejects");
    in.n_rejects = 1;
    assert_true(fx_complete(x, &in).refused);
    assert_string_equal(input_of(x, task, &whole), "a0 a1 a2 a3 a4 ");
    assert_int_equal(fx_get(x, job).rejects, 0);
    /* Its end is as any other's. */
    struct store_complete done = fx_done(job, task);
    done.n_rows = 5;
    assert_false(fx_complete(x, &done).duplicate);
    assert_true(fx_complete(x, &in).duplicate);
    assert_int_equal(fx_get(x, job).tasks_pending, 0);
    assert_int_equal(fx_get(x, job).rows, 5);
}

static void a_dead_letter_stays_whole(void **state)
{
    struct fx *x = *state;
    struct task_id task;
    const uint64_t job = five(x, &task);
    struct store_complete in = landing_of(job, task, 7);
    in.left = SPAN("\x01");
    fx_complete(x, &in);
    struct store_complete dead = fx_done(job, task);
    dead.write = SCHED_WRITE_DEAD;
    dead.error = SPAN("HTTP_503");
    fx_complete(x, &dead);
    struct store_task *tasks;
    size_t n;
    bool whole = false;
    fx_begin(x);
    fx_ok(x, store_dead_retry(x->s, job, 0, &x->arena, &tasks, &n, &x->e));
    fx_commit(x);
    assert_int_equal(n, 1);
    assert_true(tasks[0].whole);
    assert_string_equal(input_of(x, task, &whole), "a1 a2 a3 a4 ");
    assert_true(whole);
}

static void a_cancelling_job_takes_no_parts(void **state)
{
    struct fx *x = *state;
    struct task_id task;
    const uint64_t job = five(x, &task);
    const struct store_retry retry = {fx_item(x, "a", "a0"), SPAN("HTTP_503")};
    struct store_complete in = landing_of(job, task, 7);
    in.left = SPAN("\x01");
    in.retries = &retry;
    in.n_retries = 1;
    fx_begin(x);
    fx_ok(x, store_job_cancel(x->s, job, 1000, &x->e));
    fx_commit(x);
    assert_int_equal(fx_complete(x, &in).n_tasks, 0);
    assert_int_equal(fx_get(x, job).tasks_pending, 1);
    fx_end(x, job, STORE_JOB_CANCELLED, 2000);
    assert_true(fx_complete(x, &in).duplicate);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_landing[] = {
    TEST(a_part_stays_and_the_rest_goes_on),
    TEST(another_lease_is_refused),
    TEST(a_dead_letter_stays_whole),
    TEST(a_cancelling_job_takes_no_parts),
};
const size_t conformance_landing_n = ARRAY_LEN(conformance_landing);
