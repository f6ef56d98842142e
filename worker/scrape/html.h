/*
 * html.h: a page's document, parsed by lexbor into memory that is used again for the next page, and
 * the texts of its elements. Limits keep hostile pages cheap: lexbor alone takes seconds for 40,000
 * nested elements and for 100,000 different names of attributes.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_HTML_H
#define DROVER_HTML_H

#include <lexbor/dom/dom.h>

#include "common/buf.h"

enum {
    HTML_DEPTH_MAX = 512,      /* open elements; the start tags below it are left out */
    HTML_ATTRIBUTES_MAX = 256, /* of one element; the others are left out */
    HTML_NAMES_MAX = 4096, /* different names of attributes, or of elements; then the page ends */
    HTML_MEMORY_MAX_MIB = 128 /* of the document; what comes after is left out */
};

struct html;

struct html *html_new(void) MUST_CHECK; /* NULL: no memory */
void html_free(struct html *h);

/* Parses UTF-8 text without NUL, which must stay until the next call. False: no memory. */
bool html_parse(struct html *h, struct span text) MUST_CHECK;
bool html_truncated(const struct html *h); /* a limit was passed */

lxb_dom_node_t *html_document(struct html *h);
lxb_dom_node_t *html_head(struct html *h); /* NULL: there is none */
lxb_dom_node_t *html_body(struct html *h); /* likewise (a frameset) */

/* Appends the text below n. Folded: runs of white space become one space, the borders of blocks,
 * cells and <br> count as white space, script and style are left out unless n is one, no space at
 * the ends. Not folded: as it stands. own: only the text nodes that are children of n. */
void html_text(lxb_dom_node_t *n, bool fold, bool own, struct buf *out);

/* Appends the HTML of n, or of its children. */
void html_serialize(lxb_dom_node_t *n, bool inner, struct buf *out);

#endif
