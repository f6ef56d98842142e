/* test_shortest.c: doubles as text read back, no digit is too many, and the last one is the nearest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/hash.h"
#include "common/shortest.h"

enum { RANDOM = 300000 };

static void known_texts(void **state UNUSED)
{
    static const struct {
        double x;
        const char *text;
    } cases[] = {
        {0.0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100, "100"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {123456789012345, "123456789012345"},
        {1e14, "100000000000000"},
        {1e15, "1e+15"},
        {1234567890123456, "1.234567890123456e+15"},
        {9007199254740992, "9.007199254740992e+15"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {2.225073858507201e-308, "2.225073858507201e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2251799813685248.5, "2.2517998136852485e+15"},
        {1e100, "1e+100"},
        {1e22, "1e+22"},
        {2e-44, "2e-44"},
        {299792458, "299792458"},
        {0.2435605525970459, "0.2435605525970459"},
    };
    char text[SHORTEST_TEXT_LEN + 1];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        text[shortest_write(cases[i].x, text)] = 0;
        assert_string_equal(text, cases[i].text);
    }
}

/* The number of digits, the zeros at either end left out. */
static int digits_in(const char *text)
{
    int n = 0, zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0'))
            continue;
        n++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

static void check(double x, size_t *ties)
{
    char text[SHORTEST_TEXT_LEN + 1], plain[64];
    text[shortest_write(x, text)] = 0;
    const double back = strtod(text, NULL);
    if (memcmp(&back, &x, sizeof(x)) != 0)
        fail_msg("%a is written %s", x, text);
    const int n = digits_in(text);
    snprintf(plain, sizeof(plain), "%.*e", n - 1, x); /* the nearest of so many digits */
    /* At a power of two the nearest may be a neighbour's: the doubles below are closer. */
    if (strchr(text, 'e') && strncmp(plain, text, strcspn(text, "e")) != 0 &&
        strtod(plain, NULL) == x)
        fail_msg("%a is written %s, nearest is %s", x, text, plain);
    for (int fewer = 1; fewer < n; fewer++) {
        snprintf(plain, sizeof(plain), "%.*e", fewer - 1, x);
        if (strtod(plain, NULL) == x) {
            *ties += 1; /* exactly between two doubles: not relied on */
            return;
        }
    }
}

static void random_doubles(void **state UNUSED)
{
    size_t ties = 0;
    uint64_t seed = 1;
    for (size_t i = 0; i < RANDOM; i++) {
        double x;
        seed = hash_mix(seed + i);
        memcpy(&x, &seed, sizeof(x));
        if (isfinite(x))
            check(x, &ties);
        check((double)(int64_t)(seed % 2000000) / 1000, &ties);
        check((double)(float)((double)(seed % 1000003) / 1000003), &ties);
        check(ldexp(1.0, (int)(seed % 2000) - 1022), &ties);
    }
    assert_true(ties < RANDOM / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts),
        cmocka_unit_test(random_doubles),
    };
    return cmocka_run_group_tests_name("shortest", tests, NULL, NULL);
}
