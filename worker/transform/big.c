#include "big.h"

#include <stdio.h>

static const uint32_t pow10_u32[] = {1,      10,      100,      1000,      10000,
                                     100000, 1000000, 10000000, 100000000, 1000000000};

static struct big *big_new(struct arena *a, size_t n, int32_t scale)
{
    if (n > BIG_DIGITS_MAX / BIG_LIMB_DIGITS + 2 || scale > BIG_DIGITS_MAX)
        return NULL;
    struct big *x = arena_zalloc(a, sizeof *x + n * sizeof x->limbs[0]);
    if (!x)
        return NULL;
    x->n = (uint32_t)n;
    x->scale = scale;
    return x;
}

static struct big *trimmed(struct big *x)
{
    while (x->n > 0 && x->limbs[x->n - 1] == 0)
        x->n--;
    if (x->n == 0)
        x->neg = false;
    return x;
}

struct big *big_from_i128(struct arena *a, __int128 m, int32_t scale)
{
    struct big *x = big_new(a, 5, scale);
    if (!x)
        return NULL;
    unsigned __int128 u = m < 0 ? -(unsigned __int128)m : (unsigned __int128)m;
    for (size_t i = 0; i < 5; i++) {
        x->limbs[i] = (uint32_t)(u % BIG_LIMB);
        u /= BIG_LIMB;
    }
    x->neg = m < 0;
    return trimmed(x);
}

struct big *big_from_digits(struct arena *a, struct span digits, bool neg, int32_t scale)
{
    while (digits.len > 0 && digits.p[0] == '0') {
        digits.p++;
        digits.len--;
    }
    if (digits.len > BIG_DIGITS_MAX)
        return NULL;
    struct big *x = big_new(a, (digits.len + BIG_LIMB_DIGITS - 1) / BIG_LIMB_DIGITS, scale);
    if (!x)
        return NULL;
    for (size_t i = 0; i < digits.len; i++) {
        size_t place = digits.len - 1 - i; /* power of ten of this digit */
        x->limbs[place / BIG_LIMB_DIGITS] +=
            (uint32_t)(digits.p[i] - '0') * pow10_u32[place % BIG_LIMB_DIGITS];
    }
    x->neg = neg;
    return trimmed(x);
}

bool big_to_i128(const struct big *x, __int128 *ret)
{
    __int128 m = 0;
    if (x->n > 4) /* 10^36 fits, 10^45 does not */
        return false;
    for (uint32_t i = x->n; i-- > 0;)
        m = m * BIG_LIMB + x->limbs[i];
    *ret = x->neg ? -m : m;
    return true;
}

struct big *big_copy(struct arena *a, const struct big *x)
{
    struct big *y = big_new(a, x->n, x->scale);
    if (!y)
        return NULL;
    memcpy(y->limbs, x->limbs, x->n * sizeof x->limbs[0]);
    y->neg = x->neg;
    return y;
}

/* x * 10^k, with the scale of x. */
static struct big *shift_up(struct arena *a, const struct big *x, uint32_t k)
{
    if (x->n == 0)
        return big_copy(a, x);
    if (k > BIG_DIGITS_MAX)
        return NULL;
    uint32_t limbs = k / BIG_LIMB_DIGITS, factor = pow10_u32[k % BIG_LIMB_DIGITS];
    struct big *y = big_new(a, (size_t)x->n + limbs + 1, x->scale);
    if (!y)
        return NULL;
    uint64_t carry = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        carry += (uint64_t)x->limbs[i] * factor;
        y->limbs[i + limbs] = (uint32_t)(carry % BIG_LIMB);
        carry /= BIG_LIMB;
    }
    y->limbs[x->n + limbs] = (uint32_t)carry;
    y->neg = x->neg;
    return trimmed(y);
}

/* Divides in place; returns the remainder. */
static uint32_t divide_small(struct big *x, uint32_t by)
{
    uint64_t rest = 0;
    for (uint32_t i = x->n; i-- > 0;) {
        rest = rest * BIG_LIMB + x->limbs[i];
        x->limbs[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    trimmed(x);
    return (uint32_t)rest;
}

/* x / 10^k towards zero, with the scale of x; *sticky: digits other than 0 fell off. */
static struct big *shift_down(struct arena *a, const struct big *x, uint32_t k, bool *sticky)
{
    uint32_t limbs = k / BIG_LIMB_DIGITS;
    *sticky = false;
    for (uint32_t i = 0; i < MIN(limbs, x->n); i++)
        *sticky |= x->limbs[i] != 0;
    struct big *y = big_new(a, limbs < x->n ? x->n - limbs : 0, x->scale);
    if (!y)
        return NULL;
    memcpy(y->limbs, x->limbs + MIN(limbs, x->n), y->n * sizeof y->limbs[0]);
    y->neg = x->neg;
    *sticky |= divide_small(y, pow10_u32[k % BIG_LIMB_DIGITS]) != 0;
    return y;
}

static int compare_limbs(const struct big *x, const struct big *y)
{
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    for (uint32_t i = x->n; i-- > 0;)
        if (x->limbs[i] != y->limbs[i])
            return x->limbs[i] < y->limbs[i] ? -1 : 1;
    return 0;
}

/* |x| + |y| or, when |x| >= |y|, |x| - |y|. */
static struct big *combine(struct arena *a, const struct big *x, const struct big *y, bool minus)
{
    uint32_t n = MAX(x->n, y->n);
    struct big *z = big_new(a, (size_t)n + 1, x->scale);
    if (!z)
        return NULL;
    int64_t carry = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t other = i < y->n ? y->limbs[i] : 0;
        carry += (i < x->n ? (int64_t)x->limbs[i] : 0) + (minus ? -other : other);
        int64_t limb = carry % BIG_LIMB;
        carry /= BIG_LIMB;
        if (limb < 0) {
            limb += BIG_LIMB;
            carry--;
        }
        z->limbs[i] = (uint32_t)limb;
    }
    z->limbs[n] = (uint32_t)carry;
    return trimmed(z);
}

/* Both with the larger of the scales. */
static bool align(struct arena *a, const struct big **x, const struct big **y)
{
    int32_t scale = MAX((*x)->scale, (*y)->scale);
    *x = big_rescale(a, *x, scale, BIG_TRUNC);
    *y = big_rescale(a, *y, scale, BIG_TRUNC);
    return *x && *y;
}

int big_cmp(const struct big *x, const struct big *y, struct arena *a)
{
    if (x->neg != y->neg)
        return x->neg ? -1 : 1;
    const struct big *ax = x, *ay = y;
    if (x->scale != y->scale && !align(a, &ax, &ay)) {
        /* Too long to be aligned: then the one with more digits before the point is larger. */
        int64_t dx = (int64_t)big_digits(x) - x->scale, dy = (int64_t)big_digits(y) - y->scale;
        return (dx < dy ? -1 : 1) * (x->neg ? -1 : 1);
    }
    return compare_limbs(ax, ay) * (x->neg ? -1 : 1);
}

struct big *big_add(struct arena *a, const struct big *x, const struct big *y, bool subtract)
{
    if (!align(a, &x, &y))
        return NULL;
    bool y_neg = y->neg != subtract;
    bool minus = x->neg != y_neg, swap = minus && compare_limbs(x, y) < 0;
    struct big *z = swap ? combine(a, y, x, minus) : combine(a, x, y, minus);
    if (z)
        z->neg = z->n > 0 && (swap ? y_neg : x->neg);
    return z;
}

struct big *big_mul(struct arena *a, const struct big *x, const struct big *y)
{
    struct big *z = big_new(a, (size_t)x->n + y->n, x->scale + y->scale);
    if (!z)
        return NULL;
    for (uint32_t i = 0; i < x->n; i++) {
        uint64_t carry = 0;
        for (uint32_t j = 0; j < y->n || carry; j++) {
            carry += z->limbs[i + j] + (uint64_t)x->limbs[i] * (j < y->n ? y->limbs[j] : 0);
            z->limbs[i + j] = (uint32_t)(carry % BIG_LIMB);
            carry /= BIG_LIMB;
        }
    }
    z->neg = x->neg != y->neg;
    return trimmed(z);
}

/*
 * The integer division of the magnitudes, towards zero (Knuth, volume 2, 4.3.1, algorithm D); *rest
 * may be NULL. Both get the scale of x.
 */
static struct big *divide(struct arena *a, const struct big *x, const struct big *y,
                          struct big **rest)
{
    uint32_t norm = (uint32_t)(BIG_LIMB / ((uint64_t)y->limbs[y->n - 1] + 1));
    uint32_t n = y->n, m = x->n >= n ? x->n - n : 0;
    struct big *u = big_new(a, (size_t)MAX(x->n, n) + 1, x->scale), *v = big_new(a, n, 0);
    struct big *q = big_new(a, (size_t)m + 1, x->scale);
    if (!u || !v || !q)
        return NULL;
    uint64_t carry = 0;
    for (uint32_t i = 0; i < x->n; i++, carry /= BIG_LIMB) {
        carry += (uint64_t)x->limbs[i] * norm;
        u->limbs[i] = (uint32_t)(carry % BIG_LIMB);
    }
    u->limbs[x->n] = (uint32_t)carry;
    carry = 0;
    for (uint32_t i = 0; i < n; i++, carry /= BIG_LIMB) {
        carry += (uint64_t)y->limbs[i] * norm;
        v->limbs[i] = (uint32_t)(carry % BIG_LIMB);
    }
    for (uint32_t j = x->n >= n ? m + 1 : 0; j-- > 0;) {
        uint64_t top = (uint64_t)u->limbs[j + n] * BIG_LIMB + u->limbs[j + n - 1];
        uint64_t guess = top / v->limbs[n - 1], left = top % v->limbs[n - 1];
        while (guess >= BIG_LIMB ||
               (n > 1 && guess * v->limbs[n - 2] > left * BIG_LIMB + u->limbs[j + n - 2])) {
            guess--;
            left += v->limbs[n - 1];
            if (left >= BIG_LIMB)
                break;
        }
        int64_t borrow = 0;
        for (uint32_t i = 0; i <= n; i++) {
            int64_t t = (int64_t)u->limbs[i + j] + borrow -
                        (i < n ? (int64_t)(guess * v->limbs[i] % BIG_LIMB) : 0);
            borrow = -(i < n ? (int64_t)(guess * v->limbs[i] / BIG_LIMB) : 0);
            while (t < 0) {
                t += BIG_LIMB;
                borrow--;
            }
            u->limbs[i + j] = (uint32_t)t;
        }
        if (borrow < 0) { /* the guess was one too high: add the divisor back */
            guess--;
            carry = 0;
            for (uint32_t i = 0; i <= n; i++) {
                carry += (uint64_t)u->limbs[i + j] + (i < n ? v->limbs[i] : 0);
                u->limbs[i + j] = (uint32_t)(carry % BIG_LIMB);
                carry /= BIG_LIMB;
            }
        }
        q->limbs[j] = (uint32_t)guess;
    }
    if (rest) {
        u->n = MAX(x->n, n) + 1;
        divide_small(u, norm);
        *rest = u;
    }
    return trimmed(q);
}

/* |x| grows by one in its last place. */
static struct big *increment(struct arena *a, const struct big *x)
{
    struct big *one = big_from_i128(a, 1, x->scale);
    struct big *z = one ? combine(a, x, one, false) : NULL;
    if (z)
        z->neg = x->neg;
    return z;
}

struct big *big_div(struct arena *a, const struct big *x, const struct big *y, int32_t scale)
{
    /* One digit more than asked for tells which way to round. */
    int32_t k = scale + 1 + y->scale - x->scale;
    const struct big *top = k >= 0 ? shift_up(a, x, (uint32_t)k) : x;
    const struct big *bottom = k >= 0 ? y : shift_up(a, y, (uint32_t)-k);
    struct big *q = top && bottom ? divide(a, top, bottom, NULL) : NULL;
    if (!q)
        return NULL;
    uint32_t digit = divide_small(q, 10);
    q->scale = scale;
    q->neg = x->neg != y->neg;
    if (digit >= 5)
        q = increment(a, q);
    return q ? trimmed(q) : NULL;
}

struct big *big_mod(struct arena *a, const struct big *x, const struct big *y)
{
    bool neg = x->neg;
    struct big *rest;
    if (!align(a, &x, &y) || !divide(a, x, y, &rest))
        return NULL;
    rest->neg = neg;
    return trimmed(rest);
}

struct big *big_rescale(struct arena *a, const struct big *x, int32_t scale, enum big_round mode)
{
    if (scale >= x->scale) {
        struct big *up = shift_up(a, x, (uint32_t)(scale - x->scale));
        if (up)
            up->scale = scale;
        return up && scale <= BIG_DIGITS_MAX ? up : NULL;
    }
    uint32_t k = (uint32_t)(x->scale - scale);
    bool sticky;
    struct big *y = shift_down(a, x, mode == BIG_HALF_AWAY ? k - 1 : k, &sticky);
    if (!y)
        return NULL;
    bool up = (mode == BIG_CEIL && !x->neg && sticky) || (mode == BIG_FLOOR && x->neg && sticky);
    if (mode == BIG_HALF_AWAY)
        up = divide_small(y, 10) >= 5;
    y->scale = scale;
    if (up) {
        y->neg = x->neg;
        y = increment(a, y);
    }
    return y ? trimmed(y) : NULL;
}

struct big *big_neg(struct arena *a, const struct big *x, bool neg)
{
    struct big *y = big_copy(a, x);
    if (y)
        y->neg = neg;
    return y ? trimmed(y) : NULL;
}

size_t big_digits(const struct big *x)
{
    if (x->n == 0)
        return 1;
    size_t digits = (size_t)(x->n - 1) * BIG_LIMB_DIGITS;
    for (uint32_t top = x->limbs[x->n - 1]; top > 0; top /= 10)
        digits++;
    return digits;
}

static size_t places(const struct big *x)
{
    return MAX(big_digits(x), (size_t)x->scale + 1);
}

char *big_put(const struct big *x, char *to)
{
    if (x->neg)
        *to++ = '-';
    for (size_t place = places(x); place-- > 0;) {
        size_t limb = place / BIG_LIMB_DIGITS;
        uint32_t v = limb < x->n ? x->limbs[limb] : 0;
        *to++ = (char)('0' + v / pow10_u32[place % BIG_LIMB_DIGITS] % 10);
        if (place == (size_t)x->scale && place > 0)
            *to++ = '.';
    }
    return to;
}

void big_text(const struct big *x, struct buf *out)
{
    char *to = (char *)buf_reserve(out, places(x) + 2); /* sign and point */
    if (to)
        out->len += (size_t)(big_put(x, to) - to);
}
