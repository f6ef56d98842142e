/*
 * fuzz_transform_csv.c: a hostile file of CSV. All instruction sets must give the same rows and
 * rejects, and so must the file cut in two at a boundary that the splitter found. The first byte
 * chooses where to cut.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "worker/transform/transform.h"
#include "worker/transform/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t len;
};

static int read_input(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct input *i = user;
    (void)e;
    *ret_n = MIN(n, i->len);
    memcpy(to, i->p, *ret_n);
    i->p += *ret_n;
    i->len -= *ret_n;
    return ERR_OK;
}

static int keep(void *user, const void *p, size_t n, struct error *e)
{
    (void)e;
    buf_append(user, p, n);
    return ERR_OK;
}

static void on_reject(void *user, const struct run_reject *r)
{
    buf_printf(user, "%llu %s ", (unsigned long long)r->line, r->reason);
    buf_append(user, r->value.p, r->value.len);
}

static const char *const names[] = {"a", "b", "c"};

static int run(const struct transform *t, int fd, enum simd simd,
               const struct transform_range *ranges, size_t n, struct buf *out)
{
    struct write w;
    struct error e = {0};
    struct transform_run *r = NULL;
    const struct plan *p = transform_plan(t);
    const char *shown[8];
    for (size_t i = 0; i < p->n_shown; i++)
        shown[i] = p->results[i].name;
    int rc = write_init(&w, WRITE_CSV, shown, p->n_shown, ',', '"', keep, out, &e);
    assert(rc == ERR_OK);
    rc = transform_open(t, &w.sink, on_reject, out, simd, &r, &e);
    assert(rc == ERR_OK);
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        rc = transform_file(r, fd, &ranges[i], names, ARRAY_LEN(names), &e);
    if (rc == ERR_OK)
        rc = transform_end(r, &e);
    if (rc == ERR_OK)
        rc = write_end(&w, &e);
    assert(rc == ERR_OK || e.detail[0]);
    write_done(&w);
    transform_close(r);
    return rc;
}

static struct transform *compile(void)
{
    struct error e = {0};
    struct transform *t = NULL;
    json_t *stage = json_pack(
        "{s:s, s:s, s:{s:[sss]}}", "kind", "transform", "sql",
        "SELECT a * 2, lower(trim(b)), c, length(c) FROM input WHERE a > 0 OR b IS NULL OR c LIKE '%x%'",
        "csv", "names", "a", "b", "c");
    int rc = transform_compile(stage, NULL, NULL, 0, &t, &e);
    assert(rc == ERR_OK);
    json_decref(stage);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct transform *t; /* compiled once: the file is what is fuzzed */
    struct buf want = {0}, found = {0};
    struct error e = {0};
    if (size == 0)
        return 0;
    if (!t)
        t = compile();
    size_t cut = (size_t)data[0] * size / 256;
    data++;
    size--;
    int fd = memfd_create("csv", MFD_CLOEXEC);
    ssize_t put = write(fd, data, size);
    assert(fd >= 0 && put == (ssize_t)size);
    int rc = run(t, fd, SIMD_SCALAR, &transform_whole_file, 1, &want);
    for (int simd = SIMD_SSE42; simd <= (int)simd_best(); simd++) {
        buf_clear(&found);
        int again = run(t, fd, (enum simd)simd, &transform_whole_file, 1, &found);
        assert(again == rc && span_eq(buf_span(&want), buf_span(&found)));
    }
    if (rc == ERR_OK) {
        struct input input = {data, size};
        struct split s;
        struct split_point p;
        rc = split_init(&s, '"', transform_whole_file.begin, read_input, &input, &e);
        assert(rc == ERR_OK);
        rc = split_next(&s, cut, &p, &e);
        assert(rc == ERR_OK && p.offset <= size);
        split_done(&s);
        /* Rejects come as the rows are read, the rows at the end: both orders are the same. */
        struct transform_range ranges[2] = {{{0, 1}, p.offset}, {p, UINT64_MAX}};
        buf_clear(&found);
        rc = run(t, fd, SIMD_SCALAR, ranges, 2, &found);
        assert(rc == ERR_OK && span_eq(buf_span(&want), buf_span(&found)));
    }
    buf_done(&want);
    buf_done(&found);
    close(fd);
    return 0;
}
