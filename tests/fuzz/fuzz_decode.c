/*
 * fuzz_decode.c: a body of any bytes in any Content-Encoding, with a cap that small inputs reach
 * too. The first byte chooses the coding, the second the cap; one decoder serves all inputs, as one
 * loop's does.
 */
#include <string.h>

#include "worker/scrape/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const headers[] = {"gzip", "deflate", "br", "zstd", "identity", "other"};
    static struct decoder *d;
    static struct buf out;
    if (size < 2)
        return 0;
    if (!d)
        d = decoder_new();
    assert(d);
    struct span header = span_str(headers[data[0] % ARRAY_LEN(headers)]);
    enum decode_coding coding = decode_coding_of(header);
    size_t limit = (size_t)1 << data[1] % 21;
    struct span in = {(const char *)data + 2, size - 2};
    enum decode_result result = decode_body(d, coding, in, limit, &out);
    assert(result != DECODE_NOMEM);
    assert(out.len <= limit || result == DECODE_TOO_LARGE);
    assert(out.len <= limit + 1); /* one byte more than the cap tells that there was more */
    if (coding == DECODE_IDENTITY && in.len <= limit)
        assert(result == DECODE_OK && out.len == in.len && !memcmp(out.data, in.p, in.len));
    return 0;
}
