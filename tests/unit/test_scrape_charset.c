/* The bytes of pages as UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/scrape/charset.h"

#define BYTES(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static void test_decode(void **state)
{
    static const struct {
        const char *name;
        struct span bytes;
        const char *content_type;
        struct span want;
    } cases[] = {
        {"plain", BYTES("abc"), "text/html", BYTES("abc")},
        {"empty", BYTES(""), "", BYTES("")},
        {"utf-8 without a word", BYTES("caf\xC3\xA9"), "", BYTES("caf\xC3\xA9")},
        {"not utf-8 without a word", BYTES("caf\xE9 \x80"), "", BYTES("caf\xC3\xA9 \xE2\x82\xAC")},
        {"header", BYTES("\xE9"), "text/html; charset=ISO-8859-1", BYTES("\xC3\xA9")},
        {"header in quotes", BYTES("\xA4"), "text/html; charset=\"iso-8859-15\"",
         BYTES("\xE2\x82\xAC")},
        {"header before meta", BYTES("<meta charset=utf-8>\xE9"), "text/html;charset=latin1",
         BYTES("<meta charset=utf-8>\xC3\xA9")},
        {"unknown charset", BYTES("\xC3\xA9"), "text/html; charset=x-none", BYTES("\xC3\xA9")},
        {"meta", BYTES("<meta charset=windows-1251>\xCF"), "text/html",
         BYTES("<meta charset=windows-1251>\xD0\x9F")},
        {"meta http-equiv",
         BYTES("<meta http-equiv=content-type content='text/html; charset=koi8-r'>\xF0"), "",
         BYTES("<meta http-equiv=content-type content='text/html; charset=koi8-r'>\xD0\x9F")},
        {"meta that cannot be true", BYTES("<meta charset=utf-16>\xC3\xA9"), "",
         BYTES("<meta charset=utf-16>\xC3\xA9")},
        {"mark before header", BYTES("\xEF\xBB\xBF\xC3\xA9"), "text/html; charset=latin1",
         BYTES("\xC3\xA9")},
        {"utf-16 by mark", BYTES("\xFF\xFE\x41\x00\xE9\x00"), "", BYTES("A\xC3\xA9")},
        {"utf-16 big", BYTES("\xFE\xFF\x00\x41\x20\xAC"), "", BYTES("A\xE2\x82\xAC")},
        {"shift_jis", BYTES("\x93\xFA"), "text/html; charset=Shift_JIS", BYTES("\xE6\x97\xA5")},
        {"gb18030", BYTES("\xD6\xD0"), "text/html; charset=gb2312", BYTES("\xE4\xB8\xAD")},
        {"wrong utf-8",
         BYTES("a\xFF"
               "b\xC3"),
         "text/html; charset=utf-8",
         BYTES("a\xEF\xBF\xBD"
               "b\xEF\xBF\xBD")},
        {"surrogate in utf-8", BYTES("\xED\xA0\x80"), "text/html; charset=utf-8",
         BYTES("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")},
        {"nul", BYTES("a\0b"), "text/html; charset=utf-8", BYTES("ab")},
    };
    struct charset_ctx *c = charset_ctx_new();
    (void)state;
    assert_non_null(c);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span got = {0};
        assert_true(charset_decode(c, cases[i].bytes, span_str(cases[i].content_type), &got));
        if (!span_eq(got, cases[i].want))
            fail_msg("%s: got %.*s", cases[i].name, (int)got.len, got.p);
    }
    charset_ctx_free(c);
}

/* Longer than the decoder's buffer of characters. */
static void test_long(void **state)
{
    enum { N = 100001 };
    struct charset_ctx *c = charset_ctx_new();
    char *bytes = malloc(N);
    struct span got = {0};
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 0xE9, N);
    assert_true(
        charset_decode(c, (struct span){bytes, N}, SPAN("text/html; charset=latin1"), &got));
    assert_int_equal(got.len, 2 * N);
    for (size_t i = 0; i < got.len; i += 2)
        assert_memory_equal(got.p + i, "\xC3\xA9", 2);
    charset_ctx_trim(c, 1000);
    assert_true(charset_decode(c, SPAN("\xE9"), SPAN("text/html; charset=latin1"), &got));
    assert_true(span_eq(got, SPAN("\xC3\xA9")));
    free(bytes);
    charset_ctx_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
