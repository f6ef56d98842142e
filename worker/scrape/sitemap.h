/*
 * sitemap.h: reads sitemaps (https://www.sitemaps.org/protocol.html): a list of URLs or an index of
 * further sitemaps in XML, or URLs as lines of text. Not an XML parser: it looks for <loc> elements
 * in one pass, expands nothing but the five named entities and character references, and builds no
 * tree, so nesting and document type declarations cost nothing.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SITEMAP_H
#define DROVER_SITEMAP_H

#include "common/base.h"

enum sitemap_kind { SITEMAP_NONE, SITEMAP_URLS, SITEMAP_INDEX, SITEMAP_TEXT };

enum { SITEMAP_LOC_BYTES_MAX = 8192 }; /* a longer one is left out, like a URL anywhere else */

/* What text (UTF-8) is. Text counts as a sitemap only when plain_text says that the server calls it
 * text/plain and its first line is an http(s) URL. */
enum sitemap_kind sitemap_detect(struct span text, bool plain_text);

/* Calls found for each URL until it returns false. loc lives during the call. */
void sitemap_each(struct span text, enum sitemap_kind kind,
                  bool (*found)(struct span loc, void *user), void *user);

#endif
