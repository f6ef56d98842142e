/*
 * fuzz_transform_plan.c: a hostile query. It is refused with a reason, or compiled, explained and
 * run over a few rows.
 */
#include "worker/transform/transform.h"
#include "worker/transform/write_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct batch *rows(void)
{
    struct batch *b = batch_new();
    int rc = batch_add_column(b, "a", COL_TEXT) | batch_add_column(b, "b", COL_TEXT) |
             batch_add_column(b, "c", COL_INT64);
    static const char *const texts[] = {"1.50", "x", "", "-7", "éÀ", "99999999999999999999.5",
                                        "true"};
    assert(rc == ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        batch_text(b, 0, span_str(texts[i]));
        if (i % 3)
            batch_text(b, 1, span_str(texts[ARRAY_LEN(texts) - 1 - i]));
        batch_i64(b, 2, i % 2 ? INT64_MAX : (int64_t)i);
        batch_row_end(b);
    }
    return b;
}

static void run(const struct transform *t, const struct batch *in)
{
    struct error e = {0};
    struct write_batch w;
    struct transform_run *r = NULL;
    struct batch *out = transform_columns(t);
    struct buf text = {0};
    assert(out);
    transform_explain(t, &text);
    buf_done(&text);
    write_batch_init(&w, out);
    int rc = transform_open(t, &w.sink, NULL, NULL, simd_best(), &r, &e);
    assert(rc == ERR_OK);
    rc = transform_batch(r, in, &e);
    if (rc == ERR_OK)
        rc = transform_end(r, &e);
    assert(rc == ERR_OK || e.detail[0]);
    transform_close(r);
    batch_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct transform *t = NULL;
    json_t *stage = json_pack("{s:s}", "kind", "transform");
    json_object_set_new(stage, "sql", json_stringn_nocheck((const char *)data, size));
    struct batch *in = rows();
    int rc = transform_compile(stage, in, NULL, 0, &t, &e);
    assert(rc == ERR_OK || (e.code == (enum err)rc && e.detail[0]));
    if (rc == ERR_OK)
        run(t, in);
    transform_free(t);
    batch_free(in);
    json_decref(stage);
    return 0;
}
