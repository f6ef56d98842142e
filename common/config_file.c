#include "config_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

enum { NAME_LEN = 200, READ_BYTES = 4096 };

struct reader {
    const char *path;
    unsigned line;
    char section[NAME_LEN];
    config_file_fn *fn;
    void *user;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.len && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

static int fail(const struct reader *r, const char *why, struct error *e)
{
    return error_set(e, ERR_CONFIG, "file %s:%u: %s", r->path, r->line, why);
}

/* [A-Za-z0-9_-] and dots between. */
static bool is_key(struct span s)
{
    if (s.len == 0 || s.p[0] == '.' || s.p[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.p[i]) && !strchr("_-.", s.p[i]))
            return false;
    return true;
}

/* The text between the quotes at s; *ret_used is what it took. False: no closing quote, or an escape
 * that is none. */
static bool read_quoted(struct span s, struct buf *out, size_t *ret_used)
{
    for (size_t i = 1; i < s.len; i++) {
        char c = s.p[i];
        if (c == '"') {
            *ret_used = i + 1;
            return true;
        }
        if (c == '\\' && i + 1 < s.len) {
            static const char from[] = "\"\\nt", to[] = "\"\\\n\t";
            const char *at = strchr(from, s.p[++i]);
            if (!at || !*at)
                return false;
            c = to[at - from];
        }
        buf_byte(out, (uint8_t)c);
    }
    return false;
}

/* Nothing, or a comment. */
static bool is_rest(struct span s)
{
    s = trim(s);
    return s.len == 0 || s.p[0] == '#';
}

/* The end of a list: its closing bracket outside quotes. 0: none. */
static size_t list_length(struct span s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '"' && (i == 0 || s.p[i - 1] != '\\'))
            quoted = !quoted;
        if (s.p[i] == ']' && !quoted)
            return i + 1;
    }
    return 0;
}

static int read_value(const struct reader *r, struct span s, struct buf *out, struct error *e)
{
    size_t used = 0;
    if (is_rest(s))
        return fail(r, "a value is missing after \"=\"", e);
    if (s.p[0] == '"') {
        if (!read_quoted(s, out, &used))
            return fail(r,
                        "the text has no closing quote, or an escape other than \\\" \\\\ \\n \\t",
                        e);
    } else if (s.p[0] == '[') {
        used = list_length(s);
        if (!used)
            return fail(r, "the list has no closing bracket on its line", e);
        buf_append(out, s.p, used);
    } else {
        while (used < s.len && !(s.p[used] == '#' && is_blank(s.p[used - 1])))
            used++;
        struct span bare = trim((struct span){s.p, used});
        buf_append(out, bare.p, bare.len);
    }
    if (!is_rest((struct span){s.p + used, s.len - used}))
        return fail(r, "there is more after the value", e);
    buf_byte(out, '\0');
    return buf_ok(out) ? ERR_OK : error_set(e, ERR_NOMEM, "configuration");
}

static int read_section(struct reader *r, struct span s, struct error *e)
{
    const char *close = memchr(s.p, ']', s.len);
    struct span name = close ? trim((struct span){s.p + 1, (size_t)(close - s.p) - 1}) : SPAN("");
    if (!close || !is_key(name) || name.len >= NAME_LEN ||
        !is_rest((struct span){close + 1, s.len - (size_t)(close - s.p) - 1}))
        return fail(r, "not a section such as [listen] or [sink.main]", e);
    snprintf(r->section, sizeof r->section, "%.*s", (int)name.len, name.p);
    return ERR_OK;
}

static int read_key(struct reader *r, struct span s, struct error *e)
{
    char key[2 * NAME_LEN];
    struct buf text;
    const char *equals = memchr(s.p, '=', s.len);
    struct span name = equals ? trim((struct span){s.p, (size_t)(equals - s.p)}) : SPAN("");
    if (!is_key(name) || name.len >= NAME_LEN)
        return fail(r, "not a line such as key = \"value\"", e);
    snprintf(key, sizeof key, "%s%s%.*s", r->section, r->section[0] ? "." : "", (int)name.len,
             name.p);
    struct span value = trim((struct span){equals + 1, s.len - (size_t)(equals - s.p) - 1});
    buf_init(&text, CONFIG_FILE_MAX);
    int rc = read_value(r, value, &text, e);
    if (rc == ERR_OK)
        rc = r->fn(r->user, r->path, r->line, key, (const char *)text.data, e);
    buf_done(&text);
    return rc;
}

int config_file_parse(struct span text, const char *path, config_file_fn *fn, void *user,
                      struct error *e)
{
    struct reader r = {.path = path, .fn = fn, .user = user};
    if (text.len && memchr(text.p, '\0', text.len))
        return error_set(e, ERR_CONFIG, "file %s: not a text", path);
    while (text.len) {
        const char *nl = memchr(text.p, '\n', text.len);
        size_t len = nl ? (size_t)(nl - text.p) : text.len;
        struct span line = trim((struct span){text.p, len});
        r.line++;
        int rc = ERR_OK;
        if (line.len && line.p[0] == '[')
            rc = read_section(&r, line, e);
        else if (line.len && line.p[0] != '#')
            rc = read_key(&r, line, e);
        if (rc)
            return rc;
        text.p += nl ? len + 1 : len;
        text.len -= nl ? len + 1 : len;
    }
    return ERR_OK;
}

int config_file_load(const char *path, bool private, size_t max_bytes, struct buf *out,
                     struct error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(e, ERR_CONFIG, "%s: %s", path, strerror(errno));
    int rc = ERR_OK;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = error_set(e, ERR_CONFIG, "%s is not a file", path);
    else if (private && (st.st_mode & (S_IWGRP | S_IRWXO)))
        rc = error_set(e, ERR_CONFIG, "others may read %s: chmod 600 %s", path, path);
    while (rc == ERR_OK) {
        uint8_t *room = buf_reserve(out, READ_BYTES);
        ssize_t got = room ? read(fd, room, READ_BYTES) : -1;
        if (got < 0 && room && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_set(e, ERR_CONFIG, "%s: %s", path, room ? strerror(errno) : "no memory");
        else if (out->len + (size_t)got > max_bytes)
            rc = error_set(e, ERR_CONFIG, "%s is larger than %zu bytes", path, max_bytes);
        if (rc || got == 0)
            break;
        out->len += (size_t)got;
    }
    close(fd);
    return rc;
}

int config_file_read(const char *path, config_file_fn *fn, void *user, struct error *e)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = config_file_load(path, false, CONFIG_FILE_MAX, &text, e);
    if (rc == ERR_OK)
        rc = config_file_parse(buf_span(&text), path, fn, user, e);
    buf_done(&text);
    return rc;
}

/* ---- lists ---- */

static int push(char ***list, size_t *n, struct span s)
{
    char **more = *n < CONFIG_LIST_MAX ? realloc(*list, (*n + 1) * sizeof *more) : NULL;
    if (!more)
        return *n < CONFIG_LIST_MAX ? ERR_NOMEM : ERR_LIMIT;
    *list = more;
    more[*n] = strndup(s.len ? s.p : "", s.len);
    if (!more[*n])
        return ERR_NOMEM;
    (*n)++;
    return ERR_OK;
}

/* One element at s, and how much of s it took. */
static int read_element(struct span s, bool bracketed, struct buf *out, size_t *ret_used)
{
    size_t used = 0;
    buf_clear(out);
    if (s.p[0] == '"' && bracketed)
        return read_quoted(s, out, ret_used) ? ERR_OK : ERR_INVALID_ARGUMENT;
    while (used < s.len && s.p[used] != ',')
        used++;
    struct span bare = trim((struct span){s.p, used});
    if (bare.len == 0)
        return ERR_INVALID_ARGUMENT;
    buf_append(out, bare.p, bare.len);
    *ret_used = used;
    return ERR_OK;
}

int config_file_list(const char *text, char ***ret, size_t *ret_n)
{
    struct span s = trim(span_str(text));
    bool bracketed = s.len >= 2 && s.p[0] == '[' && s.p[s.len - 1] == ']';
    struct buf element;
    char **list = NULL;
    size_t n = 0;
    int rc = ERR_OK;
    if (bracketed)
        s = trim((struct span){s.p + 1, s.len - 2});
    buf_init(&element, CONFIG_FILE_MAX);
    while (rc == ERR_OK && s.len) {
        size_t used = 0;
        rc = read_element(s, bracketed, &element, &used);
        if (rc == ERR_OK)
            rc = buf_ok(&element) ? push(&list, &n, buf_span(&element)) : ERR_NOMEM;
        if (rc)
            break;
        s = trim((struct span){s.p + used, s.len - used});
        if (s.len == 0)
            break;
        if (s.p[0] != ',')
            rc = ERR_INVALID_ARGUMENT;
        s = trim((struct span){s.p + 1, s.len - 1}); /* a comma at the end is fine */
    }
    buf_done(&element);
    if (rc) {
        for (size_t i = 0; i < n; i++)
            free(list[i]);
        free(list);
        return rc;
    }
    *ret = list;
    *ret_n = n;
    return ERR_OK;
}
