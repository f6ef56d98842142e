/* Exact decimals: the fast path, the long one, and that both say the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/transform/digits.h"
#include "worker/transform/num.h"
#include "worker/transform/parsefast.h"
#include "worker/transform/textfloat.h"

static struct arena arena;

static struct num read(const char *text)
{
    struct num x;
    bool too_long;
    if (!num_parse(&arena, span_str(text), &x, &too_long))
        fail_msg("%s does not parse", text);
    return x;
}

static void expect(const char *what, struct num x, const char *want)
{
    struct buf text = {0};
    num_text(x, &text);
    buf_byte(&text, '\0');
    if (strcmp((char *)text.data, want) != 0)
        fail_msg("%s: %s, not %s", what, (char *)text.data, want);
    buf_done(&text);
}

static void texts(void **state)
{
    (void)state;
    static const char *const same[] = {"0",
                                       "0.00",
                                       "1",
                                       "-1.50",
                                       "9223372036854775807",
                                       "-9223372036854775808",
                                       "9223372036854775808",
                                       "123456789012345678901234567890.000000000000000000001"};
    static const char *const others[][2] = {{" +5 ", "5"},      {".5", "0.5"},   {"5.", "5"},
                                            {"1.50e1", "15.0"}, {"1e3", "1000"}, {"1e-3", "0.001"},
                                            {"-0", "0"},        {"007", "7"}};
    static const char *const wrong[] = {"",   " ",   ".",   "-",   "+-1", "1..2",
                                        "1e", "1e+", "abc", "NaN", "1 2", "0x1"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        expect(same[i], read(same[i]), same[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        expect(others[i][0], read(others[i][0]), others[i][1]);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct num x;
        bool too_long;
        assert_false(num_parse(&arena, span_str(wrong[i]), &x, &too_long));
        assert_false(too_long);
    }
}

/* Results that PostgreSQL 15 gives, with its scales. */
static void arithmetic(void **state)
{
    (void)state;
    static const struct {
        const char *x, *y, *sum, *product, *quotient, *rest;
    } cases[] = {
        {"1.5", "0.25", "1.75", "0.375", "6.0000000000000000", "0.00"},
        {"10", "3", "13", "30", "3.3333333333333333", "1"},
        {"-7.5", "2", "-5.5", "-15.0", "-3.7500000000000000", "-1.5"},
        {"100000", "3", "100003", "300000", "33333.333333333333", "1"},
        {"0.00001", "7", "7.00001", "0.00007", "0.000001428571428571428571", "0.00001"},
        /* Halfway in the last place: away from zero. */
        {"1", "33554432", "33554433", "33554432", "0.000000029802322387695313", "1"},
        {"9223372036854775807", "10", "9223372036854775817", "92233720368547758070",
         "922337203685477581", "7"},
        {"123456789012345678901234567890", "1.1", "123456789012345678901234567891.1",
         "135802467913580246791358024679.0", "112233444556677889910213243536.4", "0.4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct num x = read(cases[i].x), y = read(cases[i].y), r;
        assert_true(num_add(&arena, x, y, &r));
        expect(cases[i].x, r, cases[i].sum);
        assert_true(num_mul(&arena, x, y, &r));
        expect(cases[i].x, r, cases[i].product);
        assert_true(num_div(&arena, x, y, &r));
        expect(cases[i].x, r, cases[i].quotient);
        assert_true(num_mod(&arena, x, y, &r));
        expect(cases[i].x, r, cases[i].rest);
    }
}

static void rounding(void **state)
{
    (void)state;
    static const struct {
        const char *x;
        int64_t digits;
        const char *half, *trunc, *ceil, *floor;
    } cases[] = {
        {"1.005", 2, "1.01", "1.00", "1.01", "1.00"},
        {"-1.005", 2, "-1.01", "-1.00", "-1.00", "-1.01"},
        {"2.5", 0, "3", "2", "3", "2"},
        {"150", -2, "200", "100", "200", "100"},
        {"49", -2, "0", "0", "100", "0"},
        {"1.5", 4, "1.5000", "1.5000", "1.5000", "1.5000"},
        {"99999999999999999999.995", 2, "100000000000000000000.00", "99999999999999999999.99",
         "100000000000000000000.00", "99999999999999999999.99"},
        {"-99999999999999999999.995", 1, "-100000000000000000000.0", "-99999999999999999999.9",
         "-99999999999999999999.9", "-100000000000000000000.0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *wants[] = {cases[i].half, cases[i].trunc, cases[i].ceil, cases[i].floor};
        for (int mode = BIG_HALF_AWAY; mode <= BIG_FLOOR; mode++) {
            struct num r;
            assert_true(
                num_round(&arena, read(cases[i].x), cases[i].digits, (enum big_round)mode, &r));
            expect(cases[i].x, r, wants[mode]);
        }
    }
}

/* (x * y) / y and (x + y) - y give x back, whatever the lengths; quotient * divisor + rest too. */
static void long_numbers(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 3000; i++) {
        char tx[80], ty[80];
        char *at[] = {tx, ty};
        for (int k = 0; k < 2; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t n = 1 + (seed >> 33) % 60;
            for (size_t d = 0; d < n; d++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                uint32_t digit = (uint32_t)(seed >> 40) % 14;
                at[k][d] = (char)('0' + (digit < 10 ? digit : digit < 12 ? 0 : 9));
            }
            at[k][0] = at[k][0] == '0' ? '1' : at[k][0];
            at[k][n] = '\0';
        }
        struct num x = read(tx), y = read(ty), r = x, q = x;
        assert_true(num_add(&arena, x, y, &r) && num_sub(&arena, r, y, &r));
        assert_int_equal(num_cmp(r, x, &arena), 0);
        assert_true(num_mul(&arena, x, y, &r) && num_mod(&arena, r, y, &q));
        assert_int_equal(num_sign(q), 0);
        assert_true(num_div(&arena, r, y, &q));
        assert_int_equal(num_cmp(q, x, &arena), 0);
        /* x = trunc(x / y) * y + x % y */
        assert_true(num_mod(&arena, x, y, &r) && num_sub(&arena, x, r, &q));
        assert_true(num_div(&arena, q, y, &q) && num_mul(&arena, q, y, &q) &&
                    num_add(&arena, q, r, &q));
        assert_int_equal(num_cmp(q, x, &arena), 0);
        arena_clear(&arena);
    }
}

/* Which cannot be given the same scale within the limit of digits. */
static void far_apart(void **state)
{
    (void)state;
    struct num large = read("1e16000"), small = read("1e-16000"), r;
    assert_int_equal(num_cmp(large, small, &arena), 1);
    assert_int_equal(num_cmp(small, large, &arena), -1);
    assert_true(num_neg(&arena, large, &large) && num_neg(&arena, small, &small));
    assert_int_equal(num_cmp(large, small, &arena), -1);
    assert_int_equal(num_cmp(small, large, &arena), 1);
    assert_false(num_add(&arena, large, small, &r));
    arena_clear(&arena);
}

/* The vector reader and writer against the plain ones. */
static void fast_paths(void **state)
{
    (void)state;
    static const char *const fields[] = {"0",         "7",         "-3",       "12.5", "-0.05",
                                         "99999.95",  ".5",        "5.",       "-.5",  "1234567",
                                         "12345678",  "1.2.3",     "abc",      "1e3",  "+5",
                                         "-",         ".",         "12 ",      "--1",  "1,2",
                                         "\xc3\xa9",  "0.000001",  "-0",       "-0.0", "",
                                         "-12345678", "-1234.567", "0.1234567"};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        char padded[64] = "9999999999999999"; /* what stands before the field must not matter */
        size_t len = strlen(fields[i]);
        memcpy(padded + 16, fields[i], len);
        for (int simd = SIMD_SCALAR; simd <= (int)simd_best(); simd++) {
            struct parsefast d = {0}, f = {0};
            struct num x;
            double number = 0, fast;
            bool too_long, plain = num_parse(&arena, span_str(fields[i]), &x, &too_long);
            parsefast_put(&d, padded + 16, len);
            parsefast_put(&f, padded + 16, len);
            parsefast_decimals(&d, (enum simd)simd);
            parsefast_doubles(&f, (enum simd)simd);
            if ((d.odd[0] != 0) != (f.odd[0] != 0))
                fail_msg("%s is odd for one of them", fields[i]);
            if (d.odd[0])
                continue; /* it asks num_parse: always right */
            if (!plain)
                fail_msg("%s is a number only here", fields[i]);
            assert_int_equal(x.scale, d.shapes[0]);
            assert_int_equal(x.m, (int64_t)d.words[0]);
            assert_int_equal(textfloat_read(span_str(fields[i]), &number), TEXTFLOAT_OK);
            memcpy(&fast, &f.words[0], sizeof fast);
            assert_memory_equal(&fast, &number, sizeof fast);
        }
    }
    for (int32_t scale = 0; scale < 25; scale++) {
        int64_t m = 0;
        for (int i = 0; i < 64; i++, m = i % 2 ? -m * 3 - 7 : -m * 2 + 1) {
            char slow[NUM_TEXT_MAX], quick[DIGITS_ROOM];
            size_t n = num_text_small(m, scale, slow);
            char *end = digits_write(quick, m, scale);
            assert_int_equal(end - quick, n);
            assert_memory_equal(quick, slow, n);
            if (m > INT64_MAX / 4 || m < INT64_MIN / 4)
                m = i;
        }
    }
}

static void same_double(const char *text)
{
    char *rest;
    double got = 0;
    const double want = strtod(text, &rest);
    assert_int_equal(*rest, 0);
    if (textfloat_read(span_str(text), &got) != TEXTFLOAT_OK || memcmp(&got, &want, sizeof want))
        fail_msg("%s is %.17g, not %.17g", text, want, got);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}

/* The next double, as the C library reads it: what people write, and what lies between two doubles. */
static void doubles(void **state)
{
    (void)state;
    static const char *const texts[] = {"9007199254740993",
                                        "9007199254740993.0000000000",
                                        "9007199254740992.5",
                                        "0.1",
                                        "9999999999999999999",
                                        "18446744073709551615",
                                        "1e22",
                                        "1e23",
                                        "1e27",
                                        "8.5e27",
                                        "1e28",
                                        "1e-27",
                                        "4.35e-22",
                                        "1e-28",
                                        "1.7976931348623157e308",
                                        "4.9e-324",
                                        "2.2250738585072014e-308",
                                        "00000000000000000000000000001.5",
                                        "0.00000000000000000000000000015",
                                        "-0",
                                        "-0.000",
                                        "1E5",
                                        "1e+05",
                                        "12345678.12345678",
                                        "123456789012345678901234567890",
                                        "7450580596923828125e-27",
                                        "0.0000000000000000000000000000000000000000000000001e49"};
    uint64_t seed = 7;
    char text[64];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        same_double(texts[i]);
    for (int i = 0; i < 200000; i++) {
        const uint64_t m = next_random(&seed) >> (next_random(&seed) % 64);
        const int power = (int)(next_random(&seed) % 70) - 35;
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)m, power);
        same_double(text);
        const double x = (double)(int64_t)m * (i % 2 ? 1e-9 : 1e-19);
        snprintf(text, sizeof text, i % 3 ? "%.17g" : "%.12f", x);
        same_double(text);
        /* in the middle between two doubles, or the next thing to it */
        snprintf(text, sizeof text, "%llu.5", (unsigned long long)(m >> 12));
        same_double(text);
    }
    double none;
    assert_int_equal(textfloat_read(SPAN("1e"), &none), TEXTFLOAT_MALFORMED);
    assert_int_equal(textfloat_read(SPAN("."), &none), TEXTFLOAT_MALFORMED);
    assert_int_equal(textfloat_read(SPAN("12345678x"), &none), TEXTFLOAT_MALFORMED);
    assert_int_equal(textfloat_read(SPAN("1e400"), &none), TEXTFLOAT_RANGE);
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),        cmocka_unit_test(arithmetic), cmocka_unit_test(rounding),
        cmocka_unit_test(long_numbers), cmocka_unit_test(far_apart),  cmocka_unit_test(fast_paths),
        cmocka_unit_test(doubles),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
