#include "download.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "worker/scrape/guard.h"
#include "worker/scrape/trust.h"

enum { VALUE_LEN = DOWNLOAD_VERSION_LEN - 10 /* of a header that becomes a version */ };

struct downloads {
    struct downloads_config config;
    struct guard *guard;
    pthread_mutex_t lock; /* of the next */
    struct trust *trust;
};

int downloads_new(const struct downloads_config *config, struct downloads **ret, struct error *e)
{
    struct downloads *d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(e, ERR_NOMEM, "no memory for downloads");
    d->config = *config;
    pthread_mutex_init(&d->lock, NULL);
    int rc = guard_new(config->allow_nets, &d->guard, e);
    if (rc == ERR_OK)
        rc = trust_new(config->ca_file, &d->trust, e);
    if (rc == ERR_OK)
        *ret = d;
    else
        downloads_free(d);
    return rc;
}

void downloads_free(struct downloads *d)
{
    if (!d)
        return;
    guard_free(d->guard);
    trust_free(d->trust);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* ---- versions ---- */

static size_t name_len(struct span version)
{
    return download_version_has(version, DOWNLOAD_ETAG) ? sizeof(DOWNLOAD_ETAG) - 1
                                                        : sizeof(DOWNLOAD_MODIFIED) - 1;
}

/* The condition of a request, as a header. */
static struct curl_slist *condition(struct span version)
{
    char line[DOWNLOAD_VERSION_LEN + 40];
    const size_t skip = name_len(version);
    snprintf(line, sizeof(line), "%s: %.*s",
             download_version_has(version, DOWNLOAD_ETAG) ? "If-Match" : "If-Unmodified-Since",
             (int)(version.len - skip), version.p + skip);
    return curl_slist_append(NULL, line);
}

/* ---- one request ---- */

struct transfer {
    struct downloads *owner;
    CURL *easy;
    const char *url;
    const atomic_bool *cancelled;
    int fd;
    uint64_t at, end; /* where the next byte goes; the first that is not wanted */
    bool partial;     /* a range was asked for */
    long status;      /* of the answer that the body belongs to */
    char etag[VALUE_LEN + 1], modified[VALUE_LEN + 1];
    bool ranges;
    bool blocked;        /* the guard refused an address */
    struct error failed; /* what a callback ended it for */
    char text[CURL_ERROR_SIZE];
};

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = user;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (!t->owner->config.proxy && !guard_allows(t->owner->guard, &a->addr)) {
        t->blocked = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static CURLcode ssl_ctx(CURL *easy UNUSED, void *ctx, void *user)
{
    struct downloads *d = ((struct transfer *)user)->owner;
    pthread_mutex_lock(&d->lock);
    const bool good = trust_apply(d->trust, ctx);
    pthread_mutex_unlock(&d->lock);
    return good ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

static void keep(char *to, const char *p, size_t n)
{
    while (n > 0 && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \t\r\n", p[n - 1]))
        n--;
    snprintf(to, VALUE_LEN + 1, "%.*s", n <= VALUE_LEN ? (int)n : 0, p);
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    const size_t len = size * n;
    char ranges[VALUE_LEN + 1];
    if (len >= 5 && strncasecmp(p, "HTTP/", 5) == 0) { /* a new answer: after a redirect, say */
        t->etag[0] = t->modified[0] = '\0';
        t->ranges = false;
    } else if (len > 5 && strncasecmp(p, "ETag:", 5) == 0) {
        keep(t->etag, p + 5, len - 5);
    } else if (len > 14 && strncasecmp(p, "Last-Modified:", 14) == 0) {
        keep(t->modified, p + 14, len - 14);
    } else if (len > 14 && strncasecmp(p, "Accept-Ranges:", 14) == 0) {
        keep(ranges, p + 14, len - 14);
        t->ranges = strcasecmp(ranges, "bytes") == 0;
    }
    return len;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    const size_t len = size * n;
    if (t->status == 0) /* the first bytes of the body */
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
    if (t->status < 200 || t->status > 299) /* nobody reads the page that says so */
        return len;
    if (t->partial && t->status != 206)
        return 0;
    if (len > t->end - t->at) {
        if (t->partial)
            error_set(&t->failed, ERR_UNAVAILABLE, "%s: more bytes came than were asked for",
                      t->url);
        else
            error_set(&t->failed, ERR_LIMIT, "%s: more than %llu bytes (input_bytes_max)", t->url,
                      (unsigned long long)t->owner->config.bytes_max);
        return 0;
    }
    for (size_t done = 0; done < len;) {
        const ssize_t put = pwrite(t->fd, p + done, len - done, (off_t)t->at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            error_set(&t->failed, ERR_IO, "%s: the temporary file cannot be written: %s", t->url,
                      strerror(errno));
            return 0;
        }
        t->at += (uint64_t)put;
        done += (size_t)put;
    }
    return len;
}

static int on_progress(void *user, curl_off_t total UNUSED, curl_off_t now UNUSED,
                       curl_off_t up_total UNUSED, curl_off_t up UNUSED)
{
    const struct transfer *t = user;
    return t->cancelled && atomic_load_explicit(t->cancelled, memory_order_relaxed);
}

#define SET(option, value) ok = ok && curl_easy_setopt(t->easy, option, value) == CURLE_OK

static bool set_up(struct transfer *t)
{
    const struct downloads_config *c = &t->owner->config;
    curl_easy_reset(t->easy); /* the connection stays */
    bool ok = true;
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, strncmp(t->url, "https:", 6) == 0 ? "https" : "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, (long)DOWNLOAD_REDIRECTS_MAX);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_BUFFERSIZE, (long)DOWNLOAD_BUFFER_BYTES);
    SET(CURLOPT_ERRORBUFFER, t->text);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_SSL_CTX_FUNCTION, ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, t);
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)DOWNLOAD_CONNECT_MS);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)DOWNLOAD_STALLED_S);
    SET(CURLOPT_USERAGENT, c->user_agent ? c->user_agent : "drover/" DROVER_VERSION);
    SET(CURLOPT_PROXY, c->proxy ? c->proxy : ""); /* "": none of the environment */
    SET(CURLOPT_NOPROXY, "");
    return ok;
}

static int wrong_status(const struct transfer *t, struct error *e)
{
    const long s = t->status;
    const enum err code = s >= 500 || s == 429 || s == 408 ? ERR_UNAVAILABLE
                          : s == 404 || s == 410           ? ERR_NOT_FOUND
                          : s == 401 || s == 403           ? ERR_AUTH
                          : s == 412 || s == 416           ? ERR_WRONG_STATE
                                                           : ERR_INVALID_ARGUMENT;
    return error_set(e, code, "%s: HTTP %ld%s", t->url, s,
                     code == ERR_WRONG_STATE ? ": it has changed since it was cut into parts" : "");
}

static int judge(const struct transfer *t, CURLcode code, struct error *e)
{
    if (t->failed.code != ERR_OK)
        return error_set(e, t->failed.code, "%s", t->failed.detail);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return error_set(e, ERR_STALE, "nobody wants the file any more");
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: more than %d redirects", t->url,
                         DOWNLOAD_REDIRECTS_MAX);
    if (t->status != 0 && (t->status < 200 || t->status > 299))
        return wrong_status(t, e);
    if (t->partial && t->status == 200)
        return error_set(e, ERR_WRONG_STATE, "%s: the server gave the whole file for a part of it",
                         t->url);
    if (code != CURLE_OK && t->blocked)
        return error_set(e, ERR_AUTH,
                         "%s: its address is not public, and allow_net does not name it", t->url);
    switch (code) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_OUT_OF_MEMORY:
        return error_set(e, ERR_NOMEM, "%s: no memory", t->url);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", t->url,
                         t->text[0] ? t->text : curl_easy_strerror(code));
    default: /* names, connections, what was cut off */
        return error_set(e, ERR_UNAVAILABLE, "%s: %s", t->url,
                         t->text[0] ? t->text : curl_easy_strerror(code));
    }
}

/* Bytes from t->at to before t->end into the file; a range, when t->partial. */
static int transfer(struct transfer *t, struct span version, struct error *e)
{
    struct curl_slist *headers = version.len > 0 ? condition(version) : NULL;
    char range[60];
    bool ok = (version.len == 0 || headers) && set_up(t);
    t->status = 0;
    if (headers)
        SET(CURLOPT_HTTPHEADER, headers);
    if (t->partial && t->end == UINT64_MAX)
        snprintf(range, sizeof(range), "%llu-", (unsigned long long)t->at);
    else
        snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)t->at,
                 (unsigned long long)t->end - 1);
    if (t->partial)
        SET(CURLOPT_RANGE, range);
    int rc = ERR_OK;
    if (ok) {
        const CURLcode code = curl_easy_perform(t->easy);
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
        rc = judge(t, code, e);
    } else {
        rc = error_set(e, ERR_NOMEM, "%s: no memory", t->url);
    }
    curl_slist_free_all(headers);
    return rc;
}

/* ---- the file ---- */

static int make_file(const struct downloads *d, int *ret, struct error *e)
{
    const char *dir = d->config.dir ? d->config.dir : getenv("TMPDIR");
    char path[4096];
    dir = dir && dir[0] ? dir : "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR) &&
        (size_t)snprintf(path, sizeof(path), "%s/.drover-input-XXXXXX", dir) < sizeof(path)) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return error_set(e, ERR_IO, "no temporary file can be made in %s: %s", dir,
                         strerror(errno));
    *ret = fd;
    return ERR_OK;
}

/* The file is the one that was cut, whatever the server makes of the condition. */
static int check_version(const struct transfer *t, struct span version, struct error *e)
{
    const char *is = download_version_has(version, DOWNLOAD_ETAG) ? t->etag : t->modified;
    const size_t skip = name_len(version);
    const struct span want = {version.p + skip, version.len - skip};
    if (is[0] == '\0' || span_eq(want, span_str(is)))
        return ERR_OK;
    return error_set(e, ERR_WRONG_STATE, "%s: it has changed since it was cut into parts", t->url);
}

static int get_range(struct transfer *t, uint64_t begin, uint64_t end, struct span version,
                     struct error *e)
{
    t->at = begin;
    t->end = end;
    int rc = transfer(t, version, e);
    if (rc == ERR_OK)
        rc = check_version(t, version, e);
    if (rc == ERR_OK && end != UINT64_MAX && t->at != end)
        rc = error_set(e, ERR_UNAVAILABLE, "%s: fewer bytes came than were asked for", t->url);
    return rc;
}

static bool has_row(int fd, uint64_t bytes)
{
    char piece[4096];
    for (uint64_t at = 0; at < bytes;) {
        const ssize_t n = pread(fd, piece, sizeof(piece), (off_t)at);
        if (n <= 0)
            return false;
        if (memchr(piece, '\n', (size_t)n))
            return true;
        at += (uint64_t)n;
    }
    return false;
}

/* The first bytes, with the names of the columns, and then its own. */
static int get_part(struct transfer *t, const struct download_part *part, struct error *e)
{
    const uint64_t head = MIN(part->begin, (uint64_t)DOWNLOAD_HEAD_BYTES);
    t->partial = true;
    int rc = head > 0 ? get_range(t, 0, head, part->version, e) : ERR_OK;
    if (rc == ERR_OK && head > 0 && !has_row(t->fd, head))
        rc = error_set(e, ERR_LIMIT, "%s: the first row has more than %d bytes", t->url,
                       DOWNLOAD_HEAD_BYTES);
    if (rc == ERR_OK && part->end > part->begin)
        rc = get_range(t, part->begin, part->end, part->version, e);
    return rc;
}

int downloads_get(struct downloads *d, const char *url, const struct download_part *part,
                  const atomic_bool *cancelled, struct download *ret, struct error *e)
{
    struct download got = {.fd = -1};
    struct transfer t = {
        .owner = d, .url = url, .cancelled = cancelled, .fd = -1, .end = d->config.bytes_max};
    int rc = make_file(d, &t.fd, e);
    if (rc == ERR_OK && !(t.easy = curl_easy_init()))
        rc = error_set(e, ERR_NOMEM, "%s: no memory", url);
    if (rc == ERR_OK)
        rc = part ? get_part(&t, part, e) : transfer(&t, (struct span){0}, e);
    curl_easy_cleanup(t.easy);
    if (rc != ERR_OK) {
        if (t.fd >= 0)
            close(t.fd);
        return rc;
    }
    got.fd = t.fd;
    /* Weak tags do not vouch for single bytes. */
    if (t.ranges && t.etag[0] == '"')
        snprintf(got.version, sizeof(got.version), DOWNLOAD_ETAG "%s", t.etag);
    else if (t.ranges && t.modified[0])
        snprintf(got.version, sizeof(got.version), DOWNLOAD_MODIFIED "%s", t.modified);
    if (!download_version_ok(span_str(got.version)))
        got.version[0] = '\0';
    *ret = got;
    return ERR_OK;
}
