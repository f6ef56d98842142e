/* Lookup tables: what FROM may say, what their files must hold, and keys that come again. The
 * answers are compared with PostgreSQL's in tests/e2e/test_transform_oracle.py. */
#include "transform_fixture.h"

static const char tables[] =
    "\"regions\": {\"columns\": {\"code\": \"integer\", \"name\": \"text\"}},"
    "\"prices\": {\"columns\": {\"code\": \"text\", \"price\": \"numeric\"}}";

static int compile(const char *sql, const char *const *names, size_t n, struct transform **ret,
                   struct error *e)
{
    struct buf text = {0};
    buf_printf(&text, "{\"kind\": \"transform\", \"tables\": {%s}, \"sql\": ", tables);
    buf_json_str(&text, span_str(sql));
    buf_str(&text, "}");
    json_t *stage = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(stage);
    int rc = transform_compile(stage, NULL, names, n, ret, e);
    json_decref(stage);
    buf_done(&text);
    return rc;
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *detail;
    } cases[] = {
        {"SELECT 1 FROM input JOIN region ON true",
         "character 26: there is no table \"region\" in \"tables\" (did you mean \"regions\"?)"},
        {"SELECT 1 FROM regions JOIN input ON true", "FROM begins with input"},
        {"SELECT 1 FROM input, regions", "several tables in FROM: write JOIN ... ON"},
        {"SELECT 1 FROM input CROSS JOIN regions", "CROSS JOIN is not supported"},
        {"SELECT 1 FROM input NATURAL JOIN regions", "NATURAL JOIN is not supported"},
        {"SELECT 1 FROM input RIGHT JOIN regions ON id = code", "RIGHT or FULL JOIN"},
        {"SELECT 1 FROM input FULL JOIN regions ON id = code", "RIGHT or FULL JOIN"},
        {"SELECT 1 FROM input JOIN (SELECT 1) x ON true", "a subquery or function in FROM"},
        {"SELECT 1 FROM input JOIN regions ON id > code",
         "a JOIN compares columns of regions by ="},
        {"SELECT 1 FROM input JOIN regions ON id = code OR true",
         "other conditions belong into WHERE"},
        {"SELECT 1 FROM input JOIN regions ON id = code + 1", "a JOIN compares columns of regions"},
        {"SELECT 1 FROM input JOIN regions ON regions.code = code", "a JOIN compares columns"},
        {"SELECT 1 FROM input JOIN regions ON id::text = code", "must be integer, not text"},
        {"SELECT 1 FROM input JOIN regions ON id = regions.cod",
         "regions has no column \"cod\" (did you mean \"code\"?)"},
        {"SELECT 1 FROM input JOIN regions USING (cod)", "USING: the table regions has no column"},
        {"SELECT 1 FROM input JOIN regions r ON id = regions.code",
         "there is no table \"regions\""},
        {"SELECT 1 FROM input JOIN regions ON id = r2.code JOIN regions r2 ON id = r2.code",
         "there is no table \"r2\""},
        {"SELECT 1 FROM input JOIN regions ON id = code JOIN regions ON id = code",
         "two tables are called \"regions\": give one an alias"},
        {"SELECT price FROM input JOIN regions ON id = regions.code JOIN prices ON name = prices.code "
         "WHERE code > 1",
         "column \"code\" is in regions and in prices"},
        {"SELECT * FROM input JOIN regions ON id = code", "* with JOIN is not supported"},
        {"SELECT 1 FROM input JOIN regions ON sum(id) = code", "sum() is not allowed here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        int rc = compile(cases[i].sql, NULL, 0, &t, &e);
        if (rc != ERR_INVALID_SPEC || !strstr(e.detail, cases[i].detail))
            fail_msg("%s\nwanted: %s\nfound: %d %s", cases[i].sql, cases[i].detail, rc, e.detail);
    }
}

static void bad_tables(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\": 1}", "tables.a: an object with \"columns\" is wanted here"},
        {"{\"a\": {}}", "tables.a.columns: an object of names and types is wanted here"},
        {"{\"a\": {\"columns\": {}}}", "tables.a.columns: an object"},
        {"{\"a\": {\"columns\": {\"x\": \"txt\"}}}", "tables.a.columns.x: no type that is known"},
        {"{\"a\": {\"columns\": {\"x\": \"text\"}, \"sql\": \"\"}}", "tables.a"},
        {"{\"a\": {\"columns\": {\"x\": \"text\"}, \"blob\": \"abc\"}}",
         "tables.a.blob: the SHA-256"},
        {"{\"a\": {\"columns\": {\"x\": \"text\"}, \"csv\": {\"quote\": \"\"}}}",
         "tables.a.csv.quote: one ASCII character"},
        {"{\"input\": {\"columns\": {\"x\": \"text\"}}}",
         "tables.input: the rows are called input"},
        {"[]", "tables: an object of at most 16 lookup tables is wanted here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        json_t *stage =
            json_pack("{s:s, s:s, s:o}", "kind", "transform", "sql", "SELECT 1 FROM input",
                      "tables", json_loads(cases[i][0], 0, NULL));
        int rc = transform_compile(stage, NULL, NULL, 0, &t, &e);
        if (rc != ERR_INVALID_SPEC || !strstr(e.detail, cases[i][1]))
            fail_msg("%s\nwanted: %s\nfound: %d %s", cases[i][0], cases[i][1], rc, e.detail);
        json_decref(stage);
    }
}

/* Gives a table its file. */
static int give(struct transform *t, const char *name, const char *csv, struct error *e)
{
    int fd = fixture_file(span_str(csv));
    int rc = transform_table(t, name, fd, e);
    close(fd);
    return rc;
}

static void files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *csv;
        int rc;
        const char *detail;
    } cases[] = {
        {"regions", "code,name\n1,a\nx,b\n", ERR_INVALID_ARGUMENT,
         "the table regions: line 3, column code: BAD_VALUE: 'x'"},
        {"regions", "code,nam\n1,a\n", ERR_INVALID_SPEC,
         "the table regions: the input has no column"},
        {"regions", "", ERR_MALFORMED, "the table regions: the file is empty"},
        {"region", "code,name\n", ERR_INVALID_ARGUMENT, "the table region is none of the stage"},
        {"regions", "code,name\n1,\"a\n", ERR_MALFORMED, "the table regions: a quote"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        assert_int_equal(compile("SELECT name FROM input JOIN regions ON id = code", NULL, 0, &t,
                                 &e),
                         0);
        int rc = give(t, cases[i].name, cases[i].csv, &e);
        if (rc != cases[i].rc || !strstr(e.detail, cases[i].detail))
            fail_msg("wanted: %s\nfound: %d %s", cases[i].detail, rc, e.detail);
        transform_free(t);
    }
}

static void given_once_and_before(void **state)
{
    (void)state;
    struct error e = {0};
    struct transform *t = NULL;
    struct transform_run *r = NULL;
    struct sink nothing = {0};
    assert_int_equal(compile("SELECT name FROM input JOIN regions ON id = code", NULL, 0, &t, &e),
                     0);
    assert_int_equal(transform_n_tables(t), 2);
    assert_null(transform_table_blob(t, 0));
    assert_int_equal(transform_open(t, &nothing, NULL, NULL, simd_best(), &r, &e),
                     ERR_INVALID_ARGUMENT);
    assert_string_equal(e.detail, "the table regions was not given");
    assert_int_equal(give(t, "regions", "name,code\nx,1\n", &e), 0);
    assert_int_equal(give(t, "regions", "again", &e), 0);
    /* prices is not joined, and need not be given */
    assert_int_equal(transform_open(t, &nothing, NULL, NULL, simd_best(), &r, &e), 0);
    static const char *const names[] = {"id", "name"}; /* "name" alone means two columns now */
    int fd = fixture_file(SPAN("id,name\n1,2\n"));
    assert_int_equal(transform_file(r, fd, &transform_whole_file, names, 2, &e), ERR_INVALID_SPEC);
    assert_string_equal(e.detail,
                        "column \"name\" is in the input and in regions: write regions.name");
    close(fd);
    transform_close(r);
    transform_free(t);
}

static int count_rows(struct sink *s, const struct vec *const *columns, const struct sel *sel,
                      struct error *e)
{
    (void)columns;
    (void)e;
    *(size_t *)(void *)(s + 1) += sel->n;
    return ERR_OK;
}

/* Every row of the input matches all rows of the table; texts are made in each round, whose memory
 * must not add up. */
static void many_matches(void **state)
{
    (void)state;
    enum { LEFT = 300, RIGHT = 3000 };
    struct error e = {0};
    struct transform *t = NULL;
    struct transform_run *r = NULL;
    struct {
        struct sink sink;
        size_t n;
    } counter = {.sink.rows = count_rows};
    struct buf left = {0}, right = {0};
    buf_str(&left, "id\n");
    buf_str(&right, "code,name\n");
    for (int i = 0; i < LEFT; i++)
        buf_str(&left, "1\n");
    for (int i = 0; i < RIGHT; i++)
        buf_printf(&right, "1,%0100d\n", i);
    buf_byte(&right, '\0');
    assert_int_equal(compile("SELECT upper(name || id) FROM input JOIN regions ON id = code", NULL,
                             0, &t, &e),
                     0);
    assert_int_equal(give(t, "regions", (const char *)right.data, &e), 0);
    assert_int_equal(transform_open(t, &counter.sink, NULL, NULL, simd_best(), &r, &e), 0);
    static const char *const names[] = {"id"};
    int fd = fixture_file(buf_span(&left));
    if (transform_file(r, fd, &transform_whole_file, names, 1, &e))
        fail_msg("%s", e.detail);
    assert_int_equal(transform_end(r, &e), 0);
    assert_int_equal(counter.n, (size_t)LEFT * RIGHT);
    close(fd);
    transform_close(r);
    transform_free(t);
    buf_done(&left);
    buf_done(&right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),     cmocka_unit_test(bad_tables),
        cmocka_unit_test(files),        cmocka_unit_test(given_once_and_before),
        cmocka_unit_test(many_matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
