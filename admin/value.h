/*
 * value.h: msgpack values of the protocol as JSON. Ids become texts, because programs that read JSON
 * numbers as doubles would change them; bin becomes hexadecimal text.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_VALUE_H
#define DROVER_VALUE_H

#include <jansson.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/unpack.h"

/* The next value of u. NULL: malformed, nested too deep, or no memory. */
json_t *value_read(struct unpack *u) MUST_CHECK;

/* A whole value. MALFORMED or NOMEM. */
int value_to_json(struct span packed, json_t **ret, struct error *e) MUST_CHECK;

#endif
