/* explain.c: why a job or a task does not run. */
#include "admin/verbs.h"

#include <stdio.h>

static const struct print_column job_columns[] = {
    {"JOB", "job", PRINT_TEXT, false},          {"NAME", "name", PRINT_TEXT, false},
    {"STATE", "state", PRINT_TEXT, false},      {"READY", "ready", PRINT_COUNT, false},
    {"RUNNING", "running", PRINT_COUNT, false}, {"DELAYED", "delayed", PRINT_COUNT, false},
    {"AHEAD", "ahead", PRINT_COUNT, false},     {"ETA", "eta_s", PRINT_SECONDS, false},
};

static const struct print_column task_columns[] = {
    {"TASK", "task", PRINT_TEXT, false},    {"JOB", "job", PRINT_TEXT, false},
    {"STATE", "state", PRINT_TEXT, false},  {"ATTEMPTS", "attempts", PRINT_COUNT, false},
    {"KILLS", "kills", PRINT_COUNT, false}, {"ERROR", "error", PRINT_TEXT, false},
};

/* "  312 tasks  held: the breaker of ..." */
static void print_reasons(const json_t *answer)
{
    const json_t *reasons = json_object_get(answer, "reasons");
    struct buf out;
    buf_init(&out, 0);
    buf_str(&out, "BECAUSE\n");
    for (size_t i = 0; i < json_array_size(reasons); i++) {
        const json_t *r = json_array_get(reasons, i);
        json_int_t tasks = json_integer_value(json_object_get(r, "tasks"));
        buf_str(&out, "  ");
        if (tasks > 0) {
            print_value(&out, json_object_get(r, "tasks"), PRINT_COUNT);
            buf_str(&out, tasks == 1 ? " task: " : " tasks: ");
        }
        print_value(&out, json_object_get(r, "text"), PRINT_TEXT);
        buf_byte(&out, '\n');
    }
    print_text(buf_span(&out));
    buf_done(&out);
}

static void print_answer(const struct ctl *ctl, const json_t *answer,
                         const struct print_column *columns, size_t n, const char *name_key)
{
    print_object(ctl->format, answer, columns, n, name_key);
    if (ctl->format == PRINT_TABLE || ctl->format == PRINT_WIDE)
        print_reasons(answer);
}

static bool is_id(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 20 && !text[n];
}

static int explain_task(struct ctl *ctl, const char *text, struct error *e)
{
    CTL_JSON answer = NULL;
    if (!is_id(text))
        return error_set(e, ERR_INVALID_ARGUMENT, "\"%s\" is not the id of a task", text);
    ctl_args(ctl, 1);
    ctl_arg_u64(ctl, "task", strtoull(text, NULL, 10));
    int rc = ctl_call(ctl, "task.explain", 0, &answer, e);
    if (rc == ERR_OK)
        print_answer(ctl, answer, task_columns, ARRAY_LEN(task_columns), "task");
    return rc;
}

static int explain_job(struct ctl *ctl, const char *text, struct error *e)
{
    CTL_JSON answer = NULL;
    CTL_TEXT job = NULL;
    int rc = ctl_find_job(ctl, text, &job, e);
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_job(ctl, job);
    rc = ctl_call(ctl, "job.explain", 0, &answer, e);
    if (rc == ERR_OK)
        print_answer(ctl, answer, job_columns, ARRAY_LEN(job_columns), "job");
    return rc;
}

/* A number is a job, and when there is none of that id, a task; --task says that a task is meant. */
int explain_run(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    const char *task = ctl_flag(ctl, "task");
    struct error first = {0};
    if ((n == 1) == (task != NULL))
        return error_set(e, ERR_INVALID_ARGUMENT, "give a job, or --task with the id of a task");
    if (task)
        return explain_task(ctl, task, e);
    int rc = explain_job(ctl, args[0], &first);
    if (rc == ERR_NOT_FOUND && is_id(args[0])) {
        if (explain_task(ctl, args[0], e) == ERR_OK)
            return ERR_OK;
        return error_set(e, ERR_NOT_FOUND, "there is no job and no waiting task \"%s\"", args[0]);
    }
    if (rc)
        *e = first;
    return rc;
}
