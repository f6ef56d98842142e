/* conformance_parts.c: what the tasks of a gathering stage came to, and the task that brings it together. */
#include "fixture.h"

#include "conformance.h"

static const struct span gather_item = SPAN("\x92\xa7gather:\x00");

static size_t list_parts(struct fx *x, uint64_t job, uint64_t cursor, size_t max_bytes,
                         struct store_result **ret)
{
    size_t n;
    fx_ok(x, store_parts(x->s, job, cursor, max_bytes, &x->arena, ret, &n, &x->e));
    return n;
}

static size_t gather(struct fx *x, uint64_t job, struct store_task **ret)
{
    const struct store_item item = {.input = gather_item};
    size_t n;
    fx_begin(x);
    fx_ok(x, store_job_gather(x->s, job, &item, &x->arena, ret, &n, &x->e));
    fx_commit(x);
    return n;
}

static void complete_part(struct fx *x, uint64_t job, struct task_id task, const char *part)
{
    struct store_complete done = fx_done(job, task);
    done.part = span_str(part);
    assert_false(fx_complete(x, &done).duplicate);
    assert_true(fx_complete(x, &done).duplicate); /* the second time nothing is written */
}

static void parts_are_kept_until_they_are_together(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *last;
    struct store_result *parts;
    uint64_t job = fx_job_of(x, 3, &tasks), other = fx_job_of(x, 1, NULL);
    const struct task_id ids[] = {tasks[0].sched.id, tasks[1].sched.id, tasks[2].sched.id};
    complete_part(x, job, ids[2], "third");
    complete_part(x, job, ids[0], "first");
    complete_part(x, job, ids[1], "second");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 3);
        assert_true(span_eq(parts[0].rows, SPAN("third")));
        assert_true(span_eq(parts[2].rows, SPAN("second")));
        const uint64_t first = parts[0].cursor;
        assert_int_equal(list_parts(x, job, 0, 1, &parts), 1); /* at least one */
        assert_int_equal(list_parts(x, job, first, SIZE_MAX, &parts), 2);
        assert_true(span_eq(parts[0].rows, SPAN("first")));
        assert_int_equal(list_parts(x, other, 0, SIZE_MAX, &parts), 0);
        assert_int_equal(fx_get(x, job).rows, 0); /* parts are no rows */
        struct store_result *results;
        size_t n;
        fx_ok(x, store_results(x->s, job, 0, SIZE_MAX, &x->arena, &results, &n, &x->e));
        assert_int_equal(n, 0);
        fx_reopen(x);
    }
    assert_int_equal(gather(x, job, &last), 1);
    assert_int_equal(fx_count(last[0].input), 1);
    struct store_complete done = fx_done(job, last[0].sched.id);
    done.rows = SPAN("rows");
    done.n_rows = 2;
    assert_false(fx_complete(x, &done).duplicate);
    assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 0);
    assert_int_equal(fx_get(x, job).rows, 2);
}

static void they_are_brought_together_once(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *last;
    uint64_t job = fx_job_of(x, 1, &tasks);
    complete_part(x, job, tasks[0].sched.id, "part");
    assert_int_equal(gather(x, job, &last), 1);
    const struct task_id id = last[0].sched.id;
    assert_int_equal(gather(x, job, &last), 0);
    fx_reopen(x); /* it is known after a restart, and pending */
    assert_int_equal(gather(x, job, &last), 0);
    assert_int_equal(fx_get(x, job).tasks_pending, 1);
    struct store_complete done = fx_done(job, id);
    assert_false(fx_complete(x, &done).duplicate);
    fx_reopen(x);
    assert_int_equal(gather(x, job, &last), 0); /* and when it is done */
    fx_end(x, job, STORE_JOB_DONE, 5000);
    assert_int_equal(gather(x, job, &last), 0);
}

/* An answer without what a dead letter stands for would be wrong. */
static void not_while_a_letter_is_dead(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *last;
    struct store_result *parts;
    uint64_t job = fx_job_of(x, 2, &tasks);
    const struct task_id ids[] = {tasks[0].sched.id, tasks[1].sched.id};
    complete_part(x, job, ids[0], "part");
    struct store_complete dead = fx_done(job, ids[1]);
    dead.write = SCHED_WRITE_DEAD;
    dead.error = SPAN("MALFORMED: a file");
    assert_false(fx_complete(x, &dead).duplicate);
    assert_int_equal(gather(x, job, &last), 0);
    fx_end(x, job, STORE_JOB_FAILED, 5000);
    assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 1); /* for when it is tried again */
    size_t n;
    fx_begin(x);
    fx_ok(x, store_dead_retry(x->s, job, 0, &x->arena, &tasks, &n, &x->e));
    fx_commit(x);
    complete_part(x, job, ids[1], "other part");
    assert_int_equal(gather(x, job, &last), 1);
    assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 2);
}

/* The task that brings them together dies: its parts stay for the next time. */
static void parts_outlive_a_dead_gathering_task(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *last;
    struct store_result *parts;
    uint64_t job = fx_job_of(x, 1, &tasks);
    complete_part(x, job, tasks[0].sched.id, "part");
    assert_int_equal(gather(x, job, &last), 1);
    struct store_complete dead = fx_done(job, last[0].sched.id);
    dead.write = SCHED_WRITE_DEAD;
    assert_false(fx_complete(x, &dead).duplicate);
    assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 1);
    size_t n;
    fx_begin(x);
    fx_ok(x, store_dead_retry(x->s, job, 0, &x->arena, &tasks, &n, &x->e));
    fx_commit(x);
    assert_int_equal(n, 1);
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("rows");
    done.n_rows = 1;
    assert_false(fx_complete(x, &done).duplicate);
    assert_int_equal(list_parts(x, job, 0, SIZE_MAX, &parts), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_parts[] = {
    TEST(parts_are_kept_until_they_are_together),
    TEST(they_are_brought_together_once),
    TEST(not_while_a_letter_is_dead),
    TEST(parts_outlive_a_dead_gathering_task),
};
const size_t conformance_parts_n = ARRAY_LEN(conformance_parts);
