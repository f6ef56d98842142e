#include "jar.h"

#include <stdio.h>
#include <strings.h>

#include "common/buf.h"
#include "common/hash.h"

static bool is_credential(const char *name)
{
    static const char *const names[] = {"authorization", "cookie", "proxy-authorization",
                                        "x-api-key"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool has_header(const struct scrape_http_options *http, const char *name)
{
    for (size_t i = 0; i < http->n_headers; i++)
        if (strcasecmp(http->headers[i].name, name) == 0)
            return true;
    return false;
}

static bool append(struct curl_slist **list, const char *name, const char *value)
{
    struct buf line = {0};
    /* curl's spelling of a header without a value */
    buf_printf(&line, *value ? "%s: %s" : "%s;%s", name, value);
    char *text = buf_take_str(&line);
    struct curl_slist *more = text ? curl_slist_append(*list, text) : NULL;
    free(text);
    if (more)
        *list = more;
    return more != NULL;
}

static bool build_headers(const struct scrape_http_options *http, bool guest,
                          struct curl_slist **list)
{
    static const struct spec_pair defaults[] = {
        {"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
        {"Accept-Encoding", "gzip, deflate, br, zstd"},
    };
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
        if (!has_header(http, defaults[i].name) &&
            !append(list, defaults[i].name, defaults[i].value))
            return false;
    for (size_t i = 0; i < http->n_headers; i++)
        if (!(guest && is_credential(http->headers[i].name)) &&
            !append(list, http->headers[i].name, http->headers[i].value))
            return false;
    return true;
}

static bool build_cookie_header(const struct scrape_http_options *http, char **ret)
{
    struct buf b = {0};
    if (http->n_cookies == 0)
        return true;
    for (size_t i = 0; i < http->n_cookies; i++)
        buf_printf(&b, "%s%s=%s", i ? "; " : "", http->cookie_list[i].name,
                   http->cookie_list[i].value);
    *ret = buf_take_str(&b);
    return *ret != NULL;
}

static void jar_free(struct jar *j)
{
    if (!j)
        return;
    if (j->cookies) {
        CURLSHcode r = curl_share_cleanup(j->cookies);
        assert(r == CURLSHE_OK); /* no handle uses it any more */
    }
    curl_slist_free_all(j->headers);
    curl_slist_free_all(j->guest_headers);
    free(j->cookie_header);
    free(j);
}

static uint64_t mix_text(uint64_t h, const char *s)
{
    return s ? hash_64(s, strlen(s) + 1, h) : hash_mix(h);
}

/* Of all that set_up in fetch.c and the lists here are made from: two stages of one job that ask in
 * different ways have a jar each. */
static uint64_t digest(const struct scrape_http_options *http)
{
    const uint64_t numbers[] = {http->cookies,     http->tls_verify,         http->timeout_ms,
                                http->n_headers,   http->connect_timeout_ms, http->n_cookies,
                                http->min_speed_s, http->min_speed_bytes_s};
    uint64_t h = hash_64(numbers, sizeof numbers, 3);
    h = mix_text(mix_text(h, http->user_agent), http->proxy);
    for (size_t i = 0; i < http->n_headers; i++)
        h = mix_text(mix_text(h, http->headers[i].name), http->headers[i].value);
    for (size_t i = 0; i < http->n_cookies; i++)
        h = mix_text(mix_text(h, http->cookie_list[i].name), http->cookie_list[i].value);
    return h;
}

static struct jar *jar_new(struct jars *all, uint64_t job_id, uint64_t options,
                           const struct scrape_http_options *http)
{
    struct jar *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->job_id = job_id;
    j->options = options;
    j->serial = ++all->serial;
    bool ok = build_headers(http, false, &j->headers) &&
              build_headers(http, true, &j->guest_headers) &&
              build_cookie_header(http, &j->cookie_header);
    if (ok && http->cookies) {
        j->cookies = curl_share_init();
        ok = j->cookies &&
             curl_share_setopt(j->cookies, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE) == CURLSHE_OK;
    }
    if (!ok) {
        jar_free(j);
        return NULL;
    }
    return j;
}

struct jar *jar_get(struct jars *all, uint64_t job_id, const struct scrape_spec *s)
{
    const struct scrape_http_options *http = scrape_spec_http(s);
    uint64_t options = digest(http);
    struct jar **at = &all->first;
    while (*at && ((*at)->job_id != job_id || (*at)->options != options))
        at = &(*at)->next;
    struct jar *j = *at;
    if (j)
        *at = j->next;
    else if (!(j = jar_new(all, job_id, options, http)))
        return NULL;
    j->next = all->first;
    all->first = j;
    j->refs++;
    return j;
}

void jar_put(struct jars *all, struct jar *j, jar_forget_fn *forget, void *user)
{
    assert(j->refs > 0);
    j->refs--;
    size_t idle = 0;
    for (struct jar **at = &all->first; *at;) {
        struct jar *x = *at;
        if (x->refs == 0 && ++idle > JARS_IDLE_MAX) {
            *at = x->next;
            forget(user, x);
            jar_free(x);
        } else {
            at = &x->next;
        }
    }
}

void jars_done(struct jars *all, jar_forget_fn *forget, void *user)
{
    while (all->first) {
        struct jar *j = all->first;
        assert(j->refs == 0);
        all->first = j->next;
        forget(user, j);
        jar_free(j);
    }
}

bool jar_count(struct jar *j, size_t bytes)
{
    j->cookie_bytes += bytes;
    return j->cookie_bytes > JAR_COOKIE_BYTES_MAX;
}

void jar_trim(struct jar *j, CURL *easy)
{
    struct curl_slist *list = NULL;
    size_t bytes = 0;
    if (curl_easy_getinfo(easy, CURLINFO_COOKIELIST, &list) != CURLE_OK)
        return;
    for (const struct curl_slist *c = list; c; c = c->next)
        bytes += strlen(c->data);
    curl_slist_free_all(list);
    if (bytes > JAR_COOKIE_BYTES_MAX)
        curl_easy_setopt(easy, CURLOPT_COOKIELIST, "ALL");
    j->cookie_bytes = 0;
}
