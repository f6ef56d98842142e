/*
 * fuzz_transform_ndjson.c: a hostile file of NDJSON. The whole file, and the file cut in two at a
 * boundary that the splitter found, give the same rows and rejects, and no line that jansson takes
 * for an object is a bad one. The first byte chooses where to cut.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "worker/transform/inflate.h"
#include "worker/transform/transform.h"
#include "worker/transform/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 4096 };

struct seen {
    struct buf out;
    bool bad[LINES_MAX];
};

static int keep(void *user, const void *p, size_t n, struct error *e)
{
    (void)e;
    buf_append(&((struct seen *)user)->out, p, n);
    return ERR_OK;
}

static void on_reject(void *user, const struct run_reject *r)
{
    struct seen *s = user;
    buf_printf(&s->out, "%llu %s ", (unsigned long long)r->line, r->reason);
    buf_append(&s->out, r->value.p, r->value.len);
    if (r->line < LINES_MAX && strcmp(r->reason, FAULT_JSON) == 0)
        s->bad[r->line] = true;
}

static void run(const struct transform *t, int fd, enum simd simd,
                const struct transform_range *ranges, size_t n, struct seen *s)
{
    struct write w;
    struct error e = {0};
    struct transform_run *r = NULL;
    const char *const shown[] = {"a", "b", "c", "d"};
    *s = (struct seen){0};
    int rc = write_init(&w, WRITE_CSV, shown, ARRAY_LEN(shown), ',', '"', keep, s, &e);
    assert(rc == ERR_OK);
    rc = transform_open(t, &w.sink, on_reject, s, simd, &r, &e);
    assert(rc == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        rc = transform_file(r, fd, &ranges[i], NULL, 0, &e);
        assert(rc == ERR_OK);
    }
    rc = transform_end(r, &e);
    assert(rc == ERR_OK);
    rc = write_end(&w, &e);
    assert(rc == ERR_OK);
    write_done(&w);
    transform_close(r);
}

static struct transform *compile(void)
{
    struct error e = {0};
    struct transform *t = NULL;
    json_t *stage = json_pack("{s:s, s:s, s:{s:{s:s, s:s}}}", "kind", "transform", "sql",
                              "SELECT a * 2, lower(b), c, d FROM input", "ndjson", "columns", "c",
                              "$.c.a[1]", "d", "$.c");
    int rc = transform_compile(stage, NULL, NULL, 0, &t, &e);
    assert(rc == ERR_OK);
    json_decref(stage);
    return t;
}

static void check_lines(const struct seen *s, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    for (size_t line = 1; data < end && line < LINES_MAX; line++) {
        const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
        const size_t n = (size_t)((newline ? newline : end) - data);
        /* It passes over a NUL behind a number. */
        bool fit = n <= NDJSON_NESTING_MAX && !memchr(data, '\0', n);
        json_t *j = fit ? json_loadb((const char *)data, n, 0, NULL) : NULL;
        assert(!json_is_object(j) || !s->bad[line]);
        json_decref(j);
        data += n + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transform *t; /* compiled once: the file is what is fuzzed */
    static struct seen want, found;
    struct error e = {0};
    struct transform_cut cut;
    struct split_point p;
    if (size == 0)
        return 0;
    if (!t)
        t = compile();
    const size_t at = (size_t)data[0] * size / 256;
    data++;
    size--;
    if (inflate_is(data, size)) /* fuzz_transform_inflate.c's */
        return 0;
    int fd = memfd_create("ndjson", MFD_CLOEXEC);
    ssize_t put = write(fd, data, size);
    assert(fd >= 0 && put == (ssize_t)size);
    run(t, fd, SIMD_SCALAR, &transform_whole_file, 1, &want);
    check_lines(&want, data, size);
    int rc = transform_cut_init(&cut, t, fd, transform_whole_file.begin, NULL, &e);
    assert(rc == ERR_OK);
    rc = transform_cut_next(&cut, at, &p, &e);
    assert(rc == ERR_OK && p.offset <= size);
    transform_cut_done(&cut);
    const struct transform_range ranges[2] = {{{0, 1}, p.offset}, {p, UINT64_MAX}};
    run(t, fd, simd_best(), ranges, 2, &found);
    assert(span_eq(buf_span(&want.out), buf_span(&found.out)));
    buf_done(&want.out);
    buf_done(&found.out);
    close(fd);
    return 0;
}
