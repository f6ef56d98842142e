/* Buffers: growth, limits that stick, JSON texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buf.h"

static void grows_and_keeps_what_was_there(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    for (unsigned i = 0; i < 100000; i++)
        buf_byte(&b, (uint8_t)(i * 7));
    assert_true(buf_ok(&b));
    assert_int_equal(b.len, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_true(b.cap >= 100000);
    buf_done(&b);
    assert_null(b.data);
    buf_done(NULL);
}

static void a_limit_sticks_until_cleared(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 10);
    buf_append(&b, "0123456789", 10);
    assert_true(buf_ok(&b));
    buf_byte(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 10);
    buf_clear(&b);
    assert_true(buf_ok(&b));
    buf_append(&b, "01234567890", 11); /* all or nothing */
    assert_false(buf_ok(&b));
    buf_str(&b, "a"); /* would fit, but the failure sticks */
    assert_int_equal(b.len, 0);
    assert_null(buf_take_str(&b));
    buf_done(&b);
}

static void a_size_that_cannot_be_fails(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    buf_byte(&b, 1);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_false(buf_ok(&b));
    buf_done(&b);
}

static void printf_and_take(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    buf_printf(&b, "%d-%s", 42, "x");
    buf_append(&b, NULL, 0);
    char *s = buf_take_str(&b);
    assert_string_equal(s, "42-x");
    assert_int_equal(b.len, 0);
    free(s);
    s = buf_take_str(&b);
    assert_string_equal(s, "");
    free(s);
    buf_done(&b);
}

static void json_texts(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *want;
    } rows[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"\"\\\n\r\t\b", 6, "\"\\\"\\\\\\n\\r\\t\\u0008\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\x7f", 1, "\"\x7f\""},
        {"caf\xc3\xa9", 5, "\"caf\xc3\xa9\""},
        {"\xff", 1, "\"\xEF\xBF\xBD\""},
        {"\xc3", 1, "\"\xEF\xBF\xBD\""},
        {"a\xed\xa0\x80z", 5, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\""},
        {"\xf0\x9f\x9a\x9c", 4, "\"\xf0\x9f\x9a\x9c\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;
        buf_init(&b, 0);
        buf_json_str(&b, (struct span){rows[i].in, rows[i].len});
        char *s = buf_take_str(&b);
        assert_string_equal(s, rows[i].want);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_what_was_there),
        cmocka_unit_test(a_limit_sticks_until_cleared),
        cmocka_unit_test(a_size_that_cannot_be_fails),
        cmocka_unit_test(printf_and_take),
        cmocka_unit_test(json_texts),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
