/*
 * fuzz_select.c: a hostile field of a scrape stage: a selector, or a regular expression, or a path into
 * JSON-LD, over a fixed page. The first byte says which. It is refused with its place, or it ends soon.
 */
#include "common/utf8.h"
#include "worker/output.h"
#include "worker/scrape/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char page_text[] =
    "<!doctype html><title>t</title><base href=/b/><script type=application/ld+json>{\"@type\":\"Product\","
    "\"offers\":[{\"price\":1.5,\"a\":{\"b\":[1,2]}},{\"price\":null}],\"@graph\":[{\"name\":\"n\"}]}</script>"
    "<div id=a class='x y'><p class=x>aaaaaaaaaaaaaaaaaaaa<b>1</b><p>22:33<i lang=en>a b</i></div>"
    "<ul><li>1<li class=y>2<li data-n='3 4'>3<li><a href=http://h/>l</a><li></ul>"
    "<form><input checked disabled><input type=text></form><div><div><div><div><p>x</div></div></div></div>";

static json_t *field_of(uint8_t kind, struct span text)
{
    static const char *const keys[] = {"css", "css", "regex", "jsonld"};
    kind %= ARRAY_LEN(keys);
    json_t *value = json_stringn_nocheck(text.p, text.len);
    json_t *field = json_pack("{s:b}", "list", kind != 0);
    if (kind == 2)
        json_object_set_new(field, "css", json_string("div"));
    json_object_set_new(field, keys[kind], value);
    return json_pack("{s:{s:o}}", "extract", "x", field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct extract_ctx *ctx;
    struct error e = {0};
    struct scrape_spec *spec = NULL;
    if (size == 0)
        return 0;
    if (!ctx)
        ctx = extract_ctx_new();
    assert(ctx);
    struct span text = {(const char *)data + 1, size - 1};
    text.len = utf8_valid_prefix(text); /* a description is text */
    json_t *stage = field_of(data[0], text);
    int rc = scrape_spec_compile(stage, &spec, &e);
    assert(rc == ERR_OK || e.detail[0]);
    if (rc == ERR_OK) {
        struct output *out = output_new(scrape_spec_batch(spec));
        const struct extract_page page = {.url = SPAN("http://example.com/a/b?c"),
                                          .requested_url = SPAN("http://example.com/"),
                                          .status = 200,
                                          .content_type = SPAN("text/html"),
                                          .body = SPAN(page_text)};
        assert(out);
        rc = extract_run(ctx, spec, &page, out);
        assert(rc == ERR_OK);
        output_free(out);
        scrape_spec_free(spec);
    }
    json_decref(stage);
    return 0;
}
