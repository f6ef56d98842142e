/* Texts of pages as typed values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/scrape/text_lower.h"
#include "worker/scrape/value.h"

/* The value as JSON, or "-" when the text is not of the type. */
static const char *read_as(enum value_type type, const char *text, char mark, const char *format)
{
    static char out[400];
    struct value_options options = {mark, format};
    struct value v;
    struct buf json = {0};
    if (!value_parse(type, &options, span_str(text), &v))
        return "-";
    value_write_json(&v, &json);
    snprintf(out, sizeof out, "%.*s", (int)json.len, (const char *)json.data);
    buf_done(&json);
    return out;
}

static void check(enum value_type type, const char *text, char mark, const char *format,
                  const char *want)
{
    const char *got = read_as(type, text, mark, format);
    if (strcmp(got, want) != 0)
        fail_msg("%s \"%s\": got %s, want %s", value_type_names[type], text, got, want);
}

static void test_numbers(void **state)
{
    static const struct {
        enum value_type type;
        const char *text;
        char mark;
        const char *want;
    } cases[] = {
        {VALUE_INT, "42", 0, "42"},
        {VALUE_INT, " -7 ", 0, "-7"},
        {VALUE_INT, "1,234,567", 0, "1234567"},
        {VALUE_INT, "1.234.567", 0, "1234567"},
        {VALUE_INT,
         "1 234\xC2\xA0"
         "567",
         0, "1234567"},
        {VALUE_INT, "12.0", 0, "12"},
        {VALUE_INT, "12.5", 0, "-"},
        {VALUE_INT, "9223372036854775807", 0, "9223372036854775807"},
        {VALUE_INT, "-9223372036854775808", 0, "-9223372036854775808"},
        {VALUE_INT, "9223372036854775808", 0, "-"},
        {VALUE_INT, "12 items", 0, "-"},
        {VALUE_INT, "1,23,456", 0, "-"},
        {VALUE_INT, "", 0, "-"},
        {VALUE_INT, "-", 0, "-"},
        {VALUE_DECIMAL, "1,234.50", 0, "1234.50"},
        {VALUE_DECIMAL, "1.234,50", 0, "1234.50"},
        {VALUE_DECIMAL, "1,234", 0, "1234"},
        {VALUE_DECIMAL, "1,234", ',', "1.234"},
        {VALUE_DECIMAL, "1.234", 0, "1.234"},
        {VALUE_DECIMAL, "1.234", ',', "1234"},
        {VALUE_DECIMAL, "0,234", 0, "0.234"},
        {VALUE_DECIMAL, "12,5", 0, "12.5"},
        {VALUE_DECIMAL, "$ 19.99", 0, "19.99"},
        {VALUE_DECIMAL, "19,99 €", 0, "19.99"},
        {VALUE_DECIMAL, "-£5", 0, "-5"},
        {VALUE_DECIMAL, "£-5", 0, "-5"},
        {VALUE_DECIMAL,
         "\xE2\x88\x92"
         "3.10",
         0, "-3.10"},
        {VALUE_DECIMAL, "1'000.25", 0, "1000.25"},
        {VALUE_DECIMAL, ".5", 0, "0.5"},
        {VALUE_DECIMAL, "007", 0, "7"},
        {VALUE_DECIMAL, "-0.00", 0, "0.00"},
        {VALUE_DECIMAL, "1.2.3", 0, "-"},
        {VALUE_DECIMAL, "1e5", 0, "-"},
        {VALUE_DECIMAL, "NaN", 0, "-"},
        {VALUE_DECIMAL, ",", 0, "-"},
        {VALUE_FLOAT, "6.5e2", 0, "650"},
        {VALUE_FLOAT, "1.5E-1", 0, "0.14999999999999999"},
        {VALUE_FLOAT, "2,5", 0, "2.5"},
        {VALUE_FLOAT, "1e999", 0, "-"},
        {VALUE_FLOAT, "1e", 0, "-"},
        {VALUE_FLOAT, "inf", 0, "-"},
        {VALUE_BOOL, "Yes", 0, "true"},
        {VALUE_BOOL, " false ", 0, "false"},
        {VALUE_BOOL, "0", 0, "false"},
        {VALUE_BOOL, "maybe", 0, "-"},
        {VALUE_STR, "a\"b", 0, "\"a\\\"b\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(cases[i].type, cases[i].text, cases[i].mark, NULL, cases[i].want);
    char digits[400];
    memset(digits, '9', sizeof digits - 1);
    digits[sizeof digits - 1] = 0;
    check(VALUE_DECIMAL, digits, 0, NULL, "-"); /* longer than VALUE_NUMBER_BYTES_MAX */
}

static void test_dates(void **state)
{
    static const struct {
        enum value_type type;
        const char *text, *format, *want;
    } cases[] = {
        {VALUE_DATE, "1994-11-06", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "1994/11/6", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "19941106", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "06.11.1994", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "6 November 1994", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "6. Nov. 1994", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "Nov 6, 1994", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "November 6th 1994", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "Sun, 06 Nov 1994 08:49:37 GMT", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "1994-11-06T23:59:59-05:00", NULL, "\"1994-11-06\""},
        {VALUE_DATE, "2000-02-29", NULL, "\"2000-02-29\""},
        {VALUE_DATE, "1900-02-29", NULL, "-"},
        {VALUE_DATE, "2001-13-01", NULL, "-"},
        {VALUE_DATE, "06/11/1994", NULL, "-"}, /* day or month first? it needs a format */
        {VALUE_DATE, "06/11/1994", "%d/%m/%Y", "\"1994-11-06\""},
        {VALUE_DATE, "06/11/1994", "%m/%d/%Y", "\"1994-06-11\""},
        {VALUE_DATE, "1969-12-31", NULL, "\"1969-12-31\""},
        {VALUE_DATE, "-1", "unix", "\"1969-12-31\""},
        {VALUE_DATETIME, "1994-11-06T08:49:37Z", NULL, "\"1994-11-06T08:49:37Z\""},
        {VALUE_DATETIME, "1994-11-06T08:49:37+01:00", NULL, "\"1994-11-06T07:49:37Z\""},
        {VALUE_DATETIME, "1994-11-06 08:49", NULL, "\"1994-11-06T08:49:00Z\""},
        {VALUE_DATETIME, "1994-11-06 08:49:37.25", NULL, "\"1994-11-06T08:49:37.250000Z\""},
        {VALUE_DATETIME, "Nov 6, 1994, 3:05 PM", NULL, "\"1994-11-06T15:05:00Z\""},
        {VALUE_DATETIME, "Nov 6, 1994 12:05 am", NULL, "\"1994-11-06T00:05:00Z\""},
        {VALUE_DATETIME, "Nov 6, 1994 13:05 PM", NULL, "-"},
        {VALUE_DATETIME, "1994-11-06T25:00:00Z", NULL, "-"},
        {VALUE_DATETIME, "784111777", "unix", "\"1994-11-06T08:49:37Z\""},
        {VALUE_DATETIME, "784111777250", "unix_ms", "\"1994-11-06T08:49:37.250000Z\""},
        {VALUE_DATETIME, "at 8.49 on 06-11-94", "at %H.%M on %d-%m-%y", "\"1994-11-06T08:49:00Z\""},
        {VALUE_DATETIME, "yesterday", NULL, "-"},
        {VALUE_DATETIME, "1994-11-06T08:49:37Zjunk", NULL, "-"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(cases[i].type, cases[i].text, 0, cases[i].format, cases[i].want);
}

static void test_formats(void **state)
{
    size_t at = 0;
    (void)state;
    assert_true(value_format_ok("%Y-%m-%dT%H:%M:%S%z 100%%", &at));
    assert_true(value_format_ok("unix", &at));
    assert_false(value_format_ok("%Y %q", &at));
    assert_int_equal(at, 4);
    assert_false(value_format_ok("%Y %", &at));
}

static void test_strip(void **state)
{
    static const char *const cases[][2] = {
        {"  a b\n", "a b"}, {"\xC2\xA0x\xE2\x80\x83", "x"}, {"", ""}, {" \t ", ""}, {"é", "é"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_true(span_eq(value_strip(span_str(cases[i][0])), span_str(cases[i][1])));
}

static void test_lower(void **state)
{
    static const char *const cases[][2] = {{"Hello WORLD 1", "hello world 1"},
                                           {"ÀÉÖØÞ×ß", "àéöøþ×ß"},
                                           {"ŁŻŹĀŸ", "łżźāÿ"},
                                           {"ΑΩΣΆ", "αωσά"},
                                           {"ПРИВЕТ Ёж Ђ", "привет ёж ђ"},
                                           {"日本語 A", "日本語 a"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[100];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        text_lower(text, strlen(text));
        assert_string_equal(text, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_dates),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_strip),
        cmocka_unit_test(test_lower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
