/*
 * test_nomem.c: what reads foreign bytes, without memory. The n-th allocation fails, alone and with all that
 * come after it, for n = 0, 1, 2, ... until a run passes untouched. A run says that memory was the reason, or
 * comes to exactly what it comes to with memory; and whatever it allocated, it freed.
 *
 * Allocations are caught by the linker (--wrap=malloc ...), also those of the libraries, all of which are
 * archives. Two parsers are left alone: that of SQL ends the process without memory for its first context,
 * that of JSON calls a text wrong when it has no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/pack.h"
#include "common/wire.h"
#include "coordinator/edge/predict_json.h"
#include "worker/engines.h"
#include "worker/score/score.h"
#include "worker/transform/sqltext.h"
#include "worker/transform/transform.h"
#include "worker/transform/write_batch.h"

/* ---- the fault ---- */

static struct {
    bool armed;
    bool sticky; /* all after it fail too */
    long left;   /* allocations until it strikes */
    bool struck;
    long live; /* allocations that were not freed */
} fault;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static bool strike(void)
{
    if (!fault.armed)
        return false;
    if (fault.struck)
        return fault.sticky;
    if (fault.left-- > 0)
        return false;
    fault.struck = true;
    return true;
}

/* Counts an allocation. */
static void *count(void *p)
{
    fault.live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return strike() ? NULL : count(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return strike() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (strike())
        return NULL;
    void *q = __real_realloc(p, n);
    return p ? q : count(q);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return strike() ? NULL : count(__real_aligned_alloc(alignment, n));
}

void __wrap_free(void *p)
{
    fault.live -= p != NULL;
    __real_free(p);
}

char *__wrap_strdup(const char *s)
{
    return __wrap_strndup(s, strlen(s));
}

char *__wrap_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *copy = __wrap_malloc(n + 1);
    if (!copy)
        return NULL;
    copy[n] = 0;
    return memcpy(copy, s, n);
}

PgQueryProtobufParseResult __real_pg_query_parse_protobuf(const char *sql);
PgQueryProtobufParseResult __wrap_pg_query_parse_protobuf(const char *sql);

PgQueryProtobufParseResult __wrap_pg_query_parse_protobuf(const char *sql)
{
    const bool armed = fault.armed;
    fault.armed = false;
    PgQueryProtobufParseResult result = __real_pg_query_parse_protobuf(sql);
    fault.armed = armed;
    return result;
}

json_t *__real_json_loadb(const char *p, size_t n, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *p, size_t n, size_t flags, json_error_t *error);

json_t *__wrap_json_loadb(const char *p, size_t n, size_t flags, json_error_t *error)
{
    const bool armed = fault.armed;
    fault.armed = false;
    json_t *value = __real_json_loadb(p, n, flags, error);
    fault.armed = armed;
    return value;
}

/* Does something with an input, frees all, and returns its error code. What it came to goes into out, after
 * at_rest(). */
typedef int run_fn(struct span input, struct buf *out, struct error *e);

enum { SHOWN = 60 }; /* bytes of a result that is another */

static void at_rest(void)
{
    fault.armed = false;
}

/* Arenas and buffers do not tell whether their limit or the machine's was reached. */
static bool says_memory(int rc, const struct error *e)
{
    return rc == ERR_NOMEM || rc == ERR_LIMIT || (rc != ERR_OK && strstr(e->detail, "memory"));
}

static bool fails_once(const char *what, run_fn *run, struct span input, int want,
                       struct buf *wanted)
{
    struct buf found = {0};
    struct error e = {0};
    const long before = fault.live, n = fault.left;
    fault.armed = true;
    fault.struck = false;
    int rc = run(input, &found, &e);
    fault.armed = false;
    if (rc != want && !(fault.struck && says_memory(rc, &e)))
        fail_msg("%s: error %d, not %d, when allocation %ld fails: %s", what, rc, want, n,
                 e.detail);
    size_t same = 0;
    while (same < MIN(found.len, wanted->len) && found.data[same] == wanted->data[same])
        same++;
    if (rc == want && (same < found.len || same < wanted->len))
        fail_msg("%s: when allocation %ld fails, '%.*s' where '%.*s' was wanted", what, n,
                 (int)MIN(found.len - same, (size_t)SHOWN), (const char *)found.data + same,
                 (int)MIN(wanted->len - same, (size_t)SHOWN), (const char *)wanted->data + same);
    if (rc && !e.detail[0])
        fail_msg("%s: no reason when allocation %ld fails", what, n);
    buf_done(&found);
    if (fault.live != before)
        fail_msg("%s: %ld left when allocation %ld fails", what, fault.live - before, n);
    return fault.struck;
}

static void each_fails(const char *what, run_fn *run, struct span input)
{
    struct buf wanted = {0};
    struct error e = {0};
    int want = run(input, &wanted, &e); /* this also makes what stays for good */
    for (int sticky = 0; sticky < 2; sticky++) {
        fault.sticky = sticky;
        for (long n = 0;; n++) {
            fault.left = n;
            if (!fails_once(what, run, input, want, &wanted))
                break;
        }
    }
    buf_done(&wanted);
}

/* The same with each file of a folder of tests/fuzz/corpus. */
static void each_file_fails(const char *folder, run_fn *run)
{
    char path[4096];
    struct dirent *entry;
    unsigned n = 0;
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", getenv("DROVER_SOURCE_ROOT"), folder);
    DIR *dir = opendir(path);
    if (!dir)
        fail_msg("%s: no such folder", path);
    while ((entry = readdir(dir))) {
        static char data[64 * 1024];
        char name[8192];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        FILE *f = fopen(name, "rb");
        assert_non_null(f);
        size_t size = fread(data, 1, sizeof data, f);
        fclose(f);
        each_fails(name, run, (struct span){data, size});
        n++;
    }
    closedir(dir);
    assert_true(n > 0);
}

/* ---- rows and messages ---- */

static int read_batch(struct span input, struct buf *out, struct error *e)
{
    struct batch *b = NULL;
    int rc = batch_unpack(input, &b, e);
    if (rc)
        return rc;
    at_rest();
    batch_write_ndjson(b, out);
    batch_free(b);
    return ERR_OK;
}

static void rows(void **state UNUSED)
{
    each_file_fails("batch", read_batch);
}

static int note(int rc, int *worst)
{
    if (rc == ERR_NOMEM)
        *worst = rc;
    return rc;
}

/* Every message that needs memory, of the same bytes. */
static int read_messages(struct span input, struct buf *out, struct error *e)
{
    struct arena a;
    struct wire_frame frame = {.body = input};
    struct wire_hello hello;
    struct wire_assign assign = {0};
    struct wire_result *results;
    struct wire_verdict *verdicts;
    struct wire_heartbeat heartbeat;
    struct wire_token *tokens;
    struct wire_calls *calls;
    struct wire_breaker *breakers;
    struct wire_sink sink;
    size_t n;
    int worst = ERR_OK;
    if (wire_frame_read(input, &frame, NULL))
        frame.body = input;
    arena_init(&a, 0);
    int codes[] = {
        note(wire_hello_read(frame.body, &a, &hello, e), &worst),
        note(wire_assign_read(frame.body, &a, &assign, e), &worst),
        note(wire_results_read(frame.body, &a, &results, &n, e), &worst),
        note(wire_verdicts_read(frame.body, &a, &verdicts, &n, e), &worst),
        note(wire_heartbeat_read(frame.body, &a, &heartbeat, e), &worst),
        note(wire_begun_read(frame.body, &a, &tokens, &n, e), &worst),
        note(wire_calls_read(frame.body, &a, &calls, &n, e), &worst),
        note(wire_breakers_read(frame.body, &a, &breakers, &n, e), &worst),
        note(wire_sink_read(frame.body, &a, &sink, e), &worst),
    };
    at_rest();
    arena_done(&a);
    buf_append(out, codes, sizeof codes);
    return worst;
}

static void messages(void **state UNUSED)
{
    each_file_fails("wire", read_messages);
}

/* ---- predictions ---- */

static struct model_info *make_info(void)
{
    static const char *const names[] = {"age", "city"};
    struct model_info *info = NULL;
    struct error e = {0};
    struct buf packed = {0};
    pack_array(&packed, 4);
    pack_u64(&packed, 1);
    pack_bool(&packed, false);
    pack_array(&packed, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        pack_array(&packed, 2);
        pack_cstr(&packed, names[i]);
        pack_u64(&packed, i ? MODEL_TEXT : MODEL_FLOAT);
    }
    pack_array(&packed, 0);
    assert_int_equal(model_info_read(buf_span(&packed), &info, &e), ERR_OK);
    buf_done(&packed);
    return info;
}

/* Rows of a request behind those of another; what failed is taken out again, and the next one is taken. */
static int read_request(struct span input, struct buf *out, struct error *e)
{
    struct arena mem;
    struct batch *b = NULL;
    const bool armed = fault.armed;
    arena_init(&mem, 0);
    at_rest();
    struct model_info *info = make_info();
    b = model_info_batch(info);
    assert_non_null(b);
    assert_int_equal(predict_json_read(info, input, b, &mem, e), ERR_OK);
    const uint32_t first = b->n_rows;
    fault.armed = armed;
    int rc = predict_json_read(info, input, b, &mem, e);
    at_rest();
    if (rc != ERR_OK || !batch_ok(b)) {
        batch_rewind(b, first);
        assert_int_equal(predict_json_read(info, input, b, &mem, e), ERR_OK);
    }
    assert_true(batch_ok(b));
    batch_write_ndjson(b, out);
    batch_free(b);
    model_info_free(info);
    arena_done(&mem);
    return ERR_OK;
}

static void predictions(void **state UNUSED)
{
    struct buf text = {0};
    buf_str(&text, "{\"rows\": [");
    for (int i = 0; i < 70; i++) /* buffers grow on the way */
        buf_printf(&text, "%s{\"age\": %d, \"city\": %s}", i ? ", " : "", i,
                   i % 3 ? "\"Bonn\"" : "null");
    buf_str(&text, "]}");
    buf_byte(&text, 0); /* which stands behind every body */
    each_fails("a request", read_request, (struct span){(const char *)text.data, text.len - 1});
    buf_done(&text);
}

/* ---- descriptions ---- */

/* Those of scrapes are left out: lexbor loses what a parser had when it cannot set it up. */

static int read_spec(struct span input, struct buf *out, struct error *e)
{
    struct spec *s = NULL;
    int rc = spec_parse(input, engines_table, engines_count, true, &s, e);
    if (rc)
        return rc;
    at_rest();
    spec_explain(s, out);
    spec_free(s);
    return ERR_OK;
}

static void descriptions(void **state UNUSED)
{
    static const char *const texts[] = {
        "{\"drover\": 1, \"stages\": [{\"kind\": \"transform\", \"sql\": \"SELECT k, sum(n) AS n FROM input "
        "JOIN t ON k = t.c WHERE d > '2026-01-01' AND lower(k) LIKE 'a%' GROUP BY k ORDER BY n LIMIT 5\", "
        "\"columns\": {\"d\": \"date\"}, \"csv\": {\"delimiter\": \";\", \"names\": [\"k\", \"n\", \"d\"]}, "
        "\"tables\": {\"t\": {\"columns\": {\"c\": \"text\"}, \"blob\": \""
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}}}]}",
        "{\"drover\": 1, \"name\": \"nightly\", \"stages\": [{\"kind\": \"noop\", \"rows\": true}, {\"kind\": "
        "\"transform\", \"sql\": \"SELECT item, length(item) AS q FROM input\"}], \"input\": [\"a\"], \"sinks\": "
        "[{\"name\": \"pg\", \"table\": \"pages\"}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        each_fails(texts[i], read_spec, span_str(texts[i]));
}

/* ---- SQL ---- */

static struct batch *make_rows(void)
{
    static const char *const texts[] = {
        "1.50", "x", "", "-7", "\xc3\xa9\xc3\x80", "99999999999999999999.5"};
    struct batch *b = batch_new();
    assert_non_null(b);
    assert_int_equal(batch_add_column(b, "a", COL_TEXT) | batch_add_column(b, "b", COL_TEXT) |
                         batch_add_column(b, "c", COL_INT64),
                     ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        batch_text(b, 0, span_str(texts[i]));
        if (i % 3)
            batch_text(b, 1, span_str(texts[ARRAY_LEN(texts) - 1 - i]));
        batch_i64(b, 2, i % 2 ? INT64_MAX : (int64_t)i);
        batch_row_end(b);
    }
    return b;
}

static struct batch *sql_rows;
static json_t *sql_stage;

/* Two runs, of which one hands its state to the other when there is one. */
static int run_twice(const struct transform *t, struct batch *to, struct error *e)
{
    struct write_batch w;
    struct transform_run *first = NULL, *second = NULL;
    struct buf state = {0};
    write_batch_init(&w, to);
    int rc = transform_open(t, &w.sink, NULL, NULL, SIMD_SCALAR, &first, e);
    if (rc == ERR_OK)
        rc = transform_batch(first, sql_rows, e);
    if (rc == ERR_OK && transform_gathers(t)) {
        rc = transform_open(t, &w.sink, NULL, NULL, SIMD_SCALAR, &second, e);
        if (rc == ERR_OK)
            rc = transform_save(first, &state, e);
        if (rc == ERR_OK)
            rc = transform_load(second, buf_span(&state), e);
        if (rc == ERR_OK)
            rc = transform_merge(second, first, e);
    }
    if (rc == ERR_OK)
        rc = transform_end(second ? second : first, e);
    transform_close(first);
    transform_close(second);
    buf_done(&state);
    return rc;
}

static int run_sql(struct span input UNUSED, struct buf *out, struct error *e)
{
    struct transform *t = NULL;
    int rc = transform_compile(sql_stage, sql_rows, NULL, 0, &t, e);
    if (rc)
        return rc;
    struct batch *to = transform_columns(t);
    rc = to ? run_twice(t, to, e) : error_set(e, ERR_NOMEM, "columns");
    at_rest();
    if (rc == ERR_OK)
        batch_write_ndjson(to, out);
    batch_free(to);
    transform_free(t);
    return rc;
}

static void sql(void **state UNUSED)
{
    static const char *const queries[] = {
        "SELECT a, upper(b), c + 1 FROM input WHERE c < 100 OR b ~ '^[a-z]+$'",
        "SELECT lower(a), count(*), sum(c), avg(c), max(b), count(DISTINCT b), string_agg(b, ',') FROM input "
        "GROUP BY lower(a)",
        "SELECT sum(c::numeric), min(a), stddev(c::float8), bool_or(c > 1) FROM input",
        "SELECT DISTINCT a, c::numeric * 100000000000000000000 FROM input ORDER BY 2 DESC, a LIMIT 3",
        "SELECT CASE WHEN c > 1 THEN concat(a, '-', b) ELSE replace(a, '9', 'nine') END, regexp_replace(a, "
        "'(9+)', '<\\1>', 'g') FROM input",
        "SELECT c::numeric ^ 2, round(c / 7.0, 3), to_char(to_timestamp(c % 1000000), 'YYYY-MM-DD') FROM input",
        "SELECT nothing FROM input",
        "SELECT a, FROM input",
    };
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        sql_stage = json_pack("{s:s, s:s, s:s}", "kind", "transform", "sql", queries[i], "on_error",
                              "null");
        sql_rows = make_rows();
        each_fails(queries[i], run_sql, SPAN(""));
        batch_free(sql_rows);
        json_decref(sql_stage);
    }
}

/* ---- files ---- */

static int run_file(struct span input, struct buf *out, struct error *e)
{
    struct transform *t = NULL;
    struct transform_run *r = NULL;
    struct batch *to = NULL;
    struct write_batch w;
    int rc = transform_compile(sql_stage, NULL, NULL, 0, &t, e);
    if (rc)
        return rc;
    int fd = memfd_create("input", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, input.p, input.len) == (ssize_t)input.len);
    if (transform_n_tables(t) > 0)
        rc = transform_table(t, transform_table_name(t, 0), fd, e);
    if (rc == ERR_OK && !(to = transform_columns(t)))
        rc = error_set(e, ERR_NOMEM, "columns");
    if (rc == ERR_OK) {
        write_batch_init(&w, to);
        rc = transform_open(t, &w.sink, NULL, NULL, simd_best(), &r, e);
    }
    if (rc == ERR_OK)
        rc = transform_file(r, fd, &transform_whole_file, NULL, 0, e);
    if (rc == ERR_OK)
        rc = transform_end(r, e);
    at_rest();
    if (rc == ERR_OK)
        batch_write_ndjson(to, out);
    transform_close(r);
    batch_free(to);
    transform_free(t);
    close(fd);
    return rc;
}

static void files(void **state UNUSED)
{
    static const struct {
        const char *stage, *file;
    } cases[] = {
        {"{\"sql\": \"SELECT i + 1, trim(t) FROM input WHERE i > 1\"}",
         "i,t\n1,a\n2,\" b\"\n3,\"c\"\"\"\n"},
        {"{\"sql\": \"SELECT i, t FROM input\", \"format\": \"ndjson\", \"columns\": {\"i\": \"integer\"}}",
         "{\"i\": 1, \"t\": \"\\u00e9\"}\n{\"t\": {\"x\": [1, 2]}}\n"},
        {"{\"sql\": \"SELECT x.t, count(*) FROM input JOIN x ON input.i = x.i GROUP BY x.t\", \"tables\": "
         "{\"x\": {\"columns\": {\"i\": \"integer\", \"t\": \"text\"}}}}",
         "i,t\n1,a\n2,b\n3,a\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        sql_stage = json_loads(cases[i].stage, 0, NULL);
        assert_non_null(sql_stage);
        json_object_set_new(sql_stage, "kind", json_string("transform"));
        each_fails(cases[i].stage, run_file, span_str(cases[i].file));
        json_decref(sql_stage);
    }
}

/* ---- models ---- */

enum { MODEL_ROWS = 5 };

/* A column for each element of each input, by position. */
static struct batch *model_rows(const struct score_model *m)
{
    struct batch *b = batch_new();
    assert_non_null(b);
    for (size_t i = 0; i < m->graph.n_inputs; i++) {
        const enum elem_type type = m->graph.values[m->graph.inputs[i]].shape.type;
        for (size_t k = 0; k < score_input_width(m, i); k++) {
            char name[64];
            snprintf(name, sizeof name, "c%zu.%zu", i, k);
            assert_int_equal(batch_add_column(b, name, type == ELEM_STR ? COL_TEXT : COL_FLOAT64),
                             ERR_OK);
        }
    }
    for (uint32_t row = 0; row < MODEL_ROWS; row++) {
        for (size_t c = 0; c < b->n_columns; c++) {
            if (b->columns[c].type == COL_TEXT)
                batch_text(b, c, row % 2 ? SPAN("a") : SPAN("b"));
            else
                batch_f64(b, c, (double)((row * 7 + c) % 5));
        }
        batch_row_end(b);
    }
    return b;
}

static int run_model(struct span input, struct buf *out, struct error *e)
{
    static const struct score_options options = {.kernel = "lockstep"};
    struct score_model *m = NULL;
    struct score_stage *stage = NULL;
    struct score_scratch scratch;
    int rc = score_load(input, &options, &m, e);
    if (rc)
        return rc;
    const bool armed = fault.armed;
    at_rest();
    struct batch *in = model_rows(m), *to = NULL;
    fault.armed = armed;
    score_scratch_init(&scratch);
    rc = score_stage_compile(NULL, m, in, &stage, e);
    if (rc == ERR_OK && !(to = score_stage_columns(stage)))
        rc = error_set(e, ERR_NOMEM, "columns");
    if (rc == ERR_OK)
        rc = score_stage_run(stage, &scratch, in, to, e);
    at_rest();
    if (rc == ERR_OK)
        batch_write_ndjson(to, out);
    score_scratch_done(&scratch);
    score_stage_free(stage);
    batch_free(to);
    batch_free(in);
    score_unref(m);
    return rc;
}

static void models(void **state UNUSED)
{
    each_file_fails("score", run_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),         cmocka_unit_test(messages), cmocka_unit_test(predictions),
        cmocka_unit_test(descriptions), cmocka_unit_test(sql),      cmocka_unit_test(files),
        cmocka_unit_test(models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
