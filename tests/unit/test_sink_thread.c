/* test_sink_thread.c: the threads that ask sinks, over a kind whose answers the test controls: kept and
 * lost connections, ends that are tried again, lists that are full, and the end of it all. */
#include "coordinator/edge/sink_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>

/* ---- a kind that does what the test says ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold;       /* calls wait until it is false */
    unsigned inside; /* calls that wait */
    unsigned opens, closes, fits, ends;
    int open_rc, fits_rc;
    unsigned fail_ends; /* so many ends fail */
    bool fenced;
    char state[20];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct sink_conn {
    const struct sink_settings *settings;
};

static void pass(void)
{
    fake.inside++;
    pthread_cond_broadcast(&fake.changed);
    while (fake.hold)
        pthread_cond_wait(&fake.changed, &fake.lock);
    fake.inside--;
}

static int fake_open(const struct sink_settings *settings, uint32_t timeout_ms,
                     struct sink_conn **ret, struct error *e)
{
    assert_in_range(timeout_ms, 1, SINK_ANSWER_MS);
    pthread_mutex_lock(&fake.lock);
    fake.opens++;
    int rc = fake.open_rc;
    pthread_mutex_unlock(&fake.lock);
    if (rc)
        return error_set(e, (enum err)rc, "%s does not answer", settings->name);
    *ret = malloc(sizeof(**ret));
    (*ret)->settings = settings;
    return 0;
}

static void fake_close(struct sink_conn *c)
{
    pthread_mutex_lock(&fake.lock);
    fake.closes++;
    pthread_mutex_unlock(&fake.lock);
    free(c);
}

static int fake_fits(struct sink_conn *c, const struct spec_sink *target,
                     const struct batch *columns UNUSED, uint32_t timeout_ms, struct error *e)
{
    assert_in_range(timeout_ms, 1, SINK_ANSWER_MS);
    pthread_mutex_lock(&fake.lock);
    pass();
    fake.fits++;
    int rc = fake.fits_rc;
    fake.fits_rc = 0;
    pthread_mutex_unlock(&fake.lock);
    return rc ? error_set(e, (enum err)rc, "table: %s in %s", target->table, c->settings->name) : 0;
}

static int fake_job_end(struct sink_conn *c UNUSED, const struct spec_sink *target UNUSED,
                        const uint8_t uid[SINK_UID_LEN], uint64_t generation, bool fenced,
                        const char *state, uint32_t timeout_ms UNUSED, struct error *e)
{
    assert_int_equal(uid[0], 7);
    assert_int_equal(generation, 1);
    pthread_mutex_lock(&fake.lock);
    pass();
    fake.ends++;
    fake.fenced = fenced;
    snprintf(fake.state, sizeof(fake.state), "%s", state);
    bool fail = fake.fail_ends > 0;
    fake.fail_ends -= fail;
    pthread_mutex_unlock(&fake.lock);
    return fail ? error_set(e, ERR_UNAVAILABLE, "down") : 0;
}

static const struct sink_kind fake_kind = {.kind = SPEC_SINK_POSTGRES,
                                           .open = fake_open,
                                           .close = fake_close,
                                           .fits = fake_fits,
                                           .job_end = fake_job_end};

static void hold(bool on)
{
    pthread_mutex_lock(&fake.lock);
    fake.hold = on;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

static void until_inside(unsigned n)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.inside < n)
        pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

static unsigned value(const unsigned *of)
{
    pthread_mutex_lock(&fake.lock);
    unsigned v = *of;
    pthread_mutex_unlock(&fake.lock);
    return v;
}

/* ---- two sinks ---- */

static char name_a[] = "a", name_b[] = "b", table[] = "t";
static struct sinks two = {.n = 2};
static const struct spec_sink target = {.kind = SPEC_SINK_POSTGRES, .table = table};
static unsigned n_done;
static const struct sink_request *last_done;

static int setup(void **state)
{
    struct error e = {0};
    struct sink_thread *t = NULL;
    two.entries[0] = (struct sinks_entry){.settings = {.name = name_a}, .kind = &fake_kind};
    two.entries[1] = (struct sinks_entry){.settings = {.name = name_b}, .kind = &fake_kind};
    fake.opens = fake.closes = fake.fits = fake.ends = fake.fail_ends = 0;
    fake.open_rc = fake.fits_rc = 0;
    fake.hold = false;
    n_done = 0;
    if (sink_thread_new(&two, &t, &e))
        return -1;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    hold(false);
    sink_thread_free(*state, NULL);
    return 0;
}

static void done(struct sink_request *r, void *user UNUSED)
{
    last_done = r;
    n_done++;
}

static struct sink_request make(enum sink_ask ask, size_t sink)
{
    return (struct sink_request){.ask = ask,
                                 .sink = sink,
                                 .target = &target,
                                 .uid = {7},
                                 .generation = 1,
                                 .fenced = true,
                                 .state = "cancelled",
                                 .done = done};
}

static void until_done(struct sink_thread *t, unsigned n)
{
    struct pollfd p = {.fd = sink_thread_fd(t), .events = POLLIN};
    while (n_done < n) {
        assert_int_equal(poll(&p, 1, 20000), 1);
        sink_thread_poll(t, NULL);
    }
}

static void ask(struct sink_thread *t, struct sink_request *r)
{
    unsigned n = n_done + 1;
    sink_thread_submit(t, r);
    until_done(t, n);
}

static void answers_come_back(void **state)
{
    struct sink_request r = make(SINK_FITS, 1);
    ask(*state, &r);
    assert_int_equal(r.rc, 0);
    fake.fits_rc = ERR_INVALID_SPEC;
    ask(*state, &r);
    assert_int_equal(r.rc, ERR_INVALID_SPEC);
    assert_string_equal(r.error.detail, "table: t in b");
    assert_int_equal(value(&fake.opens), 1); /* the connection was kept */
}

static void a_kept_connection_that_died_is_made_anew(void **state)
{
    struct sink_request r = make(SINK_FITS, 0);
    fake.fits_rc = ERR_UNAVAILABLE;
    ask(*state, &r); /* on a new one: it is the sink's fault */
    assert_int_equal(r.rc, ERR_UNAVAILABLE);
    ask(*state, &r);
    assert_int_equal(r.rc, 0);
    fake.fits_rc = ERR_UNAVAILABLE;
    ask(*state, &r); /* on a kept one: once more */
    assert_int_equal(r.rc, 0);
    assert_int_equal(value(&fake.opens), 3);
    assert_int_equal(value(&fake.closes), 2);
}

static void check_opens_a_connection_of_its_own(void **state)
{
    struct sink_request r = make(SINK_CHECK, 0);
    ask(*state, &r);
    ask(*state, &r);
    assert_int_equal(r.rc, 0);
    assert_int_equal(value(&fake.opens), 2);
    fake.open_rc = ERR_UNAVAILABLE;
    ask(*state, &r);
    assert_int_equal(r.rc, ERR_UNAVAILABLE);
    assert_string_equal(r.error.detail, "a does not answer");
}

static void a_sink_that_hangs_holds_up_itself_alone(void **state)
{
    struct sink_thread *t = *state;
    struct sink_request slow = make(SINK_FITS, 0), other = make(SINK_CHECK, 1);
    hold(true);
    sink_thread_submit(t, &slow);
    until_inside(1);
    ask(t, &other);
    assert_int_equal(value(&fake.fits), 0);
    hold(false);
    until_done(t, 2);
}

static void ends_are_tried_again_until_they_are_heard(void **state)
{
    struct sink_request r = make(SINK_JOB_END, 0);
    fake.fail_ends = 1;
    ask(*state, &r);
    assert_int_equal(r.rc, 0);
    assert_int_equal(value(&fake.ends), 2);
    assert_true(fake.fenced);
    assert_string_equal(fake.state, "cancelled");
}

static void questions_go_before_ends(void **state)
{
    struct sink_thread *t = *state;
    struct sink_request first = make(SINK_FITS, 0), end = make(SINK_JOB_END, 0),
                        second = make(SINK_FITS, 0);
    hold(true);
    sink_thread_submit(t, &first);
    until_inside(1);
    sink_thread_submit(t, &end);
    sink_thread_submit(t, &second);
    hold(false);
    until_done(t, 3);
    assert_ptr_equal(last_done, &end);
    assert_int_equal(value(&fake.fits), 2);
    assert_int_equal(value(&fake.ends), 1);
}

static void too_many_push_out_the_oldest(void **state)
{
    struct sink_thread *t = *state;
    enum { N = SINK_QUESTIONS_MAX + 2 };
    static struct sink_request first, list[N];
    first = make(SINK_FITS, 0);
    hold(true);
    sink_thread_submit(t, &first);
    until_inside(1);
    for (size_t i = 0; i < N; i++) {
        list[i] = make(SINK_FITS, 0);
        sink_thread_submit(t, &list[i]);
    }
    until_done(t, 2);
    assert_int_equal(list[0].rc, ERR_QUEUE_FULL);
    assert_int_equal(list[1].rc, ERR_QUEUE_FULL);
    assert_int_equal(list[2].rc, 0);
    hold(false);
    until_done(t, N + 1);
}

static void the_end_hands_everything_back(void **state)
{
    struct error e = {0};
    struct sink_thread *t = NULL;
    struct sink_request end = make(SINK_JOB_END, 0), waits = make(SINK_JOB_END, 0),
                        question = make(SINK_CHECK, 1);
    (void)state;
    fake.fail_ends = 1000;
    assert_int_equal(sink_thread_new(&two, &t, &e), 0);
    sink_thread_submit(t, &end);
    sink_thread_submit(t, &waits);
    sink_thread_submit(t, &question);
    until_done(t, 1);
    sink_thread_free(t, NULL);
    assert_int_equal(n_done, 3);
    assert_int_equal(end.rc, ERR_UNAVAILABLE);
    assert_int_equal(waits.rc, ERR_UNAVAILABLE);
    assert_int_equal(value(&fake.opens), value(&fake.closes));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_come_back),
        TEST(a_kept_connection_that_died_is_made_anew),
        TEST(check_opens_a_connection_of_its_own),
        TEST(a_sink_that_hangs_holds_up_itself_alone),
        TEST(ends_are_tried_again_until_they_are_heard),
        TEST(questions_go_before_ends),
        TEST(too_many_push_out_the_oldest),
        TEST(the_end_hands_everything_back),
    };
    return cmocka_run_group_tests_name("sink_thread", tests, NULL, NULL);
}
