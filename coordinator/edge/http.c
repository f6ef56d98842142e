#include "http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/edge/http_listen.h"

enum { READY_TEXT_MAX = 200, REQUEST_SECONDS_MAX = 10 };

struct http {
    struct MHD_Daemon *daemon;
    char url[HTTP_URL_MAX];
    _Atomic uint64_t alive_ms;
    pthread_mutex_t lock; /* of what follows */
    struct buf metrics;
    char not_ready[READY_TEXT_MAX]; /* empty: ready */
    char note[READY_TEXT_MAX];      /* more lines for people, when ready */
};

/* ---- answers, on the thread of libmicrohttpd ---- */

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct span text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(text.len, (void *)(uintptr_t)text.p, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    enum MHD_Result ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (ok == MHD_YES)
        ok = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status,
                                  const char *text)
{
    return reply(connection, status, "text/plain; charset=utf-8", span_str(text));
}

static enum MHD_Result serve_metrics(struct http *h, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&h->lock);
    enum MHD_Result ok = reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                               buf_span(&h->metrics));
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static enum MHD_Result serve_health(struct http *h, struct MHD_Connection *connection)
{
    uint64_t alive_ms = atomic_load(&h->alive_ms), now_ms = clock_ms();
    if (now_ms <= alive_ms + HTTP_ALIVE_MS)
        return reply_text(connection, MHD_HTTP_OK, "ok\n");
    return reply_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "the loop has not turned for 2 seconds\n");
}

static enum MHD_Result serve_ready(struct http *h, struct MHD_Connection *connection)
{
    char text[READY_TEXT_MAX + 8];
    pthread_mutex_lock(&h->lock);
    bool ready = h->not_ready[0] == 0;
    if (ready)
        snprintf(text, sizeof(text), "ok\n%s", h->note);
    else
        snprintf(text, sizeof(text), "%s\n", h->not_ready);
    pthread_mutex_unlock(&h->lock);
    return reply_text(connection, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    static const struct {
        const char *path;
        enum MHD_Result (*serve)(struct http *, struct MHD_Connection *);
    } pages[] = {
        {"/metrics", serve_metrics},
        {"/healthz", serve_health},
        {"/readyz", serve_ready},
    };
    (void)version;
    (void)upload;
    (void)state;
    if (*upload_size)
        return MHD_NO; /* nobody has a reason to send anything */
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only\n");
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (strcmp(url, pages[i].path) == 0)
            return pages[i].serve(user, connection);
    return reply_text(connection, MHD_HTTP_NOT_FOUND, "/metrics, /healthz and /readyz are here\n");
}

/* ---- start and end ---- */

int http_new(const char *url, bool anywhere, struct http **ret, struct error *e)
{
    char real[HTTP_URL_MAX];
    int fd = -1;
    int rc = http_listen(&(struct http_listen){.url = url,
                                               .option = "listen.http",
                                               .anywhere = anywhere,
                                               .anywhere_option = "listen.http_anywhere",
                                               .backlog = HTTP_CONNECTIONS_MAX},
                         &fd, real, e);
    if (rc)
        return rc;
    struct http *h = calloc(1, sizeof(*h));
    if (!h) {
        close(fd);
        return error_set(e, ERR_NOMEM, "no memory for the HTTP server");
    }
    pthread_mutex_init(&h->lock, NULL);
    buf_init(&h->metrics, 0);
    snprintf(h->not_ready, sizeof(h->not_ready), "starting");
    memcpy(h->url, real, sizeof(real));
    http_alive(h);
    h->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, h,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)REQUEST_SECONDS_MAX, MHD_OPTION_END);
    if (!h->daemon) {
        close(fd);
        http_free(h);
        return error_set(e, ERR_IO, "the HTTP server did not start on %s", url);
    }
    *ret = h;
    return 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    pthread_mutex_destroy(&h->lock);
    buf_done(&h->metrics);
    free(h);
}

const char *http_url(const struct http *h)
{
    return h->url;
}

void http_alive(struct http *h)
{
    atomic_store(&h->alive_ms, clock_ms());
}

void http_publish(struct http *h, struct span metrics, const char *not_ready, struct span note)
{
    pthread_mutex_lock(&h->lock);
    buf_clear(&h->metrics);
    buf_append(&h->metrics, metrics.p, metrics.len);
    snprintf(h->not_ready, sizeof(h->not_ready), "%s", not_ready ? not_ready : "");
    snprintf(h->note, sizeof(h->note), "%.*s", (int)note.len, note.p ? note.p : "");
    pthread_mutex_unlock(&h->lock);
}
