/* test_scrape_timer.c: the heap of timers against a plain array. */
#include "worker/scrape/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { N = 300, STEPS = 20000 };

static uint64_t smallest(const struct timer *t, const bool *set)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < N; i++)
        if (set[i] && t[i].due_ms < least)
            least = t[i].due_ms;
    return least;
}

static void test_against_array(void **state)
{
    (void)state;
    static struct timer t[N];
    static bool set[N];
    struct timers all = {0};
    uint64_t random = 88172645463325252ULL, now = 0;
    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t i = random % N;
        switch ((random >> 32) % 4) {
        case 0:
        case 1:
            timer_set(&all, &t[i], now + (random >> 40) % 50);
            set[i] = true;
            break;
        case 2:
            timer_cancel(&all, &t[i]);
            set[i] = false;
            break;
        default:
            now += (random >> 40) % 3;
            for (struct timer *p; (p = timer_pop(&all, now));) {
                size_t k = (size_t)(p - t);
                assert_true(set[k]);
                assert_int_equal(p->due_ms, smallest(t, set));
                assert_true(p->due_ms <= now);
                set[k] = false;
            }
        }
        assert_int_equal(t[i].set, set[i]);
        assert_int_equal(timer_next(&all), smallest(t, set));
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct timers all = {0};
    struct timer t = {0};
    timer_cancel(&all, &t);
    assert_int_equal(timer_next(&all), UINT64_MAX);
    assert_null(timer_pop(&all, UINT64_MAX));
    timer_set(&all, &t, 5);
    timer_set(&all, &t, 9); /* moved */
    assert_null(timer_pop(&all, 8));
    assert_ptr_equal(timer_pop(&all, 9), &t);
    assert_false(t.set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
