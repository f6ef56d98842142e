#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_host(const char *host, uint16_t port, union address *ret, bool *ret_loopback)
{
    *ret = (union address){0};
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_loopback = ntohl(ret->v4.sin_addr.s_addr) >> 24 == 127;
        return true;
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
        return false;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    *ret_loopback = IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr);
    return true;
}

/* "http://HOST:PORT" with a numeric host; IPv6 in brackets. */
static int parse_url(const char *option, const char *url, union address *ret, bool *ret_loopback,
                     struct error *e)
{
    char host[64];
    unsigned port = 0;
    char rest = 0;
    int n = sscanf(url, "http://[%63[0-9a-fA-F:.]]:%u%c", host, &port, &rest);
    if (n != 2)
        n = sscanf(url, "http://%63[0-9.]:%u%c", host, &port, &rest);
    if (n == 2 && port <= 65535 && parse_host(host, (uint16_t)port, ret, ret_loopback))
        return 0;
    return error_set(e, ERR_INVALID_ARGUMENT, "%s: \"%s\" is not like http://127.0.0.1:7702",
                     option, url);
}

static int listen_on(const union address *address, int backlog, int *ret_fd, struct error *e)
{
    socklen_t len = address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
    int on = 1;
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, &address->any, len) == 0 && listen(fd, backlog) == 0) {
        *ret_fd = fd;
        return 0;
    }
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return error_set(e, ERR_IO, "%s", strerror(saved));
}

static void write_url(int fd, char ret[HTTP_URL_MAX])
{
    union address real = {0};
    char host[INET6_ADDRSTRLEN] = "?";
    socklen_t len = sizeof(real);
    if (getsockname(fd, &real.any, &len))
        return;
    bool v4 = real.any.sa_family == AF_INET;
    inet_ntop(real.any.sa_family, v4 ? (void *)&real.v4.sin_addr : (void *)&real.v6.sin6_addr, host,
              sizeof(host));
    snprintf(ret, HTTP_URL_MAX, v4 ? "http://%s:%u" : "http://[%s]:%u", host,
             ntohs(v4 ? real.v4.sin_port : real.v6.sin6_port));
}

int http_listen(const struct http_listen *l, int *ret_fd, char ret_url[HTTP_URL_MAX],
                struct error *e)
{
    union address address;
    bool loopback = false;
    struct error why = {0};
    int fd = -1;
    int rc = parse_url(l->option, l->url, &address, &loopback, e);
    if (rc)
        return rc;
    if (!loopback && !l->anywhere)
        return error_set(e, ERR_AUTH, "%s can be reached by others; set %s to allow that", l->url,
                         l->anywhere_option);
    rc = listen_on(&address, l->backlog, &fd, &why);
    if (rc)
        return error_set(e, ERR_IO, "%s cannot be bound: %s", l->url, why.detail);
    ret_url[0] = 0;
    write_url(fd, ret_url);
    *ret_fd = fd;
    return ERR_OK;
}
