#include "pg_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "common/pgnum.h"

enum { NUMBER_LEN_MAX = 400, EXPONENT_MAX = 200000 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct span trimmed(struct span s)
{
    while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool is_word(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* ---- numbers ---- */

static bool read_exponent(struct span text, size_t at, int32_t *ret)
{
    bool negative = false;
    int32_t v = 0;
    if (at < text.len && (text.p[at] == '-' || text.p[at] == '+'))
        negative = text.p[at++] == '-';
    if (at == text.len)
        return false;
    for (; at < text.len; at++) {
        if (!is_digit(text.p[at]) || v > EXPONENT_MAX)
            return false;
        v = v * 10 + (text.p[at] - '0');
    }
    *ret = negative ? -v : v;
    return true;
}

static bool read_word(struct span s, struct pg_numeric *ret)
{
    const struct {
        const char *word;
        enum pg_numeric_kind kind;
    } words[] = {{"nan", PG_NUMERIC_NAN},
                 {"infinity", PG_NUMERIC_PLUS_INF},
                 {"inf", PG_NUMERIC_PLUS_INF},
                 {"-infinity", PG_NUMERIC_MINUS_INF},
                 {"-inf", PG_NUMERIC_MINUS_INF}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (is_word(s, words[i].word)) {
            *ret = (struct pg_numeric){.kind = words[i].kind};
            return true;
        }
    return false;
}

bool pg_text_numeric(struct span text, struct pg_numeric *ret)
{
    const struct span s = trimmed(text);
    struct pg_numeric n = {.first = (size_t)(s.p - text.p)};
    size_t at = 0, digits = 0, point = SIZE_MAX, first_digit = SIZE_MAX;
    if (at < s.len && (s.p[at] == '-' || s.p[at] == '+')) {
        n.negative = s.p[at++] == '-';
        n.first++;
    }
    for (; at < s.len; at++) {
        if (is_digit(s.p[at])) {
            digits++;
            if (s.p[at] != '0' && first_digit == SIZE_MAX)
                first_digit = at;
        } else if (s.p[at] == '.' && point == SIZE_MAX) {
            point = at;
        } else {
            break;
        }
    }
    n.end = (size_t)(s.p - text.p) + at;
    if (digits == 0)
        return read_word(s, ret);
    if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
        if (!read_exponent(s, at + 1, &n.exponent))
            return false;
    } else if (at < s.len) {
        return false;
    }
    if (first_digit != SIZE_MAX) {
        const size_t whole_end = point == SIZE_MAX ? at : point;
        const int64_t whole = first_digit < whole_end ? (int64_t)(whole_end - first_digit)
                                                      : -(int64_t)(first_digit - whole_end - 1);
        if (whole + n.exponent > PG_NUMERIC_DIGITS_MAX || whole > PG_NUMERIC_DIGITS_MAX)
            return false;
        n.whole_digits = (int32_t)whole + n.exponent;
    }
    const int64_t scale = (point == SIZE_MAX ? 0 : (int64_t)(at - point - 1)) - n.exponent;
    if (scale > PG_NUMERIC_SCALE_MAX)
        return false;
    *ret = n;
    return true;
}

/* Digits that fit into 64 bits, which nearly all do. */
static bool small_decimal(struct span digits, uint64_t *ret, int32_t *ret_scale)
{
    enum { SMALL_DIGITS = 18 };
    uint64_t m = 0;
    size_t point = digits.len;
    if (digits.len > SMALL_DIGITS + 1)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] == '.')
            point = i + 1;
        else
            m = m * 10 + (uint64_t)(digits.p[i] - '0');
    }
    *ret = m;
    *ret_scale = (int32_t)(digits.len - point);
    return true;
}

void pg_text_numeric_put(struct buf *out, struct span text, const struct pg_numeric *n)
{
    static const uint16_t signs[] = {
        [PG_NUMERIC_NAN] = 0xC000, [PG_NUMERIC_PLUS_INF] = 0xD000, [PG_NUMERIC_MINUS_INF] = 0xF000};
    const struct span digits = {text.p + n->first, n->end - n->first};
    uint64_t m;
    int32_t scale;
    if (n->kind != PG_NUMERIC_FINITE) {
        pgnum_put_special(out, signs[n->kind]);
    } else if (n->exponent == 0 && small_decimal(digits, &m, &scale)) {
        uint8_t *to = buf_reserve(out, PGNUM_ROOM);
        out->len += to ? (size_t)(pgnum_put(to, m, n->negative, scale) - to) : 0;
    } else {
        pgnum_put_digits(out, digits, n->negative, n->exponent);
    }
}

bool pg_text_int(struct span text, int64_t *ret)
{
    const struct span s = trimmed(text);
    size_t at = 0;
    bool negative = false;
    int64_t v = 0;
    if (at < s.len && (s.p[at] == '-' || s.p[at] == '+'))
        negative = s.p[at++] == '-';
    if (at == s.len)
        return false;
    for (; at < s.len && is_digit(s.p[at]); at++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, (int64_t)(s.p[at] - '0'), &v)) /* down: INT64_MIN fits */
            return false;
    /* "12.000" is a whole number that an exact decimal came to. */
    if (at < s.len && s.p[at] == '.')
        for (at++; at < s.len && s.p[at] == '0';)
            at++;
    if (at != s.len || (!negative && v == INT64_MIN))
        return false;
    *ret = negative ? v : -v;
    return true;
}

bool pg_text_double(struct span text, double *ret)
{
    char copy[NUMBER_LEN_MAX + 1], *end = NULL;
    const struct span s = trimmed(text);
    if (s.len == 0 || s.len > NUMBER_LEN_MAX || memchr(s.p, 'x', s.len) || memchr(s.p, 'X', s.len))
        return false;
    memcpy(copy, s.p, s.len);
    copy[s.len] = '\0';
    errno = 0;
    const double v = strtod(copy, &end);
    if (end != copy + s.len || (errno == ERANGE && (isinf(v) || v == 0)))
        return false;
    *ret = v;
    return true;
}

bool pg_text_bool(struct span text, bool *ret)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "on", "1"};
    static const char *const no[] = {"false", "f", "no", "n", "off", "0"};
    const struct span s = trimmed(text);
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (is_word(s, yes[i]) || is_word(s, no[i])) {
            *ret = is_word(s, yes[i]);
            return true;
        }
    return false;
}

bool pg_text_uuid(struct span text, uint8_t ret[16])
{
    struct span s = trimmed(text);
    size_t n = 0;
    if (s.len > 2 && s.p[0] == '{' && s.p[s.len - 1] == '}')
        s = (struct span){s.p + 1, s.len - 2};
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.p[i];
        if (c == '-' && n > 0 && n % 4 == 0 && i + 1 < s.len && s.p[i - 1] != '-')
            continue;
        const int v = is_digit(c)            ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
        if (v < 0 || n >= 32)
            return false;
        ret[n / 2] = (uint8_t)(n % 2 ? ret[n / 2] | v : v << 4);
        n++;
    }
    return n == 32;
}

/* ---- days and times; proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
 * algorithms") ---- */

static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t of_era = year - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t of_era = days - era * 146097;
    const int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    const int64_t m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

/* So many digits, exactly (or at least min, at most max). */
static bool take(struct span *s, size_t min, size_t max, int64_t *ret)
{
    size_t n = 0;
    int64_t v = 0;
    while (n < max && n < s->len && is_digit(s->p[n]))
        v = v * 10 + (s->p[n++] - '0');
    if (n < min)
        return false;
    s->p += n;
    s->len -= n;
    *ret = v;
    return true;
}

static bool take_char(struct span *s, const char *any)
{
    if (s->len == 0 || !strchr(any, s->p[0]) || s->p[0] == '\0')
        return false;
    s->p++;
    s->len--;
    return true;
}

static bool take_date(struct span *s, int64_t *ret_days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d;
    if (!take(s, 4, 7, &y) || !take_char(s, "-") || !take(s, 2, 2, &m) || !take_char(s, "-") ||
        !take(s, 2, 2, &d))
        return false;
    if (y < 1 || m < 1 || m > 12 || d < 1)
        return false;
    const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > lengths[m - 1] + (m == 2 && leap))
        return false;
    *ret_days = days_of(y, (int)m, (int)d);
    return true;
}

bool pg_text_date(struct span text, int64_t *ret_days)
{
    struct span s = trimmed(text);
    int64_t days;
    if (!take_date(&s, &days) || s.len != 0)
        return false;
    *ret_days = days;
    return true;
}

static bool take_time(struct span *s, int64_t *ret_us)
{
    int64_t h, m, sec = 0, fraction = 0;
    if (!take(s, 2, 2, &h) || !take_char(s, ":") || !take(s, 2, 2, &m))
        return false;
    if (take_char(s, ":")) {
        if (!take(s, 2, 2, &sec))
            return false;
        if (take_char(s, ".,")) {
            const size_t before = s->len;
            if (!take(s, 1, 6, &fraction))
                return false;
            for (size_t n = before - s->len; n < 6; n++)
                fraction *= 10;
            while (s->len > 0 && is_digit(s->p[0])) /* finer than a microsecond */
                (void)take_char(s, "0123456789");
        }
    }
    if (h > 24 || m > 59 || sec > 60)
        return false;
    *ret_us = ((h * 60 + m) * 60 + sec) * 1000000 + fraction;
    return true;
}

static bool take_offset(struct span *s, int64_t *ret_us)
{
    int64_t h, m = 0;
    *ret_us = 0;
    if (s->len == 0 || take_char(s, "zZ"))
        return true;
    const bool west = s->p[0] == '-';
    if (!take_char(s, "+-") || !take(s, 2, 2, &h))
        return false;
    (void)take_char(s, ":");
    if (s->len > 0 && !take(s, 2, 2, &m))
        return false;
    if (h > 15 || m > 59)
        return false;
    *ret_us = (h * 60 + m) * INT64_C(60000000) * (west ? -1 : 1);
    return true;
}

bool pg_text_timestamp(struct span text, int64_t *ret_us)
{
    struct span s = trimmed(text);
    int64_t days, us = 0, offset = 0;
    if (!take_date(&s, &days))
        return false;
    if (s.len > 0 && (!take_char(&s, "tT ") || !take_time(&s, &us)))
        return false;
    (void)take_char(&s, " ");
    if (!take_offset(&s, &offset) || s.len != 0)
        return false;
    int64_t all;
    if (__builtin_mul_overflow(days, INT64_C(86400000000), &all) ||
        __builtin_add_overflow(all, us - offset, &all))
        return false;
    *ret_us = all;
    return true;
}

struct span pg_text_of_date(int64_t days, char scratch[64])
{
    int64_t y;
    int m, d;
    date_of(days, &y, &m, &d);
    snprintf(scratch, 64, "%04lld-%02d-%02d", (long long)y, m, d);
    return span_str(scratch);
}

struct span pg_text_of_timestamp(int64_t us, char scratch[64])
{
    int64_t days = us / INT64_C(86400000000), rest = us % INT64_C(86400000000), y;
    int m, d;
    if (rest < 0) {
        rest += INT64_C(86400000000);
        days--;
    }
    date_of(days, &y, &m, &d);
    const int64_t s = rest / 1000000;
    int n = snprintf(scratch, 64, "%04lld-%02d-%02d %02d:%02d:%02d", (long long)y, m, d,
                     (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
    if (rest % 1000000)
        n += snprintf(scratch + n, 64 - (size_t)n, ".%06d", (int)(rest % 1000000));
    snprintf(scratch + n, 64 - (size_t)n, "+00");
    return span_str(scratch);
}
