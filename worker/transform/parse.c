#include "parse.h"

#include <ctype.h>

#include "textfloat.h"

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trimmed(struct span s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

enum parse parse_int(struct span s, enum sqltype type, int64_t *ret)
{
    bool over = false;
    int64_t x = 0;
    s = trimmed(s);
    bool neg = s.len > 0 && s.p[0] == '-';
    if (s.len > 0 && (neg || s.p[0] == '+')) {
        s.p++;
        s.len--;
    }
    if (s.len == 0)
        return PARSE_MALFORMED;
    for (size_t i = 0; i < s.len; i++) { /* towards minus, which reaches one further */
        if (s.p[i] < '0' || s.p[i] > '9')
            return PARSE_MALFORMED;
        over |= __builtin_mul_overflow(x, 10, &x);
        over |= __builtin_sub_overflow(x, s.p[i] - '0', &x);
    }
    over |= !neg && __builtin_sub_overflow(0, x, &x);
    over |= type == SQLTYPE_INT4 && (x < INT32_MIN || x > INT32_MAX);
    if (over)
        return PARSE_RANGE;
    *ret = x;
    return PARSE_OK;
}

enum parse parse_num(struct arena *a, struct span s, struct num *ret)
{
    bool too_long;
    if (num_parse(a, s, ret, &too_long))
        return PARSE_OK;
    return too_long ? PARSE_RANGE : PARSE_MALFORMED;
}

enum parse parse_float(struct span s, double *ret)
{
    switch (textfloat_read(s, ret)) {
    case TEXTFLOAT_OK:
        return PARSE_OK;
    case TEXTFLOAT_RANGE:
        return PARSE_RANGE;
    case TEXTFLOAT_MALFORMED:
        break;
    }
    return PARSE_MALFORMED;
}

/* Unique beginnings of true, false, yes, no, on, off; and 1, 0. */
enum parse parse_bool(struct span s, bool *ret)
{
    static const struct {
        const char *word;
        size_t min;
        bool value;
    } words[] = {{"true", 1, true},   {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
                 {"on", 2, true},     {"off", 2, false},   {"1", 1, true},   {"0", 1, false}};
    s = trimmed(s);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (s.len < words[i].min || s.len > strlen(words[i].word))
            continue;
        size_t k = 0;
        while (k < s.len && tolower((unsigned char)s.p[k]) == words[i].word[k])
            k++;
        if (k == s.len) {
            *ret = words[i].value;
            return PARSE_OK;
        }
    }
    return PARSE_MALFORMED;
}

/* ---- eight digits at a time ---- */

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

/* The last n (1 to 8) bytes before end, with '0' in front of them. */
static inline uint64_t load_last(const char *end, size_t n)
{
    uint64_t x, keep = ~UINT64_C(0) << (8 * (8 - n));
    memcpy(&x, end - 8, sizeof x);
    return (x & keep) | (EACH_BYTE('0') & ~keep);
}

/* 0x80 in the bytes that are points. */
static inline uint64_t points(uint64_t x)
{
    uint64_t y = x ^ EACH_BYTE('.');
    return ~(((y & EACH_BYTE(0x7f)) + EACH_BYTE(0x7f)) | y | EACH_BYTE(0x7f));
}

static inline bool all_digits(uint64_t x)
{
    return ((x & EACH_BYTE(0xf0)) | (((x + EACH_BYTE(0x06)) & EACH_BYTE(0xf0)) >> 4)) ==
           EACH_BYTE(0x33);
}

/* Pairs, then fours, then eights, each by one multiplication. */
static inline uint64_t digits_value(uint64_t x)
{
    x = (x & EACH_BYTE(0x0f)) * 2561 >> 8;
    x = (x & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
    return (x & UINT64_C(0x0000ffff0000ffff)) * 42949672960001 >> 32;
}

/* Takes the byte d (0: lowest) out; what is below moves up, and a '0' comes in. */
static inline uint64_t without(uint64_t x, unsigned d)
{
    uint64_t below = (UINT64_C(1) << (8 * d)) - 1;
    return (x & ~below & ~(UINT64_C(0xff) << (8 * d))) | (x & below) << 8 | '0';
}

bool parse_decimal_fast(struct span s, int64_t *ret_m, uint8_t *ret_scale)
{
    const char *end = s.p + s.len;
    bool neg = s.len > 0 && s.p[0] == '-';
    size_t n = s.len - neg;
    if (n - 1 >= 16)
        return false;
    uint64_t low = load_last(end, MIN(n, (size_t)8)), high = EACH_BYTE('0'), dot = points(low);
    uint64_t scale = 0;
    bool pointed = dot != 0;
    if (n > 8)
        high = load_last(end - 8, n - 8);
    if (dot) {
        unsigned d = (unsigned)__builtin_ctzll(dot) / 8;
        if (n == 1 || (dot & (dot - 1)))
            return false;
        scale = 7 - d;
        /* The top digit of the upper word comes down into the place that became free. */
        low = (without(low, d) & ~UINT64_C(0xff)) | high >> 56;
        high = high << 8 | '0';
    }
    if (!all_digits(low))
        return false;
    uint64_t m = digits_value(low);
    if (n > 8) {
        dot = points(high);
        if (dot) { /* the point stands further to the left */
            unsigned d = (unsigned)__builtin_ctzll(dot) / 8;
            if (pointed || (dot & (dot - 1)))
                return false;
            scale = 15 - d;
            high = without(high, d);
        }
        if (!all_digits(high))
            return false;
        m += digits_value(high) * 100000000;
    }
    *ret_m = neg ? -(int64_t)m : (int64_t)m;
    *ret_scale = (uint8_t)scale;
    return true;
}

#else

bool parse_decimal_fast(struct span s, int64_t *ret_m, uint8_t *ret_scale)
{
    (void)s;
    (void)ret_m;
    (void)ret_scale;
    return false;
}

#endif
