/*
 * field.h: the compiled form of one field of "extract", between spec_field.c, which builds it, and
 * extract_field.c, which runs it.
 */
#ifndef DROVER_FIELD_H
#define DROVER_FIELD_H

#include "common/batch.h"
#include "value.h"

struct selector;
struct pattern;
struct path;

enum source_kind {
    SOURCE_CSS, /* an element: selected, or the current one when there is no selector */
    SOURCE_JSONLD,
    SOURCE_META,
    SOURCE_URL,
    SOURCE_REQUESTED_URL,
    SOURCE_STATUS,
    SOURCE_DEPTH,
    SOURCE_FETCHED_AT,
    SOURCE_HEADER,
    SOURCE_ANY /* the first alternative that gives something */
};

enum element_part { PART_TEXT, PART_OWN_TEXT, PART_HTML, PART_INNER_HTML, PART_ATTR };

/* Where a text comes from, and what is done to it before it is read as a type. */
struct source {
    enum source_kind kind;
    const struct selector *css; /* NULL: the current element */
    enum element_part part;
    struct span name; /* of the attribute, the header, or the meta element; lower case */
    const struct path *path;
    const struct pattern *regex; /* or NULL */
    bool strip, lower;
    int64_t index; /* of the match that counts; negative: from the end */
    const struct source *alternatives;
    size_t n_alternatives;
};

struct field {
    const char *name;
    const char *path;     /* "products.price", for messages and counters */
    uint32_t id;          /* below spec->n_fields */
    enum value_type type; /* of an element of a list too; JSON for a field with sub-fields */
    enum col_type column; /* of the batch */
    struct value_options options;
    struct source source;
    bool list;
    const char *join; /* not NULL: the matches make one text */
    uint32_t max; /* of elements of a list or join; of characters of a single text; 0: no limit */
    bool required;
    bool has_default;
    struct span default_text; /* as a page would have it (JSON for lists and JSON) */
    const struct field *fields;
    size_t n_fields;
    /* names of counters, interned for the process */
    const char *stat_fill, *stat_bad, *stat_missing, *stat_items;
};

#endif
