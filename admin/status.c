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
    buf_str(out, " open\n");
}

/* BREAKER  postgres:main  OPEN for 4.2s  "connection refused"   312 tasks held */
static void write_breakers(struct buf *out, const json_t *s)
{
    static const struct {
        const char *state, *shown;
    } states[] = {{"open", "OPEN"}, {"half_open", "HALF OPEN"}, {"closed", "CLOSED"}};
    const json_t *breakers = json_object_get(s, "breakers");
    for (size_t i = 0; i < json_array_size(breakers); i++) {
        const json_t *b = json_array_get(breakers, i);
        const char *state = json_string_value(json_object_get(b, "state"));
        put(out, "BREAKER  ", json_object_get(b, "downstream"), PRINT_TEXT);
        for (size_t k = 0; k < ARRAY_LEN(states); k++)
            if (state && strcmp(states[k].state, state) == 0)
                buf_printf(out, "  %s", states[k].shown);
        put(out, " for ", json_object_get(b, "since_s"), PRINT_SECONDS);
        if (json_is_string(json_object_get(b, "manual")))
            put(out, ", ", json_object_get(b, "manual"), PRINT_TEXT);
        if (json_is_string(json_object_get(b, "error"))) {
            put(out, "  \"", json_object_get(b, "error"), PRINT_TEXT);
            buf_byte(out, '"');
        }
        put(out, "   ", json_object_get(b, "held"), PRINT_COUNT);
        buf_str(out, " tasks held");
        if (json_integer_value(json_object_get(b, "quarantined")) > 0) {
            put(out, ", ", json_object_get(b, "quarantined"), PRINT_COUNT);
            buf_str(out, " workers in quarantine");
        }
        buf_byte(out, '\n');
    }
}

static void write_problems(struct buf *out, const json_t *s)
{
    const json_t *problems = json_object_get(s, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        put(out, "! ", json_array_get(problems, i), PRINT_TEXT);
        buf_byte(out, '\n');
    }
}

/* The only queue so far; there may be more lines later. */
static void print_queues(enum print_format format, const json_t *s)
{
    static const struct print_column columns[] = {
        {"QUEUE", "queue", PRINT_TEXT, false},
        {"READY", "ready", PRINT_COUNT, false},
        {"RUNNING", "running", PRINT_COUNT, false},
        {"DELAYED", "delayed", PRINT_COUNT, false},
        {"DEAD", "dead", PRINT_COUNT, false},
        {"OLDEST", "oldest_ready_s", PRINT_SECONDS, false},
        {"RATE/s", "done_per_s", PRINT_TEXT, false},
        {"ROWS/s", "rows_per_s", PRINT_TEXT, false},
        {"P95 RUN", "run_p95_s", PRINT_SECONDS, false},
        {"ETA", "eta_s", PRINT_SECONDS, false},
    };
    json_t *row = json_copy(json_object_get(s, "tasks"));
    CTL_JSON rows = json_array();
    json_object_set_new(row, "queue", json_string("default"));
    for (size_t i = 5; i < ARRAY_LEN(columns); i++)
        json_object_set(row, columns[i].key, json_object_get(s, columns[i].key));
    json_array_append_new(rows, row);
    print_list(format, rows, columns, ARRAY_LEN(columns), "queue");
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
    if (ctl->format != PRINT_NAME) {
        print_queues(ctl->format, status);
        buf_clear(&out);
        write_breakers(&out, status);
        write_problems(&out, status);
        print_text(buf_span(&out));
    }
    buf_done(&out);
    return ERR_OK;
}
