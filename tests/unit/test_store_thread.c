/* test_store_thread.c: the store's thread over a backend that records what it is told, so that
 * groups, order and failures can be forced; and over SQLite from several angles at once. */
#include "coordinator/edge/store_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "coordinator/edge/store_backend.h"

/* ---- a backend that records ---- */

struct recorder {
    struct store base; /* first */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char log[8000]; /* "B" begin, "C" commit, letters of requests */
    size_t len;
    bool hold;    /* commits wait until it is false */
    bool holding; /* one does */
    int commit_rc, begin_rc;
    bool closed;
};

static struct recorder recorder;

static void record(char c)
{
    pthread_mutex_lock(&recorder.lock);
    if (recorder.len + 1 < sizeof recorder.log)
        recorder.log[recorder.len++] = c;
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
}

static int recorder_begin(struct store *s UNUSED, struct error *e)
{
    if (recorder.begin_rc)
        return error_set(e, (enum err)recorder.begin_rc, "begin");
    record('B');
    return 0;
}

static int recorder_commit(struct store *s UNUSED, struct error *e)
{
    pthread_mutex_lock(&recorder.lock);
    recorder.holding = true;
    pthread_cond_broadcast(&recorder.changed);
    while (recorder.hold)
        pthread_cond_wait(&recorder.changed, &recorder.lock);
    recorder.holding = false;
    int rc = recorder.commit_rc;
    pthread_mutex_unlock(&recorder.lock);
    if (rc)
        return error_set(e, (enum err)rc, "commit");
    record('C');
    return 0;
}

static void recorder_close(struct store *s UNUSED)
{
    recorder.closed = true;
}

static const struct store_ops recorder_ops = {.close = recorder_close,
                                              .begin = recorder_begin,
                                              .commit = recorder_commit};

static void hold(bool on)
{
    pthread_mutex_lock(&recorder.lock);
    recorder.hold = on;
    pthread_cond_broadcast(&recorder.changed);
    pthread_mutex_unlock(&recorder.lock);
}

static void await_holding(void)
{
    pthread_mutex_lock(&recorder.lock);
    while (!recorder.holding)
        pthread_cond_wait(&recorder.changed, &recorder.lock);
    pthread_mutex_unlock(&recorder.lock);
}

/* ---- requests ---- */

struct request {
    struct store_request base; /* first */
    char letter;
    int result; /* what run returns */
    int runs;
    int order; /* of coming back, from 1; 0: not yet */
    int *counter;
};

static int run_request(struct store *s UNUSED, struct store_request *base)
{
    struct request *r = (struct request *)(void *)base;
    r->runs++;
    record(r->letter);
    return r->result ? error_set(&base->error, (enum err)r->result, "request") : 0;
}

static void request_done(struct store_request *base, void *user)
{
    struct request *r = (struct request *)(void *)base;
    r->order = ++*(int *)user;
}

static void prepare(struct request *r, char letter, bool write)
{
    *r = (struct request){.letter = letter};
    r->base.write = write;
    r->base.bytes = 10;
    r->base.run = run_request;
    r->base.done = request_done;
}

static void submit(struct store_thread *t, struct request *r, char letter, bool write)
{
    prepare(r, letter, write);
    store_thread_submit(t, &r->base);
}

static void await_done(struct store_thread *t, int *counter, int want)
{
    while (*counter < want) {
        struct pollfd p = {.fd = store_thread_fd(t), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        store_thread_poll(t, counter);
    }
}

static int setup(void **state)
{
    struct store_thread *t = NULL;
    struct error e = {0};
    recorder = (struct recorder){.base = {&recorder_ops}};
    pthread_mutex_init(&recorder.lock, NULL);
    pthread_cond_init(&recorder.changed, NULL);
    assert_int_equal(store_thread_new(&recorder.base, 100, &t, &e), 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    hold(false);
    store_thread_free(*state);
    return recorder.closed ? 0 : -1;
}

static void one_write_is_committed_at_once(void **state)
{
    struct store_thread *t = *state;
    struct request r;
    int counter = 0;
    submit(t, &r, 'w', true);
    await_done(t, &counter, 1);
    assert_string_equal(recorder.log, "BwC");
    assert_int_equal(r.base.rc, 0);
}

static void a_read_needs_no_transaction(void **state)
{
    struct store_thread *t = *state;
    struct request r;
    int counter = 0;
    submit(t, &r, 'r', false);
    await_done(t, &counter, 1);
    assert_string_equal(recorder.log, "r");
}

static void what_comes_during_a_commit_is_the_next_group(void **state)
{
    struct store_thread *t = *state;
    struct request r[6];
    int counter = 0;
    hold(true);
    submit(t, &r[0], 'a', true);
    await_holding();
    submit(t, &r[1], 'b', true);
    submit(t, &r[2], 'r', false);
    submit(t, &r[3], 'c', true);
    hold(false);
    await_done(t, &counter, 4);
    assert_string_equal(recorder.log, "BaCBbrcC");
    for (int i = 0; i < 4; i++)
        assert_int_equal(r[i].order, i + 1);
}

static void a_group_has_at_most_so_many(void **state)
{
    struct store_thread *t = *state;
    enum { N = 2 * STORE_GROUP_OPS + 1 };
    struct request *r = calloc(N + 1, sizeof *r);
    int counter = 0;
    size_t in_group = 0, largest = 0;
    hold(true);
    submit(t, &r[N], 'a', true);
    await_holding();
    for (int i = 0; i < N; i++)
        submit(t, &r[i], 'w', true);
    hold(false);
    await_done(t, &counter, N + 1);
    for (size_t i = 0; i < recorder.len; i++) {
        in_group = recorder.log[i] == 'C' ? 0 : in_group + (recorder.log[i] == 'w');
        largest = MAX(largest, in_group);
    }
    assert_true(largest <= STORE_GROUP_OPS);
    struct store_thread_stats stats;
    store_thread_stats(t, &stats);
    assert_int_equal(stats.ops, N + 1);
    assert_true(stats.commits >= 4);
    uint64_t in_buckets = 0;
    for (size_t i = 0; i < ARRAY_LEN(stats.commit_buckets); i++)
        in_buckets += stats.commit_buckets[i];
    assert_int_equal(in_buckets, stats.commits);
    free(r);
}

static void a_failed_commit_fails_its_writes_and_repeats_its_reads(void **state)
{
    struct store_thread *t = *state;
    struct request r[5];
    int counter = 0;
    hold(true);
    submit(t, &r[0], 'a', true);
    await_holding();
    submit(t, &r[1], 'b', true);
    submit(t, &r[2], 'r', false);
    prepare(&r[3], 'c', true);
    r[3].result = ERR_NOT_FOUND;
    store_thread_submit(t, &r[3].base);
    recorder.commit_rc = ERR_STORE_FULL;
    hold(false);
    await_done(t, &counter, 4);
    static const int want[] = {ERR_STORE_FULL, ERR_STORE_FULL, 0, ERR_STORE_FULL};
    for (int i = 0; i < 4; i++)
        assert_int_equal(r[i].base.rc, want[i]);
    assert_string_equal(r[1].base.error.detail, "commit");
    assert_int_equal(r[1].runs, 1);
    assert_int_equal(r[2].runs, 2);
    assert_false(store_thread_failed(t, NULL));
    recorder.commit_rc = 0;
    submit(t, &r[4], 'd', true);
    await_done(t, &counter, 5);
    assert_int_equal(r[4].base.rc, 0);
}

static void one_that_fails_leaves_the_others(void **state)
{
    struct store_thread *t = *state;
    struct request r[3];
    int counter = 0;
    hold(true);
    submit(t, &r[0], 'a', true);
    await_holding();
    prepare(&r[1], 'b', true);
    r[1].result = ERR_NOT_FOUND;
    store_thread_submit(t, &r[1].base);
    submit(t, &r[2], 'c', true);
    hold(false);
    await_done(t, &counter, 3);
    assert_int_equal(r[1].base.rc, ERR_NOT_FOUND);
    assert_string_equal(r[1].base.error.detail, "request");
    assert_int_equal(r[2].base.rc, 0);
}

static void a_fatal_error_is_told(void **state)
{
    struct store_thread *t = *state;
    struct request r[2];
    struct error e = {0};
    int counter = 0;
    assert_false(store_thread_failed(t, &e));
    recorder.commit_rc = ERR_STORE;
    submit(t, &r[0], 'a', true);
    await_done(t, &counter, 1);
    assert_int_equal(r[0].base.rc, ERR_STORE);
    assert_true(store_thread_failed(t, &e));
    assert_string_equal(e.detail, "commit");
    recorder.begin_rc = ERR_STORE;
    submit(t, &r[1], 'b', true);
    await_done(t, &counter, 2);
    assert_int_equal(r[1].base.rc, ERR_STORE);
    assert_int_equal(r[1].runs, 0);
}

static void the_queue_is_bounded_in_bytes(void **state)
{
    struct store_thread *t = *state;
    struct request r[10];
    struct store_thread_stats stats;
    int counter = 0;
    for (int i = 0; i < 10; i++) {
        assert_false(store_thread_full(t));
        submit(t, &r[i], 'w', true);
    }
    assert_true(store_thread_full(t)); /* 100 bytes, until they are polled */
    store_thread_stats(t, &stats);
    assert_int_equal(stats.queued_bytes, 100);
    await_done(t, &counter, 10);
    assert_false(store_thread_full(t));
}

static void stopping_runs_what_is_queued(void **state)
{
    struct store_thread *t = *state;
    struct request r[3];
    int counter = 0;
    hold(true);
    submit(t, &r[0], 'a', true);
    await_holding();
    submit(t, &r[1], 'b', true);
    submit(t, &r[2], 'r', false);
    hold(false);
    store_thread_stop(t);
    assert_true(recorder.closed);
    store_thread_poll(t, &counter);
    assert_int_equal(counter, 3);
    assert_int_equal(recorder.log[recorder.len - 1], 'C');
}

/* ---- SQLite behind it: every answer of a submit is true after a reopen ---- */

struct submit_request {
    struct store_request base; /* first */
    struct store_submit in;
    uint64_t job;
    bool existing;
};

static int run_submit(struct store *s, struct store_request *base)
{
    struct submit_request *r = (struct submit_request *)(void *)base;
    struct store_item item = {.input = SPAN("\x01")};
    struct store_task *tasks;
    size_t n;
    int rc = store_job_submit(s, &r->in, &r->job, &r->existing, &base->error);
    return rc ? rc
              : store_job_input(s, r->job, 0, &item, 1, &base->arena, &tasks, &n, &base->error);
}

static int run_list(struct store *s, struct store_request *base)
{
    struct store_job *jobs;
    size_t n;
    return store_job_list(s, 0, 100, &base->arena, &jobs, &n, &base->error);
}

static void count_done(struct store_request *r UNUSED, void *user)
{
    ++*(int *)user;
}

static void over_sqlite(void **state UNUSED)
{
    enum { N = 3000 };
    char directory[] = "/tmp/drover-thread-XXXXXX", path[64];
    struct error e = {0};
    struct store *s = NULL;
    struct store_thread *t = NULL;
    uint64_t epoch;
    int counter = 0;
    struct submit_request *r = calloc(2 * N, sizeof *r);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(store_sqlite_open(directory, &s, &epoch, &e), 0);
    assert_int_equal(store_thread_new(s, 1 << 20, &t, &e), 0);
    for (int i = 0; i < 2 * N; i++) {
        r[i].base.write = i % 2 == 0;
        r[i].base.run = i % 2 ? run_list : run_submit;
        r[i].base.done = count_done;
        r[i].in = (struct store_submit){.spec = SPAN("{}"), .task_items = 1};
        store_thread_submit(t, &r[i].base);
        if (i % 50 == 0)
            store_thread_poll(t, &counter);
    }
    await_done(t, &counter, 2 * N);
    store_thread_free(t);
    assert_int_equal(store_sqlite_open(directory, &s, &epoch, &e), 0);
    for (int i = 0; i < 2 * N; i++) {
        struct store_job job;
        assert_int_equal(r[i].base.rc, 0);
        if (i % 2 == 0) {
            assert_int_equal(store_job_get(s, r[i].job, &r[i].base.arena, &job, &e), 0);
            assert_int_equal(job.tasks_pending, 1);
        }
        arena_done(&r[i].base.arena);
    }
    store_close(s);
    free(r);
    static const char *const names[] = {"drover.db", "lock", "reserve"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_write_is_committed_at_once),
        TEST(a_read_needs_no_transaction),
        TEST(what_comes_during_a_commit_is_the_next_group),
        TEST(a_group_has_at_most_so_many),
        TEST(a_failed_commit_fails_its_writes_and_repeats_its_reads),
        TEST(one_that_fails_leaves_the_others),
        TEST(a_fatal_error_is_told),
        TEST(the_queue_is_bounded_in_bytes),
        TEST(stopping_runs_what_is_queued),
        cmocka_unit_test(over_sqlite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
