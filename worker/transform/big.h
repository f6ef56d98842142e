/*
 * big.h: exact decimals of any length, for the values that do not fit into num.h's machine words:
 * a magnitude in base 10^9, least significant limb first, a sign, and the number of digits behind
 * the point. Results live in an arena. NULL says that there was no memory or that the value has
 * more than BIG_DIGITS_MAX digits.
 *
 * Thread rule: pure functions; the arena belongs to the caller.
 */
#ifndef DROVER_TRANSFORM_BIG_H
#define DROVER_TRANSFORM_BIG_H

#include "common/arena.h"
#include "common/buf.h"

enum { BIG_DIGITS_MAX = 16384, BIG_LIMB = 1000000000, BIG_LIMB_DIGITS = 9 };

struct big {
    int32_t scale; /* digits behind the point; never negative */
    uint32_t n;    /* limbs; 0: zero */
    bool neg;
    uint32_t limbs[];
};

enum big_round { BIG_HALF_AWAY, BIG_TRUNC, BIG_CEIL, BIG_FLOOR };

struct big *big_from_i128(struct arena *a, __int128 m, int32_t scale) MUST_CHECK;
struct big *big_from_digits(struct arena *a, struct span digits, bool neg,
                            int32_t scale) MUST_CHECK;
bool big_to_i128(const struct big *x, __int128 *ret); /* its mantissa, when it fits */
struct big *big_copy(struct arena *a, const struct big *x) MUST_CHECK;

int big_cmp(const struct big *x, const struct big *y, struct arena *a); /* -1, 0, 1 */
struct big *big_add(struct arena *a, const struct big *x, const struct big *y,
                    bool subtract) MUST_CHECK;
struct big *big_mul(struct arena *a, const struct big *x, const struct big *y) MUST_CHECK;
/* y is not zero. The quotient has that scale, rounded half away from zero. */
struct big *big_div(struct arena *a, const struct big *x, const struct big *y,
                    int32_t scale) MUST_CHECK;
struct big *big_mod(struct arena *a, const struct big *x, const struct big *y) MUST_CHECK;
struct big *big_rescale(struct arena *a, const struct big *x, int32_t scale,
                        enum big_round mode) MUST_CHECK;
struct big *big_neg(struct arena *a, const struct big *x, bool neg) MUST_CHECK; /* sets the sign */

size_t big_digits(const struct big *x); /* of the mantissa; 1 for zero */
void big_text(const struct big *x, struct buf *out);
/* The same where there is room for digits, scale, sign and point; returns the end. */
char *big_put(const struct big *x, char *to);

#endif
