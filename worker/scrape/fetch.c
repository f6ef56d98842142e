#include "fetch.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "common/reason.h"
#include "decode.h"
#include "guard.h"
#include "jar.h"
#include "spec.h"
#include "trust.h"

enum {
    DRAIN_BYTES_MAX = 64 * 1024, /* of a body that nobody wants, to keep the connection */
    BODY_FIRST_BYTES = 8 * 1024,
    DNS_S = 60,
    DNS_MANY_S = 1,
    LOOK_AT_MAX = 32,      /* of the idle handles, to find one of the same job */
    MANY_CONNECTIONS = 256 /* above it, smaller buffers for each */
};

int fetcher_init(struct fetcher *fr, const struct scrape_config *config, CURLM *multi,
                 const struct guard *guard, const char *user_agent, struct error *e)
{
    *fr = (struct fetcher){
        .multi = multi,
        .guard = guard,
        .user_agent = user_agent,
        .proxy = config->proxy,
        .buffer_bytes = config->connections_max > MANY_CONNECTIONS ? 4096 : 16384,
        .body_bytes_max = config->memory_max_bytes,
    };
    return trust_new(config->ca_file, &fr->trust, e);
}

static void fetch_free(struct fetch *f)
{
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->extra);
    buf_done(&f->head);
    buf_done(&f->body);
    free(f);
}

void fetcher_done(struct fetcher *fr)
{
    while (fr->idle) {
        struct fetch *f = fr->idle;
        fr->idle = f->next;
        fetch_free(f);
    }
}

void fetcher_free_trust(struct fetcher *fr)
{
    trust_free(TAKE_PTR(fr->trust));
}

/* Without any option, and off its jar. Made anew, a handle would cost 0.14 ms, in which c-ares reads
 * its configuration. */
static void clean(struct fetch *f)
{
    curl_easy_setopt(f->easy, CURLOPT_SHARE, NULL);
    curl_easy_setopt(f->easy, CURLOPT_COOKIEFILE, NULL); /* curl_easy_reset of 7.88 leaks it */
    curl_easy_reset(f->easy);
    f->setup = 0;
}

void fetcher_forget_jar(void *fetcher, const struct jar *jar)
{
    struct fetcher *fr = fetcher;
    for (struct fetch *f = fr->idle; f; f = f->next) {
        if (f->setup / 2 != jar->serial)
            continue;
        clean(f);
    }
}

/* ---- headers of the answer ---- */

static struct span trim(struct span s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.p[0]))
        s = (struct span){s.p + 1, s.len - 1};
    while (s.len > 0 && strchr(" \t\r\n", s.p[s.len - 1]))
        s.len--;
    return s;
}

bool fetch_next_header(const struct fetch *f, size_t *at, struct span *ret_name,
                       struct span *ret_value)
{
    while (*at < f->head.len) {
        const char *p = (const char *)f->head.data + *at;
        const char *end = memchr(p, '\n', f->head.len - *at);
        size_t len = end ? (size_t)(end - p) + 1 : f->head.len - *at;
        *at += len;
        const char *colon = memchr(p, ':', len);
        if (!colon)
            continue;
        *ret_name = trim((struct span){p, (size_t)(colon - p)});
        *ret_value = trim((struct span){colon + 1, len - (size_t)(colon - p) - 1});
        return true;
    }
    return false;
}

bool fetch_header(const struct fetch *f, const char *name, struct span *ret)
{
    struct span n, v;
    size_t at = 0, len = strlen(name);
    bool found = false;
    while (fetch_next_header(f, &at, &n, &v)) {
        if (n.len == len && strncasecmp(n.p, name, len) == 0) {
            *ret = v;
            found = true;
        }
    }
    return found;
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct fetch *f = user;
    size_t len = size * n;
    if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* after a 1xx, or a proxy's answer to CONNECT */
        buf_clear(&f->head);
        return len;
    }
    if (len >= 11 && strncasecmp(p, "set-cookie:", 11) == 0)
        f->set_cookie_bytes += len;
    buf_append(&f->head, p, len);
    if (buf_ok(&f->head))
        return len;
    f->stop = REASON_PROTOCOL;
    snprintf(f->error, sizeof f->error, "more than %d bytes of headers", FETCH_HEAD_BYTES_MAX);
    return 0;
}

/* ---- body ---- */

static size_t stop(struct fetch *f, const char *reason, const char *detail)
{
    f->stop = reason;
    snprintf(f->error, sizeof f->error, "%s", detail);
    return 0;
}

/* Before the first byte of the body: is it wanted? False: the transfer is to end. */
static bool decide(struct fetch *f)
{
    long status = 0;
    struct span value;
    f->decided = true;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        f->drop_body = true;
        return true;
    }
    if (!f->any_type && fetch_header(f, "content-type", &value) &&
        !scrape_spec_type_ok(f->spec, value)) {
        char type[128];
        snprintf(type, sizeof type, "%.*s", (int)MIN(value.len, sizeof type - 1), value.p);
        return stop(f, REASON_TYPE, type) != 0;
    }
    if (fetch_header(f, "content-encoding", &value) && decode_coding_of(value) == DECODE_UNKNOWN) {
        char coding[128];
        snprintf(coding, sizeof coding, "Content-Encoding %.*s", (int)MIN(value.len, (size_t)100),
                 value.p);
        return stop(f, REASON_PROTOCOL, coding) != 0;
    }
    curl_off_t announced = -1;
    curl_easy_getinfo(f->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (!f->cut && announced > 0 && (uint64_t)announced > f->body_max_bytes) {
        char text[80];
        snprintf(text, sizeof text, "%lld bytes announced, %zu allowed", (long long)announced,
                 f->body_max_bytes);
        return stop(f, REASON_TOO_LARGE, text) != 0;
    }
    return true;
}

static void count_body(struct fetch *f, size_t bytes)
{
    f->owner->body_bytes += bytes - f->counted_bytes;
    f->counted_bytes = bytes;
}

static bool must_pause(struct fetch *f)
{
    struct fetcher *fr = f->owner;
    if (fr->body_bytes < fr->body_bytes_max || fr->privileged == f)
        return false;
    if (!fr->privileged) {
        fr->privileged = f;
        return false;
    }
    return true;
}

static void pause_link(struct fetch *f)
{
    struct fetcher *fr = f->owner;
    f->paused = true;
    f->paused_next = NULL;
    f->paused_prev = fr->paused_last;
    *(fr->paused_last ? &fr->paused_last->paused_next : &fr->paused) = f;
    fr->paused_last = f;
}

static void pause_unlink(struct fetch *f)
{
    struct fetcher *fr = f->owner;
    if (!f->paused)
        return;
    *(f->paused_prev ? &f->paused_prev->paused_next : &fr->paused) = f->paused_next;
    *(f->paused_next ? &f->paused_next->paused_prev : &fr->paused_last) = f->paused_prev;
    f->paused_prev = f->paused_next = NULL;
    f->paused = false;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct fetch *f = user;
    size_t len = size * n;
    if (!f->decided && !decide(f))
        return 0;
    if (f->drop_body) {
        f->wire_bytes += len;
        if (f->wire_bytes > DRAIN_BYTES_MAX)
            return stop(f, "DROPPED", "");
        return len;
    }
    if (len > f->body_max_bytes - f->body.len) {
        if (f->cut) {
            buf_append(&f->body, p, f->body_max_bytes - f->body.len);
            return stop(f, "CUT", "");
        }
        char text[80];
        snprintf(text, sizeof text, "more than %zu bytes", f->body_max_bytes);
        return stop(f, REASON_TOO_LARGE, text);
    }
    if (must_pause(f)) {
        pause_link(f);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (f->body.cap == 0 && !buf_reserve(&f->body, BODY_FIRST_BYTES))
        return stop(f, REASON_NOMEM, "");
    buf_append(&f->body, p, len);
    if (!buf_ok(&f->body))
        return stop(f, REASON_NOMEM, "");
    count_body(f, f->body.len);
    f->wire_bytes += len;
    return len;
}

bool fetcher_has_room(const struct fetcher *fr)
{
    return fr->body_bytes < fr->body_bytes_max;
}

void fetcher_resume(struct fetcher *fr)
{
    /* Each may pause again at once, and is then the last of the list. */
    const struct fetch *last = fr->paused_last;
    while (fr->paused && (!fr->privileged || fetcher_has_room(fr))) {
        struct fetch *f = fr->paused;
        pause_unlink(f);
        curl_easy_pause(f->easy, CURLPAUSE_CONT);
        if (f == last)
            break;
    }
}

/* ---- sockets and TLS ---- */

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct fetch *f = user;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (!f->trusted_proxy && !guard_allows(f->owner->guard, &a->addr)) {
        f->sockets_blocked++;
        return CURL_SOCKET_BAD;
    }
    f->sockets_opened++;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd >= 0)
        f->owner->socket_opened(f->owner->socket_user, fd);
    else
        f->no_files = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return fd;
}

/* The connection may outlive the transfer that opened it: user is the fetcher. */
static int on_close_socket(void *user, curl_socket_t fd)
{
    struct fetcher *fr = user;
    fr->socket_closed(fr->socket_user, fd);
    return close(fd);
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *user)
{
    (void)easy;
    struct fetcher *fr = user;
    return trust_apply(fr->trust, ssl_ctx) ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

/* ---- starting ---- */

/* An idle handle, if there is one that was set up in the wanted way among the first. */
static struct fetch *take_idle(struct fetcher *fr, uint64_t setup)
{
    struct fetch **at = &fr->idle;
    for (unsigned i = 0; i < LOOK_AT_MAX && *at && (*at)->setup != setup; i++)
        at = &(*at)->next;
    if (!*at || (*at)->setup != setup)
        at = &fr->idle;
    struct fetch *f = *at;
    *at = f->next;
    f->next = NULL;
    fr->n_idle--;
    return f;
}

static struct fetch *take_handle(struct fetcher *fr, uint64_t setup)
{
    if (fr->idle)
        return take_idle(fr, setup);
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->easy = curl_easy_init();
    if (!f->easy) {
        free(f);
        return NULL;
    }
    f->owner = fr;
    buf_init(&f->head, FETCH_HEAD_BYTES_MAX);
    return f;
}

#define SET(option, value) ok = ok && curl_easy_setopt(f->easy, option, value) == CURLE_OK

/* All options that the requests of a job have in common. */
static bool set_up(struct fetch *f, const struct fetch_request *rq)
{
    struct fetcher *fr = f->owner;
    const struct scrape_http_options *http = scrape_spec_http(rq->spec);
    clean(f);
    bool ok = true;
    SET(CURLOPT_PRIVATE, f);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PIPEWAIT, 1L);
    SET(CURLOPT_BUFFERSIZE, fr->buffer_bytes);
    SET(CURLOPT_ERRORBUFFER, f->error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, f);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, f);
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, fr);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, fr);
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_VERIFYPEER, http->tls_verify ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, http->tls_verify ? 2L : 0L);
    SET(CURLOPT_TIMEOUT_MS, (long)http->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)http->min_speed_bytes_s);
    SET(CURLOPT_LOW_SPEED_TIME, (long)http->min_speed_s);
    SET(CURLOPT_USERAGENT, http->user_agent ? http->user_agent : fr->user_agent);
    /* "" keeps curl from taking a proxy from the environment */
    SET(CURLOPT_PROXY, http->proxy ? http->proxy : fr->proxy ? fr->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_HTTPHEADER, rq->guest ? rq->jar->guest_headers : rq->jar->headers);
    if (!rq->guest && rq->jar->cookie_header)
        SET(CURLOPT_COOKIE, rq->jar->cookie_header);
    if (rq->jar->cookies) {
        SET(CURLOPT_SHARE, rq->jar->cookies);
        SET(CURLOPT_COOKIEFILE, ""); /* turns the cookie engine on */
    }
    f->setup = ok ? rq->jar->serial * 2 + rq->guest : 0;
    return ok;
}

/* The job's headers with those of this request alone. */
static bool set_extra(struct fetch *f, const struct fetch_request *rq)
{
    f->usual = rq->guest ? rq->jar->guest_headers : rq->jar->headers;
    const struct curl_slist *lists[2] = {f->usual, rq->extra_headers};
    bool ok = true;
    for (size_t i = 0; i < 2; i++) {
        for (const struct curl_slist *h = lists[i]; h && ok; h = h->next) {
            struct curl_slist *more = curl_slist_append(f->extra, h->data);
            ok = more != NULL;
            if (more)
                f->extra = more;
        }
    }
    SET(CURLOPT_HTTPHEADER, f->extra);
    return ok;
}

struct fetch *fetch_start(struct fetcher *fr, const struct fetch_request *rq)
{
    uint64_t setup = rq->jar->serial * 2 + rq->guest;
    struct fetch *f = take_handle(fr, setup);
    if (!f)
        return NULL;
    fr->n_active++;
    bool ok = f->setup == setup || set_up(f, rq);
    if (rq->extra_headers)
        ok = ok && set_extra(f, rq);
    f->spec = rq->spec;
    f->body_max_bytes = rq->body_max_bytes;
    f->any_type = rq->any_type;
    f->cut = rq->cut;
    f->trusted_proxy = fr->proxy && !scrape_spec_http(rq->spec)->proxy;
    SET(CURLOPT_DNS_CACHE_TIMEOUT, fr->many_hosts ? (long)DNS_MANY_S : (long)DNS_S);
    SET(CURLOPT_URL, rq->url);
    if (!ok || curl_multi_add_handle(fr->multi, f->easy) != CURLM_OK) {
        f->setup = 0;
        fetch_release(f);
        return NULL;
    }
    return f;
}

/* ---- ending ---- */

static void classify(struct fetch *f, enum fetch_class class, const char *reason)
{
    f->class = class;
    f->reason = reason;
}

static void classify_timeout(struct fetch *f)
{
    curl_off_t first_byte = 0, sent = 0;
    curl_easy_getinfo(f->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
    curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    if (strncmp(f->error, "Operation too slow", 18) == 0)
        classify(f, FETCH_TRANSIENT, REASON_SLOW);
    else if (sent == 0 && first_byte == 0)
        classify(f, FETCH_UNREACHABLE, REASON_TIMEOUT);
    else
        classify(f, FETCH_TRANSIENT, REASON_TIMEOUT);
}

static void classify_error(struct fetch *f, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        classify(f, FETCH_UNREACHABLE, REASON_DNS);
        break;
    case CURLE_COULDNT_CONNECT:
        if (f->sockets_blocked > 0 && f->sockets_opened == 0) {
            classify(f, FETCH_PERMANENT, REASON_BLOCKED_ADDRESS);
            snprintf(f->error, sizeof f->error,
                     "the address is not public; allow_net in the worker's configuration can name "
                     "it");
        } else if (f->no_files) { /* our own want is no fault of the host */
            classify(f, FETCH_TRANSIENT, REASON_OPEN_FILES);
            snprintf(f->error, sizeof f->error, "no socket: raise LimitNOFILE of the worker");
        } else {
            classify(f, FETCH_UNREACHABLE, REASON_CONNECT);
        }
        break;
    case CURLE_OPERATION_TIMEDOUT:
        classify_timeout(f);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        classify(f, FETCH_PERMANENT, REASON_TLS);
        break;
    case CURLE_SSL_CONNECT_ERROR: /* also a connection that is cut during the handshake */
        classify(f, FETCH_TRANSIENT, REASON_TLS);
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        classify(f, FETCH_PERMANENT, REASON_PROTOCOL);
        break;
    case CURLE_OUT_OF_MEMORY:
        classify(f, FETCH_TRANSIENT, REASON_NOMEM);
        break;
    default: /* got nothing, reset, cut short, HTTP/2 stream errors */
        classify(f, FETCH_TRANSIENT, REASON_CLOSED);
        break;
    }
    if (!f->error[0])
        snprintf(f->error, sizeof f->error, "%s", curl_easy_strerror(code));
}

void fetch_ended(struct fetch *f, CURLcode code)
{
    long status = 0;
    curl_off_t first_byte = 0, pre = 0, total = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(f->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
    curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME_T, &pre);
    curl_easy_getinfo(f->easy, CURLINFO_TOTAL_TIME_T, &total);
    f->status = (int)status;
    f->latency_ms = (uint32_t)(MAX(first_byte - pre, (curl_off_t)0) / 1000);
    f->total_ms = (uint32_t)(total / 1000);
    if (code == CURLE_OK && !f->decided && !decide(f))
        code = CURLE_WRITE_ERROR; /* an answer without a body may still have the wrong type */
    bool ended_by_us = f->stop && (code == CURLE_WRITE_ERROR || code == CURLE_HTTP2_STREAM);
    if (code == CURLE_OK)
        classify(f, FETCH_ANSWER, NULL);
    else if (ended_by_us && (strcmp(f->stop, "DROPPED") == 0 || strcmp(f->stop, "CUT") == 0))
        classify(f, FETCH_ANSWER, NULL);
    else if (ended_by_us && strcmp(f->stop, REASON_NOMEM) == 0)
        classify(f, FETCH_TRANSIENT, REASON_NOMEM);
    else if (f->stop)
        classify(f, FETCH_PERMANENT, f->stop);
    else
        classify_error(f, code);
}

void fetch_release(struct fetch *f)
{
    struct fetcher *fr = f->owner;
    curl_multi_remove_handle(fr->multi, f->easy);
    pause_unlink(f);
    if (fr->privileged == f)
        fr->privileged = NULL;
    count_body(f, 0);
    fr->n_active--;
    if (f->extra) {
        curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->usual); /* the jar lives: its task does */
        curl_slist_free_all(TAKE_PTR(f->extra));
    }
    if (fr->n_idle >= FETCH_IDLE_MAX) {
        fetch_free(f);
        return;
    }
    if (f->body.cap > FETCH_BODY_KEPT_BYTES)
        buf_done(&f->body);
    buf_clear(&f->head);
    buf_clear(&f->body);
    f->user = NULL;
    f->decided = f->drop_body = f->no_files = false;
    f->sockets_opened = f->sockets_blocked = 0;
    f->set_cookie_bytes = 0;
    f->stop = f->reason = NULL;
    f->error[0] = 0;
    f->wire_bytes = 0;
    f->next = fr->idle;
    fr->idle = f;
    fr->n_idle++;
}
