/* extract_internal.h: the state of one page, between extract.c and extract_field.c. */
#ifndef DROVER_EXTRACT_INTERNAL_H
#define DROVER_EXTRACT_INTERNAL_H

#include <jansson.h>

#include "common/batch.h"
#include "extract.h"
#include "field.h"
#include "html.h"
#include "links.h"
#include "pattern.h"
#include "select.h"
#include "url.h"

enum {
    EXTRACT_STEPS_MAX = 20 * 1000 * 1000,      /* node tests of all selectors of one page */
    EXTRACT_TEXT_BYTES_MAX = 4 * 1024 * 1024,  /* of one text; the rest is cut off */
    EXTRACT_JSON_BYTES_MAX = 16 * 1024 * 1024, /* of one JSON cell */
    EXTRACT_LIST_MAX = 10000, /* elements of a list without "max"; rows of a page */
    EXTRACT_JSONLD_SCRIPTS_MAX = 64,
    EXTRACT_JSONLD_BYTES_MAX = 1024 * 1024, /* of one script */
    EXTRACT_META_MAX = 512
};

struct field_count {
    uint32_t filled, bad, missing, items;
    uint32_t filled_before, items_before; /* the row that is being written */
};

/* What became of a page. */
enum page_outcome {
    PAGE_ROWS,
    PAGE_NO_ROWS, /* no element for a row, which is no fault */
    PAGE_MISSING, /* a required field */
    PAGE_SCRIPTED /* nothing there but scripts */
};

struct extract_ctx {
    struct html *html;
    struct charset_ctx *charset;
    struct url_ctx *url;
    struct pattern_run *patterns;
    struct links *links;
    struct buf text;    /* the text that is being looked at */
    struct buf joined;  /* of "join" */
    struct buf json;    /* of the cell that is being built */
    struct buf parsed;  /* a text of type json, checked and written anew */
    struct buf scratch; /* of :contains; also copies of cells */
    struct field_count *counts;
    size_t n_counts;

    /* of the page */
    const struct scrape_spec *spec;
    const struct extract_page *page;
    struct select_run run;
    struct select_index index;
    uint32_t rows;
    uint32_t content; /* fields that the page itself filled */
    bool regex_limit, value_cut;
    uint32_t jsonld_errors;
    const struct field *missing; /* the required field that was missing last */
    bool listed;                 /* the two lists below are filled */
    json_t *jsonld[EXTRACT_JSONLD_SCRIPTS_MAX];
    size_t n_jsonld;
    lxb_dom_node_t *meta[EXTRACT_META_MAX];
    size_t n_meta;
};

enum field_outcome { FIELD_FILLED, FIELD_EMPTY, FIELD_MISSING /* and required */ };

/* Writes the field's cell of the current row. scope is the element that selectors start from. */
enum field_outcome extract_field_cell(struct extract_ctx *x, const struct field *f,
                                      lxb_dom_node_t *scope, struct batch *b, size_t column);

/* The cell of a list field without sub-fields for one of its elements (rows). */
enum field_outcome extract_field_element_cell(struct extract_ctx *x, const struct field *f,
                                              lxb_dom_node_t *element, struct batch *b,
                                              size_t column);

void extract_field_count(struct extract_ctx *x, const struct field *f, enum field_outcome outcome);

/* Forgets what was kept of the page. */
void extract_field_page_end(struct extract_ctx *x);

#endif
