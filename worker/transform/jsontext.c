#include "jsontext.h"

static uint32_t hex4(const char *p)
{
    uint32_t x = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = (uint8_t)p[i];
        x = x * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return x;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
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
            to = put_utf8(to, c);
        } else {
            const char *name = strchr(names, p[1]);
            *to++ = name ? values[name - names] : p[1];
            p += 2;
        }
    }
    *ret_len = (size_t)(to - begin);
    return true;
}
