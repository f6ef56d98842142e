/* What a worker holds across sessions, and how much more it asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/credit.h"
#include "worker/held.h"

static struct held_table t;

static struct held *add(uint64_t task)
{
    struct held *h = held_add(&t, (struct wire_token){task, 1, task * 10}, 1, 100);
    assert_non_null(h);
    return h;
}

static void finish(struct held *h, size_t bytes)
{
    uint8_t *result = malloc(bytes);
    assert_non_null(result);
    memset(result, 1, bytes);
    held_finish(&t, h, result, bytes);
}

static void states_are_lists(void **state UNUSED)
{
    assert_int_equal(held_init(&t), ERR_OK);
    struct held *a = add(1), *b = add(2), *c = add(3);
    assert_int_equal(held_count(&t, HELD_WAITING), 3);
    assert_int_equal(t.input_bytes, 300);
    held_start(&t, a);
    finish(a, 50);
    finish(b, 60); /* never started */
    assert_int_equal(held_count(&t, HELD_READY), 2);
    assert_int_equal(t.input_bytes, 100);
    assert_int_equal(t.result_bytes, 110);
    assert_ptr_equal(held_next(&t), a);
    assert_ptr_equal(held_next(&t), b);
    assert_null(held_next(&t));
    assert_int_equal(t.result_bytes, 110); /* until acknowledged */
    held_forget(&t, a);
    assert_int_equal(t.result_bytes, 60);
    assert_null(held_find(&t, 1));
    assert_ptr_equal(held_find(&t, 2), b);
    held_forget(&t, c);
    assert_int_equal(t.n, 1);
    held_done(&t);
}

static void rows_that_land(void **state UNUSED)
{
    assert_int_equal(held_init(&t), ERR_OK);
    struct held *ran = add(1), *inline_ = add(2), *revoked = add(3);
    held_start(&t, ran);
    held_land(&t, ran);
    held_land(&t, inline_); /* noop tasks never run on a loop */
    held_land(&t, revoked);
    assert_int_equal(held_count(&t, HELD_RUNNING), 0); /* no slot is held */
    assert_int_equal(held_count(&t, HELD_LANDING), 3);
    assert_int_equal(t.input_bytes, 0); /* inputs are not kept */
    assert_int_equal(t.result_bytes, 0);
    held_resend(&t); /* a new session changes nothing */
    size_t n;
    struct wire_token *all = held_tokens(&t, &n);
    assert_int_equal(n, 3);
    free(all);
    held_forget(&t, revoked);
    finish(ran, 20);
    finish(inline_, 30);
    assert_int_equal(held_count(&t, HELD_LANDING), 0);
    assert_int_equal(held_count(&t, HELD_READY), 2);
    assert_int_equal(t.input_bytes, 0);
    assert_int_equal(t.result_bytes, 50);
    held_done(&t);
}

static void a_new_session_sends_again_in_order(void **state UNUSED)
{
    assert_int_equal(held_init(&t), ERR_OK);
    held_resend(&t); /* nothing to do */
    for (uint64_t i = 1; i <= 4; i++)
        finish(add(i), 10);
    held_next(&t);
    held_next(&t);
    held_resend(&t);
    assert_int_equal(held_count(&t, HELD_SENT), 0);
    for (uint64_t i = 1; i <= 4; i++) {
        const struct held *h = held_next(&t);
        assert_non_null(h);
        assert_int_equal(h->token.task, i);
    }
    held_resend(&t);
    assert_int_equal(held_count(&t, HELD_READY), 4);
    held_done(&t);
}

static void tokens_of_all_states(void **state UNUSED)
{
    size_t n;
    assert_int_equal(held_init(&t), ERR_OK);
    assert_null(held_tokens(&t, &n));
    assert_int_equal(n, 0);
    add(1);
    held_start(&t, add(2));
    finish(add(3), 1);
    held_next(&t);
    finish(add(4), 1);
    struct wire_token *all = held_tokens(&t, &n);
    assert_int_equal(n, 4);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += all[i].counter;
    assert_int_equal(sum, 100);
    free(all);
    held_done(&t);
}

static void thousands_are_found(void **state UNUSED)
{
    assert_int_equal(held_init(&t), ERR_OK);
    for (uint64_t i = 0; i < 5000; i++)
        add(i);
    for (uint64_t i = 0; i < 5000; i += 2)
        held_forget(&t, held_find(&t, i));
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(held_find(&t, i) != NULL, i % 2);
    assert_int_equal(t.n, 2500);
    held_done(&t);
}

static void credit(void **state UNUSED)
{
    static const struct {
        const char *name;
        struct credit_state state;
        uint64_t announced, tasks;
        bool due;
    } rows[] = {
        {"idle", {0}, 0, 13, true}, /* 10 assigned before, window 3 */
        {"idle, told already", {0}, 13, 13, false},
        {"one in hand", {.in_hand = 1}, 0, 12, true},
        {"one in hand, told already", {.in_hand = 1}, 12, 12, false},
        {"full", {.in_hand = 3}, 10, 10, false},
        {"above full", {.in_hand = 9}, 10, 10, false},
        {"draining", {.closed = true}, 13, 10, true}, /* takes back what is open */
        {"draining, told already", {.closed = true}, 10, 10, false},
        {"results above the budget", {.result_bytes = 1000}, 13, 10, true},
        {"results below the budget", {.result_bytes = 999}, 10, 13, true},
        {"many results not acknowledged", {.results = CREDIT_RESULTS_MAX}, 13, 10, true},
        {"room for two more results", {.results = CREDIT_RESULTS_MAX - 2}, 10, 12, true},
        {"rows that land, an eighth of the budget", {.landing_bytes = 125}, 0, 13, true},
        {"rows that land, half of the budget", {.landing_bytes = 500}, 0, 12, true},
        {"rows that land, nearly the budget", {.landing_bytes = 999}, 0, 11, true},
        {"rows that land, the budget", {.landing_bytes = 1000}, 13, 10, true},
        {"inputs at their limit", {.input_bytes = CREDIT_INPUT_BYTES}, 10, 10, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct credit c;
        struct wire_credit ret;
        credit_init(&c, 2, 1000, 0);
        credit_assigned(&c, 10, 5000);
        c.announced.tasks = rows[i].announced;
        const bool due = credit_due(&c, &rows[i].state, &ret);
        if (due != rows[i].due || ret.tasks != rows[i].tasks)
            fail_msg("%s: due %d, tasks %d", rows[i].name, due, (int)ret.tasks);
        assert_true(ret.bytes >= 5000 && ret.bytes <= 5000 + CREDIT_INPUT_BYTES);
    }
}

static void prefill_follows_the_rate(void **state UNUSED)
{
    static const struct {
        uint64_t elapsed_ms, finished;
        uint32_t prefill;
    } rows[] = {
        {100, 0, CREDIT_PREFILL_MIN},
        {100, 1, CREDIT_PREFILL_MIN},
        {100, 200, 100},
        {50, 200, 200},
        {100, 1000000, CREDIT_PREFILL_MAX},
        {49, 1000, CREDIT_PREFILL_MIN}, /* too early to measure */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct credit c;
        credit_init(&c, 4, 1000, 7000);
        credit_measure(&c, &(struct credit_state){.finished = rows[i].finished},
                       7000 + rows[i].elapsed_ms);
        assert_int_equal(c.prefill, rows[i].prefill);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_lists),
        cmocka_unit_test(rows_that_land),
        cmocka_unit_test(a_new_session_sends_again_in_order),
        cmocka_unit_test(tokens_of_all_states),
        cmocka_unit_test(thousands_are_found),
        cmocka_unit_test(credit),
        cmocka_unit_test(prefill_follows_the_rate),
    };
    return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
