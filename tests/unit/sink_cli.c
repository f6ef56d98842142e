/*
 * sink_cli: drives a kind of sink from standard input, for tests/e2e/test_sink_*.py. The first line
 * has the settings, each further one a command; for each, one line of JSON comes back.
 *
 *   {"kind": "postgres", "url": "...", "user": "...", "password": "...", "ca_pem": "..."}
 *   {"write": [{"uid": HEX, "task": 1, "generation": 1, "sink": {...}, "columns": [["id", "int64"], ...],
 *               "rows": [[1], ...]}, ...], "timeout_ms": 5000}
 *   {"fits": {"sink": {...}, "columns": [...]}}
 *   {"job_end": {"sink": {...}, "uid": HEX, "generation": 1, "fenced": true, "state": "done"}}
 *   {"close": true}
 *
 * The connection is opened when it is needed and closed after UNAVAILABLE, as the batcher does it.
 */
#include <stdio.h>

#include "worker/sinks/sink.h"

enum { LANDINGS_MAX = 10000, TIMEOUT_MS = 10000 };

struct cli {
    const struct sink_kind *kind;
    struct sink_settings settings;
    struct sink_conn *conn;
};

static void fail(const char *what)
{
    fprintf(stderr, "sink_cli: %s\n", what);
    exit(2);
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void read_uid(const json_t *o, uint8_t ret[SINK_UID_LEN])
{
    const char *hex = text(o, "uid");
    for (size_t i = 0; i < SINK_UID_LEN; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            fail("uid is not 32 hexadecimal digits");
        ret[i] = (uint8_t)byte;
    }
}

static enum col_type type_of(const char *name)
{
    for (int t = COL_BOOL; t <= COL_TIMESTAMP; t++)
        if (strcmp(col_type_name((enum col_type)t), name) == 0)
            return (enum col_type)t;
    fail(name);
    return COL_TEXT;
}

static void put_cell(struct batch *b, size_t c, const json_t *v)
{
    if (json_is_null(v))
        return batch_null(b, c);
    switch (b->columns[c].type) {
    case COL_BOOL:
        return batch_bool(b, c, json_is_true(v));
    case COL_INT64:
    case COL_DATE:
    case COL_TIMESTAMP:
        return batch_i64(b, c, json_integer_value(v));
    case COL_FLOAT64:
        return batch_f64(b, c,
                         json_is_string(v) ? strtod(json_string_value(v), NULL)
                                           : json_number_value(v));
    default:
        return batch_text(b, c, (struct span){json_string_value(v), json_string_length(v)});
    }
}

static struct batch *read_batch(const json_t *o)
{
    const json_t *columns = json_object_get(o, "columns"), *rows = json_object_get(o, "rows");
    struct batch *b = batch_new();
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *c = json_array_get(columns, i);
        if (batch_add_column(b, json_string_value(json_array_get(c, 0)),
                             type_of(json_string_value(json_array_get(c, 1)))) != ERR_OK)
            fail("columns");
    }
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t c = 0; c < b->n_columns; c++)
            put_cell(b, c, json_array_get(json_array_get(rows, r), c));
        batch_row_end(b);
    }
    if (!batch_ok(b))
        fail("rows");
    return b;
}

static void read_sink(const json_t *o, const struct batch *columns, struct spec_sink *ret)
{
    struct error e = {0};
    if (spec_sink_read(json_object_get(o, "sink"), 0, columns, ret, &e) != ERR_OK)
        fail(e.detail);
}

static int connected(struct cli *c, uint32_t timeout_ms, struct error *e)
{
    return c->conn ? ERR_OK : c->kind->open(&c->settings, timeout_ms, &c->conn, e);
}

static json_t *answer(struct cli *c, int rc, const struct error *e)
{
    if (rc == ERR_UNAVAILABLE) {
        c->kind->close(c->conn);
        c->conn = NULL;
    }
    return json_pack("{s:s, s:s}", "rc", err_name((enum err)rc), "error", rc ? e->detail : "");
}

static json_t *landing_json(const struct landing *l)
{
    static const char *const verdicts[] = {"UNDECIDED", "DONE", "DUPLICATE", "FENCED", "FAILED"};
    json_t *rejects = json_array();
    for (size_t i = 0; i < l->n_rejects; i++)
        json_array_append_new(rejects, json_pack("[i, s?, s]", (int)l->rejects[i].row,
                                                 l->rejects[i].column, l->rejects[i].detail));
    return json_pack("{s:s, s:i, s:o, s:s}", "verdict", verdicts[l->verdict], "written",
                     (int)l->n_written, "rejects", rejects, "error", l->error);
}

static json_t *do_write(struct cli *c, const json_t *list, uint32_t timeout_ms)
{
    const size_t n = json_array_size(list);
    struct landing *landings = calloc(n + 1, sizeof(*landings));
    struct landing **pointers = calloc(n + 1, sizeof(*pointers));
    struct spec_sink *sinks = calloc(n + 1, sizeof(*sinks));
    struct batch **batches = calloc(n + 1, sizeof(*batches));
    struct error e = {0};
    if (!landings || !pointers || !sinks || !batches)
        fail("no memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        batches[i] = read_batch(o);
        read_sink(o, batches[i], &sinks[i]);
        landings[i] = (struct landing){
            .target = &sinks[i],
            .job = (uint64_t)json_integer_value(json_object_get(o, "job")),
            .generation = (uint64_t)json_integer_value(json_object_get(o, "generation")),
            .task = (uint64_t)json_integer_value(json_object_get(o, "task")),
            .index = (uint32_t)json_integer_value(json_object_get(o, "index")),
            .rows = batches[i],
        };
        read_uid(o, landings[i].uid);
        pointers[i] = &landings[i];
    }
    int rc = connected(c, timeout_ms, &e);
    if (rc == ERR_OK)
        rc = c->kind->write(c->conn, pointers, n, timeout_ms, &e);
    json_t *out = answer(c, rc, &e), *verdicts = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(verdicts, landing_json(&landings[i]));
        landing_done(&landings[i]);
        spec_sink_done(&sinks[i]);
        batch_free(batches[i]);
    }
    json_object_set_new(out, "landings", verdicts);
    free(landings);
    free(pointers);
    free(sinks);
    free(batches);
    return out;
}

static json_t *do_other(struct cli *c, const json_t *o, bool fits, uint32_t timeout_ms)
{
    struct batch *columns = read_batch(o);
    struct spec_sink sink;
    struct error e = {0};
    uint8_t uid[SINK_UID_LEN];
    read_sink(o, fits ? columns : NULL, &sink);
    int rc = connected(c, timeout_ms, &e);
    if (rc == ERR_OK && fits)
        rc = c->kind->fits(c->conn, &sink, columns, timeout_ms, &e);
    if (rc == ERR_OK && !fits) {
        read_uid(o, uid);
        rc = c->kind->job_end(c->conn, &sink, uid,
                              (uint64_t)json_integer_value(json_object_get(o, "generation")),
                              json_is_true(json_object_get(o, "fenced")), text(o, "state"),
                              timeout_ms, &e);
    }
    spec_sink_done(&sink);
    batch_free(columns);
    return answer(c, rc, &e);
}

static json_t *command(struct cli *c, const json_t *o)
{
    const json_t *ms = json_object_get(o, "timeout_ms"), *body;
    const uint32_t timeout_ms = ms ? (uint32_t)json_integer_value(ms) : TIMEOUT_MS;
    if ((body = json_object_get(o, "write")))
        return do_write(c, body, timeout_ms);
    if ((body = json_object_get(o, "fits")))
        return do_other(c, body, true, timeout_ms);
    if ((body = json_object_get(o, "job_end")))
        return do_other(c, body, false, timeout_ms);
    c->kind->close(c->conn);
    c->conn = NULL;
    return json_pack("{s:s}", "rc", "OK");
}

static void begin(struct cli *c, const json_t *o)
{
    static const char *const keys[] = {"url", "user", "password", "ca_pem"};
    static const enum spec_sink_kind kinds[] = {SPEC_SINK_POSTGRES, SPEC_SINK_REDIS,
                                                SPEC_SINK_FILE};
    struct error e = {0};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(spec_sink_kind_name(kinds[i]), text(o, "kind")) == 0)
            c->settings.kind = kinds[i];
    c->kind = sink_kind_of(c->settings.kind);
    if (!c->kind)
        fail("kind");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (sink_settings_set(&c->settings, keys[i], span_str(text(o, keys[i])), &e) != ERR_OK)
            fail(e.detail);
}

int main(void)
{
    struct cli c = {0};
    char *line = NULL;
    size_t size = 0;
    for (bool first = true; getline(&line, &size, stdin) > 0; first = false) {
        json_error_t why;
        json_t *o = json_loads(line, JSON_ALLOW_NUL, &why), *out;
        struct error e = {0};
        if (!o)
            fail(why.text);
        if (first) {
            begin(&c, o);
            out = answer(&c, c.kind->check(&c.settings, &e), &e);
        } else {
            out = command(&c, o);
        }
        char *dump = json_dumps(out, JSON_COMPACT);
        puts(dump);
        fflush(stdout);
        free(dump);
        json_decref(out);
        json_decref(o);
    }
    c.kind->close(c.conn);
    sink_settings_done(&c.settings);
    free(line);
    return 0;
}
