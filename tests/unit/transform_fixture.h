/* transform_fixture.h: runs a stage over a text of CSV and keeps what comes out, for the transform
 * tests. */
#ifndef DROVER_TEST_TRANSFORM_FIXTURE_H
#define DROVER_TEST_TRANSFORM_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/transform/transform.h"
#include "worker/transform/write.h"

struct outcome {
    int rc;
    struct error e;
    char *rows;    /* CSV with header; "" after an error */
    char *rejects; /* "LINE REASON COLUMN CHARACTER VALUE\n" each */
    struct run_counts counts;
};

static int fixture_flush(void *user, const void *p, size_t n, struct error *e)
{
    (void)e;
    buf_append(user, p, n);
    return ERR_OK;
}

static void fixture_reject(void *user, const struct run_reject *r)
{
    buf_printf(user, "%llu %s %s %u ", (unsigned long long)r->line, r->reason,
               r->column ? r->column : "-", r->character);
    buf_append(user, r->value.p, r->value.len);
    buf_byte(user, '\n');
}

static int fixture_file(struct span text)
{
    int fd = memfd_create("transform", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(write(fd, text.p, text.len) == (ssize_t)text.len);
    return fd;
}

static struct transform *fixture_compile(const char *stage_text, int fd, char ***names, size_t *n,
                                         struct error *e, int *rc)
{
    json_error_t wrong;
    struct transform *probe = NULL, *t = NULL;
    json_t *stage = json_loads(stage_text, 0, &wrong), *first = json_deep_copy(stage);
    assert_non_null(stage);
    json_object_set_new(first, "sql", json_string("SELECT 1 FROM input"));
    json_object_del(first, "columns");
    *rc = transform_compile(first, NULL, NULL, 0, &probe, e);
    if (*rc == ERR_OK)
        *rc = transform_names(probe, fd, names, n, e);
    if (*rc == ERR_OK)
        *rc = transform_compile(stage, NULL, (const char *const *)*names, *n, &t, e);
    transform_free(probe);
    json_decref(first);
    json_decref(stage);
    return t;
}

/* ranges: the parts to run one after the other; each by itself and merged when the query has
 * groups. */
static struct outcome fixture_run_parts(const char *stage, struct span csv, enum simd simd,
                                        const struct transform_range *ranges, size_t n_ranges)
{
    struct outcome o = {0};
    struct buf rows = {0}, rejects = {0};
    struct write w;
    char **names = NULL;
    size_t n_names = 0;
    int fd = fixture_file(csv);
    struct transform *t = fixture_compile(stage, fd, &names, &n_names, &o.e, &o.rc);
    if (t) {
        const struct plan *p = transform_plan(t);
        const char *shown[64];
        for (size_t i = 0; i < p->n_shown && i < ARRAY_LEN(shown); i++)
            shown[i] = p->results[i].name;
        struct transform_run *all = NULL;
        assert_int_equal(write_init(&w, WRITE_CSV, shown, p->n_shown, ',', '"', fixture_flush,
                                    &rows, &o.e),
                         0);
        assert_int_equal(transform_open(t, &w.sink, fixture_reject, &rejects, simd, &all, &o.e), 0);
        for (size_t i = 0; i < n_ranges && o.rc == ERR_OK; i++) {
            struct transform_run *part = all;
            if (p->grouped)
                assert_int_equal(transform_open(t, &w.sink, fixture_reject, &rejects, simd, &part,
                                                &o.e),
                                 0);
            o.rc = transform_file(part, fd, &ranges[i], (const char *const *)names, n_names, &o.e);
            if (p->grouped && o.rc == ERR_OK)
                o.rc = transform_merge(all, part, &o.e);
            if (p->grouped)
                transform_close(part);
        }
        if (o.rc == ERR_OK)
            o.rc = transform_end(all, &o.e);
        if (o.rc == ERR_OK)
            o.rc = write_end(&w, &o.e);
        o.counts = transform_counts(all);
        transform_close(all);
        write_done(&w);
    }
    buf_byte(&rows, '\0');
    buf_byte(&rejects, '\0');
    o.rows = buf_take_str(&rows);
    o.rejects = buf_take_str(&rejects);
    free(names);
    transform_free(t);
    close(fd);
    return o;
}

static struct outcome fixture_run(const char *stage, const char *csv)
{
    return fixture_run_parts(stage, span_str(csv), simd_best(), &transform_whole_file, 1);
}

static UNUSED struct outcome fixture_sql(const char *sql, const char *csv)
{
    json_t *stage = json_pack("{s:s, s:s}", "kind", "transform", "sql", sql);
    char *text = json_dumps(stage, 0);
    struct outcome o = fixture_run(text, csv);
    free(text);
    json_decref(stage);
    return o;
}

static void outcome_done(struct outcome *o)
{
    free(o->rows);
    free(o->rejects);
    *o = (struct outcome){0};
}

/* Runs and compares the rows without the header. */
static UNUSED void fixture_expect(const char *sql, const char *csv, const char *want)
{
    struct outcome o = fixture_sql(sql, csv);
    if (o.rc)
        fail_msg("%s\n%s: %s", sql, err_name((enum err)o.rc), o.e.detail);
    const char *rows = strchr(o.rows, '\n');
    assert_non_null(rows);
    if (strcmp(rows + 1, want) != 0)
        fail_msg("%s\nwanted:\n%s\nfound:\n%s", sql, want, rows + 1);
    outcome_done(&o);
}

#endif
