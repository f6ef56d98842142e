#include "extract.h"

#include <strings.h>

#include "common/reason.h"
#include "charset.h"
#include "extract_internal.h"
#include "sitemap.h"
#include "worker/output.h"

enum {
    KEEP_BYTES = 1024 * 1024, /* what a buffer may keep between pages */
    TEXT_BUFFER_MAX = 64 * 1024 * 1024,
    SCRIPT_PAGE_TEXT_BYTES = 256,   /* a page of scripts with less text than this needs them */
    SCRIPT_NOTICE_TEXT_BYTES = 1024 /* likewise, when its <noscript> speaks of JavaScript */
};

struct extract_ctx *extract_ctx_new(void)
{
    struct extract_ctx *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    buf_init(&x->text, TEXT_BUFFER_MAX);
    buf_init(&x->scratch, TEXT_BUFFER_MAX);
    buf_init(&x->joined, EXTRACT_TEXT_BYTES_MAX);
    buf_init(&x->json, EXTRACT_JSON_BYTES_MAX);
    buf_init(&x->parsed, EXTRACT_JSON_BYTES_MAX);
    x->html = html_new();
    x->charset = charset_ctx_new();
    x->url = url_ctx_new();
    x->patterns = pattern_run_new();
    x->links = x->url && x->patterns ? links_new(x->url, x->patterns) : NULL;
    if (!x->html || !x->charset || !x->links) {
        extract_ctx_free(x);
        return NULL;
    }
    return x;
}

void extract_ctx_free(struct extract_ctx *x)
{
    if (!x)
        return;
    extract_field_page_end(x);
    links_free(x->links);
    pattern_run_free(x->patterns);
    url_ctx_free(x->url);
    charset_ctx_free(x->charset);
    html_free(x->html);
    buf_done(&x->text);
    buf_done(&x->joined);
    buf_done(&x->json);
    buf_done(&x->parsed);
    buf_done(&x->scratch);
    select_index_done(&x->index);
    free(x->counts);
    free(x);
}

static void trim(struct buf *b)
{
    size_t limit = b->limit_bytes;
    if (b->cap <= KEEP_BYTES)
        return;
    buf_done(b);
    buf_init(b, limit);
}

static bool counts_ready(struct extract_ctx *x)
{
    size_t n = x->spec->n_fields;
    if (n > x->n_counts) {
        struct field_count *more = realloc(x->counts, n * sizeof *more);
        if (!more)
            return false;
        x->counts = more;
        x->n_counts = n;
    }
    memset(x->counts, 0, n * sizeof *x->counts);
    return true;
}

/* ---- pages that are made by scripts ---- */

static bool mentions_javascript(struct span text)
{
    static const char word[] = "javascript";
    for (size_t i = 0; i + sizeof word - 1 <= text.len; i++)
        if (strncasecmp(text.p + i, word, sizeof word - 1) == 0)
            return true;
    return false;
}

static bool needs_javascript(struct extract_ctx *x)
{
    lxb_dom_node_t *body = html_body(x->html);
    bool scripts = false, notice = false;
    for (size_t i = 0; i < x->index.n; i++) {
        scripts |= x->index.entries[i].tag == LXB_TAG_SCRIPT;
        notice |= x->index.entries[i].tag == LXB_TAG_NOSCRIPT;
    }
    if (!scripts)
        return false;
    buf_clear(&x->text);
    if (body)
        html_text(body, true, false, &x->text); /* the text of <noscript> too */
    notice =
        notice && x->text.len < SCRIPT_NOTICE_TEXT_BYTES && mentions_javascript(buf_span(&x->text));
    return notice || x->text.len < SCRIPT_PAGE_TEXT_BYTES;
}

/* Whether the spec asks for something of the page itself, and not only for its URL and status. */
static bool asks_for_content(const struct scrape_spec *s)
{
    for (size_t i = 0; i < s->n_top_fields; i++)
        if (s->fields[i].source.kind <= SOURCE_META || s->fields[i].source.kind == SOURCE_ANY)
            return true;
    return false;
}

/* ---- rows ---- */

/* A field that is the same in each row of a page is worked out for the first one only. */
static void repeat_cell(struct extract_ctx *x, struct batch *b, size_t column)
{
    uint32_t from = b->n_rows - 1;
    if (batch_is_null(b, column, from)) {
        batch_null(b, column);
        return;
    }
    switch (b->columns[column].type) {
    case COL_BOOL:
        batch_bool(b, column, batch_get_bool(b, column, from));
        break;
    case COL_FLOAT64:
        batch_f64(b, column, batch_get_f64(b, column, from));
        break;
    case COL_DECIMAL:
    case COL_TEXT:
    case COL_JSON: {
        struct span text = batch_get_text(b, column, from); /* moves when the column grows */
        buf_clear(&x->scratch);
        buf_append(&x->scratch, text.p, text.len);
        batch_text(b, column, buf_span(&x->scratch));
        break;
    }
    default:
        batch_i64(b, column, batch_get_i64(b, column, from));
    }
}

/* The cells that come from the page as a whole. False: a required one is missing. */
static bool write_page_cells(struct extract_ctx *x, struct batch *b, bool repeat)
{
    const struct scrape_spec *s = x->spec;
    size_t column = 0;
    for (size_t i = 0; i < s->n_top_fields; i++) {
        const struct field *f = &s->fields[i];
        if (f == s->rows) {
            column += MAX(f->n_fields, (size_t)1);
            continue;
        }
        enum field_outcome outcome = FIELD_EMPTY;
        if (repeat) {
            repeat_cell(x, b, column);
            outcome = batch_is_null(b, column, b->n_rows - 1) ? FIELD_EMPTY : FIELD_FILLED;
        } else {
            outcome = extract_field_cell(x, f, html_document(x->html), b, column);
        }
        extract_field_count(x, f, outcome);
        if (outcome == FIELD_MISSING)
            return false;
        column++;
    }
    return true;
}

/* The cells of one element of the rows field. False: a required one is missing. */
static bool write_element_cells(struct extract_ctx *x, lxb_dom_node_t *element, struct batch *b)
{
    const struct scrape_spec *s = x->spec;
    const struct field *rows = s->rows;
    size_t column = (size_t)(rows - s->fields);
    x->counts[rows->id].items++;
    if (rows->n_fields == 0) {
        enum field_outcome outcome = extract_field_element_cell(x, rows, element, b, column);
        extract_field_count(x, rows, outcome);
        return outcome == FIELD_FILLED;
    }
    for (size_t i = 0; i < rows->n_fields; i++) {
        enum field_outcome outcome =
            extract_field_cell(x, &rows->fields[i], element, b, column + i);
        extract_field_count(x, &rows->fields[i], outcome);
        if (outcome == FIELD_MISSING)
            return false;
    }
    return true;
}

static void row_begin(struct extract_ctx *x)
{
    for (size_t i = 0; i < x->spec->n_fields; i++) {
        x->counts[i].filled_before = x->counts[i].filled;
        x->counts[i].items_before = x->counts[i].items;
    }
}

static void row_end(struct extract_ctx *x, struct batch *b)
{
    batch_row_end(b);
    x->rows++;
}

/* Fill rates are those of the rows that came to be. */
static void row_drop(struct extract_ctx *x, struct batch *b)
{
    batch_row_drop(b);
    for (size_t i = 0; i < x->spec->n_fields; i++) {
        x->counts[i].filled = x->counts[i].filled_before;
        x->counts[i].items = x->counts[i].items_before;
    }
}

/* One row for each element; those that lack a required field are counted and left out. */
static enum page_outcome write_rows(struct extract_ctx *x, struct batch *b)
{
    const struct field *rows = x->spec->rows;
    uint32_t max = rows->max ? rows->max : EXTRACT_LIST_MAX;
    lxb_dom_node_t *document = html_document(x->html), *n = NULL;
    bool any = false;
    while (x->rows < max && (n = select_next(&x->run, rows->source.css, document, n))) {
        any = true;
        row_begin(x);
        if (!write_element_cells(x, n, b)) {
            row_drop(x, b);
        } else if (!write_page_cells(x, b, x->rows > 0)) {
            row_drop(x, b);
            return PAGE_MISSING;
        } else {
            row_end(x, b);
        }
    }
    if (x->rows > 0)
        return PAGE_ROWS;
    if (needs_javascript(x))
        return PAGE_SCRIPTED;
    if (!any && rows->required)
        extract_field_count(x, rows, FIELD_MISSING);
    return any || rows->required ? PAGE_MISSING : PAGE_NO_ROWS;
}

static enum page_outcome write_page(struct extract_ctx *x, struct batch *b)
{
    if (x->spec->rows)
        return write_rows(x, b);
    row_begin(x);
    bool complete = write_page_cells(x, b, false);
    bool scripted = x->content == 0 && asks_for_content(x->spec) && needs_javascript(x);
    if (complete && !scripted) {
        row_end(x, b);
        return PAGE_ROWS;
    }
    row_drop(x, b);
    return scripted ? PAGE_SCRIPTED : PAGE_MISSING;
}

/* ---- links ---- */

/* The base of relative URLs: the first <base href>, itself relative to the page. */
static void set_base(struct extract_ctx *x)
{
    lxb_dom_node_t *head = html_head(x->html);
    struct span base;
    (void)url_base_set(x->url, x->page->url);
    for (lxb_dom_node_t *n = head ? head->first_child : NULL; n; n = n->next) {
        if (n->type != LXB_DOM_NODE_TYPE_ELEMENT || n->local_name != LXB_TAG_BASE)
            continue;
        struct span href = select_attribute(n, SPAN("href"));
        if (!href.p)
            continue;
        buf_clear(&x->text);
        if (url_resolve(x->url, href, false, &base))
            buf_append(&x->text, base.p, base.len);
        if (x->text.len > 0 && !url_base_set(x->url, buf_span(&x->text)))
            (void)url_base_set(x->url, x->page->url);
        return;
    }
}

static void links_page_begin(struct extract_ctx *x, uint32_t links_max)
{
    const struct links_page where = {.spec = x->spec,
                                     .url = x->page->url,
                                     .requested_url = x->page->requested_url,
                                     .depth = x->page->depth,
                                     .links_max = links_max};
    links_begin(x->links, &where);
}

/* A start page names the sitemaps: those of the spec, else of robots.txt, else the usual place. */
static void add_sitemaps(struct extract_ctx *x, struct output *out)
{
    const struct spec_follow *f = &x->spec->follow;
    if (!f->sitemap || x->page->depth > 0)
        return;
    if (f->sitemap_urls) {
        for (size_t i = 0; f->sitemap_urls[i]; i++)
            links_add(x->links, span_str(f->sitemap_urls[i]), 0, true, out);
        return;
    }
    for (size_t i = 0; i < x->page->n_robots_sitemaps; i++)
        links_add(x->links, x->page->robots_sitemaps[i], 0, true, out);
    if (x->page->n_robots_sitemaps == 0)
        links_add(x->links, SPAN("/sitemap.xml"), 0, true, out);
}

static void follow(struct extract_ctx *x, struct output *out)
{
    if (!x->spec->follow.enabled)
        return;
    links_page_begin(x, LINKS_PER_PAGE_MAX);
    if (x->page->depth < x->spec->follow.depth_max)
        links_of_document(x->links, html_document(x->html), html_head(x->html), &x->run, out);
    else
        output_stat(out, "pages_at_depth_limit", 1);
    (void)url_base_set(x->url, x->page->url); /* <base> does not move the sitemaps */
    add_sitemaps(x, out);
    links_end(x->links, out);
}

struct sitemap_walk {
    struct extract_ctx *x;
    struct output *out;
    bool index;
};

static bool on_sitemap_url(struct span loc, void *user)
{
    struct sitemap_walk *w = user;
    links_add(w->x->links, loc, w->x->page->depth + 1, w->index, w->out);
    return !w->out->failed;
}

/* True: the page was a sitemap. */
static bool read_sitemap(struct extract_ctx *x, struct span text, struct output *out)
{
    struct span type = x->page->content_type;
    bool plain = type.len >= 10 && strncasecmp(type.p, "text/plain", 10) == 0;
    enum sitemap_kind kind = x->spec->follow.sitemap ? sitemap_detect(text, plain) : SITEMAP_NONE;
    if (kind == SITEMAP_NONE)
        return false;
    struct sitemap_walk w = {x, out, kind == SITEMAP_INDEX};
    (void)url_base_set(x->url, x->page->url);
    links_page_begin(x, LINKS_PER_SITEMAP_MAX);
    sitemap_each(text, kind, on_sitemap_url, &w);
    links_end(x->links, out);
    output_stat(out, "sitemaps", 1);
    return true;
}

/* ---- counts ---- */

static void add_stat(struct output *out, const char *name, int64_t n)
{
    if (n > 0)
        output_stat(out, name, n);
}

static void field_stats(struct extract_ctx *x, const struct field *fields, size_t n, bool columns,
                        struct output *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        const struct field_count *c = &x->counts[f->id];
        if (columns && x->rows > 0 && (f != x->spec->rows || f->n_fields == 0))
            output_stat(out, f->stat_fill, c->filled); /* also 0: an empty column must be seen */
        else if (f != x->spec->rows)
            add_stat(out, f->stat_fill, c->filled);
        add_stat(out, f->stat_bad, c->bad);
        add_stat(out, f->stat_missing, c->missing);
        add_stat(out, f->stat_items, c->items);
        if (f->n_fields > 0)
            field_stats(x, f->fields, f->n_fields, f == x->spec->rows, out);
    }
}

static void page_stats(struct extract_ctx *x, struct output *out)
{
    field_stats(x, x->spec->fields, x->spec->n_top_fields, true, out);
    add_stat(out, "rows", x->rows);
    add_stat(out, "html_truncated", html_truncated(x->html));
    add_stat(out, "selector_limit", x->run.steps_left == 0);
    add_stat(out, "regex_limit", x->regex_limit);
    add_stat(out, "values_cut", x->value_cut);
    add_stat(out, "jsonld_errors", x->jsonld_errors);
}

/* ---- a page ---- */

static void run_document(struct extract_ctx *x, struct output *out)
{
    set_base(x);
    switch (write_page(x, out->rows)) {
    case PAGE_SCRIPTED:
        output_reject(out, x->page->requested_url, REASON_NEEDS_JAVASCRIPT, NULL);
        break;
    case PAGE_MISSING:
        output_reject(out, x->page->requested_url, REASON_MISSING_FIELD,
                      x->missing ? x->missing->path : NULL);
        break;
    case PAGE_NO_ROWS:
        output_stat(out, "pages_without_rows", 1);
        break;
    case PAGE_ROWS:
        break;
    }
    follow(x, out);
}

static void page_begin(struct extract_ctx *x, const struct scrape_spec *s,
                       const struct extract_page *page)
{
    x->spec = s;
    x->page = page;
    x->run = (struct select_run){.steps_left = EXTRACT_STEPS_MAX,
                                 .index = &x->index,
                                 .scratch = &x->scratch};
    x->rows = x->content = x->jsonld_errors = 0;
    x->regex_limit = x->value_cut = false;
    x->missing = NULL;
}

static void page_end(struct extract_ctx *x)
{
    extract_field_page_end(x);
    charset_ctx_trim(x->charset, KEEP_BYTES);
    trim(&x->text);
    trim(&x->joined);
    trim(&x->json);
    trim(&x->parsed);
    trim(&x->scratch);
    if (x->index.cap * sizeof *x->index.entries > KEEP_BYTES)
        select_index_done(&x->index);
}

int extract_run(struct extract_ctx *x, const struct scrape_spec *s, const struct extract_page *page,
                struct output *out)
{
    struct span text;
    page_begin(x, s, page);
    bool ok = counts_ready(x) && charset_decode(x->charset, page->body, page->content_type, &text);
    if (ok && value_strip(text).len == 0)
        output_reject(out, page->requested_url, REASON_EMPTY_BODY, NULL);
    else if (ok && !read_sitemap(x, text, out)) {
        ok = html_parse(x->html, text) && select_index_fill(&x->index, html_document(x->html));
        if (ok) {
            run_document(x, out);
            page_stats(x, out);
        }
    }
    page_end(x);
    return ok && !out->failed && batch_ok(out->rows) ? ERR_OK : ERR_NOMEM;
}

bool extract_in_scope(struct extract_ctx *x, const struct scrape_spec *s, struct span from_url,
                      struct span to_url)
{
    const struct links_page where = {.spec = s, .url = from_url, .requested_url = from_url};
    return !s->follow.enabled ||
           (links_same_place(&where, to_url) && links_allowed(x->links, s, to_url));
}
