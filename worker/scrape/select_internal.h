/* select_internal.h: the compiled form of selectors, between select_parse.c and select.c. */
#ifndef DROVER_SELECT_INTERNAL_H
#define DROVER_SELECT_INTERNAL_H

#include "select.h"

enum simple_kind {
    SIMPLE_TAG_ID, /* an element that lexbor knows by number */
    SIMPLE_TAG_NAME,
    SIMPLE_ID,
    SIMPLE_CLASS,
    SIMPLE_ATTR, /* present */
    SIMPLE_ATTR_EQUAL,
    SIMPLE_ATTR_INCLUDES,
    SIMPLE_ATTR_DASH,
    SIMPLE_ATTR_PREFIX,
    SIMPLE_ATTR_SUFFIX,
    SIMPLE_ATTR_SUBSTRING,
    SIMPLE_NOT,
    SIMPLE_IS,
    SIMPLE_HAS,
    SIMPLE_CONTAINS,
    SIMPLE_NTH, /* of type, from the end: flags */
    SIMPLE_EMPTY,
    SIMPLE_ROOT,
    SIMPLE_LINK,
    SIMPLE_CHECKED,
    SIMPLE_DISABLED,
    SIMPLE_ENABLED
};

struct simple {
    enum simple_kind kind;
    bool insensitive;   /* of the attribute's value, or of :contains */
    bool of_type, last; /* NTH */
    uintptr_t id;       /* TAG_ID; ATTR*: lexbor's number of the attribute, or 0 */
    struct span name, value;
    long a, b;                    /* NTH: an + b */
    const struct selector *inner; /* NOT, IS, HAS; NTH: "of", or NULL */
    const struct simple *next;    /* in the same compound */
};

enum relation { RELATION_NONE, RELATION_DESCENDANT, RELATION_CHILD, RELATION_NEXT, RELATION_LATER };

struct compound {
    const struct simple *simples; /* NULL: * */
    enum relation relation;       /* of this compound to the one on its left */
    const struct compound *left;  /* NULL: the leftmost, and relation is that to the scope */
};

/* One alternative of a list: "a > b" in "a > b, c". */
struct selector {
    const struct compound *right;
    uint32_t tag;     /* that the element must have; 0: any */
    bool needs_class; /* the element must have a class attribute */
    const struct selector *next;
};

#endif
