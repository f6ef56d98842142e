/* Cells as text, and rows as CSV. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "common/batch_csv.h"
#include "common/cell.h"

static void check_cell(const struct batch *b, size_t column, uint32_t row, const char *want)
{
    struct buf scratch;
    buf_init(&scratch, 0);
    const struct span text = cell_text(b, column, row, &scratch);
    if (want ? !text.p || !span_eq(text, span_str(want)) : text.p != NULL)
        fail_msg("column %zu row %u: \"%.*s\" and not \"%s\"", column, row, (int)text.len,
                 text.p ? text.p : "", want ? want : "NULL");
    buf_done(&scratch);
}

static void numbers(void **state)
{
    static const struct {
        int64_t i;
        const char *text;
    } ints[] = {{0, "0"},
                {-1, "-1"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    const struct {
        double d;
        const char *text;
    } doubles[] = {{0.1, "0.1"},
                   {1e300, "1e+300"},
                   {-2, "-2"},
                   {(double)NAN, "NaN"},
                   {(double)INFINITY, "Infinity"},
                   {-(double)INFINITY, "-Infinity"}};
    struct batch *b = batch_new();
    (void)state;
    assert_int_equal(batch_add_column(b, "i", COL_INT64), ERR_OK);
    assert_int_equal(batch_add_column(b, "d", COL_FLOAT64), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        batch_i64(b, 0, ints[i % ARRAY_LEN(ints)].i);
        batch_f64(b, 1, doubles[i].d);
        batch_row_end(b);
    }
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        check_cell(b, 0, (uint32_t)i, ints[i % ARRAY_LEN(ints)].text);
        check_cell(b, 1, (uint32_t)i, doubles[i].text);
    }
    batch_free(b);
}

static void times_and_null(void **state)
{
    struct batch *b = batch_new();
    (void)state;
    assert_int_equal(batch_add_column(b, "day", COL_DATE), ERR_OK);
    assert_int_equal(batch_add_column(b, "at", COL_TIMESTAMP), ERR_OK);
    batch_i64(b, 0, 20000);
    batch_i64(b, 1, -1);
    batch_row_end(b);
    batch_i64(b, 0, INT64_MAX); /* no calendar has it */
    batch_row_end(b);
    check_cell(b, 0, 0, "2024-10-04");
    check_cell(b, 1, 0, "1969-12-31T23:59:59.999999Z");
    check_cell(b, 0, 1, NULL);
    check_cell(b, 1, 1, NULL);
    batch_free(b);
}

static void quoting(void **state)
{
    static const struct {
        const char *text, *field; /* NULL: NULL */
    } rows[] = {
        {NULL, ""},
        {"", "\"\""},
        {"plain text", "plain text"},
        {"a,b", "\"a,b\""},
        {"\"", "\"\"\"\""},
        {"say \"no\" twice", "\"say \"\"no\"\" twice\""},
        {"two\nlines", "\"two\nlines\""},
        {"cr\r", "\"cr\r\""},
        {"\\.", "\"\\.\""},
        {"\\.x", "\\.x"},
        {"grüße", "grüße"},
    };
    struct batch *b = batch_new();
    struct buf out, scratch;
    (void)state;
    buf_init(&out, 0);
    buf_init(&scratch, 0);
    assert_int_equal(batch_add_column(b, "first, of \"two\"", COL_TEXT), ERR_OK);
    assert_int_equal(batch_add_column(b, "b", COL_BOOL), ERR_OK);
    batch_csv_header(b, BATCH_CSV_RFC4180, &out);
    assert_true(span_eq(buf_span(&out), SPAN("\"first, of \"\"two\"\"\",b\r\n")));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[100];
        if (rows[i].text)
            batch_text(b, 0, span_str(rows[i].text));
        batch_bool(b, 1, true);
        batch_row_end(b);
        buf_clear(&out);
        batch_csv_row(b, (uint32_t)i, BATCH_CSV_RFC4180, &scratch, &out);
        snprintf(want, sizeof(want), "%s,true\r\n", rows[i].field);
        if (!span_eq(buf_span(&out), span_str(want)))
            fail_msg("%.*s and not %s", (int)out.len, (const char *)out.data, want);
    }
    buf_done(&out);
    buf_done(&scratch);
    batch_free(b);
}

static void as_copy_writes(void **state)
{
    struct batch *b = batch_new();
    struct buf out = {0}, scratch = {0};
    (void)state;
    assert_int_equal(batch_add_column(b, "at", COL_TIMESTAMP), ERR_OK);
    assert_int_equal(batch_add_column(b, "ok", COL_BOOL), ERR_OK);
    assert_int_equal(batch_add_column(b, "text", COL_TEXT), ERR_OK);
    batch_i64(b, 0, -1);
    batch_bool(b, 1, false);
    batch_text(b, 2, SPAN("TZ"));
    batch_row_end(b);
    batch_null(b, 0);
    batch_null(b, 1);
    batch_row_end(b);
    batch_csv_header(b, BATCH_CSV_COPY, &out);
    for (uint32_t row = 0; row < 2; row++)
        batch_csv_row(b, row, BATCH_CSV_COPY, &scratch, &out);
    assert_true(
        span_eq(buf_span(&out), SPAN("at,ok,text\n1969-12-31 23:59:59.999999+00,f,TZ\n,,\n")));
    buf_done(&out);
    buf_done(&scratch);
    batch_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(times_and_null),
        cmocka_unit_test(quoting),
        cmocka_unit_test(as_copy_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
