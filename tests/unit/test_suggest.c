/* "Did you mean": what is near, and what is not. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/suggest.h"

static void distances(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned want;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "abc", 0},
        {"abc", "abd", 1},
        {"abc", "ab", 1},
        {"abc", "acb", 1},
        {"kitten", "sitting", 3},
        {"ca", "abc", 3},
        {"priority", "prioritty", 1},
        {"A", "a", 1},
    };
    char long_word[SUGGEST_WORD_MAX + 2];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(suggest_distance(rows[i].a, rows[i].b), rows[i].want);
        assert_int_equal(suggest_distance(rows[i].b, rows[i].a), rows[i].want);
    }
    memset(long_word, 'x', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    assert_true(suggest_distance(long_word, "x") == UINT_MAX);
    long_word[SUGGEST_WORD_MAX] = '\0';
    assert_int_equal(suggest_distance(long_word, ""), SUGGEST_WORD_MAX);
}

static void nearest(void **state)
{
    static const char *const words[] = {"url", "priority", "retry", "stages", "sinks"};
    static const char *const columns[] = {"x1", "Name", " ID "};
    char text[SUGGEST_TEXT_LEN];
    (void)state;
    assert_string_equal(suggest_nearest("urls", words, ARRAY_LEN(words)), "url");
    assert_string_equal(suggest_nearest("stage", words, ARRAY_LEN(words)), "stages");
    assert_string_equal(suggest_nearest("rtery", words, ARRAY_LEN(words)), "retry");
    assert_string_equal(suggest_nearest("URL", words, ARRAY_LEN(words)), "url");
    assert_string_equal(suggest_nearest("nam", columns, ARRAY_LEN(columns)), "Name");
    assert_string_equal(suggest_nearest("id", columns, ARRAY_LEN(columns)), " ID ");
    assert_string_equal(suggest_nearest("NAME", columns, ARRAY_LEN(columns)), "Name");
    assert_null(suggest_nearest("colour", words, ARRAY_LEN(words)));
    assert_null(suggest_nearest("x", words, ARRAY_LEN(words)));
    assert_null(suggest_nearest("url", words, 0));
    assert_string_equal(suggest_text("sink", words, ARRAY_LEN(words), text),
                        " (did you mean \"sinks\"?)");
    assert_string_equal(suggest_text("zzz", words, ARRAY_LEN(words), text), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
