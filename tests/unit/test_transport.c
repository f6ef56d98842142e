/* Sockets: CURVE, roles, what strangers may not disturb, and how a lost peer is told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/transport.h"
#include "common/wire.h"

enum { WAIT_MS = 10000 };

static char folder[] = "/tmp/drover-test-transport-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    log_init(LOG_LEVEL_OFF);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A coordinator's side, with or without CURVE. */
struct server {
    struct keys_allow *allow;
    struct keys_pair key;
    struct transport_context *context;
    struct transport *socket;
};

static void server_start(struct server *s, bool curve, uint32_t roles, const char *url)
{
    static unsigned number;
    char path[300];
    struct error e = {0};
    memset(s, 0, sizeof *s);
    snprintf(path, sizeof path, "%s/keys-%u", folder, number++);
    assert_int_equal(keys_allow_open(path, &s->allow, &e), ERR_OK);
    assert_int_equal(keys_generate(&s->key, &e), ERR_OK);
    assert_int_equal(transport_context_new(s->allow, 1, &s->context, &e), ERR_OK);
    struct transport_bind config = {.url = url ? url : "tcp://127.0.0.1:*",
                                    .key = curve ? &s->key : NULL,
                                    .roles = roles};
    int rc = transport_bind(s->context, &config, &s->socket, &e);
    if (rc)
        fail_msg("bind: %s", e.detail);
}

static void server_stop(struct server *s)
{
    transport_free(s->socket);
    transport_context_free(s->context);
    keys_allow_free(s->allow);
}

static struct keys_pair authorize(struct server *s, enum keys_role role, const char *name)
{
    struct keys_pair pair;
    struct keys_entry k = {.role = role};
    assert_int_equal(keys_generate(&pair, NULL), ERR_OK);
    snprintf(k.name, sizeof k.name, "%s", name);
    memcpy(k.public_z85, pair.public_z85, sizeof k.public_z85);
    assert_int_equal(keys_allow_add(s->allow, &k, NULL), ERR_OK);
    return pair;
}

static struct transport *client_of(struct transport_context *c, const struct server *s,
                                   const struct keys_pair *key)
{
    struct transport *t = NULL;
    struct error e = {0};
    struct transport_connect config = {.url = transport_url(s->socket),
                                       .key = key,
                                       .server_key = s->key.public_z85};
    int rc = transport_connect(c, &config, &t, &e);
    if (rc)
        fail_msg("connect: %s", e.detail);
    return t;
}

/* Waits until transport_problem says want. */
static void await_state(struct transport *t, int want)
{
    uint64_t end = clock_ms() + WAIT_MS;
    struct error e = {0};
    while (transport_problem(t, &e) != want) {
        struct transport_item item = {.transport = t, .fd = -1};
        if (clock_ms() > end)
            fail_msg("waited for %s: %s", err_name((enum err)want), e.detail);
        transport_wait(&item, 1, 100);
    }
}

static void await_message(struct transport *t, struct transport_message *m)
{
    uint64_t end = clock_ms() + WAIT_MS;
    struct error e = {0};
    int rc;
    while ((rc = transport_recv(t, m, &e)) == ERR_UNAVAILABLE) {
        struct transport_item item = {.transport = t, .fd = -1};
        if (clock_ms() > end)
            fail_msg("no message came");
        transport_wait(&item, 1, 100);
    }
    if (rc)
        fail_msg("recv: %s", e.detail);
}

static void send_ok(struct transport *t, const struct transport_peer *peer, struct span data)
{
    struct error e = {0};
    int rc = transport_send(t, peer, data, &e);
    if (rc)
        fail_msg("send: %s", e.detail);
}

/* One question and its answer. */
static void ping(struct server *s, struct transport *client, enum keys_role role, const char *user)
{
    struct transport_message m;
    await_state(client, ERR_OK);
    send_ok(client, NULL, SPAN("ping"));
    await_message(s->socket, &m);
    assert_true(span_eq(m.data, SPAN("ping")));
    assert_int_equal(m.role, role);
    assert_true(span_eq(m.user, span_str(user)));
    assert_string_equal(m.address, "127.0.0.1");
    send_ok(s->socket, &m.peer, SPAN("pong"));
    transport_message_done(&m);
    await_message(client, &m);
    assert_true(span_eq(m.data, SPAN("pong")));
    transport_message_done(&m);
}

static void only_loopback_without_keys(void **state)
{
    static const struct {
        const char *url;
        bool loopback;
    } rows[] = {
        {"tcp://127.0.0.1:7700", true},
        {"tcp://127.9.8.7:7700", true},
        {"tcp://localhost:7700", true},
        {"tcp://[::1]:7700", true},
        {"ipc:///tmp/x", true},
        {"inproc://x", true},
        {"tcp://0.0.0.0:7700", false},
        {"tcp://*:7700", false},
        {"tcp://[::]:7700", false},
        {"tcp://10.0.0.5:7700", false},
        {"tcp://eth0:7700", false},
        {"tcp://127.0.0.1.example.org:7700", false},
        {"tcp://[::ffff:10.0.0.5]:1", false},
        {"tcp://127.0.0.1", false},
        {"http://127.0.0.1:1", false},
        {"", false},
    };
    struct transport_context *c;
    struct transport *t;
    struct error e = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (transport_is_loopback(rows[i].url) != rows[i].loopback)
            fail_msg("%s", rows[i].url);
    assert_int_equal(transport_context_new(NULL, 1, &c, &e), ERR_OK);
    struct transport_bind config = {.url = "tcp://0.0.0.0:*", .roles = KEYS_WORKER};
    assert_int_equal(transport_bind(c, &config, &t, &e), ERR_AUTH);
    assert_non_null(strstr(e.detail, "not a loopback address"));
    config.url = "nonsense";
    assert_int_equal(transport_bind(c, &config, &t, &e), ERR_INVALID_ARGUMENT);
    transport_context_free(c);
}

static void address_in_use_is_said(void **state)
{
    struct server s;
    struct transport *t;
    struct error e = {0};
    (void)state;
    server_start(&s, false, KEYS_CLIENT, NULL);
    struct transport_bind config = {.url = transport_url(s.socket)};
    assert_int_equal(transport_bind(s.context, &config, &t, &e), ERR_IO);
    assert_non_null(strstr(e.detail, "in use"));
    server_stop(&s);
}

static void messages_go_both_ways(void **state)
{
    (void)state;
    for (int curve = 0; curve < 2; curve++) {
        struct server s;
        struct transport_context *c;
        server_start(&s, curve, KEYS_WORKER, NULL);
        struct keys_pair key = authorize(&s, KEYS_WORKER, "w-7");
        assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
        struct transport *client = client_of(c, &s, curve ? &key : NULL);
        ping(&s, client, curve ? KEYS_WORKER : KEYS_ADMIN, curve ? "w-7" : "");
        transport_free(client);
        transport_context_free(c);
        server_stop(&s);
    }
}

static void keys_that_are_not_allowed_are_refused(void **state)
{
    struct server s;
    struct transport_context *c;
    struct keys_pair stranger;
    struct transport_message m;
    struct error e = {0};
    (void)state;
    server_start(&s, true, KEYS_WORKER, NULL);
    struct keys_pair worker = authorize(&s, KEYS_WORKER, "w"),
                     ann = authorize(&s, KEYS_CLIENT, "ann");
    assert_int_equal(keys_generate(&stranger, NULL), ERR_OK);
    assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
    struct transport *unknown = client_of(c, &s, &stranger);
    struct transport *client = client_of(c, &s, &ann); /* a client's key at the workers' port */
    struct transport *keyless = client_of(c, &s, NULL);
    struct server impostor = s;
    assert_int_equal(keys_generate(&impostor.key, NULL), ERR_OK);
    struct transport *fooled = client_of(c, &impostor, &worker); /* expects another server key */
    await_state(unknown, ERR_AUTH);
    await_state(client, ERR_AUTH);
    await_state(keyless, ERR_PROTOCOL_MISMATCH);
    await_state(fooled, ERR_PROTOCOL_MISMATCH);
    assert_int_equal(transport_send(unknown, NULL, SPAN("x"), &e), ERR_UNREACHABLE);
    assert_int_equal(transport_recv(s.socket, &m, &e), ERR_UNAVAILABLE);

    /* once it is authorized, the same socket gets in */
    struct keys_entry k = {.role = KEYS_WORKER, .name = "late"};
    memcpy(k.public_z85, stranger.public_z85, sizeof k.public_z85);
    assert_int_equal(keys_allow_add(s.allow, &k, NULL), ERR_OK);
    assert_int_equal(transport_reconnect(unknown, &e), ERR_OK);
    ping(&s, unknown, KEYS_WORKER, "late");

    transport_free(unknown);
    transport_free(client);
    transport_free(keyless);
    transport_free(fooled);
    transport_context_free(c);
    server_stop(&s);
}

/* A TCP connection to the server that is no ZeroMQ. */
static int stranger_of(const struct server *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *port = strrchr(transport_url(s->socket), ':');
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_port = htons((uint16_t)atoi(port + 1));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void await_closed(int fd)
{
    char byte[64];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        if (recv(fd, byte, sizeof byte, 0) <= 0)
            break;
    }
    close(fd);
}

static void strangers_do_not_disturb(void **state)
{
    struct server s;
    struct transport_context *c;
    struct transport_message m;
    struct error e = {0};
    static const char *const noise[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02",
                                        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x03\x00"};
    (void)state;
    server_start(&s, false, KEYS_WORKER, NULL);
    assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
    struct transport *client = client_of(c, &s, NULL);
    for (size_t i = 0; i < ARRAY_LEN(noise); i++) {
        int fd = stranger_of(&s);
        assert_true(send(fd, noise[i], strlen(noise[i]), MSG_NOSIGNAL) > 0);
        ping(&s, client, KEYS_ADMIN, "");
        close(fd);
    }
    int silent = stranger_of(&s);
    ping(&s, client, KEYS_ADMIN, "");
    await_closed(silent); /* by HANDSHAKE_IVL */
    ping(&s, client, KEYS_ADMIN, "");
    assert_int_equal(transport_recv(s.socket, &m, &e), ERR_UNAVAILABLE);
    transport_free(client);
    transport_context_free(c);
    server_stop(&s);
}

/* A plain libzmq peer with the given routing id (NULL: none) and mechanism NULL. */
static void *raw_peer(void *context, const struct server *s, const char *id)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (id)
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, id, strlen(id));
    assert_int_equal(zmq_connect(socket, transport_url(s->socket)), 0);
    return socket;
}

static void odd_messages_are_dropped(void **state)
{
    struct server s;
    struct transport_context *c;
    struct transport_message m;
    struct error e = {0};
    void *raw = zmq_ctx_new();
    (void)state;
    server_start(&s, false, KEYS_WORKER, NULL);
    assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
    struct transport *client = client_of(c, &s, NULL);
    void *named = raw_peer(raw, &s, "chosen"), *plain = raw_peer(raw, &s, NULL);
    char *large = calloc(1, WIRE_MESSAGE_MAX + 1);
    zmq_send(named, "hello", 5, 0);
    zmq_send(plain, "", 0, ZMQ_SNDMORE); /* as a REQ socket would */
    zmq_send(plain, "two frames", 10, 0);
    zmq_send(plain, "after", 5, 0); /* this one arrives: the peer was not cut off */
    await_message(s.socket, &m);
    assert_true(span_eq(m.data, SPAN("after")));
    transport_message_done(&m);
    zmq_send(plain, large, WIRE_MESSAGE_MAX + 1, 0); /* this cuts it off */
    ping(&s, client, KEYS_ADMIN, "");
    assert_int_equal(transport_recv(s.socket, &m, &e), ERR_UNAVAILABLE);

    /* the largest that is allowed goes through, and one more byte is not even sent */
    assert_int_equal(transport_send(client, NULL, (struct span){large, WIRE_MESSAGE_MAX + 1}, &e),
                     ERR_LIMIT);
    send_ok(client, NULL, (struct span){large, WIRE_MESSAGE_MAX});
    await_message(s.socket, &m);
    assert_int_equal(m.data.len, WIRE_MESSAGE_MAX);
    transport_message_done(&m);
    free(large);
    zmq_close(named);
    zmq_close(plain);
    zmq_ctx_term(raw);
    transport_free(client);
    transport_context_free(c);
    server_stop(&s);
}

static void lost_and_slow_peers_are_told_apart(void **state)
{
    struct server s;
    struct transport_context *c;
    struct transport_message m;
    struct error e = {0};
    int rc = ERR_OK;
    (void)state;
    server_start(&s, false, KEYS_WORKER, NULL);
    assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
    struct transport *client = client_of(c, &s, NULL);
    await_state(client, ERR_OK);
    send_ok(client, NULL, SPAN("hello"));
    await_message(s.socket, &m);
    struct transport_peer peer = m.peer;
    transport_message_done(&m);
    char *block = calloc(1, 1024 * 1024);
    for (int i = 0; i < 1000 && rc == ERR_OK; i++)
        rc = transport_send(s.socket, &peer, (struct span){block, 1024 * 1024}, &e);
    assert_int_equal(rc, ERR_QUEUE_FULL);
    free(block);
    transport_free(client);
    transport_context_free(c);
    uint64_t end = clock_ms() + WAIT_MS;
    while ((rc = transport_send(s.socket, &peer, SPAN("x"), &e)) != ERR_UNREACHABLE) {
        struct transport_item item = {.transport = s.socket, .fd = -1};
        assert_true(clock_ms() < end);
        transport_wait(&item, 1, 20);
    }
    struct transport_peer nobody = {.v = peer.v + 12345};
    assert_int_equal(transport_send(s.socket, &nobody, SPAN("x"), &e), ERR_UNREACHABLE);
    server_stop(&s);
}

/* What was not sent before the server went away never reaches the next one. */
static void nothing_stale_reaches_a_restarted_server(void **state)
{
    struct server s, next;
    struct transport_context *c;
    struct transport_message m;
    struct error e = {0};
    char url[300];
    (void)state;
    server_start(&s, false, KEYS_WORKER, NULL);
    snprintf(url, sizeof url, "%s", transport_url(s.socket));
    assert_int_equal(transport_context_new(NULL, 1, &c, NULL), ERR_OK);
    struct transport *client = client_of(c, &s, NULL);
    ping(&s, client, KEYS_ADMIN, "");
    server_stop(&s);
    await_state(client, ERR_UNREACHABLE);
    /* for a moment libzmq still takes what it will not deliver */
    uint64_t end = clock_ms() + WAIT_MS;
    while (transport_send(client, NULL, SPAN("stale"), &e) != ERR_UNREACHABLE) {
        struct transport_item item = {.transport = client, .fd = -1};
        assert_true(clock_ms() < end);
        transport_wait(&item, 1, 5);
    }
    server_start(&next, false, KEYS_WORKER, url);
    ping(&next, client, KEYS_ADMIN, ""); /* it reconnects by itself */
    assert_int_equal(transport_recv(next.socket, &m, &e), ERR_UNAVAILABLE);
    transport_free(client);
    transport_context_free(c);
    server_stop(&next);
}

static void waiting_sees_files_too(void **state)
{
    struct server s;
    int pipes[2];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    server_start(&s, false, KEYS_WORKER, NULL);
    struct transport_item items[2] = {{.transport = s.socket, .fd = -1}, {.fd = pipes[0]}};
    assert_int_equal(transport_wait(items, 2, 0), 0);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(transport_wait(items, 2, WAIT_MS), 1);
    assert_false(items[0].ready);
    assert_true(items[1].ready);
    close(pipes[0]);
    close(pipes[1]);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_loopback_without_keys),
        cmocka_unit_test(address_in_use_is_said),
        cmocka_unit_test(messages_go_both_ways),
        cmocka_unit_test(keys_that_are_not_allowed_are_refused),
        cmocka_unit_test(strangers_do_not_disturb),
        cmocka_unit_test(odd_messages_are_dropped),
        cmocka_unit_test(lost_and_slow_peers_are_told_apart),
        cmocka_unit_test(nothing_stale_reaches_a_restarted_server),
        cmocka_unit_test(waiting_sees_files_too),
    };
    return cmocka_run_group_tests_name("transport", tests, make_folder, remove_folder);
}
