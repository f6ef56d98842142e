/* Stages that follow one another, with stages made for the test, and the result of it all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/pack.h"
#include "common/unpack.h"
#include "common/wire.h"
#include "worker/output.h"
#include "worker/pipeline.h"
#include "worker/result.h"

enum { KIND_COUNT = 0x100, KIND_APPEND = 0x200 };

/* ---- a source of one row for each item, and a stage that appends its letter to each ---- */

static int n_open, n_processed;

static int compile(const json_t *stage, const struct batch *input UNUSED, void **ret,
                   struct error *e UNUSED)
{
    *ret = strdup(json_string_value(json_object_get(stage, "text")));
    return ERR_OK;
}

static int item(const void *compiled UNUSED, struct span text, uint32_t depth UNUSED,
                struct buf *out, uint64_t *ret_key, struct hash128 *ret_unique,
                struct error *e UNUSED)
{
    pack_str(out, text);
    *ret_key = 1;
    *ret_unique = (struct hash128){1, 1};
    return ERR_OK;
}

static struct batch *columns(const void *compiled UNUSED)
{
    struct batch *b = batch_new();
    assert_int_equal(batch_add_column(b, "item", COL_TEXT), ERR_OK);
    return b;
}

static const struct spec_engine engines[] = {
    {.name = "source",
     .kind = KIND_COUNT,
     .source = true,
     .compile = compile,
     .free = free,
     .columns = columns,
     .item = item},
    {.name = "append",
     .follows = true,
     .kind = KIND_APPEND,
     .compile = compile,
     .free = free,
     .columns = columns},
};

static int run(const void *compiled UNUSED, const struct pipeline_call *call, struct output *o,
               struct error *e UNUSED)
{
    struct unpack u;
    unpack_init(&u, call->items.p, call->items.len);
    for (size_t n = unpack_array(&u); n > 0; n--) {
        batch_text(o->rows, 0, unpack_str(&u));
        batch_row_end(o->rows);
    }
    return ERR_OK;
}

static int append_open(const void *compiled, const struct blobset *blobs UNUSED, void **ret,
                       struct error *e)
{
    if (strcmp(compiled, "no-open") == 0)
        return error_set(e, ERR_UNAVAILABLE, "not now");
    n_open++;
    *ret = strdup(compiled);
    return ERR_OK;
}

static int append_process(void *state, const struct batch *in, struct output *o UNUSED,
                          struct batch *out, struct error *e)
{
    const char *text = state;
    n_processed++;
    if (strcmp(text, "no-process") == 0)
        return error_set(e, ERR_LIMIT, "too much");
    for (uint32_t i = 0; i < in->n_rows; i++) {
        char joined[100];
        const struct span s = batch_get_text(in, 0, i);
        snprintf(joined, sizeof(joined), "%.*s%s", (int)s.len, s.p, text);
        batch_text(out, 0, span_str(joined));
        batch_row_end(out);
    }
    return ERR_OK;
}

static int append_end(void *state UNUSED, struct output *o UNUSED, struct batch *out UNUSED,
                      struct error *e UNUSED)
{
    return ERR_OK;
}

static void append_close(void *state)
{
    n_open--;
    free(state);
}

static const struct pipeline_kind kinds[] = {
    {.kind = KIND_COUNT, .place = PIPELINE_INLINE, .run = run},
    {.kind = KIND_APPEND,
     .open = append_open,
     .process = append_process,
     .end = append_end,
     .close = append_close},
};

static int make(const char *stages, struct pipeline **ret, struct error *e)
{
    char text[500];
    struct spec *spec = NULL;
    snprintf(text, sizeof(text), "{\"drover\": 1, \"stages\": [%s]}", stages);
    const int rc = spec_parse(span_str(text), engines, ARRAY_LEN(engines), false, &spec, e);
    return rc == ERR_OK ? pipeline_new(spec, kinds, ARRAY_LEN(kinds), ret, e) : rc;
}

#define SOURCE "{\"kind\": \"source\", \"text\": \"\"}"
#define APPEND(text) "{\"kind\": \"append\", \"text\": \"" text "\"}"

static void stages_follow_one_another(void **state UNUSED)
{
    static const struct {
        const char *name, *stages, *row, *reason;
        int error, n_processed;
    } cases[] = {
        {"the source alone", SOURCE, "x", NULL, ERR_OK, 0},
        {"one stage", SOURCE "," APPEND("a"), "xa", NULL, ERR_OK, 1},
        {"three stages in order", SOURCE "," APPEND("a") "," APPEND("b") "," APPEND("c"), "xabc",
         NULL, ERR_OK, 3},
        {"a stage that cannot begin", SOURCE "," APPEND("no-open") "," APPEND("b"), NULL,
         "UNAVAILABLE", ERR_UNAVAILABLE, 0},
        {"a stage that fails", SOURCE "," APPEND("a") "," APPEND("no-process") "," APPEND("b"),
         NULL, "LIMIT", ERR_LIMIT, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pipeline *p = NULL;
        struct error e = {0};
        if (make(cases[i].stages, &p, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].name, e.detail);
        struct output *o = pipeline_output(p);
        n_processed = 0;
        const struct pipeline_call call = {.items = SPAN("\x91\xa1x")};
        pipeline_run(p, &call, o);
        assert_int_equal(o->error, cases[i].error);
        assert_int_equal(n_processed, cases[i].n_processed);
        if (cases[i].row)
            assert_true(span_eq(batch_get_text(o->rows, 0, 0), span_str(cases[i].row)));
        else
            assert_string_equal(o->error_reason, cases[i].reason);
        assert_int_equal(n_open, 0);
        output_free(o);
        pipeline_unref(p);
    }
}

static void kinds_that_a_worker_lacks_are_named(void **state UNUSED)
{
    struct spec *spec = NULL;
    struct pipeline *p = NULL;
    struct error e = {0};
    const struct span text = SPAN("{\"drover\": 1, \"stages\": [" SOURCE "," APPEND("a") "]}");
    assert_int_equal(spec_parse(text, engines, ARRAY_LEN(engines), false, &spec, &e), ERR_OK);
    assert_int_equal(pipeline_new(spec, kinds, 1, &p, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "stages[1].kind"));
    assert_non_null(strstr(e.detail, "append"));
}

static void references(void **state UNUSED)
{
    struct pipeline *p = NULL;
    struct error e = {0};
    assert_int_equal(make(SOURCE, &p, &e), ERR_OK);
    assert_ptr_equal(pipeline_ref(p), p);
    pipeline_unref(p);
    assert_int_equal(p->references, 1);
    pipeline_unref(p);
    pipeline_unref(NULL);
}

/* ---- results ---- */

static struct output *new_output(uint32_t n_rows, const char *text)
{
    struct output *o = output_new(columns(NULL));
    for (uint32_t i = 0; i < n_rows; i++) {
        batch_text(o->rows, 0, span_str(text));
        batch_row_end(o->rows);
    }
    return o;
}

/* Packs the output and reads it back as the coordinator would. */
static struct wire_result packed(const struct output *o, struct arena *a, struct buf *out)
{
    struct wire_result *all = NULL;
    struct error e = {0};
    size_t n = 0;
    enum wire_outcome outcome;
    const struct wire_token token = {3, 4, 5};
    buf_clear(out);
    pack_array(out, 1);
    assert_int_equal(result_pack(&token, o, true, out, &outcome), ERR_OK);
    assert_int_equal(wire_results_read(buf_span(out), a, &all, &n, &e), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(all[0].outcome, outcome);
    assert_int_equal(all[0].token.counter, 5);
    return all[0];
}

static void outcomes(void **state UNUSED)
{
    static const struct {
        const char *name;
        int error;
        bool failed;
        enum wire_outcome outcome;
        const char *text;
    } cases[] = {
        {"done", ERR_OK, false, WIRE_DONE, NULL},
        {"cut short", ERR_STALE, false, WIRE_RETURNED, "WHY: detail"},
        {"may pass", ERR_UNAVAILABLE, false, WIRE_RETRY, "WHY: detail"},
        {"no memory", ERR_NOMEM, false, WIRE_RETRY, "WHY: detail"},
        {"an append failed", ERR_OK, true, WIRE_RETRY, "NOMEM: out of memory"},
        {"for good", ERR_MALFORMED, false, WIRE_FAIL, "WHY: detail"},
        {"a bug", ERR_INTERNAL, false, WIRE_FAIL, "WHY: detail"},
    };
    struct arena a;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct output *o = new_output(2, "row");
        if (cases[i].error)
            pipeline_fail(o, (enum err)cases[i].error, "WHY", "detail");
        o->failed = cases[i].failed;
        const struct wire_result m = packed(o, &a, &out);
        if (m.outcome != cases[i].outcome || !span_eq(m.error, span_str(cases[i].text)))
            fail_msg("%s: outcome %d, %.*s", cases[i].name, (int)m.outcome, (int)m.error.len,
                     m.error.p ? m.error.p : "");
        assert_int_equal(m.n_rows, m.outcome == WIRE_DONE ? 2 : 0);
        output_free(o);
    }
    arena_done(&a);
    buf_done(&out);
}

static void everything_of_an_output_travels(void **state UNUSED)
{
    struct arena a;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    struct output *o = new_output(0, NULL);
    output_reject(o, SPAN("in1"), "HTTP_404", NULL);
    output_reject(o, SPAN("in2"), "ROBOTS", "why");
    output_retry(o, SPAN("in3"), 2, "HTTP_503", "busy");
    output_retry(o, SPAN("in4"), 0, "TIMEOUT", NULL);
    output_found(o, SPAN("http://x/"), 7);
    output_stat(o, "pages", 9);
    o->key_delay_ms = 11;
    o->key_backoff_ms = 12;
    const struct wire_result m = packed(o, &a, &out);
    assert_null(m.rows.p);
    assert_int_equal(m.n_rejects, 2);
    assert_int_equal(m.n_again, 2);
    assert_true(span_eq(m.again[0].error, SPAN("HTTP_503: busy")));
    assert_true(span_eq(m.again[1].error, SPAN("TIMEOUT")));
    assert_int_equal(m.again[0].depth, 2);
    assert_int_equal(m.found[0].depth, 7);
    assert_true(span_eq(m.found[0].url, SPAN("http://x/")));
    assert_int_equal(m.stats[0].value, 9);
    assert_int_equal(m.key_delay_ms, 11);
    assert_int_equal(m.key_backoff_ms, 12);
    struct unpack u;
    unpack_init(&u, m.rejects.p, m.rejects.len);
    assert_int_equal(unpack_array(&u), 2);
    output_free(o);
    arena_done(&a);
    buf_done(&out);
}

static void too_large_fails_and_names_the_limit(void **state UNUSED)
{
    struct arena a;
    struct buf out;
    arena_init(&a, 0);
    buf_init(&out, 0);
    static char text[40001];
    memset(text, 'x', sizeof(text) - 1);
    static const struct {
        uint32_t n_rows, n_rejects;
        enum wire_outcome outcome;
    } cases[] = {{419, 0, WIRE_DONE},
                 {420, 0, WIRE_FAIL},
                 {419, 1, WIRE_FAIL},
                 {3000, 0, WIRE_FAIL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct output *o = new_output(cases[i].n_rows, text);
        for (uint32_t k = 0; k < cases[i].n_rejects; k++)
            output_reject(o, SPAN("x"), "WHY", text);
        const struct wire_result m = packed(o, &a, &out);
        assert_int_equal(m.outcome, cases[i].outcome);
        assert_true(out.len <= WIRE_MESSAGE_MAX);
        if (m.outcome == WIRE_FAIL) {
            assert_non_null(memmem(m.error.p, m.error.len, "LIMIT: ", 7));
            assert_non_null(memmem(m.error.p, m.error.len, "16777216", 8));
        }
        output_free(o);
    }
    arena_done(&a);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_follow_one_another),
        cmocka_unit_test(kinds_that_a_worker_lacks_are_named),
        cmocka_unit_test(references),
        cmocka_unit_test(outcomes),
        cmocka_unit_test(everything_of_an_output_travels),
        cmocka_unit_test(too_large_fails_and_names_the_limit),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
