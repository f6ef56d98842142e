/* test_scrape_robots.c: robots.c against the rules and examples of RFC 9309. */
#include "worker/scrape/robots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/buf.h"

#define RFC_5_1                                                                                    \
    "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n"                \
    "User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n"       \
    "User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n"                       \
    "User-Agent: quxbot\n"
#define STAR(rules) "user-agent: *\n" rules

struct allow_case {
    const char *name, *text, *agent, *path;
    bool allowed;
};

static const struct allow_case allow_cases[] = {
    {"rfc 5.1: foobot, the named page", RFC_5_1, "foobot/1.0", "/example/page.html", true},
    {"rfc 5.1: foobot, the named gif", RFC_5_1, "foobot/1.0", "/example/allowed.gif", true},
    {"rfc 5.1: foobot, all else", RFC_5_1, "foobot/1.0", "/publications/", false},
    {"rfc 5.1: barbot in a shared group", RFC_5_1, "barbot", "/example/page.html", false},
    {"rfc 5.1: bazbot in a shared group", RFC_5_1, "bazbot", "/example/page.html", false},
    {"rfc 5.1: barbot, all else", RFC_5_1, "barbot", "/x.gif", true},
    {"rfc 5.1: quxbot has an empty group", RFC_5_1, "quxbot", "/example/x.gif", true},
    {"rfc 5.1: another by star, gif", RFC_5_1, "other", "/a/b.gif", false},
    {"rfc 5.1: another by star, gif with a query", RFC_5_1, "other", "/a/b.gif?x", true},
    {"rfc 5.1: another by star, folder", RFC_5_1, "other", "/example/a", false},
    {"rfc 5.1: another by star, allowed", RFC_5_1, "other", "/publications/a.gif", true},
    {"rfc 5.2: longest match",
     "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n",
     "foobot", "/example/page/disallowed.gif", false},
    {"rfc 5.2: the shorter one elsewhere",
     "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n",
     "foobot", "/example/page/x", true},

    {"empty file", "", "drover", "/", true},
    {"no group for us", "user-agent: other\ndisallow: /\n", "drover", "/", true},
    {"rules before any group are nobody's", "disallow: /\n", "drover", "/", true},
    {"a group that names us replaces star", STAR("disallow: /\nuser-agent: drover\nallow: /a\n"),
     "drover/0.1", "/b", true},
    {"star after our group does not count",
     "user-agent: drover\ndisallow: /a\nuser-agent: *\ndisallow: /b\n", "drover", "/b", true},
    {"two groups that name us are one (a)",
     "user-agent: drover\ndisallow: /a\n\nuser-agent: x\ndisallow: /\n\nuser-agent: drover\n"
     "disallow: /b\n",
     "drover", "/a", false},
    {"two groups that name us are one (b)",
     "user-agent: drover\ndisallow: /a\n\nuser-agent: x\ndisallow: /\n\nuser-agent: drover\n"
     "disallow: /b\n",
     "drover", "/b", false},
    {"agent names ignore case", "User-Agent: DROVER\nDisallow: /\n", "Drover/1", "/", false},
    {"agent line with a version", "user-agent: drover/2.0\ndisallow: /\n", "drover/1", "/", false},
    {"a longer name is not ours", "user-agent: drovers\ndisallow: /\n", "drover", "/", true},
    {"a shorter name is not ours", "user-agent: drove\ndisallow: /\n", "drover", "/", true},
    {"unknown lines do not end the agents",
     "user-agent: drover\nnoindex: /x\nuser-agent: b\ndisallow: /\n", "drover", "/", false},
    {"a sitemap line does not end the agents",
     "user-agent: drover\nsitemap: http://h/s\nuser-agent: b\ndisallow: /\n", "drover", "/", false},
    {"a rule ends the agents", "user-agent: drover\ndisallow: /a\nuser-agent: b\ndisallow: /c\n",
     "drover", "/c", true},

    {"empty disallow allows", STAR("disallow:\n"), "d", "/x", true},
    {"prefix", STAR("disallow: /fish\n"), "d", "/fishheads/yummy.html", false},
    {"prefix is case-sensitive", STAR("disallow: /fish\n"), "d", "/Fish.asp", true},
    {"prefix is at the start", STAR("disallow: /fish\n"), "d", "/catfish", true},
    {"folder", STAR("disallow: /fish/\n"), "d", "/fish", true},
    {"trailing star", STAR("disallow: /fish*\n"), "d", "/fish.html", false},
    {"star inside", STAR("disallow: /*.php\n"), "d", "/folder/any.php.file.html", false},
    {"star inside, no match", STAR("disallow: /*.php\n"), "d", "/windows.PHP", true},
    {"star and end", STAR("disallow: /*.php$\n"), "d", "/file.php", false},
    {"star and end, a query follows", STAR("disallow: /*.php$\n"), "d", "/file.php?x", true},
    {"star and end, comes back", STAR("disallow: /*.php$\n"), "d", "/a.php/b.php", false},
    {"two stars", STAR("disallow: /a*b*c\n"), "d", "/axxbyyc", false},
    {"two stars, wrong order", STAR("disallow: /a*b*c\n"), "d", "/axxcyyb", true},
    {"end alone", STAR("disallow: /$\n"), "d", "/", false},
    {"end alone, longer path", STAR("disallow: /$\n"), "d", "/a", true},
    {"dollar inside is itself", STAR("disallow: /a$b\n"), "d", "/a$b", false},
    {"dollar encoded is itself", STAR("disallow: /a%24\n"), "d", "/a$b", false},
    {"star encoded is itself", STAR("disallow: /a-%2A.html\n"), "d", "/a-*.html", false},
    {"star encoded is no wildcard", STAR("disallow: /a-%2a.html\n"), "d", "/a-b.html", true},
    {"no leading slash matches nothing", STAR("disallow: fish\n"), "d", "/fish", true},
    {"pattern begins with a star", STAR("disallow: *.pdf\n"), "d", "/a/b.pdf", false},
    {"query is matched", STAR("disallow: /*?\n"), "d", "/a?b=c", false},
    {"equal length: allow wins", STAR("disallow: /page\nallow: /page\n"), "d", "/page", true},
    {"longer allow wins", STAR("allow: /p\ndisallow: /\n"), "d", "/page", true},
    {"longer disallow wins", STAR("allow: /\ndisallow: /p\n"), "d", "/page", false},
    {"order does not matter", STAR("disallow: /\nallow: /folder\n"), "d", "/folder/page", true},

    {"utf-8 pattern, encoded path", STAR("disallow: /foo/bar/\xE3\x83\x84\n"), "d",
     "/foo/bar/%E3%83%84", false},
    {"encoded pattern, lower case hex", STAR("disallow: /foo/bar/%e3%83%84\n"), "d",
     "/foo/bar/%E3%83%84", false},
    {"needlessly encoded pattern", STAR("disallow: /foo/bar/%62%61%7A\n"), "d", "/foo/bar/baz",
     false},
    {"needlessly encoded path", STAR("disallow: /foo/bar/baz\n"), "d", "/foo/bar/%62%61%7A", false},
    {"an encoded slash is not a slash", STAR("disallow: /a/b\n"), "d", "/a%2Fb", true},
    {"a broken escape is itself", STAR("disallow: /a%zz\n"), "d", "/a%zz", false},
    {"an escape cut at the end", STAR("disallow: /a%4\n"), "d", "/a%4", false},

    {"robots.txt itself", STAR("disallow: /\n"), "d", "/robots.txt", true},
    {"comments and blanks", "  User-Agent : * # all\n\tDisallow :\t/a # not this\n", "d", "/a b",
     false},
    {"carriage returns", "user-agent: *\r\ndisallow: /a\r\n\r\nallow: /a/b\r\n", "d", "/a", false},
    {"old line ends", "user-agent: *\rdisallow: /a\r", "d", "/a", false},
    {"byte order mark", "\xEF\xBB\xBFuser-agent: *\ndisallow: /\n", "d", "/", false},
    {"no line end at the end", "user-agent: *\ndisallow: /", "d", "/", false},
    {"html instead of rules", "<html><body>Not: found</body></html>", "d", "/", true},
    {"empty token takes star", STAR("disallow: /\n"), "", "/", false},
};

static void test_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(allow_cases); i++) {
        const struct allow_case *c = &allow_cases[i];
        struct robots *r = robots_parse(span_str(c->text), robots_token(span_str(c->agent)));
        assert_non_null(r);
        if (robots_allowed(r, span_str(c->path)) != c->allowed)
            fail_msg("%s", c->name);
        robots_free(r);
    }
}

struct delay_case {
    const char *name, *text;
    uint32_t delay_ms;
};

static const struct delay_case delay_cases[] = {
    {"none", STAR("disallow: /\n"), 0},
    {"seconds", STAR("crawl-delay: 10\n"), 10000},
    {"fraction", STAR("Crawl-Delay: 0.25\n"), 250},
    {"too fine a fraction", STAR("crawl-delay: 1.23456\n"), 1234},
    {"absurd", STAR("crawl-delay: 99999999999999999999999\n"), ROBOTS_DELAY_MAX_MS},
    {"not a number", STAR("crawl-delay: soon\n"), 0},
    {"negative", STAR("crawl-delay: -1\n"), 0},
    {"empty", STAR("crawl-delay:\n"), 0},
    {"of another's group", "user-agent: other\ncrawl-delay: 5\n", 0},
    {"ours, not star's", STAR("crawl-delay: 5\nuser-agent: drover\ncrawl-delay: 2\n"), 2000},
    {"star's is forgotten", STAR("crawl-delay: 5\nuser-agent: drover\nallow: /\n"), 0},
};

static void test_delay(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(delay_cases); i++) {
        struct robots *r = robots_parse(span_str(delay_cases[i].text), SPAN("drover"));
        assert_non_null(r);
        if (robots_delay_ms(r) != delay_cases[i].delay_ms)
            fail_msg("%s: %u", delay_cases[i].name, robots_delay_ms(r));
        robots_free(r);
    }
}

static void test_sitemaps(void **state)
{
    (void)state;
    struct robots *r = robots_parse(
        SPAN("Sitemap: https://h/a.xml\nuser-agent: x\nsitemap:https://h/b.xml # two\nsitemap:\n"),
        SPAN("drover"));
    assert_non_null(r);
    assert_int_equal(robots_sitemaps(r), 2);
    assert_string_equal(robots_sitemap(r, 0), "https://h/a.xml");
    assert_string_equal(robots_sitemap(r, 1), "https://h/b.xml");
    robots_free(r);
}

static void test_whole_answers(void **state)
{
    (void)state;
    struct robots *yes = robots_all(true), *no = robots_all(false);
    assert_true(robots_allowed(yes, SPAN("/")));
    assert_false(robots_allowed(no, SPAN("/")));
    robots_free(yes);
    robots_free(no);
    robots_free(NULL);
}

/* Rules after 500 KiB are not read; rules before are. */
static void test_size(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_str(&text, "user-agent: *\ndisallow: /early\n");
    while (text.len < ROBOTS_BYTES_MAX)
        buf_str(&text, "# filler filler filler filler filler filler\n");
    buf_str(&text, "disallow: /late\n");
    struct robots *r = robots_parse(buf_span(&text), SPAN("drover"));
    assert_non_null(r);
    assert_false(robots_allowed(r, SPAN("/early")));
    assert_true(robots_allowed(r, SPAN("/late")));
    robots_free(r);
    buf_done(&text);
}

/* A file made to cost 10^9 comparisons for one path ends early, with the careful answer. */
static void test_hostile_wildcards(void **state)
{
    (void)state;
    struct buf text = {0}, path = {0};
    buf_str(&text, "user-agent: *\n");
    while (text.len < ROBOTS_BYTES_MAX - 100)
        buf_str(&text, "disallow: /*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n");
    buf_str(&path, "/");
    for (int i = 0; i < 4000; i++)
        buf_byte(&path, 'a');
    struct robots *r = robots_parse(buf_span(&text), SPAN("drover"));
    assert_non_null(r);
    assert_false(robots_allowed(r, buf_span(&path)));
    assert_true(robots_allowed(r, SPAN("/b")));
    assert_true(robots_bytes(r) < 4 * ROBOTS_BYTES_MAX);
    robots_free(r);
    buf_done(&text);
    buf_done(&path);
}

static void test_token(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"drover/0.1 (+https://x)", "drover"},
                                           {"My-Bot_x 2", "My-Bot_x"},
                                           {"/", ""},
                                           {"", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span t = robots_token(span_str(cases[i][0]));
        assert_true(span_eq(t, span_str(cases[i][1])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),  cmocka_unit_test(test_delay),
        cmocka_unit_test(test_sitemaps), cmocka_unit_test(test_whole_answers),
        cmocka_unit_test(test_size),     cmocka_unit_test(test_hostile_wildcards),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
