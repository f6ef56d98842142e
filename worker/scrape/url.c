#include "url.h"

#include <lexbor/url/url.h>

#include "scrape.h"

/* One parser with the memory of its last result. The base has its own, since it outlives many
 * references. */
struct url_ctx {
    lxb_url_parser_t base_parser, parser;
    lxb_url_t *base;        /* NULL: not parsed (yet) */
    struct buf base_text;   /* the base, serialised without fragment; empty: there is none */
    bool base_is_plain;     /* base_text is one that the fast paths may take apart */
    struct buf text;        /* the last result */
    struct buf marked, raw; /* what lexbor is given instead of a text, and what it gave */
    bool has_marks, base_has_marks; /* in what it parsed last */
};

struct url_ctx *url_ctx_new(void)
{
    struct url_ctx *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    if (lxb_url_parser_init(&u->base_parser, NULL) != LXB_STATUS_OK ||
        lxb_url_parser_init(&u->parser, NULL) != LXB_STATUS_OK) {
        url_ctx_free(u);
        return NULL;
    }
    return u;
}

static void parser_done(lxb_url_parser_t *p)
{
    if (p->mraw)
        lxb_url_parser_memory_destroy(p);
    (void)lxb_url_parser_destroy(p, false);
}

void url_ctx_free(struct url_ctx *u)
{
    if (!u)
        return;
    parser_done(&u->base_parser);
    parser_done(&u->parser);
    buf_done(&u->base_text);
    buf_done(&u->text);
    buf_done(&u->marked);
    buf_done(&u->raw);
    free(u);
}

static bool hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* Behind a "%" in a path that begins no escape lexbor lets two characters pass, whatever they are: the "?"
 * of "/50%?a", the blank of "/50% off". For such a "%" it is given a text that it leaves as it is (and refuses
 * in a host), and serialize puts the "%" back. */
#define MARK "|~!~|"

/* Tabs and ends of lines count for nothing anywhere in a URL. */
static bool lone(struct span s, size_t i)
{
    unsigned digits = 0;
    if (s.p[i] != '%')
        return false;
    for (i++; i < s.len && digits < 2; i++) {
        if (s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == '\n')
            continue;
        if (!hex(s.p[i]))
            return true;
        digits++;
    }
    return digits < 2;
}

static struct span mark(struct url_ctx *u, struct span s)
{
    size_t i = 0;
    while (i < s.len && !lone(s, i))
        i++;
    if (i == s.len || memmem(s.p, s.len, MARK, sizeof MARK - 1))
        return s;
    buf_clear(&u->marked);
    for (i = 0; i < s.len; i++)
        if (lone(s, i))
            buf_str(&u->marked, MARK);
        else
            buf_byte(&u->marked, (uint8_t)s.p[i]);
    return buf_span(&u->marked);
}

static lxb_url_t *parse(struct url_ctx *u, lxb_url_parser_t *p, const lxb_url_t *base,
                        struct span s)
{
    lexbor_mraw_clean(p->mraw);
    p->url = NULL;
    lxb_url_parser_clean(p);
    struct span given = mark(u, s);
    u->has_marks = given.p != s.p;
    if (p == &u->base_parser)
        u->base_has_marks = u->has_marks;
    if (!buf_ok(&u->marked))
        return NULL;
    return lxb_url_parse(p, base, (const lxb_char_t *)(given.p ? given.p : ""), given.len);
}

static lxb_status_t append(const lxb_char_t *data, size_t len, void *user)
{
    struct buf *out = user;
    buf_append(out, data, len);
    return buf_ok(out) ? LXB_STATUS_OK : LXB_STATUS_ERROR_MEMORY_ALLOCATION;
}

static bool serialize(struct url_ctx *u, const lxb_url_t *url, bool keep_fragment, struct buf *out)
{
    buf_clear(&u->raw);
    buf_clear(out);
    if (lxb_url_serialize(url, append, &u->raw, !keep_fragment) != LXB_STATUS_OK)
        return false;
    struct span s = buf_span(&u->raw);
    const bool marks = u->has_marks || u->base_has_marks;
    for (const char *at; marks && (at = memmem(s.p, s.len, MARK, sizeof MARK - 1));) {
        size_t n = (size_t)(at - s.p), used = n + sizeof MARK - 1;
        buf_append(out, s.p, n);
        buf_byte(out, '%');
        s = (struct span){s.p + used, s.len - used};
    }
    buf_append(out, s.p, s.len);
    if (!buf_ok(&u->raw) || !buf_ok(out) || out->len > URL_BYTES_MAX)
        return false;
    /* lexbor leaves a few hosts as they are written, such as "1A." */
    struct span key = {(const char *)out->data, url_key_len(buf_span(out))};
    const char *user = key.len ? memrchr(key.p, '@', key.len) : NULL;
    for (size_t i = user ? (size_t)(user - key.p) : 0; i < key.len; i++)
        if (out->data[i] >= 'A' && out->data[i] <= 'Z')
            out->data[i] |= 0x20;
    return true;
}

/* ---- fast paths: what is plain needs no parser ---- */

enum { CHAR_HOST = 1, CHAR_PATH = 2, CHAR_QUERY = 4 };

/* Which characters the WHATWG parser leaves alone where. A character that is not listed sends the
 * URL to the parser, which is always right. */
static const uint8_t classes[256] = {
    ['a' ... 'z'] = CHAR_HOST | CHAR_PATH | CHAR_QUERY,
    ['0' ... '9'] = CHAR_HOST | CHAR_PATH | CHAR_QUERY,
    ['A' ... 'Z'] = CHAR_PATH | CHAR_QUERY,
    ['-'] = CHAR_HOST | CHAR_PATH | CHAR_QUERY,
    ['.'] = CHAR_HOST | CHAR_PATH | CHAR_QUERY,
    ['_'] = CHAR_PATH | CHAR_QUERY,
    ['~'] = CHAR_PATH | CHAR_QUERY,
    ['!'] = CHAR_PATH | CHAR_QUERY,
    ['$'] = CHAR_PATH | CHAR_QUERY,
    ['&'] = CHAR_PATH | CHAR_QUERY,
    ['('] = CHAR_PATH | CHAR_QUERY,
    [')'] = CHAR_PATH | CHAR_QUERY,
    ['*'] = CHAR_PATH | CHAR_QUERY,
    ['+'] = CHAR_PATH | CHAR_QUERY,
    [','] = CHAR_PATH | CHAR_QUERY,
    [';'] = CHAR_PATH | CHAR_QUERY,
    ['='] = CHAR_PATH | CHAR_QUERY,
    [':'] = CHAR_PATH | CHAR_QUERY,
    ['@'] = CHAR_PATH | CHAR_QUERY,
    ['/'] = CHAR_PATH | CHAR_QUERY,
    ['%'] = CHAR_PATH | CHAR_QUERY,
    ['?'] = CHAR_QUERY,
};

static size_t run_of(struct span s, size_t i, uint8_t class)
{
    while (i < s.len && classes[(unsigned char)s.p[i]] & class)
        i++;
    return i;
}

/* Whether a run of path characters from start needs the parser: a segment that may be "." or ".."
 * (also as %2e), or a % that stands alone. */
static bool path_is_doubtful(struct span s, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        if (s.p[i] == '.' && (i == start || s.p[i - 1] == '/'))
            return true;
        if (s.p[i] != '%')
            continue;
        if (end - i < 3 || !hex(s.p[i + 1]) || !hex(s.p[i + 2]))
            return true;
        if (s.p[i + 1] == '2' && (s.p[i + 2] | 32) == 'e')
            return true;
    }
    return false;
}

/* Path and query from i on are plain: *ret_end is where they end (before a fragment). */
static bool plain_tail(struct span s, size_t i, size_t *ret_end)
{
    size_t end = run_of(s, i, CHAR_PATH);
    if (path_is_doubtful(s, i, end))
        return false;
    if (end < s.len && s.p[end] == '?')
        end = run_of(s, end, CHAR_QUERY);
    *ret_end = end;
    return end == s.len || s.p[end] == '#';
}

/* Four decimal numbers without leading zeros. */
static bool plain_ipv4(struct span host)
{
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (i == host.len || host.p[i++] != '.'))
            return false;
        size_t start = i;
        unsigned n = 0;
        while (i < host.len && i - start < 3 && host.p[i] >= '0' && host.p[i] <= '9')
            n = n * 10 + (unsigned)(host.p[i++] - '0');
        if (i == start || n > 255 || (i - start > 1 && host.p[start] == '0'))
            return false;
    }
    return i == host.len;
}

/* The length of a "host[:port]" at i that is canonical beyond doubt; 0: not sure. */
static size_t plain_host(struct span s, size_t i, bool https)
{
    size_t end = run_of(s, i, CHAR_HOST), label = i;
    if (end == i || end - i > 253)
        return 0;
    for (size_t k = i; k < end; k++) {
        if (s.p[k] == '.') {
            if (k == label)
                return 0; /* an empty label */
            label = k + 1;
        }
    }
    if (label == end)
        return 0;
    if (s.p[label] >= '0' && s.p[label] <= '9' && !plain_ipv4((struct span){s.p + i, end - i}))
        return 0; /* may be an IPv4 address in another form */
    if (memmem(s.p + i, end - i, "--", 2))
        return 0; /* may be punycode, which is checked */
    if (end == s.len || s.p[end] != ':')
        return end - i;
    unsigned port = 0;
    size_t k = end + 1;
    while (k < s.len && s.p[k] >= '0' && s.p[k] <= '9' && k - end <= 5)
        port = port * 10 + (unsigned)(s.p[k++] - '0');
    if (k == end + 1 || s.p[end + 1] == '0' || port > 65535 || port == (https ? 443u : 80u))
        return 0;
    return k - i;
}

static size_t scheme_len(struct span s)
{
    if (s.len > 8 && memcmp(s.p, "https://", 8) == 0)
        return 8;
    return s.len > 7 && memcmp(s.p, "http://", 7) == 0 ? 7 : 0;
}

/* An http(s) URL that is canonical but for its fragment and perhaps an empty path. */
static bool canonical_fast(struct span s, struct buf *out, size_t *ret_key_len)
{
    size_t scheme = scheme_len(s), end;
    size_t host = scheme ? plain_host(s, scheme, scheme == 8) : 0;
    if (host == 0 || s.len > URL_BYTES_MAX)
        return false;
    size_t key = scheme + host;
    if (key < s.len && s.p[key] != '/' && s.p[key] != '#')
        return false;
    if (!plain_tail(s, key, &end))
        return false;
    buf_clear(out);
    buf_append(out, s.p, end);
    if (end == key)
        buf_byte(out, '/');
    *ret_key_len = key;
    return buf_ok(out);
}

/* References like "/a/b?c", "b.html", "#top" against a plain base. */
static bool resolve_fast(struct url_ctx *u, struct span s)
{
    struct span base = buf_span(&u->base_text);
    size_t keep, end;
    if (!u->base_is_plain || s.len == 0 || s.len + base.len > URL_BYTES_MAX)
        return false;
    if (s.p[0] == '#') {
        keep = base.len;
        end = 0;
    } else {
        if (!plain_tail(s, 0, &end) || (s.p[0] == '/' && s.len > 1 && s.p[1] == '/'))
            return false;
        size_t path = run_of(s, 0, CHAR_PATH);
        if (path == 0 || memchr(s.p, ':', path))
            return false; /* "?query", or perhaps a scheme */
        keep = url_key_len(base);
        if (s.p[0] != '/') {
            const char *query = memchr(base.p, '?', base.len);
            const char *slash = memrchr(base.p, '/', query ? (size_t)(query - base.p) : base.len);
            keep = (size_t)(slash - base.p) + 1;
        }
    }
    buf_clear(&u->text);
    buf_append(&u->text, base.p, keep);
    buf_append(&u->text, s.p, end);
    return buf_ok(&u->text);
}

static struct span trimmed(struct span s)
{
    while (s.len > 0 && (unsigned char)s.p[0] <= ' ')
        s = (struct span){s.p + 1, s.len - 1};
    while (s.len > 0 && (unsigned char)s.p[s.len - 1] <= ' ')
        s.len--;
    return s;
}

/* ---- interface ---- */

bool url_base_set(struct url_ctx *u, struct span absolute)
{
    size_t key_len;
    u->base = NULL;
    u->base_has_marks = false;
    u->base_is_plain = canonical_fast(absolute, &u->base_text, &key_len);
    if (u->base_is_plain)
        return true; /* parsed when a reference needs it */
    buf_clear(&u->base_text);
    if (absolute.len > URL_BYTES_MAX)
        return false;
    u->base = parse(u, &u->base_parser, NULL, absolute);
    if (!u->base || !serialize(u, u->base, false, &u->base_text)) {
        u->base = NULL;
        buf_clear(&u->base_text);
        return false;
    }
    u->base_is_plain = canonical_fast(buf_span(&u->base_text), &u->text, &key_len) &&
                       span_eq(buf_span(&u->text), buf_span(&u->base_text));
    return true;
}

bool url_resolve(struct url_ctx *u, struct span reference, bool keep_fragment, struct span *ret)
{
    size_t key_len;
    reference = trimmed(reference);
    if (reference.len > URL_BYTES_MAX)
        return false;
    bool fragment = keep_fragment && memchr(reference.p ? reference.p : "", '#', reference.len);
    if (!fragment &&
        (canonical_fast(reference, &u->text, &key_len) || resolve_fast(u, reference))) {
        *ret = buf_span(&u->text);
        return true;
    }
    if (!u->base && u->base_text.len > 0)
        u->base = parse(u, &u->base_parser, NULL, buf_span(&u->base_text));
    lxb_url_t *url = parse(u, &u->parser, u->base, reference);
    if (!url || !serialize(u, url, keep_fragment, &u->text))
        return false;
    *ret = buf_span(&u->text);
    return true;
}

int url_canonical(struct url_ctx *u, struct span url, struct span *ret, size_t *ret_key_len,
                  struct error *e)
{
    url = trimmed(url);
    if (url.len > URL_BYTES_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "the URL is longer than %d bytes", URL_BYTES_MAX);
    if (canonical_fast(url, &u->text, ret_key_len)) {
        *ret = buf_span(&u->text);
        return ERR_OK;
    }
    lxb_url_t *parsed = parse(u, &u->parser, NULL, url);
    if (!parsed)
        return error_set(e, ERR_INVALID_ARGUMENT, "not an absolute URL: %.*s",
                         (int)MIN(url.len, (size_t)200), url.p ? url.p : "");
    if (parsed->scheme.type != LXB_URL_SCHEMEL_TYPE_HTTP &&
        parsed->scheme.type != LXB_URL_SCHEMEL_TYPE_HTTPS)
        return error_set(e, ERR_INVALID_ARGUMENT, "only http and https URLs are fetched, not %.*s",
                         (int)MIN(url.len, (size_t)200), url.p);
    if (parsed->username.length > 0 || parsed->password.length > 0)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a URL with a user name or password is not accepted; use \"headers\"");
    if (!serialize(u, parsed, false, &u->text))
        return error_set(e, ERR_INVALID_ARGUMENT, "the URL is longer than %d bytes", URL_BYTES_MAX);
    *ret = buf_span(&u->text);
    *ret_key_len = url_key_len(*ret);
    return ERR_OK;
}

int scrape_url_canonical(struct span url, struct buf *out, size_t *ret_key_len, struct error *e)
{
    struct span s = trimmed(url);
    buf_clear(out);
    if (canonical_fast(s, out, ret_key_len))
        return ERR_OK;
    buf_clear(out);
    struct url_ctx *u = url_ctx_new();
    if (!u)
        return error_set(e, ERR_NOMEM, "no memory for a URL");
    int err = url_canonical(u, s, &s, ret_key_len, e);
    if (!err) {
        buf_append(out, s.p, s.len);
        if (!buf_ok(out))
            err = error_set(e, ERR_NOMEM, "no memory for a URL");
    }
    url_ctx_free(u);
    return err;
}

size_t url_key_len(struct span canonical)
{
    size_t i = scheme_len(canonical);
    if (i == 0)
        return 0;
    const char *slash = memchr(canonical.p + i, '/', canonical.len - i);
    return slash ? (size_t)(slash - canonical.p) : canonical.len;
}

struct span url_host(struct span canonical)
{
    size_t start = scheme_len(canonical), end = url_key_len(canonical);
    if (end == 0)
        return SPAN("");
    size_t from = start;
    if (canonical.p[start] == '[') { /* IPv6: colons inside */
        const char *close = memchr(canonical.p + start, ']', end - start);
        from = close ? (size_t)(close - canonical.p) : start;
    }
    const char *colon = memchr(canonical.p + from, ':', end - from);
    return (struct span){canonical.p + start,
                         (colon ? (size_t)(colon - canonical.p) : end) - start};
}

struct span url_path_and_query(struct span canonical)
{
    size_t key = url_key_len(canonical);
    return (struct span){canonical.p + key, canonical.len - key};
}

bool url_host_in_domain(struct span host, struct span domain)
{
    if (host.len < domain.len || domain.len == 0)
        return false;
    const char *tail = host.p + (host.len - domain.len);
    return memcmp(tail, domain.p, domain.len) == 0 && (host.len == domain.len || tail[-1] == '.');
}
