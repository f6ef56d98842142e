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

/*
 * The common shapes without a branch for each digit: [-]digits[.digits] of up to 16 bytes after the
 * sign. The 16 bytes before the end of s must be readable. False: another shape; ask parse_num.
 */
bool parse_decimal_fast(struct span s, int64_t *ret_m, uint8_t *ret_scale) MUST_CHECK;

#endif
