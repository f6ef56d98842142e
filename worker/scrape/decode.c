#include "decode.h"

#include <brotli/decode.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

enum {
    CHUNK_BYTES = 64 * 1024,
    GZIP_BYTES_MIN = 18,      /* header and trailer, RFC 1952 */
    DEFLATE_RATIO_MAX = 1032, /* a match of 258 bytes takes two bits at least */
    ZSTD_WINDOW_LOG = 23      /* 8 MB */
};

struct decoder {
    z_stream zlib; /* reused: inflateInit allocates 40 KB */
    bool zlib_ready;
    struct libdeflate_decompressor *whole; /* of gzip bodies in one piece */
    ZSTD_DCtx *zstd;
};

struct decoder *decoder_new(void)
{
    return calloc(1, sizeof(struct decoder));
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->zlib_ready)
        inflateEnd(&d->zlib);
    if (d->whole)
        libdeflate_free_decompressor(d->whole);
    ZSTD_freeDCtx(d->zstd);
    free(d);
}

static bool equal_nocase(struct span a, const char *b)
{
    if (a.len != strlen(b))
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char c = a.p[i] >= 'A' && a.p[i] <= 'Z' ? (char)(a.p[i] + 32) : a.p[i];
        if (c != b[i])
            return false;
    }
    return true;
}

enum decode_coding decode_coding_of(struct span header)
{
    static const struct {
        const char *name;
        enum decode_coding coding;
    } names[] = {
        {"", DECODE_IDENTITY}, {"identity", DECODE_IDENTITY}, {"none", DECODE_IDENTITY},
        {"gzip", DECODE_GZIP}, {"x-gzip", DECODE_GZIP},       {"deflate", DECODE_DEFLATE},
        {"br", DECODE_BR},     {"zstd", DECODE_ZSTD},         {"utf-8", DECODE_IDENTITY},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (equal_nocase(header, names[i].name))
            return names[i].coding;
    return DECODE_UNKNOWN;
}

/* Room for some more output, or why there is none. One byte above the limit is given, so that output
 * that ends exactly at the limit can be told from more. */
static enum decode_result room(struct buf *out, size_t limit_bytes, uint8_t **ret, size_t *ret_n)
{
    if (out->len > limit_bytes)
        return DECODE_TOO_LARGE;
    size_t n = out->cap - out->len;
    if (n < CHUNK_BYTES / 4)
        n = CHUNK_BYTES;
    n = MIN(n, limit_bytes + 1 - out->len);
    *ret = buf_reserve(out, n);
    *ret_n = n;
    return *ret ? DECODE_OK : DECODE_NOMEM;
}

static enum decode_result inflate_body(struct decoder *d, int window_bits, struct span in,
                                       size_t limit_bytes, struct buf *out)
{
    z_stream *z = &d->zlib;
    int r = d->zlib_ready ? inflateReset2(z, window_bits) : inflateInit2(z, window_bits);
    if (r != Z_OK)
        return DECODE_NOMEM;
    d->zlib_ready = true;
    if (in.len > UINT32_MAX)
        return DECODE_TOO_LARGE;
    z->next_in = (Bytef *)(uintptr_t)in.p; /* zlib reads only */
    z->avail_in = (uInt)in.len;
    for (;;) {
        uint8_t *to;
        size_t n;
        enum decode_result result = room(out, limit_bytes, &to, &n);
        if (result != DECODE_OK)
            return result;
        z->next_out = to;
        z->avail_out = (uInt)n;
        r = inflate(z, Z_NO_FLUSH);
        out->len += n - z->avail_out;
        if (out->len > limit_bytes)
            return DECODE_TOO_LARGE;
        if (r == Z_STREAM_END) {
            /* gzip files may be several, one after another (RFC 1952, 2.2); other rests are ignored */
            if (window_bits > 15 && z->avail_in >= 2 && z->next_in[0] == 0x1f &&
                z->next_in[1] == 0x8b) {
                if (inflateReset(z) != Z_OK)
                    return DECODE_BAD;
                continue;
            }
            return DECODE_OK;
        }
        if (r == Z_MEM_ERROR)
            return DECODE_NOMEM;
        if (r != Z_OK && r != Z_BUF_ERROR)
            return DECODE_BAD;
        if (z->avail_in == 0 && z->avail_out > 0)
            return DECODE_TRUNCATED;
    }
}

/* One gzip member whose trailer tells its true size, which is nearly every body: libdeflate needs a
 * third of zlib's time. False: not so, or not even gzip; zlib, which does everything, decides. */
static bool gunzip_whole(struct decoder *d, struct span in, size_t limit_bytes, struct buf *out)
{
    if (in.len < GZIP_BYTES_MIN)
        return false;
    const unsigned char *size = (const unsigned char *)in.p + in.len - 4; /* ISIZE */
    size_t n = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
    if (n == 0 || n > limit_bytes || n / DEFLATE_RATIO_MAX > in.len)
        return false;
    if (!d->whole)
        d->whole = libdeflate_alloc_decompressor();
    uint8_t *to = buf_reserve(out, n);
    size_t used = 0;
    if (!d->whole || !to ||
        libdeflate_gzip_decompress_ex(d->whole, in.p, in.len, to, n, &used, NULL) !=
            LIBDEFLATE_SUCCESS ||
        used != in.len) {
        buf_clear(out);
        return false;
    }
    out->len = n;
    return true;
}

/* "deflate" is the zlib format (RFC 9110, 8.4.1.2), but some servers send it without the header. */
static int deflate_window_bits(struct span in)
{
    if (in.len < 2)
        return 15;
    unsigned b0 = (unsigned char)in.p[0], b1 = (unsigned char)in.p[1];
    return (b0 & 15) == 8 && (b0 * 256 + b1) % 31 == 0 ? 15 : -15;
}

static enum decode_result brotli_body(struct span in, size_t limit_bytes, struct buf *out)
{
    BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if (!s)
        return DECODE_NOMEM;
    const uint8_t *next = (const uint8_t *)in.p;
    size_t left = in.len;
    enum decode_result result;
    for (;;) {
        uint8_t *to;
        size_t n, was;
        result = room(out, limit_bytes, &to, &n);
        if (result != DECODE_OK)
            break;
        was = n;
        BrotliDecoderResult r = BrotliDecoderDecompressStream(s, &left, &next, &n, &to, NULL);
        out->len += was - n;
        if (out->len > limit_bytes)
            result = DECODE_TOO_LARGE;
        else if (r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
            continue;
        else if (r == BROTLI_DECODER_RESULT_ERROR)
            result = DECODE_BAD;
        else if (r == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
            result = DECODE_TRUNCATED;
        break;
    }
    BrotliDecoderDestroyInstance(s);
    return result;
}

static enum decode_result zstd_body(struct decoder *d, struct span in, size_t limit_bytes,
                                    struct buf *out)
{
    if (!d->zstd) {
        d->zstd = ZSTD_createDCtx();
        if (!d->zstd)
            return DECODE_NOMEM;
        if (ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
            return DECODE_BAD;
    }
    ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only);
    ZSTD_inBuffer from = {in.p, in.len, 0};
    size_t r = 1; /* an empty body is no frame */
    for (;;) {
        uint8_t *p;
        size_t n;
        enum decode_result result = room(out, limit_bytes, &p, &n);
        if (result != DECODE_OK)
            return result;
        ZSTD_outBuffer to = {p, n, 0};
        r = ZSTD_decompressStream(d->zstd, &to, &from);
        out->len += to.pos;
        if (out->len > limit_bytes)
            return DECODE_TOO_LARGE;
        if (ZSTD_isError(r))
            return DECODE_BAD;
        if (to.pos < to.size && from.pos == from.size)
            return r == 0 ? DECODE_OK : DECODE_TRUNCATED;
    }
}

enum decode_result decode_body(struct decoder *d, enum decode_coding coding, struct span in,
                               size_t limit_bytes, struct buf *out)
{
    buf_clear(out);
    switch (coding) {
    case DECODE_IDENTITY:
        if (in.len > limit_bytes)
            return DECODE_TOO_LARGE;
        buf_append(out, in.p, in.len);
        return buf_ok(out) ? DECODE_OK : DECODE_NOMEM;
    case DECODE_GZIP:
        if (gunzip_whole(d, in, limit_bytes, out))
            return DECODE_OK;
        return inflate_body(d, 15 + 16, in, limit_bytes, out);
    case DECODE_DEFLATE:
        return inflate_body(d, deflate_window_bits(in), in, limit_bytes, out);
    case DECODE_BR:
        return brotli_body(in, limit_bytes, out);
    case DECODE_ZSTD:
        return zstd_body(d, in, limit_bytes, out);
    case DECODE_UNKNOWN:
        break;
    }
    return DECODE_BAD;
}
