/* sink.c: the coordinator's sinks: what there is, and whether they answer. */
#include "admin/verbs.h"

int sink_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    static const struct print_column columns[] = {
        {"SINK", "sink", PRINT_TEXT, false},
        {"KIND", "kind", PRINT_TEXT, false},
        {"BREAKER", "state", PRINT_TEXT, false},
        {"HELD", "held", PRINT_COUNT, false},
        {"BACKLOG", "backlog_bytes", PRINT_BYTES, false},
        {"ROWS", "rows", PRINT_COUNT, false},
        {"URL", "url", PRINT_TEXT, false},
        {"USER", "user", PRINT_TEXT, true},
        {"ERROR", "error", PRINT_TEXT, true},
    };
    static const char *const of_breaker[] = {"state", "held", "error"};
    CTL_JSON answer = NULL;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "sink.ls", 0, &answer, e);
    if (rc)
        return rc;
    const json_t *sinks = json_object_get(answer, "sinks");
    bool flat = ctl->format != PRINT_JSON && ctl->format != PRINT_JSONL;
    for (size_t i = 0; flat && i < json_array_size(sinks); i++) {
        json_t *sink = json_array_get(sinks, i);
        for (size_t k = 0; k < ARRAY_LEN(of_breaker); k++)
            json_object_set(sink, of_breaker[k],
                            json_object_get(json_object_get(sink, "breaker"), of_breaker[k]));
    }
    print_list(ctl->format, sinks, columns, ARRAY_LEN(columns), "sink");
    return ERR_OK;
}

/* Ends with 1 when one of them does not answer. */
int sink_check(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    static const struct print_column columns[] = {
        {"SINK", "sink", PRINT_TEXT, false},   {"KIND", "kind", PRINT_TEXT, false},
        {"OK", "ok", PRINT_TEXT, false},       {"TOOK", "seconds", PRINT_SECONDS, false},
        {"ERROR", "error", PRINT_TEXT, false},
    };
    CTL_JSON answer = NULL;
    ctl_args(ctl, n);
    if (n)
        ctl_arg_str(ctl, "sink", args[0]);
    int rc = ctl_call(ctl, "sink.check", CTL_SINKS_WAIT_MS, &answer, e);
    if (rc)
        return rc;
    const json_t *sinks = json_object_get(answer, "sinks");
    for (size_t i = 0; i < json_array_size(sinks); i++)
        if (!json_is_true(json_object_get(json_array_get(sinks, i), "ok")))
            ctl->exit_code = CTL_ERROR;
    print_list(ctl->format, sinks, columns, ARRAY_LEN(columns), "sink");
    return ERR_OK;
}
