#include "value.h"

#include <stdio.h>
#include <strings.h>

#include "value_date.h"

const char *const value_type_names[] = {"str",  "int",      "float", "decimal", "bool",
                                        "date", "datetime", "url",   "json",    NULL};

enum col_type value_column(enum value_type type)
{
    static const enum col_type columns[] = {
        [VALUE_STR] = COL_TEXT,           [VALUE_INT] = COL_INT64, [VALUE_FLOAT] = COL_FLOAT64,
        [VALUE_DECIMAL] = COL_DECIMAL,    [VALUE_BOOL] = COL_BOOL, [VALUE_DATE] = COL_DATE,
        [VALUE_DATETIME] = COL_TIMESTAMP, [VALUE_URL] = COL_TEXT,  [VALUE_JSON] = COL_JSON,
    };
    return columns[type];
}

/* ---- white space ---- */

size_t value_space(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.len == 0)
        return 0;
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (s.len >= 2 && p[0] == 0xC2 && (p[1] == 0xA0 || p[1] == 0x85))
        return 2;
    if (s.len < 3)
        return 0;
    uint32_t c = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    bool space = (c >= 0xE28080 && c <= 0xE2808B) || /* U+2000 to U+200B */
                 c == 0xE280A8 || c == 0xE280A9 || c == 0xE280AF ||
                 c == 0xE2819F ||                                 /* 2028 2029 202F 205F */
                 c == 0xE38080 || c == 0xEFBBBF || c == 0xE19A80; /* 3000 FEFF 1680 */
    return space ? 3 : 0;
}

struct span value_strip(struct span s)
{
    size_t n;
    while ((n = value_space(s)) > 0)
        s = (struct span){s.p + n, s.len - n};
    for (;;) {
        size_t i = 1; /* the start of the last character */
        while (i < 3 && i < s.len && ((unsigned char)s.p[s.len - i] & 0xC0) == 0x80)
            i++;
        if (i > s.len || value_space((struct span){s.p + s.len - i, i}) != i)
            return s;
        s.len -= i;
    }
}

/* ---- numbers ---- */

/* A number in parts, as it was written: its digits without grouping and where the fraction begins. */
struct number {
    bool negative;
    size_t n_whole, n_fraction;
    char whole[VALUE_NUMBER_BYTES_MAX], fraction[VALUE_NUMBER_BYTES_MAX];
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool drop(struct span *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->len < n || memcmp(s->p, prefix, n) != 0)
        return false;
    *s = (struct span){s->p + n, s->len - n};
    return true;
}

static bool drop_end(struct span *s, const char *suffix)
{
    size_t n = strlen(suffix);
    if (s->len < n || memcmp(s->p + s->len - n, suffix, n) != 0)
        return false;
    s->len -= n;
    return true;
}

/* One currency sign before or after the number says nothing about its value. */
static struct span drop_currency(struct span s)
{
    static const char *const signs[] = {"$", "€", "£", "¥", "₹", "₽",
                                        "₩", "₺", "₴", "฿", "₫", "₪"};
    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        if (drop(&s, signs[i]) || drop_end(&s, signs[i]))
            break;
    return value_strip(s);
}

static bool drop_sign(struct span *s)
{
    if (drop(s, "-") || drop(s, "\xE2\x88\x92")) /* U+2212, the typographic minus */
        return true;
    (void)drop(s, "+");
    return false;
}

/* The length of a grouping mark that can only be one: an apostrophe or a space. */
static size_t group_mark(struct span s)
{
    static const char quote[] = "\xE2\x80\x99"; /* U+2019 */
    if (s.len >= 1 && s.p[0] == '\'')
        return 1;
    if (s.len >= 3 && memcmp(s.p, quote, 3) == 0)
        return 3;
    return value_space(s);
}

/* Which of '.' and ',' begins the fraction of s; 0: none does. The last mark when both occur; a mark
 * that occurs twice groups; a lone comma before exactly three digits groups ("1,234"), a lone point
 * does not. */
static char find_decimal_mark(struct span s)
{
    size_t points = 0, commas = 0, comma_at = 0;
    char last = 0;
    for (size_t i = 0; i < s.len; i++) {
        points += s.p[i] == '.';
        if (s.p[i] == ',') {
            commas++;
            comma_at = i;
        }
        if (s.p[i] == '.' || s.p[i] == ',')
            last = s.p[i];
    }
    if (points && commas)
        return (last == '.' ? points : commas) == 1 ? last : 0;
    if (points)
        return points == 1 ? '.' : 0;
    if (commas != 1)
        return 0;
    bool groups = s.len - comma_at == 4 && comma_at >= 1 && comma_at <= 3 && s.p[0] != '0';
    return groups ? 0 : ',';
}

/* The digits before the decimal mark. Groups after the first must have three digits. */
static bool read_whole(struct span s, char mark, struct number *n)
{
    size_t in_group = 0, groups = 0;
    while (s.len > 0) {
        if (digit(s.p[0])) {
            n->whole[n->n_whole++] = s.p[0];
            in_group++;
            s = (struct span){s.p + 1, s.len - 1};
            continue;
        }
        size_t len = (s.p[0] == '.' || s.p[0] == ',') && s.p[0] != mark ? 1 : group_mark(s);
        if (len == 0 || in_group == 0 || (groups > 0 ? in_group != 3 : in_group > 3))
            return false;
        groups++;
        in_group = 0;
        s = (struct span){s.p + len, s.len - len};
    }
    return groups == 0 || in_group == 3;
}

static bool read_number(struct span s, char mark, struct number *n)
{
    n->n_whole = n->n_fraction = 0;
    s = value_strip(s);
    if (s.len == 0 || s.len >= VALUE_NUMBER_BYTES_MAX)
        return false;
    n->negative = drop_sign(&s);
    s = drop_currency(s);
    if (!n->negative)
        n->negative = drop_sign(&s);
    if (!mark)
        mark = find_decimal_mark(s);
    const char *at = mark ? memrchr(s.p, mark, s.len) : NULL;
    struct span whole = {s.p, at ? (size_t)(at - s.p) : s.len};
    if (at)
        for (const char *p = at + 1; p < s.p + s.len; p++) {
            if (!digit(*p))
                return false;
            n->fraction[n->n_fraction++] = *p;
        }
    return read_whole(whole, mark, n) && n->n_whole + n->n_fraction > 0;
}

static bool parse_int(struct span s, char mark, int64_t *ret)
{
    struct number n;
    if (!read_number(s, mark, &n) || n.n_whole == 0)
        return false;
    for (size_t i = 0; i < n.n_fraction; i++)
        if (n.fraction[i] != '0')
            return false;
    int64_t v = 0;
    for (size_t i = 0; i < n.n_whole; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, n.whole[i] - '0', &v))
            return false;
    if (!n.negative && v == INT64_MIN)
        return false;
    *ret = n.negative ? v : -v;
    return true;
}

/* "[-]digits[.digits]", without leading zeros before other digits. */
static bool parse_decimal(struct span s, char mark, struct value *ret)
{
    struct number n;
    if (!read_number(s, mark, &n))
        return false;
    size_t skip = 0, len = 0;
    while (skip + 1 < n.n_whole && n.whole[skip] == '0')
        skip++;
    bool zero = true;
    for (size_t i = 0; i < n.n_whole; i++)
        zero &= n.whole[i] == '0';
    for (size_t i = 0; i < n.n_fraction; i++)
        zero &= n.fraction[i] == '0';
    if (n.negative && !zero)
        ret->digits[len++] = '-';
    if (n.n_whole == 0)
        ret->digits[len++] = '0';
    memcpy(ret->digits + len, n.whole + skip, n.n_whole - skip);
    len += n.n_whole - skip;
    if (n.n_fraction) {
        ret->digits[len++] = '.';
        memcpy(ret->digits + len, n.fraction, n.n_fraction);
        len += n.n_fraction;
    }
    ret->text = (struct span){ret->digits, len};
    return true;
}

/* Scientific notation ("6.02e23") is read as it stands; the rest like a decimal. */
static bool parse_float(struct span s, char mark, double *ret)
{
    s = value_strip(s);
    char text[VALUE_NUMBER_BYTES_MAX + 1];
    struct value decimal;
    if (s.len == 0 || s.len >= VALUE_NUMBER_BYTES_MAX)
        return false;
    const char *exponent = memchr(s.p, 'e', s.len);
    if (!exponent)
        exponent = memchr(s.p, 'E', s.len);
    struct span mantissa = {s.p, exponent ? (size_t)(exponent - s.p) : s.len};
    if (!parse_decimal(mantissa, exponent ? '.' : mark, &decimal))
        return false;
    memcpy(text, decimal.text.p, decimal.text.len);
    size_t len = decimal.text.len;
    if (exponent) {
        struct span tail = {exponent + 1, s.len - mantissa.len - 1};
        size_t i = tail.len > 0 && (tail.p[0] == '-' || tail.p[0] == '+') ? 1 : 0;
        if (i == tail.len || tail.len > 5 || len + tail.len + 2 > sizeof text)
            return false;
        for (; i < tail.len; i++)
            if (!digit(tail.p[i]))
                return false;
        text[len++] = 'e';
        memcpy(text + len, tail.p, tail.len);
        len += tail.len;
    }
    text[len] = 0;
    char *end;
    *ret = strtod(text, &end); /* the text has a point only: no program here sets LC_NUMERIC */
    return *end == 0 && *ret - *ret == 0; /* not infinite */
}

static bool parse_bool(struct span s, bool *ret)
{
    static const char *const words[2][6] = {{"false", "no", "off", "0", "n", "f"},
                                            {"true", "yes", "on", "1", "y", "t"}};
    s = value_strip(s);
    for (int b = 0; b < 2; b++)
        for (size_t i = 0; i < ARRAY_LEN(words[b]); i++)
            if (strlen(words[b][i]) == s.len && strncasecmp(words[b][i], s.p, s.len) == 0) {
                *ret = b;
                return true;
            }
    return false;
}

bool value_parse(enum value_type type, const struct value_options *options, struct span text,
                 struct value *ret)
{
    ret->type = type;
    switch (type) {
    case VALUE_INT:
        return parse_int(text, options->decimal_mark, &ret->i);
    case VALUE_FLOAT:
        return parse_float(text, options->decimal_mark, &ret->f);
    case VALUE_DECIMAL:
        return parse_decimal(text, options->decimal_mark, ret);
    case VALUE_BOOL:
        return parse_bool(text, &ret->b);
    case VALUE_DATE:
    case VALUE_DATETIME:
        return value_parse_date(text, options->format, type == VALUE_DATE, &ret->i);
    default:
        ret->text = text;
        return true;
    }
}

void value_write_json(const struct value *v, struct buf *out)
{
    switch (v->type) {
    case VALUE_INT:
        buf_printf(out, "%lld", (long long)v->i);
        break;
    case VALUE_FLOAT:
        buf_printf(out, "%.17g", v->f);
        break;
    case VALUE_BOOL:
        buf_str(out, v->b ? "true" : "false");
        break;
    case VALUE_DATE:
    case VALUE_DATETIME:
        value_date_write(v->i, v->type == VALUE_DATE, out);
        break;
    case VALUE_DECIMAL:
    case VALUE_JSON:
        buf_append(out, v->text.p, v->text.len);
        break;
    default:
        buf_json_str(out, v->text);
    }
}
