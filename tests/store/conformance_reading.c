/* conformance_reading.c: lists, results, replay, drains, breakers, expiry. */
#include <stdio.h>

#include "fixture.h"

#include "conformance.h"

static void expire_all(struct fx *x, int64_t now_ms)
{
    int calls = 0;
    for (bool more = true; more; calls++) {
        fx_begin(x);
        fx_ok(x, store_expire(x->s, now_ms, &more, &x->e));
        fx_commit(x);
        assert_true(calls < 1000);
    }
}

static void jobs_are_listed_newest_first(void **state)
{
    struct fx *x = *state;
    for (int i = 0; i < 5; i++)
        fx_job(x, 1, false);
    struct store_job *jobs;
    size_t n;
    fx_ok(x, store_job_list(x->s, 0, 2, &x->arena, &jobs, &n, &x->e));
    assert_int_equal(n, 2);
    assert_int_equal(jobs[0].id, 5);
    assert_int_equal(jobs[1].id, 4);
    fx_ok(x, store_job_list(x->s, 2, 10, &x->arena, &jobs, &n, &x->e));
    assert_int_equal(n, 1);
    assert_int_equal(jobs[0].id, 1);
    assert_true(span_eq(jobs[0].client, SPAN("alice")));
    fx_ok(x, store_job_list(x->s, 1, 10, &x->arena, &jobs, &n, &x->e));
    assert_int_equal(n, 0);
}

static void jobs_are_found_by_name(void **state)
{
    struct fx *x = *state;
    struct store_submit in = fx_submit_of("nightly", 1, false);
    uint64_t job = fx_submit(x, &in), got = 0;
    fx_job(x, 1, false);
    fx_ok(x, store_job_find(x->s, SPAN("nightly"), &got, &x->e));
    assert_int_equal(got, job);
    assert_int_equal(store_job_find(x->s, SPAN("night"), &got, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_find(x->s, SPAN(""), &got, &x->e), ERR_NOT_FOUND);
}

static void what_is_unknown_is_not_found(void **state)
{
    struct fx *x = *state;
    struct store_job job;
    struct store_stat *stats;
    struct store_result *results;
    struct span input;
    bool whole;
    size_t n;
    assert_int_equal(store_job_get(x->s, 9, &x->arena, &job, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_stats(x->s, 9, &x->arena, &stats, &n, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_results(x->s, 9, 0, 1, &x->arena, &results, &n, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_rejects(x->s, 9, 0, 1, &x->arena, &results, &n, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_task_input(x->s, (struct task_id){9}, &x->arena, &input, &whole, &x->e),
                     ERR_NOT_FOUND);
    fx_begin(x);
    assert_int_equal(store_job_seal(x->s, 9, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_cancel(x->s, 9, 1, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_pause(x->s, 9, true, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_end(x->s, 9, STORE_JOB_DONE, 1, &x->e), ERR_NOT_FOUND);
    assert_int_equal(store_job_remove(x->s, 9, &x->e), ERR_NOT_FOUND);
    fx_commit(x);
}

/* Completes task i with "row<i>" as its rows. */
static void complete_with_rows(struct fx *x, uint64_t job, const struct store_task *tasks,
                               unsigned i)
{
    char text[32];
    int len = snprintf(text, sizeof text, "row%05u", i);
    struct store_complete done = fx_done(job, tasks[i].sched.id);
    done.rows = (struct span){text, (size_t)len};
    done.n_rows = 1 + i;
    done.rejects = (struct span){text, (size_t)len};
    done.n_rejects = 1;
    fx_complete(x, &done);
}

typedef int read_fn(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                    struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e);

static void rows_are_read_by_cursor(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks, *noise;
    uint64_t job = fx_job_of(x, 10, &tasks), other = fx_job_of(x, 10, &noise);
    for (unsigned i = 0; i < 10; i++) {
        complete_with_rows(x, job, tasks, (i * 7) % 10);
        complete_with_rows(x, other, noise, i);
    }
    read_fn *const readers[] = {store_results, store_rejects};
    static const size_t limits[] = {0, 1, 8, 16, 23, 24, 1000};
    for (size_t r = 0; r < 2; r++) {
        for (size_t k = 0; k < ARRAY_LEN(limits); k++) {
            uint64_t cursor = 0;
            unsigned seen = 0;
            for (;;) {
                struct store_result *rows;
                size_t n;
                fx_ok(x, readers[r](x->s, job, cursor, limits[k], &x->arena, &rows, &n, &x->e));
                assert_true(n <= MAX(limits[k] / 8, (size_t)1));
                for (size_t i = 0; i < n; i++, seen++) {
                    unsigned want = (seen * 7) % 10; /* in the order of the commits */
                    char text[32];
                    snprintf(text, sizeof text, "row%05u", want);
                    assert_true(span_eq(rows[i].rows, span_str(text)));
                    assert_int_equal(rows[i].task, tasks[want].sched.id.v);
                    assert_int_equal(rows[i].n_rows, r == 0 ? 1 + want : 1);
                    assert_true(rows[i].cursor > cursor);
                    cursor = rows[i].cursor;
                }
                if (n == 0)
                    break;
            }
            assert_int_equal(seen, 10);
        }
    }
}

struct replayed {
    struct fx *x;
    char text[4000];
    uint64_t last_job, n_tasks;
    int stop_after;
};

static int note(void *user, const struct store_job *job, const struct sched_task *tasks, size_t n)
{
    struct replayed *r = user;
    assert_true(job->id >= r->last_job);
    assert_int_equal(job->state, STORE_JOB_OPEN);
    r->last_job = job->id;
    for (size_t i = 0; i < n; i++)
        assert_true(i == 0 || tasks[i].id.v > tasks[i - 1].id.v);
    r->n_tasks += n;
    for (size_t i = 0; i < MIN(n, (size_t)5); i++) {
        size_t len = strlen(r->text);
        snprintf(r->text + len, sizeof r->text - len, "%u:%u/%u/%u ", (unsigned)job->id,
                 tasks[i].attempt, tasks[i].kills, tasks[i].retry_after_ms);
    }
    return r->stop_after && --r->stop_after == 0 ? ERR_QUEUE_FULL : 0;
}

static void replay_gives_open_jobs_and_pending_tasks(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    fx_job_of(x, 0, &tasks);
    uint64_t job = fx_job_of(x, 4, &tasks), ended = fx_job_of(x, 0, NULL);
    fx_end(x, ended, STORE_JOB_DONE, 1500);
    struct store_complete done = fx_done(job, tasks[1].sched.id);
    fx_complete(x, &done);
    done = fx_done(job, tasks[2].sched.id);
    done.write = SCHED_WRITE_ATTEMPT;
    done.attempt = 3;
    done.kills = 1;
    done.retry_after_ms = 250;
    fx_complete(x, &done);
    struct replayed r = {.x = x};
    fx_reopen(x);
    fx_ok(x, store_replay(x->s, note, &r, &x->e));
    assert_string_equal(r.text, "2:0/0/0 2:3/1/250 2:0/0/0 ");
    assert_int_equal(r.last_job, job);
    r = (struct replayed){.x = x, .stop_after = 1};
    assert_int_equal(store_replay(x->s, note, &r, &x->e), ERR_QUEUE_FULL);
    assert_int_equal(r.last_job, 1);
}

static void replay_of_many_tasks(void **state)
{
    struct fx *x = *state;
    fx_job_of(x, 10000, NULL);
    struct replayed r = {.x = x};
    fx_ok(x, store_replay(x->s, note, &r, &x->e));
    assert_int_equal(r.n_tasks, 10000);
}

static void drains_survive(void **state)
{
    struct fx *x = *state;
    struct span *workers;
    size_t n;
    fx_begin(x);
    fx_ok(x, store_drain_set(x->s, SPAN("w2"), true, &x->e));
    fx_ok(x, store_drain_set(x->s, SPAN("w1"), true, &x->e));
    fx_ok(x, store_drain_set(x->s, SPAN("w2"), true, &x->e));
    fx_ok(x, store_drain_set(x->s, SPAN("w3"), false, &x->e));
    fx_commit(x);
    fx_reopen(x);
    fx_ok(x, store_drain_list(x->s, &x->arena, &workers, &n, &x->e));
    assert_int_equal(n, 2);
    assert_true(span_eq(workers[0], SPAN("w1")));
    fx_begin(x);
    fx_ok(x, store_drain_set(x->s, SPAN("w1"), false, &x->e));
    fx_commit(x);
    fx_ok(x, store_drain_list(x->s, &x->arena, &workers, &n, &x->e));
    assert_int_equal(n, 1);
    assert_true(span_eq(workers[0], SPAN("w2")));
}

static void pending_tasks_are_found(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    struct store_pending got;
    uint64_t job = fx_job_of(x, 2, &tasks);
    fx_ok(x, store_task_get(x->s, tasks[1].sched.id, &x->arena, &got, &x->e));
    assert_int_equal(got.job, job);
    assert_int_equal(got.key, tasks[1].sched.key);
    assert_int_equal(got.attempt, 0);
    assert_int_equal(got.error.len, 0);
    struct store_complete failed = fx_done(job, tasks[1].sched.id);
    failed.write = SCHED_WRITE_ATTEMPT;
    failed.attempt = 1;
    failed.kills = 2;
    failed.error = SPAN("CONNECT: refused");
    fx_complete(x, &failed);
    fx_ok(x, store_task_get(x->s, tasks[1].sched.id, &x->arena, &got, &x->e));
    assert_int_equal(got.attempt, 1);
    assert_int_equal(got.kills, 2);
    assert_true(span_eq(got.error, SPAN("CONNECT: refused")));
    struct store_complete done = fx_done(job, tasks[1].sched.id);
    fx_complete(x, &done);
    assert_int_equal(store_task_get(x->s, tasks[1].sched.id, &x->arena, &got, &x->e),
                     ERR_NOT_FOUND);
}

static void breakers_survive(void **state)
{
    struct fx *x = *state;
    struct store_breaker *list;
    size_t n;
    fx_begin(x);
    fx_ok(x, store_breaker_set(x->s, SPAN("redis:r"), SCHED_MANUAL_PINNED, &x->e));
    fx_ok(x, store_breaker_set(x->s, SPAN("postgres:p"), SCHED_MANUAL_PINNED, &x->e));
    fx_ok(x, store_breaker_set(x->s, SPAN("postgres:p"), SCHED_MANUAL_TRIPPED, &x->e));
    fx_ok(x, store_breaker_set(x->s, SPAN("host:http://h"), SCHED_MANUAL_NONE, &x->e));
    fx_commit(x);
    fx_reopen(x);
    fx_ok(x, store_breaker_list(x->s, &x->arena, &list, &n, &x->e));
    assert_int_equal(n, 2);
    assert_true(span_eq(list[0].downstream, SPAN("postgres:p")));
    assert_int_equal(list[0].manual, SCHED_MANUAL_TRIPPED);
    assert_true(span_eq(list[1].downstream, SPAN("redis:r")));
    assert_int_equal(list[1].manual, SCHED_MANUAL_PINNED);
    fx_begin(x);
    fx_ok(x, store_breaker_set(x->s, SPAN("postgres:p"), SCHED_MANUAL_NONE, &x->e));
    fx_commit(x);
    fx_begin(x);
    fx_ok(x, store_breaker_set(x->s, SPAN("redis:r"), SCHED_MANUAL_NONE, &x->e));
    store_rollback(x->s);
    fx_ok(x, store_breaker_list(x->s, &x->arena, &list, &n, &x->e));
    assert_int_equal(n, 1);
    assert_int_equal(list[0].manual, SCHED_MANUAL_PINNED);
}

static void results_expire(void **state)
{
    struct fx *x = *state;
    struct store_submit in = fx_submit_of("nightly", 1, true);
    uint64_t job = fx_submit(x, &in), found = 0;
    struct store_item items[600];
    struct store_task *tasks;
    struct store_result *rows;
    size_t n;
    for (unsigned i = 0; i < 600; i++)
        items[i] = fx_item_n(x, i, i);
    fx_input(x, job, 0, items, 600, &tasks);
    for (unsigned i = 0; i < 600; i++)
        complete_with_rows(x, job, tasks, i);
    fx_end(x, job, STORE_JOB_DONE, 10000); /* its results live 5,000 ms */
    expire_all(x, 14999);
    fx_ok(x, store_results(x->s, job, 0, SIZE_MAX, &x->arena, &rows, &n, &x->e));
    assert_int_equal(n, 600);
    fx_ok(x, store_job_find(x->s, SPAN("nightly"), &found, &x->e));
    /* One portion is enough to make them unreadable; none is half there. */
    bool more;
    fx_begin(x);
    fx_ok(x, store_expire(x->s, 15000, &more, &x->e));
    fx_commit(x);
    assert_true(more);
    fx_reopen(x);
    assert_int_equal(store_results(x->s, job, 0, 1, &x->arena, &rows, &n, &x->e),
                     ERR_RESULT_EXPIRED);
    assert_int_equal(store_rejects(x->s, job, 0, 1, &x->arena, &rows, &n, &x->e),
                     ERR_RESULT_EXPIRED);
    expire_all(x, 15000);
    struct store_sizes sizes;
    fx_ok(x, store_sizes(x->s, &sizes, &x->e));
    assert_int_equal(sizes.results, 0);
    assert_true(fx_get(x, job).results_expired);
    assert_int_equal(fx_get(x, job).rows, 600 * 601 / 2);
    /* The name is free again. */
    assert_int_equal(store_job_find(x->s, SPAN("nightly"), &found, &x->e), ERR_NOT_FOUND);
    uint64_t next = fx_submit(x, &in);
    assert_true(next > job);
    expire_all(x, 15000 + STORE_JOB_KEEP_MS - 1);
    fx_get(x, job);
    expire_all(x, 15000 + STORE_JOB_KEEP_MS);
    struct store_job gone;
    assert_int_equal(store_job_get(x->s, job, &x->arena, &gone, &x->e), ERR_NOT_FOUND);
    fx_get(x, next);
}

static void dead_letters_outlive_results(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 1, true);
    struct store_item items[] = {fx_item(x, "a", "a1"), fx_item(x, "a", "a2")};
    struct store_task *tasks;
    fx_input(x, job, 0, items, 2, &tasks);
    complete_with_rows(x, job, tasks, 0);
    struct store_complete dead = fx_done(job, tasks[1].sched.id);
    dead.write = SCHED_WRITE_DEAD;
    fx_complete(x, &dead);
    fx_end(x, job, STORE_JOB_FAILED, 1000);
    expire_all(x, 10 * STORE_JOB_KEEP_MS);
    assert_true(fx_get(x, job).results_expired);
    assert_int_equal(fx_get(x, job).dead, 1);
    size_t n;
    fx_begin(x);
    fx_ok(x, store_dead_retry(x->s, job, 0, &x->arena, &tasks, &n, &x->e));
    fx_commit(x);
    assert_int_equal(n, 1);
    /* Open again: what it had seen is still known, and new rows can be read. */
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    done.rows = SPAN("new");
    done.found = items;
    done.n_found = 2;
    assert_int_equal(fx_complete(x, &done).n_tasks, 0);
    struct store_result *rows;
    fx_ok(x, store_results(x->s, job, 0, 100, &x->arena, &rows, &n, &x->e));
    assert_int_equal(n, 1);
    fx_end(x, job, STORE_JOB_DONE, 20 * STORE_JOB_KEEP_MS);
    expire_all(x, 30 * STORE_JOB_KEEP_MS);
    struct store_job gone;
    assert_int_equal(store_job_get(x->s, job, &x->arena, &gone, &x->e), ERR_NOT_FOUND);
}

static void a_removed_job_is_gone_at_once(void **state)
{
    struct fx *x = *state;
    struct store_submit in = fx_submit_of("n", 1, true);
    uint64_t job = fx_submit(x, &in);
    struct store_item items[] = {fx_item(x, "a", "a1"), fx_item(x, "a", "a2")};
    struct store_task *tasks;
    fx_input(x, job, 0, items, 2, &tasks);
    complete_with_rows(x, job, tasks, 0);
    struct store_complete dead = fx_done(job, tasks[1].sched.id);
    dead.write = SCHED_WRITE_DEAD;
    fx_complete(x, &dead);
    fx_end(x, job, STORE_JOB_FAILED, 1000);
    fx_begin(x);
    fx_ok(x, store_job_remove(x->s, job, &x->e));
    fx_commit(x);
    for (int round = 0; round < 2; round++) {
        struct store_job *jobs;
        struct store_dead *letters;
        struct store_result *rows;
        size_t n;
        uint64_t found;
        fx_ok(x, store_job_list(x->s, 0, 10, &x->arena, &jobs, &n, &x->e));
        assert_int_equal(n, 0);
        fx_ok(x, store_dead_list(x->s, 0, 0, 0, 10, &x->arena, &letters, &n, &x->e));
        assert_int_equal(n, 0);
        assert_int_equal(store_job_find(x->s, SPAN("n"), &found, &x->e), ERR_NOT_FOUND);
        assert_int_equal(store_results(x->s, job, 0, 1, &x->arena, &rows, &n, &x->e),
                         ERR_NOT_FOUND);
        fx_begin(x);
        fx_ok(x, store_dead_retry(x->s, 0, 0, &x->arena, &tasks, &n, &x->e));
        fx_commit(x);
        assert_int_equal(n, 0);
        expire_all(x, 1000);
        fx_reopen(x);
    }
    fx_submit(x, &in);
}

static void dead_letters_are_listed_in_pages(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 5, &tasks);
    for (int i = 0; i < 5; i++) {
        struct store_complete dead = fx_done(job, tasks[i].sched.id);
        dead.write = SCHED_WRITE_DEAD;
        fx_complete(x, &dead);
    }
    struct store_dead *letters;
    size_t n, seen = 0;
    for (uint64_t after = 0;; after = letters[n - 1].task) {
        fx_ok(x, store_dead_list(x->s, job, 0, after, 2, &x->arena, &letters, &n, &x->e));
        if (n == 0)
            break;
        assert_true(n <= 2);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(letters[i].task, tasks[seen++].sched.id.v);
    }
    assert_int_equal(seen, 5);
    fx_ok(x, store_dead_list(x->s, 0, tasks[3].sched.id.v, 0, 2, &x->arena, &letters, &n, &x->e));
    assert_int_equal(n, 1);
    fx_ok(x, store_dead_list(x->s, job + 1, tasks[3].sched.id.v, 0, 2, &x->arena, &letters, &n,
                             &x->e));
    assert_int_equal(n, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_reading[] = {
    TEST(jobs_are_listed_newest_first),
    TEST(jobs_are_found_by_name),
    TEST(what_is_unknown_is_not_found),
    TEST(rows_are_read_by_cursor),
    TEST(replay_gives_open_jobs_and_pending_tasks),
    TEST(replay_of_many_tasks),
    TEST(drains_survive),
    TEST(pending_tasks_are_found),
    TEST(breakers_survive),
    TEST(results_expire),
    TEST(dead_letters_outlive_results),
    TEST(a_removed_job_is_gone_at_once),
    TEST(dead_letters_are_listed_in_pages),
};
const size_t conformance_reading_n = ARRAY_LEN(conformance_reading);
