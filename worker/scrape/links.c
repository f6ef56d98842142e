#include "links.h"

#include <strings.h>

#include "common/hash.h"
#include "html.h"
#include "worker/output.h"

enum { SET_START = 1024 };

/* What became of each link; the names are those of the counters. */
#define LINK_FATES(X)                                                                              \
    X(FOLLOWED, "links")                                                                           \
    X(INVALID, "links_invalid")                                                                    \
    X(NOT_HTTP, "links_not_http")                                                                  \
    X(OFF_HOST, "links_off_host")                                                                  \
    X(EXTENSION, "links_extension")                                                                \
    X(DENIED, "links_denied")                                                                      \
    X(NOFOLLOW, "links_nofollow")                                                                  \
    X(TOO_DEEP, "links_too_deep")                                                                  \
    X(OVER_LIMIT, "links_over_limit")

enum fate {
#define FATE_ENUM(name, counter) FATE_##name,
    LINK_FATES(FATE_ENUM)
#undef FATE_ENUM
        N_FATES
};

static const char *const fate_counters[] = {
#define FATE_COUNTER(name, counter) counter,
    LINK_FATES(FATE_COUNTER)
#undef FATE_COUNTER
};

struct links {
    struct url_ctx *url;
    struct pattern_run *patterns;
    struct links_page page;
    uint64_t *set; /* hashes of the canonical URLs seen in this page; 0: free */
    size_t cap, n;
    uint32_t counts[N_FATES];
};

struct links *links_new(struct url_ctx *url, struct pattern_run *patterns)
{
    struct links *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->url = url;
    l->patterns = patterns;
    l->cap = SET_START;
    l->set = calloc(l->cap, sizeof *l->set);
    if (!l->set) {
        links_free(l);
        return NULL;
    }
    return l;
}

void links_free(struct links *l)
{
    if (!l)
        return;
    free(l->set);
    free(l);
}

void links_begin(struct links *l, const struct links_page *page)
{
    l->page = *page;
    memset(l->counts, 0, sizeof l->counts);
    if (l->cap > 16 * SET_START) { /* after a huge page */
        uint64_t *small = calloc(SET_START, sizeof *small);
        if (small) {
            free(l->set);
            l->set = small;
            l->cap = SET_START;
            l->n = 0;
            return;
        }
    }
    if (l->n > 0)
        memset(l->set, 0, l->cap * sizeof *l->set);
    l->n = 0;
}

static bool set_insert(uint64_t *set, size_t cap, uint64_t hash)
{
    size_t i = hash & (cap - 1);
    for (; set[i]; i = (i + 1) & (cap - 1))
        if (set[i] == hash)
            return false;
    set[i] = hash;
    return true;
}

static bool grow(struct links *l)
{
    uint64_t *set = calloc(l->cap * 2, sizeof *set);
    if (!set)
        return false;
    for (size_t i = 0; i < l->cap; i++)
        if (l->set[i])
            (void)set_insert(set, l->cap * 2, l->set[i]);
    free(l->set);
    l->set = set;
    l->cap *= 2;
    return true;
}

/* False: it was there. Without memory for a larger set a URL may be handed out twice: the
 * coordinator de-duplicates all of them anyway. */
static bool first_time(struct links *l, struct span url)
{
    uint64_t hash = hash_64(url.p, url.len, 0) | 1;
    if (l->n * 2 >= l->cap && !grow(l) && l->n + 1 >= l->cap)
        return true;
    bool added = set_insert(l->set, l->cap, hash);
    l->n += added;
    return added;
}

/* ---- where a crawl may go ---- */

static struct span without_www(struct span host)
{
    return host.len > 4 && memcmp(host.p, "www.", 4) == 0 ? (struct span){host.p + 4, host.len - 4}
                                                          : host;
}

/* The port as text, empty for the default one of the scheme. */
static struct span port_of(struct span url)
{
    struct span host = url_host(url);
    size_t end = url_key_len(url);
    const char *p = host.p + host.len;
    return (struct span){p, end > 0 ? (size_t)(url.p + end - p) : 0};
}

/* "www." and the step from http to https do not make another host; a port does. */
static bool same_host(struct span a, struct span b)
{
    return span_eq(without_www(url_host(a)), without_www(url_host(b))) &&
           span_eq(port_of(a), port_of(b));
}

bool links_same_place(const struct links_page *page, struct span to)
{
    const struct spec_follow *f = &page->spec->follow;
    struct span host = url_host(to);
    if (f->same_host && (same_host(to, page->requested_url) || same_host(to, page->url)))
        return true;
    for (size_t i = 0; f->domains && f->domains[i]; i++)
        if (url_host_in_domain(host, span_str(f->domains[i])))
            return true;
    return !f->same_host && !f->domains;
}

bool links_allowed(struct links *l, const struct scrape_spec *s, struct span url)
{
    struct span found;
    for (size_t i = 0; s->follow.deny && s->follow.deny[i]; i++)
        if (pattern_find(l->patterns, s->follow.deny[i], url, &found, NULL))
            return false;
    if (!s->follow.allow || !s->follow.allow[0])
        return true;
    for (size_t i = 0; s->follow.allow[i]; i++)
        if (pattern_find(l->patterns, s->follow.allow[i], url, &found, NULL))
            return true;
    return false;
}

/* What browsers show or download rather than open as a page. */
static bool skipped_extension(struct span url)
{
    static const char *const extensions[] = {"7z",   "aac",   "apk", "avi",  "avif", "bin", "bmp",
                                             "bz2",  "css",   "csv", "deb",  "dmg",  "doc", "docx",
                                             "eot",  "epub",  "exe", "flac", "flv",  "gif", "gz",
                                             "ico",  "iso",   "jar", "jpeg", "jpg",  "js",  "json",
                                             "m4a",  "m4v",   "mkv", "mov",  "mp3",  "mp4", "mpeg",
                                             "mpg",  "msi",   "odp", "ods",  "odt",  "ogg", "ogv",
                                             "otf",  "pdf",   "png", "ppt",  "pptx", "ps",  "rar",
                                             "rpm",  "rss",   "svg", "swf",  "tar",  "tgz", "tif",
                                             "tiff", "ttf",   "wav", "webm", "webp", "wma", "wmv",
                                             "woff", "woff2", "xls", "xlsx", "xz",   "zip", "zst"};
    struct span path = url_path_and_query(url);
    const char *query = memchr(path.p, '?', path.len);
    const char *end = query ? query : path.p + path.len, *dot = end;
    while (dot > path.p && dot[-1] != '.' && dot[-1] != '/' && end - dot < 6)
        dot--;
    if (dot == path.p || dot[-1] != '.')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        if (strlen(extensions[i]) == (size_t)(end - dot) &&
            strncasecmp(extensions[i], dot, (size_t)(end - dot)) == 0)
            return true;
    return false;
}

/* ---- one link ---- */

static enum fate fate_of(struct links *l, struct span url, uint32_t depth, bool any_place)
{
    const struct scrape_spec *s = l->page.spec;
    if (!any_place) {
        if (!links_same_place(&l->page, url))
            return FATE_OFF_HOST;
        if (s->follow.skip_extensions && skipped_extension(url))
            return FATE_EXTENSION;
        if (!links_allowed(l, s, url))
            return FATE_DENIED;
    }
    if (depth > s->follow.depth_max)
        return FATE_TOO_DEEP;
    return l->counts[FATE_FOLLOWED] < l->page.links_max ? FATE_FOLLOWED : FATE_OVER_LIMIT;
}

void links_add(struct links *l, struct span reference, uint32_t depth, bool any_place,
               struct output *out)
{
    struct span url;
    size_t key_len;
    if (!url_resolve(l->url, reference, false, &url)) {
        l->counts[FATE_INVALID]++;
        return;
    }
    if (url_key_len(url) == 0) { /* mailto:, javascript:, tel: ... */
        l->counts[FATE_NOT_HTTP]++;
        return;
    }
    if (memchr(url.p, '@', url_key_len(url)) && url_canonical(l->url, url, &url, &key_len, NULL)) {
        l->counts[FATE_INVALID]++;
        return;
    }
    if (!first_time(l, url))
        return; /* a link to a page that is linked already is nothing lost */
    enum fate fate = fate_of(l, url, depth, any_place);
    l->counts[fate]++;
    if (fate == FATE_FOLLOWED)
        output_found(out, url, depth);
}

void links_end(struct links *l, struct output *out)
{
    for (size_t i = 0; i < N_FATES; i++)
        if (l->counts[i] > 0)
            output_stat(out, fate_counters[i], l->counts[i]);
}

/* ---- the links of a document ---- */

static bool has_word(struct span list, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= list.len; i++) {
        bool starts = i == 0 || strchr(" ,\t\n\f\r", list.p[i - 1]);
        bool ends = i + n == list.len || strchr(" ,\t\n\f\r", list.p[i + n]);
        if (starts && ends && strncasecmp(list.p + i, word, n) == 0)
            return true;
    }
    return false;
}

/* <meta name="robots" content="nofollow"> or "none" */
static bool page_says_nofollow(lxb_dom_node_t *head)
{
    for (lxb_dom_node_t *n = head ? head->first_child : NULL; n; n = n->next) {
        if (n->type != LXB_DOM_NODE_TYPE_ELEMENT || n->local_name != LXB_TAG_META)
            continue;
        struct span name = select_attribute(n, SPAN("name")),
                    content = select_attribute(n, SPAN("content"));
        if (name.p && content.p && (has_word(name, "robots") || has_word(name, "drover")) &&
            (has_word(content, "nofollow") || has_word(content, "none")))
            return true;
    }
    return false;
}

/* The element's reference: href, or src of a frame. */
static struct span reference_of(lxb_dom_node_t *n)
{
    struct span href = select_attribute(n, SPAN("href"));
    return href.p ? href : select_attribute(n, SPAN("src"));
}

void links_of_document(struct links *l, lxb_dom_node_t *document, lxb_dom_node_t *head,
                       struct select_run *run, struct output *out)
{
    const struct spec_follow *f = &l->page.spec->follow;
    if (f->nofollow && page_says_nofollow(head)) {
        output_stat(out, "pages_nofollow", 1);
        return;
    }
    for (size_t i = 0; f->selectors[i]; i++) {
        lxb_dom_node_t *n = NULL;
        while ((n = select_next(run, f->selectors[i], document, n))) {
            struct span reference = reference_of(n);
            if (!reference.p)
                continue;
            if (f->nofollow && has_word(select_attribute(n, SPAN("rel")), "nofollow"))
                l->counts[FATE_NOFOLLOW]++;
            else
                links_add(l, reference, l->page.depth + 1, false, out);
        }
    }
}
