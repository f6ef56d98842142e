/*
 * jsontext.h: finds values in a JSON document without making a tree of it: a document is a text,
 * and a value in it is a part of that text.
 *
 * jsontext_valid is the only one that checks; the others are given what it has found to be JSON.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_JSONTEXT_H
#define DROVER_TRANSFORM_JSONTEXT_H

#include "common/base.h"

enum { JSONTEXT_DEPTH_MAX = 512 }; /* of objects and arrays in each other */

enum jsontext_kind {
    JSONTEXT_NULL,
    JSONTEXT_BOOL,
    JSONTEXT_NUMBER,
    JSONTEXT_STRING,
    JSONTEXT_ARRAY,
    JSONTEXT_OBJECT
};

extern const struct span jsontext_null; /* the document null */

/* RFC 8259, with blanks around; the text is valid UTF-8. */
bool jsontext_valid(struct span doc);

enum jsontext_kind jsontext_kind_of(struct span doc);
struct span jsontext_trim(struct span doc); /* without blanks around */

/* The value of the key; of several the last one. False: there is none, or it is no object. */
bool jsontext_field(struct span doc, struct span key, struct span *ret);
/* index below zero: from the end. False: there is none, or it is no array. */
bool jsontext_element(struct span doc, int64_t index, struct span *ret);
size_t jsontext_length(struct span array); /* of its elements */

/* What the escapes of a string stand for. raw: between the quotes. to: room for raw.len bytes. False:
 * half a surrogate pair by itself, or \u0000, which no text has. */
bool jsontext_unescape(struct span raw, char *to, size_t *ret_len) MUST_CHECK;

#endif
