/* Compressed files: several members, any cut, damage, what is told of it. */
#include "transform_fixture.h"

#include <zlib.h>
#include <zstd.h>

#include "worker/transform/inflate.h"

enum { MEMBER_BYTES_MAX = 4 * 1024 * 1024 };

/* Gives the bytes in pieces of a size. */
struct source {
    struct span left;
    size_t piece;
};

static int read_source(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct source *s = user;
    (void)e;
    n = MIN(n, s->piece);
    n = MIN(n, s->left.len);
    if (n > 0)
        memcpy(to, s->left.p, n);
    s->left.p += n;
    s->left.len -= n;
    *ret_n = n;
    return ERR_OK;
}

static void add_gzip(struct buf *out, struct span text)
{
    z_stream z = {0};
    uint8_t *to = buf_reserve(out, MEMBER_BYTES_MAX);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (const uint8_t *)text.p;
    z.avail_in = (uInt)text.len;
    z.next_out = to;
    z.avail_out = MEMBER_BYTES_MAX;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += MEMBER_BYTES_MAX - z.avail_out;
    deflateEnd(&z);
}

static void add_zstd(struct buf *out, struct span text)
{
    uint8_t *to = buf_reserve(out, MEMBER_BYTES_MAX);
    size_t n = ZSTD_compress(to, MEMBER_BYTES_MAX, text.p, text.len, 3);
    assert_false(ZSTD_isError(n));
    out->len += n;
}

/* All bytes, read `step` at a time. */
static int inflate_all(struct span in, size_t piece, size_t step, struct buf *out, struct error *e)
{
    struct source s = {in, piece};
    struct inflate *z = NULL;
    size_t n = 1;
    assert_int_equal(inflate_new(read_source, &s, &z, e), 0);
    int rc = ERR_OK;
    while (rc == ERR_OK && n > 0) {
        uint8_t *to = buf_reserve(out, step);
        rc = inflate_read(z, to, step, &n, e);
        out->len += rc == ERR_OK ? n : 0;
    }
    inflate_free(z);
    return rc;
}

static struct buf sample(size_t n)
{
    struct buf b = {0};
    for (size_t i = 0; b.len < n; i++)
        buf_printf(&b, "%zu,%zu;", i, i * i % 7919);
    return b;
}

static void any_pieces(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 100, 1 << 20};
    struct buf text = sample(200000), twice = {0}, gzip = {0}, zstd = {0}, out = {0};
    buf_append(&twice, text.data, text.len);
    buf_append(&twice, text.data, text.len);
    for (int i = 0; i < 2; i++) {
        add_gzip(&gzip, buf_span(&text));
        add_gzip(&gzip, SPAN(""));
        add_zstd(&zstd, buf_span(&text));
        add_zstd(&zstd, SPAN(""));
    }
    buf_append(&gzip, "\0\0\0\0", 4);
    const struct buf *const files[] = {&gzip, &zstd, &twice};
    for (size_t k = 0; k < ARRAY_LEN(files) * 16; k++) {
        struct error e = {0};
        buf_clear(&out);
        if (inflate_all(buf_span(files[k / 16]), steps[k % 4], steps[k / 4 % 4], &out, &e))
            fail_msg("%s", e.detail);
        assert_true(span_eq(buf_span(&out), buf_span(&twice)));
    }
    buf_done(&text);
    buf_done(&twice);
    buf_done(&gzip);
    buf_done(&zstd);
    buf_done(&out);
}

static void expect_bad(struct span in, const char *detail)
{
    struct error e = {0};
    struct buf out = {0};
    assert_int_equal(inflate_all(in, 1000, 1000, &out, &e), ERR_MALFORMED);
    if (detail)
        assert_string_equal(e.detail, detail);
    buf_done(&out);
}

/* Cut anywhere: never taken for the whole. */
static void cut(void **state)
{
    (void)state;
    struct buf text = sample(3000), file = {0};
    char want[100];
    for (int zstd = 0; zstd < 2; zstd++) {
        buf_clear(&file);
        (zstd ? add_zstd : add_gzip)(&file, buf_span(&text));
        for (size_t n = INFLATE_MAGIC_BYTES; n < file.len; n++) {
            snprintf(want, sizeof want, "%s data that end in the middle at byte %zu of the file",
                     zstd ? "zstd" : "gzip", n);
            expect_bad((struct span){(const char *)file.data, n}, want);
        }
    }
    buf_done(&text);
    buf_done(&file);
}

static void damaged(void **state)
{
    (void)state;
    struct buf text = sample(3000), file = {0};
    add_gzip(&file, buf_span(&text));
    file.data[file.len - 6] ^= 1; /* of the checksum */
    expect_bad(buf_span(&file), NULL);
    file.data[file.len - 6] ^= 1;
    size_t whole = file.len;
    buf_str(&file, "rubbish");
    char want[100];
    snprintf(want, sizeof want,
             "gzip data that are followed by something else at byte %zu of the file", whole);
    expect_bad(buf_span(&file), want);
    expect_bad(SPAN("\x1f\x8b\x08\xff rubbish"), NULL);
    expect_bad(SPAN("PK\x03\x04 rubbish"),
               "this is a zip archive (or a workbook): unpack it (or save it as CSV)");
    expect_bad(SPAN("\xff\xfei\0d\0\n\0"), "this is text in UTF-16: save it in UTF-8");
    expect_bad(SPAN("\x28\xb5\x2f\xfd rubbish"), NULL);
    buf_done(&text);
    buf_done(&file);
}

/* Through a stage: header and rows; such a file cannot be cut. */
static void stage(void **state)
{
    (void)state;
    struct buf csv = {0}, json = {0};
    add_gzip(&csv, SPAN("id,na"));
    add_gzip(&csv, SPAN("me\n1,\"a\nb\"\n2,c\n"));
    add_zstd(&json, SPAN("{\"id\":1,\"name\":\"a\\nb\"}\n{\"id\":2,\"name\":\"c\"}"));
    struct outcome o = fixture_run_parts(
        "{\"kind\":\"transform\",\"sql\":\"SELECT id::int + 1, name FROM input\"}", buf_span(&csv),
        simd_best(), &transform_whole_file, 1);
    assert_string_equal(o.rows, "?column?,name\n2,\"a\nb\"\n3,c\n");
    outcome_done(&o);
    o = fixture_run_parts(
        "{\"kind\":\"transform\",\"sql\":\"SELECT id::int + 1, name FROM input\",\"ndjson\":{}}",
        buf_span(&json), simd_best(), &transform_whole_file, 1);
    assert_string_equal(o.rows, "?column?,name\n2,\"a\nb\"\n3,c\n");
    outcome_done(&o);
    csv.len--;
    o = fixture_run_parts("{\"kind\":\"transform\",\"sql\":\"SELECT id FROM input\"}",
                          buf_span(&csv), simd_best(), &transform_whole_file, 1);
    assert_int_equal(o.rc, ERR_MALFORMED);
    assert_non_null(strstr(o.e.detail, "end in the middle"));
    outcome_done(&o);

    struct error e = {0};
    struct transform *t = NULL;
    json_t *spec = json_pack("{s:s, s:s}", "kind", "transform", "sql", "SELECT a FROM input");
    const struct span files[] = {buf_span(&csv), buf_span(&json), SPAN("a\n1\n"), SPAN("")};
    assert_int_equal(transform_compile(spec, NULL, NULL, 0, &t, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        int fd = fixture_file(files[i]);
        assert_int_equal(transform_can_cut(t, fd), i >= 2);
        close(fd);
    }
    transform_free(t);
    json_decref(spec);
    buf_done(&csv);
    buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces),
        cmocka_unit_test(cut),
        cmocka_unit_test(damaged),
        cmocka_unit_test(stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
