#include "inflate.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { IN_BYTES = 128 * 1024, GZIP_WINDOW_BITS = 15 + 16 };

enum format { PLAIN, GZIP, ZSTD };

struct inflate {
    csv_read_fn *read;
    void *user;
    enum format format;
    z_stream zlib;
    ZSTD_DCtx *zstd;
    uint64_t read_bytes; /* of the file */
    size_t at, len;      /* in `in` */
    bool started;        /* the format is known */
    bool end;            /* of the file */
    bool inside;         /* a member has begun and has not ended */
    bool zeros;          /* gzip: behind the last member */
    uint8_t in[IN_BYTES];
};

static enum format format_of(const uint8_t *p, size_t n)
{
    static const uint8_t gzip[] = {0x1F, 0x8B}, zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    if (n >= sizeof gzip && memcmp(p, gzip, sizeof gzip) == 0)
        return GZIP;
    return n >= sizeof zstd && memcmp(p, zstd, sizeof zstd) == 0 ? ZSTD : PLAIN;
}

/* Files that are no text and that nothing here reads: told by their first bytes, before what is in them
 * is taken for rows. NULL: none of them. */
static const char *foreign(const uint8_t *p, size_t n)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *what;
    } rows[] = {
        {"PK\x03\x04", 4, "a zip archive (or a workbook): unpack it (or save it as CSV)"},
        {"\xFD"
         "7zX",
         4, "an xz file: gzip and zstd are read, and plain text"},
        {"BZh", 3, "a bzip2 file: gzip and zstd are read, and plain text"},
        {"PAR1", 4, "a Parquet file: save it as CSV or NDJSON"},
        {"SQLi", 4, "a database of SQLite: save the table as CSV"},
        {"\xFF\xFE", 2, "text in UTF-16: save it in UTF-8"},
        {"\xFE\xFF", 2, "text in UTF-16: save it in UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (n >= rows[i].len && memcmp(p, rows[i].magic, rows[i].len) == 0)
            return rows[i].what;
    return NULL;
}

bool inflate_is(const void *p, size_t n)
{
    return format_of(p, n) != PLAIN;
}

int inflate_new(csv_read_fn *read, void *user, struct inflate **ret, struct error *e)
{
    struct inflate *z = malloc(sizeof *z);
    if (!z)
        return error_set(e, ERR_NOMEM, "reading a file");
    memset(z, 0, offsetof(struct inflate, in));
    z->read = read;
    z->user = user;
    *ret = z;
    return ERR_OK;
}

void inflate_free(struct inflate *z)
{
    if (!z)
        return;
    if (z->format == GZIP)
        inflateEnd(&z->zlib);
    ZSTD_freeDCtx(z->zstd);
    free(z);
}

static int bad(const struct inflate *z, const char *what, struct error *e)
{
    return error_set(e, ERR_MALFORMED, "%s data that %s at byte %llu of the file",
                     z->format == GZIP ? "gzip" : "zstd", what,
                     (unsigned long long)(z->read_bytes - (z->len - z->at)));
}

/* Some more bytes of the file behind those that are left, which are few. */
static int fill(struct inflate *z, struct error *e)
{
    size_t n = 0;
    memmove(z->in, z->in + z->at, z->len - z->at);
    z->len -= z->at;
    z->at = 0;
    int rc = z->read(z->user, z->in + z->len, sizeof z->in - z->len, &n, e);
    z->end = rc == ERR_OK && n == 0;
    z->len += n;
    z->read_bytes += n;
    return rc;
}

static int start(struct inflate *z, struct error *e)
{
    int rc = ERR_OK;
    while (rc == ERR_OK && !z->end && z->len < INFLATE_MAGIC_BYTES)
        rc = fill(z, e);
    if (rc)
        return rc;
    const char *other = foreign(z->in, z->len);
    if (other)
        return error_set(e, ERR_MALFORMED, "this is %s", other);
    enum format format = format_of(z->in, z->len);
    if (format == GZIP && inflateInit2(&z->zlib, GZIP_WINDOW_BITS) != Z_OK)
        return error_set(e, ERR_NOMEM, "reading gzip");
    z->format = format;
    z->started = true;
    if (format != ZSTD)
        return ERR_OK;
    z->zstd = ZSTD_createDCtx();
    if (!z->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG)))
        return error_set(e, ERR_NOMEM, "reading zstd");
    return ERR_OK;
}

static int read_plain(struct inflate *z, void *to, size_t n, size_t *ret_n, struct error *e)
{
    if (z->at == z->len)
        return z->read(z->user, to, n, ret_n, e);
    *ret_n = MIN(n, z->len - z->at);
    memcpy(to, z->in + z->at, *ret_n);
    z->at += *ret_n;
    return ERR_OK;
}

/* Zeros behind the last member are what tapes fill up with. */
static bool only_zeros(const struct inflate *z)
{
    for (size_t i = z->at; i < z->len; i++)
        if (z->in[i] != 0)
            return false;
    return true;
}

/* Between members: begins the next one. */
static int next_gzip(struct inflate *z, struct error *e)
{
    if (!z->zeros && format_of(z->in + z->at, z->len - z->at) == GZIP) {
        z->inside = inflateReset(&z->zlib) == Z_OK;
        return ERR_OK;
    }
    if (only_zeros(z)) {
        z->zeros = true;
        z->at = z->len;
        return ERR_OK;
    }
    return z->len - z->at < 2 && !z->end && !z->zeros ? ERR_OK
                                                      : bad(z, "are followed by something else", e);
}

/* The same; a frame may also be one that is to be skipped. What the library takes for a frame beside
 * these are formats of the time before the standard. */
static int next_zstd(struct inflate *z, struct error *e)
{
    const uint8_t *p = z->in + z->at;
    const size_t n = z->len - z->at;
    const bool skippable = n >= INFLATE_MAGIC_BYTES && (p[0] & 0xF0) == 0x50 && p[1] == 0x2A &&
                           p[2] == 0x4D && p[3] == 0x18;
    z->inside = format_of(p, n) == ZSTD || skippable;
    return z->inside || (n < INFLATE_MAGIC_BYTES && !z->end)
               ? ERR_OK
               : bad(z, "are followed by something else", e);
}

static int step_gzip(struct inflate *z, uint8_t *to, size_t n, size_t *ret_n, struct error *e)
{
    z->zlib.next_in = z->in + z->at;
    z->zlib.avail_in = (uInt)(z->len - z->at);
    z->zlib.next_out = to;
    z->zlib.avail_out = (uInt)n;
    int r = inflate(&z->zlib, Z_NO_FLUSH);
    z->at = z->len - z->zlib.avail_in;
    *ret_n = n - z->zlib.avail_out;
    z->inside = r != Z_STREAM_END;
    if (r == Z_MEM_ERROR)
        return error_set(e, ERR_NOMEM, "reading gzip");
    return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? ERR_OK : bad(z, "are damaged", e);
}

static int step_zstd(struct inflate *z, uint8_t *to, size_t n, size_t *ret_n, struct error *e)
{
    ZSTD_inBuffer in = {z->in + z->at, z->len - z->at, 0};
    ZSTD_outBuffer out = {to, n, 0};
    size_t r = ZSTD_decompressStream(z->zstd, &out, &in);
    z->at += in.pos;
    *ret_n = out.pos;
    z->inside = r != 0;
    if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge)
        return error_set(e, ERR_LIMIT, "zstd data with a window of more than %d MiB",
                         1 << (INFLATE_WINDOW_LOG - 20));
    return ZSTD_isError(r) ? bad(z, "are damaged", e) : ERR_OK;
}

int inflate_read(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct inflate *z = user;
    int rc = z->started ? ERR_OK : start(z, e);
    size_t got = 0;
    if (rc == ERR_OK && z->format == PLAIN)
        return read_plain(z, to, n, ret_n, e);
    n = MIN(n, (size_t)UINT32_MAX);
    while (rc == ERR_OK && got == 0 && n > 0) {
        if (!z->inside && z->at < z->len)
            rc = z->format == GZIP ? next_gzip(z, e) : next_zstd(z, e);
        if (rc == ERR_OK && z->inside)
            rc = z->format == GZIP ? step_gzip(z, to, n, &got, e) : step_zstd(z, to, n, &got, e);
        if (rc || got > 0)
            break;
        if (z->end && z->at == z->len && z->inside)
            rc = bad(z, "end in the middle", e);
        else if (z->end)
            break;
        else
            rc = fill(z, e);
    }
    if (rc == ERR_OK)
        *ret_n = got;
    return rc;
}
