/* The threads of sinks, against a sink that does what the test says: every landing comes back once, with
 * the verdict of a call that was made for it, whatever fails in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "common/clock.h"
#include "worker/sinks/batcher.h"

enum { WAIT_MS = 20000, MANY = 5000 };

/* ---- the sink ---- */

struct sink_conn {
    char url[100];
};

/* Under the lock; changes are signalled. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int opened, closed, calls, in_call, in_call_most;
    uint32_t rows_most, landings_last;
    char url[100];    /* of the last connection */
    bool down;        /* calls fail */
    bool refuse_open; /* connecting fails */
    bool blocked;     /* calls wait */
    int half;         /* the next call fails after the first landing was decided */
    enum landing_verdict verdict;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int fake_open(const struct sink_settings *settings, uint32_t timeout_ms UNUSED,
                     struct sink_conn **ret, struct error *e)
{
    pthread_mutex_lock(&fake.lock);
    const bool refuse = fake.refuse_open;
    snprintf(fake.url, sizeof(fake.url), "%s", settings->url);
    fake.opened += !refuse;
    fake.calls += refuse;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (refuse)
        return error_set(e, ERR_UNAVAILABLE, "nobody listens");
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    snprintf((*ret)->url, sizeof((*ret)->url), "%s", settings->url);
    return ERR_OK;
}

static void fake_close(struct sink_conn *c)
{
    pthread_mutex_lock(&fake.lock);
    fake.closed += c != NULL;
    pthread_mutex_unlock(&fake.lock);
    free(c);
}

static int fake_write(struct sink_conn *c UNUSED, struct landing **list, size_t n,
                      uint32_t timeout_ms UNUSED, struct error *e)
{
    uint32_t rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += list[i]->rows->n_rows;
    pthread_mutex_lock(&fake.lock);
    fake.calls++;
    fake.in_call++;
    fake.in_call_most = MAX(fake.in_call_most, fake.in_call);
    fake.rows_most = MAX(fake.rows_most, rows);
    fake.landings_last = (uint32_t)n;
    pthread_cond_broadcast(&fake.changed);
    while (fake.blocked)
        pthread_cond_wait(&fake.changed, &fake.lock);
    const bool half = fake.half > 0 && fake.half--, down = fake.down;
    const enum landing_verdict verdict = fake.verdict;
    fake.in_call--;
    pthread_mutex_unlock(&fake.lock);
    if (half)
        landing_reject(list[n - 1], 0, NULL, "found before the connection broke");
    for (size_t i = 0; i < n && !down && (!half || i == 0); i++) {
        list[i]->verdict = verdict;
        list[i]->n_written = list[i]->rows->n_rows;
    }
    return down || half ? error_set(e, ERR_UNAVAILABLE, "the server is gone") : ERR_OK;
}

static const struct sink_kind fake_kind = {.kind = SPEC_SINK_POSTGRES,
                                           .open = fake_open,
                                           .write = fake_write,
                                           .close = fake_close};

static const struct sink_kind *kind_of(enum spec_sink_kind kind)
{
    assert_int_equal(kind, SPEC_SINK_POSTGRES);
    return &fake_kind;
}

/* Sets a switch of the sink, and lets what waits look at it. */
#define FAKE(setting)                                                                              \
    do {                                                                                           \
        pthread_mutex_lock(&fake.lock);                                                            \
        fake.setting;                                                                              \
        pthread_cond_broadcast(&fake.changed);                                                     \
        pthread_mutex_unlock(&fake.lock);                                                          \
    } while (0)

/* Waits for something that a thread of the batcher does. */
#define FAKE_WAIT(condition)                                                                       \
    do {                                                                                           \
        pthread_mutex_lock(&fake.lock);                                                            \
        while (!(condition))                                                                       \
            pthread_cond_wait(&fake.changed, &fake.lock);                                          \
        pthread_mutex_unlock(&fake.lock);                                                          \
    } while (0)

/* ---- the batcher and its landings ---- */

static struct batcher *b;
static struct batch *rows;
static char target_name[] = "main";
static const struct spec_sink target = {.kind = SPEC_SINK_POSTGRES, .name = target_name};
static struct landing all[MANY];
static int back[MANY];

static void told(const char *url)
{
    struct error e = {0};
    struct sink_settings s = {.name = strdup("main"),
                              .kind = SPEC_SINK_POSTGRES,
                              .url = strdup(url)};
    assert_int_equal(batcher_sink(b, &s, &e), ERR_OK);
}

static int set_up(void **state UNUSED)
{
    struct error e = {0};
    const struct batcher_config config = {.connections = 2, .seed = 3, .kind_of = kind_of};
    pthread_mutex_lock(&fake.lock);
    fake.opened = fake.closed = fake.calls = fake.in_call_most = fake.half = 0;
    fake.rows_most = fake.landings_last = 0;
    fake.down = fake.refuse_open = fake.blocked = false;
    fake.verdict = LANDING_DONE;
    pthread_mutex_unlock(&fake.lock);
    memset(all, 0, sizeof(all));
    memset(back, 0, sizeof(back));
    rows = batch_new();
    assert_int_equal(batch_add_column(rows, "a", COL_INT64), ERR_OK);
    for (int i = 0; i < 10; i++) {
        batch_i64(rows, 0, i);
        batch_row_end(rows);
    }
    assert_int_equal(batcher_new(&config, &b, &e), ERR_OK);
    told("one");
    return 0;
}

static int tear_down(void **state UNUSED)
{
    FAKE(blocked = false);
    assert_true(batcher_stop(b));
    batcher_free(b);
    assert_int_equal(fake.opened, fake.closed);
    batch_free(rows);
    return 0;
}

static void put(int i)
{
    struct error e = {0};
    all[i] = (struct landing){.target = &target, .task = (uint64_t)i, .rows = rows};
    assert_int_equal(batcher_put(b, &all[i], &e), ERR_OK);
}

static void note(const struct landing *l)
{
    back[l->task]++;
}

/* Takes what is there. */
static int take_some(void)
{
    int n = 0;
    struct landing *l;
    while ((l = batcher_take(b))) {
        note(l);
        n++;
    }
    return n;
}

static void wait_back(int n)
{
    struct pollfd item = {.fd = batcher_fd(b), .events = POLLIN};
    while (n > 0) {
        assert_int_equal(poll(&item, 1, WAIT_MS), 1);
        n -= take_some();
    }
    assert_int_equal(n, 0);
}

/* Until something of the sink is to be told. */
static struct wire_calls wait_calls(bool urgent)
{
    struct wire_calls calls;
    struct pollfd item = {.fd = batcher_fd(b), .events = POLLIN};
    while (batcher_calls(b, urgent, &calls, 1) == 0) {
        assert_int_equal(poll(&item, 1, WAIT_MS), 1);
        take_some();
    }
    assert_true(span_eq(calls.downstream, SPAN("postgres:main")));
    return calls;
}

static void tell(enum wire_breaker_state state)
{
    batcher_tell(b, SPAN("postgres:main"), state);
}

static void every_landing_comes_back_once(void **state UNUSED)
{
    for (int i = 0; i < MANY; i++)
        put(i);
    wait_back(MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(back[i], 1);
        assert_int_equal(all[i].verdict, LANDING_DONE);
        assert_int_equal(all[i].n_written, 10);
    }
    /* In far fewer calls than there were landings. */
    assert_true(fake.calls < MANY / 10);
    struct batcher_stats stats;
    batcher_stats(b, &stats);
    assert_int_equal(stats.landings, 0);
    assert_int_equal(stats.bytes, 0);
}

static void batches_grow_under_load(void **state UNUSED)
{
    for (int i = 0; i < MANY; i++) /* 50,000 rows before the first batch is over */
        put(i);
    wait_back(MANY);
    assert_true(fake.rows_most > 2000);
    assert_true(fake.rows_most <= 10000);
}

static void a_single_row_does_not_wait_long(void **state UNUSED)
{
    const uint64_t from_ms = clock_ms();
    put(0);
    wait_back(1);
    /* The promise is about 50 ms; a machine that does other work has five times that. */
    assert_true(clock_ms() - from_ms < 250);
}

static void what_waits_survives_an_outage(void **state UNUSED)
{
    FAKE(down = true);
    for (int i = 0; i < 50; i++)
        put(i);
    const struct wire_calls calls = wait_calls(true); /* the first failure at once */
    assert_true(calls.fail >= 1);
    assert_int_equal(calls.ok, 0);
    assert_int_equal(calls.waiting, 50);
    assert_true(span_eq(calls.error, SPAN("the server is gone")));
    FAKE(down = false);
    wait_back(50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(back[i], 1);
    assert_true(fake.closed >= 1); /* the broken connection */
}

static void one_connection_alone_tries_after_a_failure(void **state UNUSED)
{
    put(0); /* a success: from now on both connections may be used */
    wait_back(1);
    FAKE(blocked = true);
    for (int i = 1; i < 2000; i++)
        put(i);
    FAKE_WAIT(fake.in_call == 2);
    FAKE(down = true; fake.blocked = false);
    FAKE_WAIT(fake.in_call == 0);
    FAKE(down = false; fake.blocked = true; fake.in_call_most = 0);
    FAKE_WAIT(fake.in_call == 1);
    /* Whether another comes is not to be waited for; what the batcher says is. */
    struct pollfd item = {.fd = batcher_fd(b), .events = POLLIN};
    while (poll(&item, 1, 300) > 0)
        take_some();
    assert_int_equal(fake.in_call_most, 1);
    FAKE(blocked = false);
    int n = 1;
    for (int i = 1; i < 2000; i++)
        n += back[i];
    wait_back(2000 - n);
}

static void a_call_that_broke_in_the_middle(void **state UNUSED)
{
    FAKE(half = 1);
    for (int i = 0; i < 20; i++)
        put(i);
    wait_back(20);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(back[i], 1);
        assert_int_equal(all[i].n_rejects, 0); /* what the broken call found is found anew */
    }
}

static void verdicts_are_the_sinks(void **state UNUSED)
{
    static const enum landing_verdict verdicts[] = {LANDING_DUPLICATE, LANDING_FENCED,
                                                    LANDING_FAILED};
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        FAKE(verdict = verdicts[i]);
        put((int)i);
        wait_back(1);
        assert_int_equal(all[i].verdict, verdicts[i]);
    }
    const struct wire_calls calls = wait_calls(false); /* bad data is no failure of the sink */
    assert_int_equal(calls.fail, 0);
    assert_int_equal(calls.ok, 3);
}

static void an_open_breaker_holds(void **state UNUSED)
{
    tell(WIRE_BREAKER_OPEN);
    put(0);
    struct wire_calls calls = wait_calls(true); /* there is something to probe with */
    assert_int_equal(calls.waiting, 1);
    for (int i = 1; i < 10; i++)
        put(i);
    assert_int_equal(fake.calls, 0);
    FAKE(down = true);
    tell(WIRE_BREAKER_PROBE);
    calls = wait_calls(true);
    assert_int_equal(calls.fail, 1);
    assert_int_equal(calls.waiting, 10);
    FAKE(down = false);
    tell(WIRE_BREAKER_PROBE);
    calls = wait_calls(true);
    assert_int_equal(calls.ok, 1);
    assert_int_equal(fake.calls, 2);
    put(10);
    put(11);
    tell(WIRE_BREAKER_CLOSED);
    pthread_mutex_lock(&fake.lock);
    pthread_mutex_unlock(&fake.lock);
    int n = 0;
    for (int i = 0; i < 12; i++)
        n += back[i];
    wait_back(12 - n);
}

static void a_new_session_knows_of_no_breaker(void **state UNUSED)
{
    tell(WIRE_BREAKER_OPEN);
    put(0);
    batcher_session(b);
    wait_back(1);
}

static void a_quarantined_worker_gives_back(void **state UNUSED)
{
    tell(WIRE_BREAKER_OPEN);
    for (int i = 0; i < 5; i++)
        put(i);
    tell(WIRE_BREAKER_QUARANTINED);
    put(5); /* and takes nothing more */
    wait_back(6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(all[i].verdict, LANDING_UNDECIDED);
    assert_int_equal(fake.calls, 0);
}

static void what_is_withdrawn(void **state UNUSED)
{
    FAKE(blocked = true);
    put(0);
    FAKE_WAIT(fake.in_call == 1); /* 0 is being written */
    tell(WIRE_BREAKER_OPEN);
    put(1);
    assert_true(batcher_withdraw(b, &all[1])); /* it waited: it is ours at once */
    assert_false(batcher_withdraw(b, &all[1]));
    assert_false(batcher_withdraw(b, &all[0]));
    FAKE(down = true; fake.blocked = false);
    wait_back(1); /* and is not tried again */
    assert_int_equal(back[0], 1);
    assert_int_equal(all[0].verdict, LANDING_UNDECIDED);
    struct batcher_stats stats;
    batcher_stats(b, &stats);
    assert_int_equal(stats.landings, 0);
}

static void giving_all_back(void **state UNUSED)
{
    FAKE(blocked = true);
    put(0);
    FAKE_WAIT(fake.in_call == 1);
    tell(WIRE_BREAKER_OPEN);
    put(1);
    batcher_return(b);
    wait_back(1);
    assert_int_equal(back[1], 1);
    put(2); /* nothing waits from now on */
    wait_back(1);
    FAKE(down = true; fake.blocked = false);
    wait_back(1);
    assert_int_equal(all[0].verdict, LANDING_UNDECIDED);
}

static void other_settings_make_other_connections(void **state UNUSED)
{
    put(0);
    wait_back(1);
    const int opened = fake.opened;
    told("one"); /* the same: nothing happens */
    put(1);
    wait_back(1);
    assert_true(fake.opened <= opened + 1); /* the other thread's first */
    told("two");
    put(2);
    wait_back(1);
    assert_string_equal(fake.url, "two");
}

static void sinks_that_are_not_known(void **state UNUSED)
{
    struct error e = {0};
    char other[] = "other";
    const struct spec_sink unknown = {.kind = SPEC_SINK_POSTGRES, .name = other};
    all[0] = (struct landing){.target = &unknown, .rows = rows};
    assert_int_equal(batcher_put(b, &all[0], &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.detail, "other"));
    assert_true(batcher_has(b, SPEC_SINK_POSTGRES, "main"));
    assert_false(batcher_has(b, SPEC_SINK_POSTGRES, "other"));
    batcher_tell(b, SPAN("postgres:other"), WIRE_BREAKER_OPEN); /* no harm */
}

static void the_end_gives_back_what_waits(void **state UNUSED)
{
    tell(WIRE_BREAKER_OPEN);
    for (int i = 0; i < 5; i++)
        put(i);
    assert_true(batcher_stop(b));
    assert_int_equal(take_some(), 5);
}

static void the_end_does_not_wait_for_a_call_for_ever(void **state UNUSED)
{
    FAKE(blocked = true);
    put(0);
    FAKE_WAIT(fake.in_call == 1);
    const uint64_t from_ms = clock_ms();
    assert_false(batcher_stop(b));
    assert_true(clock_ms() - from_ms >= BATCHER_STOP_MS);
    FAKE(blocked = false);
    wait_back(1);
}

#define BATCHER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCHER_TEST(every_landing_comes_back_once),
        BATCHER_TEST(batches_grow_under_load),
        BATCHER_TEST(a_single_row_does_not_wait_long),
        BATCHER_TEST(what_waits_survives_an_outage),
        BATCHER_TEST(one_connection_alone_tries_after_a_failure),
        BATCHER_TEST(a_call_that_broke_in_the_middle),
        BATCHER_TEST(verdicts_are_the_sinks),
        BATCHER_TEST(an_open_breaker_holds),
        BATCHER_TEST(a_new_session_knows_of_no_breaker),
        BATCHER_TEST(a_quarantined_worker_gives_back),
        BATCHER_TEST(what_is_withdrawn),
        BATCHER_TEST(giving_all_back),
        BATCHER_TEST(other_settings_make_other_connections),
        BATCHER_TEST(sinks_that_are_not_known),
        BATCHER_TEST(the_end_gives_back_what_waits),
        BATCHER_TEST(the_end_does_not_wait_for_a_call_for_ever),
    };
    return cmocka_run_group_tests_name("batcher", tests, NULL, NULL);
}
