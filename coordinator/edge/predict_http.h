/*
 * predict_http.h: predictions over HTTP, for programs that have no client of ours:
 *
 *     POST /v1/models/NAME/predict
 *     POST /v1/models/NAME/versions/V/predict     with {"rows": [...]}
 *     GET  /v1/models
 *
 * A port of its own, not the one of /metrics: that one is for machines that watch, has no password and few
 * connections; this one has a token, bodies and many. One thread of libmicrohttpd reads and writes; a request that is complete waits in a list for the loop, which does everything else, and its
 * connection sleeps until the answer is there.
 *
 *   [reading] --all of it--> [asked: the loop's, the connection sleeps] --> [answered] --> sent
 *       '--refused (token, path, size): answered without the loop
 *
 * Thread rule: all functions from the loop thread.
 */
#ifndef DROVER_PREDICT_HTTP_H
#define DROVER_PREDICT_HTTP_H

#include "common/err.h"

enum {
    PREDICT_HTTP_CONNECTIONS_MAX = 2048,
    PREDICT_HTTP_IDLE_S = 60,    /* a connection that is silent for so long is closed */
    PREDICT_HTTP_TOKEN_MIN = 16, /* bytes: a shorter one could be guessed */
    PREDICT_HTTP_TOKEN_MAX = 1024
};

struct edge;
struct predict_http;

/* *ret NULL: predict.listen is not set. CONFIG, AUTH, IO. */
int predict_http_new(struct edge *e, struct predict_http **ret, struct error *error) MUST_CHECK;
/* Before predict_free; answers what was asked and ends the thread. */
void predict_http_free(struct predict_http *h);             /* takes NULL */
const char *predict_http_url(const struct predict_http *h); /* with the real port */

int predict_http_fd(const struct predict_http *h); /* readable when poll has something to do */
void predict_http_poll(struct predict_http *h);

#endif
