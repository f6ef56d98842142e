/*
 * fuzz_transform_pcap.c: a hostile capture, with a small table of flows. The first byte says how
 * large the pieces are in which it is read; they do not change the flows, and every packet is in a
 * flow or was skipped.
 */
#include "worker/transform/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t len, piece;
};

struct found {
    struct buf rows;
    uint64_t packets;
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

static int take(void *user, const struct batch *rows, bool *ret_enough, struct error *e)
{
    struct found *f = user;
    size_t column = 0;
    (void)ret_enough;
    (void)e;
    while (strcmp(rows->columns[column].name, "packets") != 0)
        column++;
    for (uint32_t i = 0; i < rows->n_rows; i++)
        f->packets += (uint64_t)batch_get_i64(rows, column, i);
    batch_write_ndjson(rows, &f->rows);
    return ERR_OK;
}

static int run(const uint8_t *data, size_t size, size_t piece, struct found *f)
{
    const struct capture_options o = {.idle_s = 2, .active_s = 10, .table_max = 3};
    struct input input = {data, size, piece};
    struct capture_counts counts;
    struct error e = {0};
    int rc = capture_read(&o, read_input, &input, take, f, &counts, &e);
    assert(rc == ERR_OK || (rc == ERR_MALFORMED && e.detail[0]));
    assert(rc != ERR_OK || counts.packets == counts.skipped + f->packets);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct found whole = {0}, pieces = {0};
    if (size == 0)
        return 0;
    int rc = run(data + 1, size - 1, SIZE_MAX, &whole);
    int again = run(data + 1, size - 1, data[0] + 1u, &pieces);
    assert(rc == again && span_eq(buf_span(&whole.rows), buf_span(&pieces.rows)));
    buf_done(&whole.rows);
    buf_done(&pieces.rows);
    return 0;
}
