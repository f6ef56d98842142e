#include "spec.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "field.h"
#include "pattern.h"
#include "spec_field.h"
#include "spec_read.h"
#include "url.h"

/* What the keys of "conditional" say. */
struct conditional {
    bool cache;
    const char *since;
};

#define HTTP(member) .offset = offsetof(struct scrape_spec, http.member)
#define FOLLOW(member) .offset = offsetof(struct scrape_spec, follow.member)

/* ---- follow ---- */

static int read_follow_css(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_spec *s = target;
    const char **texts;
    size_t n;
    int err = spec_read_strings(r, v, &texts, &n);
    if (err)
        return err;
    const struct selector **selectors = spec_read_alloc(r, n + 1, sizeof(struct selector *));
    if (!selectors)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        size_t mark = json_is_array(v) ? spec_read_push_index(r, i) : r->path.len;
        err = spec_field_selector(r, span_str(texts[i]), &selectors[i]);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    s->follow.selectors = selectors;
    return ERR_OK;
}

static int read_patterns(struct spec_reader *r, const json_t *v, struct pattern *const **ret)
{
    const char **texts;
    size_t n;
    int err = spec_read_strings(r, v, &texts, &n);
    if (err)
        return err;
    struct pattern **patterns = spec_read_alloc(r, n + 1, sizeof(struct pattern *));
    if (!patterns)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        size_t mark = json_is_array(v) ? spec_read_push_index(r, i) : r->path.len;
        err = spec_field_pattern(r, texts[i], &patterns[i]);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    *ret = patterns;
    return ERR_OK;
}

static int read_allow(struct spec_reader *r, const json_t *v, void *target)
{
    return read_patterns(r, v, &((struct scrape_spec *)target)->follow.allow);
}

static int read_deny(struct spec_reader *r, const json_t *v, void *target)
{
    return read_patterns(r, v, &((struct scrape_spec *)target)->follow.deny);
}

/* The canonical form of url (an http URL) in the arena; with host_only the host of it. */
static int canonical(struct spec_reader *r, const char *url, bool host_only, const char **ret)
{
    CLEANUP(buf_done) struct buf out = {0};
    struct error inner = {0};
    size_t key_len;
    if (scrape_url_canonical(span_str(url), &out, &key_len, &inner))
        return spec_read_refuse_inner(r, &inner);
    struct span s = host_only ? url_host(buf_span(&out)) : buf_span(&out);
    *ret = arena_strndup(r->arena, s.p, s.len);
    return *ret ? (int)ERR_OK : spec_read_no_memory(r);
}

static int read_domains(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_spec *s = target;
    const char **names;
    size_t n;
    int err = spec_read_strings(r, v, &names, &n);
    for (size_t i = 0; !err && i < n; i++) {
        size_t mark = spec_read_push_index(r, i);
        char url[400];
        if (strlen(names[i]) > 300 || !names[i][0] || strpbrk(names[i], "/:@?#* \\"))
            return spec_read_refuse(r, "expected a domain like \"example.com\", got \"%.60s\"",
                                    names[i]);
        snprintf(url, sizeof url, "http://%s/", names[i]);
        err = canonical(r, url, true, &names[i]);
        if (!err)
            spec_read_pop(r, mark);
    }
    if (!err)
        s->follow.domains = names;
    return err;
}

static int read_sitemap(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_spec *s = target;
    if (json_is_boolean(v)) {
        s->follow.sitemap = json_is_true(v);
        return ERR_OK;
    }
    const char **urls;
    size_t n;
    int err = spec_read_strings(r, v, &urls, &n);
    for (size_t i = 0; !err && i < n; i++) {
        size_t mark = spec_read_push_index(r, i);
        err = canonical(r, urls[i], false, &urls[i]);
        if (!err)
            spec_read_pop(r, mark);
    }
    if (err)
        return err;
    s->follow.sitemap = n > 0;
    s->follow.sitemap_urls = urls;
    return ERR_OK;
}

static const struct key follow_keys[] = {
    {"css", KEY_CUSTOM, .read = read_follow_css},
    {"depth", KEY_U32, FOLLOW(depth_max), .max = 10000},
    {"max_pages", KEY_U64, FOLLOW(pages_max), .min = 1, .max = 1e12},
    {"same_host", KEY_BOOL, FOLLOW(same_host)},
    {"domains", KEY_CUSTOM, .read = read_domains},
    {"allow", KEY_CUSTOM, .read = read_allow},
    {"deny", KEY_CUSTOM, .read = read_deny},
    {"nofollow", KEY_BOOL, FOLLOW(nofollow)},
    {"skip_extensions", KEY_BOOL, FOLLOW(skip_extensions)},
    {"sitemap", KEY_CUSTOM, .read = read_sitemap},
};

static int read_follow(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_spec *s = target;
    if (json_is_false(v))
        return ERR_OK;
    s->follow.enabled = true;
    if (!json_is_true(v)) {
        int err = spec_read_object(r, v, follow_keys, ARRAY_LEN(follow_keys), s);
        if (err)
            return err;
        /* domains widen the default, but not a same_host that was asked for */
        if (s->follow.domains && !json_object_get(v, "same_host"))
            s->follow.same_host = false;
    }
    if (s->follow.selectors)
        return ERR_OK;
    json_t *standard = json_pack("[s,s]", "a[href]", "area[href]");
    if (!standard)
        return spec_read_no_memory(r);
    int err = read_follow_css(r, standard, s);
    json_decref(standard);
    return err;
}

/* ---- http ---- */

static bool token_char(char c)
{
    return isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c);
}

static int check_header(struct spec_reader *r, const char *name, const char *value)
{
    static const char *const ours[] = {"host",       "content-length",  "transfer-encoding",
                                       "connection", "accept-encoding", "te"};
    if (!name[0])
        return spec_read_refuse(r, "the name is empty");
    for (const char *p = name; *p; p++)
        if (!token_char(*p))
            return spec_read_refuse(r, "the name has a character that names may not have");
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return spec_read_refuse(r, "the value has a control character");
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (strcasecmp(name, ours[i]) == 0)
            return spec_read_refuse(r, "is set by the worker and cannot be given");
    return ERR_OK;
}

static int read_pairs(struct spec_reader *r, const json_t *v, const struct spec_pair **ret,
                      size_t *ret_n)
{
    size_t n = json_object_size(v), i = 0;
    if (!json_is_object(v))
        return spec_read_refuse_type(r, "an object of strings", v);
    if (n > 256)
        return spec_read_refuse(r, "more than 256 entries");
    struct spec_pair *pairs = spec_read_alloc(r, n, sizeof *pairs);
    if (!pairs)
        return spec_read_no_memory(r);
    json_t *object = (json_t *)(uintptr_t)v; /* the iterator only reads */
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it), i++) {
        const char *name = json_object_iter_key(it);
        size_t mark = spec_read_push(r, name);
        int err = spec_read_string(r, json_object_iter_value(it), &pairs[i].value);
        if (!err)
            err = check_header(r, name, pairs[i].value);
        if (err)
            return err;
        pairs[i].name = arena_strndup(r->arena, name, strlen(name));
        if (!pairs[i].name)
            return spec_read_no_memory(r);
        spec_read_pop(r, mark);
    }
    *ret = pairs;
    *ret_n = n;
    return ERR_OK;
}

static int read_headers(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    return read_pairs(r, v, &http->headers, &http->n_headers);
}

static int read_cookies(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    http->cookies = !json_is_false(v);
    if (json_is_boolean(v))
        return ERR_OK;
    int err = read_pairs(r, v, &http->cookie_list, &http->n_cookies);
    for (size_t i = 0; !err && i < http->n_cookies; i++)
        if (strpbrk(http->cookie_list[i].value, "; ,\t"))
            err =
                spec_read_refuse(r,
                                 "the value of \"%.60s\" has a character that cookies may not have",
                                 http->cookie_list[i].name);
    return err;
}

static int read_user_agent(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    int err = spec_read_string(r, v, &http->user_agent);
    return err ? err : check_header(r, "user-agent", http->user_agent);
}

static int read_proxy(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    int err = spec_read_string(r, v, &http->proxy);
    if (!err && strncmp(http->proxy, "http://", 7) != 0 && strncmp(http->proxy, "https://", 8) != 0)
        err = spec_read_refuse(r, "expected an http:// or https:// URL");
    return err;
}

static int read_types(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_spec *s = target;
    const char **types;
    size_t n;
    int err = spec_read_strings(r, v, &types, &n);
    for (size_t i = 0; !err && i < n; i++) {
        size_t mark = spec_read_push_index(r, i), len = strlen(types[i]);
        char *type = (char *)(uintptr_t)types[i]; /* the arena's copy */
        const char *slash = strchr(type, '/');
        if (!slash || slash == type || !slash[1])
            return spec_read_refuse(r, "expected a media type like \"text/html\" or \"text/*\"");
        for (size_t k = 0; k < len; k++)
            type[k] = (char)tolower((unsigned char)type[k]);
        if (strcmp(slash, "/*") == 0)
            type[len - 1] = 0;
        spec_read_pop(r, mark);
    }
    if (!err)
        s->types = types;
    return err;
}

static const struct key per_host_keys[] = {
    {"concurrency", KEY_U32, HTTP(concurrency), .min = 1, .max = 1024},
    {"delay_s", KEY_SECONDS, HTTP(delay_ms), .max = 3600},
    {"autothrottle", KEY_BOOL, HTTP(autothrottle)},
};

static int read_per_host(struct spec_reader *r, const json_t *v, void *target)
{
    return spec_read_object(r, v, per_host_keys, ARRAY_LEN(per_host_keys), target);
}

static int read_statuses(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    size_t n = json_array_size(v);
    if (!json_is_array(v))
        return spec_read_refuse_type(r, "a list of status codes", v);
    if (n > 500)
        return spec_read_refuse(r, "more than 500 entries");
    uint16_t *statuses = spec_read_alloc(r, n, sizeof *statuses);
    if (!statuses)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        const json_t *status = json_array_get(v, i);
        size_t mark = spec_read_push_index(r, i);
        if (!json_is_integer(status) || json_integer_value(status) < 400 ||
            json_integer_value(status) > 599)
            return spec_read_refuse(r, "expected a status from 400 to 599");
        statuses[i] = (uint16_t)json_integer_value(status);
        spec_read_pop(r, mark);
    }
    http->retry_statuses = statuses;
    http->n_retry_statuses = n;
    return ERR_OK;
}

static const struct key retry_keys[] = {
    {"times", KEY_U32, HTTP(retry_times), .max = 100},
    {"statuses", KEY_CUSTOM, .read = read_statuses},
    {"backoff_s", KEY_SECONDS, HTTP(retry_backoff_ms), .min = 0.01, .max = 3600},
    {"max_wait_s", KEY_SECONDS, HTTP(retry_wait_max_ms), .min = 1, .max = 86400},
};

static int read_retry(struct spec_reader *r, const json_t *v, void *target)
{
    return spec_read_object(r, v, retry_keys, ARRAY_LEN(retry_keys), target);
}

static const struct key conditional_keys[] = {
    {"cache", KEY_BOOL, .offset = offsetof(struct conditional, cache)},
    {"since", KEY_STRING, .offset = offsetof(struct conditional, since)},
};

static int read_conditional(struct spec_reader *r, const json_t *v, void *target)
{
    struct scrape_http_options *http = &((struct scrape_spec *)target)->http;
    http->conditional = json_is_true(v);
    if (json_is_boolean(v))
        return ERR_OK;
    struct conditional c = {.cache = true};
    int err = spec_read_object(r, v, conditional_keys, ARRAY_LEN(conditional_keys), &c);
    if (err)
        return err;
    http->conditional = c.cache;
    int64_t us;
    if (!c.since)
        return ERR_OK;
    size_t mark = spec_read_push(r, "since");
    if (!value_parse_date(span_str(c.since), NULL, false, &us) || us < 0)
        return spec_read_refuse(r, "expected a time like \"2026-01-31T00:00:00Z\"");
    http->modified_since_s = us / 1000000;
    spec_read_pop(r, mark);
    return ERR_OK;
}

/* ---- the stage ---- */

static int read_kind(struct spec_reader *r, const json_t *v, void *target)
{
    (void)target;
    if (json_is_string(v) && strcmp(json_string_value(v), "scrape") == 0)
        return ERR_OK;
    return spec_read_refuse(r, "expected \"scrape\"");
}

/* extract and rows are read before the other keys, whose order does not matter. */
static int read_elsewhere(struct spec_reader *r, const json_t *v, void *target)
{
    (void)r, (void)v, (void)target;
    return ERR_OK;
}

static const struct key stage_keys[] = {
    {"kind", KEY_CUSTOM, .read = read_kind},
    {"extract", KEY_CUSTOM, .read = read_elsewhere},
    {"rows", KEY_CUSTOM, .read = read_elsewhere},
    {"follow", KEY_CUSTOM, .read = read_follow},
    {"robots", KEY_BOOL, HTTP(robots)},
    {"user_agent", KEY_CUSTOM, .read = read_user_agent},
    {"headers", KEY_CUSTOM, .read = read_headers},
    {"cookies", KEY_CUSTOM, .read = read_cookies},
    {"proxy", KEY_CUSTOM, .read = read_proxy},
    {"per_host", KEY_CUSTOM, .read = read_per_host},
    {"timeout_s", KEY_SECONDS, HTTP(timeout_ms), .min = 0.1, .max = 3600},
    {"connect_timeout_s", KEY_SECONDS, HTTP(connect_timeout_ms), .min = 0.1, .max = 300},
    {"redirects", KEY_U32, HTTP(redirects_max), .max = 50},
    {"max_bytes", KEY_U64, HTTP(body_max_bytes), .min = 1, .max = 256.0 * 1024 * 1024},
    {"types", KEY_CUSTOM, .read = read_types},
    {"tls_verify", KEY_BOOL, HTTP(tls_verify)},
    {"min_speed", KEY_U32, HTTP(min_speed_bytes_s), .max = 1e9},
    {"min_speed_s", KEY_SECONDS, HTTP(min_speed_s), .min = 1, .max = 3600},
    {"retry", KEY_CUSTOM, .read = read_retry},
    {"conditional", KEY_CUSTOM, .read = read_conditional},
};

static void set_defaults(struct scrape_spec *s)
{
    static const uint16_t statuses[] = {408, 429, 500, 502, 503, 504};
    static const char *const types[] = {"text/html", "application/xhtml+xml", NULL};
    s->types = types;
    s->follow.depth_max = 5;
    s->follow.same_host = true;
    s->follow.skip_extensions = true;
    s->http = (struct scrape_http_options){
        .cookies = true,
        .robots = true,
        .tls_verify = true,
        .autothrottle = true,
        .concurrency = 8,
        .timeout_ms = 30000,
        .connect_timeout_ms = 10000,
        .redirects_max = 10,
        .min_speed_bytes_s = 50,
        .min_speed_s = 10000, /* read in ms like all times, made seconds at the end */
        .body_max_bytes = 16 * 1024 * 1024,
        .retry_times = 3,
        .retry_statuses = statuses,
        .n_retry_statuses = ARRAY_LEN(statuses),
        .retry_backoff_ms = 1000,
        .retry_wait_max_ms = 300000,
    };
}

static int compile(struct spec_reader *r, const json_t *stage)
{
    struct scrape_spec *s = r->spec;
    const json_t *rows = json_object_get(stage, "rows");
    if (!json_is_object(stage))
        return spec_read_refuse_type(r, "an object", stage);
    int err = spec_field_compile_all(r, json_object_get(stage, "extract"));
    if (!err && rows) {
        const char *name;
        size_t mark = spec_read_push(r, "rows");
        err = spec_read_string(r, rows, &name);
        if (!err)
            err = spec_field_set_rows(r, name);
        if (!err)
            spec_read_pop(r, mark);
    }
    if (!err)
        err = spec_read_object(r, stage, stage_keys, ARRAY_LEN(stage_keys), s);
    s->http.min_speed_s = (s->http.min_speed_s + 999) / 1000;
    return err;
}

int scrape_spec_compile(const json_t *stage, struct scrape_spec **ret, struct error *e)
{
    static_assert(sizeof(size_t) == sizeof(uint64_t), "max_bytes is read as a uint64_t");
    struct scrape_spec *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, ERR_NOMEM, "no memory for the job description");
    arena_init(&s->arena, 0);
    set_defaults(s);
    struct spec_reader r = {.arena = &s->arena, .spec = s, .e = e};
    buf_init(&r.path, 64 * 1024);
    int err = compile(&r, stage);
    buf_done(&r.path);
    if (err)
        scrape_spec_free(s);
    else
        *ret = s;
    return err;
}

void scrape_spec_free(struct scrape_spec *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_patterns; i++)
        pattern_free(s->patterns[i]);
    arena_done(&s->arena);
    free(s);
}

/* ---- what others ask ---- */

static int add_columns(const struct scrape_spec *s, struct batch *b)
{
    int err = ERR_OK;
    for (size_t i = 0; i < s->n_top_fields && !err; i++) {
        const struct field *f = &s->fields[i];
        if (f != s->rows) {
            err = batch_add_column(b, f->name, f->column);
            continue;
        }
        if (f->n_fields == 0)
            err = batch_add_column(b, f->name, value_column(f->type));
        for (size_t k = 0; k < f->n_fields && !err; k++)
            err = batch_add_column(b, f->fields[k].name, f->fields[k].column);
    }
    return err;
}

struct batch *scrape_spec_batch(const struct scrape_spec *s)
{
    struct batch *b = batch_new();
    if (b && add_columns(s, b)) {
        batch_free(b);
        return NULL;
    }
    return b;
}

bool scrape_spec_follows(const struct scrape_spec *s)
{
    return s->follow.enabled;
}

uint32_t scrape_spec_key_limit(const struct scrape_spec *s)
{
    return s->http.concurrency;
}

uint32_t scrape_spec_key_delay_ms(const struct scrape_spec *s)
{
    return s->http.delay_ms;
}

uint32_t scrape_spec_key_use_ms(const struct scrape_spec *s)
{
    return s->http.timeout_ms;
}

uint64_t scrape_spec_pages_max(const struct scrape_spec *s)
{
    return s->follow.pages_max;
}

const struct scrape_http_options *scrape_spec_http(const struct scrape_spec *s)
{
    return &s->http;
}

static bool type_is(struct span type, const char *want)
{
    size_t n = strlen(want);
    bool family = n > 0 && want[n - 1] == '/';
    return (family ? type.len >= n : type.len == n) && strncasecmp(type.p, want, n) == 0;
}

bool scrape_spec_type_ok(const struct scrape_spec *s, struct span content_type)
{
    static const char *const of_sitemaps[] = {"application/xml", "text/xml", "text/plain",
                                              "application/gzip", "application/x-gzip"};
    const char *semicolon = content_type.len ? memchr(content_type.p, ';', content_type.len) : NULL;
    struct span type = content_type;
    if (semicolon)
        type.len = (size_t)(semicolon - type.p);
    type = value_strip(type);
    if (type.len == 0)
        return true;
    for (size_t i = 0; s->types[i]; i++)
        if (type_is(type, s->types[i]))
            return true;
    for (size_t i = 0; s->follow.sitemap && i < ARRAY_LEN(of_sitemaps); i++)
        if (type_is(type, of_sitemaps[i]))
            return true;
    return false;
}
