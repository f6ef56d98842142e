/* Pages to rows: sources, types, modifiers, selectors, rejects, fill counts, hostile pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/output.h"
#include "worker/scrape/extract.h"

struct run {
    struct scrape_spec *spec;
    struct extract_ctx *ctx;
    struct output *out;
    struct buf rows; /* as NDJSON */
};

static const struct extract_header headers[] = {{SPAN("Server"), SPAN("nginx")},
                                                {SPAN("X-Page"), SPAN(" 7 ")}};

static void run_begin(struct run *r, const char *stage)
{
    struct error e = {0};
    json_error_t json_error;
    json_t *json = json_loads(stage, 0, &json_error);
    *r = (struct run){0};
    if (!json)
        fail_msg("%s: %s", stage, json_error.text);
    if (scrape_spec_compile(json, &r->spec, &e))
        fail_msg("%s: %s", stage, e.detail);
    json_decref(json);
    r->ctx = extract_ctx_new();
    r->out = output_new(scrape_spec_batch(r->spec));
    assert_non_null(r->ctx);
    assert_non_null(r->out);
}

static void run_page(struct run *r, struct span html)
{
    const struct extract_page page = {.url = SPAN("http://example.com/dir/page.html"),
                                      .requested_url = SPAN("http://example.com/asked"),
                                      .status = 203,
                                      .headers = headers,
                                      .n_headers = ARRAY_LEN(headers),
                                      .fetched_at_us = INT64_C(1700000000250000),
                                      .body = html,
                                      .depth = 2};
    assert_int_equal(extract_run(r->ctx, r->spec, &page, r->out), ERR_OK);
    buf_clear(&r->rows);
    batch_write_ndjson(r->out->rows, &r->rows);
}

static void run_done(struct run *r)
{
    buf_done(&r->rows);
    output_free(r->out);
    extract_ctx_free(r->ctx);
    scrape_spec_free(r->spec);
}

static int64_t stat(const struct run *r, const char *name)
{
    for (size_t i = 0; i < r->out->n_stats; i++)
        if (strcmp(r->out->stats[i].name, name) == 0)
            return r->out->stats[i].value;
    return -1;
}

static const char page[] =
    "<!doctype html><html lang=en><head><title> The  &lt;Shop&gt;\n</title>"
    "<meta name=Description content=' A shop '><meta property='og:image' content='/i.png'>"
    "<script type='application/ld+json'>{\"@context\":\"https://schema.org\",\"@graph\":["
    "{\"@type\":\"WebSite\",\"name\":\"Site\"},{\"@type\":[\"Product\",\"Thing\"],\"name\":\"Chair\","
    "\"offers\":[{\"price\":12.5},{\"price\":\"13.00\"}],\"keywords\":[\"a\",\"b\"],\"inStock\":true,"
    "\"brand\":{\"name\":\"Acme\"}}]}</script>"
    "<script type='application/ld+json'>{broken</script></head>"
    "<body><h1 id=top class='page title'>Hello <b>big</b><br>World<script>x()</script></h1>"
    "<div class=a><p>one</p><p class=x>two</p>three<span>four</span></div>"
    "<ul id=list><li data-n=1>First <a href='p/1'>A</a></li><li data-n=2>Second</li>"
    "<li data-n='3 '>Third\xC2\xA0item <a href='HTTP://Other.example'>B</a></li></ul>"
    "<input id=c1 checked><input id=c2 checked=checked><input id=c3 value=no>"
    "<table><tr><td>1</td><td>2</td></tr></table><pre> a\n  b </pre>"
    "<p class=price>Price: &euro;1.234,50 now</p><time datetime='2026-01-31T10:00:00+02:00'>Jan</time>"
    "<div id=json>{\"k\": [1, 2]}</div><my-tag data-x=q>custom</my-tag>"
    "</body></html>";

static void test_fields(void **state)
{
    static const char *const cases[][2] = {
        {"\"title::text\"", "\"The <Shop>\""},
        {"\"h1::text\"", "\"Hello big World\""},
        {"\"h1::own_text\"", "\"Hello World\""},
        {"\"h1\"", "\"Hello big World\""},
        {"\"div.a::text\"", "\"one two threefour\""}, /* a span is inline, a p is not */
        {"\"td::html\"", "\"<td>1</td>\""},
        {"\"tr::inner_html\"", "\"<td>1</td><td>2</td>\""},
        {"\"table::text\"", "\"1 2\""},
        {"\"pre::text\"", "\"a b\""},
        {"{\"css\":\"pre\",\"strip\":false}", "\" a\\n  b \""},
        {"\"li::attr(data-n)\"", "\"1\""},
        {"\"li:nth-child(3)::attr(data-n)\"", "\"3\""},
        {"\"a::attr(title)\"", "null"},
        {"\"nothing::text\"", "null"},
        {"\"@url\"", "\"http://example.com/dir/page.html\""},
        {"\"@requested_url\"", "\"http://example.com/asked\""},
        {"\"@status\"", "203"},
        {"\"@depth\"", "2"},
        {"\"@fetched_at\"", "\"2023-11-14T22:13:20.250000Z\""},
        {"\"@headers.SERVER\"", "\"nginx\""},
        {"{\"source\":\"@headers.x-page\",\"type\":\"int\"}", "7"},
        {"{\"meta\":\"description\"}", "\"A shop\""},
        {"{\"meta\":\"og:image\",\"type\":\"url\"}", "\"http://example.com/i.png\""},
        {"{\"jsonld\":\"$.brand.name\"}", "\"Acme\""},
        {"{\"jsonld\":\"$.offers.price\",\"type\":\"decimal\",\"list\":true}", "[12.5,13.00]"},
        {"{\"jsonld\":\"$.offers[-1].price\",\"type\":\"float\"}", "13"},
        {"{\"jsonld\":\"$.keywords\",\"list\":true}", "[\"a\",\"b\"]"},
        {"{\"jsonld\":\"$.keywords\",\"join\":\"+\"}", "\"a+b\""},
        {"{\"jsonld\":\"$.keywords\",\"type\":\"json\"}", "[\"a\",\"b\"]"},
        {"{\"jsonld\":\"$.inStock\",\"type\":\"bool\"}", "true"},
        {"{\"jsonld\":\"$[?(@.@type=='Product')].name\"}", "\"Chair\""},
        {"{\"jsonld\":\"$.name\",\"list\":true}", "[\"Site\",\"Chair\"]"},
        {"{\"jsonld\":\"$..price\",\"index\":1}", "\"13.00\""},
        {"{\"css\":\"li\",\"last\":true}", "\"Third item B\""},
        {"{\"css\":\"li\",\"index\":1}", "\"Second\""},
        {"{\"css\":\"li\",\"index\":-2}", "\"Second\""},
        {"{\"css\":\"li\",\"index\":9}", "null"},
        {"{\"css\":\"li\",\"index\":-9}", "null"},
        {"{\"css\":\"li\",\"attr\":\"data-n\",\"type\":\"int\",\"list\":true}", "[1,2,3]"},
        {"{\"css\":\"li\",\"list\":true,\"max\":2,\"lower\":true}", "[\"first a\",\"second\"]"},
        {"{\"css\":\"li\",\"join\":\"; \"}", "\"First A; Second; Third item B\""},
        {"{\"css\":\"li\",\"max\":3}", "\"Fir\""},
        {"{\"css\":\"nothing\",\"list\":true}", "[]"},
        {"{\"css\":\"nothing\",\"list\":true,\"default\":[1]}", "[1]"},
        {"{\"css\":\"nothing\",\"default\":\"-\"}", "\"-\""},
        {"{\"css\":\"nothing\",\"type\":\"int\",\"default\":5}", "5"},
        {"{\"css\":\"a\",\"attr\":\"href\",\"type\":\"url\",\"list\":true}",
         "[\"http://example.com/dir/p/1\",\"http://other.example/\"]"},
        {"{\"css\":\".price\",\"type\":\"decimal\",\"regex\":\"([\\\\d.,]+)\"}", "1234.50"},
        {"{\"css\":\".price\",\"regex\":\"nothing\"}", "null"},
        {"{\"css\":\".price\",\"regex\":\"(?:(x)|(now))\"}", "\"now\""},
        {"{\"css\":\".price\",\"type\":\"int\"}", "null"},
        {"{\"css\":\"time\",\"attr\":\"datetime\",\"type\":\"datetime\"}",
         "\"2026-01-31T08:00:00Z\""},
        {"{\"css\":\"time\",\"attr\":\"datetime\",\"type\":\"date\"}", "\"2026-01-31\""},
        {"{\"css\":\"#json\",\"type\":\"json\"}", "{\"k\":[1,2]}"},
        {"{\"css\":\"h1\",\"type\":\"json\"}", "null"},
        {"{\"css\":\"#c1\",\"attr\":\"checked\",\"type\":\"bool\"}", "true"},
        {"{\"css\":\"#c2\",\"attr\":\"checked\",\"type\":\"bool\"}", "true"},
        {"{\"css\":\"#c3\",\"attr\":\"value\",\"type\":\"bool\"}", "false"},
        {"{\"any\":[{\"css\":\"nothing\"},\"h9\",{\"jsonld\":\"$.brand.name\"},\"h1\"]}",
         "\"Acme\""},
        {"{\"any\":[\"h1\",\"li\"],\"type\":\"int\",\"regex\":\"(\\\\d+)\",\"default\":0}", "0"},
        {"{\"any\":[\"td\",\"li\"],\"list\":true,\"type\":\"int\"}", "[1,2]"},
        {"{\"css\":\"div.a\",\"fields\":{\"p\":{\"css\":\"p\",\"list\":true},\"s\":\"span\"}}",
         "{\"p\":[\"one\",\"two\"],\"s\":\"four\"}"},
        {"{\"css\":\"li\",\"list\":true,\"fields\":{\"n\":{\"attr\":\"data-n\",\"type\":\"int\"},"
         "\"link\":{\"css\":\"a\",\"attr\":\"href\",\"required\":true}}}",
         "[{\"n\":1,\"link\":\"p/1\"},{\"n\":3,\"link\":\"HTTP://Other.example\"}]"},
        {"{\"css\":\"nothing\",\"fields\":{\"x\":\"::text\"}}", "null"},
        {"\"my-tag[data-x=q]\"", "\"custom\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;
        struct buf stage = {0}, want = {0};
        buf_printf(&stage, "{\"extract\":{\"f\":%s,\"u\":\"title\"}}", cases[i][0]);
        buf_byte(&stage, 0);
        buf_printf(&want, "{\"f\":%s,\"u\":\"The <Shop>\"}\n", cases[i][1]);
        run_begin(&r, (const char *)stage.data);
        run_page(&r, SPAN(page));
        if (!span_eq(buf_span(&r.rows), buf_span(&want)))
            fail_msg("%s: got %.*s", cases[i][0], (int)r.rows.len, (const char *)r.rows.data);
        buf_done(&stage);
        buf_done(&want);
        run_done(&r);
    }
}

/* How many elements each selector matches. */
static void test_selectors(void **state)
{
    static const char html[] =
        "<div id=d1 class='a b'><p class=x>1</p><div id=d2><p class='x y' lang=en-GB>2</p><p>3</p>"
        "<ul><li>a<li class=m>b<li>c<li>d</ul></div></div><section><div><p title='Foo bar'>4</p>"
        "<b></b><i> </i><em>t</em></div></section><svg><linearGradient/></svg>";
    static const struct {
        const char *css;
        size_t want;
    } cases[] = {
        {"p", 4},
        {"P", 4},
        {"*", 21},
        {".x", 2},
        {".x.y", 1},
        {"#d2 p", 2},
        {"#D2 p", 0},
        {"div p", 4},
        {"div div p", 2},
        {"div > p", 4},
        {"#d1 > p", 1},
        {"body > div > div > p", 2},
        {"body > div div > p", 2},
        {"p + p", 1},
        {"p ~ ul", 1},
        {"li ~ li", 3},
        {"li + li + li", 2},
        {"p.x + div p ~ ul > li", 4},
        {"p, li, p", 8},
        {"[lang]", 1},
        {"[lang|=en]", 1},
        {"[title='Foo bar']", 1},
        {"[title='foo bar']", 0},
        {"[title='foo bar' i]", 1},
        {"[title~=bar]", 1},
        {"[title^=Foo]", 1},
        {"[title$=bar]", 1},
        {"[title*='o b']", 1},
        {"[title*='']", 0},
        {"[class~=a]", 1},
        {"li:first-child", 1},
        {"li:last-child", 1},
        {"li:nth-child(2n)", 2},
        {"li:nth-child(odd)", 2},
        {"li:nth-child(-n+3)", 3},
        {"li:nth-last-child(1)", 1},
        {"li:nth-child(2 of :not(.m))", 1},
        {"p:nth-of-type(2)", 1},
        {"p:only-of-type", 2},
        {"section > div:only-child", 1},
        {"b:empty", 1},
        {"i:empty", 0},
        {":root", 1},
        {"p:not(.x)", 2},
        {"p:not(.x, [title])", 1},
        {":is(p, li).m", 1},
        {":where(ul) li", 4},
        {"div:has(> ul)", 1},
        {"div:has(ul)", 2},
        {"p:has(+ ul)", 1},
        {"p:has(~ ul)", 2},
        {"div:not(:has(ul))", 1},
        {"li:contains(\"b\")", 1},
        {"div:contains(\"3\")", 2},
        {"lineargradient", 1},
        {"section p", 1},
        {"nothing, p", 4},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;
        struct buf stage = {0};
        buf_str(&stage, "{\"extract\":{\"n\":{\"list\":true,\"attr\":\"html\",\"css\":");
        buf_json_str(&stage, span_str(cases[i].css));
        buf_str(&stage, "},\"u\":\"@url\"}}");
        buf_byte(&stage, 0);
        run_begin(&r, (const char *)stage.data);
        run_page(&r, SPAN(html));
        size_t got = (size_t)MAX(stat(&r, "items.n"), (int64_t)0);
        if (got != cases[i].want)
            fail_msg("%s: %zu elements, want %zu", cases[i].css, got, cases[i].want);
        buf_done(&stage);
        run_done(&r);
    }
}

/* A scope of its own: what is selected inside an element. */
static void test_scope(void **state)
{
    static const char html[] = "<div class=o><p>1</p><div><p>2</p></div></div><p>3</p>";
    static const char *const cases[][2] = {
        {"p", "[\"1\",\"2\"]"},     {"> p", "[\"1\"]"},          {":scope > p", "[\"1\"]"},
        {"div p", "[\"1\",\"2\"]"}, /* ancestors outside count, as in querySelectorAll */
        {"> div > p", "[\"2\"]"},   {"body p", "[\"1\",\"2\"]"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;
        struct buf stage = {0}, want = {0};
        buf_printf(&stage,
                   "{\"extract\":{\"o\":{\"css\":\".o\",\"fields\":{\"p\":{\"css\":\"%s\","
                   "\"list\":true}}}}}",
                   cases[i][0]);
        buf_byte(&stage, 0);
        buf_printf(&want, "{\"o\":{\"p\":%s}}\n", cases[i][1]);
        run_begin(&r, (const char *)stage.data);
        run_page(&r, SPAN(html));
        if (!span_eq(buf_span(&r.rows), buf_span(&want)))
            fail_msg("%s: got %.*s", cases[i][0], (int)r.rows.len, (const char *)r.rows.data);
        buf_done(&stage);
        buf_done(&want);
        run_done(&r);
    }
}

static void expect_rows(struct run *r, const char *want)
{
    if (!span_eq(buf_span(&r->rows), span_str(want)))
        fail_msg("got %.*s", (int)r->rows.len, (const char *)r->rows.data);
}

static void expect_reject(struct run *r, size_t n, const char *reason, const char *detail)
{
    assert_int_equal(r->out->n_rejects, n);
    const struct output_reject *last = &r->out->rejects[n - 1];
    assert_string_equal(last->reason, reason);
    assert_string_equal(last->input, "http://example.com/asked");
    if (detail)
        assert_string_equal(last->detail, detail);
}

static void test_rows(void **state)
{
    struct run r;
    (void)state;
    run_begin(&r, "{\"rows\":\"items\",\"extract\":{\"t\":\"title\",\"items\":{\"css\":\"li\","
                  "\"list\":true,\"fields\":{\"sku\":{\"attr\":\"id\",\"required\":true},"
                  "\"text\":\"::text\"}},\"n\":{\"css\":\"b\",\"type\":\"int\"}}}");
    run_page(&r, SPAN("<title>T</title><b>7</b><li id=a>A<li>B<li id=c>"));
    expect_rows(&r, "{\"t\":\"T\",\"sku\":\"a\",\"text\":\"A\",\"n\":7}\n"
                    "{\"t\":\"T\",\"sku\":\"c\",\"text\":null,\"n\":7}\n");
    assert_int_equal(stat(&r, "rows"), 2);
    assert_int_equal(stat(&r, "fill.t"), 2);
    assert_int_equal(stat(&r, "fill.sku"), 2);
    assert_int_equal(stat(&r, "fill.text"), 1);
    assert_int_equal(stat(&r, "fill.n"), 2);
    assert_int_equal(stat(&r, "missing.items.sku"), 1);
    run_page(&r, SPAN("<title>Nothing here</title><p>but text</p>"));
    assert_int_equal(r.out->rows->n_rows, 2);
    assert_int_equal(stat(&r, "pages_without_rows"), 1);
    assert_int_equal(r.out->n_rejects, 0);
    run_page(&r, SPAN("<title>x</title><li>1<li>2"));
    expect_reject(&r, 1, "MISSING_FIELD", "items.sku");
    run_done(&r);
    run_begin(&r,
              "{\"rows\":\"n\",\"extract\":{\"n\":{\"css\":\"li\",\"list\":true,\"type\":\"int\"},"
              "\"u\":\"@status\"}}");
    run_page(&r, SPAN("<li>1<li>x<li>3"));
    expect_rows(&r, "{\"n\":1,\"u\":203}\n{\"n\":3,\"u\":203}\n");
    assert_int_equal(stat(&r, "bad.n"), 1);
    run_done(&r);
}

static void test_rejects(void **state)
{
    struct run r;
    (void)state;
    run_begin(&r,
              "{\"extract\":{\"u\":\"@url\",\"t\":\"h1\",\"p\":{\"css\":\".p\",\"required\":true,"
              "\"type\":\"int\"}}}");
    run_page(&r, SPAN("<h1>x</h1>"));
    expect_reject(&r, 1, "MISSING_FIELD", "p");
    run_page(&r, SPAN("<h1>x</h1><p class=p>none"));
    expect_reject(&r, 2, "MISSING_FIELD", "p");
    assert_int_equal(stat(&r, "bad.p"), 1);
    assert_int_equal(r.out->rows->n_rows, 0);
    assert_int_equal(stat(&r, "fill.t"), -1); /* no row: no fill */
    run_page(&r, SPAN("  \n\0 "));
    expect_reject(&r, 3, "EMPTY_BODY", NULL);
    run_done(&r);
    run_begin(&r, "{\"extract\":{\"u\":\"@url\",\"t\":\"h1\"}}");
    run_page(&r, SPAN("<body><div id=root></div><script src=app.js></script>"));
    expect_reject(&r, 1, "NEEDS_JAVASCRIPT", NULL);
    run_page(&r,
             SPAN("<noscript>Please enable JavaScript to go on. This application needs it, and "
                  "there is nothing to be seen without it, which we are sorry for, but that is "
                  "how it was made. Sorry again for that. Really. It could have been otherwise, "
                  "with pages that hold their text, as they did in the beginning.</noscript>"
                  "<script>x</script>"));
    expect_reject(&r, 2, "NEEDS_JAVASCRIPT", NULL);
    run_page(&r, SPAN("<p>no scripts, no h1")); /* a row without a title, not a reject */
    assert_int_equal(r.out->n_rejects, 2);
    assert_int_equal(r.out->rows->n_rows, 1);
    assert_int_equal(stat(&r, "fill.t"), 0);
    assert_int_equal(stat(&r, "fill.u"), 1);
    run_done(&r);
}

static void test_charset_and_nul(void **state)
{
    struct run r;
    (void)state;
    run_begin(&r, "{\"extract\":{\"t\":\"p\"}}");
    run_page(&r, SPAN("<meta charset=windows-1251><p>\xCF\xF0\0\xE8"));
    expect_rows(&r, "{\"t\":\"При\"}\n");
    run_done(&r);
    run_begin(&r, "{\"extract\":{\"t\":\"p\"}}");
    run_page(&r, SPAN("<meta charset=utf-8><p>a\xFF"
                      "b&#0;c"));
    expect_rows(&r, "{\"t\":\"a\xEF\xBF\xBD"
                    "b\xEF\xBF\xBD"
                    "c\"}\n");
    run_done(&r);
}

/* Longer than the pieces that the parser gets: no boundary may show. */
static void test_long_page(void **state)
{
    struct run r;
    struct buf html = {0}, want = {0};
    (void)state;
    buf_str(&want, "{\"l\":[");
    for (int i = 0; i < 20000; i++) {
        buf_printf(&html, "<p class='x' id=p%d>&eacute;t\xC3\xA9 %d</p>\n", i, i);
        buf_printf(&want, "%s\"\xC3\xA9t\xC3\xA9 %d\"", i ? "," : "", i);
    }
    buf_str(&want, "]}\n");
    run_begin(&r, "{\"extract\":{\"l\":{\"css\":\"p.x\",\"list\":true,\"max\":100000}}}");
    run_page(&r, buf_span(&html));
    assert_true(span_eq(buf_span(&r.rows), buf_span(&want)));
    buf_done(&html);
    buf_done(&want);
    run_done(&r);
}

static void repeat(struct buf *b, const char *unit, size_t bytes)
{
    while (b->len < bytes)
        buf_str(b, unit);
}

/* Pages made to cost much: each must end soon, and say which limit it passed. */
static void test_hostile(void **state)
{
    static const struct {
        const char *start, *unit, *stat;
    } cases[] = {
        {"", "<div>", "html_truncated"},
        {"<div>", "<p><font a=1></p>", NULL},
        {"", "<svg><g>", "html_truncated"},
        {"", "<table><caption>", "html_truncated"},
        {"", "a</x>", NULL},
        {"", "<!---->", "html_truncated"},
        {"", "\0\xFF", NULL},
        {"<p>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ba", "regex_limit"},
        {"", "<i></i>", "selector_limit"},
        {"<a href='", "x", NULL},
        {"<script type='application/ld+json'>", "[", "jsonld_errors"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;
        struct buf html = {0};
        run_begin(&r, "{\"follow\":true,\"extract\":{\"d\":{\"css\":\"section div div div b\"},"
                      "\"n\":{\"css\":\"i:nth-last-child(3n+1)\",\"last\":true},"
                      "\"r\":{\"css\":\"body\",\"regex\":\"(a+)+$\"},"
                      "\"j\":{\"jsonld\":\"$..x\"},\"h\":\"div:has(section p)\"}}");
        buf_str(&html, cases[i].start);
        repeat(&html, cases[i].unit[0] ? cases[i].unit : "x", 4 * 1024 * 1024);
        run_page(&r, buf_span(&html));
        if (cases[i].stat && strcmp(cases[i].stat, "html_truncated") != 0 &&
            stat(&r, cases[i].stat) < 1)
            fail_msg("%s: no %s", cases[i].unit, cases[i].stat);
        buf_done(&html);
        run_done(&r);
    }
}

static void test_hostile_names(void **state)
{
    struct run r;
    struct buf html = {0};
    (void)state;
    buf_str(&html, "<p>first</p><a ");
    for (int i = 0; i < 300000; i++)
        buf_printf(&html, "a%d ", i);
    buf_str(&html, "><p>second");
    run_begin(&r, "{\"extract\":{\"t\":\"p\"}}");
    run_page(&r, buf_span(&html));
    expect_rows(&r, "{\"t\":\"first\"}\n");
    assert_int_equal(stat(&r, "html_truncated"), 1);
    buf_done(&html);
    run_done(&r);
}

/* Nesting is cut at HTML_DEPTH_MAX, and what comes after the deep part is still there. */
static void test_depth(void **state)
{
    struct run r;
    struct buf html = {0};
    (void)state;
    repeat(&html, "<div>", 5 * 3000);
    buf_str(&html, "deep");
    repeat(&html, "</div>", 5 * 3000 + 4 + 6 * 3000);
    buf_str(&html, "<h1>after</h1>");
    run_begin(&r, "{\"extract\":{\"t\":\"h1\",\"b\":\"div div div\"}}");
    run_page(&r, buf_span(&html));
    expect_rows(&r, "{\"t\":\"after\",\"b\":\"deep\"}\n");
    assert_int_equal(stat(&r, "html_truncated"), 1);
    buf_done(&html);
    run_done(&r);
}

/* One context, many pages: nothing of one page shows in the next. */
static void test_reuse(void **state)
{
    struct run r;
    (void)state;
    run_begin(&r, "{\"extract\":{\"t\":\"p\",\"j\":{\"jsonld\":\"$.x\"},\"m\":{\"meta\":\"d\"}}}");
    for (int i = 0; i < 100; i++) {
        run_page(&r, SPAN("<script type='application/ld+json'>{\"x\":1}</script><meta name=d "
                          "content=c><p>one"));
        run_page(&r, SPAN("<p>two"));
    }
    assert_int_equal(r.out->rows->n_rows, 200);
    assert_true(batch_is_null(r.out->rows, 1, 199) && batch_is_null(r.out->rows, 2, 199));
    assert_true(span_eq(batch_get_text(r.out->rows, 1, 198), SPAN("1")));
    run_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_scope),         cmocka_unit_test(test_rows),
        cmocka_unit_test(test_rejects),       cmocka_unit_test(test_charset_and_nul),
        cmocka_unit_test(test_long_page),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_reuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
