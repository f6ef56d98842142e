/* The transform engine as a stage: what a task does with a file, cutting it, parts of an answer, rows
 * as text, and rejects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "common/pack.h"
#include "worker/engine_transform.h"
#include "worker/inputs.h"
#include "worker/output.h"

enum { ROWS = 300000 }; /* some thirty parts of the smallest size */

static uint64_t file_bytes;
static char path[] = "/tmp/drover-transform-XXXXXX";

static int make_file(void **state UNUSED)
{
    const int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fputs("id,amount\n", f);
    for (int i = 0; i < ROWS; i++) /* every tenth amount is wrong */
        fprintf(f, i % 10 == 3 ? "%d,dear\n" : "%d,1.25\n", i);
    file_bytes = (uint64_t)ftell(f);
    fclose(f);
    return 0;
}

static int remove_file(void **state UNUSED)
{
    return unlink(path);
}

static struct pipeline *pipeline_of(const char *stage)
{
    char text[1000];
    struct pipeline *p = NULL;
    struct error e = {0};
    snprintf(text, sizeof(text), "{\"drover\": 1, \"stages\": [{\"kind\": \"transform\", %s}]}",
             stage);
    if (pipeline_parse(span_str(text), false, NULL, &p, &e) != ERR_OK)
        fail_msg("%s: %s", stage, e.detail);
    return p;
}

/* One task over one input. */
static struct output *run_with(const struct pipeline *p, const char *input,
                               struct pipeline_call call)
{
    static const struct inputs anywhere = {0};
    struct buf items = {0};
    struct output *o = pipeline_output(p);
    pack_array(&items, 1);
    pack_array(&items, 2);
    pack_cstr(&items, input);
    pack_u64(&items, 3);
    call.items = buf_span(&items);
    if (!call.inputs)
        call.inputs = &anywhere;
    pipeline_run(p, &call, o);
    buf_done(&items);
    return o;
}

static struct output *run(const struct pipeline *p, const char *input)
{
    return run_with(p, input, (struct pipeline_call){0});
}

static int64_t stat_of(const struct output *o, const char *name)
{
    for (size_t i = 0; i < o->n_stats; i++)
        if (strcmp(o->stats[i].name, name) == 0)
            return o->stats[i].value;
    return 0;
}

static void options(void **state UNUSED)
{
    static const char *const wrong[] = {"65535", "1073741825", "\"8MiB\"", "-1", "1.5e6"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char text[300];
        struct pipeline *p = NULL;
        struct error e = {0};
        snprintf(text, sizeof(text),
                 "{\"drover\": 1, \"stages\": [{\"kind\": \"transform\", \"sql\": \"SELECT a FROM "
                 "input\", \"task_bytes\": %s}]}",
                 wrong[i]);
        assert_int_equal(pipeline_parse(span_str(text), false, NULL, &p, &e), ERR_INVALID_SPEC);
        if (!strstr(e.detail, "stages[0].task_bytes: 65536 to 1073741824"))
            fail_msg("%s: %s", wrong[i], e.detail);
    }
}

/* What was read of a file that is cut. */
struct reading {
    const struct pipeline *pipeline;
    uint64_t at;
    uint32_t n_rows, n_cuts;
    struct pipeline_gather *gather; /* takes partial states; NULL: there are rows */
};

/* An input and all that is found with it: one part behind the other, all rows, none twice. */
static void read_all(struct reading *r, const char *input)
{
    struct error e = {0};
    struct output *o = run(r->pipeline, input);
    assert_int_equal(o->error, ERR_OK);
    if (o->n_found > 0) {
        assert_int_equal(o->rows->n_rows, 0);
        assert_int_equal(o->partial.len, 0); /* a file that was only cut has nothing to bring */
        r->n_cuts++;
        for (size_t i = 0; i < o->n_found; i++) {
            struct input_ref part;
            assert_int_equal(o->found[i].depth, 4);
            assert_int_equal(input_ref_parse(span_str(o->found[i].url), &part, &e), ERR_OK);
            assert_int_equal(part.begin, r->at);
            assert_int_equal(part.line, r->at == 0 ? 1 : r->n_rows + 2);
            read_all(r, o->found[i].url);
            assert_true(part.end == UINT64_MAX || part.end == r->at);
        }
    } else {
        struct input_ref part;
        assert_int_equal(input_ref_parse(span_str(input), &part, &e), ERR_OK);
        r->at = part.end == UINT64_MAX ? file_bytes : part.end;
        r->n_rows += (uint32_t)stat_of(o, "input_rows");
        if (r->gather)
            assert_int_equal(pipeline_gather_add(r->gather, buf_span(&o->partial), &e), ERR_OK);
        else
            assert_int_equal(o->rows->n_rows, stat_of(o, "input_rows"));
    }
    output_free(o);
}

static void a_file_is_read_or_cut(void **state UNUSED)
{
    struct pipeline *whole = pipeline_of("\"sql\": \"SELECT id FROM input\""),
                    *cut = pipeline_of("\"sql\": \"SELECT id FROM input\", \"task_bytes\": 65536");
    struct output *o = run(whole, path);
    assert_int_equal(o->error, ERR_OK);
    assert_int_equal(o->rows->n_rows, ROWS);
    assert_int_equal(o->n_found, 0);
    assert_int_equal(stat_of(o, "input_rows"), ROWS);
    output_free(o);

    struct reading r = {.pipeline = cut};
    read_all(&r, path);
    assert_int_equal(r.at, file_bytes);
    assert_int_equal(r.n_rows, ROWS);
    assert_true(r.n_cuts >= 2); /* a few parts first; then another task cuts the rest */

    const struct inputs uncut = {.whole = true};
    o = run_with(cut, path, (struct pipeline_call){.inputs = &uncut});
    assert_int_equal(o->rows->n_rows, ROWS);
    output_free(o);
    pipeline_unref(whole);
    pipeline_unref(cut);
}

static void parts_come_together(void **state UNUSED)
{
    struct pipeline *p =
        pipeline_of("\"sql\": \"SELECT count(*) AS n, sum(id) AS s FROM input\", \"task_bytes\": "
                    "65536");
    struct error e = {0};
    struct reading r = {.pipeline = p};
    assert_true(pipeline_gathers(p));
    assert_int_equal(pipeline_gather_new(p, NULL, &r.gather, &e), ERR_OK);
    read_all(&r, path);
    assert_true(r.n_cuts >= 2);
    struct output *o = pipeline_output(p);
    pipeline_gather_end(r.gather, o);
    assert_int_equal(o->rows->n_rows, 1);
    assert_int_equal(batch_get_i64(o->rows, 0, 0), ROWS);
    output_free(o);
    pipeline_gather_free(r.gather);
    pipeline_unref(p);
}

static void what_gathers(void **state UNUSED)
{
    static const struct {
        const char *sql;
        bool alone, with_merge;
    } cases[] = {
        {"SELECT a FROM input", false, false},
        {"SELECT a FROM input LIMIT 3", true, true},
        {"SELECT DISTINCT a FROM input", true, true},
        {"SELECT a FROM input ORDER BY a", true, true},
        {"SELECT a, count(*) AS n, sum(b) AS s, min(c) AS m FROM input GROUP BY a", true, false},
        {"SELECT a, avg(b) AS m FROM input GROUP BY a", true, true},
        {"SELECT a, count(DISTINCT b) AS m FROM input GROUP BY a", true, true},
        {"SELECT a, count(*) + 1 AS n FROM input GROUP BY a", true, true},
        {"SELECT a, count(*) AS n FROM input GROUP BY a HAVING count(*) > 2", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char stage[300];
        snprintf(stage, sizeof(stage), "\"sql\": \"%s\"", cases[i].sql);
        struct pipeline *p = pipeline_of(stage);
        const void *compiled = pipeline_source(p);
        if (engine_transform_gathers(compiled, false) != cases[i].alone ||
            engine_transform_gathers(compiled, true) != cases[i].with_merge)
            fail_msg("%s", cases[i].sql);
        pipeline_unref(p);
    }
}

static void rejects_are_listed_and_counted(void **state UNUSED)
{
    struct pipeline *p = pipeline_of("\"sql\": \"SELECT id FROM input WHERE amount::numeric > 0\"");
    char first[100];
    struct output *o = run(p, path);
    assert_int_equal(o->error, ERR_OK);
    assert_int_equal(o->rows->n_rows, ROWS - ROWS / 10);
    assert_int_equal(o->n_rejects, TRANSFORM_REJECTS_LISTED);
    assert_int_equal(stat_of(o, "rejects_not_listed"), ROWS / 10 - TRANSFORM_REJECTS_LISTED);
    snprintf(first, sizeof(first), "%s:5", path);
    assert_string_equal(o->rejects[0].input, first);
    assert_string_equal(o->rejects[0].reason, "BAD_VALUE");
    assert_string_equal(o->rejects[0].detail, "amount: \"dear\"");
    output_free(o);
    pipeline_unref(p);

    p = pipeline_of("\"sql\": \"SELECT id FROM input WHERE amount::numeric > 0\", \"on_error\": "
                    "\"fail\"");
    o = run(p, path);
    assert_int_not_equal(o->error, ERR_OK);
    assert_int_equal(err_class((enum err)o->error), ERR_CLASS_REJECT);
    assert_non_null(strstr(o->error_detail, path));
    assert_non_null(strstr(o->error_detail, "line 5"));
    output_free(o);
    pipeline_unref(p);
}

static int put(void *user, const void *p, size_t n, struct error *e UNUSED)
{
    buf_append(user, p, n);
    return ERR_OK;
}

static void rows_as_text(void **state UNUSED)
{
    struct pipeline *p =
        pipeline_of("\"sql\": \"SELECT id, upper(id) AS u FROM input WHERE id = '7' OR id = '8'\"");
    struct buf csv = {0}, json = {0};
    struct pipeline_text to = {.csv = true, .put = put, .user = &csv};
    struct output *o = run_with(p, path, (struct pipeline_call){.text = &to});
    assert_int_equal(o->text_rows, 2);
    assert_int_equal(o->rows->n_rows, 0);
    assert_true(span_eq(buf_span(&csv), SPAN("7,7\n8,8\n"))); /* no header: who owns the file */
    output_free(o);
    to = (struct pipeline_text){.put = put, .user = &json};
    o = run_with(p, path, (struct pipeline_call){.text = &to});
    assert_true(
        span_eq(buf_span(&json), SPAN("{\"id\":\"7\",\"u\":\"7\"}\n{\"id\":\"8\",\"u\":\"8\"}\n")));
    output_free(o);
    buf_done(&csv);
    buf_done(&json);
    pipeline_unref(p);
}

static void cancelled_tasks_end_with_stale(void **state UNUSED)
{
    const atomic_bool yes = true;
    struct pipeline *p = pipeline_of("\"sql\": \"SELECT id FROM input\"");
    struct output *o = run_with(p, path, (struct pipeline_call){.cancelled = &yes});
    assert_int_equal(o->error, ERR_STALE);
    output_free(o);
    pipeline_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options),
        cmocka_unit_test(a_file_is_read_or_cut),
        cmocka_unit_test(parts_come_together),
        cmocka_unit_test(what_gathers),
        cmocka_unit_test(rejects_are_listed_and_counted),
        cmocka_unit_test(rows_as_text),
        cmocka_unit_test(cancelled_tasks_end_with_stale),
    };
    return cmocka_run_group_tests_name("engine_transform", tests, make_file, remove_file);
}
