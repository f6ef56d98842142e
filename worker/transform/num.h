/*
 * num.h: PostgreSQL's numeric: an exact decimal that remembers how many digits it shows behind the
 * point. Almost all values fit into a 64-bit mantissa with a scale, and the arithmetic on those is
 * inline or in num.c; the others are a struct big. Scales of results follow PostgreSQL's numeric.c:
 * sums have the larger scale, products the sum of the scales, quotients what num_div_scale says.
 *
 * It knows no NaN and no infinity: those are values that do not parse (docs/TRANSFORM.md).
 *
 * Thread rule: pure functions; the arena belongs to the caller.
 */
#ifndef DROVER_TRANSFORM_NUM_H
#define DROVER_TRANSFORM_NUM_H

#include "big.h"

typedef __int128 num_wide;

enum {
    NUM_SCALE_MAX = 60, /* of a value without big; the scale of a cell is one byte */
    NUM_BIG = 255,      /* the scale of a cell whose mantissa is the address of a struct big */
    NUM_POW10_MAX = 18, /* the largest power of ten in 64 bits */
    NUM_TEXT_MAX = 96   /* bytes of a value without big */
};

struct num {
    int64_t m;
    int32_t scale;
    const struct big *big; /* when not NULL, the value is this, and m and scale say nothing */
};

extern const int64_t num_pow10[NUM_POW10_MAX + 1];

static inline struct num num_unpack(int64_t m, uint8_t scale)
{
    if (scale == NUM_BIG)
        return (struct num){.big = (const struct big *)(uintptr_t)m};
    return (struct num){.m = m, .scale = scale};
}

static inline int64_t num_pack(struct num x, uint8_t *ret_scale)
{
    *ret_scale = x.big ? NUM_BIG : (uint8_t)x.scale;
    return x.big ? (int64_t)(uintptr_t)x.big : x.m;
}

static inline int32_t num_scale(struct num x)
{
    return x.big ? x.big->scale : x.scale;
}

static inline struct num num_of(int64_t m)
{
    return (struct num){.m = m};
}

/* The functions that return bool are false when there is no memory or the value has too many
 * digits, and write the result only when true. */
bool num_make(struct arena *a, num_wide m, int32_t scale, struct num *ret) MUST_CHECK;
bool num_keep(struct arena *a, struct num x, struct num *ret) MUST_CHECK; /* a copy that lasts */

/* Digits as PostgreSQL reads them: blanks around, sign, point, exponent. False: it is no number, or
 * one that is too long (*ret_too_long). */
bool num_parse(struct arena *a, struct span s, struct num *ret, bool *ret_too_long) MUST_CHECK;
size_t num_text_small(int64_t m, int32_t scale, char ret[NUM_TEXT_MAX]);
void num_text(struct num x, struct buf *out);

int num_cmp(struct num x, struct num y, struct arena *a);
int num_sign(struct num x);
bool num_add(struct arena *a, struct num x, struct num y, struct num *ret) MUST_CHECK;
bool num_sub(struct arena *a, struct num x, struct num y, struct num *ret) MUST_CHECK;
bool num_mul(struct arena *a, struct num x, struct num y, struct num *ret) MUST_CHECK;
bool num_div(struct arena *a, struct num x, struct num y, struct num *ret) MUST_CHECK; /* y != 0 */
bool num_mod(struct arena *a, struct num x, struct num y, struct num *ret) MUST_CHECK; /* y != 0 */
bool num_neg(struct arena *a, struct num x, struct num *ret) MUST_CHECK;
bool num_rescale(struct arena *a, struct num x, int32_t scale, enum big_round mode,
                 struct num *ret) MUST_CHECK;
/* As round(x, digits): digits may be negative. */
bool num_round(struct arena *a, struct num x, int64_t digits, enum big_round mode,
               struct num *ret) MUST_CHECK;
/* Of a number above zero, with as many digits behind the point as it has, rounded. */
bool num_sqrt(struct arena *a, struct num x, struct num *ret) MUST_CHECK;
int32_t num_div_scale(struct num x, struct num y);

bool num_to_i64(struct num x, struct arena *a, int64_t *ret) MUST_CHECK;  /* rounded half away */
double num_to_f64(struct arena *a, struct num x);                         /* NaN: no memory */
bool num_from_f64(struct arena *a, double x, struct num *ret) MUST_CHECK; /* x is finite */

/* Fewest digits behind the point that say the same, for keys: 1.50 and 1.5 are equal. */
bool num_strip(struct arena *a, struct num x, struct num *ret) MUST_CHECK;

#endif
