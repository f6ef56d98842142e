/*
 * fuzz_transform_state.c: hostile partial states. The first byte chooses a query, the rest are the
 * records behind a head that is right. They are refused as MALFORMED or LIMIT, or loaded; what was
 * loaded can be saved, loaded again and ended.
 */
#include "worker/transform/transform.h"
#include "worker/transform/write_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const queries[] = {
    "SELECT lower(k), count(*), sum(n), avg(n), min(n), max(s), bool_or(b), count(DISTINCT n) "
    "FROM input GROUP BY k",
    "SELECT sum(i::int), min(i::int) + 1, sum(i::bigint), avg(f::float8), max(f::float8), min(s), "
    "count(DISTINCT s) FROM input",
    "SELECT n + 1, b, count(DISTINCT k), max(n) FROM input GROUP BY n, b, f::float8 ORDER BY 1",
    "SELECT DISTINCT n, upper(s), i::int, b, f::float8 FROM input ORDER BY n, f::float8 LIMIT 2",
    "SELECT n, s FROM input LIMIT 3 OFFSET 1",
};

static struct transform *compile(size_t query)
{
    static struct transform *all[ARRAY_LEN(queries)];
    static const char *const names[] = {"k", "n", "i", "f", "s", "b"};
    struct error e = {0};
    if (all[query])
        return all[query];
    json_t *stage = json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "transform", "sql",
                              queries[query], "columns", "n", "numeric", "b", "boolean");
    int rc = transform_compile(stage, NULL, names, ARRAY_LEN(names), &all[query], &e);
    assert(rc == ERR_OK);
    json_decref(stage);
    return all[query];
}

static struct sink nothing; /* no row comes there before a run ends */

static struct transform_run *open_run(const struct transform *t, struct sink *sink)
{
    struct error e = {0};
    struct transform_run *r = NULL;
    int rc = transform_open(t, sink, NULL, NULL, SIMD_SCALAR, &r, &e);
    assert(rc == ERR_OK);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct buf state = {0}, again = {0};
    struct write_batch w;
    if (size == 0)
        return 0;
    const struct transform *t = compile(data[0] % ARRAY_LEN(queries));
    struct transform_run *part = open_run(t, &nothing);
    int rc = transform_save(part, &state, &e); /* the head */
    assert(rc == ERR_OK);
    buf_append(&state, data + 1, size - 1);
    rc = transform_load(part, buf_span(&state), &e);
    assert(rc == ERR_OK || rc == ERR_MALFORMED || rc == ERR_LIMIT);
    if (rc == ERR_OK) {
        struct batch *out = transform_columns(t);
        assert(out);
        write_batch_init(&w, out);
        struct transform_run *all = open_run(t, &w.sink);
        rc = transform_save(part, &again, &e);
        assert(rc == ERR_OK);
        rc = transform_load(all, buf_span(&again), &e);
        assert(rc == ERR_OK || rc == ERR_LIMIT);
        if (rc == ERR_OK)
            rc = transform_end(all, &e);
        assert(rc == ERR_OK || e.detail[0]);
        transform_close(all);
        batch_free(out);
    }
    transform_close(part);
    buf_done(&state);
    buf_done(&again);
    return 0;
}
