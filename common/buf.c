#include "buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "utf8.h"

void buf_init(struct buf *b, size_t limit_bytes)
{
    *b = (struct buf){.limit_bytes = limit_bytes};
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > SIZE_MAX / 2 - b->len || (b->limit_bytes && b->len + n > b->limit_bytes)) {
        b->failed = true;
        return NULL;
    }
    if (b->len + n > b->cap || !b->data) { /* never NULL, not for no bytes either */
        size_t cap = MAX(b->cap + b->cap / 2, b->len + n);
        uint8_t *data = realloc(b->data, MAX(cap, (size_t)64));
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->cap = MAX(cap, (size_t)64);
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    uint8_t *to = buf_reserve(b, n);
    if (!to || n == 0)
        return;
    memcpy(to, p, n);
    b->len += n;
}

void buf_byte(struct buf *b, uint8_t byte)
{
    uint8_t *to = buf_reserve(b, 1);
    if (!to)
        return;
    *to = byte;
    b->len++;
}

void buf_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    uint8_t *to = buf_reserve(b, (size_t)n + 1);
    if (!to)
        return;
    va_start(args, fmt);
    vsnprintf((char *)to, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
}

static void json_escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        buf_str(b, "\\\"");
        break;
    case '\\':
        buf_str(b, "\\\\");
        break;
    case '\n':
        buf_str(b, "\\n");
        break;
    case '\r':
        buf_str(b, "\\r");
        break;
    case '\t':
        buf_str(b, "\\t");
        break;
    default:
        buf_printf(b, "\\u%04x", c);
    }
}

/* How many bytes from i on stand in a string as they are: eight at a time, whose high bit a sum or a
 * difference sets that passes a border. */
static size_t plain_json(struct span s, size_t i)
{
    const uint64_t each = UINT64_C(0x0101010101010101), high = each << 7;
    for (; s.len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t x;
        memcpy(&x, s.p + i, sizeof(x));
        const uint64_t quote = x ^ each * '"', slash = x ^ each * '\\';
        if (((x - each * 0x20) | (quote - each) | (slash - each) | x) & high)
            break;
    }
    return i;
}

void buf_json_str(struct buf *b, struct span s)
{
    buf_byte(b, '"');
    size_t start = 0, i = plain_json(s, 0);
    while (i < s.len) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t n = c < 0x80 ? 0 : utf8_sequence(s.p + i, s.len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        buf_append(b, s.p + start, i - start);
        if (c < 0x80)
            json_escape(b, c);
        else
            buf_str(b, "\xEF\xBF\xBD");
        start = ++i;
    }
    buf_append(b, s.p + start, s.len - start);
    buf_byte(b, '"');
}

char *buf_take_str(struct buf *b)
{
    buf_byte(b, 0);
    if (b->failed)
        return NULL;
    char *s = (char *)TAKE_PTR(b->data);
    b->len = b->cap = 0;
    return s;
}
