/*
 * jsontext.h: the text of a JSON string whose escapes are well-formed.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_JSONTEXT_H
#define DROVER_TRANSFORM_JSONTEXT_H

#include "common/base.h"

/* raw: between the quotes. to: room for raw.len bytes. False: half a surrogate pair by itself, or
 * \u0000, which no text has. */
bool jsontext_unescape(struct span raw, char *to, size_t *ret_len) MUST_CHECK;

#endif
