/* job.c: jobs as a list, one by one, and what can be done to them. */
#include "admin/verbs.h"

#include <stdio.h>

#include "common/config_value.h"

enum { LIST_DEFAULT = 50, LIST_PAGE = 100 };

static const struct print_column columns[] = {
    {"JOB", "job", PRINT_TEXT, false},           {"NAME", "name", PRINT_TEXT, false},
    {"STATE", "state", PRINT_TEXT, false},       {"KIND", "kinds", PRINT_LIST, false},
    {"TASKS", "tasks", PRINT_COUNT, false},      {"DONE", "done", PRINT_COUNT, false},
    {"RUNNING", "running", PRINT_COUNT, false},  {"DELAYED", "delayed", PRINT_COUNT, true},
    {"HELD", "held", PRINT_COUNT, true},         {"BREAKER", "breaker", PRINT_TEXT, true},
    {"PENDING", "pending", PRINT_COUNT, true},   {"DEAD", "dead", PRINT_COUNT, false},
    {"ROWS", "rows", PRINT_COUNT, false},        {"REJECTS", "rejects", PRINT_COUNT, false},
    {"ITEMS", "items", PRINT_COUNT, true},       {"DUPLICATES", "duplicates", PRINT_COUNT, true},
    {"PRIORITY", "priority", PRINT_COUNT, true}, {"SINK", "sink", PRINT_TEXT, true},
    {"CLIENT", "client", PRINT_TEXT, true},      {"SEALED", "sealed", PRINT_TEXT, true},
    {"PAUSED", "paused", PRINT_TEXT, true},      {"CANCELLING", "cancelling", PRINT_TEXT, true},
    {"CREATED", "created", PRINT_TIME, false},   {"ENDED", "ended", PRINT_TIME, true},
    {"EXPIRES", "expires", PRINT_TIME, true},    {"UID", "uid", PRINT_TEXT, true},
    {"ERROR", "error", PRINT_TEXT, true},
};

/* "  pages  1,234" for each member, under a title; nothing for an empty object. */
static void write_counts(struct buf *out, const char *title, const json_t *counts)
{
    const char *key;
    json_t *value;
    if (json_object_size(counts) == 0)
        return;
    buf_printf(out, "%s\n", title);
    json_object_foreach((json_t *)(uintptr_t)counts, key, value)
    {
        CTL_JSON name = json_string(key);
        buf_str(out, "  ");
        print_value(out, name, PRINT_TEXT);
        buf_str(out, "  ");
        print_value(out, value, PRINT_COUNT);
        buf_byte(out, '\n');
    }
}

/* "  title  98 %" for each column: the share of rows in which it has a value (docs/SCRAPE.md, counts). */
static void write_fill_rates(struct buf *out, const json_t *stats)
{
    const char *key;
    json_t *value;
    const json_int_t rows = json_integer_value(json_object_get(stats, "rows"));
    const char *title = "FILLED\n";
    json_object_foreach((json_t *)(uintptr_t)stats, key, value)
    {
        if (rows <= 0 || strncmp(key, "fill.", 5) != 0 || strchr(key + 5, '.'))
            continue;
        CTL_JSON name = json_string(key + 5);
        buf_str(out, title);
        title = "";
        buf_str(out, "  ");
        print_value(out, name, PRINT_TEXT);
        buf_printf(out, "  %.0f %%\n", 100.0 * (double)json_integer_value(value) / (double)rows);
    }
}

void job_print(const struct ctl *ctl, const json_t *job)
{
    struct buf out;
    print_object(ctl->format, job, columns, ARRAY_LEN(columns), "job");
    if (ctl->format != PRINT_TABLE && ctl->format != PRINT_WIDE)
        return;
    buf_init(&out, 0);
    write_counts(&out, "STATISTICS", json_object_get(job, "stats"));
    write_fill_rates(&out, json_object_get(job, "stats"));
    write_counts(&out, "REJECTED BECAUSE OF", json_object_get(job, "rejects_by_reason"));
    print_text(buf_span(&out));
    buf_done(&out);
}

static int read_max(const struct ctl *ctl, int64_t *ret, struct error *e)
{
    const char *text = ctl_flag(ctl, "max");
    *ret = LIST_DEFAULT;
    if (text && (!config_value_int(text, ret) || *ret < 1))
        return error_set(e, ERR_INVALID_ARGUMENT, "--max: \"%s\" is not a number from 1", text);
    return ERR_OK;
}

int job_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON rows = json_array();
    uint64_t before = 0;
    int64_t left;
    (void)n;
    (void)args;
    int rc = read_max(ctl, &left, e);
    while (rc == ERR_OK && left > 0) {
        CTL_JSON page = NULL;
        int64_t want = MIN(left, (int64_t)LIST_PAGE);
        ctl_args(ctl, 2);
        ctl_arg_u64(ctl, "before", before);
        ctl_arg_u64(ctl, "max", (uint64_t)want);
        rc = ctl_call(ctl, "job.ls", 0, &page, e);
        const json_t *jobs = json_object_get(page, "jobs");
        size_t got = json_array_size(jobs);
        if (rc || got == 0)
            break;
        json_array_extend(rows, (json_t *)(uintptr_t)jobs);
        const char *last = json_string_value(json_object_get(json_array_get(jobs, got - 1), "job"));
        before = last ? strtoull(last, NULL, 10) : 0;
        left = (int64_t)got < want ? 0 : left - (int64_t)got;
    }
    if (rc == ERR_OK)
        print_list(ctl->format, rows, columns, ARRAY_LEN(columns), "job");
    return rc;
}

/* Finds the job, calls the verb on it and gives the answer back. */
static int call_on_job(struct ctl *ctl, const char *verb, const char *text, json_t **ret,
                       struct error *e)
{
    CTL_TEXT job = NULL;
    int rc = ctl_find_job(ctl, text, &job, e);
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_job(ctl, job);
    return ctl_call(ctl, verb, 0, ret, e);
}

static int change(struct ctl *ctl, const char *verb, const char *text, struct error *e)
{
    CTL_JSON job = NULL;
    int rc = call_on_job(ctl, verb, text, &job, e);
    if (rc == ERR_OK)
        job_print(ctl, job);
    return rc;
}

int job_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return change(ctl, "job.status", args[0], e);
}

int job_cancel(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return change(ctl, "job.cancel", args[0], e);
}

int job_pause(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return change(ctl, "job.pause", args[0], e);
}

int job_resume(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return change(ctl, "job.resume", args[0], e);
}

int job_retry(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    static const struct print_column retried[] = {{"RETRIED", "retried", PRINT_COUNT, false}};
    CTL_JSON answer = NULL;
    (void)n;
    int rc = call_on_job(ctl, "job.retry", args[0], &answer, e);
    if (rc == ERR_OK)
        print_object(ctl->format, answer, retried, ARRAY_LEN(retried), "retried");
    return rc;
}

int job_rm(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON job = NULL;
    CTL_JSON answer = NULL;
    (void)n;
    int rc = call_on_job(ctl, "job.status", args[0], &job, e);
    if (rc)
        return rc;
    const char *id = json_string_value(json_object_get(job, "job"));
    rc = ctl_confirm(ctl, e, "Remove job %s with its %lld rows?", id ? id : "?",
                     (long long)json_integer_value(json_object_get(job, "rows")));
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_job(ctl, id ? id : args[0]);
    return ctl_call(ctl, "job.rm", 0, &answer, e);
}
