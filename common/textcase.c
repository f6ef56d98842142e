#include "textcase.h"

struct textcase_pair {
    uint32_t from, to;
};

#include "common/textcase_table.h"

/* The last pair whose first member is not above c, or NULL. */
static const struct textcase_pair *find(const struct textcase_pair *pairs, size_t n, uint32_t c)
{
    size_t low = 0;
    while (n > 0) {
        size_t half = n / 2;
        if (pairs[low + half].from <= c) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low > 0 ? &pairs[low - 1] : NULL;
}

static uint32_t map(const struct textcase_pair *pairs, size_t n, uint32_t c)
{
    const struct textcase_pair *p = find(pairs, n, c);
    return p && p->from == c ? p->to : c;
}

uint32_t textcase_to_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return map(textcase_lower, ARRAY_LEN(textcase_lower), c);
}

uint32_t textcase_to_upper(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return map(textcase_upper, ARRAY_LEN(textcase_upper), c);
}

bool textcase_is_alnum(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const struct textcase_pair *p = find(textcase_alnum, ARRAY_LEN(textcase_alnum), c);
    return p && c <= p->to;
}

uint32_t textcase_read(const char *p, size_t *ret_len)
{
    uint8_t a = (uint8_t)p[0];
    size_t len = a < 0x80 ? 1 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? a : a & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((uint8_t)p[i] & 0x3f);
    *ret_len = len;
    return c;
}

size_t textcase_write(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)((0xf00 >> len) | c);
    return len;
}

size_t textcase_count(struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += textcase_starts(s.p[i]);
    return n;
}

size_t textcase_bytes(struct span s, size_t n)
{
    size_t i = 0;
    for (; i < s.len; i++)
        if (textcase_starts(s.p[i]) && n-- == 0)
            break;
    return i;
}
