#include "robots.h"

#include "common/buf.h"

/* Of matching wildcards for one path: a hostile file could make 10^9 and hold up the loop. */
enum { STEPS_MAX = 4 * 1000 * 1000 };

struct rule {
    uint32_t at, len; /* of the pattern in text, normalised */
    bool allow;
    bool anchored; /* ended in '$', which is not part of the pattern */
    bool plain;    /* holds no '*' */
};

struct robots {
    struct buf text;     /* patterns, one after another */
    struct buf rules;    /* struct rule each, longest first, Allow first at equal length */
    struct buf sitemaps; /* NUL-terminated, one after another */
    size_t n_sitemaps;
    uint32_t delay_ms;
};

static const struct rule *rules_of(const struct robots *r, size_t *ret_n)
{
    *ret_n = r->rules.len / sizeof(struct rule);
    return (const struct rule *)(const void *)r->rules.data;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool token_char(char c)
{
    char l = lower(c);
    return (l >= 'a' && l <= 'z') || c == '-' || c == '_';
}

struct span robots_token(struct span user_agent)
{
    size_t n = 0;
    while (n < user_agent.len && token_char(user_agent.p[n]))
        n++;
    return (struct span){user_agent.p, n};
}

/* ---- percent-encoding, RFC 9309 2.2.2: compare octets, encoded or not ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unreserved(unsigned char c)
{
    char l = lower((char)c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static void put_encoded(struct buf *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    buf_byte(out, '%');
    buf_byte(out, (uint8_t)digits[c >> 4]);
    buf_byte(out, (uint8_t)digits[c & 15]);
}

/* Unreserved octets decoded, all others that are encoded kept so in upper case, octets that may not
 * stand in a URL encoded: two spellings of one path become one. A '$' becomes "%24", and so does '*'
 * become "%2A" in a path, so that there they never meet a pattern's special characters. */
static void normalise(struct span s, bool pattern, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%' && i + 2 < s.len && hex_value(s.p[i + 1]) >= 0 && hex_value(s.p[i + 2]) >= 0) {
            c = (unsigned char)(hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]));
            i += 2;
            if (unreserved(c))
                buf_byte(out, c);
            else
                put_encoded(out, c);
        } else if (c <= 0x20 || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '$' ||
                   (c == '*' && !pattern)) {
            put_encoded(out, c);
        } else {
            buf_byte(out, c);
        }
    }
}

/* ---- parsing ---- */

struct parser {
    struct robots *r;
    struct span token;
    bool in_agents;   /* the last line was a User-agent line: further ones join the group */
    bool named, star; /* the group under way names our token, or "*" */
    bool any_named;   /* some group names our token: those of "*" no longer count */
};

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (struct span){s.p + 1, s.len - 1};
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The rules of "*" that were collected so far do not apply: a group names us. */
static void forget_star(struct robots *r)
{
    buf_clear(&r->text);
    buf_clear(&r->rules);
    r->delay_ms = 0;
}

static void user_agent(struct parser *p, struct span value)
{
    if (!p->in_agents)
        p->named = p->star = false;
    p->in_agents = true;
    if (value.len == 1 && value.p[0] == '*') {
        p->star = true;
        return;
    }
    if (p->token.len > 0 && equal_nocase(robots_token(value), p->token)) {
        if (!p->any_named)
            forget_star(p->r);
        p->any_named = p->named = true;
    }
}

static bool applies(const struct parser *p)
{
    return p->any_named ? p->named : p->star;
}

static void add_rule(struct parser *p, struct span value, bool allow)
{
    struct robots *r = p->r;
    /* An empty value matches nothing; a pattern that begins otherwise cannot match a path. */
    if (value.len == 0 || (value.p[0] != '/' && value.p[0] != '*'))
        return;
    if (r->rules.len / sizeof(struct rule) >= ROBOTS_RULES_MAX)
        return;
    struct rule rule = {.at = (uint32_t)r->text.len, .allow = allow};
    if (value.p[value.len - 1] == '$') {
        rule.anchored = true;
        value.len--;
    }
    normalise(value, true, &r->text);
    rule.len = (uint32_t)(r->text.len - rule.at);
    rule.plain = r->text.failed || !memchr(r->text.data + rule.at, '*', rule.len);
    buf_append(&r->rules, &rule, sizeof rule);
}

/* Seconds with an optional fraction. Anything else counts as no Crawl-delay. */
static uint32_t parse_delay(struct span s)
{
    uint64_t ms = 0, scale = 1000;
    bool point = false, digits = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        digits = true;
        uint64_t d = (uint64_t)(s.p[i] - '0');
        if (point) {
            scale /= 10;
            ms += d * scale;
        } else {
            ms = MIN(ms * 10 + d * 1000, (uint64_t)ROBOTS_DELAY_MAX_MS);
        }
    }
    return digits ? (uint32_t)MIN(ms, (uint64_t)ROBOTS_DELAY_MAX_MS) : 0;
}

static void sitemap(struct robots *r, struct span value)
{
    if (value.len == 0 || value.len > 2048 || r->n_sitemaps >= ROBOTS_SITEMAPS_MAX ||
        memchr(value.p, 0, value.len))
        return;
    buf_append(&r->sitemaps, value.p, value.len);
    buf_byte(&r->sitemaps, 0);
    r->n_sitemaps++;
}

static void parse_line(struct parser *p, struct span line)
{
    const char *hash = memchr(line.p, '#', line.len);
    if (hash)
        line.len = (size_t)(hash - line.p);
    const char *colon = memchr(line.p, ':', line.len);
    if (!colon)
        return;
    struct span name = trim((struct span){line.p, (size_t)(colon - line.p)});
    struct span value = trim((struct span){colon + 1, line.len - (size_t)(colon - line.p) - 1});

    if (equal_nocase(name, SPAN("user-agent"))) {
        user_agent(p, value);
        return;
    }
    if (equal_nocase(name, SPAN("sitemap"))) { /* of no group: does not end one either */
        sitemap(p->r, value);
        return;
    }
    bool allow = equal_nocase(name, SPAN("allow"));
    if (allow || equal_nocase(name, SPAN("disallow"))) {
        p->in_agents = false;
        if (applies(p))
            add_rule(p, value, allow);
    } else if (equal_nocase(name, SPAN("crawl-delay"))) {
        /* Not of the RFC. It belongs to the group, and ends its list of agents like a rule. */
        p->in_agents = false;
        if (applies(p))
            p->r->delay_ms = parse_delay(value);
    }
}

static int compare_rules(const void *pa, const void *pb)
{
    const struct rule *a = pa, *b = pb;
    uint32_t la = a->len + a->anchored, lb = b->len + b->anchored;
    if (la != lb)
        return la > lb ? -1 : 1;
    return (int)b->allow - (int)a->allow;
}

struct robots *robots_parse(struct span text, struct span token)
{
    struct robots *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    struct parser p = {.r = r, .token = token};
    text.len = MIN(text.len, (size_t)ROBOTS_BYTES_MAX);
    if (text.len >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
        text = (struct span){text.p + 3, text.len - 3};
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.p[end] != '\n' && text.p[end] != '\r')
            end++;
        parse_line(&p, (struct span){text.p + i, end - i});
        i = end + 1;
    }
    if (!buf_ok(&r->text) || !buf_ok(&r->rules) || !buf_ok(&r->sitemaps)) {
        robots_free(r);
        return NULL;
    }
    if (r->rules.len > 0)
        qsort(r->rules.data, r->rules.len / sizeof(struct rule), sizeof(struct rule),
              compare_rules);
    return r;
}

struct robots *robots_all(bool allowed)
{
    return robots_parse(allowed ? SPAN("") : SPAN("user-agent: *\ndisallow: /\n"), SPAN(""));
}

void robots_free(struct robots *r)
{
    if (!r)
        return;
    buf_done(&r->text);
    buf_done(&r->rules);
    buf_done(&r->sitemaps);
    free(r);
}

/* ---- matching ---- */

/* A pattern with '*' against a path: greedy with one point to come back to, so that the work is at
 * most len(pattern) * len(path). Counts its steps down, and stops at 0. */
static bool match_stars(struct span pat, bool anchored, struct span path, uint32_t *steps)
{
    size_t i = 0, j = 0, star = SIZE_MAX, resume = 0;
    while (j < path.len) {
        if (*steps == 0)
            return false;
        --*steps;
        if (i < pat.len && pat.p[i] == '*') {
            star = i++;
            resume = j;
        } else if (i < pat.len && pat.p[i] == path.p[j]) {
            i++;
            j++;
        } else if (i == pat.len && !anchored) {
            return true;
        } else if (star != SIZE_MAX) {
            i = star + 1;
            j = ++resume;
        } else {
            return false;
        }
    }
    while (i < pat.len && pat.p[i] == '*')
        i++;
    return i == pat.len;
}

static bool rule_matches(const struct robots *r, const struct rule *rule, struct span path,
                         uint32_t *steps)
{
    struct span pat = {(const char *)r->text.data + rule->at, rule->len};
    if (!rule->plain)
        return match_stars(pat, rule->anchored, path, steps);
    if (rule->anchored ? path.len != pat.len : path.len < pat.len)
        return false;
    return pat.len == 0 || memcmp(pat.p, path.p, pat.len) == 0;
}

bool robots_allowed(const struct robots *r, struct span path)
{
    size_t n;
    const struct rule *rules = rules_of(r, &n);
    if (n == 0 || span_eq(path, SPAN("/robots.txt")))
        return true;
    struct buf normal = {0};
    normalise(path, false, &normal);
    uint32_t steps = STEPS_MAX;
    bool allowed = true;
    size_t i = 0;
    if (buf_ok(&normal))
        while (i < n && !rule_matches(r, &rules[i], buf_span(&normal), &steps))
            i++;
    if (i < n)
        allowed = rules[i].allow;
    if (!buf_ok(&normal) || steps == 0)
        allowed = false; /* cannot tell: the careful answer */
    buf_done(&normal);
    return allowed;
}

uint32_t robots_delay_ms(const struct robots *r)
{
    return r->delay_ms;
}

size_t robots_sitemaps(const struct robots *r)
{
    return r->n_sitemaps;
}

const char *robots_sitemap(const struct robots *r, size_t i)
{
    assert(i < r->n_sitemaps);
    const char *s = (const char *)r->sitemaps.data;
    while (i-- > 0)
        s += strlen(s) + 1;
    return s;
}

size_t robots_bytes(const struct robots *r)
{
    return sizeof *r + r->text.cap + r->rules.cap + r->sitemaps.cap;
}
