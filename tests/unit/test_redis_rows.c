/* A landing as the command that carries it: keys, arguments, rows, and the rows that are left out.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/sinks/redis_link.h"
#include "worker/sinks/redis_rows.h"
#include "worker/sinks/redis_script.h"

enum { ARGS_MAX = 64 };

struct fixture {
    struct redis_rows rows;
    struct spec_sink target;
    struct landing l;
    struct batch *batch;
    struct buf out;
    struct span args[ARGS_MAX];
    size_t n_args;
};

#define TAG "00112233445566778899aabbccddeeff"

static void begin(struct fixture *f, enum spec_sink_mode mode)
{
    static char *key = (char *)"url";
    *f = (struct fixture){.target = {.kind = SPEC_SINK_REDIS, .mode = mode}};
    redis_rows_init(&f->rows);
    f->target.prefix = (char *)"p";
    f->target.keys = &key;
    f->target.n_keys = 1;
    f->target.ttl_ms = 5000;
    f->batch = batch_new();
    assert_non_null(f->batch);
    assert_int_equal(batch_add_column(f->batch, "n", COL_INT64), ERR_OK);
    assert_int_equal(batch_add_column(f->batch, "url", COL_TEXT), ERR_OK);
    f->l = (struct landing){
        .target = &f->target, .job = 7, .generation = 2, .task = 9, .index = 1, .rows = f->batch};
    for (int i = 0; i < SINK_UID_LEN; i++)
        f->l.uid[i] = (uint8_t)(i * 0x11);
    buf_init(&f->out, 0);
}

static void row(struct fixture *f, int64_t n, const char *url)
{
    batch_i64(f->batch, 0, n);
    if (url)
        batch_text(f->batch, 1, span_str(url));
    batch_row_end(f->batch);
}

static uint32_t put(struct fixture *f)
{
    const uint32_t n = redis_rows_screen(&f->rows, &f->l);
    redis_rows_put(&f->rows, &f->l, n, &f->out);
    assert_true(buf_ok(&f->out));
    /* reads it back */
    const char *at = (const char *)f->out.data, *end = at + f->out.len;
    f->n_args = strtoul(at + 1, NULL, 10);
    assert_true(at[0] == '*' && f->n_args <= ARGS_MAX);
    at = (const char *)memchr(at, '\n', f->out.len) + 1;
    for (size_t i = 0; i < f->n_args; i++) {
        assert_true(at < end && *at == '$');
        const size_t len = strtoul(at + 1, NULL, 10);
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        f->args[i] = (struct span){at, len};
        assert_true(len + 2 <= (size_t)(end - at));
        assert_memory_equal(at + len, "\r\n", 2);
        at += len + 2;
    }
    assert_ptr_equal(at, end);
    return n;
}

static void is(const struct fixture *f, size_t i, const char *want)
{
    if (i >= f->n_args || !span_eq(f->args[i], span_str(want)))
        fail_msg("argument %zu is \"%.*s\" and not \"%s\"", i, (int)f->args[i].len, f->args[i].p,
                 want);
}

static void end(struct fixture *f)
{
    redis_rows_done(&f->rows);
    landing_done(&f->l);
    batch_free(f->batch);
    buf_done(&f->out);
}

static void check_arguments(const struct fixture *f, size_t at, const char *mode, const char *n)
{
    const char *want[] = {mode, "9", n, "2", "5000", "7", "p:{" TAG "}:events", "0", "1"};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        is(f, at + i, want[i]);
}

static void hash(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, SPEC_SINK_HASH);
    row(&f, -5, "/a");
    row(&f, 6, "");
    assert_int_equal(put(&f), 2);
    assert_int_equal(f.n_args, 3 + 4 + REDIS_SCRIPT_ARGS + 2);
    is(&f, 0, "EVALSHA");
    is(&f, 1, f.rows.sha);
    is(&f, 2, "4");
    is(&f, 3, "p:{" TAG "}:ledger");
    is(&f, 4, "p:{" TAG "}:job");
    is(&f, 5, "p:{" TAG "}:row:/a");
    is(&f, 6, "p:{" TAG "}:row:");
    check_arguments(&f, 7, "hash", "2");
    is(&f, 16, "\xa1n\xa2-5\xa3url\xa2/a"); /* msgpack */
    is(&f, 17,
       "\xa1n\xa1"
       "6\xa3url\xa0");
    end(&f);
}

static void stream_and_list(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, SPEC_SINK_STREAM);
    row(&f, 1, NULL);
    assert_int_equal(put(&f), 1);
    is(&f, 2, "3");
    is(&f, 5, "p:{" TAG "}:rows");
    check_arguments(&f, 6, "stream", "1");
    is(&f, 15,
       "\xa1n\xa1"
       "1"); /* no field for NULL */
    end(&f);
    begin(&f, SPEC_SINK_LIST);
    row(&f, 1, "\"");
    row(&f, 2, NULL);
    assert_int_equal(put(&f), 2);
    check_arguments(&f, 6, "list", "2");
    is(&f, 15, "{\"n\":1,\"url\":\"\\\"\"}");
    is(&f, 16, "{\"n\":2,\"url\":null}");
    end(&f);
}

static void rows_that_do_not_fit_are_left_out(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, SPEC_SINK_HASH);
    row(&f, 1, NULL);
    row(&f, 2, "/b");
    row(&f, 3, NULL);
    row(&f, 4, "/d");
    assert_int_equal(put(&f), 2);
    is(&f, 2, "4");
    is(&f, 5, "p:{" TAG "}:row:/b");
    is(&f, 6, "p:{" TAG "}:row:/d");
    check_arguments(&f, 7, "hash", "2");
    assert_int_equal(f.l.n_rejects, 2);
    assert_int_equal(f.l.rejects[1].row, 2);
    assert_string_equal(f.l.rejects[1].column, "url");
    assert_int_equal(redis_rows_nth(&f.rows, &f.l, 0), 1);
    assert_int_equal(redis_rows_nth(&f.rows, &f.l, 1), 3);
    f.l.verdict = LANDING_UNDECIDED;
    f.target.fail_bad_rows = true;
    redis_rows_screen(&f.rows, &f.l);
    assert_int_equal(f.l.verdict, LANDING_FAILED);
    assert_non_null(strstr(f.l.error, "row 0: column url: NULL"));
    end(&f);
}

static void a_column_that_is_missing(void **state)
{
    struct fixture f;
    static char *other = (char *)"id";
    (void)state;
    begin(&f, SPEC_SINK_HASH);
    f.target.keys = &other;
    row(&f, 1, "/a");
    redis_rows_screen(&f.rows, &f.l);
    assert_int_equal(f.l.verdict, LANDING_FAILED);
    assert_non_null(strstr(f.l.error, "no column \"id\""));
    end(&f);
}

static void too_many_rows(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, SPEC_SINK_LIST);
    for (int i = 0; i <= REDIS_LANDING_ROWS_MAX; i++)
        row(&f, i, NULL);
    redis_rows_screen(&f.rows, &f.l);
    assert_int_equal(f.l.verdict, LANDING_FAILED);
    assert_non_null(strstr(f.l.error, "250001 rows"));
    assert_non_null(strstr(f.l.error, "task_items"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash),
        cmocka_unit_test(stream_and_list),
        cmocka_unit_test(rows_that_do_not_fit_are_left_out),
        cmocka_unit_test(a_column_that_is_missing),
        cmocka_unit_test(too_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
