/* dead.c: dead letters: tasks that used up their attempts. */
#include "admin/verbs.h"

#include <stdio.h>

enum { PAGE = 200, LETTERS_MAX = 100000, SAMPLES = 3 };

static const struct print_column columns[] = {
    {"TASK", "task", PRINT_TEXT, false},
    {"JOB", "job", PRINT_TEXT, false},
    {"ATTEMPTS", "attempts", PRINT_COUNT, false},
    {"KILLS", "kills", PRINT_COUNT, false},
    {"AT", "at", PRINT_TIME, false},
    {"ERROR", "error", PRINT_TEXT, false},
    {"INPUT", "input", PRINT_TEXT, true},
};

/* The letters of one job (NULL: of all), at most max. */
static int read_letters(struct ctl *ctl, const char *job, size_t max, json_t **ret, struct error *e)
{
    CTL_JSON rows = json_array();
    uint64_t after = 0;
    while (json_array_size(rows) < max) {
        CTL_JSON page = NULL;
        ctl_args(ctl, job ? 3 : 2);
        if (job)
            ctl_arg_job(ctl, job);
        ctl_arg_u64(ctl, "after", after);
        ctl_arg_u64(ctl, "max", MIN((size_t)PAGE, max - json_array_size(rows)));
        int rc = ctl_call(ctl, "dead.ls", 0, &page, e);
        if (rc)
            return rc;
        const json_t *dead = json_object_get(page, "dead");
        size_t got = json_array_size(dead);
        if (got == 0)
            break;
        json_array_extend(rows, (json_t *)(uintptr_t)dead);
        const char *last =
            json_string_value(json_object_get(json_array_get(dead, got - 1), "task"));
        after = last ? strtoull(last, NULL, 10) : UINT64_MAX;
    }
    *ret = TAKE_PTR(rows);
    return ERR_OK;
}

int dead_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON rows = NULL;
    CTL_TEXT job = NULL;
    int rc = n ? ctl_find_job(ctl, args[0], &job, e) : ERR_OK;
    if (rc == ERR_OK)
        rc = read_letters(ctl, job, LETTERS_MAX, &rows, e);
    if (rc == ERR_OK)
        print_list(ctl->format, rows, columns, ARRAY_LEN(columns), "task");
    return rc;
}

static int read_task(const char *text, uint64_t *ret, struct error *e)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 19 || text[n])
        return error_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is not the id of a task", text);
    *ret = strtoull(text, NULL, 10);
    return ERR_OK;
}

int dead_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON letter = NULL;
    uint64_t task = 0;
    (void)n;
    int rc = read_task(args[0], &task, e);
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_u64(ctl, "task", task);
    rc = ctl_call(ctl, "dead.show", 0, &letter, e);
    if (rc == ERR_OK)
        print_object(ctl->format, letter, columns, ARRAY_LEN(columns), "task");
    return rc;
}

/* Says how many letters of the job there are, shows some, and asks. */
static int ask(struct ctl *ctl, const char *job, const char *what, struct error *e)
{
    CTL_JSON info = NULL;
    CTL_JSON samples = NULL;
    if (ctl_flag(ctl, "yes"))
        return ERR_OK;
    ctl_args(ctl, 1);
    ctl_arg_job(ctl, job);
    int rc = ctl_call(ctl, "job.status", 0, &info, e);
    if (rc == ERR_OK)
        rc = read_letters(ctl, job, SAMPLES, &samples, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < json_array_size(samples); i++) {
        const json_t *letter = json_array_get(samples, i);
        struct buf line;
        buf_init(&line, 0);
        buf_str(&line, "  ");
        print_value(&line, json_object_get(letter, "task"), PRINT_TEXT);
        buf_str(&line, "  ");
        print_value(&line, json_object_get(letter, "error"), PRINT_TEXT);
        buf_byte(&line, '\n');
        fwrite(line.data, 1, line.len, stderr);
        buf_done(&line);
    }
    return ctl_confirm(ctl, e, "%s %lld dead letters of job %s?", what,
                       (long long)json_integer_value(json_object_get(info, "dead")), job);
}

static int change(struct ctl *ctl, const char *verb, const char *what, const char *key, size_t n,
                  const char *const *args, struct error *e)
{
    const struct print_column count[] = {{what, key, PRINT_COUNT, false}};
    const char *name = ctl_flag(ctl, "job");
    CTL_JSON answer = NULL;
    CTL_TEXT job = NULL;
    uint64_t task = 0;
    if ((n == 1) == (name != NULL))
        return error_set(e, ERR_INVALID_ARGUMENT, "give a task, or --job for all of a job");
    int rc = name ? ctl_find_job(ctl, name, &job, e) : read_task(args[0], &task, e);
    if (rc == ERR_OK && name)
        rc = ask(ctl, job, what, e);
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    if (name)
        ctl_arg_job(ctl, job);
    else
        ctl_arg_u64(ctl, "task", task);
    rc = ctl_call(ctl, verb, 0, &answer, e);
    if (rc == ERR_OK)
        print_object(ctl->format, answer, count, ARRAY_LEN(count), key);
    return rc;
}

int dead_retry(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    return change(ctl, "dead.retry", "Retry", "retried", n, args, e);
}

int dead_discard(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    return change(ctl, "dead.discard", "Discard", "discarded", n, args, e);
}
