/* Tests of coordinator/edge/inputs.c and the hash map under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "coordinator/edge/inputs.h"
#include "coordinator/edge/map64.h"

/* ---- map64 ---- */

static void map_holds_what_was_put(void **state)
{
    enum { N = 20000 };
    struct map64 m = {0};
    static char values[N];
    (void)state;
    for (uint64_t k = 1; k < N; k++)
        assert_true(map64_put(&m, k * 977, &values[k]));
    assert_int_equal(m.n, N - 1);
    for (uint64_t k = 1; k < N; k++)
        assert_ptr_equal(map64_get(&m, k * 977), &values[k]);
    assert_null(map64_get(&m, 0));
    assert_null(map64_get(&m, N * 977));
    map64_done(&m);
}

/* Against a plain array, with collisions: keys are few and come and go. */
static void map_agrees_with_an_array(void **state)
{
    enum { KEYS = 300, ROUNDS = 200000 };
    struct map64 m = {0};
    static char values[KEYS];
    bool there[KEYS] = {0};
    size_t n = 0;
    uint64_t x = 12345;
    (void)state;
    for (size_t i = 0; i < ROUNDS; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407U;
        uint64_t k = 1 + (x >> 33) % (KEYS - 1);
        if (x >> 63) {
            assert_ptr_equal(map64_take(&m, k), there[k] ? &values[k] : NULL);
            n -= there[k];
            there[k] = false;
        } else {
            assert_true(map64_put(&m, k, &values[k]));
            n += !there[k];
            there[k] = true;
        }
        assert_int_equal(m.n, n);
    }
    for (uint64_t k = 1; k < KEYS; k++)
        assert_ptr_equal(map64_get(&m, k), there[k] ? &values[k] : NULL);
    map64_done(&m);
}

static void map_walks_every_entry_once_and_shrinks(void **state)
{
    enum { N = 5000 };
    struct map64 m = {0};
    static char seen[N];
    size_t at = 0, n = 0;
    (void)state;
    for (uint64_t k = 1; k < N; k++)
        assert_true(map64_put(&m, k, &seen[k]));
    size_t largest = m.cap;
    for (struct map64_entry *e; (e = map64_next(&m, &at)); n++)
        assert_int_equal((*(char *)e->value)++, 0);
    assert_int_equal(n, N - 1);
    for (uint64_t k = 1; k < N; k++)
        assert_non_null(map64_take(&m, k));
    assert_true(m.cap < largest / 8);
    map64_done(&m);
}

/* ---- inputs ---- */

static void put(struct inputs *in, uint64_t task, const char *text)
{
    struct span s = span_str(text);
    inputs_put(in, &(struct task_id){task}, &s, 1);
}

static bool has(const struct inputs *in, uint64_t task, const char *text)
{
    struct span s = inputs_get(in, (struct task_id){task});
    return text ? s.p && span_eq(s, span_str(text)) : s.p == NULL;
}

static void inputs_come_back_until_dropped(void **state)
{
    struct inputs *in = inputs_new(1 << 20);
    const struct task_id ids[] = {{5}, {6}, {7}};
    const struct span texts[] = {SPAN("five"), {"", 0}, SPAN("seven")};
    (void)state;
    inputs_put(in, ids, texts, 3);
    assert_true(has(in, 5, "five") && has(in, 6, "") && has(in, 7, "seven"));
    assert_int_equal(inputs_count(in), 3);
    inputs_drop(in, ids[0]);
    inputs_drop(in, ids[0]);
    assert_true(has(in, 5, NULL) && has(in, 7, "seven"));
    put(in, 7, "again");
    assert_true(has(in, 7, "again"));
    inputs_drop(in, ids[1]);
    inputs_drop(in, ids[2]);
    assert_int_equal(inputs_bytes(in), 0);
    assert_int_equal(inputs_count(in), 0);
    inputs_free(in);
}

static void inputs_keep_to_their_limit_and_keep_the_oldest(void **state)
{
    enum { LIMIT = 100000 };
    struct inputs *in = inputs_new(LIMIT);
    char text[1000];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    for (uint64_t task = 1; task <= 500; task++) {
        put(in, task, text);
        assert_true(inputs_bytes(in) <= LIMIT);
    }
    assert_true(has(in, 1, text) && has(in, 500, NULL));
    assert_true(inputs_count(in) > 90);
    inputs_drop(in, (struct task_id){1});
    put(in, 501, text); /* there is room for one again */
    assert_true(has(in, 501, text));
    inputs_free(in);
}

static void inputs_of_no_bytes_keep_nothing(void **state)
{
    struct inputs *in = inputs_new(0);
    (void)state;
    put(in, 1, "one");
    assert_true(has(in, 1, NULL));
    inputs_free(in);
}

static void inputs_larger_than_a_block(void **state)
{
    enum { N = 300000 };
    struct inputs *in = inputs_new(10 << 20);
    char *text = calloc(1, N + 1);
    (void)state;
    assert_non_null(text);
    memset(text, 'y', N);
    put(in, 1, text);
    put(in, 2, "small");
    assert_true(has(in, 1, text) && has(in, 2, "small"));
    inputs_free(in);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_holds_what_was_put),
        cmocka_unit_test(map_agrees_with_an_array),
        cmocka_unit_test(map_walks_every_entry_once_and_shrinks),
        cmocka_unit_test(inputs_come_back_until_dropped),
        cmocka_unit_test(inputs_keep_to_their_limit_and_keep_the_oldest),
        cmocka_unit_test(inputs_of_no_bytes_keep_nothing),
        cmocka_unit_test(inputs_larger_than_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
