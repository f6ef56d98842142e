#include "spec_sink.h"

#include <math.h>
#include <stdio.h>

#include "downstream.h"
#include "spec.h"
#include "suggest.h"

enum { PATH_LEN = 200, TTL_MAX_S = 3650 * 86400 };

struct named {
    const char *name;
    int value;
};

static const struct named kinds[] = {{"store", SPEC_SINK_STORE},
                                     {"postgres", SPEC_SINK_POSTGRES},
                                     {"redis", SPEC_SINK_REDIS},
                                     {"file", SPEC_SINK_FILE}};
static const struct named modes[] = {
    {"plain", SPEC_SINK_PLAIN}, {"append", SPEC_SINK_APPEND}, {"upsert", SPEC_SINK_UPSERT},
    {"merge", SPEC_SINK_MERGE}, {"hash", SPEC_SINK_HASH},     {"stream", SPEC_SINK_STREAM},
    {"list", SPEC_SINK_LIST},   {"ndjson", SPEC_SINK_NDJSON}, {"csv", SPEC_SINK_CSV},
};
static const struct named merges[] = {{"sum", SPEC_MERGE_SUM},
                                      {"count", SPEC_MERGE_COUNT},
                                      {"min", SPEC_MERGE_MIN},
                                      {"max", SPEC_MERGE_MAX}};

/* What each kind may say; the first mode is its default. */
static const struct kind_rules {
    enum spec_sink_mode first, last;
    const char *keys[7];
} rules[] = {
    [SPEC_SINK_STORE] = {SPEC_SINK_PLAIN, SPEC_SINK_PLAIN, {"kind"}},
    [SPEC_SINK_POSTGRES] = {SPEC_SINK_APPEND,
                            SPEC_SINK_MERGE,
                            {"kind", "name", "table", "mode", "key", "merge", "bad_rows"}},
    [SPEC_SINK_REDIS] = {SPEC_SINK_HASH,
                         SPEC_SINK_LIST,
                         {"kind", "name", "prefix", "mode", "key", "ttl_s", "bad_rows"}},
    [SPEC_SINK_FILE] = {SPEC_SINK_NDJSON, SPEC_SINK_CSV, {"kind", "name", "directory", "mode"}},
};

static const char *name_of(const struct named *list, size_t n, int value)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].value == value)
            return list[i].name;
    return "?";
}

const char *spec_sink_kind_name(enum spec_sink_kind kind)
{
    return name_of(kinds, ARRAY_LEN(kinds), (int)kind);
}

bool spec_sink_kind_find(const char *name, enum spec_sink_kind *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *ret = (enum spec_sink_kind)kinds[i].value;
            return true;
        }
    return false;
}

const char *spec_sink_mode_name(enum spec_sink_mode mode)
{
    return name_of(modes, ARRAY_LEN(modes), (int)mode);
}

const char *spec_sink_downstream(const struct spec_sink *s, char *out)
{
    out[0] = '\0';
    if (s->kind != SPEC_SINK_STORE)
        snprintf(out, DOWNSTREAM_NAME_MAX, "%s:%s", spec_sink_kind_name(s->kind), s->name);
    return out;
}

/* ---- reading ---- */

struct reader {
    const json_t *object;
    char path[PATH_LEN]; /* "sinks[0]" */
    const struct batch *columns;
    struct spec_sink *to;
    struct error *e;
};

static int bad(struct reader *r, const char *key, const char *what)
{
    return error_set(r->e, ERR_INVALID_SPEC, "%s.%s: %s", r->path, key, what);
}

/* One word of a list; absent: *ret stays. first, last: those of the list that are allowed. */
static int read_word(struct reader *r, const char *key, const struct named *list, size_t n,
                     int first, int last, int *ret)
{
    const char *names[ARRAY_LEN(modes)];
    char hint[SUGGEST_TEXT_LEN], known[200] = "";
    size_t n_names = 0, at = 0;
    const json_t *v = json_object_get(r->object, key);
    if (!v)
        return ERR_OK;
    if (!json_is_string(v))
        return bad(r, key, "a text is wanted here");
    for (size_t i = 0; i < n; i++) {
        if (list[i].value < first || list[i].value > last)
            continue;
        if (strcmp(list[i].name, json_string_value(v)) == 0) {
            *ret = list[i].value;
            return ERR_OK;
        }
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "", list[i].name);
        at = MIN(at, sizeof known - 1);
        names[n_names++] = list[i].name;
    }
    return error_set(r->e, ERR_INVALID_SPEC, "%s.%s: there is no %s \"%.60s\"%s; known: %s",
                     r->path, key, strcmp(key, "kind") == 0 ? "sink" : key, json_string_value(v),
                     suggest_text(json_string_value(v), names, n_names, hint), known);
}

/* A text of the letters that `more` allows beside A-Z a-z 0-9; absent: the fallback, or an error
 * when that is NULL. */
static int read_text(struct reader *r, const char *key, size_t max, const char *more,
                     const char *fallback, char **ret)
{
    const json_t *v = json_object_get(r->object, key);
    const char *text = v ? json_string_value(v) : fallback;
    if (v && !text)
        return bad(r, key, "a text is wanted here");
    if (!text)
        return bad(r, key, "missing");
    const size_t n = v ? json_string_length(v) : strlen(text);
    bool good = n > 0 && n <= max;
    for (size_t i = 0; i < n && good; i++) {
        const char c = text[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr(more, c));
    }
    if (!good)
        return error_set(r->e, ERR_INVALID_SPEC, "%s.%s: 1 to %zu of A-Z a-z 0-9 %s", r->path, key,
                         max, more);
    *ret = strdup(text);
    return *ret ? ERR_OK : error_set(r->e, ERR_NOMEM, "job description");
}

static int check_column(struct reader *r, const char *path, const char *column)
{
    const char *names[64];
    char hint[SUGGEST_TEXT_LEN];
    size_t n = 0;
    if (!r->columns)
        return ERR_OK;
    for (size_t i = 0; i < r->columns->n_columns; i++) {
        if (strcmp(r->columns->columns[i].name, column) == 0)
            return ERR_OK;
        if (n < ARRAY_LEN(names))
            names[n++] = r->columns->columns[i].name;
    }
    return error_set(r->e, ERR_INVALID_SPEC, "%s: the rows have no column \"%.60s\"%s", path,
                     column, suggest_text(column, names, n, hint));
}

static bool is_key(const struct spec_sink *s, const char *column)
{
    for (size_t i = 0; i < s->n_keys; i++)
        if (strcmp(s->keys[i], column) == 0)
            return true;
    return false;
}

/* "key": a list of columns, or one as a text. */
static int read_keys(struct reader *r)
{
    const json_t *v = json_object_get(r->object, "key");
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (!v)
        return bad(r, "key", "missing: the columns that tell rows apart");
    if (n < 1 || n > BATCH_COLUMNS_MAX)
        return bad(r, "key", "one column or more is wanted here");
    r->to->keys = calloc(n, sizeof *r->to->keys);
    if (!r->to->keys)
        return error_set(r->e, ERR_NOMEM, "job description");
    for (size_t i = 0; i < n; i++) {
        char path[PATH_LEN + 32];
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        snprintf(path, sizeof path, json_is_array(v) ? "%s.key[%zu]" : "%s.key", r->path, i);
        if (!json_is_string(one))
            return error_set(r->e, ERR_INVALID_SPEC, "%s: a column's name is wanted here", path);
        const int rc = check_column(r, path, json_string_value(one));
        if (rc)
            return rc;
        if (is_key(r->to, json_string_value(one)))
            return error_set(r->e, ERR_INVALID_SPEC, "%s: named twice", path);
        r->to->keys[i] = strdup(json_string_value(one));
        if (!r->to->keys[i])
            return error_set(r->e, ERR_NOMEM, "job description");
        r->to->n_keys++;
    }
    if (r->to->mode == SPEC_SINK_HASH && n != 1)
        return bad(r, "key", "one column is wanted here: it names the row's hash");
    return ERR_OK;
}

static bool merged(const struct spec_sink *s, const char *column)
{
    for (size_t i = 0; i < s->n_merges; i++)
        if (strcmp(s->merges[i].column, column) == 0)
            return true;
    return false;
}

/* "merge": how each column that is no key comes together. */
static int read_merges(struct reader *r)
{
    const json_t *v = json_object_get(r->object, "merge");
    const char *column;
    json_t *how;
    if (!json_is_object(v) || json_object_size(v) == 0)
        return bad(r, "merge", "an object such as {\"amount\": \"sum\"} is wanted here");
    r->to->merges = calloc(json_object_size(v), sizeof *r->to->merges);
    if (!r->to->merges)
        return error_set(r->e, ERR_NOMEM, "job description");
    json_object_foreach((json_t *)(uintptr_t)v, column, how)
    {
        struct reader inner = *r;
        int value = -1;
        inner.object = v;
        snprintf(inner.path, sizeof inner.path, "%.150s.merge", r->path);
        int rc = check_column(r, inner.path, column);
        if (rc == ERR_OK && is_key(r->to, column))
            rc = bad(&inner, column, "it is a key column");
        if (rc == ERR_OK)
            rc = read_word(&inner, column, merges, ARRAY_LEN(merges), SPEC_MERGE_SUM,
                           SPEC_MERGE_MAX, &value);
        if (rc)
            return rc;
        struct spec_merge_column *m = &r->to->merges[r->to->n_merges];
        m->how = (enum spec_merge)value;
        m->column = strdup(column);
        if (!m->column)
            return error_set(r->e, ERR_NOMEM, "job description");
        r->to->n_merges++;
    }
    for (size_t i = 0; r->columns && i < r->columns->n_columns; i++) {
        const char *name = r->columns->columns[i].name;
        if (!is_key(r->to, name) && !merged(r->to, name))
            return error_set(r->e, ERR_INVALID_SPEC,
                             "%s.merge: column \"%.60s\" is neither in key nor here", r->path,
                             name);
    }
    return ERR_OK;
}

static int read_ttl(struct reader *r)
{
    const json_t *v = json_object_get(r->object, "ttl_s");
    if (!v)
        return ERR_OK;
    if (!json_is_number(v) || !(json_number_value(v) >= 1 && json_number_value(v) <= TTL_MAX_S))
        return bad(r, "ttl_s", "a number of seconds from 1 to 315360000 is wanted here");
    r->to->ttl_ms = (uint64_t)llround(json_number_value(v) * 1e3);
    return ERR_OK;
}

static int read_bad_rows(struct reader *r)
{
    static const struct named words[] = {{"reject", 0}, {"fail", 1}};
    int fail = 0;
    const int rc = read_word(r, "bad_rows", words, ARRAY_LEN(words), 0, 1, &fail);
    r->to->fail_bad_rows = fail;
    return rc;
}

static int read_rest(struct reader *r)
{
    struct spec_sink *s = r->to;
    int rc = ERR_OK;
    if (s->kind != SPEC_SINK_STORE)
        rc = read_text(r, "name", SPEC_SINK_NAME_MAX, "_-", spec_sink_kind_name(s->kind), &s->name);
    if (rc == ERR_OK && s->kind == SPEC_SINK_POSTGRES)
        rc = read_text(r, "table", SPEC_SINK_TABLE_MAX, "_$.", NULL, &s->table);
    if (rc == ERR_OK && s->kind == SPEC_SINK_REDIS)
        rc = read_text(r, "prefix", SPEC_SINK_PREFIX_MAX, "_-.:/", "drover", &s->prefix);
    if (rc == ERR_OK && s->kind == SPEC_SINK_FILE && json_object_get(r->object, "directory"))
        rc = read_text(r, "directory", SPEC_SINK_PREFIX_MAX, "_-", NULL, &s->prefix);
    const bool keyed =
        s->mode == SPEC_SINK_UPSERT || s->mode == SPEC_SINK_MERGE || s->mode == SPEC_SINK_HASH;
    if (rc == ERR_OK && !keyed && json_object_get(r->object, "key"))
        rc = bad(r, "key", "this mode has none");
    if (rc == ERR_OK && keyed)
        rc = read_keys(r);
    if (rc == ERR_OK && s->mode != SPEC_SINK_MERGE && json_object_get(r->object, "merge"))
        rc = bad(r, "merge", "only mode \"merge\" has it");
    if (rc == ERR_OK && s->mode == SPEC_SINK_MERGE)
        rc = read_merges(r);
    if (rc == ERR_OK)
        rc = read_ttl(r);
    if (rc == ERR_OK)
        rc = read_bad_rows(r);
    return rc;
}

int spec_sink_read(const json_t *sink, size_t index, const struct batch *columns,
                   struct spec_sink *ret, struct error *e)
{
    struct spec_sink s = {0};
    struct reader r = {.object = sink, .columns = columns, .to = &s, .e = e};
    int kind = 0;
    snprintf(r.path, sizeof r.path, "sinks[%zu]", index);
    if (!json_is_object(sink))
        return error_set(e, ERR_INVALID_SPEC, "%s: an object is wanted here", r.path);
    if (!json_object_get(sink, "kind"))
        return bad(&r, "kind", "missing");
    int rc = read_word(&r, "kind", kinds, ARRAY_LEN(kinds), SPEC_SINK_STORE, SPEC_SINK_FILE, &kind);
    if (rc)
        return rc;
    const struct kind_rules *rule = &rules[kind];
    size_t n = 0;
    while (n < ARRAY_LEN(rule->keys) && rule->keys[n])
        n++;
    int mode = (int)rule->first;
    s.kind = (enum spec_sink_kind)kind;
    rc = spec_check_keys(sink, r.path, rule->keys, n, e);
    if (rc == ERR_OK)
        rc = read_word(&r, "mode", modes, ARRAY_LEN(modes), (int)rule->first, (int)rule->last,
                       &mode);
    s.mode = (enum spec_sink_mode)mode;
    if (rc == ERR_OK)
        rc = read_rest(&r);
    if (rc) {
        spec_sink_done(&s);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}

void spec_sink_done(struct spec_sink *s)
{
    for (size_t i = 0; i < s->n_keys; i++)
        free(s->keys[i]);
    for (size_t i = 0; i < s->n_merges; i++)
        free(s->merges[i].column);
    free(s->keys);
    free(s->merges);
    free(s->name);
    free(s->table);
    free(s->prefix);
    *s = (struct spec_sink){0};
}
