/* The hash is stored (task keys, seen URLs): its values must never change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/hash.h"

/* Of the reference implementation of MurmurHash3_x64_128, seed 0. */
static void values_of_the_reference(void **state)
{
    static const struct {
        const char *text;
        uint64_t lo, hi;
    } rows[] = {
        {"", 0, 0},
        {"hello", UINT64_C(0xcbd8a7b341bd9b02), UINT64_C(0x5b1e906a48ae1d19)},
        {"The quick brown fox jumps over the lazy dog", UINT64_C(0xe34bbc7bbc071b6c),
         UINT64_C(0x7a433ca9c49a9347)},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct hash128 h = hash_128(rows[i].text, strlen(rows[i].text), 0);
        assert_true(h.lo == rows[i].lo && h.hi == rows[i].hi);
        assert_true(hash_64(rows[i].text, strlen(rows[i].text), 0) == rows[i].lo);
    }
}

/* Every length of the tail, and every byte in it, counts. */
static void every_byte_and_length_counts(void **state)
{
    uint8_t bytes[40] = {0};
    (void)state;
    for (size_t n = 1; n < sizeof bytes; n++) {
        struct hash128 whole = hash_128(bytes, n, 0), shorter = hash_128(bytes, n - 1, 0);
        assert_true(whole.lo != shorter.lo && whole.hi != shorter.hi);
        for (size_t i = 0; i < n; i++) {
            bytes[i] = 1;
            struct hash128 other = hash_128(bytes, n, 0);
            assert_true(whole.lo != other.lo && whole.hi != other.hi);
            bytes[i] = 0;
        }
        struct hash128 seeded = hash_128(bytes, n, 1);
        assert_true(whole.lo != seeded.lo);
    }
}

static void unaligned_bytes_hash_the_same(void **state)
{
    char room[64];
    (void)state;
    for (size_t at = 0; at < 8; at++) {
        memcpy(room + at, "0123456789abcdefghijklmnop", 26);
        assert_true(hash_64(room + at, 26, 5) == hash_64("0123456789abcdefghijklmnop", 26, 5));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_the_reference),
        cmocka_unit_test(every_byte_and_length_counts),
        cmocka_unit_test(unaligned_bytes_hash_the_same),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
