/* The plan of a local run: queues by key, limits, what was seen, what waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/pack.h"
#include "common/unpack.h"
#include "worker/frontier.h"

enum { MIB = 1024 * 1024 };

static struct frontier *f;
static struct buf items, item;

static int add(uint64_t key, const char *text, uint32_t attempt, uint64_t due_ms)
{
    buf_clear(&item);
    pack_cstr(&item, text);
    return frontier_add(f, key, buf_span(&item), attempt, due_ms);
}

/* The texts of the next task, joined by commas; "" when nothing is ready. */
static const char *take(uint64_t now, size_t max, struct frontier_task *ret)
{
    static char text[1000];
    struct unpack u;
    text[0] = 0;
    if (!frontier_take(f, now, max, &items, ret))
        return text;
    unpack_init(&u, items.data, items.len);
    const size_t n = unpack_array(&u);
    assert_int_equal(n, ret->n_items);
    for (size_t i = 0; i < n; i++) {
        const struct span s = unpack_str(&u);
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", i ? "," : "",
                 (int)s.len, s.p);
    }
    assert_true(unpack_finished(&u));
    return text;
}

static void a_task_has_one_key_and_one_attempt(void **state UNUSED)
{
    struct frontier_task a, b, c, d;
    f = frontier_new(MIB, 1);
    add(1, "a1", 1, 0);
    add(2, "b1", 1, 0);
    add(1, "a2", 1, 0);
    add(1, "a3", 2, 0);
    assert_int_equal(frontier_count(f), 4);
    assert_string_equal(take(0, 9, &a), "a1,a2");
    assert_string_equal(take(0, 9, &b), "b1");
    assert_string_equal(take(0, 9, &c), ""); /* key 1 is in use */
    frontier_release(f, &a, 0, 5);
    assert_string_equal(take(5, 9, &d), "a3");
    assert_int_equal(d.attempt, 2);
    assert_int_equal(frontier_count(f), 0);
    frontier_free(f);
}

static void uses_of_a_key_are_shared_by_its_tasks(void **state UNUSED)
{
    struct frontier_task a, b, c;
    f = frontier_new(MIB, 5);
    for (int i = 0; i < 6; i++)
        add(1, "x", 1, 0);
    assert_string_equal(take(0, 2, &a), "x,x");
    assert_string_equal(take(0, 2, &b), "x,x");
    assert_string_equal(take(0, 2, &c), "");
    assert_int_equal(a.grant, 3);
    assert_int_equal(b.grant, 2);
    frontier_release(f, &b, 0, 0);
    assert_string_equal(take(0, 2, &c), "x,x");
    assert_int_equal(c.grant, 2);
    frontier_free(f);

    f = frontier_new(MIB, 5);
    add(1, "x", 1, 0);
    assert_string_equal(take(0, 2, &a), "x");
    assert_int_equal(a.grant, 5); /* nobody else wants it */
    frontier_free(f);
}

static void delays(void **state UNUSED)
{
    struct frontier_task a;
    f = frontier_new(MIB, 1);
    add(1, "late", 2, 300);
    add(1, "early", 2, 100);
    add(2, "middle", 2, 200);
    assert_int_equal(frontier_deadline(f), 100);
    assert_string_equal(take(99, 9, &a), "");
    assert_string_equal(take(100, 9, &a), "early");
    frontier_release(f, &a, 1000, 100); /* the host asked for a second */
    assert_string_equal(take(200, 9, &a), "middle");
    assert_string_equal(take(300, 9, &a), "");
    assert_int_equal(frontier_deadline(f), 1100);
    assert_string_equal(take(1100, 9, &a), "late");
    assert_int_equal(frontier_deadline(f), UINT64_MAX);
    frontier_free(f);
}

static void backoff_of_one_task_holds_the_next(void **state UNUSED)
{
    struct frontier_task a, b;
    f = frontier_new(MIB, 2);
    for (int i = 0; i < 4; i++)
        add(1, "x", 1, 0);
    take(0, 1, &a);
    take(0, 1, &b);
    frontier_release(f, &a, 0, 0); /* ready again */
    frontier_release(f, &b, 50, 0);
    assert_string_equal(take(10, 1, &a), "");
    assert_string_equal(take(50, 1, &a), "x");
    frontier_free(f);
}

static void seen(void **state UNUSED)
{
    bool is_new;
    f = frontier_new(MIB, 1);
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 20000; i++) {
            const struct hash128 h = {hash_mix(i), i};
            assert_int_equal(frontier_first_seen(f, h, &is_new), ERR_OK);
            assert_int_equal(is_new, round == 0);
        }
    frontier_free(f);
}

static void limit_in_bytes(void **state UNUSED)
{
    struct frontier_task a;
    char url[200];
    int rc = ERR_OK;
    bool is_new;
    uint64_t i = 0;
    f = frontier_new(MIB, 1);
    for (; rc == ERR_OK && i < 100000; i++) {
        snprintf(url, sizeof(url), "%0150d", (int)i);
        rc = add(i % 7, url, 1, i % 3 ? 0 : 5);
        assert_true(frontier_bytes(f) <= MIB);
    }
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(i > 3000);
    for (rc = ERR_OK, i = 0; rc == ERR_OK && i < 100000; i++)
        rc = frontier_first_seen(f, (struct hash128){hash_mix(i), 1}, &is_new);
    assert_int_equal(rc, ERR_LIMIT);
    /* What is there can still be worked off, and then there is room again. */
    size_t n = 0;
    while (frontier_take(f, 10, 10, &items, &a)) {
        n += a.n_items;
        frontier_release(f, &a, 0, 10);
    }
    assert_true(n > 3000);
    assert_int_equal(frontier_count(f), 0);
    assert_int_equal(add(1, "again", 1, 0), ERR_OK);
    frontier_free(f);
}

static void long_queues_do_not_grow_with_what_was_taken(void **state UNUSED)
{
    struct frontier_task a;
    f = frontier_new(MIB, 1);
    for (int i = 0; i < 100; i++)
        add(1, "0123456789", 1, 0);
    for (int i = 0; i < 200000; i++) {
        assert_int_equal(add(1, "0123456789", 1, 0), ERR_OK);
        take(0, 1, &a);
        frontier_release(f, &a, 0, 0);
    }
    assert_int_equal(frontier_count(f), 100);
    assert_true(frontier_bytes(f) < 64 * 1024);
    frontier_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_has_one_key_and_one_attempt),
        cmocka_unit_test(uses_of_a_key_are_shared_by_its_tasks),
        cmocka_unit_test(delays),
        cmocka_unit_test(backoff_of_one_task_holds_the_next),
        cmocka_unit_test(seen),
        cmocka_unit_test(limit_in_bytes),
        cmocka_unit_test(long_queues_do_not_grow_with_what_was_taken),
    };
    buf_init(&items, 0);
    buf_init(&item, 0);
    const int rc = cmocka_run_group_tests_name("frontier", tests, NULL, NULL);
    buf_done(&items);
    buf_done(&item);
    return rc;
}
