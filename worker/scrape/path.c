#include "path.h"

enum step_kind { STEP_MEMBER, STEP_INDEX, STEP_ALL, STEP_DEEP, STEP_FILTER };

struct step {
    enum step_kind kind;
    const char *name; /* MEMBER, DEEP, FILTER; DEEP with NULL: everything */
    const char *text; /* FILTER */
    long long index;  /* INDEX */
};

struct path {
    size_t n;
    struct step steps[PATH_STEPS_MAX];
};

struct reader {
    struct arena *arena;
    struct span text;
    size_t i;
    struct error *e;
};

static int refuse(struct reader *r, const char *what)
{
    return error_set(r->e, ERR_INVALID_SPEC, "character %zu: %s", r->i + 1, what);
}

static char peek(const struct reader *r)
{
    return r->i < r->text.len ? r->text.p[r->i] : 0;
}

static bool take(struct reader *r, const char *s)
{
    size_t n = strlen(s);
    if (r->text.len - r->i < n || memcmp(r->text.p + r->i, s, n) != 0)
        return false;
    r->i += n;
    return true;
}

static void spaces(struct reader *r)
{
    while (peek(r) == ' ')
        r->i++;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '@' || c == ':' || (c & 0x80);
}

static int copy(struct reader *r, size_t start, size_t end, const char **ret)
{
    *ret = arena_strndup(r->arena, r->text.p + start, end - start);
    return *ret ? ERR_OK : error_set(r->e, ERR_NOMEM, "no memory for a path");
}

static int read_name(struct reader *r, const char **ret)
{
    size_t start = r->i;
    while (name_char(peek(r)))
        r->i++;
    if (r->i == start)
        return refuse(r, "expected a name");
    return copy(r, start, r->i, ret);
}

static int read_quoted(struct reader *r, const char **ret)
{
    char quote = peek(r);
    if (quote != '\'' && quote != '"')
        return refuse(r, "expected a text in quotes");
    size_t start = ++r->i;
    while (r->i < r->text.len && r->text.p[r->i] != quote)
        r->i++;
    if (r->i == r->text.len)
        return refuse(r, "the quote is not closed");
    return copy(r, start, r->i++, ret);
}

static int read_index(struct reader *r, long long *ret)
{
    bool negative = take(r, "-");
    long long v = 0;
    if (peek(r) < '0' || peek(r) > '9')
        return refuse(r, "expected a number, a text in quotes, * or ?");
    for (; peek(r) >= '0' && peek(r) <= '9'; r->i++) {
        v = v * 10 + (peek(r) - '0');
        if (v > 1000000000)
            return refuse(r, "the number is too large");
    }
    *ret = negative ? -v : v;
    return ERR_OK;
}

/* After "[?": "(@.name == 'text')" or "@.name == 'text'" */
static int read_filter(struct reader *r, struct step *s)
{
    s->kind = STEP_FILTER;
    spaces(r);
    bool parenthesis = take(r, "(");
    spaces(r);
    if (!take(r, "@."))
        return refuse(r, "expected @.name");
    int err = read_name(r, &s->name);
    if (err)
        return err;
    spaces(r);
    if (!take(r, "=="))
        return refuse(r, "expected ==");
    spaces(r);
    err = read_quoted(r, &s->text);
    if (err)
        return err;
    spaces(r);
    return parenthesis && !take(r, ")") ? refuse(r, "expected )") : (int)ERR_OK;
}

static int read_bracket(struct reader *r, struct step *s)
{
    int err = ERR_OK;
    if (take(r, "*"))
        s->kind = STEP_ALL;
    else if (take(r, "?"))
        err = read_filter(r, s);
    else if (peek(r) == '\'' || peek(r) == '"') {
        s->kind = STEP_MEMBER;
        err = read_quoted(r, &s->name);
    } else {
        s->kind = STEP_INDEX;
        err = read_index(r, &s->index);
    }
    if (!err && !take(r, "]"))
        err = refuse(r, "expected ]");
    return err;
}

static int read_step(struct reader *r, struct step *s)
{
    *s = (struct step){0};
    if (take(r, "["))
        return read_bracket(r, s);
    if (take(r, "..")) {
        s->kind = STEP_DEEP;
        return take(r, "*") ? ERR_OK : read_name(r, &s->name);
    }
    if (!take(r, "."))
        return refuse(r, "expected . or [");
    if (take(r, "*")) {
        s->kind = STEP_ALL;
        return ERR_OK;
    }
    s->kind = STEP_MEMBER;
    return read_name(r, &s->name);
}

int path_compile(struct arena *a, struct span text, const struct path **ret, struct error *e)
{
    struct reader r = {.arena = a, .text = text, .e = e};
    struct path *p = arena_zalloc(a, sizeof *p);
    if (!p)
        return error_set(e, ERR_NOMEM, "no memory for a path");
    if (!take(&r, "$"))
        return refuse(&r, "a path begins with $");
    while (r.i < text.len) {
        if (p->n == PATH_STEPS_MAX)
            return refuse(&r, "the path has more than 32 steps");
        int err = read_step(&r, &p->steps[p->n]);
        if (err)
            return err;
        p->n++;
    }
    *ret = p;
    return ERR_OK;
}

/* ---- walking ---- */

struct walk {
    const struct path *path;
    bool (*found)(const json_t *v, void *user);
    void *user;
    size_t visits;
};

static bool step_from(struct walk *w, size_t i, const json_t *v);

static bool equals(const json_t *v, const char *text)
{
    if (json_is_string(v))
        return strcmp(json_string_value(v), text) == 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *element = json_array_get(v, i);
        if (json_is_string(element) && strcmp(json_string_value(element), text) == 0)
            return true;
    }
    return false;
}

/* Calls then(child) for each element of an array or member of an object. */
static bool each_child(struct walk *w, size_t i, const json_t *v,
                       bool (*then)(struct walk *, size_t, const json_t *))
{
    if (json_is_array(v)) {
        for (size_t k = 0; k < json_array_size(v); k++)
            if (!then(w, i, json_array_get(v, k)))
                return false;
        return true;
    }
    if (!json_is_object(v))
        return true;
    json_t *object = (json_t *)(uintptr_t)v; /* the iterator only reads */
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
        if (!then(w, i, json_object_iter_value(it)))
            return false;
    return true;
}

/* "..name": the member of this value, then those below. Recursion is as deep as the JSON is, which
 * whoever parsed it has limited. */
static bool deep(struct walk *w, size_t i, const json_t *v)
{
    const char *name = w->path->steps[i].name;
    if (++w->visits > PATH_VISITS_MAX)
        return false;
    if (!name && !step_from(w, i + 1, v))
        return false;
    const json_t *member = name ? json_object_get(v, name) : NULL;
    if (member && !step_from(w, i + 1, member))
        return false;
    return each_child(w, i, v, deep);
}

static bool filtered(struct walk *w, size_t i, const json_t *v)
{
    const struct step *s = &w->path->steps[i];
    return !equals(json_object_get(v, s->name), s->text) || step_from(w, i + 1, v);
}

static bool next_step(struct walk *w, size_t i, const json_t *v)
{
    return step_from(w, i + 1, v);
}

/* False: the walk is to end. */
static bool step_from(struct walk *w, size_t i, const json_t *v)
{
    if (!v)
        return true;
    if (++w->visits > PATH_VISITS_MAX)
        return false;
    if (i == w->path->n)
        return w->found(v, w->user);
    const struct step *s = &w->path->steps[i];
    switch (s->kind) {
    case STEP_MEMBER: /* of an array: of its elements, since JSON-LD may write one value as a list */
        if (json_is_array(v))
            return each_child(w, i, v, step_from);
        return step_from(w, i + 1, json_object_get(v, s->name));
    case STEP_INDEX: {
        long long size = (long long)json_array_size(v);
        long long at = s->index < 0 ? size + s->index : s->index;
        return at < 0 || at >= size || step_from(w, i + 1, json_array_get(v, (size_t)at));
    }
    case STEP_ALL:
        return each_child(w, i, v, next_step);
    case STEP_DEEP:
        return deep(w, i, v);
    default:
        return json_is_array(v) ? each_child(w, i, v, filtered) : filtered(w, i, v);
    }
}

void path_walk(const struct path *p, const json_t *root, bool (*found)(const json_t *v, void *user),
               void *user)
{
    struct walk w = {p, found, user, 0};
    (void)step_from(&w, 0, root);
}
