/*
 * redis_url.h: where a Redis is, as its administrator writes it:
 *
 *     redis://[user[:password]@]host[:port][,host[:port]...][/database]
 *     rediss://...                       the same with TLS
 *     unix:///path/to.sock[?db=N]
 *
 * Several hosts are tried in turn: nodes of a cluster, or servers of which one is the master.
 * Percent escapes are read in user, password and path.
 *
 * Thread rule: pure functions; a struct redis_url belongs to its caller.
 */
#ifndef DROVER_REDIS_URL_H
#define DROVER_REDIS_URL_H

#include "common/err.h"

enum { REDIS_URL_HOSTS_MAX = 16, REDIS_URL_PORT = 6379, REDIS_URL_DATABASE_MAX = 1000000 };

/* A place to connect to. A unix socket has a path for a host, and port 0. */
struct redis_place {
    char *host;
    uint16_t port;
};

struct redis_url {
    bool tls;
    struct redis_place places[REDIS_URL_HOSTS_MAX];
    size_t n_places;
    char *user, *password; /* NULL: none given */
    uint32_t database;
};

/* INVALID_ARGUMENT, saying what of the URL is wrong; the password is never shown. */
int redis_url_read(const char *url, struct redis_url *ret, struct error *e) MUST_CHECK;
void redis_url_done(struct redis_url *u);

/* "host:port", which may have an IPv6 address in brackets or, as Redis writes it in MOVED, without.
 * The host may be empty. False: there is no valid port. */
bool redis_url_host(struct span text, struct span *ret_host, uint16_t *ret_port);

#endif
