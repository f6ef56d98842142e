/* Partial states: what parts of an input saved, loaded in another order, is what one run finds. */
#include "transform_fixture.h"

#include "common/pack.h"

static struct sink nothing; /* no row comes there before a run ends */

struct states {
    struct buf list[8];
    size_t n;
};

static void states_done(struct states *s)
{
    for (size_t i = 0; i < s->n; i++)
        buf_done(&s->list[i]);
}

static struct transform *compile(const char *sql, int fd, char ***names, size_t *n)
{
    struct error e = {0};
    int rc;
    json_t *stage = json_pack("{s:s, s:s}", "kind", "transform", "sql", sql);
    char *text = json_dumps(stage, 0);
    struct transform *t = fixture_compile(text, fd, names, n, &e, &rc);
    if (!t)
        fail_msg("%s\n%s", sql, e.detail);
    free(text);
    json_decref(stage);
    return t;
}

/* The state of a run over the whole text. */
static void save(const struct transform *t, const char *csv, char **names, size_t n,
                 struct states *out)
{
    struct error e = {0};
    struct transform_run *r = NULL;
    int fd = fixture_file(span_str(csv));
    assert_int_equal(transform_open(t, &nothing, NULL, NULL, simd_best(), &r, &e), 0);
    assert_int_equal(transform_file(r, fd, &transform_whole_file, (const char *const *)names, n,
                                    &e),
                     0);
    assert_int_equal(transform_save(r, &out->list[out->n++], &e), 0);
    transform_close(r);
    close(fd);
}

static char *answer(const struct transform *t, const struct states *states,
                    struct run_counts *ret_counts)
{
    struct error e = {0};
    struct buf rows = {0};
    struct write w;
    struct transform_run *r = NULL;
    const struct plan *p = transform_plan(t);
    const char *shown[64];
    for (size_t i = 0; i < p->n_shown; i++)
        shown[i] = p->results[i].name;
    assert_int_equal(write_init(&w, WRITE_CSV, shown, p->n_shown, ',', '"', fixture_flush, &rows,
                                &e),
                     0);
    assert_int_equal(transform_open(t, &w.sink, NULL, NULL, simd_best(), &r, &e), 0);
    for (size_t i = states->n; i-- > 0;)
        if (transform_load(r, buf_span(&states->list[i]), &e))
            fail_msg("%s", e.detail);
    assert_int_equal(transform_end(r, &e), 0);
    assert_int_equal(write_end(&w, &e), 0);
    *ret_counts = transform_counts(r);
    transform_close(r);
    write_done(&w);
    buf_byte(&rows, '\0');
    return buf_take_str(&rows);
}

/* Every value that a state can hold: NULL, long decimals, both ends of bigint, texts, NaN. */
static void all_kinds(void **state)
{
    (void)state;
    static const char header[] = "k,n,i,f,s,b\n";
    static const char first[] =
        "k,n,i,f,s,b\n"
        "a,99999999999999999999999999999999999999999999.25,-9223372036854775808,"
        "NaN,é,t\n"
        "a,-1.5,1,2.5,\"q\"\"\nq\",f\n,,,,,\n";
    static const char second[] =
        "k,n,i,f,s,b\n"
        "a,0.000000000000000000000000000000000000000000000000000000000000007,"
        "9223372036854775807,-Infinity,z,\n"
        "\"\",170141183460469231731687303715884105727,7,0.1,\"\",t\n,2,3,4,b,f\n";
    static const char *const queries[] = {
        "SELECT k, count(*), count(n), sum(n), min(n), max(n), avg(i::bigint), sum(i::bigint), "
        "min(i::bigint), max(i::bigint), min(f::float8), max(f::float8), min(s), max(s), bool_and(b), "
        "bool_or(b), count(DISTINCT n), count(DISTINCT s), count(DISTINCT f::float8) FROM input "
        "GROUP BY k ORDER BY k",
        "SELECT count(*), sum(n), max(s), bool_or(b), count(DISTINCT k) FROM input",
        "SELECT n, i::bigint, f::float8, s, b, k FROM input ORDER BY n, s",
        "SELECT n, s FROM input ORDER BY s DESC LIMIT 3 OFFSET 1",
        "SELECT DISTINCT k FROM input ORDER BY k",
        "SELECT n > 0 AS up, b, count(*) FROM input GROUP BY 1, 2 ORDER BY 1, 2",
    };
    char all[2000];
    snprintf(all, sizeof all, "%s%s", first, second + strlen(header));
    for (size_t q = 0; q < ARRAY_LEN(queries); q++) {
        struct states states = {0};
        struct run_counts counts;
        char **names = NULL;
        size_t n = 0;
        int fd = fixture_file(span_str(all));
        struct outcome want = fixture_sql(queries[q], all);
        assert_int_equal(want.rc, 0);
        struct transform *t = compile(queries[q], fd, &names, &n);
        save(t, first, names, n, &states);
        save(t, second, names, n, &states);
        save(t, header, names, n, &states); /* a part without rows */
        char *found = answer(t, &states, &counts);
        assert_string_equal(found, want.rows);
        assert_int_equal(counts.rows, want.counts.rows);
        assert_int_equal(counts.results, want.counts.results);
        free(found);
        outcome_done(&want);
        states_done(&states);
        transform_free(t);
        free(names);
        close(fd);
    }
}

/* LIMIT alone: any rows will do, and no more than are wanted are read or kept. */
static void limit_alone(void **state)
{
    (void)state;
    struct states states = {0};
    struct run_counts counts;
    char **names = NULL;
    size_t n = 0;
    int fd = fixture_file(SPAN("a\n"));
    struct transform *t = compile("SELECT a FROM input LIMIT 2 OFFSET 1", fd, &names, &n);
    save(t, "a\n1\n2\n3\n4\n5\n", names, n, &states);
    save(t, "a\n6\n", names, n, &states);
    char *found = answer(t, &states, &counts);
    assert_string_equal(found, "a\n1\n2\n"); /* the last part came first */
    free(found);
    states_done(&states);
    transform_free(t);
    free(names);
    close(fd);
}

/* What is longer than it may be is told. */
static void limit(void **state)
{
    (void)state;
    static const char csv[] = "k\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
    struct error e = {0};
    struct transform_run *r = NULL;
    struct buf out;
    char **names = NULL;
    size_t n = 0;
    int fd = fixture_file(span_str(csv));
    struct transform *t = compile("SELECT k FROM input ORDER BY k", fd, &names, &n);
    buf_init(&out, 40);
    assert_int_equal(transform_open(t, &nothing, NULL, NULL, simd_best(), &r, &e), 0);
    assert_int_equal(transform_file(r, fd, &transform_whole_file, (const char *const *)names, n,
                                    &e),
                     0);
    assert_int_equal(transform_save(r, &out, &e), ERR_LIMIT);
    transform_close(r);
    buf_done(&out);
    transform_free(t);
    free(names);
    close(fd);
}

static void expect_refused(const struct transform *t, struct span from, const char *detail)
{
    struct error e = {0};
    struct transform_run *r = NULL;
    assert_int_equal(transform_open(t, &nothing, NULL, NULL, simd_best(), &r, &e), 0);
    assert_int_equal(transform_load(r, from, &e), ERR_MALFORMED);
    assert_string_equal(e.detail, detail);
    transform_close(r);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char csv[] = "k,v\na,1.5\nb,2\n";
    struct states states = {0}, other = {0};
    struct buf later = {0};
    char **names = NULL, **same = NULL;
    size_t n = 0;
    int fd = fixture_file(span_str(csv));
    struct transform *t = compile("SELECT k, sum(v), max(k) FROM input GROUP BY k", fd, &names, &n);
    struct transform *u = compile("SELECT k, sum(v), min(k) FROM input GROUP BY k", fd, &same, &n);
    save(t, csv, names, n, &states);
    save(u, csv, names, n, &other);
    struct span whole = buf_span(&states.list[0]);
    expect_refused(t, buf_span(&other.list[0]), "a partial state of another query");
    pack_u64(&later, STATE_VERSION + 1);
    expect_refused(t, buf_span(&later), "a partial state of version 2, 1 is known here");
    expect_refused(t, SPAN(""), "a partial state that is cut or damaged");
    struct span cut = {whole.p, whole.len - 1};
    expect_refused(t, cut, "a partial state that is cut or damaged");
    transform_free(t);
    transform_free(u);
    free(names);
    free(same);
    states_done(&states);
    states_done(&other);
    buf_done(&later);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds),
        cmocka_unit_test(limit_alone),
        cmocka_unit_test(limit),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
