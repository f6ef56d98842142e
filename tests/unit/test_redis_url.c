/* URLs of Redis: their parts, what is refused and why, and the places that a cluster names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "worker/sinks/redis_nodes.h"
#include "worker/sinks/redis_url.h"

static void good_urls(void **state)
{
    static const struct {
        const char *url, *host, *user, *password;
        unsigned port, database, n;
        bool tls;
    } rows[] = {
        {"redis://h", "h", NULL, NULL, 6379, 0, 1, false},
        {"redis://h/", "h", NULL, NULL, 6379, 0, 1, false},
        {"rediss://cache.example.org:6380/15", "cache.example.org", NULL, NULL, 6380, 15, 1, true},
        {"redis://:secret@h", "h", NULL, "secret", 6379, 0, 1, false},
        {"redis://me@h", "h", "me", NULL, 6379, 0, 1, false},
        {"redis://me:@h", "h", "me", "", 6379, 0, 1, false},
        {"redis://m%65:a%3a%40%2Fb:c@h:1", "h", "me", "a:@/b:c", 1, 0, 1, false},
        {"redis://[::1]", "::1", NULL, NULL, 6379, 0, 1, false},
        {"redis://[fe80::1]:7000/3", "fe80::1", NULL, NULL, 7000, 3, 1, false},
        {"redis://a:7000,b,[::2]:7002/0", "a", NULL, NULL, 7000, 0, 3, false},
        {"unix:///run/redis.sock", "/run/redis.sock", NULL, NULL, 0, 0, 1, false},
        {"unix:///run/a%20b?db=4", "/run/a b", NULL, NULL, 0, 4, 1, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_url u;
        struct error e = {0};
        if (redis_url_read(rows[i].url, &u, &e))
            fail_msg("%s: %s", rows[i].url, e.detail);
        assert_string_equal(u.places[0].host, rows[i].host);
        assert_int_equal(u.places[0].port, rows[i].port);
        assert_int_equal(u.n_places, rows[i].n);
        assert_int_equal(u.database, rows[i].database);
        assert_int_equal(u.tls, rows[i].tls);
        assert_int_equal(u.user != NULL, rows[i].user != NULL);
        assert_int_equal(u.password != NULL, rows[i].password != NULL);
        if (u.user)
            assert_string_equal(u.user, rows[i].user);
        if (u.password)
            assert_string_equal(u.password, rows[i].password);
        redis_url_done(&u);
    }
}

static void bad_urls(void **state)
{
    static const struct {
        const char *url, *words;
    } rows[] = {
        {"", "none of redis://"},
        {"redis:/h", "none of redis://"},
        {"REDIS://h", "none of redis://"},
        {"redis://", "a host has 1 to 253"},
        {"redis:///1", "a host has 1 to 253"},
        {"redis://a,,b", "a host has 1 to 253"},
        {"redis://h:", "a port is a number"},
        {"redis://h:0", "a port is a number"},
        {"redis://h:65536", "a port is a number"},
        {"redis://h:99999999999", "a port is a number"},
        {"redis://h:6379x", "a port is a number"},
        {"redis://::1", "brackets"},
        {"redis://[::1", "no host has"},
        {"redis://[::1]x", "brackets"},
        {"redis://h/-1", "database"},
        {"redis://h/1/2", "database"},
        {"redis://h/1000001", "database"},
        {"redis://h?db=1", "nothing may follow"},
        {"redis://h/0#x", "nothing may follow"},
        {"redis://a b", "no host has"},
        {"redis://u:%@h", "password has a percent escape"},
        {"redis://%0:p@h", "user has a percent escape"},
        {"redis://%00@h", "user has a percent escape"},
        {"unix://sock", "absolute path"},
        {"unix:///", "absolute path"},
        {"unix:///a?database=1", "only db=N"},
        {"unix:///a?db=", "database"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_url u;
        struct error e = {0};
        if (redis_url_read(rows[i].url, &u, &e) != ERR_INVALID_ARGUMENT)
            fail_msg("%s: taken", rows[i].url);
        if (!strstr(e.detail, rows[i].words))
            fail_msg("%s: %s", rows[i].url, e.detail);
    }
}

static void too_many_hosts_and_long_paths(void **state)
{
    char url[600] = "redis://h0";
    struct redis_url u;
    struct error e = {0};
    (void)state;
    for (int i = 1; i < REDIS_URL_HOSTS_MAX; i++)
        snprintf(url + strlen(url), sizeof(url) - strlen(url), ",h%d", i);
    assert_int_equal(redis_url_read(url, &u, &e), ERR_OK);
    assert_int_equal(u.n_places, REDIS_URL_HOSTS_MAX);
    redis_url_done(&u);
    strcat(url, ",more");
    assert_int_equal(redis_url_read(url, &u, &e), ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.detail, "16 hosts"));
    snprintf(url, sizeof(url), "unix:///%0120d", 0);
    assert_int_equal(redis_url_read(url, &u, &e), ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.detail, "107 bytes"));
}

static void slots(void **state)
{
    (void)state;
    /* from the specification of Redis Cluster: CRC16 of "123456789" is 31C3 */
    assert_int_equal(redis_nodes_slot(SPAN("123456789")), 0x31c3 % REDIS_SLOTS);
    assert_int_equal(redis_nodes_slot(SPAN("foo")), 12182);
    assert_int_equal(redis_nodes_slot(SPAN("")), 0);
}

static void redirections(void **state)
{
    static const struct {
        const char *words, *host; /* NULL: refused */
        unsigned port, slot;
        bool moved;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 6381, 3999, true},
        {"ASK 16383 node-2.example:7000", "node-2.example", 7000, 16383, false},
        {"MOVED 0 ::1:6379", "::1", 6379, 0, true},
        {"MOVED 5 :6390", "origin", 6390, 5, true}, /* no host: the one that was asked */
        {"MOVED 16384 h:1", NULL, 0, 0, false},
        {"MOVED -1 h:1", NULL, 0, 0, false},
        {"MOVED x h:1", NULL, 0, 0, false},
        {"MOVED 1", NULL, 0, 0, false},
        {"MOVED 1 h", NULL, 0, 0, false},
        {"MOVED 1 h:99999", NULL, 0, 0, false},
        {"ASK ", NULL, 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static struct redis_nodes s;
        const struct redis_node by = {.place = {.host = (char *)"origin", .port = 1}};
        const struct redis_node *to = redis_nodes_redirected(&s, &by, span_str(rows[i].words));
        if (!to != !rows[i].host)
            fail_msg("%s", rows[i].words);
        if (to) {
            assert_string_equal(to->place.host, rows[i].host);
            assert_int_equal(to->place.port, rows[i].port);
        }
        assert_int_equal(s.stale, rows[i].moved);
        if (rows[i].moved)
            assert_ptr_equal(redis_nodes_of(&s, (uint16_t)rows[i].slot), to);
        redis_nodes_done(&s);
    }
}

static void what_was_asked_comes_back_in_order(void **state)
{
    struct redis_node node = {0};
    uint32_t in = 0, out = 0;
    (void)state;
    for (int round = 1; round < 200; round++) { /* the ring wraps and grows */
        for (int i = 0; i < round % 17 + 5; i++, in++)
            assert_true(redis_nodes_asked(&node, in, in));
        for (int i = 0; i < round % 13 + 4 && out < in; i++, out++) {
            const struct redis_asked one = redis_nodes_answered(&node);
            assert_int_equal(one.what, out);
        }
        assert_int_equal(node.n_asked, in - out);
    }
    for (; out < in; out++)
        assert_int_equal(redis_nodes_answered(&node).what, out);
    assert_int_equal(node.asked_bytes, 0);
    free(node.asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls),
        cmocka_unit_test(bad_urls),
        cmocka_unit_test(too_many_hosts_and_long_paths),
        cmocka_unit_test(slots),
        cmocka_unit_test(redirections),
        cmocka_unit_test(what_was_asked_comes_back_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
