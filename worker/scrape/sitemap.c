#include "sitemap.h"

#include "value.h"

/* A tag: <prefix:name ...>, </prefix:name>, or something else (comment, declaration, CDATA). */
struct tag {
    struct span prefix, name; /* name empty: not an element's tag */
    bool close, empty;
    const char *end; /* behind the > */
};

static bool starts(const char *p, const char *end, const char *with)
{
    size_t n = strlen(with);
    return (size_t)(end - p) >= n && memcmp(p, with, n) == 0;
}

static const char *find(const char *p, const char *end, const char *what)
{
    return memmem(p, (size_t)(end - p), what, strlen(what));
}

/* Behind the construct at p that begins with intro and ends with outro; end when it does not. */
static const char *skip(const char *p, const char *end, const char *intro, const char *outro)
{
    const char *at = find(p + strlen(intro), end, outro);
    return at ? at + strlen(outro) : end;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

/* The behind of a tag: > outside quotes. */
static const char *tag_end(const char *p, const char *end)
{
    char quote = 0;
    for (; p < end; p++) {
        if (quote)
            quote = *p == quote ? 0 : quote;
        else if (*p == '"' || *p == '\'')
            quote = *p;
        else if (*p == '>')
            return p + 1;
    }
    return end;
}

static struct tag read_tag(const char *p, const char *end)
{
    struct tag t = {.close = false};
    if (starts(p, end, "<!--")) {
        t.end = skip(p, end, "<!--", "-->");
    } else if (starts(p, end, "<![CDATA[")) {
        t.end = skip(p, end, "<![CDATA[", "]]>");
    } else if (starts(p, end, "<?")) {
        t.end = skip(p, end, "<?", "?>");
    } else {
        const char *name = ++p;
        if (p < end && *p == '/') {
            t.close = true;
            name = ++p;
        }
        while (p < end && name_char(*p))
            p++;
        if (p < end && *p == ':') {
            t.prefix = (struct span){name, (size_t)(p - name)};
            name = ++p;
            while (p < end && name_char(*p))
                p++;
        }
        t.name = (struct span){name, (size_t)(p - name)};
        t.end = tag_end(p, end);
        t.empty = t.end - p >= 2 && t.end[-2] == '/';
    }
    return t;
}

/* The first element; name empty: there is none, or text comes before it. */
static struct tag root_of(struct span text)
{
    const char *p = text.p, *end = text.p + text.len;
    struct tag t = {.close = false};
    while (p < end) {
        size_t space = value_space((struct span){p, (size_t)(end - p)});
        if (space == 0 && *p != '<')
            break;
        if (space == 0) {
            t = read_tag(p, end);
            if (t.name.len > 0)
                return t;
        }
        p = space ? p + space : t.end;
    }
    return (struct tag){.close = false};
}

enum sitemap_kind sitemap_detect(struct span text, bool plain_text)
{
    if (plain_text) {
        struct span s = value_strip((struct span){text.p, MIN(text.len, (size_t)1024)});
        bool url = starts(s.p, s.p + s.len, "http://") || starts(s.p, s.p + s.len, "https://");
        return url ? SITEMAP_TEXT : SITEMAP_NONE;
    }
    struct tag root = root_of(text);
    if (root.close)
        return SITEMAP_NONE;
    if (span_eq(root.name, SPAN("urlset")))
        return SITEMAP_URLS;
    return span_eq(root.name, SPAN("sitemapindex")) ? SITEMAP_INDEX : SITEMAP_NONE;
}

/* ---- the text of a <loc> ---- */

struct loc {
    size_t len;
    bool too_long;
    char text[SITEMAP_LOC_BYTES_MAX];
};

static void put(struct loc *l, const char *p, size_t n)
{
    if (n > sizeof l->text - l->len) {
        l->too_long = true;
        return;
    }
    memcpy(l->text + l->len, p, n);
    l->len += n;
}

static void put_reference(struct loc *l, unsigned long c)
{
    char utf8[2];
    if (c >= 0x800 || c == 0) /* no URL needs them: they are percent-encoded */
        return put(l, "\xEF\xBF\xBD", 3);
    if (c < 0x80) {
        utf8[0] = (char)c;
        return put(l, utf8, 1);
    }
    utf8[0] = (char)(0xC0 | c >> 6);
    utf8[1] = (char)(0x80 | (c & 0x3F));
    put(l, utf8, 2);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
}

/* The entity at p (an '&'): behind it. */
static const char *put_entity(struct loc *l, const char *p, const char *end)
{
    static const char *const entities[][2] = {
        {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}};
    for (size_t i = 0; i < ARRAY_LEN(entities); i++)
        if (starts(p, end, entities[i][0])) {
            put(l, entities[i][1], 1);
            return p + strlen(entities[i][0]);
        }
    const char *digits = p + 2;
    if (starts(p, end, "&#") && end - p > 3) {
        bool hex = *digits == 'x';
        const char *at = hex ? digits + 1 : digits;
        unsigned long c = 0;
        for (; at < end && at - p < 10 && *at != ';'; at++) {
            int digit = hex_digit(*at);
            if (digit >= (hex ? 16 : 10))
                break;
            c = c * (hex ? 16 : 10) + (unsigned long)digit;
        }
        if (at < end && *at == ';') {
            put_reference(l, c);
            return at + 1;
        }
    }
    put(l, p, 1);
    return p + 1;
}

/* The text from p up to the next tag that is not CDATA or a comment. */
static const char *read_loc(struct loc *l, const char *p, const char *end)
{
    l->len = 0;
    l->too_long = false;
    while (p < end) {
        if (starts(p, end, "<![CDATA[")) {
            const char *after = skip(p, end, "<![CDATA[", "]]>");
            const char *close =
                after >= p + 12 && memcmp(after - 3, "]]>", 3) == 0 ? after - 3 : after;
            put(l, p + 9, (size_t)(close - p - 9));
            p = after;
        } else if (starts(p, end, "<!--")) {
            p = skip(p, end, "<!--", "-->");
        } else if (*p == '<') {
            break;
        } else if (*p == '&') {
            p = put_entity(l, p, end);
        } else {
            put(l, p++, 1);
        }
    }
    return p;
}

static void each_line(struct span text, bool (*found)(struct span loc, void *user), void *user)
{
    const char *p = text.p, *end = text.p + text.len;
    while (p < end) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        if (!line)
            line = end;
        struct span s = value_strip((struct span){p, (size_t)(line - p)});
        if (s.len > 0 && s.len <= SITEMAP_LOC_BYTES_MAX && !found(s, user))
            return;
        p = line + 1;
    }
}

void sitemap_each(struct span text, enum sitemap_kind kind,
                  bool (*found)(struct span loc, void *user), void *user)
{
    if (kind == SITEMAP_TEXT)
        return each_line(text, found, user);
    if (kind == SITEMAP_NONE)
        return;
    struct span prefix = root_of(text).prefix;
    struct loc loc;
    const char *p = text.p, *end = text.p + text.len;
    while (p < end && (p = memchr(p, '<', (size_t)(end - p)))) {
        struct tag t = read_tag(p, end);
        p = t.end;
        if (t.close || t.empty || !span_eq(t.name, SPAN("loc")) || !span_eq(t.prefix, prefix))
            continue; /* <image:loc> and its like are not pages */
        p = read_loc(&loc, p, end);
        struct span s = value_strip((struct span){loc.text, loc.len});
        if (!loc.too_long && s.len > 0 && !found(s, user))
            return;
    }
}
