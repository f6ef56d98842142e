/* status.c: the fleet at one glance. */
#include "admin/verbs.h"

#include <stdio.h>
#include <unistd.h>

static const json_t *path(const json_t *v, const char *a, const char *b)
{
    v = json_object_get(v, a);
    return b ? json_object_get(v, b) : v;
}

static void put(struct buf *out, const char *label, const json_t *v, enum print_kind kind)
{
    buf_str(out, label);
    print_value(out, v, kind);
}

static void write_status(struct buf *out, const json_t *s)
{
    bool healthy = json_is_true(json_object_get(s, "healthy")), color = isatty(STDOUT_FILENO);
    buf_printf(out, "%s●%s %s", color ? (healthy ? "\033[32m" : "\033[31m") : "",
               color ? "\033[0m" : "", healthy ? "healthy" : "not healthy");
    put(out, "  drover ", path(s, "version", NULL), PRINT_TEXT);
    put(out, "  up ", path(s, "uptime_s", NULL), PRINT_SECONDS);
    put(out, "\nWORKERS  ", path(s, "workers", "ready"), PRINT_COUNT);
    put(out, " ready · ", path(s, "workers", "draining"), PRINT_COUNT);
    put(out, " draining · ", path(s, "workers", "lost"), PRINT_COUNT);
    put(out, " lost      SLOTS ", path(s, "slots", "busy"), PRINT_COUNT);
    put(out, "/", path(s, "slots", "total"), PRINT_COUNT);
    put(out, " busy\nJOBS     ", path(s, "jobs", "open"), PRINT_COUNT);
    put(out, " open\nTASKS    ", path(s, "tasks", "ready"), PRINT_COUNT);
    put(out, " ready · ", path(s, "tasks", "running"), PRINT_COUNT);
    put(out, " running · ", path(s, "tasks", "delayed"), PRINT_COUNT);
    put(out, " delayed · ", path(s, "tasks", "dead"), PRINT_COUNT);
    put(out, " dead      OLDEST ", path(s, "oldest_ready_s", NULL), PRINT_SECONDS);
    put(out, "\nRATE     ", path(s, "done_per_s", NULL), PRINT_TEXT);
    put(out, " tasks/s · ", path(s, "rows_per_s", NULL), PRINT_TEXT);
    buf_str(out, " rows/s\n");
    const json_t *problems = json_object_get(s, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        put(out, "! ", json_array_get(problems, i), PRINT_TEXT);
        buf_byte(out, '\n');
    }
}

int status_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON status = NULL;
    struct buf out;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "status", 0, &status, e);
    if (rc)
        return rc;
    if (ctl->format == PRINT_JSON || ctl->format == PRINT_JSONL) {
        print_json(status, ctl->format == PRINT_JSONL);
        return ERR_OK;
    }
    buf_init(&out, 0);
    if (ctl->format == PRINT_NAME)
        buf_printf(&out, "%s\n",
                   json_is_true(json_object_get(status, "healthy")) ? "healthy" : "unhealthy");
    else
        write_status(&out, status);
    print_text(buf_span(&out));
    buf_done(&out);
    return ERR_OK;
}
