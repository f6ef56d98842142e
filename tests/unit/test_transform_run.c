/* Running: policies, faults, groups and their merging, order and limits, rows of the stage before.
 * */
#include "transform_fixture.h"

#include "worker/transform/write_batch.h"

static const char sales[] = "id,amount,shop\n1,10.00,A\n2,oops,B\n3,5.5,A\n4,,B\n5,0,C\n6,-3,A\n";

static struct outcome with_policy(const char *policy, const char *sql)
{
    char stage[400];
    snprintf(stage, sizeof stage, "{\"kind\":\"transform\",\"sql\":\"%s\",\"on_error\":\"%s\"}",
             sql, policy);
    return fixture_run(stage, sales);
}

static void policies(void **state)
{
    (void)state;
    struct outcome o = with_policy("reject", "SELECT id, amount * 2 FROM input");
    assert_string_equal(o.rows, "id,?column?\n1,20.00\n3,11.0\n4,\n5,0\n6,-6\n");
    assert_string_equal(o.rejects, "3 BAD_VALUE amount 0 oops\n");
    assert_int_equal(o.counts.rows, 6);
    assert_int_equal(o.counts.results, 5);
    assert_int_equal(o.counts.rejects, 1);
    outcome_done(&o);
    o = with_policy("null", "SELECT id, amount * 2 FROM input");
    assert_string_equal(o.rows, "id,?column?\n1,20.00\n2,\n3,11.0\n4,\n5,0\n6,-6\n");
    assert_string_equal(o.rejects, "");
    outcome_done(&o);
    o = with_policy("fail", "SELECT id, amount * 2 FROM input");
    assert_int_equal(o.rc, ERR_INVALID_ARGUMENT);
    assert_string_equal(o.e.detail, "line 3, column amount: BAD_VALUE: 'oops'");
    outcome_done(&o);
}

/* What computing raises rejects the row, under the policy null too: NULL would be a wrong answer.
 * */
static void computing(void **state)
{
    (void)state;
    struct outcome o = with_policy("null", "SELECT id, 1 / amount FROM input WHERE amount < 5");
    assert_string_equal(o.rows, "id,?column?\n6,-0.33333333333333333333\n");
    assert_string_equal(o.rejects, "6 DIVISION_BY_ZERO - 14 \n");
    outcome_done(&o);
    o = with_policy("reject", "SELECT (id::integer + 2147483643) FROM input WHERE shop = 'A'");
    assert_string_equal(o.rows, "?column?\n2147483644\n2147483646\n");
    assert_string_equal(o.rejects, "7 NUMERIC_OVERFLOW - 21 \n");
    outcome_done(&o);
}

/* Only columns that a row's answer needs are looked at. */
static void only_what_is_needed(void **state)
{
    (void)state;
    struct outcome o = with_policy("reject", "SELECT amount + 1 FROM input WHERE shop = 'C'");
    assert_string_equal(o.rows, "?column?\n1\n");
    assert_string_equal(o.rejects, "");
    outcome_done(&o);
}

static void bad_text(void **state)
{
    (void)state;
    struct outcome o = fixture_sql("SELECT a FROM input", "a,b\nok,1\n\xff\xfe,2\n\xc3\xa9,3\n");
    assert_string_equal(o.rows, "a\nok\n\xc3\xa9\n");
    assert_string_equal(o.rejects, "3 BAD_TEXT a 0 \xff\xfe\n");
    outcome_done(&o);
}

static void groups(void **state)
{
    (void)state;
    fixture_expect(
        "SELECT shop, count(*), count(amount), sum(amount), avg(amount), min(amount) FROM input "
        "GROUP BY shop ORDER BY shop",
        sales, "A,3,3,12.50,4.1666666666666667,-3\nB,1,0,,,\nC,1,1,0,0.00000000000000000000,0\n");
    fixture_expect("SELECT count(*), sum(amount) FROM input WHERE shop = 'Z'", sales, "0,\n");
    fixture_expect("SELECT shop FROM input GROUP BY shop HAVING count(*) > 5", sales, "");
    fixture_expect(
        "SELECT upper(shop) || '!', sum(amount) + 1 FROM input WHERE amount > 0 GROUP BY upper(shop)",
        sales, "A!,16.50\n");
    fixture_expect("SELECT count(*) FILTER (WHERE amount > 0) FROM input", sales, "2\n");
    fixture_expect(
        "SELECT shop AS s, count(*) AS n FROM input GROUP BY s ORDER BY n DESC, s LIMIT 2", sales,
        "A,3\nB,2\n");
}

/* Thousands of groups, in parts, in any order: the same answer as in one. */
static void merging(void **state)
{
    (void)state;
    struct buf csv = {0};
    buf_str(&csv, "k,v,t\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&csv, "%d,%d.%0*d,t%d\n", i * 7919 % 3000, i, i % 5 + 1, i % 10, i % 17);
    const char *stage =
        "{\"kind\":\"transform\",\"sql\":\"SELECT k, sum(v), avg(v), count(DISTINCT t), "
        "max(v), min(t) FROM input GROUP BY k ORDER BY k\"}";
    struct outcome whole =
        fixture_run_parts(stage, buf_span(&csv), simd_best(), &transform_whole_file, 1);
    assert_int_equal(whole.rc, 0);
    struct transform_range parts[9];
    size_t n = 0, at = 0;
    uint64_t line = 1;
    struct split_point begin = {0, 1};
    for (; n < 8; n++) {
        size_t next = (n + 1) * csv.len / 9;
        while (csv.data[next - 1] != '\n')
            next++;
        for (; at < next; at++)
            line += csv.data[at] == '\n';
        parts[n] = (struct transform_range){begin, next};
        begin = (struct split_point){next, line};
    }
    parts[n++] = (struct transform_range){begin, UINT64_MAX};
    struct outcome merged = fixture_run_parts(stage, buf_span(&csv), simd_best(), parts, n);
    assert_int_equal(merged.rc, 0);
    assert_int_equal(merged.counts.rows, 20000);
    assert_true(strcmp(whole.rows, merged.rows) == 0);
    outcome_done(&whole);
    outcome_done(&merged);
    buf_done(&csv);
}

static void order(void **state)
{
    (void)state;
    fixture_expect("SELECT id FROM input ORDER BY amount::numeric DESC NULLS LAST, id", sales,
                   "1\n3\n5\n6\n4\n");
    fixture_expect("SELECT id FROM input ORDER BY amount + 0 LIMIT 2 OFFSET 1", sales, "5\n3\n");
    fixture_expect("SELECT DISTINCT shop FROM input", sales, "A\nB\nC\n");
    fixture_expect("SELECT id FROM input LIMIT 2", sales, "1\n2\n");
    fixture_expect("SELECT id FROM input LIMIT 0", sales, "");
    /* Which no other use makes a number, and so is ordered as text. */
    fixture_expect("SELECT id FROM input WHERE amount <> '' ORDER BY amount", sales,
                   "6\n5\n1\n3\n2\n");
    /* A LIMIT under ORDER BY keeps few rows: the best of many, whatever their order. */
    struct buf csv = {0};
    buf_str(&csv, "n\n");
    for (int i = 0; i < 50000; i++)
        buf_printf(&csv, "%d\n", (i * 7919) % 50021);
    buf_byte(&csv, '\0');
    fixture_expect("SELECT n FROM input ORDER BY n::integer LIMIT 3", (char *)csv.data,
                   "0\n1\n2\n");
    fixture_expect("SELECT n FROM input ORDER BY n::integer DESC LIMIT 2 OFFSET 1",
                   (char *)csv.data, "50019\n50018\n");
    buf_done(&csv);
}

/* A batch of another stage: its types hold, and text is read as what the query makes of it. */
static void rows_of_a_stage(void **state)
{
    (void)state;
    struct error e = {0};
    struct batch *in = batch_new();
    assert_int_equal(batch_add_column(in, "url", COL_TEXT) |
                         batch_add_column(in, "price", COL_TEXT) |
                         batch_add_column(in, "n", COL_INT64) |
                         batch_add_column(in, "x", COL_FLOAT64) |
                         batch_add_column(in, "ok", COL_BOOL) |
                         batch_add_column(in, "d", COL_DECIMAL),
                     0);
    for (int i = 0; i < 3000; i++) {
        batch_text(in, 0, SPAN("http://a/"));
        batch_text(in, 1, i == 7 ? SPAN("free") : SPAN("2.50"));
        batch_i64(in, 2, i);
        batch_f64(in, 3, i / 2.0);
        batch_bool(in, 4, i % 2);
        batch_text(in, 5, SPAN("0.10"));
        batch_row_end(in);
    }
    json_t *stage =
        json_pack("{s:s, s:s}", "kind", "transform", "sql",
                  "SELECT upper(url) AS u, price * 2 AS p, n + 1 AS n, x, ok, d * 3 AS d, "
                  "n > 5 AS big FROM input WHERE ok AND price < 100");
    struct transform *t = NULL;
    assert_int_equal(transform_compile(stage, in, NULL, 0, &t, &e), 0);
    struct batch *out = transform_columns(t);
    assert_non_null(out);
    static const enum col_type types[] = {COL_TEXT, COL_DECIMAL, COL_INT64, COL_FLOAT64,
                                          COL_BOOL, COL_DECIMAL, COL_BOOL};
    assert_int_equal(out->n_columns, ARRAY_LEN(types));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(out->columns[i].type, types[i]);
    struct write_batch w;
    struct buf rejects = {0};
    struct transform_run *run = NULL;
    write_batch_init(&w, out);
    assert_int_equal(transform_open(t, &w.sink, fixture_reject, &rejects, simd_best(), &run, &e),
                     0);
    assert_int_equal(transform_batch(run, in, &e), 0);
    assert_int_equal(transform_end(run, &e), 0);
    assert_int_equal(out->n_rows, 1499);
    assert_true(span_eq(batch_get_text(out, 0, 3), SPAN("HTTP://A/")));
    assert_true(span_eq(batch_get_text(out, 1, 3), SPAN("5.00")));
    assert_int_equal(batch_get_i64(out, 2, 3), 10);
    assert_true(batch_get_f64(out, 3, 3) == 4.5);
    assert_true(span_eq(batch_get_text(out, 5, 3), SPAN("0.30")));
    buf_byte(&rejects, '\0');
    assert_string_equal((char *)rejects.data, "0 BAD_VALUE price 0 free\n");
    buf_done(&rejects);
    transform_close(run);
    batch_free(out);
    batch_free(in);
    transform_free(t);
    json_decref(stage);
}

/* A file whose columns are not what the query was compiled for. */
static void other_header(void **state)
{
    (void)state;
    struct error e = {0};
    struct transform *t = NULL;
    struct sink none = {0};
    struct transform_run *run = NULL;
    json_t *stage = json_pack("{s:s, s:s}", "kind", "transform", "sql", "SELECT amount FROM input");
    assert_int_equal(transform_compile(stage, NULL, NULL, 0, &t, &e), 0);
    assert_int_equal(transform_open(t, &none, NULL, NULL, simd_best(), &run, &e), 0);
    int fd = fixture_file(SPAN("id,amonut\n1,2\n"));
    const char *names[] = {"id", "amonut"};
    assert_int_equal(transform_file(run, fd, &transform_whole_file, names, 2, &e),
                     ERR_INVALID_SPEC);
    assert_string_equal(e.detail, "the input has no column \"amount\" (did you mean \"amonut\"?)");
    close(fd);
    transform_close(run);
    transform_free(t);
    json_decref(stage);
}

/* Two columns of one name are an error when the query means one of them. */
static void names_that_come_twice(void **state)
{
    (void)state;
    static const char csv[] = "a,b,a\n1,2,3\n";
    fixture_expect("SELECT b FROM input", csv, "2\n");
    struct outcome o = fixture_sql("SELECT a FROM input", csv);
    assert_int_equal(o.rc, ERR_INVALID_SPEC);
    assert_non_null(strstr(o.e.detail, "the input has two columns \"a\" (1 and 3)"));
    outcome_done(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies),
        cmocka_unit_test(computing),
        cmocka_unit_test(only_what_is_needed),
        cmocka_unit_test(bad_text),
        cmocka_unit_test(groups),
        cmocka_unit_test(merging),
        cmocka_unit_test(order),
        cmocka_unit_test(rows_of_a_stage),
        cmocka_unit_test(other_header),
        cmocka_unit_test(names_that_come_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
