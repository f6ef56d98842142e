/*
 * pgnum.h: an exact decimal as a field of PostgreSQL's binary COPY (numeric_recv): length, number of
 * digits, weight, sign, scale, and digits of base 10,000, without zeros at either end.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_PGNUM_H
#define DROVER_PGNUM_H

#include "buf.h"

enum { PGNUM_ROOM = 32 /* bytes that pgnum_put writes at most */ };

/* m * 10^-scale with its sign; returns the end. scale: 0 to 16,383, what numeric has. */
uint8_t *pgnum_put(uint8_t *to, uint64_t m, bool negative, int32_t scale);

/* digits: with at most one point; times ten to the exponent. */
void pgnum_put_digits(struct buf *out, struct span digits, bool negative, int32_t exponent);

/* sign: 0xC000 NaN, 0xD000 Infinity, 0xF000 -Infinity */
void pgnum_put_special(struct buf *out, uint16_t sign);

#endif
