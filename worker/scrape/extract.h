/*
 * extract.h: a fetched page becomes rows, counts, rejects and links. Decodes, parses, runs the
 * spec's fields, finds the links. It does no I/O and never fails a task over what a page contains.
 *
 * Thread rule: a context belongs to one thread (one per loop); specs are shared.
 */
#ifndef DROVER_EXTRACT_H
#define DROVER_EXTRACT_H

#include "common/err.h"
#include "spec.h"

struct output;
struct extract_ctx; /* document, parser, caches of compiled selectors, scratch memory */

struct extract_header {
    struct span name, value; /* name in any case */
};

struct extract_page {
    struct span url;           /* final, canonical */
    struct span requested_url; /* as in the task, canonical */
    int status;
    struct span content_type; /* the header's value; empty when there was none */
    const struct extract_header *headers;
    size_t n_headers;
    int64_t fetched_at_us; /* microseconds since 1970, UTC */
    struct span body;      /* decompressed; need not be NUL-terminated, not written to */
    uint32_t depth;        /* of requested_url; links get depth + 1 */
    const struct span *robots_sitemaps; /* Sitemap lines of the host's robots.txt; may be NULL */
    size_t n_robots_sitemaps;
};

/* NULL: no memory. */
struct extract_ctx *extract_ctx_new(void) MUST_CHECK;
void extract_ctx_free(struct extract_ctx *x);

/* Appends the page's rows, stats, rejects and found links to out. A sitemap (when the spec reads
 * them) gives links alone. Returns OK, or NOMEM (then out may hold part of the page). */
int extract_run(struct extract_ctx *x, const struct scrape_spec *s, const struct extract_page *page,
                struct output *out) MUST_CHECK;

/* Whether a redirect from one canonical URL to another stays inside what the spec follows (always,
 * when it does not follow): same host or the domains, and not denied. */
bool extract_in_scope(struct extract_ctx *x, const struct scrape_spec *s, struct span from_url,
                      struct span to_url);

#endif
