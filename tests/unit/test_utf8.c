/* UTF-8 as RFC 3629 says, checked against a decoder that works otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/utf8.h"

/* Writes a code point without any check; its length. */
static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1;) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(marks[n] | c);
    return n;
}

static void every_code_point(void **state)
{
    char text[4];
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        bool valid = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
        size_t n = encode(c, text);
        if (utf8_sequence(text, n) != (valid ? n : 0))
            fail_msg("U+%04X", (unsigned)c);
        if (n > 1 && utf8_sequence(text, n - 1) != 0)
            fail_msg("U+%04X, cut", (unsigned)c);
    }
}

static void malformed(void **state)
{
    static const struct {
        const char *text;
        size_t len, valid;
    } rows[] = {
        {"\x80", 1, 0},
        {"\xbf", 1, 0},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xe0\x80\x80", 3, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xf0\x80\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xff", 1, 0},
        {"\xc3(", 2, 0},
        {"\xe2\x82(", 3, 0},
        {"ab\xe2\x82", 4, 2},
        {"12345678\xff", 9, 8},
        {"1234567\xff", 8, 7},
        {"12345678abcdefg\xc3", 16, 15},
        {"12345678", 8, 8},
        {"", 0, 0},
        {"\0a", 2, 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (utf8_valid_prefix((struct span){rows[i].text, rows[i].len}) != rows[i].valid)
            fail_msg("row %zu", i);
    assert_int_equal(utf8_sequence("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
