/* The threads of a worker: tasks go to a loop and come back, whatever happens in between. Nothing
 * listens where these tasks want to go, or it never answers, so no server is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/pack.h"
#include "worker/output.h"
#include "worker/runner.h"

enum { TASKS = 40, WAIT_MS = 20000 };

static struct pipeline *pipeline;
static const char *const nets[] = {"127.0.0.0/8", NULL};
static int silent_fd; /* accepts connections and says nothing */
static int closed_port, silent_port;
static struct buf items;

static void finish(void *user, struct runner_task *task, struct output *output_take)
{
    int *errors = user;
    errors[(intptr_t)task->user] = output_take->error ? output_take->error : -1;
    output_free(output_take);
}

static struct runner *start_runner(size_t loops, int *errors)
{
    struct runner *r = NULL;
    struct error e = {0};
    const struct runner_config config = {
        .loops = loops,
        .scrape = {.allow_nets = nets, .connections_max = 100, .memory_max_bytes = 1 << 20},
        .finish = finish,
        .user = errors,
    };
    if (runner_new(&config, &r, &e) != ERR_OK)
        fail_msg("%s", e.detail);
    return r;
}

static struct span urls(int port, int n)
{
    char url[100];
    buf_clear(&items);
    pack_array(&items, (size_t)n);
    for (int i = 0; i < n; i++) {
        snprintf(url, sizeof(url), "http://127.0.0.1:%d/%d", port, i);
        pack_array(&items, 2);
        pack_cstr(&items, url);
        pack_u64(&items, 0);
    }
    return buf_span(&items);
}

static void start(struct runner *r, struct runner_task *task, intptr_t index, int port)
{
    struct error e = {0};
    *task =
        (struct runner_task){.pipeline = pipeline, .job = 1, .attempt = 1, .user = (void *)index};
    if (runner_start(r, task, urls(port, 3), &e) != ERR_OK)
        fail_msg("%s", e.detail);
}

/* Waits until n tasks were taken back. */
static void take(struct runner *r, int n)
{
    while (n > 0) {
        struct pollfd item = {.fd = runner_fd(r), .events = POLLIN};
        assert_int_equal(poll(&item, 1, WAIT_MS), 1);
        while (runner_take(r))
            n--;
    }
    assert_int_equal(n, 0);
}

static void every_task_comes_back(void **state UNUSED)
{
    int errors[TASKS] = {0};
    struct runner_task tasks[TASKS];
    struct runner *r = start_runner(3, errors);
    for (int i = 0; i < TASKS; i++)
        start(r, &tasks[i], i, closed_port);
    take(r, TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(errors[i], ERR_UNAVAILABLE); /* nobody listens */
    assert_null(runner_take(r));
    runner_free(r);
}

static void tasks_of_one_host_have_one_loop(void **state UNUSED)
{
    int errors[TASKS] = {0};
    struct runner_task tasks[TASKS];
    struct runner *r = start_runner(4, errors);
    bool differ = false;
    for (int i = 0; i < TASKS; i++)
        start(r, &tasks[i], i, i < TASKS / 2 ? closed_port : 20000 + i);
    for (int i = 1; i < TASKS; i++) {
        if (i < TASKS / 2)
            assert_ptr_equal(tasks[i].loop, tasks[0].loop);
        differ |= tasks[i].loop != tasks[0].loop;
    }
    assert_true(differ);
    take(r, TASKS);
    runner_free(r);
}

static void cancel_ends_a_task(void **state UNUSED)
{
    int errors[1] = {0};
    struct runner_task task;
    struct runner *r = start_runner(1, errors);
    start(r, &task, 0, silent_port);
    runner_cancel(r, &task);
    take(r, 1);
    assert_int_equal(errors[0], ERR_STALE);
    runner_cancel(r, &task); /* too late, and harmless */
    runner_free(r);
}

static void frozen_loops_begin_nothing(void **state UNUSED)
{
    int errors[1] = {0};
    struct runner_task task;
    struct runner *r = start_runner(2, errors);
    runner_freeze(r, true);
    start(r, &task, 0, closed_port);
    struct pollfd item = {.fd = runner_fd(r), .events = POLLIN};
    assert_int_equal(poll(&item, 1, 200), 0);
    runner_freeze(r, false);
    take(r, 1);
    runner_free(r);
}

static void stop_gives_back_what_runs(void **state UNUSED)
{
    int errors[TASKS] = {0}, n = 0;
    struct runner_task tasks[TASKS];
    struct runner *r = start_runner(2, errors);
    for (int i = 0; i < TASKS; i++)
        start(r, &tasks[i], i, silent_port);
    runner_stop(r);
    while (runner_take(r))
        n++;
    assert_int_equal(n, TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(errors[i], ERR_STALE);
    runner_free(r);
    runner_free(NULL);
}

static void items_that_cannot_be_read(void **state UNUSED)
{
    static const struct span rows[] = {
        {"", 0},
        {"\xc0", 1},
        {"\x90", 1},
        {"\x91\xa1x", 3},
        {"\x91\x91\xa1x", 4},
        {"\x91\x92\xc0\x00", 4},
        {"\x92\x92\xa1x\x00", 5},
        {"\xdd\xff\xff\xff\xff", 5},
        {"\x91\x92\xa1x\xff", 5},
    };
    int errors[1] = {0};
    struct runner *r = start_runner(1, errors);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error e = {0};
        struct runner_task task = {.pipeline = pipeline, .attempt = 1};
        if (runner_start(r, &task, rows[i], &e) != ERR_MALFORMED)
            fail_msg("row %zu: %s", i, e.detail);
    }
    runner_free(r);
}

/* A socket on a free port; listening or not. */
static int bound_socket(bool listens, int *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    if (listens)
        assert_int_equal(listen(fd, 1000), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static int closed_fd;

static int set_up(void **state UNUSED)
{
    struct error e = {0};
    buf_init(&items, 0);
    closed_fd = bound_socket(false, &closed_port); /* bound, so that nobody else takes the port */
    silent_fd = bound_socket(true, &silent_port);
    if (scrape_init(&e) != ERR_OK)
        return -1;
    return pipeline_parse(SPAN("{\"drover\": 1, \"stages\": [{\"kind\": \"scrape\", "
                               "\"extract\": {\"t\": \"title::text\"}, \"robots\": false, "
                               "\"retry\": {\"times\": 0}}]}"),
                          false, NULL, &pipeline, &e);
}

static int tear_down(void **state UNUSED)
{
    pipeline_unref(pipeline);
    scrape_done();
    close(closed_fd);
    close(silent_fd);
    buf_done(&items);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_comes_back),
        cmocka_unit_test(tasks_of_one_host_have_one_loop),
        cmocka_unit_test(cancel_ends_a_task),
        cmocka_unit_test(frozen_loops_begin_nothing),
        cmocka_unit_test(stop_gives_back_what_runs),
        cmocka_unit_test(items_that_cannot_be_read),
    };
    return cmocka_run_group_tests_name("runner", tests, set_up, tear_down);
}
