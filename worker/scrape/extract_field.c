/* extract_field.c: runs one field of a spec over a page. */
#include "extract_internal.h"

#include <stdio.h>
#include <strings.h>

#include "path.h"
#include "text_lower.h"
#include "value_date.h"

/* One place that a source names: an element, a JSON value, or a text. */
struct item {
    lxb_dom_node_t *node;
    const json_t *json;
    struct span text;
};

/* Going through the items of a source. With all, each one; else the one that index names. */
struct visit {
    struct extract_ctx *x;
    const struct source *source;
    bool all, counting, stop;
    int64_t want, seen;
    uint32_t taken;
    /* Returns whether it could use the text. */
    bool (*use)(struct visit *v, struct span text, const struct source *from, const json_t *json);
    const struct field *field;
    struct value *value;        /* of use_scalar */
    struct buf *out;            /* of use_list */
    const struct source *outer; /* the SOURCE_ANY whose alternative this is, or NULL */
};

/* ---- what a page has once ---- */

static void list_jsonld(struct extract_ctx *x, lxb_dom_node_t *script)
{
    static const char type[] = "application/ld+json";
    struct span have = select_attribute(script, SPAN("type"));
    if (!have.p || have.len < sizeof type - 1 || strncasecmp(have.p, type, sizeof type - 1) != 0 ||
        x->n_jsonld == EXTRACT_JSONLD_SCRIPTS_MAX)
        return;
    buf_clear(&x->text);
    html_text(script, false, true, &x->text);
    struct span text = value_strip(buf_span(&x->text));
    json_t *v = NULL;
    if (buf_ok(&x->text) && text.len <= EXTRACT_JSONLD_BYTES_MAX)
        v = json_loadb(text.p, text.len, 0, NULL);
    if (v)
        x->jsonld[x->n_jsonld++] = v;
    else
        x->jsonld_errors++;
}

static void list_page(struct extract_ctx *x)
{
    if (x->listed)
        return;
    x->listed = true;
    for (size_t i = 0; i < x->index.n; i++) {
        const struct select_entry *e = &x->index.entries[i];
        if (e->tag == LXB_TAG_SCRIPT)
            list_jsonld(x, e->node);
        else if (e->tag == LXB_TAG_META && x->n_meta < EXTRACT_META_MAX)
            x->meta[x->n_meta++] = e->node;
    }
}

void extract_field_page_end(struct extract_ctx *x)
{
    for (size_t i = 0; i < x->n_jsonld; i++)
        json_decref(x->jsonld[i]);
    x->n_jsonld = x->n_meta = 0;
    x->listed = false;
}

/* ---- the text of an item ---- */

static struct span json_text(struct extract_ctx *x, const json_t *v)
{
    if (json_is_string(v))
        return (struct span){json_string_value(v), json_string_length(v)};
    if (json_is_integer(v))
        buf_printf(&x->text, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_printf(&x->text, "%.15g", json_real_value(v));
    else if (json_is_boolean(v))
        buf_str(&x->text, json_is_true(v) ? "true" : "false");
    else if (!json_is_null(v)) {
        char *dumped = json_dumps(v, JSON_COMPACT);
        buf_str(&x->text, dumped ? dumped : "");
        free(dumped);
    }
    return buf_span(&x->text);
}

static struct span element_text(struct extract_ctx *x, const struct source *s, lxb_dom_node_t *n)
{
    switch (s->part) {
    case PART_ATTR:
        return select_attribute(n, s->name);
    case PART_HTML:
    case PART_INNER_HTML:
        html_serialize(n, s->part == PART_INNER_HTML, &x->text);
        break;
    default:
        html_text(n, s->strip, s->part == PART_OWN_TEXT, &x->text);
    }
    return buf_span(&x->text);
}

/* Cut between characters. A buffer that ran full holds a beginning, which counts. */
static struct span cut(struct extract_ctx *x, struct span s)
{
    if (!buf_ok(&x->text)) {
        x->text.failed = false;
        x->value_cut = true;
    }
    if (s.len <= EXTRACT_TEXT_BYTES_MAX)
        return s;
    x->value_cut = true;
    s.len = EXTRACT_TEXT_BYTES_MAX;
    while (s.len > 0 && ((unsigned char)s.p[s.len] & 0xC0) == 0x80)
        s.len--;
    return s;
}

/* strip, regex and lower. False: the regex does not match. */
static bool refine(struct extract_ctx *x, const struct source *s, struct span *text)
{
    if (s->strip)
        *text = value_strip(*text);
    if (s->regex) {
        if (!pattern_find(x->patterns, s->regex, *text, text, &x->regex_limit))
            return false;
        if (s->strip)
            *text = value_strip(*text);
    }
    if (s->lower) {
        char *own = (char *)x->text.data;
        if (!own || text->p < own || text->p > own + x->text.len) {
            buf_clear(&x->text);
            buf_append(&x->text, text->p, text->len);
            if (!buf_ok(&x->text))
                return false;
            *text = buf_span(&x->text);
        }
        text_lower((char *)(uintptr_t)text->p, text->len);
    }
    return true;
}

/* ---- the items of a source ---- */

/* False: no further item is wanted. */
static bool visit_item(struct visit *v, struct item item)
{
    int64_t i = v->seen++;
    if (v->counting || (!v->all && i != v->want))
        return true;
    struct extract_ctx *x = v->x;
    buf_clear(&x->text);
    struct span text = item.node   ? element_text(x, v->source, item.node)
                       : item.json ? json_text(x, item.json)
                                   : item.text;
    text = cut(x, text);
    bool ok = refine(x, v->source, &text) && (!v->outer || refine(x, v->outer, &text));
    if (ok && v->use(v, text, v->source, item.json))
        v->taken++;
    return v->all && !v->stop;
}

static void visit_elements(struct visit *v, lxb_dom_node_t *scope)
{
    const struct source *s = v->source;
    bool needs = s->part == PART_ATTR;
    if (!s->css) {
        if (scope->type == LXB_DOM_NODE_TYPE_ELEMENT &&
            (!needs || select_attribute(scope, s->name).p))
            (void)visit_item(v, (struct item){.node = scope});
        return;
    }
    lxb_dom_node_t *n = NULL;
    while ((n = select_next(&v->x->run, s->css, scope, n)))
        if ((!needs || select_attribute(n, s->name).p) && !visit_item(v, (struct item){.node = n}))
            return;
}

/* A list in the data counts as its elements, unless the field is JSON itself. */
static bool visit_json(const json_t *found, void *user)
{
    struct visit *v = user;
    if (!json_is_array(found) || v->field->type == VALUE_JSON)
        return json_is_null(found) || visit_item(v, (struct item){.json = found});
    for (size_t i = 0; i < json_array_size(found); i++)
        if (!visit_json(json_array_get(found, i), v))
            return false;
    return true;
}

/* Each script, and of a list or an "@graph" each entry, is a root of its own. */
static void visit_jsonld(struct visit *v)
{
    struct extract_ctx *x = v->x;
    list_page(x);
    for (size_t i = 0; i < x->n_jsonld && !v->stop; i++) {
        const json_t *root = x->jsonld[i], *graph = json_object_get(root, "@graph");
        const json_t *entries = json_is_array(root) ? root : graph;
        if (!json_is_array(root))
            path_walk(v->source->path, root, visit_json, v);
        for (size_t k = 0; k < json_array_size(entries); k++)
            path_walk(v->source->path, json_array_get(entries, k), visit_json, v);
    }
}

static bool meta_is(lxb_dom_node_t *n, struct span name)
{
    static const char *const keys[] = {"name", "property", "itemprop", "http-equiv"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct span have = select_attribute(n, span_str(keys[i]));
        if (have.p && have.len == name.len && strncasecmp(have.p, name.p, name.len) == 0)
            return true;
    }
    return false;
}

static void visit_meta(struct visit *v)
{
    struct extract_ctx *x = v->x;
    list_page(x);
    for (size_t i = 0; i < x->n_meta; i++) {
        struct span content = select_attribute(x->meta[i], SPAN("content"));
        if (content.p && meta_is(x->meta[i], v->source->name) &&
            !visit_item(v, (struct item){.text = content}))
            return;
    }
}

static void visit_headers(struct visit *v)
{
    const struct extract_page *page = v->x->page;
    for (size_t i = 0; i < page->n_headers; i++) {
        const struct extract_header *h = &page->headers[i];
        bool same = h->name.len == v->source->name.len &&
                    strncasecmp(h->name.p, v->source->name.p, h->name.len) == 0;
        if (same && !visit_item(v, (struct item){.text = h->value}))
            return;
    }
}

static void visit_fact(struct visit *v)
{
    const struct extract_page *page = v->x->page;
    char text[64];
    int n = 0;
    switch (v->source->kind) {
    case SOURCE_URL:
        (void)visit_item(v, (struct item){.text = page->url});
        return;
    case SOURCE_REQUESTED_URL:
        (void)visit_item(v, (struct item){.text = page->requested_url});
        return;
    case SOURCE_STATUS:
        n = snprintf(text, sizeof text, "%d", page->status);
        break;
    case SOURCE_DEPTH:
        n = snprintf(text, sizeof text, "%u", page->depth);
        break;
    default: {
        struct buf *time = &v->x->scratch;
        buf_clear(time);
        value_date_write(page->fetched_at_us, false, time);
        n = snprintf(text, sizeof text, "%.*s", (int)time->len - 2, (const char *)time->data + 1);
    }
    }
    (void)visit_item(v, (struct item){.text = {text, (size_t)n}});
}

static void visit_source(struct visit *v, lxb_dom_node_t *scope)
{
    switch (v->source->kind) {
    case SOURCE_CSS:
        visit_elements(v, scope);
        break;
    case SOURCE_JSONLD:
        visit_jsonld(v);
        break;
    case SOURCE_META:
        visit_meta(v);
        break;
    case SOURCE_HEADER:
        visit_headers(v);
        break;
    default:
        visit_fact(v);
    }
}

/* Goes through one source; a negative index needs the number of items first. */
static void visit_indexed(struct visit *v, lxb_dom_node_t *scope)
{
    v->seen = 0;
    v->want = v->source->index;
    if (!v->all && v->want < 0) {
        v->counting = true;
        visit_source(v, scope);
        v->counting = false;
        v->want += v->seen;
        v->seen = 0;
    }
    if (v->want >= 0)
        visit_source(v, scope);
}

static void visit(struct visit *v, lxb_dom_node_t *scope)
{
    const struct source *s = v->source;
    if (s->kind != SOURCE_ANY) {
        visit_indexed(v, scope);
        return;
    }
    v->outer = s;
    for (size_t i = 0; i < s->n_alternatives && v->taken == 0; i++) {
        v->source = &s->alternatives[i];
        visit_indexed(v, scope);
    }
}

/* ---- texts as values ---- */

static bool parse_json(struct extract_ctx *x, struct span text, const json_t *json,
                       struct value *ret)
{
    json_t *loaded = json ? NULL : json_loadb(text.p, text.len, JSON_DECODE_ANY, NULL);
    char *dumped =
        json || loaded ? json_dumps(json ? json : loaded, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(loaded);
    buf_clear(&x->parsed);
    if (dumped)
        buf_str(&x->parsed, dumped);
    free(dumped);
    *ret = (struct value){.type = VALUE_JSON};
    ret->text = buf_span(&x->parsed);
    return dumped && buf_ok(&x->parsed);
}

/* At most max characters. */
static struct span shorten(struct span s, uint32_t max)
{
    uint32_t n = 0;
    for (size_t i = 0; max && i < s.len; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80 && n++ == max)
            return (struct span){s.p, i};
    return s;
}

static bool parse(struct extract_ctx *x, const struct field *f, struct span text,
                  const struct source *from, const json_t *json, struct value *ret)
{
    bool attr = from->kind == SOURCE_CSS && from->part == PART_ATTR;
    if (f->type == VALUE_BOOL && attr && (text.len == 0 || span_eq(text, from->name)))
        text = SPAN("true"); /* <input checked> */
    if (text.len == 0)
        return false;
    bool ok;
    switch (f->type) {
    case VALUE_URL:
        ret->type = VALUE_URL;
        ok = strncasecmp(text.p, "javascript:", MIN(text.len, (size_t)11)) != 0 &&
             url_resolve(x->url, text, true, &ret->text);
        break;
    case VALUE_JSON:
        ok = parse_json(x, text, json, ret);
        break;
    case VALUE_STR:
        ret->type = VALUE_STR;
        ret->text = f->list || f->join ? text : shorten(text, f->max);
        return true;
    default:
        ok = value_parse(f->type, &f->options, text, ret);
    }
    if (!ok)
        x->counts[f->id].bad++;
    return ok;
}

static bool use_scalar(struct visit *v, struct span text, const struct source *from,
                       const json_t *json)
{
    return parse(v->x, v->field, text, from, json, v->value);
}

static bool use_list(struct visit *v, struct span text, const struct source *from,
                     const json_t *json)
{
    struct value value;
    if (!parse(v->x, v->field, text, from, json, &value))
        return false;
    if (v->field->join) {
        if (v->taken > 0)
            buf_str(v->out, v->field->join);
        buf_append(v->out, value.text.p, value.text.len);
    } else {
        if (v->taken > 0)
            buf_byte(v->out, ',');
        value_write_json(&value, v->out);
    }
    uint32_t max = v->field->max ? v->field->max : EXTRACT_LIST_MAX;
    v->stop = v->taken + 1 >= max;
    return true;
}

/* ---- fields ---- */

static bool from_page(const struct source *s)
{
    return s->kind <= SOURCE_META || s->kind == SOURCE_ANY;
}

void extract_field_count(struct extract_ctx *x, const struct field *f, enum field_outcome outcome)
{
    struct field_count *c = &x->counts[f->id];
    if (outcome == FIELD_FILLED) {
        c->filled++;
        x->content += from_page(&f->source);
    } else if (outcome == FIELD_MISSING) {
        c->missing++;
        x->missing = f;
    }
}

static enum field_outcome nothing(const struct field *f)
{
    return f->required ? FIELD_MISSING : FIELD_EMPTY;
}

/* One value that is not a list; a default counts as empty. */
static enum field_outcome scalar(struct extract_ctx *x, const struct field *f,
                                 lxb_dom_node_t *scope, struct value *value, bool *ret_is_null)
{
    struct visit v = {.x = x, .source = &f->source, .field = f, .use = use_scalar, .value = value};
    if (f->join) {
        buf_clear(&x->joined);
        v.all = true;
        v.use = use_list;
        v.out = &x->joined;
    }
    visit(&v, scope);
    *ret_is_null = false;
    if (v.taken > 0) {
        if (f->join) {
            value->type = VALUE_STR;
            value->text = buf_span(&x->joined);
            x->value_cut |= !buf_ok(&x->joined);
        }
        return FIELD_FILLED;
    }
    *ret_is_null = !f->has_default || !value_parse(f->type, &f->options, f->default_text, value);
    return nothing(f);
}

static enum field_outcome write_json(struct extract_ctx *x, const struct field *f,
                                     lxb_dom_node_t *scope, struct buf *out);

/* {"a": ..., "b": ...} of one element. False: a required field is missing; nothing is written. */
static bool write_object(struct extract_ctx *x, const struct field *f, lxb_dom_node_t *element,
                         struct buf *out)
{
    size_t start = out->len;
    x->counts[f->id].items++;
    for (size_t i = 0; i < f->n_fields; i++) {
        const struct field *sub = &f->fields[i];
        buf_byte(out, i == 0 ? '{' : ',');
        buf_json_str(out, span_str(sub->name));
        buf_byte(out, ':');
        enum field_outcome outcome = write_json(x, sub, element, out);
        extract_field_count(x, sub, outcome);
        if (outcome == FIELD_MISSING) {
            out->len = MIN(start, out->len);
            return false;
        }
    }
    buf_byte(out, '}');
    return true;
}

static enum field_outcome write_nested(struct extract_ctx *x, const struct field *f,
                                       lxb_dom_node_t *scope, struct buf *out)
{
    uint32_t written = 0, max = !f->list ? 1 : f->max ? f->max : EXTRACT_LIST_MAX;
    size_t start = out->len;
    lxb_dom_node_t *n = f->source.css ? NULL : scope;
    if (f->list)
        buf_byte(out, '[');
    if (!f->source.css) {
        written = write_object(x, f, n, out);
    } else {
        while (written < max && (n = select_next(&x->run, f->source.css, scope, n))) {
            size_t before = out->len;
            if (written > 0)
                buf_byte(out, ',');
            if (write_object(x, f, n, out))
                written++;
            else
                out->len = MIN(before, out->len);
        }
    }
    if (f->list)
        buf_byte(out, ']');
    if (written > 0)
        return FIELD_FILLED;
    out->len = MIN(start, out->len);
    buf_str(out, f->list ? "[]" : "null");
    return nothing(f);
}

static enum field_outcome write_list(struct extract_ctx *x, const struct field *f,
                                     lxb_dom_node_t *scope, struct buf *out)
{
    struct visit v = {
        .x = x, .source = &f->source, .field = f, .all = true, .use = use_list, .out = out};
    buf_byte(out, '[');
    visit(&v, scope);
    buf_byte(out, ']');
    x->counts[f->id].items += v.taken;
    return v.taken > 0 ? FIELD_FILLED : nothing(f);
}

static enum field_outcome write_json(struct extract_ctx *x, const struct field *f,
                                     lxb_dom_node_t *scope, struct buf *out)
{
    size_t start = out->len;
    if (f->fields || f->list) {
        enum field_outcome outcome =
            f->fields ? write_nested(x, f, scope, out) : write_list(x, f, scope, out);
        if (outcome != FIELD_FILLED && f->has_default) {
            out->len = MIN(start, out->len);
            buf_append(out, f->default_text.p, f->default_text.len);
        }
        return outcome;
    }
    struct value value;
    bool is_null;
    enum field_outcome outcome = scalar(x, f, scope, &value, &is_null);
    if (is_null)
        buf_str(out, "null");
    else
        value_write_json(&value, out);
    return outcome;
}

static void write_value(const struct value *value, struct batch *b, size_t column)
{
    switch (value->type) {
    case VALUE_BOOL:
        batch_bool(b, column, value->b);
        break;
    case VALUE_INT:
    case VALUE_DATE:
    case VALUE_DATETIME:
        batch_i64(b, column, value->i);
        break;
    case VALUE_FLOAT:
        batch_f64(b, column, value->f);
        break;
    default:
        batch_text(b, column, value->text);
    }
}

enum field_outcome extract_field_cell(struct extract_ctx *x, const struct field *f,
                                      lxb_dom_node_t *scope, struct batch *b, size_t column)
{
    if (f->fields || f->list) {
        buf_clear(&x->json);
        enum field_outcome outcome = write_json(x, f, scope, &x->json);
        if (buf_ok(&x->json)) {
            batch_text(b, column, buf_span(&x->json));
            return outcome;
        }
        x->value_cut = true;
        batch_null(b, column);
        return nothing(f);
    }
    struct value value;
    bool is_null;
    enum field_outcome outcome = scalar(x, f, scope, &value, &is_null);
    if (is_null)
        batch_null(b, column);
    else
        write_value(&value, b, column);
    return outcome;
}

enum field_outcome extract_field_element_cell(struct extract_ctx *x, const struct field *f,
                                              lxb_dom_node_t *element, struct batch *b,
                                              size_t column)
{
    struct value value;
    struct visit v = {.x = x, .source = &f->source, .field = f, .use = use_scalar, .value = &value};
    (void)visit_item(&v, (struct item){.node = element});
    if (v.taken == 0)
        return FIELD_EMPTY;
    write_value(&value, b, column);
    return FIELD_FILLED;
}
