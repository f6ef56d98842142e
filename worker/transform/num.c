#include "num.h"

#include <math.h>
#include <stdio.h>

enum {
    SIG_DIGITS_MIN = 16,     /* NUMERIC_MIN_SIG_DIGITS */
    NBASE_DIGITS = 4,        /* DEC_DIGITS: PostgreSQL's numeric has base 10000 */
    DIV_SCALE_MAX = 1000,    /* NUMERIC_MAX_DISPLAY_SCALE */
    ROUND_DIGITS_MAX = 2000, /* NUMERIC_MAX_RESULT_SCALE */
    EXPONENT_MAX = BIG_DIGITS_MAX,
    SMALL_DIGITS = 18, /* always fit into 64 bits */
    FLOAT_DIGITS = 15  /* DBL_DIG: what a cast from double precision keeps */
};

const int64_t num_pow10[NUM_POW10_MAX + 1] = {1,
                                              10,
                                              100,
                                              1000,
                                              10000,
                                              100000,
                                              1000000,
                                              10000000,
                                              100000000,
                                              1000000000,
                                              10000000000,
                                              100000000000,
                                              1000000000000,
                                              10000000000000,
                                              100000000000000,
                                              1000000000000000,
                                              10000000000000000,
                                              100000000000000000,
                                              1000000000000000000};

bool num_make(struct arena *a, num_wide m, int32_t scale, struct num *ret)
{
    if (m >= INT64_MIN && m <= INT64_MAX && scale <= NUM_SCALE_MAX) {
        *ret = (struct num){.m = (int64_t)m, .scale = scale};
        return true;
    }
    const struct big *b = big_from_i128(a, m, scale);
    if (!b)
        return false;
    *ret = (struct num){.big = b};
    return true;
}

/* A big that fits becomes small again. */
static bool settle(const struct big *b, struct num *ret)
{
    num_wide m;
    if (!b)
        return false;
    if (b->scale <= NUM_SCALE_MAX && big_to_i128(b, &m) && m >= INT64_MIN && m <= INT64_MAX)
        *ret = (struct num){.m = (int64_t)m, .scale = b->scale};
    else
        *ret = (struct num){.big = b};
    return true;
}

static const struct big *enlarge(struct arena *a, struct num x)
{
    return x.big ? x.big : big_from_i128(a, x.m, x.scale);
}

bool num_keep(struct arena *a, struct num x, struct num *ret)
{
    if (x.big)
        x.big = big_copy(a, x.big);
    else if (x.scale > NUM_SCALE_MAX)
        return false;
    *ret = x;
    return num_scale(x) >= 0;
}

/* m * 10^by, when it fits into 128 bits for sure. */
static bool scale_up(num_wide *m, int32_t by)
{
    if (by <= NUM_POW10_MAX)
        *m *= num_pow10[by];
    else if (*m != 0)
        return false;
    return true;
}

/* ---- text ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct digits {
    struct span whole, part; /* before and behind the point */
    bool neg;
    int64_t exponent;
};

static bool split_digits(struct span s, struct digits *d)
{
    const char *p = s.p, *end = s.p + s.len;
    *d = (struct digits){0};
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    if (p < end && (*p == '-' || *p == '+'))
        d->neg = *p++ == '-';
    d->whole.p = p;
    while (p < end && is_digit(*p))
        p++;
    d->whole.len = (size_t)(p - d->whole.p);
    if (p < end && *p == '.')
        p++;
    d->part.p = p;
    while (p < end && is_digit(*p)) /* none without a point: the whole took them all */
        p++;
    d->part.len = (size_t)(p - d->part.p);
    if (d->whole.len + d->part.len == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        bool neg = ++p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        if (p == end)
            return false;
        for (; p < end && is_digit(*p); p++)
            d->exponent = MIN(d->exponent * 10 + (*p - '0'), (int64_t)EXPONENT_MAX * 10);
        d->exponent = neg ? -d->exponent : d->exponent;
    }
    return p == end;
}

static int64_t digits_value(struct span s, int64_t v)
{
    for (size_t i = 0; i < s.len; i++)
        v = v * 10 + (s.p[i] - '0');
    return v;
}

bool num_parse(struct arena *a, struct span s, struct num *ret, bool *ret_too_long)
{
    struct digits d;
    *ret_too_long = false;
    if (!split_digits(s, &d))
        return false;
    while (d.whole.len > 0 && d.whole.p[0] == '0') {
        d.whole.p++;
        d.whole.len--;
    }
    if (d.exponent == 0 && d.whole.len + d.part.len <= SMALL_DIGITS) {
        int64_t m = digits_value(d.part, digits_value(d.whole, 0));
        *ret = (struct num){.m = d.neg ? -m : m, .scale = (int32_t)d.part.len};
        return true;
    }
    *ret_too_long = true;
    int64_t scale = (int64_t)d.part.len - d.exponent;
    if (d.whole.len + d.part.len > BIG_DIGITS_MAX || scale > BIG_DIGITS_MAX ||
        scale < -BIG_DIGITS_MAX)
        return false;
    char *all = arena_alloc(a, d.whole.len + d.part.len + 1);
    if (!all)
        return false;
    memcpy(all, d.whole.p, d.whole.len);
    memcpy(all + d.whole.len, d.part.p, d.part.len);
    struct span digits = {all, d.whole.len + d.part.len};
    struct big *b = big_from_digits(a, digits, d.neg, (int32_t)MAX(scale, (int64_t)0));
    if (b && scale < 0) {
        b = big_rescale(a, b, (int32_t)-scale, BIG_TRUNC);
        if (b)
            b->scale = 0;
    }
    return settle(b, ret);
}

size_t num_text_small(int64_t m, int32_t scale, char ret[NUM_TEXT_MAX])
{
    char tmp[NUM_TEXT_MAX];
    uint64_t u = m < 0 ? -(uint64_t)m : (uint64_t)m;
    size_t n = 0;
    int32_t place = 0;
    do {
        tmp[n++] = (char)('0' + u % 10);
        u /= 10;
        if (++place == scale)
            tmp[n++] = '.';
    } while (u > 0 || place <= scale);
    if (m < 0)
        tmp[n++] = '-';
    for (size_t i = 0; i < n; i++)
        ret[i] = tmp[n - 1 - i];
    return n;
}

void num_text(struct num x, struct buf *out)
{
    char text[NUM_TEXT_MAX];
    if (x.big)
        big_text(x.big, out);
    else
        buf_append(out, text, num_text_small(x.m, x.scale, text));
}

/* ---- order ---- */

int num_sign(struct num x)
{
    if (x.big)
        return x.big->n == 0 ? 0 : x.big->neg ? -1 : 1;
    return (x.m > 0) - (x.m < 0);
}

int num_cmp(struct num x, struct num y, struct arena *a)
{
    if (!x.big && !y.big) {
        num_wide mx = x.m, my = y.m;
        if (x.scale == y.scale)
            return (x.m > y.m) - (x.m < y.m);
        if (scale_up(x.scale < y.scale ? &mx : &my, abs(x.scale - y.scale)))
            return (mx > my) - (mx < my);
    }
    int sx = num_sign(x), sy = num_sign(y);
    if (sx != sy)
        return sx < sy ? -1 : 1;
    const struct big *bx = enlarge(a, x), *by = enlarge(a, y);
    return bx && by ? big_cmp(bx, by, a) : 0;
}

/* ---- arithmetic ---- */

static bool add(struct arena *a, struct num x, struct num y, bool minus, struct num *ret)
{
    if (!x.big && !y.big) {
        num_wide mx = x.m, my = y.m;
        if (scale_up(x.scale < y.scale ? &mx : &my, abs(x.scale - y.scale)))
            return num_make(a, minus ? mx - my : mx + my, MAX(x.scale, y.scale), ret);
    }
    const struct big *bx = enlarge(a, x), *by = enlarge(a, y);
    return bx && by && settle(big_add(a, bx, by, minus), ret);
}

bool num_add(struct arena *a, struct num x, struct num y, struct num *ret)
{
    return add(a, x, y, false, ret);
}

bool num_sub(struct arena *a, struct num x, struct num y, struct num *ret)
{
    return add(a, x, y, true, ret);
}

bool num_mul(struct arena *a, struct num x, struct num y, struct num *ret)
{
    if (!x.big && !y.big)
        return num_make(a, (num_wide)x.m * y.m, x.scale + y.scale, ret);
    const struct big *bx = enlarge(a, x), *by = enlarge(a, y);
    return bx && by && settle(big_mul(a, bx, by), ret);
}

/* The weight (power of 10000) of the first digit in base 10000, and that digit. */
static void leading(struct num x, int32_t *ret_weight, int32_t *ret_digit)
{
    int32_t count = 0, scale = num_scale(x);
    uint64_t u = 0;
    *ret_weight = *ret_digit = 0;
    if (num_sign(x) == 0)
        return;
    if (x.big) {
        count = (int32_t)big_digits(x.big);
        for (uint32_t i = x.big->n; i-- > 0 && i + 2 > x.big->n - 1;)
            u = u * BIG_LIMB + x.big->limbs[i];
        if (x.big->n > 1) { /* u holds the top two limbs */
            int32_t held = 0;
            for (uint64_t v = u; v > 0; v /= 10)
                held++;
            scale -= count - held;
            count = held;
        }
    } else {
        u = x.m < 0 ? -(uint64_t)x.m : (uint64_t)x.m;
        for (uint64_t v = u; v > 0; v /= 10)
            count++;
    }
    int32_t lead = count - 1 - scale; /* power of ten of the first decimal digit */
    int32_t weight = lead >= 0 ? lead / NBASE_DIGITS : -((-lead + NBASE_DIGITS - 1) / NBASE_DIGITS);
    int32_t shift = -scale - weight * NBASE_DIGITS; /* u * 10^shift is the digit and a fraction */
    for (; shift < 0; shift++)
        u /= 10;
    for (; shift > 0; shift--)
        u *= 10;
    *ret_weight = weight;
    *ret_digit = (int32_t)u;
}

/* numeric.c, select_div_scale: at least 16 significant digits, and the scales of both. */
int32_t num_div_scale(struct num x, struct num y)
{
    int32_t wx, wy, dx, dy;
    leading(x, &wx, &dx);
    leading(y, &wy, &dy);
    int32_t weight = wx - wy - (dx <= dy);
    int32_t scale = SIG_DIGITS_MIN - weight * NBASE_DIGITS;
    scale = MAX(scale, num_scale(x));
    scale = MAX(scale, num_scale(y));
    return MIN(MAX(scale, 0), DIV_SCALE_MAX);
}

bool num_div(struct arena *a, struct num x, struct num y, struct num *ret)
{
    int32_t scale = num_div_scale(x, y);
    if (!x.big && !y.big) {
        int32_t up = scale + y.scale - x.scale;
        num_wide top = x.m;
        if (up >= 0 && up <= NUM_POW10_MAX && scale_up(&top, up)) {
            num_wide q = top / y.m, rest = top % y.m;
            num_wide twice = (rest < 0 ? -rest : rest) * 2, by = y.m < 0 ? -(num_wide)y.m : y.m;
            if (twice >= by)
                q += (x.m < 0) == (y.m < 0) ? 1 : -1;
            return num_make(a, q, scale, ret);
        }
    }
    const struct big *bx = enlarge(a, x), *by = enlarge(a, y);
    return bx && by && settle(big_div(a, bx, by, scale), ret);
}

bool num_mod(struct arena *a, struct num x, struct num y, struct num *ret)
{
    if (!x.big && !y.big) {
        num_wide mx = x.m, my = y.m;
        if (scale_up(x.scale < y.scale ? &mx : &my, abs(x.scale - y.scale)))
            return num_make(a, mx % my, MAX(x.scale, y.scale), ret);
    }
    const struct big *bx = enlarge(a, x), *by = enlarge(a, y);
    return bx && by && settle(big_mod(a, bx, by), ret);
}

bool num_neg(struct arena *a, struct num x, struct num *ret)
{
    if (!x.big)
        return num_make(a, -(num_wide)x.m, x.scale, ret);
    return settle(big_neg(a, x.big, !x.big->neg), ret);
}

bool num_rescale(struct arena *a, struct num x, int32_t scale, enum big_round mode, struct num *ret)
{
    if (!x.big) {
        int32_t down = x.scale - scale;
        num_wide m = x.m;
        if (down <= 0 && scale_up(&m, -down))
            return num_make(a, m, scale, ret);
        if (down > 0 && down <= NUM_POW10_MAX) {
            int64_t by = num_pow10[down], q = x.m / by, rest = x.m % by;
            if (mode == BIG_HALF_AWAY && (rest < 0 ? -rest : rest) >= by - by / 2)
                q += x.m < 0 ? -1 : 1;
            q += mode == BIG_CEIL && rest > 0;
            q -= mode == BIG_FLOOR && rest < 0;
            return num_make(a, q, scale, ret);
        }
    }
    const struct big *b = enlarge(a, x);
    return b && settle(big_rescale(a, b, scale, mode), ret);
}

bool num_round(struct arena *a, struct num x, int64_t digits, enum big_round mode, struct num *ret)
{
    digits = MIN(MAX(digits, (int64_t)-ROUND_DIGITS_MAX), (int64_t)ROUND_DIGITS_MAX);
    if (digits >= 0)
        return num_rescale(a, x, (int32_t)digits, mode, ret);
    /* To tens, hundreds ...: as a number of that many units, and back. */
    const struct big *b = enlarge(a, x);
    struct big *units = b ? big_copy(a, b) : NULL;
    if (!units)
        return false;
    units->scale += (int32_t)-digits;
    units = big_rescale(a, units, 0, mode);
    struct big *back = units ? big_rescale(a, units, (int32_t)-digits, BIG_TRUNC) : NULL;
    if (back)
        back->scale = 0;
    return settle(back, ret);
}

bool num_strip(struct arena *a, struct num x, struct num *ret)
{
    if (!x.big) {
        while (x.scale > 0 && x.m % 10 == 0) {
            x.m /= 10;
            x.scale--;
        }
        *ret = x;
        return true;
    }
    struct num shorter = x;
    for (int32_t scale = x.big->scale; scale > 0; scale--) {
        struct num next;
        if (!num_rescale(a, shorter, scale - 1, BIG_TRUNC, &next))
            return false;
        if (num_cmp(next, shorter, a) != 0)
            break;
        shorter = next;
        if (!shorter.big)
            return num_strip(a, shorter, ret);
    }
    *ret = shorter;
    return true;
}

/* ---- other types ---- */

bool num_to_i64(struct num x, struct arena *a, int64_t *ret)
{
    struct num whole;
    if (!num_rescale(a, x, 0, BIG_HALF_AWAY, &whole) || whole.big)
        return false;
    *ret = whole.m;
    return true;
}

double num_to_f64(struct arena *a, struct num x)
{
    /* Both are exact, so the quotient is the nearest double. */
    if (!x.big && x.m > -(INT64_C(1) << 53) && x.m < (INT64_C(1) << 53) && x.scale <= 22) {
        double by = 1;
        for (int32_t i = 0; i < x.scale; i++)
            by *= 10;
        return (double)x.m / by;
    }
    char small[NUM_TEXT_MAX + 1];
    enum { MARKS = 4 }; /* sign, zero before the point, point, NUL */
    char *text = x.big ? arena_alloc(a, big_digits(x.big) + (size_t)x.big->scale + MARKS) : small;
    if (!text)
        return NAN;
    *(x.big ? big_put(x.big, text) : text + num_text_small(x.m, x.scale, text)) = '\0';
    return strtod(text, NULL);
}

bool num_from_f64(struct arena *a, double x, struct num *ret)
{
    char text[64];
    bool too_long;
    int n = snprintf(text, sizeof text, "%.*g", FLOAT_DIGITS, x);
    return n > 0 && num_parse(a, (struct span){text, (size_t)n}, ret, &too_long);
}
