/* The table of functions: every entry has an example, and its answer is right. */
#include "transform_fixture.h"

#include "worker/transform/func.h"

static void csv_line_of(const char *answer, char *to)
{
    bool quoted = strpbrk(answer, ",\"\n") != NULL;
    if (quoted)
        *to++ = '"';
    for (; *answer; answer++) {
        if (*answer == '"')
            *to++ = '"';
        *to++ = *answer;
    }
    strcpy(to, quoted ? "\"\n" : "\n");
}

static void every_example(void **state)
{
    (void)state;
    const struct func *f;
    size_t n = 0;
    for (size_t i = 0; (f = func_at(i)); i++, n++) {
        char sql[300];
        assert_non_null(f->example);
        snprintf(sql, sizeof sql, "SELECT (%s) FROM input", f->example);
        char want[200];
        csv_line_of(f->answer ? f->answer : "", want);
        fixture_expect(sql, "a,b\n1,2\n", want);
    }
    assert_true(n > 100);
}

/* What the examples show as a constant must also hold where a row decides: kernels see vectors. */
static void over_rows(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *csv, *want;
    } cases[] = {
        {"SELECT round(a*1.21, 2) FROM input WHERE a > 0", "a\n10\n-1\n0.5\n2.345\n",
         "12.10\n0.61\n2.84\n"},
        {"SELECT a + b, a - b, a * b, a / b FROM input", "a,b\n1.5,0.25\n10,3\n",
         "1.75,1.25,0.375,6.0000000000000000\n13,7,30,3.3333333333333333\n"},
        {"SELECT lower(trim(a)), length(a) FROM input", "a\n  ÀB \nx\n", "àb,5\nx,1\n"},
        {"SELECT CASE WHEN a > 1 THEN 'big' WHEN a IS NULL THEN 'none' END FROM input",
         "a,b\n2,\n,\n1,\n", "big\nnone\n\n"},
        {"SELECT a IN (1, 2), a NOT IN (1, NULL) FROM input", "a\n1\n3\n", "t,f\nf,\n"},
        {"SELECT coalesce(a, b, 'x') FROM input", "a,b\n,\n,2\n3,\n", "x\n2\n3\n"},
        {"SELECT '' || a, nullif(a, 'x') FROM input", "a,b\n\"\",1\nx,1\n", "\"\",\"\"\nx,\n"},
        {"SELECT a::integer / 0 FROM input WHERE false", "a\n1\n", ""},
        {"SELECT CASE WHEN a = 0 THEN 0 ELSE 1 / a END FROM input", "a\n0\n4\n",
         "0\n0.25000000000000000000\n"},
        {"SELECT a <> 0 AND 1 / a > 0 FROM input", "a\n0\n4\n", "f\nt\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        fixture_expect(cases[i].sql, cases[i].csv, cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example),
        cmocka_unit_test(over_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
