/*
 * robots.h: robots.txt as RFC 9309 has it: parsing for one crawler, and asking about one path.
 *
 * It refuses to fetch, to cache and to wait: loop.c and page.c do that. It reads at most
 * ROBOTS_BYTES_MAX bytes, keeps only the rules of the group that applies, and never fails on bad
 * input: a line that it does not understand is skipped.
 *
 * Thread rule: a struct robots is immutable after robots_parse.
 */
#ifndef DROVER_ROBOTS_H
#define DROVER_ROBOTS_H

#include "common/base.h"

enum {
    ROBOTS_BYTES_MAX = 500 * 1024,    /* RFC 9309, 2.5: at least 500 KiB are to be read */
    ROBOTS_RULES_MAX = 20000,         /* of the group that applies; more are skipped */
    ROBOTS_SITEMAPS_MAX = 100,        /* Sitemap lines kept */
    ROBOTS_DELAY_MAX_MS = 3600 * 1000 /* a longer Crawl-delay is taken as this */
};

struct robots;

/* The product token of a User-Agent value: the leading letters, '-' and '_' ("drover" of
 * "drover/0.1 (+x)"), RFC 9309 2.2.1. Empty when there are none. */
struct span robots_token(struct span user_agent);

/* Parses text for the crawler of that product token. All groups that name it are merged; when none
 * does, those of "*". NULL: no memory. */
struct robots *robots_parse(struct span text, struct span token) MUST_CHECK;

/* What a robots.txt that cannot be had means: 4xx allows everything, 5xx forbids everything. */
struct robots *robots_all(bool allowed) MUST_CHECK;
void robots_free(struct robots *r);

/* Whether the crawler may ask for this path with its query ("/a/b?c"; percent-encoded as in the
 * canonical URL). The longest matching rule wins, Allow before Disallow at equal length; no rule
 * allows; "/robots.txt" is always allowed. */
bool robots_allowed(const struct robots *r, struct span path);

uint32_t robots_delay_ms(const struct robots *r); /* Crawl-delay of the group; 0: none */
size_t robots_sitemaps(const struct robots *r);   /* how many Sitemap lines there were */
const char *robots_sitemap(const struct robots *r, size_t i);
size_t robots_bytes(const struct robots *r); /* memory held */

#endif
