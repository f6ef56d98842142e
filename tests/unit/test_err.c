/* The table of errors: numbers that never change, text for everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/err.h"

static void every_row_is_complete(void **state)
{
    static const enum err codes[] = {
#define CODE(name, number, class, text) ERR_##name,
        ERR_TABLE(CODE)
#undef CODE
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_string_not_equal(err_name(codes[i]), "UNKNOWN");
        assert_true(strlen(err_text(codes[i])) > 3);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(codes[i], codes[j]);
    }
}

/* They travel on the wire and are stored: an old peer must understand them. */
static void numbers_do_not_change(void **state)
{
    (void)state;
    assert_int_equal(ERR_OK, 0);
    assert_int_equal(ERR_INVALID_SPEC, 10);
    assert_int_equal(ERR_NOT_FOUND, 12);
    assert_int_equal(ERR_DUPLICATE_JOB, 13);
    assert_int_equal(ERR_QUEUE_FULL, 20);
    assert_int_equal(ERR_UNREACHABLE, 21);
    assert_int_equal(ERR_AUTH, 30);
    assert_int_equal(ERR_PROTOCOL_MISMATCH, 31);
    assert_int_equal(ERR_STORE_FULL, 51);
    assert_int_equal(ERR_CONFIG, 60);
}

static void classes_tell_what_to_do(void **state)
{
    (void)state;
    assert_int_equal(err_class(ERR_QUEUE_FULL), ERR_CLASS_RETRY);
    assert_int_equal(err_class(ERR_AUTH), ERR_CLASS_REJECT);
    assert_int_equal(err_class(ERR_STORE), ERR_CLASS_FATAL);
    assert_int_equal(err_class((enum err)9999), ERR_CLASS_BUG);
    assert_string_equal(err_name((enum err)9999), "UNKNOWN");
    assert_non_null(err_text((enum err)9999));
}

static void details_are_cut_not_overrun(void **state)
{
    struct error e = {0};
    char text[2000];
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(error_set(&e, ERR_IO, "%s", text), ERR_IO);
    assert_int_equal(e.code, ERR_IO);
    assert_int_equal(strlen(e.detail), sizeof e.detail - 1);
    assert_int_equal(error_set(NULL, ERR_LIMIT, "nobody asks"), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(numbers_do_not_change),
        cmocka_unit_test(classes_tell_what_to_do),
        cmocka_unit_test(details_are_cut_not_overrun),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
