/* Outputs of tasks: counts, and going back to a mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/output.h"

static struct output *make(void)
{
    struct batch *rows = batch_new();
    assert_non_null(rows);
    assert_int_equal(batch_add_column(rows, "text", COL_TEXT), ERR_OK);
    assert_int_equal(batch_add_column(rows, "number", COL_INT64), ERR_OK);
    return output_new(rows);
}

static void add_page(struct output *o, const char *text, int64_t number)
{
    if (text)
        batch_text(o->rows, 0, span_str(text));
    if (number >= 0)
        batch_i64(o->rows, 1, number);
    batch_row_end(o->rows);
    output_found(o, SPAN("http://h/found"), 1);
    output_reject(o, SPAN("http://h/reject"), "ROBOTS", "detail");
    output_retry(o, SPAN("http://h/retry"), 0, "TIMEOUT", NULL);
    output_stat(o, "pages", 1);
}

static void stats_of_one_name_add_up(void **state)
{
    (void)state;
    struct output *o = make();
    output_stat(o, "a", 2);
    output_stat(o, "b", 1);
    output_stat(o, "a", 3);
    assert_int_equal(o->n_stats, 2);
    assert_int_equal(o->stats[0].value, 5);
    output_free(o);
}

static void a_rollback_forgets_what_came_after_the_mark(void **state)
{
    (void)state;
    struct output *o = make();
    for (int i = 0; i < 9; i++) /* across a byte of the NULL bitmap */
        add_page(o, i % 2 ? NULL : "text", i % 3 ? -1 : i);
    const struct output_mark mark = output_mark(o);
    const size_t bytes = output_bytes(o);
    for (int i = 0; i < 5; i++)
        add_page(o, NULL, -1);
    output_stat(o, "late", 7);
    assert_true(output_bytes(o) > bytes);

    output_rollback(o, &mark);
    assert_int_equal(o->rows->n_rows, 9);
    assert_int_equal(o->n_rejects, 9);
    assert_int_equal(o->n_retries, 9);
    assert_int_equal(o->n_found, 9);
    assert_int_equal(o->stats[0].value, 9);
    assert_int_equal(o->stats[1].value, 0);

    /* Rows that come now are not NULL where the forgotten ones were. */
    add_page(o, "after", 42);
    assert_false(batch_is_null(o->rows, 0, 9));
    assert_int_equal(batch_get_i64(o->rows, 1, 9), 42);
    assert_true(span_eq(batch_get_text(o->rows, 0, 9), SPAN("after")));
    assert_true(span_eq(batch_get_text(o->rows, 0, 8), SPAN("text")));
    assert_true(batch_is_null(o->rows, 0, 7));
    assert_false(o->failed);
    output_free(o);
}

static void a_rollback_to_nothing(void **state)
{
    (void)state;
    struct output *o = make();
    const struct output_mark mark = output_mark(o);
    add_page(o, "text", 1);
    output_rollback(o, &mark);
    assert_int_equal(output_bytes(o), 0);
    assert_int_equal(o->rows->n_rows, 0);
    output_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_of_one_name_add_up),
        cmocka_unit_test(a_rollback_forgets_what_came_after_the_mark),
        cmocka_unit_test(a_rollback_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
