/*
 * links.h: which URLs of a page are followed. Each one that is not followed is counted with the
 * reason; a page's URLs are made canonical and each is handed out once.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_LINKS_H
#define DROVER_LINKS_H

#include <lexbor/dom/dom.h>

#include "pattern.h"
#include "select.h"
#include "spec.h"
#include "url.h"

struct output;
struct links;

enum { LINKS_PER_PAGE_MAX = 10000, LINKS_PER_SITEMAP_MAX = 50000 /* sitemaps.org's own limit */ };

/* Where a link was found. */
struct links_page {
    const struct scrape_spec *spec;
    struct span url,
        requested_url; /* canonical; a link to the host of either is of the same host */
    uint32_t depth;
    uint32_t links_max;
};

struct links *links_new(struct url_ctx *url,
                        struct pattern_run *patterns) MUST_CHECK; /* borrowed */
void links_free(struct links *l);

/* Begins a page: forgets the URLs seen. The base of url_ctx must be set by the caller. */
void links_begin(struct links *l, const struct links_page *page);

/* The links of a document that the spec's "follow" selects. */
void links_of_document(struct links *l, lxb_dom_node_t *document, lxb_dom_node_t *head,
                       struct select_run *run, struct output *out);

/* One URL: handed to out when it may be followed. With any_place the host and expressions are not
 * asked (a sitemap, which is read but makes no row). */
void links_add(struct links *l, struct span reference, uint32_t depth, bool any_place,
               struct output *out);

/* Ends a page: adds the counts of what became of its links. */
void links_end(struct links *l, struct output *out);

/* Whether to, both canonical, is on a host that a crawl from the page's may visit. */
bool links_same_place(const struct links_page *page, struct span to);

/* Whether the expressions let the canonical URL through. */
bool links_allowed(struct links *l, const struct scrape_spec *s, struct span url);

#endif
