/*
 * fuzz_transform_values.c: hostile values, through the functions that read texts. The first byte chooses the
 * query; the lines behind it are the values of the two columns in turn. A value that does not parse costs its
 * own row alone.
 */
#include <stdio.h>

#include "common/utf8.h"
#include "worker/transform/transform.h"
#include "worker/transform/write_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 64, CELL_BYTES_MAX = 2048 }; /* repeat() and replace() make more of them */

static const char *const queries[] = {
    "SELECT a::numeric * b::numeric, a::numeric / nullif(b::numeric, 0), round(a::numeric, 3), a::numeric % "
    "2.5, abs(a::numeric) FROM input",
    "SELECT a::float8 + b::float8, sqrt(abs(a::float8)), a::int * 2, b::bigint - 1, a::boolean FROM input",
    "SELECT a::numeric ^ b::numeric, ln(a::numeric), log(b::numeric), exp(a::numeric), sqrt(b::numeric) FROM "
    "input",
    "SELECT a::date - b::date, a::timestamp - b::timestamp, a::timestamptz, a::interval + b::interval, "
    "a::date + 1 FROM input",
    "SELECT date_trunc('month', a::timestamp), date_part('week', b::date), date_bin('15 min', a::timestamp, "
    "'2001-01-01'), extract(epoch FROM a::interval), a::interval * 1.5 FROM input",
    "SELECT to_date(a, 'DD.MM.YYYY'), to_timestamp(b, 'Mon DD YYYY HH12:MI:SS AM'), to_char(a::timestamp, "
    "'FMDay IYYY-IW DDD HH24:MI:SS.US TZ') FROM input",
    "SELECT upper(a), lower(b), initcap(a), reverse(b), length(a), lpad(a, 9, b), split_part(a, b, 2), "
    "translate(a, b, 'xyz'), ltrim(a, b), strpos(a, b), substring(a, 2, 3), right(b, -1) FROM input",
    "SELECT a LIKE '%_' || b, a ILIKE b, a LIKE b, replace(a, b, 'xx'), starts_with(a, b), a < b, md5(a), "
    "ascii(a), concat_ws(b, a, a) FROM input",
    "SELECT a ~ '(x+y?)*z', regexp_replace(a, '([a-c]+)(.)', '\\2<\\1\\&>', 'g'), regexp_substr(b, "
    "'[0-9]+'), regexp_count(a, 'a|ab|') FROM input",
    "SELECT a::jsonb -> 'a' ->> 'b', a::jsonb #>> '{a,0,b}', jsonb_array_length(a::jsonb), "
    "jsonb_typeof(b::jsonb), a::json FROM input",
    "SELECT a::json ->> 0, json_array_length(a::json -> 'x'), json_typeof(b::json) FROM input",
    "SELECT a, sum(b::numeric), avg(b::numeric), stddev(b::numeric), max(b), string_agg(b, ';'), count(DISTINCT "
    "b::float8) FROM input GROUP BY a ORDER BY 2, 1",
};

static struct transform *compile(size_t query, const struct batch *in)
{
    static struct transform *all[ARRAY_LEN(queries)];
    struct error e = {0};
    if (all[query])
        return all[query];
    json_t *stage = json_pack("{s:s, s:s, s:s}", "kind", "transform", "sql", queries[query],
                              "on_error", query % 2 ? "null" : "reject");
    int rc = transform_compile(stage, in, NULL, 0, &all[query], &e);
    json_decref(stage);
    if (rc)
        fprintf(stderr, "%s: %s\n", queries[query], e.detail);
    assert(rc == ERR_OK);
    return all[query];
}

static void put_rows(struct batch *b, struct span text)
{
    for (size_t cell = 0; text.len > 0 && b->n_rows < ROWS_MAX; cell++) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end ? (size_t)(end - text.p) : text.len;
        struct span value = {text.p, MIN(len, (size_t)CELL_BYTES_MAX)};
        value.len = utf8_valid_prefix(value);
        const char *nul = value.len ? memchr(value.p, 0, value.len) : NULL;
        if (nul)
            value.len = (size_t)(nul - value.p);
        if (cell % 2 == 0 || value.len > 0)
            batch_text(b, cell % 2, value);
        if (cell % 2 == 1)
            batch_row_end(b);
        len += end ? 1 : 0;
        text = (struct span){text.p + len, text.len - len};
    }
    batch_row_drop(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct write_batch w;
    struct transform_run *r = NULL;
    if (size == 0)
        return 0;
    struct batch *in = batch_new();
    int rc = batch_add_column(in, "a", COL_TEXT) | batch_add_column(in, "b", COL_TEXT);
    assert(rc == ERR_OK);
    struct transform *t = compile(data[0] % ARRAY_LEN(queries), in);
    put_rows(in, (struct span){(const char *)data + 1, size - 1});
    struct batch *out = transform_columns(t), *again = NULL;
    struct buf wire = {0};
    write_batch_init(&w, out);
    rc = transform_open(t, &w.sink, NULL, NULL, simd_best(), &r, &e);
    assert(rc == ERR_OK);
    rc = transform_batch(r, in, &e);
    if (rc == ERR_OK)
        rc = transform_end(r, &e);
    assert(rc == ERR_OK || e.detail[0]);
    if (rc == ERR_OK) { /* whatever came out is what a batch may hold */
        batch_pack(out, &wire);
        rc = batch_unpack(buf_span(&wire), &again, &e);
        assert(rc == ERR_OK);
    }
    transform_close(r);
    batch_free(out);
    batch_free(again);
    batch_free(in);
    buf_done(&wire);
    return 0;
}
