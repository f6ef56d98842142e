/*
 * fuzz_transform_join.c: a hostile lookup table and a hostile file, both CSV, up to and behind the first NUL
 * byte. The table is refused with its line, or joined.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "worker/transform/transform.h"
#include "worker/transform/write_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const void *p, size_t n)
{
    int fd = memfd_create("csv", MFD_CLOEXEC);
    assert(fd >= 0);
    ssize_t put = write(fd, p, n);
    assert(put == (ssize_t)n);
    return fd;
}

static struct transform *compile(bool inner)
{
    static const char *const sql[] = {
        "SELECT i.k, n + 1, x.s FROM input i LEFT JOIN x ON i.k = x.k AND i.m = x.n",
        "SELECT x.k, count(*), max(x.n) FROM input JOIN x ON input.m = x.n GROUP BY x.k"};
    struct error e = {0};
    struct transform *t = NULL;
    json_t *stage = json_pack("{s:s, s:s, s:{s:s}, s:{s:{s:{s:s, s:s, s:s}}}}", "kind", "transform",
                              "sql", sql[inner], "columns", "m", "numeric", "tables", "x",
                              "columns", "k", "text", "n", "numeric", "s", "date");
    int rc = transform_compile(stage, NULL, NULL, 0, &t, &e);
    assert(rc == ERR_OK);
    json_decref(stage);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct write_batch w;
    struct transform_run *r = NULL;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t n = end ? (size_t)(end - data) : size, skip = end ? n + 1 : n;
    struct transform *t = compile(size % 2);
    int table = file_of(data, n), file = file_of(data + skip, size - skip);
    int rc = transform_table(t, "x", table, &e);
    assert(rc == ERR_OK || e.detail[0]);
    if (rc == ERR_OK) {
        struct batch *out = transform_columns(t);
        assert(out);
        write_batch_init(&w, out);
        rc = transform_open(t, &w.sink, NULL, NULL, simd_best(), &r, &e);
        assert(rc == ERR_OK);
        rc = transform_file(r, file, &transform_whole_file, NULL, 0, &e);
        if (rc == ERR_OK)
            rc = transform_end(r, &e);
        assert(rc == ERR_OK || e.detail[0]);
        transform_close(r);
        batch_free(out);
    }
    transform_free(t);
    close(table);
    close(file);
    return 0;
}
