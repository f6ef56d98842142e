/* server.c: the coordinator itself, whether it can be used, and configuration. */
#include "admin/verbs.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/wire.h"

int server_info(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    static const struct print_column columns[] = {
        {"VERSION", "version", PRINT_TEXT, false}, {"PROTOCOL", "protocol", PRINT_COUNT, false},
        {"EPOCH", "epoch", PRINT_TEXT, false},     {"UP", "uptime_s", PRINT_SECONDS, false},
        {"YOUR ROLE", "role", PRINT_TEXT, false},  {"YOUR NAME", "name", PRINT_TEXT, false},
    };
    CTL_JSON info = NULL;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "server.info", 0, &info, e);
    if (rc == ERR_OK)
        print_object(ctl->format, info, columns, ARRAY_LEN(columns), "version");
    return rc;
}

/* ---- check ---- */

struct report {
    json_t *rows;
    bool failed;
};

static void report(struct report *r, bool ok, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void report(struct report *r, bool ok, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->failed |= !ok;
    json_array_append_new(r->rows,
                          json_pack("{s:s, s:s}", "result", ok ? "ok" : "FAIL", "check", text));
}

static const char *text_in(const json_t *v, const char *key)
{
    const char *text = json_string_value(json_object_get(v, key));
    return text ? text : "";
}

static void check_info(struct ctl *ctl, struct report *r, const json_t *info, double ms)
{
    json_int_t protocol = json_integer_value(json_object_get(info, "protocol"));
    const char *name = text_in(info, "name");
    report(r, true, "%s answers in %.1f ms", config_str(ctl->config, "url"), ms);
    report(r, true, "coordinator %s, protocol %lld", text_in(info, "version"), (long long)protocol);
    if (strcmp(text_in(info, "version"), DROVER_VERSION) != 0)
        report(r, true, "this program is %s: fine as long as the protocol is the same",
               DROVER_VERSION);
    if (name[0])
        report(r, true, "key accepted as %s %s", text_in(info, "role"), name);
    else
        report(r, true, "no keys: who can reach it is an administrator");
}

static void check_status(struct report *r, const json_t *status)
{
    const json_t *problems = json_object_get(status, "problems");
    json_int_t ready =
        json_integer_value(json_object_get(json_object_get(status, "workers"), "ready"));
    report(r, ready > 0,
           ready > 0 ? "%lld workers ready" : "%lld workers ready: start drover-worker",
           (long long)ready);
    for (size_t i = 0; i < json_array_size(problems); i++)
        report(r, false, "%s", json_string_value(json_array_get(problems, i)));
}

int server_check(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    static const struct print_column columns[] = {{"RESULT", "result", PRINT_TEXT, false},
                                                  {"CHECK", "check", PRINT_TEXT, false}};
    CTL_JSON rows = json_array();
    CTL_JSON hello = NULL;
    CTL_JSON info = NULL;
    CTL_JSON status = NULL;
    struct report r = {.rows = rows};
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "server.info", 0, &hello, e); /* connects */
    uint64_t start_us = clock_us();
    if (rc == ERR_OK)
        rc = ctl_call(ctl, "server.info", 0, &info, e);
    if (rc == ERR_OK) {
        check_info(ctl, &r, info, (double)(clock_us() - start_us) / 1e3);
        rc = ctl_call(ctl, "status", 0, &status, e);
    }
    if (rc == ERR_OK)
        check_status(&r, status);
    else
        report(&r, false, "%s", e->detail);
    print_list(ctl->format, rows, columns, ARRAY_LEN(columns), "check");
    ctl->exit_code = rc ? ctl_exit_of((enum err)rc) : r.failed ? CTL_ERROR : CTL_OK;
    return ERR_OK;
}

/* ---- configuration ---- */

static json_t *own_options(const struct config *c)
{
    json_t *rows = json_array();
    struct config_entry entry;
    for (size_t i = 0; config_entry(c, i, &entry); i++)
        json_array_append_new(rows,
                              json_pack("{s:s, s:s?, s:s, s:s}", "key", entry.key, "value",
                                        entry.value, "origin", entry.origin, "help", entry.help));
    return rows;
}

int server_config(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    bool origin = ctl_flag(ctl, "origin");
    const struct print_column columns[] = {
        {"KEY", "key", PRINT_TEXT, false},
        {"VALUE", "value", PRINT_TEXT, false},
        {"ORIGIN", "origin", PRINT_TEXT, !origin},
        {"MEANING", "help", PRINT_TEXT, true},
    };
    CTL_JSON answer = NULL;
    CTL_JSON own = NULL;
    (void)n;
    (void)args;
    int rc = ERR_OK;
    if (ctl_flag(ctl, "server")) {
        ctl_args(ctl, 0);
        rc = ctl_call(ctl, "config.show", 0, &answer, e);
    } else {
        own = own_options(ctl->config);
    }
    if (rc == ERR_OK)
        print_list(ctl->format, own ? own : json_object_get(answer, "options"), columns,
                   ARRAY_LEN(columns), "key");
    return rc;
}
