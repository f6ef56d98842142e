/*
 * shortest.h: doubles as decimal text: the shortest that reads back as the same double, and of those the
 * nearest, as PostgreSQL 12 and later show them.
 *
 * Raffaello Giulietti, The Schubfach way to render doubles, 2020: three products of 64 by 128 bits
 * with a power of ten say where the double and the ends of its rounding interval lie among the
 * decimals of 16 or 17 digits.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SHORTEST_H
#define DROVER_SHORTEST_H

#include "base.h"

enum { SHORTEST_TEXT_LEN = 48 /* of which a text takes 24; the rest may be written, too */ };

/* A finite double; returns the length of the text, without a NUL: 0, -0, 1.5, 0.0001, 1e-05, 1e+15. */
size_t shortest_write(double x, char ret[SHORTEST_TEXT_LEN]);

#endif
