/*
 * digits.h: integers and decimals as text, without a division for each digit.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_DIGITS_H
#define DROVER_TRANSFORM_DIGITS_H

#include "num.h"

enum { DIGITS_ROOM = NUM_TEXT_MAX + 32 }; /* bytes that may be written, past the end too */

/* Mantissa and scale as num_text_small; returns the end. */
char *digits_write(char *to, int64_t m, int32_t scale);

#endif
