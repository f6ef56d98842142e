/* fuzz_batch.c: rows from a worker. What is accepted can be read, and packs to something that is
 * accepted again and is the same. */
#include "common/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch *b = NULL, *again = NULL;
    struct buf lines, wire, second;
    if (batch_unpack((struct span){(const char *)data, size}, &b, NULL))
        return 0;
    buf_init(&lines, 0);
    buf_init(&wire, 0);
    buf_init(&second, 0);
    batch_write_ndjson(b, &lines);
    batch_pack(b, &wire);
    int rc = batch_unpack(buf_span(&wire), &again, NULL);
    assert(rc == ERR_OK);
    batch_pack(again, &second);
    assert(span_eq(buf_span(&wire), buf_span(&second)));
    buf_done(&lines);
    buf_done(&wire);
    buf_done(&second);
    batch_free(b);
    batch_free(again);
    return 0;
}
