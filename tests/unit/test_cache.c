/* The worker's cache of blobs, with a coordinator that is played here. The files are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/cache.h"

enum { BLOBS = 8, WAIT_MS = 10000 };

/* What is asked is answered from here, in order. */
struct fx {
    char folder[64];
    struct cache *c;
    struct error e;
    uint64_t now_ms;
    char *data[BLOBS];
    size_t len[BLOBS];
    struct blob_name names[BLOBS];
    size_t n_blobs;
    uint64_t sent; /* bytes of answers */
    size_t asks;
    uint32_t largest; /* question */
    int code;         /* of the next answers, when not OK */
    size_t fail_next; /* answers with it; then OK again */
    bool damage;      /* answers have wrong bytes */
};

static void start(struct fx *x, uint64_t bytes_max)
{
    const struct cache_config config = {.dir = x->folder, .bytes_max = bytes_max};
    if (cache_new(&config, &x->c, &x->e) != ERR_OK)
        fail_msg("%s", x->e.detail);
}

static int setup(void **state)
{
    struct fx *x = calloc(1, sizeof(*x));
    snprintf(x->folder, sizeof(x->folder), "/tmp/drover-test-cache-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    start(x, 1000 * 1000);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fx *x = *state;
    char command[100];
    cache_free(x->c);
    snprintf(command, sizeof(command), "rm -r %s", x->folder);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < x->n_blobs; i++)
        free(x->data[i]);
    free(x);
    return 0;
}

static size_t add_blob(struct fx *x, size_t len)
{
    const size_t i = x->n_blobs++;
    x->data[i] = malloc(len + 1);
    for (size_t k = 0; k < len; k++)
        x->data[i][k] = (char)((k * 31 + i * 7) % 251);
    x->len[i] = len;
    assert_true(blob_hash_of(x->data[i], len, &x->names[i]));
    return i;
}

static struct cache_need *need(struct fx *x, size_t first, size_t n)
{
    struct cache_need *ret = NULL;
    if (cache_need(x->c, &x->names[first], n, &ret, &x->e) != ERR_OK)
        fail_msg("%s", x->e.detail);
    return ret;
}

static enum cache_state state_of(struct fx *x, const struct cache_need *n)
{
    return cache_need_state(n, &x->e);
}

static void answer(struct fx *x, const struct wire_blob_ask *ask)
{
    struct wire_blob_answer m = {.what = ask->what, .name = ask->name, .offset = ask->offset};
    size_t i = 0;
    while (i < x->n_blobs && !span_eq(blob_name_span(&x->names[i]), ask->name))
        i++;
    assert_int_equal(ask->what, WIRE_BLOB_FILE);
    m.code = i == x->n_blobs ? ERR_NOT_FOUND : ERR_OK;
    if (x->fail_next > 0) {
        x->fail_next--;
        m.code = (uint32_t)x->code;
    }
    char piece[64 * 1024];
    if (m.code == ERR_OK) {
        m.total = x->len[i];
        m.data.len = MIN((size_t)ask->max, x->len[i] - (size_t)ask->offset);
        m.data.len = MIN(m.data.len, sizeof(piece)); /* less than asked for is allowed */
        memcpy(piece, x->data[i] + ask->offset, m.data.len);
        if (x->damage && m.data.len > 0)
            piece[m.data.len / 2]++;
        m.data.p = piece;
        x->sent += m.data.len;
    }
    m.next = m.offset + m.data.len;
    cache_answer(x->c, x->now_ms, &m);
}

/* Questions and answers until nothing is asked any more and the disk is at rest. */
static void serve(struct fx *x, const struct cache_need *until)
{
    struct wire_blob_ask ask;
    for (int i = 0; i < WAIT_MS / 10 && (!until || state_of(x, until) == CACHE_WAITING); i++) {
        bool asked = false;
        while (cache_ask(x->c, x->now_ms, &ask)) {
            asked = true;
            x->asks++;
            x->largest = MAX(x->largest, ask.max);
            answer(x, &ask);
        }
        struct pollfd p = {.fd = cache_fd(x->c), .events = POLLIN};
        const bool ready = poll(&p, 1, asked ? 0 : 10) > 0;
        cache_poll(x->c, x->now_ms);
        if (!until && !asked && !ready)
            return;
    }
}

static size_t files(const struct fx *x)
{
    size_t n = 0;
    DIR *d = opendir(x->folder);
    for (const struct dirent *entry; (entry = readdir(d));)
        n += strlen(entry->d_name) >= BLOB_TEXT_LEN;
    closedir(d);
    return n;
}

static void check_bytes(struct fx *x, struct cache_need *n, size_t i)
{
    assert_int_equal(state_of(x, n), CACHE_READY);
    assert_true(cache_need_open(n));
    const struct blobset_item *item = blobset_find(cache_need_set(n), &x->names[i]);
    assert_non_null(item);
    assert_int_equal(item->bytes, x->len[i]);
    char *got = malloc(x->len[i] + 1);
    assert_int_equal(pread(item->fd, got, x->len[i] + 1, 0), (ssize_t)x->len[i]);
    assert_memory_equal(got, x->data[i], x->len[i]);
    free(got);
}

static void a_blob_comes_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 700 * 1000};
    struct fx *x = *state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        add_blob(x, sizes[i]);
        struct cache_need *n = need(x, i, 1);
        serve(x, n);
        check_bytes(x, n, i);
        cache_need_free(n);
    }
}

static void several_needs_cause_one_transfer(void **state)
{
    struct fx *x = *state;
    struct cache_need *n[5];
    add_blob(x, 300 * 1000);
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        n[i] = need(x, 0, 1);
    serve(x, n[4]);
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        check_bytes(x, n[i], 0);
    assert_int_equal(x->sent, 300 * 1000);
    for (size_t i = 0; i < ARRAY_LEN(n); i++)
        cache_need_free(n[i]);
    n[0] = need(x, 0, 1);
    assert_int_equal(state_of(x, n[0]), CACHE_READY);
    cache_need_free(n[0]);
}

static void the_least_recently_used_goes_first_and_what_is_used_stays(void **state)
{
    struct fx *x = *state;
    struct cache_need *held;
    for (size_t i = 0; i < 5; i++)
        add_blob(x, 300 * 1000 + i);
    held = need(x, 0, 1);
    serve(x, held);
    assert_true(cache_need_open(held));
    for (size_t i = 1; i < 5; i++) {
        struct cache_need *n = need(x, i, 1);
        serve(x, n);
        check_bytes(x, n, i);
        cache_need_free(n);
    }
    serve(x, NULL);
    assert_int_equal(files(x), 3); /* 0 is used; 3 and 4 are the latest */
    const uint64_t before = x->sent;
    struct cache_need *n = need(x, 4, 1);
    assert_int_equal(state_of(x, n), CACHE_READY);
    cache_need_free(n);
    n = need(x, 0, 1);
    assert_int_equal(state_of(x, n), CACHE_READY);
    cache_need_free(n);
    assert_int_equal(x->sent, before);
    cache_need_free(held);
}

/* Two tasks that each need more than half: the second waits for the first, and none for ever. */
static void beyond_the_bound_the_oldest_comes_first(void **state)
{
    struct fx *x = *state;
    for (size_t i = 0; i < 4; i++)
        add_blob(x, 450 * 1000 + i);
    struct cache_need *first = need(x, 0, 2), *second = need(x, 2, 2);
    serve(x, first);
    serve(x, NULL);
    assert_int_equal(state_of(x, first), CACHE_READY);
    assert_int_equal(state_of(x, second), CACHE_WAITING);
    struct cache_stats stats;
    cache_stats(x->c, &stats);
    assert_true(x->sent < 3 * 450 * 1000); /* little of the second's: what tells their sizes */
    cache_need_free(first);
    serve(x, second);
    check_bytes(x, second, 2);
    check_bytes(x, second, 3);
    cache_need_free(second);
    serve(x, NULL);
    cache_stats(x->c, &stats);
    assert_true(stats.bytes <= 1000 * 1000);
}

static void one_task_may_pass_the_bound(void **state)
{
    struct fx *x = *state;
    add_blob(x, 3 * 1000 * 1000);
    struct cache_need *n = need(x, 0, 1);
    serve(x, n);
    check_bytes(x, n, 0);
    cache_need_free(n);
    serve(x, NULL);
    assert_int_equal(files(x), 0);
}

static void a_blob_that_is_gone_fails_its_needs_alone(void **state)
{
    struct fx *x = *state;
    add_blob(x, 1000);
    add_blob(x, 1000);
    x->n_blobs = 1; /* the second is not to be had */
    struct cache_need *good = need(x, 0, 1), *bad = need(x, 0, 2);
    serve(x, good);
    serve(x, bad);
    assert_int_equal(state_of(x, good), CACHE_READY);
    assert_int_equal(state_of(x, bad), CACHE_FAILED);
    assert_int_equal(x->e.code, ERR_NOT_FOUND);
    assert_non_null(strstr(x->e.detail, "gone from the coordinator"));
    cache_need_free(bad);
    x->n_blobs = 2; /* it was uploaded again */
    bad = need(x, 1, 1);
    serve(x, bad);
    check_bytes(x, bad, 1);
    cache_need_free(bad);
    cache_need_free(good);
}

static void failures_that_may_pass_are_waited_out(void **state)
{
    struct fx *x = *state;
    add_blob(x, 200 * 1000);
    x->code = ERR_UNAVAILABLE;
    x->fail_next = CACHE_TRIES - 1;
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 100 && state_of(x, n) == CACHE_WAITING; i++) {
        serve(x, NULL);
        const uint64_t due = cache_deadline(x->c);
        if (due != UINT64_MAX) {
            assert_true(due > x->now_ms);
            x->now_ms = due;
        }
    }
    assert_true(x->now_ms >= CACHE_PAUSE_MS);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

static void after_too_many_failures_the_tasks_go_back(void **state)
{
    struct fx *x = *state;
    add_blob(x, 1000);
    x->code = ERR_IO;
    x->fail_next = 1000;
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 100 && state_of(x, n) == CACHE_WAITING; i++) {
        serve(x, NULL);
        x->now_ms += 1000;
    }
    assert_int_equal(state_of(x, n), CACHE_FAILED);
    assert_int_equal(x->e.code, ERR_UNAVAILABLE);
    assert_int_equal(x->asks, CACHE_TRIES);
    cache_need_free(n);
    x->fail_next = 0;
    n = need(x, 0, 1);
    serve(x, n);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

static void damaged_bytes_never_get_in(void **state)
{
    struct fx *x = *state;
    add_blob(x, 100 * 1000);
    x->damage = true;
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 100 && state_of(x, n) == CACHE_WAITING; i++) {
        serve(x, NULL);
        x->now_ms += 10000;
    }
    assert_int_equal(state_of(x, n), CACHE_FAILED);
    assert_int_equal(x->e.code, ERR_UNAVAILABLE);
    assert_true(x->sent <= CACHE_TRIES * 100 * 1000);
    assert_int_equal(files(x), 0);
    cache_need_free(n);
}

static void a_new_session_asks_again_from_where_it_was(void **state)
{
    struct fx *x = *state;
    struct wire_blob_ask ask;
    add_blob(x, 500 * 1000);
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(cache_ask(x->c, x->now_ms, &ask));
        answer(x, &ask);
    }
    while (cache_ask(x->c, x->now_ms, &ask)) /* these get no answer */
        ;
    const uint64_t before = x->sent;
    cache_session(x->c);
    assert_true(cache_ask(x->c, x->now_ms, &ask));
    assert_int_equal(ask.offset, before);
    answer(x, &ask);
    serve(x, n);
    check_bytes(x, n, 0);
    assert_int_equal(x->sent, 500 * 1000);
    cache_need_free(n);
}

static void a_task_that_is_revoked_stops_its_transfer(void **state)
{
    struct fx *x = *state;
    struct wire_blob_ask ask;
    add_blob(x, 900 * 1000);
    struct cache_need *n = need(x, 0, 1);
    assert_true(cache_ask(x->c, x->now_ms, &ask));
    answer(x, &ask);
    assert_true(cache_ask(x->c, x->now_ms, &ask));
    cache_need_free(n);
    answer(x, &ask);
    assert_false(cache_ask(x->c, x->now_ms, &ask));
    serve(x, NULL);
    assert_int_equal(files(x), 0);
    n = need(x, 0, 1);
    serve(x, n);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

static void what_is_found_at_the_start_is_hashed_before_it_is_used(void **state)
{
    struct fx *x = *state;
    char path[200], text[BLOB_TEXT_LEN + 1];
    for (size_t i = 0; i < 2; i++) {
        add_blob(x, 100 * 1000 + i);
        struct cache_need *n = need(x, i, 1);
        serve(x, n);
        cache_need_free(n);
    }
    cache_free(x->c);
    snprintf(path, sizeof(path), "%s/%s", x->folder, blob_name_text(&x->names[1], text));
    FILE *f = fopen(path, "r+");
    fputc(x->data[1][0] + 1, f);
    fclose(f);
    start(x, 1000 * 1000);
    const uint64_t before = x->sent;
    for (size_t i = 0; i < 2; i++) {
        struct cache_need *n = need(x, i, 1);
        assert_int_equal(state_of(x, n), CACHE_WAITING);
        serve(x, n);
        check_bytes(x, n, i);
        cache_need_free(n);
    }
    assert_int_equal(x->sent, before + x->len[1]); /* the damaged one came again */
}

static void a_part_of_an_earlier_process_is_gone_on_with(void **state)
{
    struct fx *x = *state;
    struct wire_blob_ask ask;
    add_blob(x, 600 * 1000);
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 6; i++) {
        assert_true(cache_ask(x->c, x->now_ms, &ask));
        answer(x, &ask);
    }
    char path[200], text[BLOB_TEXT_LEN + 1];
    struct stat st = {0};
    snprintf(path, sizeof(path), "%s/%s.part", x->folder, blob_name_text(&x->names[0], text));
    const uint64_t written = x->sent;
    for (int i = 0; i < WAIT_MS && (uint64_t)st.st_size != written; i++) {
        usleep(1000);
        if (stat(path, &st) != 0)
            st.st_size = 0;
    }
    cache_free(x->c);
    free(n); /* its process was killed: nothing was let go of in order */
    start(x, 1000 * 1000);
    x->sent = 0;
    n = need(x, 0, 1);
    serve(x, n);
    check_bytes(x, n, 0);
    assert_true(x->sent <= 600 * 1000 - written + CACHE_WINDOW_MIN);
    cache_need_free(n);
}

static void a_file_that_vanished_is_fetched_again(void **state)
{
    struct fx *x = *state;
    char path[200], text[BLOB_TEXT_LEN + 1];
    add_blob(x, 1000);
    struct cache_need *n = need(x, 0, 1);
    serve(x, n);
    snprintf(path, sizeof(path), "%s/%s", x->folder, blob_name_text(&x->names[0], text));
    assert_int_equal(unlink(path), 0);
    assert_false(cache_need_open(n));
    assert_int_equal(state_of(x, n), CACHE_WAITING);
    serve(x, n);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

/* Slow answers keep little on the line; quick ones fill it. */
static void what_is_asked_for_follows_the_line(void **state)
{
    struct fx *x = *state;
    struct wire_blob_ask ask[CACHE_ASKS_MAX + 1];
    add_blob(x, 900 * 1000);
    struct cache_need *n = need(x, 0, 1);
    for (int i = 0; i < 5; i++) {
        size_t open = 0, bytes = 0;
        while (open < ARRAY_LEN(ask) && cache_ask(x->c, x->now_ms, &ask[open]))
            bytes += ask[open++].max;
        assert_true(bytes <= CACHE_WINDOW_MIN);
        x->now_ms += CACHE_SLOW_MS + 1;
        for (size_t k = 0; k < open; k++)
            answer(x, &ask[k]);
    }
    serve(x, n);
    assert_true(x->largest > CACHE_WINDOW_MIN);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

static void answers_that_make_no_sense_do_no_harm(void **state)
{
    struct fx *x = *state;
    struct wire_blob_ask ask;
    add_blob(x, 100);
    struct cache_need *n = need(x, 0, 1);
    const struct wire_blob_answer answers[] = {
        {.what = 1, .name = blob_name_span(&x->names[0]), .offset = 7, .total = 9},
        {.what = 2, .name = blob_name_span(&x->names[0])},
        {.what = 1, .name = SPAN("short")},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        cache_answer(x->c, x->now_ms, &answers[i]); /* not asked for */
    assert_true(cache_ask(x->c, x->now_ms, &ask));
    cache_answer(x->c, x->now_ms,
                 &(struct wire_blob_answer){.what = 1,
                                            .name = ask.name,
                                            .offset = 0,
                                            .total = UINT64_MAX,
                                            .data = SPAN("abc")});
    x->now_ms += 10000;
    assert_true(cache_ask(x->c, x->now_ms, &ask));
    cache_answer(x->c, x->now_ms,
                 &(struct wire_blob_answer){.what = 1, .name = ask.name, .total = 50});
    x->now_ms += 10000;
    serve(x, n);
    check_bytes(x, n, 0);
    cache_need_free(n);
}

static void two_caches_do_not_share_a_folder(void **state)
{
    struct fx *x = *state;
    struct cache *other;
    const struct cache_config config = {.dir = x->folder, .bytes_max = 1000};
    assert_int_equal(cache_new(&config, &other, &x->e), ERR_CONFIG);
    assert_non_null(strstr(x->e.detail, "another worker uses"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_blob_comes_whole),
        TEST(several_needs_cause_one_transfer),
        TEST(the_least_recently_used_goes_first_and_what_is_used_stays),
        TEST(beyond_the_bound_the_oldest_comes_first),
        TEST(one_task_may_pass_the_bound),
        TEST(a_blob_that_is_gone_fails_its_needs_alone),
        TEST(failures_that_may_pass_are_waited_out),
        TEST(after_too_many_failures_the_tasks_go_back),
        TEST(damaged_bytes_never_get_in),
        TEST(a_new_session_asks_again_from_where_it_was),
        TEST(a_task_that_is_revoked_stops_its_transfer),
        TEST(what_is_found_at_the_start_is_hashed_before_it_is_used),
        TEST(a_part_of_an_earlier_process_is_gone_on_with),
        TEST(a_file_that_vanished_is_fetched_again),
        TEST(what_is_asked_for_follows_the_line),
        TEST(answers_that_make_no_sense_do_no_harm),
        TEST(two_caches_do_not_share_a_folder),
    };
#undef TEST
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
