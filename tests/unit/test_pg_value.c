/* Cells as fields of binary COPY, against bytes that PostgreSQL itself gives for the same values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "worker/sinks/pg_value.h"

enum { NO_TYPMOD = -1 };
#define NUMERIC(precision, scale) (((precision) << 16 | (scale)) + 4)
#define CHARS(n) ((n) + 4)

/* The field in hexadecimal, its length first; or "-" and the reason. */
static const char *field(const struct batch *b, uint32_t type, int32_t typmod)
{
    static char out[1000];
    char why[PG_VALUE_WHY_LEN] = "";
    struct buf bytes = {0};
    buf_str(&bytes, "kept");
    if (!pg_value_put(&bytes, b, 0, 0, type, typmod, why)) {
        assert_int_equal(bytes.len, 4); /* as it was */
        assert_true(why[0]);
        snprintf(out, sizeof(out), "- %s", why);
    } else {
        assert_true(bytes.len < sizeof(out) / 2);
        for (size_t i = 4; i < bytes.len; i++)
            snprintf(out + 2 * (i - 4), 3, "%02x", bytes.data[i]);
    }
    buf_done(&bytes);
    return out;
}

static struct batch *one(enum col_type type)
{
    struct batch *b = batch_new();
    assert_int_equal(batch_add_column(b, "c", type), ERR_OK);
    return b;
}

static const char *of_text(enum col_type from, struct span text, uint32_t type, int32_t typmod)
{
    struct batch *b = one(from);
    batch_text(b, 0, text);
    batch_row_end(b);
    const char *got = field(b, type, typmod);
    batch_free(b);
    return got;
}

static const char *of_i64(enum col_type from, int64_t v, uint32_t type)
{
    struct batch *b = one(from);
    batch_i64(b, 0, v);
    batch_row_end(b);
    const char *got = field(b, type, NO_TYPMOD);
    batch_free(b);
    return got;
}

static const char *of_f64(double v, uint32_t type)
{
    struct batch *b = one(COL_FLOAT64);
    batch_f64(b, 0, v);
    batch_row_end(b);
    const char *got = field(b, type, NO_TYPMOD);
    batch_free(b);
    return got;
}

/* want "-": it does not fit, whatever the words. */
static void check(const char *what, const char *got, const char *want)
{
    if (strcmp(want, "-") == 0 ? got[0] != '-' : strcmp(got, want) != 0)
        fail_msg("%s: got %s, want %s", what, got, want);
}

static void test_integers(void **state UNUSED)
{
    static const struct {
        int64_t v;
        uint32_t type;
        const char *want;
    } cases[] = {
        {1, PG_INT2, "000000020001"},
        {-32768, PG_INT2, "000000028000"},
        {32768, PG_INT2, "-"},
        {-32769, PG_INT2, "-"},
        {INT32_MAX, PG_INT4, "000000047fffffff"},
        {INT32_MIN, PG_INT4, "0000000480000000"},
        {INT64_C(2147483648), PG_INT4, "-"},
        {-1, PG_INT8, "00000008ffffffffffffffff"},
        {INT64_MIN, PG_INT8, "000000088000000000000000"},
        {1, PG_FLOAT8, "000000083ff0000000000000"},
        {-2, PG_FLOAT4, "00000004c0000000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char what[40];
        snprintf(what, sizeof(what), "%lld as %u", (long long)cases[i].v, cases[i].type);
        check(what, of_i64(COL_INT64, cases[i].v, cases[i].type), cases[i].want);
    }
    check("12.00", of_text(COL_DECIMAL, SPAN("12.00"), PG_INT4, NO_TYPMOD), "000000040000000c");
    check("12.50", of_text(COL_DECIMAL, SPAN("12.50"), PG_INT4, NO_TYPMOD), "-");
    check("2^63", of_text(COL_DECIMAL, SPAN("9223372036854775808"), PG_INT8, NO_TYPMOD), "-");
    check("-2^63", of_text(COL_DECIMAL, SPAN("-9223372036854775808"), PG_INT8, NO_TYPMOD),
          "000000088000000000000000");
}

static void test_floats(void **state UNUSED)
{
    check("1.5", of_f64(1.5, PG_FLOAT8), "000000083ff8000000000000");
    check("-inf", of_f64(-INFINITY, PG_FLOAT8), "00000008fff0000000000000");
    check("1.5 real", of_f64(1.5, PG_FLOAT4), "000000043fc00000");
    check("1e300 real", of_f64(1e300, PG_FLOAT4), "-");
    check("inf real", of_f64(INFINITY, PG_FLOAT4), "000000047f800000");
    check("0.1 numeric", of_f64(0.1, PG_NUMERIC), "0000000a0001ffff0000000103e8");
    check("nan numeric", of_f64(NAN, PG_NUMERIC), "0000000800000000c0000000");
}

/* select encode(numeric_send(...), 'hex'): digits, weight, sign, scale, then digits of base 10,000. */
static void test_numerics(void **state UNUSED)
{
    static const struct {
        const char *text;
        int32_t typmod;
        const char *want;
    } cases[] = {
        {"0", NO_TYPMOD, "000000080000000000000000"},
        {"0.000", NO_TYPMOD, "000000080000000000000003"},
        {"-0.00", NO_TYPMOD, "000000080000000000000002"},
        {"1", NO_TYPMOD, "0000000a00010000000000000001"},
        {"-1.5", NO_TYPMOD,
         "0000000c0002000040000001000113"
         "88"},
        {"10000", NO_TYPMOD, "0000000a00010001000000000001"},
        {"12345.678", NO_TYPMOD,
         "0000000e00030001000000030001"
         "0929"
         "1a7c"},
        {"0.0001", NO_TYPMOD, "0000000a0001ffff000000040001"},
        {"0.00001", NO_TYPMOD, "0000000a0001fffe0000000503e8"},
        {"0007.10", NO_TYPMOD,
         "0000000c000200000000000200070"
         "3e8"},
        {"100000000.0001", NO_TYPMOD,
         "0000001000040002000000040001"
         "0000"
         "0000"
         "0001"},
        {"999.99", NUMERIC(5, 2),
         "0000000c000200000000000203e7"
         "26ac"},
        {"1000.00", NUMERIC(5, 2), "-"},
        {"1.2.3", NO_TYPMOD, "-"},
        {"", NO_TYPMOD, "-"},
        {"-", NO_TYPMOD, "-"},
        {"12a", NO_TYPMOD, "-"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(cases[i].text,
              of_text(COL_DECIMAL, span_str(cases[i].text), PG_NUMERIC, cases[i].typmod),
              cases[i].want);
}

static void test_texts(void **state UNUSED)
{
    check("empty", of_text(COL_TEXT, SPAN(""), PG_TEXT, NO_TYPMOD), "00000000");
    check("euro", of_text(COL_TEXT, SPAN("\xE2\x82\xAC"), PG_TEXT, NO_TYPMOD), "00000003e282ac");
    check("NUL", of_text(COL_TEXT, SPAN("a\0b"), PG_TEXT, NO_TYPMOD), "-");
    check("cut UTF-8",
          of_text(COL_TEXT, SPAN("long enough for a word \xE2\x82"), PG_TEXT, NO_TYPMOD), "-");
    check("a surrogate", of_text(COL_TEXT, SPAN("\xED\xA0\x80"), PG_TEXT, NO_TYPMOD), "-");
    check("two letters of two", of_text(COL_TEXT, SPAN("\xC3\xA4\xC3\xB6"), PG_VARCHAR, CHARS(2)),
          "00000004c3a4c3b6");
    check("three letters of two", of_text(COL_TEXT, SPAN("abc"), PG_VARCHAR, CHARS(2)), "-");
    check("json", of_text(COL_JSON, SPAN("{\"a\":1}"), PG_JSON, NO_TYPMOD),
          "000000077b2261223a317d");
    check("jsonb", of_text(COL_JSON, SPAN("[]"), PG_JSONB, NO_TYPMOD), "00000003015b5d");
    check("no json", of_text(COL_TEXT, SPAN("{a}"), PG_JSONB, NO_TYPMOD), "-");
    check("NUL in jsonb", of_text(COL_JSON, SPAN("\"\\u0000\""), PG_JSONB, NO_TYPMOD), "-");
    check("uuid",
          of_text(COL_TEXT, SPAN("00112233-4455-6677-8899-AABBCCDDEEFF"), PG_UUID, NO_TYPMOD),
          "0000001000112233445566778899aabbccddeeff");
    check("no uuid",
          of_text(COL_TEXT, SPAN("00112233-4455-6677-8899-AABBCCDDEEF"), PG_UUID, NO_TYPMOD), "-");
}

/* array_recv: dimensions, nulls, element type, length, lower bound; then each with its length. */
static void test_arrays(void **state UNUSED)
{
    check("none", of_text(COL_JSON, SPAN("[]"), PG_TEXT_ARRAY, NO_TYPMOD),
          "0000000c000000000000000000000019");
    check("two", of_text(COL_JSON, SPAN("[\"a\", \"\\u00e4\"]"), PG_TEXT_ARRAY, NO_TYPMOD),
          "0000001f"
          "00000001"
          "00000000"
          "00000019"
          "00000002"
          "00000001"
          "00000001"
          "61"
          "00000002"
          "c3a4");
    check("a null", of_text(COL_JSON, SPAN("[null]"), PG_TEXT_ARRAY, NO_TYPMOD),
          "00000018"
          "00000001"
          "00000001"
          "00000019"
          "00000001"
          "00000001"
          "ffffffff");
    check("a number as its text", of_text(COL_JSON, SPAN("[1]"), PG_TEXT_ARRAY, NO_TYPMOD),
          "00000019"
          "00000001"
          "00000000"
          "00000019"
          "00000001"
          "00000001"
          "00000001"
          "31");
    check("no json", of_text(COL_TEXT, SPAN("[\"a\""), PG_TEXT_ARRAY, NO_TYPMOD), "-");
    check("a NUL in it", of_text(COL_JSON, SPAN("[\"\\u0000\"]"), PG_TEXT_ARRAY, NO_TYPMOD), "-");
    check("no array", of_text(COL_JSON, SPAN("{}"), PG_TEXT_ARRAY, NO_TYPMOD), "-");
}

static void test_times(void **state UNUSED)
{
    check("2000-01-01", of_i64(COL_DATE, 10957, PG_DATE), "0000000400000000");
    check("1999-12-31", of_i64(COL_DATE, 10956, PG_DATE), "00000004ffffffff");
    check("first day", of_i64(COL_DATE, 10957 - 2451545, PG_DATE), "00000004ffda97a7");
    check("before it", of_i64(COL_DATE, 10957 - 2451546, PG_DATE), "-");
    check("5874897-12-31", of_i64(COL_DATE, INT64_C(2145042905), PG_DATE), "000000047fda970c");
    check("after the last", of_i64(COL_DATE, INT64_C(2145042906), PG_DATE), "-");
    check("far away", of_i64(COL_DATE, INT64_MIN, PG_DATE), "-");
    check("2000-01-01 00:00", of_i64(COL_TIMESTAMP, INT64_C(946684800000000), PG_TIMESTAMPTZ),
          "000000080000000000000000");
    check("1970", of_i64(COL_TIMESTAMP, 0, PG_TIMESTAMP), "00000008fffca2fec4c82000");
    check("the last of a cell", of_i64(COL_TIMESTAMP, INT64_MAX, PG_TIMESTAMPTZ),
          "000000087ffca2fec4c81fff");
    check("a day after all times", of_i64(COL_DATE, 200000000, PG_TIMESTAMPTZ), "-");
    check("before all times", of_i64(COL_TIMESTAMP, INT64_MIN, PG_TIMESTAMPTZ), "-");
    check("a day as a time", of_i64(COL_DATE, 10958, PG_TIMESTAMPTZ), "00000008000000141dd76000");
    check("text", of_text(COL_TEXT, SPAN("2000-01-02"), PG_DATE, NO_TYPMOD), "0000000400000001");
    check("no leap year", of_text(COL_TEXT, SPAN("2001-02-29"), PG_DATE, NO_TYPMOD), "-");
    check("a zone",
          of_text(COL_TEXT, SPAN("2000-01-01T02:00:00.000001+02:00"), PG_TIMESTAMPTZ, NO_TYPMOD),
          "000000080000000000000001");
    check("month 13", of_text(COL_TEXT, SPAN("2000-13-01T00:00:00Z"), PG_TIMESTAMPTZ, NO_TYPMOD),
          "-");
}

static void test_booleans(void **state UNUSED)
{
    struct batch *b = one(COL_BOOL);
    batch_bool(b, 0, true);
    batch_row_end(b);
    check("true", field(b, PG_BOOL, NO_TYPMOD), "0000000101");
    batch_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers), cmocka_unit_test(test_floats),
        cmocka_unit_test(test_numerics), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_arrays),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_booleans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
