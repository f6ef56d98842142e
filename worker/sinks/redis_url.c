#include "redis_url.h"

enum { HOST_MAX = 253, PATH_MAX_BYTES = 107 }; /* of a name in DNS; of sockaddr_un */

static int bad(struct error *e, const char *what)
{
    return error_set(e, ERR_INVALID_ARGUMENT, "url: %s", what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* A copy without percent escapes. */
static int unescape(struct span text, const char *part, char **ret, struct error *e)
{
    char *out = malloc(text.len + 1);
    size_t n = 0;
    if (!out)
        return error_set(e, ERR_NOMEM, "no memory for a URL");
    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.p[i];
        if (c == '%') {
            const int high = i + 2 < text.len ? hex_digit(text.p[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;
            c = low >= 0 ? high * 16 + low : 0;
            i += 2;
        }
        if (c == 0) {
            free(out);
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "url: the %s has a percent escape that is none", part);
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
    *ret = out;
    return ERR_OK;
}

static bool read_number(struct span text, uint32_t max, uint32_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = (uint32_t)MIN(v, (uint64_t)UINT32_MAX);
    return v <= max;
}

/* What is before the first c, and what is after it; without c: all, and nothing (p NULL). */
static struct span cut(struct span text, char c, struct span *ret_rest)
{
    const char *at = text.len ? memchr(text.p, c, text.len) : NULL;
    if (!at) {
        *ret_rest = (struct span){NULL, 0};
        return text;
    }
    const size_t n = (size_t)(at - text.p);
    *ret_rest = (struct span){at + 1, text.len - n - 1};
    return (struct span){text.p, n};
}

bool redis_url_host(struct span text, struct span *ret_host, uint16_t *ret_port)
{
    const char *colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
    uint32_t port;
    if (!colon)
        return false;
    struct span host = {text.p, (size_t)(colon - text.p)};
    const struct span digits = {colon + 1, text.len - host.len - 1};
    if (!read_number(digits, UINT16_MAX, &port) || port == 0)
        return false;
    if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
        host = (struct span){host.p + 1, host.len - 2};
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return true;
}

static int read_host(struct span text, struct redis_url *u, struct error *e)
{
    struct span host = text;
    uint16_t port = REDIS_URL_PORT;
    const char *bracket = text.len ? memrchr(text.p, ']', text.len) : NULL;
    const struct span after =
        bracket ? (struct span){bracket, text.len - (size_t)(bracket - text.p)} : text;
    if (u->n_places == REDIS_URL_HOSTS_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT, "url: more than %d hosts", REDIS_URL_HOSTS_MAX);
    if (after.len && memchr(after.p, ':', after.len)) {
        if (!redis_url_host(text, &host, &port))
            return bad(e, "a port is a number from 1 to 65535");
    } else if (bracket) {
        if (text.p[0] != '[' || after.len != 1)
            return bad(e, "an IPv6 address stands in brackets: [::1]:6379");
        host = (struct span){text.p + 1, text.len - 2};
    }
    if (host.len == 0 || host.len > HOST_MAX)
        return bad(e, "a host has 1 to 253 characters");
    for (size_t i = 0; i < host.len; i++)
        if ((unsigned char)host.p[i] <= ' ' || strchr("[]/?#%@", host.p[i]))
            return bad(e, "a host has a character that no host has");
    if (!bracket && memchr(host.p, ':', host.len))
        return bad(e, "an IPv6 address stands in brackets: [::1]:6379");
    char *copy = strndup(host.p, host.len);
    if (!copy)
        return error_set(e, ERR_NOMEM, "no memory for a URL");
    u->places[u->n_places++] = (struct redis_place){copy, port};
    return ERR_OK;
}

static int read_database(struct span text, struct redis_url *u, struct error *e)
{
    if (!read_number(text, REDIS_URL_DATABASE_MAX, &u->database))
        return bad(e, "the database is a number: redis://host:6379/0");
    return ERR_OK;
}

static int read_login(struct span text, struct redis_url *u, struct error *e)
{
    struct span password;
    const struct span user = cut(text, ':', &password);
    int rc = ERR_OK;
    if (user.len)
        rc = unescape(user, "user", &u->user, e);
    if (rc == ERR_OK && password.p)
        rc = unescape(password, "password", &u->password, e);
    return rc;
}

static int read_network(struct span text, struct redis_url *u, struct error *e)
{
    struct span path, query, host;
    if (text.len && (memchr(text.p, '?', text.len) || memchr(text.p, '#', text.len)))
        return bad(e, "nothing may follow the database: redis://host:6379/0");
    struct span authority = cut(text, '/', &path);
    const char *at = authority.len ? memrchr(authority.p, '@', authority.len) : NULL;
    int rc = ERR_OK;
    if (at) {
        const size_t n = (size_t)(at - authority.p);
        rc = read_login((struct span){authority.p, n}, u, e);
        authority = (struct span){at + 1, authority.len - n - 1};
    }
    for (query = authority; rc == ERR_OK && query.p;) {
        host = cut(query, ',', &query);
        rc = read_host(host, u, e);
    }
    if (rc == ERR_OK && path.len)
        rc = read_database(path, u, e);
    return rc;
}

static int read_local(struct span text, struct redis_url *u, struct error *e)
{
    struct span query;
    const struct span path = cut(text, '?', &query);
    if (path.len < 2 || path.p[0] != '/')
        return bad(e, "a unix socket has an absolute path: unix:///run/redis/redis.sock");
    int rc = unescape(path, "path", &u->places[0].host, e);
    if (rc)
        return rc;
    u->n_places = 1;
    if (strlen(u->places[0].host) > PATH_MAX_BYTES)
        return error_set(e, ERR_INVALID_ARGUMENT, "url: the path of a socket has %d bytes at most",
                         PATH_MAX_BYTES);
    if (!query.p)
        return ERR_OK;
    if (query.len < 3 || memcmp(query.p, "db=", 3) != 0)
        return bad(e, "only db=N may follow the path of a socket");
    return read_database((struct span){query.p + 3, query.len - 3}, u, e);
}

int redis_url_read(const char *url, struct redis_url *ret, struct error *e)
{
    static const struct {
        struct span scheme;
        bool tls;
        int (*read)(struct span text, struct redis_url *u, struct error *e);
    } schemes[] = {{SPAN("redis://"), false, read_network},
                   {SPAN("rediss://"), true, read_network},
                   {SPAN("unix://"), false, read_local}};
    const struct span text = span_str(url);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        const struct span scheme = schemes[i].scheme;
        if (text.len < scheme.len || memcmp(text.p, scheme.p, scheme.len) != 0)
            continue;
        struct redis_url u = {.tls = schemes[i].tls};
        const int rc =
            schemes[i].read((struct span){text.p + scheme.len, text.len - scheme.len}, &u, e);
        if (rc)
            redis_url_done(&u);
        else
            *ret = u;
        return rc;
    }
    return bad(e, "it begins with none of redis:// rediss:// unix://");
}

void redis_url_done(struct redis_url *u)
{
    for (size_t i = 0; i < u->n_places; i++)
        free(u->places[i].host);
    if (u->password)
        explicit_bzero(u->password, strlen(u->password));
    free(u->user);
    free(u->password);
    *u = (struct redis_url){0};
}
