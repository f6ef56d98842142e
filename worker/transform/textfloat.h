/*
 * textfloat.h: double precision as text, as PostgreSQL writes and reads it: the fewest digits that
 * read back as the same number, an exponent from 1e+15 and below 1e-04, NaN, Infinity.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_TEXTFLOAT_H
#define DROVER_TRANSFORM_TEXTFLOAT_H

#include "common/shortest.h"

enum { TEXTFLOAT_MAX = SHORTEST_TEXT_LEN, TEXTFLOAT_READ_MAX = 400 };

size_t textfloat_write(double x, char ret[TEXTFLOAT_MAX]);

enum textfloat { TEXTFLOAT_OK, TEXTFLOAT_MALFORMED, TEXTFLOAT_RANGE };
enum textfloat textfloat_read(struct span s, double *ret) MUST_CHECK;

#endif
