/*
 * http.h: /metrics, /healthz and /readyz over plain HTTP, on a thread of libmicrohttpd.
 *
 * The loop publishes a finished text about once a second; this thread only hands out the last one,
 * so that a scrape never waits for the loop and never sees half of its state.
 *   /healthz  200 while the loop has turned within HTTP_ALIVE_MS, else 503
 *   /readyz   200 when the last publication said so, else 503 with the reason
 *
 * Thread rule: http_new, http_publish, http_free from the loop thread; http_alive from it too.
 */
#ifndef DROVER_HTTP_H
#define DROVER_HTTP_H

#include "common/buf.h"
#include "common/err.h"

enum { HTTP_ALIVE_MS = 2000, HTTP_CONNECTIONS_MAX = 64 };

struct http;

/* url "http://127.0.0.1:7702"; port 0: any free one. IO when the address cannot be bound; AUTH when
 * it is not loopback and `anywhere` is false. */
int http_new(const char *url, bool anywhere, struct http **ret, struct error *e) MUST_CHECK;
void http_free(struct http *h);
const char *http_url(const struct http *h); /* with the real port */

void http_alive(struct http *h); /* the loop turned */
/* not_ready: NULL, or why /readyz says no. note: lines that it adds when it says yes. */
void http_publish(struct http *h, struct span metrics, const char *not_ready, struct span note);

#endif
