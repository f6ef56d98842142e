/* The scrape stage: what is accepted, and where and how errors say what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/scrape/spec.h"

static int compile(const char *text, struct scrape_spec **ret, struct error *e)
{
    json_error_t json_error;
    json_t *stage = json_loads(text, 0, &json_error);
    if (!stage)
        fail_msg("%s: %s", text, json_error.text);
    int err = scrape_spec_compile(stage, ret, e);
    json_decref(stage);
    return err;
}

static struct scrape_spec *compiled(const char *text)
{
    struct scrape_spec *s = NULL;
    struct error e = {0};
    if (compile(text, &s, &e))
        fail_msg("%s: %s", text, e.detail);
    return s;
}

static void test_errors(void **state)
{
    static const char *const cases[][2] = {
        {"[]", "expected an object, got a list"},
        {"{\"kind\":\"scrap\"}", "kind: expected \"scrape\""},
        {"{\"extrakt\":{}}", "extrakt: unknown key; did you mean \"extract\"?"},
        {"{\"zzz\":1}", "zzz: unknown key; there are: kind extract"},
        {"{\"extract\":[]}", "extract: expected an object of fields, got a list"},
        {"{\"extract\":{}}", "extract: there are no fields"},
        {"{\"extract\":{\"a\":1}}", "extract.a: expected a string or an object, got an integer"},
        {"{\"extract\":{\"a\":{}}}", "extract.a: needs one of css"},
        {"{\"extract\":{\"a\":{\"cs\":\"b\"}}}",
         "extract.a.cs: unknown key; did you mean \"css\"?"},
        {"{\"extract\":{\"a\":{\"css\":7}}}", "extract.a.css: expected a string, got an integer"},
        {"{\"extract\":{\"a\":\"p..x\"}}", "extract.a, character 3: "},
        {"{\"extract\":{\"a\":{\"css\":\"li , , p\"}}}", "extract.a.css, character 6: "},
        {"{\"extract\":{\"a\":\"a[\"}}", "extract.a, character 3: the selector ends too early"},
        {"{\"extract\":{\"a\":\"p:foo\"}}", "extract.a, character 3: "},
        {"{\"extract\":{\"a\":\"p:hover\"}}", "extract.a: the pseudo-class hover is not supported"},
        {"{\"extract\":{\"a\":\"li:nth-child(3n of .y):not(:has(lis:contains(t> a)), d p\"}}",
         "extract.a, character 37: "},
        {"{\"extract\":{\"a\":\"p::after\"}}", "extract.a: character 2: unknown ::after"},
        {"{\"extract\":{\"a\":\"\"}}", "extract.a, character 1: "},
        {"{\"extract\":{\"a\":\"@uri\"}}", "extract.a: unknown source \"@uri\""},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"regex\":\"a(b\"}}}",
         "extract.a.regex, character 4: missing closing parenthesis"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"type\":\"money\"}}}",
         "extract.a.type: unknown type \"money\""},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"jsonld\":\"$.x\"}}}",
         "extract.a: css and jsonld exclude each other"},
        {"{\"extract\":{\"a\":{\"jsonld\":\"$.x[\"}}}", "extract.a.jsonld, character 5: expected"},
        {"{\"extract\":{\"a\":{\"jsonld\":\"x\"}}}",
         "extract.a.jsonld, character 1: a path begins with $"},
        {"{\"extract\":{\"a\":{\"meta\":\"x\",\"attr\":\"href\"}}}", "extract.a: attr needs css"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"list\":true,\"join\":\" \"}}}",
         "extract.a: list and join exclude each other"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"list\":true,\"last\":true}}}",
         "extract.a: first, last and index exclude list and join"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"type\":\"int\",\"default\":\"x\"}}}",
         "extract.a.default: x is not of type int"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"required\":true,\"default\":\"x\"}}}",
         "extract.a.default: a required field has no default"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"type\":\"date\",\"format\":\"%Q\"}}}",
         "extract.a.format: character 2: unknown %"},
        {"{\"extract\":{\"a\":{\"any\":[]}}}", "extract.a.any: the list is empty"},
        {"{\"extract\":{\"a\":{\"any\":[\"b\",{\"css\":\"c\",\"type\":\"int\"}]}}}",
         "extract.a.any[1].type: unknown key"},
        {"{\"extract\":{\"a\":{\"css\":\"b\",\"fields\":{\"c\":{\"css\":\"d[\"}}}}}",
         "extract.a.fields.c.css, character 3: "},
        {"{\"rows\":\"x\"}", "rows: there is no field \"x\""},
        {"{\"extract\":{\"a\":\"b\"},\"rows\":\"a\"}", "rows: the field \"a\" is not a list"},
        {"{\"extract\":{\"u\":\"@url\",\"a\":{\"css\":\"b\",\"list\":true,\"fields\":{\"u\":\"i\"}}},"
         "\"rows\":\"a\"}",
         "rows: \"u\" is the name of two columns"},
        {"{\"robots\":1}", "robots: expected true or false, got an integer"},
        {"{\"timeout_s\":0}", "timeout_s: must be between 0.1 and 3600, not 0"},
        {"{\"redirects\":2.5}", "redirects: expected an integer, got a number"},
        {"{\"headers\":{\"Host\":\"x\"}}", "headers.Host: is set by the worker"},
        {"{\"headers\":{\"X\":\"a\\r\\nb\"}}", "headers.X: the value has a control character"},
        {"{\"headers\":{\"X Y\":\"a\"}}", "headers.X Y: the name has a character"},
        {"{\"user_agent\":\"a\\nb\"}", "user_agent: the value has a control character"},
        {"{\"proxy\":\"socks5://x\"}", "proxy: expected an http:// or https:// URL"},
        {"{\"types\":[\"html\"]}", "types[0]: expected a media type"},
        {"{\"retry\":{\"statuses\":[200]}}", "retry.statuses[0]: expected a status"},
        {"{\"per_host\":{\"concurency\":1}}",
         "per_host.concurency: unknown key; did you mean \"concurrency\"?"},
        {"{\"follow\":{\"css\":[\"a\",\"b[\"]}}", "follow.css[1], character 3: "},
        {"{\"follow\":{\"allow\":[\"(\"]}}", "follow.allow[0], character 2: "},
        {"{\"follow\":{\"domains\":[\"http://x\"]}}", "follow.domains[0]: expected a domain"},
        {"{\"follow\":{\"sitemap\":[\"ftp://x\"]}}", "follow.sitemap[0]: only http and https"},
        {"{\"conditional\":{\"since\":\"soon\"}}", "conditional.since: expected a time"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scrape_spec *s = NULL;
        struct error e = {0};
        int err = compile(cases[i][0], &s, &e);
        if (err != ERR_INVALID_SPEC || e.code != ERR_INVALID_SPEC ||
            strncmp(e.detail, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: got \"%s\"", cases[i][0], e.detail);
        assert_null(s);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct scrape_spec *s = compiled("{\"kind\":\"scrape\"}");
    const struct scrape_http_options *http = scrape_spec_http(s);
    assert_true(http->robots && http->tls_verify && http->cookies && http->autothrottle);
    assert_int_equal(http->timeout_ms, 30000);
    assert_int_equal(http->connect_timeout_ms, 10000);
    assert_int_equal(http->redirects_max, 10);
    assert_int_equal(http->body_max_bytes, 16777216);
    assert_int_equal(http->retry_times, 3);
    assert_int_equal(http->n_retry_statuses, 6);
    assert_int_equal(http->min_speed_s, 10);
    assert_int_equal(scrape_spec_key_limit(s), 8);
    assert_int_equal(scrape_spec_key_delay_ms(s), 0);
    assert_false(scrape_spec_follows(s));
    assert_false(http->conditional);
    struct batch *b = scrape_spec_batch(s);
    assert_non_null(b);
    assert_int_equal(b->n_columns, 3);
    assert_string_equal(b->columns[1].name, "status");
    assert_int_equal(b->columns[1].type, COL_INT64);
    batch_free(b);
    scrape_spec_free(s);
}

static void test_options(void **state)
{
    (void)state;
    struct scrape_spec *s =
        compiled("{\"follow\":{\"depth\":2,\"max_pages\":100,\"domains\":[\"B\xC3\xBC"
                 "cher.Example\"],\"sitemap\":true},"
                 "\"per_host\":{\"concurrency\":2,\"delay_s\":0.5,\"autothrottle\":false},"
                 "\"headers\":{\"X-A\":\"1\"},\"cookies\":{\"sid\":\"abc\"},\"max_bytes\":1000,"
                 "\"types\":[\"Text/HTML\",\"image/*\"],\"retry\":{\"times\":0,\"statuses\":[500]},"
                 "\"min_speed_s\":2.5,\"conditional\":{\"since\":\"2026-01-01T00:00:00Z\"}}");
    const struct scrape_http_options *http = scrape_spec_http(s);
    assert_true(scrape_spec_follows(s));
    assert_int_equal(scrape_spec_pages_max(s), 100);
    assert_int_equal(s->follow.depth_max, 2);
    assert_false(s->follow.same_host); /* domains were given */
    assert_string_equal(s->follow.domains[0], "xn--bcher-kva.example");
    assert_int_equal(scrape_spec_key_limit(s), 2);
    assert_int_equal(scrape_spec_key_delay_ms(s), 500);
    assert_string_equal(http->headers[0].name, "X-A");
    assert_string_equal(http->cookie_list[0].value, "abc");
    assert_int_equal(http->min_speed_s, 3);
    assert_int_equal(http->n_retry_statuses, 1);
    assert_true(http->conditional);
    assert_int_equal(http->modified_since_s, 1767225600);
    assert_true(scrape_spec_type_ok(s, SPAN("text/html; charset=x")));
    assert_true(scrape_spec_type_ok(s, SPAN("IMAGE/png")));
    assert_true(scrape_spec_type_ok(s, SPAN("")));
    assert_true(scrape_spec_type_ok(s, SPAN("application/xml"))); /* sitemaps */
    assert_false(scrape_spec_type_ok(s, SPAN("application/pdf")));
    assert_false(scrape_spec_type_ok(s, SPAN("text/htmlx")));
    scrape_spec_free(s);
}

static void test_columns(void **state)
{
    static const struct {
        const char *name;
        enum col_type type;
    } want[] = {{"t", COL_TEXT},      {"i", COL_INT64}, {"f", COL_FLOAT64},    {"m", COL_DECIMAL},
                {"b", COL_BOOL},      {"d", COL_DATE},  {"dt", COL_TIMESTAMP}, {"u", COL_TEXT},
                {"j", COL_JSON},      {"l", COL_JSON},  {"o", COL_JSON},       {"n", COL_TEXT},
                {"at", COL_TIMESTAMP}};
    (void)state;
    struct scrape_spec *s = compiled(
        "{\"extract\":{\"t\":\"p\",\"i\":{\"css\":\"p\",\"type\":\"int\"},"
        "\"f\":{\"css\":\"p\",\"type\":\"float\"},\"m\":{\"css\":\"p\",\"type\":\"decimal\"},"
        "\"b\":{\"css\":\"p\",\"type\":\"bool\"},\"d\":{\"css\":\"p\",\"type\":\"date\"},"
        "\"dt\":{\"css\":\"p\",\"type\":\"datetime\"},\"u\":{\"css\":\"a\",\"attr\":\"href\","
        "\"type\":\"url\"},\"j\":{\"jsonld\":\"$\",\"type\":\"json\"},\"l\":{\"css\":\"p\","
        "\"list\":true},\"o\":{\"css\":\"p\",\"fields\":{\"x\":\"::text\"}},"
        "\"n\":{\"css\":\"p\",\"join\":\", \"},\"at\":\"@fetched_at\"}}");
    struct batch *b = scrape_spec_batch(s);
    assert_int_equal(b->n_columns, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_string_equal(b->columns[i].name, want[i].name);
        assert_int_equal(b->columns[i].type, want[i].type);
    }
    batch_free(b);
    scrape_spec_free(s);
}

static void test_limits(void **state)
{
    struct buf text = {0};
    struct scrape_spec *s = NULL;
    struct error e = {0};
    (void)state;
    buf_str(&text, "{\"extract\":{\"a\":\"");
    for (int i = 0; i < 20; i++)
        buf_str(&text, "div > ");
    buf_str(&text, "p\"}}");
    buf_byte(&text, 0);
    assert_int_equal(compile((const char *)text.data, &s, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "more than 16 parts"));
    buf_clear(&text);
    buf_str(&text, "{\"extract\":");
    for (int i = 0; i < 10; i++)
        buf_str(&text, "{\"a\":{\"css\":\"p\",\"fields\":");
    buf_str(&text, "{\"a\":\"p\"}");
    for (int i = 0; i < 10; i++)
        buf_str(&text, "}}");
    buf_str(&text, "}");
    buf_byte(&text, 0);
    assert_int_equal(compile((const char *)text.data, &s, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "fields nested deeper than 8"));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_options), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
