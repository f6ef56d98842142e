/* The job description: defaults, limits, and that every mistake is named with its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/pack.h"
#include "common/spec.h"

/* An engine for the test: {"kind": "echo", "limit": N}. It counts what it holds. */
static int alive;

static int echo_compile(const json_t *stage, const struct batch *input, void **ret, struct error *e)
{
    (void)input;
    static const char *const keys[] = {"kind", "limit"};
    int rc = spec_check_keys(stage, "", keys, ARRAY_LEN(keys), e);
    if (rc)
        return rc;
    json_int_t limit = json_integer_value(json_object_get(stage, "limit"));
    if (limit < 0)
        return error_set(e, ERR_INVALID_SPEC, "limit, character 1: negative");
    int *n = malloc(sizeof *n);
    assert_non_null(n);
    *n = (int)limit;
    *ret = n;
    alive++;
    return ERR_OK;
}

static void echo_free(void *compiled)
{
    alive -= compiled != NULL;
    free(compiled);
}

static int echo_item(const void *compiled, struct span text, uint32_t depth, struct buf *out,
                     uint64_t *ret_key, struct hash128 *ret_unique, struct error *e)
{
    (void)compiled;
    if (text.len == 0)
        return error_set(e, ERR_INVALID_ARGUMENT, "empty");
    pack_array(out, 2);
    pack_str(out, text);
    pack_u64(out, depth);
    *ret_key = 7;
    *ret_unique = hash_128(text.p, text.len, 0);
    return ERR_OK;
}

static uint32_t echo_limit(const void *compiled)
{
    return (uint32_t) * (const int *)compiled;
}

static bool yes(const void *compiled)
{
    (void)compiled;
    return true;
}

static uint64_t echo_items_max(const void *compiled)
{
    (void)compiled;
    return 500;
}

static struct batch *echo_columns(const void *compiled UNUSED)
{
    struct batch *b = batch_new();
    assert_int_equal(batch_add_column(b, "url", COL_TEXT), ERR_OK);
    assert_int_equal(batch_add_column(b, "n", COL_INT64), ERR_OK);
    return b;
}

static struct batch *twins_columns(const void *compiled UNUSED)
{
    struct batch *b = echo_columns(compiled);
    assert_int_equal(batch_add_column(b, "url", COL_TEXT), ERR_OK);
    return b;
}

static const struct spec_engine engines[] = {
    {.name = "echo",
     .kind = 1,
     .source = true,
     .compile = echo_compile,
     .free = echo_free,
     .columns = echo_columns,
     .item = echo_item,
     .unique = yes,
     .key_limit = echo_limit,
     .items_max = echo_items_max},
    {.name = "twins",
     .kind = 4,
     .source = true,
     .compile = echo_compile,
     .free = echo_free,
     .columns = twins_columns,
     .item = echo_item},
    {.name = "shout",
     .kind = 2,
     .follows = true,
     .compile = echo_compile,
     .free = echo_free,
     .columns = echo_columns,
     .item = echo_item},
};

/* An engine that has to be completed: {"kind": "fill", "from": SHA256 ...}. */
static int fill_wants(const json_t *stage, spec_blob_fn *fn, void *user, struct error *e)
{
    struct blob_name name;
    const int rc = spec_read_blob(json_object_get(stage, "from"), "from", &name, e);
    return rc == ERR_OK ? fn(user, &name) : rc;
}

static int fill_complete(json_t *stage, const struct batch *input UNUSED,
                         const struct spec_files *files, struct error *e)
{
    struct blob_name name;
    struct span bytes = {NULL, 0};
    int rc = spec_read_blob(json_object_get(stage, "from"), "from", &name, e);
    if (rc == ERR_OK)
        rc = files->map(files->user, &name, &bytes, e);
    if (rc != ERR_OK)
        return rc;
    json_object_del(stage, "from");
    json_object_set_new(stage, "limit", json_integer(bytes.p[0] - '0'));
    files->unmap(files->user, bytes);
    return ERR_OK;
}

static int map_one(void *user, const struct blob_name *name UNUSED, struct span *ret,
                   struct error *e UNUSED)
{
    ++*(int *)user;
    *ret = SPAN("7");
    return ERR_OK;
}

static void unmap_one(void *user, struct span bytes UNUSED)
{
    --*(int *)user;
}

static int count_blob(void *user, const struct blob_name *name UNUSED)
{
    return ++*(int *)user == 3 ? ERR_NOT_FOUND : ERR_OK;
}

static const struct spec_engine fillers[] = {
    {.name = "fill",
     .kind = 1,
     .source = true,
     .follows = true,
     .compile = echo_compile,
     .free = echo_free,
     .complete = fill_complete,
     .wants = fill_wants,
     .columns = echo_columns,
     .item = echo_item},
};

static struct spec *open_filled(const char *text, int *ret_wants, int *ret_rc, struct error *e)
{
    struct spec *s = NULL;
    *ret_wants = 0;
    assert_int_equal(spec_open(span_str(text), fillers, ARRAY_LEN(fillers), false, &s, e), ERR_OK);
    *ret_rc = spec_wants(s, count_blob, ret_wants, e);
    return s;
}

static void blobs_are_named_before_it_is_completed(void **state)
{
#define FROM                                                                                       \
    "{\"kind\": \"fill\", \"from\": {\"blob\": "                                                   \
    "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}}"
    struct error e = {0};
    struct buf text = {0};
    int wants = 0, mapped = 0, rc = 0;
    const struct spec_files files = {map_one, unmap_one, &mapped};
    (void)state;
    struct spec *s = open_filled("{\"stages\": [" FROM ", " FROM "]}", &wants, &rc, &e);
    assert_int_equal(rc, ERR_OK);
    assert_int_equal(wants, 2);
    assert_int_equal(spec_compile(s, &files, &text, &e), ERR_OK);
    assert_int_equal(mapped, 0);
    assert_int_equal(*(int *)s->stages[1].compiled, 7);
    assert_non_null(memmem(text.data, text.len, "\"limit\":7", 9));
    spec_free(s);
    buf_done(&text);
    s = open_filled("{\"stages\": [" FROM ", " FROM ", " FROM "]}", &wants, &rc, &e);
    assert_int_equal(rc, ERR_NOT_FOUND); /* what the listener says */
    spec_free(s);
    s = open_filled("{\"stages\": [" FROM ", {\"kind\": \"fill\"}]}", &wants, &rc, &e);
    assert_int_equal(rc, ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "stages[1].from: "));
    spec_free(s);
    s = open_filled("{\"stages\": [7, {\"kind\": \"none\"}]}", &wants, &rc, &e);
    assert_int_equal(rc, ERR_OK); /* compiling it says what is wrong */
    assert_int_equal(spec_compile(s, NULL, NULL, &e), ERR_INVALID_SPEC);
    spec_free(s);
    assert_int_equal(alive, 0);
#undef FROM
}

static int parse(const char *text, bool with_input, struct spec **ret, struct error *e)
{
    return spec_parse(span_str(text), engines, ARRAY_LEN(engines), with_input, ret, e);
}

static void defaults_are_filled_in(void **state)
{
    struct spec *s = NULL;
    struct error e = {0};
    (void)state;
    assert_int_equal(parse("{\"stages\": [{\"kind\": \"echo\", \"limit\": 3}]}", false, &s, &e),
                     ERR_OK);
    assert_null(s->name);
    assert_int_equal(s->priority, 5);
    assert_int_equal(s->attempts, 4);
    assert_int_equal(s->backoff_ms, 1000);
    assert_int_equal(s->backoff_max_ms, 60000);
    assert_int_equal(s->task_items, 64);
    assert_int_equal(s->run_timeout_ms, 0);
    assert_int_equal(s->ttl_ms, 7 * 86400000ull);
    assert_int_equal(s->items_max, 500);
    assert_int_equal(s->kinds, 1);
    assert_true(s->unique);
    assert_int_equal(s->key_limit, 3);
    assert_int_equal(s->key_delay_ms, 0);
    assert_int_equal(s->n_sinks, 1);
    assert_null(s->input);
    spec_free(s);
    assert_int_equal(alive, 0);
}

static void everything_is_read(void **state)
{
    struct spec *s = NULL;
    struct error e = {0};
    (void)state;
    int rc = parse("{\"drover\": 1, \"name\": \"nightly:2026-11-20\", \"priority\": 9,"
                   " \"stages\": [{\"kind\": \"echo\"}, {\"kind\": \"shout\"}],"
                   " \"input\": {\"urls\": [\"a\", \"b\"]}, \"sinks\": [{\"kind\": \"store\"}],"
                   " \"retry\": {\"attempts\": 2, \"backoff_s\": 0.25, \"backoff_max_s\": 90},"
                   " \"task_items\": 10, \"items_max\": 100, \"run_timeout_s\": 1.5,"
                   " \"result_ttl_s\": 60}",
                   true, &s, &e);
    if (rc)
        fail_msg("%s", e.detail);
    assert_string_equal(s->name, "nightly:2026-11-20");
    assert_int_equal(s->priority, 9);
    assert_int_equal(s->attempts, 2);
    assert_int_equal(s->backoff_ms, 250);
    assert_int_equal(s->backoff_max_ms, 90000);
    assert_int_equal(s->task_items, 10);
    assert_int_equal(s->items_max, 100);
    assert_int_equal(s->run_timeout_ms, 1500);
    assert_int_equal(s->ttl_ms, 60000);
    assert_int_equal(s->kinds, 3);
    assert_int_equal(s->n_stages, 2);
    assert_int_equal(json_array_size(s->input), 2);
    spec_free(s);
    assert_int_equal(alive, 0);
}

static void mistakes_are_named(void **state)
{
#define STAGES "\"stages\": [{\"kind\": \"echo\"}]"
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "not JSON"},
        {"{\"stages\":\n [,]}", "line 2, column 3: not JSON"},
        {"[]", "a JSON object"},
        {"{}", "stages: missing"},
        {"{\"stages\": {}}", "stages: an array is wanted here, and it is an object"},
        {"{\"stages\": []}", "stages: 0 of them; 1 to 16"},
        {"{\"stages\": [3]}", "stages[0]: an object is wanted here, and it is a number"},
        {"{\"stages\": [{}]}", "stages[0].kind: missing"},
        {"{\"stages\": [{\"kind\": 1}]}", "stages[0].kind: a text"},
        {"{\"stages\": [{\"kind\": \"ehco\"}]}",
         "stages[0].kind: there is no engine \"ehco\" (did you mean \"echo\"?); known: echo, twins, shout"},
        {"{\"stages\": [{\"kind\": \"twins\"}]}",
         "stages[0]: columns 1 and 3 of its rows are both called \"url\""},
        {"{\"stages\": [{\"kind\": \"shout\"}]}", "stages[0].kind: \"shout\" cannot be the first"},
        {"{\"stages\": [{\"kind\": \"echo\"}, {\"kind\": \"echo\"}]}",
         "stages[1].kind: \"echo\" can only be the first"},
        {"{\"stages\": [{\"kind\": \"echo\", \"limt\": 1}]}",
         "stages[0].limt: unknown key (did you mean \"limit\"?)"},
        {"{\"stages\": [{\"kind\": \"echo\", \"limit\": -1}]}",
         "stages[0].limit, character 1: negative"},
        {"{" STAGES ", \"prioritty\": 1}", "prioritty: unknown key (did you mean \"priority\"?)"},
        {"{" STAGES ", \"zzz\": 1}", "zzz: unknown key"},
        {"{" STAGES ", \"priority\": 10}", "priority: 10 is outside its limits, 0 to 9"},
        {"{" STAGES ", \"priority\": \"high\"}",
         "priority: a whole number is wanted here, and it is a text"},
        {"{" STAGES ", \"priority\": 1.5}", "priority: a whole number is wanted"},
        {"{" STAGES ", \"drover\": 2}", "drover: 2 is outside its limits, 1 to 1"},
        {"{" STAGES ", \"name\": \"last\"}", "name: a letter and then"},
        {"{" STAGES ", \"name\": \"17\"}", "name: a letter and then"},
        {"{" STAGES ", \"name\": \"a b\"}", "name: a letter and then"},
        {"{" STAGES ", \"name\": \"\"}", "name: a letter and then"},
        {"{" STAGES ", \"name\": \"a\\u0000b\"}", "\\u0000"},
        {"{" STAGES ", \"retry\": 3}", "retry: an object is wanted here, and it is a number"},
        {"{" STAGES ", \"retry\": {\"attempts\": 0}}", "retry.attempts: 0 is outside"},
        {"{" STAGES ", \"retry\": {\"attempt\": 1}}",
         "retry.attempt: unknown key (did you mean \"attempts\"?)"},
        {"{" STAGES ", \"retry\": {\"backoff_s\": 9, \"backoff_max_s\": 3}}",
         "retry.backoff_max_s: less than"},
        {"{" STAGES ", \"retry\": {\"backoff_s\": -1}}", "retry.backoff_s: -1 is outside"},
        {"{" STAGES ", \"task_items\": 0}", "task_items: 0 is outside"},
        {"{" STAGES ", \"run_timeout_s\": true}", "run_timeout_s: a number of seconds is wanted"},
        {"{" STAGES ", \"sinks\": []}", "sinks: 0 of them"},
        {"{" STAGES ", \"sinks\": [{\"kind\": \"stor\"}]}",
         "sinks[0].kind: there is no sink \"stor\" (did you mean \"store\"?)"},
        {"{" STAGES ", \"sinks\": [{\"kind\": \"store\", \"table\": \"x\"}]}",
         "sinks[0].table: unknown key"},
        {"{" STAGES ", \"input\": []}", "input: an object is wanted"},
        {"{" STAGES ", \"input\": {}}", "input: one of"},
        {"{" STAGES ", \"input\": {\"urls\": [\"a\", 5]}}",
         "input.urls[1]: a text is wanted here, and it is a number"},
        {"{" STAGES ", \"priority\": 1, \"priority\": 2}", "duplicate"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec *s = NULL;
        struct error e = {0};
        int rc = parse(rows[i].text, true, &s, &e);
        if (rc != ERR_INVALID_SPEC || !strstr(e.detail, rows[i].want))
            fail_msg("%s\n   gives %s: %s", rows[i].text, err_name((enum err)rc), e.detail);
        assert_int_equal(alive, 0); /* what was compiled before the mistake is freed */
    }
}

static void input_travels_apart(void **state)
{
    struct spec *s = NULL;
    struct error e = {0};
    (void)state;
    int rc = parse("{" STAGES ", \"input\": {\"urls\": []}}", false, &s, &e);
    assert_int_equal(rc, ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "job.input"));
}

static void size_and_depth_are_limited(void **state)
{
    struct spec *s = NULL;
    struct error e = {0};
    size_t n = SPEC_TEXT_MAX + 1;
    char *text = malloc(n + 1);
    (void)state;
    memset(text, ' ', n);
    text[n] = '\0';
    assert_int_equal(parse(text, false, &s, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "the limit is 1048576"));
    memset(text, '[', 100000);
    text[100000] = '\0';
    assert_int_equal(parse(text, false, &s, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "nested deeper than 32"));
    /* brackets inside a text are no nesting */
    memcpy(text, "{\"", 2);
    memset(text + 2, '[', 100);
    snprintf(text + 102, 10, "\": 1}");
    assert_int_equal(parse(text, false, &s, &e), ERR_INVALID_SPEC);
    assert_non_null(strstr(e.detail, "unknown key"));
    free(text);
}

static void items_are_packed(void **state)
{
    struct spec *s = NULL;
    struct error e = {0};
    struct buf out;
    uint64_t key = 0;
    struct hash128 unique;
    (void)state;
    assert_int_equal(parse("{" STAGES "}", false, &s, &e), ERR_OK);
    buf_init(&out, 0);
    buf_byte(&out, 0x91);
    assert_int_equal(spec_item(s, SPAN("ab"), 3, &out, &key, &unique, &e), ERR_OK);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data,
                        "\x91\x92\xa2"
                        "ab\x03",
                        6);
    assert_int_equal(key, 7);
    /* a refused item leaves nothing behind */
    char *large = malloc(SPEC_ITEM_MAX + 1);
    memset(large, 'x', SPEC_ITEM_MAX + 1);
    struct span too_large = {large, SPEC_ITEM_MAX + 1};
    assert_int_equal(spec_item(s, too_large, 0, &out, &key, &unique, &e), ERR_LIMIT);
    assert_int_equal(spec_item(s, SPAN(""), 0, &out, &key, &unique, &e), ERR_INVALID_ARGUMENT);
    assert_int_equal(spec_item(s, SPAN("\xff"), 0, &out, &key, &unique, &e), ERR_INVALID_ARGUMENT);
    assert_int_equal(out.len, 6);
    free(large);
    buf_done(&out);
    spec_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(input_travels_apart),
        cmocka_unit_test(size_and_depth_are_limited),
        cmocka_unit_test(items_are_packed),
        cmocka_unit_test(blobs_are_named_before_it_is_completed),
    };
    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
