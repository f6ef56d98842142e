#include "spec_field.h"

#include <ctype.h>
#include <stdio.h>

#include "field.h"
#include "intern.h"
#include "path.h"
#include "pattern.h"
#include "select.h"
#include "spec.h"

/* The keys of one field as they were written, before they are checked against each other. */
struct written {
    const char *css, *attr, *jsonld, *meta, *source, *type, *regex, *join, *format, *decimal_mark;
    bool strip, lower, first, last, list, required;
    const json_t *index, *default_value, *any, *fields;
    uint32_t max;
};

static int compile_fields(struct spec_reader *r, const json_t *v, unsigned depth,
                          const struct field **ret, size_t *ret_n);

int spec_field_selector(struct spec_reader *r, struct span text, const struct selector **ret)
{
    struct error inner = {0};
    int err = select_compile(r->arena, text, ret, &inner);
    return err ? spec_read_refuse_inner(r, &inner) : (int)ERR_OK;
}

int spec_field_pattern(struct spec_reader *r, const char *text, struct pattern **ret)
{
    struct scrape_spec *s = r->spec;
    struct error inner = {0};
    if (s->n_patterns == SPEC_REGEXES_MAX)
        return spec_read_refuse(r, "more than %d regular expressions", SPEC_REGEXES_MAX);
    int err = pattern_compile(span_str(text), &s->patterns[s->n_patterns], &inner);
    if (err)
        return spec_read_refuse_inner(r, &inner);
    *ret = s->patterns[s->n_patterns++];
    return ERR_OK;
}

/* ---- where a text comes from ---- */

static int set_name(struct spec_reader *r, struct span name, struct span *ret)
{
    char *copy = arena_strndup(r->arena, name.p, name.len);
    if (!copy)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < name.len; i++)
        copy[i] = (char)tolower((unsigned char)copy[i]);
    *ret = (struct span){copy, name.len};
    return ERR_OK;
}

static int set_part(struct spec_reader *r, struct span attr, struct source *s)
{
    static const struct {
        const char *name;
        enum element_part part;
    } parts[] = {{"text", PART_TEXT},
                 {"own_text", PART_OWN_TEXT},
                 {"html", PART_HTML},
                 {"inner_html", PART_INNER_HTML}};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (span_eq(span_str(parts[i].name), attr)) {
            s->part = parts[i].part;
            return ERR_OK;
        }
    if (attr.len == 0)
        return spec_read_refuse(r, "the attribute has no name");
    s->part = PART_ATTR;
    return set_name(r, attr, &s->name);
}

/* Where the "::" of a shorthand stands, outside brackets and quotes; text.len: nowhere. */
static size_t find_pseudo_element(struct span text)
{
    int brackets = 0;
    char quote = 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        char c = text.p[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '[' || c == '(')
            brackets++;
        else if (c == ']' || c == ')')
            brackets--;
        else if (c == ':' && text.p[i + 1] == ':' && brackets == 0)
            return i;
    }
    return text.len;
}

/* "h1.title::text", "a::attr(href)", "::text" (the current element) */
static int set_css(struct spec_reader *r, const char *css, struct source *s)
{
    struct span text = span_str(css);
    size_t at = find_pseudo_element(text);
    struct span selector = value_strip((struct span){text.p, at});
    if (at < text.len) {
        struct span pseudo = {text.p + at + 2, text.len - at - 2};
        if (pseudo.len > 6 && memcmp(pseudo.p, "attr(", 5) == 0 && pseudo.p[pseudo.len - 1] == ')')
            pseudo = value_strip((struct span){pseudo.p + 5, pseudo.len - 6});
        else if (!span_eq(pseudo, SPAN("text")) && !span_eq(pseudo, SPAN("own_text")) &&
                 !span_eq(pseudo, SPAN("html")) && !span_eq(pseudo, SPAN("inner_html")))
            return spec_read_refuse(
                r,
                "character %zu: unknown ::%.*s; there are ::text ::own_text ::html "
                "::inner_html ::attr(name)",
                at + 1, (int)MIN(pseudo.len, (size_t)60), pseudo.p);
        int err = set_part(r, pseudo, s);
        if (err)
            return err;
        if (selector.len == 0)
            return ERR_OK;
    }
    return spec_field_selector(r, selector, &s->css);
}

static int set_at(struct spec_reader *r, const char *at, struct source *s)
{
    static const struct {
        const char *name;
        enum source_kind kind;
    } sources[] = {{"@url", SOURCE_URL},
                   {"@requested_url", SOURCE_REQUESTED_URL},
                   {"@status", SOURCE_STATUS},
                   {"@depth", SOURCE_DEPTH},
                   {"@fetched_at", SOURCE_FETCHED_AT}};
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (strcmp(sources[i].name, at) == 0) {
            s->kind = sources[i].kind;
            return ERR_OK;
        }
    if (strncmp(at, "@headers.", 9) == 0 && at[9]) {
        s->kind = SOURCE_HEADER;
        return set_name(r, span_str(at + 9), &s->name);
    }
    return spec_read_refuse(
        r,
        "unknown source \"%.60s\"; there are @url @requested_url @status @depth "
        "@fetched_at @headers.NAME",
        at);
}

static int set_shorthand(struct spec_reader *r, const json_t *v, struct source *s)
{
    const char *text;
    int err = spec_read_string(r, v, &text);
    if (err)
        return err;
    return text[0] == '@' ? set_at(r, text, s) : set_css(r, text, s);
}

/* ---- the keys of a field ---- */

static int read_json(struct spec_reader *r, const json_t *v, const json_t **to)
{
    (void)r;
    *to = v;
    return ERR_OK;
}

#define READ_JSON(member)                                                                          \
    static int read_##member(struct spec_reader *r, const json_t *v, void *target)                 \
    {                                                                                              \
        return read_json(r, v, &((struct written *)target)->member);                               \
    }
READ_JSON(index)
READ_JSON(default_value)
READ_JSON(any)
READ_JSON(fields)

#define AT(member) .offset = offsetof(struct written, member)

/* The first N_SOURCE_KEYS are those that an alternative of "any" may have too. */
enum { N_SOURCE_KEYS = 11 };
static const struct key field_keys[] = {
    {"css", KEY_STRING, AT(css)},
    {"attr", KEY_STRING, AT(attr)},
    {"jsonld", KEY_STRING, AT(jsonld)},
    {"meta", KEY_STRING, AT(meta)},
    {"source", KEY_STRING, AT(source)},
    {"regex", KEY_STRING, AT(regex)},
    {"strip", KEY_BOOL, AT(strip)},
    {"lower", KEY_BOOL, AT(lower)},
    {"first", KEY_BOOL, AT(first)},
    {"last", KEY_BOOL, AT(last)},
    {"index", KEY_CUSTOM, .read = read_index},
    {"type", KEY_STRING, AT(type)},
    {"list", KEY_BOOL, AT(list)},
    {"join", KEY_STRING, AT(join)},
    {"max", KEY_U32, AT(max), .min = 1, .max = 1000000},
    {"default", KEY_CUSTOM, .read = read_default_value},
    {"required", KEY_BOOL, AT(required)},
    {"any", KEY_CUSTOM, .read = read_any},
    {"fields", KEY_CUSTOM, .read = read_fields},
    {"format", KEY_STRING, AT(format)},
    {"decimal_mark", KEY_STRING, AT(decimal_mark)},
};

static int compile_index(struct spec_reader *r, const struct written *w, struct source *s)
{
    if (w->first + w->last + (w->index != NULL) > 1)
        return spec_read_refuse(r, "first, last and index exclude each other");
    s->index = w->last ? -1 : 0;
    if (!w->index)
        return ERR_OK;
    size_t mark = spec_read_push(r, "index");
    if (!json_is_integer(w->index))
        return spec_read_refuse_type(r, "an integer", w->index);
    s->index = json_integer_value(w->index);
    if (s->index < -1000000 || s->index > 1000000)
        return spec_read_refuse(r, "must be between -1000000 and 1000000");
    spec_read_pop(r, mark);
    return ERR_OK;
}

static int compile_path(struct spec_reader *r, const char *text, struct source *s)
{
    struct error inner = {0};
    s->kind = SOURCE_JSONLD;
    return path_compile(r->arena, span_str(text), &s->path, &inner)
               ? spec_read_refuse_inner(r, &inner)
               : (int)ERR_OK;
}

static int compile_meta(struct spec_reader *r, const char *name, struct source *s)
{
    s->kind = SOURCE_META;
    return name[0] ? set_name(r, span_str(name), &s->name)
                   : spec_read_refuse(r, "the name is empty");
}

/* The one key of a group that says where the text comes from. */
static int compile_origin(struct spec_reader *r, const struct written *w, struct source *s)
{
    static const struct {
        const char *name;
        size_t offset;
        int (*compile)(struct spec_reader *, const char *, struct source *);
    } origins[] = {{"css", offsetof(struct written, css), set_css},
                   {"jsonld", offsetof(struct written, jsonld), compile_path},
                   {"meta", offsetof(struct written, meta), compile_meta},
                   {"source", offsetof(struct written, source), set_at}};
    const char *used = NULL;
    for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
        const char *text =
            *(const char *const *)(const void *)((const char *)w + origins[i].offset);
        if (!text)
            continue;
        if (used)
            return spec_read_refuse(r, "%s and %s exclude each other", used, origins[i].name);
        used = origins[i].name;
        size_t mark = spec_read_push(r, used);
        int err = origins[i].compile(r, text, s);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    if (w->any && used)
        return spec_read_refuse(r, "%s and any exclude each other", used);
    if (w->any && (w->first || w->last || w->index))
        return spec_read_refuse(r, "first, last and index belong into the alternatives of any");
    if (w->attr && (s->kind != SOURCE_CSS || w->any))
        return spec_read_refuse(r, "attr needs css");
    if (!used && !w->any && !w->attr && !w->fields)
        return spec_read_refuse(r, "needs one of css, attr, jsonld, meta, source, any");
    return ERR_OK;
}

static int compile_source(struct spec_reader *r, const struct written *w, struct source *s)
{
    int err = compile_origin(r, w, s);
    if (!err && w->attr) {
        size_t mark = spec_read_push(r, "attr");
        if (s->part != PART_TEXT)
            return spec_read_refuse(r, "css ends with a ::part of its own");
        err = set_part(r, span_str(w->attr), s);
        if (!err)
            spec_read_pop(r, mark);
    }
    if (!err && w->regex) {
        struct pattern *p;
        size_t mark = spec_read_push(r, "regex");
        err = spec_field_pattern(r, w->regex, &p);
        s->regex = p;
        if (!err)
            spec_read_pop(r, mark);
    }
    s->strip = w->strip;
    s->lower = w->lower;
    return err ? err : compile_index(r, w, s);
}

static int compile_alternatives(struct spec_reader *r, const json_t *any, struct source *s)
{
    size_t mark = spec_read_push(r, "any"), n = json_array_size(any);
    if (!json_is_array(any) || n == 0)
        return json_is_array(any) ? spec_read_refuse(r, "the list is empty")
                                  : spec_read_refuse_type(r, "a list of fields", any);
    if (n > 32)
        return spec_read_refuse(r, "more than 32 alternatives");
    struct source *alternatives = spec_read_alloc(r, n, sizeof *alternatives);
    if (!alternatives)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(any, i);
        size_t inner = spec_read_push_index(r, i);
        struct written w = {.strip = true};
        alternatives[i].strip = true;
        int err = json_is_string(v) ? set_shorthand(r, v, &alternatives[i])
                                    : spec_read_object(r, v, field_keys, N_SOURCE_KEYS, &w);
        if (!err && !json_is_string(v))
            err = compile_source(r, &w, &alternatives[i]);
        if (err)
            return err;
        spec_read_pop(r, inner);
    }
    s->kind = SOURCE_ANY;
    s->alternatives = alternatives;
    s->n_alternatives = n;
    spec_read_pop(r, mark);
    return ERR_OK;
}

/* ---- type, default, options ---- */

static enum value_type natural_type(const struct source *s)
{
    switch (s->kind) {
    case SOURCE_STATUS:
    case SOURCE_DEPTH:
        return VALUE_INT;
    case SOURCE_FETCHED_AT:
        return VALUE_DATETIME;
    default:
        return VALUE_STR;
    }
}

static int compile_type(struct spec_reader *r, const struct written *w, struct field *f)
{
    f->type = natural_type(&f->source);
    if (!w->type)
        return ERR_OK;
    for (size_t i = 0; value_type_names[i]; i++)
        if (strcmp(value_type_names[i], w->type) == 0) {
            f->type = (enum value_type)i;
            return ERR_OK;
        }
    spec_read_push(r, "type");
    return spec_read_refuse(
        r,
        "unknown type \"%.40s\"; there are str int float decimal bool date datetime "
        "url json",
        w->type);
}

static int compile_options(struct spec_reader *r, const struct written *w, struct field *f)
{
    size_t at;
    if (w->format) {
        size_t mark = spec_read_push(r, "format");
        if (f->type != VALUE_DATE && f->type != VALUE_DATETIME)
            return spec_read_refuse(r, "needs type date or datetime");
        if (!value_format_ok(w->format, &at))
            return spec_read_refuse(
                r,
                "character %zu: unknown %%; there are %%Y %%y %%m %%d %%e %%b %%B "
                "%%a %%A %%H %%I %%M %%S %%f %%p %%z %%Z %%%%",
                at + 1);
        f->options.format = w->format;
        spec_read_pop(r, mark);
    }
    if (w->decimal_mark) {
        size_t mark = spec_read_push(r, "decimal_mark");
        if (strcmp(w->decimal_mark, ".") != 0 && strcmp(w->decimal_mark, ",") != 0)
            return spec_read_refuse(r, "must be \".\" or \",\"");
        f->options.decimal_mark = w->decimal_mark[0];
        spec_read_pop(r, mark);
    }
    return ERR_OK;
}

/* The default as the text that a page would have it in, checked like one. */
static int compile_default(struct spec_reader *r, const json_t *v, struct field *f)
{
    struct value value;
    bool json = f->list || f->fields || f->type == VALUE_JSON;
    if (!v || json_is_null(v))
        return ERR_OK;
    size_t mark = spec_read_push(r, "default");
    if (f->required)
        return spec_read_refuse(r, "a required field has no default");
    if (f->list && !json_is_array(v))
        return spec_read_refuse_type(r, "a list", v);
    if (!json && (json_is_object(v) || json_is_array(v)))
        return spec_read_refuse_type(r, "a single value", v);
    char *text = !json && json_is_string(v) ? strdup(json_string_value(v))
                                            : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text)
        return spec_read_no_memory(r);
    char *copy = arena_strndup(r->arena, text, strlen(text));
    free(text);
    if (!copy)
        return spec_read_no_memory(r);
    f->has_default = true;
    f->default_text = span_str(copy);
    if (!json && !value_parse(f->type, &f->options, f->default_text, &value))
        return spec_read_refuse(r, "%.60s is not of type %s", copy, value_type_names[f->type]);
    spec_read_pop(r, mark);
    return ERR_OK;
}

static int check_list(struct spec_reader *r, const struct written *w, struct field *f)
{
    f->list = w->list;
    f->join = w->join;
    f->max = w->max;
    f->required = w->required;
    bool picks = w->first || w->last || w->index;
    if (picks && (w->list || w->join))
        return spec_read_refuse(r, "first, last and index exclude list and join");
    if (w->list && w->join)
        return spec_read_refuse(r, "list and join exclude each other");
    if (w->join && f->type != VALUE_STR)
        return spec_read_refuse(r, "join needs type str");
    if (w->max && !w->list && !w->join && f->type != VALUE_STR)
        return spec_read_refuse(r, "max needs list, join or type str");
    return ERR_OK;
}

static int check_nested(struct spec_reader *r, const struct written *w, const struct field *f)
{
    if (f->source.kind != SOURCE_CSS || f->source.part != PART_TEXT || w->attr)
        return spec_read_refuse(r, "fields needs css without ::part or attr");
    if (!f->source.css && w->list)
        return spec_read_refuse(r, "a list with fields needs css");
    if (w->type || w->regex || w->join || w->lower)
        return spec_read_refuse(r, "fields excludes type, regex, join and lower");
    return ERR_OK;
}

/* ---- fields ---- */

static int set_stat(struct spec_reader *r, const char *prefix, const char *path, const char **ret)
{
    char name[SPEC_DEPTH_MAX * (SPEC_NAME_BYTES_MAX + 1) + 16];
    snprintf(name, sizeof name, "%s.%s", prefix, path);
    *ret = intern(name);
    return *ret ? (int)ERR_OK
                : error_set(r->e, ERR_LIMIT, "the names of the process's counters are used up");
}

static int set_stats(struct spec_reader *r, struct field *f)
{
    int err = set_stat(r, "fill", f->path, &f->stat_fill);
    if (!err)
        err = set_stat(r, "bad", f->path, &f->stat_bad);
    if (!err)
        err = set_stat(r, "missing", f->path, &f->stat_missing);
    return err ? err : set_stat(r, "items", f->path, &f->stat_items);
}

static int set_path(struct spec_reader *r, struct field *f)
{
    struct span path = buf_span(&r->path); /* "extract.products.fields.price" */
    struct span parts = {path.p + strlen("extract."), path.len - strlen("extract.")};
    char *to = arena_strndup(r->arena, parts.p, parts.len);
    if (!to)
        return spec_read_no_memory(r);
    f->path = to;
    for (const char *from = to; *from;) {
        if (strncmp(from, ".fields.", 8) == 0)
            from += strlen(".fields");
        *to++ = *from++;
    }
    *to = 0;
    return set_stats(r, f);
}

static int compile_object(struct spec_reader *r, const json_t *v, unsigned depth, struct field *f)
{
    struct written w = {.strip = true};
    int err = spec_read_object(r, v, field_keys, ARRAY_LEN(field_keys), &w);
    if (!err)
        err = compile_source(r, &w, &f->source);
    if (!err && w.any)
        err = compile_alternatives(r, w.any, &f->source);
    if (!err)
        err = compile_type(r, &w, f);
    if (!err)
        err = compile_options(r, &w, f);
    if (!err)
        err = check_list(r, &w, f);
    if (!err && w.fields) {
        err = check_nested(r, &w, f);
        size_t mark = spec_read_push(r, "fields");
        if (!err)
            err = compile_fields(r, w.fields, depth + 1, &f->fields, &f->n_fields);
        if (!err)
            spec_read_pop(r, mark);
        f->type = VALUE_JSON;
    }
    return err ? err : compile_default(r, w.default_value, f);
}

static int compile_field(struct spec_reader *r, const json_t *v, unsigned depth, struct field *f)
{
    f->id = r->spec->n_fields++;
    if (f->id >= SPEC_FIELDS_MAX)
        return spec_read_refuse(r, "more than %d fields", SPEC_FIELDS_MAX);
    int err = set_path(r, f);
    if (err)
        return err;
    f->source.strip = true;
    if (json_is_string(v)) {
        err = set_shorthand(r, v, &f->source);
        f->type = natural_type(&f->source);
    } else if (json_is_object(v)) {
        err = compile_object(r, v, depth, f);
    } else {
        err = spec_read_refuse_type(r, "a string or an object", v);
    }
    f->column = f->list || f->fields ? COL_JSON : value_column(f->type);
    return err;
}

static int check_name(struct spec_reader *r, const char *name)
{
    if (!name[0])
        return spec_read_refuse(r, "a field without a name");
    if (strlen(name) > SPEC_NAME_BYTES_MAX)
        return spec_read_refuse(r, "the name is longer than %d bytes", SPEC_NAME_BYTES_MAX);
    return ERR_OK;
}

static int compile_fields(struct spec_reader *r, const json_t *v, unsigned depth,
                          const struct field **ret, size_t *ret_n)
{
    size_t n = json_object_size(v), i = 0;
    if (!json_is_object(v))
        return spec_read_refuse_type(r, "an object of fields", v);
    if (n == 0)
        return spec_read_refuse(r, "there are no fields");
    if (n > SPEC_FIELDS_MAX)
        return spec_read_refuse(r, "more than %d fields", SPEC_FIELDS_MAX);
    if (depth > SPEC_DEPTH_MAX)
        return spec_read_refuse(r, "fields nested deeper than %d", SPEC_DEPTH_MAX);
    struct field *fields = spec_read_alloc(r, n, sizeof *fields);
    if (!fields)
        return spec_read_no_memory(r);
    json_t *object = (json_t *)(uintptr_t)v; /* the iterator only reads */
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it), i++) {
        size_t mark = spec_read_push(r, json_object_iter_key(it));
        int err = check_name(r, json_object_iter_key(it));
        fields[i].name =
            arena_strndup(r->arena, json_object_iter_key(it), strlen(json_object_iter_key(it)));
        if (!err && !fields[i].name)
            err = spec_read_no_memory(r);
        if (!err)
            err = compile_field(r, json_object_iter_value(it), depth, &fields[i]);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    *ret = fields;
    *ret_n = n;
    return ERR_OK;
}

int spec_field_compile_all(struct spec_reader *r, const json_t *v)
{
    json_t *standard =
        v ? NULL
          : json_pack("{s:s,s:s,s:s}", "url", "@url", "status", "@status", "title", "title::text");
    if (!v && !standard)
        return spec_read_no_memory(r);
    size_t mark = spec_read_push(r, "extract");
    int err = compile_fields(r, v ? v : standard, 1, &r->spec->fields, &r->spec->n_top_fields);
    json_decref(standard);
    if (!err)
        spec_read_pop(r, mark);
    r->spec->n_columns = r->spec->n_top_fields;
    return err;
}

int spec_field_set_rows(struct spec_reader *r, const char *name)
{
    struct scrape_spec *s = r->spec;
    for (size_t i = 0; i < s->n_top_fields; i++)
        if (strcmp(s->fields[i].name, name) == 0)
            s->rows = &s->fields[i];
    if (!s->rows)
        return spec_read_refuse(r, "there is no field \"%.60s\" in extract", name);
    if (!s->rows->list)
        return spec_read_refuse(r, "the field \"%.60s\" is not a list", name);
    if (s->rows->source.kind != SOURCE_CSS || !s->rows->source.css)
        return spec_read_refuse(r, "the field \"%.60s\" has no css of its own", name);
    if (s->rows->has_default)
        return spec_read_refuse(r, "the field \"%.60s\" has a default", name);
    for (size_t i = 0; i < s->rows->n_fields; i++)
        for (size_t k = 0; k < s->n_top_fields; k++)
            if (&s->fields[k] != s->rows && strcmp(s->fields[k].name, s->rows->fields[i].name) == 0)
                return spec_read_refuse(
                    r,
                    "\"%.60s\" is the name of two columns: one in extract, one in its "
                    "\"%.60s\"",
                    s->fields[k].name, name);
    for (size_t i = 0; i < s->rows->n_fields; i++) { /* as columns they are counted by their name */
        struct field *column = (struct field *)(uintptr_t)&s->rows->fields[i];
        int err = set_stat(r, "fill", column->name, &column->stat_fill);
        if (err)
            return err;
    }
    s->n_columns = s->n_top_fields - 1 + MAX(s->rows->n_fields, (size_t)1);
    return ERR_OK;
}
