/* test_sched_key.c: limits of keys: slots, first contact, delay, backoff, and who shares them. */
#include "sched_fixture.h"

#define TOKEN(e, n) ((struct token){(e), (n)})

/* `workers` workers with much credit (sessions 10, 11, ...; workers 100, 101, ...). */
static struct fix with_workers(uint64_t workers)
{
    struct fix f = fix_new();
    for (uint64_t i = 0; i < workers; i++) {
        fix_hello(&f, 10 + i, .worker = 100 + i);
        fix_credit(&f, 10 + i, 1000);
    }
    return f;
}

static uint32_t grants(const struct fix *f)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < fix_count(f, SCHED_ACT_ASSIGN); i++)
        sum += fix_act(f, SCHED_ACT_ASSIGN, i).u.assign.grant;
    return sum;
}

static void keep_alive(struct fix *f, uint64_t workers)
{
    for (uint64_t i = 0; i < workers; i++)
        fix_session(f, SCHED_EV_HEARTBEAT, 10 + i, false);
}

/* Finishes the first contact of key 7, so that its delay (0) is known. */
static void contact(struct fix *f)
{
    struct sched_action a = fix_act(f, SCHED_ACT_ASSIGN, 0);
    fix_result(f, a.session.v, a.task.v, a.token, SCHED_DONE);
}

static void grants_share_the_limit(void **state)
{
    (void)state;
    const struct { uint32_t limit; uint64_t workers; size_t leases; uint32_t grant; } cases[] = {
        {1, 1, 1, 1}, {1, 4, 1, 1}, {2, 4, 2, 1}, {4, 4, 4, 1}, {8, 4, 4, 2}, {5, 2, 2, 3}, {3, 1, 1, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        print_message("limit %u, %u workers\n", cases[i].limit, (unsigned)cases[i].workers);
        struct fix f = with_workers(cases[i].workers);
        fix_open(&f, 1, .key_limit = cases[i].limit);
        fix_tasks(&f, 1, 1, 50, 7);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 1); /* first contact */
        contact(&f);
        assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), cases[i].leases);
        assert_int_equal(fix_act(&f, SCHED_ACT_ASSIGN, 0).u.assign.grant, cases[i].grant);
        assert_int_equal(grants(&f), cases[i].limit);
        fix_done(&f);
    }
}

static void an_unlimited_key_never_limits(void **state)
{
    (void)state;
    struct fix f = with_workers(2);
    fix_open(&f, 1, .key_limit = 0);
    fix_tasks(&f, 1, 1, 50, 7);
    assert_int_equal(fix_count(&f, SCHED_ACT_ASSIGN), 50);
    assert_int_equal(grants(&f), 0);
    fix_done(&f);
}

static void jobs_share_a_key(void **state)
{
    (void)state;
    struct fix f = with_workers(4);
    fix_open(&f, 1, .key_limit = 2);
    fix_open(&f, 2, .key_limit = 3);
    fix_tasks(&f, 1, 1, 10, 7);
    fix_tasks(&f, 2, 101, 10, 7);
    contact(&f = &f) ;
    fix_done(&f);
}

int main(void) { return 0; }
