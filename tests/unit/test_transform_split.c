/* A file cut at every byte gives the rows and rejects, with their lines, of the whole file. */
#include "transform_fixture.h"

#define STAGE(sql, rest) "{\"kind\":\"transform\",\"sql\":\"" sql "\"" rest "}"

/* The range boundary that a wish for `offset` comes to. */
static struct split_point boundary(const char *stage_text, struct span text, uint64_t offset)
{
    struct error e = {0};
    struct transform_cut cut;
    struct split_point p = {0};
    struct transform *t = NULL;
    json_t *stage = json_loads(stage_text, 0, NULL);
    int fd = fixture_file(text);
    assert_int_equal(transform_compile(stage, NULL, NULL, 0, &t, &e), 0);
    assert_true(transform_can_cut(t, fd));
    assert_int_equal(transform_cut_init(&cut, t, fd, transform_whole_file.begin, NULL, &e), 0);
    assert_int_equal(transform_cut_next(&cut, offset, &p, &e), 0);
    transform_cut_done(&cut);
    transform_free(t);
    json_decref(stage);
    close(fd);
    return p;
}

static void cut_everywhere(const char *stage, const char *text)
{
    struct span all = span_str(text);
    struct outcome whole = fixture_run_parts(stage, all, simd_best(), &transform_whole_file, 1);
    assert_int_equal(whole.rc, 0);
    for (uint64_t at = 1; at <= all.len; at++) {
        struct split_point p = boundary(stage, all, at);
        const struct transform_range ranges[] = {{{0, 1}, p.offset}, {p, UINT64_MAX}};
        struct outcome cut = fixture_run_parts(stage, all, simd_best(), ranges, 2);
        assert_true(p.offset >= at);
        assert_int_equal(cut.rc, 0);
        if (strcmp(cut.rows, whole.rows) != 0 || strcmp(cut.rejects, whole.rejects) != 0)
            fail_msg("cut at %llu (%llu): %s\n%s\nwanted: %s\n%s", (unsigned long long)at,
                     (unsigned long long)p.offset, cut.rows, cut.rejects, whole.rows,
                     whole.rejects);
        assert_int_equal(cut.counts.rows, whole.counts.rows);
        outcome_done(&cut);
    }
    outcome_done(&whole);
}

static void csv(void **state)
{
    (void)state;
    static const char nasty[] =
        "\xEF\xBB\xBFid,\"na\"\"me\n\",x\n1,\"a\nb\",2\r\n\r\n\n2,\"\"\"\n,\",3\n"
        "bad,q\"\n\"q,4\n5,x\n6,\"\r\n\r\n\",wrong\n7,é,\"8\"\n\"9\",,";
    cut_everywhere(STAGE("SELECT id::int, \\\"na\\\"\\\"me\\n\\\" AS s, x + 1 FROM input", ""),
                   nasty);
    cut_everywhere(
        STAGE(
            "SELECT x > 2, count(*), max(\\\"na\\\"\\\"me\\n\\\") FROM input GROUP BY 1 ORDER BY 1",
            ""),
        nasty);
}

static void ndjson(void **state)
{
    (void)state;
    static const char nasty[] =
        "\xEF\xBB\xBF{\"a\":1,\"b\":\"x\\n\\\"}{\"}\r\n\n{\"a\":\n{\"b\":\"}\\n{\",\"a\":2.5}\n  \n"
        "{\"c\":{\"d\":\"\\u000a\"}}\nrubbish\r\n{\"a\":\"w\"}\n{\"a\":-7,\"b\":\"é\"}";
    cut_everywhere(STAGE("SELECT a * 2, b, d FROM input",
                         ",\"ndjson\":{\"columns\":{\"d\":\"$.c.d\"}}"),
                   nasty);
    cut_everywhere(STAGE("SELECT a, b FROM input ORDER BY a DESC LIMIT 2", ",\"ndjson\":{}"),
                   nasty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(csv), cmocka_unit_test(ndjson)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
