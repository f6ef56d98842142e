/* worker.c: the workers, and draining them. */
#include "admin/verbs.h"

static const struct print_column columns[] = {
    {"WORKER", "worker", PRINT_TEXT, false},
    {"STATE", "state", PRINT_TEXT, false},
    {"HOST", "host", PRINT_TEXT, false},
    {"VERSION", "version", PRINT_TEXT, true},
    {"SLOTS", "slots", PRINT_COUNT, false},
    {"BUSY", "busy", PRINT_COUNT, false},
    {"QUEUED", "queued", PRINT_COUNT, false},
    {"LEASED", "leased", PRINT_COUNT, true},
    {"DONE", "tasks_done", PRINT_COUNT, false},
    {"FAILED", "tasks_failed", PRINT_COUNT, false},
    {"ROWS", "rows", PRINT_COUNT, false},
    {"MEMORY", "rss_bytes", PRINT_BYTES, false},
    {"CPU", "cpu_s", PRINT_SECONDS, true},
    {"SILENT", "silent_s", PRINT_SECONDS, false},
    {"CONNECTED", "connected_s", PRINT_SECONDS, true},
};

int worker_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "worker.ls", 0, &answer, e);
    if (rc == ERR_OK)
        print_list(ctl->format, json_object_get(answer, "workers"), columns, ARRAY_LEN(columns),
                   "worker");
    return rc;
}

static int one(struct ctl *ctl, const char *verb, const char *text, struct error *e)
{
    CTL_JSON answer = NULL;
    CTL_TEXT worker = NULL;
    int rc = ctl_find_worker(ctl, text, &worker, e);
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_str(ctl, "worker", worker);
    rc = ctl_call(ctl, verb, 0, &answer, e);
    if (rc == ERR_OK)
        print_object(ctl->format, answer, columns, ARRAY_LEN(columns), "worker");
    return rc;
}

int worker_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return one(ctl, "worker.show", args[0], e);
}

int worker_drain(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return one(ctl, "worker.drain", args[0], e);
}

int worker_resume(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return one(ctl, "worker.resume", args[0], e);
}
