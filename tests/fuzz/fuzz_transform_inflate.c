/*
 * fuzz_transform_inflate.c: a hostile compressed file. The first byte says how large the pieces are
 * in which it is read; they do not change what comes out.
 */
#include "common/buf.h"
#include "worker/transform/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_BYTES_MAX = 4 * 1024 * 1024 /* a bomb is not waited for */ };

struct input {
    const uint8_t *p;
    size_t len, piece;
};

static int read_input(void *user, void *to, size_t n, size_t *ret_n, struct error *e)
{
    struct input *i = user;
    (void)e;
    n = MIN(n, i->piece);
    *ret_n = MIN(n, i->len);
    memcpy(to, i->p, *ret_n);
    i->p += *ret_n;
    i->len -= *ret_n;
    return ERR_OK;
}

static int run(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
    struct input input = {data, size, piece};
    struct inflate *z = NULL;
    struct error e = {0};
    size_t n = 1;
    int rc = inflate_new(read_input, &input, &z, &e);
    assert(rc == ERR_OK);
    while (rc == ERR_OK && n > 0 && out->len < OUT_BYTES_MAX) {
        uint8_t *to = buf_reserve(out, 1000);
        assert(to);
        rc = inflate_read(z, to, 1000, &n, &e);
        out->len += rc == ERR_OK ? n : 0;
    }
    assert(rc == ERR_OK || ((rc == ERR_MALFORMED || rc == ERR_LIMIT) && e.detail[0]));
    inflate_free(z);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    if (size == 0)
        return 0;
    int rc = run(data + 1, size - 1, SIZE_MAX, &whole);
    int again = run(data + 1, size - 1, data[0] + 1u, &pieces);
    assert(rc == again);
    if (rc == ERR_OK && whole.len < OUT_BYTES_MAX)
        assert(span_eq(buf_span(&whole), buf_span(&pieces)));
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
