/* Sitemaps: what is one, and which URLs it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/buf.h"
#include "worker/scrape/sitemap.h"

static bool collect(struct span loc, void *user)
{
    struct buf *out = user;
    buf_append(out, loc.p, loc.len);
    buf_byte(out, '|');
    return true;
}

static bool one_only(struct span loc, void *user)
{
    collect(loc, user);
    return false;
}

static void test_locs(void **state)
{
    static const struct {
        const char *name, *text;
        bool plain;
        enum sitemap_kind kind;
        const char *want;
    } cases[] = {
        {"urlset",
         "<?xml version='1.0'?>\n<!-- c --><urlset xmlns=\"x\"><url><loc> http://a/1 </loc>"
         "<lastmod>2026</lastmod></url><url><loc>http://a/2?x=1&amp;y=2</loc></url></urlset>",
         false, SITEMAP_URLS, "http://a/1|http://a/2?x=1&y=2|"},
        {"index", "<sitemapindex><sitemap><loc>http://a/s.xml</loc></sitemap></sitemapindex>",
         false, SITEMAP_INDEX, "http://a/s.xml|"},
        {"prefix",
         "<s:urlset xmlns:s='x'><s:url><s:loc>http://a/1</s:loc><i:loc>http://a/i.png</i:loc>"
         "</s:url></s:urlset>",
         false, SITEMAP_URLS, "http://a/1|"},
        {"cdata and references",
         "<urlset><loc><![CDATA[http://a/&1]]>&#38;&#x41;&#xE9;</loc></urlset>", false,
         SITEMAP_URLS, "http://a/&1&A\xC3\xA9|"},
        {"declared entities",
         "<!DOCTYPE urlset [<!ENTITY a 'x'>]><urlset><loc>http://a/&a;</loc></urlset>", false,
         SITEMAP_NONE, ""},
        {"comment in loc", "<urlset><loc>http://a/<!-- x -->b</loc></urlset>", false, SITEMAP_URLS,
         "http://a/b|"},
        {"cut off", "<urlset><url><loc>http://a/1</loc></url><url><loc>http://a/2", false,
         SITEMAP_URLS, "http://a/1|http://a/2|"},
        {"open quote", "<urlset><url a='><loc>http://a/1</loc>", false, SITEMAP_URLS, ""},
        {"open comment", "<urlset><!-- <loc>http://a/1</loc>", false, SITEMAP_URLS, ""},
        {"empty", "<urlset><loc></loc><loc/></urlset>", false, SITEMAP_URLS, ""},
        {"html", "<!doctype html><html><loc>http://a/1</loc></html>", false, SITEMAP_NONE, ""},
        {"feed", "<rss><loc>http://a/1</loc></rss>", false, SITEMAP_NONE, ""},
        {"nothing", "", false, SITEMAP_NONE, ""},
        {"text", "http://a/1\r\n\r\nhttps://a/2\n", true, SITEMAP_TEXT, "http://a/1|https://a/2|"},
        {"text that is none", "hello\nhttp://a/1", true, SITEMAP_NONE, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf got = {0};
        enum sitemap_kind kind = sitemap_detect(span_str(cases[i].text), cases[i].plain);
        if (kind != cases[i].kind)
            fail_msg("%s: kind %d", cases[i].name, kind);
        sitemap_each(span_str(cases[i].text), kind, collect, &got);
        if (!span_eq(buf_span(&got), span_str(cases[i].want)))
            fail_msg("%s: got %.*s", cases[i].name, (int)got.len, (const char *)got.data);
        buf_done(&got);
    }
}

static void test_stop_and_limits(void **state)
{
    struct buf text = {0}, got = {0};
    (void)state;
    sitemap_each(SPAN("<urlset><loc>a</loc><loc>b</loc></urlset>"), SITEMAP_URLS, one_only, &got);
    assert_true(span_eq(buf_span(&got), SPAN("a|")));
    buf_clear(&got);
    buf_str(&text, "<urlset><loc>http://a/");
    for (int i = 0; i < SITEMAP_LOC_BYTES_MAX; i++)
        buf_byte(&text, 'x');
    buf_str(&text, "</loc><loc>http://a/2</loc></urlset>");
    sitemap_each(buf_span(&text), SITEMAP_URLS, collect, &got);
    assert_true(span_eq(buf_span(&got), SPAN("http://a/2|")));
    buf_done(&text);
    buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locs),
        cmocka_unit_test(test_stop_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
