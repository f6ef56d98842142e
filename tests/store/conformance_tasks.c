/* conformance_tasks.c: completions and dead letters. */
#include <stdio.h>

#include "fixture.h"

#include "conformance.h"

static size_t count_results(struct fx *x, uint64_t job)
{
    struct store_result *results;
    size_t n;
    fx_ok(x, store_results(x->s, job, 0, SIZE_MAX, &x->arena, &results, &n, &x->e));
    return n;
}

static size_t list_dead(struct fx *x, uint64_t job, uint64_t task, struct store_dead **ret)
{
    size_t n;
    fx_ok(x, store_dead_list(x->s, job, task, 0, 100, &x->arena, ret, &n, &x->e));
    return n;
}

static bool pending(struct fx *x, struct task_id task)
{
    struct span input;
    bool whole;
    return store_task_input(x->s, task, &x->arena, &input, &whole, &x->e) == 0;
}

static void done_writes_everything_once(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 2, &tasks);
    struct store_stat stats[] = {{SPAN("fill.title"), 3}, {SPAN("skip.ROBOTS"), 1}};
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("rows");
    done.n_rows = 3;
    done.rejects = SPAN("rejects");
    done.n_rejects = 1;
    done.stats = stats;
    done.n_stats = 2;
    assert_false(fx_complete(x, &done).duplicate);
    assert_false(pending(x, tasks[0].sched.id));
    assert_true(pending(x, tasks[1].sched.id));
    for (int round = 0; round < 2; round++) {
        struct store_job got = fx_get(x, job);
        assert_int_equal(got.rows, 3);
        assert_int_equal(got.rejects, 1);
        assert_int_equal(got.tasks_done, 1);
        assert_int_equal(got.tasks_pending, 1);
        assert_int_equal(fx_stat(x, job, "fill.title"), 3);
        assert_int_equal(fx_stat(x, job, "skip.ROBOTS"), 1);
        assert_int_equal(count_results(x, job), 1);
        assert_true(fx_complete(x, &done).duplicate);
        fx_reopen(x);
    }
    done.task = tasks[1].sched.id;
    assert_false(fx_complete(x, &done).duplicate);
    assert_int_equal(fx_stat(x, job, "fill.title"), 6);
}

/* A job that is being cancelled may end as failed: its tasks go all the same. */
static void rejects_add_up_and_a_cancelled_job_can_fail(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 3, &tasks);
    const struct task_id ids[] = {tasks[0].sched.id, tasks[1].sched.id};
    struct store_complete done = fx_done(job, ids[0]);
    done.rejects = SPAN("rejects");
    done.n_rejects = 1;
    done.n_unlisted = 40;
    assert_int_equal(fx_complete(x, &done).rejects, 41);
    fx_reopen(x);
    done = fx_done(job, ids[1]);
    done.n_unlisted = 2;
    assert_int_equal(fx_complete(x, &done).rejects, 43);
    assert_int_equal(fx_get(x, job).rejects, 43);
    fx_begin(x);
    assert_int_equal(store_job_end(x->s, job, STORE_JOB_FAILED, 5000, &x->e), ERR_WRONG_STATE);
    fx_ok(x, store_job_cancel(x->s, job, 5000, &x->e));
    fx_ok(x, store_job_end(x->s, job, STORE_JOB_FAILED, 5000, &x->e));
    fx_commit(x);
    assert_int_equal(fx_get(x, job).state, STORE_JOB_FAILED);
    assert_int_equal(fx_get(x, job).tasks_pending, 0);
}

static void a_task_of_another_job_is_a_duplicate(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 1, &tasks), other = fx_job(x, 1, false);
    struct store_complete done = fx_done(other, tasks[0].sched.id);
    assert_true(fx_complete(x, &done).duplicate);
    done = fx_done(99, tasks[0].sched.id);
    assert_true(fx_complete(x, &done).duplicate);
    assert_int_equal(fx_get(x, job).tasks_pending, 1);
    assert_int_equal(fx_get(x, other).tasks_pending, 0);
}

static void found_items_become_tasks(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 2, true);
    struct store_item start = fx_item(x, "a", "a0");
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, &start, 1, &tasks), 1);
    struct store_item found[] = {fx_item(x, "a", "a1"), fx_item(x, "a", "a0"),
                                 fx_item(x, "b", "b1"), fx_item(x, "a", "a2"),
                                 fx_item(x, "a", "a1"), fx_item(x, "a", "a3")};
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.found = found;
    done.n_found = ARRAY_LEN(found);
    struct store_complete_ret ret = fx_complete(x, &done);
    assert_int_equal(ret.n_tasks, 3);
    assert_string_equal(fx_url(x, ret.tasks[0].input, 1), "a2");
    assert_string_equal(fx_url(x, ret.tasks[1].input, 0), "b1");
    assert_string_equal(fx_url(x, ret.tasks[2].input, 0), "a3");
    assert_int_equal(ret.tasks[1].sched.key, hash_64("b", 1, 0));
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.items, 5);
    assert_int_equal(got.duplicates, 2);
    assert_int_equal(got.tasks, 4);
    assert_int_equal(got.tasks_pending, 3);
    assert_true(fx_complete(x, &done).duplicate);
    assert_int_equal(fx_get(x, job).tasks, 4);
}

static void found_items_stop_at_the_limit(void **state)
{
    struct fx *x = *state;
    for (int unique = 0; unique < 2; unique++) {
        struct store_submit in = fx_submit_of("", 10, unique);
        in.items_max = 4;
        uint64_t job = fx_submit(x, &in);
        struct store_item start[] = {fx_item(x, "a", "a0"), fx_item(x, "b", "b0")};
        struct store_task *tasks;
        assert_int_equal(fx_input(x, job, 0, start, 2, &tasks), 2);
        struct store_item found[] = {fx_item(x, "a", "a1"), fx_item(x, "a", "a2"),
                                     fx_item(x, "a", "a3"), fx_item(x, "a", "a4"),
                                     fx_item(x, "a", "a0")};
        struct store_complete done = fx_done(job, tasks[0].sched.id);
        done.found = found;
        done.n_found = ARRAY_LEN(found);
        struct store_complete_ret ret = fx_complete(x, &done);
        assert_int_equal(ret.n_tasks, 1);
        assert_int_equal(fx_count(ret.tasks[0].input), 2);
        assert_int_equal(fx_get(x, job).items, 4);
        assert_int_equal(fx_get(x, job).duplicates, unique);
        assert_int_equal(fx_stat(x, job, "dropped.LIMIT"), unique ? 2 : 3);
        /* The client's own inputs are not dropped. */
        assert_int_equal(fx_input(x, job, 1, &found[3], 1, NULL), 1);
        assert_int_equal(fx_get(x, job).items, 5);
    }
}

static void retries_keep_their_error_and_are_not_deduplicated(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 10, true);
    struct store_item items[] = {fx_item(x, "a", "a0"), fx_item(x, "a", "a1"),
                                 fx_item(x, "a", "a2")};
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, items, 3, &tasks), 1);
    struct store_retry retries[] = {{items[0], SPAN("HTTP_503")},
                                    {items[1], SPAN("TIMEOUT: no answer in 30 s")},
                                    {items[2], SPAN("HTTP_503")}};
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.attempt = 2;
    done.retries = retries;
    done.n_retries = 3;
    done.retry_after_ms = 700;
    struct store_complete_ret ret = fx_complete(x, &done);
    assert_int_equal(ret.n_tasks, 2);
    assert_int_equal(fx_count(ret.tasks[0].input), 2);
    assert_int_equal(ret.tasks[0].sched.attempt, 3);
    assert_int_equal(ret.tasks[0].sched.retry_after_ms, 700);
    assert_int_equal(fx_get(x, job).items, 3);
    assert_int_equal(fx_get(x, job).duplicates, 0);
    struct store_complete dead = fx_done(job, ret.tasks[0].sched.id);
    dead.write = SCHED_WRITE_DEAD;
    dead.attempt = 3;
    assert_false(fx_complete(x, &dead).duplicate);
    struct store_dead *letters;
    assert_int_equal(list_dead(x, job, 0, &letters), 1);
    assert_true(span_eq(letters[0].error, SPAN("HTTP_503")));
}

static void found_and_retries_come_together(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 10, true);
    struct store_item items[] = {fx_item(x, "a", "a0"), fx_item(x, "b", "b0")};
    struct store_task *tasks;
    fx_input(x, job, 0, items, 1, &tasks);
    struct store_retry retry = {items[0], SPAN("E")};
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.found = items;
    done.n_found = 2;
    done.retries = &retry;
    done.n_retries = 1;
    struct store_complete_ret ret = fx_complete(x, &done);
    assert_int_equal(ret.n_tasks, 2);
    assert_string_equal(fx_url(x, ret.tasks[0].input, 0), "b0");
    assert_int_equal(ret.tasks[0].sched.attempt, 0);
    assert_string_equal(fx_url(x, ret.tasks[1].input, 0), "a0");
    assert_int_equal(ret.tasks[1].sched.attempt, 1);
}

static void a_cancelling_job_takes_no_new_tasks(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 2, &tasks);
    fx_begin(x);
    fx_ok(x, store_job_cancel(x->s, job, 2000, &x->e));
    fx_commit(x);
    struct store_item found = fx_item(x, "a", "new");
    struct store_retry retry = {found, SPAN("E")};
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("rows");
    done.found = &found;
    done.n_found = 1;
    done.retries = &retry;
    done.n_retries = 1;
    assert_int_equal(fx_complete(x, &done).n_tasks, 0);
    assert_int_equal(count_results(x, job), 1);
    struct store_complete cancelled = fx_done(job, tasks[1].sched.id);
    cancelled.write = SCHED_WRITE_CANCELLED;
    assert_false(fx_complete(x, &cancelled).duplicate);
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.tasks_done, 1);
    assert_int_equal(got.tasks_pending, 0);
}

/* The last found item is bad: the rows before it must not stay. */
static void a_failed_completion_leaves_nothing(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 2, &tasks);
    struct store_item found[] = {fx_item(x, "a", "new"), {.input = SPAN("\xc1")}};
    struct store_stat stat = {SPAN("s"), 1};
    struct store_complete good = fx_done(job, tasks[1].sched.id),
                          bad = fx_done(job, tasks[0].sched.id);
    bad.rows = good.rows = SPAN("rows");
    bad.stats = &stat;
    bad.n_stats = 1;
    bad.found = found;
    bad.n_found = 2;
    struct store_complete_ret ret = {.n_tasks = 77};
    fx_begin(x);
    assert_int_equal(store_task_complete(x->s, &bad, &x->arena, &ret, &x->e), ERR_MALFORMED);
    assert_int_equal(ret.n_tasks, 77);
    fx_ok(x, store_task_complete(x->s, &good, &x->arena, &ret, &x->e));
    fx_commit(x);
    assert_int_equal(count_results(x, job), 1);
    assert_int_equal(fx_stat(x, job, "s"), 0);
    assert_true(pending(x, tasks[0].sched.id));
    bad.n_found = 1;
    assert_int_equal(fx_complete(x, &bad).n_tasks, 1);
}

/* The arena ends in the middle: an operation that fails for memory is undone like any other. */
static void a_completion_without_memory_leaves_nothing(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job(x, 1, true);
    struct store_item items[40];
    for (unsigned i = 0; i < 40; i++)
        items[i] = fx_item_n(x, i, i);
    fx_input(x, job, 0, items, 1, &tasks);
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("rows");
    done.found = items;
    done.n_found = 40;
    struct arena small;
    arena_init(&small, 3000);
    struct store_complete_ret ret;
    fx_begin(x);
    assert_int_equal(store_task_complete(x->s, &done, &small, &ret, &x->e), ERR_NOMEM);
    fx_commit(x);
    arena_done(&small);
    assert_int_equal(count_results(x, job), 0);
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.items, 1);
    assert_int_equal(got.tasks, 1);
    assert_int_equal(fx_complete(x, &done).n_tasks, 39);
}

static void attempts_are_kept(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 1, &tasks);
    struct store_complete c = fx_done(job, tasks[0].sched.id);
    c.write = SCHED_WRITE_ATTEMPT;
    c.attempt = 2;
    c.kills = 1;
    c.error = SPAN("WORKER_LOST");
    assert_false(fx_complete(x, &c).duplicate);
    c.attempt = 3;
    c.error = SPAN("");
    assert_false(fx_complete(x, &c).duplicate);
    fx_reopen(x);
    c.write = SCHED_WRITE_DEAD;
    c.attempt = 4;
    c.kills = 2;
    c.now_ms = 4321;
    assert_false(fx_complete(x, &c).duplicate);
    assert_true(fx_complete(x, &c).duplicate);
    c.write = SCHED_WRITE_ATTEMPT;
    assert_true(fx_complete(x, &c).duplicate);
    struct store_dead *dead;
    assert_int_equal(list_dead(x, 0, 0, &dead), 1);
    assert_int_equal(dead[0].task, tasks[0].sched.id.v);
    assert_int_equal(dead[0].job, job);
    assert_int_equal(dead[0].attempt, 4);
    assert_int_equal(dead[0].kills, 2);
    assert_int_equal(dead[0].at_ms, 4321);
    assert_true(span_eq(dead[0].error, SPAN("WORKER_LOST")));
    assert_true(span_eq(dead[0].input, tasks[0].input));
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.dead, 1);
    assert_int_equal(got.tasks_pending, 0);
}

static void bury(struct fx *x, uint64_t job, const struct store_task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct store_complete c = fx_done(job, tasks[i].sched.id);
        c.write = SCHED_WRITE_DEAD;
        c.attempt = 5;
        c.error = SPAN("HTTP_500: broken");
        assert_false(fx_complete(x, &c).duplicate);
    }
}

static int retry(struct fx *x, uint64_t job, uint64_t task, struct store_task **ret, size_t *ret_n)
{
    fx_begin(x);
    int rc = store_dead_retry(x->s, job, task, &x->arena, ret, ret_n, &x->e);
    fx_commit(x);
    return rc;
}

static void dead_letters_go_back(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *other, *back;
    uint64_t job = fx_job_of(x, 3, &tasks), job2 = fx_job_of(x, 1, &other);
    size_t n;
    bury(x, job, tasks, 3);
    bury(x, job2, other, 1);
    fx_end(x, job, STORE_JOB_FAILED, 3000);
    fx_reopen(x);
    assert_int_equal(retry(x, 0, 999, &back, &n), ERR_NOT_FOUND);
    assert_int_equal(retry(x, job2, tasks[1].sched.id.v, &back, &n), ERR_NOT_FOUND);
    fx_ok(x, retry(x, 0, tasks[1].sched.id.v, &back, &n));
    assert_int_equal(n, 1);
    assert_int_equal(back[0].sched.id.v, tasks[1].sched.id.v);
    assert_int_equal(back[0].sched.key, tasks[1].sched.key);
    assert_int_equal(back[0].sched.attempt, 0);
    assert_int_equal(back[0].sched.input_bytes, back[0].input.len);
    assert_true(span_eq(back[0].input, tasks[1].input));
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.state, STORE_JOB_OPEN);
    assert_int_equal(got.ended_ms, 0);
    assert_int_equal(got.expires_ms, 0);
    assert_int_equal(got.dead, 2);
    assert_int_equal(got.tasks_pending, 1);
    fx_ok(x, retry(x, job, 0, &back, &n));
    assert_int_equal(n, 2);
    assert_int_equal(fx_get(x, job2).dead, 1);
    fx_ok(x, retry(x, 0, 0, &back, &n));
    assert_int_equal(n, 1);
    fx_ok(x, retry(x, 0, 0, &back, &n));
    assert_int_equal(n, 0);
    struct store_complete done = fx_done(job, tasks[1].sched.id);
    assert_false(fx_complete(x, &done).duplicate);
    assert_true(pending(x, tasks[0].sched.id));
}

static void dead_letters_of_a_cancelled_job(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *back;
    uint64_t job = fx_job_of(x, 2, &tasks);
    size_t n = 5;
    bury(x, job, tasks, 1);
    fx_begin(x);
    fx_ok(x, store_job_cancel(x->s, job, 2000, &x->e));
    fx_commit(x);
    assert_int_equal(retry(x, job, 0, &back, &n), ERR_WRONG_STATE);
    assert_int_equal(retry(x, 0, tasks[0].sched.id.v, &back, &n), ERR_WRONG_STATE);
    fx_ok(x, retry(x, 0, 0, &back, &n));
    assert_int_equal(n, 0);
    fx_end(x, job, STORE_JOB_CANCELLED, 3000);
    fx_ok(x, retry(x, job, 0, &back, &n));
    assert_int_equal(n, 1);
    assert_int_equal(fx_get(x, job).state, STORE_JOB_OPEN);
    assert_false(fx_get(x, job).cancelling);
}

static void dead_letters_are_discarded(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *other;
    uint64_t job = fx_job_of(x, 3, &tasks), job2 = fx_job_of(x, 1, &other), n;
    struct store_dead *dead;
    bury(x, job, tasks, 3);
    bury(x, job2, other, 1);
    fx_begin(x);
    assert_int_equal(store_dead_discard(x->s, 0, 999, &n, &x->e), ERR_NOT_FOUND);
    fx_ok(x, store_dead_discard(x->s, 0, tasks[1].sched.id.v, &n, &x->e));
    assert_int_equal(n, 1);
    fx_ok(x, store_dead_discard(x->s, job, 0, &n, &x->e));
    assert_int_equal(n, 2);
    fx_commit(x);
    assert_int_equal(list_dead(x, 0, 0, &dead), 1);
    assert_int_equal(dead[0].job, job2);
    assert_int_equal(fx_get(x, job).dead, 0);
    assert_int_equal(fx_get(x, job2).dead, 1);
}

static void statistics_have_a_limit(void **state)
{
    struct fx *x = *state;
    enum { N = 1200 };
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 1, &tasks);
    struct store_stat stats[N];
    for (int i = 0; i < N; i++) {
        char name[32];
        int len = snprintf(name, sizeof name, "stat%d", i);
        stats[i] =
            (struct store_stat){{arena_strndup(&x->arena, name, (size_t)len), (size_t)len}, 1};
    }
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.stats = stats;
    done.n_stats = N;
    fx_complete(x, &done);
    struct store_stat *got;
    size_t n;
    int64_t sum = 0;
    fx_ok(x, store_job_stats(x->s, job, &x->arena, &got, &n, &x->e));
    assert_true(n <= 1001);
    for (size_t i = 0; i < n; i++)
        sum += got[i].value;
    assert_int_equal(sum, N);
    assert_int_equal(fx_stat(x, job, "stat7"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_tasks[] = {
    TEST(done_writes_everything_once),
    TEST(rejects_add_up_and_a_cancelled_job_can_fail),
    TEST(a_task_of_another_job_is_a_duplicate),
    TEST(found_items_become_tasks),
    TEST(found_items_stop_at_the_limit),
    TEST(retries_keep_their_error_and_are_not_deduplicated),
    TEST(found_and_retries_come_together),
    TEST(a_cancelling_job_takes_no_new_tasks),
    TEST(a_failed_completion_leaves_nothing),
    TEST(a_completion_without_memory_leaves_nothing),
    TEST(attempts_are_kept),
    TEST(dead_letters_go_back),
    TEST(dead_letters_of_a_cancelled_job),
    TEST(dead_letters_are_discarded),
    TEST(statistics_have_a_limit),
};
const size_t conformance_tasks_n = ARRAY_LEN(conformance_tasks);
