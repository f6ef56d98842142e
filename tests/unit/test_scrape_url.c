/* Canonical URLs, references, hosts and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/scrape/scrape.h"
#include "worker/scrape/url.h"

static void test_canonical(void **state)
{
    static const struct {
        const char *url, *want; /* NULL: refused */
        size_t key_len;
    } cases[] = {
        {"http://example.com", "http://example.com/", 18},
        {"HTTP://Example.COM:80/a?b#c", "http://example.com/a?b", 18},
        {"https://example.com:443/", "https://example.com/", 19},
        {"http://example.com:8080", "http://example.com:8080/", 23},
        {"http://example.com:08080/", "http://example.com:8080/", 23},
        {"http://example.com?q=1", "http://example.com/?q=1", 18},
        {" http://example.com/a b\n", "http://example.com/a%20b", 18},
        {"http://example.com/a/../b/./c", "http://example.com/b/c", 18},
        {"http://example.com/a/%2E%2e/b", "http://example.com/b", 18},
        {"http://example.com/.hidden", "http://example.com/.hidden", 18},
        {"http://example.com/%7Ex/~x", "http://example.com/%7Ex/~x", 18},
        {"http://example.com/a'b?c'd", "http://example.com/a'b?c%27d", 18},
        {"http://example.com/%?8/`", "http://example.com/%?8/`", 18},
        {"http://example.com/50% off#top", "http://example.com/50%%20off", 18},
        {"http://example.com/50%#a\\b", "http://example.com/50%", 18},
        {"http://example.com/50%2?x=/a/../b\\c", "http://example.com/50%2?x=/a/../b\\c", 18},
        {"http://example.com/%\t2\nE/b", "http://example.com/b", 18},
        {"http://example.com/%/../a%\\b%\"", "http://example.com/a%/b%%22", 18},
        {"http://example.com/x//%-2", "http://example.com/x//%-2", 18},
        {"http://example.com/?a% %2", "http://example.com/?a%%20%2", 18},
        {"http://exa%mple.com/", NULL, 0},
        {"http://1A.:80/B", "http://1a./B", 10},
        {"http:\\\\example.com\\a", "http://example.com/a", 18},
        {"http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a", 21},
        {"http://10.20.30.255", "http://10.20.30.255/", 19},
        {"http://10.20.30.256/", NULL, 0},
        {"http://10.020.30.4/", "http://10.16.30.4/", 17},
        {"http://10.20.300/", "http://10.20.1.44/", 17},
        {"http://1.2.3.4./", "http://1.2.3.4/", 14},
        {"http://a.1.2.3.4/", NULL, 0},
        {"http://1.2.3.4a/", "http://1.2.3.4a/", 15},
        {"http://127.1/", "http://127.0.0.1/", 16},
        {"http://0x7f.0.0.1/", "http://127.0.0.1/", 16},
        {"http://2130706433/", "http://127.0.0.1/", 16},
        {"http://[::1]:80/x", "http://[::1]/x", 12},
        {"http://[::FFFF:1.2.3.4]/", "http://[::ffff:102:304]/", 23},
        {"http://пример.рф/путь", "http://xn--e1afmkfd.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C", 28},
        {"http://b\xC3\xBC"
         "cher.example/",
         "http://xn--bcher-kva.example/", 28},
        {"ftp://example.com/", NULL, 0},
        {"javascript:alert(1)", NULL, 0},
        {"/relative", NULL, 0},
        {"", NULL, 0},
        {"http://", NULL, 0},
        {"http://user:pass@example.com/", NULL, 0},
        {"http://user@example.com/", NULL, 0},
        {"http://exa mple.com/", NULL, 0},
        {"http://example.com:99999/", NULL, 0},
        {"http://1.2.3.4.5/", NULL, 0},
    };
    struct buf out = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error e = {0};
        size_t key_len = 0;
        int err = scrape_url_canonical(span_str(cases[i].url), &out, &key_len, &e);
        if (!cases[i].want) {
            if (err != ERR_INVALID_ARGUMENT || !e.detail[0])
                fail_msg("%s: not refused", cases[i].url);
            continue;
        }
        if (err || !span_eq(buf_span(&out), span_str(cases[i].want)))
            fail_msg("%s: got %.*s %s", cases[i].url, (int)out.len, (const char *)out.data,
                     e.detail);
        assert_int_equal(key_len, cases[i].key_len);
    }
    buf_done(&out);
}

static void test_too_long(void **state)
{
    struct buf url = {0}, out = {0};
    size_t key_len;
    (void)state;
    buf_str(&url, "http://example.com/");
    while (url.len <= URL_BYTES_MAX)
        buf_byte(&url, 'x');
    assert_int_equal(scrape_url_canonical(buf_span(&url), &out, &key_len, NULL),
                     ERR_INVALID_ARGUMENT);
    buf_done(&url);
    buf_done(&out);
}

static void test_resolve(void **state)
{
    static const struct {
        const char *base, *reference, *want;
    } cases[] = {
        {"http://h.example/a/b.html?q#f", "c.html", "http://h.example/a/c.html"},
        {"http://h.example/a/b.html?q/x", "c.html", "http://h.example/a/c.html"},
        {"http://h.example/a/b.html", "/c?d", "http://h.example/c?d"},
        {"http://h.example/a/b.html?q", "#top", "http://h.example/a/b.html?q#top"},
        {"http://h.example/a/b.html?q", "", "http://h.example/a/b.html?q"},
        {"http://h.example/a/b.html?q", "?z=1", "http://h.example/a/b.html?z=1"},
        {"http://h.example/a/b.html", "../../c", "http://h.example/c"},
        {"http://h.example/a/50% b/c", "d%#e", "http://h.example/a/50%%20b/d%#e"},
        {"http://h.example/a/b/", "./c", "http://h.example/a/b/c"},
        {"https://h.example/a", "//other.example/x", "https://other.example/x"},
        {"http://h.example:81/a", "b:c", "b:c"},
        {"http://h.example:81/a", "HTTPS://X.example", "https://x.example/"},
        {"http://h.example/", "mailto:a@b", "mailto:a@b"},
        {"http://h.example/", " d e ", "http://h.example/d%20e"},
        {"http://h.example/", "http://[", NULL},
        {"http://[::1]:8080/a/b", "c", "http://[::1]:8080/a/c"},
    };
    struct url_ctx *u = url_ctx_new();
    (void)state;
    assert_non_null(u);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span got = {0};
        assert_true(url_base_set(u, span_str(cases[i].base)));
        bool ok = url_resolve(u, span_str(cases[i].reference), true, &got);
        if (ok != (cases[i].want != NULL) || (ok && !span_eq(got, span_str(cases[i].want))))
            fail_msg("%s + %s: got %.*s", cases[i].base, cases[i].reference, (int)got.len, got.p);
    }
    assert_false(url_base_set(u, SPAN("not absolute")));
    url_ctx_free(u);
}

static void test_parts(void **state)
{
    struct span url = SPAN("https://a.example.com:444/x?y"), six = SPAN("http://[::1]:81/");
    (void)state;
    assert_true(span_eq(url_host(url), SPAN("a.example.com")));
    assert_true(span_eq(url_path_and_query(url), SPAN("/x?y")));
    assert_true(span_eq(url_host(six), SPAN("[::1]")));
    assert_int_equal(url_key_len(SPAN("mailto:x")), 0);
    assert_true(url_host_in_domain(SPAN("a.example.com"), SPAN("example.com")));
    assert_true(url_host_in_domain(SPAN("example.com"), SPAN("example.com")));
    assert_false(url_host_in_domain(SPAN("badexample.com"), SPAN("example.com")));
    assert_false(url_host_in_domain(SPAN("example.com.evil"), SPAN("example.com")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
