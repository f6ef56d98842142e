/* Threads that take jobs: every job once, no more threads than allowed, in order on one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "worker/pool.h"

enum { JOBS = 2000, ORDERED = 200 };

static atomic_int n_run, n_at_once, most_at_once;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static int n_at_gate;

struct job {
    struct pool_job pool; /* first: what runs is cast */
    int number, times;
};

static void count(struct pool_job *job)
{
    const int now = atomic_fetch_add(&n_at_once, 1) + 1;
    int most = atomic_load(&most_at_once);
    while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
        ;
    ((struct job *)job)->times++;
    atomic_fetch_add(&n_run, 1);
    atomic_fetch_sub(&n_at_once, 1);
}

/* Waits until the test opens the gate. */
static void gate(struct pool_job *job)
{
    pthread_mutex_lock(&lock);
    n_at_gate++;
    pthread_cond_broadcast(&changed);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    count(job);
}

static void wait_for_gate(int n)
{
    pthread_mutex_lock(&lock);
    while (n_at_gate < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void set_gate(bool to)
{
    pthread_mutex_lock(&lock);
    open_gate = to;
    n_at_gate = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int begin(void **state UNUSED)
{
    n_run = n_at_once = most_at_once = 0;
    set_gate(false);
    return 0;
}

static void every_job_runs_once(void **state UNUSED)
{
    static struct job jobs[JOBS];
    struct error e = {0};
    struct pool *p = pool_new(4);
    assert_non_null(p);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].pool.run = count;
        assert_int_equal(pool_add(p, &jobs[i].pool, &e), ERR_OK);
    }
    pool_free(p); /* what has not begun is run, too */
    assert_int_equal(n_run, JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].times, 1);
    assert_in_range(most_at_once, 1, 4);
}

/* Jobs that wait take a thread each, up to the number; one more waits for a thread. */
static void threads_are_started_when_they_are_needed(void **state UNUSED)
{
    struct job jobs[4] = {0};
    struct error e = {0};
    struct pool *p = pool_new(3);
    for (int i = 0; i < 3; i++) {
        jobs[i].pool.run = gate;
        assert_int_equal(pool_add(p, &jobs[i].pool, &e), ERR_OK);
        wait_for_gate(i + 1); /* it has begun although the others have not ended */
    }
    jobs[3].pool.run = count;
    assert_int_equal(pool_add(p, &jobs[3].pool, &e), ERR_OK);
    assert_int_equal(n_run, 0);
    set_gate(true);
    pool_free(p);
    assert_int_equal(n_run, 4);
}

static int order[ORDERED], n_ordered;

static void note(struct pool_job *job)
{
    order[n_ordered++] = ((struct job *)job)->number;
}

static void one_thread_keeps_the_order(void **state UNUSED)
{
    static struct job first, jobs[ORDERED];
    struct error e = {0};
    struct pool *p = pool_new(1);
    first.pool.run = gate;
    assert_int_equal(pool_add(p, &first.pool, &e), ERR_OK);
    for (int i = 0; i < ORDERED; i++) {
        jobs[i] = (struct job){.pool = {.run = note}, .number = i};
        assert_int_equal(pool_add(p, &jobs[i].pool, &e), ERR_OK);
    }
    set_gate(true);
    pool_free(p);
    assert_int_equal(n_ordered, ORDERED);
    for (int i = 0; i < ORDERED; i++)
        assert_int_equal(order[i], i);
}

static void a_pool_that_was_never_used(void **state UNUSED)
{
    pool_free(pool_new(8));
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_job_runs_once, begin),
        cmocka_unit_test_setup(threads_are_started_when_they_are_needed, begin),
        cmocka_unit_test_setup(one_thread_keeps_the_order, begin),
        cmocka_unit_test_setup(a_pool_that_was_never_used, begin),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
