/* conformance_jobs.c: submit, input, states, transactions. */
#include <stdio.h>

#include "fixture.h"

#include "conformance.h"

static int submit(struct fx *x, const struct store_submit *in, uint64_t *job, bool *existing)
{
    fx_begin(x);
    int rc = store_job_submit(x->s, in, job, existing, &x->e);
    fx_commit(x);
    return rc;
}

static void epoch_rises_and_ids_never_return(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t epoch = x->epoch, job = fx_job_of(x, 3, &tasks);
    uint64_t last = tasks[2].sched.id.v;
    for (int i = 0; i < 3; i++) {
        struct store_complete done = fx_done(job, tasks[i].sched.id);
        assert_false(fx_complete(x, &done).duplicate);
    }
    fx_end(x, job, STORE_JOB_DONE, 3000);
    fx_begin(x);
    fx_ok(x, store_job_remove(x->s, job, &x->e));
    for (bool more = true; more;)
        fx_ok(x, store_expire(x->s, 4000, &more, &x->e));
    fx_commit(x);
    fx_reopen(x);
    assert_int_equal(x->epoch, epoch + 1);
    uint64_t next = fx_job_of(x, 1, &tasks);
    assert_true(next > job);
    assert_true(tasks[0].sched.id.v > last);
}

static void submit_keeps_what_it_was_given(void **state)
{
    struct fx *x = *state;
    struct store_submit in = fx_submit_of("nightly", 64, true);
    in.idem_key = SPAN("k1");
    in.spec = SPAN("{\"a\":\"\xc3\xa9\"}");
    uint64_t job = fx_submit(x, &in);
    fx_reopen(x);
    struct store_job got = fx_get(x, job);
    assert_true(span_eq(got.client, in.client));
    assert_true(span_eq(got.idem_key, in.idem_key));
    assert_true(span_eq(got.name, in.name));
    assert_true(span_eq(got.spec, in.spec));
    assert_int_equal(got.state, STORE_JOB_OPEN);
    assert_int_equal(got.priority, 5);
    assert_true(got.unique);
    assert_false(got.sealed || got.cancelling || got.paused || got.results_expired);
    assert_int_equal(got.created_ms, 1000);
    assert_int_equal(got.ended_ms, 0);
    assert_int_equal(got.expires_ms, 0);
}

static void same_name_or_key_is_the_same_job(void **state)
{
    struct fx *x = *state;
    static const struct {
        const char *text, *client, *key, *name, *spec;
        int rc;
        bool existing;
    } rows[] = {
        {"first", "alice", "k", "n", "{}", 0, false},
        {"both again", "alice", "k", "n", "{}", 0, true},
        {"the key alone", "alice", "k", "", "{}", 0, true},
        {"the name alone, another client", "bob", "", "n", "{}", 0, true},
        {"the key of another client", "bob", "k", "", "{}", 0, false},
        {"the key with another spec", "alice", "k", "", "{1}", ERR_DUPLICATE_JOB, false},
        {"the name with another spec", "carl", "", "n", "{1}", ERR_DUPLICATE_JOB, false},
        {"neither", "alice", "", "", "{}", 0, false},
        {"neither again", "alice", "", "", "{}", 0, false},
        {"a second name", "alice", "", "m", "{}", 0, false},
        {"key of one, name of another", "alice", "k", "m", "{}", ERR_DUPLICATE_JOB, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_submit in = fx_submit_of(rows[i].name, 1, false);
        in.client = span_str(rows[i].client);
        in.idem_key = span_str(rows[i].key);
        in.spec = span_str(rows[i].spec);
        uint64_t job = 0;
        bool existing = false;
        int rc = submit(x, &in, &job, &existing);
        if (rc != rows[i].rc || existing != rows[i].existing)
            fail_msg("%s: rc %d, existing %d: %s", rows[i].text, rc, existing, x->e.detail);
        if (rows[i].existing)
            assert_int_equal(job, 1);
    }
}

static void a_bad_submit_is_refused(void **state)
{
    struct fx *x = *state;
    uint64_t job;
    bool existing;
    struct store_submit in = fx_submit_of("", 0, false);
    assert_int_equal(submit(x, &in, &job, &existing), ERR_INVALID_ARGUMENT);
    in = fx_submit_of("", STORE_TASK_ITEMS_MAX + 1, false);
    assert_int_equal(submit(x, &in, &job, &existing), ERR_INVALID_ARGUMENT);
    in = fx_submit_of("", 1, false);
    in.ttl_ms = -1;
    assert_int_equal(submit(x, &in, &job, &existing), ERR_INVALID_ARGUMENT);
}

static void input_is_cut_into_tasks_by_key(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 2, false);
    struct store_item items[] = {
        fx_item(x, "a", "a1"), fx_item(x, "b", "b1"), fx_item(x, "a", "a2"), fx_item(x, "a", "a3"),
        fx_item(x, "b", "b2"), fx_item(x, "c", "c1"), fx_item(x, "a", "a4"),
    };
    static const char *const want[] = {"a1 a2", "b1 b2", "a3 a4", "c1"};
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, items, ARRAY_LEN(items), &tasks), ARRAY_LEN(want));
    for (size_t t = 0; t < ARRAY_LEN(want); t++) {
        char got[64] = "";
        struct span kept;
        bool whole;
        fx_ok(x, store_task_input(x->s, tasks[t].sched.id, &x->arena, &kept, &whole, &x->e));
        assert_true(span_eq(kept, tasks[t].input));
        assert_int_equal(tasks[t].sched.input_bytes, kept.len);
        for (size_t i = 0; i < fx_count(kept); i++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "",
                     fx_url(x, kept, i));
        assert_string_equal(got, want[t]);
        assert_int_equal(tasks[t].sched.key, hash_64(want[t], 1, 0));
        assert_int_equal(tasks[t].sched.attempt, 0);
        if (t > 0)
            assert_true(tasks[t].sched.id.v > tasks[t - 1].sched.id.v);
    }
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.items, 7);
    assert_int_equal(got.tasks, 4);
    assert_int_equal(got.tasks_pending, 4);
}

static void long_inputs_make_more_tasks(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 1000, false);
    size_t each = STORE_TASK_BYTES_MAX / 4;
    char *text = arena_alloc(&x->arena, each);
    memset(text, 'x', each);
    text[0] = (char)0xdb; /* str32 */
    uint32_t len = (uint32_t)each - 5;
    for (int i = 0; i < 4; i++)
        text[1 + i] = (char)(len >> (24 - 8 * i));
    struct store_item items[9];
    for (size_t i = 0; i < 9; i++)
        items[i] = (struct store_item){.input = {text, each}, .key = 1};
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, items, 9, &tasks), 3);
    assert_int_equal(fx_count(tasks[0].input), 4);
    assert_int_equal(fx_count(tasks[2].input), 1);
}

static void many_items_in_a_task_have_a_right_count(void **state)
{
    struct fx *x = *state;
    static const unsigned sizes[] = {1, 15, 16, 17, 255, 4000, 65535};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        uint64_t job = fx_job(x, sizes[k], false);
        struct store_item *items = arena_alloc(&x->arena, (sizes[k] + 1) * sizeof *items);
        for (unsigned i = 0; i <= sizes[k]; i++)
            items[i] = (struct store_item){.input = SPAN("\x05"), .key = 7};
        struct store_task *tasks;
        assert_int_equal(fx_input(x, job, 0, items, sizes[k] + 1, &tasks), 2);
        assert_int_equal(fx_count(tasks[0].input), sizes[k]);
        assert_int_equal(fx_count(tasks[1].input), 1);
    }
}

static void a_chunk_counts_once(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 1, false);
    struct store_item item = fx_item(x, "a", "a1");
    assert_int_equal(fx_input(x, job, 7, &item, 1, NULL), 1);
    assert_int_equal(fx_input(x, job, 7, &item, 1, NULL), 0);
    fx_reopen(x);
    assert_int_equal(fx_input(x, job, 7, &item, 1, NULL), 0);
    assert_int_equal(fx_input(x, job, 8, &item, 1, NULL), 1);
    assert_int_equal(fx_input(x, job, 9, NULL, 0, NULL), 0);
    assert_int_equal(fx_get(x, job).items, 2);
}

static void unique_jobs_drop_what_was_seen(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 10, true), other = fx_job(x, 10, true), plain = fx_job(x, 10, false);
    struct store_item items[] = {fx_item(x, "a", "a1"), fx_item(x, "a", "a2"),
                                 fx_item(x, "a", "a1")};
    struct store_task *tasks;
    assert_int_equal(fx_input(x, job, 0, items, 3, &tasks), 1);
    assert_int_equal(fx_count(tasks[0].input), 2);
    assert_int_equal(fx_input(x, job, 1, items, 3, NULL), 0);
    assert_int_equal(fx_input(x, other, 0, items, 3, NULL), 1);
    assert_int_equal(fx_input(x, plain, 0, items, 3, &tasks), 1);
    assert_int_equal(fx_count(tasks[0].input), 3);
    fx_reopen(x);
    assert_int_equal(fx_input(x, job, 2, items, 3, NULL), 0);
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.items, 2);
    assert_int_equal(got.duplicates, 7);
}

static int try_input(struct fx *x, uint64_t job, uint64_t chunk, const struct store_item *items,
                     size_t n)
{
    struct store_task *tasks;
    size_t n_tasks;
    fx_begin(x);
    int rc = store_job_input(x->s, job, chunk, items, n, &x->arena, &tasks, &n_tasks, &x->e);
    fx_commit(x);
    return rc;
}

static void bad_items_leave_nothing(void **state)
{
    struct fx *x = *state;
    char *big = arena_zalloc(&x->arena, STORE_TASK_BYTES_MAX + 1);
    static const struct {
        const char *text, *p;
        size_t len;
        int rc;
    } rows[] = {
        {"empty", "", 0, ERR_MALFORMED},
        {"two values", "\x01\x02", 2, ERR_MALFORMED},
        {"cut off",
         "\xa5"
         "ab",
         3, ERR_MALFORMED},
        {"false length", "\xdf\xff\xff\xff\xff", 5, ERR_MALFORMED},
        {"too large", NULL, STORE_TASK_BYTES_MAX + 1, ERR_PAYLOAD_TOO_LARGE},
    };
    uint64_t job = fx_job(x, 1, true);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_item items[] = {fx_item(x, "a", "a1"),
                                     {.input = {rows[i].p ? rows[i].p : big, rows[i].len}}};
        int rc = try_input(x, job, 1, items, 2);
        if (rc != rows[i].rc || !strstr(x->e.detail, "item 1"))
            fail_msg("%s: rc %d: %s", rows[i].text, rc, x->e.detail);
    }
    assert_int_equal(fx_get(x, job).items, 0);
    struct store_item good = fx_item(x, "a", "a1");
    assert_int_equal(fx_input(x, job, 1, &good, 1, NULL), 1);
}

static void input_is_refused_in_the_wrong_state(void **state)
{
    struct fx *x = *state;
    struct store_item item = fx_item(x, "a", "a1");
    uint64_t sealed = fx_job(x, 1, false), cancelled = fx_job(x, 1, false),
             done = fx_job(x, 1, false);
    assert_int_equal(fx_input(x, sealed, 0, &item, 1, NULL), 1);
    fx_begin(x);
    fx_ok(x, store_job_seal(x->s, sealed, &x->e));
    fx_ok(x, store_job_seal(x->s, sealed, &x->e));
    fx_ok(x, store_job_cancel(x->s, cancelled, 2000, &x->e));
    fx_ok(x, store_job_end(x->s, done, STORE_JOB_DONE, 2000, &x->e));
    fx_commit(x);
    assert_int_equal(try_input(x, sealed, 1, &item, 1), ERR_WRONG_STATE);
    assert_int_equal(try_input(x, sealed, 0, &item, 1), 0); /* known: adds nothing */
    assert_int_equal(try_input(x, cancelled, 0, &item, 1), ERR_JOB_CANCELLED);
    assert_int_equal(try_input(x, done, 0, &item, 1), ERR_WRONG_STATE);
    assert_int_equal(try_input(x, 99, 0, &item, 1), ERR_NOT_FOUND);
    assert_int_equal(try_input(x, 0, 0, &item, 1), ERR_NOT_FOUND);
    assert_int_equal(try_input(x, UINT64_MAX, 0, &item, 1), ERR_NOT_FOUND);
}

static void states_survive(void **state)
{
    struct fx *x = *state;
    uint64_t job = fx_job(x, 1, false);
    fx_begin(x);
    fx_ok(x, store_job_seal(x->s, job, &x->e));
    fx_ok(x, store_job_pause(x->s, job, true, &x->e));
    fx_ok(x, store_job_cancel(x->s, job, 2000, &x->e));
    fx_commit(x);
    fx_reopen(x);
    struct store_job got = fx_get(x, job);
    assert_true(got.sealed && got.paused && got.cancelling);
    fx_begin(x);
    fx_ok(x, store_job_pause(x->s, job, false, &x->e));
    fx_commit(x);
    assert_false(fx_get(x, job).paused);
}

static void ends(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 2, &tasks);
    fx_begin(x);
    assert_int_equal(store_job_end(x->s, job, STORE_JOB_DONE, 3000, &x->e), ERR_WRONG_STATE);
    assert_int_equal(store_job_end(x->s, job, STORE_JOB_OPEN, 3000, &x->e), ERR_INVALID_ARGUMENT);
    assert_int_equal(store_job_end(x->s, job, 9, 3000, &x->e), ERR_INVALID_ARGUMENT);
    assert_int_equal(store_job_remove(x->s, job, &x->e), ERR_WRONG_STATE);
    fx_ok(x, store_job_end(x->s, job, STORE_JOB_CANCELLED, 3000, &x->e));
    fx_ok(x, store_job_end(x->s, job, STORE_JOB_CANCELLED, 3500, &x->e));
    assert_int_equal(store_job_end(x->s, job, STORE_JOB_DONE, 3000, &x->e), ERR_WRONG_STATE);
    assert_int_equal(store_job_pause(x->s, job, true, &x->e), ERR_WRONG_STATE);
    fx_ok(x, store_job_cancel(x->s, job, 3000, &x->e));
    fx_commit(x);
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.state, STORE_JOB_CANCELLED);
    assert_int_equal(got.ended_ms, 3000);
    assert_int_equal(got.expires_ms, 8000);
    assert_int_equal(got.tasks_pending, 0);
    struct span input;
    bool whole;
    assert_int_equal(store_task_input(x->s, tasks[0].sched.id, &x->arena, &input, &whole, &x->e),
                     ERR_NOT_FOUND);
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    assert_true(fx_complete(x, &done).duplicate);
    fx_begin(x);
    fx_ok(x, store_job_remove(x->s, job, &x->e));
    assert_int_equal(store_job_remove(x->s, job, &x->e), ERR_NOT_FOUND);
    fx_commit(x);
    assert_int_equal(store_job_get(x->s, job, &x->arena, &got, &x->e), ERR_NOT_FOUND);
}

/* More than the cancel deletes at once. */
static void cancelling_many_tasks(void **state)
{
    struct fx *x = *state;
    enum { N = 26000 };
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, N, &tasks);
    fx_end(x, job, STORE_JOB_CANCELLED, 2000);
    struct store_complete done = fx_done(job, tasks[N - 1].sched.id);
    assert_true(fx_complete(x, &done).duplicate);
    fx_reopen(x);
    assert_true(fx_complete(x, &done).duplicate);
    int calls = 0;
    for (bool more = true; more; calls++) {
        fx_begin(x);
        fx_ok(x, store_expire(x->s, 2000, &more, &x->e));
        fx_commit(x);
        assert_true(calls < 20);
    }
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.tasks_pending, 0);
    assert_false(got.results_expired);
    struct store_sizes sizes;
    fx_ok(x, store_sizes(x->s, &sizes, &x->e));
    assert_int_equal(sizes.tasks_pending, 0);
    assert_int_equal(sizes.jobs_open, 0);
}

static void rollback_leaves_nothing(void **state)
{
    struct fx *x = *state;
    struct store_task *tasks;
    uint64_t job = fx_job_of(x, 2, &tasks), lost = 0;
    struct store_submit in = fx_submit_of("n", 1, true);
    bool existing;
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    struct store_complete_ret ret;
    fx_begin(x);
    fx_ok(x, store_job_submit(x->s, &in, &lost, &existing, &x->e));
    fx_ok(x, store_task_complete(x->s, &done, &x->arena, &ret, &x->e));
    fx_ok(x, store_drain_set(x->s, SPAN("w"), true, &x->e));
    assert_int_equal(fx_get(x, job).tasks_done, 1); /* seen inside the transaction */
    store_rollback(x->s);
    struct store_job got = fx_get(x, job);
    assert_int_equal(got.tasks_done, 0);
    assert_int_equal(got.tasks_pending, 2);
    assert_int_equal(store_job_get(x->s, lost, &x->arena, &got, &x->e), ERR_NOT_FOUND);
    uint64_t next = fx_submit(x, &in);
    assert_true(next > lost); /* the id that was given out is not used again */
    assert_false(fx_complete(x, &done).duplicate);
}

static void many_jobs_in_one_transaction(void **state)
{
    struct fx *x = *state;
    enum { N = 3000 }; /* more than a backend may keep in memory */
    struct store_submit in = fx_submit_of("", 1, false);
    struct store_item item = fx_item(x, "a", "a1");
    uint64_t jobs[N];
    fx_begin(x);
    for (int i = 0; i < N; i++) {
        bool existing;
        struct store_task *tasks;
        size_t n;
        fx_ok(x, store_job_submit(x->s, &in, &jobs[i], &existing, &x->e));
        fx_ok(x, store_job_input(x->s, jobs[i], 0, &item, 1, &x->arena, &tasks, &n, &x->e));
        fx_ok(x, store_job_input(x->s, jobs[i / 2], 1 + (uint64_t)i, &item, 1, &x->arena, &tasks,
                                 &n, &x->e));
    }
    fx_commit(x);
    fx_reopen(x);
    for (int i = 0; i < N; i++) {
        struct store_job got = fx_get(x, jobs[i]);
        assert_int_equal(got.items, i < N / 2 ? 3 : 1);
        assert_int_equal(got.tasks_pending, got.items);
    }
    struct store_sizes sizes;
    fx_ok(x, store_sizes(x->s, &sizes, &x->e));
    assert_int_equal(sizes.jobs_open, N);
    assert_int_equal(sizes.tasks_pending, 2 * N);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_jobs[] = {
    TEST(epoch_rises_and_ids_never_return),
    TEST(submit_keeps_what_it_was_given),
    TEST(same_name_or_key_is_the_same_job),
    TEST(a_bad_submit_is_refused),
    TEST(input_is_cut_into_tasks_by_key),
    TEST(long_inputs_make_more_tasks),
    TEST(many_items_in_a_task_have_a_right_count),
    TEST(a_chunk_counts_once),
    TEST(unique_jobs_drop_what_was_seen),
    TEST(bad_items_leave_nothing),
    TEST(input_is_refused_in_the_wrong_state),
    TEST(states_survive),
    TEST(ends),
    TEST(cancelling_many_tasks),
    TEST(rollback_leaves_nothing),
    TEST(many_jobs_in_one_transaction),
};
const size_t conformance_jobs_n = ARRAY_LEN(conformance_jobs);
