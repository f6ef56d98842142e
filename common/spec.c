#include "spec.h"

#include <math.h>
#include <stdio.h>

#include "suggest.h"
#include "utf8.h"

enum { PATH_LEN = 200 };

/* ---- reading values, with the path in every error ---- */

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    default:
        return "null";
    }
}

static int wrong_type(const char *path, const json_t *v, const char *want, struct error *e)
{
    return error_set(e, ERR_INVALID_SPEC, "%s: %s is wanted here, and it is %s", path, want,
                     type_name(v));
}

int spec_check_keys(const json_t *object, const char *path, const char *const *keys, size_t n,
                    struct error *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char hint[SUGGEST_TEXT_LEN];
        bool known = false;
        for (size_t i = 0; i < n && !known; i++)
            known = strcmp(keys[i], key) == 0;
        if (!known)
            return error_set(e, ERR_INVALID_SPEC, "%s%s%.60s: unknown key%s", path,
                             path[0] ? "." : "", key, suggest_text(key, keys, n, hint));
    }
    return ERR_OK;
}

/* A whole number within limits, both inclusive; absent: *ret stays. */
static int read_int(const json_t *object, const char *prefix, const char *key, int64_t min,
                    int64_t max, int64_t *ret, struct error *e)
{
    char path[PATH_LEN];
    const json_t *v = json_object_get(object, key);
    if (!v)
        return ERR_OK;
    snprintf(path, sizeof path, "%s%s", prefix, key);
    if (!json_is_integer(v))
        return wrong_type(path, v, "a whole number", e);
    int64_t n = json_integer_value(v);
    if (n < min || n > max)
        return error_set(e, ERR_INVALID_SPEC, "%s: %lld is outside its limits, %lld to %lld", path,
                         (long long)n, (long long)min, (long long)max);
    *ret = n;
    return ERR_OK;
}

/* Seconds, which may have a fraction, into milliseconds; absent: *ret_ms stays. */
static int read_seconds(const json_t *object, const char *prefix, const char *key, double max_s,
                        uint64_t *ret_ms, struct error *e)
{
    char path[PATH_LEN];
    const json_t *v = json_object_get(object, key);
    if (!v)
        return ERR_OK;
    snprintf(path, sizeof path, "%s%s", prefix, key);
    if (!json_is_number(v))
        return wrong_type(path, v, "a number of seconds", e);
    double s = json_number_value(v);
    if (!(s >= 0 && s <= max_s))
        return error_set(e, ERR_INVALID_SPEC, "%s: %g is outside its limits, 0 to %.0f seconds",
                         path, s, max_s);
    *ret_ms = (uint64_t)llround(s * 1e3);
    return ERR_OK;
}

int spec_read_blob(const json_t *value, const char *path, struct blob_name *ret, struct error *e)
{
    static const char *const keys[] = {"blob"};
    struct error why = {0};
    if (!value)
        return error_set(e, ERR_INVALID_SPEC, "%s: missing", path);
    if (!json_is_object(value))
        return wrong_type(path, value, "{\"blob\": SHA256}", e);
    int rc = spec_check_keys(value, path, keys, ARRAY_LEN(keys), e);
    if (rc)
        return rc;
    const json_t *name = json_object_get(value, "blob");
    if (!json_is_string(name))
        return error_set(e, ERR_INVALID_SPEC, "%s.blob: the SHA-256 of a blob is wanted here",
                         path);
    struct span text = {json_string_value(name), json_string_length(name)};
    if (blob_name_parse(text, ret, &why))
        return error_set(e, ERR_INVALID_SPEC, "%s.blob: %.300s", path, why.detail);
    return ERR_OK;
}

/* ---- the text ---- */

/* The deepest nesting, before the parser recurses. Brackets inside texts do not count. */
static unsigned depth_of(struct span text)
{
    unsigned depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            deepest = MAX(deepest, ++depth);
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return deepest;
}

static int parse_text(struct span text, bool with_input, json_t **ret, struct error *e)
{
    size_t max = with_input ? SPEC_TEXT_INPUT_MAX : SPEC_TEXT_MAX;
    json_error_t why;
    if (text.len > max)
        return error_set(e, ERR_INVALID_SPEC, "the description has %zu bytes; the limit is %zu",
                         text.len, max);
    if (depth_of(text) > SPEC_DEPTH_MAX)
        return error_set(e, ERR_INVALID_SPEC, "the description is nested deeper than %d levels",
                         SPEC_DEPTH_MAX);
    json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return error_set(e, ERR_INVALID_SPEC, "line %d, column %d: not JSON: %.200s", why.line,
                         why.column, why.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(e, ERR_INVALID_SPEC, "a job description is a JSON object");
    }
    *ret = root;
    return ERR_OK;
}

/* ---- the parts ---- */

static bool name_valid(const char *name, size_t len)
{
    if (len == 0 || len > SPEC_NAME_MAX || strcmp(name, "last") == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == ':';
        if (!letter && !(i > 0 && later))
            return false;
    }
    return true;
}

static int read_name(struct spec *s, struct error *e)
{
    const json_t *v = json_object_get(s->root, "name");
    if (!v || json_is_null(v))
        return ERR_OK;
    if (!json_is_string(v))
        return wrong_type("name", v, "a text", e);
    if (!name_valid(json_string_value(v), json_string_length(v)))
        return error_set(
            e, ERR_INVALID_SPEC,
            "name: a letter and then up to %d of A-Z a-z 0-9 . _ : - (and not \"last\")",
            SPEC_NAME_MAX - 1);
    s->name = strdup(json_string_value(v));
    return s->name ? ERR_OK : error_set(e, ERR_NOMEM, "job description");
}

static int read_retry(struct spec *s, struct error *e)
{
    static const char *const keys[] = {"attempts", "backoff_s", "backoff_max_s", "budget_percent"};
    const json_t *retry = json_object_get(s->root, "retry");
    int64_t attempts = 4, percent = 10;
    uint64_t backoff_ms = 1000, backoff_max_ms = 60000;
    int rc = ERR_OK;
    if (retry && !json_is_object(retry))
        return wrong_type("retry", retry, "an object", e);
    if (retry)
        rc = spec_check_keys(retry, "retry", keys, ARRAY_LEN(keys), e);
    if (rc == ERR_OK)
        rc = read_int(retry, "retry.", "attempts", 1, 100, &attempts, e);
    if (rc == ERR_OK)
        rc = read_int(retry, "retry.", "budget_percent", 1, 1000, &percent, e);
    if (rc == ERR_OK)
        rc = read_seconds(retry, "retry.", "backoff_s", 86400, &backoff_ms, e);
    if (backoff_max_ms < backoff_ms)
        backoff_max_ms = backoff_ms; /* a base above the default cap lifts the cap */
    if (rc == ERR_OK)
        rc = read_seconds(retry, "retry.", "backoff_max_s", 86400, &backoff_max_ms, e);
    if (rc == ERR_OK && backoff_max_ms < backoff_ms)
        rc = error_set(e, ERR_INVALID_SPEC, "retry.backoff_max_s: less than retry.backoff_s");
    s->attempts = (uint32_t)attempts;
    s->retry_percent = (uint32_t)percent;
    s->backoff_ms = (uint32_t)backoff_ms;
    s->backoff_max_ms = (uint32_t)backoff_max_ms;
    return rc;
}

static int read_numbers(struct spec *s, struct error *e)
{
    int64_t version = 1, priority = 5, task_items = 64, items_max = 0;
    uint64_t run_timeout_ms = 0, ttl_ms = UINT64_C(604800000);
    int rc = read_int(s->root, "", "drover", 1, 1, &version, e);
    if (rc == ERR_OK)
        rc = read_int(s->root, "", "priority", 0, 9, &priority, e);
    if (rc == ERR_OK)
        rc = read_int(s->root, "", "task_items", 1, 10000, &task_items, e);
    if (rc == ERR_OK)
        rc = read_int(s->root, "", "items_max", 0, INT64_C(1000000000000), &items_max, e);
    if (rc == ERR_OK)
        rc = read_seconds(s->root, "", "run_timeout_s", 7 * 86400, &run_timeout_ms, e);
    if (rc == ERR_OK)
        rc = read_seconds(s->root, "", "result_ttl_s", 3650.0 * 86400, &ttl_ms, e);
    s->priority = (uint8_t)priority;
    s->task_items = (uint32_t)task_items;
    s->items_max = (uint64_t)items_max;
    s->run_timeout_ms = (uint32_t)run_timeout_ms;
    s->ttl_ms = ttl_ms;
    return rc;
}

static const struct spec_engine *find_engine(const struct spec_engine *engines, size_t n,
                                             const char *kind)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(engines[i].name, kind) == 0)
            return &engines[i];
    return NULL;
}

static int unknown_engine(const struct spec_engine *engines, size_t n, size_t index,
                          const char *kind, struct error *e)
{
    char known[200] = "", hint[SUGGEST_TEXT_LEN];
    const char *names[16];
    size_t n_names = 0, at = 0;
    for (; n_names < n && n_names < ARRAY_LEN(names); n_names++) {
        names[n_names] = engines[n_names].name;
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "",
                               engines[n_names].name);
        at = MIN(at, sizeof known - 1);
    }
    return error_set(e, ERR_INVALID_SPEC,
                     "stages[%zu].kind: there is no engine \"%.60s\"%s; known: %s", index, kind,
                     suggest_text(kind, names, n_names, hint), known);
}

/* Rows become objects and rows of tables, in which one of two columns of a name would be lost. */
static int names_differ(const struct batch *columns, size_t index, struct error *e)
{
    for (size_t i = 1; i < columns->n_columns; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(columns->columns[i].name, columns->columns[k].name) == 0)
                return error_set(e, ERR_INVALID_SPEC,
                                 "stages[%zu]: columns %zu and %zu of its rows are both called "
                                 "\"%.100s\": name one otherwise (in SQL with AS)",
                                 index, k + 1, i + 1, columns->columns[i].name);
    return ERR_OK;
}

/* An engine's error, with the path of the stage in front. */
static int in_stage(size_t index, const struct error *inner, struct error *e)
{
    return error_set(e, inner->code, "stages[%zu]%s%.450s", index,
                     inner->detail[0] == '[' ? "" : ".", inner->detail);
}

static int read_stage(struct spec *s, const json_t *stage, size_t index,
                      const struct spec_engine *engines, size_t n_engines, struct error *e)
{
    char path[PATH_LEN];
    struct error inner = {0};
    void *compiled = NULL;
    snprintf(path, sizeof path, "stages[%zu]", index);
    if (!json_is_object(stage))
        return wrong_type(path, stage, "an object", e);
    const json_t *kind = json_object_get(stage, "kind");
    if (!kind)
        return error_set(e, ERR_INVALID_SPEC, "%s.kind: missing", path);
    if (!json_is_string(kind))
        return error_set(e, ERR_INVALID_SPEC, "%s.kind: a text is wanted here", path);
    const struct spec_engine *engine = find_engine(engines, n_engines, json_string_value(kind));
    if (!engine)
        return unknown_engine(engines, n_engines, index, json_string_value(kind), e);
    if (index == 0 ? !engine->source : !engine->follows)
        return error_set(e, ERR_INVALID_SPEC, "%s.kind: \"%s\" can%s be the first stage", path,
                         engine->name, engine->source ? " only" : "not");
    int rc = ERR_OK;
    s->completed |= s->files && engine->complete;
    if (s->files && engine->complete)
        rc = engine->complete((json_t *)(uintptr_t)stage, s->columns, s->files, &inner);
    if (rc == ERR_OK)
        rc = engine->compile(stage, s->columns, &compiled, &inner);
    if (rc)
        return in_stage(index, &inner, e);
    s->stages[s->n_stages++] = (struct spec_stage){engine, compiled};
    s->kinds |= engine->kind;
    batch_free(s->columns);
    s->columns = engine->columns(compiled);
    if (!s->columns)
        return error_set(e, ERR_NOMEM, "job description");
    return names_differ(s->columns, index, e);
}

static int read_stages(struct spec *s, const struct spec_engine *engines, size_t n_engines,
                       struct error *e)
{
    const json_t *stages = json_object_get(s->root, "stages");
    if (!stages)
        return error_set(e, ERR_INVALID_SPEC, "stages: missing");
    if (!json_is_array(stages))
        return wrong_type("stages", stages, "an array", e);
    size_t n = json_array_size(stages);
    if (n < 1 || n > SPEC_STAGES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "stages: %zu of them; 1 to %d are possible", n,
                         SPEC_STAGES_MAX);
    s->stages = calloc(n, sizeof *s->stages);
    if (!s->stages)
        return error_set(e, ERR_NOMEM, "job description");
    for (size_t i = 0; i < n; i++) {
        int rc = read_stage(s, json_array_get(stages, i), i, engines, n_engines, e);
        if (rc)
            return rc;
    }
    s->rejects_max = -1;
    for (size_t i = 0; i < n; i++) {
        const struct spec_engine *engine = s->stages[i].engine;
        int64_t max = engine->rejects_max ? engine->rejects_max(s->stages[i].compiled) : -1;
        if (max >= 0 && (s->rejects_max < 0 || max < s->rejects_max))
            s->rejects_max = max;
    }
    const struct spec_stage *first = &s->stages[0];
    s->unique = first->engine->unique && first->engine->unique(first->compiled);
    s->key_limit = first->engine->key_limit ? first->engine->key_limit(first->compiled) : 0;
    s->key_delay_ms =
        first->engine->key_delay_ms ? first->engine->key_delay_ms(first->compiled) : 0;
    s->key_use_ms = first->engine->key_use_ms ? first->engine->key_use_ms(first->compiled) : 0;
    uint64_t items_max = first->engine->items_max ? first->engine->items_max(first->compiled) : 0;
    if (items_max > 0 && (s->items_max == 0 || items_max < s->items_max))
        s->items_max = items_max; /* the stage's own limit is the tighter one */
    return ERR_OK;
}

/* Two sinks of one job that are the same place would write each row twice. */
static int check_sinks_differ(const struct spec *s, struct error *e)
{
    for (size_t i = 0; i < s->n_sinks; i++)
        for (size_t k = 0; k < i; k++) {
            const struct spec_sink *a = &s->sinks[i], *b = &s->sinks[k];
            const char *x = a->table ? a->table : a->prefix, *y = b->table ? b->table : b->prefix;
            if (a->kind == b->kind && (!a->name || strcmp(a->name, b->name) == 0) &&
                (x == y || (x && y && strcmp(x, y) == 0)))
                return error_set(e, ERR_INVALID_SPEC, "sinks[%zu]: the same place as sinks[%zu]", i,
                                 k);
        }
    return ERR_OK;
}

static int read_sinks(struct spec *s, struct error *e)
{
    const json_t *sinks = json_object_get(s->root, "sinks");
    if (sinks && !json_is_array(sinks))
        return wrong_type("sinks", sinks, "an array", e);
    size_t n = sinks ? json_array_size(sinks) : 0;
    if (sinks && (n < 1 || n > SPEC_SINKS_MAX))
        return error_set(e, ERR_INVALID_SPEC, "sinks: %zu of them; 1 to %d are possible", n,
                         SPEC_SINKS_MAX);
    s->sinks = calloc(MAX(n, (size_t)1), sizeof *s->sinks);
    if (!s->sinks)
        return error_set(e, ERR_NOMEM, "job description");
    if (!sinks)
        s->sinks[s->n_sinks++] = (struct spec_sink){.kind = SPEC_SINK_STORE};
    for (size_t i = 0; i < n; i++) {
        int rc = spec_sink_read(json_array_get(sinks, i), i, s->columns, &s->sinks[s->n_sinks], e);
        if (rc)
            return rc;
        s->n_sinks++;
    }
    return check_sinks_differ(s, e);
}

static bool sinks_merge(const struct spec *s)
{
    for (size_t i = 0; i < s->n_sinks; i++)
        if (s->sinks[i].kind == SPEC_SINK_STORE || s->sinks[i].mode != SPEC_SINK_MERGE)
            return false;
    return true;
}

static size_t gathering_stage(const struct spec *s)
{
    for (size_t i = 0; i < s->n_stages; i++) {
        const struct spec_stage *stage = &s->stages[i];
        /* a stage after it would make something else of the groups */
        const bool merges = i + 1 == s->n_stages && sinks_merge(s);
        if (stage->engine->gathers && stage->engine->gathers(stage->compiled, merges))
            return i;
    }
    return s->n_stages;
}

static int read_input(struct spec *s, bool with_input, struct error *e)
{
    static const char *const keys[] = {"urls", "items"};
    const json_t *input = json_object_get(s->root, "input");
    char path[PATH_LEN];
    if (!input)
        return ERR_OK;
    if (!with_input)
        return error_set(e, ERR_INVALID_SPEC,
                         "input: it is sent apart from the description (job.input)");
    if (!json_is_object(input))
        return wrong_type("input", input, "an object", e);
    int rc = spec_check_keys(input, "input", keys, ARRAY_LEN(keys), e);
    if (rc)
        return rc;
    if (json_object_size(input) != 1)
        return error_set(e, ERR_INVALID_SPEC,
                         "input: one of \"urls\" and \"items\" is wanted here");
    const char *key = json_object_get(input, "urls") ? "urls" : "items";
    const json_t *items = json_object_get(input, key);
    snprintf(path, sizeof path, "input.%s", key);
    if (!json_is_array(items))
        return wrong_type(path, items, "an array", e);
    for (size_t i = 0; i < json_array_size(items); i++) {
        snprintf(path, sizeof path, "input.%s[%zu]", key, i);
        if (!json_is_string(json_array_get(items, i)))
            return wrong_type(path, json_array_get(items, i), "a text", e);
    }
    s->input = items;
    return ERR_OK;
}

/* ---- the whole ---- */

static int read_spec(struct spec *s, const struct spec_engine *engines, size_t n_engines,
                     bool with_input, struct error *e)
{
    static const char *const keys[] = {"drover",    "name",          "priority",    "stages",
                                       "input",     "sinks",         "retry",       "task_items",
                                       "items_max", "run_timeout_s", "result_ttl_s"};
    int rc = spec_check_keys(s->root, "", keys, ARRAY_LEN(keys), e);
    if (rc == ERR_OK)
        rc = read_name(s, e);
    if (rc == ERR_OK)
        rc = read_numbers(s, e);
    if (rc == ERR_OK)
        rc = read_retry(s, e);
    if (rc == ERR_OK)
        rc = read_stages(s, engines, n_engines, e);
    if (rc == ERR_OK)
        rc = read_sinks(s, e);
    if (rc == ERR_OK)
        s->gather = gathering_stage(s);
    if (rc == ERR_OK)
        rc = read_input(s, with_input, e);
    return rc;
}

static int dump(const struct spec *s, struct buf *out, struct error *e)
{
    json_t *input = json_incref(json_object_get(s->root, "input"));
    json_object_del(s->root, "input");
    char *text = json_dumps(s->root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (input)
        json_object_set_new(s->root, "input", input);
    if (text)
        buf_str(out, text);
    free(text);
    return text && buf_ok(out) ? ERR_OK : error_set(e, ERR_NOMEM, "job description");
}

int spec_open(struct span text, const struct spec_engine *engines, size_t n_engines,
              bool with_input, struct spec **ret, struct error *e)
{
    struct spec *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, ERR_NOMEM, "job description");
    s->engines = engines;
    s->n_engines = n_engines;
    s->with_input = with_input;
    int rc = parse_text(text, with_input, &s->root, e);
    if (rc)
        spec_free(s);
    else
        *ret = s;
    return rc;
}

/* A stage that makes no sense wants nothing: compiling it says why. */
int spec_wants(const struct spec *s, spec_blob_fn *fn, void *user, struct error *e)
{
    const json_t *stages = json_object_get(s->root, "stages");
    size_t n = MIN(json_array_size(stages), (size_t)SPEC_STAGES_MAX);
    int rc = ERR_OK;
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        const json_t *stage = json_array_get(stages, i);
        const char *kind = json_string_value(json_object_get(stage, "kind"));
        const struct spec_engine *engine =
            kind ? find_engine(s->engines, s->n_engines, kind) : NULL;
        struct error inner = {0};
        if (engine && engine->wants)
            rc = engine->wants(stage, fn, user, &inner);
        if (rc && inner.code)
            return in_stage(i, &inner, e);
    }
    return rc;
}

int spec_compile(struct spec *s, const struct spec_files *files, struct buf *ret_text,
                 struct error *e)
{
    s->files = files;
    int rc = read_spec(s, s->engines, s->n_engines, s->with_input, e);
    s->files = NULL;
    return rc == ERR_OK && ret_text && s->completed ? dump(s, ret_text, e) : rc;
}

int spec_parse(struct span text, const struct spec_engine *engines, size_t n_engines,
               bool with_input, struct spec **ret, struct error *e)
{
    struct spec *s = NULL;
    int rc = spec_open(text, engines, n_engines, with_input, &s, e);
    if (rc == ERR_OK)
        rc = spec_compile(s, NULL, NULL, e);
    if (rc)
        spec_free(s);
    else
        *ret = s;
    return rc;
}

void spec_free(struct spec *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_stages; i++)
        if (s->stages[i].engine->free)
            s->stages[i].engine->free(s->stages[i].compiled);
    for (size_t i = 0; i < s->n_sinks; i++)
        spec_sink_done(&s->sinks[i]);
    batch_free(s->columns);
    free(s->stages);
    free(s->sinks);
    free(s->name);
    json_decref(s->root);
    free(s);
}

int spec_item(const struct spec *s, struct span text, uint32_t depth, struct buf *out,
              uint64_t *ret_key, struct hash128 *ret_unique, struct error *e)
{
    const struct spec_stage *first = &s->stages[0];
    size_t before = out->len;
    if (utf8_valid_prefix(text) != text.len)
        return error_set(e, ERR_INVALID_ARGUMENT, "an input that is not UTF-8");
    int rc = first->engine->item(first->compiled, text, depth, out, ret_key, ret_unique, e);
    if (rc == ERR_OK && !buf_ok(out))
        rc = error_set(e, ERR_NOMEM, "input");
    else if (rc == ERR_OK && out->len - before > SPEC_ITEM_MAX)
        rc = error_set(e, ERR_LIMIT, "an input of %zu bytes; the limit is %d", out->len - before,
                       SPEC_ITEM_MAX);
    if (rc && buf_ok(out))
        out->len = before;
    return rc;
}

int spec_blobs(const struct spec *s, spec_blob_fn *fn, void *user)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < s->n_stages && rc == ERR_OK; i++) {
        const struct spec_stage *stage = &s->stages[i];
        if (stage->engine->blobs)
            rc = stage->engine->blobs(stage->compiled, (struct span){0}, fn, user);
    }
    return rc;
}

int spec_item_blobs(const struct spec *s, struct span item, spec_blob_fn *fn, void *user)
{
    const struct spec_stage *first = &s->stages[0];
    return first->engine->blobs ? first->engine->blobs(first->compiled, item, fn, user) : ERR_OK;
}

bool spec_may_need_blobs(const struct spec *s)
{
    for (size_t i = 0; i < s->n_stages; i++)
        if (s->stages[i].engine->blobs)
            return true;
    return false;
}
