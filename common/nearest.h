/*
 * nearest.h: decimal text to the nearest double, as in nearly all files: up to 19 digits, perhaps with a
 * point among them, and an exponent, without the C library's big numbers. The rest is strtod's.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_NEAREST_H
#define DROVER_NEAREST_H

#include "base.h"

/* [-]digits[.digits][e[+-]digits], ties to even. False: it is of another shape, or takes more. */
bool nearest_read(struct span s, double *ret) MUST_CHECK;

#endif
