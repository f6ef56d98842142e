/*
 * fuzz_url.c: "base\nreference". What the fast paths give must be what they give again from their
 * own result, and a canonical URL must be its own canonical form.
 */
#include "common/utf8.h"
#include "worker/scrape/scrape.h"
#include "worker/scrape/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(struct span url)
{
    struct buf first = {0}, again = {0}, padded = {0};
    size_t key_len, key_len_again;
    if (scrape_url_canonical(url, &first, &key_len, NULL) == ERR_OK) {
        assert(key_len > 7 && key_len < first.len && first.data[key_len] == '/');
        assert(url_key_len(buf_span(&first)) == key_len);
        assert(url_host(buf_span(&first)).len > 0);
        assert(scrape_url_canonical(buf_span(&first), &again, &key_len_again, NULL) == ERR_OK);
        assert(span_eq(buf_span(&first), buf_span(&again)) && key_len == key_len_again);
        /* A tab is removed by the parser and known to no fast path: both ways must agree. */
        buf_append(&padded, first.data, 4);
        buf_byte(&padded, '\t');
        buf_append(&padded, first.data + 4, first.len - 4);
        if (padded.len <= URL_BYTES_MAX) {
            assert(scrape_url_canonical(buf_span(&padded), &again, &key_len_again, NULL) == ERR_OK);
            assert(span_eq(buf_span(&first), buf_span(&again)) && key_len == key_len_again);
        }
    }
    buf_done(&first);
    buf_done(&again);
    buf_done(&padded);
}

static void check_reference(struct url_ctx *u, struct span reference)
{
    struct buf first = {0}, padded = {0};
    struct span got;
    if (url_resolve(u, reference, false, &got)) {
        buf_append(&first, got.p, got.len);
        bool ascii = reference.len > 0 && (unsigned char)reference.p[0] < 0x80;
        if (ascii && reference.len > 1) {
            buf_append(&padded, reference.p, 1);
            buf_byte(&padded, '\t');
            buf_append(&padded, reference.p + 1, reference.len - 1);
            if (padded.len <= URL_BYTES_MAX && (unsigned char)reference.p[0] > ' ')
                assert(url_resolve(u, buf_span(&padded), false, &got) &&
                       span_eq(buf_span(&first), got));
        }
    }
    buf_done(&first);
    buf_done(&padded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct url_ctx *u;
    if (!u)
        u = url_ctx_new();
    assert(u);
    const char *text = (const char *)data;
    const char *line = size ? memchr(text, '\n', size) : NULL;
    struct span base = {text, line ? (size_t)(line - text) : size};
    if (utf8_valid_prefix((struct span){text, size}) != size)
        return 0; /* pages are decoded first */
    if (memmem(text, size, "|~!~|", 5))
        return 0; /* what url.c marks a lone "%" with: such a URL stays as lexbor has it */
    struct span reference = {line ? line + 1 : text, line ? size - base.len - 1 : 0};
    check_canonical(base);
    if (url_base_set(u, base))
        check_reference(u, reference);
    return 0;
}
