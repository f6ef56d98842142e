/* Whether a sink may be called: the coordinator's word, the worker's own caution, and what is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/sinks/gate.h"

static struct gate g;

static bool open_at(uint64_t now_ms)
{
    return gate_next_ms(&g) <= now_ms;
}

static void fail_once(uint64_t now_ms)
{
    gate_called(&g);
    gate_done(&g, 10, "connection refused", now_ms);
}

static void succeed(void)
{
    gate_called(&g);
    gate_done(&g, 10, NULL, 0);
}

static void what_the_coordinator_says(void **state UNUSED)
{
    static const struct {
        enum wire_breaker_state told;
        bool open, after_a_call;
    } rows[] = {
        {WIRE_BREAKER_CLOSED, true, true},
        {WIRE_BREAKER_OPEN, false, false},
        {WIRE_BREAKER_PROBE, true, false}, /* one call */
        {WIRE_BREAKER_QUARANTINED, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        gate_init(&g, 1);
        gate_tell(&g, rows[i].told, 1);
        if (open_at(0) != rows[i].open)
            fail_msg("row %zu before a call", i);
        gate_called(&g);
        if (open_at(0) != rows[i].after_a_call)
            fail_msg("row %zu in a call", i);
        gate_done(&g, 1, NULL, 0);
        if (open_at(0) != rows[i].after_a_call)
            fail_msg("row %zu after a call", i);
        gate_session(&g);
        assert_true(open_at(0));
    }
}

static void every_probe_is_one_call(void **state UNUSED)
{
    gate_init(&g, 1);
    gate_tell(&g, WIRE_BREAKER_OPEN, 1);
    for (int i = 0; i < 3; i++) {
        gate_tell(&g, WIRE_BREAKER_PROBE, 1);
        assert_true(open_at(0));
        succeed();
        assert_false(open_at(UINT64_MAX - 1));
        assert_true(gate_urgent(&g, 0)); /* told at once */
        struct wire_calls calls;
        gate_take(&g, 0, &calls);
        assert_int_equal(calls.ok, 1);
    }
    gate_tell(&g, WIRE_BREAKER_CLOSED, 1);
    assert_true(open_at(0));
}

static void own_caution_doubles_and_is_forgotten(void **state UNUSED)
{
    gate_init(&g, 7);
    uint64_t now_ms = 1000;
    for (uint64_t whole_ms = GATE_BACKOFF_MS; whole_ms < 4 * (uint64_t)GATE_BACKOFF_MAX_MS;
         whole_ms *= 2) {
        fail_once(now_ms);
        const uint64_t most_ms = MIN(whole_ms, (uint64_t)GATE_BACKOFF_MAX_MS);
        const uint64_t wait_ms = gate_next_ms(&g) - now_ms;
        if (wait_ms < most_ms || wait_ms > most_ms + most_ms / 2)
            fail_msg("%d ms after a back-off of %d", (int)wait_ms, (int)most_ms);
        now_ms = gate_next_ms(&g);
    }
    succeed();
    assert_true(open_at(0));
    fail_once(now_ms);
    assert_true(gate_next_ms(&g) <= now_ms + GATE_BACKOFF_MS + GATE_BACKOFF_MS / 2);
    gate_session(&g); /* a worker that is cut off keeps its caution */
    assert_false(open_at(now_ms));
}

static void a_probe_passes_the_own_caution(void **state UNUSED)
{
    gate_init(&g, 1);
    fail_once(100000);
    assert_false(open_at(100000));
    gate_tell(&g, WIRE_BREAKER_PROBE, 1);
    assert_true(open_at(100000));
}

static void what_is_told_and_when(void **state UNUSED)
{
    struct wire_calls calls;
    gate_init(&g, 1);
    assert_false(gate_news(&g, 0));
    succeed();
    assert_true(gate_news(&g, 0));
    assert_false(gate_urgent(&g, 0)); /* may wait */
    gate_done(&g, GATE_SLOW_MS + 1, NULL, 0);
    gate_take(&g, 0, &calls);
    assert_int_equal(calls.ok, 2);
    assert_int_equal(calls.slow, 1);
    assert_null(calls.error.p);
    assert_false(gate_news(&g, 0));
    fail_once(0); /* the first failure does not wait, the second does */
    assert_true(gate_urgent(&g, 1));
    gate_take(&g, 1, &calls);
    assert_int_equal(calls.fail, 1);
    assert_int_equal(calls.waiting, 1);
    assert_true(span_eq(calls.error, SPAN("connection refused")));
    fail_once(0);
    assert_false(gate_urgent(&g, 1));
    assert_true(gate_news(&g, 1));
    gate_take(&g, 1, &calls);
}

static void rows_that_begin_to_wait_are_told_at_once(void **state UNUSED)
{
    struct wire_calls calls;
    gate_init(&g, 1);
    assert_false(gate_urgent(&g, 5)); /* CLOSED: they will be written */
    gate_tell(&g, WIRE_BREAKER_OPEN, 0);
    assert_false(gate_urgent(&g, 0));
    assert_true(gate_urgent(&g, 5));
    gate_take(&g, 5, &calls);
    assert_false(gate_urgent(&g, 6));
    assert_true(gate_news(&g, 0)); /* that none waits any more */
    gate_session(&g);
    gate_tell(&g, WIRE_BREAKER_OPEN, 5);
    assert_true(gate_urgent(&g, 5)); /* the new session does not know */
}

static void a_probe_without_rows_is_given_back(void **state UNUSED)
{
    gate_init(&g, 1);
    gate_tell(&g, WIRE_BREAKER_PROBE, 0);
    assert_true(gate_urgent(&g, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_coordinator_says),
        cmocka_unit_test(every_probe_is_one_call),
        cmocka_unit_test(own_caution_doubles_and_is_forgotten),
        cmocka_unit_test(a_probe_passes_the_own_caution),
        cmocka_unit_test(what_is_told_and_when),
        cmocka_unit_test(rows_that_begin_to_wait_are_told_at_once),
        cmocka_unit_test(a_probe_without_rows_is_given_back),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
