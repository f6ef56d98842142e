/* conformance_blobs.c: which job needs which blob, and until when. */
#include "fixture.h"

#include "conformance.h"

static struct blob_name blob(const char *text)
{
    struct blob_name name;
    assert_true(blob_hash_of(text, strlen(text), &name));
    return name;
}

static void use(struct fx *x, uint64_t job, const struct blob_name *names, size_t n)
{
    fx_begin(x);
    fx_ok(x, store_blob_use(x->s, job, names, n, &x->e));
    fx_commit(x);
}

static bool is_needed(struct fx *x, const struct blob_name *name)
{
    bool needed = false;
    fx_ok(x, store_blob_needed(x->s, name, 1, &needed, &x->e));
    return needed;
}

static void expire(struct fx *x, int64_t now_ms)
{
    for (bool more = true; more;) {
        fx_begin(x);
        fx_ok(x, store_expire(x->s, now_ms, &more, &x->e));
        fx_commit(x);
    }
}

static void blobs_are_needed_while_a_job_is_open(void **state)
{
    struct fx *x = *state;
    const struct blob_name names[] = {blob("a"), blob("b"), blob("c")};
    bool needed[3] = {false};
    uint64_t first = fx_job(x, 1, false), second = fx_job(x, 1, false);
    use(x, first, names, 2);
    use(x, first, names, 2); /* again: the same */
    use(x, second, &names[1], 1);
    fx_reopen(x);
    fx_ok(x, store_blob_needed(x->s, names, 3, needed, &x->e));
    assert_true(needed[0] && needed[1] && !needed[2]);
    fx_end(x, first, STORE_JOB_DONE, 2000);
    fx_ok(x, store_blob_needed(x->s, names, 3, needed, &x->e));
    assert_true(!needed[0] && needed[1] && !needed[2]);
    fx_end(x, second, STORE_JOB_CANCELLED, 2000);
    assert_false(is_needed(x, &names[1]));
}

static void use_comes_with_the_transaction(void **state)
{
    struct fx *x = *state;
    const struct blob_name name = blob("a");
    struct store_task *tasks;
    struct store_item item = fx_item_n(x, 1, 1);
    size_t n;
    uint64_t job = fx_job(x, 1, false);
    fx_begin(x);
    fx_ok(x, store_blob_use(x->s, job, &name, 1, &x->e));
    fx_ok(x, store_job_input(x->s, job, 0, &item, 1, &x->arena, &tasks, &n, &x->e));
    store_rollback(x->s);
    assert_false(is_needed(x, &name));
    assert_int_equal(fx_get(x, job).items, 0);
    fx_begin(x);
    fx_ok(x, store_blob_use(x->s, job, &name, 1, &x->e));
    assert_true(is_needed(x, &name)); /* reads see what the transaction wrote */
    fx_commit(x);
    assert_true(is_needed(x, &name));
}

static void jobs_that_are_not_there_use_nothing(void **state)
{
    struct fx *x = *state;
    const struct blob_name name = blob("a");
    fx_begin(x);
    assert_int_equal(store_blob_use(x->s, 999, &name, 1, &x->e), ERR_NOT_FOUND);
    fx_commit(x);
    assert_false(is_needed(x, &name));
    fx_ok(x, store_blob_needed(x->s, NULL, 0, NULL, &x->e));
}

/* A dead letter can be retried for as long as it is there, and its job is open again then. */
static void dead_letters_keep_their_blobs(void **state)
{
    struct fx *x = *state;
    const struct blob_name name = blob("a");
    struct store_task *tasks;
    size_t n;
    uint64_t job = fx_job_of(x, 1, &tasks);
    use(x, job, &name, 1);
    struct store_complete dead = fx_done(job, tasks[0].sched.id);
    dead.write = SCHED_WRITE_DEAD;
    dead.error = SPAN("NOT_FOUND: gone");
    assert_false(fx_complete(x, &dead).duplicate);
    fx_end(x, job, STORE_JOB_FAILED, 2000);
    assert_true(is_needed(x, &name));
    expire(x, INT64_C(1) << 40);
    assert_true(is_needed(x, &name));
    fx_begin(x);
    fx_ok(x, store_dead_retry(x->s, job, 0, &x->arena, &tasks, &n, &x->e));
    fx_commit(x);
    assert_int_equal(n, 1);
    assert_true(is_needed(x, &name));
    struct store_complete done = fx_done(job, tasks[0].sched.id);
    assert_false(fx_complete(x, &done).duplicate);
    fx_end(x, job, STORE_JOB_DONE, 3000);
    assert_false(is_needed(x, &name));
}

static void removed_jobs_need_nothing(void **state)
{
    struct fx *x = *state;
    struct blob_name names[300];
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_true(blob_hash_of(&i, sizeof(i), &names[i]));
    uint64_t job = fx_job(x, 1, false);
    use(x, job, names, ARRAY_LEN(names));
    fx_end(x, job, STORE_JOB_CANCELLED, 2000);
    fx_begin(x);
    fx_ok(x, store_job_remove(x->s, job, &x->e));
    fx_commit(x);
    assert_false(is_needed(x, &names[0]));
    expire(x, 3000);
    fx_reopen(x);
    assert_false(is_needed(x, &names[299]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
const struct CMUnitTest conformance_blobs[] = {
    TEST(blobs_are_needed_while_a_job_is_open),
    TEST(use_comes_with_the_transaction),
    TEST(jobs_that_are_not_there_use_nothing),
    TEST(dead_letters_keep_their_blobs),
    TEST(removed_jobs_need_nothing),
};
const size_t conformance_blobs_n = ARRAY_LEN(conformance_blobs);
