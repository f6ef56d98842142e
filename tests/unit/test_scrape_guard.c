/* test_scrape_guard.c: which addresses guard.c lets through. */
#include "worker/scrape/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>

#include <cmocka.h>

static bool socket_allowed(const struct guard *g, const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return guard_allows(g, (const struct sockaddr *)(const void *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return guard_allows(g, (const struct sockaddr *)(const void *)&in6);
}

static const struct {
    const char *address;
    bool allowed;
} plain[] = {
    {"8.8.8.8", true},
    {"1.1.1.1", true},
    {"93.184.216.34", true},
    {"0.0.0.0", false},
    {"0.1.2.3", false},
    {"9.255.255.255", true},
    {"10.0.0.0", false},
    {"10.255.255.255", false},
    {"11.0.0.0", true},
    {"100.63.255.255", true},
    {"100.64.0.0", false},
    {"100.100.100.200", false},
    {"100.127.255.255", false},
    {"100.128.0.0", true},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"128.0.0.1", true},
    {"168.63.129.16", false},
    {"168.63.129.17", true},
    {"169.253.255.255", true},
    {"169.254.0.0", false},
    {"169.254.169.254", false},
    {"169.255.0.0", true},
    {"172.15.255.255", true},
    {"172.16.0.0", false},
    {"172.31.255.255", false},
    {"172.32.0.0", true},
    {"192.0.0.192", false},
    {"192.0.1.0", true},
    {"192.0.2.1", false},
    {"192.88.99.1", false},
    {"192.167.255.255", true},
    {"192.168.0.0", false},
    {"192.169.0.0", true},
    {"198.17.255.255", true},
    {"198.18.0.0", false},
    {"198.19.255.255", false},
    {"198.20.0.0", true},
    {"198.51.100.9", false},
    {"203.0.113.9", false},
    {"223.255.255.255", true},
    {"224.0.0.1", false},
    {"239.255.255.250", false},
    {"240.0.0.1", false},
    {"255.255.255.255", false},

    {"2606:4700:4700::1111", true},
    {"2a00:1450:4001:82b::200e", true},
    {"::", false},
    {"::1", false},
    {"::ffff:127.0.0.1", false},
    {"::ffff:10.1.2.3", false},
    {"::ffff:8.8.8.8", true},
    {"::127.0.0.1", false},
    {"::ffff:0:10.0.0.1", false},
    {"64:ff9b::7f00:1", false},
    {"64:ff9b::a9fe:a9fe", false},
    {"64:ff9b::808:808", true},
    {"64:ff9b:1::808:808", false},
    {"100::1", false},
    {"2001::1", false},
    {"2001:0:53aa:64c:0:fbff:b4bd:9c21", false},
    {"2001:1ff:ffff::1", false},
    {"2001:200::1", true},
    {"2001:db8::1", false},
    {"2002:7f00:1::1", false},
    {"2002:a00:1::", false},
    {"2002:c0a8:101::1", false},
    {"2002:808:808::1", true},
    {"2600::5efe:10.0.0.1", false},
    {"2600::200:5efe:192.168.0.1", false},
    {"2600::200:5efe:8.8.8.8", true},
    {"3fff:0123::1", false},
    {"4000::1", false},
    {"5f00::1", false},
    {"fc00::1", false},
    {"fd00:ec2::254", false},
    {"fe80::1", false},
    {"febf::1", false},
    {"fec0::1", false},
    {"ff02::1", false},
};

static void test_defaults(void **state)
{
    (void)state;
    struct guard *g = NULL;
    assert_int_equal(guard_new(NULL, &g, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        const char *a = plain[i].address;
        bool expect = plain[i].allowed;
        if (socket_allowed(g, a) != expect)
            fail_msg("socket to %s", a);
        char host[80];
        snprintf(host, sizeof host, strchr(a, ':') ? "[%s]" : "%s", a);
        if (guard_allows_host(g, span_str(host)) != expect)
            fail_msg("host %s", host);
    }
    guard_free(g);
}

static void test_allow_list(void **state)
{
    (void)state;
    static const char *const nets[] = {"127.0.0.0/8", "10.1.2.3", "fd00:1::/32", "172.16.0.0/13",
                                       NULL};
    static const struct {
        const char *address;
        bool allowed;
    } cases[] = {
        {"127.0.0.1", true},      {"::ffff:127.9.9.9", true}, {"64:ff9b::7f00:1", true},
        {"::1", false},           {"10.1.2.3", true},         {"10.1.2.4", false},
        {"fd00:1:5::1", true},    {"fd00:2::1", false},       {"172.23.255.255", true},
        {"172.24.0.0", false},    {"169.254.169.254", false}, {"8.8.8.8", true},
        {"2002:7f00:1::1", true},
    };
    struct guard *g = NULL;
    assert_int_equal(guard_new(nets, &g, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (socket_allowed(g, cases[i].address) != cases[i].allowed)
            fail_msg("%s", cases[i].address);
    guard_free(g);
}

static void test_bad_lists(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "/8",          "10.0.0.0/33",
                                      "10.0.0.0/",  "10.0.0/8",    "fd00::/129",
                                      "localhost",  "10.0.0.0/8x", "10.0.0.0/-1",
                                      "10.0.0.0/ 8"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *const nets[] = {"127.0.0.0/8", bad[i], NULL};
        struct guard *g = NULL;
        struct error e = {0};
        if (guard_new(nets, &g, &e) != ERR_CONFIG)
            fail_msg("accepted \"%s\"", bad[i]);
        assert_non_null(strstr(e.detail, "allow_net: "));
        assert_null(g);
    }
}

static void test_others(void **state)
{
    (void)state;
    struct guard *g = NULL;
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/docker.sock"};
    assert_int_equal(guard_new(NULL, &g, NULL), ERR_OK);
    assert_false(guard_allows(g, (const struct sockaddr *)(const void *)&un));
    assert_true(guard_allows_host(g, SPAN("example.com"))); /* judged when resolved */
    assert_true(guard_allows_host(g, SPAN("localhost")));
    assert_false(guard_allows_host(g, SPAN("")));
    guard_free(g);
    guard_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_allow_list),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
