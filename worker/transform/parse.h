/*
 * parse.h: a value of a type from its text, as PostgreSQL's input functions read it. The readers of
 * columns (load.h), the casts and the compiler's literals all come here.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_PARSE_H
#define DROVER_TRANSFORM_PARSE_H

#include "sqltype.h"
#include "num.h"

enum parse { PARSE_OK, PARSE_MALFORMED, PARSE_RANGE };

enum parse parse_int(struct span s, enum sqltype type, int64_t *ret) MUST_CHECK; /* INT4 or INT8 */
enum parse parse_num(struct arena *a, struct span s, struct num *ret) MUST_CHECK;
enum parse parse_float(struct span s, double *ret) MUST_CHECK;
enum parse parse_bool(struct span s, bool *ret) MUST_CHECK;

#endif
