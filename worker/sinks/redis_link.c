#include "redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"

enum {
    READ_BYTES = 64 * 1024,
    KEEP_BYTES = 8 * 1024 * 1024, /* a larger buffer is given back when it is empty */
    PLACE_LEN = 300,
    NUMBER_LEN = 24
};

struct redis_link {
    int fd;
    redisReader *reader;
    struct redis_tls_stream *tls; /* NULL: without */
    struct buf out;               /* commands; with TLS those that are not encrypted yet */
    struct buf wire;              /* TLS: to be sent */
    struct buf plain;             /* TLS: read and decrypted */
    size_t sent;                  /* of out, or of wire with TLS */
    char place[PLACE_LEN];        /* for messages */
};

/* ---- RESP ---- */

static void put_head(struct buf *out, char kind, uint64_t n)
{
    char text[NUMBER_LEN];
    size_t at = sizeof(text);
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    text[--at] = kind;
    buf_append(out, text + at, sizeof(text) - at);
}

void redis_link_array(struct buf *out, size_t n)
{
    put_head(out, '*', n);
}

void redis_link_arg_head(struct buf *out, size_t n)
{
    put_head(out, '$', n);
}

void redis_link_arg(struct buf *out, struct span text)
{
    put_head(out, '$', text.len);
    buf_append(out, text.p, text.len);
    buf_append(out, "\r\n", 2);
}

void redis_link_arg_u64(struct buf *out, uint64_t v)
{
    char text[NUMBER_LEN];
    const int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    redis_link_arg(out, (struct span){text, (size_t)n});
}

void redis_link_words(struct buf *out, size_t n, const char *const *words)
{
    redis_link_array(out, n);
    for (size_t i = 0; i < n; i++)
        redis_link_arg(out, span_str(words[i]));
}

/* ---- moving bytes ---- */

static int down(const struct redis_link *l, const char *words, struct error *e)
{
    return error_set(e, ERR_UNAVAILABLE, "%s: %s", l->place, words);
}

/* The same with what e says already. */
static int placed(const struct redis_link *l, struct error *e)
{
    char words[sizeof(e->detail)];
    if (!e)
        return ERR_UNAVAILABLE;
    snprintf(words, sizeof(words), "%s", e->detail);
    return error_set(e, ERR_UNAVAILABLE, "%s: %.190s", l->place, words);
}

static struct buf *sending(struct redis_link *l)
{
    return l->tls ? &l->wire : &l->out;
}

static bool all_sent(struct redis_link *l)
{
    return l->sent == sending(l)->len && (!l->tls || l->out.len == 0);
}

/* Sends what the socket takes now. */
static int send_some(struct redis_link *l, struct error *e)
{
    if (!buf_ok(&l->out))
        return down(l, "no memory for what is to be sent", e);
    if (l->tls && redis_tls_ready(l->tls) && l->out.len > 0) {
        if (redis_tls_put(l->tls, l->out.data, l->out.len, &l->wire, e))
            return placed(l, e);
        buf_clear(&l->out);
    }
    struct buf *b = sending(l);
    while (l->sent < b->len) {
        const ssize_t n = send(l->fd, b->data + l->sent, b->len - l->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return ERR_OK;
        if (n < 0)
            return down(l, strerror(errno), e);
        l->sent += (size_t)n;
    }
    l->sent = 0;
    buf_clear(b);
    if (b->cap > KEEP_BYTES)
        buf_done(b);
    return ERR_OK;
}

static int feed(struct redis_link *l, const void *p, size_t n, struct error *e)
{
    if (redisReaderFeed(l->reader, p, n) != REDIS_OK)
        return down(l, l->reader->errstr, e);
    if (l->reader->len > REDIS_REPLY_BYTES_MAX)
        return down(l, "a reply of more than 64 MiB", e);
    return ERR_OK;
}

static int receive(struct redis_link *l, struct error *e)
{
    char bytes[READ_BYTES];
    const ssize_t n = recv(l->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return ERR_OK;
    if (n <= 0)
        return down(l, n == 0 ? "the server closed the connection" : strerror(errno), e);
    if (!l->tls)
        return feed(l, bytes, (size_t)n, e);
    if (redis_tls_take(l->tls, bytes, (size_t)n, &l->plain, &l->wire, e))
        return placed(l, e);
    const int rc = l->plain.len ? feed(l, l->plain.data, l->plain.len, e) : ERR_OK;
    buf_clear(&l->plain);
    return rc;
}

/* Until the socket has one of the events, which are returned; 0: the deadline passed. */
static short wait_for(const struct redis_link *l, short events, uint64_t deadline_ms)
{
    for (;;) {
        const uint64_t now = clock_ms();
        struct pollfd p = {.fd = l->fd, .events = events};
        const uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
        const int n = poll(&p, 1, (int)MIN(left, (uint64_t)INT32_MAX));
        if (n > 0)
            return p.revents;
        if (n == 0 && left == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return POLLERR;
    }
}

/* Waits until something has moved, in or out. */
static int turn(struct redis_link *l, uint64_t deadline_ms, const char *late, struct error *e)
{
    int rc = send_some(l, e);
    if (rc)
        return rc;
    const bool more = l->sent < sending(l)->len;
    const short events = wait_for(l, more ? POLLIN | POLLOUT : POLLIN, deadline_ms);
    if (events == 0)
        return down(l, late, e);
    return events & ~POLLOUT ? receive(l, e) : ERR_OK;
}

struct buf *redis_link_out(struct redis_link *l)
{
    return &l->out;
}

int redis_link_push(struct redis_link *l, struct error *e)
{
    return all_sent(l) ? ERR_OK : send_some(l, e);
}

int redis_link_reply(struct redis_link *l, uint64_t deadline_ms, redisReply **ret, struct error *e)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(l->reader, &reply) != REDIS_OK)
            return down(l, l->reader->errstr, e);
        if (reply) {
            *ret = reply;
            return ERR_OK;
        }
        const int rc = turn(l, deadline_ms, "no answer from the server in time", e);
        if (rc)
            return rc;
    }
}

/* ---- connecting ---- */

static int connect_to(struct redis_link *l, const struct sockaddr *to, socklen_t len,
                      uint64_t deadline_ms, struct error *e)
{
    const int on = 1;
    l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return down(l, strerror(errno), e);
    if (to->sa_family != AF_UNIX) {
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    if (connect(l->fd, to, len) == 0)
        return ERR_OK;
    if (errno != EINPROGRESS) /* EAGAIN: the backlog of a unix socket is full */
        return down(l, strerror(errno), e);
    if (wait_for(l, POLLOUT, deadline_ms) == 0)
        return down(l, "no connection in time", e);
    int why = 0;
    socklen_t size = sizeof(why);
    getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &why, &size);
    return why ? down(l, strerror(why), e) : ERR_OK;
}

static void hang_up(struct redis_link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

static int connect_local(struct redis_link *l, const char *path, uint64_t deadline_ms,
                         struct error *e)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, path, strnlen(path, sizeof(to.sun_path) - 1));
    return connect_to(l, (const struct sockaddr *)&to, sizeof(to), deadline_ms, e);
}

static int connect_network(struct redis_link *l, const struct redis_place *place,
                           uint64_t deadline_ms, struct error *e)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[NUMBER_LEN];
    snprintf(port, sizeof(port), "%u", (unsigned)place->port);
    const int why = getaddrinfo(place->host, port, &hints, &list);
    if (why)
        return down(l, gai_strerror(why), e);
    int rc = down(l, "it has no address", e);
    for (const struct addrinfo *a = list; a && rc; a = a->ai_next) {
        hang_up(l);
        rc = connect_to(l, a->ai_addr, a->ai_addrlen, deadline_ms, e);
    }
    freeaddrinfo(list);
    return rc;
}

static int shake_hands(struct redis_link *l, struct redis_tls *tls, const char *host,
                       uint64_t deadline_ms, struct error *e)
{
    int rc = redis_tls_stream_new(tls, host, &l->tls, e);
    if (rc == ERR_OK)
        rc = redis_tls_take(l->tls, NULL, 0, &l->plain, &l->wire, e);
    if (rc)
        return placed(l, e);
    while (rc == ERR_OK && !redis_tls_ready(l->tls))
        rc = turn(l, deadline_ms, "no TLS handshake in time: does this port speak TLS?", e);
    return rc;
}

int redis_link_open(const struct redis_place *to, struct redis_tls *tls, uint64_t deadline_ms,
                    struct redis_link **ret, struct error *e)
{
    struct redis_link *l = calloc(1, sizeof(*l));
    if (l) {
        l->fd = -1;
        l->reader = redisReaderCreate();
    }
    if (!l || !l->reader) {
        free(l);
        return error_set(e, ERR_UNAVAILABLE, "no memory for a connection to Redis");
    }
    snprintf(l->place, sizeof(l->place), strchr(to->host, ':') ? "[%s]:%u" : "%s:%u", to->host,
             (unsigned)to->port);
    if (to->port == 0)
        snprintf(l->place, sizeof(l->place), "%s", to->host);
    int rc = to->port == 0 ? connect_local(l, to->host, deadline_ms, e)
                           : connect_network(l, to, deadline_ms, e);
    if (rc == ERR_OK && tls)
        rc = shake_hands(l, tls, to->host, deadline_ms, e);
    if (rc) {
        redis_link_close(l);
        return rc;
    }
    *ret = l;
    return ERR_OK;
}

void redis_link_close(struct redis_link *l)
{
    if (!l)
        return;
    hang_up(l);
    redisReaderFree(l->reader);
    redis_tls_stream_free(l->tls);
    buf_done(&l->out);
    buf_done(&l->wire);
    buf_done(&l->plain);
    free(l);
}
