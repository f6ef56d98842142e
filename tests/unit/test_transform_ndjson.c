/* NDJSON: what values are, which lines are bad, how paths are written. */
#include "transform_fixture.h"

#include "worker/transform/jsontext.h"

#define STAGE(sql, rest) "{\"kind\":\"transform\",\"sql\":\"" sql "\"," rest "}"

static void expect(const char *stage, const char *lines, const char *rows, const char *rejects)
{
    for (int simd = SIMD_SCALAR; simd <= (int)simd_best(); simd++) {
        struct outcome o =
            fixture_run_parts(stage, span_str(lines), (enum simd)simd, &transform_whole_file, 1);
        if (o.rc)
            fail_msg("%s", o.e.detail);
        assert_string_equal(strchr(o.rows, '\n') + 1, rows);
        assert_string_equal(o.rejects, rejects);
        outcome_done(&o);
    }
}

static void values(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text; /* text as CSV; "" is NULL */
    } cases[] = {
        {"1", "1"},
        {"-0.50", "-0.50"},
        {"1E+2", "1E+2"},
        {"true", "true"},
        {"false", "false"},
        {"null", ""},
        {"\"\"", "\"\""},
        {"\"null\"", "null"},
        {"\"a\\tb\\u0041\\/\\\\\"", "a\tbA/\\"},
        {"\"\\\"\"", "\"\"\"\""},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "é€😀"},
        {"\"日本\"", "日本"},
        {" { \"b\" : [ 1 , {} ] } ", "\"{ \"\"b\"\" : [ 1 , {} ] }\""},
        {"[]", "[]"},
        {"\"a string of more than eight bytes, with a \\n in it\"",
         "\"a string of more than eight bytes, with a \n in it\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[400], want[400];
        snprintf(line, sizeof line, "{\"x\":0,\"a\":%s,\"y\":[]}", cases[i].json);
        snprintf(want, sizeof want, "%s\n", cases[i].text);
        expect(STAGE("SELECT a FROM input", "\"ndjson\":{}"), line, want, "");
    }
}

static void types(void **state)
{
    (void)state;
    expect(STAGE("SELECT n + 1, i::integer, f::float8 * 2, NOT b FROM input", "\"ndjson\":{}"),
           "{\"n\":12.50,\"i\":7,\"f\":1e300,\"b\":true}\n"
           "{\"n\":\"-3\",\"i\":\"8\",\"f\":\"0.5\",\"b\":\"no\"}\n"
           "{\"n\":1e2,\"b\":false}\n"
           "{\"n\":123456789012345678901234567890.5}\n"
           "{\"n\":\"\"}\n{\"i\":1.5}\n{\"b\":[]}\n{\"n\":\"\\u0031\"}\n",
           "13.50,7,2e+300,f\n-2,8,1,t\n101,,,t\n123456789012345678901234567891.5,,,\n2,,,\n",
           "5 BAD_VALUE n 0 \n6 BAD_VALUE i 0 1.5\n7 BAD_VALUE b 0 []\n");
}

/* Any order, keys that come again, keys with escapes, keys that are not there. */
static void members(void **state)
{
    (void)state;
    expect(
        STAGE("SELECT a, b FROM input", "\"ndjson\":{}"),
        "{\"a\":1,\"b\":2}\n{\"b\":3,\"a\":4}\n{\"c\":0,\"a\":5}\n{}\n{\"a\":6,\"a\":null,\"b\":7,\"b\":8}\n"
        "{\"\\u0061\":9,\"x\":{\"a\":0},\"b\":\"z\"}\n\n \t\r\n{\"a\":10}\r\n",
        "1,2\n4,3\n5,\n,\n,8\n9,z\n10,\n", "");
}

static void bad_lines(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{",
        "}",
        "[1]",
        "1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":'b'}",
        "{\"a\":\"b}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "{\"a\":\"\t\"}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "\"a\"",
        "{\"a\":\"\\",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char lines[200], want[200];
        snprintf(lines, sizeof lines, "{\"a\":1}\n%s\n{\"a\":2}", bad[i]);
        snprintf(want, sizeof want, "2 BAD_JSON - 0 %s\n", bad[i]);
        expect(STAGE("SELECT a FROM input", "\"ndjson\":{}"), lines, "1\n2\n", want);
    }
    expect(STAGE("SELECT a FROM input", "\"ndjson\":{},\"on_error\":\"null\""), "{\"a\":1}\nx\n",
           "1\n", "2 BAD_JSON - 0 x\n");
    struct outcome o =
        fixture_run(STAGE("SELECT a FROM input", "\"ndjson\":{},\"on_error\":\"fail\""),
                    "{\"a\":1}\n{x\n");
    assert_int_equal(o.rc, ERR_INVALID_ARGUMENT);
    assert_string_equal(o.e.detail, "line 2: BAD_JSON: '{x'");
    outcome_done(&o);
}

/* Strings that are JSON, and no text. */
static void bad_texts(void **state)
{
    (void)state;
    expect(STAGE("SELECT a FROM input", "\"ndjson\":{}"),
           "{\"a\":\"\\ud800\"}\n{\"a\":\"\\udc00x\"}\n{\"a\":\"\\u0000\"}\n{\"a\":\"\xff\"}\n"
           "{\"a\":\"\\ud800\\u0041\"}\n{\"b\":\"\\ud800\"}\n",
           "\n",
           "1 BAD_TEXT a 0 \\ud800\n2 BAD_TEXT a 0 \\udc00x\n3 BAD_TEXT a 0 \\u0000\n"
           "4 BAD_TEXT a 0 \xff\n5 BAD_TEXT a 0 \\ud800\\u0041\n");
    expect(STAGE("SELECT a FROM input", "\"ndjson\":{},\"on_error\":\"null\""),
           "{\"a\":\"\\ud800\"}\n", "\n", "");
}

static void paths(void **state)
{
    (void)state;
    expect(
        STAGE("SELECT p + 1, c, f, o, o2, q FROM input",
              "\"ndjson\":{\"columns\":{\"p\":\"$.offer.price\",\"c\":\"$.offer[\\\"a b\\\"]\","
              "\"f\":\"$.list[1].n\",\"o\":\"$.offer\",\"o2\":\"$[\\\"offer\\\"]\"}}"),
        "{\"q\":1,\"offer\":{\"price\":2,\"a b\":\"x\"},\"list\":[{\"n\":0},{\"n\":5}]}\n"
        "{\"list\":{\"1\":{\"n\":9}},\"offer\":[2]}\n"
        "{\"offer\":{\"price\":{}}}\n{\"list\":[0,{\"m\":{\"n\":1}}],\"p\":3}\n",
        "3,x,5,\"{\"\"price\"\":2,\"\"a b\"\":\"\"x\"\"}\",\"{\"\"price\"\":2,\"\"a b\"\":\"\"x\"\"}\",1\n"
        ",,,[2],[2],\n,,,,,\n",
        "3 BAD_VALUE p 0 {}\n");
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *stage, *detail;
    } cases[] = {
        {STAGE("SELECT a FROM input", "\"ndjson\":{\"columns\":{\"a\":\"b\"}}"),
         "ndjson.columns.a: a path such as $.offer.price is wanted here"},
        {STAGE("SELECT a FROM input", "\"ndjson\":{\"columns\":{\"a\":\"$.b..c\"}}"),
         "ndjson.columns.a: character 4 of the path: .key, [\"key\"] or [0] is wanted here, "
         "32 times at most"},
        {STAGE("SELECT a FROM input", "\"ndjson\":{\"columns\":{\"a\":\"$.b[x]\"}}"),
         "ndjson.columns.a: character 4 of the path: .key, [\"key\"] or [0] is wanted here, "
         "32 times at most"},
        {STAGE("SELECT a FROM input", "\"ndjson\":{\"columns\":{\"a\":3}}"),
         "ndjson.columns.a: a path is wanted here"},
        {STAGE("SELECT a FROM input", "\"ndjson\":{\"column\":{}}"),
         "ndjson.column: unknown key (did you mean \"columns\"?)"},
        {STAGE("SELECT a FROM input", "\"ndjson\":{},\"csv\":{}"),
         "ndjson: files are of one kind: csv, ndjson or pcap"},
        {STAGE("SELECT * FROM input", "\"ndjson\":{}"),
         "sql, character 8: * needs the names of the input's columns: list them"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        json_t *stage = json_loads(cases[i].stage, 0, NULL);
        assert_int_equal(transform_compile(stage, NULL, NULL, 0, &t, &e), ERR_INVALID_SPEC);
        assert_string_equal(e.detail, cases[i].detail);
        json_decref(stage);
    }
}

/* Blocks end anywhere; a line may be longer than one, but not than the limit. */
static void long_lines(void **state)
{
    (void)state;
    struct buf lines = {0}, want = {0};
    for (int i = 0; i < 5000; i++) {
        buf_printf(&lines, "{\"n\":%d,\"pad\":\"%*s\",\"s\":\"v%d\"}\n", i, i % 97, "", i);
        if (i == 2500) {
            buf_str(&lines, "{\"pad\":\"");
            for (int k = 0; k < 50000; k++)
                buf_str(&lines, "[{\\\"x");
            buf_str(&lines, "\",\"n\":-1}\n");
        }
        buf_printf(&want, "%d,v%d\n", i, i);
        if (i == 2500)
            buf_str(&want, "-1,\n");
    }
    buf_byte(&lines, '\0');
    buf_byte(&want, '\0');
    expect(STAGE("SELECT n::int, s FROM input", "\"ndjson\":{}"), (const char *)lines.data,
           (const char *)want.data, "");
    buf_clear(&lines);
    buf_str(&lines, "{}\n{\"a\":\"");
    memset(buf_reserve(&lines, LINES_BYTES_MAX), 'x', LINES_BYTES_MAX);
    lines.len += LINES_BYTES_MAX;
    buf_str(&lines, "\"}");
    buf_byte(&lines, '\0');
    struct outcome o =
        fixture_run(STAGE("SELECT a FROM input", "\"ndjson\":{}"), (const char *)lines.data);
    assert_int_equal(o.rc, ERR_LIMIT);
    assert_string_equal(o.e.detail, "line 2 has more than 4194304 bytes");
    outcome_done(&o);
    buf_done(&lines);
    buf_done(&want);
}

static void nesting(void **state)
{
    (void)state;
    struct buf lines = {0};
    for (size_t deep = NDJSON_NESTING_MAX - 1; deep <= NDJSON_NESTING_MAX; deep++) {
        buf_clear(&lines);
        buf_str(&lines, "{\"a\":1,\"b\":");
        for (size_t i = 0; i < deep; i++)
            buf_byte(&lines, '[');
        for (size_t i = 0; i < deep; i++)
            buf_byte(&lines, ']');
        buf_str(&lines, "}\n");
        buf_byte(&lines, '\0');
        struct outcome o =
            fixture_run(STAGE("SELECT a FROM input", "\"ndjson\":{}"), (const char *)lines.data);
        assert_int_equal(o.counts.rejects, deep == NDJSON_NESTING_MAX);
        outcome_done(&o);
    }
    buf_done(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),    cmocka_unit_test(types),      cmocka_unit_test(members),
        cmocka_unit_test(bad_lines), cmocka_unit_test(bad_texts),  cmocka_unit_test(paths),
        cmocka_unit_test(refused),   cmocka_unit_test(long_lines), cmocka_unit_test(nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
