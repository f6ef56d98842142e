#include "charset.h"

#include <lexbor/encoding/encoding.h>
#include <lexbor/html/encoding.h>
#include <strings.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "value.h"

enum { PRESCAN_BYTES = 1024, DECODE_CHARS = 4096 };

struct charset_ctx {
    lxb_html_encoding_t prescan;
    struct buf out;
    lxb_codepoint_t chars[DECODE_CHARS];
};

struct charset_ctx *charset_ctx_new(void)
{
    struct charset_ctx *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (lxb_html_encoding_init(&c->prescan) != LXB_STATUS_OK) {
        charset_ctx_free(c);
        return NULL;
    }
    return c;
}

void charset_ctx_free(struct charset_ctx *c)
{
    if (!c)
        return;
    (void)lxb_html_encoding_destroy(&c->prescan, false);
    buf_done(&c->out);
    free(c);
}

void charset_ctx_trim(struct charset_ctx *c, size_t bytes)
{
    if (c->out.cap > bytes)
        buf_done(&c->out);
}

struct span charset_of_content_type(struct span type)
{
    for (size_t i = 0; i + 8 < type.len; i++) {
        if (type.p[i] != ';')
            continue;
        struct span p = value_strip((struct span){type.p + i + 1, type.len - i - 1});
        if (p.len <= 8 || strncasecmp(p.p, "charset", 7) != 0)
            continue;
        p = value_strip((struct span){p.p + 7, p.len - 7});
        if (p.len == 0 || p.p[0] != '=')
            continue;
        p = value_strip((struct span){p.p + 1, p.len - 1});
        const char *end = memchr(p.p, ';', p.len);
        if (end)
            p = value_strip((struct span){p.p, (size_t)(end - p.p)});
        if (p.len >= 2 && (p.p[0] == '"' || p.p[0] == '\'') && p.p[p.len - 1] == p.p[0])
            p = (struct span){p.p + 1, p.len - 2};
        return p;
    }
    return SPAN("");
}

static const lxb_encoding_data_t *by_name(struct span name)
{
    if (name.len == 0)
        return NULL;
    return lxb_encoding_data_by_pre_name((const lxb_char_t *)name.p, name.len);
}

/* The first encoding that a <meta> names and that exists. UTF-16 cannot be true of a page whose
 * <meta> could be read, so it means UTF-8 (HTML standard, "prescan a byte stream"). */
static const lxb_encoding_data_t *by_meta(struct charset_ctx *c, struct span bytes)
{
    const lxb_char_t *p = (const lxb_char_t *)bytes.p;
    lxb_html_encoding_clean(&c->prescan);
    if (lxb_html_encoding_determine(&c->prescan, p, p + MIN(bytes.len, (size_t)PRESCAN_BYTES)) !=
        LXB_STATUS_OK)
        return NULL;
    for (size_t i = 0; i < lxb_html_encoding_meta_length(&c->prescan); i++) {
        const lxb_html_encoding_entry_t *entry = lxb_html_encoding_meta_entry(&c->prescan, i);
        struct span name = {(const char *)entry->name, (size_t)(entry->end - entry->name)};
        const lxb_encoding_data_t *data = by_name(name);
        if (data &&
            (data->encoding == LXB_ENCODING_UTF_16BE || data->encoding == LXB_ENCODING_UTF_16LE))
            return lxb_encoding_data(LXB_ENCODING_UTF_8);
        if (data)
            return data;
    }
    return NULL;
}

/* The encoding of a byte order mark, which is cut off. */
static const lxb_encoding_data_t *by_mark(struct span *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes->p;
    lxb_encoding_t encoding = LXB_ENCODING_DEFAULT;
    size_t n = 0;
    if (bytes->len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        encoding = LXB_ENCODING_UTF_8;
        n = 3;
    } else if (bytes->len >= 2 && p[0] == 0xFE && p[1] == 0xFF) {
        encoding = LXB_ENCODING_UTF_16BE;
        n = 2;
    } else if (bytes->len >= 2 && p[0] == 0xFF && p[1] == 0xFE) {
        encoding = LXB_ENCODING_UTF_16LE;
        n = 2;
    }
    *bytes = (struct span){bytes->p + n, bytes->len - n};
    return n ? lxb_encoding_data(encoding) : NULL;
}

/* Room for n characters of at most 4 bytes was reserved. */
static size_t put_char(uint8_t *to, lxb_codepoint_t c)
{
    if (c == 0)
        return 0;
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

static void flush(struct charset_ctx *c, lxb_encoding_decode_t *decode)
{
    size_t n = lxb_encoding_decode_buf_used(decode);
    uint8_t *to = buf_reserve(&c->out, n * 4);
    for (size_t i = 0; to && i < n; i++) {
        size_t len = put_char(to, c->chars[i]);
        to += len;
        c->out.len += len;
    }
    lxb_encoding_decode_buf_used_set(decode, 0);
}

/* The input goes in pieces that cannot fill the buffer of characters: lexbor's single-byte decoders
 * lose a character when it is full. No decoder gives more characters than it takes bytes, but for a
 * few that it holds back. */
static bool decode_all(struct charset_ctx *c, const lxb_encoding_data_t *data, struct span bytes)
{
    static const lxb_codepoint_t replacement = 0xFFFD;
    lxb_encoding_decode_t decode;
    const lxb_char_t *p = (const lxb_char_t *)bytes.p, *end = p + bytes.len;
    buf_clear(&c->out);
    if (lxb_encoding_decode_init(&decode, data, c->chars, DECODE_CHARS) != LXB_STATUS_OK ||
        lxb_encoding_decode_replace_set(&decode, &replacement, 1) != LXB_STATUS_OK)
        return false;
    while (p < end && buf_ok(&c->out)) {
        const lxb_char_t *piece_end = p + MIN((size_t)(end - p), (size_t)DECODE_CHARS / 2);
        (void)data->decode(&decode, &p, piece_end);
        flush(c, &decode);
    }
    (void)lxb_encoding_decode_finish(&decode);
    flush(c, &decode);
    return buf_ok(&c->out);
}

bool charset_decode(struct charset_ctx *c, struct span bytes, struct span content_type,
                    struct span *ret)
{
    if (!bytes.p)
        bytes = SPAN("");
    const lxb_encoding_data_t *data = by_mark(&bytes);
    if (!data)
        data = by_name(charset_of_content_type(content_type));
    if (!data)
        data = by_meta(c, bytes);
    bool valid = false;
    if (!data || data->encoding == LXB_ENCODING_UTF_8)
        valid = utf8_valid_prefix(bytes) == bytes.len;
    if (valid && !memchr(bytes.p, 0, bytes.len)) {
        *ret = bytes;
        return true;
    }
    if (!data)
        data = lxb_encoding_data(valid ? LXB_ENCODING_UTF_8 : LXB_ENCODING_WINDOWS_1252);
    if (!decode_all(c, data, bytes))
        return false;
    *ret = buf_span(&c->out);
    return true;
}
