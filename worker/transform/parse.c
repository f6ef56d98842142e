#include "parse.h"

#include <ctype.h>

#include "textfloat.h"

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
    } words[] = {{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
                 {"on", 2, true},   {"off", 2, false},   {"1", 1, true},   {"0", 1, false}};
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
