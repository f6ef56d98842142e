/* The compiler: what is refused, where and with which hint; which types columns get. */
#include "transform_fixture.h"

#include "worker/transform/sqltext.h"

static const char header[] = "id,amount,category,day\n";

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *detail;
    } cases[] = {
        {"SELEC id FROM input", "character 1: syntax error at or near \"SELEC\""},
        {"SELECT id FROM input WHERE", "character 27: syntax error at end of input"},
        {"SELECT 'é', id FROM input WHERE )", "character 33: syntax error"},
        {"DELETE FROM input", "only SELECT is allowed"},
        {"SELECT id FROM input; SELECT 1", "one statement is allowed"},
        {"SELECT amonut FROM input",
         "character 8: there is no column \"amonut\" (did you mean \"amount\"?)"},
        {"SELECT 'é', amonut FROM input", "character 13: there is no column"},
        {"SELECT \"Amount\" FROM input", "(did you mean \"amount\"?)"},
        {"SELECT id FROM input WHERE category = \"Toys\"",
         "character 39: there is no column \"Toys\" (a text is written in single quotes)"},
        {"SELECT id FROM input WHERE id == 5",
         "the operator == is not supported (did you mean \"=\"?)"},
        {"SELECT ifnull(id, 0) FROM input", "ifnull() is not supported: write coalesce(x, y)"},
        {"SELECT lowr(id) FROM input",
         "character 8: there is no function \"lowr\" (did you mean \"lower\"?)"},
        {"SELECT id FROM inptu",
         "character 16: there is no table \"inptu\"; the rows are called input"},
        {"SELECT id FROM input JOIN b USING (x)", "there is no table \"b\" in \"tables\""},
        {"SELECT id FROM input, input", "several tables in FROM"},
        {"WITH x AS (SELECT 1) SELECT id FROM input", "character 1: WITH is not supported"},
        {"SELECT 1 FROM input UNION SELECT 2 FROM input",
         "UNION, INTERSECT or EXCEPT is not supported"},
        {"SELECT row_number() OVER () FROM input",
         "character 8: window functions (OVER) are not supported"},
        {"SELECT (SELECT 1) FROM input", "character 8: a subquery is not supported"},
        {"SELECT id FROM input WHERE id IN (SELECT 1)", "a subquery is not supported"},
        {"SELECT DISTINCT ON (id) id FROM input", "DISTINCT ON is not supported"},
        {"SELECT ARRAY[1] FROM input", "ARRAY is not supported"},
        {"SELECT current_date FROM input", "a value that depends on when"},
        {"SELECT id::intger FROM input",
         "character 10: the type intger is not supported (did you mean \"integer\"?)"},
        {"SELECT 'x'::integer FROM input", "character 8: 'x' is no integer"},
        {"SELECT 99999999999::integer + '5x' FROM input", "'5x' is no"},
        {"SELECT lower(amount) FROM input WHERE amount > 0",
         "character 8: there is no lower(numeric): amount is numeric by its use at character 46 (a cast may help)"},
        {"SELECT amount + category FROM input WHERE lower(category) = 'x' AND amount > 0",
         "there is no operator"},
        {"SELECT category FROM input GROUP BY id",
         "character 8: column \"category\" must be in GROUP BY or in an aggregate"},
        {"SELECT id FROM input GROUP BY id HAVING category = 'x'",
         "character 41: column \"category\" must be in GROUP BY or in an aggregate"},
        {"SELECT id, 'n: ' || count(*) AS n FROM input GROUP BY id, 2",
         "character 59: GROUP BY: aggregates stand in SELECT, HAVING and ORDER BY"},
        {"SELECT string_agg(id, ',') AS n FROM input GROUP BY n",
         "character 53: GROUP BY: aggregates stand in"},
        {"SELECT sum(sum(amount)) FROM input", "character 12: an aggregate inside an aggregate"},
        {"SELECT id FROM input WHERE count(*) > 1", "character 28: count() is not allowed here"},
        {"SELECT stddev(DISTINCT amount) FROM input", "DISTINCT is not supported in stddev"},
        {"SELECT string_agg(category, id) FROM input",
         "delimiter of string_agg must be a constant"},
        {"SELECT string_agg(category) FROM input", "string_agg() takes a text and a delimiter"},
        {"SELECT string_agg(category, ',' ORDER BY id) FROM input", "ORDER BY inside an aggregate"},
        {"SELECT array_agg(category) FROM input",
         "array_agg() is not supported: there are no arrays"},
        {"SELECT now() FROM input", "now() is not supported: the answer would depend on when"},
        {"SELECT age(date '2024-01-01') FROM input", "age() is not supported: subtract the two"},
        {"SELECT date '2024-02-30' FROM input", "'2024-02-30' is no date"},
        {"SELECT date '01/05/2024' FROM input", "'01/05/2024' is no date"},
        {"SELECT interval '1 fortnight' FROM input", "'1 fortnight' is no interval"},
        {"SELECT extract(hour from date '2024-01-01') FROM input",
         "extract: there is no unit 'hour' of a date"},
        {"SELECT date_trunc('fortnight', id) FROM input", "there is no unit 'fortnight'"},
        {"SELECT date_trunc(category, id) FROM input", "there is no date_trunc(unknown, unknown)"},
        {"SELECT to_char(id, 'YYYY-MM-DDTHH24') FROM input", "to_char: the pattern DD with TH"},
        {"SELECT to_char(id, 'YYYY foo') FROM input", "to_char: the pattern foo is not supported"},
        {"SELECT to_date(id, 'DD Mon') FROM input", "to_date: the format has no year"},
        {"SELECT to_date(id, 'YYYY IW') FROM input", "the pattern IW is for to_char only"},
        {"SELECT to_date(id, 'YYYY YY') FROM input", "the format has the same field twice"},
        {"SELECT to_timestamp(id, 'YYYY') AT TIME ZONE 'Europe/Berlin' FROM input",
         "timezone: times are UTC here"},
        {"SELECT id ~ '\\bx' FROM input", "\\b means no boundary of words here: write \\y"},
        {"SELECT id ~ '(?<n>a)' FROM input", "(? is known in"},
        {"SELECT id ~ 'a++' FROM input", "two quantifiers one behind the other"},
        {"SELECT id ~ '(' FROM input", "~: the pattern: missing closing parenthesis"},
        {"SELECT id ~ category FROM input", "argument 2 of ~ must be a constant"},
        {"SELECT regexp_replace(id, 'a+?b*', '') FROM input", "make them all alike"},
        {"SELECT regexp_replace(id, 'a', '', 'x') FROM input", "the flag 'x' is not supported"},
        {"SELECT id::json = '{}'::json FROM input", "there is no operator json = json"},
        {"SELECT id::json FROM input ORDER BY 1", "ORDER BY of json, which has no order"},
        {"SELECT id::json FROM input GROUP BY 1", "GROUP BY of json, which has no order"},
        {"SELECT DISTINCT id::json FROM input", "DISTINCT of json, which has no order"},
        {"SELECT greatest(id::json, '{}') FROM input", "json has no order"},
        {"SELECT count(DISTINCT id::json) FROM input", "DISTINCT of json, which has no order"},
        {"SELECT '{\"a\":}'::json FROM input", "is no json"},
        {"SELECT id::json #> '{a,,b}' FROM input", "#>: '{a,,b}' is no path"},
        {"SELECT sum(lower(id)) FROM input", "there is no aggregate sum(text)"},
        {"SELECT id FROM input ORDER BY 2", "character 31: ORDER BY 2: there is no such place"},
        {"SELECT id FROM input LIMIT -1", "LIMIT must be a whole number"},
        {"SELECT id FROM input WHERE 1", "WHERE must be boolean, not integer"},
        {"SELECT CASE WHEN true THEN 1 ELSE lower(id) END FROM input", "CASE has values of type"},
        {"SELECT id FROM input WHERE amount @@ 'x'", "the operator @@ is not supported"},
        {"SELECT substring(id from -1 for 1, 2) FROM input", "syntax error"},
        {"SELECT b.id FROM input", "there is no table \"b\""},
        {"SELECT id FROM input FOR UPDATE", "FOR UPDATE or FOR SHARE is not supported"},
        {"SELECT 1.5::numeric(2000) FROM input", "numeric takes a precision of 1 to 1000 digits"},
        {"", "a SELECT statement is wanted here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = fixture_sql(cases[i].sql, header);
        if (o.rc != ERR_INVALID_SPEC || !strstr(o.e.detail, cases[i].detail))
            fail_msg("%s\nwanted: %s\nfound: %d %s", cases[i].sql, cases[i].detail, o.rc,
                     o.e.detail);
        outcome_done(&o);
    }
}

/* Types of the columns, by what explain says. */
static void types_from_use(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *says;
    } cases[] = {
        {"SELECT id FROM input", "id text"},
        {"SELECT amount FROM input WHERE amount > 0", "amount numeric"},
        {"SELECT amount FROM input WHERE 0 < amount", "amount numeric"},
        {"SELECT amount FROM input WHERE amount > 1.5::float8", "amount double precision"},
        {"SELECT amount::integer FROM input", "amount integer"},
        {"SELECT amount::integer, amount::bigint FROM input", "amount text"},
        {"SELECT amount::integer FROM input WHERE amount > 0", "amount numeric"},
        {"SELECT lower(category) FROM input", "category text"},
        {"SELECT id FROM input WHERE category", "category boolean"},
        {"SELECT id FROM input WHERE NOT category", "category boolean"},
        {"SELECT -amount FROM input", "amount numeric"},
        {"SELECT amount + id FROM input", "amount numeric"},
        {"SELECT coalesce(amount, 0) FROM input", "amount numeric"},
        {"SELECT coalesce(amount, 'x') FROM input", "amount text"},
        {"SELECT CASE WHEN id = 1 THEN amount ELSE 0 END FROM input", "amount numeric"},
        {"SELECT amount FROM input WHERE amount BETWEEN id AND 10", "id numeric"},
        {"SELECT amount FROM input WHERE amount IN (1, 2)", "amount numeric"},
        {"SELECT amount FROM input WHERE amount IN ('1', '2')", "amount text"},
        {"SELECT sum(amount) FROM input", "amount numeric"},
        {"SELECT max(amount) FROM input", "amount text"},
        {"SELECT max(amount) FROM input HAVING max(amount) > 5", "amount numeric"},
        {"SELECT count(amount) FROM input", "amount text"},
        {"SELECT left(category, id) FROM input", "id integer"},
        {"SELECT sqrt(amount) FROM input", "amount double precision"},
        {"SELECT round(amount) FROM input", "amount numeric"},
        {"SELECT greatest(amount, id, 3) FROM input", "id numeric"},
        {"SELECT id FROM input WHERE amount = id AND id > 3", "amount numeric"},
        {"SELECT bool_and(day) FROM input", "day boolean"},
        {"SELECT amount || 'x' FROM input", "amount text"},
        {"SELECT id FROM input WHERE day > date '2024-01-01'", "day date"},
        {"SELECT id FROM input WHERE day > '2024-01-01'", "day text"},
        {"SELECT day::date + 1 FROM input", "day date"},
        {"SELECT day + interval '1 day' FROM input", "day timestamptz"},
        {"SELECT extract(year from day) FROM input", "day timestamptz"},
        {"SELECT date_trunc('month', day) FROM input", "day timestamptz"},
        {"SELECT to_char(day, 'YYYY') FROM input", "day timestamptz"},
        {"SELECT to_date(day, 'YYYYMMDD') FROM input", "day text"},
        {"SELECT id FROM input WHERE category ~ 'x'", "category text"},
        {"SELECT category -> 'a' ->> 0 FROM input", "category json"},
        {"SELECT stddev(amount) FROM input", "amount numeric"},
        {"SELECT string_agg(amount, ',') FROM input", "amount text"},
        {"SELECT substring(category from id) FROM input", "id integer"},
        {"SELECT substring(category from 'a+') FROM input", "category text"},
        {"SELECT lower(id) FROM input WHERE amount > 0",
         "read: amount numeric\nwhere: (amount > 0)\nread where true: id text\n"
         "result lower text: lower(id)\nkernels: >(numeric, numeric), lower(text)\n"},
        {"SELECT category, count(*) FROM input GROUP BY 1",
         "aggregate (partial states merge exactly): count(*)\nresult category text: category\nresult count bigint: count\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        struct buf text = {0};
        json_t *stage = json_pack("{s:s, s:s}", "kind", "transform", "sql", cases[i].sql);
        if (transform_compile(stage, NULL, NULL, 0, &t, &e))
            fail_msg("%s\n%s", cases[i].sql, e.detail);
        transform_explain(t, &text);
        buf_byte(&text, '\0');
        if (!strstr((char *)text.data, cases[i].says))
            fail_msg("%s\nwanted: %s\nfound:\n%s", cases[i].sql, cases[i].says, (char *)text.data);
        buf_done(&text);
        transform_free(t);
        json_decref(stage);
    }
}

static void bad_stages(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"kind\":\"transform\"}", "sql: a SELECT statement is wanted here"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"sqll\":1}", "sqll"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"on_error\":\"nul\"}",
         "on_error: \"reject\", \"null\" or \"fail\" is wanted here (did you mean \"null\"?)"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"csv\":{\"delimiter\":\",,\"}}",
         "csv.delimiter: one ASCII character is wanted here"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"csv\":{\"header\":false}}",
         "csv.names: a file without header needs names"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"csv\":{\"quote\":\",\"}}",
         "csv.quote: the same as the delimiter"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT 1 FROM input\",\"columns\":{\"id\":\"numbr\"}}",
         "columns.id: no type that is known"},
        {"{\"kind\":\"transform\",\"sql\":\"SELECT * FROM input\"}", "* needs the names"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        struct transform *t = NULL;
        json_t *stage = json_loads(cases[i][0], 0, NULL);
        int rc = transform_compile(stage, NULL, NULL, 0, &t, &e);
        if (rc != ERR_INVALID_SPEC || !strstr(e.detail, cases[i][1]))
            fail_msg("%s\nwanted: %s\nfound: %d %s", cases[i][0], cases[i][1], rc, e.detail);
        json_decref(stage);
    }
}

/* As deep and as long as 64 KiB can be: refused or run, never a crash. */
static void deep_queries(void **state)
{
    (void)state;
    static const char *const pieces[] = {"NOT ", "- ",       "(",
                                         "1+",   "a||",      "CASE WHEN true THEN ",
                                         "1,",   "coalesce("};
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        struct buf sql = {0};
        buf_str(&sql, "SELECT ");
        while (sql.len + strlen(pieces[k]) < SQLTEXT_BYTES_MAX - 100)
            buf_str(&sql, pieces[k]);
        buf_str(&sql, " id FROM input");
        buf_byte(&sql, '\0');
        struct outcome o = fixture_sql((char *)sql.data, header);
        assert_int_not_equal(o.rc, ERR_OK);
        assert_true(o.e.detail[0] != '\0');
        outcome_done(&o);
        buf_done(&sql);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(types_from_use),
        cmocka_unit_test(bad_stages),
        cmocka_unit_test(deep_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
