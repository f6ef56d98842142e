/* Arenas: alignment, separate pieces, limits, reuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/arena.h"

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena a;
    unsigned char *pieces[2000];
    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        size_t n = i % 100;
        pieces[i] = arena_alloc(&a, n);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 255), n);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        for (size_t j = 0; j < i % 100; j++)
            assert_int_equal(pieces[i][j], i & 255);
    arena_done(&a);
    arena_done(NULL);
}

static void a_limit_is_kept(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    assert_non_null(arena_alloc(&a, 1000));
    assert_null(arena_alloc(&a, 100));
    assert_non_null(arena_alloc(&a, 16)); /* a refusal changes nothing */
    arena_clear(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 1024));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX / 2));
    arena_done(&a);
}

static void clear_keeps_one_block_for_the_next_round(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    void *first = arena_alloc(&a, 10);
    arena_clear(&a);
    assert_ptr_equal(arena_alloc(&a, 10), first);
    arena_clear(&a);
    arena_clear(&a);
    arena_done(&a);
}

static void zeroed_and_copied(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    memset(arena_alloc(&a, 64), 0xFF, 64);
    arena_clear(&a);
    const unsigned char *z = arena_zalloc(&a, 64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(z[i], 0);
    assert_string_equal(arena_strndup(&a, "hello", 3), "hel");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(a_limit_is_kept),
        cmocka_unit_test(clear_keeps_one_block_for_the_next_round),
        cmocka_unit_test(zeroed_and_copied),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
