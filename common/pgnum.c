#include "pgnum.h"

enum { BASE = 10000, BASE_DIGITS = 4, GROUPS_MAX = 6 /* of 64 bits, unaligned */ };

#define NEGATIVE UINT16_C(0x4000)

static uint8_t *put16(uint8_t *to, uint16_t v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
    return to + 2;
}

static uint8_t *put_head(uint8_t *to, int64_t n_groups, int64_t weight, uint16_t sign,
                         int64_t scale)
{
    const uint32_t bytes = 8 + 2 * (uint32_t)n_groups;
    to = put16(to, (uint16_t)(bytes >> 16));
    to = put16(to, (uint16_t)bytes);
    to = put16(to, (uint16_t)n_groups);
    to = put16(to, (uint16_t)weight);
    to = put16(to, sign);
    return put16(to, (uint16_t)scale);
}

uint8_t *pgnum_put(uint8_t *to, uint64_t m, bool negative, int32_t scale)
{
    static const uint16_t pow10[BASE_DIGITS + 1] = {1, 10, 100, 1000, 10000};
    uint16_t groups[GROUPS_MAX];
    /* The last group is filled up to the right: groups begin at the point. */
    const unsigned pad = (unsigned)(-scale) % BASE_DIGITS;
    const int32_t behind = (scale + (int32_t)pad) / BASE_DIGITS;
    int32_t n = 0, low = 0;
    if (m == 0)
        return put_head(to, 0, 0, 0, scale);
    groups[n++] = (uint16_t)(m % pow10[BASE_DIGITS - pad] * pow10[pad]);
    for (m /= pow10[BASE_DIGITS - pad]; m > 0; m /= BASE)
        groups[n++] = (uint16_t)(m % BASE);
    while (groups[low] == 0)
        low++;
    to = put_head(to, n - low, n - 1 - behind, negative ? NEGATIVE : 0, scale);
    while (n > low)
        to = put16(to, groups[--n]);
    return to;
}

/* Decimal digit number i of the value, counted from the point: 0 is that of the ones, -1 of the
 * tenths. `ones` is where the ones stand among the digits of the text. */
struct digits {
    const char *p; /* digits and at most one point */
    size_t point;
    int64_t ones; /* index of the ones' digit; may lie outside */
    size_t n;
};

static uint16_t digit_at(const struct digits *d, int64_t place)
{
    const int64_t i = d->ones - place;
    if (i < 0 || i >= (int64_t)d->n)
        return 0;
    const size_t at = (size_t)i < d->point ? (size_t)i : (size_t)i + 1;
    return (uint16_t)(d->p[at] - '0');
}

static uint16_t group_at(const struct digits *d, int64_t g)
{
    uint16_t v = 0;
    for (int64_t k = BASE_DIGITS - 1; k >= 0; k--)
        v = (uint16_t)(v * 10 + digit_at(d, g * BASE_DIGITS + k));
    return v;
}

/* The group that a place is in. */
static int64_t group_of(int64_t place)
{
    return place >= 0 ? place / BASE_DIGITS : -((-place + BASE_DIGITS - 1) / BASE_DIGITS);
}

void pgnum_put_digits(struct buf *out, struct span digits, bool negative, int32_t exponent)
{
    const char *point = memchr(digits.p, '.', digits.len);
    struct digits d = {.p = digits.p,
                       .point = point ? (size_t)(point - digits.p) : digits.len,
                       .n = digits.len - (point != NULL)};
    d.ones = (int64_t)d.point - 1 + exponent;
    const int64_t scale = MAX((int64_t)(d.n - d.point) - exponent, (int64_t)0);
    int64_t first = group_of(d.ones), last = group_of(d.ones - (int64_t)d.n + 1);
    while (first >= last && group_at(&d, first) == 0)
        first--;
    while (last <= first && group_at(&d, last) == 0)
        last++;
    const int64_t n = first - last + 1;
    uint8_t *to = buf_reserve(out, 12 + 2 * (size_t)MAX(n, (int64_t)0));
    if (!to)
        return;
    uint8_t *end = n > 0 ? put_head(to, n, first, negative ? NEGATIVE : 0, scale)
                         : put_head(to, 0, 0, 0, scale);
    for (int64_t g = first; g >= last; g--)
        end = put16(end, group_at(&d, g));
    out->len += (size_t)(end - to);
}

void pgnum_put_special(struct buf *out, uint16_t sign)
{
    uint8_t *to = buf_reserve(out, PGNUM_ROOM);
    if (to)
        out->len += (size_t)(put_head(to, 0, 0, sign, 0) - to);
}
