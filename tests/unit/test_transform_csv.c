/* CSV: the index of every instruction set, blocks, ranges, and what files do to a reader. */
#include "transform_fixture.h"

static const char nasty[] = "id,text,number\r\n"
                            "1,\"two\nlines\",1.5\r\n"
                            "2,\"quote \"\" inside\",2\r\n"
                            "3,,3.25\r\n"
                            "4,\"\",\r\n"
                            "5,\"\r\n\"\"\n\"\"\r\n,\",-5\r\n"
                            "6,mid\"dle, quo\"ted,6\r\n"
                            "\r\n"
                            "7,\xc3\xa9\xe6\x97\xa5,0.007\r\n"
                            "8,\"end\",8";

/* ---- the index ---- */

struct index {
    struct csvindex x;
    uint8_t data[640];
    uint32_t ends[640 + 128], rows[640 + 128];
    uint64_t quotes[16];
};

static void run_index(struct index *i, const uint8_t *data, size_t n, enum simd simd)
{
    memset(i, 0, sizeof *i);
    memcpy(i->data, data, n);
    i->x = (struct csvindex){.data = i->data,
                             .n = n,
                             .delimiter = ',',
                             .quote = '"',
                             .ends = i->ends,
                             .rows = i->rows,
                             .quotes = i->quotes};
    csvindex_run(&i->x, simd);
}

static void all_sets_agree(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {'a', 'b', ',', ',', '"', '\n', '\r', 0, 0xc3, 'x', 'y', 'z'};
    static struct index want, found;
    uint32_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        uint8_t data[300];
        size_t n = (size_t)(round % 300);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            data[i] = bytes[(seed >> 24) % (round % 2 ? sizeof bytes : 6)];
        }
        run_index(&want, data, n, SIMD_SCALAR);
        for (int simd = SIMD_SSE42; simd <= (int)simd_best(); simd++) {
            run_index(&found, data, n, (enum simd)simd);
            assert_int_equal(found.x.n_ends, want.x.n_ends);
            assert_int_equal(found.x.n_rows, want.x.n_rows);
            assert_int_equal(found.x.n_quotes, want.x.n_quotes);
            assert_int_equal(found.x.n_inner_lines, want.x.n_inner_lines);
            assert_int_equal(found.x.plain, want.x.plain);
            assert_int_equal(found.x.in_quote, want.x.in_quote);
            assert_memory_equal(found.ends, want.ends, want.x.n_ends * sizeof(uint32_t));
            assert_memory_equal(found.rows, want.rows, want.x.n_rows * sizeof(uint32_t));
            assert_memory_equal(found.quotes, want.quotes, (n + 63) / 64 * 8);
        }
    }
}

/* ---- ranges ---- */

static int read_at(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct span *left = user;
    (void)e;
    n = MIN(n, (size_t)7); /* in small pieces */
    *ret_n = MIN(n, left->len);
    memcpy(to, left->p, *ret_n);
    *left = (struct span){left->p + *ret_n, left->len - *ret_n};
    return ERR_OK;
}

static struct split_point point_at(struct span text, uint64_t offset)
{
    struct split s;
    struct split_point p;
    struct error e;
    assert_int_equal(split_init(&s, '"', transform_whole_file.begin, read_at, &text, &e), 0);
    assert_int_equal(split_next(&s, offset, &p, &e), 0);
    split_done(&s);
    return p;
}

static void split_everywhere(void **state)
{
    (void)state;
    static const char *const stages[] = {
        "{\"kind\":\"transform\",\"sql\":\"SELECT * FROM input\"}",
        "{\"kind\":\"transform\",\"sql\":\"SELECT count(*), sum(number), avg(number), "
        "count(DISTINCT text), min(text), bool_or(number > 7) FROM input\"}",
        "{\"kind\":\"transform\",\"sql\":\"SELECT length(text), sum(number) FROM input GROUP BY 1 "
        "ORDER BY 1\"}"};
    struct span text = {nasty, sizeof nasty - 1};
    for (size_t k = 0; k < ARRAY_LEN(stages); k++) {
        struct outcome whole = fixture_run(stages[k], nasty);
        assert_int_equal(whole.rc, 0);
        assert_int_equal(whole.counts.rejects, 0);
        for (size_t at = 1; at <= text.len; at++) {
            struct split_point p = point_at(text, at);
            struct transform_range ranges[2] = {{{0, 1}, p.offset}, {p, UINT64_MAX}};
            struct outcome parts = fixture_run_parts(stages[k], text, SIMD_SCALAR, ranges, 2);
            if (strcmp(whole.rows, parts.rows) != 0)
                fail_msg("split at %zu:\n%s\nnot:\n%s", at, parts.rows, whole.rows);
            outcome_done(&parts);
        }
        outcome_done(&whole);
    }
}

/* Rejects name the same lines however the file is cut. */
static void lines_of_rejects(void **state)
{
    (void)state;
    const char *stage = "{\"kind\":\"transform\",\"sql\":\"SELECT id::integer FROM input\"}";
    const char *csv = "id,t\n1,\"a\nb\"\nx,\"c\n\n\"\n3,d\ny,e\n";
    for (size_t at = 1; at < strlen(csv); at++) {
        struct split_point p = point_at(span_str(csv), at);
        struct transform_range ranges[2] = {{{0, 1}, p.offset}, {p, UINT64_MAX}};
        struct outcome o = fixture_run_parts(stage, span_str(csv), simd_best(), ranges, 2);
        assert_string_equal(o.rejects, "4 BAD_VALUE id 0 x\n8 BAD_VALUE id 0 y\n");
        outcome_done(&o);
    }
}

/* ---- files ---- */

static void shapes_of_files(void **state)
{
    (void)state;
    static const struct {
        const char *csv, *want;
    } cases[] = {
        {"a,b\n1,2\n", "1,2\n"},
        {"\xEF\xBB\xBF"
         "a,b\r\n1,2\r\n",
         "1,2\n"},
        {"a,b\n1,2", "1,2\n"},
        {"a,b\n", ""},
        {"a,b", ""},
        {"\"a\",\"b\"\n\"1\",\"x,\"\"y\"\n", "1,\"x,\"\"y\"\n"},
        {"a,b\n\n1,2\n\n", "1,2\n"},
        {"a,b\n1,\n,\"\"\n", "1,\n,\"\"\n"},
        {"a,b\nx\"y,z\"w,2\n", "\"xy,zw\",2\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        fixture_expect("SELECT a, b FROM input", cases[i].csv, cases[i].want);
}

static void ragged_rows(void **state)
{
    (void)state;
    const char *csv = "a,b\n1,2\n3\n4,5,6\n7,8\n";
    char stage[200];
    static const char *const wants[][3] = {{"reject", "a,b\n1,2\n7,8\n",
                                            "3 RAGGED_ROW - 0 3\n4 RAGGED_ROW - 0 4\n"},
                                           {"pad", "a,b\n1,2\n3,\n4,5\n7,8\n", ""}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(stage, sizeof stage,
                 "{\"kind\":\"transform\",\"sql\":\"SELECT a, b FROM input\","
                 "\"csv\":{\"ragged\":\"%s\"}}",
                 wants[i][0]);
        struct outcome o = fixture_run(stage, csv);
        assert_string_equal(o.rows, wants[i][1]);
        assert_string_equal(o.rejects, wants[i][2]);
        outcome_done(&o);
    }
    struct outcome o = fixture_run("{\"kind\":\"transform\",\"sql\":\"SELECT a FROM input\","
                                   "\"csv\":{\"ragged\":\"fail\"}}",
                                   csv);
    assert_int_equal(o.rc, ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(o.e.detail, "line 3 has 1 fields"));
    outcome_done(&o);
}

static void quotes_and_limits(void **state)
{
    (void)state;
    struct outcome o = fixture_sql("SELECT a FROM input", "a\n1\n\"2\n3\n");
    assert_int_equal(o.rc, ERR_MALFORMED);
    assert_non_null(strstr(o.e.detail, "line 3 is never closed"));
    outcome_done(&o);
    /* A row longer than the block, and one longer than any may be. */
    for (size_t mb = 1; mb <= 5; mb += 4) {
        size_t n = mb << 20;
        char *csv = malloc(n + 10), *want = malloc(n + 10);
        memcpy(csv, "a\n", 2);
        memset(csv + 2, 'x', n);
        strcpy(csv + 2 + n, "\ny\n");
        o = fixture_sql("SELECT length(a) FROM input", csv);
        assert_int_equal(o.rc, mb == 1 ? ERR_OK : ERR_LIMIT);
        assert_string_equal(mb == 1 ? o.rows : "length\n1048576\n1\n", "length\n1048576\n1\n");
        outcome_done(&o);
        free(csv);
        free(want);
    }
}

static void other_delimiters(void **state)
{
    (void)state;
    struct outcome o =
        fixture_run("{\"kind\":\"transform\",\"sql\":\"SELECT b, a FROM input\",\"csv\":"
                    "{\"delimiter\":\"\\t\",\"quote\":\"'\",\"names\":[\"a\",\"b\"]}}",
                    "1\t'x''\ty'\n2\t\"\n");
    assert_string_equal(o.rows, "b,a\nx'\ty,1\n\"\"\"\",2\n");
    outcome_done(&o);
}

/* More rows than a block and a piece have, with quotes across every boundary, on every path. */
static void long_files(void **state)
{
    (void)state;
    struct buf csv = {0}, want = {0};
    buf_str(&csv, "id,amount,text\n");
    buf_str(&want, "id,amount,text\n");
    for (int i = 0; i < 30000; i++) {
        const char *text = i % 13 == 0 ? "\"a\nb, \"\"c\"\"\"" : i % 7 == 0 ? "\"\"" : "plain";
        buf_printf(&csv, "%d,%d.%02d,%s\n", i, i % 997, i % 100, text);
        if (i % 997 > 5)
            buf_printf(&want, "%d,%d.%02d,%s\n", i, i % 997, i % 100, text);
    }
    buf_byte(&want, '\0');
    for (int simd = SIMD_SCALAR; simd <= (int)simd_best(); simd++) {
        struct outcome o =
            fixture_run_parts("{\"kind\":\"transform\",\"sql\":\"SELECT id, amount, text "
                              "FROM input WHERE amount >= 6\"}",
                              buf_span(&csv), (enum simd)simd, &transform_whole_file, 1);
        assert_int_equal(o.rc, 0);
        assert_true(strcmp(o.rows, (char *)want.data) == 0);
        assert_int_equal(o.counts.rows, 30000);
        outcome_done(&o);
    }
    buf_done(&csv);
    buf_done(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sets_agree),   cmocka_unit_test(split_everywhere),
        cmocka_unit_test(lines_of_rejects), cmocka_unit_test(shapes_of_files),
        cmocka_unit_test(ragged_rows),      cmocka_unit_test(quotes_and_limits),
        cmocka_unit_test(other_delimiters), cmocka_unit_test(long_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
