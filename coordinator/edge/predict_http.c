#include "predict_http.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/config.h"
#include "common/keys.h"
#include "coordinator/edge/edge.h"
#include "coordinator/edge/http_listen.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/predict_json.h"

struct http_call {
    struct predict_request predict; /* the loop's */
    struct predict_http *owner;
    struct http_call *next;
    struct MHD_Connection *connection;
    bool list; /* GET /v1/models */
    char name[MODEL_NAME_MAX + 1];
    uint64_t version;
    struct buf body;
    size_t body_bytes; /* that came, kept or not */
    /* the answer; 0: none yet. Written by the loop before it wakes the connection. */
    unsigned status;
    uint32_t retry_after_ms;
    struct buf text;
};

struct predict_http {
    struct edge *edge;
    struct MHD_Daemon *daemon;
    char url[HTTP_URL_MAX];
    char *token;
    size_t body_max;
    int fd;
    struct arena arena;   /* of one request, on the loop */
    pthread_mutex_t lock; /* of what follows */
    struct http_call *asked, **end;
    bool stopping;
};

/* ---- answers ---- */

static unsigned status_of(int code)
{
    switch (code) {
    case ERR_MALFORMED:
    case ERR_INVALID_ARGUMENT:
        return MHD_HTTP_BAD_REQUEST;
    case ERR_AUTH:
        return MHD_HTTP_UNAUTHORIZED;
    case ERR_NOT_FOUND:
        return MHD_HTTP_NOT_FOUND;
    case ERR_WRONG_STATE:
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    case ERR_PAYLOAD_TOO_LARGE:
    case ERR_LIMIT:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case ERR_QUEUE_FULL:
        return MHD_HTTP_TOO_MANY_REQUESTS;
    case ERR_UNAVAILABLE:
    case ERR_NOMEM:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case ERR_TIMEOUT:
        return MHD_HTTP_GATEWAY_TIMEOUT;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

static void fail(struct http_call *c, int code, const char *detail, uint32_t retry_after_ms)
{
    c->status = status_of(code);
    c->retry_after_ms = retry_after_ms;
    buf_clear(&c->text);
    buf_str(&c->text, "{\"error\": {\"code\": ");
    buf_json_str(&c->text, span_str(err_name((enum err)code)));
    buf_str(&c->text, ", \"detail\": ");
    buf_json_str(&c->text, span_str(detail && detail[0] ? detail : err_text((enum err)code)));
    buf_str(&c->text, "}}\n");
}

static void write_rows(struct buf *out, const struct predict_answer *a, uint32_t first, uint32_t n)
{
    const struct batch *rows = a->rows;
    buf_str(out, "{\"model\": ");
    buf_json_str(out, span_str(a->model->name));
    buf_printf(out, ", \"version\": %llu, \"rows\": [", (unsigned long long)a->model->version);
    for (uint32_t row = first; row < first + n; row++) {
        buf_str(out, row > first ? ", {" : "{");
        for (size_t i = 0; i < rows->n_columns; i++) {
            if (i)
                buf_str(out, ", ");
            buf_json_str(out, span_str(rows->columns[i].name));
            buf_str(out, ": ");
            batch_write_cell(rows, i, row, out);
        }
        buf_byte(out, '}');
    }
    buf_str(out, "]}\n");
}

/* Back to the thread of libmicrohttpd, which frees it. */
static void wake(struct http_call *c)
{
    if (!buf_ok(&c->text)) {
        buf_done(&c->text);
        c->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    MHD_resume_connection(c->connection);
}

/* ---- on the loop ---- */

static void predicted(struct predict_request *r, const struct predict_answer *a)
{
    struct http_call *c = CONTAINER_OF(r, struct http_call, predict);
    if (a->code) {
        fail(c, a->code, a->detail, a->retry_after_ms);
    } else {
        c->status = MHD_HTTP_OK;
        write_rows(&c->text, a, r->first, r->n_rows);
    }
    wake(c);
}

/* OK: the answer comes through predicted(). */
static int ask(struct http_call *c, uint32_t *ret_retry_after_ms, struct error *error)
{
    struct predict *p = c->owner->edge->predict;
    struct model *m;
    struct batch *rows;
    int rc = predict_open(p, span_str(c->name), c->version, &m, &rows, ret_retry_after_ms, error);
    if (rc)
        return rc;
    uint32_t first = rows->n_rows;
    arena_clear(&c->owner->arena);
    struct span body = {(const char *)c->body.data, c->body.len - 1}; /* there is a NUL behind it */
    rc = predict_json_read(m->info, body, rows, &c->owner->arena, error);
    if (rc) {
        predict_reject(p, m, first);
        return rc;
    }
    c->predict.done = predicted;
    return predict_add(p, m, &c->predict, first, 0, error);
}

static void list_models(struct http_call *c)
{
    const struct model_table *t = predict_models(c->owner->edge->predict);
    struct buf *out = &c->text;
    struct model *m;
    c->status = MHD_HTTP_OK;
    buf_str(out, "{\"models\": [");
    for (size_t i = 0; (m = model_table_at(t, i)); i++) {
        buf_str(out, i ? ", {\"model\": " : "{\"model\": ");
        buf_json_str(out, span_str(m->name));
        buf_printf(out, ", \"version\": %llu, \"newest\": %s, \"positional\": %s, \"columns\": [",
                   (unsigned long long)m->version, model_table_is_newest(t, i) ? "true" : "false",
                   m->info->positional ? "true" : "false");
        for (uint32_t k = 0; k < m->info->n_columns; k++) {
            buf_str(out, k ? ", " : "");
            buf_json_str(out, m->info->columns[k].name);
        }
        buf_str(out, "]}");
    }
    buf_str(out, "]}\n");
}

static void serve(struct http_call *c)
{
    struct error error = {0};
    uint32_t retry_after_ms = 0;
    int rc = 0;
    if (c->owner->edge->stopping)
        rc = error_set(&error, ERR_UNAVAILABLE, "the coordinator is stopping");
    else if (!c->list)
        rc = ask(c, &retry_after_ms, &error);
    if (rc)
        fail(c, rc, error.detail, retry_after_ms);
    else if (!c->list)
        return;
    else
        list_models(c);
    wake(c);
}

void predict_http_poll(struct predict_http *h)
{
    uint64_t count;
    while (read(h->fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&h->lock);
    struct http_call *list = TAKE_PTR(h->asked);
    h->end = &h->asked;
    pthread_mutex_unlock(&h->lock);
    while (list) {
        struct http_call *c = list;
        list = c->next;
        serve(c);
    }
}

/* ---- on the thread of libmicrohttpd ---- */

static enum MHD_Result send_answer(struct http_call *c)
{
    char seconds[24];
    struct MHD_Response *r =
        MHD_create_response_from_buffer(c->text.len, c->text.data, MHD_RESPMEM_MUST_FREE);
    if (!r)
        return MHD_NO;
    c->text = (struct buf){0}; /* the response has it now */
    enum MHD_Result ok =
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    snprintf(seconds, sizeof(seconds), "%u", (c->retry_after_ms + 999) / 1000);
    if (ok == MHD_YES && c->retry_after_ms)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    if (ok == MHD_YES && c->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, c->list ? "GET, HEAD" : "POST");
    if (ok == MHD_YES && c->status == MHD_HTTP_UNAUTHORIZED)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (ok == MHD_YES)
        ok = MHD_queue_response(c->connection, c->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* The time that it takes tells nothing of the token but its length. */
static bool token_fits(const struct predict_http *h, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const char *given =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (!given || strncasecmp(given, scheme, sizeof(scheme) - 1) != 0)
        return false;
    given += sizeof(scheme) - 1;
    given += strspn(given, " ");
    size_t n = strlen(given);
    while (n && (given[n - 1] == ' ' || given[n - 1] == '\t'))
        n--; /* no part of the value (RFC 9110, 5.5) */
    return n == strlen(h->token) && sodium_memcmp(given, h->token, n) == 0;
}

/* "NAME/predict" or "NAME/versions/V/predict". */
static bool read_path(struct http_call *c, const char *path)
{
    size_t n = strcspn(path, "/");
    if (n == 0 || n > MODEL_NAME_MAX || !keys_name_valid((struct span){path, n}))
        return false;
    memcpy(c->name, path, n);
    path += n;
    if (strncmp(path, "/versions/", 10) == 0) {
        path += 10;
        n = strspn(path, "0123456789");
        if (n == 0 || n > 10 || *path == '0')
            return false;
        c->version = strtoull(path, NULL, 10);
        path += n;
    }
    return strcmp(path, "/predict") == 0;
}

static const char *header_of(const struct http_call *c, const char *name)
{
    return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

static void too_large(struct http_call *c)
{
    char detail[120];
    snprintf(detail, sizeof(detail),
             "the body is larger than %zu bytes (predict.body_max); send fewer rows",
             c->owner->body_max);
    fail(c, ERR_PAYLOAD_TOO_LARGE, detail, 0);
}

/* What can be said of the request before its body is there. */
static bool refused_at_once(struct http_call *c, const char *url, const char *method)
{
    static const char prefix[] = "/v1/models/";
    bool get =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    bool post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    const char *length = header_of(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool too_long = length && strtoull(length, NULL, 10) > c->owner->body_max;
    c->list = strcmp(url, "/v1/models") == 0;
    if (!token_fits(c->owner, c->connection))
        fail(c, ERR_AUTH, "the header Authorization: Bearer TOKEN is missing, or has another token",
             0);
    else if (!c->list && (strncmp(url, prefix, sizeof(prefix) - 1) != 0 ||
                          !read_path(c, url + sizeof(prefix) - 1)))
        fail(c, ERR_NOT_FOUND,
             "there are GET /v1/models, POST /v1/models/NAME/predict and POST "
             "/v1/models/NAME/versions/V/predict",
             0);
    else if (c->list ? !get : !post)
        fail(c, ERR_WRONG_STATE, c->list ? "GET only" : "POST only", 0);
    else if (too_long)
        too_large(c);
    /* Told at once, and the connection ends: nobody waits for the body, nor asks for it. */
    return c->status && (too_long || header_of(c, MHD_HTTP_HEADER_EXPECT));
}

static void take_piece(struct http_call *c, const char *piece, size_t n)
{
    c->body_bytes += n;
    if (c->status)
        return;
    if (c->body_bytes > c->owner->body_max)
        too_large(c);
    else
        buf_append(&c->body, piece, n);
}

/* The loop has it from here on. False: it is not taken any more. */
static bool hand_over(struct http_call *c)
{
    struct predict_http *h = c->owner;
    const uint64_t one = 1;
    pthread_mutex_lock(&h->lock);
    bool first = !h->asked, taken = !h->stopping;
    if (taken) {
        MHD_suspend_connection(c->connection);
        c->next = NULL;
        *h->end = c;
        h->end = &c->next;
    }
    pthread_mutex_unlock(&h->lock);
    while (taken && first && write(h->fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    return taken;
}

static struct http_call *call_new(struct predict_http *h, struct MHD_Connection *connection)
{
    struct http_call *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->owner = h;
    c->connection = connection;
    buf_init(&c->body, 0);
    buf_init(&c->text, 0);
    return c;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct predict_http *h = user;
    struct http_call *c = *state;
    (void)version;
    if (!c) {
        *state = c = call_new(h, connection);
        if (!c)
            return MHD_NO;
        return refused_at_once(c, url, method) ? send_answer(c) : MHD_YES;
    }
    if (*upload_size) {
        take_piece(c, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (c->status)
        return send_answer(c);
    buf_byte(&c->body, 0);
    if (!buf_ok(&c->body))
        fail(c, ERR_NOMEM, NULL, 0);
    else if (hand_over(c))
        return MHD_YES;
    else
        fail(c, ERR_UNAVAILABLE, "the coordinator is stopping", 0);
    return send_answer(c);
}

static void on_end(void *user, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode why)
{
    struct http_call *c = *state;
    (void)user;
    (void)connection;
    (void)why;
    if (!c)
        return;
    buf_done(&c->body);
    buf_done(&c->text);
    free(c);
    *state = NULL;
}

/* ---- start and end ---- */

static int read_token(struct predict_http *h, struct error *e)
{
    int rc = config_secret(h->edge->config, "predict.token_file", &h->token, e);
    if (rc)
        return rc;
    if (!h->token)
        return error_set(e, ERR_CONFIG, "predict.listen needs predict.token_file");
    size_t n = strlen(h->token);
    if (n < PREDICT_HTTP_TOKEN_MIN || n > PREDICT_HTTP_TOKEN_MAX || strpbrk(h->token, " \t\r\n"))
        return error_set(e, ERR_CONFIG,
                         "predict.token_file: %d to %d characters without spaces are wanted",
                         PREDICT_HTTP_TOKEN_MIN, PREDICT_HTTP_TOKEN_MAX);
    return ERR_OK;
}

static int start(struct predict_http *h, struct error *e)
{
    int fd = -1;
    int rc = read_token(h, e);
    if (rc == ERR_OK) {
        h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = h->fd >= 0 ? ERR_OK : error_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    }
    if (rc == ERR_OK)
        rc = http_listen(&(struct http_listen){.url = config_str(h->edge->config, "predict.listen"),
                                               .option = "predict.listen",
                                               .anywhere =
                                                   config_bool(h->edge->config, "predict.anywhere"),
                                               .anywhere_option = "predict.anywhere",
                                               .backlog = 1024},
                         &fd, h->url, e);
    if (rc)
        return rc;
    /* poll, not epoll: there libmicrohttpd 0.9.75 forgets connections when more than 128 wake at a time. */
    h->daemon =
        MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                         on_request, h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)PREDICT_HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)PREDICT_HTTP_IDLE_S, MHD_OPTION_NOTIFY_COMPLETED, on_end, h,
                         MHD_OPTION_END);
    if (h->daemon)
        return ERR_OK;
    close(fd);
    return error_set(e, ERR_IO, "the HTTP server did not start on %s", h->url);
}

int predict_http_new(struct edge *e, struct predict_http **ret, struct error *error)
{
    if (!config_str(e->config, "predict.listen"))
        return ERR_OK;
    struct predict_http *h = calloc(1, sizeof(*h));
    if (!h)
        return error_set(error, ERR_NOMEM, "no memory for the HTTP server");
    h->edge = e;
    h->fd = -1;
    h->end = &h->asked;
    h->body_max = (size_t)config_int(e->config, "predict.body_max");
    arena_init(&h->arena, 0);
    pthread_mutex_init(&h->lock, NULL);
    int rc = start(h, error);
    if (rc)
        predict_http_free(h);
    else
        *ret = h;
    return rc;
}

void predict_http_free(struct predict_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    if (h->fd >= 0)
        predict_http_poll(h); /* what was asked is refused, since the coordinator is stopping */
    predict_stop(h->edge->predict);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    if (h->fd >= 0)
        close(h->fd);
    if (h->token)
        explicit_bzero(h->token, strlen(h->token));
    free(h->token);
    arena_done(&h->arena);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

const char *predict_http_url(const struct predict_http *h)
{
    return h->url;
}

int predict_http_fd(const struct predict_http *h)
{
    return h->fd;
}
