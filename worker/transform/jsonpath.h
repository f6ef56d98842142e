/*
 * jsonpath.h: which parts of a JSON object are columns: a tree of keys and places, from paths such
 * as $.offer.price, $["a key"][0]. A name by itself is a key of the object.
 *
 * Thread rule: immutable once made.
 */
#ifndef DROVER_TRANSFORM_JSONPATH_H
#define DROVER_TRANSFORM_JSONPATH_H

#include "common/base.h"
#include "common/err.h"

enum { JSONPATH_DEPTH_MAX = 32 /* steps of a path */ };

struct jsonpath {
    char *key; /* NULL: an element of an array, or the root */
    size_t key_len;
    uint64_t place;    /* of the element */
    uint32_t *columns; /* that are this value */
    size_t n_columns;
    struct jsonpath *children, *next;
};

struct jsonpath *jsonpath_new(void) MUST_CHECK; /* a root; NULL: no memory */
void jsonpath_free(struct jsonpath *root);      /* takes NULL */

int jsonpath_add_key(struct jsonpath *root, struct span key, uint32_t column,
                     struct error *e) MUST_CHECK;
/* INVALID_SPEC names the character that is wrong. */
int jsonpath_add(struct jsonpath *root, struct span path, uint32_t column,
                 struct error *e) MUST_CHECK;

#endif
