/*
 * fuzz_extract.c: a page of any bytes through a spec that uses every source. The first byte picks
 * the charset header and the depth.
 */
#include <stdio.h>

#include "worker/output.h"
#include "worker/scrape/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char stage_text[] =
    "{\"follow\":{\"sitemap\":true,\"nofollow\":true,\"deny\":[\"x+y\"]},\"extract\":{"
    "\"t\":\"title::text\",\"own\":\"p::own_text\",\"h\":\"body::html\",\"i\":\"div::inner_html\","
    "\"raw\":{\"css\":\"p\",\"strip\":false,\"lower\":true},\"m\":{\"meta\":\"description\"},"
    "\"n\":{\"css\":\"td\",\"type\":\"decimal\",\"list\":true},"
    "\"d\":{\"css\":\"time\",\"type\":\"datetime\",\"last\":true},"
    "\"u\":{\"css\":\"a\",\"attr\":\"href\",\"type\":\"url\",\"list\":true},"
    "\"j\":{\"jsonld\":\"$..name\",\"type\":\"json\"},"
    "\"r\":{\"css\":\"body\",\"regex\":\"(\\\\w+)@\"},"
    "\"s\":{\"css\":\"div:not(.a):has(> p ~ b), li:nth-last-child(2n+1 of .x), p:contains(\\\"a\\\")\","
    "\"list\":true,\"fields\":{\"a\":{\"any\":[\"b\",\"::attr(id)\"]},\"l\":{\"css\":\"> *\","
    "\"index\":-1}}}}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"text/html", "text/html; charset=utf-8", "text/plain",
                                        "text/html; charset=shift_jis"};
    static struct scrape_spec *spec;
    static struct extract_ctx *ctx;
    if (size == 0)
        return 0;
    if (!spec) {
        json_t *stage = json_loads(stage_text, 0, NULL);
        struct error e = {0};
        if (scrape_spec_compile(stage, &spec, &e)) {
            fprintf(stderr, "%s\n", e.detail);
            abort();
        }
        json_decref(stage);
        ctx = extract_ctx_new();
        assert(ctx);
    }
    struct output *out = output_new(scrape_spec_batch(spec));
    const struct extract_page page = {.url = SPAN("http://example.com/a/b?c"),
                                      .requested_url = SPAN("http://example.com/"),
                                      .status = 200,
                                      .content_type = span_str(types[data[0] % ARRAY_LEN(types)]),
                                      .depth = data[0] / 4 % 8,
                                      .body = {(const char *)data + 1, size - 1}};
    assert(out);
    if (extract_run(ctx, spec, &page, out) == ERR_OK) {
        /* every cell must be what the batch promises: a JSON cell parses, rows agree in number */
        for (size_t c = 0; c < out->rows->n_columns; c++)
            for (uint32_t r = 0; r < out->rows->n_rows; r++) {
                if (out->rows->columns[c].type != COL_JSON || batch_is_null(out->rows, c, r))
                    continue;
                struct span cell = batch_get_text(out->rows, c, r);
                json_error_t
                    why; /* numbers of any length are JSON, but no numbers of the machine's */
                json_t *parsed = json_loadb(cell.p, cell.len, JSON_DECODE_ANY, &why);
                assert(parsed || json_error_code(&why) == json_error_numeric_overflow);
                json_decref(parsed);
            }
        assert(out->rows->n_rows <= 1);
    }
    output_free(out);
    return 0;
}
