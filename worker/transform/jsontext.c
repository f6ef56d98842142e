#include "jsontext.h"

#include <ctype.h>

#include "common/textcase.h"

static const char null_text[64 + sizeof "null"] = "null"; /* may be read on, as vec.h wants it */
const struct span jsontext_null = {null_text, 4};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

struct span jsontext_trim(struct span doc)
{
    const char *end = doc.p + doc.len, *p = skip_blanks(doc.p, end);
    while (end > p && is_blank(end[-1]))
        end--;
    return (struct span){p, (size_t)(end - p)};
}

/* ---- checking ---- */

/* Each gives what comes behind, or NULL. */
static const char *check_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++) {
        if ((uint8_t)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        if (++p == end || !*p || !strchr("\"\\/bfnrtu", *p))
            return NULL;
        if (*p != 'u')
            continue;
        for (int i = 0; i < 4; i++)
            if (++p == end || !isxdigit((uint8_t)*p))
                return NULL;
    }
    return p < end ? p + 1 : NULL;
}

static const char *check_digits(const char *p, const char *end)
{
    const char *from = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > from ? p : NULL;
}

static const char *check_number(const char *p, const char *end)
{
    p += *p == '-';
    if (p < end && *p == '0')
        p++;
    else
        p = check_digits(p, end);
    if (p && p < end && *p == '.')
        p = check_digits(p + 1, end);
    if (p && p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        p = check_digits(p, end);
    }
    return p && (p == end || !isalnum((uint8_t)*p)) ? p : NULL;
}

static const char *check_scalar(const char *p, const char *end)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*p == '"')
        return check_string(p, end);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0)
            return p + n == end || !isalnum((uint8_t)p[n]) ? p + n : NULL;
    }
    return check_number(p, end);
}

/* The key of an object and its colon. */
static const char *check_key(const char *p, const char *end)
{
    p = skip_blanks(p, end);
    p = p < end && *p == '"' ? check_string(p, end) : NULL;
    p = p ? skip_blanks(p, end) : NULL;
    return p && p < end && *p == ':' ? p + 1 : NULL;
}

bool jsontext_valid(struct span doc)
{
    const char *p = doc.p, *end = doc.p + doc.len;
    char closes[JSONTEXT_DEPTH_MAX]; /* what ends each level */
    size_t depth = 0;
    for (;;) {
        p = skip_blanks(p, end);
        if (p == end)
            return false;
        bool opens = *p == '{' || *p == '[';
        if (opens) {
            if (depth == JSONTEXT_DEPTH_MAX)
                return false;
            closes[depth++] = *p == '{' ? '}' : ']';
            p = skip_blanks(p + 1, end);
            bool empty = p < end && *p == closes[depth - 1];
            if (!empty && closes[depth - 1] == '}' && !(p = check_key(p, end)))
                return false;
            if (!empty)
                continue;
        } else if (!(p = check_scalar(p, end))) {
            return false;
        }
        /* Behind a value, or at the end of a container without any. */
        for (;;) {
            p = skip_blanks(p, end);
            if (depth == 0)
                return p == end;
            if (p == end)
                return false;
            if (*p != closes[depth - 1])
                break;
            p++;
            depth--;
        }
        if (*p++ != ',' || (closes[depth - 1] == '}' && !(p = check_key(p, end))))
            return false;
    }
}

/* ---- walking through what is valid ---- */

static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    if (*p == '"')
        return skip_string(p);
    if (*p != '{' && *p != '[') {
        while (p < end && !is_blank(*p) && *p != ',' && *p != ']' && *p != '}')
            p++;
        return p;
    }
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p++;
    } while (depth > 0);
    return p;
}

enum jsontext_kind jsontext_kind_of(struct span doc)
{
    switch (jsontext_trim(doc).p[0]) {
    case '{':
        return JSONTEXT_OBJECT;
    case '[':
        return JSONTEXT_ARRAY;
    case '"':
        return JSONTEXT_STRING;
    case 't':
    case 'f':
        return JSONTEXT_BOOL;
    case 'n':
        return JSONTEXT_NULL;
    default:
        return JSONTEXT_NUMBER;
    }
}

/* Does the string (with its quotes) say the key? */
static bool is_key(struct span string, struct span key)
{
    struct span inner = {string.p + 1, string.len - 2};
    if (!memchr(inner.p, '\\', inner.len))
        return span_eq(inner, key);
    char *room = malloc(string.len);
    size_t n;
    bool same = room && jsontext_unescape(inner, room, &n) && span_eq((struct span){room, n}, key);
    free(room);
    return same;
}

bool jsontext_field(struct span doc, struct span key, struct span *ret)
{
    const char *end = doc.p + doc.len, *p = skip_blanks(doc.p, end);
    bool found = false;
    if (*p != '{')
        return false;
    p = skip_blanks(p + 1, end);
    while (*p != '}') {
        const char *name = p;
        p = skip_string(p);
        bool is = is_key((struct span){name, (size_t)(p - name)}, key);
        p = skip_blanks(skip_blanks(p, end) + 1, end); /* the colon */
        const char *value = p;
        p = skip_value(p, end);
        if (is)
            *ret = (struct span){value, (size_t)(p - value)};
        found |= is;
        p = skip_blanks(p, end);
        if (*p == ',')
            p = skip_blanks(p + 1, end);
    }
    return found;
}

/* The element of that number; SIZE_MAX: none, only counting. */
static size_t walk_array(struct span doc, size_t wanted, struct span *ret)
{
    const char *end = doc.p + doc.len, *p = skip_blanks(doc.p, end);
    size_t n = 0;
    p = skip_blanks(p + 1, end);
    while (*p != ']') {
        const char *value = p;
        p = skip_value(p, end);
        if (n++ == wanted) {
            *ret = (struct span){value, (size_t)(p - value)};
            break;
        }
        p = skip_blanks(p, end);
        if (*p == ',')
            p = skip_blanks(p + 1, end);
    }
    return n;
}

size_t jsontext_length(struct span array)
{
    return walk_array(array, SIZE_MAX, NULL);
}

bool jsontext_element(struct span doc, int64_t index, struct span *ret)
{
    if (jsontext_kind_of(doc) != JSONTEXT_ARRAY)
        return false;
    if (index < 0)
        index += (int64_t)jsontext_length(doc);
    return index >= 0 && walk_array(doc, (size_t)index, ret) == (size_t)index + 1;
}

/* ---- strings ---- */

static uint32_t hex4(const char *p)
{
    uint32_t x = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = (uint8_t)p[i];
        x = x * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return x;
}

/* p: at the backslash of \uXXXX, perhaps with the other half behind it. NULL: no character. */
static const char *code_point(const char *p, const char *end, uint32_t *ret)
{
    uint32_t c = hex4(p + 2);
    p += 6;
    if (c >= 0xD800 && c < 0xDC00) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
            return NULL;
        uint32_t low = hex4(p + 2);
        if (low < 0xDC00 || low > 0xDFFF)
            return NULL;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    } else if (c >= 0xDC00 && c < 0xE000) {
        return NULL;
    }
    *ret = c;
    return c > 0 ? p : NULL;
}

bool jsontext_unescape(struct span raw, char *to, size_t *ret_len)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    char *begin = to;
    for (const char *p = raw.p, *end = raw.p + raw.len; p < end;) {
        const char *backslash = memchr(p, '\\', (size_t)(end - p));
        const size_t n = (size_t)((backslash ? backslash : end) - p);
        memcpy(to, p, n);
        to += n;
        p += n;
        if (!backslash)
            break;
        if (p[1] == 'u') {
            uint32_t c;
            p = code_point(p, end, &c);
            if (!p)
                return false;
            to += textcase_write(c, to);
        } else {
            const char *name = strchr(names, p[1]);
            *to++ = name ? values[name - names] : p[1];
            p += 2;
        }
    }
    *ret_len = (size_t)(to - begin);
    return true;
}
