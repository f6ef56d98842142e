/* breaker.c: breakers: what is open, and setting them by hand. */
#include "admin/verbs.h"

static const struct print_column columns[] = {
    {"DOWNSTREAM", "downstream", PRINT_TEXT, false},
    {"STATE", "state", PRINT_TEXT, false},
    {"MANUAL", "manual", PRINT_TEXT, false},
    {"SINCE", "since_s", PRINT_SECONDS, false},
    {"RETRY IN", "retry_s", PRINT_SECONDS, false},
    {"HELD", "held", PRINT_COUNT, false},
    {"WAITING", "waiting", PRINT_COUNT, false},
    {"QUARANTINED", "quarantined", PRINT_COUNT, true},
    {"OK", "ok", PRINT_COUNT, true},
    {"FAILED", "fail", PRINT_COUNT, true},
    {"OPENED", "opened", PRINT_COUNT, true},
    {"ERROR", "error", PRINT_TEXT, false},
    {"ERROR AGO", "error_s", PRINT_SECONDS, true},
};

int breaker_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "breaker.ls", 0, &answer, e);
    if (rc == ERR_OK)
        print_list(ctl->format, json_object_get(answer, "breakers"), columns, ARRAY_LEN(columns),
                   "downstream");
    return rc;
}

static int set(struct ctl *ctl, const char *verb, const char *downstream, struct error *e)
{
    CTL_JSON answer = NULL;
    ctl_args(ctl, 1);
    ctl_arg_str(ctl, "downstream", downstream);
    int rc = ctl_call(ctl, verb, 0, &answer, e);
    if (rc == ERR_OK)
        print_object(ctl->format, answer, columns, ARRAY_LEN(columns), "downstream");
    return rc;
}

int breaker_trip(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return set(ctl, "breaker.trip", args[0], e);
}

int breaker_pin(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return set(ctl, "breaker.pin", args[0], e);
}

int breaker_reset(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    return set(ctl, "breaker.reset", args[0], e);
}
