/* The size of batches and the linger, against sinks that are models: a fixed cost and one for each row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/sinks/pace.h"

enum { COMMITS = 400 };

struct model {
    const char *name;
    double fixed_ms, row_ms;
    bool loaded; /* there are always enough rows for a whole batch; otherwise 10 at a time */
    uint32_t rows_min, rows_max, linger_min_ms, linger_max_ms;
};

/* Where it comes to rest. */
static void run(const struct model *m, struct pace *p)
{
    uint64_t now_ms = 1000;
    for (int i = 0; i < COMMITS; i++) {
        const uint32_t rows = m->loaded ? p->rows : 10;
        const uint64_t began_ms = now_ms;
        now_ms += (uint64_t)(m->fixed_ms + m->row_ms * rows);
        pace_committed(p, rows, m->loaded, began_ms, now_ms);
    }
}

static void batches_follow_the_sink(void **state UNUSED)
{
    static const struct model models[] = {
        {"quick, under load", 2, 0.002, true, PACE_ROWS_MAX, PACE_ROWS_MAX, 2, 30},
        {"quick, few rows", 2, 0.002, false, PACE_ROWS_FIRST, PACE_ROWS_FIRST, 2, 4},
        {"slow for each row", 5, 0.5, true, PACE_ROWS_MIN, 1100, PACE_LINGER_MAX_MS,
         PACE_LINGER_MAX_MS},
        {"far away, cheap rows", 400, 0.002, true, PACE_ROWS_MAX, PACE_ROWS_MAX, PACE_LINGER_MAX_MS,
         PACE_LINGER_MAX_MS},
        {"hopeless", 5000, 5, true, PACE_ROWS_MIN, PACE_ROWS_MIN, PACE_LINGER_MAX_MS,
         PACE_LINGER_MAX_MS},
    };
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        struct pace p;
        pace_init(&p);
        run(&models[i], &p);
        const uint32_t linger_ms = pace_linger_ms(&p);
        if (p.rows < models[i].rows_min || p.rows > models[i].rows_max ||
            linger_ms < models[i].linger_min_ms || linger_ms > models[i].linger_max_ms)
            fail_msg("%s: %u rows, linger %u ms", models[i].name, p.rows, linger_ms);
    }
}

static void a_slow_batch_halves_once(void **state UNUSED)
{
    struct pace p;
    pace_init(&p);
    pace_committed(&p, 10, false, 0, 10);
    pace_committed(&p, 10, true, 100,
                   100 + 2 * PACE_TARGET_MS); /* two that were under way together */
    pace_committed(&p, 10, true, 100, 101 + 2 * PACE_TARGET_MS);
    assert_int_equal(p.rows, PACE_ROWS_FIRST / 2);
    pace_committed(&p, 10, true, 5000, 5000 + 2 * PACE_TARGET_MS);
    assert_int_equal(p.rows, PACE_ROWS_FIRST / 4);
    for (int i = 0; i < 10; i++)
        pace_failed(&p, 6000);
    assert_int_equal(p.rows, PACE_ROWS_MIN);
}

static void it_recovers(void **state UNUSED)
{
    static const struct model slow = {"", 5, 2, true, 0, 0, 0, 0},
                              quick = {"", 2, 0.002, true, 0, 0, 0, 0};
    struct pace p;
    pace_init(&p);
    run(&slow, &p);
    assert_true(p.rows < PACE_ROWS_FIRST);
    run(&quick, &p);
    assert_int_equal(p.rows, PACE_ROWS_MAX);
    assert_true(pace_linger_ms(&p) < PACE_LINGER_MAX_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_follow_the_sink),
        cmocka_unit_test(a_slow_batch_halves_once),
        cmocka_unit_test(it_recovers),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
