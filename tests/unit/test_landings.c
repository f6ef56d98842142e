/* The rows of one task and several sinks: what their verdicts mean for the task. The sinks are made for
 * the test: what each says is in its settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>

#include "common/reason.h"
#include "worker/landings.h"
#include "worker/output.h"
#include "worker/sinks/batcher.h"

enum { WAIT_MS = 20000 };

/* ---- sinks whose verdict is their URL ---- */

struct sink_conn {
    char says[20];
};

static int fake_open(const struct sink_settings *settings, uint32_t timeout_ms UNUSED,
                     struct sink_conn **ret, struct error *e UNUSED)
{
    *ret = calloc(1, sizeof(**ret));
    assert_non_null(*ret);
    memcpy((*ret)->says, settings->url, strlen(settings->url));
    return ERR_OK;
}

static void fake_close(struct sink_conn *c)
{
    free(c);
}

static int fake_write(struct sink_conn *c, struct landing **list, size_t n,
                      uint32_t timeout_ms UNUSED, struct error *e UNUSED)
{
    for (size_t i = 0; i < n; i++) {
        struct landing *l = list[i];
        l->n_written = l->rows->n_rows;
        l->verdict = LANDING_DONE;
        if (strcmp(c->says, "duplicate") == 0)
            l->verdict = LANDING_DUPLICATE;
        if (strcmp(c->says, "failed") == 0)
            landing_fail(l, LANDING_FAILED, "no such table");
        if (strcmp(c->says, "fenced") == 0)
            landing_fail(l, LANDING_FENCED, "generation 1 is fenced");
        if (strcmp(c->says, "rejects") == 0) {
            landing_reject(l, 1, "n", "too large");
            landing_reject(l, 0, NULL, "as a whole");
            l->n_written -= 2;
        }
    }
    return ERR_OK;
}

static const struct sink_kind fake_kind = {.kind = SPEC_SINK_POSTGRES,
                                           .open = fake_open,
                                           .write = fake_write,
                                           .close = fake_close};

static const struct sink_kind *kind_of(enum spec_sink_kind kind UNUSED)
{
    return &fake_kind;
}

/* ---- a job with sinks a and b, and the batcher that knows them ---- */

static struct batcher *batcher;
static struct pipeline *pipeline;

static void know(const char *name, const char *says)
{
    struct error e = {0};
    struct sink_settings s = {.kind = SPEC_SINK_POSTGRES,
                              .name = strdup(name),
                              .url = strdup(says)};
    assert_int_equal(batcher_sink(batcher, &s, &e), ERR_OK);
}

static int set_up(void **state UNUSED)
{
    struct error e = {0};
    const struct batcher_config config = {.connections = 1, .kind_of = kind_of};
    if (batcher_new(&config, &batcher, &e) != ERR_OK)
        return -1;
    return pipeline_parse(
        SPAN("{\"drover\": 1, \"stages\": [{\"kind\": \"noop\", \"rows\": true}], \"sinks\": ["
             "{\"kind\": \"postgres\", \"name\": \"a\", \"table\": \"t\", \"mode\": \"upsert\", "
             "\"key\": [\"item\"]}, {\"kind\": \"store\"}, "
             "{\"kind\": \"postgres\", \"name\": \"b\", \"table\": \"t\"}]}"),
        false, NULL, &pipeline, &e);
}

static int tear_down(void **state UNUSED)
{
    batcher_free(batcher);
    pipeline_unref(pipeline);
    return 0;
}

static struct landings *new_landings(void)
{
    struct output *o = pipeline_output(pipeline);
    static const char *const items[] = {"one", "two", "three"};
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        batch_text(o->rows, 0, span_str(items[i]));
        batch_row_end(o->rows);
    }
    struct landings *l = landings_new(pipeline, 7, 5, &o);
    assert_null(o);
    assert_int_equal(l->n, 2); /* the store is none of them */
    return l;
}

static void wait_all(struct landings *l)
{
    struct pollfd item = {.fd = batcher_fd(batcher), .events = POLLIN};
    while (l->left > 0) {
        struct landing *one;
        assert_int_equal(poll(&item, 1, WAIT_MS), 1);
        while ((one = batcher_take(batcher)))
            assert_ptr_equal(landings_back(one, batcher), l);
    }
}

static int64_t stat_of(const struct output *o, const char *name)
{
    for (size_t i = 0; i < o->n_stats; i++)
        if (strcmp(o->stats[i].name, name) == 0)
            return o->stats[i].value;
    return -1;
}

static void verdicts_together(void **state UNUSED)
{
    static const struct {
        const char *a, *b;
        int error;
        const char *reason, *detail;
        int64_t rows_a, rows_b;
    } cases[] = {
        {"done", "done", ERR_OK, NULL, "", 3, 3},
        {"done", "duplicate", ERR_OK, NULL, "", 3, 3},
        {"rejects", "done", ERR_OK, NULL, "", 1, 3},
        {"failed", "done", ERR_INVALID_ARGUMENT, REASON_SINK, "postgres:a: no such table", -1, -2},
        {"done", "fenced", ERR_INVALID_ARGUMENT, REASON_SINK, "postgres:b: generation 1 is fenced",
         -2, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        know("a", cases[i].a);
        know("b", cases[i].b);
        struct landings *l = new_landings();
        if (!landings_put(l, batcher))
            wait_all(l);
        landings_settle(l);
        const struct output *o = l->output;
        if (o->error != cases[i].error || strcmp(o->error_detail, cases[i].detail) != 0 ||
            (cases[i].reason && strcmp(o->error_reason, cases[i].reason) != 0))
            fail_msg("%s, %s: %d %s", cases[i].a, cases[i].b, o->error, o->error_detail);
        /* -2: whether the other one still landed is a matter of time */
        if (cases[i].rows_a != -2)
            assert_int_equal(stat_of(o, "rows.postgres:a"), cases[i].rows_a);
        if (cases[i].rows_b != -2)
            assert_int_equal(stat_of(o, "rows.postgres:b"), cases[i].rows_b);
        landings_free(l);
    }
}

static void rejects_name_the_row(void **state UNUSED)
{
    know("a", "rejects");
    know("b", "done");
    struct landings *l = new_landings();
    if (!landings_put(l, batcher))
        wait_all(l);
    landings_settle(l);
    assert_int_equal(l->output->n_rejects, 2);
    assert_string_equal(l->output->rejects[0].input, "task 5, row 2: item=\"two\"");
    assert_string_equal(l->output->rejects[0].reason, REASON_BAD_ROW);
    assert_string_equal(l->output->rejects[0].detail, "postgres:a, column n: too large");
    assert_string_equal(l->output->rejects[1].detail, "postgres:a: as a whole");
    assert_int_equal(l->output->rows->n_rows, 3); /* as made */
    landings_free(l);
}

static void one_that_is_given_back(void **state UNUSED)
{
    know("a", "done");
    know("b", "done");
    batcher_tell(batcher, SPAN("postgres:a"), WIRE_BREAKER_OPEN);
    batcher_tell(batcher, SPAN("postgres:b"), WIRE_BREAKER_QUARANTINED);
    struct landings *l = new_landings();
    /* b gives it back at once; a's, which would wait for ever, comes with it. */
    assert_false(landings_put(l, batcher));
    wait_all(l);
    landings_settle(l);
    assert_int_equal(l->output->error, ERR_STALE); /* RETURNED: no attempt is used */
    landings_free(l);
}

static void a_sink_that_is_not_known(void **state UNUSED)
{
    know("a", "done");
    batcher_tell(batcher, SPAN("postgres:a"), WIRE_BREAKER_OPEN);
    struct landings *l = new_landings();
    assert_true(landings_put(l, batcher)); /* nothing stays behind */
    landings_settle(l);
    assert_int_equal(l->output->error, ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(l->output->error_detail, "\"b\""));
    landings_free(l);
    landings_free(NULL);
}

static void withdrawn(void **state UNUSED)
{
    know("a", "done");
    know("b", "done");
    batcher_tell(batcher, SPAN("postgres:a"), WIRE_BREAKER_OPEN);
    batcher_tell(batcher, SPAN("postgres:b"), WIRE_BREAKER_OPEN);
    struct landings *l = new_landings();
    assert_false(landings_put(l, batcher));
    landings_withdraw(l, batcher);
    assert_int_equal(l->left, 0);
    landings_withdraw(l, batcher); /* again is harmless */
    assert_int_equal(l->left, 0);
    landings_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(verdicts_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rejects_name_the_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sink_that_is_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(withdrawn, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("landings", tests, NULL, NULL);
}
