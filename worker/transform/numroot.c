/* numroot.c: the square root of an exact decimal. See num.h. */
#include "num.h"

#include <math.h>

static const struct big *ulp_of(struct arena *a, int32_t scale)
{
    return big_from_i128(a, 1, scale);
}

/* About the root, for Newton's method to begin with: of the double, or when none can hold it a power
 * of ten with half the digits. */
static const struct big *guess(struct arena *a, const struct big *x, int32_t scale)
{
    double d = num_to_f64(a, (struct num){.big = x});
    struct num y;
    if (isfinite(d) && d > 0 && num_from_f64(a, sqrt(d), &y)) {
        const struct big *b = y.big ? y.big : big_from_i128(a, y.m, y.scale);
        b = b ? big_rescale(a, b, scale, BIG_HALF_AWAY) : NULL;
        if (!b || b->n > 0)
            return b;
    }
    size_t digits = big_digits(x);
    char text[BIG_DIGITS_MAX + 2];
    size_t whole = digits > (size_t)x->scale ? (digits - (size_t)x->scale) / 2 + 1 : 1;
    text[0] = '1';
    memset(text + 1, '0', whole);
    return big_from_digits(a, (struct span){text, MIN(whole + 1, sizeof text)}, false, 0);
}

/* y or so is the root; the largest number of that scale whose square is not above x. */
static const struct big *settle(struct arena *a, const struct big *x, const struct big *y,
                                int32_t scale)
{
    const struct big *ulp = ulp_of(a, scale);
    y = ulp ? big_rescale(a, y, scale, BIG_TRUNC) : NULL;
    for (bool down = true; y;) {
        const struct big *next = down ? y : big_add(a, y, ulp, false);
        const struct big *square = next ? big_mul(a, next, next) : NULL;
        if (!square)
            return NULL;
        bool above = big_cmp(square, x, a) > 0;
        if (down && above)
            y = big_add(a, y, ulp, true);
        else if (down)
            down = false;
        else if (above)
            return y;
        else
            y = next;
    }
    return NULL;
}

bool num_sqrt(struct arena *a, struct num x, struct num *ret)
{
    enum { TURNS_MAX = 100, GUARD_DIGITS = 4 };
    int32_t scale = num_scale(x), fine = scale + GUARD_DIGITS;
    const struct big *of = x.big ? x.big : big_from_i128(a, x.m, x.scale);
    const struct big *two = big_from_i128(a, 2, 0), *y = of ? guess(a, of, fine) : NULL;
    const struct big *ulp = ulp_of(a, fine);
    if (!two || !y || !ulp)
        return false;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        const struct big *quotient = big_div(a, of, y, fine);
        const struct big *sum = quotient ? big_add(a, y, quotient, false) : NULL;
        const struct big *next = sum ? big_div(a, sum, two, fine) : NULL;
        const struct big *off = next ? big_add(a, next, y, true) : NULL;
        if (!off)
            return false;
        y = next;
        off = big_neg(a, off, false);
        if (!off)
            return false;
        if (big_cmp(off, ulp, a) <= 0)
            break;
    }
    /* One digit more says which way to round. */
    y = settle(a, of, y, scale + 1);
    y = y ? big_rescale(a, y, scale, BIG_HALF_AWAY) : NULL;
    num_wide m;
    if (y && big_to_i128(y, &m))
        return num_make(a, m, scale, ret);
    if (y)
        *ret = (struct num){.big = y};
    return y != NULL;
}
