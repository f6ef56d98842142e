/* test_sched_parts.c: the small parts of the core, each against a plain model: map, alarms, delays,
 * queues of tasks, pools, backoff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/hash.h"
#include "coordinator/core/delay.h"
#include "coordinator/core/group.h"
#include "coordinator/core/map.h"
#include "coordinator/core/mem.h"
#include "coordinator/core/retry.h"
#include "coordinator/core/task.h"
#include "coordinator/core/alarm.h"

enum { N = 2000 };

static void a_map_keeps_what_was_added_through_any_removals(void **state)
{
    (void)state;
    struct map m = {0};
    struct retry_rng rng = {1};
    static uint64_t values[N];
    bool in[N] = {false};
    for (int round = 0; round < 50 * N; round++) {
        size_t i = retry_random(&rng) % N;
        uint64_t hash = i % 7 ? hash_mix(i / 2) : 42; /* many share a hash, and runs collide */
        if (in[i])
            map_remove(&m, hash, &values[i]);
        else
            map_add(&m, hash, &values[i]);
        in[i] = !in[i];
    }
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        bool found = false;
        size_t cursor = SIZE_MAX;
        for (void *v; (v = map_next(&m, i % 7 ? hash_mix(i / 2) : 42, &cursor)) != NULL;)
            found |= v == &values[i];
        assert_int_equal(found, in[i]);
        n += in[i];
    }
    assert_int_equal(m.n, n);
    map_done(&m);
}

static void alarms_come_in_order_and_can_be_moved_and_stopped(void **state)
{
    (void)state;
    struct alarm_heap h = {0};
    struct alarm *t = calloc(N, sizeof(*t));
    struct retry_rng rng = {2};
    for (size_t i = 0; i < N; i++)
        alarm_set(&h, &t[i], retry_random(&rng) % 1000);
    for (size_t i = 0; i < N; i += 3)
        alarm_set(&h, &t[i], retry_random(&rng) % 1000);
    for (size_t i = 0; i < N; i += 5)
        alarm_stop(&h, &t[i]);
    alarm_stop(&h, &t[0]);
    uint64_t last = 0, n = 0;
    for (struct alarm *due; (due = alarm_due(&h, 500)) != NULL; n++) {
        assert_true(due->at_ms >= last && due->at_ms <= 500 && (due - t) % 5 != 0);
        last = due->at_ms;
    }
    assert_true(alarm_first_ms(&h) > 500);
    for (size_t i = 0; i < N; i++)
        if (i % 5 != 0)
            assert_int_equal(t[i].place > 0, t[i].at_ms > 500);
    alarm_heap_done(&h);
    free(t);
}

static void delayed_tasks_come_by_time_and_then_by_id(void **state)
{
    (void)state;
    struct delay_heap h = {0};
    struct retry_rng rng = {3};
    int jobs[2];
    struct group groups[2] = {{.job = (struct job *)(void *)&jobs[0]},
                              {.job = (struct job *)(void *)&jobs[1]}};
    for (uint64_t i = 0; i < N; i++) {
        struct group *g = &groups[i % 2];
        g->n_delayed++;
        delay_push(&h, (struct delay_item){retry_random(&rng) % 50, g, {.id = {N - i}}});
    }
    assert_int_equal(delay_remove_job(&h, groups[1].job), N / 2);
    assert_int_equal(groups[1].n_delayed, 0);
    struct delay_item item, before = {0};
    size_t n = 0;
    for (; delay_pop_due(&h, 30, &item); n++) {
        assert_ptr_equal(item.group, &groups[0]);
        assert_true(item.due_ms > before.due_ms ||
                    (item.due_ms == before.due_ms && item.task.id.v > before.task.id.v));
        before = item;
    }
    assert_true(n > 0 && h.n == N / 2 - n && delay_first_ms(&h) == 31);
    delay_done(&h);
}

static void a_queue_of_tasks_is_a_deque(void **state)
{
    (void)state;
    struct task_pool pool;
    struct task_queue q = {0};
    struct retry_rng rng = {4};
    uint64_t model[4 * N], first = 2 * N, last = 2 * N; /* [first, last) */
    uint64_t since_ms;
    task_pool_init(&pool);
    for (uint64_t i = 1; i < N; i++) {
        uint64_t dice = retry_random(&rng) % 5;
        if (dice < 2) {
            task_queue_push(&q, &pool, (struct task){.id = {i}}, last - first, i);
            model[last++] = i;
        } else if (dice < 3) {
            task_queue_push_front(&q, &pool, (struct task){.id = {i}}, last - first, i);
            model[--first] = i;
        } else if (first < last) {
            assert_int_equal(task_queue_peek(&q)->id.v, model[first]);
            assert_int_equal(task_queue_pop(&q, &pool, &since_ms).id.v, model[first]);
            assert_int_equal(since_ms, model[first++]);
        }
        assert_int_equal(task_queue_count(&q), last - first);
    }
    while (first < last)
        assert_int_equal(task_queue_pop(&q, &pool, &since_ms).id.v, model[first++]);
    assert_null(task_queue_peek(&q));
    assert_true(task_pool_oldest_ms(&pool) == UINT64_MAX);
    task_queue_push(&q, &pool, (struct task){.id = {1}}, 0, 77);
    assert_int_equal(task_pool_oldest_ms(&pool), 77);
    task_queue_clear(&q, &pool);
    task_pool_done(&pool);
}

static void a_pool_gives_memory_back(void **state)
{
    (void)state;
    struct mem_pool p;
    mem_pool_init(&p, 100);
    void **items = calloc(N, sizeof(*items));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            items[i] = mem_pool_get(&p);
            assert_int_equal(((char *)items[i])[50], 0);
            memset(items[i], 0xff, 100);
        }
        assert_int_equal(mem_pool_bytes(&p), 4 * 65536); /* 629 objects of 104 bytes each */
        for (size_t i = 0; i < N; i++)
            mem_pool_put(&p, items[i * 7 % N]); /* N and 7 have no common factor */
        assert_int_equal(p.live, 0);
        assert_int_equal(mem_pool_bytes(&p), 65536);
    }
    mem_pool_done(&p);
    free(items);
}

static void backoff_doubles_up_to_its_cap_with_full_jitter(void **state)
{
    (void)state;
    const struct {
        uint32_t base, max, attempts;
        uint64_t ceiling;
    } cases[] = {
        {1000, 60000, 0, 0},
        {1000, 60000, 1, 1000},
        {1000, 60000, 2, 2000},
        {1000, 60000, 6, 32000},
        {1000, 60000, 7, 60000},
        {1000, 60000, 4000000000u, 60000},
        {0, 60000, 5, 0},
        {1000, 0, 3, 4000},
        {UINT32_MAX, UINT32_MAX, 65000, UINT32_MAX},
    };
    struct retry_rng rng = {5};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(retry_ceiling_ms(cases[i].base, cases[i].max, cases[i].attempts),
                         cases[i].ceiling);
        uint64_t low = UINT64_MAX, high = 0;
        for (int k = 0; k < 1000; k++) {
            uint64_t wait = retry_delay_ms(&rng, cases[i].base, cases[i].max, cases[i].attempts, 0);
            low = MIN(low, wait);
            high = MAX(high, wait);
        }
        assert_true(high <= cases[i].ceiling && high >= cases[i].ceiling / 20 * 19);
        assert_true(low <= cases[i].ceiling / 20);
        assert_true(retry_delay_ms(&rng, cases[i].base, cases[i].max, cases[i].attempts, 90000) >=
                    90000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_keeps_what_was_added_through_any_removals),
        cmocka_unit_test(alarms_come_in_order_and_can_be_moved_and_stopped),
        cmocka_unit_test(delayed_tasks_come_by_time_and_then_by_id),
        cmocka_unit_test(a_queue_of_tasks_is_a_deque),
        cmocka_unit_test(a_pool_gives_memory_back),
        cmocka_unit_test(backoff_doubles_up_to_its_cap_with_full_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
