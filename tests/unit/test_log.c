/* Log lines: JSON that parses, text without control characters, whole lines from many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

enum { THREADS = 4, LINES = 500 };

static FILE *file;
static int saved;

/* Standard error goes to a file until end_capture. */
static void begin_capture(void)
{
    file = tmpfile();
    assert_non_null(file);
    saved = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
}

static void end_capture(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
}

static void lines_are_json(void **state)
{
    char line[4096];
    struct error e = {.code = ERR_IO, .detail = "disk \"x\"\n"};
    (void)state;
    log_init(LOG_LEVEL_INFO);
    log_format(LOG_FORMAT_JSON);
    begin_capture();
    LOG_DEBUG("not written");
    LOG_INFO("worker connected", log_str("worker", "w-1"), log_u64("slots", UINT64_MAX),
             log_i64("delta", -3), log_f64("rate", 0.5), log_f64("nothing", NAN),
             log_str("absent", NULL), log_err(&e));
    LOG_ERROR("bytes \xff");
    end_capture();
    assert_non_null(fgets(line, sizeof line, file));
    json_t *v = json_loads(line, JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(v);
    assert_string_equal(json_string_value(json_object_get(v, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(v, "msg")), "worker connected");
    assert_string_equal(json_string_value(json_object_get(v, "worker")), "w-1");
    assert_string_equal(json_string_value(json_object_get(v, "err")), "disk \"x\"\n");
    assert_true(json_number_value(json_object_get(v, "delta")) == -3);
    assert_true(json_is_null(json_object_get(v, "nothing")));
    assert_null(json_object_get(v, "absent"));
    assert_int_equal(strlen(json_string_value(json_object_get(v, "ts"))), CLOCK_TEXT_LEN - 1);
    json_decref(v);
    assert_non_null(fgets(line, sizeof line, file));
    v = json_loads(line, 0, NULL);
    assert_non_null(v);
    json_decref(v);
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static void text_for_people(void **state)
{
    char line[4096], large[3000];
    (void)state;
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    log_format(LOG_FORMAT_TEXT);
    begin_capture();
    LOG_WARN("odd", log_str("url", "http://x/"), log_str("err", "a b\x1b[31m"),
             log_str("big", large));
    end_capture();
    assert_non_null(fgets(line, sizeof line, file));
    assert_non_null(strstr(line, " warn  odd url=http://x/ err=\"a b\\u001b[31m\" big=xxx"));
    assert_null(strchr(line, '\x1b'));
    assert_true(strlen(line) < LOG_VALUE_MAX + 200);
    fclose(file);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        LOG_INFO("line", log_str("worker", arg), log_i64("i", i));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    static char *const names[THREADS] = {"one", "two", "three", "four"};
    pthread_t threads[THREADS];
    char line[4096];
    int n = 0;
    (void)state;
    log_format(LOG_FORMAT_JSON);
    begin_capture();
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    end_capture();
    for (; fgets(line, sizeof line, file); n++) {
        json_t *v = json_loads(line, 0, NULL);
        if (!v)
            fail_msg("not a line: %s", line);
        json_decref(v);
    }
    assert_int_equal(n, THREADS * LINES);
    fclose(file);
}

static void levels(void **state)
{
    enum log_level level;
    (void)state;
    assert_true(log_level_parse("warn", &level));
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_false(log_level_parse("loud", &level));
    log_init(LOG_LEVEL_OFF);
    assert_false(log_enabled(LOG_LEVEL_ERROR));
    log_init(LOG_LEVEL_WARN);
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_true(log_enabled(LOG_LEVEL_WARN));
}

static void times_as_text(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {INT64_C(1795162530123), "2026-11-20T08:15:30.123Z"},
        {INT64_C(-62135596800000), "0001-01-01T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char text[CLOCK_TEXT_LEN];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clock_rfc3339(rows[i].ms, text);
        assert_string_equal(text, rows[i].want);
    }
    uint64_t before = clock_us();
    assert_true(clock_us() >= before);
    assert_true(clock_wall_ms() > INT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_json),
        cmocka_unit_test(text_for_people),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(levels),
        cmocka_unit_test(times_as_text),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
