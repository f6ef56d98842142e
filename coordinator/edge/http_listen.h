/*
 * http_listen.h: the listening sockets of the HTTP servers: one numeric address, loopback unless the
 * administrator said otherwise.
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_HTTP_LISTEN_H
#define DROVER_HTTP_LISTEN_H

#include "common/err.h"

enum { HTTP_URL_MAX = 80 };

struct http_listen {
    const char *url;    /* "http://127.0.0.1:7702"; port 0: any free one */
    const char *option; /* where it was set, for messages */
    bool anywhere;      /* it may be an address that others reach */
    const char *anywhere_option;
    int backlog;
};

/* A socket that listens, and the URL with its real port. IO when the address cannot be bound; AUTH when it
 * is not loopback and `anywhere` is false; INVALID_ARGUMENT. */
int http_listen(const struct http_listen *l, int *ret_fd, char ret_url[HTTP_URL_MAX],
                struct error *e) MUST_CHECK;

#endif
