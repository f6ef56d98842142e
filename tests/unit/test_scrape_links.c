/* Which links of a page are followed, and what becomes of the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/output.h"
#include "worker/scrape/extract.h"

#define START "http://example.com/dir/page.html"

struct run {
    struct scrape_spec *spec;
    struct extract_ctx *ctx;
    struct output *out;
};

static struct run run_page(const char *stage, const char *html, struct extract_page page)
{
    struct run r = {0};
    struct error e = {0};
    json_t *json = json_loads(stage, 0, NULL);
    assert_non_null(json);
    if (scrape_spec_compile(json, &r.spec, &e))
        fail_msg("%s: %s", stage, e.detail);
    json_decref(json);
    r.ctx = extract_ctx_new();
    r.out = output_new(scrape_spec_batch(r.spec));
    assert_non_null(r.ctx);
    assert_non_null(r.out);
    if (!page.url.p)
        page.url = page.requested_url = SPAN(START);
    page.status = 200;
    page.body = span_str(html);
    assert_int_equal(extract_run(r.ctx, r.spec, &page, r.out), ERR_OK);
    return r;
}

static void run_done(struct run *r)
{
    output_free(r->out);
    extract_ctx_free(r->ctx);
    scrape_spec_free(r->spec);
}

static int64_t stat(const struct output *o, const char *name)
{
    for (size_t i = 0; i < o->n_stats; i++)
        if (strcmp(o->stats[i].name, name) == 0)
            return o->stats[i].value;
    return 0;
}

/* The URLs found, each followed by '|'. */
static const char *found(const struct output *o)
{
    static char text[4000];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < o->n_found; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s|", o->found[i].url);
    return text;
}

static void test_follow(void **state)
{
    static const struct {
        const char *name, *stage, *html, *want, *counter;
        int64_t count;
    } cases[] = {
        {"relative, once each", "{\"follow\":true}",
         "<a href=a.html></a><a href='a.html#x'></a><a href=../b>b</a><area href=/c>",
         "http://example.com/dir/a.html|http://example.com/b|http://example.com/c|", "links", 3},
        {"base", "{\"follow\":true}", "<base href='/other/'><base href=/no/><a href=x>",
         "http://example.com/other/x|", "links", 1},
        {"base on another host", "{\"follow\":true}", "<base href='http://o.example/'><a href=x>",
         "", "links_off_host", 1},
        {"other hosts", "{\"follow\":true}",
         "<a href=http://other.example/></a><a href=//sub.example.com/></a>"
         "<a href=https://www.example.com/y></a><a href=http://example.com:81/>",
         "https://www.example.com/y|", "links_off_host", 3},
        {"domains", "{\"follow\":{\"domains\":[\"example.com\"]}}",
         "<a href=http://a.example.com/></a><a href=http://notexample.com/></a>",
         "http://a.example.com/|", "links_off_host", 1},
        {"any host", "{\"follow\":{\"same_host\":false}}", "<a href=http://o.example/>",
         "http://o.example/|", "links", 1},
        {"not http", "{\"follow\":true}",
         "<a href=mailto:a@b></a><a href='javascript:x'></a><a href=tel:1>", "", "links_not_http",
         3},
        {"with a password", "{\"follow\":true}", "<a href=http://u:p@example.com/>", "",
         "links_invalid", 1},
        {"wrong", "{\"follow\":true}", "<a href='http://exa mple.com:x/'>", "", "links_invalid", 1},
        {"extensions", "{\"follow\":true}", "<a href=a.PDF></a><a href=b.zip?x></a><a href=c.php>",
         "http://example.com/dir/c.php|", "links_extension", 2},
        {"extensions wanted", "{\"follow\":{\"skip_extensions\":false}}", "<a href=a.pdf>",
         "http://example.com/dir/a.pdf|", "links", 1},
        {"css", "{\"follow\":{\"css\":\"li.next > a\"}}",
         "<a href=x></a><li class=next><a href=p2>", "http://example.com/dir/p2|", "links", 1},
        {"frames", "{\"follow\":{\"css\":[\"iframe\"]}}", "<iframe src=f></iframe>",
         "http://example.com/dir/f|", "links", 1},
        {"allow", "{\"follow\":{\"allow\":[\"/p/\\\\d+$\",\"^https:\"]}}",
         "<a href=/p/12></a><a href=/p/x></a><a href=https://example.com/>",
         "http://example.com/p/12|https://example.com/|", "links_denied", 1},
        {"deny wins", "{\"follow\":{\"allow\":[\"/p/\"],\"deny\":[\"print\"]}}",
         "<a href=/p/1></a><a href=/p/1?print>", "http://example.com/p/1|", "links_denied", 1},
        {"nofollow is ignored", "{\"follow\":true}", "<a href=x rel=nofollow>",
         "http://example.com/dir/x|", "links", 1},
        {"nofollow", "{\"follow\":{\"nofollow\":true}}",
         "<a href=x rel='external nofollow'></a><a href=y rel=nofollowed>",
         "http://example.com/dir/y|", "links_nofollow", 1},
        {"page nofollow", "{\"follow\":{\"nofollow\":true}}",
         "<meta name=robots content='noindex, nofollow'><a href=x>", "", "pages_nofollow", 1},
        {"no crawl", "{}", "<a href=x>", "", "links", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r = run_page(cases[i].stage, cases[i].html, (struct extract_page){0});
        if (strcmp(found(r.out), cases[i].want) != 0 ||
            stat(r.out, cases[i].counter) != cases[i].count)
            fail_msg("%s: got %s, %s %lld", cases[i].name, found(r.out), cases[i].counter,
                     (long long)stat(r.out, cases[i].counter));
        run_done(&r);
    }
}

static void test_depth(void **state)
{
    (void)state;
    struct extract_page page = {.depth = 1};
    struct run r = run_page("{\"follow\":{\"depth\":2}}", "<a href=x>", page);
    assert_int_equal(r.out->n_found, 1);
    assert_int_equal(r.out->found[0].depth, 2);
    run_done(&r);
    page.depth = 2;
    r = run_page("{\"follow\":{\"depth\":2}}", "<a href=x>", page);
    assert_int_equal(r.out->n_found, 0);
    assert_int_equal(stat(r.out, "pages_at_depth_limit"), 1);
    run_done(&r);
}

static void test_redirected(void **state)
{
    (void)state;
    struct extract_page page = {.url = SPAN("http://new.example/a/"),
                                .requested_url = SPAN("http://old.example/")};
    struct run r =
        run_page("{\"follow\":true}",
                 "<a href=x></a><a href=http://old.example/y></a><a href=http://z.example/>", page);
    assert_string_equal(found(r.out), "http://new.example/a/x|http://old.example/y|");
    run_done(&r);
}

static void test_too_many(void **state)
{
    struct buf html = {0};
    (void)state;
    for (int i = 0; i < 10100; i++)
        buf_printf(&html, "<a href=%d></a>", i);
    buf_byte(&html, 0);
    struct run r = run_page("{\"follow\":true}", (const char *)html.data, (struct extract_page){0});
    assert_int_equal(r.out->n_found, 10000);
    assert_int_equal(stat(r.out, "links_over_limit"), 100);
    buf_done(&html);
    run_done(&r);
}

static void test_scope(void **state)
{
    static const struct {
        const char *stage, *to;
        bool want;
    } cases[] = {
        {"{}", "http://other.example/", true},
        {"{\"follow\":true}", "http://other.example/", false},
        {"{\"follow\":true}", "https://www.example.com/x", true},
        {"{\"follow\":{\"deny\":[\"private\"]}}", "http://example.com/private", false},
        {"{\"follow\":{\"domains\":[\"other.example\"]}}", "http://other.example/", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r = run_page(cases[i].stage, "<p>x", (struct extract_page){0});
        if (extract_in_scope(r.ctx, r.spec, SPAN(START), span_str(cases[i].to)) != cases[i].want)
            fail_msg("%s -> %s", cases[i].stage, cases[i].to);
        run_done(&r);
    }
}

static void test_sitemaps(void **state)
{
    static const char urls[] = "<urlset><url><loc>http://example.com/a</loc></url><url>"
                               "<loc>http://other.example/b</loc></url></urlset>";
    struct span lines[] = {SPAN("http://example.com/one.xml"),
                           SPAN("http://cdn.example/two.xml.gz")};
    (void)state;
    struct run r = run_page("{\"follow\":{\"sitemap\":true}}", "<p>x", (struct extract_page){0});
    assert_string_equal(found(r.out), "http://example.com/sitemap.xml|");
    assert_int_equal(r.out->found[0].depth, 0);
    run_done(&r);
    struct extract_page page = {.robots_sitemaps = lines, .n_robots_sitemaps = 2};
    r = run_page("{\"follow\":{\"sitemap\":true}}", "<base href=http://b.example/><p>x", page);
    assert_string_equal(found(r.out), "http://example.com/one.xml|http://cdn.example/two.xml.gz|");
    run_done(&r);
    r = run_page("{\"follow\":{\"sitemap\":[\"http://Example.com/s.xml\"]}}", "<p>x", page);
    assert_string_equal(found(r.out), "http://example.com/s.xml|");
    run_done(&r);
    r = run_page("{\"follow\":{\"sitemap\":true}}", urls, (struct extract_page){0});
    assert_string_equal(found(r.out), "http://example.com/a|");
    assert_int_equal(r.out->found[0].depth, 1);
    assert_int_equal(stat(r.out, "sitemaps"), 1);
    assert_int_equal(stat(r.out, "links_off_host"), 1);
    assert_int_equal(r.out->rows->n_rows, 0);
    run_done(&r);
    r = run_page("{\"follow\":true}", urls, (struct extract_page){0}); /* not asked for: a page */
    assert_int_equal(r.out->rows->n_rows, 1);
    run_done(&r);
    r = run_page(
        "{\"follow\":{\"sitemap\":true}}",
        "<sitemapindex><sitemap><loc>http://cdn.example/s1.xml</loc></sitemap></sitemapindex>",
        (struct extract_page){0});
    assert_string_equal(found(r.out), "http://cdn.example/s1.xml|");
    run_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follow),     cmocka_unit_test(test_depth),
        cmocka_unit_test(test_redirected), cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_scope),      cmocka_unit_test(test_sitemaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
