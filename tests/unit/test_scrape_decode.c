/* test_scrape_decode.c: decode.c against what gzip, zstd, brotli and zlib made; limits; garbage. */
#include "worker/scrape/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <zlib.h>

/* Like SPAN, for initialisers of statics. */
#define BYTES(literal)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

/* "hello hello hello hello\n" */
#define HELLO "hello hello hello hello\n"
static const struct span hello_gzip =
    BYTES("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\xb9"
          "\x00\x00\x88\x59\x0b\x18\x00\x00\x00");
static const struct span hello_zstd =
    BYTES("\x28\xb5\x2f\xfd\x24\x18\x6d\x00\x00\x38\x68\x65\x6c\x6c\x6f\x20\x0a\x01\x00\x99"
          "\x4b\x11\xa8\x7c\x2e\xa8");
static const struct span hello_br =
    BYTES("\x1b\x17\x00\x00\xa4\x14\x40\x72\x10\x45\x94\xa9\xc3\x73\xfa\x0b");

struct fixture {
    struct decoder *d;
    struct buf out;
};

static int set_up(void **state)
{
    static struct fixture f;
    f.d = decoder_new();
    f.out = (struct buf){0};
    *state = &f;
    return f.d ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    decoder_free(f->d);
    buf_done(&f->out);
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum decode_coding coding;
    } cases[] = {
        {"gzip", DECODE_GZIP},        {"GZip", DECODE_GZIP},
        {"x-gzip", DECODE_GZIP},      {"br", DECODE_BR},
        {"zstd", DECODE_ZSTD},        {"deflate", DECODE_DEFLATE},
        {"", DECODE_IDENTITY},        {"identity", DECODE_IDENTITY},
        {"gzip, br", DECODE_UNKNOWN}, {"compress", DECODE_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (decode_coding_of(span_str(cases[i].header)) != cases[i].coding)
            fail_msg("%s", cases[i].header);
}

static void pack(struct buf *to, int window_bits, const char *text)
{
    z_stream z = {0};
    uint8_t packed[4096];
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_append(to, packed, sizeof packed - z.avail_out);
    deflateEnd(&z);
}

static void test_good(void **state)
{
    struct fixture *f = *state;
    struct buf zlib = {0}, raw = {0}, two = {0};
    pack(&zlib, 15, HELLO);
    pack(&raw, -15, HELLO);
    pack(&two, 31, "hello hello ");
    pack(&two, 31, "hello hello\n");
    buf_str(&two, "\0rest that is ignored");
    const struct {
        const char *name;
        enum decode_coding coding;
        struct span in;
    } cases[] = {
        {"identity", DECODE_IDENTITY, SPAN(HELLO)},
        {"gzip", DECODE_GZIP, hello_gzip},
        {"two gzip members", DECODE_GZIP, buf_span(&two)},
        {"zlib", DECODE_DEFLATE, buf_span(&zlib)},
        {"raw deflate", DECODE_DEFLATE, buf_span(&raw)},
        {"br", DECODE_BR, hello_br},
        {"zstd", DECODE_ZSTD, hello_zstd},
    };
    for (int round = 0; round < 2; round++) { /* the second with what the first left behind */
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            enum decode_result r = decode_body(f->d, cases[i].coding, cases[i].in, 1000, &f->out);
            if (r != DECODE_OK || !span_eq(buf_span(&f->out), SPAN(HELLO)))
                fail_msg("%s: %d \"%.*s\"", cases[i].name, r, (int)f->out.len,
                         (const char *)f->out.data);
            r = decode_body(f->d, cases[i].coding, cases[i].in, sizeof HELLO - 1, &f->out);
            if (r != DECODE_OK)
                fail_msg("%s, exactly the limit: %d", cases[i].name, r);
            r = decode_body(f->d, cases[i].coding, cases[i].in, sizeof HELLO - 2, &f->out);
            if (r != DECODE_TOO_LARGE)
                fail_msg("%s, one byte over: %d", cases[i].name, r);
            if (cases[i].coding == DECODE_IDENTITY || i == 2)
                continue;
            struct span cut = {cases[i].in.p, cases[i].in.len - 3};
            r = decode_body(f->d, cases[i].coding, cut, 1000, &f->out);
            if (r != DECODE_TRUNCATED)
                fail_msg("%s, cut: %d", cases[i].name, r);
        }
    }
    buf_done(&zlib);
    buf_done(&raw);
    buf_done(&two);
}

static void test_garbage(void **state)
{
    struct fixture *f = *state;
    static const enum decode_coding codings[] = {DECODE_GZIP, DECODE_ZSTD, DECODE_UNKNOWN};
    for (size_t i = 0; i < ARRAY_LEN(codings); i++)
        assert_int_equal(decode_body(f->d, codings[i], SPAN("<html>plain</html>"), 1000, &f->out),
                         DECODE_BAD);
    assert_int_equal(decode_body(f->d, DECODE_BR, SPAN("\xff\xff\xff\xff\xff\xff"), 1000, &f->out),
                     DECODE_BAD);
}

/* Trailers that lie about size or checksum: neither read too much nor believed. */
static void test_trailer(void **state)
{
    struct fixture *f = *state;
    enum { LIMIT = 1 << 20, CRC = 8, SIZE = 4 };
    static const struct {
        const char *name;
        size_t from_end;
        uint8_t byte;
        size_t limit_bytes;
        enum decode_result result;
    } cases[] = {
        {"checksum", CRC, 0xff, LIMIT, DECODE_BAD},
        {"smaller", SIZE, 5, LIMIT, DECODE_BAD},
        {"nothing", SIZE, 0, LIMIT, DECODE_BAD},
        {"larger", SIZE, 25, LIMIT, DECODE_BAD},
        {"much larger", SIZE - 2, 8, LIMIT, DECODE_BAD},
        {"above the limit", SIZE - 3, 1, LIMIT, DECODE_BAD},
        {"smaller, but more than the limit", SIZE, 5, 10, DECODE_TOO_LARGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char packed[64];
        memcpy(packed, hello_gzip.p, hello_gzip.len);
        packed[hello_gzip.len - cases[i].from_end] = (char)cases[i].byte;
        enum decode_result r = decode_body(f->d, DECODE_GZIP, (struct span){packed, hello_gzip.len},
                                           cases[i].limit_bytes, &f->out);
        if (r != cases[i].result)
            fail_msg("%s: %d", cases[i].name, r);
        assert_true(f->out.cap < LIMIT / 4);
    }
}

/* 64 MB from 64 KB: ends at the limit, without memory for the rest. */
static void test_bomb(void **state)
{
    struct fixture *f = *state;
    enum { LIMIT = 1 << 20 };
    static uint8_t zeros[1 << 16], packed[1 << 20];
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = packed;
    z.avail_out = sizeof packed;
    for (int i = 0; i < 1024; i++) {
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        assert_int_equal(deflate(&z, i == 1023 ? Z_FINISH : Z_NO_FLUSH), i == 1023);
    }
    struct span in = {(const char *)packed, sizeof packed - z.avail_out};
    deflateEnd(&z);
    assert_int_equal(decode_body(f->d, DECODE_GZIP, in, LIMIT, &f->out), DECODE_TOO_LARGE);
    assert_true(f->out.cap < 4 * LIMIT);
}

/* A zstd frame that asks for a window of 128 MB (RFC 8878, 3.1.1.1.2) is refused. */
static void test_zstd_window(void **state)
{
    struct fixture *f = *state;
    static const struct span in = BYTES("\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00");
    assert_int_equal(decode_body(f->d, DECODE_ZSTD, in, 1000, &f->out), DECODE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_trailer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bomb, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_zstd_window, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
