#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <zmq.h>

#include "log.h"
#include "wire.h"
#include "zap.h"

/*
 * What libzmq 4.3 was seen to do, and what is set because of it:
 *   - a ROUTER that is not mandatory drops messages for peers it does not know without a word:
 *     ROUTER_MANDATORY, and DONTWAIT everywhere;
 *   - two peers with one routing id make one of them deaf: nobody sets one, and messages of peers that
 *     did are dropped (an id made by the ROUTER has 5 bytes, the first of them 0);
 *   - a DEALER that queues while disconnected gives stale messages to a restarted peer: IMMEDIATE
 *     (whose price is that what came in and was not read yet is lost with the connection);
 *   - a DEALER gives up for good after a handshake with another mechanism: transport_reconnect;
 *   - HANDSHAKE_IVL cuts off whoever connects and does not speak ZMTP, MAXMSGSIZE whoever announces a
 *     larger frame; both without the program noticing.
 * Queues hold few messages, because each may have 16 MiB: what does not fit waits in the socket of the
 * sender.
 */
enum {
    LINGER_MS = 1000,
    BACKLOG = 4096,
    HANDSHAKE_MS = 5000,
    HEARTBEAT_MS = 2000,
    HEARTBEAT_TIMEOUT_MS = 6000,
    RECONNECT_MS = 200,
    RECONNECT_MAX_MS = 10000,
    CONNECT_TIMEOUT_MS = 5000,
    SEND_QUEUE = 256,
    RECV_QUEUE = 32,
    URL_MAX = 300,
    ITEMS_MAX = 32,
    ROUTING_ID_LEN = 5
};

/* How an IPv6 socket names an IPv4 peer (RFC 4291, 2.5.5.2). */
#define MAPPED "::ffff:"

_Static_assert(sizeof(zmq_msg_t) == 64, "struct transport_message reserves 64 bytes");

struct transport_context {
    void *zmq;
    struct zap *zap;
};

enum link { LINK_DOWN, LINK_TCP, LINK_UP, LINK_REFUSED, LINK_MISMATCH };

struct transport {
    struct transport_context *context;
    void *socket;
    bool bound, curve;
    char url[URL_MAX]; /* as given; with the real port when bound */
    struct keys_pair key;
    char server_key[KEYS_Z85_LEN + 1];
    void *monitor; /* PAIR, of a connected transport */
    enum link link;
};

/* ---- contexts ---- */

int transport_context_new(struct keys_allow *allow, int io_threads, struct transport_context **ret,
                          struct error *e)
{
    struct transport_context *c = calloc(1, sizeof *c);
    if (!c || !(c->zmq = zmq_ctx_new())) {
        free(c);
        return error_set(e, ERR_NOMEM, "ZeroMQ context");
    }
    zmq_ctx_set(c->zmq, ZMQ_IO_THREADS, io_threads > 0 ? io_threads : 1);
    zmq_ctx_set(c->zmq, ZMQ_IPV6, 1);
    zmq_ctx_set(c->zmq, ZMQ_BLOCKY, 0);
    int rc = allow ? zap_new(c->zmq, allow, &c->zap, e) : ERR_OK;
    if (rc) {
        zmq_ctx_term(c->zmq);
        free(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void transport_context_free(struct transport_context *c)
{
    if (!c)
        return;
    zap_free(c->zap);
    while (zmq_ctx_term(c->zmq) < 0 && zmq_errno() == EINTR)
        ;
    free(c);
}

/* ---- addresses ---- */

/* The host part of tcp://HOST:PORT without brackets, or false. */
static bool url_host(const char *url, char *host, size_t size)
{
    const char *start = url + strlen("tcp://");
    if (strncmp(url, "tcp://", strlen("tcp://")) != 0)
        return false;
    const char *end = strrchr(start, ':');
    if (!end || end == start || !end[1])
        return false;
    if (*start == '[' && end[-1] == ']') {
        start++;
        end--;
    }
    size_t len = (size_t)(end - start);
    if (len == 0 || len >= size)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    return true;
}

static bool is_ipv4(const char *host)
{
    return strspn(host, "0123456789.") == strlen(host);
}

bool transport_is_loopback(const char *url)
{
    char host[URL_MAX];
    if (strncmp(url, "inproc://", 9) == 0 || strncmp(url, "ipc://", 6) == 0)
        return true;
    if (!url_host(url, host, sizeof host))
        return false;
    if (strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0)
        return true;
    /* 127.0.0.0/8, dotted digits only: "127.evil.example" is a name */
    return strncmp(host, "127.", 4) == 0 && is_ipv4(host);
}

/* zmq_bind takes addresses and interfaces but no names. */
static void bind_url(const char *url, char out[URL_MAX])
{
    char host[URL_MAX];
    if (url_host(url, host, sizeof host) && strcmp(host, "localhost") == 0)
        snprintf(out, URL_MAX, "tcp://127.0.0.1%s", strrchr(url, ':'));
    else
        snprintf(out, URL_MAX, "%s", url);
}

/* An IPv4 address bound by an IPv6 socket would be reported as ::ffff:127.0.0.1. */
static bool url_is_ipv4(const char *url)
{
    char host[URL_MAX];
    return url_host(url, host, sizeof host) && is_ipv4(host);
}

/* ---- sockets ---- */

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

/* A little chance, so that a fleet that lost its coordinator does not come back in one instant. */
static int jitter(int range_ms)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) < 0)
        r = 0;
    return (int)(r % (uint32_t)range_ms);
}

static bool set_common(void *socket)
{
    int64_t max_bytes = WIRE_MESSAGE_MAX;
    return set_int(socket, ZMQ_LINGER, LINGER_MS) && set_int(socket, ZMQ_IPV6, 1) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
           set_int(socket, ZMQ_RCVHWM, RECV_QUEUE) &&
           zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes) == 0;
}

static bool set_server(void *socket, const struct transport_bind *config, const char *url)
{
    char domain[16];
    int queue = config->send_queue_max > 0 ? config->send_queue_max : SEND_QUEUE;
    snprintf(domain, sizeof domain, "%u", config->roles);
    if (!set_common(socket) || !set_int(socket, ZMQ_IPV6, !url_is_ipv4(url)) ||
        !set_int(socket, ZMQ_ROUTER_MANDATORY, 1) || !set_int(socket, ZMQ_BACKLOG, BACKLOG) ||
        !set_int(socket, ZMQ_SNDHWM, queue))
        return false;
    if (!config->key)
        return true;
    return set_int(socket, ZMQ_CURVE_SERVER, 1) &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, config->key->secret_z85, KEYS_Z85_LEN + 1) ==
               0 &&
           zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) == 0;
}

static bool set_client(void *socket, const struct transport *t)
{
    if (!set_common(socket) || !set_int(socket, ZMQ_IMMEDIATE, 1) ||
        !set_int(socket, ZMQ_SNDHWM, SEND_QUEUE) ||
        !set_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS) ||
        !set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS + jitter(RECONNECT_MS)) ||
        !set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS - jitter(RECONNECT_MAX_MS / 4)))
        return false;
    if (!t->curve)
        return true;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, t->server_key, KEYS_Z85_LEN + 1) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, t->key.public_z85, KEYS_Z85_LEN + 1) == 0 &&
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, t->key.secret_z85, KEYS_Z85_LEN + 1) == 0;
}

static int check_url(const char *url, struct error *e)
{
    char host[URL_MAX];
    bool local = url && (strncmp(url, "inproc://", 9) == 0 || strncmp(url, "ipc://", 6) == 0);
    if (!url || strlen(url) >= URL_MAX || (!local && !url_host(url, host, sizeof host)))
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "\"%s\" is no address such as tcp://127.0.0.1:7700", url ? url : "");
    return ERR_OK;
}

int transport_bind(struct transport_context *c, const struct transport_bind *config,
                   struct transport **ret, struct error *e)
{
    char url[URL_MAX];
    size_t len = sizeof url;
    int rc = check_url(config->url, e);
    if (rc)
        return rc;
    if (!config->key && !transport_is_loopback(config->url))
        return error_set(e, ERR_AUTH,
                         "%s is not a loopback address: listening there needs a key and a list of "
                         "authorized keys",
                         config->url);
    struct transport *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, ERR_NOMEM, "socket");
    t->context = c;
    t->bound = true;
    t->curve = config->key != NULL;
    bind_url(config->url, url);
    t->socket = zmq_socket(c->zmq, ZMQ_ROUTER);
    if (!t->socket || !set_server(t->socket, config, url)) {
        rc = error_set(e, ERR_INTERNAL, "%s: %s", url, zmq_strerror(zmq_errno()));
        transport_free(t);
        return rc;
    }
    if (zmq_bind(t->socket, url) < 0) {
        rc = error_set(e, zmq_errno() == EINVAL ? ERR_INVALID_ARGUMENT : ERR_IO,
                       "cannot listen on %s: %s", url, zmq_strerror(zmq_errno()));
        transport_free(t);
        return rc;
    }
    if (zmq_getsockopt(t->socket, ZMQ_LAST_ENDPOINT, t->url, &len) < 0)
        snprintf(t->url, sizeof t->url, "%s", url);
    *ret = t;
    return ERR_OK;
}

/* Events of the connection come by a PAIR of their own. It has no limit on its queue, because libzmq's
 * I/O thread would wait for room; reconnects are slow enough for it to stay short. */
static bool watch(struct transport *t)
{
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%p", t->socket);
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(t->socket, address, events) < 0)
        return false;
    t->monitor = zmq_socket(t->context->zmq, ZMQ_PAIR);
    return t->monitor && set_int(t->monitor, ZMQ_LINGER, 0) && set_int(t->monitor, ZMQ_RCVHWM, 0) &&
           zmq_connect(t->monitor, address) == 0;
}

static void close_sockets(struct transport *t, bool drop)
{
    if (t->socket && t->monitor)
        zmq_socket_monitor(t->socket, NULL, 0);
    if (t->monitor)
        zmq_close(t->monitor);
    if (t->socket) {
        if (drop)
            set_int(t->socket, ZMQ_LINGER, 0);
        zmq_close(t->socket);
    }
    t->socket = t->monitor = NULL;
    t->link = LINK_DOWN;
}

static int open_client(struct transport *t, struct error *e)
{
    t->socket = zmq_socket(t->context->zmq, ZMQ_DEALER);
    if (t->socket && set_client(t->socket, t) && watch(t) && zmq_connect(t->socket, t->url) == 0)
        return ERR_OK;
    int code = zmq_errno() == EINVAL ? ERR_INVALID_ARGUMENT : ERR_IO;
    error_set(e, (enum err)code, "cannot connect to %s: %s", t->url, zmq_strerror(zmq_errno()));
    close_sockets(t, true);
    return code;
}

int transport_connect(struct transport_context *c, const struct transport_connect *config,
                      struct transport **ret, struct error *e)
{
    int rc = check_url(config->url, e);
    if (rc)
        return rc;
    if (config->key && (!config->server_key || !keys_public_valid(span_str(config->server_key))))
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a key needs the coordinator's public key with it (server key)");
    struct transport *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(e, ERR_NOMEM, "socket");
    t->context = c;
    snprintf(t->url, sizeof t->url, "%s", config->url);
    if (config->key) {
        t->curve = true;
        t->key = *config->key;
        memcpy(t->server_key, config->server_key, sizeof t->server_key);
    }
    rc = open_client(t, e);
    if (rc) {
        transport_free(t);
        return rc;
    }
    *ret = t;
    return ERR_OK;
}

int transport_reconnect(struct transport *t, struct error *e)
{
    assert(!t->bound);
    close_sockets(t, true);
    return open_client(t, e);
}

void transport_free(struct transport *t)
{
    if (!t)
        return;
    close_sockets(t, false);
    explicit_bzero(&t->key, sizeof t->key);
    free(t);
}

const char *transport_url(const struct transport *t)
{
    return t->url;
}

/* ---- the state of a connection ---- */

static enum link link_after(enum link before, unsigned event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        /* a refusal is kept until a handshake succeeds: the same will come again */
        return before == LINK_REFUSED || before == LINK_MISMATCH ? before : LINK_TCP;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        return LINK_UP;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return LINK_REFUSED;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return before == LINK_REFUSED ? before : LINK_MISMATCH;
    case ZMQ_EVENT_DISCONNECTED:
        /* closed in the middle of the handshake: other keys, or no ZeroMQ at all */
        return before == LINK_UP ? LINK_DOWN : before == LINK_TCP ? LINK_MISMATCH : before;
    default:
        return before == LINK_UP ? LINK_DOWN : before;
    }
}

static void read_events(struct transport *t)
{
    while (t->monitor) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, t->monitor, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&msg);
            return;
        }
        uint16_t event = 0;
        if (zmq_msg_size(&msg) == 6) {
            memcpy(&event, zmq_msg_data(&msg), sizeof event);
            t->link = link_after(t->link, event);
        }
        zmq_msg_close(&msg);
    }
}

int transport_problem(struct transport *t, struct error *e)
{
    read_events(t);
    switch (t->link) {
    case LINK_UP:
        return ERR_OK;
    case LINK_REFUSED:
        return error_set(e, ERR_AUTH, "%s refused the key %s", t->url, t->key.public_z85);
    case LINK_MISMATCH:
        return error_set(e, ERR_PROTOCOL_MISMATCH, "%s ended the handshake: %s", t->url,
                         t->curve ? "it has another server key, or no keys, or is no coordinator"
                                  : "it wants a key, or is no coordinator");
    case LINK_TCP:
        return error_set(e, ERR_UNREACHABLE, "%s accepts connections and does not answer", t->url);
    case LINK_DOWN:
        break;
    }
    return error_set(e, ERR_UNREACHABLE, "%s does not accept connections", t->url);
}

/* ---- messages ---- */

static void user_of(const struct transport *t, zmq_msg_t *msg, struct transport_message *m)
{
    m->role = KEYS_ADMIN;
    m->user = (struct span){"", 0};
    if (!t->bound || !t->curve)
        return;
    const char *id = zmq_msg_gets(msg, "User-Id");
    const char *colon = id ? strchr(id, ':') : NULL;
    if (!colon || !keys_role_parse((struct span){id, (size_t)(colon - id)}, &m->role))
        m->role = (enum keys_role)0; /* nobody: libzmq let in what the authenticator did not see */
    else
        m->user = span_str(colon + 1);
}

/* Reads and forgets the rest of a message that has more frames than we use. */
static void drop_rest(struct transport *t)
{
    int more = 1;
    while (more) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, t->socket, ZMQ_DONTWAIT) < 0)
            more = 0;
        else
            more = zmq_msg_more(&msg);
        zmq_msg_close(&msg);
    }
}

/* The frame with the sender. False: nobody that we talk to. */
static bool peer_of(zmq_msg_t *from, struct transport_peer *ret)
{
    const uint8_t *id = zmq_msg_data(from);
    if (zmq_msg_size(from) != ROUTING_ID_LEN || id[0] != 0)
        return false;
    ret->v = (uint32_t)id[1] << 24 | (uint32_t)id[2] << 16 | (uint32_t)id[3] << 8 | id[4];
    return true;
}

/* One message as it lies there: OK, UNAVAILABLE when there is none, MALFORMED when it was dropped. */
static int recv_one(struct transport *t, struct transport_message *m)
{
    zmq_msg_t *from = (zmq_msg_t *)(void *)m->zmq_from, *msg = (zmq_msg_t *)(void *)m->zmq;
    bool known = true;
    zmq_msg_init(from);
    zmq_msg_init(msg);
    if (t->bound) {
        if (zmq_msg_recv(from, t->socket, ZMQ_DONTWAIT) < 0)
            return ERR_UNAVAILABLE;
        known = peer_of(from, &m->peer);
        if (!zmq_msg_more(from))
            return ERR_MALFORMED;
    }
    if (zmq_msg_recv(msg, t->socket, ZMQ_DONTWAIT) < 0)
        return ERR_UNAVAILABLE;
    if (zmq_msg_more(msg)) {
        drop_rest(t);
        return ERR_MALFORMED;
    }
    if (!known)
        return ERR_MALFORMED;
    user_of(t, msg, m);
    if (m->role == 0)
        return ERR_MALFORMED;
    m->data = (struct span){zmq_msg_data(msg), zmq_msg_size(msg)};
    m->address = zmq_msg_gets(msg, "Peer-Address");
    if (!m->address)
        m->address = "";
    if (strncmp(m->address, MAPPED, strlen(MAPPED)) == 0)
        m->address += strlen(MAPPED);
    return ERR_OK;
}

int transport_recv(struct transport *t, struct transport_message *ret, struct error *e)
{
    for (;;) {
        memset(ret, 0, offsetof(struct transport_message, zmq));
        int rc = recv_one(t, ret), errnum = zmq_errno();
        if (rc == ERR_OK)
            return rc;
        transport_message_done(ret);
        if (rc == ERR_MALFORMED) {
            LOG_DEBUG("message dropped: not one frame, or from a peer with its own routing id");
            continue;
        }
        if (errnum == EINTR)
            continue;
        if (errnum != EAGAIN)
            return error_set(e, ERR_INTERNAL, "%s: %s", t->url, zmq_strerror(errnum));
        read_events(t);
        return ERR_UNAVAILABLE;
    }
}

void transport_message_done(struct transport_message *m)
{
    zmq_msg_close((zmq_msg_t *)(void *)m->zmq_from);
    zmq_msg_close((zmq_msg_t *)(void *)m->zmq);
    m->data = m->user = (struct span){NULL, 0};
}

static int send_error(struct transport *t, int errnum, struct error *e)
{
    if (errnum == EHOSTUNREACH)
        return error_set(e, ERR_UNREACHABLE, "the peer is gone");
    if (errnum == EAGAIN && t->bound)
        return error_set(e, ERR_QUEUE_FULL, "the peer reads too slowly");
    if (errnum == EAGAIN)
        return error_set(e, ERR_UNREACHABLE, "no connection to %s", t->url);
    return error_set(e, ERR_INTERNAL, "%s: %s", t->url, zmq_strerror(errnum));
}

int transport_send(struct transport *t, const struct transport_peer *peer, struct span data,
                   struct error *e)
{
    zmq_msg_t msg;
    assert(t->bound == (peer != NULL));
    if (data.len > WIRE_MESSAGE_MAX)
        return error_set(e, ERR_LIMIT, "a message of %zu bytes; the limit is %d", data.len,
                         WIRE_MESSAGE_MAX);
    /* before the address goes out, so that nothing can fail between the two frames */
    if (zmq_msg_init_size(&msg, data.len) < 0)
        return error_set(e, ERR_NOMEM, "a message of %zu bytes", data.len);
    if (data.len)
        memcpy(zmq_msg_data(&msg), data.p, data.len);
    if (peer) {
        uint8_t id[ROUTING_ID_LEN] = {0, (uint8_t)(peer->v >> 24), (uint8_t)(peer->v >> 16),
                                      (uint8_t)(peer->v >> 8), (uint8_t)peer->v};
        int sent;
        do
            sent = zmq_send(t->socket, id, sizeof id, ZMQ_DONTWAIT | ZMQ_SNDMORE);
        while (sent < 0 && zmq_errno() == EINTR);
        if (sent < 0) {
            int errnum = zmq_errno();
            zmq_msg_close(&msg);
            return send_error(t, errnum, e);
        }
    }
    int sent;
    do
        sent = zmq_msg_send(&msg, t->socket, ZMQ_DONTWAIT);
    while (sent < 0 && zmq_errno() == EINTR);
    if (sent < 0) {
        int errnum = zmq_errno();
        zmq_msg_close(&msg);
        return send_error(t, errnum, e);
    }
    return ERR_OK;
}

int transport_wait(struct transport_item *items, size_t n, int64_t timeout_ms)
{
    zmq_pollitem_t poll[2 * ITEMS_MAX];
    size_t n_poll = n, monitor_at[ITEMS_MAX] = {0};
    int n_ready = 0;
    assert(n <= ITEMS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct transport *t = items[i].transport;
        poll[i] = (zmq_pollitem_t){t ? t->socket : NULL, items[i].fd, ZMQ_POLLIN, 0};
        if (t && t->monitor) {
            monitor_at[i] = n_poll;
            poll[n_poll++] = (zmq_pollitem_t){t->monitor, 0, ZMQ_POLLIN, 0};
        }
        items[i].ready = false;
    }
    if (zmq_poll(poll, (int)n_poll, timeout_ms) <= 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        enum link before = items[i].transport ? items[i].transport->link : LINK_DOWN;
        if (monitor_at[i] && poll[monitor_at[i]].revents)
            read_events(items[i].transport);
        items[i].ready =
            poll[i].revents != 0 || (items[i].transport && items[i].transport->link != before);
        n_ready += items[i].ready;
    }
    return n_ready;
}
